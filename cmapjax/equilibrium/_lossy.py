"""The equilibrium of markets whose losses are not products: found nearly, then exactly, then proved."""

import numpy as np
from jaxtyping import Bool

from cmapjax.equilibrium._by_levels import Found
from cmapjax.equilibrium._forest import polished
from cmapjax.equilibrium._interior import used_links
from cmapjax.equilibrium._prices import judged, outlets, worth
from cmapjax.equilibrium._sweeps import Sweeps
from cmapjax.market._bound import Arcs, Welfare

# With no more links than this, all are looked at; with more, those that sweeps leave near their givers'
# dearest.
FEW = 2000
NUM_SWEEPS = 48
NEAR = 0.02
MAX_TRIES = 6
# Prices that fit a flow this well prove its structure; utilities are then as good.
PROVED = 1e-10


def solve_lossy(arcs: Arcs, fairness: float, tolerance: float) -> Found:
    """The optimum as far as it is found; its certificate says how far that is.

    Sweeps come near it and leave out links that do not matter; an interior-point method tells which of the
    others are used; and exact levels solve the market on these. Either may find the right links: in small
    markets sweeps are tried first, in large ones the interior-point method. If prices make other links
    better, these are added, and it is tried again, in the markets that are not proved yet.
    """
    leads = arcs.leads
    sweeps = Sweeps(arcs.only(leads), fairness)
    is_small = np.count_nonzero(leads) <= FEW
    near = leads if is_small else _near(arcs, leads, sweeps)
    best, is_open, steps = None, np.ones(int(arcs.market_of.max()) + 1, bool), 0
    for number in range(MAX_TRIES):
        flow = np.zeros(len(leads)) if best is None else best.flow.copy()
        if (number % 2 == 0) == is_small:
            more = NUM_SWEEPS << number
            sweeps.go_on(more)
            flow[leads] = sweeps.given()
        else:
            tried = near & is_open[arcs.market_of[arcs.giver]]
            flow[tried], more = used_links(arcs.only(tried), fairness)
        found = polished(arcs, flow, fairness)
        steps += more + found.steps
        verdict = judged(arcs, found, fairness)
        found = found._replace(level=verdict.level)
        is_proved = (verdict.gap <= tolerance) & (verdict.error <= PROVED)
        if best is None:
            best, least = found, verdict.gap
        else:
            takes = is_open & (is_proved | (verdict.gap < least))
            best, least = _merged(arcs, takes, found, best), np.where(takes, verdict.gap, least)
        is_open &= ~is_proved
        if not np.any(is_open):
            break
        near = near | (leads & (verdict.is_better | (flow > 0)))
    return best._replace(steps=steps)


def _near(arcs: Arcs, leads: Bool[np.ndarray, "arcs"], sweeps: Sweeps) -> Bool[np.ndarray, "arcs"]:
    """The links that carry something after some sweeps, and those nearly as good for their givers."""
    sweeps.go_on(NUM_SWEEPS)
    flow = np.zeros(len(leads))
    flow[leads] = sweeps.given()
    welfare = Welfare.at(arcs, sweeps.utility, sweeps.fairness)
    with np.errstate(divide="ignore", invalid="ignore"):
        price = np.where(sweeps.claim > 0, welfare.price(sweeps.utility / sweeps.claim), 0)
    earns = worth(arcs, price)
    return leads & ((flow > 0) | (earns >= (1 - NEAR) * outlets(arcs, flow, earns)[arcs.giver]))


def _merged(arcs: Arcs, takes: Bool[np.ndarray, "markets"], one: Found, other: Found) -> Found:
    """One answer in some markets, the other in the rest."""
    agents = takes[arcs.market_of]
    links = agents[arcs.giver]
    return other._replace(
        utility=np.where(agents, one.utility, other.utility),
        level=np.where(agents, one.level, other.level),
        flow=np.where(links, one.flow, other.flow),
    )
