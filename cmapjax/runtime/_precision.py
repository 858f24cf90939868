"""float64 for whoever calls from outside a compiled function, without touching JAX's global setting."""

import functools
import threading
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from cmapjax.arguments._labelled import arguments_by_name
from cmapjax.runtime._settings import in_x64, new_views, on_host, standard_settings

# Whether this thread is inside a function that computes in NumPy: those it calls need not ask again.
_thread = threading.local()


def float64_on_host(function: Callable) -> Callable:
    """Called with plain arrays, the function computes in float64, in NumPy, and returns NumPy arrays.

    NumPy starts at once, where JAX outside compiled code compiles operation by operation: the function
    takes its operations from `namespace`, and calls nothing that compiles. Inside a transformation (an
    argument is traced) the function is left alone, in the precision of its input, but for JAX's settings
    (`_settings`). Vectors over agents that have names are put in the market's order first.
    """

    @functools.wraps(function)
    def wrapped(*args, **kwargs):
        if is_in_numpy():  # the arguments are those of a function that has looked at its own
            return function(*args, **kwargs)
        args, kwargs = arguments_by_name(function, args, kwargs)
        leaves = [leaf for leaf in jax.tree.leaves((args, kwargs)) if type(leaf) is not np.ndarray]
        if any(isinstance(leaf, jax.Array) for leaf in leaves):
            is_traced = any(isinstance(leaf, jax.core.Tracer) for leaf in leaves)
            with standard_settings():
                # With `disable_jit` what would be compiled runs as it is written, on arrays nobody traces.
                if is_traced or (jax.config.jax_disable_jit and in_x64()):
                    args, kwargs = new_views((args, kwargs))
                    return function(*args, **kwargs)
                args, kwargs = on_host((args, kwargs))
        # What is divided by zero has a stated value, as in compiled code.
        _thread.in_numpy = True
        try:
            with np.errstate(all="ignore"):
                return jax.tree.map(np.asarray, function(*args, **kwargs))
        finally:
            _thread.in_numpy = False

    return wrapped


def is_in_numpy() -> bool:
    """Whether a function called with plain arrays is at work here, in NumPy."""
    return getattr(_thread, "in_numpy", False)


def namespace(*values):
    """`jax.numpy` if any of these holds an array of JAX's, or else `numpy`: one text for both."""
    if is_in_numpy():
        return np
    return jnp if any(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(values)) else np
