"""Looking for the smallest markets that fail: all of them up to some size, and larger ones shrunk."""

import itertools
from typing import NamedTuple

import networkx as nx
import numpy as np
from jax.tree_util import Partial
from networkx.generators.atlas import graph_atlas_g

from cmapjax import metrics
from cmapjax.engine._simulate import simulate
from cmapjax.market._market import Market
from cmapjax.market._packing import copies, pack
from cmapjax.reproduce._smallest_play import SAME, Tiny, as_floats, equal_split, exponents, fate, play
from cmapjax.strategies import CMAP, Damped

SPAN = 250  # rounds between two looks, and the longest period that a look sees
LOOKS = 4
MORE_LOOKS = 20  # at those that were not clear by then, if they are many
PATIENCE = 4000  # rounds for those of which it is not clear by then,
LONG = 20000  # and for those that look chaotic even then
AT_A_TIME = 400
EARLY = 150
CHAOTIC = 0.02  # exponents per round from there on count as positive


class Kind(NamedTuple):
    """All markets on one network with contributions up to a bound."""

    links: tuple[tuple[int, int], ...]
    weights: np.ndarray
    """One row per market, distinct up to scale and the network's symmetries."""


def kinds(bounds: dict[int, int]) -> list[Kind]:
    """All connected networks by number of agents, with whole contributions from 1 to that size's bound."""
    found = []
    for graph in graph_atlas_g():
        n = len(graph)
        if n in bounds and n > 1 and nx.is_connected(graph):
            links = tuple(sorted(tuple(sorted(link)) for link in graph.edges))
            adjacency = nx.to_numpy_array(graph, nodelist=range(n), dtype=int)
            found.append(Kind(links, distinct_weights(adjacency, bounds[n])))
    return found


def distinct_weights(adjacency: np.ndarray, most: int) -> np.ndarray:
    """Contributions 1 … most, without those that are multiples or mirror images of others."""
    n = len(adjacency)
    orders = np.array(list(itertools.permutations(range(n))))
    same = (adjacency[orders[:, :, None], orders[:, None, :]] == adjacency).all(axis=(1, 2))
    weights = np.array(list(itertools.product(range(1, most + 1), repeat=n)))
    weights = weights[np.gcd.reduce(weights, axis=1) == 1]
    place = (most + 1) ** np.arange(n)[::-1]
    own = weights @ place
    least = own.copy()
    for order in orders[same]:
        np.minimum(least, weights[:, order] @ place, out=least)
    return weights[own == least]


class Census(NamedTuple):
    """What became of every market of a list of kinds."""

    markets: list[Tiny]
    agents: np.ndarray
    period: np.ndarray
    """0 if none was found."""
    had_nothing: np.ndarray
    """Whether an agent had exactly nothing in some round."""
    has_nothing: np.ndarray
    """Whether that goes on for ever: still so among the last rounds."""
    exponent: np.ndarray
    """Of those without period the largest Lyapunov exponent, else NaN."""
    doubtful: int
    """How many were played on in NumPy, because the first rounds did not settle it."""

    def smallest(self, chosen: np.ndarray) -> Tiny | None:
        """The least of some markets, by agents, links and contributions."""
        some = [self.markets[k] for k in np.flatnonzero(chosen)]
        return min(some, key=lambda m: m.size, default=None)


class Packed(NamedTuple):
    """All markets side by side."""

    market: Market
    markets: list[Tiny]


def packed(all_kinds: list[Kind]) -> Packed:
    """Every market of every kind in one ensemble, packed network by network."""
    parts = [
        copies(Market.from_links(np.array(kind.links)), endowment=kind.weights.astype(float))
        for kind in all_kinds
    ]
    markets = [Tiny(kind.links, tuple(row)) for kind in all_kinds for row in kind.weights.tolist()]
    return Packed(pack(parts), markets)


