"""Proportional response as others would write it. Every function readies a rival; `play` returns utilities.

Undamped proportional response is a scaling: from a start Y0 the flow of round t is
diag(p_t) Y0ᵀ diag(p_{t-1}) or diag(p_t) Y0 diag(p_{t-1}) by turns, p_{t+1} = b / (K p_t) with K = Y0ᵀ or Y0.
From an equal split K is the 0/1 pattern, p_0 the shares. Utilities are then p_{t-1} · (K p_t).
"""

import itertools

import numpy as np
import scipy.sparse

from benchmarks._compiled import kernel
from benchmarks._networks import Rows, received, sliced


def numpy_edges(rows: Rows, start: np.ndarray, theta: float = 1.0):
    """What users write: the flow per arc, summed with `bincount`."""
    givers, reverse, b = rows.givers, rows.reverse, rows.weight

    def play(rounds):
        flow = start
        for _ in range(rounds):
            got = flow[reverse]
            utility = np.bincount(givers, got, minlength=len(b)).astype(np.float32)
            answer = b[givers] * got / utility[givers]
            flow = answer if theta == 1 else np.float32(1 - theta) * flow + np.float32(theta) * answer
        return lambda: received(rows, flow)

    return play


def numpy_dense(rows: Rows, num_markets: int):
    """The first markets one after another as dense matrices: y ← (b / Σ_i y_ij) yᵀ."""
    first, matrices = rows.market_starts, []
    for low, high in itertools.pairwise(first[: num_markets + 1]):
        links = slice(rows.starts[low], rows.starts[high])
        flow = np.zeros((high - low, high - low), np.float32)
        flow[rows.givers[links] - low, rows.neighbours[links] - low] = rows.equal_flow[links]
        matrices.append((rows.weight[low:high], flow))

    def play(rounds):
        out = []
        for b, flow in matrices:
            for _ in range(rounds):
                flow = (b / flow.sum(axis=0))[:, None] * flow.T
            out.append(flow)
        return lambda: np.concatenate([flow.sum(axis=0) for flow in out])

    return play


def scipy_scaling(rows: Rows):
    """The scaling with a sparse matrix of ones."""
    pattern, b = rows.matrix(np.ones(rows.num_arcs, np.float32)), rows.weight

    def play(rounds):
        before, p = np.ones_like(b), rows.equal_share
        with np.errstate(all="ignore"):  # after some fifty rounds the range of float32 may be left
            for _ in range(rounds):
                before, p = p, b / (pattern @ p)
        return lambda: before * (pattern @ p)

    return play


def scipy_diagonal(rows: Rows):
    """The flow as a sparse matrix: Y ← diag(b / u) Yᵀ."""
    start, b = rows.matrix(rows.equal_flow), rows.weight

    def play(rounds):
        flow = start
        for _ in range(rounds):
            flow = scipy.sparse.diags_array(b / flow.sum(axis=0)) @ flow.T.tocsr()
        return lambda: flow.sum(axis=0)

    return play


def numba_edges(rows: Rows, start: np.ndarray):
    """The flow per arc, read through the reversed arcs."""
    from benchmarks import _numba

    y, spare = np.empty_like(start), np.empty_like(start)

    def play(rounds):
        y[:] = start
        _numba.pr_edges(rows.starts, rows.reverse, rows.weight, y, spare, rounds)
        return lambda: received(rows, spare if rounds % 2 else y)

    return play


def numba_pattern(rows: Rows):
    """The scaling."""
    from benchmarks import _numba

    return _pattern(rows, _numba.pr_pattern, rows.starts, rows.neighbours, rows.weight)


def numba_markets(rows: Rows):
    """The scaling of an ensemble, a market's rounds one after another on one core."""
    from benchmarks import _numba

    links = rows.starts, rows.neighbours, rows.weight
    return _pattern(rows, _numba.pr_markets, rows.market_starts, *links)


def c_pattern(rows: Rows):
    """The scaling."""
    return _pattern(rows, kernel("pr_pattern"), rows.num_agents, rows.starts, rows.neighbours, rows.weight)


def c_markets(rows: Rows):
    """The scaling of an ensemble, a market's rounds one after another on one core."""
    first = rows.market_starts
    links = rows.starts, rows.neighbours, rows.weight
    return _pattern(rows, kernel("pr_markets"), len(first) - 1, first, *links)


def _pattern(rows: Rows, run, *arguments):
    """Of a kernel run(…, p, spare, rounds) that leaves the last two scalings in p and spare, by turns."""
    p, spare = np.empty_like(rows.weight), np.empty_like(rows.weight)

    def play(rounds):
        p[:], spare[:] = rows.equal_share, 1
        run(*arguments, p, spare, rounds)
        last, before = (spare, p) if rounds % 2 else (p, spare)
        return lambda: before * np.bincount(rows.givers, last[rows.neighbours], minlength=len(p))

    return play


def c_sliced(rows: Rows, markets_per_chunk: int | None = None):
    """The scaling, 16 agents of like degree at a time; of an ensemble chunk by chunk."""
    slices = sliced(rows, markets_per_chunk)
    b = slices.store(rows.weight)
    share, ones = slices.store(rows.equal_share), slices.store(np.ones_like(rows.weight))
    p, spare = np.empty_like(b), np.empty_like(b)
    if markets_per_chunk is None:
        run, shape = kernel("pr_sliced"), (len(slices.first) - 1,)
    else:
        run, shape = kernel("pr_chunks"), (len(slices.chunks) - 1, slices.chunks)

    def play(rounds):
        p[:], spare[:] = share, ones
        run(*shape, slices.first, slices.neighbours, b, p, spare, rounds)
        last, before = (spare, p) if rounds % 2 else (p, spare)
        last, before = last[slices.place], before[slices.place]
        return lambda: before * np.bincount(rows.givers, last[rows.neighbours], minlength=rows.num_agents)

    return play


def c_values(rows: Rows, start: np.ndarray):
    """The scaling from any start."""
    run, transposed = kernel("pr_values"), np.ascontiguousarray(start[rows.reverse])
    p, spare = np.empty_like(rows.weight), np.empty_like(rows.weight)

    def play(rounds):
        p[:] = 1
        run(rows.num_agents, rows.starts, rows.neighbours, transposed, start, rows.weight, p, spare, rounds)
        last, before = (spare, p) if rounds % 2 else (p, spare)
        values = start if rounds % 2 else transposed  # of the round to come
        return lambda: (
            (before if rounds else 1)
            * np.bincount(rows.givers, values * last[rows.neighbours], minlength=len(p))
        )

    return play


def c_damped(rows: Rows, theta: float):
    """The flow per arc, given and received side by side."""
    run, start = kernel("pr_damped"), rows.equal_flow
    back = np.ascontiguousarray(start[rows.reverse])
    first = rows.weight / rows.equal_utility
    y, z, s, spare, u = (np.empty_like(x) for x in (start, start, first, first, first))

    def play(rounds):
        y[:], z[:], s[:] = start, back, first
        links = rows.num_agents, rows.starts, rows.neighbours
        run(*links, rows.weight, float(theta), y, z, s, spare, u, rounds)
        return u.copy

    return play
