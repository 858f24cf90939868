"""CMAP, the Community Maximizing Allocation Program, solved exactly."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Float

from cmapjax._checks import check_hops
from cmapjax._columns import smallest, total
from cmapjax._types import Array
from cmapjax.strategies._base import Strategy, View, given_by_others, repeat

# Newton steps written out one after another (they fuse into one kernel); rows that need more, which is
# rare, go on in a loop. A row of d neighbours never needs more than d.
UNROLLED_STEPS = 4


class CMAP(Strategy):
    """The row that maximises the utility of the agent's community, all others' rows as they are.

    Maximises Σ_{j ∈ C_i^k} w_j log(c_j + y_ij) over y_ij ≥ 0, Σ_j y_ij = b_i, where c_j = u_j − y_ij is
    what others give to j. The solution fills up the poorest neighbours to a common water level L:
    y_ij = max(0, L w_j − c_j). Members more than one hop away enter the objective by a constant, so
    every community of k ≥ 1 hops gives the same row; with k = 0 the community is the agent itself,
    which its own row does not touch, so it is indifferent and keeps its row.

    Args:
        community_hops: k = 0, 1, 2, …, or `math.inf` for everybody the agent is connected to.

    Raises:
        ValueError: a negative or fractional k.

    Source: derived in docs/model.md; the level is found by Newton's method, exact after finitely many
    steps because the level falls monotonically and the set of receivers can only shrink.
    """

    community_hops: int | float = eqx.field(static=True, default=1)

    def __check_init__(self):
        check_hops(self.community_hops)

    def respond(self, view: View):
        if self.community_hops == 0:
            return repeat(view)
        return fill_up(view.budget, view.contribution, given_by_others(view))


@jax.custom_jvp
def fill_up(
    budget: Float[Array, ""], weight: Float[Array, "slots"], base: Float[Array, "slots"]
) -> Float[Array, "slots"]:
    """The row max(0, L·weight − base) with the level L at which it sums to the budget.

    Slots of weight 0 get nothing. Everything is measured from the lowest ratio base/weight up, so that
    a budget small beside the bases is still spent to the last digits.

    Derivatives are those of the set R of receivers as it stands, not of the search for it: on R the row
    is L·weight − base with L = (budget + Σ_R base) / Σ_R weight, elsewhere zero. Where R is about to
    change (a slot exactly at the level) that is the derivative of the side on which it gets nothing.
    """
    present = weight > 0
    ratio = jnp.where(present, base / jnp.where(present, weight, 1), jnp.inf)
    depth = ratio - jnp.where(jnp.isfinite(ratio), smallest(ratio), 0)
    needed = jnp.where(present, weight * depth, 0)  # to lift the slot's depth from the lowest ratio
    level = _search_level(budget, weight, depth, needed)
    level = _level_over(depth < level, budget, weight, needed)
    # A budget of zero leaves the level at zero and nobody below it.
    return jnp.where(present, jnp.maximum(weight * level - needed, 0), 0)


@fill_up.defjvp
def _fill_up_derivative(primals, tangents):
    # Written in terms of the row, so that it can be differentiated again.
    (_, weight, base), (budget_change, weight_change, base_change) = primals, tangents
    row = fill_up(*primals)
    receives = row > 0
    weight = jnp.where(receives, weight, 0)
    capacity = total(weight)
    per_capacity = 1 / jnp.where(capacity > 0, capacity, 1)
    level = total(jnp.where(receives, row + base, 0)) * per_capacity
    lift = jnp.where(receives, base_change - level * weight_change, 0)
    level_change = (budget_change + total(lift)) * per_capacity
    return row, weight * level_change - lift


def _search_level(budget, weight, depth, needed):
    """The level to the last digits, found by Newton's method from above."""

    def newton(level):
        return _level_over(depth < level, budget, weight, needed)

    level = newton(jnp.inf)
    for _ in range(min(UNROLLED_STEPS, weight.shape[0])):
        level = newton(level)
    if weight.shape[0] > UNROLLED_STEPS:
        level, _ = jax.lax.while_loop(
            lambda levels: levels[0] < levels[1],
            lambda levels: (newton(levels[0]), levels[0]),
            (newton(level), level),
        )
    return level


def _level_over(receives, budget, weight, needed):
    """The level at which just these slots take the whole budget."""
    capacity = total(jnp.where(receives, weight, 0))
    return (budget + total(jnp.where(receives, needed, 0))) / jnp.where(capacity > 0, capacity, 1)
