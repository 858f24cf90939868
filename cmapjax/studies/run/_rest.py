"""What is left to play of a study: what its plan asks for and its folder lacks."""

import math
from collections.abc import Iterable

from cmapjax.studies._chunks import Chunk, due


class Rest:
    """The chunks of the plan that the folder lacks; those given up, or found too large, in this run.

    A chunk that is too large is played as its halves, and these as theirs. Halves are always the same, so a
    folder that holds some of them says where to go on.
    """

    def __init__(self, study, results):
        self._study, self.results, self._plan = study, results, results.plan
        self._whole = frozenset(self._plan)
        self.failed: dict[Chunk, str] = {}
        self._too_many: dict[int, int] = {}  # of every ground the fewest markets that did not fit

    def missing(self) -> list[Chunk]:
        """What is neither on the disk nor given up."""
        done = {Chunk.named(name) for name in self.results.chunks()}
        settled = done | self.failed.keys()
        parts: dict[int, list[Chunk]] = {}
        for part in settled - self._whole:
            parts.setdefault(part.ground, []).append(part)
        return [
            left for chunk in self._plan for left in self._left(chunk, settled, parts.get(chunk.ground, ()))
        ]

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

    def _left(self, chunk: Chunk, settled: set, parts: Iterable[Chunk]) -> list[Chunk]:
        if chunk in settled:
            return []
        inside = [part for part in parts if chunk.first <= part.first < chunk.first + chunk.count]
        is_too_large = chunk.count >= self._too_many.get(chunk.ground, math.inf)
        if chunk.count > 1 and (inside or is_too_large):
            return [left for half in chunk.halves() for left in self._left(half, settled, inside)]
        return [chunk]

    def _values(self, ground: int, count: int) -> list[list]:
        """The metric that decides whether more markets are drawn: of every cell its values, by market."""
        metric = self._study.stop.interval.metric
        values: dict[int, dict[int, float]] = {cell: {} for cell in self._study.grounds()[ground].cells}
        for name, path in self.results.chunks().items():
            chunk = Chunk.named(name)
            if chunk.ground == ground and chunk.first < count:
                table = self.results.read(path, ["cell", "market", metric])
                columns = (table[n].to_pylist() for n in ("cell", "market", metric))
                for cell, market, value in zip(*columns, strict=True):
                    values[cell][market] = math.nan if value is None else value
        return [[by_market[m] for m in sorted(by_market) if m < count] for by_market in values.values()]
