"""A network that is given as a family with this one member, with numbers of its own or drawn ones."""

import dataclasses
from collections.abc import Mapping

import numpy as np
from jaxtyping import Bool

from cmapjax.graphs import Distribution, Family, RandomMarket
from cmapjax.market._market import Market
from cmapjax.market._numbers import OF_AGENTS, OF_ARCS
from cmapjax.studies._cells import OWN
from cmapjax.words._networks import term
from cmapjax.words._objects import Builder


@dataclasses.dataclass(frozen=True, eq=False)
class OneNetwork(Family):
    """A network that is given, as a family with this one member."""

    market: Market

    @property
    def num_agents(self):
        return self.market.num_agents

    @property
    def mean_links(self):
        return self.market.num_links

    def links(self, rng):
        giver, receiver = self.market.arcs()
        return np.stack([giver, receiver], axis=1)[giver < receiver]


@dataclasses.dataclass(frozen=True, eq=False)
class Own(Distribution):
    """The numbers that agents have already, or links, there and back."""

    numbers: np.ndarray

    @property
    def mean(self):
        return float(self.numbers.mean())

    def draw(self, rng, num_agents):
        return self.numbers


@dataclasses.dataclass(frozen=True, eq=False)
class WhereOpen(Distribution):
    """Capacities that are drawn, or unlimited, but 0 along the ways that a network closes."""

    drawn: Distribution | None
    is_closed: Bool[np.ndarray, "links 2"]

    @property
    def mean(self):
        return float("inf") if self.drawn is None else self.drawn.mean

    def draw(self, rng, num_agents):
        capacity = np.inf if self.drawn is None else self.drawn.draw(rng, num_agents)[:, None]
        return np.where(self.is_closed, 0.0, capacity)


def one_network(builder: Builder, market: Market, words: Mapping[str, str]) -> RandomMarket:
    """The random market on a network that is given.

    Args:
        builder: makes distributions.
        market: the network, with what its file says.
        words: about endowments, values and other fields; own is what the file says.

    Raises:
        ValueError: unknown names, numbers out of range.
    """
    drawn_by = {}
    for field in ("endowment", "value"):
        own = words[field] == OWN
        drawn_by[field] = (
            Own(np.asarray(getattr(market, field))) if own else builder.build(Distribution, words[field])
        )
    for field in OF_AGENTS:
        own, numbers = words[field] == OWN, getattr(market, field)
        drawn_by[field] = (
            (None if numbers is None else Own(np.asarray(numbers)))
            if own
            else term(builder, field, words[field])
        )
    for field in OF_ARCS:
        drawn_by[field] = _of_links(builder, market, field, words[field])
    return RandomMarket(OneNetwork(market), **drawn_by)


def _of_links(builder: Builder, market: Market, field: str, text: str) -> Distribution | None:
    """What decides capacities or efficiencies; ways that are closed stay so."""
    numbers = getattr(market, field)
    giver, receiver = market.arcs()
    is_forth, reverse = giver < receiver, np.lexsort((giver, receiver))
    both = None
    if numbers is not None:
        values = market.arc_values(numbers)
        both = np.stack([values[is_forth], values[reverse][is_forth]], axis=1)
    if text == OWN:
        return None if both is None else Own(both)
    drawn = term(builder, field, text)
    is_closed = field == "capacity" and both is not None and bool(np.any(both == 0))
    return WhereOpen(drawn, both == 0) if is_closed else drawn
