"""The equilibrium of markets with any of the fields beyond endowment and value."""

import numpy as np

from cmapjax.arguments._checks import short
from cmapjax.equilibrium._by_levels import Found, by_levels, lossless
from cmapjax.equilibrium._equilibrium import Equilibrium, Settlement
from cmapjax.equilibrium._losses import product_losses
from cmapjax.equilibrium._lossy import solve_lossy
from cmapjax.equilibrium._prices import judged, outlets, worth
from cmapjax.market._bound import Arcs
from cmapjax.market._market import Market


def solve_general(market: Market, tolerance: float, fairness: float, *, exact: bool) -> Equilibrium:
    """The equilibrium, with the certificate of the flow that was found.

    Without losses, and where losses e_ij = f_i g_j are a factor of the giver times one of the receiver, by
    exact levels; otherwise nearly, and then exactly on the links that are used.
    """
    arcs = Arcs.of(market)
    if exact and np.any(arcs.efficiency[arcs.carries] != 1):
        raise ValueError(
            "exact: this market has efficiencies, by which fractions are not multiplied; leave exact out."
        )
    factors = product_losses(arcs)
    if factors is not None:
        found = by_levels(arcs, *factors, fairness, exact=exact)
        return _answer(market, arcs, found, factors, (fairness, tolerance))
    if fairness == np.inf:
        raise ValueError(
            "fairness: this market has efficiencies that are not a factor of the giver times one of the "
            "receiver, for which the limit inf is not found; give a large finite fairness, such as 32."
        )
    found = solve_lossy(arcs, fairness, tolerance)
    return _answer(market, arcs, found, None, (fairness, tolerance))


def _answer(market, arcs: Arcs, found: Found, factors, how: tuple[float, float]) -> Equilibrium:
    fairness, tolerance = how
    utility, level = found.utility, found.level
    _check_in_range(market, arcs, utility)
    flow = arcs.feasible(found.flow)
    receiver_price = _prices(market, arcs, found, factors, fairness)
    if fairness < np.inf:
        verdict = judged(arcs, found, fairness)
    else:  # the market without losses has one optimum for all α, so that its proof for α = 1 will do
        sent, got = factors
        same = found._replace(utility=utility / got, flow=found.flow * sent[arcs.giver])
        verdict = judged(lossless(arcs, sent, got, fairness), same, 1.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        is_satisfied = arcs.counts & ((level * arcs.priority >= arcs.demand) | (utility >= arcs.demand))
        ratio = np.where(arcs.priority > 0, utility / arcs.priority, np.nan)
        claim = np.where(np.isfinite(arcs.demand) & (level < np.inf), arcs.demand / level, np.inf)
    is_solved = verdict.gap <= tolerance
    if factors is None:  # a gap is of second order in what is wrong, and blind where a mean is
        is_solved &= verdict.error <= np.sqrt(tolerance)
    earns = worth(arcs, receiver_price)
    price = outlets(arcs, flow, earns)
    rent = np.where(flow < arcs.capacity, 0, np.maximum(earns - price[arcs.giver], 0))
    spent = np.bincount(arcs.giver, flow, len(utility))
    return Equilibrium(
        utility=utility,
        ratio=ratio,
        price=price,
        flow=market.flow_from_arcs(flow),
        log_nash_welfare=arcs.log_welfare(utility),
        gap=verdict.gap,
        price_error=verdict.error,
        spending_error=arcs.excess(found.flow),
        iterations=np.asarray(found.steps),
        result=(~is_solved).astype(np.int32),
        mean_ratio=np.exp(arcs.log_mean_ratio(utility, fairness)),
        settlement=Settlement(
            counts=arcs.counts,
            is_satisfied=is_satisfied,
            level=level,
            receiver_price=receiver_price,
            claim=np.where(level == np.inf, 0, np.minimum(arcs.priority, claim)),
            rent=market.flow_from_arcs(rent),
            kept=np.maximum(arcs.supply - spent, 0),
        ),
        exact=found.exact,
    )


def _prices(market, arcs: Arcs, found: Found, factors, fairness: float) -> np.ndarray:
    """ρ_j = L_j^−α. With α = ∞ those of the market without losses, which support the same flow.

    Raises:
        ValueError: a price that float64 does not hold.
    """
    level = found.level
    with np.errstate(divide="ignore", over="ignore", under="ignore"):
        price = 1 / (level * factors[1]) if fairness == np.inf else level**-fairness
    bad = np.flatnonzero(arcs.counts & (level < np.inf) & ~(np.isfinite(price) & (price > 0)))
    if len(bad):
        i = bad[0]
        raise ValueError(
            f"fairness: agent {short(market.labels[i])} has the level {level[i]:g}, and float64 does not "
            f"hold the price {level[i]:g}^-{fairness:g}; lower fairness, or bring amounts and "
            "priorities nearer to each other."
        )
    return np.where(arcs.counts, price, 0)


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
