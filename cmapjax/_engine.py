"""One round of a market, compiled: views are gathered, agents answer, flows are put back.

Everything here is in the order of storage. Batching happens in this module alone: strategies are
written for one agent and vmapped over the columns of each block.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float, Int

from cmapjax._community import beyond_table
from cmapjax._market import Market
from cmapjax._schedule import Plan
from cmapjax._types import Array
from cmapjax.strategies import Beyond, PerAgent, Strategy, View


class Known(eqx.Module):
    """What does not change during a run."""

    contribution: Float[Array, "agents"]
    degree: Float[Array, "agents"]
    max_degree: Float[Array, "agents"]
    beyond: Int[Array, "agents members"] | None
    """Members of each agent's community out of its reach; `num_agents` is nobody."""


def known_facts(market: Market, hops: int | float, dtype) -> Known:
    """The facts that views are made of, in the precision of the run."""
    degree = jnp.asarray(market.links.lengths, dtype)
    largest = market.largest(market.unstored(degree))[market.market_of]
    return Known(
        jnp.asarray(market.stored(market.contribution), dtype),
        degree,
        market.stored(largest),
        beyond_table(market, hops) if hops > 1 else None,
    )


def act_together(
    market: Market,
    known: Known,
    strategy: Strategy,
    flow: Float[Array, "slots"],
    budget: Float[Array, "agents"],
) -> Float[Array, "slots"]:
    """Everybody's answer to the same flow."""
    links = market.links
    received = market.mirror(flow)
    utility = links.total(received)
    per_slot = (
        links.is_entry,
        flow,
        received,
        links.take(known.contribution),
        links.take(utility),
        links.take(known.degree),
    )
    per_agent = (budget, known.max_degree)
    blocks = zip(
        zip(*map(links.blocks, per_slot), strict=True),
        zip(*map(links.row_blocks, per_agent), strict=True),
        _beyond_blocks(known, utility, links),
        strict=True,
    )
    answers, first = [], 0
    for columns, row, beyond in blocks:
        who = slice(first, first + len(row[0]))
        answers.append(_answer(market, strategy, who, View(row[0], *columns, row[1], beyond)))
        first = who.stop
    return links.join(answers)


def _answer(market: Market, strategy: Strategy, who, views: View) -> Float[Array, "width agents"]:
    """The rows of some agents, `who` being their places in storage (a slice, or numbers)."""
    if not isinstance(strategy, PerAgent):
        return jax.vmap(strategy.respond, in_axes=-1, out_axes=-1)(views)
    own = jax.tree.map(lambda x: market.stored(x)[who], strategy.strategy)
    return jax.vmap(lambda s, view: s.respond(view), in_axes=(0, -1), out_axes=-1)(own, views)


def _beyond_blocks(known: Known, utility, links) -> list[Beyond | None]:
    if known.beyond is None:
        return [None] * len(links.shapes)
    first, out = 0, []
    for _, rows in links.shapes:
        out.append(_beyond(known, utility, known.beyond[first : first + rows]))
        first += rows
    return out


def _beyond(known: Known, utility, members: Int[Array, "agents members"]) -> Beyond:
    return Beyond(
        known.contribution.at[members.T].get(mode="fill", fill_value=0),
        utility.at[members.T].get(mode="fill", fill_value=1),
    )


def act_in_turns(
    market: Market,
    known: Known,
    strategy: Strategy,
    plan: Plan,
    tables: tuple[Int[Array, "turns _"], ...],
    flow: Float[Array, "slots"],
    budget: Float[Array, "agents"],
    acts: Bool[Array, "agents"] | None,
) -> Float[Array, "slots"]:
    """The flow after all turns, each seeing what earlier ones left.

    Utilities are computed afresh once a round and then kept up to date by each turn's changes, which
    costs a turn what its own rows cost.
    """
    links = market.links

    def turn(carry, rows):
        flow, utility = carry
        answers = [
            _answer_rows(market, known, strategy, width, agents, flow, utility, budget, acts)
            for width, agents in zip(plan.widths, rows, strict=True)
        ]
        for slots, receivers, old, new in answers:
            flow = flow.at[slots].set(new, mode="drop", unique_indices=True)
            if not plan.shares_receivers:
                utility = utility.at[receivers].add(new - old, mode="drop", unique_indices=True)
        if plan.shares_receivers:  # adding would depend on the order, which a GPU does not keep
            utility = links.total(market.mirror(flow))
        return (flow, utility), None

    utility = links.total(market.mirror(flow))
    (flow, _), _ = jax.lax.scan(turn, (flow, utility), tables)
    return flow


def _answer_rows(market, known, strategy, width, agents, flow, utility, budget, acts):
    """Slots, receivers, old and new rows of some agents; nobody's slots are out of range."""
    links = market.links
    slots = links.slots_of(agents, width)
    is_link = slots < links.num_slots

    def respond():
        def look(x, at):
            return x.at[at].get(mode="fill", fill_value=0)

        back = jnp.asarray(market.reverse).at[slots].get(mode="fill", fill_value=links.num_slots)
        beyond = None
        if known.beyond is not None:
            members = jnp.asarray(known.beyond).at[agents].get(mode="fill", fill_value=market.num_agents)
            beyond = _beyond(known, utility, members)
        view = View(
            look(budget, agents),
            is_link,
            old,
            look(flow, back),
            look(known.contribution, receivers),
            look(utility, receivers),
            look(known.degree, receivers),
            look(known.max_degree, agents),
            beyond,
        )
        new = _answer(market, strategy, agents, view)  # nobody's parameters are somebody's, and unused
        return new if acts is None else jnp.where(look(acts, agents), new, old)

    receivers = jnp.asarray(links.entries).at[slots].get(mode="fill", fill_value=market.num_agents)
    receivers = jnp.where(is_link, receivers, market.num_agents)
    old = flow.at[slots].get(mode="fill", fill_value=0)
    # Most turns leave most widths empty; a branch not taken costs nothing.
    new = jax.lax.cond(jnp.any(agents < market.num_agents), respond, lambda: old)
    return slots, receivers, old, new


def repeat_shares(
    market: Market, flow: Float[Array, "slots"], budget: Float[Array, "agents"]
) -> Float[Array, "slots"]:
    """Every row scaled to this round's budget, for agents that do not act but have a surplus to give.

    An agent that gave nothing last round, and has something now, splits it equally.
    """
    links = market.links
    spent = links.total(flow)
    scale = budget / jnp.where(spent > 0, spent, 1)
    even = jnp.where(links.is_entry, links.spread(budget / jnp.asarray(links.lengths)), 0)
    return jnp.where(links.spread(spent) > 0, flow * links.spread(scale), even)
