"""Turns on the host: colourings and orders, from compressed neighbour rows.

The turn of an agent depends on those of earlier agents. Where the network lets many agents be processed at
once, NumPy processes them wave by wave; elsewhere (a path, a small market) a plain loop over lists is faster.
"""

import itertools

import numpy as np
import scipy
from jaxtyping import Int

# NumPy needs for one wave the time in which a plain loop processes this many agents (measured: 10 to 60).
LEAST_WAVE = 40
LEAST_FOR_WAVES = 1_000  # agents; for fewer the plain loop is quicker than SciPy's sparse arrays are loaded
WORD = 64  # colours that a mask holds in the waves
MAX_UNEVENNESS = 3  # (colours × agents of the largest) / agents; above it agents are moved, at most
SPREADINGS = 4
LEAST_SPREAD = 20_000  # agents of a market; the tables of smaller ones fit into memory anyway
# A class of rows costs a turn as much as this many slots. Measured on a network of 10,875 agents in sequence:
# one class of 3,914 slots takes 0.25 s a round; two of 900 slots take 0.17 s, as four of 735 do, and compile
# in half the time.
COST_OF_CLASS = 1_000
WINDOW = 2048  # colours that a mask holds in the plain loop; all colours of a hub would fill memory


def colours(
    starts: Int[np.ndarray, "bounds"], neighbours: Int[np.ndarray, "arcs"]
) -> Int[np.ndarray, "agents"]:
    """Greedy colours that differ between any two givers to one receiver; agents with most rivals choose
    first.

    Each receiver keeps the colours of its givers as the bits of a mask; an agent takes the lowest bit that is
    free at all its receivers. Masks hold a window of colours. An agent that finds none free in this window
    chooses in the next one, and gets the same colour: agents later in the order cannot affect its choice.
    """
    degree = np.diff(starts)
    rivals = np.add.reduceat(degree[neighbours], starts[:-1])
    order = np.argsort(-rivals, kind="stable")
    colour = np.full(len(degree), -1)
    first = 0
    level = wave_levels(starts, neighbours, order)
    if level is not None:
        _colour_in_waves(starts, neighbours, level, colour)
        order, first = order[colour[order] < 0], WORD
    if len(order):
        _colour_in_order(starts, neighbours, order.tolist(), first, colour)
    return colour


def even_out(
    starts: Int[np.ndarray, "bounds"],
    neighbours: Int[np.ndarray, "arcs"],
    colour: Int[np.ndarray, "agents"],
) -> Int[np.ndarray, "agents"]:
    """The colours of one market with some agents moved from large colours to small ones, which saves
    memory."""
    colour = colour.copy()
    for attempt in range(SPREADINGS):
        size = np.bincount(colour)
        if len(size) * size.max() <= MAX_UNEVENNESS * len(colour):
            break
        _spread(starts, neighbours, colour, size, np.random.default_rng(attempt))
    return colour


