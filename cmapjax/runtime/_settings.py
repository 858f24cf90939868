"""Runs public functions with the settings of JAX that the package needs, whatever the user has set.

It also distinguishes plain calls, which compute numbers in float64, from calls inside a transformation of JAX
(jit, grad, vmap, scan), which are part of the user's program and are computed after they have returned.

JAX caches by object how it has read a NumPy array. An array read in 32-bit mode stays float32 in x64 mode
while a compiled program holds it, and vice versa (0.10 to 0.11; a program then gets arguments of another type
than it was compiled for). So JAX is always given new views of arrays and never the arrays themselves.
"""

import contextlib
import functools
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from cmapjax.arguments._checks import check_ordinary
from cmapjax.runtime._generator import GENERATOR
from cmapjax.runtime._programs import forget_if_many

# With these settings a result depends on the arguments only. Debugging of infinities and NaNs is off, because
# agents that have nothing cause them, and later steps leave them out. Settings that are not here change no
# result, or the user wants their effect: `disable_jit`, `check_tracer_leaks`, the device, logging, XLA's
# flags.
STANDARD = {
    "debug_infs": False,
    "debug_nans": False,
    "default_matmul_precision": None,
    "default_prng_impl": GENERATOR,
    "numpy_dtype_promotion": "standard",
    "numpy_rank_promotion": "allow",
    "threefry_partitionable": True,
}
# XLA's newer emitters of fused loops for CPUs take a fifth of compiling. What they write is faster where much
# is drawn at random, and not faster where markets are small. Other devices leave the option out.
QUICKLY = {"xla_cpu_use_fusion_emitters": False}
GUARDS = (
    "transfer_guard",
    "transfer_guard_host_to_device",
    "transfer_guard_device_to_host",
    "transfer_guard_device_to_device",
)
NEEDS_X64 = (
    "{name}: jit, vmap, scan and derivatives of it need JAX's x64 mode around them, since JAX compiles and "
    "differentiates after the call has left its own; write `with jax.enable_x64(True): "
    'slope = jax.grad(objective)(x)`, or set `jax.config.update("jax_enable_x64", True)` once. '
    'This holds for precision="float32" too.'
)
NOT_TRACED = "{name} works on plain numbers, not inside jit, vmap, scan or a derivative: {remedy}."


def is_traced(tree) -> bool:
    """Whether a JAX transformation traces anything in the tree."""
    return any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(tree))


def in_x64() -> bool:
    """Whether JAX is in its x64 mode here."""
    return jax.config.jax_enable_x64


def check_x64(name: str) -> None:
    """Raise ValueError, for a function of this name, unless JAX is in its x64 mode here."""
    if not in_x64():
        raise ValueError(NEEDS_X64.format(name=name))


def check_plain(name: str, tree, remedy: str) -> None:
    """Raise ValueError, for a function of this name, if anything in the tree is traced."""
    if is_traced(tree):
        raise ValueError(NOT_TRACED.format(name=name, remedy=remedy))


def compiled(function: Callable | None = None, *, donate: str = "none", quickly: bool = False) -> Callable:
    """`equinox.filter_jit` of the function, which gets JAX arrays even if `disable_jit` is set.

    Args:
        donate: which arguments' memory results may take, as `equinox.filter_jit` has it.
        quickly: whether compiling counts for more than running: with `QUICKLY`. JAX refuses that inside
            another program.
    """
    if function is None:
        return functools.partial(compiled, donate=donate, quickly=quickly)

    @functools.wraps(function)
    def with_arrays(*args, **kwargs):
        if jax.config.jax_disable_jit:
            args, kwargs = jax.tree.map(
                lambda x: jnp.asarray(x) if isinstance(x, np.ndarray) else x, (args, kwargs)
            )
        return function(*args, **kwargs)

    options = {"compiler_options": QUICKLY} if quickly else {}
    return eqx.filter_jit(with_arrays, donate=donate, **options)


def new_views(tree):
    """The tree with new views of its NumPy arrays."""
    return jax.tree.map(lambda x: x.view() if type(x) is np.ndarray else x, tree)


def on_host(tree):
    """The tree with JAX arrays converted to NumPy, whose precision does not depend on JAX's settings."""

    def convert(x):
        is_number = isinstance(x, jax.Array) and not jax.dtypes.issubdtype(x.dtype, jax.dtypes.extended)
        return np.asarray(x) if is_number and not isinstance(x, jax.core.Tracer) else x

    return jax.tree.map(convert, tree)


def standard_settings() -> contextlib.AbstractContextManager:
    """JAX's settings as in `STANDARD`, in this thread, and no guard on transfers."""
    contexts = [
        getattr(jax, name)(value) for name, value in STANDARD.items() if _setting(name) not in (value, None)
    ]
    if any(_setting(name) not in ("allow", None) for name in GUARDS):
        contexts.append(jax.transfer_guard("allow"))
    if not contexts:  # the usual case, which should take no time
        return contextlib.nullcontext()
    stack = contextlib.ExitStack()
    for context in contexts:
        stack.enter_context(context)
    return stack


def _setting(name: str):
    """The present value of a setting; None if there is none."""
    present = getattr(jax.config, f"jax_{name}")
    return getattr(present, "value", present)  # some settings are enumerations


def entry(
    function: Callable | None = None,
    *,
    remedy: str | None = None,
    any_precision: bool = False,
    any_market: bool = False,
) -> Callable:
    """A public function that runs compiled code, in x64 mode and with the standard settings.

    With plain arguments it computes at once, also inside a transformation, where its results are constants.
    With traced arguments it becomes part of the transformation, which must be in x64 mode.

    Args:
        remedy: for functions that only take plain numbers, what to do instead of tracing them.
        any_precision: for functions that enter no compiled code of the package when traced: they follow the
            transformation's precision, 32-bit too.
        any_market: for functions that know markets with more than endowments and values (`Market.terms`).

    Raises:
        ValueError: traced arguments, and JAX is not in x64 mode or the function takes plain numbers only; a
            market that the function does not know.
    """
    if function is None:
        return functools.partial(entry, remedy=remedy, any_precision=any_precision, any_market=any_market)

    @functools.wraps(function)
    def wrapped(*args, **kwargs):
        if not any_market:
            check_ordinary(function.__name__, (*args, *kwargs.values()))
        if remedy is not None:
            check_plain(function.__name__, (args, kwargs), remedy)
        traced = is_traced((args, kwargs))
        if traced and any_precision:
            with standard_settings():
                args, kwargs = new_views((args, kwargs))
                return function(*args, **kwargs)
        if traced:
            check_x64(function.__name__)
        if not traced:
            forget_if_many()
        at_once = contextlib.nullcontext() if traced else jax.ensure_compile_time_eval()
        with standard_settings(), jax.enable_x64(True), at_once:
            args, kwargs = new_views((args, kwargs))
            result = on_host(function(*args, **kwargs))
        # A function among the arguments, such as one to record, may close over traced numbers.
        if not traced and is_traced(result):
            check_x64(function.__name__)
        return result

    return wrapped
