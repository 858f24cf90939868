"""The equilibrium's structure by an interior-point method: which links are used, and which are full."""

import numpy as np
import scipy  # which loads `scipy.sparse` at its first use
from jaxtyping import Float

from cmapjax.market._bound import Arcs

MAX_STEPS = 100
# When complementarity, in parts of what is earned, is small enough to tell used links from others.
GOAL = 1e-13
# Steps shorter than this no longer lead anywhere.
SHORT, PATIENCE = 1e-3, 5
# How much of the way to the boundary is gone.
ALMOST = 0.99
# Pivots off the diagonal are taken where those on it are this much smaller. (Eliminating flows first, as the
# normal equations do, loses the utilities' curvature to rounding at a gap of 1e-7.)
PIVOT = 0.01


def used_links(arcs: Arcs, fairness: float) -> tuple[Float[np.ndarray, "arcs"], int]:
    """The optimal flow, nearly, with zeros where a link is not used and capacities where it is full.

    Mehrotra's predictor-corrector method on the program max Σ b_j g_α(u_j / b_j), u = a + Σ e y, with y ≥ 0,
    Σ_j y_ij ≤ s_i, u_j ≤ D_j and y_ij ≤ K_ij, each market with steps of its own.

    Args:
        arcs: those that can carry something to somebody who wants it.

    Returns:
        The flow, and the number of steps.

    Source: Mehrotra, SIAM J. Optim. 2, 1992.
    """
    path = _Path(arcs, fairness)
    for _ in range(MAX_STEPS):
        if not path.go_on():
            break
    return path.flow(), path.num_steps


