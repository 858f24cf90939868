"""Networks in and out: files, NetworkX, arrays and matrices, and random markets."""

import importlib

# Imported on first use: reading a file does not need random families.
_HOMES = {
    "_arrays": (
        "from_arrays",
        "from_sparse",
    ),
    "_distributions": (
        "Distribution",
        "Exponential",
        "Gamma",
        "LogNormal",
        "Pareto",
        "Uniform",
        "Unit",
    ),
    "_families": (
        "Bipartite",
        "Complete",
        "ErdosRenyi",
        "Family",
        "Ring",
        "Star",
        "StochasticBlockModel",
        "TorusGrid",
    ),
    "_networkx": (
        "from_networkx",
        "to_networkx",
    ),
    "_random": (
        "Drop",
        "IsolatedAgents",
        "RandomMarket",
        "Redraw",
        "Reject",
    ),
    "_read": (
        "read_market",
        "shipped",
        "with_agents",
    ),
    "_trace": ("read_trace",),
    "_wired": (
        "BarabasiAlbert",
        "RandomGeometric",
        "RandomRegular",
        "RandomTree",
        "WattsStrogatz",
    ),
    "_write": (
        "write_agents",
        "write_allocation",
        "write_graphml",
    ),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}

__all__ = sorted(_HOME_OF)


def __getattr__(name: str):
    if name in _HOME_OF:
        return getattr(importlib.import_module(f"cmapjax.graphs.{_HOME_OF[name]}"), name)
    raise AttributeError(f"module 'cmapjax.graphs' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
