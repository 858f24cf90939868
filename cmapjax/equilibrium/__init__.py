"""Ways of finding the equilibrium, all behind `Method` and stopped by the same certificate."""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cmapjax.equilibrium._convex import ConvexProgram
    from cmapjax.equilibrium._exact import Decomposition, certify, solve_in_fractions
    from cmapjax.equilibrium._gradient import ProjectedGradient
    from cmapjax.equilibrium._problem import Problem
    from cmapjax.equilibrium._qp import QuadraticProgram

# Imported on first use: the exact method needs no compiler.
_HOMES = {
    "_convex": ("ConvexProgram",),
    "_exact": ("Decomposition", "certify", "solve_in_fractions"),
    "_gradient": ("ProjectedGradient",),
    "_problem": ("Problem",),
    "_qp": ("QuadraticProgram",),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "ConvexProgram",
    "Decomposition",
    "Problem",
    "ProjectedGradient",
    "QuadraticProgram",
    "certify",
    "solve_in_fractions",
]


def __getattr__(name: str):
    if name in _HOME_OF:
        return getattr(importlib.import_module(f"cmapjax.equilibrium.{_HOME_OF[name]}"), name)
    raise AttributeError(f"module 'cmapjax.equilibrium' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
