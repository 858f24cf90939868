"""The compiled loop that plays rounds and records, and what a run returns."""

import dataclasses
from collections.abc import Callable, Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from cmapjax import metrics
from cmapjax.endowments import Endowments
from cmapjax.engine import _play, _scaling
from cmapjax.engine._native import _form
from cmapjax.engine._play import Rules, StoredState, play_round
from cmapjax.engine._records import observations, rounds_apart
from cmapjax.engine._round import Flows, known_facts
from cmapjax.engine._tables import dataset_of, frame_of
from cmapjax.engine._terms import repeated_rows, terms_of
from cmapjax.market._feasibility import Breach, no_breach
from cmapjax.market._filled import weights
from cmapjax.market._market import Market
from cmapjax.runtime._derivatives import scan_in_chunks
from cmapjax.runtime._precision import float64_on_host, namespace
from cmapjax.runtime._settings import compiled
from cmapjax.runtime._types import Array
from cmapjax.schedules._plans import EveryonePlan, Plan
from cmapjax.strategies import Strategy


class State(eqx.Module):
    """A market between two rounds: all that the next round and the metrics need."""

    round: Int[Array, ""]
    """Rounds played so far."""
    flow: Float[Array, "slots"]
    """y_ij of the last round, in the market's own layout (`Market.arc_values` reads it)."""
    history: Float[Array, "3 agents"]
    """Utilities of the last round, the one before, and the one before that."""
    total_utility: Float[Array, "agents"]
    """Value received over all rounds played (float64)."""
    agent_updates: Int[Array, "markets"]
    """For each market, how many times one of its agents has acted."""
    received: Float[Array, "slots"] | None = None
    """y_ji of the last round: the receivers' copy of the flow, equal to `market.mirror(flow)` up to rounding.
    If it is None, it is made from the flow."""
    claim: Float[Array, "agents"] | None = None
    """β_j, what agents claim after the last round; None in a market without demands, and at a start."""

    @property
    def utility(self) -> Float[Array, "agents"]:
        """u_j of the last round: value received."""
        return self.history[0]

    @property
    @float64_on_host
    def average_utility(self) -> Float[Array, "agents"]:
        """Mean value received per round so far (of the start, before the first round)."""
        return _play.average_utility(self)


class Run(eqx.Module):
    """What `simulate` returns. Arrays are NumPy's, or JAX's inside a transformation."""

    rounds: Int[Array, "records"]
    """The rounds after which something was recorded; the first is the start."""
    agent_updates: Int[Array, "records markets"]
    """For each record, how often an agent of the market had acted by then."""
    records: dict[str, Array]
    """What was recorded, by name: one row per record, one column per market."""
    final: State
    """The state after the last round, from which a run can be continued (`simulate(start=…)`)."""
    # `simulate` computes the rest on the host, because compiling would take longer than running.
    verdict: Int[Array, "markets"] | None = None
    """What became of each market: a place in `metrics.VERDICTS`, as `metrics.verdict` gives it."""
    gap: Float[Array, "markets"] | None = None
    """The certified gap that the verdict rests on: of the last allocation, or of the running averages where
    surplus varies or the strategy looks at them."""
    spending_error: Float[Array, "markets"] | None = None
    """How far the last rows are from spending the round's budget, relative: rounding, or a fault."""
    breach: Breach | None = None
    """Which agents broke a law of spending in which round; None under strategies of this package."""
    rounds_by: str = eqx.field(static=True, default="xla")
    """What played the rounds: "native" (the package's own code for a CPU) or "xla"."""
    varies: bool = eqx.field(static=True, default=False)
    """Whether surplus varied from round to round, so that running averages are to be compared."""

    @property
    def verdicts(self) -> list[str]:
        """What became of each market, in words."""
        return [metrics.VERDICTS[code] for code in np.asarray(self.verdict)]

    def to_frame(self, market: Market):
        """What was recorded of the markets: a pandas DataFrame, a row per recorded round and market.

        Columns: market (its number), round (0 is the start), agent_updates, and by its name every record that
        is one number per market, as in the tables of a study. What was recorded of agents is in `receipts`
        and `to_xarray`.

        Args:
            market: whose run it is.

        Returns:
            Rows by round, then by market.

        Raises:
            ValueError: another market; a record of another shape.
        """
        return frame_of(self, market)

    def to_xarray(self, market: Market):
        """The run as an xarray Dataset, agents by their labels.

        Dimensions: round, market, agent. Variables: every record; agent_updates; of the last round each
        agent's utility u_j (value), beside its contribution w_j; the verdict on each market and the certified
        gap that it rests on (verdict_gap).

        Args:
            market: whose run it is.

        Returns:
            The Dataset; its variables are float64 but for counts and words.

        Raises:
            ValueError: another market; a record of another shape.
            ModuleNotFoundError: without xarray.
        """
        return dataset_of(self, market)

    def receipts(self, market: Market, times: Sequence | None = None):
        """What every agent received in every recorded round: a pandas DataFrame, a row per round and agent.

        Columns: round (1 is the first), time (if given), market (if there are several), agent (its label) and
        received (value).

        Args:
            market: whose run it is.
            times: of every round from the first on, such as `trace.times`.

        Returns:
            A pandas DataFrame, by round, then in the market's order of agents.

        Raises:
            ValueError: the run has not recorded `metrics.received` under the name "received"; too few times.
        """
        import pandas as pd

        if "received" not in self.records:
            raise ValueError('receipts were not recorded; simulate with record=["received"].')
        is_round = np.asarray(self.rounds) > 0
        rounds, received = (np.asarray(x)[is_round] for x in (self.rounds, self.records["received"]))
        return pd.DataFrame(receipts(market, rounds, received, times))

    @property
    def reasons(self) -> list[str]:
        """The verdicts with the certified gaps they rest on, e.g. "converged (certified gap 3.1e-09)"."""
        gaps = np.asarray(self.gap).tolist()
        return [f"{word} (certified gap {gap:.1e})" for word, gap in zip(self.verdicts, gaps, strict=True)]


