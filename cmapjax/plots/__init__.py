"""Pictures of runs, markets and studies, as Matplotlib figures.

Figures are made without pyplot, so nothing here needs a display or leaves figures behind. Matplotlib is
loaded by the first figure.
"""

from cmapjax.plots._canvas import save
from cmapjax.plots._curves import comparison, convergence
from cmapjax.plots._explain import explanation
from cmapjax.plots._network import MOST_AGENTS, derivatives, network
from cmapjax.plots._ratios import ratio_histogram
from cmapjax.plots._sharing import sharing
from cmapjax.plots._study import COLUMN_WIDTH, convergence_bands, distributions, heat_map, verdict_shares

__all__ = [
    "COLUMN_WIDTH",
    "MOST_AGENTS",
    "comparison",
    "convergence",
    "convergence_bands",
    "derivatives",
    "distributions",
    "explanation",
    "heat_map",
    "network",
    "ratio_histogram",
    "save",
    "sharing",
    "verdict_shares",
]
