"""One round of a market, compiled: views are gathered, agents answer, their rows become the flow.

Everything here is in the order of storage. Only this module batches: strategies are written for one agent and
vmapped over the columns of each block.

Every flow is held twice, by giver and by receiver, in one layout (`Flows`). If a strategy posts terms, both
ends compute the flow of a link from the terms, and only vectors over agents are looked up. The rows of other
strategies are sent to the other end of every link, which takes most of the time on large markets.
"""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float, Int, Shaped

from cmapjax.engine._terms import (
    Terms,
    arriving,
    at,
    repeated_rows,
    seen_at,
    seen_by_givers,
    seen_by_receivers,
    terms_of,
)
from cmapjax.market._columns import fold
from cmapjax.market._market import Market
from cmapjax.market._reductions import blocks
from cmapjax.runtime._precision import namespace
from cmapjax.runtime._types import Array
from cmapjax.schedules._plans import Plan
from cmapjax.strategies import Beyond, Link, PerAgent, Strategy, View, _calls

Blocks = tuple[Float[Array, "_ _"], ...]
"""A value per slot as one array [width, rows] per block."""
Masks = tuple[Bool[Array, "_ _"], ...]


class Flows(eqx.Module):
    """The flow on every link, in one copy per end."""

    sent: Blocks
    """In slot (i, j), y_ij."""
    received: Blocks
    """In slot (i, j), y_ji."""


class Known(eqx.Module):
    """What does not change within a round; except for the averages, nor within a run."""

    contribution: Float[Array, "agents"]
    degree: Float[Array, "agents"]
    max_degree: Float[Array, "agents"]
    neighbour_contribution: Blocks
    """w_j of each slot's neighbour; zero on padding and only there."""
    beyond: Int[Array, "agents members"] | None
    """The members of each agent's community that it cannot give to; padded with `num_agents`."""
    average_utility: Float[Array, "agents"] | None = None
    """Mean value received per round up to last round; None if the strategy does not look at it."""
    terms: Terms | None = None
    """What the market has beyond endowments and values."""

    @property
    def gives(self) -> Masks:
        """Where something can be given; false on padding."""
        if self.terms is not None:
            return self.terms.sent.is_open
        return tuple(w > 0 for w in self.neighbour_contribution)

    @property
    def takes(self) -> Masks:
        """Where something can be received."""
        return self.gives if self.terms is None else self.terms.received.is_open

    @property
    def shut(self) -> tuple[tuple[bool, ...], tuple[bool, ...]]:
        """Of each block, whether nobody in it can give, and whether nobody can receive."""
        if self.terms is None:
            return ((False,) * len(self.neighbour_contribution),) * 2
        return self.terms.sent.is_shut, self.terms.received.is_shut


def known_facts(
    market: Market,
    beyond: Int[Array, "agents members"] | None,
    dtype,
    average_utility: Float[Array, "agents"] | None = None,
) -> Known:
    """The facts that views are made of, in the precision of the run; `beyond` and averages as in `Known`."""
    links, xp, terms = market.links, namespace(market), terms_of(market, dtype)
    contribution = xp.asarray(market.stored(market.contribution), dtype)
    degree = xp.asarray(links.lengths, dtype) if terms is None else terms.degree
    largest = market.largest(market.unstored(degree))[market.market_of]
    return Known(
        contribution,
        degree,
        market.stored(largest),
        tuple(block.take(contribution) for block in blocks(links))
        if terms is None
        else tuple(
            xp.where(m, block.look(contribution), 0)
            for m, block in zip(terms.sent.is_open, blocks(links), strict=True)
        ),
        beyond,
        None if average_utility is None else average_utility.astype(dtype),
        terms,
    )


def both_ends(market: Market, flow: Float[Array, "slots"]) -> Flows:
    """A flow in one copy per end."""
    cut = market.links.blocks
    return Flows(tuple(cut(flow)), tuple(cut(market.mirror(flow))))


def received_totals(market: Market, known: Known, flows: Flows) -> Float[Array, "agents"]:
    """Utilities, in the order of storage."""
    return _with_own_use(known, market.links.fold_blocks(jnp.add, arriving(flows.received, known.terms)))


def _with_own_use(known: Known, received: Float[Array, "agents"]) -> Float[Array, "agents"]:
    terms = known.terms
    return received if terms is None or terms.own_use is None else received + terms.own_use


def as_before(market: Market, known: Known, flows: Flows, budget: Float[Array, "agents"]) -> Flows:
    """Every row scaled to this round's budget; an agent that gave nothing and has something now splits
    equally.

    Receivers' copies are made from the scaled givers' copies. If each copy were scaled by itself, the
    rounding error between them would be scaled too, by 10^16 for an agent that had almost nothing and has
    much now.
    """
    if known.terms is not None:
        return both_ends(
            market, market.links.join(repeated_rows(market.links, known.terms, flows.sent, budget))
        )
    spent = market.links.fold_blocks(jnp.add, flows.sent)
    gave = spent > 0
    scale = jnp.where(gave, budget / jnp.where(gave, spent, 1), 0)
    even = jnp.where(gave, 0, budget / known.degree)
    rows = zip(market.links.row_blocks(scale), market.links.row_blocks(even), strict=True)
    sent = [jnp.where(m, s * y + e, 0) for m, (s, e), y in zip(known.gives, rows, flows.sent, strict=True)]
    return both_ends(market, market.links.join(sent))


