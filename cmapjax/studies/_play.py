"""Chunks played: drawn, solved, simulated under every cell of their grounds, and summed up in tables."""

import itertools
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import jax
import numpy as np
import pyarrow as pa

from cmapjax import metrics
from cmapjax.arguments._checks import span_warning, without_zeros
from cmapjax.engine._canonical import fitted, padded, padded_endowments, small_shape
from cmapjax.engine._records import parts
from cmapjax.engine._run import Run
from cmapjax.engine._simulate import simulate
from cmapjax.equilibrium._solve import solve
from cmapjax.market._market import Market
from cmapjax.runtime._settings import entry
from cmapjax.runtime._timings import Timings
from cmapjax.studies._build import draw, ground_key, play_key, process, recorders, strategy_and_schedule
from cmapjax.studies._cells import Cell, Ground, kind_of
from cmapjax.studies._chunks import Chunk
from cmapjax.studies._shape import chunk_plan, chunk_shape
from cmapjax.studies._tables import VERDICT, Facts, Played, Tables, recorded_rounds
from cmapjax.words._plans import plan

# A study that stops markets by their verdict looks up, so many times, whether all have stopped.
LOOKS = 8
# Multiples of it, less their whole parts, are spread evenly over 0 to 1, however many there are.
GOLDEN = 0.618034


class ChunkResult(NamedTuple):
    """What a chunk comes to."""

    summary: pa.Table
    curves: pa.Table | None
    timings: dict[str, float]
    """Seconds of drawing, solving, planning, simulating, compiling and making tables, of all threads, and in
    all by the clock."""
    warning: tuple[str, float] | None = None
    """What is to be said of contributions too far apart for float32, and how far."""


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
    rows = _in_order_of_programs([study.cells()[number] for number in cells], chunk)
    with ThreadPoolExecutor(min(threads, len(rows))) as pool:
        for spent in pool.map(player.add, rows):  # after an error the cells that wait are not played
            for stage, seconds in spent.items():
                timings.seconds[stage] = timings.seconds.get(stage, 0.0) + seconds
    with timings("tables"):
        tables = player.tables.summary(), player.tables.curves()
    return ChunkResult(*tables, timings.document(), player.warning)


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


def _in_order_of_programs(cells: list[Cell], chunk: Chunk) -> list[Cell]:
    """A cell of every program first, and chunks side by side begin with different ones.

    So threads compile different programs; of the same one JAX lets all wait but the first.
    """
    by_kind: dict[tuple, list[Cell]] = {}
    for cell in cells:
        by_kind.setdefault(kind_of(cell), []).append(cell)
    kinds = list(by_kind.values())
    begin = int(GOLDEN * (chunk.ground + chunk.first // chunk.count) % 1 * len(kinds))
    rows = itertools.zip_longest(*kinds[begin:], *kinds[:begin])
    return [cell for row in rows for cell in row if cell is not None]


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
            # One network has a shape of its own, `simulate` fits small markets itself, and markets with
            # other terms are not fitted.
            self.larger = self.market
            is_fitted = self.ground.markets > 1 and not self.market.terms
            if is_fitted and small_shape(self.market) is None:
                self.larger = fitted(self.market, chunk_shape(study, chunk, self.market))
            self.process = process(study, self.ground, chunk.count)
        labels = self.market.labels
        said = span_warning(without_zeros(self.market.contribution), study.precision, lambda i: labels[i])
        self.warning = None if said is None else (str(said), said.ratio)
        utility = None if equilibrium is None else equilibrium.utility
        if self.is_fitted:
            self.process = padded_endowments(self.process, self.larger)
            utility = None if utility is None else padded(utility, self.larger)
        self.record = recorders(study, utility)
        self.key = play_key(study, self.ground)
        self.plans: dict[tuple, Any] = {}
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

    def add(self, cell: Cell) -> dict[str, float]:
        """Play a cell and keep its rows; the seconds that each stage of it took."""
        timings = Timings()
        played = self.play(cell, timings)
        with timings("tables"):
            self.tables.add(cell, played)
        return timings.seconds

    def play(self, cell: Cell, timings: Timings) -> Played:
        """What becomes of the markets under the words of this cell."""
        strategy, schedule = strategy_and_schedule(self.study, cell.words)
        is_random = schedule.is_random or self.process.is_random
        planned = self._plan(plan(*cell.words[-3:]).schedule, schedule, strategy.hops, timings)
        record = dict(self.record)
        if self.study.stop.when:
            by_averages = not self.process.is_constant or strategy.needs_averages
            record[VERDICT] = _verdict_by_averages if by_averages else metrics.verdict
        seen, state, played = [], None, 0
        least = max(1, self.study.rounds // LOOKS) if self.study.stop.when else self.study.rounds
        for due in parts(recorded_rounds(self.study), least):
            with timings("simulating"):
                run = simulate(
                    self.larger,
                    strategy,
                    rounds=due[-1] - played,
                    schedule=planned,
                    endowments=self.process,
                    record=record,
                    every=[round - played for round in due],
                    start=state,
                    precision=self.study.precision,
                    progress=False,
                    key=self.key if is_random else None,
                    native="off",  # as above
                )
            # Without the record that the part before ended with.
            seen.append(Played.of(run, self.record, slice(0 if state is None else 1, None)))
            state, played = run.final, due[-1]
            joined = Played.joined(seen)
            if self.study.stop.when and joined.ends(self.study.stop.when)[1].all():
                break
        return joined


def _verdict_by_averages(market, state):
    return metrics.verdict(market, state, by_averages=True)
