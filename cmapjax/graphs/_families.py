"""Families of networks: regular ones, and random ones with independent links.

Families whose links depend on one another (by place, grown, rewired, of fixed degree) are in `_wired`.
"""

import abc
import dataclasses
import math
from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from jaxtyping import Float, Int

from cmapjax.arguments._checks import short
from cmapjax.graphs._parameters import Checked, as_count, as_number, check_links, real, whole

# Every pair of communities is drawn separately.
MAX_COMMUNITIES = 1000


class Family(Checked, abc.ABC):
    """A family of networks with its parameters; a network is drawn by `links`.

    Write your own by subclassing: a frozen dataclass that checks its fields, knows its `num_agents`, and
    has the two members below. Parameters that make no network raise ValueError on construction.
    """

    _alternatives: ClassVar[tuple[str, ...]] = ()
    """Two fields of which one must be given."""

    symbols: ClassVar[dict[str, str]] = {
        "n": "num_agents",
        "degree": "mean_degree",
        "m": "attachments",
        "k": "neighbours",
        "p": "probability",
        "left": "num_left",
        "right": "num_right",
    }
    """Short names of parameters, on the command line and in studies."""
    is_random: ClassVar[bool] = True
    """Whether two networks of the family may differ."""
    has_sides: ClassVar[bool] = False
    """Whether links lead from one side to another; in a directed market of other families chance decides."""
    num_agents: int

    @property
    @abc.abstractmethod
    def mean_links(self) -> float | int:
        """Expected number of links of one network."""

    @abc.abstractmethod
    def links(self, rng: np.random.Generator) -> Int[np.ndarray, "links 2"]:
        """The links of one network: distinct pairs of different agent numbers."""

    def __post_init__(self):
        super().__post_init__()
        given = [(name, getattr(self, name)) for name in self._alternatives]
        if given and sum(value is not None for _, value in given) != 1:
            said = " and ".join(f"{name} is {short(value)}" for name, value in given)
            raise ValueError(f"{said}; give exactly one of them, by name.")
        check_links(self)


def mean_degree(most) -> float | None:
    """A field that holds a mean degree, at most that of the network with all possible links, or None."""
    return real(most=most, bound="every possible link there", default=None)


# -- regular figures ---------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Complete(Family):
    """Each of `num_agents` ≥ 2 agents is linked with all others."""

    is_random = False
    num_agents: int = whole(2)

    @property
    def mean_links(self):
        return math.comb(self.num_agents, 2)

    def links(self, rng):
        return pairs_at(np.arange(math.comb(self.num_agents, 2)))


@dataclasses.dataclass(frozen=True)
class Ring(Family):
    """Agent i is linked with i + 1, and the last of `num_agents` ≥ 3 agents with the first."""

    is_random = False
    num_agents: int = whole(3)

    @property
    def mean_links(self):
        return self.num_agents

    def links(self, rng):
        agent = np.arange(self.num_agents)
        return np.stack([agent, (agent + 1) % self.num_agents], axis=1)


@dataclasses.dataclass(frozen=True)
class Star(Family):
    """Agent 0 is linked with every other of `num_agents` ≥ 2 agents; there are no other links."""

    is_random = False
    num_agents: int = whole(2)

    @property
    def mean_links(self):
        return self.num_agents - 1

    def links(self, rng):
        leaf = np.arange(1, self.num_agents)
        return np.stack([np.zeros_like(leaf), leaf], axis=1)


@dataclasses.dataclass(frozen=True)
class TorusGrid(Family):
    """A grid closed to a torus: every agent has 4 neighbours. Agent r · columns + c is at row r, column c.

    Both `rows` and `columns` are at least 3: with fewer the link around would be one that exists already.
    """

    known_as = ("torus",)
    is_random = False

    rows: int = whole(3)
    columns: int = whole(3)

    @property
    def num_agents(self):
        return self.rows * self.columns

    @property
    def mean_links(self):
        return 2 * self.num_agents

    def links(self, rng):
        agent = np.arange(self.num_agents)
        row, column = np.divmod(agent, self.columns)
        right = row * self.columns + (column + 1) % self.columns
        below = (row + 1) % self.rows * self.columns + column
        return np.stack([np.tile(agent, 2), np.concatenate([right, below])], axis=1)


