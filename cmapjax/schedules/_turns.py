"""Turns on the host: colourings and orders, from compressed neighbour rows.

Every agent's step depends on those before it. Where the network lets many agents step at once, NumPy
takes them wave by wave; where it does not (a path, a small market), a loop over lists beats NumPy.
"""

import itertools

import numpy as np
import scipy
from jaxtyping import Int

# A wave costs NumPy as much as this many agents cost a plain loop (measured at 10 to 60 neighbours).
LEAST_WAVE = 40
WORD = 64  # colours that one mask of the waves holds
MAX_UNEVENNESS = 3  # colours × agents of the largest, per agent; above it agents are moved, a few times
SPREADINGS = 4
LEAST_SPREAD = 20_000  # agents of a market; tables of smaller ones fit memory as they are
# A class of rows costs a turn as much as this many slots. Measured on a network of 10,875 agents in sequence:
# four classes of 735 slots take as long as one of 3,914, which compiles three times as quickly.
COST_OF_CLASS = 4_000
WINDOW = 2048  # colours a mask of the plain loop holds: with hubs, masks of all colours would fill memory


def colours(
    starts: Int[np.ndarray, "bounds"], neighbours: Int[np.ndarray, "arcs"]
) -> Int[np.ndarray, "agents"]:
    """Greedy colours in which no two givers to the same receiver agree, most rivals first.

    Each receiver remembers the colours of its givers as the bits of a mask; an agent takes the lowest bit
    free at all its receivers. Masks hold a window of colours: who finds none free waits for the next
    window, which changes no colour, for nobody later in the order could have changed its choice.
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
    """The colours of one market, some agents moved so that no colour is crowded where that takes room."""
    colour = colour.copy()
    for attempt in range(SPREADINGS):
        size = np.bincount(colour)
        if len(size) * size.max() <= MAX_UNEVENNESS * len(colour):
            break
        _spread(starts, neighbours, colour, size, np.random.default_rng(attempt))
    return colour


def _spread(starts, neighbours, colour, size, rng) -> None:
    """Moves agents from crowded colours to others, where nobody they share a receiver with is or goes.

    With a hub there are as many colours as it has givers, of which all others need but the first few; a
    turn of the schedule is stored as wide as the largest.
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
    """Colours 0 … 63 to those who find one free; agents of one level share no receiver."""
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
    """Colours from `first` on, one agent at a time, in windows."""
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

    An agent's row shows at its receivers (in their utility) and, to its neighbours, as what they have
    received. So an agent waits for every earlier one that is its neighbour or shares a receiver: at each
    place, the giver to it and the agent itself act one after another.
    """
    num_agents = len(starts) - 1
    closed = np.insert(neighbours, starts[1:], np.arange(num_agents, dtype=neighbours.dtype))
    starts = starts + np.arange(num_agents + 1)
    level = wave_levels(starts, closed, order)
    if level is not None:
        return level
    bounds, places = starts.tolist(), closed.tolist()
    latest = [-1] * num_agents  # the last turn in which somebody acted at this place
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
    """For each agent one more than the level of those earlier in `order` with whom it shares a place, from 0.

    None if the levels are so many that a plain loop over the agents is quicker. Every place has a queue;
    a wave is everybody at the head of all its queues.
    """
    num_agents = len(starts) - 1
    rank = np.empty(num_agents, np.int32)
    rank[order] = np.arange(num_agents, dtype=np.int32)
    rows = scipy.sparse.csr_array(
        (np.zeros(len(places), np.bool_), places, starts.astype(np.int32)), shape=(num_agents, num_agents)
    )
    queues = rows[order].tocsc()  # column p: who comes to place p, in order
    head, end, queue = queues.indptr[:-1].astype(np.intp), queues.indptr[1:], queues.indices
    del rows, queues
    waiting = np.diff(starts)[order]  # at how many places someone is ahead, by rank
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
    """Those now first everywhere, given who has become first at some place."""
    np.subtract.at(waiting, first, 1)
    ready = np.sort(first[waiting[first] == 0])
    return ready[np.diff(ready, prepend=-1) != 0]


def _rows_of(starts, agents) -> np.ndarray:
    """Where the entries of some agents' rows stand, row after row."""
    lengths = starts[agents + 1] - starts[agents]
    return np.arange(lengths.sum()) + np.repeat(starts[agents] - (np.cumsum(lengths) - lengths), lengths)


def first_conflict(
    starts: Int[np.ndarray, "bounds"],
    neighbours: Int[np.ndarray, "arcs"],
    turn: Int[np.ndarray, "agents"],
) -> int | None:
    """A receiver to which two agents give in the same turn, or None."""
    num_agents = len(starts) - 1
    turns = scipy.sparse.csr_array(
        (np.zeros(len(neighbours), np.bool_), turn[neighbours].astype(np.int32), starts.astype(np.int32)),
        shape=(num_agents, int(turn.max()) + 1),
    )
    turns = turns.tocsc().tocsr()  # row r: the turns in which somebody gives to r, ascending
    is_again = np.zeros(len(neighbours) + 1, np.bool_)
    np.equal(turns.indices[1:], turns.indices[:-1], out=is_again[1:-1])
    is_again[starts[:-1]] = False
    twice = np.flatnonzero(is_again)
    return int(np.searchsorted(starts, twice[0], side="right")) - 1 if len(twice) else None


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
