"""What every reader of links returns: agents, links, and the numbers that the file has for agents."""

import dataclasses
from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int

from cmapjax.graphs._file_options import FileOptions
from cmapjax.graphs._files import FileError
from cmapjax.graphs._labels import as_labels, check_label, check_numbers, unless_numbers
from cmapjax.market._market import Market
from cmapjax.market._numbers import OF_AGENTS, OF_ARCS


class Note:
    """What readers note in `market.origin.notes`, each with how often."""

    COMMENTS = "comment lines skipped"
    HEADER = "header line skipped"
    WEIGHTS = "weights of links ignored"
    COLUMNS = "lines with further columns ignored"
    DATA = "lines with a trailing {…} ignored"
    BLANKS = "labels with blanks around them, cut off"
    ZEROS = "stored zeros skipped"
    GROUPS = "groups without links left out"
    GROUP_AGENTS = "groups with links read as agents"
    PORTS = "ports of agents ignored"


class Network(NamedTuple):
    """Agents by position and the links between them, before anything is checked as a market."""

    links: Int[np.ndarray, "links 2"]
    labels: Sequence[int] | Sequence[str]
    notes: Mapping[str, int] = MappingProxyType({})
    of_agents: Mapping[str, np.ndarray] = MappingProxyType({})
    """A number for each agent, by field; of priority, demand and own use NaN where it has none."""
    of_links: Mapping[str, np.ndarray] = MappingProxyType({})
    """A number for each link, of capacity or efficiency."""
    is_one_way: bool = False
    """Whether each link goes from its first agent to its second alone, whatever the options say."""
    attributes: Sequence[str] = ()
    """The attributes of agents that the file has, for errors that recommend one."""


def named_network(
    texts: Iterable[str], ends: array, notes: dict[str, int], line_of: Callable[[str], int]
) -> Network:
    """The network of links between agents that were numbered as their names came.

    `texts` are their names in that order, and `ends` holds two places in it for every link. Agents are in
    ascending order where all labels are whole numbers, else in that order.
    """
    number_of: dict[str, int] = {}
    place, num_stripped = array("q"), 0
    for text in texts:
        label = text.strip()
        num_stripped += label != text
        try:
            check_label(label)
        except ValueError as error:
            raise FileError(str(error), line_of(label)) from None
        place.append(number_of.setdefault(label, len(number_of)))
    check_numbers(number_of, lambda text: f"line {line_of(text)}")
    links = np.frombuffer(ends, np.int64).reshape(-1, 2) if ends else np.zeros((0, 2), np.int64)
    if num_stripped:  # then two names may be one label
        links = np.frombuffer(place, np.int64)[links]
    labels, notes = as_labels(number_of), notes | {Note.BLANKS: num_stripped}
    if not labels or isinstance(labels[0], str):
        return Network(links, labels, notes=notes)
    order = np.argsort(np.array(labels, np.int64))
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    return Network(rank[links], [labels[i] for i in order.tolist()], notes=notes)


def numbered_network(pairs: Int[np.ndarray, "links 2"], notes: dict[str, int]) -> Network:
    """The network of links between whole numbers, agents ascending."""
    largest = int(pairs.max(initial=-1))
    if largest < 8 * pairs.size:  # a table is about as large as what sorting would need, and faster
        is_agent = np.zeros(largest + 1, bool)
        is_agent[pairs] = True
        agents = np.flatnonzero(is_agent)
        number = np.zeros(largest + 1, np.int32 if len(agents) < 2**31 else np.int64)
        number[agents] = np.arange(len(agents))
        links = number[pairs]
    else:
        agents, links = np.unique(pairs, return_inverse=True)
    return Network(links.reshape(-1, 2), agents.tolist(), notes=notes)


def with_defaults(of_agents: Mapping[str, Any]) -> dict[str, Any]:
    """All fields of agents: endowment and value, 1 if not given, and others with what NaN stands for."""
    fields = {"endowment": 1.0, "value": 1.0, **of_agents}
    for field in OF_AGENTS.keys() & of_agents.keys():
        otherwise = OF_AGENTS[field]
        if field == "priority":
            otherwise = np.asarray(fields["endowment"]) * np.asarray(fields["value"])
        fields[field] = np.where(np.isnan(fields[field]), otherwise, fields[field])
    return fields


def market_without(dropped: Sequence[int] | np.ndarray, network: Network, options: FileOptions) -> Market:
    """The market on a network whose fields are complete, but for some agents and their links.

    `market.origin.dropped_zero` names them. The options say what becomes of self-loops and isolated agents.
    """
    links, agents, labels, of_links = network.links, network.of_agents, network.labels, network.of_links
    remaining = np.ones(len(labels), bool)
    remaining[np.asarray(dropped, np.int64)] = False
    kept = np.flatnonzero(remaining)
    if len(dropped):
        stays = remaining[links].all(axis=1)
        links = (np.cumsum(remaining) - 1)[links[stays]]
        agents = {field: np.asarray(x)[kept] if np.ndim(x) else x for field, x in agents.items()}
        of_links = {field: x[stays] for field, x in of_links.items()}
    names = labels if not len(dropped) else [labels[i] for i in kept]
    try:
        market = Market.from_links(
            links,
            **agents,
            **of_links,
            directed=options.directed or network.is_one_way,
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
    links = np.stack(market.arcs(), axis=1)
    of_links = {name: market.arc_values(getattr(market, name)) for name in market.terms if name in OF_ARCS}
    links = links if of_links else links[links[:, 0] < links[:, 1]]
    names = ("endowment", "value", *(name for name in market.terms if name in OF_AGENTS))
    agents = {name: np.asarray(getattr(market, name)) for name in names}
    network = Network(
        links, list(market.labels), of_agents=agents, of_links=of_links, is_one_way=bool(of_links)
    )
    less = market_without(dropped, network, options)
    before, now = market.origin, less.origin
    origin = before.replaced(
        labels=now.labels,
        dropped_isolated=(*before.dropped_isolated, *now.dropped_isolated),
        dropped_zero=(*before.dropped_zero, *now.dropped_zero),
    )
    return dataclasses.replace(less, origin=origin)
