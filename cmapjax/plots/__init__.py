"""Pictures of runs and markets, as Matplotlib figures.

Figures are made without pyplot, so nothing here needs a display or leaves figures behind.
"""

from cmapjax.plots._canvas import save
from cmapjax.plots._curves import comparison, convergence
from cmapjax.plots._explain import explanation
from cmapjax.plots._network import MOST_AGENTS, derivatives, network
from cmapjax.plots._ratios import ratio_histogram

__all__ = [
    "MOST_AGENTS",
    "comparison",
    "convergence",
    "derivatives",
    "explanation",
    "network",
    "ratio_histogram",
    "save",
]
