"""Metrics: one number per market, from what its agents received.

All take the market and a vector over agents in the caller's order, usually the utilities u_j (value
received). r_j = u_j / w_j is the ratio, w_j = ε_j v_j the contribution, W = Σ w_j. Every function works
inside JAX transformations, in the precision of its input, and on plain arrays in NumPy.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import equinox as eqx
import numpy as np
from jax.tree_util import Partial
from jaxtyping import Float

from cmapjax.arguments._labelled import unlabelled
from cmapjax.market._certificate import certified_gap, certified_gap_of_flow, spending_error
from cmapjax.market._community import community_utility
from cmapjax.market._differences import differences
from cmapjax.market._market import Market
from cmapjax.market._reductions import Rows, of_rows
from cmapjax.market._verdict import NOTHING, VERDICTS, verdict
from cmapjax.runtime._derivatives import log_or_minus_infinity
from cmapjax.runtime._precision import float64_on_host, namespace
from cmapjax.runtime._settings import is_traced
from cmapjax.runtime._types import Array

Agents = Float[Array, "agents"]
Markets = Float[Array, "markets"]

# -- formulas --------------------------------------------------------------------------------------
# Of the agents of some markets, a market a row (`Rows`): written once, and worked out for one metric by the
# functions below, or for all that is recorded in one pass (`_records`).


def _log_nash_welfare(rows: Rows, u):
    welfare = rows.total(rows.weight * log_or_minus_infinity(u / rows.weight))
    welfare, worth = yield [welfare, rows.worth]
    return welfare / worth


def _nash_welfare(rows: Rows, u):
    return rows.xp.exp((yield from _log_nash_welfare(rows, u)))


def _unweighted_log_nash_welfare(rows: Rows, u):
    return (yield from _mean(rows, log_or_minus_infinity(u)))


def _unweighted_nash_welfare(rows: Rows, u):
    return rows.xp.exp((yield from _unweighted_log_nash_welfare(rows, u)))


def _log_welfare_loss(rows: Rows, u, best):
    xp, has = rows.xp, u > 0
    loss = xp.where(has, xp.log(best / xp.where(has, u, 1)), xp.inf)
    loss, worth = yield [rows.total(rows.weight * loss), rows.worth]
    return loss / worth


def _share_of_equilibrium(rows: Rows, u, best):
    return rows.xp.exp(-(yield from _log_welfare_loss(rows, u, best)))


def _misallocated_share(rows: Rows, u, best):
    moved, worth = yield [rows.total(abs(u - best)), rows.worth]
    return moved / (2 * worth)


def _worst_relative_error(rows: Rows, u, best):
    [worst] = yield [rows.largest(abs(u / best - 1))]
    return worst


def _mean(rows: Rows, x):
    [total] = yield [rows.total(x)]
    return total / rows.count


def _jain_index(rows: Rows, x):
    xp = rows.xp
    [largest] = yield [rows.largest(abs(x))]  # scaled by it, so that squares neither over- nor underflow
    scaled = x / xp.where(largest > 0, largest, 1)[..., None]
    total, squares = yield [rows.total(scaled), rows.total(scaled**2)]
    return xp.where(squares == 0, 1, total**2 / (rows.count * xp.where(squares == 0, 1, squares)))


def _gini(rows: Rows, x):
    xp, apart = rows.xp, differences(x, rows.lengths)
    [total] = yield [rows.total(x)]
    return xp.where(total == 0, 0, apart / (rows.count * xp.where(total == 0, 1, total)))


def _min_ratio(rows: Rows, u):
    [least] = yield [rows.smallest(u / rows.weight)]
    return least


def _num_starved(rows: Rows, u):
    [starved] = yield [rows.total((u / rows.weight < NOTHING).astype(rows.weight.dtype))]
    return starved


def _oscillation(rows: Rows, now, before, earlier):
    steps = rows.xp.minimum(abs(now - before), abs(before - earlier))
    returning = rows.total(rows.xp.maximum(steps - abs(now - earlier), 0))
    returning, worth = yield [returning, rows.worth]
    return returning / (2 * worth)


@float64_on_host
def _per_market(market: Market, formula: Callable, *vectors: Agents) -> Markets:
    return of_rows(market.members, market.contribution, [(formula, vectors)])[0]


# -- metrics ---------------------------------------------------------------------------------------


@float64_on_host
def ratio(market: Market, utility: Agents) -> Agents:
    """r_j = u_j / w_j: value received per value contributed (1 is even; 0 for an agent with nothing)."""
    return _per_contribution(market, utility)


def _per_contribution(market, utility):
    return utility / namespace(market, utility).asarray(market.contribution, utility.dtype)


@float64_on_host
def log_nash_welfare(market: Market, utility: Agents) -> Markets:
    """Σ w_j log r_j / W, the mean log ratio weighted by contribution (≤ 0; -inf at a utility of 0).

    The objective of the central program, normalised: what the equilibrium maximises. Dimensionless.
    """
    return _per_market(market, _log_nash_welfare, utility)


@float64_on_host
def nash_welfare(market: Market, utility: Agents) -> Markets:
    """exp of `log_nash_welfare`: the weighted geometric mean ratio, in [0, 1] (0 at a utility of 0)."""
    return _per_market(market, _nash_welfare, utility)


@float64_on_host
def unweighted_log_nash_welfare(market: Market, utility: Agents) -> Markets:
    """Σ log u_j / n, the mean log utility (-inf at a utility of 0); u in units of value.

    Not what the equilibrium maximises: with K4 and contributions (5, 1, 1, 1) the equilibrium reaches
    0.965 of the best feasible geometric mean. A run may exceed "100 %" of the equilibrium by it.
    """
    return _per_market(market, _unweighted_log_nash_welfare, utility)


@float64_on_host
def unweighted_nash_welfare(market: Market, utility: Agents) -> Markets:
    """exp of `unweighted_log_nash_welfare`: the geometric mean utility (value; 0 at a utility of 0)."""
    return _per_market(market, _unweighted_nash_welfare, utility)


@float64_on_host
def share_of_equilibrium(market: Market, utility: Agents, equilibrium: Agents) -> Markets:
    """Nash welfare over that of the equilibrium's utilities, in [0, 1] (0 at a utility of 0)."""
    return _per_market(market, _share_of_equilibrium, utility, equilibrium)


