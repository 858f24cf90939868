"""float64 for whoever calls from outside a compiled function, without touching JAX's global setting."""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from cmapjax._labelled import arguments_by_name


def float64_on_host(function: Callable) -> Callable:
    """Called with plain arrays, the function computes in float64, in NumPy, and returns NumPy arrays.

    NumPy starts at once, where JAX outside compiled code compiles operation by operation: the function
    takes its operations from `namespace`. What it still takes from jax.numpy is computed in x64 mode, since
    JAX would otherwise cut float64 input down to float32. Inside a transformation (an argument is traced)
    the function is left alone, in the precision of its input. Vectors over agents that have names are put
    in the market's order first.
    """

    @functools.wraps(function)
    def wrapped(*args, **kwargs):
        args, kwargs = arguments_by_name(function, args, kwargs)
        leaves = jax.tree.leaves((args, kwargs))
        if any(isinstance(leaf, jax.core.Tracer) for leaf in leaves):
            return function(*args, **kwargs)
        if any(isinstance(leaf, jax.Array) for leaf in leaves):
            args, kwargs = jax.tree.map(_on_host, (args, kwargs))
        # Where the caller is being compiled, plain arrays are constants, worked out on the spot. What is
        # divided by zero has a stated value, as in compiled code.
        with jax.enable_x64(True), jax.ensure_compile_time_eval(), np.errstate(all="ignore"):
            return jax.tree.map(np.asarray, function(*args, **kwargs))

    return wrapped


def _on_host(x):
    is_plain = isinstance(x, jax.Array) and not jax.dtypes.issubdtype(x.dtype, jax.dtypes.extended)
    return np.asarray(x) if is_plain else x


def namespace(*values):
    """`jax.numpy` if any of these holds an array of JAX's, or else `numpy`: one text for both."""
    return jnp if any(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(values)) else np