def census(everything: Packed, theta: float) -> Census:
    """All markets played from the equal split until they repeat, or have been watched for long."""
    market, markets = everything
    period, had_nothing, has_nothing = _watched(market, theta, LOOKS)
    exponent = np.full(len(markets), np.nan)
    doubtful = np.flatnonzero(period == 0)
    number = len(doubtful)
    if number > AT_A_TIME:  # worth a program of their own
        alone = pack([_market(markets[k]) for k in doubtful])
        seen = _watched(alone, theta, MORE_LOOKS)
        period[doubtful], has_nothing[doubtful] = seen[0], seen[2]
        had_nothing[doubtful] |= seen[1]
        doubtful = np.flatnonzero(period == 0)
    for some in np.array_split(doubtful, max(1, -(-len(doubtful) // AT_A_TIME))):
        if len(some):
            seen = fate([markets[k] for k in some], theta, PATIENCE)
            period[some], exponent[some] = seen.period, seen.exponent
            had_nothing[some] |= seen.had_nothing
    looks_so = np.flatnonzero(np.nan_to_num(exponent, nan=-1.0) > CHAOTIC)
    for some in np.array_split(looks_so, max(1, -(-len(looks_so) // AT_A_TIME))):
        if len(some):
            seen = fate([markets[k] for k in some], theta, LONG)
            period[some], exponent[some] = seen.period, seen.exponent
    agents = np.array([len(m.weight) for m in markets])
    return Census(markets, agents, period, had_nothing, has_nothing, exponent, number)


def _watched(market: Market, theta: float, looks: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Periods in the last of so many looks; whether somebody had nothing in any, and in the last."""
    flow = np.asarray(market.equal_flow())
    start, nothing = flow, []
    for _ in range(looks):
        record = {"nothing": Partial(_nothing), "apart": Partial(_apart, reference=flow)}
        run = simulate(market, Damped(CMAP(), theta), rounds=SPAN, record=record, start=start)
        nothing.append(run.records["nothing"].any(axis=0))
        start, flow = run.final, np.asarray(run.final.flow)
    same = run.records["apart"][1:] < SAME
    period = np.where(same.any(axis=0), same.argmax(axis=0) + 1, 0)
    return period, np.any(nothing, axis=0), nothing[-1].copy()


def _market(tiny: Tiny) -> Market:
    return Market.from_links(np.array(tiny.links), endowment=np.array(tiny.weight, float))


def _nothing(market, state):
    return market.smallest(state.utility) == 0


def _apart(market, state, reference):
    return metrics.flow_distance(market, state.flow, reference)


# -- larger ones, shrunk ---------------------------------------------------------------------------


class Find(NamedTuple):
    """A market without period, and what it was shrunk to."""

    found: Tiny
    shrunk: Tiny
    steps: int


def random_markets(rng: np.random.Generator, agents: int, number: int, most: int) -> list[Tiny]:
    """Connected networks of any density with contributions from 1 to a bound, in no order."""
    markets = []
    while len(markets) < number:
        chance = rng.uniform(2 / agents, 0.9)
        pairs = [p for p in itertools.combinations(range(agents), 2) if rng.random() < chance]
        graph = nx.Graph(pairs)
        if len(graph) == agents and nx.is_connected(graph):
            markets.append(Tiny(tuple(pairs), tuple(rng.integers(1, most + 1, agents).tolist())))
    return markets


def is_chaotic(markets: list[Tiny], theta: float, rounds: int) -> np.ndarray:
    """Whether they have no period and a positive exponent, early and after so many rounds.

    Early, so that an exact run, whose fractions soon grow long, can show it; late, because many markets
    wander for some hundred rounds and settle then.
    """
    weight, links = as_floats(markets)
    flow = equal_split(weight, links)
    for _ in range(EARLY):
        flow = play(flow, weight, links, theta)
    chaotic = exponents(flow, weight, links, theta, EARLY) > CHAOTIC
    if chaotic.any():
        seen = fate([m for m, is_so in zip(markets, chaotic, strict=True) if is_so], theta, rounds)
        chaotic[chaotic] = (seen.period == 0) & (np.nan_to_num(seen.exponent, nan=-1.0) > CHAOTIC)
    return chaotic


def smaller(market: Tiny) -> list[Tiny]:
    """All connected markets with an agent or a link less, or one contribution less by one; least first."""
    graph, found = nx.Graph(market.links), []
    for agent in list(graph):
        rest = graph.subgraph(set(graph) - {agent})
        if len(rest) > 1 and nx.is_connected(rest):
            number = {old: new for new, old in enumerate(sorted(rest))}
            links = sorted(tuple(sorted((number[a], number[b]))) for a, b in rest.edges)
            found.append(Tiny(tuple(links), tuple(market.weight[old] for old in sorted(rest))))
    for link in market.links:
        rest = tuple(other for other in market.links if other != link)
        if len(nx.Graph(rest)) == len(graph) and nx.is_connected(nx.Graph(rest)):
            found.append(Tiny(rest, market.weight))
    for agent, weight in enumerate(market.weight):
        if weight > 1:
            less = (*market.weight[:agent], weight - 1, *market.weight[agent + 1 :])
            found.append(Tiny(market.links, less))
    return sorted(found, key=lambda m: m.size)


def shrink(market: Tiny, theta: float, rounds: int) -> Find:
    """Made smaller step by step as long as it stays chaotic: the end is least in its neighbourhood."""
    now, steps = market, 0
    while candidates := smaller(now):
        chaotic = is_chaotic(candidates, theta, rounds)
        if not chaotic.any():
            break
        now, steps = candidates[int(chaotic.argmax())], steps + 1
    return Find(market, now, steps)
