"""Pictures of runs, markets and studies, as Matplotlib figures.

Figures are made without pyplot, so nothing here needs a display or leaves figures behind.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cmapjax.plots._canvas import save
    from cmapjax.plots._curves import comparison, convergence
    from cmapjax.plots._explain import explanation
    from cmapjax.plots._network import MOST_AGENTS, derivatives, network
    from cmapjax.plots._ratios import ratio_histogram
    from cmapjax.plots._study import COLUMN_WIDTH, convergence_bands, distributions, heat_map, verdict_shares

# Imported on first use, because pictures of studies need pandas.
_HOMES = {
    "_canvas": ("save",),
    "_curves": (
        "comparison",
        "convergence",
    ),
    "_explain": ("explanation",),
    "_network": (
        "MOST_AGENTS",
        "derivatives",
        "network",
    ),
    "_ratios": ("ratio_histogram",),
    "_study": (
        "COLUMN_WIDTH",
        "convergence_bands",
        "distributions",
        "heat_map",
        "verdict_shares",
    ),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}

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
    "verdict_shares",
]


def __getattr__(name: str):
    if name in _HOME_OF:
        return getattr(importlib.import_module(f"cmapjax.plots.{_HOME_OF[name]}"), name)
    raise AttributeError(f"module 'cmapjax.plots' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
