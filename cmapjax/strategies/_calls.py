"""Calls a strategy's own code, and checks the shape and type of what it returns while it is compiled.

Faults in the amounts (a row that misses the budget, say) are found by the run.
"""

import contextlib
import linecache
import os

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from cmapjax.runtime._types import Array

# Libraries whose frames are skipped when looking for the user's line that failed.
_LIBRARIES = {"cmapjax", "jax", "jaxlib", "equinox", "numpy", "optax", "jaxopt", "jaxtyping", "beartype"}
_ADVICE = "cmapjax.testing.check_strategy(strategy) tries every law that a strategy must obey"


class StrategyFault(ValueError):
    """A strategy whose code fails or returns no row; `what` is the message without the advice."""

    def __init__(self, what: str):
        super().__init__(f"{what} {_ADVICE}.")
        self.what = what


@contextlib.contextmanager
def brief_faults():
    """Passes on a `StrategyFault` without the frames of JAX and of this package in between."""
    try:
        yield
    except StrategyFault as fault:
        raise ValueError(str(fault)) from None


def is_of_package(part: eqx.Module) -> bool:
    """Whether a strategy and all its parts are classes of this package, which obey the laws."""
    fields = (x if isinstance(x, tuple) else (x,) for x in vars(part).values())
    inner = (x for field in fields for x in field if isinstance(x, eqx.Module))
    return _module(type(part)) == "cmapjax" and all(map(is_of_package, inner))


def respond(strategy, view) -> Float[Array, "neighbours"]:
    """What the strategy's `respond` answers.

    Raises:
        StrategyFault: it fails, or answers with something else than a row of the view's shape and type.
    """
    return _row(strategy, "respond", call(strategy, "respond", view), view.sent)


def flow(strategy, terms, link) -> Float[Array, "neighbours"]:
    """What the `flow` of a posted strategy returns; raises as `respond` does."""
    return _row(strategy, "flow", call(strategy, "flow", terms, link), link.sent)


def post(strategy, view):
    """What a posted strategy posts.

    Raises:
        StrategyFault: it fails, or posts something else than single numbers, in any tree.
    """
    terms = call(strategy, "post", view)
    for leaf in jax.tree.leaves(terms):
        is_number = isinstance(leaf, (bool, int, float, np.generic, np.ndarray, jax.Array))
        if not is_number or jnp.shape(leaf) != ():
            raise StrategyFault(
                f"{type(strategy).__name__}.post answered with {_kind(leaf)} among its terms; wanted are "
                "single numbers, the same for all neighbours."
            )
    return terms


def step(damping, view) -> Float[Array, ""]:
    """θ, from the rule's `step`.

    Raises:
        StrategyFault: it fails, or gives something else than one number.
    """
    theta = call(damping, "step", view)
    if not isinstance(theta, (int, float, np.generic, np.ndarray, jax.Array)) or jnp.shape(theta) != ():
        raise StrategyFault(
            f"{type(damping).__name__}.step answered with {_kind(theta)}; wanted is one number θ in (0, 1]."
        )
    return jnp.asarray(theta)


def call(rule, method: str, *given):
    """What a method of a strategy or of a rule of damping returns.

    Raises:
        StrategyFault: it raises anything. Errors of the package's own classes pass as they are.
    """
    if _module(type(rule)) == "cmapjax":
        return getattr(rule, method)(*given)
    try:
        return getattr(rule, method)(*given)
    except StrategyFault:
        raise
    except Exception as error:
        raise StrategyFault(_in_words(f"{type(rule).__name__}.{method}", error)) from None


def _row(strategy, method: str, row, like) -> Array:
    is_array = isinstance(row, (jax.Array, np.ndarray))
    if is_array and row.shape == like.shape and row.dtype == like.dtype:
        return row
    width = like.shape[0]
    wanted = f"wanted is an array of shape ({width},) and type {like.dtype}, one amount per entry of "
    wanted += "the view, 0 where is_neighbour is false" if method == "respond" else "the link"
    if is_array and row.shape == like.shape:
        wanted += f"; write .astype({'view' if method == 'respond' else 'link'}.sent.dtype)"
    raise StrategyFault(f"{type(strategy).__name__}.{method} answered with {_kind(row)}; {wanted}.")


def _kind(x) -> str:
    if isinstance(x, (jax.Array, np.ndarray, np.generic)):
        return f"shape {x.shape} and type {x.dtype}"
    return "None" if x is None else f"{type(x).__name__} {str(x)[:40]!r}"


def _in_words(name: str, error: Exception) -> str:
    """An error of a strategy's code as a sentence, with the line that raised it."""
    place = _blamed(error)
    match error:
        case jax.errors.TracerArrayConversionError():
            return (
                f"{name} hands an amount that is not known before the run to NumPy ({place}). Strategies are "
                "compiled: use jax.numpy there."
            )
        case jax.errors.NonConcreteBooleanIndexError():
            return (
                f"{name} picks entries by a mask that is not known before the run ({place}). Strategies are "
                "compiled, and rows keep their length: use jnp.where(mask, …, 0) there."
            )
        case jax.errors.ConcretizationTypeError() | jax.errors.TracerIntegerConversionError():
            return (
                f"{name} asks Python to decide by an amount that is not known before the run ({place}). "
                "Strategies are compiled: use jnp.where(condition, …, …) instead of if, and jnp.maximum, "
                "jnp.minimum, &, | instead of max, min, and, or."
            )
    text = (str(error).splitlines() or [""])[0]
    return f"{name} raised {type(error).__name__}: {text[:200]} ({place})."


def _blamed(error: Exception) -> str:
    """The file and line of the innermost call that is not in a library."""
    frame, found = error.__traceback__, None
    while frame is not None:
        if frame.tb_frame.f_globals.get("__name__", "").partition(".")[0] not in _LIBRARIES:
            found = frame
        frame = frame.tb_next
    if found is None:
        return "in code of a library"
    file = found.tb_frame.f_code.co_filename
    line = linecache.getline(file, found.tb_lineno).strip()
    return f"{os.path.basename(file)}, line {found.tb_lineno}" + (f": {line}" if 0 < len(line) < 80 else "")


def _module(kind: type) -> str:
    return kind.__module__.partition(".")[0]
