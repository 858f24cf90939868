"""What a market becomes when one agent hides links, hides endowment, or appears as several agents."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

import cmapjax as cj
from cmapjax.arguments._origin import Origin
from cmapjax.market._market import assemble


class Network(NamedTuple):
    """A market as plain arrays."""

    links: np.ndarray
    """Pairs of agents, each link once."""
    weight: np.ndarray
    """Contributions."""

    def links_of(self, agent: int) -> np.ndarray:
        """The numbers of the agent's links."""
        return np.flatnonzero((self.links == agent).any(axis=1))


class Variant(NamedTuple):
    """A market after an agent's deviation, and who belongs to that agent there."""

    network: Network
    own: Sequence[int]


def network_of(market) -> Network:
    """The arrays of one market."""
    giver, receiver = market.arcs()
    once = giver < receiver
    return Network(np.stack([giver[once], receiver[once]], axis=1), np.asarray(market.contribution))


def truthful(network: Network, agent: int) -> Variant:
    """Nothing hidden."""
    return Variant(network, (agent,))


def hiding(network: Network, agent: int, hidden: Sequence[int]) -> Variant:
    """Without these links of the agent; partners who thereby lose their last link leave the market."""
    links = np.delete(network.links, hidden, axis=0)
    left = np.unique(links)
    return Variant(
        Network(np.searchsorted(left, links), network.weight[left]), (np.searchsorted(left, agent),)
    )


def understating(network: Network, agent: int, share: float) -> Variant:
    """The agent brings only this share of its endowment; what it keeps perishes."""
    weight = network.weight.copy()
    weight[agent] *= share
    return Variant(Network(network.links, weight), (agent,))


def splitting(network: Network, agent: int, copy_of: np.ndarray, share: np.ndarray) -> Variant:
    """The agent appears as several; its k-th link goes to copy `copy_of[k]`.

    `share` says how they divide its endowment. The first copy takes the agent's place, the others come last.
    """
    own = np.append(agent, len(network.weight) + np.arange(len(share) - 1))
    mine = network.links_of(agent)
    links = network.links.copy()
    side = (links[mine, 1] == agent).astype(int)
    links[mine, side] = own[copy_of]
    weight = np.append(network.weight, network.weight[agent] * share[1:])
    weight[agent] *= share[0]
    return Variant(Network(links, weight), own)


def received(variants: Iterable[Variant]) -> np.ndarray:
    """What the deviating agent receives in all, at each variant's equilibrium (exact, all at once)."""
    variants = list(variants)
    sizes = np.array([len(v.network.weight) for v in variants])
    offset = np.cumsum(sizes) - sizes
    links = np.concatenate([v.network.links + start for v, start in zip(variants, offset, strict=True)])
    weight = np.concatenate([v.network.weight for v in variants])
    number = np.arange(len(variants))
    market_of = np.repeat(number, sizes)
    numbers = number.astype(np.uint32)
    market = assemble(links, weight, np.ones(len(weight)), market_of, numbers, Origin())
    utility = np.asarray(cj.solve(market).utility)
    own = np.concatenate([start + np.asarray(v.own) for v, start in zip(variants, offset, strict=True)])
    return np.bincount(market_of[own], utility[own], len(variants))