def receipts(
    market: Market,
    rounds: Int[np.ndarray, "rounds"],
    received: Float[np.ndarray, "rounds agents"],
    times=None,
) -> dict:
    """The columns of `Run.receipts`, for some rounds."""
    if times is not None and len(rounds) and len(times) < rounds[-1]:
        raise ValueError(f"times: {len(times)} for {rounds[-1]} rounds; give one for every round.")
    labels = np.empty(market.num_agents, object)
    labels[:] = list(market.labels)
    columns = {"round": np.repeat(rounds, market.num_agents)}
    if times is not None:
        stamps = np.empty(len(rounds), object)
        stamps[:] = [times[round - 1] for round in rounds.tolist()]
        columns["time"] = np.repeat(stamps, market.num_agents)
    if market.num_markets > 1:
        columns["market"] = np.tile(np.asarray(market.market_of), len(rounds))
    return columns | {"agent": np.tile(labels, len(rounds)), "received": received.ravel()}


def _observed(rules: Rules, record, now: StoredState) -> tuple:
    """What `observe` sees of a state, as the engine holds it."""
    state = state_of(rules.market, now)
    return now.agent_updates, observations(rules.market, record, state, rules.is_steady)


def completed(market: Market, state: State) -> State:
    """The state with the fields that were left out, which follow from its flow."""
    if state.flow is None:
        state = dataclasses.replace(state, flow=_equal_flow(market).astype(state.history.dtype))
    if state.claim is None and market.demand is not None:
        claim = weights(market).astype(state.history.dtype)
        state = dataclasses.replace(state, claim=claim)
    if state.received is None:
        state = dataclasses.replace(state, received=market.mirror(state.flow))
    if not len(state.history):
        utility = market.received(state.flow).astype(state.flow.dtype)
        state = dataclasses.replace(state, history=namespace(utility).stack([utility] * 3))
    return state


def _equal_flow(market: Market) -> Float[Array, "slots"]:
    """Everybody's contribution in equal parts, up to the capacities."""
    if not market.terms:
        return market.equal_flow()
    terms = terms_of(market, np.float64)
    nothing = [jnp.zeros_like(x, dtype=np.float64) for x in terms.sent.is_open]
    rows = repeated_rows(market.links, terms, nothing, market.stored(market.contribution))
    return market.links.join(rows)


# Recording the start is a program of its own, so that strategies compared on a market compile it once.
@compiled
def observe(market: Market, record, state: State, is_steady: bool = False):
    """The completed state, and what is to be recorded of it.

    `is_steady` is as in `Rules`; it matters in float32 only.
    """
    state = completed(market, state)
    seen = state.agent_updates, observations(market, record, state, is_steady)
    return jax.tree.map(market.links.everywhere, (state, seen))


class Setup(eqx.Module):
    """What a run plays and records, as `simulate` has checked it."""

    market: Market
    """The market without names."""
    beyond: Int[Array, "agents members"] | None
    """`beyond_table` of the strategy's hops, or None."""
    strategy: Strategy
    plan: Plan
    endowments: Endowments
    record: dict[str, Callable]
    key: Array | None
    is_steady: bool = eqx.field(static=True)
    """As in `Rules`."""
    starts_even: bool = eqx.field(static=True)
    """Whether the start is the equal split."""
    is_native: bool = eqx.field(static=True, default=False)
    """As in `Rules`."""

    def rules(self, dtype) -> Rules:
        """The rules of a run in this precision."""
        facts = self.strategy, self.plan, self.endowments, self.key, self.is_steady, self.is_native
        return Rules(self.market, known_facts(self.market, self.beyond, dtype), *facts)


