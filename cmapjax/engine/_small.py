"""Small markets: strategy, damping, turns, surplus, network and number of rounds as data of one program.

Compiling a run takes about a second, playing a small market a few milliseconds. So small markets are stored
in one of few shapes, and everything in which runs differ is passed as numbers: the first run compiles a
program that serves all others. A strategy that is not of this package needs one more program, from the same
code.

Spare rows are copies of the first agent's. No slot refers to them and they never act.
"""

import dataclasses
from collections.abc import Iterator
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from cmapjax.endowments import Constant, Endowments, Trace
from cmapjax.engine._canonical import fitted, padded, padded_flow, real_flow, small_shape
from cmapjax.engine._play import Rules, StoredState, play_round, round_key
from cmapjax.engine._round import known_facts
from cmapjax.engine._run import State, as_dtype, stored_start
from cmapjax.market._feasibility import Breach
from cmapjax.market._market import Market
from cmapjax.market._random import draw_per_agent
from cmapjax.runtime._settings import compiled
from cmapjax.runtime._types import Array
from cmapjax.schedules._plans import EveryonePlan, OrderPlan, ParticipationPlan, Plan, TablePlan, TurnTable
from cmapjax.strategies import (
    CMAP,
    Damped,
    Damping,
    DynamicSharing,
    EqualSplit,
    FixedDamping,
    Link,
    LocalDamping,
    MaxDegreeDamping,
    PerAgent,
    PostedStrategy,
    ProportionalResponse,
    Strategy,
    View,
    _calls,
)

# How many rounds the program plays in one call.
ROUNDS = 128


class OneOf(PostedStrategy):
    """One of some posted strategies, by its number."""

    which: Int[Array, "..."]
    """A place in `strategies`."""
    strategies: tuple[PostedStrategy, ...]
    posts: bool = eqx.field(static=True, default=False)
    """Whether terms are posted. Small markets send rows instead, which compiles more quickly."""

    @property
    def is_posted(self):
        return self.posts

    @property
    def needs_averages(self):
        return any(strategy.needs_averages for strategy in self.strategies)

    def post(self, view: View):
        return tuple(_calls.post(strategy, view) for strategy in self.strategies)

    def flow(self, terms, link: Link):
        both = zip(self.strategies, terms, strict=True)
        first, *others = (_calls.flow(strategy, of_it, link) for strategy, of_it in both)
        return _chosen(self.which, dict(enumerate(others, 1)), first)

    def respond(self, view: View):
        first, *others = (_calls.respond(strategy, view) for strategy in self.strategies)
        return _chosen(self.which, dict(enumerate(others, 1)), first)


class AnyDamping(Damping):
    """A given θ, or one of several rules by its number."""

    which: Int[Array, "..."]
    """A place in `DAMPINGS`; -1 for the given θ."""
    theta: Float[Array, "..."]
    """The given θ; 1 is no damping."""

    def step(self, view: View):
        dtype = view.sent.dtype
        steps = {place: rule.step(view).astype(dtype) for place, rule in enumerate(DAMPINGS)}
        return _chosen(self.which, steps, jnp.asarray(self.theta, dtype))


def _chosen(number, values: dict, default):
    for place, value in values.items():
        default = jnp.where(number == place, value, default)
    return default


STRATEGIES = (CMAP(), ProportionalResponse(), EqualSplit(), DynamicSharing())
DAMPINGS = (MaxDegreeDamping(), LocalDamping())


def is_small(market: Market, strategy: Strategy, plan: Plan, endowments: Endowments) -> bool:
    """Whether a run can be played by the shared program."""
    return (
        small_shape(market) is not None
        and not market.terms
        and market.repeats is None
        and market.links.mesh is None
        and strategy.hops <= 1
        and _is_known(plan)
        and type(endowments).__module__.startswith("cmapjax.endowments.")
    )


def _is_known(plan: Plan) -> bool:
    if type(plan) is ParticipationPlan:
        return _is_known(plan.base)
    return type(plan) in (EveryonePlan, TablePlan, OrderPlan)


def as_numbers(strategy: Strategy, larger: Market) -> Strategy:
    """The strategy as one of `STRATEGIES` by its number, or itself, which then needs its own program."""
    is_own = isinstance(strategy, PerAgent)
    rule, which, theta = _parts(strategy.strategy if is_own else strategy)
    number = _number(rule)
    if number is not None:
        rule = OneOf(np.int32(number), STRATEGIES)
    if not is_own:
        return Damped(rule, AnyDamping(np.int32(which), theta[0]))
    rows = larger.num_agents
    theta = np.full(rows, theta[0]) if len(theta) == 1 else padded(theta, larger)
    if number is not None:
        rule = OneOf(np.full(rows, rule.which), STRATEGIES)
    else:
        rule = jax.tree.map(lambda x: padded(x, larger), rule)
    return PerAgent(Damped(rule, AnyDamping(np.full(rows, which, np.int32), theta)))


