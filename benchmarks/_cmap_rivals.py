"""Whole rounds of simultaneous CMAP as others would write them. Every function readies a rival.

All keep the flow y and its transpose z side by side: y' needs the agent's own water level, z' that of
the giver, so nothing is looked up but vectors over agents. The level is found by Newton's method from the
last round's, which is exact (see `water_level` in _kernels.c).
"""

import numpy as np

from benchmarks._compiled import kernel
from benchmarks._networks import Rows, sliced

PIECES = 64  # of a large market, dealt out to the cores


def numpy_agents(rows: Rows, theta: float, num_markets: int):
    """The first markets, agent after agent, each sorting its neighbours: how a prototype is written."""
    num_agents = int(rows.market_starts[num_markets])
    starts, neighbours, b = rows.starts, rows.neighbours, rows.weight.astype(float)
    num_arcs = int(starts[num_agents])
    start = rows.equal_flow[:num_arcs].astype(float)
    receivers = neighbours[:num_arcs]

    def play(rounds):
        flow = start
        for _ in range(rounds):
            utility = np.bincount(receivers, flow, minlength=num_agents)
            answer = np.empty_like(flow)
            for i in range(num_agents):
                links = slice(starts[i], starts[i + 1])
                j = neighbours[links]
                answer[links] = sorted_fill(b[i], b[j], np.maximum(utility[j] - flow[links], 0))
            flow = (1 - theta) * flow + theta * answer
        return lambda: np.bincount(receivers, flow, minlength=num_agents)

    return play


def sorted_fill(budget: float, weight: np.ndarray, base: np.ndarray) -> np.ndarray:
    """The row max(0, L w − c) of one agent, by sorting the neighbours by c / w."""
    order = np.argsort(base / weight)
    w, c = weight[order], base[order]
    levels = (budget + np.cumsum(c)) / np.cumsum(w)
    level = levels[np.flatnonzero(levels * w > c)[-1]]
    return np.maximum(0, level * weight - base)


def numba_rounds(rows: Rows, theta: float):
    """Agents shared among the cores."""
    from benchmarks import _numba

    bounds = np.linspace(0, rows.num_agents, PIECES + 1).astype(np.int32)
    return _numba_play(rows, theta, _numba.cmap_rounds, bounds)


def numba_markets(rows: Rows, theta: float):
    """Markets shared among the cores, each playing all its rounds."""
    from benchmarks import _numba

    return _numba_play(rows, theta, _numba.cmap_markets, rows.market_starts)


def _numba_play(rows: Rows, theta: float, run, bounds):
    flow, back = rows.equal_flow, rows.equal_flow[rows.reverse]
    y, z = np.empty_like(flow), np.empty_like(flow)
    utility, level = np.empty_like(rows.weight), np.empty_like(rows.weight)
    widest = int(np.diff(rows.starts).max())

    def play(rounds):
        y[:], z[:], utility[:], level[:] = flow, back, rows.equal_utility, 0
        links = rows.starts, rows.neighbours, rows.weight
        run(bounds, widest, *links, np.float32(theta), utility, y, z, level, rounds)
        return utility.copy

    return play


def c_rounds(rows: Rows, theta: float, markets_per_chunk: int | None = None, two: bool = False):
    """16 agents of like degree at a time; of an ensemble chunk by chunk, a chunk playing all its rounds.

    With `two`, levels are two numbers each, as ours, and found from above.
    """
    slices = sliced(rows, markets_per_chunk)
    b = slices.store(rows.weight)
    start = np.stack([b, slices.store(rows.equal_utility)], axis=1)
    flow = slices.spread(slices.store(rows.equal_share))
    back = slices.store(rows.equal_share)[slices.neighbours]
    both, y, z, level = (np.empty_like(x) for x in (start, flow, back, start))
    if markets_per_chunk is None:
        run, shape = kernel("cmap_rounds"), (len(slices.first) - 1,)
    else:
        run, shape = kernel("cmap_chunks"), (len(slices.chunks) - 1, slices.chunks)

    def play(rounds):
        both[:], y[:], z[:], level[:] = start, flow, back, 0
        run(int(two), *shape, slices.first, slices.neighbours, b, float(theta), both, y, z, level, rounds)
        return lambda: both[slices.place, 1]

    return play
