"""Claim: a thousand small markets, played as one, take what C kernels written for them take.

Command: python -m benchmarks --only ensembles
Typical outcome: the table in docs/benchmarks.md, which that command writes.

1,000 random markets of 50 agents and mean degree 6, side by side; and one network of 1,000 agents under 1,000
vectors of contributions. Rates are market-rounds per second. Results are compared after few rounds: the
scaling form of the rivals is written without a guard, and in some markets leaves the range of float32 later.
"""

import functools
from collections.abc import Callable, Iterator

import numpy as np

import cmapjax as cj
from benchmarks import _cmap_rivals as cmap
from benchmarks import _pr_rivals as pr
from benchmarks._networks import Rows, ensemble, erdos_renyi, rows_of
from benchmarks._race import Job, Rival, largest_difference
from benchmarks._race import results as race_results
from benchmarks.proportional_response import floor, simulated

THETA = 0.2
CHUNK = 25  # markets that a core plays together: with their flow they fit its cache
DENSE_MARKETS = 50  # of the NumPy loop over markets
PROTOTYPE_MARKETS = 4  # of the NumPy loop over agents


def results(quick: bool) -> dict:
    claim = "An ensemble of small markets is played as fast as by C kernels written for it."
    return race_results(claim, jobs(quick))


def jobs(quick: bool) -> Iterator[Job]:
    """The races, one ensemble at a time."""
    num_markets = 200 if quick else 1000
    market = ensemble(num_markets)
    rows = rows_of(market)
    yield proportional_response(market, rows)
    yield damped_cmap(market, rows)
    if not quick:
        yield same_network(1000, 1000)


def proportional_response(market: cj.Market, rows: Rows) -> Job:
    """50 rounds of proportional response."""
    streamed = 4 * rows.num_arcs + 12 * rows.num_agents
    part = DENSE_MARKETS / market.num_markets
    return Job(
        "proportional response",
        _size(market, rows),
        Rival("cmapjax", lambda: simulated(market, cj.ProportionalResponse())),
        (
            Rival("C and OpenMP, packed", _with(pr.c_pattern, rows), 1 / 0.8, 1 / 1.6),
            Rival("C and OpenMP, market after market", _with(pr.c_markets, rows)),
            Rival("C and OpenMP, 16 agents at a time", _with(pr.c_sliced, rows, CHUNK)),
            Rival("SciPy, block-diagonal csr @ p (one core)", _with(pr.scipy_scaling, rows), 1 / 2, 1 / 4),
            Rival("Numba, flow per arc", _with(pr.numba_edges, rows, rows.equal_flow), 1 / 2, 1 / 4),
            Rival("Numba, market after market", _with(pr.numba_markets, rows), 1 / 2, 1 / 4),
            Rival(
                "NumPy, market after market",
                _with(pr.numpy_dense, rows, DENSE_MARKETS),
                1 / 10,
                1 / 25,
                part=part,
            ),
            floor(streamed),
        ),
        (5, 55),
        largest_difference,
        2e-5,
        "utilities after 5 rounds of proportional response, largest difference in parts of the mean",
        amount=market.num_markets,
        noun="market-rounds",
        streamed=streamed,
    )


def damped_cmap(market: cj.Market, rows: Rows) -> Job:
    """CMAP, all at once, damped enough to converge."""
    streamed = 24 * rows.num_arcs + 16 * rows.num_agents
    part = PROTOTYPE_MARKETS / market.num_markets
    prototype = _with(cmap.numpy_agents, rows, THETA, PROTOTYPE_MARKETS)
    return Job(
        f"CMAP damped by {THETA:g}",
        _size(market, rows),
        Rival("cmapjax", lambda: simulated(market, cj.Damped(cj.CMAP(), THETA))),
        (
            Rival("C and OpenMP, packed", _with(cmap.c_rounds, rows, THETA), 1 / 1.2, 1 / 1.7),
            Rival("C and OpenMP, chunks of markets", _with(cmap.c_rounds, rows, THETA, CHUNK)),
            Rival(
                "C and OpenMP, packed, levels of two numbers",
                _with(cmap.c_rounds, rows, THETA, None, True),
                1.5,
                1.2,
            ),
            Rival("Numba, market after market", _with(cmap.numba_markets, rows, THETA), 1 / 2.5, 1 / 3.5),
            Rival("NumPy, agent after agent", prototype, 1 / 100, 1 / 400, part=part, rounds=(0, 2)),
            floor(streamed),
        ),
        (2, 42),
        largest_difference,
        1e-4,
        "utilities after 2 rounds of damped CMAP, largest difference in parts of the mean",
        amount=market.num_markets,
        noun="market-rounds",
        streamed=streamed,
    )


def same_network(num_agents: int, num_vectors: int) -> Job:
    """One network, many contributions."""
    market = erdos_renyi(num_agents, mean_degree=6)
    vectors = np.random.default_rng(2).lognormal(size=(num_vectors, market.num_agents))
    packed = cj.pack([market.with_contributions(endowment=e) for e in vectors])
    rows = rows_of(packed)

    copies = cj.copies(market, endowment=vectors)

    def ours(ensemble):
        return lambda: simulated(ensemble, cj.ProportionalResponse())

    rivals = (
        Rival("cmapjax, packed as if of different networks", ours(packed), 1 / 3, 1 / 5),
        Rival("C and OpenMP, packed", _with(pr.c_pattern, rows)),
        Rival("SciPy, csr @ matrix (one core)", _with(_scipy_matrix, rows_of(market), vectors)),
    )
    return Job(
        "one network under many contributions",
        f"{num_vectors:,} × {market.num_agents:,} agents, {rows.num_arcs:,} arcs",
        Rival("cmapjax", ours(copies)),
        rivals,
        (5, 25),
        largest_difference,
        1e-4,  # over a thousand markets the least utilities round worst
        "utilities after 5 rounds of proportional response, largest difference in parts of the mean",
        amount=num_vectors,
        noun="market-rounds",
    )


def _scipy_matrix(rows: Rows, vectors: np.ndarray):
    """The scaling of all vectors at once, a column each."""
    pattern = rows.matrix(np.ones(rows.num_arcs, np.float32))
    b = np.ascontiguousarray(vectors.T.astype(np.float32))
    share = b / np.diff(rows.starts).astype(np.float32)[:, None]

    def play(rounds):
        before, p = np.ones_like(b), share
        with np.errstate(all="ignore"):
            for _ in range(rounds):
                before, p = p, b / (pattern @ p)
        return lambda: (before * (pattern @ p)).T.ravel()

    return play


def _size(market: cj.Market, rows: Rows) -> str:
    return f"{market.num_markets:,} markets, {rows.num_agents:,} agents, {rows.num_arcs:,} arcs"


def _with(function: Callable, *arguments) -> Callable:
    return functools.partial(function, *arguments)
