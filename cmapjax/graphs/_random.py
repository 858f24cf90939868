"""Random markets: a family of networks, distributions over its agents and links, and a key give a market.

Words about random markets are checked without JAX, so it is loaded by the module that draws.
"""

import abc
import dataclasses
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Int

from cmapjax.arguments._checks import listed, short
from cmapjax.graphs._distributions import Coverage, Distribution, PriorityRule, Unit
from cmapjax.graphs._families import Family
from cmapjax.graphs._parameters import as_count

if TYPE_CHECKING:
    from cmapjax.graphs._drawn import Drawn
    from cmapjax.market._market import Market
    from cmapjax.runtime._types import Array


class IsolatedAgents(abc.ABC):
    """What to do about agents without a neighbour, which could neither give nor receive."""

    @abc.abstractmethod
    def links(
        self, family: Family, rng: np.random.Generator, number: int
    ) -> tuple[Int[np.ndarray, "links 2"], Int[np.ndarray, "isolated"]]:
        """The links of market number `number`, and the agents that are to be left out.

        Args:
            family: the networks to draw from.
            rng: the generator of this market's network.
            number: the market's number, for errors.

        Returns:
            Links as pairs of agent numbers, and the numbers of agents to leave out.

        Raises:
            ValueError: isolated agents that this choice does not provide for.
        """


@dataclasses.dataclass(frozen=True)
class Reject(IsolatedAgents):
    """A network with an isolated agent raises ValueError."""

    def links(self, family, rng, number):
        links, isolated = _draw_network(family, rng)
        if len(isolated):
            raise ValueError(
                f"market {number} of {short(family, 100)}: {len(isolated)} agent(s) have no neighbour "
                f"({listed(isolated)}) and could neither give nor receive. Pass isolated=Drop() to leave "
                "them out, isolated=Redraw() to draw such networks again, or raise the number of links."
            )
        return links, isolated


@dataclasses.dataclass(frozen=True)
class Drop(IsolatedAgents):
    """Isolated agents are left out; `market.origin.dropped_isolated` names them.

    The other agents keep their numbers in the family as labels, and the endowments and values drawn for them.
    """

    def links(self, family, rng, number):
        links, isolated = _draw_network(family, rng)
        if not len(links):
            raise ValueError(
                f"market {number} of {short(family, 100)} has no link, so that dropping isolated agents "
                "leaves nobody. Pass isolated=Redraw(), or raise the number of links."
            )
        return links, isolated


@dataclasses.dataclass(frozen=True)
class Redraw(IsolatedAgents):
    """A network with an isolated agent is drawn again, so that networks are those of the family without any.

    Args:
        attempts: networks drawn per market before giving up with ValueError, at least 1.
    """

    attempts: int = 100

    def __post_init__(self):
        object.__setattr__(self, "attempts", as_count("attempts", self.attempts, 1))

    def links(self, family, rng, number):
        for _ in range(self.attempts):
            links, isolated = _draw_network(family, rng)
            if not len(isolated):
                return links, isolated
        raise ValueError(
            f"market {number} of {short(family, 100)}: attempts is {self.attempts}, and every network drawn "
            f"had an agent without a neighbour (the last had {len(isolated)}). Raise attempts, raise the "
            "number of links, or pass isolated=Drop()."
        )


UNIT, REJECT = Unit(), Reject()
# What may be drawn beyond endowments and values, and by what.
DRAWN_BY = {
    "priority": PriorityRule,
    "demand": Distribution,
    "own_use": Distribution,
    "capacity": Distribution,
    "efficiency": Distribution,
}
_KINDS = {
    "family": (Family, "ErdosRenyi(50, mean_degree=6)"),
    "endowment": (Distribution, "Uniform(0.5, 1.5)"),
    "value": (Distribution, "Uniform(0.5, 1.5)"),
    "isolated": (IsolatedAgents, "Drop()"),
    **{field: (kind, "Uniform(0.5, 1)") for field, kind in DRAWN_BY.items()},
}


