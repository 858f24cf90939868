"""Definitions of fairness that hold in markets with priorities, demands, directions and more."""

import numpy as np
import scipy
from jaxtyping import Float

from cmapjax.arguments._checks import as_real, check_not_negative, short
from cmapjax.arguments._labelled import by_name
from cmapjax.market._bound import FULL, Arcs
from cmapjax.market._market import Market
from cmapjax.runtime._settings import entry
from cmapjax.runtime._types import Array

# A link counts as used if it carries more than this share of what its giver has, or of what its receiver
# gets. Less than that may be rounding of a converged run.
USED = 1e-9
# How far rows may be from spending the contributions, by the precision of the flow: as far as rows of a run
# may be by rounding. The errors below are at least as large as what a row misses.
ROUNDING = {"float32": 1e-3, "float64": 1e-5}
OUTSIDE = "check the allocation once it is computed"
MOST_PARETO = 200_000  # arcs; the linear program takes seconds
ENVIOUS = 512  # agents whose wishes for everybody else's rows are computed together


@entry(remedy=OUTSIDE, any_market=True)
def proportionality_error(market: Market, utility) -> Float[np.ndarray, "markets"]:
    """How far anybody is below its share of everything that its givers have: max_j 1 − û_j / share_j, or 0.

    share_j = min(D_j, (b_j / B) Σ_i e_ij w_i), what j would have if each of its givers split what it has
    among all, in proportion to priorities; B = Σ b_j over those who count. At the equilibrium nobody is
    below.

    Args:
        utility: u_j of each agent, own use included (value).

    Returns:
        A number per market, at most 1.

    Raises:
        ValueError: utilities that are negative or not finite; a market with capacities, where an agent at
            full links may be below its share at the equilibrium too. Inside a JAX transformation.

    Source: Steinhaus, The problem of fair division, Econometrica 16, 1948; derived in docs/fairness.md.
    """
    arcs = _uncapped("proportionality_error", market)
    utility = as_real("utility", by_name("utility", utility, market.labels), (market.num_agents,))
    check_not_negative("utility", utility, lambda i: market.labels[i])
    counts, carries = arcs.counts, arcs.carries
    priority = np.where(counts, arcs.priority, 0)
    total = np.bincount(arcs.market_of, priority)[arcs.market_of]
    sent = np.where(carries, arcs.efficiency * arcs.supply[arcs.giver], 0)
    around = np.bincount(arcs.receiver, sent, len(utility))
    share = np.minimum(arcs.demand, priority / np.where(total > 0, total, 1) * around)
    return _worst(arcs, _below(np.minimum(utility, arcs.demand), share, counts))


@entry(remedy=OUTSIDE, any_market=True)
def envy_error(market: Market, flow: Float[Array, "slots"]) -> Float[np.ndarray, "markets"]:
    """How much anybody would rather have what another receives: max_jk 1 − û_j / û_j(k), or 0.

    û_j(k) = min(D_j, (b_j / b_k) Σ_i e_ij y_ik) is what j would have of k's row, in proportion to priorities,
    along links that lead to both. At the equilibrium nobody envies anybody.

    Args:
        flow: y_ij in the market's layout (value).

    Returns:
        A number per market, at most 1.

    Raises:
        ValueError: a flow that is not feasible; a market with capacities or own use, where there may be envy
            at the equilibrium too (of a full link, or of who needs less from others). Inside a JAX
            transformation.

    Source: Foley, Yale Economic Essays 7, 1967; Varian, J. Econ. Theory 9, 1974 (equal incomes).
    """
    arcs = _uncapped("envy_error", market)
    if np.any(arcs.own_use > 0):
        label = short(market.labels[int(np.argmax(arcs.own_use))])
        raise ValueError(
            f"envy_error: this market has own_use (agent {label}), and who has little of its own receives "
            "more, which others may envy at the equilibrium too; use lexicographic_error or pareto_error."
        )
    flow = _feasible(market, arcs, flow)
    size, counts = len(arcs.supply), arcs.counts
    has = np.minimum(arcs.received(flow), arcs.demand)
    leads = arcs.carries & counts[arcs.receiver]
    giver, receiver = arcs.giver[leads], arcs.receiver[leads]
    shape = (size, size)
    worth = scipy.sparse.csr_array((arcs.efficiency[leads], (receiver, giver)), shape=shape)
    rows = scipy.sparse.csr_array((flow[leads] / arcs.priority[receiver], (giver, receiver)), shape=shape)
    best = np.zeros(size)
    for first in range(0, size, ENVIOUS):
        part = slice(first, min(first + ENVIOUS, size))
        wish = worth[part] @ rows
        if wish.nnz:
            best[part] = wish.max(axis=1).toarray().ravel()
    return _worst(arcs, _below(has, np.minimum(arcs.demand, arcs.priority * best), counts))


