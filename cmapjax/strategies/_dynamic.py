"""A strategy that uses what neighbours have received so far, and not only in the last round."""

import jax.numpy as jnp

from cmapjax.market._columns import smallest, total
from cmapjax.strategies._base import Link, PostedStrategy, View
from cmapjax.strategies._simple import check_is_exchange

# Running ratios within this many roundings of the smallest count as tied: averages of equal receipts differ
# by that much if they are added up in another order.
TIED = 16


class DynamicSharing(PostedStrategy):
    """All goes to the neighbour served worst so far: the one with the smallest running ratio ū_j / w_j.

    ū_j is what neighbour j has received per round so far, w_j its mean contribution. Tied neighbours share
    equally. Rows do not converge, because each row moves everything from one round to the next; the running
    averages approach the equilibrium. Averages are announced at the end of a round, so turns within a round
    make no difference; who takes part does. An agent posts the ratio up to which it gives, and how much.

    The rule is this package's reading of the dynamic sharing policy of Georgiadis, Iosifidis and
    Tassiulas, by which "each node observes the sharing rates of its neighbors and allocates its resource
    accordingly" (their abstract); details may differ from theirs. The rule is gradient scheduling:
    1 / r_j = w_j / u_j is the slope of Σ w_j log u_j, so the agent gives where the welfare of the averages
    rises fastest, which is the Frank-Wolfe method with a step of 1/t in round t. Stolyar proved that such a
    rule is asymptotically optimal when resources are random.

    Source: after Georgiadis, Iosifidis and Tassiulas, On the efficiency of sharing economy networks, IEEE
    Trans. Network Science and Engineering 7, 2020 (arXiv 1703.09669); Stolyar, On the asymptotic
    optimality of the gradient scheduling algorithm for multiuser throughput allocation, Operations
    Research 53, 2005.
    """

    def check_market(self, market):
        check_is_exchange("DynamicSharing", market, "CMAP() or BidResponse()")

    @property
    def needs_averages(self):
        return True

    def post(self, view: View):
        ratio = jnp.where(view.is_neighbour, running_ratio(view), jnp.inf)
        limit = smallest(ratio) * (1 + TIED * jnp.finfo(ratio.dtype).eps)
        count = total((ratio <= limit).astype(ratio.dtype))
        return limit, view.budget / jnp.maximum(count, 1)

    def flow(self, terms, link: Link):
        limit, part = terms
        return jnp.where(running_ratio(link) <= limit, part, 0)


def running_ratio(link: Link):
    """ū_j / w_j, what a neighbour has received so far per unit contributed (0 on padding)."""
    has = link.contribution > 0
    return jnp.where(has, link.average_utility / jnp.where(has, link.contribution, 1), 0)
