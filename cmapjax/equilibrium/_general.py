"""The equilibrium of markets with any of the fields beyond endowment and value, by exact levels."""

import dataclasses
import math
from fractions import Fraction

import numpy as np

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
    if exact and market.efficiency is not None:
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
    terms, unit, unit_of_priority = in_integers(lossless)
    found = levels(terms)
    if exact:
        verify_levels(terms, found)
    amounts = _Amounts(terms, found, unit, unit_of_priority)
    utility = np.array([float(x) for x in amounts.utility]) * got
    level = np.array([float(x) for x in amounts.level]) * got
    flow = arcs.feasible(np.array([float(x) for x in amounts.flow]) / sent[arcs.giver])
    proof = _fractions(amounts) if exact else None
    return _answer(market, arcs, (utility, level, flow), found.num_flows, tolerance, proof)


def in_integers(arcs: Arcs) -> tuple[Terms, list[Fraction], list[Fraction]]:
    """The market in whole numbers, and the units of its amounts and of its priorities, of each market."""
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


def as_whole(x: np.ndarray, market_of: np.ndarray) -> tuple[np.ndarray, list[Fraction]]:
    """Numbers ≥ 0 as Python's integers in one unit per market, a power of two; inf becomes `UNLIMITED`."""
    is_some = np.isfinite(x) & (x > 0)
    mantissa, power = np.frexp(np.where(is_some, x, 1.0))
    number = np.ldexp(mantissa, 53).astype(np.int64)
    lowest = number & -number
    number //= lowest
    power = power - 53 + np.frexp(lowest.astype(np.float64))[1] - 1
    least = np.full(int(market_of.max()) + 1, np.iinfo(np.int64).max)
    np.minimum.at(least, market_of[is_some], power[is_some])
    least = np.where(least == np.iinfo(np.int64).max, 0, least)
    shift = np.where(is_some, power - least[market_of], 0)
    whole = np.where(is_some, number.astype(object) << shift.astype(object), 0)
    return np.where(np.isinf(x), UNLIMITED, whole), [Fraction(2) ** int(p) for p in least]


class _Amounts:
    """What was found, as fractions in the units of the market."""

    def __init__(self, terms: Terms, found: Levels, unit, unit_of_priority):
        self.denominator = [1 if g < 0 else int(found.denominator[g]) for g in found.group.tolist()]
        self.units = [unit[m] for m in terms.market_of.tolist()]
        self.utility = [
            (Fraction(int(z), d) + int(a)) * u
            for z, d, a, u in zip(found.got, self.denominator, terms.own_use, self.units, strict=True)
        ]
        self.flow = [
            Fraction(int(part), self.denominator[j]) * self.units[j]
            for part, j in zip(found.parts.tolist(), terms.receiver.tolist(), strict=True)
        ]
        self.priority = [
            int(b) * unit_of_priority[m]
            for b, m in zip(terms.priority.tolist(), terms.market_of.tolist(), strict=True)
        ]
        self.level = [self._level(j, terms, found, unit, unit_of_priority) for j in range(len(self.utility))]

    def _level(self, j, terms, found, unit, unit_of_priority) -> Fraction | float:
        """L_j: that of its group, inf if all of it are satisfied; the ratio of those that nobody gives to."""
        group = int(found.group[j])
        if group < 0:
            is_satisfied = terms.room[j] == 0 or not self.priority[j]
            return math.inf if is_satisfied else self.utility[j] / self.priority[j]
        if found.numerator[group] == UNLIMITED:
            return math.inf
        market = int(terms.market_of[j])
        level = Fraction(int(found.numerator[group]), int(found.denominator[group]))
        return level * unit[market] / unit_of_priority[market]


def _answer(market, arcs: Arcs, found: tuple, num_flows: int, tolerance: float, proof) -> Equilibrium:
    utility, level, flow = found
    with np.errstate(divide="ignore", invalid="ignore"):
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
        spending_error=np.zeros(market.num_markets),
        iterations=np.asarray(num_flows),
        result=(~(gap <= tolerance)).astype(np.int32),
        settlement=Settlement(
            level=level,
            receiver_price=receiver_price,
            claim=claim,
            rent=market.flow_from_arcs(rent),
            kept=np.maximum(arcs.supply - spent, 0),
        ),
        exact=proof,
    )


def _fractions(amounts: _Amounts) -> Fractions:
    pairs = zip(amounts.utility, amounts.priority, strict=True)
    ratio = tuple(u / b if b else Fraction(0) for u, b in pairs)
    return Fractions(tuple(amounts.utility), ratio, tuple(amounts.flow), tuple(amounts.level))
