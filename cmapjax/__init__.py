"""cmapjax: a simulator of resource-sharing markets on networks.

Agents hold a surplus that cannot be stored and give it to their neighbours, round after round. Does a
strategy that uses only what an agent sees of its neighbours bring the market to its equilibrium?

Glossary
--------
====================  ======  ==========================  ==============================================
term                  symbol  unit                        in code
====================  ======  ==========================  ==============================================
endowment             ε_i     units of i's resource       `Market.endowment`, mean surplus per round
value                 v_i     value per unit              `Market.value`
contribution          w_i     value                       `Market.contribution`, ε_i v_i
allocation            x_ij    units of i's resource       flow divided by the giver's v_i; Σ_j x_ij = ε_i
flow                  y_ij    value                       v_i x_ij; Σ_j y_ij = w_i
utility               u_j     value                       Σ_i y_ij, what j receives
ratio                 r_j     value per value             u_j / w_j
price                 q_i     utility per value           `Equilibrium.price`, r_i at the equilibrium
community             C_i^k   agents                      all within k hops of i
turn                                                      one agent acting
round                                                     everybody's turn, `simulate(rounds=…)`
Nash welfare                  1                           Π r_j^(w_j/W), in [0, 1] (`metrics`)
certified gap                 1 (a logarithm)             bound on log Nash welfare missing
====================  ======  ==========================  ==============================================

Vectors over agents are in the caller's order. Importing this package starts no device and changes no
JAX setting.
"""

import importlib

__version__ = "0.1.0"

# Public names by module. They are imported on first use, so that --help and errors about files do not wait
# for the seconds that JAX takes to load.
_HOMES = {
    "cmapjax.market._market": ("Market",),
    "cmapjax.runtime._compilation_cache": ("compilation_cache",),
    "cmapjax.market._packing": ("copies", "pack"),
    "cmapjax.market._devices": ("on_devices",),
    "cmapjax.engine._run": ("Run", "State"),
    "cmapjax.engine._simulate": ("simulate",),
    "cmapjax.equilibrium._equilibrium": ("Equilibrium", "Method"),
    "cmapjax.engine._explain": ("explain",),
    "cmapjax.equilibrium._problem": ("problem",),
    "cmapjax.equilibrium._qp": ("as_qp",),
    "cmapjax.equilibrium._sharing": ("Sharing", "share"),
    "cmapjax.equilibrium._solve": ("solve",),
    "cmapjax.equilibrium": (
        "ConvexProgram",
        "Decomposition",
        "Problem",
        "ProjectedGradient",
        "QuadraticProgram",
    ),
    "cmapjax.studies.results": ("open_study",),
    "cmapjax.sensitivity": ("equilibrium_utility",),
    "cmapjax.studies": ("Study",),
    "cmapjax.market._certificate": ("certified_gap", "certified_gap_of_flow"),
    "cmapjax.market._columns": ("largest", "smallest", "total"),
    "cmapjax.schedules._plans": ("Plan",),
    "cmapjax.schedules._schedule": (
        "Coloured",
        "OneAgentPerRound",
        "RandomOrder",
        "RandomParticipation",
        "Schedule",
        "Sequential",
        "Simultaneous",
        "Turns",
    ),
    "cmapjax.strategies": (
        "BidResponse",
        "CMAP",
        "Damped",
        "Damping",
        "DiminishingStep",
        "DynamicSharing",
        "EntropicCMAP",
        "EqualSplit",
        "FixedDamping",
        "FixedStep",
        "GradientCMAP",
        "JaxoptGradient",
        "LineSearch",
        "Link",
        "LocalDamping",
        "MaxDegreeDamping",
        "OptaxGradient",
        "PerAgent",
        "PostedStrategy",
        "ProportionalResponse",
        "SelfishBestReply",
        "Strategy",
        "View",
        "repeat",
    ),
}
_MODULES = (
    "endowments",
    "fairness",
    "graphs",
    "equilibrium",
    "metrics",
    "plots",
    "report",
    "sensitivity",
    "strategies",
    "studies",
    "testing",
)
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}

__all__ = sorted([*_HOME_OF, *_MODULES])


def __getattr__(name: str):
    if name in _HOME_OF:
        return getattr(importlib.import_module(_HOME_OF[name]), name)
    if name in _MODULES:
        return importlib.import_module(f"cmapjax.{name}")
    raise AttributeError(f"module 'cmapjax' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
