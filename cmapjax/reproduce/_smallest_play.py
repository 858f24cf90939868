"""Everybody at once on tiny markets, once more in plain NumPy: in floating point or in exact fractions.

Markets are dense arrays: `flow[market, giver, receiver]`, `weight[market, agent]`, `links` of 0 and 1. The
same lines run on float64 and on arrays of `fractions.Fraction`, so that what floating point shows can be
confirmed without rounding.
"""

from fractions import Fraction
from typing import NamedTuple

import numpy as np


class Tiny(NamedTuple):
    """A market of a few agents with whole contributions."""

    links: tuple[tuple[int, int], ...]
    weight: tuple[int, ...]

    @property
    def adjacency(self) -> np.ndarray:
        matrix = np.zeros((len(self.weight),) * 2, int)
        for a, b in self.links:
            matrix[a, b] = matrix[b, a] = 1
        return matrix

    @property
    def size(self) -> tuple:
        """By which markets are compared: agents, links, total contribution, then contributions and links."""
        return (len(self.weight), len(self.links), sum(self.weight), self.weight, self.links)


def equal_split(weight: np.ndarray, links: np.ndarray) -> np.ndarray:
    """Everybody splits equally: the start."""
    return weight[:, :, None] * links / links.sum(axis=-1, keepdims=True)


def play(flow: np.ndarray, weight: np.ndarray, links: np.ndarray, theta) -> np.ndarray:
    """One round of everybody moving θ of the way to CMAP's answer.

    The answer fills neighbours to the level L = min over k of (w_i + the k least bases) / (their weights),
    bases c_j / w_j ascending: the mean falls as long as one below the level is added, and rises after.
    """
    zero = flow[0, 0, 0] * 0
    others = np.where(links, flow.sum(axis=-2)[:, None, :] - flow, zero)
    others = np.where(others > zero, others, zero)  # of floating point, the trace of a rounding
    room = np.where(links, weight[:, None, :], zero)
    # Everybody else comes last, and adds nothing.
    total = weight.sum(axis=-1)[:, None, None] + 1
    base = np.where(links, others / weight[:, None, :], total)
    order = np.argsort(base, axis=-1, kind="stable")
    filled = np.cumsum(np.take_along_axis(others, order, -1), axis=-1) + weight[:, :, None]
    level = (filled / np.cumsum(np.take_along_axis(room, order, -1), axis=-1)).min(axis=-1)
    depth = level[:, :, None] * room - others
    return flow * (1 - theta) + np.where(depth > zero, depth, zero) * theta


def as_floats(markets: list[Tiny]) -> tuple[np.ndarray, np.ndarray]:
    """Weights and links of markets of any sizes, padded by pairs and threes that rest among themselves."""
    width = max(len(m.weight) for m in markets) + 2
    weight, links = np.ones((len(markets), width)), np.zeros((len(markets), width, width), int)
    for number, market in enumerate(markets):
        n = len(market.weight)
        weight[number, :n] = market.weight
        links[number, :n, :n] = market.adjacency
        if (width - n) % 2:  # a path, whose middle brings what both ends do
            weight[number, n + 1] = 2
            links[number, [n, n + 1, n + 1, n + 2], [n + 1, n, n + 2, n + 1]] = 1
            n += 3
        one = np.arange(n, width, 2)
        links[number, one, one + 1] = links[number, one + 1, one] = 1
    return weight, links


class Fate(NamedTuple):
    """What became of markets after many rounds."""

    period: np.ndarray
    """1 at rest, 2, 3, … if the flow repeats, 0 if it does not within `LONGEST` rounds."""
    had_nothing: np.ndarray
    """Whether some agent had exactly nothing in some round."""
    exponent: np.ndarray
    """Of the markets that do not come back even nearly, the largest Lyapunov exponent per round, else NaN.

    A flow that does come nearly back is on its way to a period, whatever its exponent: that may be positive
    on a swing that only lasts because agents in the same position do the same.
    """


LONGEST = 128
SAME = 1e-9  # shares of all value nearer than that are the same
NEARLY = 1e-6
NUDGE = 1e-8