class _Path:
    """Four constraints and their multipliers: on links, givers, demands and capacities, in that order.

    Amounts are in parts of a market's supply, priorities in parts of their sum.
    """

    def __init__(self, arcs: Arcs, fairness: float):
        self.fairness, self.num_steps = fairness, 0
        givers, self.giver = np.unique(arcs.giver, return_inverse=True)
        receivers, self.receiver = np.unique(arcs.receiver, return_inverse=True)
        names, market_of = np.unique(arcs.market_of[givers], return_inverse=True)
        self.size = len(names)
        of_receiver = np.searchsorted(names, arcs.market_of[receivers])
        of_arc = market_of[self.giver]
        self.unit = np.bincount(market_of, arcs.supply[givers])
        weight = np.bincount(of_receiver, arcs.priority[receivers])
        self.e = arcs.efficiency
        self.supply = arcs.supply[givers] / self.unit[market_of]
        self.own_use = arcs.own_use[receivers] / self.unit[of_receiver]
        self.demand = arcs.demand[receivers] / self.unit[of_receiver]
        self.priority = arcs.priority[receivers] / weight[of_receiver]
        self.capacity = arcs.capacity / self.unit[of_arc]
        self.original_capacity = arcs.capacity
        self.wants = np.flatnonzero(np.isfinite(self.demand))
        self.has_cap = np.flatnonzero(self.capacity < self.supply[self.giver])
        self.markets = of_arc, market_of, of_receiver[self.wants], of_arc[self.has_cap]
        self.of_receiver = of_receiver
        self.is_done = np.zeros(self.size, bool)
        self._start()

    def _start(self) -> None:
        """A flow well inside all constraints, with multipliers that are all as far from the boundary."""
        room = (self.demand - self.own_use) / np.bincount(self.receiver)
        share = (self.supply / np.bincount(self.giver))[self.giver]
        flow = 0.5 * np.minimum(np.minimum(self.capacity, share), room[self.receiver] / self.e)
        utility = self._utility(flow)
        self.slack = [
            flow,
            self.supply - np.bincount(self.giver, flow),
            (self.demand - utility)[self.wants],
            (self.capacity - flow)[self.has_cap],
        ]
        self.count = sum(np.bincount(own, minlength=self.size) for own in self.markets)
        mean = self._earned(utility) / self.count
        self.dual = [mean[own] / x for own, x in zip(self.markets, self.slack, strict=True)]
        self.num_short = np.zeros(self.size, int)

    def _utility(self, flow):
        return self.own_use + np.bincount(self.receiver, self.e * flow)

    def _worth(self, utility):
        return (utility / self.priority) ** -self.fairness

    def _earned(self, utility):
        return np.bincount(self.of_receiver, self._worth(utility) * (utility - self.own_use), self.size)

    def _products(self, slack, dual):
        parts = zip(self.markets, slack, dual, strict=True)
        return sum(np.bincount(own, x * y, self.size) for own, x, y in parts)

    def _upwards(self, parts) -> Float[np.ndarray, "arcs"]:
        """What numbers of the four constraints add up to on each link."""
        on_links, on_givers, on_demands, on_caps = parts
        total = on_links - on_givers[self.giver]
        of_receivers = np.zeros(len(self.demand))
        of_receivers[self.wants] = on_demands
        total = total - self.e * of_receivers[self.receiver]
        total[self.has_cap] -= on_caps
        return total

    def _changes(self, flow) -> list[np.ndarray]:
        """How the four slacks change with the flow."""
        received = np.bincount(self.receiver, self.e * flow)
        return [flow, -np.bincount(self.giver, flow), -received[self.wants], -flow[self.has_cap]]

    def go_on(self) -> bool:
        """One step; False if no market could take one that leads anywhere."""
        utility = self._utility(self.slack[0])
        worth, products = self._worth(utility), self._products(self.slack, self.dual)
        self.is_done |= products <= GOAL * self._earned(utility)
        if np.all(self.is_done):
            return False
        solve = self._factor(self.fairness * worth / utility)
        slope = self.e * worth[self.receiver]

        def step(targets):
            pulls = [x / slack for x, slack in zip(targets, self.slack, strict=True)]
            changes = self._changes(solve(slope + self._upwards(pulls)))
            rows = zip(pulls, self.slack, self.dual, changes, strict=True)
            return changes, [pull - y - y / x * dx for pull, x, y, dx in rows]

        ahead = step([np.zeros(len(x)) for x in self.slack])
        left = self._products(*self._moved(ahead, self._length(ahead, 1.0)))
        centre = np.clip(left / products, 1e-6, 1) ** 3 * products / self.count
        bends = zip(self.markets, *ahead, strict=True)
        way = step([centre[own] - dx * dy for own, dx, dy in bends])
        length = self._length(way, ALMOST)
        self.num_short = np.where(length > SHORT, 0, self.num_short + 1)
        self.is_done |= ~(length >= 0) | (self.num_short >= PATIENCE)
        self.slack, self.dual = self._moved(way, np.where(self.is_done, 0, length))
        self.num_steps += 1
        return True

    def _length(self, way, share: float) -> Float[np.ndarray, "markets"]:
        """How far each market can go before a slack or a multiplier is 0, at most 1."""
        length = np.full(self.size, 1 / share)
        for values, changes in zip((self.slack, self.dual), way, strict=True):
            for own, x, dx in zip(self.markets, values, changes, strict=True):
                falls = ~(dx >= 0)
                np.minimum.at(length, own[falls], -x[falls] / dx[falls])
        return share * length

    def _moved(self, way, length) -> list[list[np.ndarray]]:
        moved = []
        for values, changes in zip((self.slack, self.dual), way, strict=True):
            rows = zip(self.markets, values, changes, strict=True)
            moved.append([np.where(length[own] > 0, x + length[own] * dx, x) for own, x, dx in rows])
        return moved

    def _factor(self, curvature):
        """Solves Newton's equations, in unknowns per receiver, per giver and per link."""
        stiff = [y / x for x, y in zip(self.slack, self.dual, strict=True)]
        curvature[self.wants] += stiff[2]
        links = stiff[0].copy()
        links[self.has_cap] += stiff[3]
        receivers, givers, m = len(curvature), len(self.supply), len(links)
        link = receivers + givers + np.arange(m)
        at_giver = receivers + self.giver
        diagonal = np.concatenate([1 / curvature, 1 / stiff[1], links])
        rows = [np.arange(len(diagonal)), self.receiver, at_giver, link, link]
        columns = [np.arange(len(diagonal)), link, link, self.receiver, at_giver]
        entries = [diagonal, -self.e, -np.ones(m), self.e, np.ones(m)]
        ends = np.concatenate(rows), np.concatenate(columns)
        matrix = scipy.sparse.csc_array((np.concatenate(entries), ends), shape=(len(diagonal),) * 2)
        factors = scipy.sparse.linalg.splu(matrix, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=PIVOT)
        nothing = np.zeros(receivers + givers)
        return lambda force: factors.solve(np.concatenate([nothing, force]))[receivers + givers :]

    def flow(self) -> Float[np.ndarray, "arcs"]:
        """A link is used if it is nearer to its limit than what it would earn more elsewhere is to 0."""
        y, z = self.slack[0], self.dual[0]
        worth = self.e * self._worth(self._utility(y))[self.receiver]
        limit = np.minimum(self.supply[self.giver], self.capacity)
        found = np.where(y / limit > z / worth, y * self.unit[self.markets[0]], 0)
        cap = self.has_cap
        is_full = self.slack[3] / self.capacity[cap] < self.dual[3] / worth[cap]
        found[cap[is_full]] = self.original_capacity[cap[is_full]]
        return found