# -- independent links -------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class ErdosRenyi(Family):
    """G(n, p): every pair of agents is linked with probability p, independently. Agents may be isolated.

    Args:
        num_agents: n, at least 2.
        mean_degree: expected number of neighbours, p = mean_degree / (n - 1), above 0 …
        probability: … or p itself, above 0 and at most 1.

    Source: E. N. Gilbert, "Random graphs", Ann. Math. Statist. 30 (1959).
    """

    known_as = ("er",)
    _alternatives = ("mean_degree", "probability")

    num_agents: int = whole(2)
    _: dataclasses.KW_ONLY
    mean_degree: float | int | None = mean_degree(lambda family: family.num_agents - 1)
    probability: float | int | None = real(most=1, default=None)

    @property
    def link_probability(self) -> float:
        """p, by whichever parameter it was given."""
        return self.probability if self.mean_degree is None else self.mean_degree / (self.num_agents - 1)

    @property
    def mean_links(self):
        return self.link_probability * math.comb(self.num_agents, 2)

    def links(self, rng):
        return pairs_at(chosen_places(rng, math.comb(self.num_agents, 2), self.link_probability))


@dataclasses.dataclass(frozen=True)
class Bipartite(Family):
    """Two sides; every pair across them is linked with probability p, independently. Agents may be isolated.

    Agents 0 … num_left - 1 are the left side, the following ones the right side. In a directed market the
    left gives to the right.

    Args:
        num_left: agents on the left, at least 1.
        num_right: agents on the right, at least 1.
        mean_degree: expected number of neighbours, averaged over both sides: 2 p · left · right /
            (left + right), above 0 …
        probability: … or p itself, above 0 and at most 1.
    """

    _alternatives = ("mean_degree", "probability")
    has_sides = True

    num_left: int = whole(1)
    num_right: int = whole(1)
    _: dataclasses.KW_ONLY
    mean_degree: float | int | None = mean_degree(lambda family: family._most_degree)
    probability: float | int | None = real(most=1, default=None)

    @property
    def _most_degree(self):
        return 2 * self.num_left * self.num_right / self.num_agents

    @property
    def num_agents(self):
        return self.num_left + self.num_right

    @property
    def link_probability(self) -> float:
        """p, by whichever parameter it was given."""
        if self.mean_degree is None:
            return self.probability
        # Rounding must not lift the largest mean degree to a probability above 1.
        return min(self.mean_degree * self.num_agents / (2 * self.num_left * self.num_right), 1.0)

    @property
    def mean_links(self):
        return self.link_probability * self.num_left * self.num_right

    def links(self, rng):
        places = chosen_places(rng, self.num_left * self.num_right, self.link_probability)
        left, right = np.divmod(places, self.num_right)
        return np.stack([left, self.num_left + right], axis=1)


