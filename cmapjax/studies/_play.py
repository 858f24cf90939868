"""Chunks played: drawn, solved, simulated under every cell of their grounds, and summed up in tables."""

import itertools
import threading
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
import pyarrow as pa

from cmapjax import metrics
from cmapjax._market import Market
from cmapjax._packing import pack
from cmapjax._run import Run
from cmapjax._settings import entry
from cmapjax._simulate import simulate
from cmapjax._solve import solve
from cmapjax._words._plans import plan
from cmapjax._words._timings import Timings
from cmapjax.studies._build import draw, ground_key, play_key, process, strategy_and_schedule
from cmapjax.studies._cells import Cell, Ground
from cmapjax.studies._chunks import Chunk
from cmapjax.studies._company import is_drawn, is_fitted
from cmapjax.studies._names import METRICS
from cmapjax.studies._results import Facts, Played, Tables
from cmapjax.studies._room import COMPILATIONS, WARDROBE, padded

VERDICT = "verdict"
# A study that stops markets by their verdict looks up, so many times, whether all have stopped.
LOOKS = 8


class ChunkResult(NamedTuple):
    """What a chunk comes to."""

    summary: pa.Table
    curves: pa.Table | None
    timings: dict[str, float]
    """Seconds of drawing, solving, planning, simulating, compiling and making tables, of all threads, and in
    all by the clock. Of a chunk played in company its part of the company's, by agents and links."""


def play_chunk(study, chunk: Chunk) -> ChunkResult:
    """The chunk's tables: functions of the study and of the markets' numbers alone.

    Raises:
        ValueError: a chunk that is not of this study; whatever its words turn out to ask for.
    """
    return play_company(study, [chunk])[0]


def play_company(study, chunks: Sequence[Chunk], threads: int = 1) -> list[ChunkResult]:
    """Each chunk's tables, the same bit for bit as `play_chunk` gives, from playing them side by side.

    Args:
        study: whose.
        chunks: of grounds that are played under the same strategies, schedules and dampings, in order
            (`Companies` says which go together).
        threads: how many cells to play at the same time.

    Raises:
        ValueError: a chunk that is not of this study; grounds played differently.
    """
    grounds = [_ground_of(study, chunk) for chunk in chunks]
    return _play(study, chunks, [ground.cells for ground in grounds], threads)


def play_cells(study, chunk: Chunk, cells: Sequence[int]) -> ChunkResult:
    """The tables of some cells of the chunk's ground."""
    return _play(study, [chunk], [cells], 1)[0]


def _play(study, chunks: Sequence[Chunk], cells: Sequence[Sequence[int]], threads: int) -> list[ChunkResult]:
    """Of every chunk the tables of these cells of its ground."""
    timings = Timings()
    parts = [_Part(study, chunk, timings) for chunk in chunks]
    tasks = _tasks(study, parts, cells, timings)
    _play_tasks(tasks, threads, timings)
    with timings("tables"):
        tables = [(part.tables.summary(), part.tables.curves()) for part in parts]
    whole, spent = sum(part.size for part in parts), timings.document()
    return [
        ChunkResult(*own, {stage: seconds * part.size / whole for stage, seconds in spent.items()})
        for own, part in zip(tables, parts, strict=True)
    ]


