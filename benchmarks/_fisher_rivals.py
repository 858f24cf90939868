"""Linear Fisher markets as others would solve them.

Every function readies a rival; `play` returns the share of its good along every link.

Bid response: buyers bid for goods in proportion to the value that came of each, p_g = Σ_b z_bg / s_g,

    z_bg ← B_b · (v_bg z_bg / p_g) / Σ_h (v_bh z_bh / p_h).

After t rounds z = diag(a) V^t diag(c), entrywise powers: a round is a product with V and one sweep of
scaling, a = B / (X c), then c = 1 / (Xᵀ a). What others return is an allocation of their own.
"""

import contextlib
import dataclasses
import warnings

import numpy as np
import scipy.sparse
from jaxtyping import Float, Int

from benchmarks._qp_rivals import import_pdhcg
from benchmarks._race import MissingRival

RESCALE = 10  # rounds until a and c are multiplied into X, which would else leave the range of float64


@dataclasses.dataclass(frozen=True)
class Trade:
    """A Fisher market in rows of buyers; every good is in supply 1."""

    starts: Int[np.ndarray, "bounds"]
    good: Int[np.ndarray, "links"]
    worth: Float[np.ndarray, "links"]
    budget: Float[np.ndarray, "buyers"]
    num_goods: int

    @property
    def buyer(self) -> Int[np.ndarray, "links"]:
        return np.repeat(np.arange(len(self.budget)), np.diff(self.starts))

    def equal_bids(self) -> Float[np.ndarray, "links"]:
        wanted = np.diff(self.starts)
        return np.repeat(self.budget / wanted, wanted)

    def matrix(self, values) -> scipy.sparse.csr_array:
        shape = (len(self.budget), self.num_goods)
        return scipy.sparse.csr_array((values, self.good, self.starts), shape=shape)


def numpy_links(trade: Trade):
    """What users write: numbers of links, summed with `bincount` and `reduceat`."""
    good, worth, wanted = trade.good, trade.worth, np.diff(trade.starts)

    def play(rounds):
        bids = trade.equal_bids()
        for _ in range(rounds):
            value = worth * bids / np.bincount(good, bids, trade.num_goods)[good]
            utility = np.add.reduceat(value, trade.starts[:-1])
            bids = value * np.repeat(trade.budget / utility, wanted)
        return lambda: bids / np.bincount(good, bids, trade.num_goods)[good]

    return play


def numpy_table(trade: Trade):
    """The same on a table of all buyers and goods."""
    worth = trade.matrix(trade.worth).toarray()

    def play(rounds):
        bids = trade.matrix(trade.equal_bids()).toarray()
        for _ in range(rounds):
            price = bids.sum(0)
            bids *= worth
            bids /= price
            bids *= (trade.budget / bids.sum(1))[:, None]
        return lambda: (bids / bids.sum(0))[trade.buyer, trade.good]

    return play


def scipy_scaling(trade: Trade):
    """The scaling of powers of V, with sparse matrices."""
    wanted = np.diff(trade.starts)

    def play(rounds):
        bids = trade.matrix(trade.equal_bids())
        across = bids.T  # the same numbers, by columns
        a, c = np.ones(len(trade.budget)), np.ones(trade.num_goods)
        price = across @ a
        for t in range(1, rounds + 1):
            bids.data *= trade.worth
            c /= price
            a = trade.budget / (bids @ c)
            price = c * (across @ a)
            if t % RESCALE == 0:
                bids.data *= np.repeat(a, wanted)
                bids.data *= c[trade.good]
                a[:], c[:] = 1, 1
        spending = bids.data * np.repeat(a, wanted) * c[trade.good]
        return lambda: spending / price[trade.good]

    return play


def numba_links(trade: Trade):
    """One pass over the links a round, on one core."""
    from benchmarks._numba import bid_rounds

    def play(rounds):
        bids = trade.equal_bids()
        price = bid_rounds(trade.starts, trade.good, trade.worth, trade.budget, bids, trade.num_goods, rounds)
        return lambda: bids / price[trade.good]

    return play


