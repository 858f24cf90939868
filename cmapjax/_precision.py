"""float64 for whoever calls from outside a compiled function, without touching JAX's global setting."""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from cmapjax._labelled import arguments_by_name
from cmapjax._settings import in_x64, is_traced, new_views, on_host, standard_settings


def float64_on_host(function: Callable) -> Callable:
    """Called with plain arrays, the function computes in float64, in NumPy, and returns NumPy arrays.

    NumPy starts at once, where JAX outside compiled code compiles operation by operation: the function
    takes its operations from `namespace`. Inside a transformation (an argument is traced) the function is
    left alone, in the precision of its input, but for JAX's settings (`_settings`). Vectors over agents that
    have names are put in the market's order first.
    """

    @functools.wraps(function)
    def wrapped(*args, **kwargs):
        args, kwargs = arguments_by_name(function, args, kwargs)
        leaves = jax.tree.leaves((args, kwargs))
        has_arrays = any(isinstance(leaf, jax.Array) for leaf in leaves)
        # With `disable_jit` what would be compiled runs as it is written, on arrays that nobody traces.
        runs_as_written = has_arrays and jax.config.jax_disable_jit and in_x64()
        if runs_as_written or is_traced(leaves):
            with standard_settings():
                args, kwargs = new_views((args, kwargs))
                return function(*args, **kwargs)
        if has_arrays:
            with standard_settings():
                args, kwargs = on_host((args, kwargs))
        # Where the caller is being compiled, plain arrays are constants, worked out on the spot. What is
        # divided by zero has a stated value, as in compiled code.
        with jax.enable_x64(True), jax.ensure_compile_time_eval(), np.errstate(all="ignore"):
            return jax.tree.map(np.asarray, function(*args, **kwargs))

    return wrapped


def namespace(*values):
    """`jax.numpy` if any of these holds an array of JAX's, or else `numpy`: one text for both."""
    return jnp if any(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(values)) else np
