"""The central program handed to a convex solver: a reference that shares no code with the other methods."""

import warnings

import equinox as eqx
import numpy as np
import scipy
from jaxtyping import Float

from cmapjax.equilibrium._equilibrium import Method, equilibrium_of_flow
from cmapjax.runtime._settings import entry
from cmapjax.runtime._types import Array, as_parameter


class ConvexProgram(Method):
    """The Eisenberg-Gale program through CVXPY, solved by Clarabel's interior-point method.

    Maximises Σ_j w_j log r_j over shares s_ij = y_ij / w_i ≥ 0, Σ_j s_ij = 1, where r_j = Σ_i w_i s_ij / w_j:
    one program per market, w in units of the largest (Clarabel fails more often on w / W). Rows of the
    answer are clipped at zero and scaled to spend exactly the contributions, and the certificate is taken of
    that. A market on which Clarabel gives up keeps the equal split, and its gap says so. `iterations`
    counts those of the longest program, and a result of 1 means that the answer is not as good as asked.

    Args:
        accuracy: Clarabel's limit on its gaps and residuals, in the program above. The certified gap of the
            clipped rows is often thousands of times larger; below 1e-13 Clarabel seldom gets.
        max_seconds: Clarabel's time for one market, looked at between iterations; inf is without limit.

    Raises:
        ImportError: CVXPY or Clarabel is not installed.
        ValueError: an accuracy not between 0 and 1, a time not above 0.

    Source: Diamond and Boyd, JMLR 17, 2016 (CVXPY); Goulart and Chen, arXiv:2405.12762 (Clarabel).
    """

    known_as = ("convex",)
    counts = "iterations"
    remedy = "lower accuracy"

    accuracy: Float[Array, ""] = eqx.field(converter=as_parameter, default=1e-11)
    max_seconds: Float[Array, ""] = eqx.field(converter=as_parameter, default=np.inf)

    def __check_init__(self):
        if not _is_number(self.accuracy) or not 0 < self.accuracy < 1:
            raise ValueError(f"accuracy is {self.accuracy}; give a number above 0 and below 1.")
        if not _is_number(self.max_seconds) or not self.max_seconds > 0:
            raise ValueError(f"max_seconds is {self.max_seconds}; give a number above 0, or inf.")

    @entry
    def solve(self, market, tolerance):
        cvxpy = import_cvxpy()
        giver, receiver = market.arcs()
        weight, market_of = np.asarray(market.contribution), np.asarray(market.market_of)
        values = market.arc_values(market.equal_flow())
        by_market = np.argsort(market_of[giver], kind="stable")
        bounds = np.searchsorted(market_of[giver][by_market], np.arange(1, market.num_markets))
        limits = dict.fromkeys(("tol_gap_abs", "tol_gap_rel", "tol_feas"), float(self.accuracy))
        limits["time_limit"] = float(self.max_seconds)
        iterations = 0
        for arcs in np.split(by_market, bounds):
            share, count = _shares(cvxpy, giver[arcs], receiver[arcs], weight, limits)
            iterations = max(iterations, count)
            if share is not None:
                values[arcs] = weight[giver[arcs]] * share
        flow = market.flow_from_arcs(values)
        return equilibrium_of_flow(market, flow, tolerance, np.asarray(iterations))


def _is_number(x) -> bool:
    return x.dtype.kind == "f" and x.shape == ()


def _shares(cvxpy, giver, receiver, weight, limits):
    """One market's shares on its arcs, None if there are none, and the number of iterations."""
    agents, giver = np.unique(giver, return_inverse=True)
    receiver = np.searchsorted(agents, receiver)
    weight = weight[agents] / np.max(weight[agents])
    arc, shape = np.arange(len(giver)), (len(agents), len(giver))
    gives = scipy.sparse.csr_array((np.ones(len(giver)), (giver, arc)), shape=shape)
    gets = scipy.sparse.csr_array((weight[giver] / weight[receiver], (receiver, arc)), shape=shape)
    share = cvxpy.Variable(len(giver), nonneg=True)
    welfare = cvxpy.sum(cvxpy.multiply(weight, cvxpy.log(gets @ share)))
    program = cvxpy.Problem(cvxpy.Maximize(welfare), [gives @ share == 1])
    try:
        with warnings.catch_warnings():
            # Short of its limits it says so; how far short, the certificate knows better.
            warnings.filterwarnings("ignore", message="Solution may be inaccurate")
            program.solve(solver=cvxpy.CLARABEL, **limits)
    except cvxpy.SolverError:
        return None, 0
    count = program.solver_stats.num_iters
    if share.value is None:
        return None, count
    found = np.maximum(share.value, 0)
    spent = gives @ found
    usable = np.all(np.isfinite(spent)) and np.all(spent > 0)
    return (found / spent[giver] if usable else None), count


def import_cvxpy():
    """CVXPY with Clarabel; ImportError says what to install."""
    try:
        import clarabel  # noqa: F401 - CVXPY finds it by itself
        import cvxpy
    except ImportError as error:
        raise ImportError(
            "ConvexProgram needs CVXPY and Clarabel (pip install 'cmapjax[reference]', or cvxpy and "
            "clarabel); the other methods need neither."
        ) from error
    return cvxpy
