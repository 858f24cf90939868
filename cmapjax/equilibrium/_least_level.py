"""The least level at which the receivers of a group take all that their givers can send them."""

import bisect
from fractions import Fraction

import numpy as np

from cmapjax.equilibrium._long_flow import UNLIMITED, sums


def taken(priority, own_use, room, numerator, denominator) -> np.ndarray:
    """z_j(L) · denominator = min(D − a, max(0, L b − a)) · denominator."""
    wanted = numerator * priority
    wanted = np.maximum(wanted - own_use * denominator, 0)
    bounded = np.flatnonzero(room != UNLIMITED)
    full = room[bounded] * denominator[bounded]
    wanted[bounded] = np.where(numerator[bounded] == UNLIMITED, full, np.minimum(wanted[bounded], full))
    return wanted


def least_levels(priority, own_use, room, group, supplied) -> tuple[np.ndarray, np.ndarray]:
    """The least L of each group with Σ_j z_j(L) = supplied, as numerator and denominator.

    The numerator is `UNLIMITED` where all demands together are less than what is supplied.

    L lies where some receiver j is *between*: a_j < L b_j ≤ D_j. If those between and those satisfied are
    known, L = (supplied − Σ_satisfied room + Σ_between a) / Σ_between b. They are guessed in float64, and the
    guess is tested in integers; where it fails, the level is found among the ends of all intervals by
    bisection.
    """
    size = len(supplied)
    level, between, full = _rough_levels(priority, own_use, room, group, supplied)
    demands = sums(np.where(room == UNLIMITED, 0, room), group, size)
    is_satisfied = (np.bincount(group, room == UNLIMITED, size) == 0) & (demands < supplied)
    if supplied.dtype == np.float64:
        return np.where(is_satisfied, UNLIMITED, level), np.ones(size)
    for _ in range(2):
        numerator, denominator = reduced(*_level_of(priority, own_use, room, group, supplied, between, full))
        at = numerator[group], denominator[group]
        between, full = _sides(priority, own_use, room, *at)
        # The least root is where all take just that much, and somebody would take less at any lower level.
        is_right = sums(taken(priority, own_use, room, *at), group, size) == supplied * denominator
        is_right &= np.bincount(group, between, size) > 0
        if np.all(is_right | is_satisfied):
            break
    for number in np.flatnonzero(~(is_right | is_satisfied)):
        own = group == number
        numerator[number], denominator[number] = _bisected(
            priority[own], own_use[own], room[own], supplied[number]
        )
    numerator[is_satisfied], denominator[is_satisfied] = UNLIMITED, 1
    return numerator, denominator


def reduced(numerator, denominator) -> tuple[np.ndarray, np.ndarray]:
    """In lowest terms, if these are whole numbers."""
    if numerator.dtype == np.float64:
        return numerator / denominator, np.ones(len(numerator))
    divisor = np.gcd(numerator, denominator)
    return numerator // divisor, denominator // divisor


def _sides(priority, own_use, room, numerator, denominator) -> tuple[np.ndarray, np.ndarray]:
    """Who is between own use and demand at these levels, and whose demand is below."""
    reached = numerator * priority
    is_above = reached > own_use * denominator
    is_full = (room != UNLIMITED) & (reached > (own_use + room) * denominator)
    return (is_above & ~is_full).astype(bool), is_full.astype(bool)


def _level_of(priority, own_use, room, group, supplied, between, full) -> tuple[np.ndarray, np.ndarray]:
    """L = (supplied − Σ_full room + Σ_between a) / Σ_between b as a fraction; 0 if nobody is between."""
    size = len(supplied)
    top = (
        supplied
        - sums(np.where(full, room, 0), group, size)
        + sums(np.where(between, own_use, 0), group, size)
    )
    bottom = sums(np.where(between, priority, 0), group, size)
    is_found = (bottom > 0) & (top > 0)
    return np.where(is_found, top, 0), np.where(is_found, bottom, 1)


