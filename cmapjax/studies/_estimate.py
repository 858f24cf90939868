"""What a study would cost, from its description and from playing a little of it."""

import collections
import dataclasses
import io
import statistics
import time

import pyarrow as pa
import pyarrow.parquet as pq

from cmapjax.engine._records import rounds_apart
from cmapjax.studies._build import reading_notes, size_of
from cmapjax.studies._cells import NONE, OWN, Cell, Ground, kind_of
from cmapjax.studies._chunks import Chunk, chunks
from cmapjax.studies._play import play_cells
from cmapjax.studies._schema import TERMS
from cmapjax.studies._sections import Stop
from cmapjax.studies._tables import recorded_rounds

# A sample: this many agents, rounds and programs (each of which takes seconds to compile) at most, and no
# further program after these seconds.
SAMPLE_AGENTS = 20_000
SAMPLE_RECORDS = 3
SAMPLE_ROUNDS = 30
SAMPLE_PROGRAMS = 6
SAMPLE_SECONDS = 30.0
# Bytes of a process with JAX loaded; per link end stored, in float64, at the peak of a run; per agent;
# and per compiled program. Measured on Linux with JAX 0.10.
BASE_BYTES = 750e6
SLOT_BYTES, AGENT_BYTES, PROGRAM_BYTES = 260, 600, 50e6
MOST_PROGRAMS = 60  # in memory at once; then they are forgotten
# Bytes on disk of a row of the summary, and of a curve's record of one metric of one market, where nothing
# was measured; the buckets of a sketch grow more slowly than the markets counted in them.
SUMMARY_ROW, CURVE_ROW = 150.0, 6.0
BUCKET_GROWTH = 0.6


@dataclasses.dataclass(frozen=True)
class Estimate:
    """What a study would cost. Times are of one core of this machine."""

    cells: int
    grounds: int
    markets: int
    """Different markets drawn."""
    runs: int
    """Markets times cells they are played under: rows of the summary."""
    agents: int
    """Of all runs."""
    chunks: int
    programs: int
    """About how many programs are compiled. Every worker compiles its own, unless there is a compilation
    cache."""
    memory_bytes: int
    """Per worker, at most about."""
    chunk_bytes: int
    """Part of that which every further chunk takes that is played at the same time."""
    disk_bytes: int
    seconds: float | None
    """In all; None if nothing was measured."""
    compile_seconds: float | None
    """Part of `seconds`."""
    notes: tuple[str, ...]


def estimate(study, sample: bool = True) -> Estimate:
    """What a study would cost; with `sample`, from playing a few markets of some cells for some rounds.

    Raises:
        ValueError: whatever `Study.check` refuses.
    """
    study.check()
    work = _Work(study)
    rates = _Rates(study, work) if sample else None
    grounds = study.grounds()
    return Estimate(
        cells=len(study.cells()),
        grounds=len(grounds),
        markets=sum(ground.markets for ground in grounds),
        runs=sum(ground.markets * len(ground.cells) for ground in grounds),
        agents=sum(g.markets * len(g.cells) * work.agents[g.number] for g in grounds),
        chunks=len(work.chunks),
        programs=len(work.programs),
        memory_bytes=round(
            BASE_BYTES + PROGRAM_BYTES * min(len(work.programs), MOST_PROGRAMS) + work.of_chunk()
        ),
        chunk_bytes=round(work.of_chunk()),
        disk_bytes=round(_disk(study, work, rates)),
        seconds=None if rates is None else rates.seconds(),
        compile_seconds=None if rates is None else rates.compiling * len(work.programs),
        notes=(*study.notes(), *reading_notes(study)),
    )


def _program_of(ground: Ground) -> tuple:
    """What of a ground decides which programs are compiled: its network, and which fields there are."""
    return ground.network, tuple(getattr(ground, field) in (NONE, OWN) for field in TERMS)


class _Work:
    """The size of what is to be done."""

    def __init__(self, study, plan: list[Chunk] | None = None):
        self.study = study
        self.chunks = chunks(study) if plan is None else plan
        sizes = [size_of(study, ground) for ground in study.grounds()]
        self.agents = [num_agents for num_agents, _ in sizes]
        self.ends = [2 * num_links for _, num_links in sizes]
        self.largest = {}
        for chunk in self.chunks:
            self.largest[chunk.ground] = max(self.largest.get(chunk.ground, 0), chunk.count)
        self.programs = {
            (_program_of(study.grounds()[cell.ground]), self.largest[cell.ground], kind_of(cell))
            for cell in study.cells()
        }

    def size(self, ground: Ground) -> float:
        """Agents and link ends of a market: about what a round of it costs."""
        return self.agents[ground.number] + self.ends[ground.number]

    def of_chunk(self) -> float:
        """Bytes that the largest chunk takes, without the programs."""
        records = len(recorded_rounds(self.study)) * len(self.study.metrics) * 8
        is_full = self.study.record.curves == "full"
        takes = []
        for ground in self.study.grounds():
            per_market = AGENT_BYTES * self.agents[ground.number] + SLOT_BYTES * self.ends[ground.number]
            kept = len(ground.cells) * (5 * records if is_full else 400)
            takes.append(self.largest[ground.number] * (per_market + 3 * records + kept))
        return max(takes)


