"""What rounds know of a market beyond endowments and values; absent in markets without such fields."""

import dataclasses
import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from cmapjax.market._columns import Columns, total
from cmapjax.market._filled import filled, in_rows
from cmapjax.market._market import Market
from cmapjax.market._reductions import look, over_slots, slot_blocks
from cmapjax.runtime._precision import namespace
from cmapjax.runtime._types import Array
from cmapjax.strategies._capped import level_of, up_to

Blocks = tuple[Array, ...]
"""A value per slot as one array [width, rows] per block."""
Agents = Float[Array, "agents"]

# The least claim, in parts of the demand, at the market's least priority per demand.
LEAST_CLAIM = 1e-9


class OfLinks(eqx.Module):
    """What is so of every link, seen from one of its ends."""

    is_open: Blocks
    """Whether anything can be given."""
    capacity: Blocks | None
    efficiency: Blocks | None
    is_shut: tuple[bool, ...] = eqx.field(static=True)
    """Of each block, whether it is known that nothing is open, so that rounds need not compute it."""

    def cut(self) -> list[dict]:
        """Capacity and efficiency of each block, as fields of `Link`."""
        nothing = [None] * len(self.is_open)
        pairs = zip(self.capacity or nothing, self.efficiency or nothing, strict=True)
        return [{"capacity": capacity, "efficiency": efficiency} for capacity, efficiency in pairs]


class Terms(eqx.Module):
    """A market's terms in the precision of a run; agents in the order of storage."""

    sent: OfLinks
    """In slot (i, j), of what i gives to j."""
    received: OfLinks
    """In slot (i, j), of what j gives to i."""
    priority: Agents
    """b_j; 0 for who does not count."""
    own_use: Agents | None
    demand: Agents | None
    least_claim: Agents | None
    """Down to where claims fall; None without demands."""
    room: Agents
    """Σ_j K_ij, all that a giver's links let through."""
    degree: Agents
    """How many can give to an agent."""
    claim: Agents | None = None
    """β_j in this round; None stands for the priority."""

    @property
    def claims(self) -> Agents:
        return self.priority if self.claim is None else self.claim

    def with_claim(self, claim: Agents | None) -> "Terms":
        return dataclasses.replace(self, claim=claim)


def terms_of(market: Market, dtype) -> Terms | None:
    """The terms of a market; None if it has none."""
    if not market.terms:
        return None
    xp, links, of = namespace(market), market.links, filled(market)
    carries = (of.capacity > 0) & (in_rows(links, of.supply) > 0)

    def blocks(x) -> Blocks:
        return tuple(slot_blocks(links, x))

    def of_links(mirrored) -> OfLinks:
        real = [None if x is None else blocks(mirrored(x.astype(dtype))) for x in (capacity, efficiency)]
        is_open = blocks(mirrored(carries))
        return OfLinks(is_open, *real, tuple(isinstance(x, np.ndarray) and not np.any(x) for x in is_open))

    capacity = None if market.capacity is None else of.capacity
    if isinstance(capacity, np.ndarray) and np.all(np.isinf(capacity[carries])):
        capacity = None  # directions only, which `is_open` has
    efficiency = None if market.efficiency is None else of.efficiency
    demand = None if market.demand is None else of.demand
    back = look(carries, market.reverse)
    return Terms(
        of_links(lambda x: x),
        of_links(lambda x: look(x, market.reverse)),
        of.priority.astype(dtype),
        None if market.own_use is None else of.own_use.astype(dtype),
        None if demand is None else demand.astype(dtype),
        None if demand is None else _least_claims(market, of).astype(dtype),
        over_slots(links, jnp.add, xp.where(carries, of.capacity, 0)).astype(dtype),
        over_slots(links, jnp.add, back.astype(dtype)),
    )


