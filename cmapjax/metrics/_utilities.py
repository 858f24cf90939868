"""Metrics of what agents received: functions of a market and a vector over its agents."""

from collections.abc import Callable

from jaxtyping import Float

from cmapjax.market._community import community_utility
from cmapjax.market._filled import counted, of_agents, weights
from cmapjax.market._market import Market
from cmapjax.metrics import _formulas as formulas
from cmapjax.runtime._precision import float64_on_host, namespace
from cmapjax.runtime._types import Array

Agents = Float[Array, "agents"]
Markets = Float[Array, "markets"]


@float64_on_host(any_market=True)
def per_market(market: Market, formula: Callable, *vectors: Agents) -> Markets:
    """A formula of vectors over the agents that count."""
    return of_agents(market, [(formula, vectors)])[0]


def of_utilities(market: Market, formula: Callable, *utilities: Agents) -> Markets:
    """A formula of utilities, counted up to the demand."""
    return per_market(market, formula, *(counted(market, u) for u in utilities))


@float64_on_host(any_market=True)
def ratio(market: Market, utility: Agents) -> Agents:
    """r_j = u_j / w_j: value received per value contributed (1 is even; 0 for an agent with nothing).

    Args:
        utility: u_j, the value that each agent received.

    Returns:
        One number per agent.
    """
    return per_contribution(market, utility)


def per_contribution(market, utility):
    """`ratio`, for callers that are inside such a function or compiled code already."""
    xp = namespace(market, utility)
    weight = xp.asarray(weights(market), utility.dtype)
    if not market.terms:
        return utility / weight
    has = weight > 0
    return xp.where(has, counted(market, utility) / xp.where(has, weight, 1), 0)


@float64_on_host(any_market=True)
def log_nash_welfare(market: Market, utility: Agents) -> Markets:
    """Σ w_j log r_j / W, the mean log ratio weighted by contribution (≤ 0; -inf at a utility of 0).

    The objective of the central program, normalised: what the equilibrium maximises. Dimensionless.

    Args:
        utility: u_j, the value that each agent received.

    Returns:
        One number per market.
    """
    return of_utilities(market, formulas.log_nash_welfare, utility)


@float64_on_host(any_market=True)
def nash_welfare(market: Market, utility: Agents) -> Markets:
    """exp of `log_nash_welfare`: the weighted geometric mean ratio, in [0, 1] (0 at a utility of 0).

    Args:
        utility: u_j, the value that each agent received.

    Returns:
        One number per market.
    """
    return of_utilities(market, formulas.nash_welfare, utility)


@float64_on_host(any_market=True)
def unweighted_log_nash_welfare(market: Market, utility: Agents) -> Markets:
    """Σ log u_j / n, the mean log utility (-inf at a utility of 0); u in units of value.

    Not what the equilibrium maximises: with K4 and contributions (5, 1, 1, 1) the equilibrium reaches
    0.965 of the best feasible geometric mean, and a run may exceed the equilibrium.

    Args:
        utility: u_j, the value that each agent received.

    Returns:
        One number per market.
    """
    return of_utilities(market, formulas.unweighted_log_nash_welfare, utility)


@float64_on_host(any_market=True)
def unweighted_nash_welfare(market: Market, utility: Agents) -> Markets:
    """exp of `unweighted_log_nash_welfare`: the geometric mean utility (value; 0 at a utility of 0).

    Args:
        utility: u_j, the value that each agent received.

    Returns:
        One number per market.
    """
    return of_utilities(market, formulas.unweighted_nash_welfare, utility)


@float64_on_host(any_market=True)
def share_of_equilibrium(market: Market, utility: Agents, equilibrium: Agents) -> Markets:
    """Nash welfare over that of the equilibrium's utilities, in [0, 1] (0 at a utility of 0).

    Args:
        utility: u_j, the value that each agent received.
        equilibrium: u*_j, the utilities of the equilibrium (value).

    Returns:
        One number per market.
    """
    return of_utilities(market, formulas.share_of_equilibrium, utility, equilibrium)


@float64_on_host(any_market=True)
def misallocated_share(market: Market, utility: Agents, equilibrium: Agents) -> Markets:
    """Market loss: Σ |u_j − u*_j| / 2W, the share of all value that other agents should receive, in [0, 1].

    Args:
        utility: u_j, the value that each agent received.
        equilibrium: u*_j, the utilities of the equilibrium (value).

    Returns:
        One number per market.
    """
    return of_utilities(market, formulas.misallocated_share, utility, equilibrium)


