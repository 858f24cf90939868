"""Solvers of quadratic programs on min Σ u² / 2w, the form that suits them, as methods of `cmapjax.solve`."""

import abc
import functools
import time

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse
from jax.experimental.sparse import BCOO

import cmapjax as cj
from benchmarks._race import MissingRival
from cmapjax.equilibrium._equilibrium import equilibrium_of_flow


class QPSolver(cj.Method):
    """A rival: `as_qp`, its solver, the flow read back, and the certificate of that."""

    accuracy: float = eqx.field(static=True)
    """The solver's own tolerance, absolute and relative."""
    max_seconds: float = eqx.field(static=True)

    @abc.abstractmethod
    def answer(self, program: cj.QuadraticProgram) -> tuple[np.ndarray, int]:
        """x, as good as it came, and the number of iterations."""

    def solve(self, market, tolerance):
        program = cj.as_qp(market)
        x, iterations = self.answer(program)
        try:
            flow = program.flow(x)
        except ValueError:  # cut short, or not finite: the gap says how far that is from an answer
            flow = market.equal_flow()
        return equilibrium_of_flow(market, flow, tolerance, np.asarray(iterations))


class ClarabelQP(QPSolver):
    """Clarabel's interior-point method, called without CVXPY."""

    def answer(self, program):
        import clarabel

        settings = clarabel.DefaultSettings()
        settings.verbose, settings.time_limit = False, self.max_seconds
        settings.tol_gap_abs = settings.tol_gap_rel = settings.tol_feas = self.accuracy
        bounds = program.A.shape[0] - program.num_equalities
        # Its form is A x + s = b with s in a cone; s = 0 are the equalities.
        cones = [clarabel.ZeroConeT(program.num_equalities), clarabel.NonnegativeConeT(bounds)]
        found = clarabel.DefaultSolver(program.P, program.q, -program.A, -program.l, cones, settings).solve()
        return np.array(found.x), found.iterations


class PDHCG(QPSolver):
    """PDHCG, first order, in C; bounds are bounds on variables.

    Source: Huang, Zhang, Li, Ge, Liu and Ye, INFORMS J. Comput., doi:10.1287/ijoc.2024.0983.
    """

    def answer(self, program):
        pdhcg = import_pdhcg()
        rows, least = _equalities(program)
        model = pdhcg.Model(
            objective_vector=program.q,
            objective_matrix=scipy.sparse.csr_matrix(program.P),
            constraint_matrix=scipy.sparse.csr_matrix(rows),
            constraint_lower_bound=program.l[: program.num_equalities],
            constraint_upper_bound=program.u[: program.num_equalities],
            variable_lower_bound=least,
        )
        limits = {"OptimalityTol": self.accuracy, "FeasibilityTol": self.accuracy}
        model.setParams(LogLevel=0, TimeLimit=self.max_seconds, **limits)
        model.optimize()
        return np.array(model.X), model.IterCount


def import_pdhcg():
    try:
        import pdhcg

        pdhcg._core.built_devices()  # loads the library
    except (ImportError, RuntimeError) as error:
        raise MissingRival(
            f"{error}; pip builds it from source, which needs the headers of a BLAS and LAPACK, or CUDA"
        ) from error
    return pdhcg


class MPAX(QPSolver):
    """MPAX's raPDHG, first order, on JAX; bounds are bounds on variables.

    It knows no limit on time. Iterations are timed once for each shape of programs, and as many are allowed.

    Source: Lu, Peng and Yang, arXiv:2412.09734.
    """

    def answer(self, program):
        with jax.enable_x64(True):
            rows, least = _equalities(program)
            data = [_bcoo(program.P), _bcoo(rows), jnp.asarray(program.l[: program.num_equalities])]
            data.append(jnp.asarray(least))
            shape = (*program.A.shape, program.A.nnz)
            if shape not in _PACE:
                _PACE[shape] = _pace(data)
            solver = _mpax(self.accuracy, max(int(self.max_seconds / _PACE[shape]), 1))
            x, iterations = solver(*data)
            return np.asarray(x), int(iterations)


TIMED = 320  # iterations; it looks at its residuals after every 64
_PACE: dict[tuple, float] = {}
"""Seconds per iteration of programs of a shape."""


def _pace(data) -> float:
    solver = _mpax(1e-15, TIMED)
    jax.block_until_ready(solver(*data))
    began = time.perf_counter()
    jax.block_until_ready(solver(*data))
    return (time.perf_counter() - began) / TIMED


@functools.cache
def _mpax(accuracy: float, iterations: int):
    """MPAX compiled, as its manual advises, for these limits: x and iterations of P, A, b and least x."""
    import mpax

    solver = mpax.raPDHG(eps_abs=accuracy, eps_rel=accuracy, iteration_limit=iterations, verbose=False)

    @jax.jit
    def solve(P, A, b, least):
        size = P.shape[0]
        none = BCOO((jnp.zeros(0), jnp.zeros((0, 2), jnp.int32)), shape=(0, size))
        program = mpax.create_qp(P, jnp.zeros(size), A, b, none, jnp.zeros(0), least, jnp.full(size, jnp.inf))
        found = solver.optimize(program)
        return found.primal_solution, found.iteration_count

    return solve


def _equalities(program) -> tuple[scipy.sparse.csr_array, np.ndarray]:
    """The rows of A that are equalities, and what the other rows say: the least each variable may be."""
    bounds = program.A.shape[0] - program.num_equalities
    least = np.full(len(program.q), -np.inf)
    least[:bounds] = 0
    return program.A.tocsr()[: program.num_equalities], least


def _bcoo(matrix) -> BCOO:
    return BCOO.from_scipy_sparse(scipy.sparse.coo_matrix(matrix))
