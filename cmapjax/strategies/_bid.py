"""Proportional response for markets of every kind: receivers bid, givers split in proportion to bids."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Float

from cmapjax.arguments._checks import check_fairness
from cmapjax.market._columns import total
from cmapjax.runtime._types import Array
from cmapjax.strategies._base import Link, PostedStrategy, View, equal_part
from cmapjax.strategies._capped import level_of, up_to


class BidResponse(PostedStrategy):
    """Each receiver bids its claim where value came from, and each giver splits in proportion to the bids.

    y_ij ← min(K_ij, P_i · y_ij β_j e_ij^(1/α) / u_j), with P_i such that i spends what it has; that is what
    an agent posts. What is left where all that is bid for is full goes to the others in equal parts. Without
    demands welfare never falls from round to round, whatever the capacities, efficiencies, priorities and
    directions, and misses the optimum by at most a constant divided by the number of rounds. In a market of
    endowments and values one round is two of `ProportionalResponse`.

    Args:
        fairness: α > 0 of the welfare Σ b_j (u_j / b_j)^(1−α) / (1−α), the logarithm for 1. It matters only
            where there are losses.

    Raises:
        ValueError: an α that is not above 0, or infinite.

    Source: docs/strategies.md; for α = 1 the proportional response of Birnbaum, Devanur and Xiao,
    Distributed algorithms via gradient descent for Fisher markets, EC 2011, with capacities and claims added.
    """

    known_as = ("bid",)
    fairness: float = eqx.field(static=True, default=1.0)

    def __check_init__(self):
        check_fairness(self.fairness, may_be_infinite=False)

    def post(self, view: View):
        return posted(view, self._bid(view))

    def flow(self, terms, link: Link):
        return given(terms, link, self._bid(link))

    def _bid(self, link: Link) -> Float[Array, "..."]:
        """ω_ij = y_ij β_j e_ij^(1/α) / u_j."""
        has = link.utility > 0
        bid = link.sent * link.claim / jnp.where(has, link.utility, 1)
        if link.efficiency is not None:
            bid = bid * link.efficiency ** (1 / self.fairness)
        return jnp.where(has, bid, 0)


def posted(view: View, weight: Float[Array, "..."]):
    """What a giver posts that splits in proportion to weights: the price P_i, and an even rest."""
    weight = jnp.where(view.is_neighbour, weight, 0)
    if view.capacity is None:
        bids = total(weight)
        price = jnp.where(bids > 0, view.budget / jnp.where(bids > 0, bids, 1), 0)
        return price, jnp.where(bids > 0, 0, equal_part(view))
    none, others = jnp.zeros_like(weight), (view.is_neighbour & (weight == 0)).astype(weight.dtype)
    price = level_of(view.budget, weight, none, view.capacity)
    row = up_to(price, weight, none, view.capacity)
    # Bids take all that there is, unless every link with a bid is full, or there is none.
    takes_all = total(((weight > 0) & (row < view.capacity)).astype(row.dtype)) > 0
    rest = jnp.where(takes_all, 0, jnp.maximum(view.budget - total(row), 0))
    return price, level_of(rest, others, none, view.capacity)


def given(terms, link: Link, weight: Float[Array, "..."]) -> Float[Array, "..."]:
    """What the giver that posted these terms gives along a link of this weight: min(K_ij, P_i · weight)."""
    price, even = terms
    if link.capacity is None:
        return jnp.where(weight > 0, price * weight, even)
    none, one = jnp.zeros_like(weight), jnp.ones_like(weight)
    answer = up_to(price, weight, none, link.capacity)
    return jnp.where(weight > 0, answer, up_to(even, one, none, link.capacity))
