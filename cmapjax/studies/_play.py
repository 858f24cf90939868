"""Chunks played: drawn, solved, simulated under every cell of their grounds, and summed up in tables."""

import contextlib
import itertools
import threading
from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
import pyarrow as pa

from cmapjax import metrics
from cmapjax.engine._canonical import fitted, padded, padded_endowments, small_shape
from cmapjax.engine._run import Run
from cmapjax.engine._simulate import simulate
from cmapjax.equilibrium._solve import solve
from cmapjax.market._market import Market
from cmapjax.runtime._programs import times_forgotten
from cmapjax.runtime._settings import entry
from cmapjax.studies._build import draw, ground_key, play_key, process, recorders, strategy_and_schedule
from cmapjax.studies._cells import Cell, Ground, kind_of
from cmapjax.studies._chunks import Chunk
from cmapjax.studies._results import Facts, Played, Tables
from cmapjax.studies._shape import chunk_plan, chunk_shape
from cmapjax.words._plans import plan
from cmapjax.words._timings import Timings

VERDICT = "verdict"
# A study that stops markets by their verdict looks up, so many times, whether all have stopped.
LOOKS = 8


class ChunkResult(NamedTuple):
    """What a chunk comes to."""

    summary: pa.Table
    curves: pa.Table | None
    timings: dict[str, float]
    """Seconds of drawing, solving, planning, simulating, compiling and making tables, of all threads, and in
    all by the clock."""


def play_chunk(study, chunk: Chunk, threads: int = 1) -> ChunkResult:
    """The chunk's tables: functions of the study and the chunk alone.

    Args:
        study: whose.
        chunk: which of its markets.
        threads: how many cells to play at the same time.

    Returns:
        Tables, and what they cost.

    Raises:
        ValueError: a chunk that is not of this study; whatever its words turn out to ask for.
    """
    return play_cells(study, chunk, _ground_of(study, chunk).cells, threads)


def play_cells(study, chunk: Chunk, cells: Sequence[int], threads: int = 1) -> ChunkResult:
    """The tables of some cells of the chunk's ground."""
    timings = Timings()
    player = _Player(study, chunk, timings)
    rows = [study.cells()[number] for number in cells]
    _play_by_threads(player, [rows[k::threads] for k in range(min(threads, len(rows)))], timings)
    with timings("tables"):
        tables = player.tables.summary(), player.tables.curves()
    return ChunkResult(*tables, timings.document())


def replay(study, cell: int, market: int) -> tuple[Market, Run]:
    """One market of one cell, drawn and played again by itself: the market and its run, flows and all.

    Records are those of the study's tables up to rounding: a market alone is compiled to other code.
    """
    played = study.cells()[cell]
    ground = study.grounds()[played.ground]
    alone = draw(study, ground, market, 1)
    utility = solve(alone).utility if study.equilibrium else None
    strategy, schedule = strategy_and_schedule(study, played.words)
    endowments = process(study, ground)
    run = simulate(
        alone,
        strategy,
        rounds=study.rounds,
        schedule=schedule,
        endowments=endowments,
        record=recorders(study, utility),
        every=study.record.every,
        precision=study.precision,
        key=play_key(study, ground) if schedule.is_random or endowments.is_random else None,
        native="off",  # a chunk's values are the same bits on every machine, with a compiler or without
    )
    return alone, run


def _ground_of(study, chunk: Chunk) -> Ground:
    grounds = study.grounds()
    if not 0 <= chunk.ground < len(grounds):
        raise ValueError(f"chunk {chunk.name}: the study has grounds 0 to {len(grounds) - 1}.")
    ground = grounds[chunk.ground]
    if chunk.first < 0 or chunk.count < 1 or chunk.first + chunk.count > ground.markets:
        raise ValueError(f"chunk {chunk.name}: ground {ground.number} has markets 0 to {ground.markets - 1}.")
    return ground


@entry
def _keys(study, ground: Ground, chunk: Chunk) -> np.ndarray:
    """Key data of every market of the chunk."""
    numbers = np.arange(chunk.first, chunk.first + chunk.count, dtype=np.uint32)
    return np.asarray(jax.random.key_data(_fold(ground_key(study, ground), numbers)))


@jax.jit
def _fold(key, numbers):
    return jax.vmap(jax.random.fold_in, (None, 0))(key, numbers)


def _play_by_threads(player: "_Player", shares: list[list[Cell]], timings: Timings) -> None:
    """Play every share by a thread, the first by this one."""
    spent, errors = [], []

    def help_with(share: list[Cell]) -> None:
        noted = Timings()
        try:
            _play_in_turn(player, share, noted)
        except Exception as error:  # raised below, by the thread that was asked
            errors.append(error)
        spent.append(noted.seconds)

    # Daemons, like the threads that ask: compiled code cannot be interrupted, only left.
    helpers = [threading.Thread(target=help_with, args=(share,), daemon=True) for share in shares[1:]]
    for helper in helpers:
        helper.start()
    try:
        _play_in_turn(player, shares[0], timings)
    finally:
        for helper in helpers:
            helper.join()
    for error in errors:
        raise error
    for stage, seconds in itertools.chain.from_iterable(each.items() for each in spent):
        timings.seconds[stage] = timings.seconds.get(stage, 0.0) + seconds


def _play_in_turn(player: "_Player", cells: list[Cell], timings: Timings) -> None:
    """Play cell after cell, those last whose programs other threads are compiling."""
    pending = list(cells)
    while pending:
        with _next_of(pending, player.program) as cell:
            played = player.play(cell, timings)
        with timings("tables"):
            player.tables.add(cell, played)
        pending.remove(cell)


