"""The loop over futures: what the folder lacks is played, pass after pass, until nothing is left to try.

A pass plays what is missing. What fails is missing still, and so tried again by the next pass. What may have
failed because of a chunk beside it is suspected, and tried alone: then its failure is its own.
"""

import math
import queue
import time
import warnings
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from cmapjax.arguments._checks import SpanWarning
from cmapjax.studies._chunks import Chunk, due, lacking
from cmapjax.studies.run._pool import Kind, Trouble
from cmapjax.studies.run._progress import Log, State, Tally
from cmapjax.studies.run._stop import Stop

# A chunk that killed its worker, or met an error, is tried so many times in all, the last time alone.
TRIES = 3
# Once so many single markets of a ground did not fit in memory, alone, the rest of it is not tried.
SINGLES = 2
# How long to wait for results before signals, the time limit and a request to cancel are looked for again.
TICK = 0.2
# How long the chunks under way may still take once the run is to end; it then ends within ten seconds.
GRACE = 5.0
# How long it may take to fetch a result that is ready, over whatever network.
FETCH_SECONDS = 60


class Rest:
    """The chunks of the plan that the folder lacks; those given up, or found too large, in this run.

    A chunk that is too large is played as its halves, and these as theirs.
    """

    def __init__(self, study, results):
        self._study, self.results, self._plan = study, results, results.plan
        self.failed: dict[Chunk, str] = {}
        self._too_many: dict[int, int] = {}  # of every ground the fewest markets that did not fit

    def missing(self) -> list[Chunk]:
        """What is neither on the disk nor given up."""
        done = [Chunk.named(name) for name in self.results.chunks]
        return lacking(self._plan, [*done, *self.failed], self._too_many)

    def due(self) -> list[Chunk]:
        """Of that, what can be played now: a study may stop drawing markets of a ground."""
        missing = self.missing()
        if self._study.stop.interval is None:
            return missing
        # Whether more markets are needed cannot be told from a part of those before.
        broken = {chunk.ground for chunk in self.failed}
        return due(self._study, [chunk for chunk in missing if chunk.ground not in broken], self._values)

    def halve(self, chunk: Chunk) -> None:
        """The chunk does not fit in memory: from now on it, and others as large of its ground, are halved."""
        self._too_many[chunk.ground] = min(chunk.count, self._too_many.get(chunk.ground, chunk.count))

    def _values(self, ground: int, count: int) -> list[list]:
        """The metric that decides whether more markets are drawn: of every cell its values, by market."""
        metric = self._study.stop.interval.metric
        values: dict[int, dict[int, float]] = {cell: {} for cell in self._study.grounds()[ground].cells}
        for table in self.results.tables("summary", ["cell", "market", metric], ground):
            columns = (table[n].to_pylist() for n in ("cell", "market", metric))
            for cell, market, value in zip(*columns, strict=True):
                values[cell][market] = math.nan if value is None else value
        return [[by_market[m] for m in sorted(by_market) if m < count] for by_market in values.values()]