@dataclasses.dataclass(frozen=True)
class RandomMarket:
    """A family of random markets: market number p is a function of the key and of p alone.

    The network and each field use separate random streams, so that changing one leaves the others unchanged
    (with one version of NumPy).

    Args:
        family: the network's distribution.
        endowment: distribution of ε_i (units of i's resource), independent over agents.
        value: distribution of v_i (value per unit), independent over agents.
        isolated: what to do about agents without a neighbour.
        priority: rule or distribution of b_i (value); None: the contributions.
        demand: distribution of D_i, own use included (value), independent over agents; None: unlimited.
        own_use: distribution of a_i (value), independent over agents; None: 0.
        capacity: distribution of K (value as sent), independent over links, the same both ways; None:
            unlimited.
        efficiency: distribution of e, what arrives of a unit, likewise; None: 1.
        directed: every link goes one way: from one side to the other in a family that has sides
            (`Bipartite`), else as a fair coin decides for each.
    """

    family: Family
    _: dataclasses.KW_ONLY
    endowment: Distribution = UNIT
    value: Distribution = UNIT
    isolated: IsolatedAgents = REJECT
    priority: PriorityRule | None = None
    demand: Distribution | None = None
    own_use: Distribution | None = None
    capacity: Distribution | None = None
    efficiency: Distribution | None = None
    directed: bool = False

    def __post_init__(self):
        for field, (kind, example) in _KINDS.items():
            given = getattr(self, field)
            if not (isinstance(given, kind) or (given is None and field in DRAWN_BY)):
                raise ValueError(f"{field} is {short(given)}; give a {kind.__name__}, such as {example}.")
        if not isinstance(self.directed, bool):
            raise ValueError(f"directed is {short(self.directed)}; give True or False.")
        if isinstance(self.priority, Coverage) and self.demand is None:
            raise ValueError("priority is Coverage(), the demands, and there is no demand; give one, too.")

    def draw(self, key: "Array", num_markets: int = 1, first: int = 0) -> "Market":
        """Markets number first … first + num_markets - 1 of this key, packed side by side.

        Market p is made from fold_in(key, p) and is the same, bit for bit, drawn alone or with others. Agents
        are numbered consecutively, market by market; if some are dropped, a label is the agent's number in
        its family, or (p, number) if several markets are drawn.

        Args:
            key: a JAX random key.
            num_markets: how many, at least 1.
            first: the number of the first market.

        Returns:
            One market with `num_markets` components.

        Raises:
            ValueError: no single JAX key; numbers of markets out of range; isolated agents, unless `isolated`
                provides for them; a family or distribution of your own that returns something else than it
                must.
        """
        return self.draw_parts(key, num_markets, first).packed()

    def draw_parts(self, key: "Array", num_markets: int = 1, first: int = 0) -> "Drawn":
        """The random numbers of `draw` before a market is made of them, to time the two steps separately.

        Args:
            key, num_markets, first: as for `draw`.

        Returns:
            The numbers, of which `packed()` makes the market.

        Raises:
            ValueError: as `draw`.
        """
        from cmapjax.graphs._drawn import draw_parts

        return draw_parts(self, key, num_markets, first)


def _draw_network(family: Family, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """The links of one network and its isolated agents."""
    links = np.asarray(family.links(rng))
    if links.ndim != 2 or links.shape[1] != 2 or links.dtype.kind not in "iu":
        raise ValueError(
            f"family: {short(family, 100)} drew links of shape {links.shape} and dtype {links.dtype}; its "
            "links must be an integer array [links, 2]."
        )
    n = family.num_agents
    if len(links) and (links.min() < 0 or links.max() >= n):
        raise ValueError(
            f"family: {short(family, 100)} drew links of agents {links.min()} to {links.max()}; its "
            f"agents are 0 to {n - 1}."
        )
    degree = np.bincount(links.ravel(), minlength=n)
    return links, np.flatnonzero(degree == 0)
