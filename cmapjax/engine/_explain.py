"""One agent in one round: what it saw, what it did, and why. For teaching and for debugging strategies."""

import dataclasses
from collections.abc import Hashable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from cmapjax.arguments._checks import check_kind
from cmapjax.engine._explained import Explanation, Neighbour, Own, undamped
from cmapjax.engine._play import round_key
from cmapjax.engine._round import act_in_turns, known_facts
from cmapjax.engine._simulate import simulate
from cmapjax.market._community import beyond_table
from cmapjax.market._feasibility import check_row
from cmapjax.market._filled import filled, in_rows, weights
from cmapjax.market._market import Market
from cmapjax.market._random import check_key
from cmapjax.runtime._settings import compiled, entry
from cmapjax.runtime._types import Array
from cmapjax.schedules._schedule import Schedule, Simultaneous
from cmapjax.strategies import Beyond, Damped, PerAgent, Strategy, View, _calls


@entry(remedy="explain a run of plain numbers", any_market=True)
def explain(
    market: Market,
    strategy: Strategy,
    agent: Hashable,
    round: int,
    *,
    schedule: Schedule = Simultaneous(),  # noqa: B008 - immutable
    key: Array | None = None,
) -> Explanation:
    """What an agent saw in a round, and what it gave to whom.

    The earlier rounds are played by `simulate` from an equal split with constant endowments, and of this
    round the turns before the agent's.

    Args:
        market: one market, or many packed side by side.
        strategy: what every agent follows.
        agent: the agent's label.
        round: the round to explain, the first being 1.
        schedule: who acts in which turn.
        key: JAX random key, for random schedules; as for `simulate`.

    Returns:
        What the agent saw and did; print it, or draw it with `plots.explanation`.

    Raises:
        ValueError: no such agent or round; whatever `simulate` refuses.
    """
    check_kind("market", market, Market, "Market.from_links(…), or a reader of cmapjax.graphs")
    check_kind("strategy", strategy, Strategy, "CMAP()")
    check_kind("schedule", schedule, Schedule, "Sequential()")
    if isinstance(round, bool) or not isinstance(round, (int, np.integer)) or round < 1:
        raise ValueError(f"round is {round!r}; give a whole number, 1 or more.")
    number = market.index(agent)
    if schedule.is_random:
        check_key(key, "this schedule")
    before = simulate(market, strategy, rounds=round - 1, schedule=schedule, record={}, key=key)
    turn, num_turns, flow = _until_turn(market, strategy, schedule, number, round, key, before.final)
    average = np.asarray(before.final.average_utility) if strategy.needs_averages else None
    seen = _Seen(market, number, flow, _claims(market, before.final))
    view, receivers = seen.view(strategy, average)
    own, theta = _as_followed_by(strategy, number), 1.0
    if turn is None or not len(receivers):
        row = answer = view.sent
    else:
        with _calls.brief_faults():
            row, answer = map(np.asarray, _answers(own, view))
        if not _calls.is_of_package(strategy):
            check_row(type(undamped(strategy)).__name__, agent, row, seen.owed)
    while isinstance(own, Damped) and len(receivers):
        theta, own = theta * float(own.damping.step(jax.tree.map(jnp.asarray, view))), own.strategy
    columns = [view.contribution, view.degree, view.utility, view.received, view.sent, answer, row]
    columns += [] if average is None else [view.average_utility]
    rows = zip(receivers, np.stack(columns, axis=1).tolist(), seen.terms(receivers), strict=True)
    neighbours = tuple(
        Neighbour(market.labels[j], w, int(d), *more, **terms) for j, (w, d, *more), terms in rows
    )
    received = float(view.received.sum()) if seen.filled is None else float(seen.utility[number])
    return Explanation(
        agent,
        int(round),
        turn,
        num_turns,
        strategy,
        float(view.budget),
        received,
        neighbours,
        theta,
        seen.own,
    )


def _claims(market: Market, state) -> np.ndarray | None:
    """β of each agent in the round after this state; None in a market without other terms."""
    if not market.terms:
        return None
    return np.asarray(weights(market) if state.claim is None else state.claim)


def _as_followed_by(strategy: Strategy, agent: int) -> Strategy:
    """The strategy with this agent's own parameters."""
    if not isinstance(strategy, PerAgent):
        return strategy
    return jax.tree.map(lambda x: x[agent], strategy.strategy)


def _until_turn(market, strategy, schedule, agent: int, round: int, key, state):
    """The agent's turn (None if it does not act), the number of turns, and the flow before its turn."""
    flow = state.flow
    plan, bare = schedule.plan(market, strategy.hops), market.bare()
    now = jnp.asarray(round - 1, jnp.int64)
    key = None if key is None else round_key(key, 1, now)
    acts = plan.acts(bare, key)
    takes_part = acts is None or bool(acts[agent])
    if plan.is_everyone:
        return (1 if takes_part else None), 1, flow
    tables = tuple(map(np.asarray, plan.tables(bare, now, key)))
    at = [np.flatnonzero((table == market.links.place[agent]).any(axis=1)) for table in tables]
    turns = np.concatenate(at)
    if not takes_part or not len(turns):
        return None, len(tables[0]), flow
    turn = int(turns[0])
    if turn:
        beyond = beyond_table(bare, strategy.hops) if strategy.hops > 1 else None
        acting = None if acts is None else bare.stored(acts)
        # Later turns are emptied; tables keep their shape, so that all turns share a program.
        earlier = tuple(
            np.where(np.arange(len(t))[:, None] < turn, t, bare.num_agents).astype(t.dtype) for t in tables
        )
        flow = _play_turns(bare, beyond, strategy, plan, earlier, state, acting)
    return turn + 1, len(tables[0]), np.asarray(flow)


