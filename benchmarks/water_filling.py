"""Claim: CMAP's exact answer costs an agent what a compiled kernel takes, and 1/10,000 of a convex solver.

Command: python -m benchmarks --only water_filling
Typical outcome: the table in docs/benchmarks.md, which that command writes.

The water-filling alone, for agents of d neighbours of whom a fifth is absent, as in padded storage. Times are
per agent. Slow rivals solve the first few agents.
"""

import functools
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import _fill_rivals as rivals_of
from benchmarks._race import Job, Rival
from benchmarks._race import results as race_results
from cmapjax.strategies._level import fill_up

ENTRIES = 4_000_000
# neighbours: accept, ambitious, of our time in parts of Numba's
TARGETS = {4: (1.0, 0.5), 16: (1.5, 0.7), 64: (3.0, 1.5), 256: (6.0, 2.5)}
CONVEX_TARGET = (1e-4, 1e-5)
CONVEX_AGENTS = 5
SLSQP_AGENTS = 3
SLSQP_WIDTH = 64  # at 256 an agent takes it many seconds
SORTED_AGENTS = 300
GRADIENT_ENTRIES = 4096
GRADIENT_ITERATIONS = 100
ABSENT = 0.2


def results(quick: bool) -> dict:
    claim = "CMAP's exact answer costs an agent what a compiled kernel takes. Times are per agent."
    return race_results(claim, jobs(quick))


def jobs(quick: bool) -> Iterator[Job]:
    """The races, one width at a time."""
    for width in (4, 16) if quick else TARGETS:
        yield job(width, (ENTRIES // 20 if quick else ENTRIES) // width)


def job(width: int, num_agents: int) -> Job:
    """Water-filling of so many agents with so many neighbours."""
    num_agents -= num_agents % 16
    data = rows(num_agents, width)

    def rival(name, function, *options, agents=num_agents, **settings):
        ready = functools.partial(function, *data, *options)
        # All times are per agent: a round is a part of "one agent", namely many.
        return Rival(name, ready, part=float(agents), **settings)

    def sample(name, function, agents, *options, **settings):
        return rival(name, function, agents, *options, agents=agents, rounds=(0, 1), **settings)

    slsqp = sample("SciPy, SLSQP", rivals_of.scipy_slsqp, SLSQP_AGENTS, tolerance=1e-2, repeats=3)
    return Job(
        f"water-filling, {width} neighbours",
        f"{num_agents:,} agents",
        rival("cmapjax", ours),
        (
            rival(
                "Numba, Newton", rivals_of.numba_rows, accept=TARGETS[width][0], ambitious=TARGETS[width][1]
            ),
            rival("C and OpenMP, Newton", rivals_of.c_kernel),
            sample("NumPy, sort, agent by agent", rivals_of.numpy_sort, SORTED_AGENTS),
            sample(
                f"jaxopt, projected gradient ({GRADIENT_ITERATIONS} steps)",
                rivals_of.jaxopt_gradient,
                min(GRADIENT_ENTRIES // width, num_agents),
                GRADIENT_ITERATIONS,
                tolerance=1e-3,
                repeats=3,
            ),
            *(() if width > SLSQP_WIDTH else (slsqp,)),
            sample(
                "CVXPY and Clarabel",
                rivals_of.cvxpy_clarabel,
                CONVEX_AGENTS,
                accept=CONVEX_TARGET[0],
                ambitious=CONVEX_TARGET[1],
                tolerance=1e-2,
            ),
        ),
        (0, 5),
        spending_difference(data[0]),
        1e-4,
        "rows, largest difference in parts of the agent's budget",
        amount=1,
        noun="agents",
        streamed=12 * width + 4,
    )


def rows(num_agents: int, width: int):
    """Budgets, weights and bases; a fifth of the neighbours absent, never an agent's first."""
    rng = np.random.default_rng(width)
    b = rng.lognormal(size=num_agents).astype(np.float32)
    w = rng.lognormal(size=(num_agents, width)).astype(np.float32)
    c = (w * rng.uniform(0, 2, w.shape)).astype(np.float32)
    absent = rng.random(w.shape) < ABSENT
    absent[:, 0] = False
    w[absent] = c[absent] = 0
    return b, w, c


def ours(b, w, c):
    """As the engine does it: vmapped over agents along a last axis."""
    run = jax.jit(jax.vmap(fill_up, in_axes=-1, out_axes=-1))
    data = jnp.asarray(b), jnp.asarray(w.T), jnp.asarray(c.T)

    def play(rounds):
        for _ in range(rounds):
            found = jax.block_until_ready(run(*data))
        return lambda: np.asarray(found).T

    return play


def spending_difference(budget: np.ndarray):
    """Of rows of the first agents."""

    def error(theirs, ours):
        difference = np.abs(theirs - ours[: len(theirs)]).max(axis=1) / budget[: len(theirs)]
        return float(np.max(difference))

    return error
