"""Random markets drawn: from a key to numbers, and from numbers to one market."""

import dataclasses

import jax
import numpy as np
from jaxtyping import UInt

from cmapjax.arguments._checks import listed, short
from cmapjax.arguments._origin import Origin
from cmapjax.graphs._parameters import MAX_LINKS, as_count, check_links
from cmapjax.market._market import Market, assemble
from cmapjax.market._random import check_key
from cmapjax.runtime._settings import entry
from cmapjax.runtime._types import Array

# The independent streams of random numbers of one market.
NETWORK, ENDOWMENT, VALUE = range(3)


@entry(remedy="draw the markets before")
def draw_parts(given, key: Array, num_markets: int, first: int) -> "Drawn":
    """`RandomMarket.draw_parts`, of a `RandomMarket`."""
    check_key(key, "a random market")
    if key.shape != ():
        raise ValueError(f"key has shape {key.shape}; pass one key, the markets take theirs from it.")
    first = as_count("first", first, 0, 2**32 - 1)
    num_markets = as_count("num_markets", num_markets, 1, min(MAX_LINKS, 2**32 - first))
    check_links(given.family, num_markets)
    numbers = np.arange(first, first + num_markets, dtype=np.uint32)
    drawn = [
        _draw_one(given, words, int(number))
        for words, number in zip(_stream_words(key, numbers), numbers, strict=True)
    ]
    return Drawn(drawn, numbers, given.family.num_agents)


def _draw_one(given, words: np.ndarray, number: int) -> tuple:
    """Links, isolated agents, endowments and values of one market, before anybody is dropped."""
    n = given.family.num_agents
    links, isolated = given.isolated.links(given.family, _stream(words, NETWORK), number)
    numbers = []
    for field, stream in (("endowment", ENDOWMENT), ("value", VALUE)):
        drawn = np.asarray(getattr(given, field).draw(_stream(words, stream), n), np.float64)
        if drawn.shape != (n,):
            raise ValueError(
                f"{field}: {short(getattr(given, field))} drew numbers of shape {drawn.shape} for {n} "
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
