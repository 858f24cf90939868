"""The loop: rounds of a market under a strategy and a schedule, and what was recorded of them."""

from collections.abc import Callable, Mapping

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from cmapjax import metrics
from cmapjax._checks import as_real, check_kind, check_span, short
from cmapjax._derivatives import guard_precision, is_traced, scan_in_chunks
from cmapjax._engine import Known, act_in_turns, act_together, known_facts, repeat_shares
from cmapjax._market import Market
from cmapjax._precision import float64_on_host
from cmapjax._random import check_key
from cmapjax._schedule import Plan, Schedule, Simultaneous
from cmapjax._types import Array
from cmapjax.endowments import Constant, Endowments
from cmapjax.strategies import PerAgent, Strategy

PRECISIONS = ("float32", "float64")


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
    """How many times an agent of the market has acted."""

    @property
    def utility(self) -> Float[Array, "agents"]:
        """u_j of the last round: value received."""
        return self.history[0]

    @property
    @float64_on_host
    def average_utility(self) -> Float[Array, "agents"]:
        """Mean value received per round so far (of the start, before the first round)."""
        played = jnp.maximum(self.round, 1)
        return jnp.where(self.round > 0, self.total_utility / played, self.history[0])


class Run(eqx.Module):
    """What `simulate` returns. Arrays are NumPy's, or JAX's inside a transformation."""

    rounds: Int[Array, "records"]
    """The rounds after which something was recorded; the first is the start."""
    agent_updates: Int[Array, "records markets"]
    """The other clock: how often an agent of the market had acted by then."""
    records: dict[str, Array]
    """What was recorded, by name: one row per record, one column per market."""
    final: State
    verdict: Int[Array, "markets"]
    """What became of each market: a place in `metrics.VERDICTS`."""
    spending_error: Float[Array, "markets"]
    """By how much the strategy's last rows miss the round's budget, relative (rounding, or a fault)."""

    @property
    def verdicts(self) -> list[str]:
        """What became of each market, in words."""
        return [metrics.VERDICTS[code] for code in np.asarray(self.verdict)]


def simulate(
    market: Market,
    strategy: Strategy,
    *,
    rounds: int = 100,
    schedule: Schedule | Plan = Simultaneous(),  # noqa: B008 - immutable
    endowments: Endowments = Constant(),  # noqa: B008 - immutable
    record: Mapping[str, Callable] | None = None,
    every: int = 1,
    start: State | Float[Array, "slots"] | None = None,
    precision: str = "float64",
    key: Array | None = None,
) -> Run:
    """The run of a market (or of every market of an ensemble) over some rounds.

    Args:
        market: one market, or many packed side by side.
        strategy: what every agent follows.
        rounds: how many to play.
        schedule: who acts in which turn; or a plan made from one, to plan only once.
        endowments: the surplus of each round.
        record: functions of (market, state) giving one number per market, by name; by default
            `metrics.standard()`.
        every: record after every so many rounds (and at the start, and at the end).
        start: a state to continue from, or a flow; by default everybody splits equally.
        precision: "float64" or "float32" of the run itself; records and certificates are float64.
        key: JAX random key, for random schedules and endowments. Round t draws from fold_in(key, t), so
            a run continued from a state equals one that was never interrupted.

    It can be differentiated, mapped and compiled (`docs/derivatives.md` says what is constant, and what
    reverse mode keeps in memory), inside x64 mode:

    >>> import jax, cmapjax as cj
    >>> market = cj.Market.from_links([[0, 1], [1, 2], [2, 3]], endowment=[1.0, 2.0, 3.0, 4.0])
    >>> def poorest(theta):
    ...     run = cj.simulate(market, cj.Damped(cj.CMAP(), theta), rounds=5, record={})
    ...     return run.final.utility.min()
    >>> with jax.enable_x64(True):
    ...     slope = jax.grad(poorest)(0.3)

    Raises:
        ValueError: any of these is out of range; contributions that the precision cannot hold; a
            missing key; a start that does not spend exactly the contributions; a derivative
            outside x64 mode.
    """
    record = metrics.standard() if record is None else dict(record)
    _check_options(market, strategy, schedule, endowments, rounds, every, precision, record)
    traced = is_traced((market, strategy, schedule, endowments, record, start))
    if traced:
        market, strategy, schedule, endowments, record, start = guard_precision(
            (market, strategy, schedule, endowments, record, start)
        )
    endowments.check(market, rounds + _rounds_played(start))
    is_random = endowments.is_random or getattr(schedule, "is_random", False)
    if is_random:
        check_key(key, "this schedule or these endowments")
    dtype = np.dtype(precision)
    with jax.enable_x64(True):
        plan = schedule if isinstance(schedule, Plan) else schedule.plan(market, strategy.hops)
        bare = market.bare()
        state = _start(bare, start, dtype)
        known = known_facts(bare, strategy.hops, dtype)
        seen = _observe(bare, record, state)
        run = _run(
            bare,
            known,
            strategy,
            plan,
            endowments,
            record,
            state,
            seen,
            key,
            rounds=rounds,
            every=every,
            saves_memory=traced,
        )
    return _to_numpy(run)


