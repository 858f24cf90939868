"""Ways of finding the equilibrium, all behind `Method` and stopped by the same certificate."""

from cmapjax.methods._exact import Decomposition, IdentifyAndCertify, certify, solve_in_fractions
from cmapjax.methods._sweeps import ColouredSweeps

__all__ = ["ColouredSweeps", "Decomposition", "IdentifyAndCertify", "certify", "solve_in_fractions"]