def shared(strategy: Strategy) -> Strategy:
    """CMAP and damped CMAP or proportional response as numbers of one program, which compiles and runs as
    quickly as that of CMAP alone; other strategies unchanged."""
    rule, which, theta = _parts(strategy)
    number = _number(rule)
    if number not in (0, 1) or (strategy is rule and number == 1):
        return strategy
    rule = OneOf(np.int32(number), STRATEGIES[:2], posts=True)
    return Damped(rule, AnyDamping(np.int32(which), theta[0]))


def _parts(rule: Strategy) -> tuple[Strategy, int, Float[np.ndarray, "_"]]:
    """The strategy whose answer it is, and its damping: a place in `DAMPINGS`, or -1 and θ."""
    if type(rule) is not Damped or not _is_known_damping(rule.damping):
        return rule, -1, np.ones(1)
    if type(rule.damping) is FixedDamping:
        return rule.strategy, -1, np.atleast_1d(np.asarray(rule.damping.theta, np.float64))
    return rule.strategy, [type(d) for d in DAMPINGS].index(type(rule.damping)), np.ones(1)


def _number(rule: Strategy) -> int | None:
    """Its place in `STRATEGIES`; None if it is not among them."""
    kinds = [type(s) for s in STRATEGIES]
    if type(rule) not in kinds or (isinstance(rule, CMAP) and rule.community_hops == 0):
        return None
    return kinds.index(type(rule))


def _is_known_damping(damping: Damping) -> bool:
    return type(damping) is FixedDamping or type(damping) in [type(d) for d in DAMPINGS]


# -- rounds ----------------------------------------------------------------------------------------


class Played(NamedTuple):
    """What is kept of some rounds, in the common shape."""

    sent: Float[Array, "rounds slots"]
    utility: Float[Array, "rounds agents"]
    breach: Breach | None


def play(rules: Rules, state: State, rounds: int) -> Iterator[tuple[State, Breach | None]]:
    """The states after each of the next rounds, stacked, `ROUNDS` at a time.

    Args:
        rules: of the market before it is fitted.
        state: the start, complete and in NumPy arrays.
        rounds: how many to play.
    """
    market, dtype = rules.market, state.flow.dtype
    larger = fitted(market, small_shape(market))
    known, strategy = known_facts(larger, None, dtype), as_dtype(as_numbers(rules.strategy, larger), dtype)
    breach, last = None, int(state.round) + rounds
    while state.round < last:
        first = int(state.round)
        plan = turns(market, larger, rules.plan, first, rules.key)
        endowments = surplus(market, larger, rules.endowments, first, rules.key)
        own = Rules(larger, known, strategy, plan, endowments, None, rules.is_steady)
        now = stored_start(own, _in_shape(market, larger, state))
        if breach is not None:
            now = dataclasses.replace(now, breach=breach)
        count = min(last - first, ROUNDS)
        played = jax.tree.map(np.asarray, play_rounds(own, now, np.int64(count)))
        breach = played.breach
        acting = np.count_nonzero(plan.turns >= 0, axis=1)
        states = _states(market, larger, state, played, acting, count)
        yield states, _of_market(market, breach)
        state = jax.tree.map(lambda x: np.asarray(x[-1]), states)


def _of_market(market: Market, breach: Breach | None) -> Breach | None:
    return jax.tree.map(lambda x: market.stored(x[: market.num_agents]), breach)


@compiled(quickly=True)
def play_rounds(rules: Rules, now: StoredState, count: Int[Array, ""]) -> Played:
    """Plays `count` rounds, at most `ROUNDS`, and keeps flows and utilities, from which all else follows."""
    width, size = rules.market.links.shapes[0]
    dtype = now.history[0].dtype
    tables = jnp.zeros((ROUNDS, width * size), dtype), jnp.zeros((ROUNDS, size), dtype)

    def step(number, carry):
        now, tables = carry
        now = play_round(rules, now)
        row = now.flows.sent[0].reshape(-1), now.history[0]
        put = jax.lax.dynamic_update_index_in_dim
        return now, tuple(put(table, x, number, 0) for table, x in zip(tables, row, strict=True))

    now, tables = jax.lax.fori_loop(0, count, step, (now, tables))
    return Played(*tables, now.breach)


