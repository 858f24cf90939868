"""Utilities of an equilibrium as a function of all fields of a market, while its support stays."""

import math

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from cmapjax.market._market import Market
from cmapjax.runtime._types import Array
from cmapjax.sensitivity._support import BY_DEMAND, BY_LEVEL, Support, Supported


def supported_utility(market: Market, support: Support, fairness: float) -> Float[Array, "agents"]:
    """u_j of every agent.

    Prices in a part are ρ_j = t h_j and q_i = t h_i, with h from efficiencies along its tree. What is given
    in a part is worth what arrives: Σ_i h_i s'_i = Σ_j h_j (u_j − a'_j), where s' is what full links leave
    and a' what they bring, own use included. With u_j = L b_j h_j^(−1/α), L = t^(−1/α), or the demand D_j,
    L = [Σ_i h_i s'_i + Σ_j h_j a'_j − Σ_met h_j D_j] / Σ_unmet b_j h_j^(1 − 1/α).
    """
    n, bend = market.num_agents, 1 / fairness
    supply = jnp.asarray(market.contribution)
    dtype = supply.dtype
    priority = supply if market.priority is None else jnp.asarray(market.priority, dtype)
    is_met, is_level = support.kind == BY_DEMAND, support.kind == BY_LEVEL
    demand = 0 if market.demand is None else jnp.where(is_met, jnp.asarray(market.demand, dtype), 0)
    own_use = jnp.zeros(n, dtype) if market.own_use is None else jnp.asarray(market.own_use, dtype)
    worth, root = _worth(market, support, dtype)
    if market.capacity is None:
        sent, brought = 0, own_use
    else:
        full = jnp.where(support.is_full, jnp.asarray(market.capacity, dtype), 0)
        arriving = full if market.efficiency is None else full * jnp.asarray(market.efficiency, dtype)
        sent = jax.ops.segment_sum(full, support.giver, n)
        brought = own_use + jax.ops.segment_sum(arriving, support.receiver, n)
    giving, getting = worth[:n], worth[n:]
    given = jnp.concatenate(
        [
            giving * (supply - sent),
            jnp.where(is_met | is_level, getting * (brought - demand), 0),
        ]
    )
    asked = jnp.where(is_level, priority * getting ** (1 - bend), 0)
    given = jax.ops.segment_sum(given, root, 2 * n)[root[n:]]
    asked = jax.ops.segment_sum(asked, root[n:], 2 * n)[root[n:]]
    level = given / jnp.where(asked > 0, asked, 1)
    by_level = level * priority * getting**-bend
    return jnp.where(is_met, demand, jnp.where(is_level, by_level, brought))


def _worth(market: Market, support: Support, dtype):
    """What a unit is worth at each node, in units of the root of its part, and that root."""
    n, root = market.num_agents, jnp.asarray(support.parent)
    log = jnp.zeros(2 * n, dtype)
    is_root = root == jnp.arange(2 * n)
    if market.efficiency is not None:
        e = jnp.asarray(market.efficiency, dtype)
        e = jnp.where(support.is_cyclic, jax.lax.stop_gradient(e), e)[support.link]
        log = jnp.log(jnp.where(is_root, 1, e))
        # A giver's unit is worth what arrives of it; a receiver's is what it takes to bring one.
        log = jnp.where(jnp.arange(2 * n) < n, log, -log)
    for _ in range(math.ceil(math.log2(2 * n)) + 1):  # twice as far up the tree at every step
        log, root = log + log[root], root[root]
    return jnp.exp(log), root


def support_by_callback(market: Market, fairness: float) -> Support:
    """The support of a market whose numbers may be traced, found on the host."""
    n, slots = market.num_agents, market.links.num_slots
    sizes = (slots, slots, 2 * n, 2 * n, n)
    shapes = [jax.ShapeDtypeStruct((size,), np.int32) for size in sizes]
    shapes += [jax.ShapeDtypeStruct((slots,), np.bool_)] * 2
    numbers = jax.lax.stop_gradient(jax.tree.map(jnp.asarray, market.bare()))

    def on_host(given: Market) -> Support:
        given = jax.tree.map(_float64, given)
        return Supported(given, fairness).support()

    return jax.pure_callback(on_host, Support(*shapes), numbers, vmap_method="sequential")


def _float64(x):
    x = np.asarray(x)
    return x.astype(np.float64) if np.issubdtype(x.dtype, np.floating) else x
