"""float64 for whoever calls from outside a compiled function, without touching JAX's global setting."""

import functools
from collections.abc import Callable

import jax
import numpy as np


def float64_on_host(function: Callable) -> Callable:
    """Called with plain arrays, the function computes in float64 and returns NumPy arrays.

    Outside JAX's own x64 mode, jax.numpy would cut float64 input down to float32. Inside a
    transformation (an argument is traced) the function is left alone, in the precision of its input.
    """

    @functools.wraps(function)
    def wrapped(*args, **kwargs):
        leaves = jax.tree.leaves((args, kwargs))
        if any(isinstance(leaf, jax.core.Tracer) for leaf in leaves):
            return function(*args, **kwargs)
        # Where the caller is being compiled, plain arrays are constants, worked out on the spot.
        with jax.enable_x64(True), jax.ensure_compile_time_eval():
            return jax.tree.map(np.asarray, function(*args, **kwargs))

    return wrapped
