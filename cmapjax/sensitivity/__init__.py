"""How the equilibrium depends on a market's numbers and links: derivatives, margins, changes of links."""

from cmapjax.metrics import min_ratio
from cmapjax.sensitivity._budget import Placement, place_budget
from cmapjax.sensitivity._damping import BestDamping, best_damping
from cmapjax.sensitivity._derivatives import (
    elasticities,
    equilibrium_utility,
    gradient,
    jacobian,
    kinks,
    utility_of,
)
from cmapjax.sensitivity._links import LinkChanges, new_links, removed_links
from cmapjax.sensitivity._margins import Margins, margins

__all__ = [
    "BestDamping",
    "LinkChanges",
    "Margins",
    "Placement",
    "best_damping",
    "elasticities",
    "equilibrium_utility",
    "gradient",
    "jacobian",
    "kinks",
    "margins",
    "min_ratio",
    "new_links",
    "place_budget",
    "removed_links",
    "utility_of",
]
