"""Types of arrays: NumPy arrays outside compiled code, JAX arrays inside."""

import jax
import numpy as np

from cmapjax.arguments._labelled import unlabelled

Array = jax.Array | np.ndarray


def as_parameter(x) -> Array:
    """A hyperparameter as an array leaf: traced ones as they are, Python numbers in float64."""
    if isinstance(x, jax.Array):
        return x
    array = np.asarray(unlabelled("this parameter", x))
    return array.astype(np.float64) if array.dtype.kind in "iu" else array
