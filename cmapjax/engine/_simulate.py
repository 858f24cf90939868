"""`simulate`: checks its arguments, and plays the rounds."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from cmapjax import metrics
from cmapjax.arguments._checks import check_kind, check_span, short, without_zeros
from cmapjax.endowments import Constant, Endowments
from cmapjax.engine import _driver, _native
from cmapjax.engine._judge import judged
from cmapjax.engine._records import recorded_rounds
from cmapjax.engine._run import Run, Setup, State, observe, run_rounds
from cmapjax.engine._terms import owed, terms_of
from cmapjax.market._certificate import check_flow
from cmapjax.market._community import beyond_table
from cmapjax.market._market import Market
from cmapjax.market._random import check_key
from cmapjax.runtime._progress import progress as progress_bar
from cmapjax.runtime._settings import entry, is_traced, on_host
from cmapjax.runtime._types import Array
from cmapjax.schedules._plans import Plan, suited
from cmapjax.schedules._schedule import Schedule, Simultaneous
from cmapjax.strategies import PerAgent, Strategy, _calls

PRECISIONS = ("float32", "float64")
# How far the rows of a run may be from spending the contributions, relative. By rounding, agents that have
# little compared with their neighbours miss more. A start that misses more is taken as one of other
# endowments.
ROUNDING = {"float32": 1e-3, "float64": 1e-5}
# How far a row that is given as a start may be from spending its agent's contribution, relative.
START_TOLERANCE = 1e-6


@entry(any_market=True)
def simulate(
    market: Market,
    strategy: Strategy,
    *,
    rounds: int = 100,
    schedule: Schedule | Plan = Simultaneous(),  # noqa: B008 - immutable
    endowments: Endowments = Constant(),  # noqa: B008 - immutable
    record: Mapping[str, Callable] | Sequence[str] | None = None,
    every: int | Sequence[int] | None = 1,
    start: State | Float[Array, "slots"] | None = None,
    precision: str = "float64",
    key: Array | None = None,
    strict: bool = False,
    progress: bool | None = None,
    native: str = "auto",
) -> Run:
    """The run of a market (or of every market of an ensemble) over some rounds.

    Args:
        market: one market, or many packed side by side.
        strategy: what every agent follows.
        rounds: how many to play.
        schedule: who acts in which turn; or a plan made from one, to plan only once.
        endowments: the surplus of each round.
        record: functions of (market, state) giving one number per market (or per agent), by name; or a list
            of names from `metrics.standard()` and "received"; by default `metrics.standard()`.
        every: record after every so many rounds; or after the rounds of a list; or, given None, after 1, 2,
            3, 5, 8, 13, … rounds, which shows how a run settles with few records. The start and the end are
            always recorded.
        start: a state to continue from, or a flow; by default everybody splits equally.
        precision: "float64" or "float32" of the run itself; records and certificates are float64.
        key: JAX random key, for random schedules and endowments. Round t draws from fold_in(key, t), so
            a run continued from a state equals one that was never interrupted. They are equal bit for bit;
            undamped proportional response by all agents at once, which has a form of its own
            (docs/performance.md), is equal up to rounding.
        strict: raise ValueError if an agent breaks a law of spending in any round (gives more or less than
            it has, something negative, not finite or off the links); by default the run warns, and the
            market's verdict is "not feasible".
        progress: show a bar, and that something is being compiled, on a terminal or in a notebook. By default
            after two seconds, to the main thread; True shows it at once, False never. Nothing is shown
            elsewhere, or inside a transformation.
        native: whether rounds may be played by the package's own code for a CPU, which is compiled with a C++
            compiler when it first pays (docs/performance.md); `Run.rounds_by` says whether they were. "auto",
            "off", or "on": always, or a ValueError that says why not. Results are equal up to rounding.

    Returns:
        Records, the final state, and a verdict on every market: whether it settled, and whether at the
        equilibrium (`metrics.verdict`).

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
            missing key; a start that does not spend exactly the contributions; traced arguments
            outside x64 mode; a strategy whose code fails, or answers with something that is no row.
    """
    record = _recorders(record)
    _check_options(market, strategy, schedule, endowments, rounds, every, precision, record)
    endowments = endowments.matched(market)
    endowments.check(market, rounds + _rounds_played(start))
    is_random = endowments.is_random or getattr(schedule, "is_random", False)
    if is_random:
        check_key(key, "this schedule or these endowments")
    dtype = np.dtype(precision)
    plan = schedule if isinstance(schedule, Plan) else schedule.plan(market, strategy.hops)
    bare = market.bare()
    beyond = beyond_table(bare, strategy.hops) if strategy.hops > 1 else None
    state = _start(bare, start, dtype)
    arguments = (bare, beyond, strategy, plan, endowments, record)
    traced = is_traced((arguments, state))
    is_plain = not is_traced((arguments, state, key))
    is_native = _native.choose(native, bare, strategy, plan, rounds, is_plain)
    played = recorded_rounds(rounds, every)
    is_steady = endowments.is_constant and _spends_contributions(bare, start)
    setup = Setup(*arguments, key, is_steady, start is None, is_native)
    apart = is_native or (bare.links.mesh is None and _driver.pays(bare, record, played, dtype))
    with _calls.brief_faults(), progress_bar(rounds, show=progress if is_plain else False) as bar:
        if is_plain and apart:
            run = _driver.play(setup, state, bar, played=played)
        else:
            # True in float32 only, where it matters, so that float64 starts share one program.
            state, seen = observe(bare, record, state, is_steady and dtype == np.float32)
            if not traced:
                setup = dataclasses.replace(setup, plan=suited(plan, bare))
            run = run_rounds(setup, state, seen, played=tuple(played.tolist()), saves_memory=traced)
    run = judged(market, strategy, endowments, record, key, on_host(run), rounds, strict)
    rounds_by = "native" if is_native else "xla"
    return dataclasses.replace(run, varies=not endowments.is_constant, rounds_by=rounds_by)


def _recorders(record) -> dict[str, Callable]:
    """What is to be recorded, by name."""
    if record is None:
        return metrics.standard()
    if isinstance(record, Mapping):
        return dict(record)
    if isinstance(record, (list, tuple)) and all(isinstance(name, str) for name in record):
        return metrics.by_names(record)
    raise ValueError(
        f"record is {short(record)}; give a list of names, such as ['gini'], or a mapping from names to "
        "functions of (market, state)."
    )


def _check_options(market, strategy, schedule, endowments, rounds, every, precision, record) -> None:
    if not _is_count(rounds, 0):
        raise ValueError(f"rounds is {rounds!r}; give a whole number, 0 or more.")
    _check_every(every, rounds)
    if precision not in PRECISIONS:
        raise ValueError(f"precision is {precision!r}; give one of {', '.join(PRECISIONS)}.")
    check_kind("market", market, Market, "Market.from_links(…), or a reader of cmapjax.graphs")
    check_kind("strategy", strategy, Strategy, "CMAP()")
    if isinstance(strategy, PerAgent) and strategy.num_agents != market.num_agents:
        raise ValueError(
            f"strategy: parameters of {strategy.num_agents} agents for a market of {market.num_agents}."
        )
    strategy.check_market(market)
    check_kind("schedule", schedule, (Schedule, Plan), "Sequential()")
    check_kind("endowments", endowments, Endowments, "endowments.Exponential()")
    for name, observer in record.items():
        if not callable(observer):
            raise ValueError(f"record: {name} is {short(observer)}; give a function of (market, state).")
    contribution = market.contribution
    if not isinstance(contribution, jax.core.Tracer):
        numbers = without_zeros(contribution)
        check_span(numbers, precision, lambda i: market.labels[i], np.asarray(market.market_of))


def _is_count(number, least: int) -> bool:
    return not isinstance(number, bool) and isinstance(number, (int, np.integer)) and number >= least


def _check_every(every, rounds: int) -> None:
    if every is None or _is_count(every, 1):
        return
    if not isinstance(every, (Sequence, np.ndarray)) or isinstance(every, str):
        remedy = "give a whole number, 1 or more; a list of rounds; or None for 1, 2, 3, 5, 8, … rounds"
        raise ValueError(f"every is {short(every)}; {remedy}.")
    for number in every:
        if not _is_count(number, 0) or number > rounds:
            remedy = f"give whole numbers from 0 to {rounds}, the rounds that are played"
            raise ValueError(f"every: {short(number)} is no round of this run; {remedy}.")


def _rounds_played(start) -> int:
    """The rounds behind a state to continue from; 0 if they are traced."""
    if not isinstance(start, State) or is_traced(start.round):
        return 0
    return int(start.round)


def _start(market: Market, start, dtype) -> State:
    """The state to start from, without the fields that follow from its flow (`completed`)."""
    if isinstance(start, State):
        if start.flow.shape != (market.links.num_slots,):
            raise ValueError(
                f"start: a state of {start.flow.shape[0]} slots does not fit a market of "
                f"{market.links.num_slots}; continue on the market that it came from."
            )
        cast = jax.tree.map(jnp.asarray, start)

        def to_run(x):
            return None if x is None else x.astype(dtype)

        parts = to_run(cast.flow), to_run(cast.history), to_run(cast.received)
        return dataclasses.replace(cast, **dict(zip(("flow", "history", "received"), parts, strict=True)))
    if start is None:
        flow = None
    elif isinstance(start, jax.core.Tracer):
        if start.shape != (market.links.num_slots,):
            raise ValueError(f"start has shape {start.shape}; give {market.links.num_slots} slots.")
        flow = start.astype(dtype)
    else:
        flow = jnp.asarray(check_flow("start", market, start, START_TOLERANCE), dtype)
    return State(
        np.zeros((), np.int64),
        flow,
        np.zeros((0, market.num_agents), dtype),
        np.zeros(market.num_agents),
        np.zeros(market.num_markets, np.int64),
    )


def _spends_contributions(market: Market, start) -> bool:
    """Whether every row of the start spends its agent's contribution; False if the start is traced."""
    if not isinstance(start, State):
        return True  # a flow that was checked, or the equal split
    if is_traced((start.flow, market.endowment, market.value)):
        return False
    links, flow = market.links, np.asarray(start.flow)
    spent = np.concatenate([block.sum(axis=0) for block in links.blocks(flow)])
    contribution = np.asarray(market.contribution)[np.asarray(links.order)]
    due = np.asarray(owed(contribution, terms_of(market, np.float64)))
    return bool(np.all(np.abs(spent - due) <= ROUNDING[str(flow.dtype)] * contribution))
