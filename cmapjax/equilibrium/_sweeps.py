"""CMAP in coloured sweeps on claims, in plain NumPy on lists of arcs: quickly near the equilibrium."""

import numpy as np
from jaxtyping import Bool, Float, Int

from cmapjax.market._bound import Arcs
from cmapjax.schedules._turns import colours

# The least claim, in parts of the largest per demand. In proportion to demand, because then all who claim
# the least are satisfied whenever they can be.
LEAST_CLAIM = 1e-9
MAX_PASSES = 100
# A row spends its supply to this share of the amounts that are added up for it.
EXACT = 1e-14


class Sweeps:
    """Givers answer in turn, those of one colour, who share no receiver, at once.

    Giver i sends y_ij = clip(L ω_ij − h_ij, 0, K_ij) with ω_ij = β_j e_ij^(1/α − 1), h_ij = u_j / e_ij − y_ij
    and the level L at which it spends all; if nothing is in demand, this maximises welfare over its row.
    Demands are met by claims β_j ≤ b_j, which after a sweep become β_j D_j / u_j, but no more than b_j.

    Args:
        arcs: those that can carry something to somebody who wants it.
    """

    def __init__(self, arcs: Arcs, fairness: float):
        colour = _colours(arcs)
        order = np.argsort(colour[arcs.giver], kind="stable")
        self.arcs, self.order, self.fairness = arcs.only(order), order, fairness
        giver, receiver = self.arcs.giver, self.arcs.receiver
        self.cap = np.where(self.arcs.capacity < arcs.supply[giver], self.arcs.capacity, np.inf)
        self.preference = self.arcs.efficiency ** (1 / fairness - 1)
        first = np.append(np.flatnonzero(np.diff(colour[giver], prepend=-1)), len(giver))
        self.turns = [slice(*ends) for ends in zip(first[:-1].tolist(), first[1:].tolist(), strict=True)]
        self.priority = np.where(arcs.counts, arcs.priority, 0.0)
        self.claim = self.priority.copy()
        self.wants = np.flatnonzero(np.isfinite(arcs.demand) & arcs.counts & (arcs.demand > 0))
        demand = arcs.demand[self.wants]
        self.least = LEAST_CLAIM * demand * np.min(self.priority[self.wants] / demand, initial=np.inf)
        claimed = self.claim[receiver] * self.preference
        total = np.bincount(giver, claimed, len(arcs.supply))
        self.flow = np.minimum(self.cap, arcs.supply[giver] * claimed / total[giver])
        self.utility = self.arcs.received(self.flow)

    def go_on(self, number: int) -> None:
        """So many sweeps."""
        for _ in range(number):
            self.sweep()

    def sweep(self) -> None:
        """Every giver answers once, and then claims are renewed."""
        for turn in self.turns:
            receiver, e, y = self.arcs.receiver[turn], self.arcs.efficiency[turn], self.flow[turn]
            got = self.utility[receiver]
            new = filled(
                self.claim[receiver] * self.preference[turn],
                np.maximum(got / e - y, 0),
                self.cap[turn],
                Rows.of(self.arcs.giver[turn], self.arcs.supply),
                y,
            )
            self.utility[receiver] = got + e * (new - y)
            self.flow[turn] = new
        self.utility = self.arcs.received(self.flow)
        if len(self.wants):
            self._claim()

    def _claim(self) -> None:
        wants, got = self.wants, self.utility[self.wants]
        priority = self.priority[wants]
        claim = self.claim[wants] * self.arcs.demand[wants] / np.where(got > 0, got, 1)
        claim = np.minimum(priority, np.maximum(claim, self.least))
        self.claim[wants] = np.where(got > 0, claim, priority)

    def given(self) -> Float[np.ndarray, "arcs"]:
        """The flow in the order of the arcs as they were given."""
        flow = np.empty(len(self.flow))
        flow[self.order] = self.flow
        return flow


def _colours(arcs: Arcs) -> Int[np.ndarray, "agents"]:
    """A colour for each giver. Others have a place of their own in the network, so that no row is empty."""
    n = len(arcs.supply)
    idle = np.setdiff1d(np.arange(n), arcs.giver)
    giver, receiver = np.concatenate([arcs.giver, idle]), np.concatenate([arcs.receiver, idle])
    order = np.lexsort((receiver, giver))
    starts = np.searchsorted(giver[order], np.arange(n + 1))
    return colours(starts, receiver[order].astype(np.int32))


class Rows:
    """Arcs of some givers, row after row."""

    def __init__(self, first, length, supply):
        self.first, self.length, self.supply = first, length, supply

    @staticmethod
    def of(giver: Int[np.ndarray, "arcs"], supply: Float[np.ndarray, "agents"]) -> "Rows":
        first = np.flatnonzero(np.diff(giver, prepend=-1))
        return Rows(first, np.diff(np.append(first, len(giver))), supply[giver[first]])

    def sum(self, x: Float[np.ndarray, "arcs"]) -> Float[np.ndarray, "rows"]:
        return np.add.reduceat(x, self.first)

    def spread(self, x: np.ndarray) -> np.ndarray:
        return np.repeat(x, self.length)


def filled(weight, height, cap, rows: Rows, start) -> Float[np.ndarray, "arcs"]:
    """y = clip(L ω − h, 0, K) of each row, with the level L at which it sums to the row's supply.

    All is full where capacities are no more than the supply. L is found by Newton's method on a sum that is
    piecewise linear in it, kept between levels known to be too low and too high.

    Args:
        start: flows of which those above 0, and those at their cap, are the first guess of who is which.
    """
    is_full, is_on = start >= cap, start > 0
    gets_all = rows.sum(cap) <= rows.supply
    low, high = np.zeros(len(rows.first)), np.full(len(rows.first), np.inf)
    level, is_done = low, gets_all
    for _ in range(MAX_PASSES):
        state = is_on & ~is_full, is_full, low, high
        level = np.where(is_done, level, _next_level(weight, height, cap, rows, state))
        reached = rows.spread(level) * weight - height
        total = rows.sum(np.clip(reached, 0, cap))
        size = rows.supply + rows.sum(np.where(reached > 0, height, 0))
        is_done = is_done | (np.abs(total - rows.supply) <= EXACT * size)
        if np.all(is_done):
            break
        low = np.where(total <= rows.supply, np.maximum(low, level), low)
        high = np.where(total >= rows.supply, np.minimum(high, level), high)
        is_on, is_full = reached > 0, reached >= cap
    return np.where(rows.spread(gets_all), cap, np.clip(rows.spread(level) * weight - height, 0, cap))


def _next_level(
    weight, height, cap, rows: Rows, state: tuple[Bool[np.ndarray, "arcs"], ...]
) -> Float[np.ndarray, "rows"]:
    """The level at which rows sum to their supplies if nobody passes 0 or a cap on the way; or, where that is
    not between the levels known to be too low and too high, the middle of them."""
    between, is_full, low, high = state
    slope = rows.sum(np.where(between, weight, 0))
    rest = rows.supply - rows.sum(np.where(is_full, cap, np.where(between, -height, 0)))
    with np.errstate(divide="ignore", invalid="ignore"):
        level = rest / slope
    outside = ~((slope > 0) & (level > low) & (level < high))
    if not np.any(outside):
        return level
    # The least level at which all together would be served, and everybody's cap or the supply be passed.
    with np.errstate(divide="ignore", invalid="ignore"):
        ends = np.where(weight > 0, (height + rows.spread(rows.supply)) / weight, 0)
    top = np.maximum.reduceat(ends, rows.first)
    return np.where(outside, (low + np.minimum(high, top)) / 2, level)
