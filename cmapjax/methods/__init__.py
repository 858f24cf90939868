"""Ways of finding the equilibrium, all behind `Method` and stopped by the same certificate."""

from cmapjax.methods._sweeps import ColouredSweeps

__all__ = ["ColouredSweeps"]
