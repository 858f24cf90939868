"""The equilibrium in every form of the literature, market by market, each found or tested by other means."""

import numpy as np
import pandas as pd
import scipy.optimize
import scipy.sparse

import cmapjax as cj
from cmapjax import fairness
from cmapjax.equilibrium._convex import import_cvxpy

# Coalitions are 2^n, and linear programs of lexicographic optimality several per agent.
MOST_AGENTS = 12
CONVEX_REMARK = (
    "In a full reproduction, where CVXPY and Clarabel are installed (pip install 'cmapjax[reference]'), the "
    "central program is handed to them too; else that column of the table is empty."
)


def by_market(singles: list, market, found, paper: list[np.ndarray], *, with_solver: bool) -> pd.DataFrame:
    """One row per market: by how much each form misses the exact solver's utilities or is violated.

    Args:
        singles: the markets of `market`, one by one.
        found: its equilibrium.
        paper: utilities on paper of the first ones.
        with_solver: hand the central program to a convex solver too, if there is one.
    """
    first_order = cj.solve(market, tolerance=1e-12, method=cj.ProjectedGradient())
    equal = market.equal_flow()
    flow = found.flow
    answered = np.concatenate([*paper, np.full(market.num_agents - sum(map(len, paper)), np.nan)])
    columns = {
        "agents": np.asarray(market.members.lengths)[np.asarray(market.members.place)],
        "ratio levels": np.bincount(np.asarray(found.groups.market), minlength=market.num_markets),
        "on paper": _error(market, found.utility, answered),
        "first-order method": _error(market, first_order.utility, found.utility),
        "convex solver": _convex(market, found) if with_solver else np.full(market.num_markets, np.nan),
        "reciprocity": fairness.reciprocity_error(market, flow),
        "lexicographic": fairness.lexicographic_error(market, flow),
        "competitive": fairness.arrow_debreu_error(market, fairness.arrow_debreu_prices(market, found), flow),
        "lexicographic, equal split": fairness.lexicographic_error(market, equal),
        "reciprocity, equal split": fairness.reciprocity_error(market, equal),
    }
    ends = np.cumsum([single.num_agents for single in singles])
    alone = [
        _alone(single, np.asarray(found.utility)[end - single.num_agents : end])
        for single, end in zip(singles, ends, strict=True)
    ]
    return pd.DataFrame(columns).join(pd.DataFrame(alone))


def _alone(market, utility: np.ndarray) -> dict:
    """What is tried on one market at a time, and on small ones only."""
    w = np.asarray(market.contribution)
    tried = {
        "even is feasible": _even_is_feasible(market),
        "furthest from even": np.abs(utility / w - 1).max(),
    }
    if market.num_agents > MOST_AGENTS:
        return tried
    ratio = fairness.lexicographic_ratios(market)
    equal = market.received(market.equal_flow())
    return tried | {
        "linear programs": np.abs(ratio * w / utility - 1).max(),
        "best coalition": fairness.best_coalition(market, utility)[1],
        "best coalition, equal split": fairness.best_coalition(market, equal)[1],
    }


def _even_is_feasible(market) -> bool:
    """Whether some allocation gives everybody exactly what it contributes (a linear program)."""
    giver, receiver = market.arcs()
    w, n, arcs = np.asarray(market.contribution), market.num_agents, len(giver)
    columns, ones = np.arange(arcs), np.ones(arcs)
    gives = scipy.sparse.csr_array((ones, (giver, columns)), (n, arcs))
    gets = scipy.sparse.csr_array((ones, (receiver, columns)), (n, arcs))
    # Shares of the mean contribution: the program's tolerances are absolute.
    needs = w / w.mean()
    found = scipy.optimize.linprog(
        np.zeros(arcs), A_eq=scipy.sparse.vstack([gives, gets]), b_eq=np.tile(needs, 2), method="highs"
    )
    if found.status not in (0, 2):  # solved, or proved infeasible
        raise ArithmeticError(f"linear program: {found.message}")
    return found.status == 0


def _convex(market, found) -> np.ndarray:
    """The error of the convex solver's utilities; NaN without one."""
    try:
        import_cvxpy()
    except ImportError:
        return np.full(market.num_markets, np.nan)
    other = cj.solve(market, tolerance=1e-6, method=cj.ConvexProgram())
    return _error(market, other.utility, found.utility)


def _error(market, utility, reference) -> np.ndarray:
    return np.asarray(market.largest(np.abs(np.asarray(utility) / np.asarray(reference) - 1)))


def dynamics(run) -> tuple[np.ndarray, np.ndarray]:
    """The worst agent's relative error at a run's end, and halfway: one per market."""
    error = np.asarray(run.records["worst_relative_error"])
    return error[-1], error[len(error) // 2]


def tends(last: np.ndarray, halfway: np.ndarray, same: float) -> np.ndarray:
    """Whether a run has arrived (error at most `same`) or its error still falls, by a third from halfway on.

    An error like 1/t halves; one that stays above zero does not.
    """
    return (last <= same) | (last <= 2 / 3 * halfway)


def tightness(runs) -> pd.DataFrame:
    """Certified and true gap of all runs: how often the bound was broken, and how loose it is."""
    rows = []
    for name, run in runs.items():
        bound, true = run.records["certified_gap"], run.records["log_welfare_loss"]
        finite = np.isfinite(true) & (true > 1e-9)
        rows.append(
            {
                "run": name,
                "markets": true.shape[1],
                "rounds": int(run.rounds[-1]),
                "gaps compared": true.size,
                "of them infinite": int(np.isinf(true).sum()),
                "least certified − true": float(np.min(slack(run))),
                "certified / true, median": float(np.median(bound[finite] / true[finite])),
                "certified / true, 95 %": float(np.quantile(bound[finite] / true[finite], 0.95)),
            }
        )
    return pd.DataFrame(rows)


def slack(run) -> np.ndarray:
    """Certified minus true gap at every round of every market; 0 where both are infinite."""
    bound, true = run.records["certified_gap"], run.records["log_welfare_loss"]
    both = np.isinf(bound) & np.isinf(true)
    with np.errstate(invalid="ignore"):
        return np.where(both, 0, bound - true)
