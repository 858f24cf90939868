"""What runs and studies record of a state: metrics as functions of (market, state), by name."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import equinox as eqx
import numpy as np
from jax.tree_util import Partial
from jaxtyping import Float

from cmapjax.arguments._labelled import unlabelled
from cmapjax.market._certificate import certified_gap, certified_gap_of_flow
from cmapjax.market._community import community_utility
from cmapjax.market._filled import counted
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
    record = {n: m.function for n, m in RECORDED.items() if m.is_standard and not m.needs_equilibrium}
    if equilibrium is not None:
        u = equilibrium
        if not is_traced(u):
            u = np.asarray(unlabelled("equilibrium", u), np.float64)
        compared = {n: m.function for n, m in RECORDED.items() if m.needs_equilibrium}
        record |= {name: of_equilibrium(u) for name, of_equilibrium in compared.items()}
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
    return certified_gap_of_flow(market, state.flow, state.received, state.claim)


def _utility(market, state):
    return (counted(market, state.utility.astype(np.float64)),)


def _ratios(market, state):
    return (per_contribution(market, *_utility(market, state)),)


def _average(market, state):
    return (counted(market, state.average_utility),)


def _history(market, state):
    return tuple(state.history.astype(np.float64))


def _communities(market, state):
    return (community_utility(market, *_utility(market, state)),)


class Recorded(NamedTuple):
    """A metric that `simulate` and studies record by name."""

    function: Callable
    """A function of (market, state); if it needs the equilibrium, a function of u* that returns one."""
    unit: str
    description: str
    bounds: str = ""
    """When it lies in [0, 1]: "always", or "constant" if endowments are; else empty."""
    is_standard: bool = True
    needs_equilibrium: bool = False


def _compared(formula: Callable, vectors_of: Callable) -> Callable:
    return lambda equilibrium: OfState(formula, vectors_of, equilibrium)


def _by_name() -> dict[str, Recorded]:
    of, to = OfState, _compared  # made once, because Equinox needs time to make a module
    standard = {
        "log_nash_welfare": Recorded(
            of(formulas.log_nash_welfare, _utility), "1", "Σ w log r / W, what the equilibrium maximises"
        ),
        "certified_gap": Recorded(Partial(_gap), "1", "log Nash welfare missing, at most"),
        "min_ratio": Recorded(
            of(formulas.min_ratio, _utility), "value per value", "ratio of the agent worst off", "constant"
        ),
        "jain_index": Recorded(of(formulas.jain_index, _ratios), "1", "Jain's index of the ratios", "always"),
        "gini": Recorded(of(formulas.gini, _ratios), "1", "Gini coefficient of the ratios", "always"),
        "num_starved": Recorded(of(formulas.num_starved, _utility), "agents", "agents that have nothing"),
        "oscillation": Recorded(
            of(formulas.oscillation, _history),
            "1",
            "share of value that changes hands every round only to come back",
            "constant",
        ),
        "average_log_nash_welfare": Recorded(
            of(formulas.log_nash_welfare, _average),
            "1",
            "log Nash welfare of the utilities averaged over all rounds",
        ),
    }
    compared = {
        "share_of_equilibrium": Recorded(
            to(formulas.share_of_equilibrium, _utility),
            "1",
            "Nash welfare over the equilibrium's",
            "constant",
        ),
        "misallocated_share": Recorded(
            to(formulas.misallocated_share, _utility),
            "1",
            "share of all value in the wrong hands",
            "constant",
        ),
        "log_welfare_loss": Recorded(
            to(formulas.log_welfare_loss, _utility), "1", "log Nash welfare missing"
        ),
        "worst_relative_error": Recorded(
            to(formulas.worst_relative_error, _utility), "1", "largest |u / u* − 1| of an agent"
        ),
        "average_misallocated_share": Recorded(
            to(formulas.misallocated_share, _average),
            "1",
            "misallocated share of the utilities averaged over all rounds",
            "constant",
        ),
    }
    further = {
        "nash_welfare": Recorded(
            of(formulas.nash_welfare, _utility), "1", "weighted geometric mean ratio", "constant"
        ),
        "unweighted_log_nash_welfare": Recorded(
            of(formulas.unweighted_log_nash_welfare, _utility), "log value", "mean log utility"
        ),
        "unweighted_nash_welfare": Recorded(
            of(formulas.unweighted_nash_welfare, _utility), "value", "geometric mean utility"
        ),
        "mean_community_utility": Recorded(
            of(formulas.mean, _communities), "value × log value", "mean utility of the agents' communities"
        ),
        "average_certified_gap": Recorded(
            average_certified_gap,
            "1",
            "log Nash welfare missing of utilities averaged over all rounds, at most",
        ),
    }
    compared = {name: each._replace(needs_equilibrium=True) for name, each in compared.items()}
    further = {name: each._replace(is_standard=False) for name, each in further.items()}
    return standard | compared | further


RECORDED = _by_name()
"""The metrics that `simulate` and studies record by name: the standard ones, and further ones for studies."""