def replay(study, cell: int, market: int) -> tuple[Market, Run]:
    """One market of one cell, drawn and played again by itself: the market and its run, flows and all.

    Records are those of the study's tables up to rounding: a market alone is compiled to other code.
    """
    played = study.cells()[cell]
    ground = study.grounds()[played.ground]
    alone = draw(study, ground, market, 1)
    utility = solve(alone).utility if study.equilibrium else None
    strategy, schedule = strategy_and_schedule(played.words)
    endowments = process(study, ground)
    run = simulate(
        alone,
        strategy,
        rounds=study.rounds,
        schedule=schedule,
        endowments=endowments,
        record=recorders(study.metrics, utility),
        every=study.record.every,
        precision=study.precision,
        key=play_key(study, ground) if schedule.is_random or endowments.is_random else None,
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


class _Part:
    """A chunk of a company: its markets, what is known of them, and what becomes of them."""

    def __init__(self, study, chunk: Chunk, timings: Timings):
        self.chunk, self.ground = chunk, study.grounds()[chunk.ground]
        with timings("drawing"):
            self.market = draw(study, self.ground, chunk.first, chunk.count)
        equilibrium = None
        if study.equilibrium:
            with timings("solving"):
                equilibrium = solve(self.market)
        self.utility = None if equilibrium is None else equilibrium.utility
        with timings("drawing"):
            facts = Facts.of(self.market, chunk.first, _keys(study, self.ground, chunk), equilibrium)
        self.tables = Tables(study, self.ground, facts)
        self.size = self.market.num_agents + 2 * self.market.num_links


class _Task(NamedTuple):
    """A cell of every part on a stage, all played under the same words."""

    stage: "_Stage"
    cells: list[Cell]


def _tasks(study, parts: list[_Part], cells: Sequence[Sequence[int]], timings: Timings) -> list[_Task]:
    """What is to be played: by all parts together, or by each alone where it draws from a key of its own."""
    bills = {tuple(study.cells()[n].words[-3:] for n in numbers) for numbers in cells}
    if len(bills) > 1:
        raise ValueError("chunks: their grounds are played differently; put together those played alike.")
    stages: dict[tuple, _Stage] = {}

    def task(some: list[_Part], row: list[Cell]) -> _Task:
        grounds = tuple(part.chunk for part in some)
        if grounds not in stages:
            stages[grounds] = _Stage(study, some, timings)
        return _Task(stages[grounds], row)

    tasks = []
    together = all(is_fitted(study, part.ground, part.market.num_agents) for part in parts)
    for numbers in zip(*cells, strict=True):
        row = [study.cells()[n] for n in numbers]
        if together and not any(is_drawn(cell.words) for cell in row):
            tasks.append(task(parts, row))
        else:
            tasks += [task([part], [cell]) for part, cell in zip(parts, row, strict=True)]
    return tasks


def _play_tasks(tasks: list[_Task], threads: int, timings: Timings) -> None:
    """Play these, into the tables of their parts, by so many threads, this one among them."""
    shares = [tasks[k::threads] for k in range(min(threads, len(tasks)))]
    spent, errors = [], []

    def help_with(share: list[_Task]) -> None:
        noted = Timings()
        try:
            _work_off(share, noted)
        except Exception as error:  # raised below, by the thread that was asked
            errors.append(error)
        spent.append(noted.seconds)

    # Daemons, like the threads that ask: compiled code cannot be interrupted, only left.
    helpers = [threading.Thread(target=help_with, args=(share,), daemon=True) for share in shares[1:]]
    for helper in helpers:
        helper.start()
    try:
        _work_off(shares[0], timings)
    finally:
        for helper in helpers:
            helper.join()
    for error in errors:
        raise error
    for stage, seconds in itertools.chain.from_iterable(each.items() for each in spent):
        timings.seconds[stage] = timings.seconds.get(stage, 0.0) + seconds


def _work_off(tasks: list[_Task], timings: Timings) -> None:
    def program(number: int) -> tuple:
        return tasks[number].stage.program(tasks[number].cells[0])

    pending = list(range(len(tasks)))
    while pending:
        with COMPILATIONS.turn(pending, program) as number:
            stage, cells = tasks[number]
            played = stage.play(cells[0], timings)
        with timings("tables"):
            for part, cell, own in zip(stage.parts, cells, played, strict=True):
                part.tables.add(cell, own)
        pending.remove(number)


class _Stage:
    """The markets of some parts side by side, on which cell after cell is played."""

    def __init__(self, study, parts: list[_Part], timings: Timings):
        self.study, self.parts = study, parts
        self.bounds = np.cumsum([0, *(part.market.num_markets for part in parts)])
        self.shape = None
        self.digest = study.digest()
        ground = parts[0].ground
        with timings("drawing"):
            market = parts[0].market if len(parts) == 1 else pack([part.market for part in parts])
            if is_fitted(study, ground, parts[0].market.num_agents):
                market, self.shape = WARDROBE.fitted(market)
            self.market = market
            self.process = process(study, ground, self.bounds[-1], market.endowment)
        utility = None
        if study.equilibrium:
            utility = padded(np.concatenate([part.utility for part in parts]), market)
        self.record = recorders(study.metrics, utility)
        self.key = play_key(study, ground)
        self.plans: dict[tuple, Any] = {}

    def _plan(self, words: str, schedule, hops: int | float, timings: Timings):
        """Worked out once for all cells that share a schedule."""
        if (words, hops) not in self.plans:
            with timings("planning"):
                if self.shape is None:
                    found = schedule.plan(self.market, hops)
                else:
                    found = WARDROBE.plan(schedule, hops, self.market, self.shape)
            self.plans[words, hops] = found
        return self.plans[words, hops]

    def program(self, cell: Cell) -> tuple:
        """What tells the programs apart that cells are played by."""
        return self.digest, self.market.links.shapes, self.market.num_markets, cell.words[-3:]

    def play(self, cell: Cell, timings: Timings) -> list[Played]:
        """What becomes of the markets of every part under the words of this cell."""
        strategy, schedule = strategy_and_schedule(cell.words)
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
                    self.market,
                    strategy,
                    rounds=length,
                    schedule=planned,
                    endowments=self.process,
                    record=record,
                    every=every,
                    start=state,
                    precision=self.study.precision,
                    key=self.key if is_random else None,
                )
            seen.append(_played(run, self.bounds[-1], state is not None))
            state, played = run.final, played + length
            joined = _joined(seen)
            if self.study.stop.when and joined.ends(self.study.stop.when)[1].all():
                break
        return [_of_markets(joined, slice(*ends)) for ends in itertools.pairwise(self.bounds)]

    def _span(self) -> int:
        """Rounds between two looks at whether all markets have stopped: whole intervals of recording."""
        if not self.study.stop.when:
            return self.study.rounds
        every = self.study.record.every
        return max(1, self.study.rounds // (LOOKS * every)) * every


def _played(run, count: int, is_continued: bool) -> Played:
    """The run without fillers, and without the record that the part before ended with."""
    rows = slice(1 if is_continued else 0, None)
    records = {name: table[rows, :count] for name, table in run.records.items()}
    verdicts = records.pop(VERDICT, None)
    return Played(
        run.rounds[rows],
        run.agent_updates[rows, :count],
        records,
        run.verdict[None, :count] if verdicts is None else verdicts,
        run.spending_error[:count],
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


def _of_markets(played: Played, some: slice) -> Played:
    """What became of some of the markets. (That others of a company went on after these changes nothing:
    tables end with the record at which a market does.)"""
    return Played(
        played.rounds,
        played.agent_updates[:, some],
        {name: table[:, some] for name, table in played.records.items()},
        played.verdicts[:, some],
        played.spending_error[some],
    )


# -- what is recorded ------------------------------------------------------------------------------


def recorders(names: list[str], equilibrium: np.ndarray | None) -> dict[str, Any]:
    """Functions of (market, state) by the names of metrics."""
    standard = metrics.standard(equilibrium)
    return {name: standard[name] if METRICS[name].is_standard else metrics.FURTHER[name] for name in names}


def _verdict_by_averages(market, state):
    return metrics.verdict(market, state, by_averages=True)
