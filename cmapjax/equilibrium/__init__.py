"""Ways of finding the equilibrium, all behind `Method` and stopped by the same certificate."""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cmapjax.equilibrium._convex import ConvexProgram
    from cmapjax.equilibrium._exact import Decomposition, IdentifyAndCertify, certify, solve_in_fractions
    from cmapjax.equilibrium._gradient import (
        JaxoptProjection,
        OptaxProjection,
        ProjectedGradient,
        SimplexProjection,
    )
    from cmapjax.equilibrium._mirror import MirrorAscent
    from cmapjax.equilibrium._pdhg import PrimalDualHybridGradient
    from cmapjax.equilibrium._sweeps import ColouredSweeps

# Imported on first use: the exact method needs neither the engine nor strategies.
_HOMES = {
    "_convex": ("ConvexProgram",),
    "_exact": ("Decomposition", "IdentifyAndCertify", "certify", "solve_in_fractions"),
    "_gradient": ("JaxoptProjection", "OptaxProjection", "ProjectedGradient", "SimplexProjection"),
    "_mirror": ("MirrorAscent",),
    "_pdhg": ("PrimalDualHybridGradient",),
    "_sweeps": ("ColouredSweeps",),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "ColouredSweeps",
    "ConvexProgram",
    "Decomposition",
    "IdentifyAndCertify",
    "JaxoptProjection",
    "MirrorAscent",
    "OptaxProjection",
    "PrimalDualHybridGradient",
    "ProjectedGradient",
    "SimplexProjection",
    "certify",
    "solve_in_fractions",
]


def __getattr__(name: str):
    if name in _HOME_OF:
        return getattr(importlib.import_module(f"cmapjax.equilibrium.{_HOME_OF[name]}"), name)
    raise AttributeError(f"module 'cmapjax.equilibrium' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
