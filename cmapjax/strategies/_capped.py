"""Water levels of rows whose slots have a most."""

import jax
import jax.numpy as jnp
from jaxtyping import Float

from cmapjax.market._columns import pieces, total, total_of
from cmapjax.runtime._types import Array
from cmapjax.strategies._level import AT_ONCE, above_base, suited_to_device, water_level

Slots = Float[Array, "slots"]
Level = tuple[Float[Array, ""], Float[Array, ""]]
"""A level as a sum of two numbers (see `water_level`)."""

# What is given is the budget if it differs by at most this many roundings.
SPENT = 4
# A level found in working precision is within this many roundings of the right one.
NEAR = 64


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

    If all capacities together are less than the budget, the level is one that fills every slot.

    Derivatives are those for the final set of slots that are neither full nor empty.

    Source: variable fixing; Kiwiel, Variable fixing algorithms for the continuous quadratic knapsack problem,
    J. Optim. Theory Appl. 136, 2008.
    """
    found = _found if weight.shape[0] <= AT_ONCE else _searched
    level = found(budget, weight, base, capacity)
    return tuple(jnp.where(budget > 0, number, 0) for number in level)


def _searched(budget, weight, base, capacity) -> Level:
    """By trial: whoever is full at a level that is too low, or empty at one that is too high, stays so, and
    the next level is that at which the others take the rest. Once more in terms of what is needed to lift a
    slot to the level found, for the last digits."""
    wide, far = total(weight), jnp.full_like(budget, jnp.inf)
    first = (budget + total(base)) / jnp.where(wide > 0, wide, 1)
    coarse = _search(budget, weight, base, capacity, (first, -far, far))
    near = NEAR * jnp.finfo(base.dtype).eps * jnp.abs(coarse)
    start = jnp.zeros_like(coarse), -near, near
    return coarse, _search(budget, weight, base - weight * coarse, capacity, start)


def _search(budget, weight, base, capacity, start):
    """The level, from one to start with and two between which it lies."""
    slots = list(zip(*map(pieces, (weight, base, capacity)), strict=True))

    def step(at):
        level, low, high, _ = at
        new = _next(budget, slots, weight.shape[0], *at[:-1])
        new = jnp.where((new > low) & (new < high), new, level)  # it is, but for rounding
        # The next level tells on which side the last one was: nothing but it leaves the kernel above.
        return new, jnp.where(new > level, level, low), jnp.where(new < level, level, high), new != level

    return jax.lax.while_loop(lambda at: at[-1], step, (*start, jnp.ones(budget.shape, bool)))[0]


def _next(budget, slots, width: int, level, low, high):
    """The next level to try, or this one if it is right."""
    given = total_of([_clipped(w * level - h, k) for w, h, k in slots], width)
    is_high = given > budget
    low, high = jnp.where(is_high, low, level), jnp.where(is_high, level, high)
    is_full = [w * low - h >= k for w, h, k in slots]
    is_some = [w * high > h for w, h, _ in slots]
    rest, wide = _open(budget, slots, width, is_full, is_some)
    is_off = jnp.abs(given - budget) > SPENT * jnp.finfo(budget.dtype).eps * budget
    # Where nothing is open, all are full or empty. The last condition fails by rounding only.
    moves = is_off & (wide > 0) & jnp.where(is_high, rest < level * wide, rest > level * wide)
    return jnp.where(moves, rest, level) / jnp.where(moves, wide, 1)


def _clipped(depth, capacity):
    return jnp.minimum(jnp.maximum(depth, 0), capacity)


def _open(budget, slots, width: int, is_full, is_some):
    """What slots that are neither full nor empty take, their bases included, and their weight."""
    given = [
        jnp.where(full, -k, jnp.where(some, h, 0))
        for full, some, (_, h, k) in zip(is_full, is_some, slots, strict=True)
    ]
    weights = [
        jnp.where(some & ~full, w, 0) for full, some, (w, _, _) in zip(is_full, is_some, slots, strict=True)
    ]
    return budget + total_of(given, width), total_of(weights, width)


def _at_once(budget, weight, base, capacity) -> Level:
    """Without steps (see `_by_pairs` in `_level`): what is given at every level at which a slot begins to
    receive or is full tells between which of them the level lies."""

    def find(base):
        some = jnp.where(weight > 0, weight, 1)
        ends = [jnp.where(weight > 0, x / some, jnp.inf) for x in (base, base + capacity)]
        at = jnp.concatenate(ends)
        given = _clipped(weight[:, None] * at - base[:, None], capacity[:, None]).sum(axis=0)
        low = jnp.max(jnp.where((at < jnp.inf) & (given <= budget), at, -jnp.inf), axis=0)
        high = jnp.min(jnp.where((at < jnp.inf) & (given > budget), at, jnp.inf), axis=0)
        slot, masks = (weight, base, capacity), (ends[1] <= low, ends[0] < high)
        rest, wide = _open(budget, [slot], AT_ONCE, *([mask] for mask in masks))
        least = jnp.where(low > -jnp.inf, low, 0)
        return jnp.where(wide > 0, rest, least) / jnp.where(wide > 0, wide, 1)

    coarse = find(base)
    return coarse, find(base - weight * coarse)


_found = suited_to_device(_searched, _at_once)


@capped_level.defjvp
def _derivative(primals, tangents):
    (_, weight, base, capacity), changes = primals, tangents
    level = capped_level(*primals)
    row = above_base(level, weight, base)
    is_full = (row >= capacity) & (weight > 0)
    receives = (row > 0) & ~is_full
    wide = total(jnp.where(receives, weight, 0))
    lift = jnp.where(receives, changes[2] - (level[0] + level[1]) * changes[1], 0)
    lift = lift - jnp.where(is_full, changes[3], 0)
    change = (changes[0] + total(lift)) / jnp.where(wide > 0, wide, 1)
    return level, (jnp.zeros_like(level[0]), jnp.where(wide > 0, change, 0))