@entry(remedy=OUTSIDE, any_market=True)
def pareto_error(market: Market, flow: Float[Array, "slots"]) -> Float[np.ndarray, "markets"]:
    """The most that could be received in addition without anybody receiving less, in parts of Σ û_j.

    It is 0 exactly if the flow is Pareto optimal among those who count; found by a linear program.

    Args:
        flow: y_ij in the market's layout (value).

    Returns:
        A number per market, to some 1e-7, the tolerance of the linear program; +inf if nobody has anything.

    Raises:
        ValueError: a flow that is not feasible; more than 200,000 arcs along which something can be given.
            Inside a JAX transformation.

    Source: Pareto, Manuale di economia politica, 1906; the program is solved by HiGHS.
    """
    arcs = Arcs.of(market)
    flow, counts = _feasible(market, arcs, flow), arcs.counts
    leads = np.flatnonzero(arcs.carries & counts[arcs.receiver])
    if len(leads) > MOST_PARETO:
        raise ValueError(
            f"pareto_error: {len(leads):,} arcs; the linear program is for at most {MOST_PARETO:,}. The "
            "certified gap bounds what all could gain (certified_gap_of_flow)."
        )
    size, arc, agent = len(counts), np.arange(len(leads)), np.arange(len(counts))
    has = np.minimum(arcs.received(flow), arcs.demand)
    gets = scipy.sparse.csr_array(
        (-arcs.efficiency[leads], (arcs.receiver[leads], arc)), shape=(size, len(arc))
    )
    gives = scipy.sparse.csr_array((np.ones(len(arc)), (arcs.giver[leads], arc)), shape=(size, len(arc)))
    more = scipy.sparse.csr_array((np.ones(size), (agent, agent)), shape=(size, size))
    room = np.where(counts, arcs.demand - has, 0)
    # In units in which the market's amounts are about 1.
    unit = max(arcs.supply.max(), np.finfo(float).tiny)
    found = scipy.optimize.linprog(
        np.append(np.zeros(len(arc)), -np.ones(size)),
        A_ub=scipy.sparse.block_array([[gets, more], [gives, None]]).tocsr(),
        b_ub=np.append(np.where(counts, arcs.own_use - has, 0), arcs.supply) / unit,
        bounds=np.stack([np.zeros(len(arc) + size), np.append(arcs.capacity[leads], room) / unit], axis=1),
        method="highs",
    )
    if found.x is None:
        raise ArithmeticError(f"pareto_error: {found.message}; please report this market.")
    extra = np.bincount(arcs.market_of, found.x[len(arc) :] * unit)
    total = np.bincount(arcs.market_of, np.where(counts, has, 0))
    return np.where(extra > 0, np.where(total > 0, extra / np.where(total > 0, total, 1), np.inf), 0)


