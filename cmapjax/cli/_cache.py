"""Compiled programs are kept for the next command, where that is possible."""

import warnings

from cmapjax.runtime._compilation_cache import OFF, compilation_cache


def switch_on() -> None:
    """`compilation_cache()`, without loading JAX; where the folder cannot be written, a warning and none."""
    try:
        compilation_cache()
    except ValueError as error:
        warnings.warn(str(error), stacklevel=2)
        compilation_cache(OFF)