def _rough_levels(priority, own_use, room, group, supplied) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The levels in float64, of integers in a unit in which none overflows; who is between, who is full."""
    size, is_bounded = len(supplied), room != UNLIMITED
    (b,) = as_floats(priority)
    a, bounded, supplied = as_floats(own_use, np.where(is_bounded, room, 0), supplied)
    unit, weight = supplied, sums(b, group, size)
    a, bounded, b = a / unit[group], bounded / unit[group], b / weight[group]
    level = _first_levels(b, a, np.where(is_bounded, bounded, np.inf), group, size)
    for _ in range(2):
        between, full = _sides(b, a, np.where(is_bounded, bounded, UNLIMITED), level[group], 1.0)
        top, bottom = _level_of(b, a, bounded, group, np.ones(size), between, full)
        level = np.where(top > 0, top / bottom, level)
    between, full = _sides(b, a, np.where(is_bounded, bounded, UNLIMITED), level[group], 1.0)
    return level * unit / weight, between, full


def _first_levels(b, a, room, group, size) -> np.ndarray:
    """The levels at which each group takes 1, by running sums over the ends of its receivers' intervals."""
    start, is_bounded = a / b, np.isfinite(room)
    points = np.concatenate([start, ((a + room) / b)[is_bounded]])
    owner = np.concatenate([group, group[is_bounded]])
    slope = np.concatenate([b, -b[is_bounded]])
    order = np.lexsort((points, owner))
    points, owner, slope = points[order], owner[order], slope[order]
    first = np.flatnonzero(np.diff(owner, prepend=-1))
    slope = np.maximum(_sums_so_far(slope, owner, first), 0)
    step = np.append(np.diff(points), 0)
    step[np.append(first[1:], len(owner)) - 1] = 0
    at = _sums_so_far(slope * step, owner, first) - slope * step
    # At the last point where all together do not yet take 1, the level's interval begins.
    last = np.maximum.reduceat(np.where(at < 1, np.arange(len(owner)), 0), first)
    last = np.maximum(last, first)
    with np.errstate(divide="ignore", invalid="ignore"):
        return points[last] + np.where(slope[last] > 0, (1 - at[last]) / slope[last], 0)


def _sums_so_far(x, owner, first) -> np.ndarray:
    """Running sums of each owner's numbers, which begin at `first`."""
    total = np.cumsum(x)
    before = (total - x)[first]
    return total - before[owner]


def _bisected(priority, own_use, room, supplied) -> tuple[int, int]:
    """The least level of one group, in integers alone."""
    priority, own_use, room = (part.astype(object) for part in (priority, own_use, room))
    is_bounded = room != UNLIMITED
    tops = np.concatenate([own_use, (own_use + room)[is_bounded]])
    bottoms = np.concatenate([priority, priority[is_bounded]])
    points = sorted({Fraction(int(x), int(y)) for x, y in zip(tops, bottoms, strict=True)})

    def is_enough(point) -> bool:
        x, y = point.numerator, point.denominator
        at = (np.full(len(room), end, object) for end in (x, y))
        return np.sum(taken(priority, own_use, room, *at)) >= supplied * y

    place = bisect.bisect_left(points, True, key=is_enough)
    inside = points[place - 1] if place else points[0]
    x, y = inside.numerator, inside.denominator
    full = is_bounded & (x * priority >= (own_use + room) * y)
    between = (x * priority >= own_use * y) & ~full
    everybody, supplied = np.zeros(len(room), np.int64), np.array([supplied], object)
    sides = between.astype(bool), full.astype(bool)
    (top,), (bottom,) = reduced(*_level_of(priority, own_use, room, everybody, supplied, *sides))
    return top, bottom


def as_floats(*parts: np.ndarray) -> list[np.ndarray]:
    """Integers of any size as float64, in a unit in which none of them overflows."""
    if not any(part.dtype == object for part in parts):
        return [part.astype(float) for part in parts]
    most = max(int(part.max(initial=0)) for part in parts)
    unit = 1 << max(most.bit_length() - 1000, 0)
    return [
        np.where(part == UNLIMITED, UNLIMITED, np.true_divide(part, unit)).astype(float) for part in parts
    ]
