"""The axes of a study: factors whose product is the set of cells."""

import itertools
import math
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from cmapjax.arguments._checks import short
from cmapjax.studies._schema import FIELDS

# Digits to which sampled numbers are rounded: readable, and the same whatever a machine's last bits.
DIGITS = 9


class Factor(NamedTuple):
    """One factor of the product: axes that vary together, point by point."""

    kind: str
    """grid, zip or sample."""
    axes: tuple[str, ...]
    points: list[tuple]


def factors(grid: Mapping, zips: list, sample, seed: int) -> list[Factor]:
    """Grid axes in order, then zips, then the sample; the last varies fastest.

    Raises:
        ValueError: lists of a zip of unequal length, an axis given twice.
    """
    found = [Factor("grid", (name,), [(value,) for value in values]) for name, values in grid.items()]
    for number, table in enumerate(zips):
        if len({len(values) for values in table.values()}) != 1:
            given = ", ".join(f"{name} has {len(values)}" for name, values in table.items()) or "it is empty"
            raise ValueError(
                f"zip[{number}]: {given}; axes that go together need lists of one length, at least one."
            )
        points = list(zip(*table.values(), strict=True))
        for k, point in enumerate(points):
            if point in points[:k]:
                raise ValueError(f"zip[{number}]: point {k}, {short(point)}, is there already; give it once.")
        found.append(Factor("zip", tuple(table), points))
    if sample is not None:
        found.append(Factor("sample", tuple(sample.ranges), sampled(sample, seed)))
    names = [name for factor in found for name in factor.axes]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"axis {name} is given twice (in grid, zip or sample); give it once.")
    return found


def sampled(sample, seed: int) -> list[tuple]:
    """The points of a sample, rounded to nine digits; a function of the seed and the ranges."""
    from scipy.stats import qmc

    rng = np.random.default_rng([seed, 1])
    if sample.method == "sobol":
        # Sobol's points are balanced in powers of two; the first `number` of those are taken.
        sequence = qmc.Sobol(len(sample.ranges), rng=rng)
        unit = sequence.random_base2(max(sample.number - 1, 0).bit_length())[: sample.number]
    else:
        unit = qmc.LatinHypercube(len(sample.ranges), rng=rng).random(sample.number)
    columns = [_scaled(one, unit[:, k]) for k, one in enumerate(sample.ranges.values())]
    points = list(zip(*columns, strict=True))
    if len(set(points)) < len(points):
        raise ValueError(
            f"sample.number is {sample.number}, of which some points come out equal; lower it, or widen the "
            "ranges."
        )
    return points


def _scaled(one, unit: np.ndarray) -> list[float] | list[int]:
    low, high = one.range
    if one.whole:  # every whole number gets an equal part, both ends included
        low, high = low - 0.5, high + 0.5
    if one.log:
        low, high = math.log(low), math.log(high)
    values = low + (high - low) * unit
    values = np.exp(values) if one.log else values
    values = [min(max(float(f"{x:.{DIGITS}g}"), one.range[0]), one.range[1]) for x in values]
    return [round(x) for x in values] if one.whole else values


def product(found: list[Factor]) -> Iterator[dict[str, Any]]:
    """Every combination of the factors' points, as axes by name."""
    names = [name for factor in found for name in factor.axes]
    for combination in itertools.product(*(factor.points for factor in found)):
        yield dict(zip(names, itertools.chain.from_iterable(combination), strict=True))


class Axes:
    """All axes, in order of appearance: their types, and their values as given and typed.

    Args:
        found: the factors.
        listed: explicit cells.

    Raises:
        ValueError: an axis of numbers and texts.
    """

    def __init__(self, found: list[Factor], listed: list[dict[str, Any]]):
        self.given: dict[str, list] = {}
        for factor in found:
            for name, values in zip(factor.axes, zip(*factor.points, strict=True), strict=True):
                self.given[name] = list(values)
        for row in listed:
            for name, value in row.items():
                self.given.setdefault(name, []).append(value)
        self.kinds = {name: kind_of(name, values) for name, values in self.given.items()}
        self.values = {
            name: list(dict.fromkeys(self._typed(name, value) for value in values))
            for name, values in self.given.items()
        }

    def _typed(self, name: str, value: Any) -> Any:
        kind = self.kinds[name]
        return text_of(value) if kind is str else kind(value)

    def row(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """A cell's values in the types of the axes, in the order of the axes."""
        return {name: self._typed(name, row[name]) for name in self.values}


def kind_of(name: str, values: list) -> type:
    """The type of an axis: int, float or str. Raises ValueError for numbers mixed with texts."""
    kinds = {type(value) for value in values}
    if name in FIELDS or kinds == {str}:
        return str
    if str not in kinds:
        return int if kinds == {int} else float
    text = next(value for value in values if isinstance(value, str))
    number = next(value for value in values if not isinstance(value, str))
    raise ValueError(
        f"axis {name} has the text {short(text)} and the number {short(number)}; give one kind of value."
    )


def text_of(value: int | float | str) -> str:
    """A value as it stands in words."""
    return value.strip() if isinstance(value, str) else repr(value)
