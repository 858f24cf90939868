"""Names of chunks, and which markets of a plan no chunk holds."""

import re
from collections.abc import Iterable

from cmapjax.arguments._checks import short
from cmapjax.studies._chunks import Chunk
from cmapjax.studies.results._errors import ResultsError

NAME = re.compile(r"g\d{5,9}-m\d{7,10}-n\d{6,10}", re.ASCII)


def chunk_of(name: str) -> Chunk:
    """The chunk of this name.

    Raises:
        ResultsError: not the name of a chunk, so that it never becomes a path.
    """
    match = NAME.fullmatch(name) if isinstance(name, str) else None
    chunk = Chunk.named(name) if match else None
    if chunk is None or chunk.name != name or chunk.count < 1:
        raise ResultsError(
            f"chunk name is {short(name)}; it must read g<ground>-m<first market>-n<number>, "
            "as in g00012-m0000000-n000250."
        )
    return chunk


def without_overlaps(chunks: Iterable[Chunk]) -> list[Chunk]:
    """The chunks in order, without those that hold a market which one before them holds.

    Of a chunk and its halves, which runs with less memory have played, the whole comes first.
    """
    kept: list[Chunk] = []
    for chunk in sorted(chunks, key=lambda c: (c.ground, c.first, -c.count)):
        last = kept[-1] if kept else None
        if last is None or last.ground != chunk.ground or last.first + last.count <= chunk.first:
            kept.append(chunk)
    return kept


def lacking(plan: Iterable[Chunk], done: Iterable[Chunk]) -> list[Chunk]:
    """What none of the chunks done holds: whole chunks of the plan, or the parts of them, in its order."""
    by_ground: dict[int, list[Chunk]] = {}
    for chunk in done:
        by_ground.setdefault(chunk.ground, []).append(chunk)
    return [part for chunk in plan for part in _cut(sorted(by_ground.get(chunk.ground, ())), chunk)]


def _cut(done: list[Chunk], wanted: Chunk) -> Iterable[Chunk]:
    start, end = wanted.first, wanted.first + wanted.count
    for have in done:
        if start < have.first < end:
            yield Chunk(wanted.ground, start, have.first - start)
        if have.first < end:
            start = max(start, have.first + have.count)
    if start < end:
        yield Chunk(wanted.ground, start, end - start)
