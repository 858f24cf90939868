"""Claim: bid response finds the prices of a linear Fisher market sooner than solvers of convex programs.

Command: python -m benchmarks --only fisher
Typical outcome: the table in docs/benchmarks.md, which that command writes.

Two markets of the sizes of the literature, valuations and budgets uniform between 0 and 1, supplies 1. Bid
response needs so many rounds to a certified gap of 6e-5 of the budgets, found beforehand; races are over a
round, and the aim is 3 s for all of them. A table has solvers of the Eisenberg-Gale program, timed as a whole
from the data on, each at a tolerance of its own, with the certified gap of what they return.
"""

import functools
import time
from collections.abc import Callable, Iterator

import numpy as np
import scipy.sparse

import cmapjax as cj
from benchmarks import _fisher_rivals as rivals
from benchmarks._fisher_rivals import Trade
from benchmarks._race import Job, MissingRival, Rival, duration, largest_difference
from benchmarks._race import results as race_results

GAP = 6e-5
ALL_ROUNDS = 3.0  # seconds aimed at
# name: buyers, goods, density of valuations, and the rounds that bid response needs to the gap.
MARKETS = {
    "10,000 × 400, density 0.2": (10_000, 400, 0.2, 1_050),
    "800 × 1,600": (800, 1_600, 1.0, 2_950),
}
QUICK = {"500 × 40, density 0.2": (500, 40, 0.2, 450), "80 × 160": (80, 160, 1.0, 1_400)}


def results(quick: bool) -> dict:
    claim = "Bid response finds the prices of a linear Fisher market sooner than solvers of convex programs."
    markets = QUICK if quick else MARKETS
    found = race_results(claim, (job(name, *size) for name, size in markets.items()))
    rows = [row for name, size in markets.items() for row in solvers(name, *size)]
    head = ["who", "market", "time", "certified gap", "in parts of 6e-5"]
    return found | {"tables": [{"head": head, "rows": rows}]}


def trade_of(num_buyers: int, num_goods: int, density: float = 1.0) -> Trade:
    """A random market, the same in every run."""
    rng = np.random.default_rng(0)
    is_wanted = rng.random((num_buyers, num_goods)) < density
    worth = scipy.sparse.csr_array(np.where(is_wanted, rng.uniform(0, 1, is_wanted.shape), 0))
    return Trade(worth.indptr, worth.indices, worth.data, rng.uniform(0, 1, num_buyers), num_goods)


def market_of(trade: Trade) -> cj.Market:
    return cj.graphs.fisher(trade.matrix(trade.worth), trade.budget)


def job(name: str, num_buyers: int, num_goods: int, density: float, rounds: int) -> Job:
    """Rounds of bid response on one market."""
    trade = trade_of(num_buyers, num_goods, density)
    own = rivals.numpy_table if density == 1 else rivals.numpy_links
    others = {
        "NumPy": own,
        "SciPy, scaling of powers (one core)": rivals.scipy_scaling,
        "Numba (one core)": rivals.numba_links,
    }
    return Job(
        "a round of bid response",
        f"{name}, {len(trade.good):,} links",
        Rival("cmapjax", functools.partial(simulating, trade), repeats=2),
        tuple(Rival(who, functools.partial(playing, trade, ready)) for who, ready in others.items()),
        (2, 22),
        largest_difference,
        1e-9,
        "utilities after 2 rounds, largest difference in parts of the mean",
        dtype="float64",
        amount=len(trade.good),
        noun="links",
        accept_seconds=ALL_ROUNDS / rounds,
    )


def simulating(trade: Trade):
    """`simulate`, from equal bids."""
    market = market_of(trade)
    giver, receiver = market.arcs()
    good = np.concatenate([trade.good, trade.buyer + trade.num_goods])
    buyer = np.concatenate([trade.buyer + trade.num_goods, trade.good])
    price = np.bincount(trade.good, trade.equal_bids(), trade.num_goods)
    share = np.append(trade.equal_bids() / price[trade.good], np.zeros(len(trade.good)))
    order = np.lexsort((buyer, good))
    assert np.array_equal(good[order], giver)
    assert np.array_equal(buyer[order], receiver)
    start = market.flow_from_arcs(share[order])

    def play(rounds):
        run = cj.simulate(
            market, cj.BidResponse(), rounds=rounds, start=start, record={}, every=[rounds], progress=False
        )
        return lambda: run.final.utility[trade.num_goods :]

    return play


def playing(trade: Trade, ready: Callable):
    """A rival, whose result is what its shares are worth to buyers."""
    play = ready(trade)
    # Bids of a round are what is paid in the next one.
    return lambda rounds: utilities_of(trade, play(rounds))


def utilities_of(trade: Trade, shares: Callable) -> Callable:
    return lambda: np.bincount(trade.buyer, trade.worth * shares(), len(trade.budget))


def solvers(name: str, num_buyers: int, num_goods: int, density: float, rounds: int) -> Iterator[list[str]]:
    """Who solves the whole program, in what time, and how well: rows of the table."""
    trade = trade_of(num_buyers, num_goods, density)
    market = market_of(trade)
    players = {
        f"SciPy, {rounds:,} rounds": (rivals.scipy_scaling, rounds),
        "CVXPY and Clarabel, at most 180 s": (
            functools.partial(rivals.cvxpy_clarabel, accuracy=1e-5, max_seconds=180),
            1,
        ),
        "PDHCG, at most 60 s": (functools.partial(rivals.pdhcg, accuracy=1e-4, max_seconds=60), 1),
        "MPAX": (rivals.mpax, 1),
    }
    for who, (ready, count) in players.items():
        try:
            play = ready(trade)
            began = time.perf_counter()
            shares = play(count)()
            seconds = time.perf_counter() - began
        except (ImportError, MissingRival) as missing:
            yield [who, name, "–", str(missing), ""]
            continue
        gap = certified_gap(market, trade, shares)
        yield [who, name, duration(seconds), f"{gap:.2g}", f"{gap / GAP:.2g}"]


def certified_gap(market: cj.Market, trade: Trade, shares) -> float:
    """Of shares of goods, cut to be feasible; infinite if there are none."""
    if shares is None or not np.all(np.isfinite(shares)):
        return np.inf
    order = np.lexsort((trade.buyer, trade.good))
    is_forth = market.arcs()[0] < trade.num_goods
    flow = np.zeros(len(is_forth))
    flow[is_forth] = np.maximum(np.asarray(shares, float), 0)[order]
    return float(cj.certified_gap_of_flow(market, market.flow_from_arcs(flow))[0])
