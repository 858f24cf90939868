"""Checks that an allocation is fair and stable, one for each definition of the literature.

Everything is computed on the host in float64. A flow that is not feasible is refused. Proportionality,
freedom from envy, Pareto and lexicographic optimality are for markets of all kinds, as far as they hold
there; the others need undirected markets of endowments and values, and say why.
"""

from cmapjax.fairness._general import envy_error, pareto_error, proportionality_error
from cmapjax.fairness._undirected import (
    BottleneckPair,
    arrow_debreu_error,
    arrow_debreu_prices,
    best_coalition,
    bottleneck_pairs,
    lexicographic_error,
    lexicographic_ratios,
    reciprocity_error,
)

__all__ = [
    "BottleneckPair",
    "arrow_debreu_error",
    "arrow_debreu_prices",
    "best_coalition",
    "bottleneck_pairs",
    "envy_error",
    "lexicographic_error",
    "lexicographic_ratios",
    "pareto_error",
    "proportionality_error",
    "reciprocity_error",
]
