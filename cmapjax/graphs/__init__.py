# ruff: noqa: F401  names for type checkers
"""Networks in and out: files, NetworkX, arrays and matrices, and random markets."""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cmapjax.graphs._arrays import from_arrays, from_sparse
    from cmapjax.graphs._balance import read_balance
    from cmapjax.graphs._distributions import (
        Constant,
        Coverage,
        Distribution,
        Exponential,
        Gamma,
        LogNormal,
        Mix,
        Pareto,
        PriorityRule,
        Uniform,
        Unit,
    )
    from cmapjax.graphs._families import (
        Bipartite,
        Complete,
        ErdosRenyi,
        Family,
        Ring,
        Star,
        StochasticBlockModel,
        TorusGrid,
    )
    from cmapjax.graphs._fisher import fisher, fisher_outcome
    from cmapjax.graphs._networkx import from_networkx, to_networkx
    from cmapjax.graphs._outcome import FisherOutcome
    from cmapjax.graphs._random import Drop, IsolatedAgents, RandomMarket, Redraw, Reject
    from cmapjax.graphs._read import read_market, shipped, with_agents
    from cmapjax.graphs._trace import read_trace
    from cmapjax.graphs._wired import (
        BarabasiAlbert,
        RandomGeometric,
        RandomRegular,
        RandomTree,
        WattsStrogatz,
    )
    from cmapjax.graphs._within import within
    from cmapjax.graphs._write import write_agents, write_allocation, write_graphml, write_links

# The same names by module, imported on first use: reading a file does not need random families.
_HOMES = {
    "_arrays": "from_arrays from_sparse",
    "_balance": "read_balance",
    "_distributions": (
        "Constant Coverage Distribution Exponential Gamma LogNormal Mix Pareto PriorityRule Uniform Unit"
    ),
    "_families": "Bipartite Complete ErdosRenyi Family Ring Star StochasticBlockModel TorusGrid",
    "_fisher": "fisher fisher_outcome",
    "_networkx": "from_networkx to_networkx",
    "_outcome": "FisherOutcome",
    "_random": "Drop IsolatedAgents RandomMarket Redraw Reject",
    "_read": "read_market shipped with_agents",
    "_trace": "read_trace",
    "_wired": "BarabasiAlbert RandomGeometric RandomRegular RandomTree WattsStrogatz",
    "_within": "within",
    "_write": "write_agents write_allocation write_graphml write_links",
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names.split()}

__all__ = sorted(_HOME_OF)


def __getattr__(name: str):
    if name in _HOME_OF:
        return getattr(importlib.import_module(f"cmapjax.graphs.{_HOME_OF[name]}"), name)
    raise AttributeError(f"module 'cmapjax.graphs' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
