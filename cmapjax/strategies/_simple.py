"""Strategies that use only the agent's own receipts, or nothing."""

import jax.numpy as jnp
import numpy as np

from cmapjax.market._columns import largest, total
from cmapjax.strategies._base import Link, PostedStrategy, Strategy, View, equal_part, repeat
from cmapjax.strategies._capped import capped_level, up_to

# Posted by an agent that has received nothing, so that it repeats its last row.
AS_BEFORE = -1.0


class EqualSplit(PostedStrategy):
    """Every neighbour gets the same: y_ij = b_i / deg(i). The baseline, which uses no information.

    Where a link's capacity is less, that goes along it, and the others share the rest equally.
    """

    def post(self, view: View):
        if view.capacity is None:
            return equal_part(view)
        one = view.is_neighbour.astype(view.sent.dtype)
        return capped_level(view.budget, one, jnp.zeros_like(one), view.capacity)

    def flow(self, terms, link: Link):
        if link.capacity is None:
            return jnp.broadcast_to(terms, link.sent.shape)
        return up_to(terms, jnp.ones_like(link.sent), jnp.zeros_like(link.sent), link.capacity)


class ProportionalResponse(PostedStrategy):
    """Each neighbour gets in proportion to what it gave: y_ij = b_i y_ji / Σ_k y_ki.

    A self-maximising strategy: an agent uses only its own receipts. It posts b_i / Σ_k y_ki, what it returns
    per unit received. An agent that received nothing repeats its last row.

    Source: Wu and Zhang, Proportional response dynamics leads to market equilibrium, STOC 2007.
    """

    known_as = ("pr",)

    def check_market(self, market):
        check_is_exchange(
            "ProportionalResponse", market, "BidResponse(), its form for such markets, or CMAP()"
        )

    def post(self, view: View):
        received = total(view.received)
        has = received > 0
        return jnp.where(has, view.budget / jnp.where(has, received, 1), AS_BEFORE)

    def flow(self, terms, link: Link):
        return jnp.where(terms >= 0, terms * link.received, link.repeated)


class SelfishBestReply(Strategy):
    """All goes to the neighbours that gave most of what they contribute: those with the largest y_ji / w_j.

    Tied neighbours share equally; an agent that received nothing repeats its last row. The rule follows
    file-sharing clients, which give to those who serve them best, but leaves out their exploration. Measuring
    what a neighbour gave against its contribution is this package's definition.

    Source: after Cohen, Incentives build robustness in BitTorrent, 2003, and Levin et al., BitTorrent
    is an auction, SIGCOMM 2008.
    """

    known_as = ("selfish",)

    def check_market(self, market):
        check_is_exchange("SelfishBestReply", market, "CMAP() or BidResponse()")

    def respond(self, view: View):
        known = view.is_neighbour & (view.contribution > 0)
        generosity = jnp.where(known, view.received / jnp.where(known, view.contribution, 1), -1)
        best = largest(generosity)
        chosen = known & (generosity == best)
        count = total(chosen.astype(view.sent.dtype))
        even = jnp.where(chosen, view.budget / jnp.maximum(count, 1), 0)
        return jnp.where(best > 0, even, repeat(view))


def check_is_exchange(name: str, market, remedy: str) -> None:
    """Raise ValueError unless everybody contributes, without demands, own use, capacities or losses.

    Args:
        name: of the strategy, which measures others by what they contribute or gave.
        remedy: strategies that know other markets.
    """
    contribution = np.asarray(market.contribution)
    is_entry = np.asarray(market.links.is_entry)
    fields = {
        "priority": market.priority is not None and np.any(np.asarray(market.priority) != contribution),
        "demand": market.demand is not None and np.any(np.asarray(market.demand) < np.inf),
        "own_use": market.own_use is not None and np.any(np.asarray(market.own_use) > 0),
        "capacity": market.capacity is not None and np.any(np.asarray(market.capacity)[is_entry] < np.inf),
        "efficiency": market.efficiency is not None and np.any(np.asarray(market.efficiency)[is_entry] != 1),
        "endowment": np.any(contribution == 0),
    }
    for field, matters in fields.items():
        if matters:
            what = "endowments of 0" if field == "endowment" else f"the field {field}"
            raise ValueError(
                f"strategy: {name} answers what neighbours gave or contribute, and leads nowhere in a market "
                f"with {what}; use {remedy}."
            )
