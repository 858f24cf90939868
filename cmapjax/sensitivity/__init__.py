"""How the equilibrium answers to what agents bring, and to the network."""

from cmapjax.sensitivity._derivatives import (
    elasticities,
    equilibrium_utility,
    gradient,
    jacobian,
    min_ratio,
    utility_of,
)
from cmapjax.sensitivity._margins import Margins, margins

__all__ = [
    "Margins",
    "elasticities",
    "equilibrium_utility",
    "gradient",
    "jacobian",
    "margins",
    "min_ratio",
    "utility_of",
]
