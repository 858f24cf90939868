"""Shares of contributions: every agent's row on the unit simplex."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from cmapjax.market._market import Market
from cmapjax.runtime._types import Array


def optax_projection() -> Callable:
    """`optax.projections.projection_simplex`, imported when first asked for."""
    from optax.projections import projection_simplex

    return projection_simplex


def as_projection(given: str | Callable) -> Callable:
    """A projection, given as such or as the name of the library that has it: optax or jaxopt."""
    if given == "optax":
        return optax_projection()
    if given == "jaxopt":
        from cmapjax.strategies._gradient import import_jaxopt

        return import_jaxopt().projection.projection_simplex
    return given


def project_rows(market: Market, projection: Callable, x: Float[Array, "slots"]) -> Float[Array, "slots"]:
    """Every row onto its simplex, padding to 0. Shifting a row changes nothing but keeps its digits.

    Args:
        projection: of one vector (`optax_projection`).
        x: a number per slot, whatever stands on padding.
    """
    # Large, negative and finite: −inf would become NaN in the projection's cumulative sum.
    absent = -np.sqrt(np.finfo(x.dtype).max)
    rows = []
    for block, present in zip(
        market.links.blocks(x), market.links.blocks(market.links.is_entry), strict=True
    ):
        block = jnp.where(present, block, -jnp.inf)
        block = jnp.maximum(block - jnp.max(block, axis=0), absent)
        rows.append(jnp.where(present, jax.vmap(projection, in_axes=-1, out_axes=-1)(block), 0))
    return market.links.join(rows)
