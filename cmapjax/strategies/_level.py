"""The water level: to which a row fills slots, weight by weight, above what they have already."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Float

from cmapjax.market._columns import pieces, total, total_of
from cmapjax.runtime._types import Array

# For rows up to this width Newton's steps are unrolled, one per neighbour, which always suffices; wider rows
# use a loop that ends with the slowest row.
STEPS = 4
# On a GPU the level of rows up to this width is found without steps: every slot is compared with every other.
AT_ONCE = 256
# If the level is within this many roundings of a slot's base, rounding decides whether the slot receives.
UNDECIDED = 8


def fill_up(
    budget: Float[Array, ""], weight: Float[Array, "slots"], base: Float[Array, "slots"]
) -> Float[Array, "slots"]:
    """The row max(0, L·weight − base) with the level L at which it sums to the budget."""
    return above_base(water_level(budget, weight, base), weight, base)


def above_base(level: tuple[Array, Array], weight: Array, base: Array) -> Array:
    """max(0, L·weight − base), where the level L is a sum of two numbers (see `water_level`)."""
    coarse, fine = level
    depth = weight * fine - (base - weight * coarse)
    return jnp.where(depth > 0, depth, 0)  # not jnp.maximum, whose slope at a tie is one half


@jax.custom_jvp
def water_level(
    budget: Float[Array, ""], weight: Float[Array, "slots"], base: Float[Array, "slots"]
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """The level L at which max(0, L·weight − base) sums to the budget, as a sum of two numbers.

    The first number is L to working precision, the second its error, so that a budget that is small compared
    with the bases is still spent to the last digits. Slots of weight 0 (and base 0) are padding.

    Newton's method from above: the level over any set of slots that includes the receivers is never too
    low, falls monotonically, and slots only drop out, so that it ends exactly after finitely many steps.

    Derivatives are those for the final set R of receivers, not of the search for it: L =
    (budget + Σ_R base) / Σ_R weight. Where R is about to change (a slot exactly at the level) that is the
    derivative of the side on which it gets nothing.
    """
    margin = _margin(base)
    level = (_found if weight.shape[0] <= AT_ONCE else _searched)(budget, weight, base)
    # Twice more in terms of what is needed to lift a slot to the level found, for the last digits.
    # (In each kernel the product below has this one use, so that all round it alike.)
    needed = base - weight * level
    rest = _over(budget, weight, 0, needed - margin, needed)
    rest = jnp.minimum(_over(budget, weight, rest, needed, needed), rest)
    return jnp.where(budget > 0, level, 0), jnp.where(budget > 0, rest, 0)


def _margin(base):
    # A slot within rounding of the level counts as below it, so that some slot always is; a level over too
    # many slots is too high by rounding only.
    return UNDECIDED * jnp.finfo(base.dtype).eps * base


def _over(budget, weight, level, bound, needed):
    """The level at which those slots take the whole budget that this one lifts above a bound."""
    # Written so that nothing is used twice where it can be helped: XLA then keeps a step in one kernel.
    width, slots = weight.shape[0], list(zip(pieces(weight), pieces(bound), pieces(needed), strict=True))
    capacity = total_of([jnp.where(w * level > c, w, 0) for w, c, _ in slots], width)
    filled = budget + total_of([jnp.where(w * level > c, n, 0) for w, c, n in slots], width)
    return filled / _some(capacity)


def _some(capacity):
    return jnp.maximum(capacity, jnp.finfo(capacity.dtype).tiny)  # over no slots, the level is out of reach


def _searched(budget, weight, base):
    """The level, to working precision, by Newton's method."""
    width, barely = weight.shape[0], base - _margin(base)

    def lower(level):  # never higher by rounding: rows end alike, however many further steps they take
        return jnp.minimum(_over(budget, weight, level, barely, base), level)

    level = (budget + total(base)) / _some(total(weight))
    if width <= STEPS:
        for _ in range(width - 1):
            level = lower(level)
        return level
    level, _ = jax.lax.while_loop(
        lambda levels: levels[0] < levels[1],
        lambda levels: (lower(levels[0]), levels[0]),
        (lower(level), level),
    )
    return level


def suited_to_device(searched: Callable, at_once: Callable) -> Callable:
    """A level of one row in the way that suits the device: by steps on a CPU, at once elsewhere."""

    @jax.custom_batching.custom_vmap
    def found(*row):
        return jax.lax.platform_dependent(*row, cpu=searched, default=at_once)

    @found.def_vmap
    def of_many(size, is_batched, *rows):
        # Agents last, as they are stored. JAX would put them first, and XLA transpose every array.
        rows = [
            jnp.moveaxis(x, 0, -1) if has else jnp.broadcast_to(x[..., None], (*x.shape, size))
            for x, has in zip(rows, is_batched, strict=True)
        ]
        by_steps = jax.vmap(searched, in_axes=-1, out_axes=-1)
        level = jax.lax.platform_dependent(*rows, cpu=by_steps, default=at_once)
        return jax.tree.map(lambda x: jnp.moveaxis(x, -1, 0), level), jax.tree.map(lambda _: True, level)

    return found


def _by_pairs(budget, weight, base):
    """The same without steps: the least of the levels over the slots of no larger base per weight than one's.

    The level over any set of slots is too high or right, and one of these sets is that of the receivers. On a
    GPU every step would be a launch, and whether another is needed would be asked from the CPU.
    """
    ratio = jnp.where(weight > 0, base / _some(weight), jnp.inf)
    is_up_to = ratio[:, None] <= ratio
    # As one complex number: of two totals XLA writes out who is compared with whom, width² numbers an agent.
    both = jnp.where(is_up_to, jax.lax.complex(base, weight)[:, None], 0).sum(axis=0)
    filled, capacity = budget + both.real, both.imag
    return jnp.min(jnp.where(weight > 0, filled / _some(capacity), jnp.inf), axis=0)


_found = suited_to_device(_searched, _by_pairs)


@water_level.defjvp
def _water_level_derivative(primals, tangents):
    # Written in terms of the level, so that it can be differentiated again.
    (_, weight, base), (budget_change, weight_change, base_change) = primals, tangents
    level = water_level(*primals)
    receives = above_base(level, weight, base) > 0
    capacity = total(jnp.where(receives, weight, 0))
    per_capacity = 1 / jnp.where(capacity > 0, capacity, 1)
    lift = jnp.where(receives, base_change - (level[0] + level[1]) * weight_change, 0)
    return level, (jnp.zeros_like(level[0]), (budget_change + total(lift)) * per_capacity)
