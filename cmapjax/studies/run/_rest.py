"""What is left to play of a study: what its plan asks for and its folder lacks."""

import math

from cmapjax.studies._chunks import Chunk, due
from cmapjax.studies.results._ranges import lacking


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
        done = [Chunk.named(name) for name in self.results.chunks()]
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
        for name, path in self.results.chunks().items():
            chunk = Chunk.named(name)
            if chunk.ground == ground and chunk.first < count:
                table = self.results.read(path, ["cell", "market", metric])
                columns = (table[n].to_pylist() for n in ("cell", "market", metric))
                for cell, market, value in zip(*columns, strict=True):
                    values[cell][market] = math.nan if value is None else value
        return [[by_market[m] for m in sorted(by_market) if m < count] for by_market in values.values()]
