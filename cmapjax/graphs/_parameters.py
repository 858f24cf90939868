"""Checks of the parameters of random markets: whole numbers, real numbers, and sizes that fit a machine."""

import numbers

from cmapjax.arguments._checks import short

# A market takes some hundred bytes per link and agent to assemble, so these sizes need tens of gigabytes.
# Larger numbers are more likely a typing error than meant for a machine that can hold the market.
MAX_AGENTS = 10**8
MAX_LINKS = 10**8


def as_count(field: str, value, least: int, most: int = MAX_AGENTS) -> int:
    """`value` as a whole number. Raises ValueError unless it is one from `least` to `most`."""
    is_whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    if not is_whole or not least <= value <= most:
        raise ValueError(f"{field} is {short(value)}; give a whole number from {least} to {most}.")
    return int(value)


def as_number(
    field: str, value, *, least: float | int = 0, most: float | int, above: bool = True, bound: str = ""
) -> float:
    """`value` as a float. Raises ValueError unless it is a number above (or at) `least` and at most `most`.

    `bound` says in words where the upper limit comes from.
    """
    is_real = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if not is_real or not least <= value <= most or (above and value == least):
        lower = "above" if above else "at least"
        reason = f" ({bound})" if bound else ""
        raise ValueError(
            f"{field} is {short(value)}; give a number {lower} {least:g} and at most {most:.12g}{reason}."
        )
    return float(value)


def check_one_of(**given) -> None:
    """Raise ValueError unless exactly one of two alternatives is given."""
    (first, a), (second, b) = given.items()
    if (a is None) == (b is None):
        raise ValueError(
            f"{first} is {short(a)} and {second} is {short(b)}; give exactly one of them, by name."
        )


def check_links(field: str, value, mean_links: float | int) -> None:
    """Raise ValueError if so many links are expected that they cannot be held."""
    if mean_links > MAX_LINKS:
        raise ValueError(
            f"{field} is {short(value)}, which makes about {mean_links:.3g} links; at most {MAX_LINKS:.0e} "
            f"fit one market. Lower {field}, or the number of links per agent."
        )
