"""The arrays of the package: NumPy's outside compiled code, JAX's inside."""

import jax
import numpy as np

Array = jax.Array | np.ndarray
