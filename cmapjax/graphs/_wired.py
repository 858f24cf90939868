"""Random networks whose links depend on one another: by place, grown, of fixed degree, or rewired."""

import dataclasses
import functools
import math

import numpy as np
import scipy
from jaxtyping import Bool, Int

from cmapjax.graphs._families import Complete, Family, mean_degree
from cmapjax.graphs._parameters import real, whole

# How many draws are converted to Python numbers at a time, which bounds memory.
CHUNK = 2**17


@dataclasses.dataclass(frozen=True)
class RandomGeometric(Family):
    """Agents have random places in the unit square; those at most `radius` apart are linked.

    Two agents are linked with probability P(r) = πr² - 8r³/3 + r⁴/2 for a radius r ≤ 1 (which includes the
    effect of the border), and the expected number of neighbours is (n - 1) P(r). Agents may be isolated.

    Args:
        num_agents: n, at least 2.
        mean_degree: expected number of neighbours, above 0, from which the radius follows exactly …
        radius: … or the radius itself, in sides of the square, above 0 and at most √2.

    Source: M. Penrose, Random Geometric Graphs (2003); P(r) is the distribution of the distance of two
    random points of a square, derived in tests/test_families.py.
    """

    known_as = ("geometric",)

    _alternatives = ("mean_degree", "radius")

    num_agents: int = whole(2)
    _: dataclasses.KW_ONLY
    mean_degree: float | int | None = mean_degree(lambda family: family.num_agents - 1)
    radius: float | int | None = real(most=math.sqrt(2), bound="the diagonal", default=None)

    @functools.cached_property
    def reach(self) -> float:
        """The radius r, by whichever parameter it was given (sides of the square)."""
        if self.radius is not None:
            return self.radius
        share, diagonal = self.mean_degree / (self.num_agents - 1), math.sqrt(2)
        return scipy.optimize.brentq(lambda r: chance_within(r) - share, 0, diagonal, xtol=1e-15)

    @property
    def mean_links(self):
        return chance_within(self.reach) * math.comb(self.num_agents, 2)

    def links(self, rng):
        tree = scipy.spatial.cKDTree(rng.random((self.num_agents, 2)))
        return tree.query_pairs(self.reach, output_type="ndarray")


def chance_within(distance: float | int) -> float:
    """Probability that two random points of the unit square are at most `distance` ≤ √2 apart."""
    r = min(distance, math.sqrt(2))
    if r <= 1:
        return math.pi * r**2 - 8 * r**3 / 3 + r**4 / 2
    # Above 1 the circle also leaves through the corners.
    w = math.sqrt(r**2 - 1)
    within = 1 / 3 + (math.pi - 2) * r**2 + 4 * w + 8 * w**3 / 3 - r**4 / 2 - 4 * r**2 * math.atan(w)
    return min(1.0, within)


@dataclasses.dataclass(frozen=True)
class RandomTree(Family):
    """A tree on `num_agents` ≥ 2 agents, each labelled tree with the same probability.

    Source: H. Prüfer, "Neuer Beweis eines Satzes über Permutationen" (1918): a uniform code, decoded.
    """

    known_as = ("tree",)

    num_agents: int = whole(2)

    @property
    def mean_links(self):
        return self.num_agents - 1

    def links(self, rng):
        n = self.num_agents
        code = rng.integers(n, size=n - 2)
        degree = (1 + np.bincount(code, minlength=n)).tolist()
        links, next_leaf = [], 0
        while degree[next_leaf] != 1:
            next_leaf += 1
        leaf = next_leaf
        for agent in code.tolist():
            links.append((leaf, agent))
            degree[agent] -= 1
            if degree[agent] == 1 and agent < next_leaf:
                leaf = agent  # a new leaf with a lower number than those passed already is taken first
                continue
            next_leaf += 1
            while degree[next_leaf] != 1:
                next_leaf += 1
            leaf = next_leaf
        links.append((leaf, n - 1))
        return np.array(links, np.int64)


