"""Metrics: one number per market, from what its agents received.

All take the market and a vector over agents in the caller's order, usually the utilities u_j (value
received). r_j = u_j / w_j is the ratio, w_j = ε_j v_j the contribution, W = Σ w_j. Every function works
inside JAX transformations, in the precision of its input, and on plain arrays in NumPy.
"""

from collections.abc import Callable, Sequence

import numpy as np
from jax.tree_util import Partial
from jaxtyping import Float

from cmapjax._certificate import certified_gap, certified_gap_of_flow, spending_error
from cmapjax._community import community_utility
from cmapjax._derivatives import log_or_minus_infinity
from cmapjax._differences import differences
from cmapjax._labelled import unlabelled
from cmapjax._market import Market
from cmapjax._precision import float64_on_host, namespace
from cmapjax._reductions import joined, ranges
from cmapjax._settings import is_traced
from cmapjax._types import Array
from cmapjax._verdict import NOTHING, VERDICTS, verdict

Agents = Float[Array, "agents"]
Markets = Float[Array, "markets"]


@float64_on_host
def ratio(market: Market, utility: Agents) -> Agents:
    """r_j = u_j / w_j: value received per value contributed (1 is even; 0 for an agent with nothing)."""
    return utility / _weight(market, utility)


@float64_on_host
def log_nash_welfare(market: Market, utility: Agents) -> Markets:
    """Σ w_j log r_j / W, the mean log ratio weighted by contribution (≤ 0; -inf at a utility of 0).

    The objective of the central program, normalised: what the equilibrium maximises. Dimensionless.
    """
    w = _weight(market, utility)
    return market.total(w * log_or_minus_infinity(utility / w)) / market.total(w)


@float64_on_host
def nash_welfare(market: Market, utility: Agents) -> Markets:
    """exp of `log_nash_welfare`: the weighted geometric mean ratio, in [0, 1] (0 at a utility of 0)."""
    return namespace(market, utility).exp(log_nash_welfare(market, utility))


@float64_on_host
def unweighted_log_nash_welfare(market: Market, utility: Agents) -> Markets:
    """Σ log u_j / n, the mean log utility (-inf at a utility of 0); u in units of value.

    Not what the equilibrium maximises: with K4 and contributions (5, 1, 1, 1) the equilibrium reaches
    0.965 of the best feasible geometric mean. A run may exceed "100 %" of the equilibrium by it.
    """
    return market.total(log_or_minus_infinity(utility)) / _count(market, utility)


@float64_on_host
def unweighted_nash_welfare(market: Market, utility: Agents) -> Markets:
    """exp of `unweighted_log_nash_welfare`: the geometric mean utility (value; 0 at a utility of 0)."""
    return namespace(market, utility).exp(unweighted_log_nash_welfare(market, utility))


@float64_on_host
def share_of_equilibrium(market: Market, utility: Agents, equilibrium: Agents) -> Markets:
    """Nash welfare over that of the equilibrium's utilities, in [0, 1] (0 at a utility of 0)."""
    loss = log_welfare_loss(market, utility, equilibrium)
    return namespace(loss).exp(-loss)


@float64_on_host
def misallocated_share(market: Market, utility: Agents, equilibrium: Agents) -> Markets:
    """Market loss: Σ |u_j − u*_j| / 2W, the share of all value that is in the wrong hands, in [0, 1]."""
    w = _weight(market, utility)
    return market.total(abs(utility - equilibrium)) / (2 * market.total(w))


@float64_on_host
def log_welfare_loss(market: Market, utility: Agents, equilibrium: Agents) -> Markets:
    """Market loss: log Nash welfare of the equilibrium minus that reached (≥ 0; +inf at a utility of 0)."""
    w = _weight(market, utility)
    xp = namespace(market, utility, equilibrium)
    utility = xp.asarray(utility)
    has = utility > 0
    loss = xp.where(has, xp.log(xp.asarray(equilibrium) / xp.where(has, utility, 1)), xp.inf)
    return market.total(w * loss) / market.total(w)