@float64_on_host
def misallocated_share(market: Market, utility: Agents, equilibrium: Agents) -> Markets:
    """Market loss: Σ |u_j − u*_j| / 2W, the share of all value that is in the wrong hands, in [0, 1]."""
    return _per_market(market, _misallocated_share, utility, equilibrium)


@float64_on_host
def log_welfare_loss(market: Market, utility: Agents, equilibrium: Agents) -> Markets:
    """Market loss: log Nash welfare of the equilibrium minus that reached (≥ 0; +inf at a utility of 0)."""
    return _per_market(market, _log_welfare_loss, utility, equilibrium)


@float64_on_host
def worst_relative_error(market: Market, utility: Agents, equilibrium: Agents) -> Markets:
    """Market loss: max_j |u_j / u*_j − 1|, of the agent worst served or most favoured (1 at u_j = 0)."""
    return _per_market(market, _worst_relative_error, utility, equilibrium)


@float64_on_host
def mean_community_utility(market: Market, utility: Agents, hops: int | float = 1) -> Markets:
    """The agents' mean of their community's utility Σ_{j ∈ C_i^k} w_j log u_j (-inf at a utility of 0)."""
    return _per_market(market, _mean, community_utility(market, utility, hops))


@float64_on_host
def jain_index(market: Market, x: Agents) -> Markets:
    """(Σ x)² / (n Σ x²) of any amounts, say ratios: 1 if all are equal, 1/n if one has all (1 if all 0).

    Source: Jain, Chiu and Hawe, A quantitative measure of fairness, DEC-TR-301, 1984.
    """
    return _per_market(market, _jain_index, x)