@compiled
def run_rounds(setup: Setup, state: State, seen, *, played: tuple[int, ...], saves_memory: bool) -> Run:
    """The run from this start; `seen` is what `observe` returned for it, `played` a tuple of recorded
    rounds."""
    dtype, market, record = state.flow.dtype, setup.market, setup.record
    setup = dataclasses.replace(setup, strategy=as_dtype(setup.strategy, dtype))
    rules = setup.rules(dtype)
    out = jax.tree.map(lambda x: jnp.zeros((len(played), *x.shape), x.dtype).at[0].set(x), seen)
    now = stored_start(rules, state)
    if played[-1] and saves_memory:
        now, out = _record_if_due(rules, record, now, out, np.array(played))
    elif played[-1]:
        now, out = _record_between(rules, record, now, out, np.array(played), setup.starts_even)
    updates, records = out
    last = state_of(market, now)
    run = Run(
        jnp.asarray(played) + state.round,
        updates,
        records,
        last,
        breach=now.breach,
    )
    return jax.tree.map(market.links.everywhere, run)


def _record_between(rules: Rules, record, now: StoredState, out, played, starts_even: bool):
    """Plays spans of rounds with a record after each, which is written in place."""
    updates, tables = out
    rounds, every, lengths = int(played[-1]), rounds_apart(played), np.diff(played)
    if not record and isinstance(rules.plan, EveryonePlan):  # nothing to stop for
        updates = updates[0] + jnp.asarray(played)[:, None] * _play.count(rules.market, None)
        form = form_of(rules, rounds, starts_even)
        return form.to_state(form.play(form.to_carry(now), rounds)), (updates, tables)
    form, first = form_of(rules, every, starts_even), int(lengths[0])
    are_equal = bool(np.all(lengths == first))

    def span(carry, row_and_length):
        (carry, out), (row, length) = carry, row_and_length
        carry = form.play(carry, first if are_equal else length)
        seen = _observed(rules, record, form.to_state(carry))
        return (carry, jax.tree.map(lambda table, x: table.at[row].set(x), out, seen)), None

    rows = jnp.arange(1, len(played)), jnp.asarray(lengths)
    (carry, out), _ = jax.lax.scan(span, (form.to_carry(now), (updates, tables)), rows)
    return form.to_state(carry), out


def form_of(rules: Rules, every: int, starts_even: bool) -> _play.RoundByRound | _scaling.ScaledRounds:
    """The way to play rounds (see `_play.RoundByRound`) with `every` rounds between two records."""
    if rules.is_native:
        return _form.form_of(rules, every, starts_even)
    return (
        _scaling.ScaledRounds(rules, starts_even)
        if not rules.market.terms and _scaling.pays(rules, every)
        else _play.RoundByRound(rules)
    )


def _record_if_due(rules: Rules, record, now: StoredState, out, played):
    """Plays round after round in a form that JAX can differentiate with little memory."""
    first, rounds = now.round, int(played[-1])
    is_due = np.isin(np.arange(rounds + 1), played)

    def play(carry, _):
        now, out, row = carry
        now = play_round(rules, now)
        due = jnp.asarray(is_due)[now.round - first]

        def write(out):
            seen = _observed(rules, record, now)
            return jax.tree.map(lambda table, x: table.at[row].set(x), out, seen)

        out = jax.lax.cond(due, write, lambda out: out, out)
        return (now, out, row + due), None

    now, out, _ = scan_in_chunks(play, (now, out, jnp.ones((), jnp.int32)), rounds)
    return now, out


def stored_start(rules: Rules, state: State) -> StoredState:
    """The state as the engine holds it before the first round, in which no law is broken yet."""
    now = stored_state(rules.market, state)
    if rules.are_trusted:
        return now
    return dataclasses.replace(now, breach=no_breach(rules.market, state.flow.dtype))


def stored_state(market: Market, state: State) -> StoredState:
    """The state as the engine holds it."""
    blocks = market.links.blocks
    return StoredState(
        state.round,
        Flows(tuple(blocks(state.flow)), tuple(blocks(state.received))),
        tuple(market.stored(u) for u in state.history),
        market.stored(state.total_utility),
        state.agent_updates,
        claim=None if state.claim is None else market.stored(state.claim),
    )


def state_of(market: Market, now: StoredState) -> State:
    """The stored state in the caller's order and layout."""
    return State(
        now.round,
        market.links.join(now.flows.sent),
        jnp.stack([market.unstored(u) for u in now.history]),
        market.unstored(now.total_utility),
        now.agent_updates,
        market.links.join(now.flows.received),
        None if now.claim is None else market.unstored(now.claim),
    )


def as_dtype(tree, dtype):
    """The tree with its real-valued leaves in the precision of the run."""

    def cast(x):
        is_real = eqx.is_array(x) or isinstance(x, np.ndarray)
        return jnp.asarray(x, dtype) if is_real and jnp.issubdtype(x.dtype, jnp.floating) else x

    return jax.tree.map(cast, tree)