@float64_on_host
def worst_relative_error(market: Market, utility: Agents, equilibrium: Agents) -> Markets:
    """Market loss: max_j |u_j / u*_j − 1|, of the agent worst served or most favoured (1 at u_j = 0)."""
    return market.largest(abs(utility / equilibrium - 1))


@float64_on_host
def mean_community_utility(market: Market, utility: Agents, hops: int | float = 1) -> Markets:
    """The agents' mean of their community's utility Σ_{j ∈ C_i^k} w_j log u_j (-inf at a utility of 0)."""
    return market.total(community_utility(market, utility, hops)) / _count(market, utility)


@float64_on_host
def jain_index(market: Market, x: Agents) -> Markets:
    """(Σ x)² / (n Σ x²) of any amounts, say ratios: 1 if all are equal, 1/n if one has all (1 if all 0).

    Source: Jain, Chiu and Hawe, A quantitative measure of fairness, DEC-TR-301, 1984.
    """
    xp = namespace(market, x)
    x = xp.asarray(x)
    largest = market.largest(xp.abs(x))  # scaled, so that squares neither over- nor underflow
    scaled = x / xp.where(largest > 0, largest, 1)[market.market_of]
    squares = market.total(scaled**2)
    index = market.total(scaled) ** 2 / (_count(market, x) * xp.where(squares == 0, 1, squares))
    return xp.where(squares == 0, 1, index)


@float64_on_host
def gini(market: Market, x: Agents) -> Markets:
    """Σ_ij |x_i − x_j| / (2 n Σ x) of any amounts ≥ 0, say ratios: 0 if all are equal (0 if all 0)."""
    xp = namespace(market, x)
    x, members = xp.asarray(x), market.members
    parts = zip(ranges(members, x), members.row_blocks(members.lengths), strict=True)
    apart = joined(members, [differences(*part) for part in parts])[members.place]
    sums = market.total(x)
    return xp.where(sums == 0, 0, apart / (_count(market, x) * xp.where(sums == 0, 1, sums)))


@float64_on_host
def min_ratio(market: Market, utility: Agents) -> Markets:
    """The ratio of the agent worst off."""
    return market.smallest(ratio(market, utility))


@float64_on_host
def num_starved(market: Market, utility: Agents) -> Markets:
    """How many agents have nothing: less than 1e-9 of what they contribute."""
    return market.total((ratio(market, utility) < NOTHING).astype(utility.dtype))


@float64_on_host
def flow_distance(market: Market, one: Float[Array, "slots"], other: Float[Array, "slots"]) -> Markets:
    """Σ |y_ij − y'_ij| / 2W: the share of all value that two allocations give to different neighbours."""
    moved = market.gave(abs(one - other))
    return market.total(moved) / (2 * market.total(_weight(market, moved)))


@float64_on_host
def oscillation(market: Market, history: Float[Array, "3 agents"]) -> Markets:
    """Period-2 amplitude of utilities: Σ_j min(|u(t) − u(t−1)|, |u(t−1) − u(t−2)|) / 2W, returning.

    The share of value that changes hands every round only to come back: what the last two steps share,
    less what they have moved in sum, |u(t) − u(t−2)| (never below 0). 0 for a market at rest and for
    one that moves steadily.

    Args:
        history: utilities of this round, the one before, and the one before that.
    """
    now, before, earlier = history
    xp = namespace(market, history)
    steps = xp.minimum(abs(now - before), abs(before - earlier))
    returning = xp.maximum(steps - abs(now - earlier), 0)
    return market.total(returning) / (2 * market.total(_weight(market, now)))