@float64_on_host
def gini(market: Market, x: Agents) -> Markets:
    """Σ_ij |x_i − x_j| / (2 n Σ x) of any amounts ≥ 0, say ratios: 0 if all are equal (0 if all 0)."""
    return _per_market(market, _gini, x)


@float64_on_host
def min_ratio(market: Market, utility: Agents) -> Markets:
    """The ratio of the agent worst off."""
    return _per_market(market, _min_ratio, utility)


@float64_on_host
def num_starved(market: Market, utility: Agents) -> Markets:
    """How many agents have nothing: less than 1e-9 of what they contribute."""
    return _per_market(market, _num_starved, utility)


@float64_on_host
def flow_distance(market: Market, one: Float[Array, "slots"], other: Float[Array, "slots"]) -> Markets:
    """Σ |y_ij − y'_ij| / 2W: the share of all value that two allocations give to different neighbours."""
    moved = market.gave(abs(one - other))
    return _per_market(market, _misallocated_share, moved, namespace(market, moved).zeros_like(moved))


@float64_on_host
def oscillation(market: Market, history: Float[Array, "3 agents"]) -> Markets:
    """Period-2 amplitude of utilities: Σ_j min(|u(t) − u(t−1)|, |u(t−1) − u(t−2)|) / 2W, returning.

    The share of value that changes hands every round only to come back: what the last two steps share,
    less what they have moved in sum, |u(t) − u(t−2)| (never below 0). 0 for a market at rest and for
    one that moves steadily.

    Args:
        history: utilities of this round, the one before, and the one before that.
    """
    return _per_market(market, _oscillation, *history)


class _OfState(eqx.Module):
    """A metric of a state: a function of (market, state) whose formula is known, to be recorded with others
    in one pass (`_records`)."""

    formula: Callable = eqx.field(static=True)
    vectors_of: Callable = eqx.field(static=True)
    """The vectors over agents that the formula takes, from (market, state)."""
    equilibrium: Agents | None = None
    """u*_j, if the formula takes it as well."""

    def asked(self, vectors: tuple) -> tuple[Callable, tuple]:
        """The formula with what it takes, given the vectors."""
        return self.formula, vectors if self.equilibrium is None else (*vectors, self.equilibrium)

    def __call__(self, market: Market, state):
        formula, vectors = self.asked(self.vectors_of(market, state))
        return _per_market(market, formula, *vectors)


def standard(equilibrium=None) -> dict[str, Callable]:
    """What `simulate` records unless told otherwise, by name; more when the equilibrium is known.

    Each entry is a function of (market, state) giving one number per market; write your own likewise.

    Args:
        equilibrium: utilities u*_j, a plain vector over agents in the market's order.

    Raises:
        ValueError: utilities with names, which cannot be matched here.
    """
    record = {n: m.function for n, m in RECORDED.items() if m.is_standard and not m.needs_equilibrium}
    if equilibrium is not None:
        u = equilibrium
        if not is_traced(u):
            u = np.asarray(unlabelled("equilibrium", u), np.float64)
        compared = {n: m.function for n, m in RECORDED.items() if m.needs_equilibrium}
        record |= {name: of_equilibrium(u) for name, of_equilibrium in compared.items()}
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


def received(market: Market, state) -> Float[Array, "... agents"]:
    """u_j of the last round, what every agent received (value): to be recorded, one number per agent.

    `Run.receipts` makes a table of it.
    """
    return state.utility.astype(np.float64)


def average_certified_gap(market: Market, state) -> Float[Array, "... markets"]:
    """`certified_gap` of what agents received per round so far, against the equilibrium: to be recorded."""
    return certified_gap(market, state.average_utility)


def _is_known(function: Callable) -> bool:
    """Whether this is a function of (market, state) of this module, that takes states stacked as well."""
    known = (received, average_certified_gap)
    return isinstance(function, _OfState) or function in known or _is_gap(function)