def _spread(starts, neighbours, colour, size, rng) -> None:
    """Moves agents from large colours to others that no agent with a common receiver has or moves to.

    A hub needs as many colours as it has givers, and the other agents use only the first few of them; but
    every turn of a schedule is stored as wide as the largest.
    """
    fair = -(-len(colour) // len(size))
    by_colour = np.argsort(colour, kind="stable")
    seat = np.arange(len(colour)) - np.repeat(np.cumsum(size) - size, size)
    movers = by_colour[seat >= fair]
    goal = rng.permutation(np.repeat(np.arange(len(size)), np.maximum(fair - size, 0)))[: len(movers)]
    movers = np.sort(movers[: len(goal)])
    lengths = starts[movers + 1] - starts[movers]
    at, to = neighbours[_rows_of(starts, movers)], np.repeat(goal, lengths)
    receivers = np.repeat(np.arange(len(colour), dtype=np.int32), np.diff(starts))
    pairs = np.concatenate([receivers, at]), np.concatenate([colour[neighbours], to]).astype(np.int32)
    ones = np.ones(len(pairs[0]), np.int32)
    claims = scipy.sparse.coo_array((ones, pairs), shape=(len(colour), len(size))).tocsr()
    is_alone = np.logical_and.reduceat(claims[at, to] == 1, np.cumsum(lengths) - lengths)
    colour[movers[is_alone]] = goal[is_alone]


def _colour_in_waves(starts, neighbours, level, colour) -> None:
    """Gives colours 0 … 63 to the agents that find one free; agents of one level share no receiver."""
    by_level = np.argsort(level, kind="stable")
    degree = np.diff(starts)[by_level]
    begin = np.concatenate([[0], np.cumsum(degree)])
    receivers = neighbours[_rows_of(starts, by_level)]
    used = np.zeros(len(level), np.uint64)
    bounds = np.concatenate([[0], np.cumsum(np.bincount(level))]).tolist()
    for low, high in itertools.pairwise(bounds):
        at = receivers[begin[low] : begin[high]]
        mask = used[at]
        taken = np.bitwise_or.reduceat(mask, begin[low:high] - begin[low])
        free = ~taken & (taken + np.uint64(1))  # 0 where all are taken
        lowest = np.bitwise_count(free - np.uint64(1)).astype(colour.dtype)
        colour[by_level[low:high]] = np.where(free > 0, lowest, -1)
        used[at] = mask | np.repeat(free, degree[low:high])


def _colour_in_order(starts, neighbours, order, first, colour) -> None:
    """Gives colours from `first` on, one agent at a time, window by window."""
    starts, neighbours = starts.tolist(), neighbours.tolist()
    while order:
        used, postponed = [0] * len(colour), []
        for agent in order:
            receivers = neighbours[starts[agent] : starts[agent + 1]]
            taken = 0
            for receiver in receivers:
                taken |= used[receiver]
            free = ~taken & (taken + 1)
            if free >> WINDOW:
                postponed.append(agent)
                continue
            for receiver in receivers:
                used[receiver] |= free
            colour[agent] = first + free.bit_length() - 1
        order, first = postponed, first + WINDOW


def precedence_levels(
    starts: Int[np.ndarray, "bounds"],
    neighbours: Int[np.ndarray, "arcs"],
    order: Int[np.ndarray, "agents"],
) -> Int[np.ndarray, "agents"]:
    """The earliest turns that give every agent the view it has when all act one by one in `order`.

    An agent's row changes its receivers' utilities, and what its neighbours have received. So an agent waits
    for every earlier one that is its neighbour or shares a receiver with it: at each place, the agent there
    and all givers to it act one after another.
    """
    num_agents = len(starts) - 1
    closed = np.insert(neighbours, starts[1:], np.arange(num_agents, dtype=neighbours.dtype))
    starts = starts + np.arange(num_agents + 1)
    level = wave_levels(starts, closed, order)
    if level is not None:
        return level
    bounds, places = starts.tolist(), closed.tolist()
    latest = [-1] * num_agents  # the last turn in which an agent acted at this place
    level = [-1] * num_agents
    for agent in order.tolist():
        here = places[bounds[agent] : bounds[agent + 1]]
        turn = -1
        for place in here:
            turn = max(turn, latest[place])
        turn += 1
        level[agent] = turn
        for place in here:
            latest[place] = turn
    return np.array(level)


def wave_levels(
    starts: Int[np.ndarray, "bounds"],
    places: Int[np.ndarray, "entries"],
    order: Int[np.ndarray, "agents"],
) -> Int[np.ndarray, "agents"] | None:
    """For each agent the least level, from 0, above those of earlier agents in `order` that share a place.

    None if there are so many levels that a plain loop over the agents is quicker. Every place has a queue of
    agents; a wave consists of the agents that are first in all their queues.
    """
    num_agents = len(starts) - 1
    if num_agents < LEAST_FOR_WAVES:
        return None
    rank = np.empty(num_agents, np.int32)
    rank[order] = np.arange(num_agents, dtype=np.int32)
    rows = scipy.sparse.csr_array(
        (np.zeros(len(places), np.bool_), places, starts.astype(np.int32)), shape=(num_agents, num_agents)
    )
    queues = rows[order].tocsc()  # column p: the agents that act at place p, in order
    head, end, queue = queues.indptr[:-1].astype(np.intp), queues.indptr[1:], queues.indices
    del rows, queues
    waiting = np.diff(starts)[order]  # by rank: at how many places an earlier agent has not acted yet
    level = np.full(num_agents, -1)
    wave = _step_forward(waiting, queue[head[head < end]])
    for turn in range(num_agents // LEAST_WAVE):
        if not len(wave):
            break
        agents = order[wave]
        level[agents] = turn
        at = places[_rows_of(starts, agents)]
        heads = head[at] + 1
        head[at] = heads
        wave = _step_forward(waiting, queue[heads[heads < end[at]]])
    return None if len(wave) else level


def _step_forward(waiting, first) -> np.ndarray:
    """The agents that are now first in all their queues, given those that have become first in one."""
    np.subtract.at(waiting, first, 1)
    ready = np.sort(first[waiting[first] == 0])
    return ready[np.diff(ready, prepend=-1) != 0]


def _rows_of(starts, agents) -> np.ndarray:
    """The places of the entries of some agents' rows, row after row."""
    lengths = starts[agents + 1] - starts[agents]
    return np.arange(lengths.sum()) + np.repeat(starts[agents] - (np.cumsum(lengths) - lengths), lengths)


def first_conflict(
    starts: Int[np.ndarray, "bounds"],
    neighbours: Int[np.ndarray, "arcs"],
    turn: Int[np.ndarray, "agents"],
) -> int | None:
    """A receiver to which two agents give in the same turn, or None."""
    receivers = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
    width = int(turn.max()) + 1
    pairs = np.sort(receivers * width + turn[neighbours])
    twice = np.flatnonzero(pairs[1:] == pairs[:-1])
    return int(pairs[twice[0]]) // width if len(twice) else None


def joined_classes(
    widths: tuple[int, ...], counts: Int[np.ndarray, "classes turns"]
) -> tuple[tuple[int, ...], Int[np.ndarray, "classes"]]:
    """Classes of rows by width, neighbours joined where that costs less, and which of them each class is in.

    Args:
        widths: ascending.
        counts: how many rows of each class every turn has. A table is as wide as its fullest turn.
    """
    groups = [[number] for number in range(len(widths))]

    def slots(group: list[int]) -> int:
        return widths[group[-1]] * int(counts[group].sum(axis=0).max())

    while len(groups) > 1:
        pairs = list(itertools.pairwise(groups))
        more = [slots(low + high) - slots(low) - slots(high) for low, high in pairs]
        best = int(np.argmin(more))
        if more[best] > COST_OF_CLASS:
            break
        groups[best : best + 2] = [pairs[best][0] + pairs[best][1]]
    group_of = np.repeat(np.arange(len(groups)), [len(group) for group in groups])
    return tuple(widths[group[-1]] for group in groups), group_of
