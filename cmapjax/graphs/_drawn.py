"""Random markets drawn: from a key to numbers, and from numbers to one market."""

import dataclasses

import jax
import numpy as np
from jaxtyping import UInt

from cmapjax.arguments._checks import listed, short
from cmapjax.arguments._origin import Origin
from cmapjax.graphs._parameters import MAX_LINKS, as_count, check_links
from cmapjax.market._market import Market, assemble
from cmapjax.market._numbers import OF_ARCS
from cmapjax.market._random import check_key
from cmapjax.runtime._settings import entry
from cmapjax.runtime._types import Array

# The independent streams of random numbers of one market: its network, and its fields.
FIELDS = ("endowment", "value", "demand", "own_use", "priority", "capacity", "efficiency", "directed")
STREAM_OF = {name: stream for stream, name in enumerate(("network", *FIELDS))}


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
    """Links, isolated agents, and fields of one market, before anybody is dropped."""
    n = given.family.num_agents
    links, isolated = given.isolated.links(given.family, _stream(words, "network"), number)
    fields = {}
    for field in ("endowment", "value", "demand", "own_use"):
        if (distribution := getattr(given, field)) is not None:
            drawn = distribution.draw(_stream(words, field), n)
            fields[field] = _checked(field, distribution, drawn, (n,))
    if (rule := given.priority) is not None:
        contribution = fields["endowment"] * fields["value"]
        contribution[isolated] = np.nan
        drawn = rule.priorities(_stream(words, "priority"), contribution, fields.get("demand"))
        fields["priority"] = _checked("priority", rule, drawn, (n,))
    for field, otherwise in OF_ARCS.items():
        if (distribution := getattr(given, field)) is not None:
            drawn = np.asarray(distribution.draw(_stream(words, field), len(links)), np.float64)
            both = np.stack([drawn, drawn], axis=1) if drawn.ndim == 1 else drawn
            fields[field] = _checked(field, distribution, both, (len(links), 2))
        elif field == "capacity" and given.directed:
            fields[field] = np.full((len(links), 2), otherwise)
    if given.directed:
        is_back = np.zeros(len(links), bool)
        if not given.family.has_sides:
            is_back = _stream(words, "directed").random(len(links)) < 0.5
        closed = np.arange(len(links)), np.where(is_back, 0, 1)
        fields["capacity"][closed] = 0.0
        if "efficiency" in fields:
            fields["efficiency"][closed] = OF_ARCS["efficiency"]
    return links, isolated, fields


def _checked(field: str, by, drawn, shape: tuple[int, ...]) -> np.ndarray:
    """What was drawn, as float64; raises ValueError unless it is one number for each agent or link."""
    drawn = np.asarray(drawn, np.float64)
    if drawn.shape != shape:
        what = "agents" if len(shape) == 1 else "links"
        raise ValueError(
            f"{field}: {short(by)} drew numbers of shape {drawn.shape} for {shape[0]} {what}; its draw must "
            "return one for each."
        )
    return drawn


def _stream_words(key: Array, numbers: UInt[np.ndarray, "markets"]) -> np.ndarray:
    """The folded key of every market as two 64-bit words, all at once."""
    data = np.asarray(jax.random.key_data(_fold_in(key, numbers)))
    padded = np.zeros((len(numbers), 4), np.uint32)
    padded[:, : data.shape[1]] = data
    return padded.view(np.uint64)


@jax.jit
def _fold_in(key, numbers):
    return jax.lax.map(lambda number: jax.random.fold_in(key, number), numbers)


def _stream(words: np.ndarray, name: str) -> np.random.Generator:
    """A separate generator for a market's network or one of its fields.

    The streams of a market start 2¹⁹² blocks apart in the counter of one Philox key, so they do not overlap.
    """
    return np.random.Generator(np.random.Philox(key=words, counter=[0, 0, 0, STREAM_OF[name]]))


@dataclasses.dataclass(frozen=True)
class Drawn:
    """Random markets as drawn, one after another."""

    parts: list[tuple]
    """Of each market the links, the isolated agents to leave out, and the fields."""
    numbers: UInt[np.ndarray, "markets"]
    num_agents: int
    """The number of agents of each, before any are left out."""

    def packed(self) -> Market:
        """One market of all of them, assembled in one go."""
        links, isolated, fields = zip(*self.parts, strict=True)
        num_agents = self.num_agents
        offsets = np.arange(len(self.parts)) * num_agents
        joined = np.concatenate(links) + np.repeat(offsets, [len(part) for part in links])[:, None]
        dropped = np.concatenate(isolated) + np.repeat(offsets, [len(part) for part in isolated])
        numbers = {field: np.concatenate([part[field] for part in fields]) for field in fields[0]}
        arcs = {field: numbers.pop(field) for field in OF_ARCS if field in numbers}
        market_of = np.repeat(np.arange(len(self.parts)), num_agents)
        _check_distinct(joined, num_agents)
        origin = Origin()
        if len(dropped):
            kept = np.ones(len(market_of), bool)
            kept[dropped] = False
            joined, market_of = (np.cumsum(kept) - 1)[joined], market_of[kept]
            numbers = {field: x[kept] for field, x in numbers.items()}
            origin = Origin(
                _labels(np.flatnonzero(kept), self.numbers, num_agents),
                dropped_isolated=_labels(dropped, self.numbers, num_agents),
            )
        if arcs:  # in the order of rows: by giver, then receiver
            order = np.lexsort(np.concatenate([joined, joined[:, ::-1]]).T[::-1])
            numbers |= {field: both.T.ravel()[order] for field, both in arcs.items()}
        return assemble(joined, numbers, market_of, self.numbers, origin)


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
