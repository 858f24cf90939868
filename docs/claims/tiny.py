"""Everybody at once on tiny markets in plain NumPy, in floating point or in exact fractions.

Markets are dense arrays: `flow[market, giver, receiver]`, `weight[market, agent]`, `links` of 0 and 1. The same lines
run on float64 and on arrays of `fractions.Fraction`, so that what floating point shows can be confirmed exactly.
"""

from fractions import Fraction
from typing import NamedTuple

import numpy as np

LONGEST = 128  # rounds in which a period is looked for
SAME, NEARLY = 1e-9, 1e-6  # shares of all value
NUDGE = 1e-8


class Tiny(NamedTuple):
    """A market of a few agents with whole contributions."""

    links: tuple[tuple[int, int], ...]
    weight: tuple[int, ...]

    @property
    def size(self) -> tuple:
        """By which markets are compared: agents, links, total contribution, then contributions and links."""
        return len(self.weight), len(self.links), sum(self.weight), self.weight, self.links

    def adjacency(self) -> np.ndarray:
        matrix = np.zeros((len(self.weight),) * 2, int)
        for a, b in self.links:
            matrix[a, b] = matrix[b, a] = 1
        return matrix


def play(flow, weight, links, theta):
    """One round of everybody moving θ of the way to CMAP's answer.

    The answer fills neighbours to the level L = min over k of (w_i + the k least bases) / (their weights), bases c_j / w_j
    ascending: the mean falls as long as one below the level is added, and rises after.
    """
    zero = flow[0, 0, 0] * 0
    others = np.where(links, flow.sum(axis=-2)[:, None, :] - flow, zero)
    others = np.where(others > zero, others, zero)  # of floating point, the trace of a rounding
    room = np.where(links, weight[:, None, :], zero)
    total = weight.sum(axis=-1)[:, None, None] + 1  # everybody else comes last, and adds nothing
    order = np.argsort(np.where(links, others / weight[:, None, :], total), axis=-1, kind="stable")
    filled = np.cumsum(np.take_along_axis(others, order, -1), axis=-1) + weight[:, :, None]
    level = (filled / np.cumsum(np.take_along_axis(room, order, -1), axis=-1)).min(axis=-1)
    depth = level[:, :, None] * room - others
    return flow * (1 - theta) + np.where(depth > zero, depth, zero) * theta


def equal_split(weight, links):
    return weight[:, :, None] * links / links.sum(axis=-1, keepdims=True)


def as_floats(markets: list[Tiny]):
    """Weights and links of markets of any sizes, padded by pairs and threes that rest among themselves."""
    width = max(len(m.weight) for m in markets) + 2
    weight, links = np.ones((len(markets), width)), np.zeros((len(markets), width, width), int)
    for k, market in enumerate(markets):
        n = len(market.weight)
        weight[k, :n], links[k, :n, :n] = market.weight, market.adjacency()
        if (width - n) % 2:  # a path, whose middle brings what both ends do
            weight[k, n + 1] = 2
            links[k, [n, n + 1, n + 1, n + 2], [n + 1, n, n + 2, n + 1]] = 1
            n += 3
        one = np.arange(n, width, 2)
        links[k, one, one + 1] = links[k, one + 1, one] = 1
    return weight, links


def fate(markets: list[Tiny], theta: float, rounds: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """After so many rounds: periods (0 if there is none), whether somebody ever had nothing, Lyapunov exponents.

    The exponent is NaN for flows that come nearly back: they are on their way to a period, whatever it says.
    """
    weight, links = as_floats(markets)
    flow, worth = equal_split(weight, links), 2 * weight.sum(axis=-1)
    nothing = np.zeros(len(markets), bool)
    for _ in range(rounds):
        flow = play(flow, weight, links, theta)
        nothing |= (flow.sum(axis=-2) == 0).any(axis=-1)
    period, now, nearest = np.zeros(len(markets), int), flow, np.full(len(markets), np.inf)
    for t in range(1, LONGEST + 1):
        now = play(now, weight, links, theta)
        apart = abs(now - flow).sum(axis=(-1, -2)) / worth
        period = np.where((period == 0) & (apart < SAME), t, period)
        nearest = np.minimum(nearest, apart)
    exponent, odd = np.full(len(markets), np.nan), nearest > NEARLY
    if odd.any():
        flows = trajectory(now[odd], weight[odd], links[odd], theta, max(rounds // 2, 200))
        exponent[odd] = exponents(flows, weight[odd], links[odd], theta)
    return period, nothing, exponent


def trajectory(flow, weight, links, theta, rounds):
    for _ in range(rounds):
        yield flow
        flow = play(flow, weight, links, theta)


def exponents(flows, weight, links, theta) -> np.ndarray:
    """How fast a second start, a nudge away, moves off along these flows, per round (Benettin et al. 1980)."""
    away, total, rounds, worth = None, 0.0, 0, weight.sum(axis=-1)
    for flow in flows:
        if away is None:
            away = np.random.default_rng(0).normal(size=flow.shape) * links * flow
            # Rows go on spending what they have, and nobody is taken more than it gets.
            away -= flow * away.sum(axis=-1, keepdims=True) / flow.sum(axis=-1, keepdims=True)
        away = away * (NUDGE * worth / np.maximum(abs(away).max(axis=(1, 2)), 1e-300))[:, None, None]
        away = play(flow + away, weight, links, theta) - play(flow, weight, links, theta)
        total = total + np.log(np.maximum(abs(away).max(axis=(1, 2)) / (NUDGE * worth), 1e-300))
        rounds += 1
    return total / max(rounds, 1)


class Exact(NamedTuple):
    """A run in exact fractions."""

    returns: tuple[int, int] | None
    """Rounds t < t' of exactly equal flows, the first such: proof of period t' − t for ever."""
    rounds: int
    bits: int
    """Length of the longest denominator at the end."""
    nothing: int | None
    """The first round in which an agent has exactly nothing."""
    exponent: float
    """Along the second half of the run."""


def exact(market: Tiny, theta: Fraction, rounds: int) -> Exact:
    """The run from the equal split without rounding; it ends when a flow comes back."""
    links = market.adjacency()[None]
    weight = np.array([[Fraction(w) for w in market.weight]], object)
    flow = np.where(links, equal_split(weight, links), Fraction(0))
    flows, seen, returns = [flow], {tuple(flow.ravel()): 0}, None
    for t in range(1, rounds + 1):
        flow = np.where(links, play(flow, weight, links, theta), Fraction(0))
        flows.append(flow)
        if (first := seen.setdefault(tuple(flow.ravel()), t)) < t:
            returns = (first, t)
            break
    nothing = next((t for t, y in enumerate(flows) if min(y[0].sum(axis=0)) == 0), None)
    late = [y.astype(float) for y in flows[len(flows) // 2 :]]
    exponent = float(exponents(late, weight.astype(float), links, float(theta))[0])
    bits = max(Fraction(x).denominator.bit_length() for x in flow.ravel())
    return Exact(returns, len(flows) - 1, bits, nothing, exponent)
