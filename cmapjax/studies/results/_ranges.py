"""Names of chunks, and which chunks of a plan are lacking."""

import re
from collections.abc import Iterable

from cmapjax.arguments._checks import short
from cmapjax.studies._chunks import Chunk
from cmapjax.studies.results._errors import ResultsError

NAME = re.compile(r"g\d{5,9}-m\d{7,10}-n\d{6,10}", re.ASCII)


def chunk_of(name: str) -> Chunk:
    """The chunk of this name.

    Raises:
        ResultsError: not the name of a chunk, so that it never becomes a path.
    """
    match = NAME.fullmatch(name) if isinstance(name, str) else None
    chunk = Chunk.named(name) if match else None
    if chunk is None or chunk.name != name or chunk.count < 1:
        raise ResultsError(
            f"chunk name is {short(name)}; it must read g<ground>-m<first market>-n<number>, "
            "as in g00012-m0000000-n000250."
        )
    return chunk


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


def lacking(plan: Iterable[Chunk], done: Iterable[Chunk]) -> list[Chunk]:
    """The chunks of the plan of which not all markets are done, whole or in parts; `done` do not overlap."""
    plan, done = list(plan), set(done)
    parts: dict[int, list[Chunk]] = {}
    for part in done.difference(plan):
        parts.setdefault(part.ground, []).append(part)

    def played(chunk: Chunk) -> int:
        end = chunk.first + chunk.count
        return sum(
            max(0, min(end, part.first + part.count) - max(chunk.first, part.first))
            for part in parts.get(chunk.ground, ())
        )

    return [chunk for chunk in plan if chunk not in done and played(chunk) < chunk.count]