@compiled
def _answers(strategy: Strategy, view: View):
    """The agent's next row, with and without damping."""
    view = jax.tree.map(jnp.asarray, view)
    return _calls.respond(strategy, view), _calls.respond(undamped(strategy), view)


@compiled
def _play_turns(market, beyond, strategy, plan, tables, state, acts):
    average = market.stored(state.average_utility) if strategy.needs_averages else None
    known, flow = known_facts(market, beyond, np.float64, average), jnp.asarray(state.flow)
    if state.claim is not None:
        known = dataclasses.replace(known, terms=known.terms.with_claim(market.stored(state.claim)))
    return act_in_turns(market, known, strategy, plan, tables, flow, known.contribution, acts)[0]


class _Seen:
    """What one agent sees of a market and a flow."""

    def __init__(self, market: Market, agent: int, flow: Float[np.ndarray, "slots"], claims):
        self.market, self.agent, self.flow, self.claims = market, agent, flow, claims
        self.utility, self.contribution = market.received(flow), np.asarray(market.contribution)
        starts, receiver = market.neighbour_rows()
        self.degree = np.diff(starts)
        row = np.arange(starts[agent], starts[agent + 1])
        self.filled = None
        if claims is not None:
            of = self.filled = filled(market)
            carries = market.arc_values((of.capacity > 0) & (in_rows(market.links, of.supply) > 0))
            self.degree = np.bincount(receiver[carries], minlength=market.num_agents)
            row = row[carries[row]]
            self.capacity, self.efficiency = (market.arc_values(x)[row] for x in (of.capacity, of.efficiency))
            self.demand, self.own_use, self.priority = (
                market.unstored(x) for x in (of.demand, of.own_use, of.priority)
            )
        self.row, self.receivers = row, receiver[row]

    @property
    def owed(self) -> float:
        """What the agent's row has to sum to."""
        budget = float(self.contribution[self.agent])
        return budget if self.filled is None else min(budget, float(self.capacity.sum()))

    @property
    def own(self) -> Own | None:
        if self.filled is None:
            return None
        columns = (self.priority, self.claims, self.demand, self.own_use)
        return Own(*(float(x[self.agent]) for x in columns))

    def terms(self, receivers: np.ndarray) -> list[dict]:
        """What a market has beyond endowments and values, of each neighbour, as fields of `Neighbour`."""
        if self.filled is None:
            return [{}] * len(receivers)
        columns = {"claim": self.claims, "demand": self.demand, "own_use": self.own_use}
        columns = {name: x[receivers] for name, x in columns.items()}
        columns |= {"capacity": self.capacity, "efficiency": self.efficiency}
        rows = zip(*(x.tolist() for x in columns.values()), strict=True)
        return [dict(zip(columns, row, strict=True)) for row in rows]

    def view(self, strategy: Strategy, average) -> tuple[View, np.ndarray]:
        """The view, and the numbers of the neighbours to whom something can be given."""
        market, agent, receivers = self.market, self.agent, self.receivers
        sent = market.arc_values(self.flow)[self.row]
        received = market.arc_values(market.mirror(self.flow))[self.row]
        same_market = np.asarray(market.market_of) == market.market_of[agent]
        terms = {}
        if self.filled is not None:
            links = {"capacity": self.capacity, "efficiency": self.efficiency}
            terms = {name: x for name, x in links.items() if getattr(market, name) is not None}
            terms["priority"] = self.claims[receivers]
            if market.demand is not None:
                terms["demand"] = self.demand[receivers]
        view = View(
            sent=sent,
            repeated=sent,
            received=received,
            contribution=self.contribution[receivers],
            utility=self.utility[receivers],
            degree=self.degree[receivers].astype(np.float64),
            budget=np.asarray(self.contribution[agent]),
            is_neighbour=np.ones(len(receivers), bool),
            max_degree=np.asarray(self.degree[same_market].max(), np.float64),
            beyond=self._beyond(strategy),
            average_utility=None if average is None else average[receivers],
            **terms,
        )
        return view, receivers

    def _beyond(self, strategy: Strategy) -> Beyond | None:
        if strategy.hops <= 1:
            return None
        market = self.market
        table = np.asarray(beyond_table(market.bare(), strategy.hops))
        members = table[market.links.place[self.agent]]
        order = np.asarray(market.links.order)[members[members < market.num_agents]]
        weight = self.contribution if self.claims is None else self.claims
        return Beyond(weight[order], self.utility[order])