class Loop:
    """Plays by a pool what is left, and writes what comes back.

    Attributes:
        done: the chunks played.
        halved: the chunks that did not fit in memory.
        timings: seconds of all chunks by stage.
        under_way: the chunks under way, by their futures.
        tally: what is done, in numbers.
        log: where troubles are written.
    """

    def __init__(self, rest: Rest, pool, tally: Tally, log: Log, report: Callable[[State], None]):
        self._rest, self._pool, self._report = rest, pool, report
        self.tally, self.log = tally, log
        self._arrived: queue.SimpleQueue = queue.SimpleQueue()
        self._tries: Counter = Counter()
        self._suspected: set[Chunk] = set()
        self._singles: Counter = Counter()
        self._crowded: set[int] = set()
        self._warned: dict[str, float] = {}
        self.under_way: dict = {}
        self.done: list[Chunk] = []
        self.halved: list[Chunk] = []
        self.timings: Counter = Counter()

    def play(self, stop: Stop) -> None:
        """Play until nothing is left to try, or there is a reason to stop."""
        self._show("starting")
        while (due := self._rest.due()) and not stop.reason():
            suspects = [chunk for chunk in due if chunk in self._suspected]
            self._crowded.clear()
            self._pass(suspects[:1] or due, stop)
        if self.under_way:
            self._wait_for_last(stop)
        if len(self._warned) > 1:
            widest = max(self._warned, key=self._warned.get)
            more = f"{len(self._warned) - 1:,} more such warnings, of other markets; the widest: {widest}"
            self._warn(more, self._warned[widest])

    def _pass(self, chunks: Sequence[Chunk], stop: Stop) -> None:
        waiting, is_alone = deque(chunks), len(chunks) == 1
        while (waiting or self.under_way) and not stop.reason():
            self._submit(waiting)
            for chunk, outcome in self._arrivals():
                if isinstance(outcome, Trouble):
                    self._mind(chunk, outcome, is_alone)
                else:
                    self._submit(waiting)  # first, so that nobody waits for the disk
                    self._write(chunk, outcome)
            self._show(self._pool.note)

    def _submit(self, waiting: deque) -> None:
        """Hand out as much as the pool takes."""
        while waiting and len(self.under_way) < self._pool.capacity():
            chunk = waiting.popleft()
            if chunk.ground not in self._crowded:  # else the next pass will know what fits
                future = self._pool.submit(chunk, is_only=not waiting and not self.under_way)
                self.under_way[future] = chunk
                future.add_done_callback(self._arrived.put)

    def _arrivals(self) -> Iterator[tuple[Chunk, Any]]:
        """The chunk that came back, if one did within a moment, with its result or its trouble."""
        self._pool.capacity()  # raises if nobody is left to wait for
        try:
            future = self._arrived.get(timeout=TICK)
        except queue.Empty:
            return
        chunk = self.under_way.pop(future)
        try:
            outcome = future.result(timeout=FETCH_SECONDS)
        except Exception as error:  # whatever it is, it is said with the chunk
            outcome = self._pool.trouble(error)
            self.log(f"chunk {chunk.name}: {outcome.reason}")
        yield chunk, outcome

    def _write(self, chunk: Chunk, result) -> None:
        self._rest.results.write(chunk, summary=result.summary, curves=result.curves)
        self.timings.update(result.timings)
        self.done.append(chunk)
        self.tally.add(chunk)
        if result.warning is not None:
            text, ratio = result.warning
            if not self._warned:
                self._warn(text, ratio)
            self._warned[text] = ratio

    def _warn(self, text: str, ratio: float) -> None:
        text = text.replace("use precision float64", 'begin a study with precision = "float64"')
        self.log(f"warning: {text}")
        warnings.warn(SpanWarning(text, ratio), stacklevel=2)

    def _mind(self, chunk: Chunk, trouble: Trouble, was_alone: bool) -> None:
        """Give up or halve the chunk, or leave it to the next pass."""
        kind, reason, deaths = trouble
        tries = self._tries[chunk, kind] = self._tries[chunk, kind] + max(1, deaths)
        if kind is Kind.MEMORY or tries >= TRIES - 1:
            self._suspected.add(chunk)
        if kind is Kind.HOPELESS:
            self._give_up(chunk, reason)
        elif kind is Kind.MEMORY and was_alone:
            self._make_smaller(chunk, reason)
        elif kind is Kind.MEMORY:
            self._crowded.add(chunk.ground)
        elif kind is Kind.DIED and was_alone and tries >= TRIES:
            self._give_up(chunk, f"{reason}; it cost {tries} workers")
        elif kind is Kind.FAULT and tries >= TRIES:
            self._give_up(chunk, f"{reason}; tried {tries} times")

    def _make_smaller(self, chunk: Chunk, reason: str) -> None:
        if chunk.count > 1:
            self.log(f"chunk {chunk.name} is halved, and others as large of its ground with it")
            self.halved.append(chunk)
            self._rest.halve(chunk)
            return
        self._give_up(chunk, f"{reason}; a single market does not fit")
        self._singles[chunk.ground] += 1
        fits = any(Chunk.named(name).ground == chunk.ground for name in self._rest.results.chunks)
        if self._singles[chunk.ground] >= SINGLES and not fits:
            for other in self._rest.missing():
                if other.ground == chunk.ground:
                    self._give_up(other, f"not tried, as {SINGLES} single markets of its ground did not fit")

    def _give_up(self, chunk: Chunk, reason: str) -> None:
        self.log(f"chunk {chunk.name} is given up: {reason}")
        self._rest.failed[chunk] = reason

    def _wait_for_last(self, stop: Stop) -> None:
        """Keep what still comes in within a few seconds; the rest is missing."""
        self._show("stopping")
        self.log(f"{stop.reason()}: waiting a few seconds for {len(self.under_way)} chunks under way")
        deadline = time.monotonic() + GRACE
        while self.under_way and time.monotonic() < deadline:
            for chunk, outcome in self._arrivals():
                if not isinstance(outcome, Trouble):
                    self._write(chunk, outcome)

    def _show(self, note: str) -> None:
        self._report(self.tally.state(len(self._rest.failed), note))
