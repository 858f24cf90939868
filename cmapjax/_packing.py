"""Several markets side by side as one."""

from collections.abc import Sequence

import numpy as np

from cmapjax._market import Market, assemble_rows
from cmapjax._origin import Origin


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
    )
    numbers = np.concatenate([np.asarray(m.numbers) for m in markets])
    if len(np.unique(numbers)) < num_markets:
        numbers = np.arange(num_markets, dtype=np.uint32)
    return assemble_rows(
        np.concatenate([[0], np.cumsum(np.concatenate(degrees))]),
        np.concatenate(neighbours),
        np.concatenate([np.asarray(m.endowment) for m in markets]),
        np.concatenate([np.asarray(m.value) for m in markets]),
        np.concatenate(market_of),
        numbers,
        origin,
    )
