"""The certificate: how far a market is from its equilibrium at most, without knowing the equilibrium."""

import jax.numpy as jnp
from jaxtyping import Float

from cmapjax._market import Market
from cmapjax._precision import float64_on_host
from cmapjax._types import Array


@float64_on_host
def certified_gap(market: Market, utility: Float[Array, "agents"]) -> Float[Array, "markets"]:
    """An upper bound on log Nash welfare of the equilibrium minus that of these utilities (≥ 0).

    exp(−gap) is the share of the equilibrium's Nash welfare that is certainly reached. By weak duality,
    for any prices q > 0 on givers, with A = Σ q_p w_p and m_j = min_{p ∈ N_j} q_p,

        gap = log(A / W) − Σ_j w_j log(r_j m_j) / W,

    here with q_p = max_{k ∈ N_p} 1/r_k, the best neighbour's price, for which it never exceeds the
    Frank-Wolfe gap. Local but for two sums; it may come out a few 1e-16 below zero at the equilibrium.
    +inf when an agent has nothing. The utilities must come from a feasible allocation for "at least"
    to hold; see `certified_gap_of_flow`.

    Source: derived in docs/model.md.
    """
    utility = jnp.asarray(utility)
    w = market.stored(jnp.asarray(market.contribution, utility.dtype))
    r = market.stored(utility) / w
    links = market.links
    # The ratio of the poorest neighbour is the inverse of the price; no division by an empty hand.
    poorest = links.fold(jnp.minimum, links.take(r, jnp.inf))
    richest_poorest = links.fold(jnp.maximum, links.take(poorest, -jnp.inf))
    # q_p − 1 and r_j m_j − 1 rather than q_p and r_j m_j: near the equilibrium of a market with ratios
    # near one the differences carry the digits.
    excess = w * (1 / jnp.where(poorest > 0, poorest, 1) - 1)
    slack = w * jnp.log1p((r - richest_poorest) / jnp.where(r > 0, richest_poorest, 1))
    worth = market.total(market.unstored(w))
    gap = (
        jnp.log1p(market.total(market.unstored(excess)) / worth)
        - market.total(market.unstored(slack)) / worth
    )
    return jnp.where(market.smallest(utility) > 0, gap, jnp.inf)


@float64_on_host
def certified_gap_of_flow(market: Market, flow: Float[Array, "slots"]) -> Float[Array, "markets"]:
    """`certified_gap` of an allocation, in float64 and of exactly what it spends.

    Rows are first scaled in float64 to spend exactly the contributions, which undoes the rounding of a
    float32 run: the bound is rigorous for the allocation so scaled.
    """
    flow = jnp.asarray(flow).astype(jnp.float64)
    links = market.links
    spent = links.total(flow)
    contribution = market.stored(jnp.asarray(market.contribution))
    exact = flow * links.spread(contribution / jnp.where(spent > 0, spent, 1))
    return certified_gap(market, market.received(exact))


@float64_on_host
def spending_error(
    market: Market, flow: Float[Array, "slots"], budget: Float[Array, "agents"] | None = None
) -> Float[Array, "markets"]:
    """The worst violation of feasibility, in parts of the agent's contribution w_i.

    Of |Σ_j y_ij − b_i|, the size of a negative flow, and flow where there is no link, the largest.

    Args:
        flow: y_ij in the market's layout.
        budget: b_i, what each agent had to give (value); by default its mean contribution.
    """
    flow = jnp.asarray(flow)
    w = jnp.asarray(market.contribution, flow.dtype)
    missing = jnp.abs(market.gave(flow) - (w if budget is None else budget))
    wrong = jnp.where(market.links.is_entry, jnp.maximum(-flow, 0), jnp.abs(flow))
    worst = market.unstored(market.links.fold(jnp.maximum, wrong))
    return market.largest(jnp.maximum(missing, worst) / w)
