"""The markets raced on, and their links as rivals like them: compressed rows, and slices of 16 agents."""

import dataclasses
import functools

import jax
import numpy as np
import scipy.sparse

import cmapjax as cj

LANES = 16  # float32 numbers in an AVX-512 register


def erdos_renyi(num_agents: int, mean_degree: float = 10, seed: int = 0) -> cj.Market:
    """One random market; contributions are log-normal."""
    family = cj.graphs.ErdosRenyi(num_agents, mean_degree=mean_degree)
    return cj.graphs.RandomMarket(
        family, endowment=cj.graphs.LogNormal(sigma=1.0), isolated=cj.graphs.Drop()
    ).draw(jax.random.key(seed))


def power_law(num_agents: int, mean_degree: float = 10, seed: int = 0) -> cj.Market:
    """Chung and Lu's random graph with degrees of exponent 2.5: the largest grow like n^(2/3)."""
    rng = np.random.default_rng(seed)
    weight = (np.arange(num_agents) + 10.0) ** (-1 / 1.5)
    ends = rng.choice(num_agents, (num_agents * round(mean_degree) // 2, 2), p=weight / weight.sum())
    return cj.Market.from_links(
        ends,
        num_agents=num_agents,
        endowment=rng.lognormal(size=num_agents),
        drop_self_loops=True,
        drop_isolated=True,
    )


def ensemble(num_markets: int, num_agents: int = 50, mean_degree: float = 6, seed: int = 0) -> cj.Market:
    """Many small random markets side by side."""
    return cj.graphs.RandomMarket(
        cj.graphs.ErdosRenyi(num_agents, mean_degree=mean_degree),
        endowment=cj.graphs.LogNormal(sigma=1.0),
        isolated=cj.graphs.Redraw(),
    ).draw(jax.random.key(seed), num_markets)


@dataclasses.dataclass(frozen=True)
class Rows:
    """A market's links as compressed rows, in the caller's order of agents."""

    starts: np.ndarray
    """int32; agent i's neighbours are `neighbours[starts[i]:starts[i + 1]]`."""
    neighbours: np.ndarray
    """int32."""
    weight: np.ndarray
    """float32: contributions."""
    market_starts: np.ndarray
    """int32; market m holds the agents from `market_starts[m]` up to the next."""

    @property
    def num_agents(self) -> int:
        return len(self.weight)

    @property
    def num_arcs(self) -> int:
        return len(self.neighbours)

    @functools.cached_property
    def givers(self) -> np.ndarray:
        return np.repeat(np.arange(self.num_agents, dtype=np.int32), np.diff(self.starts))

    @functools.cached_property
    def reverse(self) -> np.ndarray:
        """The number of the arc seen from its other end."""
        numbered = scipy.sparse.csr_array(
            (np.arange(self.num_arcs, dtype=np.int32), self.neighbours, self.starts),
            shape=(self.num_agents,) * 2,
        )
        return numbered.tocsc().data

    @functools.cached_property
    def equal_share(self) -> np.ndarray:
        """b_i / deg(i): what everybody sends along every link at the start."""
        return (self.weight / np.diff(self.starts)).astype(np.float32)

    @functools.cached_property
    def equal_flow(self) -> np.ndarray:
        return self.equal_share[self.givers]

    @functools.cached_property
    def equal_utility(self) -> np.ndarray:
        return received(self, self.equal_flow)

    def matrix(self, values) -> scipy.sparse.csr_array:
        return scipy.sparse.csr_array((values, self.neighbours, self.starts), shape=(self.num_agents,) * 2)


def rows_of(market: cj.Market) -> Rows:
    starts, neighbours = market.neighbour_rows()
    weight = np.asarray(market.contribution, np.float32)
    market_starts = np.searchsorted(market.market_of, np.arange(market.num_markets + 1)).astype(np.int32)
    return Rows(starts.astype(np.int32), neighbours.astype(np.int32), weight, market_starts)


def received(rows: Rows, flow: np.ndarray) -> np.ndarray:
    """u_j, summed in float64, as float32."""
    return np.bincount(rows.neighbours, flow, minlength=rows.num_agents).astype(np.float32)


@dataclasses.dataclass(frozen=True)
class Slices:
    """Agents of like degree 16 by 16, so that one instruction treats the k-th link of 16 agents.

    Agents are renumbered by where they are stored; numbers from `num_agents` on are nobody's. Slice t
    holds `width = first[t + 1] - first[t]` columns of 16 link ends, at `neighbours[16 * first[t]:]`.
    """

    place: np.ndarray
    """Where each agent is stored."""
    first: np.ndarray
    """int32, per slice and one more."""
    neighbours: np.ndarray
    """int32: where the neighbour is stored; `nobody` on padding."""
    chunks: np.ndarray
    """int32: the slices of chunk c start at `chunks[c]`; no link leaves a chunk."""
    nobody: int

    @property
    def num_stored(self) -> int:
        return LANES * (len(self.first) - 1) + 1  # nobody is the last

    def store(self, values: np.ndarray) -> np.ndarray:
        """A number per agent, zero for nobody."""
        out = np.zeros(self.num_stored, np.float32)
        out[self.place] = values
        return out

    def spread(self, values: np.ndarray) -> np.ndarray:
        """A number per stored agent on each of its links, zero on padding."""
        out = np.empty(len(self.neighbours), np.float32)
        for t, (low, high) in enumerate(zip(self.first[:-1], self.first[1:], strict=True)):
            lanes = values[LANES * t : LANES * (t + 1)]
            out[LANES * low : LANES * high] = np.tile(lanes, high - low)
        return np.where(self.neighbours == self.nobody, 0, out).astype(np.float32)


def sliced(rows: Rows, markets_per_chunk: int | None = None) -> Slices:
    """Slices of the whole market, or of so many markets of an ensemble at a time."""
    degree = np.diff(rows.starts)
    if markets_per_chunk is None:
        chunk_of = np.zeros(rows.num_agents, np.int64)
    else:
        market_of = np.repeat(np.arange(len(rows.market_starts) - 1), np.diff(rows.market_starts))
        chunk_of = market_of // markets_per_chunk
    order = np.lexsort((degree, chunk_of))
    agents = np.bincount(chunk_of)
    slices = -(-agents // LANES)
    chunks = np.concatenate([[0], np.cumsum(slices)])
    position = np.arange(rows.num_agents) - np.repeat(np.cumsum(agents) - agents, agents)
    place = np.empty(rows.num_agents, np.int64)
    place[order] = LANES * np.repeat(chunks[:-1], agents) + position
    num_slices = int(chunks[-1])
    width = np.zeros(num_slices, np.int64)
    np.maximum.at(width, place // LANES, degree)
    first = np.concatenate([[0], np.cumsum(width)])
    nobody = LANES * num_slices
    neighbours = np.full(LANES * int(first[-1]), nobody, np.int32)
    giver = place[rows.givers]
    column = np.arange(rows.num_arcs) - np.repeat(rows.starts[:-1], degree)
    neighbours[LANES * (first[giver // LANES] + column) + giver % LANES] = place[rows.neighbours]
    return Slices(place, first.astype(np.int32), neighbours, chunks.astype(np.int32), nobody)
