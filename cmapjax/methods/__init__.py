"""Ways of finding the equilibrium, all behind `Method` and stopped by the same certificate."""

from cmapjax.methods._convex import ConvexProgram
from cmapjax.methods._exact import Decomposition, IdentifyAndCertify, certify, solve_in_fractions
from cmapjax.methods._gradient import JaxoptProjection, OptaxProjection, ProjectedGradient, SimplexProjection
from cmapjax.methods._mirror import MirrorAscent
from cmapjax.methods._pdhg import PrimalDualHybridGradient
from cmapjax.methods._sweeps import ColouredSweeps

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
