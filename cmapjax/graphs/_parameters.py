"""Parameters of random markets, checked where they are declared: whole numbers, and real ones in a range."""

import dataclasses
import numbers
from collections.abc import Callable
from typing import Any

from cmapjax.arguments._checks import short

# A market takes some hundred bytes per link and agent to assemble, so these sizes need tens of gigabytes.
# Larger numbers are more likely a typing error than meant for a machine that can hold the market.
MAX_AGENTS = 10**8
MAX_LINKS = 10**8


class Checked:
    """A frozen dataclass whose fields are checked by their declarations (`whole`, `real`), then by `_check`.

    What is checked is stored in plain Python types; a field that is None by default may stay so.
    """

    def __post_init__(self):
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if "check" in field.metadata and not (value is None and field.default is None):
                self._set(**{field.name: field.metadata["check"](self, field.name, value)})
        self._check()

    def _check(self) -> None:
        """Raise ValueError if fields do not go together."""

    def _set(self, **fields) -> None:
        """Store fields; frozen dataclasses know no other way."""
        for name, value in fields.items():
            object.__setattr__(self, name, value)


def whole(least: int, most: int | Callable = MAX_AGENTS) -> Any:
    """A field that holds a whole number; `most` may be a function of the object."""

    def check(owner, name: str, value) -> int:
        return as_count(name, value, least, most(owner) if callable(most) else most)

    return dataclasses.field(metadata={"check": check})


def real(*, most: float | Callable, default=dataclasses.MISSING, **limits) -> Any:
    """A field that holds a real number as `as_number` checks it; `most` may be a function of the object."""

    def check(owner, name: str, value) -> float:
        return as_number(name, value, most=most(owner) if callable(most) else most, **limits)

    return dataclasses.field(default=default, metadata={"check": check})


def as_count(field: str, value, least: int, most: int = MAX_AGENTS) -> int:
    """`value` as a whole number. Raises ValueError unless it is one from `least` to `most`."""
    is_whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    if not is_whole or not least <= value <= most:
        raise ValueError(f"{field} is {short(value)}; give a whole number from {least} to {most}.")
    return int(value)


def as_number(
    field: str, value, *, most: float, least: float = 0, above: bool = True, bound: str = ""
) -> float:
    """`value` as a float. Raises ValueError unless it is a number above (or at) `least` and at most `most`.

    `bound` says in words where the upper limit comes from.
    """
    is_real = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if not is_real or not least <= value <= most or (above and value == least):
        lower = f"{'above' if above else 'at least'} {least:g}"
        reason = f" ({bound})" if bound else ""
        raise ValueError(f"{field} is {short(value)}; give a number {lower} and at most {most:.12g}{reason}.")
    return float(value)


def check_links(family, num_markets: int = 1) -> None:
    """Raise ValueError if so many links are expected in markets of a family that they cannot be held."""
    mean_links = num_markets * family.mean_links
    if mean_links > MAX_LINKS:
        markets = f"num_markets is {num_markets}; {num_markets} of " if num_markets > 1 else ""
        raise ValueError(
            f"{markets}{short(family, 100)} makes about {mean_links:.3g} links; at most {MAX_LINKS:.0e} fit "
            "one market. Lower the number of agents, of their links, or of markets."
        )
