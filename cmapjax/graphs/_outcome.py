"""What a linear Fisher market comes to. Apart from `_fisher`, so that words find the class without JAX."""

import dataclasses
from collections.abc import Hashable

import numpy as np
import scipy
from jaxtyping import Float


@dataclasses.dataclass(frozen=True)
class FisherOutcome:
    """A state of a Fisher market in its own words. At the equilibrium the last three are 0."""

    buyers: tuple[Hashable, ...]
    """Names, in the order of rows."""
    goods: tuple[Hashable, ...]
    """Names, in the order of columns."""
    price: Float[np.ndarray, "goods"]
    """p_g (money per unit)."""
    allocation: "scipy.sparse.csr_array"
    """x_bg (units of the good), buyers × goods."""
    spending: "scipy.sparse.csr_array"
    """p_g x_bg (money), buyers × goods."""
    utility: Float[np.ndarray, "buyers"]
    """u_b = Σ_g v_bg x_bg (value)."""
    unsold: Float[np.ndarray, "goods"]
    """The share of its supply that is not sold; 0 for goods of price 0, which may be left."""
    unspent: Float[np.ndarray, "buyers"]
    """The share of its budget that a buyer has left, below 0 if it is over; 0 for one that cannot buy."""
    overpaid: Float[np.ndarray, "buyers"]
    """How far the worst good that a buyer bought is below its maximum bang per buck, max_g v_bg / p_g, as a
    share of that."""
