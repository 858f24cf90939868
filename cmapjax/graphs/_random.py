"""Random markets: a family of networks, distributions over its agents, and a key give a market."""

import abc
import dataclasses

import jax
import numpy as np
from jaxtyping import Int, UInt

from cmapjax.arguments._checks import listed, short
from cmapjax.arguments._origin import Origin
from cmapjax.graphs._distributions import Distribution, Unit
from cmapjax.graphs._families import Family
from cmapjax.graphs._parameters import MAX_LINKS, as_count, check_links
from cmapjax.market._market import Market, assemble
from cmapjax.market._random import check_key
from cmapjax.runtime._settings import entry
from cmapjax.runtime._types import Array

# The independent streams of random numbers of one market.
NETWORK, ENDOWMENT, VALUE = range(3)


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


@dataclasses.dataclass(frozen=True)
class RandomMarket:
    """A family of random markets: market number p is a function of the key and of p alone.

    Network, endowments and values use separate random streams, so that changing one leaves the others
    unchanged (with one version of NumPy).

    Args:
        family: the network's distribution.
        endowment: distribution of ε_i (units of i's resource), independent over agents.
        value: distribution of v_i (value per unit), independent over agents.
        isolated: what to do about agents without a neighbour.
    """

    family: Family
    _: dataclasses.KW_ONLY
    endowment: Distribution = UNIT
    value: Distribution = UNIT
    isolated: IsolatedAgents = REJECT

    def __post_init__(self):
        examples = {
            "family": (Family, "ErdosRenyi(50, mean_degree=6)"),
            "endowment": (Distribution, "Uniform(0.5, 1.5)"),
            "value": (Distribution, "Uniform(0.5, 1.5)"),
            "isolated": (IsolatedAgents, "Drop()"),
        }
        for field, (kind, example) in examples.items():
            if not isinstance(given := getattr(self, field), kind):
                raise ValueError(f"{field} is {short(given)}; give a {kind.__name__}, such as {example}.")

    def draw(self, key: Array, num_markets: int = 1, first: int = 0) -> Market:
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

    @entry(remedy="draw the markets before")
    def draw_parts(self, key: Array, num_markets: int = 1, first: int = 0) -> "Drawn":
        """The random numbers of `draw` before a market is made of them, to time the two steps separately.

        Args:
            key, num_markets, first: as for `draw`.

        Returns:
            The numbers, of which `packed()` makes the market.

        Raises:
            ValueError: as `draw`.
        """
        check_key(key, "a random market")
        if key.shape != ():
            raise ValueError(f"key has shape {key.shape}; pass one key, the markets take theirs from it.")
        first = as_count("first", first, 0, 2**32 - 1)
        num_markets = as_count("num_markets", num_markets, 1, min(MAX_LINKS, 2**32 - first))
        check_links(self.family, num_markets)
        numbers = np.arange(first, first + num_markets, dtype=np.uint32)
        drawn = [
            self._draw_one(words, int(number))
            for words, number in zip(_stream_words(key, numbers), numbers, strict=True)
        ]
        return Drawn(drawn, numbers, self.family.num_agents)

    def _draw_one(self, words: np.ndarray, number: int) -> tuple:
        """Links, isolated agents, endowments and values of one market, before anybody is dropped."""
        n = self.family.num_agents
        links, isolated = self.isolated.links(self.family, _stream(words, NETWORK), number)
        numbers = []
        for field, stream in (("endowment", ENDOWMENT), ("value", VALUE)):
            drawn = np.asarray(getattr(self, field).draw(_stream(words, stream), n), np.float64)
            if drawn.shape != (n,):
                raise ValueError(
                    f"{field}: {short(getattr(self, field))} drew numbers of shape {drawn.shape} for {n} "
                    "agents; its draw must return one per agent."
                )
            numbers.append(drawn)
        return links, isolated, *numbers


def _stream_words(key: Array, numbers: UInt[np.ndarray, "markets"]) -> np.ndarray:
    """The folded key of every market as two 64-bit words, all at once."""
    data = np.asarray(jax.random.key_data(_fold_in(key, numbers)))
    padded = np.zeros((len(numbers), 4), np.uint32)
    padded[:, : data.shape[1]] = data
    return padded.view(np.uint64)


@jax.jit
def _fold_in(key, numbers):
    return jax.lax.map(lambda number: jax.random.fold_in(key, number), numbers)


def _stream(words: np.ndarray, stream: int) -> np.random.Generator:
    """A separate generator for a market's network, endowments or values.

    The streams of a market start 2¹⁹² blocks apart in the counter of one Philox key, so they do not overlap.
    """
    return np.random.Generator(np.random.Philox(key=words, counter=[0, 0, 0, stream]))


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


@dataclasses.dataclass(frozen=True)
class Drawn:
    """Random markets as drawn, one after another."""

    parts: list[tuple]
    """Of each market the links, the isolated agents to leave out, endowments and values."""
    numbers: UInt[np.ndarray, "markets"]
    num_agents: int
    """The number of agents of each, before any are left out."""

    def packed(self) -> Market:
        """One market of all of them, assembled in one go."""
        links, isolated, endowment, value = zip(*self.parts, strict=True)
        num_agents = self.num_agents
        offsets = np.arange(len(self.parts)) * num_agents
        joined = np.concatenate(links) + np.repeat(offsets, [len(part) for part in links])[:, None]
        dropped = np.concatenate(isolated) + np.repeat(offsets, [len(part) for part in isolated])
        endowment, value = np.concatenate(endowment), np.concatenate(value)
        market_of = np.repeat(np.arange(len(self.parts)), num_agents)
        _check_distinct(joined, num_agents)
        origin = Origin()
        if len(dropped):
            kept = np.ones(len(endowment), bool)
            kept[dropped] = False
            joined = (np.cumsum(kept) - 1)[joined]
            endowment, value, market_of = endowment[kept], value[kept], market_of[kept]
            origin = Origin(
                _labels(np.flatnonzero(kept), self.numbers, num_agents),
                dropped_isolated=_labels(dropped, self.numbers, num_agents),
            )
        fields = {"endowment": endowment, "value": value}
        return assemble(joined, fields, market_of, self.numbers, origin)


def _labels(agents: np.ndarray, numbers: np.ndarray, num_agents: int) -> list:
    """The number in its family of every agent, together with its market's if there are several."""
    market, agent = np.divmod(agents, num_agents)
    if len(numbers) == 1:
        return agent.tolist()
    return list(zip(numbers[market].tolist(), agent.tolist(), strict=True))


def _check_distinct(links: np.ndarray, num_agents: int) -> None:
    """Raise ValueError if a family drew a self-loop or a link twice."""
    low, high = links.min(axis=1), links.max(axis=1)
    loops = low[low == high]
    keys = np.sort(low * np.int64(high.max() + 1) + high)
    twice = keys[1:][keys[1:] == keys[:-1]] // (high.max() + 1)
    for wrong, what in ((loops, "a link of an agent with itself"), (twice, "the same link twice")):
        if len(wrong):
            raise ValueError(
                f"family: drew {what}, at agent {listed(np.unique(wrong) % num_agents)}; its links must be "
                "distinct pairs of different agents."
            )
