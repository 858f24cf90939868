"""Markets without some of their agents: those that bring nothing, who would receive nothing."""

import dataclasses
from collections.abc import Hashable, Sequence

import numpy as np
from jaxtyping import Int

from cmapjax.graphs._file_options import FileOptions
from cmapjax.graphs._labels import unless_numbers
from cmapjax.market._market import Market


def market_without(
    dropped: Sequence[int] | np.ndarray,
    links: Int[np.ndarray, "links 2"],
    endowment,
    value,
    labels: Sequence[Hashable],
    options: FileOptions,
) -> Market:
    """The market on these links, but for some agents and their links, named in `market.origin.dropped_zero`.

    Args:
        dropped: the numbers of these agents.
        links: pairs of agents' numbers.
        endowment: one number, or one per agent.
        value: likewise.
        labels: every agent's name.
        options: what becomes of self-loops and isolated agents.

    Raises:
        ValueError: what `Market.from_links` refuses.
    """
    remaining = np.ones(len(labels), bool)
    remaining[np.asarray(dropped, np.int64)] = False
    kept = np.flatnonzero(remaining)
    if len(dropped):
        links = (np.cumsum(remaining) - 1)[links[remaining[links].all(axis=1)]]
        endowment, value = (np.asarray(x)[kept] if np.ndim(x) else x for x in (endowment, value))
    names = labels if not len(dropped) else [labels[i] for i in kept]
    try:
        market = Market.from_links(
            links,
            endowment=endowment,
            value=value,
            labels=unless_numbers(names),
            num_agents=len(names),
            drop_self_loops=options.drop_self_loops,
            drop_isolated=options.drop_isolated,
        )
    except ValueError as error:
        message = str(error)
        for option in ("drop_self_loops", "drop_isolated"):  # `from_links` knows its own arguments alone
            message = message.replace(f"{option}=True", options.say(option))
        if len(dropped):
            message = f"without the {len(dropped):,} agent(s) that have no surplus: {message}"
        raise ValueError(message) from None
    origin = market.origin.replaced(dropped_zero=[labels[i] for i in dropped])
    return dataclasses.replace(market, origin=origin)


def without(market: Market, dropped: Sequence[int] | np.ndarray, options: FileOptions) -> Market:
    """A market without some of its agents, as `market_without`."""
    if not len(dropped):
        return market
    if market.num_markets > 1:
        raise ValueError("several markets are packed here; leave agents out of each before packing.")
    giver, receiver = market.arcs()
    links = np.stack([giver, receiver], axis=1)[giver < receiver]
    less = market_without(dropped, links, market.endowment, market.value, list(market.labels), options)
    before, now = market.origin, less.origin
    origin = before.replaced(
        labels=now.labels,
        dropped_isolated=(*before.dropped_isolated, *now.dropped_isolated),
        dropped_zero=(*before.dropped_zero, *now.dropped_zero),
    )
    return dataclasses.replace(less, origin=origin)
