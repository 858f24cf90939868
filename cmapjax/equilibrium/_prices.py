"""Prices that support a flow, and how well they do."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from cmapjax.equilibrium._by_levels import Found
from cmapjax.market._bound import FULL, Arcs, Welfare, bound, likely_prices

# Prices whose gap is at most this are those of the equilibrium, and no others are tried.
ROUNDING = 1e-14


class Verdict(NamedTuple):
    """What prices prove of a flow."""

    level: Float[np.ndarray, "agents"]
    """L_j, of which ρ_j = L_j^−α."""
    gap: Float[np.ndarray, "markets"]
    error: Float[np.ndarray, "markets"]
    """The most, in parts of it, by which a unit could earn more elsewhere."""
    is_better: Bool[np.ndarray, "arcs"]
    """Where a giver could earn more than on another of its links."""


def judged(arcs: Arcs, found: Found, fairness: float) -> Verdict:
    """The best of the prices of the levels that were found, and of those that the flow suggests."""
    flow = arcs.feasible(found.flow)
    utility = arcs.received(flow)
    welfare = Welfare.at(arcs, utility, fairness)
    with np.errstate(divide="ignore", invalid="ignore"):
        price = np.where(arcs.counts, welfare.price(found.level), 0)
    gap, error, level = bound(arcs, utility, price, welfare), price_error(arcs, flow, price), found.level
    if np.any((gap > ROUNDING) | (error > ROUNDING)):
        for other in likely_prices(arcs, flow, welfare):
            gap = np.fmin(gap, bound(arcs, utility, other, welfare))
            other_error = price_error(arcs, flow, other)
            takes = other_error < error
            error = np.where(takes, other_error, error)
            price = np.where(takes[arcs.market_of], other, price)
            with np.errstate(divide="ignore"):
                ratio = np.where(other > 0, welfare.ratio(other), np.inf)
            level = np.where(takes[arcs.market_of], ratio, level)
    return Verdict(level, gap, error, better_links(arcs, flow, price))


def worth(arcs: Arcs, price: Float[np.ndarray, "agents"]) -> Float[np.ndarray, "arcs"]:
    """ρ_j e_ij, what a unit earns on each link that leads to somebody who counts."""
    return np.where(arcs.carries, price[arcs.receiver] * arcs.efficiency, 0)


def outlets(arcs: Arcs, flow, earns: Float[np.ndarray, "arcs"]) -> Float[np.ndarray, "agents"]:
    """q_i, what another unit of the giver earns: the most on its links that are not full."""
    best = np.zeros(len(arcs.supply))
    np.maximum.at(best, arcs.giver, np.where(flow < arcs.capacity * (1 - FULL), earns, 0))
    return best


def price_error(
    arcs: Arcs, flow: Float[np.ndarray, "arcs"], price: Float[np.ndarray, "agents"]
) -> Float[np.ndarray, "markets"]:
    """The most by which a unit could earn more on another link, in parts of that."""
    earns = worth(arcs, price)
    best, least = outlets(arcs, flow, earns), _least_earned(arcs, flow, earns)
    with np.errstate(divide="ignore", invalid="ignore"):
        errors = np.where((best > least) & (arcs.supply > 0), 1 - least / best, 0)
    worst = np.zeros(int(arcs.market_of.max()) + 1)
    np.maximum.at(worst, arcs.market_of, errors)
    return worst


def better_links(
    arcs: Arcs, flow: Float[np.ndarray, "arcs"], price: Float[np.ndarray, "agents"]
) -> Bool[np.ndarray, "arcs"]:
    """Where a giver could earn more than it does on another of its links."""
    earns = worth(arcs, price)
    return (earns > _least_earned(arcs, flow, earns)[arcs.giver]) & (flow < arcs.capacity * (1 - FULL))


def _least_earned(arcs: Arcs, flow, earns: Float[np.ndarray, "arcs"]) -> Float[np.ndarray, "agents"]:
    """The least that a unit of each giver earns: on a link that carries something, or 0 where it is kept."""
    kept = arcs.supply - np.bincount(arcs.giver, flow, len(arcs.supply))
    least = np.where(kept > FULL * arcs.supply, 0, np.inf)
    serves = flow > FULL * arcs.supply[arcs.giver]
    np.minimum.at(least, arcs.giver[serves], earns[serves])
    return least