def _least_claims(market: Market, of) -> Agents:
    """1e-9 D_j min_k b_k / D_k over the market's agents with a demand; so that all are satisfied together
    where there is enough for all."""
    xp = namespace(market, of.demand)
    has = of.counts & xp.isfinite(of.demand)
    demand = xp.where(has, of.demand, 1)
    least = market.smallest(market.unstored(xp.where(has, of.priority / demand, np.inf)))
    per_demand = market.stored(least[market.market_of])
    return xp.where(has, LEAST_CLAIM * demand * per_demand, 0)


def in_round(links: Columns, of: Terms, demand: Agents, own_use: Agents) -> Terms:
    """The terms of a round with its own demand and own use. Nothing can be given to who has enough without
    others."""
    wants = demand > own_use
    of_neighbours = [look(wants, at) for at in links.blocks(jnp.asarray(links.entries))]
    ends = {}
    for name, masks in (("sent", of_neighbours), ("received", links.row_blocks(wants))):
        end = getattr(of, name)
        is_open = tuple(m & n for m, n in zip(end.is_open, masks, strict=True))
        ends[name] = dataclasses.replace(end, is_open=is_open)
    most = ends["sent"].capacity or [jnp.inf] * len(of_neighbours)
    room = [jnp.where(m, k, 0) for m, k in zip(ends["sent"].is_open, most, strict=True)]
    room = links.fold_blocks(jnp.add, [x.astype(of.room.dtype) for x in room])
    return dataclasses.replace(of, demand=demand, own_use=own_use, room=room, **ends)


def next_claims(terms: Terms, utility: Agents) -> Agents:
    """β_j ← min(b_j, max(β_j D_j / u_j, least)): who received more than its demand claims less next round.

    Who has enough without others, in this round, claims as before.
    """
    has = (utility > 0) & jnp.isfinite(terms.demand)
    if terms.own_use is not None:
        has = has & (terms.demand > terms.own_use)
        return jnp.where(terms.demand > terms.own_use, _next_claims(terms, utility, has), terms.claims)
    return _next_claims(terms, utility, has)


def _next_claims(terms: Terms, utility: Agents, has: Array) -> Agents:
    share = jnp.where(has, terms.demand, 1) / jnp.where(has, utility, 1)
    claim = jnp.maximum(terms.claims * share, terms.least_claim)
    return jnp.where(has, jnp.minimum(claim, terms.priority), terms.priority)


def arriving(flows: Blocks, of: Terms | None) -> Blocks:
    """What arrives of what is received."""
    if of is None or of.received.efficiency is None:
        return flows
    blocks = zip(of.received.efficiency, flows, of.received.is_shut, strict=True)
    return tuple(y if is_shut else e * y for e, y, is_shut in blocks)


def owed(budget: Agents, of: Terms | None) -> Agents:
    """What a row has to sum to: the budget, or what the agent's links let through."""
    return budget if of is None else namespace(budget).minimum(budget, of.room)


def seen_by_givers(links: Columns, of: Terms | None) -> list[dict]:
    """What each slot's neighbour claims and wants, and what the link lets through, as fields of `Link`."""
    if of is None:
        return [{}] * len(links.shapes)
    places = links.blocks(jnp.asarray(links.entries))
    claims = [
        jnp.where(m, look(of.claims, place), 0) for m, place in zip(of.sent.is_open, places, strict=True)
    ]
    wants = [None if of.demand is None else look(of.demand, place) for place in places]
    seen = zip(of.sent.cut(), claims, wants, strict=True)
    return [link | {"priority": claim, "demand": demand} for link, claim, demand in seen]


def seen_by_receivers(links: Columns, of: Terms | None) -> list[dict]:
    """The same, as the givers to each agent see it."""
    if of is None:
        return [{}] * len(links.shapes)
    wants = [None] * len(links.shapes) if of.demand is None else links.row_blocks(of.demand)
    seen = zip(of.received.cut(), links.row_blocks(of.claims), wants, strict=True)
    return [link | {"priority": claim, "demand": demand} for link, claim, demand in seen]


