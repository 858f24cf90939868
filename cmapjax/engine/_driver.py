"""How a plain run is played: one compiled program plays rounds, another one or NumPy records.

Rounds and records take equally long to compile. In two programs, rounds are compiled once for all records,
and records once for all strategies. States are handed from one to the other: those of a large market one by
one, small ones stacked. The number of rounds between two records, and in all, is data.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Int

from cmapjax.engine import _play, _scaling, _small
from cmapjax.engine._play import Rules, StoredState
from cmapjax.engine._records import Record, observations, observations_on_host, rounds_apart
from cmapjax.engine._run import Run, Setup, State, as_dtype, completed, form_of, state_of, stored_start
from cmapjax.market._market import Market
from cmapjax.metrics._recorded import is_known
from cmapjax.runtime._precision import namespace
from cmapjax.runtime._progress import Bar
from cmapjax.runtime._settings import compiled, is_traced
from cmapjax.schedules._plans import EveryonePlan, suited

# States are stacked up to this many bytes, and this many at a time.
STACKED, MOST_STACKED = 8_000_000, 128
# Records at least this many rounds apart count as rare.
SELDOM = 8
# A run without records is played in parts of this many rounds, so that the progress bar moves.
LONG = 500
# For runs of up to this many slots times rounds, compiling takes longer than playing.
SHORT = 50_000_000
# Up to this many slots times records, NumPy computes the records.
ON_HOST = 5_000_000


def pays(market: Market, record, played, dtype) -> bool:
    """Whether it is quicker to have two programs for rounds and for records.

    Handing over a state that is too large to be stacked takes as long as a round or two. If such states are
    recorded every few rounds, one program that plays and records is quicker.
    """
    return (
        not record or rounds_apart(played) >= SELDOM or 4 * market.links.num_slots * dtype.itemsize <= STACKED
    )


def play(setup: Setup, state: State, bar: Bar, *, played: Int[np.ndarray, "records"]) -> Run:
    """The run from this start; nothing may be traced, and all is on one device.

    Args:
        setup: what is played and recorded.
        state: the start, as `simulate` makes it.
        bar: the progress bar.
        played: after which rounds something is recorded, from 0 to the last (`recorded_rounds`).
    """
    market, record, plan = setup.market, setup.record, setup.plan
    state = completed(market, jax.tree.map(np.asarray, state))
    rounds, every = int(played[-1]), rounds_apart(played)
    nothing_to_see = not record and isinstance(plan, EveryonePlan)
    lengths = np.diff(played, prepend=0)
    if nothing_to_see:  # in parts, so that the bar moves
        lengths = np.diff(np.append(np.arange(LONG, rounds, LONG), rounds), prepend=0)
    recorder = Recorder(market, record, setup.is_steady, len(lengths))
    rules = setup.rules(state.flow.dtype)
    can_be_small = setup.beyond is None and not setup.is_native
    if can_be_small and _small.is_small(market, setup.strategy, plan, setup.endowments):
        final, breach = _play_small(rules, state, lengths, recorder, bar)
    else:
        every = rounds if nothing_to_see else every
        final, breach = _play_large(rules, state, lengths, every, setup.starts_even, recorder, bar)
    updates, records = recorder.result()
    if nothing_to_see:
        updates = state.agent_updates + played[:, None] * _play.count(market, None)
    return Run(played + state.round, updates, records, final, breach=breach)


class Recorder:
    """Collects what is recorded of a run."""

    def __init__(self, market: Market, record, is_steady: bool, num_records: int):
        self.market, self.record, self.is_steady = market, record, is_steady
        self.on_host = num_records * market.links.num_slots <= ON_HOST and all(map(is_known, record.values()))
        # Put on the device once, because compiled code reads it for every record.
        self.handed = None if self.on_host else _on_device((market, Record(record)))
        self.rows: list = []

    def add(self, states: State, room: int, count: int | None = None) -> None:
        """Add stacked states, at most `room`, or the first `count` of them."""
        updates = np.asarray(states.agent_updates)[:count]
        if not len(updates):  # rounds between two records, in a call of their own
            return
        if not self.record:
            found = {}
        elif self.on_host:
            states = jax.tree.map(lambda x: np.asarray(x)[:count], states)
            found = observations_on_host(self.market, self.record, states, self.is_steady)
        else:
            found = self._compiled(states, room, len(updates))
        self.rows.append((updates, found))

    def _compiled(self, states: State, room: int, count: int):
        if len(states.round) < room:  # padded, so that one program serves any number of states
            states = jax.tree.map(lambda x: _with_more(np.asarray(x), room - count), states)
        found = _records_of_many(*self.handed, states, np.int64(count), self.is_steady)
        # A recorded function may close over traced numbers; then its records are traced.
        return jax.tree.map(lambda x: x[:count] if is_traced(x) else np.asarray(x)[:count], found)

    def add_stored(self, now: StoredState) -> None:
        """Add one state as the engine holds it, on its device."""
        if self.record and self.on_host:
            self.add(jax.tree.map(lambda x: x[None], _state(self.market, now)), 1)
            return
        found = _records_of_one(*self.handed, now, self.is_steady) if self.record else {}
        # Traced records, of a function that closes over traced numbers, stay as they are.
        found = jax.tree.map(lambda x: x[None] if is_traced(x) else np.asarray(x)[None], found)
        self.rows.append((np.asarray(now.agent_updates)[None], found))

    def result(self) -> tuple:
        """Updates and records of all states, a row for each."""
        return jax.tree.map(lambda *parts: namespace(parts).concatenate(parts), *self.rows)


@compiled
def _records_of_many(market: Market, record, states: State, count, is_steady: bool):
    """What is to be recorded of each of the first `count` stacked states."""

    def look(row):
        return observations(market, record, jax.tree.map(lambda x: x[row], states), is_steady)

    tables = _empty_tables(len(states.round), look, 0)
    return jax.lax.fori_loop(0, count, lambda row, tables: _with_row(tables, row, look(row)), tables)


@compiled
def _records_of_one(market: Market, record, now: StoredState, is_steady: bool):
    """What is to be recorded of one state, which is not copied to the host, of a large market."""
    return observations(market, record, state_of(market, now), is_steady)


_state = compiled(state_of)


def _empty_tables(rows: int, make, *args):
    """Tables of zeros with this many rows for what `make` returns."""
    like = jax.eval_shape(make, *args)
    return jax.tree.map(lambda x: jnp.zeros((rows, *x.shape), x.dtype), like)


def _with_row(tables, row, values):
    put = jax.lax.dynamic_update_index_in_dim
    return jax.tree.map(lambda table, x: put(table, x, row, 0), tables, values)


# -- rounds ----------------------------------------------------------------------------------------


def _play_large(rules: Rules, state: State, lengths, every: int, starts_even: bool, recorder: Recorder, bar):
    """The final state and the breaches; any market."""
    strategy, plan = rules.strategy, suited(rules.plan, rules.market)
    if (
        plan.is_everyone
        and not rules.is_native
        and not rules.market.terms
        and lengths.sum() * state.flow.size <= SHORT
    ):
        strategy = _small.shared(strategy)
    rules = dataclasses.replace(rules, strategy=as_dtype(strategy, state.flow.dtype), plan=plan)
    at = form_of(rules, every, starts_even).to_carry(stored_start(rules, state))
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
            recorder.add_stored(now)
            final = _state(rules.market, now) if first + 1 == len(lengths) else None
        else:
            rows, count = np.append(some, np.zeros(room - len(some), np.int64)), np.int64(len(some))
            at, seen, final = _play_span(rules, at, rows, count, keeps_states=bool(recorder.record), **facts)
            recorder.add(seen, room, len(some))
        bar.advance(int(some.sum()))
    return final, None if rules.are_trusted else at.breach


def _play_small(rules: Rules, state: State, lengths, recorder: Recorder, bar: Bar):
    """The final state and the breaches of a small market, whose states are all kept on the host."""
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
    """The carry after `length` rounds, and the state if that is another object. The old carry is
    overwritten."""
    form = form_of(rules, every, starts_even)
    at = form.play(at, length)
    shown = form.to_state(at)
    return at, None if shown is at else shown


@compiled
def _play_span(rules: Rules, at, lengths, count, *, every: int, starts_even: bool, keeps_states: bool):
    """Plays `lengths[k]` rounds before record k, for `count` records.

    Returns:
        The carry, the states to record, and the last state.
    """
    form = form_of(rules, every, starts_even)
    market = rules.market

    def see(now: StoredState) -> State:
        return state_of(market, now) if keeps_states else State(None, None, None, None, now.agent_updates)

    tables = _empty_tables(len(lengths), lambda: see(form.to_state(at)))

    def play_and_see(row, carry):
        at, tables = carry
        at = form.play(at, lengths[row])
        return at, _with_row(tables, row, see(form.to_state(at)))

    at, tables = jax.lax.fori_loop(0, count, play_and_see, (at, tables))
    return at, tables, state_of(market, form.to_state(at))


def _with_more(x: np.ndarray, rows: int) -> np.ndarray:
    return np.concatenate([x, np.zeros((rows, *x.shape[1:]), x.dtype)])


def _on_device(tree):
    return jax.tree.map(lambda x: jnp.asarray(x) if isinstance(x, np.ndarray) else x, tree)
