"""Chunks: the pieces of work that a study is cut into."""

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from cmapjax.arguments._checks import short
from cmapjax.studies._cells import Ground

# Agents of a chunk: enough for a machine's cores to be busy with, and small enough that a chunk lost to a
# crash costs seconds, and that several fit beside each other in memory.
AGENTS = 75_000
# Values of a chunk's tables, at most: a ground of very many cells is cut finer.
VALUES = 10_000_000
COLUMNS = 40
# A quarter more chunks, at most, so that all are of one size.
MORE_PARTS = 4
NOTHING: Mapping[int, int] = MappingProxyType({})


class Chunk(NamedTuple):
    """Markets first … first + count - 1 of a ground, played under every cell of that ground."""

    ground: int
    first: int
    count: int

    @property
    def name(self) -> str:
        """A name for its files; names sort as chunks do."""
        return f"g{self.ground:05d}-m{self.first:07d}-n{self.count:06d}"

    @classmethod
    def named(cls, name: str) -> "Chunk":
        """The chunk of this name.

        Raises:
            ValueError: not the name of a chunk, so that it never becomes a path.
        """
        is_name = isinstance(name, str) and re.fullmatch(r"g\d+-m\d+-n\d+", name, re.ASCII)
        chunk = cls(*(int(part[1:]) for part in name.split("-"))) if is_name else None
        if chunk is None or chunk.name != name or chunk.count < 1:
            raise ValueError(
                f"chunk name is {short(name)}; it must read g<ground>-m<first market>-n<number>, as in "
                "g00012-m0000000-n000250."
            )
        return chunk

    def halves(self) -> tuple["Chunk", "Chunk"]:
        """The same markets as two chunks. Raises ValueError for a single market."""
        if self.count < 2:
            raise ValueError(f"chunk {self.name} is a single market, which cannot be halved.")
        half = -(-self.count // 2)
        return self._replace(count=half), Chunk(self.ground, self.first + half, self.count - half)


def chunks(study, size: int | None = None) -> list[Chunk]:
    """All chunks of a study, those of the largest markets first.

    Values are the same bits for one such plan, and equal up to rounding for another.

    Args:
        study: whose.
        size: most markets in one; by default so many that they have about 75,000 agents.

    Raises:
        ValueError: a size below 1; whatever `Study.check` refuses.
    """
    if size is not None and (isinstance(size, bool) or not isinstance(size, int) or size < 1):
        raise ValueError(f"size is {size!r}; give a whole number of markets, 1 or more.")
    study.check()
    from cmapjax.studies._build import size_of

    found, weights = [], {}
    for ground in study.grounds():
        num_agents, num_links = size_of(study, ground)
        weights[ground.number] = num_agents + 2 * num_links
        most = size or _default_size(study, ground, num_agents)
        for first, count in blocks(study, ground):
            parts = _num_parts(count, most)
            even = -(-count // parts)
            found += [
                Chunk(ground.number, first + start, min(even, count - start))
                for start in range(0, count, even)
            ]
    return sorted(found, key=lambda chunk: -weights[chunk.ground])  # else in order


def _num_parts(count: int, most: int) -> int:
    """Into how many chunks of so many markets at most: equal ones if that takes few more, since these share
    compiled programs."""
    least = -(-count // most)
    few_more = range(least, least + least // MORE_PARTS + 1)
    return next((parts for parts in few_more if count % parts == 0), least)


def _default_size(study, ground: Ground, num_agents: int) -> int:
    """Markets of a chunk by default, of so many agents each."""
    from cmapjax.engine._records import recorded_rounds

    values = len(recorded_rounds(study.rounds, study.record.every)) * len(study.metrics)  # of one run
    kept = COLUMNS + (values if study.record.curves == "full" else 0)
    per_market = max(values, kept * len(ground.cells))  # while it is played, or left in tables
    return max(1, min(VALUES // per_market, AGENTS // num_agents))


def blocks(study, ground: Ground) -> list[tuple[int, int]]:
    """(first, count) of the markets between two decisions to draw more: all, unless `[stop] interval`."""
    interval = study.stop.interval
    step = ground.markets if interval is None else min(interval.least, ground.markets)
    return [(first, min(step, ground.markets - first)) for first in range(0, ground.markets, step)]


# -- what is there, and what is lacking --------------------------------------------------------------


def without_overlaps(chunks: Iterable[Chunk]) -> list[Chunk]:
    """The chunks in order, without those that hold a market which one before them holds.

    Of a chunk and its halves, which runs with less memory have played, the whole comes first.
    """
    kept: list[Chunk] = []
    for chunk in sorted(chunks, key=lambda c: (c.ground, c.first, -c.count)):
        last = kept[-1] if kept else None
        if last is None or last.ground != chunk.ground or last.first + last.count <= chunk.first:
            kept.append(chunk)
    return kept


def lacking(
    plan: Iterable[Chunk], done: Iterable[Chunk], too_many: Mapping[int, int] = NOTHING
) -> list[Chunk]:
    """What none of the chunks done holds: whole chunks of the plan, or halves of them, in its order.

    Halves are always the same, so what runs with less memory have left undone is cut as they would cut it.

    Args:
        plan: chunks that do not overlap.
        done: chunks of the plan, or any others.
        too_many: by ground, how many markets do not fit in memory; so many are halved.
    """
    plan, done = list(plan), set(done)
    others: dict[int, list[Chunk]] = {}
    for chunk in done.difference(plan):
        others.setdefault(chunk.ground, []).append(chunk)
    return [
        left
        for chunk in plan
        if chunk not in done
        for left in _left(chunk, others.get(chunk.ground, []), too_many.get(chunk.ground, math.inf))
    ]


def _left(chunk: Chunk, done: list[Chunk], too_many: float) -> list[Chunk]:
    end = chunk.first + chunk.count
    near = [have for have in done if have.first < end and chunk.first < have.first + have.count]
    if any(have.first <= chunk.first and end <= have.first + have.count for have in near):
        return []
    if chunk.count > 1 and (near or chunk.count >= too_many):
        return [left for half in chunk.halves() for left in _left(half, near, too_many)]
    return [chunk]


# -- stopping early --------------------------------------------------------------------------------


def due(
    study,
    missing: Iterable[Chunk],
    values_of: Callable[[int, int], Sequence[Sequence[float]]] | None = None,
) -> list[Chunk]:
    """The missing chunks that may be played now.

    All of them, unless the study stops drawing markets by `[stop] interval`. Then of every ground the
    missing chunks of its first unfinished block of markets, if any further are needed; ask again when
    they are done. Decisions are made on whole blocks, in order, so that they are the same whoever plays.

    Args:
        study: whose chunks.
        missing: those neither finished nor given up (halves too).
        values_of: given a ground and how many of its first markets: the metric's value at the end, one
            sequence per cell in the order of markets. None or NaN where it is not finite.
    """
    missing = list(missing)
    if study.stop.interval is None:
        return missing
    by_ground: dict[int, list[Chunk]] = {}
    for chunk in missing:
        by_ground.setdefault(chunk.ground, []).append(chunk)
    found = []
    for number, own in by_ground.items():
        ground = study.grounds()[number]
        least = min(chunk.first for chunk in own)
        for first, count in blocks(study, ground):
            if first + count > least:
                found += [chunk for chunk in own if first <= chunk.first < first + count]
                break
            if is_known_well(study, values_of(number, first + count)):
                break
    return found


def is_known_well(study, cells: Sequence[Sequence[float]]) -> bool:
    """Whether the mean over markets is known to the width asked for, in every cell."""
    from cmapjax.studies._interval import mean_interval

    width = study.stop.interval.width
    found = [mean_interval(values, width) for values in cells]
    return all(interval is not None and interval.high - interval.low <= width for interval in found)
