"""Exact levels of markets whose losses are products, from floats to whole numbers and back."""

import dataclasses
import math
from fractions import Fraction
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from cmapjax.equilibrium._decomposition import as_integers
from cmapjax.equilibrium._equilibrium import Fractions
from cmapjax.equilibrium._levels import UNLIMITED, Levels, Terms, levels
from cmapjax.equilibrium._proof import verify_levels
from cmapjax.market._bound import Arcs


class Found(NamedTuple):
    """An optimum of some arcs."""

    utility: Float[np.ndarray, "agents"]
    level: Float[np.ndarray, "agents"]
    """u_j = L_j b_j, or the demand or own use that it meets first."""
    flow: Float[np.ndarray, "arcs"]
    steps: int
    exact: Fractions | None = None


def lossless(arcs: Arcs, sent, got, fairness: float) -> Arcs:
    """The market without losses that has the same equilibrium: with efficiencies f_i g_j, givers have s_i f_i
    and links K_ij f_i of a good of which receivers want D_j / g_j and have a_j / g_j, and get u_j / g_j.
    Priorities are b_j g_j^((1 − α) / α)."""
    return dataclasses.replace(
        arcs,
        supply=arcs.supply * sent,
        capacity=arcs.capacity * sent[arcs.giver],
        efficiency=np.ones(len(arcs.giver)),
        own_use=arcs.own_use / got,
        demand=arcs.demand / got,
        priority=arcs.priority * got ** (1 / fairness - 1),
    )


def by_levels(arcs: Arcs, sent, got, fairness: float, *, exact: bool = False) -> Found:
    """The equilibrium by levels, in integers; with its fractions, verified, where they are asked for.

    Args:
        sent, got: f and g of `lossless`.
    """
    terms, *units = in_integers(lossless(arcs, sent, got, fairness))
    found = levels(terms)
    scale = _Scale(terms, found, *units)
    if exact:
        verify_levels(terms, found)
    utility, level, flow = scale.floats()
    level = level * got ** (1 / fairness)
    proof = scale.fractions() if exact else None
    return Found(utility * got, level, flow / sent[arcs.giver], found.num_flows, proof)


def in_integers(arcs: Arcs) -> tuple[Terms, np.ndarray, np.ndarray]:
    """The market in whole numbers, and the powers of two that are the units of its amounts and priorities."""
    market_of = arcs.market_of
    of_arc = market_of[arcs.giver]
    amounts = [arcs.supply, arcs.own_use, arcs.demand, arcs.capacity]
    owners = [market_of, market_of, market_of, of_arc]
    whole, unit = as_whole(np.concatenate(amounts), np.concatenate(owners))
    supply, own_use, demand, capacity = np.split(whole, np.cumsum([len(x) for x in amounts])[:-1])
    priority, unit_of_priority = as_whole(np.where(arcs.counts, arcs.priority, 0), market_of)
    room = np.where(demand == UNLIMITED, UNLIMITED, demand - own_use)
    return (
        Terms(arcs.giver, arcs.receiver, capacity, supply, own_use, room, priority, market_of),
        unit,
        unit_of_priority,
    )


def as_whole(x: np.ndarray, market_of: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Numbers ≥ 0 as integers in a unit of each market, and the power of two that the unit is.

    Infinity becomes `UNLIMITED`.
    """
    is_some = np.isfinite(x) & (x > 0)
    whole = np.where(np.isinf(x), UNLIMITED, 0)
    power = np.zeros(int(market_of.max()) + 1, np.int64)
    if np.any(is_some):
        found, unit = as_integers(x[is_some], market_of[is_some])
        whole = whole.astype(found.dtype)
        whole[is_some] = found
        some = np.unique(market_of[is_some])
        power[some] = unit[some]
    return whole, power


@dataclasses.dataclass(frozen=True)
class _Scale:
    """From whole numbers to the units of the market."""

    terms: Terms
    found: Levels
    amount: np.ndarray
    """The power of two that is the unit of each market's amounts."""
    priority: np.ndarray
    """The same of its priorities."""

    @property
    def denominator(self) -> np.ndarray:
        """Of what each agent gets."""
        group = self.found.group
        return np.where(group < 0, 1, np.append(self.found.denominator, 1)[group])

    def floats(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Utilities, levels and flows, each rounded once (a quotient of Python's integers is)."""
        terms, market_of, d = self.terms, self.terms.market_of, self.denominator
        power = self.amount[market_of]
        utility = _quotients(self.found.got + terms.own_use * d, d, power)
        flow = _quotients(self.found.parts, d[terms.receiver], power[terms.receiver])
        top, bottom = self._levels(d)
        level = _quotients(np.where(top == UNLIMITED, 0, top), bottom, power - self.priority[market_of])
        return utility, np.where(top == UNLIMITED, np.inf, level), flow

    def fractions(self) -> Fractions:
        """Everything exactly."""
        terms, found, d = self.terms, self.found, self.denominator
        amount = [Fraction(2) ** int(p) for p in self.amount[terms.market_of]]
        priority = [Fraction(2) ** int(p) for p in self.priority[terms.market_of]]
        rows = zip(found.got, d, terms.own_use, amount, strict=True)
        utility = tuple((Fraction(int(z), int(n)) + int(a)) * u for z, n, a, u in rows)
        arcs = zip(found.parts, terms.receiver.tolist(), strict=True)
        rows = zip(utility, terms.priority, priority, strict=True)
        rows_of_levels = zip(*self._levels(d), amount, priority, strict=True)
        return Fractions(
            utility=utility,
            ratio=tuple(x / (int(b) * v) if b else Fraction(0) for x, b, v in rows),
            flow=tuple(Fraction(int(y), int(d[j])) * amount[j] for y, j in arcs),
            level=tuple(
                math.inf if x == UNLIMITED else Fraction(int(x), int(y)) * u / v
                for x, y, u, v in rows_of_levels
            ),
        )

    def _levels(self, d: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """L of each agent's group, or the ratio of one that nobody gives to; no limit if it wants nothing."""
        terms, found = self.terms, self.found
        of_groups = [np.append(x, 1)[found.group] for x in (found.numerator, found.denominator)]
        wants = (terms.priority > 0) & (terms.room != 0)
        top = np.where(found.group >= 0, of_groups[0], np.where(wants, terms.own_use, UNLIMITED))
        return top, np.where(found.group >= 0, of_groups[1], np.where(wants, terms.priority, 1))


def _quotients(top: np.ndarray, bottom: np.ndarray, power: np.ndarray) -> np.ndarray:
    """The nearest float64 of top / bottom · 2^power, of integers of any size; inf where it is too large."""

    def nearest(x, y, p):
        try:
            return (int(x) << max(int(p), 0)) / (int(y) << max(-int(p), 0))
        except OverflowError:
            return np.inf

    try:  # quicker, where numbers are not far apart
        with np.errstate(over="ignore", under="ignore"):
            return np.ldexp(np.true_divide(top, bottom.astype(object)).astype(np.float64), power)
    except OverflowError:
        return np.frompyfunc(nearest, 3, 1)(top, bottom, power).astype(np.float64)