def seen_at(links: Columns, of: Terms | None, slots: Array, receivers: Array) -> dict:
    """The same at some slots; slots and receivers out of range are padding."""
    if of is None:
        return {}
    seen = {"priority": at(of.claims, receivers)}
    if of.demand is not None:
        seen["demand"] = at(of.demand, receivers)
    if of.sent.capacity is not None:
        seen["capacity"] = at(links.join(of.sent.capacity), slots)
    if of.sent.efficiency is not None:
        seen["efficiency"] = at(links.join(of.sent.efficiency), slots, 1)
    return seen


def at(x: Array, places: Array, fill: float = 0) -> Array:
    """The values at these places; `fill` out of range."""
    return x.at[places].get(mode="fill", fill_value=fill)


def equal_rows(links: Columns, of: Terms, budget: Agents) -> list[Array]:
    """Everybody's budget in equal parts along the open links, up to capacities; in NumPy or compiled."""
    xp, rows = namespace(budget, of), []
    nothing = [None] * len(links.shapes)
    parts = zip(links.row_blocks(budget), of.sent.is_open, of.sent.capacity or nothing, strict=True)
    for own, is_open, capacity in parts:
        one = is_open.astype(own.dtype)
        if capacity is not None:
            rows.append(_peeled_equally(xp, own, is_open, capacity))
            continue
        count = one.sum(axis=0)
        rows.append(one * (own / xp.where(count > 0, count, 1)))
    return rows


def _peeled_equally(xp, budget, is_open, capacity):
    """Capacities in ascending order are full as long as what is left, divided equally, is more."""
    most = xp.sort(xp.where(is_open, capacity, xp.inf), axis=0)
    count, place = is_open.sum(axis=0), xp.arange(len(most))[:, None]
    before = xp.concatenate(
        [xp.zeros_like(most[:1]), xp.cumsum(xp.where(xp.isinf(most), 0, most), axis=0)[:-1]]
    )
    level = (budget - before) / xp.maximum(count - place, 1)
    is_full = (place < count) & (most <= level)
    first = xp.minimum(is_full.sum(axis=0), xp.maximum(count - 1, 0))
    level = xp.take_along_axis(level, first[None], axis=0)
    return xp.where(is_open, xp.minimum(capacity, level), 0)


def repeated_rows(links: Columns, of: Terms, sent: Blocks, budget: Agents) -> list[Array]:
    """Last rows scaled to this round's budget, up to capacities; what is left, and everything that an agent
    has if it gave nothing, in equal parts along the links that have room."""
    nothing = [None] * len(sent)
    rows = zip(links.row_blocks(budget), sent, of.sent.is_open, of.sent.capacity or nothing, strict=True)
    scaled = jax.vmap(_repeated_row, in_axes=(-1, -1, -1, -1), out_axes=-1)
    uncapped = jax.vmap(functools.partial(_repeated_row, capacity=None), in_axes=-1, out_axes=-1)
    return [uncapped(*row) if capacity is None else scaled(*row, capacity) for *row, capacity in rows]


def _repeated_row(budget, row, is_open, capacity):
    """One agent's row."""
    row, none = jnp.where(is_open, row, 0), jnp.zeros_like(row)
    first = up_to(level_of(budget, row, none, capacity), row, none, capacity)
    first = jnp.where(total(row) > 0, first, 0)
    if capacity is None:
        rest, room = jnp.where(total(row) > 0, 0, budget), None
    else:
        rest, room = jnp.maximum(budget - total(first), 0), jnp.maximum(capacity - first, 0)
    even = is_open.astype(row.dtype)
    more = up_to(level_of(rest, even, none, room), even, none, room)
    return jnp.where(is_open, first + more, 0)


def open_links(of: Terms | None) -> tuple[Blocks | None, Blocks | None]:
    """Where something can be given, and how much; None stands for every link, and for any amount."""
    return (None, None) if of is None else (of.sent.is_open, of.sent.capacity)