@dataclasses.dataclass(frozen=True)
class BarabasiAlbert(Family):
    """Preferential attachment: agents arrive one by one and link with those who already have many links.

    The first attachments + 1 agents are a star around agent 0. Every later one links with `attachments`
    distinct agents, chosen one after another with probability proportional to their number of links.

    Args:
        num_agents: at least attachments + 1.
        attachments: links that an arriving agent makes, at least 1.

    Source: A.-L. Barabási, R. Albert, "Emergence of scaling in random networks", Science 286 (1999).
    """

    known_as = ("ba",)

    num_agents: int = whole(2)
    attachments: int = whole(1, lambda family: family.num_agents - 1)

    @property
    def mean_links(self):
        return self.attachments * (self.num_agents - self.attachments)

    def links(self, rng):
        n, m = self.num_agents, self.attachments
        ends = [0] * m + list(range(1, m + 1))  # every agent as often as it has links
        targets = list(range(1, m + 1))
        step = max(CHUNK // m, 1)
        for start in range(m + 1, n, step):
            arriving = np.arange(start, min(start + step, n))
            num_ends = 2 * m * (arriving - m)
            draws = (rng.random((len(arriving), m)) * num_ends[:, None]).astype(np.int64)
            for agent, places in zip(arriving.tolist(), draws.tolist(), strict=True):
                chosen = dict.fromkeys([ends[place] for place in places])
                while len(chosen) < m:
                    chosen[ends[int(rng.random() * len(ends))]] = None
                targets += chosen
                ends += chosen
                ends += [agent] * m
        sources = np.concatenate([np.zeros(m, np.int64), np.repeat(np.arange(m + 1, n), m)])
        return np.stack([sources, np.array(targets, np.int64)], axis=1)


@dataclasses.dataclass(frozen=True)
class RandomRegular(Family):
    """Every agent has exactly `degree` neighbours; for many agents nearly uniform among all such networks.

    Link ends are paired at random. Pairs that would be a self-loop or a second link are paired again, and if
    no pair is possible everything starts again. For few agents this is not uniform (8 agents with 2
    neighbours form one ring in 56 % of draws, instead of 72 %). Above degree 2n/3 the links that are
    *missing* are drawn in this way, because otherwise most draws would have to start again.

    Args:
        num_agents: n, at least 2; n · degree must be even.
        degree: from 1 to n - 1.

    Source: A. Steger, N. Wormald, "Generating random regular graphs quickly", Combin. Probab. Comput. 8
    (1999); uniform in the limit of many agents.
    """

    known_as = ("regular",)

    num_agents: int = whole(2)
    degree: int = whole(1, lambda family: family.num_agents - 1)

    def _check(self):
        if self.num_agents * self.degree % 2:
            raise ValueError(
                f"degree is {self.degree} for {self.num_agents} agents, but links have two ends and "
                "num_agents × degree is odd; make one of them even."
            )

    @property
    def mean_links(self):
        return self.num_agents * self.degree / 2

    def links(self, rng):
        n, degree = self.num_agents, self.degree
        if 3 * degree <= 2 * n:
            keys = _regular_keys(rng, n, degree)
        else:
            low, high = Complete(n).links(rng).T
            keys = np.setdiff1d(low * n + high, _regular_keys(rng, n, n - 1 - degree), assume_unique=True)
        return np.stack(np.divmod(keys, n), axis=1)


def _regular_keys(rng: np.random.Generator, n: int, degree: int) -> Int[np.ndarray, "links"]:
    """The links of a regular network as numbers n · low + high, made by pairing ends until none is left."""
    keys, ends = np.zeros(0, np.int64), np.repeat(np.arange(n), degree)
    while len(ends):
        pairs = rng.permutation(ends).reshape(-1, 2)
        low, high = pairs.min(axis=1), pairs.max(axis=1)
        proposed = low * n + high
        order = np.argsort(proposed, kind="stable")
        is_first = np.ones(len(order), bool)  # only the first of equal pairs becomes a link
        is_first[order[1:]] = proposed[order[1:]] != proposed[order[:-1]]
        is_link = is_first & (low != high)
        if len(keys):
            place = np.minimum(np.searchsorted(keys, proposed), len(keys) - 1)
            is_link &= keys[place] != proposed
        keys = np.sort(np.concatenate([keys, proposed[is_link]]))
        ends = pairs[~is_link].ravel()
        if _is_dead_end(keys, ends, n, degree):
            keys, ends = np.zeros(0, np.int64), np.repeat(np.arange(n), degree)
    return keys


def _is_dead_end(keys: np.ndarray, ends: np.ndarray, n: int, degree: int) -> bool:
    """Whether all agents that have a free end are linked with each other already."""
    waiting = np.unique(ends)
    # An agent with a free end has fewer than `degree` links, too few to be linked with this many.
    if len(waiting) == 0 or len(waiting) > degree:
        return False
    low, high = np.triu_indices(len(waiting), 1)
    return bool(np.isin(waiting[low] * n + waiting[high], keys).all())


@dataclasses.dataclass(frozen=True)
class WattsStrogatz(Family):
    """A small world: a ring of near neighbours, of whose links some are rewired to far ones.

    In the ring every agent is linked with the `neighbours` nearest agents. Then each link in turn keeps its
    first end and, with probability `rewiring`, moves the other end to an agent that the first end is not
    linked with (if there is one). The number of links does not change, and no agent becomes isolated.

    Args:
        num_agents: at least 3.
        neighbours: an even number from 2 to num_agents - 1.
        rewiring: probability from 0 to 1.

    Source: D. J. Watts, S. H. Strogatz, "Collective dynamics of small-world networks", Nature 393 (1998).
    """

    known_as = ("ws",)

    num_agents: int = whole(3)
    neighbours: int = whole(2, lambda family: family.num_agents - 1)
    rewiring: float | int = real(most=1, above=False)

    def _check(self):
        if self.neighbours % 2:
            raise ValueError(
                f"neighbours is {self.neighbours}; give an even number, half of them on each side."
            )

    @property
    def mean_links(self):
        return self.num_agents * self.neighbours // 2

    def links(self, rng):
        n, half = self.num_agents, self.neighbours // 2
        # Links in the order of their turns: to the next agent, for everybody; to the one after; …
        agent = np.tile(np.arange(n), half)
        other = (agent + np.repeat(np.arange(1, half + 1), n)) % n
        is_rewired = rng.random(n * half) < self.rewiring
        rewire = _rewire_in_turn if self._may_saturate else _rewire_at_once
        other[is_rewired] = rewire(rng, n, half, is_rewired)
        return np.stack([agent, other], axis=1)

    @property
    def _may_saturate(self) -> bool:
        """Whether an agent may become linked with all others, with a probability that is not negligible.

        For that, d = n - 1 - k of the nk/2 rewirings must choose the same agent: at most n (ek/2d)^d.
        """
        n, k = self.num_agents, self.neighbours
        missing = n - 1 - k
        if missing == 0:
            return True
        return math.log(n) + missing * (1 + math.log(k / 2 / missing)) > math.log(1e-18)


def _rewire_in_turn(
    rng: np.random.Generator, n: int, half: int, is_rewired: Bool[np.ndarray, "links"]
) -> Int[np.ndarray, "rewired"]:
    """New second ends of the rewired links, one after another, by the table of all links."""
    linked = np.eye(n, dtype=bool)
    agent = np.arange(n)
    for distance in range(1, half + 1):
        linked[agent, (agent + distance) % n] = linked[(agent + distance) % n, agent] = True
    chosen = []
    for turn in np.flatnonzero(is_rewired).tolist():
        first = turn % n
        second = (first + turn // n + 1) % n
        free = np.flatnonzero(~linked[first])
        if len(free):
            linked[first, second] = linked[second, first] = False
            second = int(free[rng.integers(len(free))])
            linked[first, second] = linked[second, first] = True
        chosen.append(second)
    return np.array(chosen, np.int64)


def _rewire_at_once(
    rng: np.random.Generator, n: int, half: int, is_rewired: Bool[np.ndarray, "links"]
) -> Int[np.ndarray, "rewired"]:
    """New second ends of all rewired links, computed together, with the result of `_rewire_in_turn`.

    Each link draws until it finds a pair that is free at its turn. If several links draw the same pair, the
    earliest gets it and the others draw again. As in deferred acceptance, the result is that of going in
    turn, because a pair that a link did not get is always held by an earlier link.
    """
    turn = np.flatnonzero(is_rewired)
    first = turn % n
    second = rng.integers(n, size=len(turn))
    while True:
        low, high = np.minimum(first, second), np.maximum(first, second)
        gap = high - low
        distance = np.minimum(gap, n - gap)
        own_turn = (distance - 1) * n + np.where(gap == distance, low, high)
        is_ring = (distance >= 1) & (distance <= half)
        own_turn[~is_ring] = 0
        is_taken = (distance == 0) | (is_ring & ~(is_rewired[own_turn] & (own_turn < turn)))
        pair = np.where(is_taken, -1 - np.arange(len(turn)), low * n + high)
        order = np.argsort(pair, kind="stable")
        is_taken[order[1:]] |= pair[order[1:]] == pair[order[:-1]]
        if not is_taken.any():
            return second
        second[is_taken] = rng.integers(n, size=int(is_taken.sum()))
