"""float64 for calls from outside compiled functions, without changing JAX's global setting."""

import functools
import threading
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from cmapjax.arguments._checks import check_ordinary
from cmapjax.arguments._labelled import arguments_by_name
from cmapjax.runtime._settings import in_x64, new_views, on_host, standard_settings

# Whether this thread is inside a function that computes in NumPy, so that nested calls need not check again.
_thread = threading.local()


def float64_on_host(function: Callable | None = None, *, any_market: bool = False) -> Callable:
    """Makes a function compute in NumPy and float64, and return NumPy arrays, when given plain arrays.

    NumPy starts at once, whereas JAX outside compiled code compiles operation by operation. The function
    takes its operations from `namespace`, and calls nothing that compiles. Inside a transformation (if an
    argument is traced) it runs unchanged, in the precision of its input, with JAX's settings of `_settings`.
    Vectors over agents that have names are first put in the market's order.

    Args:
        any_market: for functions that know markets with more than endowments and values (`Market.terms`).
    """
    if function is None:
        return functools.partial(float64_on_host, any_market=any_market)

    @functools.wraps(function)
    def wrapped(*args, **kwargs):
        if is_in_numpy():  # called by such a function, which has converted its arguments
            return function(*args, **kwargs)
        if not any_market:
            check_ordinary(function.__name__, (*args, *kwargs.values()))
        args, kwargs = arguments_by_name(function, args, kwargs)
        leaves = [leaf for leaf in jax.tree.leaves((args, kwargs)) if type(leaf) is not np.ndarray]
        if any(isinstance(leaf, jax.Array) for leaf in leaves):
            is_traced = any(isinstance(leaf, jax.core.Tracer) for leaf in leaves)
            with standard_settings():
                # With `disable_jit`, code that would be compiled runs step by step, on arrays that are not
                # traced.
                if is_traced or (jax.config.jax_disable_jit and in_x64()):
                    args, kwargs = new_views((args, kwargs))
                    return function(*args, **kwargs)
                args, kwargs = on_host((args, kwargs))
        # Divisions by zero have a stated value, as in compiled code, so NumPy's warnings are not wanted.
        _thread.in_numpy = True
        try:
            with np.errstate(all="ignore"):
                return jax.tree.map(np.asarray, function(*args, **kwargs))
        finally:
            _thread.in_numpy = False

    return wrapped


def is_in_numpy() -> bool:
    """Whether this thread is inside a function that computes in NumPy."""
    return getattr(_thread, "in_numpy", False)


def namespace(*values):
    """`jax.numpy` if any of these holds a JAX array, else `numpy`, so that one function serves both."""
    if is_in_numpy():
        return np
    return jnp if any(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(values)) else np
