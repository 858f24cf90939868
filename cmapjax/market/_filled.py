"""A market's fields in the order of storage, with what holds where one is absent."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float

from cmapjax.market._columns import Columns
from cmapjax.market._market import Market
from cmapjax.market._reductions import blocks, joined, look, of_rows, over_slots, row_blocks
from cmapjax.runtime._precision import namespace
from cmapjax.runtime._types import Array

Agents = Float[Array, "agents"]
Slots = Float[Array, "slots"]


class Filled(NamedTuple):
    """What agents and links of any market are like; agents and flows in the order of storage."""

    supply: Agents
    """s_i, the mean contribution (value)."""
    priority: Agents
    """b_j (value); 0 for who does not count: without priority or demand, or out of everybody's reach."""
    demand: Agents
    own_use: Agents
    capacity: Slots
    """K_ij in slot (i, j): what i can give to j at most; 0 on padding, and to who does not count or has
    enough without the others."""
    efficiency: Slots
    """e_ij; 1 on padding."""

    @property
    def counts(self) -> Bool[Array, "agents"]:
        """Whose ratios are part of Nash welfare."""
        return self.priority > 0


def filled(market: Market, dtype=np.float64) -> Filled:
    """The fields of a market in one precision."""
    xp, links = namespace(market), market.links

    def agents(x, otherwise) -> Agents:
        if x is None:
            return xp.broadcast_to(xp.asarray(otherwise, dtype), (market.num_agents,))
        return look(xp.asarray(x, dtype), links.order)

    supply = agents(market.contribution, 0)
    demand, own_use = agents(market.demand, np.inf), agents(market.own_use, 0)
    wanted = supply if market.priority is None else agents(market.priority, 0)
    is_entry = joined(links, [block.is_entry for block in blocks(links)])
    capacity = np.inf if market.capacity is None else xp.asarray(market.capacity, dtype)
    capacity = xp.where(is_entry, xp.asarray(capacity, dtype), 0)
    efficiency = 1 if market.efficiency is None else xp.asarray(market.efficiency, dtype)
    efficiency = xp.where(is_entry, xp.asarray(efficiency, dtype), 1)
    carries = (capacity > 0) & (in_rows(links, supply) > 0)
    reached = over_slots(links, jnp.maximum, look(carries, market.reverse).astype(dtype)) > 0
    counts = (wanted > 0) & (demand > 0) & ((own_use > 0) | reached)
    wants = of_neighbours(links, counts & (demand > own_use))
    return Filled(
        supply,
        xp.where(counts, wanted, 0),
        demand,
        own_use,
        xp.where(wants, capacity, 0),
        efficiency,
    )


def in_rows(links: Columns, x: Float[Array, "... rows"]) -> Float[Array, "... slots"]:
    """In every slot what its row has."""
    xp = namespace(links, x)
    parts = zip(row_blocks(links, x), links.shapes, strict=True)
    return joined(
        links, [xp.broadcast_to(row[..., None, :], (*row.shape[:-1], *shape)) for row, shape in parts]
    )


def of_neighbours(links: Columns, x: Float[Array, "... rows"]) -> Float[Array, "... slots"]:
    """In every slot what its neighbour has; any value on padding."""
    return look(x, namespace(links, x).asarray(links.entries))


def weights(market: Market) -> Agents:
    """By what ratios are measured, in the caller's order: contributions, or priorities of those who count."""
    return look(filled(market).priority, market.links.place) if market.terms else market.contribution


def counted(market: Market, utility: Float[Array, "... agents"]) -> Float[Array, "... agents"]:
    """û_j = min(u_j, D_j): what is received up to the demand."""
    if market.demand is None:
        return utility
    xp = namespace(market, utility)
    return xp.minimum(utility, xp.asarray(market.demand, utility.dtype))


def of_agents(
    market: Market, asked: Sequence[tuple[Callable, tuple[Array, ...]]]
) -> list[Float[Array, "... markets"]]:
    """Formulas of vectors over the agents that count (`of_rows`), for every market."""
    if not market.terms:
        return of_rows(market.members, market.contribution, asked)
    return of_rows(market.members, weights(market), asked, market.contribution)