def standard(equilibrium=None) -> dict[str, Callable]:
    """What `simulate` records unless told otherwise, by name; more when the equilibrium is known.

    Each entry is a function of (market, state) giving one number per market; write your own likewise.

    Args:
        equilibrium: utilities u*_j, a plain vector over agents in the market's order.

    Raises:
        ValueError: utilities with names, which cannot be matched here.
    """
    record: dict[str, Callable] = {
        "log_nash_welfare": Partial(_of_utility, log_nash_welfare),
        "certified_gap": Partial(_gap),
        "min_ratio": Partial(_of_utility, min_ratio),
        "jain_index": Partial(_of_ratio, jain_index),
        "gini": Partial(_of_ratio, gini),
        "num_starved": Partial(_of_utility, num_starved),
        "oscillation": Partial(_oscillation),
        "average_log_nash_welfare": Partial(_of_average, log_nash_welfare),
    }
    if equilibrium is not None:
        u = equilibrium
        if not is_traced(u):
            u = np.asarray(unlabelled("equilibrium", u), np.float64)
        record |= {
            "share_of_equilibrium": Partial(_of_utility, share_of_equilibrium, equilibrium=u),
            "misallocated_share": Partial(_of_utility, misallocated_share, equilibrium=u),
            "log_welfare_loss": Partial(_of_utility, log_welfare_loss, equilibrium=u),
            "worst_relative_error": Partial(_of_utility, worst_relative_error, equilibrium=u),
            "average_misallocated_share": Partial(_of_average, misallocated_share, equilibrium=u),
        }
    return record


def by_names(names: Sequence[str]) -> dict[str, Callable]:
    """What `simulate` is to record, given by names: of `standard`, and `received`.

    Raises:
        ValueError: another name, with the list of those that there are; a name given twice.
    """
    known = standard() | {"received": received}
    for number, name in enumerate(names):
        if name in standard(np.ones(1)) and name not in known:
            raise ValueError(
                f"record: {name} compares with the equilibrium; give "
                "record=metrics.standard(solve(market).utility)."
            )
        if name not in known:
            raise ValueError(
                f"record: {name!r} is not a metric that is known by name; give some of {', '.join(known)}, "
                "or a mapping from names to functions of (market, state)."
            )
        if name in names[:number]:
            raise ValueError(f"record: {name} is given twice; give it once.")
    return {name: known[name] for name in names}


def received(market: Market, state) -> Agents:
    """u_j of the last round, what every agent received (value): to be recorded, one number per agent.

    `Run.receipts` makes a table of it.
    """
    return state.utility.astype(np.float64)


def average_certified_gap(market: Market, state) -> Markets:
    """`certified_gap` of what agents received per round so far, against the equilibrium: to be recorded."""
    return _of_average(certified_gap, market, state)


def _of_utility(metric, market, state, **known):
    return metric(market, state.utility.astype(np.float64), **known)


def _of_ratio(metric, market, state):
    return metric(market, ratio(market, state.utility.astype(np.float64)))


def _of_average(metric, market, state, **known):
    return metric(market, state.average_utility, **known)


def _gap(market, state):
    return certified_gap_of_flow(market, state.flow, state.received)


def _oscillation(market, state):
    return oscillation(market, state.history.astype(np.float64))


def _weight(market: Market, like: Array) -> Agents:
    return namespace(market, like).asarray(market.contribution, like.dtype)


def _count(market: Market, like: Array) -> Markets:
    members = market.members
    return namespace(market, like).asarray(members.lengths, like.dtype)[members.place]


__all__ = [
    "VERDICTS",
    "average_certified_gap",
    "by_names",
    "certified_gap",
    "certified_gap_of_flow",
    "community_utility",
    "flow_distance",
    "gini",
    "jain_index",
    "log_nash_welfare",
    "log_welfare_loss",
    "mean_community_utility",
    "min_ratio",
    "misallocated_share",
    "nash_welfare",
    "num_starved",
    "oscillation",
    "ratio",
    "received",
    "share_of_equilibrium",
    "spending_error",
    "standard",
    "unweighted_log_nash_welfare",
    "unweighted_nash_welfare",
    "verdict",
    "worst_relative_error",
]