@float64_on_host(any_market=True)
def log_welfare_loss(market: Market, utility: Agents, equilibrium: Agents) -> Markets:
    """Market loss: log Nash welfare of the equilibrium minus that reached (≥ 0; +inf at a utility of 0).

    Args:
        utility: u_j, the value that each agent received.
        equilibrium: u*_j, the utilities of the equilibrium (value).

    Returns:
        One number per market.
    """
    return of_utilities(market, formulas.log_welfare_loss, utility, equilibrium)


@float64_on_host(any_market=True)
def worst_relative_error(market: Market, utility: Agents, equilibrium: Agents) -> Markets:
    """Market loss: max_j |u_j / u*_j − 1|, of the agent worst served or most favoured (1 at u_j = 0).

    Args:
        utility: u_j, the value that each agent received.
        equilibrium: u*_j, the utilities of the equilibrium (value).

    Returns:
        One number per market.
    """
    return of_utilities(market, formulas.worst_relative_error, utility, equilibrium)


@float64_on_host
def mean_community_utility(market: Market, utility: Agents, hops: int | float = 1) -> Markets:
    """The agents' mean of their community's utility Σ_{j ∈ C_i^k} w_j log u_j (-inf at a utility of 0).

    Args:
        utility: u_j, the value that each agent received.
        hops: k, as for `community_utility`.

    Returns:
        One number per market.

    Raises:
        ValueError: a k that is not a number of hops.
    """
    return per_market(market, formulas.mean, community_utility(market, utility, hops))


@float64_on_host(any_market=True)
def jain_index(market: Market, x: Agents) -> Markets:
    """(Σ x)² / (n Σ x²) of any amounts, say ratios: 1 if all are equal, 1/n if one has all (1 if all 0).

    Args:
        x: one amount per agent, of one unit.

    Returns:
        One number per market, in (0, 1].

    Source: Jain, Chiu and Hawe, A quantitative measure of fairness, DEC-TR-301, 1984.
    """
    return per_market(market, formulas.jain_index, x)


@float64_on_host(any_market=True)
def gini(market: Market, x: Agents) -> Markets:
    """Σ_ij |x_i − x_j| / (2 n Σ x) of any amounts ≥ 0, say ratios: 0 if all are equal (0 if all 0).

    Args:
        x: one amount per agent, not negative.

    Returns:
        One number per market, in [0, 1).
    """
    return per_market(market, formulas.gini, x)


@float64_on_host(any_market=True)
def min_ratio(market: Market, utility: Agents) -> Markets:
    """The ratio of the agent worst off.

    Args:
        utility: u_j, the value that each agent received.

    Returns:
        One number per market.
    """
    return of_utilities(market, formulas.min_ratio, utility)


@float64_on_host(any_market=True)
def num_starved(market: Market, utility: Agents) -> Markets:
    """How many agents have nothing: less than 1e-9 of what they contribute.

    Args:
        utility: u_j, the value that each agent received.

    Returns:
        One whole number per market.
    """
    return of_utilities(market, formulas.num_starved, utility)


@float64_on_host(any_market=True)
def flow_distance(market: Market, one: Float[Array, "slots"], other: Float[Array, "slots"]) -> Markets:
    """Σ |y_ij − y'_ij| / 2W: the share of all value that two allocations give to different neighbours.

    Args:
        one, other: two flows y_ij, y'_ij in the market's layout (value).

    Returns:
        One number per market.
    """
    moved = market.gave(abs(one - other))
    return per_market(market, formulas.misallocated_share, moved, namespace(market, moved).zeros_like(moved))


@float64_on_host(any_market=True)
def oscillation(market: Market, history: Float[Array, "3 agents"]) -> Markets:
    """The share of all value that the last round moved back, the amplitude of oscillations of period 2.

    Σ_j max(min(|u(t) − u(t−1)|, |u(t−1) − u(t−2)|) − |u(t) − u(t−2)|, 0) / 2W, with utilities u. It is 0 for
    a market at rest and for one that moves steadily.

    Args:
        history: utilities of this round, the one before, and the one before that.

    Returns:
        One number per market.
    """
    return per_market(market, formulas.oscillation, *history)
