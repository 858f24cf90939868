"""What a run has to know of the values that are stored already."""

NAME_DIGITS = slice(1, 6)


def ground_of(name: str) -> int:
    """The ground of a chunk, by the chunk's name."""
    from cmapjax._store import Range

    return Range.of(name).ground


def values_of(study, store, ground: int, count: int) -> list:
    """The metric that decides whether more markets are drawn: of every cell its values, by market.

    Read from the stored chunks of the ground's first `count` markets.
    """
    raise NotImplementedError