# Programs that this process has, and locks of threads that play one for the first time, and so compile it.
_COMPILED: set[Hashable] = set()
_FIRST_PLAYS: dict[Hashable, threading.Lock] = {}


@contextlib.contextmanager
def _next_of(pending: list[Cell], program: Callable[[Cell], Hashable]) -> Iterator[Cell]:
    """The first cell whose program no other thread is compiling; where there is none, wait for one."""
    for cell in pending:
        key = program(cell)
        if key in _COMPILED:
            yield cell
            return
        lock = _FIRST_PLAYS.setdefault(key, threading.Lock())
        if lock.acquire(blocking=False):
            break
    else:
        cell, key = pending[0], program(pending[0])
        lock = _FIRST_PLAYS[key]
        lock.acquire()
    try:
        yield cell
        _COMPILED.add(key)
    finally:
        lock.release()


class _Player:
    """The markets of a chunk, on which cell after cell is played."""

    def __init__(self, study, chunk: Chunk, timings: Timings):
        self.study, self.chunk, self.ground = study, chunk, _ground_of(study, chunk)
        with timings("drawing"):
            self.market = draw(study, self.ground, chunk.first, chunk.count)
        equilibrium = None
        if study.equilibrium:
            with timings("solving"):
                equilibrium = solve(self.market)
        with timings("drawing"):
            facts = Facts.of(self.market, chunk.first, _keys(study, self.ground, chunk), equilibrium)
            # One network has a shape of its own, and `simulate` fits small markets itself.
            self.larger = self.market
            if self.ground.markets > 1 and small_shape(self.market) is None:
                self.larger = fitted(self.market, chunk_shape(study, chunk, self.market))
            self.process = process(study, self.ground, chunk.count)
        utility = None if equilibrium is None else equilibrium.utility
        if self.is_fitted:
            self.process = padded_endowments(self.process, self.larger)
            utility = None if utility is None else padded(utility, self.larger)
        self.record = recorders(study, utility)
        self.key = play_key(study, self.ground)
        self.plans: dict[tuple, Any] = {}
        self.digest = study.digest()
        self.tables = Tables(study, self.ground, facts)

    @property
    def is_fitted(self) -> bool:
        return self.larger is not self.market

    def _plan(self, words: str, schedule, hops: int | float, timings: Timings):
        """Worked out once for all cells that share a schedule."""
        if (words, hops) not in self.plans:
            with timings("planning"):
                if self.is_fitted:
                    own = self.study, self.chunk, self.market, self.larger
                    found = chunk_plan(*own, schedule, words, hops)
                else:
                    found = schedule.plan(self.market, hops)
            self.plans[words, hops] = found
        return self.plans[words, hops]

    def program(self, cell: Cell) -> Hashable:
        """What tells the programs apart that cells are played by."""
        shapes = self.larger.links.shapes, self.larger.members.shapes
        return times_forgotten(), self.digest, shapes, kind_of(cell)

    def play(self, cell: Cell, timings: Timings) -> Played:
        """What becomes of the markets under the words of this cell."""
        strategy, schedule = strategy_and_schedule(self.study, cell.words)
        is_random = schedule.is_random or self.process.is_random
        planned = self._plan(plan(*cell.words[-3:]).schedule, schedule, strategy.hops, timings)
        rounds, every = self.study.rounds, self.study.record.every
        record = dict(self.record)
        if self.study.stop.when:
            by_averages = not self.process.is_constant or strategy.needs_averages
            record[VERDICT] = _verdict_by_averages if by_averages else metrics.verdict
        seen, state, played = [], None, 0
        while played < rounds:
            length = min(self._span(), rounds - played)
            with timings("simulating"):
                run = simulate(
                    self.larger,
                    strategy,
                    rounds=length,
                    schedule=planned,
                    endowments=self.process,
                    record=record,
                    every=every,
                    start=state,
                    precision=self.study.precision,
                    progress=False,
                    key=self.key if is_random else None,
                    native="off",  # as above
                )
            seen.append(_played(run, state is not None))
            state, played = run.final, played + length
            joined = _joined(seen)
            if self.study.stop.when and joined.ends(self.study.stop.when)[1].all():
                break
        return joined

    def _span(self) -> int:
        """Rounds between two looks at whether all markets have stopped: whole intervals of recording."""
        if not self.study.stop.when:
            return self.study.rounds
        every = self.study.record.every
        return max(1, self.study.rounds // (LOOKS * every)) * every


def _played(run, is_continued: bool) -> Played:
    """The run without the record that the part before ended with."""
    rows = slice(1 if is_continued else 0, None)
    records = {name: table[rows] for name, table in run.records.items()}
    verdicts = records.pop(VERDICT, None)
    return Played(
        run.rounds[rows],
        run.agent_updates[rows],
        records,
        run.verdict[None] if verdicts is None else verdicts,
        run.spending_error,
    )


def _joined(parts: list[Played]) -> Played:
    if len(parts) == 1:
        return parts[0]

    def join(name: str) -> np.ndarray:
        return np.concatenate([getattr(part, name) for part in parts])

    return Played(
        join("rounds"),
        join("agent_updates"),
        {n: np.concatenate([part.records[n] for part in parts]) for n in parts[0].records},
        join("verdicts"),
        parts[-1].spending_error,
    )


def _verdict_by_averages(market, state):
    return metrics.verdict(market, state, by_averages=True)