def chunk_bytes(study, plan: list[Chunk]) -> float:
    """Bytes that a chunk of this plan takes while it is played, at most about."""
    return _Work(study, plan).of_chunk()


class _Rates:
    """What was measured on a small sample: seconds and bytes by size of what is done."""

    def __init__(self, study, work: _Work):
        self.study, self.work = study, work
        every = rounds_apart(recorded_rounds(study))
        rounds = min(study.rounds, max(every, SAMPLE_ROUNDS // every * every, SAMPLE_RECORDS))
        # The copy has the same cells and grounds; only how long it is played differs.
        record = study.record.model_copy(update={"every": every})
        self.probe = study.model_copy(update={"rounds": rounds, "stop": Stop(), "record": record})
        self.measured: dict[str, list[float]] = collections.defaultdict(list)
        self.playing: dict[tuple, list[float]] = collections.defaultdict(list)
        began = time.perf_counter()
        for ground, cell in self._samples():
            if self.playing and time.perf_counter() - began > SAMPLE_SECONDS:
                break
            self._measure(ground, cell)
        self.compiling = self.mean("compiling")

    def mean(self, what: str, otherwise: float = 0.0) -> float:
        """Of what was measured."""
        return statistics.fmean(self.measured[what]) if self.measured[what] else otherwise

    def _samples(self) -> list[tuple[Ground, Cell]]:
        """Cells to play: every kind on the largest ground that has it, and one on the smallest ground."""
        by_size = sorted(self.study.grounds(), key=self.work.size)
        cells, kinds = self.study.cells(), {}
        for ground in by_size:
            kinds |= {kind_of(cells[number]): (ground, cells[number]) for number in ground.cells}
        found = list(kinds.values())[:SAMPLE_PROGRAMS]
        return [*found, (by_size[0], cells[by_size[0].cells[0]])] if len(by_size) > 1 else found

    def _measure(self, ground: Ground, cell: Cell) -> None:
        agents = self.work.agents[ground.number]
        count = min(self.work.largest[ground.number], max(1, SAMPLE_AGENTS // agents))
        chunk = Chunk(ground.number, 0, count)
        first, again = (play_cells(self.probe, chunk, [cell.number]) for _ in range(2))
        size, spent = self.work.size(ground) * count, again.timings
        values = len(recorded_rounds(self.probe)) * len(self.study.metrics)
        self.playing[kind_of(cell)].append(spent["simulating"] / (size * self.probe.rounds))
        found = {
            "compiling": first.timings["compiling"],
            "drawing": (spent["drawing"] + spent.get("solving", 0.0)) / size,
            "tables": spent["tables"] / (values * count),
            "row": _bytes(again.summary) / count,
        }
        if again.curves is not None:
            found["curve"] = _bytes(again.curves) / values / count ** _growth(self.study)
        for what, number in found.items():
            self.measured[what].append(number)

    def seconds(self) -> float:
        """Of everything, compiling included."""
        records = len(recorded_rounds(self.study)) * len(self.study.metrics)
        known = {kind: statistics.fmean(rates) for kind, rates in self.playing.items()}
        usual = statistics.fmean(known.values())
        total = self.compiling * len(self.work.programs)
        for ground in self.study.grounds():
            total += self.mean("drawing") * self.work.size(ground) * ground.markets
        for cell in self.study.cells():
            ground = self.study.grounds()[cell.ground]
            round_of_all = known.get(kind_of(cell), usual) * self.work.size(ground)
            total += ground.markets * (round_of_all * self.study.rounds + self.mean("tables") * records)
        return total


def _bytes(table: pa.Table) -> int:
    """On disk, as results are written."""
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd")
    return buffer.tell()


def _growth(study) -> float:
    """The power of the markets of a chunk by which its curves grow."""
    return 1.0 if study.record.curves == "full" else BUCKET_GROWTH


def _disk(study, work: _Work, rates: _Rates | None) -> float:
    """Bytes of all tables."""
    row = rates.mean("row") if rates else SUMMARY_ROW
    curve = rates.mean("curve", CURVE_ROW) if rates else CURVE_ROW
    values = 0 if study.record.curves == "none" else len(recorded_rounds(study)) * len(study.metrics)
    return sum(
        len(study.grounds()[chunk.ground].cells)
        * (chunk.count * row + values * curve * chunk.count ** _growth(study))
        for chunk in work.chunks
    )