def _is_gap(function: Callable | None) -> bool:
    """Whether this is the certified gap of `standard`."""
    return getattr(function, "func", None) is _gap


def _gap(market, state):
    return certified_gap_of_flow(market, state.flow, state.received)


def _utility(market, state):
    return (state.utility.astype(np.float64),)


def _ratios(market, state):
    return (_per_contribution(market, *_utility(market, state)),)


def _average(market, state):
    return (state.average_utility,)


def _history(market, state):
    return tuple(state.history.astype(np.float64))


def _communities(market, state):
    return (community_utility(market, *_utility(market, state)),)


class Recorded(NamedTuple):
    """A metric that `simulate` and studies record by name."""

    function: Callable
    """Of (market, state), or of u* giving such a function."""
    unit: str
    description: str
    bounds: str = ""
    """When it lies in [0, 1]: "always", or "constant" if endowments are; else empty."""
    is_standard: bool = True
    needs_equilibrium: bool = False


def _compared(formula: Callable, vectors_of: Callable) -> Callable:
    return lambda equilibrium: _OfState(formula, vectors_of, equilibrium)


def _by_name() -> dict[str, Recorded]:
    of, to = _OfState, _compared  # made once: a module takes long to make
    standard = {
        "log_nash_welfare": Recorded(
            of(_log_nash_welfare, _utility), "1", "Σ w log r / W, what the equilibrium maximises"
        ),
        "certified_gap": Recorded(Partial(_gap), "1", "log Nash welfare missing, at most"),
        "min_ratio": Recorded(
            of(_min_ratio, _utility), "value per value", "ratio of the agent worst off", "constant"
        ),
        "jain_index": Recorded(of(_jain_index, _ratios), "1", "Jain's index of the ratios", "always"),
        "gini": Recorded(of(_gini, _ratios), "1", "Gini coefficient of the ratios", "always"),
        "num_starved": Recorded(of(_num_starved, _utility), "agents", "agents that have nothing"),
        "oscillation": Recorded(
            of(_oscillation, _history),
            "1",
            "share of value that changes hands every round only to come back",
            "constant",
        ),
        "average_log_nash_welfare": Recorded(
            of(_log_nash_welfare, _average), "1", "log Nash welfare of the utilities averaged over all rounds"
        ),
    }
    compared = {
        "share_of_equilibrium": Recorded(
            to(_share_of_equilibrium, _utility), "1", "Nash welfare over the equilibrium's", "constant"
        ),
        "misallocated_share": Recorded(
            to(_misallocated_share, _utility), "1", "share of all value in the wrong hands", "constant"
        ),
        "log_welfare_loss": Recorded(to(_log_welfare_loss, _utility), "1", "log Nash welfare missing"),
        "worst_relative_error": Recorded(
            to(_worst_relative_error, _utility), "1", "largest |u / u* − 1| of an agent"
        ),
        "average_misallocated_share": Recorded(
            to(_misallocated_share, _average),
            "1",
            "misallocated share of the utilities averaged over all rounds",
            "constant",
        ),
    }
    further = {
        "nash_welfare": Recorded(
            of(_nash_welfare, _utility), "1", "weighted geometric mean ratio", "constant"
        ),
        "unweighted_log_nash_welfare": Recorded(
            of(_unweighted_log_nash_welfare, _utility), "log value", "mean log utility"
        ),
        "unweighted_nash_welfare": Recorded(
            of(_unweighted_nash_welfare, _utility), "value", "geometric mean utility"
        ),
        "mean_community_utility": Recorded(
            of(_mean, _communities), "value × log value", "mean utility of the agents' communities"
        ),
    }
    compared = {name: each._replace(needs_equilibrium=True) for name, each in compared.items()}
    further = {name: each._replace(is_standard=False) for name, each in further.items()}
    return standard | compared | further


RECORDED = _by_name()
"""What is recorded by name: `simulate` by default and studies as standard, and what studies may besides."""

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
