"""What runs and studies record of a state: metrics as functions of (market, state), by name."""

from collections.abc import Callable, Sequence

import equinox as eqx
import numpy as np
from jax.tree_util import Partial
from jaxtyping import Float

from cmapjax.arguments._labelled import unlabelled
from cmapjax.market._certificate import certified_gap, certified_gap_of_flow
from cmapjax.market._community import community_utility
from cmapjax.market._market import Market
from cmapjax.metrics import _formulas as formulas
from cmapjax.metrics._utilities import Agents, per_contribution, per_market
from cmapjax.runtime._settings import is_traced
from cmapjax.runtime._types import Array


class OfState(eqx.Module):
    """A metric of a state, a function of (market, state). Its formula is known, so that `engine._records` can
    compute many of them in one pass."""

    formula: Callable = eqx.field(static=True)
    vectors_of: Callable = eqx.field(static=True)
    """The vectors over agents that the formula takes, from (market, state)."""
    equilibrium: Agents | None = None
    """u*_j, if the formula needs it."""

    def asked(self, vectors: tuple) -> tuple[Callable, tuple]:
        """The formula and its vectors, u*_j included."""
        return self.formula, vectors if self.equilibrium is None else (*vectors, self.equilibrium)

    def __call__(self, market: Market, state):
        formula, vectors = self.asked(self.vectors_of(market, state))
        return per_market(market, formula, *vectors)


def standard(equilibrium=None) -> dict[str, Callable]:
    """The metrics that `simulate` records by default, by name; more of them if the equilibrium is known.

    Each is a function of (market, state) that returns one number per market; your own can be added.

    Args:
        equilibrium: utilities u*_j, a plain vector over agents in the market's order.

    Returns:
        Functions by name, to be passed to `simulate(record=…)`.

    Raises:
        ValueError: utilities with names, which cannot be matched here.
    """
    record: dict[str, Callable] = dict(_STANDARD)
    if equilibrium is not None:
        u = equilibrium
        if not is_traced(u):
            u = np.asarray(unlabelled("equilibrium", u), np.float64)
        record |= {
            "share_of_equilibrium": OfState(formulas.share_of_equilibrium, _utility, u),
            "misallocated_share": OfState(formulas.misallocated_share, _utility, u),
            "log_welfare_loss": OfState(formulas.log_welfare_loss, _utility, u),
            "worst_relative_error": OfState(formulas.worst_relative_error, _utility, u),
            "average_misallocated_share": OfState(formulas.misallocated_share, _average, u),
        }
    return record


def by_names(names: Sequence[str]) -> dict[str, Callable]:
    """The functions that `simulate` records when it is given their names: those of `standard`, and
    `received`.

    Args:
        names: of metrics.

    Returns:
        Functions by name.

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

    Args:
        state: a state of a run, as `simulate` hands it to what it records.

    Returns:
        One number per agent.
    """
    return state.utility.astype(np.float64)


def average_certified_gap(market: Market, state) -> Float[Array, "... markets"]:
    """`certified_gap` of what agents received per round so far, against the equilibrium: to be recorded.

    Args:
        state: a state of a run, as `simulate` hands it to what it records.

    Returns:
        One number per market (a logarithm).
    """
    return certified_gap(market, state.average_utility)


def is_known(function: Callable) -> bool:
    """Whether this is a function of (market, state) of this package, that takes states stacked as well."""
    known = (received, average_certified_gap)
    return isinstance(function, OfState) or function in known or is_gap(function)


def is_gap(function: Callable | None) -> bool:
    """Whether this is the certified gap of `standard`."""
    return getattr(function, "func", None) is _gap


def _gap(market, state):
    return certified_gap_of_flow(market, state.flow, state.received)


def _utility(market, state):
    return (state.utility.astype(np.float64),)


def _ratios(market, state):
    return (per_contribution(market, *_utility(market, state)),)


def _average(market, state):
    return (state.average_utility,)


def _history(market, state):
    return tuple(state.history.astype(np.float64))


def _communities(market, state):
    return (community_utility(market, *_utility(market, state)),)


# Made once, because Equinox needs time to make a module.
_STANDARD: dict[str, Callable] = {
    "log_nash_welfare": OfState(formulas.log_nash_welfare, _utility),
    "certified_gap": Partial(_gap),
    "min_ratio": OfState(formulas.min_ratio, _utility),
    "jain_index": OfState(formulas.jain_index, _ratios),
    "gini": OfState(formulas.gini, _ratios),
    "num_starved": OfState(formulas.num_starved, _utility),
    "oscillation": OfState(formulas.oscillation, _history),
    "average_log_nash_welfare": OfState(formulas.log_nash_welfare, _average),
}
# Further metrics that studies may record.
FURTHER = {
    "nash_welfare": OfState(formulas.nash_welfare, _utility),
    "unweighted_log_nash_welfare": OfState(formulas.unweighted_log_nash_welfare, _utility),
    "unweighted_nash_welfare": OfState(formulas.unweighted_nash_welfare, _utility),
    "mean_community_utility": OfState(formulas.mean, _communities),
}
