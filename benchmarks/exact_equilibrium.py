"""Claim: the exact equilibrium takes a small part of a convex solver's time, and below a second for 10,000.

Command: python -m benchmarks --only exact_equilibrium
Typical outcome: the table in docs/benchmarks.md, which that command writes.

`solve` by its default method, the decomposition by maximum flows, against Clarabel at a tight tolerance, on
the central program by way of CVXPY and on the quadratic program that suits it; then alone on seven kinds of
network. `benchmarks.equilibrium` races more methods.
"""

import functools
from collections.abc import Iterator

import numpy as np

import cmapjax as cj
from benchmarks._qp_rivals import ClarabelQP
from benchmarks._race import Job, Rival
from benchmarks._race import results as race_results
from benchmarks.equilibrium import FAMILIES, market_of

RANDOM = next(iter(FAMILIES))
GAP = 1e-9
EXACT_GAP = 1e-12  # what rounding may leave of a gap that is zero
CLARABEL_ACCURACY = 1e-11


def results(quick: bool) -> dict:
    claim = "The exact equilibrium takes a small part of a convex solver's time."
    return race_results(claim, jobs(quick))


def jobs(quick: bool) -> Iterator[Job]:
    """The races, one network at a time."""
    size = 200 if quick else 1_000
    programs = {
        "CVXPY and Clarabel": (cj.ConvexProgram(accuracy=CLARABEL_ACCURACY), 1 / 30, 1 / 200),
        "Clarabel on the quadratic program": (ClarabelQP(CLARABEL_ACCURACY, np.inf), 1 / 10, 1 / 50),
    }
    market = market_of(RANDOM, size)
    against = [
        Rival(name, functools.partial(solving, market, method), *targets)
        for name, (method, *targets) in programs.items()
    ]
    yield job(RANDOM, size, tuple(against))
    if quick:
        return
    for family in FAMILIES:
        yield job(family, 10_000, accept_seconds=1.0)
    yield job(RANDOM, 100_000, accept_seconds=15.0)


def job(family: str, size: int, rivals: tuple[Rival, ...] = (), accept_seconds: float | None = None) -> Job:
    """`solve` on one network."""
    market = market_of(family, size)
    return Job(
        family,
        f"{market.num_agents:,} agents, {2 * market.num_links:,} arcs",
        Rival("cmapjax", functools.partial(solving, market, cj.Decomposition())),
        rivals,
        (0, 1),
        lambda theirs, ours: float(np.max(np.abs(theirs.utility / ours.utility - 1))),
        1e-3,  # a gap of 1e-9 leaves utilities its square root, 3e-5, and the least of them more
        "utilities at the equilibrium, largest relative difference",
        dtype="float64",
        accept_seconds=accept_seconds,
        facts=lambda found: {
            "certified gap": float(found.gap.max()),
            "exact": "yes" if found.gap.max() <= EXACT_GAP else "NO",
        },
    )


def solving(market: cj.Market, method: cj.Method):
    """`solve`, timed as a whole."""

    def play(rounds):
        for _ in range(rounds):
            found = cj.solve(market, tolerance=GAP, method=method)
        return lambda: found

    return play