def act_together(
    market: Market,
    known: Known,
    strategy: Strategy,
    flows: Flows,
    utility: Float[Array, "agents"],
    budget: Float[Array, "agents"],
    repeated: Flows,
) -> Flows:
    """The rows of all agents in answer to the same flows; `repeated` are the flows of `as_before`."""
    views = _views(market, known, flows, utility, budget, repeated)
    if not strategy.is_posted:
        answers, first = [], 0
        for view in views:
            who = slice(first, first + len(view.budget))
            answers.append(_answer(market, strategy, who, view))
            first = who.stop
        return both_ends(market, market.links.join(answers))
    post = jax.vmap(functools.partial(_calls.post, strategy), in_axes=-1)
    none_gives, none_takes = known.shut
    terms = [
        _nothing(post, view) if shut else post(view) for view, shut in zip(views, none_gives, strict=True)
    ]
    ends = _other_ends(market, known, flows, utility, repeated)
    return _on_links(
        known,
        _what_flows(strategy, terms, views, none_gives),
        _what_flows(strategy, _others(market, terms), ends, none_takes),
    )


def _what_flows(strategy: Strategy, terms: list, links: list[Link], shut) -> list[Float[Array, "_ _"]]:
    flow = jax.vmap(functools.partial(_calls.flow, strategy), in_axes=-1, out_axes=-1)
    blocks = zip(terms, links, shut, strict=True)
    return [jnp.zeros_like(link.sent) if none else flow(posted, link) for posted, link, none in blocks]


def _nothing(post, view: View):
    """Zeros in place of terms that nobody looks at."""
    return jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), jax.eval_shape(post, view))


def _others(market: Market, terms: list) -> list:
    """For each slot the terms that its neighbour has posted."""
    numbers = zip(*map(jax.tree.leaves, terms), strict=True)
    looked_up = [look(market, market.links.join_rows(number)) for number in numbers]
    return [
        jax.tree.unflatten(jax.tree.structure(terms[k]), [x[k] for x in looked_up]) for k in range(len(terms))
    ]


def take_part(market: Market, acts: Bool[Array, "agents"], answered: Flows, repeated: Flows) -> Flows:
    """The new rows of agents that act, and the repeated rows of the others."""
    mine, others = market.links.row_blocks(acts), look(market, acts)
    return Flows(
        tuple(map(jnp.where, mine, answered.sent, repeated.sent)),
        tuple(map(jnp.where, others, answered.received, repeated.received)),
    )


def look(market: Market, x: Shaped[Array, "agents"]) -> list[Shaped[Array, "_ _"]]:
    """The value of each slot's neighbour (any value on padding)."""
    x = jnp.asarray(x)
    return [
        x.at[at].get(mode="promise_in_bounds", wrap_negative_indices=False)
        for at in market.links.blocks(jnp.asarray(market.links.entries))
    ]


def _on_links(known: Known, sent, received) -> Flows:
    """These flows, set to zero on padding."""
    return Flows(
        tuple(jnp.where(m, y, 0) for m, y in zip(known.gives, sent, strict=True)),
        tuple(jnp.where(m, z, 0) for m, z in zip(known.takes, received, strict=True)),
    )


def _views(market, known: Known, flows: Flows, utility, budget, repeated: Flows) -> list[View]:
    """What every agent sees, block by block."""
    links = market.links
    blocks = zip(
        flows.sent,
        repeated.sent,
        flows.received,
        known.neighbour_contribution,
        look(market, utility),
        look(market, known.degree),
        links.row_blocks(budget),
        links.row_blocks(known.max_degree),
        _beyond_blocks(known, utility, links),
        [None] * len(links.shapes) if known.average_utility is None else look(market, known.average_utility),
        known.gives,
        seen_by_givers(links, known.terms),
        strict=True,
    )
    views = []
    for sent, same, received, contribution, worth, degree, purse, most, beyond, mean, real, terms in blocks:
        worth, degree, mean = (None if x is None else jnp.where(real, x, 0) for x in (worth, degree, mean))
        known_to_both = sent, same, received, contribution, worth, degree
        views.append(View(*known_to_both, purse, real, most, beyond, average_utility=mean, **terms))
    return views


def _other_ends(market, known: Known, flows: Flows, utility, repeated: Flows) -> list[Link]:
    """The links seen by the givers to each agent, so that the agent is the receiver."""
    cut = market.links.row_blocks
    nothing = [None] * len(flows.sent)
    ends = zip(
        flows.received,
        repeated.received,
        flows.sent,
        cut(known.contribution),
        cut(utility),
        cut(known.degree),
        nothing if known.average_utility is None else cut(known.average_utility),
        seen_by_receivers(market.links, known.terms),
        strict=True,
    )
    return [Link(*end, average_utility=mean, **terms) for *end, mean, terms in ends]


