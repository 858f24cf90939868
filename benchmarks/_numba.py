"""Rivals in Numba, parallel over agents or markets. Importing this needs numba."""

import numpy as np
from numba import njit, prange


@njit(parallel=True, fastmath=True)
def pr_edges(starts, reverse, b, y, spare, rounds):
    """Proportional response on the flow itself, received through the reversed arcs."""
    for _ in range(rounds):
        for i in prange(len(b)):
            received = np.float32(0)
            for e in range(starts[i], starts[i + 1]):
                spare[e] = y[reverse[e]]
                received += spare[e]
            for e in range(starts[i], starts[i + 1]):
                spare[e] *= b[i] / received
        y, spare = spare, y


@njit(parallel=True, fastmath=True)
def pr_pattern(starts, neighbours, b, p, spare, rounds):
    """Proportional response as a scaling of the 0/1 pattern."""
    for _ in range(rounds):
        for i in prange(len(b)):
            total = np.float32(0)
            for e in range(starts[i], starts[i + 1]):
                total += p[neighbours[e]]
            spare[i] = b[i] / total
        p, spare = spare, p


@njit(parallel=True, fastmath=True)
def pr_markets(market_starts, starts, neighbours, b, p, spare, rounds):
    """The same of an ensemble, a market's rounds one after another on one core."""
    for m in prange(len(market_starts) - 1):
        for r in range(rounds):
            for i in range(market_starts[m], market_starts[m + 1]):
                total = np.float32(0)
                for e in range(starts[i], starts[i + 1]):
                    total += p[neighbours[e]] if r % 2 == 0 else spare[neighbours[e]]
                if r % 2 == 0:
                    spare[i] = b[i] / total
                else:
                    p[i] = b[i] / total


@njit(fastmath=True)
def water_level(w, c, budget, warm):
    """Newton's method for the level at which Σ max(0, w level − c) is the budget.

    From a level of the last round (warm), or with all neighbours where that is too low for anybody. The
    product with 0 or 1 instead of a choice is what LLVM turns into masked vectors at all widths.
    """
    level = warm
    for step in range(len(w) + 8):
        capacity, held = np.float32(0), np.float32(0)
        for k in range(len(w)):
            receives = np.float32(w[k] * level > c[k])
            capacity += w[k] * receives
            held += c[k] * receives
        if capacity <= 0:
            for k in range(len(w)):
                capacity += w[k]
                held += c[k]
        after = (budget + held) / capacity
        if step > 0 and not after < level:
            break
        level = after
    return level


@njit(parallel=True, fastmath=True)
def water_fill(b, w, c, y):
    """Rows alone: w, c and the answer y as [agent, neighbour]."""
    for i in prange(len(b)):
        level = water_level(w[i], c[i], b[i], np.float32(0))
        for k in range(w.shape[1]):
            y[i, k] = max(np.float32(0), w[i, k] * level - c[i, k])


@njit(fastmath=True)
def _cmap_give(low, high, starts, neighbours, b, theta, u, y, level, w, c):
    stay = np.float32(1) - theta
    for i in range(low, high):
        first, degree = starts[i], starts[i + 1] - starts[i]
        for k in range(degree):
            j = neighbours[first + k]
            w[k] = b[j]
            c[k] = max(np.float32(0), u[j] - y[first + k])
        level[i] = water_level(w[:degree], c[:degree], b[i], level[i])
        for k in range(degree):
            answer = max(np.float32(0), w[k] * level[i] - c[k])
            y[first + k] = stay * y[first + k] + theta * answer


@njit(fastmath=True)
def _cmap_get(low, high, starts, neighbours, b, theta, u, z, level):
    stay = np.float32(1) - theta
    for i in range(low, high):
        total = np.float32(0)
        for e in range(starts[i], starts[i + 1]):
            base = max(np.float32(0), u[i] - z[e])
            answer = max(np.float32(0), b[i] * level[neighbours[e]] - base)
            z[e] = stay * z[e] + theta * answer
            total += z[e]
        u[i] = total


@njit(parallel=True, fastmath=True)
def cmap_rounds(bounds, widest, starts, neighbours, b, theta, u, y, z, level, rounds):
    """Whole rounds with both copies of the flow; pieces of agents between bounds go to the cores."""
    for _ in range(rounds):
        for piece in prange(len(bounds) - 1):
            w, c = np.empty(widest, np.float32), np.empty(widest, np.float32)
            _cmap_give(bounds[piece], bounds[piece + 1], starts, neighbours, b, theta, u, y, level, w, c)
        for piece in prange(len(bounds) - 1):
            _cmap_get(bounds[piece], bounds[piece + 1], starts, neighbours, b, theta, u, z, level)


@njit(parallel=True, fastmath=True)
def cmap_markets(market_starts, widest, starts, neighbours, b, theta, u, y, z, level, rounds):
    """The same of an ensemble, a market's rounds one after another on one core."""
    for m in prange(len(market_starts) - 1):
        w, c = np.empty(widest, np.float32), np.empty(widest, np.float32)
        low, high = market_starts[m], market_starts[m + 1]
        for _ in range(rounds):
            _cmap_give(low, high, starts, neighbours, b, theta, u, y, level, w, c)
            _cmap_get(low, high, starts, neighbours, b, theta, u, z, level)


@njit(fastmath=True)
def bid_rounds(starts, good, worth, budget, bids, num_goods, rounds):
    """Bid response in a linear Fisher market, on one core; the bids are overwritten, prices returned."""
    price = np.zeros(num_goods)
    for e in range(len(good)):
        price[good[e]] += bids[e]
    for _ in range(rounds):
        per_price = 1 / price
        price[:] = 0
        for b in range(len(budget)):
            utility = 0.0
            for e in range(starts[b], starts[b + 1]):
                bids[e] *= worth[e] * per_price[good[e]]
                utility += bids[e]
            scale = budget[b] / utility
            for e in range(starts[b], starts[b + 1]):
                bids[e] *= scale
                price[good[e]] += bids[e]
    return price