@dataclasses.dataclass(frozen=True)
class StochasticBlockModel(Family):
    """Communities: two agents are linked with a probability that depends on their communities.

    Agents are numbered community by community. Agents may be isolated.

    Args:
        sizes: number of agents of every community, each at least 1.
        within: probability of a link inside a community, together with
        between: probability of a link across communities …
        probabilities: … or a symmetric table of probabilities, a row and a column per community.

    Source: P. W. Holland, K. B. Laskey, S. Leinhardt, "Stochastic blockmodels", Social Networks 5 (1983).
    """

    known_as = ("blocks",)

    sizes: Sequence[int]
    _: dataclasses.KW_ONLY
    within: float | int | None = None
    between: float | int | None = None
    probabilities: Sequence[Sequence[float | int]] | None = None

    def _check(self):
        if not isinstance(self.sizes, (Sequence, np.ndarray)) or not 1 <= len(self.sizes) <= MAX_COMMUNITIES:
            raise ValueError(
                f"sizes is {short(self.sizes)}; give a list of 1 to {MAX_COMMUNITIES} community sizes."
            )
        self._set(sizes=tuple(as_count(f"sizes[{k}]", size, 1) for k, size in enumerate(self.sizes)))
        as_count("sum of sizes", sum(self.sizes), 2)
        if self.probabilities is None:
            for field in ("within", "between"):
                self._set(**{field: as_number(field, getattr(self, field), most=1, above=False)})
        elif (self.within, self.between) == (None, None):
            self._set(probabilities=_as_probabilities(self.probabilities, len(self.sizes)))
        else:
            raise ValueError(
                f"within is {short(self.within)} and between is {short(self.between)}, but a table of "
                "probabilities is given too; leave out one or the other."
            )
        if self.mean_links == 0:
            raise ValueError(
                f"sizes {short(self.sizes)} and their probabilities allow no link; raise a probability."
            )

    @property
    def num_agents(self):
        return sum(self.sizes)

    @property
    def table(self) -> Float[np.ndarray, "communities communities"]:
        """The probability of a link between agents of two communities."""
        if self.probabilities is not None:
            return np.array(self.probabilities)
        return np.where(np.eye(len(self.sizes), dtype=bool), self.within, self.between)

    @property
    def mean_links(self):
        sizes, table = np.array(self.sizes, float), self.table
        return float(sizes @ table @ sizes - np.diag(table) @ sizes) / 2

    def links(self, rng):
        table, start = self.table, np.cumsum([0, *self.sizes])
        parts = []
        for a, size in enumerate(self.sizes):
            parts.append(start[a] + pairs_at(chosen_places(rng, math.comb(size, 2), table[a, a])))
            for b in range(a):
                places = chosen_places(rng, size * self.sizes[b], table[a, b])
                first, second = np.divmod(places, self.sizes[b])
                parts.append(np.stack([start[a] + first, start[b] + second], axis=1))
        return np.concatenate(parts)


# -- how they draw -----------------------------------------------------------------------------


def chosen_places(
    rng: np.random.Generator, places: int, probability: float | int
) -> Int[np.ndarray, "chosen"]:
    """Those of the places 0 … places - 1 that are chosen with this probability, independently; ascending.

    It draws the steps from one chosen place to the next, so that time and memory grow with the links only.

    Source: V. Batagelj, U. Brandes, "Efficient generation of large random networks", Phys. Rev. E 71 (2005).
    """
    if probability == 0 or places == 0:
        return np.zeros(0, np.int64)
    parts, reached = [], -1
    while True:
        expected = (places - 1 - reached) * probability
        # Four standard deviations more than expected, so that a second draw is rarely needed.
        steps = rng.geometric(probability, int(expected + 4 * math.sqrt(expected)) + 10)
        # A step of 0 would come from an exponential draw of exactly 0; very large steps must not overflow the
        # sum.
        found = reached + np.cumsum(np.clip(steps, 1, places + 1))
        if found[-1] >= places:
            return np.concatenate([*parts, found[: np.searchsorted(found, places)]])
        parts.append(found)
        reached = int(found[-1])


def pairs_at(places: Int[np.ndarray, "chosen"]) -> Int[np.ndarray, "chosen 2"]:
    """The pairs i < j at these places of the list (0,1), (0,2), (1,2), (0,3), …: place j(j - 1)/2 + i."""
    high = ((1 + np.sqrt(1.0 + 8.0 * places)) / 2).astype(np.int64)
    high -= high * (high - 1) // 2 > places  # the root may have been rounded up to the next row
    high += high * (high + 1) // 2 <= places
    return np.stack([places - high * (high - 1) // 2, high], axis=1)


def _as_probabilities(table, num_communities: int) -> tuple[tuple[float, ...], ...]:
    if not isinstance(table, (Sequence, np.ndarray)) or any(np.ndim(row) != 1 for row in table):
        raise ValueError(
            f"probabilities is {short(table)}; give a table of numbers, a row and a column per community."
        )
    widths = [len(row) for row in table]
    if widths != [num_communities] * num_communities:
        raise ValueError(
            f"probabilities has rows of {widths[:5]} numbers for {num_communities} communities; give a row "
            "and a column for each."
        )
    rows = [
        [as_number(f"probabilities[{a}][{b}]", number, most=1, above=False) for b, number in enumerate(row)]
        for a, row in enumerate(table)
    ]
    for a, b in np.argwhere(np.array(rows) != np.array(rows).T)[:1]:
        raise ValueError(
            f"probabilities[{a}][{b}] is {rows[a][b]} but probabilities[{b}][{a}] is {rows[b][a]}; links "
            "have no direction, so give a symmetric table."
        )
    return tuple(map(tuple, rows))