def _in_shape(market: Market, larger: Market, state: State) -> State:
    """A state of the market (NumPy arrays) as one of the fitted market."""
    return dataclasses.replace(
        state,
        flow=padded_flow(state.flow, market, larger),
        received=padded_flow(state.received, market, larger),
        history=padded(state.history, larger),
        total_utility=padded(state.total_utility, larger),
    )


def _states(market: Market, larger: Market, before: State, played: Played, acting, count: int) -> State:
    """The states after `count` rounds, stacked, in the market's layout."""
    flow = real_flow(played.sent[:count], market, larger)
    utility = played.utility[:count, : market.num_agents]
    past = np.concatenate([before.history[::-1], utility])  # the latest last
    return State(
        before.round + np.arange(1, count + 1),
        flow,
        np.stack([past[3:], past[2:-1], past[1:-2]], axis=1),
        np.cumsum(np.concatenate([before.total_utility[None], utility]), axis=0)[1:],
        before.agent_updates + np.cumsum(acting[:count])[:, None],
        flow[:, market.reverse],
    )


# -- turns and surplus of some rounds, as numbers --------------------------------------------------


def turns(market: Market, larger: Market, plan: Plan, first: int, key) -> TurnTable:
    """The turns of the `ROUNDS` rounds that follow the first `first` rounds."""
    of_agents = _turns(market, larger, plan, first, key, ())
    table = np.full((ROUNDS, larger.num_agents), -1, np.int32)
    table[:, np.asarray(larger.links.place)[: market.num_agents]] = of_agents
    return TurnTable(table, table.max(axis=1) + 1, np.int64(first))


def _turns(market: Market, larger: Market, plan: Plan, first: int, key, path: tuple) -> np.ndarray:
    n = market.num_agents
    if isinstance(plan, EveryonePlan):
        return np.zeros((ROUNDS, n), np.int32)
    if isinstance(plan, TablePlan):
        return np.tile(np.asarray(market.unstored(plan.turn_of(n))), (ROUNDS, 1))
    if isinstance(plan, OrderPlan) and plan.is_shuffled:
        drawn = _uniforms(larger, key, first, path)[:, :n]
        return np.argsort(np.argsort(drawn, axis=1, kind="stable"), axis=1).astype(np.int32)
    if isinstance(plan, OrderPlan):
        current = (first + np.arange(ROUNDS)) % n
        return np.where(np.asarray(plan.seat) == current[:, None], 0, -1).astype(np.int32)
    acts = _acts(market, larger, plan, first, key, path)
    return np.where(acts, _turns(market, larger, plan.base, first, key, (*path, 0)), -1)


def _acts(market: Market, larger: Market, plan: Plan, first: int, key, path: tuple) -> np.ndarray | bool:
    """Which agents take part in each round, drawn as by `ParticipationPlan.acts`."""
    if not isinstance(plan, ParticipationPlan):
        return True
    coin = _uniforms(larger, key, first, (*path, 1))[:, : market.num_agents]
    return (coin < np.asarray(plan.probability)) & _acts(market, larger, plan.base, first, key, (*path, 2))


def _uniforms(market: Market, key, first: int, path: tuple) -> np.ndarray:
    return np.asarray(_draw_uniforms(market, key, np.arange(first, first + ROUNDS), path))


@compiled
def _draw_uniforms(market: Market, key, rounds, path: tuple):
    def of_round(round):
        own = round_key(key, 1, round)
        for number in path:
            own = jax.random.fold_in(own, number)
        return draw_per_agent(own, market, jax.random.uniform)

    return jax.lax.map(of_round, rounds)


class Drawn(Endowments):
    """The endowments of some rounds, drawn before the rounds are played."""

    values: Float[Array, "rounds agents"]
    first: Int[Array, ""]

    def draw(self, market, round, key):
        return jax.lax.dynamic_index_in_dim(self.values, round - self.first, keepdims=False)


def surplus(market: Market, larger: Market, endowments: Endowments, first: int, key) -> Endowments:
    """What agents have in the `ROUNDS` rounds that follow the first `first` rounds."""
    if isinstance(endowments, Constant):
        return endowments
    if isinstance(endowments, Trace):
        values = np.asarray(endowments.matched(market).values, np.float64)[first : first + ROUNDS]
        values = np.concatenate([values, np.repeat(values[-1:], ROUNDS - len(values), axis=0)])
        return Drawn(padded(values, larger), np.int64(first))
    drawn = _draw_endowments(larger, endowments, key, np.arange(first, first + ROUNDS))
    return Drawn(np.asarray(drawn), np.int64(first))


@compiled
def _draw_endowments(market: Market, endowments: Endowments, key, rounds):
    def of_round(round):
        own = None if key is None else round_key(key, 0, round)
        return endowments.draw(market, round, own)

    return jax.lax.map(of_round, rounds)
