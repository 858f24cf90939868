"""The axes of a study: factors whose product is the set of cells."""

import dataclasses
import functools
import itertools
import math
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from cmapjax.arguments._checks import short
from cmapjax.studies._names import FIELDS

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
        lengths = {name: len(values) for name, values in table.items()}
        if len(set(lengths.values())) != 1:
            given = ", ".join(f"{name} has {n}" for name, n in lengths.items()) or "it is empty"
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


def kind_of(name: str, values: list) -> type:
    """The type of an axis: int, float or str. Raises ValueError for numbers mixed with texts."""
    if name in FIELDS:
        return str
    kinds = {type(value) for value in values}
    if kinds == {int}:
        return int
    if kinds <= {int, float}:
        return float
    if kinds == {str}:
        return str
    text = next(value for value in values if isinstance(value, str))
    number = next(value for value in values if not isinstance(value, str))
    raise ValueError(
        f"axis {name} has the text {short(text)} and the number {short(number)}; give one kind of value."
    )


def product(found: list[Factor]) -> Iterator[dict[str, Any]]:
    """Every combination of the factors' points, as axes by name."""
    names = [name for factor in found for name in factor.axes]
    for combination in itertools.product(*(factor.points for factor in found)):
        yield dict(zip(names, itertools.chain.from_iterable(combination), strict=True))


@dataclasses.dataclass(frozen=True)
class Axes:
    """All axes, with their types and all their values, in order of appearance."""

    values: dict[str, list]

    @classmethod
    def of(cls, found: list[Factor], listed: list[dict[str, Any]]) -> "Axes":
        """Of the factors and of explicit cells."""
        values: dict[str, dict] = {}
        for factor in found:
            for k, name in enumerate(factor.axes):
                values.setdefault(name, {}).update(dict.fromkeys(point[k] for point in factor.points))
        for row in listed:
            for name, value in row.items():
                values.setdefault(name, {}).setdefault(value)
        return cls({name: cls._typed(name, list(known)) for name, known in values.items()})

    @staticmethod
    def _typed(name: str, values: list) -> list:
        kind = kind_of(name, values)
        return list(dict.fromkeys(kind(value) if kind is not str else text_of(value) for value in values))

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.values)

    def typed(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """A cell's values in the types of the axes, in the order of the axes."""
        kinds = self.kinds
        return {n: text_of(row[n]) if kinds[n] is str else kinds[n](row[n]) for n in self.values}

    @functools.cached_property
    def kinds(self) -> dict[str, type]:
        return {name: type(known[0]) for name, known in self.values.items()}


def text_of(value: int | float | str) -> str:
    """A value as it stands in words."""
    return value.strip() if isinstance(value, str) else repr(value)