def fate(markets: list[Tiny], theta: float, rounds: int) -> Fate:
    """Played so many rounds, then watched for a period; markets without one get their exponent."""
    weight, links = as_floats(markets)
    flow, worth = equal_split(weight, links), 2 * weight.sum(axis=-1)
    had_nothing = np.zeros(len(markets), bool)
    for _ in range(rounds):
        flow = play(flow, weight, links, theta)
        had_nothing |= (flow.sum(axis=-2) == 0).any(axis=-1)
    period, now, nearest = np.zeros(len(markets), int), flow, np.full(len(markets), np.inf)
    for t in range(1, LONGEST + 1):
        now = play(now, weight, links, theta)
        apart = abs(now - flow).sum(axis=(-1, -2)) / worth
        period = np.where((period == 0) & (apart < SAME), t, period)
        nearest = np.minimum(nearest, apart)
    exponent = np.full(len(markets), np.nan)
    odd = nearest > NEARLY
    if odd.any():
        exponent[odd] = exponents(now[odd], weight[odd], links[odd], theta, max(rounds // 2, 200))
    return Fate(period, had_nothing, exponent)


def exponents(flow, weight, links, theta: float, rounds: int) -> np.ndarray:
    """The largest Lyapunov exponents from these flows on, per round."""
    return exponents_along(_rounds(flow, weight, links, theta, rounds), weight, links, theta)


def _rounds(flow, weight, links, theta, rounds):
    for _ in range(rounds):
        yield flow
        flow = play(flow, weight, links, theta)


def exponents_along(flows, weight, links, theta: float) -> np.ndarray:
    """How fast a second start, a nudge away, moves off along these flows.

    The distance is brought back to the nudge in every round (Benettin et al. 1980).
    """
    away, total, rounds = None, 0.0, 0
    worth = weight.sum(axis=-1)
    for flow in flows:
        if away is None:
            away = np.random.default_rng(0).normal(size=flow.shape) * links * flow
            # Rows go on spending what they have, and nobody is taken more than it gets.
            away -= flow * away.sum(axis=-1, keepdims=True) / flow.sum(axis=-1, keepdims=True)
        away *= (NUDGE * worth / np.maximum(abs(away).max(axis=(1, 2)), 1e-300))[:, None, None]
        away = play(flow + away, weight, links, theta) - play(flow, weight, links, theta)
        total = total + np.log(np.maximum(abs(away).max(axis=(1, 2)) / (NUDGE * worth), 1e-300))
        rounds += 1
    return total / max(rounds, 1)


# -- exactly ---------------------------------------------------------------------------------------


class Exact(NamedTuple):
    """A run in exact fractions."""

    utility: list[list[Fraction]]
    """Of every round."""
    returns: tuple[int, int] | None
    """Rounds t < t' of exactly equal flows, the first such: proof of period t' − t for ever."""
    bits: int
    """Length of the longest denominator at the end."""
    had_nothing: int | None
    """The first round in which an agent has exactly nothing."""
    exponent: float
    """The largest Lyapunov exponent along this run, a nudge at a time, in its second half."""


def exact(market: Tiny, theta: Fraction, rounds: int) -> Exact:
    """The run from the equal split without rounding; it ends when a flow comes back."""
    links = market.adjacency[None]
    weight = np.array([[Fraction(w) for w in market.weight]], object)
    flow = np.where(links, equal_split(weight, links), Fraction(0))
    flows, utility, seen = [flow], [list(flow[0].sum(axis=0))], {tuple(flow.ravel()): 0}
    returns = None
    for t in range(1, rounds + 1):
        flow = np.where(links, play(flow, weight, links, theta), Fraction(0))
        flows.append(flow)
        utility.append(list(flow[0].sum(axis=0)))
        if (first := seen.setdefault(tuple(flow.ravel()), t)) < t:
            returns = (first, t)
            break
    bits = max(Fraction(x).denominator.bit_length() for x in flow.ravel())
    nothing = next((t for t, u in enumerate(utility) if min(u) == 0), None)
    rounded = [f.astype(float) for f in flows[len(flows) // 2 :]]
    exponent = float(exponents_along(rounded, weight.astype(float), links, float(theta))[0])
    return Exact(utility, returns, bits, nothing, exponent)
