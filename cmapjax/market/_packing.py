"""Several markets side by side as one: different ones, or copies of one."""

from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np

from cmapjax.arguments._checks import as_real, check_kind
from cmapjax.arguments._labelled import by_name
from cmapjax.arguments._origin import Origin
from cmapjax.market._columns import Columns
from cmapjax.market._laid_out import listed_by_market
from cmapjax.market._market import Market, assemble_rows
from cmapjax.market._numbers import IF_ABSENT, OF_AGENTS, OF_ARCS, check_numbers_of_agents
from cmapjax.runtime._settings import check_plain


def pack(markets: Sequence[Market]) -> Market:
    """One market whose components are the given ones, side by side, in order.

    Nothing passes between them: every market behaves as it does alone. Agents keep their labels when
    these stay unique; otherwise an agent is named (market, label). Markets likewise keep their numbers, from
    which random schedules and endowments draw; otherwise they are numbered from 0 on.

    Raises:
        ValueError: no markets given.
    """
    markets = list(markets)
    if not markets:
        raise ValueError("pack: no markets given; give at least one.")
    check_plain("pack", markets, "give contributions to the packed market, by with_contributions")
    offsets = np.cumsum([0] + [m.num_agents for m in markets])
    degrees, neighbours, market_of, num_markets = [], [], [], 0
    for market, offset in zip(markets, offsets, strict=False):
        starts, receiver = market.neighbour_rows()
        degrees.append(np.diff(starts))
        neighbours.append(receiver + np.int32(offset))
        market_of.append(np.asarray(market.market_of) + np.int32(num_markets))
        num_markets += market.num_markets
    labels = None
    if any(m.origin.labels is not None for m in markets):
        labels = [label for m in markets for label in m.labels]
        if len(set(labels)) < len(labels):
            labels = [(number, label) for number, m in enumerate(markets) for label in m.labels]
    origin = Origin(
        labels,
        merged_links=sum(m.origin.merged_links for m in markets),
        dropped_self_loops=[x for m in markets for x in m.origin.dropped_self_loops],
        dropped_isolated=[x for m in markets for x in m.origin.dropped_isolated],
        dropped_zero=[x for m in markets for x in m.origin.dropped_zero],
        notes=sum((Counter(m.origin.notes) for m in markets), Counter()),
    )
    numbers = np.concatenate([np.asarray(m.numbers) for m in markets])
    if len(np.unique(numbers)) < num_markets:
        numbers = np.arange(num_markets, dtype=np.uint32)
    fields = ["endowment", "value", *(name for name in IF_ABSENT if any(name in m.terms for m in markets))]
    return assemble_rows(
        np.concatenate([[0], np.cumsum(np.concatenate(degrees))]),
        np.concatenate(neighbours),
        {name: _joined(name, markets) for name in fields},
        np.concatenate(market_of),
        numbers,
        origin,
    )


def _joined(name: str, markets: Sequence[Market]) -> np.ndarray:
    """A field of all agents or arcs; markets without it have what holds where it is absent."""
    parts = []
    for market in markets:
        x = getattr(market, name)
        if x is not None:
            parts.append(np.asarray(market.arc_values(x) if name in OF_ARCS else x))
        elif name == "priority":
            parts.append(np.asarray(market.contribution))
        else:
            size = market.num_agents if name in OF_AGENTS else 2 * market.num_links
            parts.append(np.full(size, IF_ABSENT[name]))
    return np.concatenate(parts)


def copies(market: Market, *, endowment=None, value=None, priority=None, demand=None, own_use=None) -> Market:
    """One market whose components are copies of the given one, each with its own endowments or values.

    Nothing passes between them. The copies of an agent are stored side by side, so that their look-ups read
    runs of memory: undamped proportional response is about twice as fast as on other ensembles of this size
    (docs/benchmarks.md), other strategies are no faster.

    Args:
        market: one market, or an ensemble, which is copied as a whole.
        endowment: ε, one row [agents] per copy (units of the agent's resource); by default the market's. A
            table with names of its columns is matched by name.
        value: v, one row [agents] per copy (value per unit); by default the market's.
        priority, demand, own_use: likewise (value); by default the market's.

    Returns:
        The ensemble: all agents of the first copy, then all of the second, and so on.

    Raises:
        ValueError: neither is given; rows that fit neither the market nor each other; numbers that are
            not finite and positive.
    """
    check_kind("market", market, Market, "Market.from_links(…), or a reader of cmapjax.graphs")
    check_plain("copies", market, "give contributions to the copies, by with_contributions")
    given = {
        "endowment": by_name("endowment", endowment, market.labels),
        "value": by_name("value", value, market.labels),
        "priority": by_name("priority", priority, market.labels),
        "demand": by_name("demand", demand, market.labels),
        "own_use": by_name("own_use", own_use, market.labels),
    }
    shapes = {name: np.shape(x) for name, x in given.items() if x is not None}
    number = next((shape[0] for shape in shapes.values() if shape), 0)
    if not number or any(shape != (number, market.num_agents) for shape in shapes.values()):
        raise ValueError(
            f"copies: given {shapes or 'nothing'}; give endowment, value or others as [copies, agents], "
            f"one row of the {market.num_agents} agents' numbers per copy."
        )
    agents = {}
    for field, x in given.items():
        one = getattr(market, field)
        if x is not None:
            agents[field] = as_real(field, x, np.shape(x)).ravel()
        elif one is not None:
            agents[field] = np.tile(np.asarray(one), number)
    arcs = {
        name: np.repeat(np.asarray(getattr(market, name)), number) for name in market.terms if name in OF_ARCS
    }
    check_numbers_of_agents(agents, bool(arcs), _names(market))
    markets = np.arange(number, dtype=np.int32)[:, None] * np.int32(market.num_markets)
    market_of = (markets + np.asarray(market.market_of)).ravel()
    numbers = np.arange(number * market.num_markets, dtype=np.uint32)
    reverse = _side_by_side(market.reverse, number)
    return Market(
        **agents,
        **arcs,
        links=_copied(market.links, number),
        reverse=reverse,
        members=listed_by_market(market_of),
        market_of=market_of,
        numbers=numbers,
        origin=Origin(),
    )


def _names(market: Market) -> Callable[[int], tuple]:
    """Copies' agents by (copy, label)."""
    return lambda i: (int(i) // market.num_agents, market.labels[int(i) % market.num_agents])


def _side_by_side(places: np.ndarray, number: int) -> np.ndarray:
    """Where copies are stored, given where each thing is."""
    copy = np.arange(number, dtype=np.int32)
    return (np.asarray(places)[:, None] * np.int32(number) + copy).ravel()


def _copied(columns: Columns, number: int) -> Columns:
    """The columns of `number` copies, with the copies of each row next to each other."""
    rows = columns.num_rows
    if columns.num_slots * number >= 2**31 - 1:
        raise ValueError(
            f"copies: {number} of {columns.num_slots} slots do not fit 32-bit indices; make fewer at a time."
        )
    order = np.asarray(columns.order)[:, None] + np.arange(number, dtype=np.int32) * np.int32(rows)
    place = np.empty(order.size, np.int32)
    place[order.ravel()] = np.arange(order.size, dtype=np.int32)
    return Columns(
        entries=_side_by_side(columns.entries, number),
        lengths=np.repeat(np.asarray(columns.lengths), number),
        order=order.ravel(),
        place=place,
        starts=_side_by_side(columns.starts, number),
        strides=np.repeat(np.asarray(columns.strides) * np.int32(number), number),
        shapes=tuple((width, number * rows) for width, rows in columns.shapes),
        one=columns,
    )
