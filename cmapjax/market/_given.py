"""What a market is made from, put in order: links, and numbers of agents and of arcs."""

import dataclasses
from collections.abc import Hashable, Sequence

import numpy as np
from jaxtyping import Float, Int

from cmapjax.arguments._checks import as_links, as_real, check_unique, count_agents, listed, short
from cmapjax.arguments._labelled import by_name, unlabelled
from cmapjax.arguments._origin import Origin
from cmapjax.market._rows import compressed_rows


@dataclasses.dataclass(frozen=True)
class Links:
    """Links as rows of neighbours, and whose they are."""

    starts: Int[np.ndarray, "bounds"]
    neighbours: Int[np.ndarray, "arcs"]
    given: Int[np.ndarray, "links 2"]
    """The links as they were given, without self-loops, in numbers of the agents that are kept."""
    is_loop: np.ndarray
    kept: Int[np.ndarray, "agents"]
    """The agents that are kept, in numbers as given."""
    names: Sequence[Hashable]
    """Of all agents as given."""
    origin: Origin


def read_links(
    links, labels, num_agents, directed: bool, *, drop_self_loops: bool, drop_isolated: bool
) -> Links:
    """The links of a market, checked as `Market.from_links` says."""
    links = as_links(links)
    if labels is not None:
        labels = list(labels)
        check_unique("labels", labels, "give every agent a name of its own")
        if num_agents not in (None, len(labels)):
            raise ValueError(f"labels: {len(labels)} names for num_agents={num_agents}; leave one out.")
        num_agents = len(labels)
    num_agents = count_agents(links, num_agents)
    names = range(num_agents) if labels is None else labels
    is_loop = links[:, 0] == links[:, 1]
    looped = [names[int(i)] for i in np.unique(links[is_loop, 0])]
    if looped and not drop_self_loops:
        raise ValueError(
            f"links: self-loop(s) at agent {listed(looped)}; an agent cannot give to itself. "
            "Remove them, or pass drop_self_loops=True."
        )
    given = links[~is_loop] if looped else links
    starts, neighbours, merged = compressed_rows(given, num_agents)
    if directed:  # the two directions of a link are no repetition
        merged = len(given) - len(np.unique(given.astype(np.int64) @ [num_agents, 1]))
    degree = np.diff(starts)
    isolated = [names[i] for i in np.flatnonzero(degree == 0).tolist()]
    if isolated and not drop_isolated:
        raise ValueError(
            f"links: {len(isolated)} agent(s) have no neighbour ({listed(isolated)}) and could "
            "neither give nor receive. Link them, or pass drop_isolated=True."
        )
    if not len(neighbours):
        raise ValueError("links: the network is empty; a market needs at least one link.")
    kept = np.flatnonzero(degree)
    if isolated:
        labels = [names[i] for i in kept.tolist()]
        number = np.cumsum(degree > 0, dtype=np.int32) - 1
        neighbours, given = number[neighbours], number[given]
        starts = np.append(starts[kept], starts[-1])
    origin = Origin(labels, merged_links=merged, dropped_self_loops=looped, dropped_isolated=isolated)
    return Links(starts, neighbours, given, is_loop, kept, names, origin)


def read_agents(field: str, given, links: Links) -> Float[np.ndarray, "agents"]:
    """A number for each agent that is kept; labelled numbers are matched by name."""
    names = links.names
    numbers = as_real(field, by_name(field, given, names), (len(names),), lambda i: names[i])
    return numbers[links.kept] if len(links.kept) < len(names) else numbers


def read_arcs(
    field: str, given, links: Links, *, directed: bool, otherwise: float
) -> Float[np.ndarray, "arcs"] | None:
    """A number for each arc, both directions of a link having the link's.

    Args:
        given: one number, or one per link as given; None if there is none.
        directed: each link as given is one arc, and arcs that were not given have `otherwise`.

    Raises:
        ValueError: numbers that are not one per link; a link that was given twice with different ones.
    """
    if given is None:
        return None
    numbers = as_real(field, unlabelled(field, given), links.is_loop.shape)[~links.is_loop]
    num_agents = len(links.kept)
    giver = np.repeat(np.arange(num_agents, dtype=np.int64), np.diff(links.starts))
    arcs = giver * num_agents + links.neighbours
    ends = links.given.astype(np.int64)
    ways = [ends] if directed else [ends, ends[:, ::-1]]
    values = np.full(len(arcs), otherwise)
    for way in ways:
        values[np.searchsorted(arcs, way[:, 0] * num_agents + way[:, 1])] = numbers
    for way in ways:
        differs = values[np.searchsorted(arcs, way[:, 0] * num_agents + way[:, 1])] != numbers
        if np.any(differs):
            giver, receiver = (short(links.names[int(links.kept[i])]) for i in way[np.argmax(differs)])
            raise ValueError(
                f"{field}: the link from agent {giver} to agent {receiver} is given more than once, with "
                "different numbers; give it once, or with directed=True each direction once."
            )
    return values
