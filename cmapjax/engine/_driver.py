"""How a plain run is played: rounds by one compiled program, what is recorded by another or by NumPy.

Rounds and records take equally long to compile. Apart, rounds are compiled once whatever is recorded, and
records once whatever the strategy. Between them pass states: one at a time of a large market, stacked where
they are small. How many rounds lie between two records, and how many there are in all, is data.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Int

from cmapjax import metrics
from cmapjax.engine import _play, _scaling, _small
from cmapjax.engine._play import Moment, Rules
from cmapjax.engine._records import Record, observations, observations_on_host, rounds_apart
from cmapjax.engine._round import known_facts
from cmapjax.engine._run import Run, State, as_dtype, begin, form_of, state_of, whole
from cmapjax.market._market import Market
from cmapjax.runtime._precision import namespace
from cmapjax.runtime._progress import Bar
from cmapjax.runtime._settings import compiled, is_traced
from cmapjax.schedules._schedule import EveryonePlan, suited

# States are stacked up to so many bytes, and so many of them.
STACKED, MOST_STACKED = 8_000_000, 128
# Records so many rounds apart are seldom.
SELDOM = 8
# Of a run of which nothing is recorded so many rounds are played at a time.
LONG = 500
# Of a run of so many slots times rounds compiling takes longer than playing.
SHORT = 50_000_000
# Records of runs up to so many slots times records are NumPy's.
ON_HOST = 5_000_000


def pays(market: Market, record, played, dtype) -> bool:
    """Whether rounds and records are to be two programs.

    A state too large to be stacked is handed over by itself, which takes as long as a round or two: where
    every few rounds are recorded, one program plays and records.
    """
    return (
        not record or rounds_apart(played) >= SELDOM or 4 * market.links.num_slots * dtype.itemsize <= STACKED
    )


def play(
    market: Market,
    beyond,
    strategy,
    plan,
    endowments,
    record,
    state: State,
    key,
    bar: Bar,
    *,
    played: Int[np.ndarray, "records"],
    is_steady: bool,
    starts_even: bool,
    is_native: bool = False,
) -> Run:
    """The run from this start; nothing may be traced, and all is on one device.

    Args:
        market: without names.
        beyond: `beyond_table` of the strategy's hops, or None.
        state: the start, as `simulate` makes it.
        bar: told how many rounds have been played.
        played: after which rounds something is recorded, from 0 to the last (`recorded_rounds`).
        is_steady: as in `Rules`.
        starts_even: whether everybody splits equally at the start.
        is_native: as in `Rules`.
    """
    state = whole(market, jax.tree.map(np.asarray, state))
    rounds, every = int(played[-1]), rounds_apart(played)
    nothing_to_see = not record and isinstance(plan, EveryonePlan)
    lengths = np.diff(played, prepend=0)
    if nothing_to_see:  # in parts, so that the bar moves
        lengths = np.diff(np.append(np.arange(LONG, rounds, LONG), rounds), prepend=0)
    recorder = Recorder(market, record, is_steady, len(lengths))
    known = known_facts(market, beyond, state.flow.dtype)
    rules = Rules(market, known, strategy, plan, endowments, key, is_steady, is_native)
    if beyond is None and not is_native and _small.is_small(market, strategy, plan, endowments):
        final, breach = _play_small(rules, state, lengths, recorder, bar)
    else:
        every = rounds if nothing_to_see else every
        final, breach = _play_large(rules, state, lengths, every, starts_even, recorder, bar)
    updates, records = recorder.result()
    if nothing_to_see:
        updates = state.agent_updates + played[:, None] * _play.count(market, None)
    return Run(played + state.round, updates, records, final, breach=breach)


class Recorder:
    """What is recorded of a run."""

    def __init__(self, market: Market, record, is_steady: bool, num_records: int):
        self.market, self.record, self.is_steady = market, record, is_steady
        self.on_host = num_records * market.links.num_slots <= ON_HOST and all(
            map(metrics._is_known, record.values())
        )
        # What compiled code reads again and again is handed over once.
        self.handed = None if self.on_host else _on_device((market, Record(record)))
        self.rows: list = []

    def add(self, states: State, room: int, count: int | None = None) -> None:
        """These stacked states, at most `room`; or the first `count` of them."""
        updates = np.asarray(states.agent_updates)[:count]
        if not self.record or not len(updates):
            found = {}
        elif self.on_host:
            states = jax.tree.map(lambda x: np.asarray(x)[:count], states)
            found = observations_on_host(self.market, self.record, states, self.is_steady)
        else:
            found = self._compiled(states, room, len(updates))
        self.rows.append((updates, found))

    def _compiled(self, states: State, room: int, count: int):
        if len(states.round) < room:  # for one program, whatever the number
            states = jax.tree.map(lambda x: _with_more(np.asarray(x), room - count), states)
        found = _look(*self.handed, states, np.int64(count), self.is_steady)
        # A function may hold traced numbers unseen; then so are its records.
        return jax.tree.map(lambda x: x[:count] if is_traced(x) else np.asarray(x)[:count], found)

    def add_moment(self, now: Moment) -> None:
        """One state as the engine holds it, on its device."""
        if self.record and self.on_host:
            self.add(jax.tree.map(lambda x: x[None], _state(self.market, now)), 1)
            return
        found = _look_at(*self.handed, now, self.is_steady) if self.record else {}
        # Traced numbers, of a function that holds them unseen, stay where they are.
        found = jax.tree.map(lambda x: x[None] if is_traced(x) else np.asarray(x)[None], found)
        self.rows.append((np.asarray(now.agent_updates)[None], found))

    def result(self) -> tuple:
        """Updates and records of all states, a row for each."""
        return jax.tree.map(lambda *parts: namespace(parts).concatenate(parts), *self.rows)


@compiled
def _look(market: Market, record, states: State, count, is_steady: bool):
    """What is to be recorded of each of the first `count` stacked states."""

    def look(row):
        return observations(market, record, jax.tree.map(lambda x: x[row], states), is_steady)

    tables = _room_for(len(states.round), look, 0)
    return jax.lax.fori_loop(0, count, lambda row, tables: _with_row(tables, row, look(row)), tables)


@compiled
def _look_at(market: Market, record, now: Moment, is_steady: bool):
    """What is to be recorded of a state of a market so large that it is not copied before."""
    return observations(market, record, state_of(market, now), is_steady)


_state = compiled(state_of)


def _room_for(rows: int, make, *args):
    """Tables for so many of what `make` gives."""
    like = jax.eval_shape(make, *args)
    return jax.tree.map(lambda x: jnp.zeros((rows, *x.shape), x.dtype), like)


def _with_row(tables, row, values):
    put = jax.lax.dynamic_update_index_in_dim
    return jax.tree.map(lambda table, x: put(table, x, row, 0), tables, values)


# -- rounds ----------------------------------------------------------------------------------------


def _play_large(rules: Rules, state: State, lengths, every: int, starts_even: bool, recorder: Recorder, bar):
    """The final state and the breaches; any market."""
    strategy, plan = rules.strategy, suited(rules.plan, rules.market)
    if plan.is_everyone and not rules.is_native and lengths.sum() * state.flow.size <= SHORT:
        strategy = _small.shared(strategy)
    rules = dataclasses.replace(rules, strategy=as_dtype(strategy, state.flow.dtype), plan=plan)
    at = form_of(rules, every, starts_even).begin(begin(rules, state))
    size = 2 * state.flow.nbytes + state.history.nbytes + state.total_utility.nbytes
    room = 1 << min(max(STACKED // size, 1), MOST_STACKED).bit_length() - 1
    if not recorder.record:
        room = 1 if isinstance(rules.plan, EveryonePlan) else MOST_STACKED
    rules, at = _on_device((rules, at))
    facts = {"every": min(every, _scaling.LEAST_ROUNDS), "starts_even": starts_even}
    for first in range(0, len(lengths), room):
        some = lengths[first : first + room]
        if room == 1:
            at, shown = _play_on(rules, at, some[0], **facts)
            now = at if shown is None else shown
            recorder.add_moment(now)
            final = _state(rules.market, now) if first + 1 == len(lengths) else None
        else:
            rows, count = np.append(some, np.zeros(room - len(some), np.int64)), np.int64(len(some))
            at, seen, final = _play_span(rules, at, rows, count, keeps_states=bool(recorder.record), **facts)
            recorder.add(seen, room, len(some))
        bar.advance(int(some.sum()))
    return final, None if rules.are_trusted else at.breach


def _play_small(rules: Rules, state: State, lengths, recorder: Recorder, bar: Bar):
    """The same of a small market, of which every round is kept."""
    breach, ends = None, np.cumsum(lengths) + state.round
    seen = [jax.tree.map(lambda x: x[None], state)]  # the start
    for states, broken in _small.play(rules, state, int(lengths.sum())):
        due = np.isin(states.round, ends)
        seen.append(jax.tree.map(lambda x, due=due: x[due], states))
        recorder.add(jax.tree.map(lambda *parts: np.concatenate(parts), *seen), _small.ROUNDS + 1)
        bar.advance(len(states.round))
        state, breach, seen = jax.tree.map(lambda x: np.asarray(x[-1]), states), broken, []
    if seen:
        recorder.add(*seen, 1)
    return state, breach


@compiled(donate="all-except-first")
def _play_on(rules: Rules, at, length, *, every: int, starts_even: bool):
    """So many rounds later; and the same as a `Moment`, if it is another thing. What was before is gone."""
    form = form_of(rules, every, starts_even)
    at = form.advance(at, length)
    shown = form.show(at)
    return at, None if shown is at else shown


@compiled
def _play_span(rules: Rules, at, lengths, count, *, every: int, starts_even: bool, keeps_states: bool):
    """So many rounds before each of the first `count` records: what follows, what is seen, the last state."""
    form = form_of(rules, every, starts_even)
    market = rules.market

    def see(now: Moment) -> State:
        return state_of(market, now) if keeps_states else State(None, None, None, None, now.agent_updates)

    tables = _room_for(len(lengths), lambda: see(form.show(at)))

    def play_and_see(row, carry):
        at, tables = carry
        at = form.advance(at, lengths[row])
        return at, _with_row(tables, row, see(form.show(at)))

    at, tables = jax.lax.fori_loop(0, count, play_and_see, (at, tables))
    return at, tables, state_of(market, form.show(at))


def _with_more(x: np.ndarray, rows: int) -> np.ndarray:
    return np.concatenate([x, np.zeros((rows, *x.shape[1:]), x.dtype)])


def _on_device(tree):
    return jax.tree.map(lambda x: jnp.asarray(x) if isinstance(x, np.ndarray) else x, tree)
