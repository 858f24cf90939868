"""Claim: a round of proportional response takes what a C kernel takes, a small part of what NumPy takes.

Command: python -m benchmarks --only proportional_response
Typical outcome: the table in docs/benchmarks.md, which that command writes.

From an equal split proportional response is a scaling of the 0/1 pattern of links; from any other start of
the start's values; damped it needs the flow itself. Each form has its own rivals. Results are compared after
few rounds, where all forms agree to rounding.
"""

import functools
from collections.abc import Callable, Iterator

import numpy as np

import cmapjax as cj
from benchmarks import _pr_rivals as rivals_of
from benchmarks._compiled import kernel
from benchmarks._networks import Rows, erdos_renyi, power_law, rows_of
from benchmarks._race import Job, Rival, largest_difference
from benchmarks._race import results as race_results

COMPARED = "utilities after the first few rounds, largest difference in parts of the mean"
TOLERANCE = 2e-5  # some hundred roundings of float32
THETA = 0.5
SLOW_ROUNDS = (0, 2)  # of rivals whose calls cost nothing besides their rounds


def results(quick: bool) -> dict:
    claim = "A round of proportional response on a large sparse market takes what a C kernel takes."
    return race_results(claim, jobs(quick))


def jobs(quick: bool) -> Iterator[Job]:
    """The races, one market at a time."""
    for num_agents in (10_000,) if quick else (100_000, 1_000_000):
        market = erdos_renyi(num_agents)
        size, rows = f"random, {num_agents:,} agents", rows_of(market)
        yield job("from an equal split", market, size, rows, _pattern_rivals(rows, c_accept=1.7))
        start = uneven(rows)
        yield job("from another start", market, size, rows, _values_rivals(rows, start), start=start)
        yield job("damped", market, size, rows, _damped_rivals(rows), theta=THETA)
    if quick:
        return
    market = power_law(100_000)
    size = f"power law, largest degree {market.degree.max():,}, {market.num_agents:,} agents"
    rows = rows_of(market)
    yield job("from an equal split", market, size, rows, _pattern_rivals(rows, c_accept=3.0))


def job(
    name: str,
    market: cj.Market,
    size: str,
    rows: Rows,
    rivals: tuple[Rival, ...],
    *,
    start: np.ndarray | None = None,
    theta: float = 1.0,
) -> Job:
    """Proportional response on one market."""
    strategy = cj.ProportionalResponse() if theta == 1 else cj.Damped(cj.ProportionalResponse(), theta)
    per_arc = 20 if theta != 1 else 4 if start is None else 8
    streamed = per_arc * rows.num_arcs + 12 * rows.num_agents
    return Job(
        name,
        f"{size}, {rows.num_arcs:,} arcs",
        Rival("cmapjax", lambda: simulated(market, strategy, start)),
        (*rivals, floor(streamed)),
        rounds_for(rows.num_arcs),
        largest_difference,
        TOLERANCE,
        COMPARED,
        amount=rows.num_arcs,
        streamed=streamed,
        copy_share=0.12 if theta != 1 else 0.04 if start is None else 0.056,
    )


def rounds_for(num_arcs: int, few: int = 2) -> tuple[int, int]:
    """Rounds enough to stand out from what a call costs; float32 scalings hold for some sixty."""
    return few, few + min(max(100_000_000 // num_arcs, 10), 40)


def simulated(market: cj.Market, strategy: cj.Strategy, start: np.ndarray | None = None):
    """Our side of a race of rounds: whole calls of `simulate` that record nothing."""
    flow = None if start is None else market.flow_from_arcs(start)
    options = {"record": {}, "precision": "float32", "start": flow}

    def play(rounds):
        run = cj.simulate(market, strategy, rounds=rounds, **options)
        return lambda: run.final.utility

    return play


def floor(streamed: int) -> Rival:
    """A copy of as many bytes as a round must read and write, by all cores where there is a compiler."""

    def ready():
        run = kernel("copy_all")
        source = np.ones(max(streamed // 2, 1), np.uint8)
        target = np.zeros_like(source)

        def play(rounds):
            for _ in range(rounds):
                run(np.int64(len(source)), source, target)

        return play

    return Rival("copying the bytes of a round (all cores)", ready, rounds=(0, 10), is_checked=False)


def uneven(rows: Rows) -> np.ndarray:
    """Some start that is no equal split, rows summing to the contributions."""
    values = np.random.default_rng(1).uniform(0.5, 1.5, rows.num_arcs)
    return (values * (rows.weight / np.add.reduceat(values, rows.starts[:-1]))[rows.givers]).astype(
        np.float32
    )


def _numpy(rows: Rows, start, accept=None, ambitious=None, theta: float = 1.0) -> Rival:
    ready = _with(rivals_of.numpy_edges, rows, start, theta)
    return Rival("NumPy, bincount", ready, accept, ambitious, rounds=SLOW_ROUNDS)


def _with(function: Callable, *arguments) -> Callable:
    return functools.partial(function, *arguments)


def _pattern_rivals(rows: Rows, c_accept: float) -> tuple[Rival, ...]:
    start = rows.equal_flow
    return (
        _numpy(rows, start, 1 / 12, 1 / 20),
        Rival("SciPy, csr @ p (one core)", _with(rivals_of.scipy_scaling, rows)),
        Rival(
            "SciPy, diags @ Y.T.tocsr()",
            _with(rivals_of.scipy_diagonal, rows),
            1 / 12,
            1 / 25,
            rounds=SLOW_ROUNDS,
        ),
        Rival("Numba, flow per arc", _with(rivals_of.numba_edges, rows, start)),
        Rival("Numba, scaling", _with(rivals_of.numba_pattern, rows)),
        Rival("C and OpenMP, scaling", _with(rivals_of.c_pattern, rows), c_accept, 1.1),
        Rival("C and OpenMP, scaling, 16 agents at a time", _with(rivals_of.c_sliced, rows)),
    )


def _values_rivals(rows: Rows, start: np.ndarray) -> tuple[Rival, ...]:
    return (
        _numpy(rows, start, 1 / 12, 1 / 20),
        Rival("Numba, flow per arc", _with(rivals_of.numba_edges, rows, start)),
        Rival("C and OpenMP, scaling with values", _with(rivals_of.c_values, rows, start), 1.8, 1.1),
    )


def _damped_rivals(rows: Rows) -> tuple[Rival, ...]:
    start = rows.equal_flow
    return (
        _numpy(rows, start, theta=THETA),
        Rival("C and OpenMP, both copies", _with(rivals_of.c_damped, rows, THETA), 1.5, 1.0),
    )
