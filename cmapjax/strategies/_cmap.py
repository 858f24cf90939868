"""CMAP, the Community Maximizing Allocation Program, solved exactly."""

from typing import ClassVar

import equinox as eqx
import jax.numpy as jnp

from cmapjax.arguments._checks import check_fairness, check_hops
from cmapjax.strategies._base import Link, PostedStrategy, View, given_by_others
from cmapjax.strategies._capped import level_of, up_to


class CMAP(PostedStrategy):
    """The row that maximises the utility of the agent's community, all others' rows as they are.

    Maximises Σ_{j ∈ C_i^k} w_j log(c_j + y_ij) over y_ij ≥ 0, Σ_j y_ij = b_i, where c_j = u_j − y_ij is
    what others give to j. The solution fills up the poorest neighbours to a common water level L:
    y_ij = max(0, L w_j − c_j). The level is what an agent posts. Members more than one hop away add a
    constant to the objective, so every community of k ≥ 1 hops gives the same row. With k = 0 the community
    is the agent alone, whose utility does not depend on its own row; it then keeps its row.

    In a market with priorities, capacities and losses the answer is
    y_ij = min(K_ij, max(0, L β_j e_ij^(1/α−1) − c_j / e_ij)), with the claim β_j of the receiver, which is
    its priority if it has no demand. Claims are how demand is met: rows know nothing of it, and who has
    enough claims less.

    Args:
        community_hops: k = 0, 1, 2, …, or `math.inf` for everybody the agent is connected to.
        fairness: α > 0 of the welfare Σ b_j (u_j / b_j)^(1−α) / (1−α), the logarithm for 1; `math.inf` raises
            the least ratio. It matters only where there are losses.
        respects_demand: give nobody more than it can use, min(K_ij, (D_j − c_j)⁺ / e_ij), by priorities
            instead of claims. Welfare never falls, but a market may come to rest far from the optimum: two
            givers of one satisfied receiver cannot exchange their parts.

    Raises:
        ValueError: a negative or fractional k; an α that is not above 0.

    Source: derived in docs/model.md and docs/terms.md; the level is found by Newton's method, exact after
    finitely many steps because the level falls monotonically and the set of receivers can only shrink.
    """

    symbols: ClassVar[dict[str, str]] = {"hops": "community_hops"}
    community_hops: int | float = eqx.field(static=True, default=1)
    fairness: float = eqx.field(static=True, default=1.0)
    respects_demand: bool = eqx.field(static=True, default=False)

    def __check_init__(self):
        check_hops(self.community_hops)
        check_fairness(self.fairness)

    @property
    def uses_claims(self):
        return not self.respects_demand

    @property
    def may_keep(self):
        return self.respects_demand

    def post(self, view: View):
        if self.community_hops == 0:
            return None
        weight, base, most = self._program(view)
        return level_of(view.budget, weight, base, most)

    def flow(self, terms, link: Link):
        if self.community_hops == 0:
            return link.repeated
        return up_to(terms, *self._program(link))

    def _program(self, link: Link):
        """Weight ω_ij, base h_ij = c_j / e_ij, and the most that may be given or None, of every slot."""
        weight, base, most = link.claim, given_by_others(link), link.capacity
        if self.respects_demand and link.demand is not None:
            room = jnp.maximum(link.demand - base, 0)
            room = room if link.efficiency is None else room / link.efficiency
            most = room if most is None else jnp.minimum(most, room)
        if link.efficiency is not None:
            base = base / link.efficiency
            if self.fairness != 1:
                weight = weight * link.efficiency ** (1 / self.fairness - 1)
        return weight, base, most