def with_terms(market: Market, flow) -> Float[np.ndarray, "markets"]:
    """`lexicographic_error` in a market with terms."""
    arcs = Arcs.of(market)
    if np.any(arcs.efficiency[arcs.carries] != 1):
        raise ValueError(
            "lexicographic_error: this market has efficiency, and with losses the fair flow need not be "
            "lexicographically optimal; use pareto_error, envy_error or the certified gap."
        )
    flow, counts = _feasible(market, arcs, flow), arcs.counts
    utility, supply = arcs.received(flow), arcs.supply
    leads = arcs.carries & counts[arcs.receiver]
    giver, receiver, y = arcs.giver[leads], arcs.receiver[leads], flow[leads]
    ratio = np.minimum(utility, arcs.demand) / np.where(counts, arcs.priority, 1)
    is_open = y < arcs.capacity[leads] * (1 - FULL)
    is_used = y > USED * np.minimum(supply[giver], utility[receiver])
    # The poorest to whom value could be led instead: the receiver, unless it has enough; and those whom its
    # other givers could serve. Along a chain of receivers who have enough, a step at a time.
    worth = np.where(counts & (utility < arcs.demand * (1 - FULL)), ratio, np.inf)
    while True:
        least = _least(worth[receiver], giver, is_open, len(supply))
        through = _least(least[giver], receiver, is_used, len(supply))
        if not np.any(through < worth):
            break
        worth = np.minimum(worth, through)
    beyond = utility > arcs.demand * (1 + ROUNDING["float64"])
    served = np.where(beyond, np.inf, ratio)[receiver]
    error, poorest = np.zeros(len(supply)), least[giver]
    gains = is_used & (served > poorest)
    with np.errstate(divide="ignore", invalid="ignore"):
        np.maximum.at(error, giver[gains], served[gains] / poorest[gains] - 1)
    kept = np.where(least < np.inf, supply - np.bincount(arcs.giver, flow, len(supply)), 0)
    return _worst(arcs, np.maximum(error, kept / np.where(supply > 0, supply, 1)))


def _least(x, index, where, size: int) -> np.ndarray:
    out = np.full(size, np.inf)
    np.minimum.at(out, index[where], x[where])
    return out


def _uncapped(name: str, market: Market) -> Arcs:
    """The arcs; raises ValueError if some capacity is neither 0 nor infinite."""
    arcs = Arcs.of(market)
    limited = np.flatnonzero((arcs.capacity > 0) & (arcs.capacity < np.inf))
    if len(limited):
        ends = (short(market.labels[side[limited[0]]]) for side in (arcs.giver, arcs.receiver))
        raise ValueError(
            f"{name}: this market has capacity (from agent {' to agent '.join(ends)}), and what a full link "
            "holds back may leave somebody worse off at the equilibrium too; use lexicographic_error or "
            "pareto_error."
        )
    return arcs


def _feasible(market: Market, arcs: Arcs, flow) -> Float[np.ndarray, "arcs"]:
    """The flow on arcs in float64.

    Raises:
        ValueError: it is negative, not finite, over a capacity, or more than its giver has.
    """
    rounding = ROUNDING.get(str(getattr(flow, "dtype", "float64")), ROUNDING["float64"])
    shape, supply = (market.links.num_slots,), arcs.supply
    if np.shape(flow) != shape:
        raise ValueError(
            f"flow has shape {np.shape(flow)}; give {shape}, as `market.flow_from_arcs` makes it."
        )
    flow = market.arc_values(as_real("flow", flow, shape))
    most = np.minimum(arcs.capacity, supply[arcs.giver]) + rounding * supply[arcs.giver]
    bad = np.flatnonzero(~((flow >= 0) & (flow <= most)))
    if len(bad):
        ends = " to agent ".join(short(market.labels[side[bad[0]]]) for side in (arcs.giver, arcs.receiver))
        raise ValueError(
            f"flow from agent {ends} is {flow[bad[0]]:g}; give 0 or more, and no more than its capacity or "
            "what the giver has."
        )
    spent = np.bincount(arcs.giver, flow, len(supply))
    over = np.flatnonzero(spent > supply * (1 + rounding))
    if len(over):
        i = over[0]
        raise ValueError(
            f"flow: agent {short(market.labels[i])} gives {spent[i]:.8g} and has {supply[i]:.8g}; give "
            "no more than endowment × value."
        )
    return flow


def _below(has, wanted, counts) -> Float[np.ndarray, "agents"]:
    """1 − has / wanted where somebody who counts has less than that."""
    lacks = counts & (has < wanted)
    return np.where(lacks, 1 - np.where(lacks, has, 0) / np.where(lacks, wanted, 1), 0)


def _worst(arcs: Arcs, error: Float[np.ndarray, "agents"]) -> Float[np.ndarray, "markets"]:
    worst = np.zeros(int(arcs.market_of.max()) + 1)
    np.maximum.at(worst, arcs.market_of, error)
    return worst
