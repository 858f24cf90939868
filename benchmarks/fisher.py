"""Claim: bid response finds the prices of a linear Fisher market sooner than solvers of convex programs.

Command: python -m benchmarks --only fisher
Typical outcome: the table in docs/benchmarks.md, which that command writes.

Two markets of the sizes of the literature, valuations and budgets uniform between 0 and 1, to a certified gap
of 6e-5 of the budgets. Rounds of bid response are as many as that needs, found beforehand; others stop by a
tolerance of their own, the loosest of a few at which their allocation is certified. All are timed as a whole.
"""

import numpy as np
import scipy.sparse

from benchmarks._fisher_rivals import Trade
from benchmarks._race import results as race_results

GAP = 6e-5


def results(quick: bool) -> dict:
    claim = "Bid response finds the prices of a linear Fisher market sooner than solvers of convex programs."
    return race_results(claim, jobs(quick))


def trade_of(num_buyers: int, num_goods: int, density: float = 1.0) -> Trade:
    """A random market, the same in every run."""
    rng = np.random.default_rng(0)
    is_wanted = rng.random((num_buyers, num_goods)) < density
    worth = scipy.sparse.csr_array(np.where(is_wanted, rng.uniform(0, 1, is_wanted.shape), 0))
    return Trade(worth.indptr, worth.indices, worth.data, rng.uniform(0, 1, num_buyers), num_goods)
