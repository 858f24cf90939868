"""The shape of a chunk's markets: the same for nearly all chunks of so many markets of a network."""

from collections.abc import Callable, Hashable
from typing import Any

from cmapjax.engine._canonical import Room, Shape, fits, fitted, padded_plan, plan_room, shape_of, widened
from cmapjax.market._market import Market
from cmapjax.schedules._plans import Plan
from cmapjax.schedules._schedule import Schedule
from cmapjax.studies._build import draw
from cmapjax.studies._cells import Ground
from cmapjax.studies._chunks import Chunk
from cmapjax.studies._schema import TERMS

MOST_REMEMBERED = 1_000
_REMEMBERED: dict[Hashable, Any] = {}


def chunk_shape(study, chunk: Chunk, market: Market) -> Shape:
    """The shape of the study's first chunk of so many markets of this network, widened until these fit.

    It follows from the study and the chunk, and not from what this process has played before.

    Args:
        study: whose chunk it is.
        chunk: which.
        market: its markets, as they are drawn.
    """
    shape = _of_first(study, chunk, market, "shape", shape_of)
    while not fits(market, shape):
        shape = widened(shape)
    return shape


def chunk_plan(
    study,
    chunk: Chunk,
    market: Market,
    larger: Market,
    schedule: Schedule,
    words: str,
    hops: int | float,
) -> Plan:
    """The schedule's plan for the chunk as it is fitted, with tables as large as the first chunk's.

    Args:
        study: whose chunk it is.
        chunk: which.
        market: its markets, as they are drawn.
        larger: as they are fitted.
        schedule: what is to be planned.
        words: which tell it from other schedules of the study.
        hops: how far strategies look.
    """

    def room(first: Market) -> Room:
        shape = larger if first is market else fitted(first, chunk_shape(study, chunk, first))
        return plan_room(schedule.plan(first, hops), first, shape)

    plan = schedule.plan(market, hops)
    if not plan_room(plan, market, larger):
        return padded_plan(plan, market, larger)
    return padded_plan(plan, market, larger, _of_first(study, chunk, market, (words, hops), room))


def _of_first(study, chunk: Chunk, market: Market, name: Hashable, found: Callable[[Market], Any]) -> Any:
    """`found(markets)` of the first chunk that is like this one, worked out once."""
    like = _first_like(study, chunk)
    key = study.digest(), like.number, chunk.count, name
    if key not in _REMEMBERED:
        is_first = like.number == chunk.ground and chunk.first == 0
        if len(_REMEMBERED) >= MOST_REMEMBERED:
            _REMEMBERED.clear()
        _REMEMBERED[key] = found(market if is_first else draw(study, like, 0, chunk.count))
    return _REMEMBERED[key]


def _first_like(study, chunk: Chunk) -> Ground:
    """The first ground of the same networks and fields, with as many markets."""
    own = study.grounds()[chunk.ground]
    alike = ("network", "isolated", *TERMS)
    return next(
        ground
        for ground in study.grounds()
        if all(getattr(ground, field) == getattr(own, field) for field in alike)
        and ground.markets >= chunk.count
    )
