"""Metrics: one number per market, from what its agents received.

All take the market and a vector over agents in the caller's order, usually the utilities u_j (value
received). r_j = u_j / w_j is the ratio, w_j = ε_j v_j the contribution, W = Σ w_j. Every function works
inside JAX transformations, in the precision of its input, and on plain arrays in NumPy.
"""

from cmapjax.market._certificate import certified_gap, certified_gap_of_flow, spending_error
from cmapjax.market._community import community_utility
from cmapjax.market._verdict import NOTHING as NOTHING
from cmapjax.market._verdict import VERDICTS, verdict
from cmapjax.metrics._recorded import RECORDED as RECORDED
from cmapjax.metrics._recorded import average_certified_gap, by_names, received, standard
from cmapjax.metrics._utilities import (
    flow_distance,
    gini,
    jain_index,
    log_nash_welfare,
    log_welfare_loss,
    mean_community_utility,
    min_ratio,
    misallocated_share,
    nash_welfare,
    num_starved,
    oscillation,
    ratio,
    share_of_equilibrium,
    unweighted_log_nash_welfare,
    unweighted_nash_welfare,
    worst_relative_error,
)

__all__ = [
    "VERDICTS",
    "average_certified_gap",
    "by_names",
    "certified_gap",
    "certified_gap_of_flow",
    "community_utility",
    "flow_distance",
    "gini",
    "jain_index",
    "log_nash_welfare",
    "log_welfare_loss",
    "mean_community_utility",
    "min_ratio",
    "misallocated_share",
    "nash_welfare",
    "num_starved",
    "oscillation",
    "ratio",
    "received",
    "share_of_equilibrium",
    "spending_error",
    "standard",
    "unweighted_log_nash_welfare",
    "unweighted_nash_welfare",
    "verdict",
    "worst_relative_error",
]
