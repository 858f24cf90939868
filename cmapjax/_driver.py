"""How a plain run is played: rounds by one compiled program, what is recorded by another or by NumPy.

Rounds and records take equally long to compile. Apart, rounds are compiled once whatever is recorded, and
records once whatever the strategy. Between them pass states: one at a time of a large market, stacked where
they are small. How many rounds lie between two records, and how many there are in all, is data.
"""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from cmapjax import _play, _scaling, _small
from cmapjax._engine import known_facts
from cmapjax._market import Market
from cmapjax._play import Moment, Rules
from cmapjax._records import are_known, observations, observations_on_host
from cmapjax._run import Run, State, as_dtype, begin, form_of, state_of
from cmapjax._schedule import EveryonePlan
from cmapjax._settings import compiled
from cmapjax._types import Array


# States are stacked up to so many bytes, and so many of them.
STACKED, MOST_STACKED = 8_000_000, 128
# Records of runs up to so many slots times records are NumPy's.
ON_HOST = 5_000_000


def play(
    market: Market,
    beyond,
    strategy,
    plan,
    endowments,
    record,
    state: State,
    key,
    *,
    rounds: int,
    every: int,
    is_steady: bool,
    starts_even: bool,
) -> Run:
    """The run from this start; nothing may be traced, and all is on one device.

    Args:
        market: without names.
        beyond: `beyond_table` of the strategy's hops, or None.
        state: the start, as `simulate` makes it.
        is_steady: as in `Rules`.
        starts_even: whether everybody splits equally at the start.
    """
    state = whole(market, state)
    played = np.minimum(np.arange(1 + -(-rounds // every)) * every, rounds)
    nothing_to_see = not record and isinstance(plan, EveryonePlan)
    lengths = np.array([rounds]) if nothing_to_see else np.diff(played, prepend=0)
    recorder = Recorder(market, record, is_steady, len(lengths))
    known = known_facts(market, beyond, state.flow.dtype)
    rules = Rules(market, known, strategy, plan, endowments, key, is_steady)
    if beyond is None and _small.is_small(market, strategy, plan, endowments):
        final, breach = _play_small(rules, state, lengths, recorder)
    else:
        every = rounds if nothing_to_see else every
        final, breach = _play_large(rules, state, lengths, every, starts_even, recorder)
    updates, records = recorder.result()
    if nothing_to_see:
        updates = state.agent_updates + played[:, None] * _play.count(market, None)
    return Run(played + state.round, updates, records, final, breach=breach)


def whole(market: Market, state: State) -> State:
    """The state in NumPy's arrays, with what was left out and follows from its flow."""
    state = jax.tree.map(np.asarray, state)
    dtype = state.history.dtype
    if state.flow is None:
        state = dataclasses.replace(state, flow=market.equal_flow().astype(dtype))
    if state.received is None:
        state = dataclasses.replace(state, received=market.mirror(state.flow))
    if not len(state.history):
        utility = market.received(state.flow)
        state = dataclasses.replace(state, history=np.stack([utility] * 3))
    return state


class Seen(NamedTuple):
    """States after some rounds, stacked; of them what is looked at."""

    agent_updates: Int[Array, "records markets"]
    state: State | None


class Recorder:
    """What is recorded of a run."""

    def __init__(self, market: Market, record, is_steady: bool, num_records: int):
        self.market, self.record, self.is_steady = market, record, is_steady
        self.on_host = num_records * market.links.num_slots <= ON_HOST and are_known(record)
        self.rows: list = []

    def add(self, seen: Seen, count: int) -> None:
        """The first `count` states of these."""
        updates = np.asarray(seen.agent_updates)[:count]
        if seen.state is None:
            self.rows.append((updates, {}))
            return
        if self.on_host:
            states = jax.tree.map(lambda x: np.asarray(x)[:count], seen.state)
            found = observations_on_host(self.market, self.record, states, self.is_steady)
        else:
            found = _look(self.market, self.record, seen.state, np.int64(count), self.is_steady)
            found = jax.tree.map(lambda x: np.asarray(x)[:count], found)
        self.rows.append((updates, found))

    def result(self) -> tuple:
        """Updates and records of all states, a row for each."""
        return jax.tree.map(lambda *parts: np.concatenate(parts), *self.rows)


@compiled
def _look(market: Market, record, states: State, count, is_steady: bool):
    """What is to be recorded of each of the first `count` stacked states."""

    def look(row):
        return observations(market, record, jax.tree.map(lambda x: x[row], states), is_steady)

    room = len(states.round)
    if room == 1:
        return jax.tree.map(lambda x: x[None], look(0))
    tables = _room_for(room, look, 0)
    return jax.lax.fori_loop(0, count, lambda row, tables: _with_row(tables, row, look(row)), tables)


def _room_for(rows: int, make, *args):
    """Tables for so many of what `make` gives."""
    like = jax.eval_shape(make, *args)
    return jax.tree.map(lambda x: jnp.zeros((rows, *x.shape), x.dtype), like)


def _with_row(tables, row, values):
    return jax.tree.map(lambda table, x: jax.lax.dynamic_update_index_in_dim(table, x, row, 0), tables, values)


# -- rounds ----------------------------------------------------------------------------------------


def _play_large(rules: Rules, state: State, lengths, every: int, starts_even: bool, recorder: Recorder):
    """The final state and the breaches; any market."""
    rules = dataclasses.replace(rules, strategy=as_dtype(rules.strategy, state.flow.dtype))
    at = form_of(rules, every, starts_even).begin(begin(rules, state))
    size = 2 * state.flow.nbytes + state.history.nbytes + state.total_utility.nbytes
    room = min(max(STACKED // size, 1), MOST_STACKED) if recorder.record else MOST_STACKED
    room = 1 << min(int(room).bit_length(), len(lengths).bit_length()) - 1
    rules, at = _on_device((rules, at))
    for first in range(0, len(lengths), room):
        some = lengths[first : first + room]
        rows = np.zeros(room, np.int64)
        rows[: len(some)] = some
        at, seen, final = _play_span(
            rules,
            at,
            rows,
            np.int64(len(some)),
            every=min(every, _scaling.LEAST_ROUNDS),
            starts_even=starts_even,
            keeps_states=bool(recorder.record),
        )
        recorder.add(seen, len(some))
    return final, None if rules.are_trusted else at.breach


def _play_small(rules: Rules, state: State, lengths, recorder: Recorder):
    """The same of a small market, in the shape that it shares with others."""
    market, n = rules.market, rules.market.num_agents
    numbers = _small.in_shape(market, rules.strategy)
    shared, place = numbers.market, numbers.place
    dtype = state.flow.dtype
    known = known_facts(shared, None, dtype)
    strategy = as_dtype(numbers.strategy, dtype)
    at = None
    for first, some, is_record in _small.spans(lengths):
        start = int(state.round) + first
        own = Rules(
            shared,
            known,
            strategy,
            _small.turns(market, shared, rules.plan, start, rules.key),
            _small.surplus(market, shared, rules.endowments, start, rules.key),
            None,
            rules.is_steady,
        )
        if at is None:
            at = begin(own, _small.to_shape(place, state))
        rows = np.zeros(_small.ROUNDS, np.int64)
        rows[: len(some)] = some
        at, seen, final = _play_span(own, at, rows, np.int64(len(some)), every=1, starts_even=False, keeps_states=bool(recorder.record))
        order = np.argsort(~np.append(is_record, np.zeros(len(rows) - len(some), bool)), kind="stable")
        seen = jax.tree.map(lambda x, order=order: np.asarray(x)[order], seen)
        if seen.state is not None:
            seen = Seen(seen.agent_updates, _small.from_shape(place, seen.state))
        recorder.add(seen, np.count_nonzero(is_record))
    breach = None
    if not own.are_trusted:
        breach = jax.tree.map(lambda x: market.stored(np.asarray(x)[:n]), at.breach)
    return _small.from_shape(place, jax.tree.map(np.asarray, final)), breach


@compiled
def _play_span(rules: Rules, at, lengths, count, *, every: int, starts_even: bool, keeps_states: bool):
    """So many rounds before each of the first `count` records: what follows, what is seen, the last state."""
    form = form_of(rules, every, starts_even)
    market = rules.market

    def see(now: Moment) -> Seen:
        return Seen(now.agent_updates, state_of(market, now) if keeps_states else None)

    if len(lengths) == 1:
        at = form.advance(at, lengths[0])
        seen = jax.tree.map(lambda x: x[None], see(form.show(at)))
        return at, seen, state_of(market, form.show(at))
    tables = _room_for(len(lengths), lambda: see(form.show(at)))

    def play_and_see(row, carry):
        at, tables = carry
        at = form.advance(at, lengths[row])
        return at, _with_row(tables, row, see(form.show(at)))

    at, tables = jax.lax.fori_loop(0, count, play_and_see, (at, tables))
    return at, tables, state_of(market, form.show(at))


def _on_device(tree):
    return jax.tree.map(lambda x: jnp.asarray(x) if isinstance(x, np.ndarray) else x, tree)
