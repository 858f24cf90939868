"""CMAP's answer of one agent, max(0, L w − c) with the level L that spends the budget, as others find it.

Data are rows: budgets b [agent], weights w and bases c [agent, neighbour]; absent neighbours have w = c = 0.
The slow ones take the first agents alone. Every function readies a rival; results are rows.
"""

import warnings

import numpy as np

from benchmarks._cmap_rivals import sorted_fill
from benchmarks._compiled import kernel
from benchmarks._networks import LANES
from benchmarks._race import MissingRival


def numba_rows(b, w, c):
    from benchmarks import _numba

    y = np.empty_like(w)

    def play(rounds):
        for _ in range(rounds):
            _numba.water_fill(b, w, c, y)
        return lambda: y

    return play


def c_kernel(b, w, c):
    """16 agents side by side."""
    num_agents, width = w.shape
    if num_agents % LANES:
        raise MissingRival(f"written for multiples of {LANES}")
    run, weight, base = kernel("water_fill"), _side_by_side(w), _side_by_side(c)
    y = np.empty_like(weight)

    def play(rounds):
        for _ in range(rounds):
            run(num_agents // LANES, width, b, weight, base, y)
        return lambda: y.swapaxes(1, 2).reshape(-1, width)

    return play


def _side_by_side(x: np.ndarray) -> np.ndarray:
    """[agent, neighbour] as [slice, neighbour, 16]."""
    return np.ascontiguousarray(x.reshape(-1, LANES, x.shape[1]).swapaxes(1, 2))


def numpy_sort(b, w, c, num_agents: int):
    """A loop over agents, each sorting its neighbours."""

    def one(i):
        row, present = np.zeros(w.shape[1], w.dtype), w[i] > 0
        row[present] = sorted_fill(b[i], w[i][present], c[i][present])
        return row

    return _agent_by_agent(one, num_agents)


def cvxpy_clarabel(b, w, c, num_agents: int):
    """Maximise Σ w log(c + y) with CVXPY and Clarabel, a programme per agent."""
    import cvxpy

    def one(i):
        present = w[i] > 0
        y = cvxpy.Variable(int(present.sum()), nonneg=True)
        welfare = w[i][present] @ cvxpy.log(c[i][present] + y)
        problem = cvxpy.Problem(cvxpy.Maximize(welfare), [cvxpy.sum(y) == float(b[i])])
        problem.solve(solver=cvxpy.CLARABEL)
        row = np.zeros(len(present))
        row[present] = y.value
        return row

    return _agent_by_agent(one, num_agents)


def scipy_slsqp(b, w, c, num_agents: int):
    """The same by SciPy's SLSQP, with the gradient."""
    from scipy.optimize import minimize

    def one(i):
        present = w[i] > 0
        weight, base, budget = w[i][present].astype(float), c[i][present].astype(float), float(b[i])
        budget_row = {"type": "eq", "fun": lambda y: y.sum() - budget, "jac": np.ones_like}
        found = minimize(
            lambda y: -(weight @ np.log(base + y)),
            np.full(len(weight), budget / len(weight)),
            jac=lambda y: -weight / (base + y),
            bounds=[(0, None)] * len(weight),
            constraints=[budget_row],
            options={"maxiter": 500, "ftol": 1e-10},
        )
        row = np.zeros(len(present))
        row[present] = found.x
        return row

    return _agent_by_agent(one, num_agents)


def _agent_by_agent(one, num_agents: int):
    def play(rounds):
        for _ in range(rounds):
            rows = [one(i) for i in range(num_agents)]
        return lambda: np.stack(rows)

    return play


def jaxopt_gradient(b, w, c, num_agents: int, iterations: int):
    """Projected gradient with acceleration and line search, all agents at once."""
    import jax
    import jax.numpy as jnp

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="JAXopt is no longer maintained")
        import jaxopt

    def one(budget, weight, base):
        present = weight > 0

        def loss(share):
            reached = jnp.where(present, base + budget * share, 1)
            return -(jnp.where(present, weight, 0) @ jnp.log(reached)) / jnp.sum(weight)

        def project(share, _):
            lowest = jnp.where(present, share, -1e30)
            return jaxopt.projection.projection_simplex(lowest)

        method = jaxopt.ProjectedGradient(loss, project, maxiter=iterations, tol=0.0, implicit_diff=False)
        start = jnp.where(present, 1 / jnp.maximum(jnp.sum(present), 1), 0)
        return budget * method.run(start).params

    run = jax.jit(jax.vmap(one))
    sample = tuple(jnp.asarray(x[:num_agents]) for x in (b, w, c))

    def play(rounds):
        for _ in range(rounds):
            rows = jax.block_until_ready(run(*sample))
        return lambda: np.asarray(rows)

    return play
