"""The equilibrium of markets with any of the fields beyond endowment and value, by exact levels."""

import dataclasses
import math
from fractions import Fraction

import numpy as np

from cmapjax.arguments._checks import short
from cmapjax.equilibrium._decomposition import as_integers
from cmapjax.equilibrium._equilibrium import Equilibrium, Fractions, Settlement
from cmapjax.equilibrium._levels import UNLIMITED, Levels, Terms, levels
from cmapjax.equilibrium._losses import product_losses
from cmapjax.equilibrium._proof import verify_levels
from cmapjax.market._bound import Arcs, bound, certified_bound
from cmapjax.market._market import Market


def solve_general(market: Market, tolerance: float, *, exact: bool) -> Equilibrium:
    """The equilibrium by levels, in integers, with the certificate of the flow that was found.

    Losses e_ij = f_i g_j, a factor of the giver times one of the receiver, are taken out: givers have s_i f_i
    and links K_ij f_i of a good of which receivers want D_j / g_j and have a_j / g_j, and get u_j / g_j.
    """
    arcs = Arcs.of(market)
    sent, got = product_losses(arcs)
    if exact and np.any(arcs.efficiency[arcs.carries] != 1):
        raise ValueError(
            "exact: this market has efficiencies, by which fractions are not multiplied; leave exact out."
        )
    lossless = dataclasses.replace(
        arcs,
        supply=arcs.supply * sent,
        capacity=arcs.capacity * sent[arcs.giver],
        own_use=arcs.own_use / got,
        demand=arcs.demand / got,
    )
    terms, *units = in_integers(lossless)
    found = levels(terms)
    scale = _Scale(terms, found, *units)
    if exact:
        verify_levels(terms, found)
    utility, level, flow = scale.floats()
    flow = flow / sent[arcs.giver]
    proof = scale.fractions() if exact else None
    return _answer(market, arcs, (utility * got, level * got, flow), found.num_flows, tolerance, proof)


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
    """Numbers ≥ 0 as Python's integers in a unit of each market, and the power of two that the unit is.

    Infinity becomes `UNLIMITED`.
    """
    is_some = np.isfinite(x) & (x > 0)
    whole = np.where(np.isinf(x), UNLIMITED, 0).astype(object)
    power = np.zeros(int(market_of.max()) + 1, np.int64)
    if np.any(is_some):
        whole[is_some], unit = as_integers(x[is_some], market_of[is_some])
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
            return np.ldexp(np.true_divide(top, bottom).astype(np.float64), power)
    except OverflowError:
        return np.frompyfunc(nearest, 3, 1)(top, bottom, power).astype(np.float64)


def _answer(market, arcs: Arcs, found: tuple, num_flows: int, tolerance: float, proof) -> Equilibrium:
    utility, level, flow = found
    excess, flow = arcs.excess(flow), arcs.feasible(flow)
    _check_in_range(market, arcs, utility)
    with np.errstate(divide="ignore", invalid="ignore"):
        is_satisfied = arcs.counts & (level * arcs.priority >= arcs.demand)
        ratio = np.where(arcs.priority > 0, utility / arcs.priority, np.nan)
        receiver_price = np.where(arcs.counts, 1 / level, 0)
        claim = np.where(np.isfinite(arcs.demand) & (level < np.inf), arcs.demand / level, np.inf)
    claim = np.where(level == np.inf, 0, np.minimum(arcs.priority, claim))
    delivered = arcs.received(flow)
    gap = np.fmin(bound(arcs, delivered, receiver_price), certified_bound(arcs, flow))
    worth = np.where(arcs.carries, receiver_price[arcs.receiver] * arcs.efficiency, 0)
    price = np.zeros(len(utility))
    np.maximum.at(price, arcs.giver, np.where(flow < arcs.capacity, worth, 0))
    rent = np.where(flow < arcs.capacity, 0, np.maximum(worth - price[arcs.giver], 0))
    spent = np.bincount(arcs.giver, flow, len(utility))
    return Equilibrium(
        utility=utility,
        ratio=ratio,
        price=price,
        flow=market.flow_from_arcs(flow),
        log_nash_welfare=arcs.log_welfare(utility),
        gap=gap,
        price_error=np.full(market.num_markets, np.nan),
        spending_error=excess,
        iterations=np.asarray(num_flows),
        result=(~(gap <= tolerance)).astype(np.int32),
        settlement=Settlement(
            counts=arcs.counts,
            is_satisfied=is_satisfied,
            level=level,
            receiver_price=receiver_price,
            claim=claim,
            rent=market.flow_from_arcs(rent),
            kept=np.maximum(arcs.supply - spent, 0),
        ),
        exact=proof,
    )


def _check_in_range(market, arcs: Arcs, utility: np.ndarray) -> None:
    """Raise ValueError if a utility, or what it is per priority, lies outside what float64 holds."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        ratio = utility / arcs.priority
    tiny = np.finfo(np.float64).tiny
    holds = np.isfinite(ratio) & (ratio >= tiny) & (utility >= tiny)
    bad = np.flatnonzero(arcs.counts & ~holds)
    if len(bad):
        i = bad[0]
        raise ValueError(
            f"utility: agent {short(market.labels[i])}, of priority {arcs.priority[i]:g}, would receive "
            f"{utility[i]:g}, and float64 does not hold that per priority (so for {len(bad)} agent(s)); "
            "bring amounts and priorities nearer to each other, or leave those agents out."
        )
