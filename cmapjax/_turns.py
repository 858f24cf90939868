"""Turns on the host: colourings and orders, from compressed neighbour rows.

Plain Python over lists: every step depends on the one before, and a list of ints beats NumPy there.
"""

import numpy as np
from jaxtyping import Int


def colours(
    starts: Int[np.ndarray, "bounds"], neighbours: Int[np.ndarray, "arcs"]
) -> Int[np.ndarray, "agents"]:
    """Greedy colours in which no two givers to the same receiver agree, largest degree first.

    Each receiver remembers the colours of its givers as the bits of one integer; an agent takes the
    lowest bit free at all its receivers.
    """
    starts_list, neighbour_list = starts.tolist(), neighbours.tolist()
    used = [0] * (len(starts) - 1)
    colour = np.zeros(len(starts) - 1, np.int64)
    for agent in np.argsort(-np.diff(starts), kind="stable").tolist():
        receivers = neighbour_list[starts_list[agent] : starts_list[agent + 1]]
        taken = 0
        for receiver in receivers:
            taken |= used[receiver]
        free = ~taken & (taken + 1)
        for receiver in receivers:
            used[receiver] |= free
        colour[agent] = free.bit_length() - 1
    return colour


def precedence_levels(
    starts: Int[np.ndarray, "bounds"],
    neighbours: Int[np.ndarray, "arcs"],
    order: Int[np.ndarray, "agents"],
) -> Int[np.ndarray, "agents"]:
    """The earliest turns that give every agent the view it has when all act one by one in `order`.

    An agent's row shows at its receivers (in their utility) and, to its neighbours, as what they have
    received. So an agent waits for every earlier one that is its neighbour or shares a receiver.
    """
    starts_list, neighbour_list = starts.tolist(), neighbours.tolist()
    seen = [-1] * (len(starts) - 1)  # the last turn in which somebody gave to this agent
    level = [-1] * (len(starts) - 1)
    for agent in order.tolist():
        turn = -1
        receivers = neighbour_list[starts_list[agent] : starts_list[agent + 1]]
        for receiver in receivers:
            turn = max(turn, seen[receiver], level[receiver])
        turn += 1
        level[agent] = turn
        for receiver in receivers:
            seen[receiver] = turn
    return np.array(level)


def first_conflict(
    starts: Int[np.ndarray, "bounds"],
    neighbours: Int[np.ndarray, "arcs"],
    turn: Int[np.ndarray, "agents"],
) -> int | None:
    """A receiver to which two agents give in the same turn, or None."""
    giver = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
    meeting = np.sort(neighbours.astype(np.int64) * (int(turn.max()) + 1) + turn[giver])
    twice = np.flatnonzero(meeting[1:] == meeting[:-1])
    return int(meeting[twice[0]] // (int(turn.max()) + 1)) if len(twice) else None
