"""Claim: a whole round of simultaneous CMAP takes what a vectorised C kernel takes.

Command: python -m benchmarks --only cmap_rounds
Typical outcome: the table in docs/benchmarks.md, which that command writes.

A round is everybody's exact water-filling, the flow and what all receive. Results are compared after one
round: a strategy that is not damped enough amplifies rounding, so later rounds of correct programs differ.
"""

from collections.abc import Iterator

import cmapjax as cj
from benchmarks import _cmap_rivals as rivals_of
from benchmarks._networks import Rows, erdos_renyi, rows_of
from benchmarks._race import Job, Rival, largest_difference
from benchmarks._race import results as race_results
from benchmarks.proportional_response import floor, rounds_for, simulated

COMPARED = "utilities after one round of CMAP, largest difference in parts of the mean"
TOLERANCE = 1e-4  # what is left of a neighbour's utility after the own gift is a difference: rounding grows
THETA = 0.2


def results(quick: bool) -> dict:
    return race_results("A whole round of CMAP takes what a vectorised C kernel takes.", jobs(quick))


def jobs(quick: bool) -> Iterator[Job]:
    """The races, one market at a time."""
    for num_agents in (10_000,) if quick else (100_000, 1_000_000):
        market = erdos_renyi(num_agents)
        rows = rows_of(market)
        size = f"random, {num_agents:,} agents, {rows.num_arcs:,} arcs"
        for theta in (THETA,) if quick else (1.0, THETA):
            yield job(market, size, rows, theta)


def job(market: cj.Market, size: str, rows: Rows, theta: float) -> Job:
    """CMAP on one market, damped by a number (1: not at all)."""
    strategy = cj.CMAP() if theta == 1 else cj.Damped(cj.CMAP(), theta)
    # Both copies of the flow read and written, and where each neighbour is, twice.
    streamed = 24 * rows.num_arcs + 16 * rows.num_agents
    return Job(
        "CMAP" if theta == 1 else f"CMAP damped by {theta:g}",
        size,
        Rival("cmapjax", lambda: simulated(market, strategy)),
        (
            Rival("Numba, both copies", lambda: rivals_of.numba_rounds(rows, theta)),
            Rival("C and OpenMP, 16 agents at a time", lambda: rivals_of.c_rounds(rows, theta)),
            Rival(
                "C and OpenMP, 16 agents at a time, levels of two numbers",
                lambda: rivals_of.c_rounds(rows, theta, two=True),
                1.5,
                1.2,
            ),
            floor(streamed),
        ),
        rounds_for(rows.num_arcs, few=1),
        largest_difference,
        TOLERANCE,
        COMPARED,
        amount=rows.num_arcs,
        streamed=streamed,
    )
