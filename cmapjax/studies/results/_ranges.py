"""Which chunks count, and which chunks of a plan are lacking."""

import math
from collections.abc import Iterable, Mapping
from types import MappingProxyType

from cmapjax.studies._chunks import Chunk

NOTHING: Mapping[int, int] = MappingProxyType({})


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
