"""How much surplus an agent has in a round: constant, random, or recorded; and recorded production and need.

All processes have mean ε_i; what is not given in its round perishes.
"""

from cmapjax.endowments._balance import Balance
from cmapjax.endowments._processes import (
    Constant,
    Endowments,
    Exponential,
    Gamma,
    LogNormal,
    OnOff,
)
from cmapjax.endowments._recorded import Trace

__all__ = ["Balance", "Constant", "Endowments", "Exponential", "Gamma", "LogNormal", "OnOff", "Trace"]