def _check_options(market, strategy, schedule, endowments, rounds, every, precision, record) -> None:
    for name, number, least in (("rounds", rounds, 0), ("every", every, 1)):
        if isinstance(number, bool) or not isinstance(number, (int, np.integer)) or number < least:
            raise ValueError(f"{name} is {number!r}; give a whole number, {least} or more.")
    if precision not in PRECISIONS:
        raise ValueError(f"precision is {precision!r}; give one of {', '.join(PRECISIONS)}.")
    check_kind("market", market, Market, "Market.from_links(…), or a reader of cmapjax.graphs")
    check_kind("strategy", strategy, Strategy, "CMAP()")
    if isinstance(strategy, PerAgent) and strategy.num_agents != market.num_agents:
        raise ValueError(
            f"strategy: parameters of {strategy.num_agents} agents for a market of {market.num_agents}."
        )
    check_kind("schedule", schedule, (Schedule, Plan), "Sequential()")
    check_kind("endowments", endowments, Endowments, "endowments.Exponential()")
    for name, observer in record.items():
        if not callable(observer):
            raise ValueError(f"record: {name} is {short(observer)}; give a function of (market, state).")
    contribution = market.contribution
    if not isinstance(contribution, jax.core.Tracer):
        check_span(np.asarray(contribution), precision, lambda i: market.labels[i])


def _rounds_played(start) -> int:
    """By a state to continue from; 0 if it cannot be told inside a transformation."""
    if not isinstance(start, State) or is_traced(start.round):
        return 0
    return int(start.round)


def _start(market: Market, start, dtype) -> State:
    if isinstance(start, State):
        if start.flow.shape != (market.links.num_slots,):
            raise ValueError(
                f"start: a state of {start.flow.shape[0]} slots does not fit a market of "
                f"{market.links.num_slots}; continue on the market that it came from."
            )
        cast = jax.tree.map(jnp.asarray, start)
        flow, history = cast.flow.astype(dtype), cast.history.astype(dtype)
        return eqx.tree_at(lambda s: (s.flow, s.history), cast, (flow, history))
    if start is None:
        flow = market.equal_flow()
    elif isinstance(start, jax.core.Tracer):
        if start.shape != (market.links.num_slots,):
            raise ValueError(f"start has shape {start.shape}; give {market.links.num_slots} slots.")
        flow = start
    else:
        flow = as_real("start", start, (market.links.num_slots,))
        with jax.ensure_compile_time_eval():
            _check_flow(market, flow)
    flow = jnp.asarray(flow, dtype)
    utility = market.received(flow)
    return State(
        jnp.zeros((), jnp.int64),
        flow,
        jnp.stack([utility] * 3),
        jnp.zeros(market.num_agents, jnp.float64),
        jnp.zeros(market.num_markets, jnp.int64),
    )


def _check_flow(market: Market, flow: np.ndarray) -> None:
    bad = ~(np.isfinite(flow) & (flow >= 0))
    if np.any(bad):
        raise ValueError(f"start: the flow holds {flow[bad][0]}; give finite amounts ≥ 0.")
    on_padding = ~np.asarray(market.links.is_entry) & (flow != 0)
    if np.any(on_padding):
        raise ValueError("start: value flows where there is no link; make it with flow_from_arcs.")
    error = np.asarray(metrics.spending_error(market, flow))
    if error.max() > 1e-6:
        gave, owed = np.asarray(market.gave(flow)), np.asarray(market.contribution)
        agent = int(np.argmax(np.abs(gave / owed - 1)))
        raise ValueError(
            f"start: agent {agent} gives {gave[agent]:g} of its contribution {owed[agent]:g}; "
            "every row of a start must spend exactly endowment × value."
        )


def _observations(market, record, state):
    return state.agent_updates, {name: jnp.asarray(f(market, state)) for name, f in record.items()}


