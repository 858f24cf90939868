"""One chunk played: drawn, solved, simulated under every cell of its ground, and summed up in tables."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
import pyarrow as pa

from cmapjax import metrics
from cmapjax._equilibrium import Equilibrium
from cmapjax._market import Market
from cmapjax._run import Run
from cmapjax._simulate import simulate
from cmapjax._solve import solve
from cmapjax._words._plans import plan
from cmapjax._words._timings import Timings
from cmapjax.studies._build import draw, ground_key, play_key, process, strategy_and_schedule
from cmapjax.studies._cells import Cell, Ground
from cmapjax.studies._chunks import Chunk
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
    """Seconds of drawing, building, solving, simulating, compiling and writing tables, and in all."""


def play_chunk(study, chunk: Chunk) -> ChunkResult:
    """The chunk's tables: functions of the study and of the markets' numbers alone.

    Raises:
        ValueError: a chunk that is not of this study; whatever its words turn out to ask for.
    """
    return play_cells(study, chunk, _ground_of(study, chunk).cells)


def play_cells(study, chunk: Chunk, cells: Sequence[int]) -> ChunkResult:
    """The tables of some cells of the chunk's ground."""
    ground, timings = study.grounds()[chunk.ground], Timings()
    with timings("drawing"):
        market = draw(study, ground, chunk.first, chunk.count)
    equilibrium = None
    if study.equilibrium:
        with timings("solving"):
            equilibrium = solve(market)
    with timings("drawing"):
        facts = Facts.of(market, chunk.first, _keys(study, ground, chunk), equilibrium)
    stage = _Stage(study, ground, market, equilibrium, timings)
    tables = Tables(study, ground, facts)
    pending = list(cells)
    while pending:
        with COMPILATIONS.turn(pending, stage.program) as number:
            played = stage.play(study.cells()[number])
        with timings("tables"):
            tables.add(study.cells()[number], played)
        pending.remove(number)
    with timings("tables"):
        summary, curves = tables.summary(), tables.curves()
    return ChunkResult(summary, curves, timings.document())


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


def _keys(study, ground: Ground, chunk: Chunk) -> np.ndarray:
    """Key data of every market of the chunk."""
    numbers = np.arange(chunk.first, chunk.first + chunk.count, dtype=np.uint32)
    return np.asarray(jax.random.key_data(_fold(ground_key(study, ground), numbers)))


@jax.jit
def _fold(key, numbers):
    return jax.vmap(jax.random.fold_in, (None, 0))(key, numbers)


class _Stage:
    """The markets of a chunk, on which cell after cell is played."""

    def __init__(self, study, ground: Ground, market: Market, equilibrium: Equilibrium | None, timings):
        self.study, self.timings = study, timings
        self.count, self.shape = market.num_markets, None
        self.digest = study.digest()
        with timings("drawing"):
            if ground.markets > 1:  # else there is but one way to cut them, and it may be a large one
                market, self.shape = WARDROBE.fitted(market)
            self.market = market
            self.process = process(study, ground, self.count, market.endowment)
        utility = None if equilibrium is None else padded(equilibrium.utility, market)
        self.record = recorders(study.metrics, utility)
        if study.stop.when:
            self.record[VERDICT] = _verdict
        self.key = play_key(study, ground)
        self.plans: dict[tuple, Any] = {}

    def _plan(self, words: str, schedule, hops: int | float):
        """Worked out once for all cells that share a schedule."""
        if (words, hops) not in self.plans:
            with self.timings("planning"):
                if self.shape is None:
                    found = schedule.plan(self.market, hops)
                else:
                    found = WARDROBE.plan(schedule, hops, self.market, self.shape)
            self.plans[words, hops] = found
        return self.plans[words, hops]

    def program(self, number: int) -> tuple:
        """What tells the programs apart that cells are played by."""
        words = self.study.cells()[number].words
        return self.digest, self.market.links.shapes, self.market.num_markets, words[-3:]

    def play(self, cell: Cell) -> Played:
        """What becomes of the markets under this cell."""
        strategy, schedule = strategy_and_schedule(cell.words)
        is_random = schedule.is_random or self.process.is_random
        planned = self._plan(plan(*cell.words[-3:]).schedule, schedule, strategy.hops)
        rounds, every = self.study.rounds, self.study.record.every
        parts, state, played = [], None, 0
        while played < rounds:
            length = min(self._span(), rounds - played)
            with self.timings("simulating"):
                run = simulate(
                    self.market,
                    strategy,
                    rounds=length,
                    schedule=planned,
                    endowments=self.process,
                    record=self.record,
                    every=every,
                    start=state,
                    precision=self.study.precision,
                    key=self.key if is_random else None,
                )
            parts.append(_played(run, self.count, state is not None))
            state, played = run.final, played + length
            joined = _joined(parts)
            if self.study.stop.when and joined.ends(self.study.stop.when)[1].all():
                break
        return joined

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


# -- what is recorded ------------------------------------------------------------------------------


def recorders(names: list[str], equilibrium: np.ndarray | None) -> dict[str, Any]:
    """Functions of (market, state) by the names of metrics."""
    standard = metrics.standard(equilibrium)
    return {name: standard[name] if METRICS[name].is_standard else _OTHERS[name] for name in names}


def _of_utility(metric):
    def observe(market, state):
        return metric(market, state.utility.astype(np.float64))

    return observe


# Made once: a function made anew for every run would be compiled anew.
_OTHERS = {
    name: _of_utility(getattr(metrics, name)) for name, about in METRICS.items() if not about.is_standard
}


def _verdict(market, state):
    return metrics.verdict(market, state.history.astype(np.float64))
