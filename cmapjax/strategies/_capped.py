"""Water levels of rows whose slots have a most."""

import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float

from cmapjax.market._columns import largest, total
from cmapjax.runtime._types import Array
from cmapjax.strategies._level import above_base, water_level

Slots = Float[Array, "slots"]
Level = tuple[Float[Array, ""], Float[Array, ""]]
"""A level as a sum of two numbers (see `water_level`)."""


def up_to(level: Level, weight: Array, base: Array, capacity: Array | None) -> Array:
    """min(K, max(0, L·weight − base))."""
    row = above_base(level, weight, base)
    return row if capacity is None else jnp.where(row < capacity, row, capacity)


def level_of(budget: Float[Array, ""], weight: Slots, base: Slots, capacity: Slots | None) -> Level:
    """The level of a row with or without capacities."""
    if capacity is None:
        return water_level(budget, weight, base)
    return capped_level(budget, weight, base, capacity)


@jax.custom_jvp
def capped_level(budget: Float[Array, ""], weight: Slots, base: Slots, capacity: Slots) -> Level:
    """The level L at which min(K, max(0, L·weight − base)) sums to the budget; slots of weight 0 are padding.

    Slots are filled to a common level, those that it fills are fixed at their capacity, and the others share
    the rest, again and again. The level only rises, so what is full stays full. If all capacities together
    are less than the budget, the level is one that fills every slot.

    Derivatives are those for the final set of slots that are neither full nor empty.
    """
    return _peeled(budget, weight, base, capacity)[0]


def _peeled(budget, weight, base, capacity) -> tuple[Level, Bool[Array, "slots"]]:
    """The level, and which slots it fills."""

    def fill(full):
        rest = jnp.maximum(budget - total(jnp.where(full, capacity, 0)), 0)
        level = water_level(rest, jnp.where(full, 0, weight), jnp.where(full, 0, base))
        return level, full | ((weight > 0) & (above_base(level, weight, base) >= capacity))

    def again(carry):
        _, full, now_full = carry
        return jnp.any(now_full != full)

    def peel(carry):
        before, _, full = carry
        level, now_full = fill(full)
        # Where nothing is left for the others, the level that has filled the full ones stays.
        rises = level[0] + level[1] > before[0] + before[1]
        return tuple(jnp.where(rises, *both) for both in zip(level, before, strict=True)), full, now_full

    none = jnp.zeros(weight.shape, bool)
    level, full = fill(none)
    level, full, _ = jax.lax.while_loop(again, peel, (level, none, full))
    is_open = (weight > 0) & ~full
    # Where every slot is full, the level that fills the last of them; twice that, against rounding.
    some = jnp.where(weight > 0, weight, 1)
    highest = 2 * largest(jnp.where((weight > 0) & (capacity < jnp.inf), (capacity + base) / some, 0))
    any_open = largest(is_open.astype(weight.dtype)) > 0
    coarse, fine = level
    return (jnp.where(any_open, coarse, highest), jnp.where(any_open, fine, 0)), full


@capped_level.defjvp
def _derivative(primals, tangents):
    (_, weight, base, _), changes = primals, tangents
    level, full = _peeled(*primals)
    receives = (above_base(level, weight, base) > 0) & ~full
    wide = total(jnp.where(receives, weight, 0))
    lift = jnp.where(receives, changes[2] - (level[0] + level[1]) * changes[1], 0)
    lift = lift - jnp.where(full & (weight > 0), changes[3], 0)
    change = (changes[0] + total(lift)) / jnp.where(wide > 0, wide, 1)
    return level, (jnp.zeros_like(level[0]), jnp.where(wide > 0, change, 0))