# The start is observed apart from the run, so that strategies compared on a market compile it once.
_observe = eqx.filter_jit(_observations)


@eqx.filter_jit
def _run(
    market, known, strategy, plan, endowments, record, state, seen, key, *, rounds, every, saves_memory
) -> Run:
    strategy = _as_dtype(strategy, state.flow.dtype)
    first = state.round

    def play(carry, _):
        state, out, row = carry
        state = _play_round(market, known, strategy, plan, endowments, state, key)
        played = state.round - first
        due = (played % every == 0) | (played == rounds)

        def write(out):
            return jax.tree.map(
                lambda table, x: table.at[row].set(x), out, _observations(market, record, state)
            )

        out = jax.lax.cond(due, write, lambda out: out, out)
        return (state, out, row + due), None

    num_records = 1 + -(-rounds // every)
    out = jax.tree.map(lambda x: jnp.zeros((num_records, *x.shape), x.dtype).at[0].set(x), seen)
    carry = (state, out, jnp.ones((), jnp.int32))
    if rounds and saves_memory:
        carry = scan_in_chunks(play, carry, rounds)
    elif rounds:
        carry, _ = jax.lax.scan(play, carry, length=rounds)
    state, (updates, records), _ = carry
    return Run(
        jnp.minimum(jnp.arange(num_records) * every, rounds) + first,
        updates,
        records,
        state,
        metrics.verdict(market, state.history.astype(jnp.float64)),
        _last_spending_error(market, endowments, state, key),
    )


def _play_round(market, known: Known, strategy, plan, endowments, state: State, key) -> State:
    dtype = state.flow.dtype
    schedule_key = None if key is None else _round_key(key, 1, state.round)
    budget = known.contribution
    if not endowments.is_constant:
        budget = _budget(market, endowments, state.round, key).astype(dtype)
    acts = plan.acts(market, schedule_key)
    acts = None if acts is None else market.stored(acts)
    if plan.is_everyone:
        acted = jnp.ones(market.num_agents, bool) if acts is None else acts
        flow = act_together(market, known, strategy, state.flow, budget)
        if acts is not None:
            flow = jnp.where(market.links.spread(acts), flow, state.flow)
    else:
        tables = plan.tables(market, state.round, schedule_key)
        acted = jnp.zeros(market.num_agents, bool)
        for table in tables:
            acted = acted.at[table.reshape(-1)].set(True, mode="drop")
        acted = acted if acts is None else acted & acts
        flow = act_in_turns(market, known, strategy, plan, tables, state.flow, budget, acts)
    if not endowments.is_constant:
        flow = jnp.where(market.links.spread(acted), flow, repeat_shares(market, flow, budget))
    utility = market.received(flow)
    return State(
        state.round + 1,
        flow,
        jnp.stack([utility, state.history[0], state.history[1]]),
        state.total_utility + utility,
        state.agent_updates + market.total(market.unstored(acted).astype(jnp.int64)),
    )


def _budget(market, endowments, round, key) -> Float[Array, "agents"]:
    """Value that each agent (in storage) has to give in a round, float64."""
    endowment_key = None if key is None else _round_key(key, 0, round)
    return market.stored(endowments.draw(market, round, endowment_key) * market.value)


def _round_key(key, purpose: int, round):
    return jax.random.fold_in(jax.random.fold_in(key, purpose), round)


def _last_spending_error(market, endowments, state, key) -> Float[Array, "markets"]:
    """By how much rows miss what the last round had to spend, in parts of the mean contribution."""
    budget = jnp.asarray(market.contribution)
    if not endowments.is_constant:
        last = market.unstored(_budget(market, endowments, state.round - 1, key))
        budget = jnp.where(state.round > 0, last, budget)
    return metrics.spending_error(market, state.flow.astype(jnp.float64), budget)


def _as_dtype(tree, dtype):
    """The tree with its real-valued leaves in the precision of the run."""

    def cast(x):
        is_real = eqx.is_array(x) or isinstance(x, np.ndarray)
        return jnp.asarray(x, dtype) if is_real and jnp.issubdtype(x.dtype, jnp.floating) else x

    return jax.tree.map(cast, tree)


def _to_numpy(run: Run) -> Run:
    """Arrays as NumPy's, whose precision no global setting can take away; traced ones as they are."""

    def convert(x):
        return x if isinstance(x, jax.core.Tracer) else np.asarray(x)

    return jax.tree.map(convert, run)
