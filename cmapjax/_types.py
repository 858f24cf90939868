"""The arrays of the package: NumPy's outside compiled code, JAX's inside."""

import jax
import numpy as np

Array = jax.Array | np.ndarray


def as_parameter(x) -> Array:
    """A hyperparameter as an array leaf: traced ones as they are, Python numbers in full precision."""
    return x if isinstance(x, jax.Array) else np.asarray(x)