def _answer(market: Market, strategy: Strategy, who, views: View) -> Float[Array, "width agents"]:
    """The rows of some agents; `who` says where they are stored (a slice, or numbers)."""
    if not isinstance(strategy, PerAgent):
        respond = functools.partial(_calls.respond, strategy)
        return jax.vmap(respond, in_axes=-1, out_axes=-1)(views)
    own = jax.tree.map(lambda x: market.stored(x)[who], strategy.strategy)
    return jax.vmap(_calls.respond, in_axes=(0, -1), out_axes=-1)(own, views)


def _beyond_blocks(known: Known, utility, links) -> list[Beyond | None]:
    if known.beyond is None:
        return [None] * len(links.shapes)
    first, out = 0, []
    for _, rows in links.shapes:
        out.append(_beyond(known, utility, known.beyond[first : first + rows]))
        first += rows
    return out


def _beyond(known: Known, utility, members: Int[Array, "agents members"]) -> Beyond:
    weight = known.contribution if known.terms is None else known.terms.claims
    return Beyond(
        weight.at[members.T].get(mode="fill", fill_value=0),
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
    repeated: Float[Array, "slots"] | None = None,
    notes_lost: bool = False,
) -> tuple[Float[Array, "slots"], Float[Array, "agents"] | None]:
    """The flow after all turns of a round; each turn sees the rows of the earlier ones.

    Utilities are computed once a round and then updated by the changes of each turn, so that the cost of a
    turn is that of its own rows. `repeated` is the flow of agents that repeat their rows, by default `flow`.
    With `notes_lost` the second result is how much each agent gave where it has no neighbour.
    """
    links = market.links

    def turn(carry, rows):
        flow, utility, lost = carry
        answers = [
            _answer_rows(market, known, strategy, width, agents, flow, utility, budget, acts, repeated)
            for width, agents in zip(plan.widths, rows, strict=True)
        ]
        for agents, (slots, receivers, old, new) in zip(rows, answers, strict=True):
            if notes_lost:
                beyond = fold(jnp.maximum, jnp.where(slots < links.num_slots, 0, jnp.abs(new)))
                lost = lost.at[agents].set(beyond, mode="drop")
            flow = flow.at[slots].set(new, mode="drop", unique_indices=True)
            if not plan.shares_receivers:
                change = new - old if efficiency is None else at(efficiency, slots) * (new - old)
                utility = utility.at[receivers].add(change, mode="drop", unique_indices=True)
        if plan.shares_receivers:  # sums of updates would depend on their order, which varies on a GPU
            utility = totals(flow)
        return (flow, utility, lost), None

    def totals(flow):
        return _with_own_use(
            known, links.total(market.mirror(flow if efficiency is None else flow * efficiency))
        )

    sent = None if known.terms is None else known.terms.sent
    efficiency = None if sent is None or sent.efficiency is None else links.join(sent.efficiency)
    utility = totals(flow)
    lost = jnp.zeros_like(budget) if notes_lost else None
    (flow, _, lost), _ = jax.lax.scan(turn, (flow, utility, lost), tables)
    return flow, lost


def _answer_rows(market, known, strategy, width, agents, flow, utility, budget, acts, repeated=None):
    """Slots, receivers, old and new rows of some agents; slots of padding are out of range."""
    links = market.links
    slots = links.slots_of(agents, width)
    is_link = slots < links.num_slots

    def respond():
        look = at
        back = jnp.asarray(market.reverse).at[slots].get(mode="fill", fill_value=links.num_slots)
        beyond = None
        if known.beyond is not None:
            members = jnp.asarray(known.beyond).at[agents].get(mode="fill", fill_value=market.num_agents)
            beyond = _beyond(known, utility, members)
        is_open, of = is_link, receivers
        if known.terms is not None:
            is_open = look(links.join(known.terms.sent.is_open), slots)
            of = jnp.where(is_open, receivers, market.num_agents)
        view = View(
            old,
            old if repeated is None else look(repeated, slots),
            look(flow, back),
            look(known.contribution, of),
            look(utility, of),
            look(known.degree, of),
            look(budget, agents),
            is_open,
            look(known.max_degree, agents),
            beyond,
            average_utility=None if known.average_utility is None else look(known.average_utility, of),
            **seen_at(links, known.terms, slots, of),
        )
        # Padding reads some agent's parameters (`PerAgent`); its result is dropped.
        new = _answer(market, strategy, agents, view)
        return new if acts is None else jnp.where(look(acts, agents), new, old)

    receivers = jnp.asarray(links.entries).at[slots].get(mode="fill", fill_value=market.num_agents)
    receivers = jnp.where(is_link, receivers, market.num_agents)
    old = flow.at[slots].get(mode="fill", fill_value=0)
    # In most turns most widths have no agents; a branch that is not taken costs nothing.
    new = jax.lax.cond(jnp.any(agents < market.num_agents), respond, lambda: old)
    return slots, receivers, old, new