def cvxpy_clarabel(trade: Trade, accuracy: float, max_seconds: float):
    """The Eisenberg-Gale program, Σ_b B_b log u_b over allocations."""
    import clarabel  # noqa: F401 - CVXPY finds it by itself
    import cvxpy

    limits = dict.fromkeys(("tol_gap_abs", "tol_gap_rel", "tol_feas"), accuracy) | {"time_limit": max_seconds}

    def play(rounds):
        for _ in range(rounds):
            share = cvxpy.Variable(len(trade.good), nonneg=True)
            gets, gives = _incidence(trade)
            welfare = cvxpy.sum(cvxpy.multiply(trade.budget / trade.budget.sum(), cvxpy.log(gets @ share)))
            program = cvxpy.Problem(cvxpy.Maximize(welfare), [gives @ share <= 1])
            with warnings.catch_warnings(), contextlib.suppress(cvxpy.SolverError):
                # Short of its limits it says so, or hands over nothing; how far short, the certificate knows.
                warnings.filterwarnings("ignore", message="Solution may be inaccurate")
                program.solve(solver=cvxpy.CLARABEL, **limits)
        return lambda: share.value

    return play


def pdhcg(trade: Trade, accuracy: float, max_seconds: float):
    """The same with exponential cones, t_b ≤ log u_b, by PDHCG: first order, in C.

    Source: Huang, Zhang, Li, Ge, Liu and Ye, INFORMS J. Comput., doi:10.1287/ijoc.2024.0983.
    """
    pdhcg = import_pdhcg()
    size, links = len(trade.budget), len(trade.good)
    budget = trade.budget / trade.budget.sum()

    def play(rounds):
        for _ in range(rounds):
            gets, gives = _incidence(trade)
            # Behind the shares stands (t_b, 1, u_b) of each buyer, with u_b ≥ exp(t_b).
            of_buyer = scipy.sparse.eye_array(size, format="csr")
            logs, ones, utility = (
                scipy.sparse.kron(of_buyer, [[float(k == i) for k in range(3)]]) for i in range(3)
            )
            no_share = scipy.sparse.csr_array((size, links))
            rows = scipy.sparse.block_array([[gives, None], [gets, -utility], [no_share, ones]])
            model = pdhcg.Model(
                objective_vector=np.concatenate([np.zeros(links), -(budget @ logs)]),
                constraint_matrix=scipy.sparse.csr_matrix(rows),
                constraint_lower_bound=np.concatenate(
                    [np.full(trade.num_goods, -np.inf), np.zeros(size), np.ones(size)]
                ),
                constraint_upper_bound=np.concatenate(
                    [np.ones(trade.num_goods), np.zeros(size), np.ones(size)]
                ),
                variable_lower_bound=np.concatenate([np.zeros(links), np.full(3 * size, -np.inf)]),
                variable_cones=pdhcg.ConeSpec("exp", links + 3 * np.arange(size)),
            )
            model.setParams(
                LogLevel=0, TimeLimit=max_seconds, OptimalityTol=accuracy, FeasibilityTol=accuracy
            )
            model.optimize()
        return lambda: np.array(model.X)[:links]

    return play


def mpax(trade: Trade):
    """MPAX cannot play."""
    raise MissingRival("it solves linear and quadratic programs, and with valuations this is neither")


def _incidence(trade: Trade) -> tuple[scipy.sparse.csr_array, scipy.sparse.csr_array]:
    """What shares of goods bring to buyers, and how much of each good they take."""
    links = np.arange(len(trade.good))
    gets = (trade.worth, (trade.buyer, links)), (len(trade.budget), len(links))
    gives = (np.ones(len(links)), (trade.good, links)), (trade.num_goods, len(links))
    return tuple(scipy.sparse.csr_array(entries, shape=shape) for entries, shape in (gets, gives))
