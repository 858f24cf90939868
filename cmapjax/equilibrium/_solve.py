"""`solve`, which calls a method of finding the equilibrium."""

import dataclasses

import numpy as np

from cmapjax.arguments._checks import check_kind, check_span
from cmapjax.equilibrium._equilibrium import Equilibrium, Method
from cmapjax.equilibrium._exact import IN_PROGRAMS, Decomposition, solve_in_fractions
from cmapjax.equilibrium._general import solve_general
from cmapjax.market._bound import Arcs, certified_bound
from cmapjax.market._market import Market
from cmapjax.runtime._settings import entry


@entry(remedy=IN_PROGRAMS, any_market=True)
def solve(
    market: Market,
    *,
    tolerance: float = 1e-10,
    fairness: float = 1.0,
    method: Method = Decomposition(),  # noqa: B008 - immutable
    exact: bool = False,
) -> Equilibrium:
    """The equilibrium of a market, or of every market of an ensemble, in float64.

    It maximises Σ_j w_j log u_j over all feasible allocations (the Eisenberg-Gale program in which every
    agent spends its own contribution). A market counts as solved if its certified gap is at most `tolerance`.

    In a market with other terms it maximises Σ_j b_j g_α(û_j / b_j) with g_1 = log and
    g_α(r) = r^(1−α) / (1−α), and the gap is that of log M_α, see `Equilibrium.mean_ratio`. Weights p_j of
    Σ p_j u_j^(1−α) / (1−α) are priorities b_j = p_j^(1/α). Without losses the optimum is the same for all α.
    Where efficiencies are not a factor of the giver times one of the receiver, the optimum is found by
    sweeps and an interior-point method, and then exactly on the links that are used; it counts as
    solved if also its `price_error` is at most √tolerance.

    Args:
        market: one market, or many packed side by side.
        tolerance: on the certified gap, which bounds the missing log Nash welfare (dimensionless). It is at
            least 1e-14, because smaller gaps are rounding errors.
        fairness: α, above 0; inf is the limit, the lexicographic optimum. It matters only with losses.
        method: the default, `Decomposition()`, finds the exact groups.
        exact: also return `Equilibrium.exact`, the equilibrium of `market.contribution` in fractions,
            verified in integers. `cmapjax.equilibrium.solve_in_fractions` takes other contributions.

    Returns:
        Utilities, ratios, prices and a supporting flow, with the certified gap of each market.

    Raises:
        ValueError: a tolerance or fairness out of range, fairness inf or exact=True with losses that do not
            allow them; contributions whose ratios overflow float64, or an agent whose
            utility lies below what float64 holds; traced arguments.
    """
    if not isinstance(tolerance, (int, float, np.floating)) or not 1e-14 <= tolerance < 1:
        raise ValueError(f"tolerance is {tolerance!r}; give a number from 1e-14 to below 1.")
    _check_fairness(fairness)
    check_kind("market", market, Market, "Market.from_links(…), or a reader of cmapjax.graphs")
    check_kind("method", method, Method, "Decomposition()")
    if market.terms:
        if not isinstance(method, Decomposition):
            raise ValueError(
                f"method: this market has {', '.join(market.terms)}, which only Decomposition() knows; "
                "leave the method out."
            )
        return solve_general(market, tolerance, fairness, exact=exact)
    check_span(
        np.asarray(market.contribution), "float64", lambda i: market.labels[i], np.asarray(market.market_of)
    )
    found = method.solve(market, tolerance)
    if fairness != 1:
        found = dataclasses.replace(found, **_measured(market, found, fairness, tolerance))
    return dataclasses.replace(found, exact=solve_in_fractions(market)) if exact else found


def _check_fairness(fairness) -> None:
    is_number = isinstance(fairness, (int, float, np.floating, np.integer)) and not isinstance(fairness, bool)
    if not is_number or not fairness > 0:
        raise ValueError(
            f"fairness is {fairness!r}; give a number above 0, or inf. (At 0 only the sum of utilities "
            "counts, which allocations reach in many ways; a small fairness, such as 0.05, chooses one.)"
        )


def _measured(market: Market, found: Equilibrium, fairness: float, tolerance: float) -> dict:
    """How well the equilibrium of endowments and values does by another fairness, of which it is the optimum,
    too."""
    arcs = Arcs.of(market)
    utility = np.asarray(found.utility)
    mean_ratio = np.exp(arcs.log_mean_ratio(utility, fairness))
    if fairness == np.inf:
        return {"mean_ratio": mean_ratio}
    gap = certified_bound(arcs, arcs.feasible(market.arc_values(found.flow)), fairness)
    return {"mean_ratio": mean_ratio, "gap": gap, "result": (~(gap <= tolerance)).astype(np.int32)}
