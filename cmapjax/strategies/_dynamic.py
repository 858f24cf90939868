"""A strategy with memory: by what neighbours have received so far, not by what they received last."""

import jax.numpy as jnp

from cmapjax.market._columns import smallest, total
from cmapjax.strategies._base import Link, PostedStrategy, View

# Running ratios within so many roundings of the smallest count as tied: averages of equal receipts, added
# up in another order, differ by that much.
TIED = 16


class DynamicSharing(PostedStrategy):
    """All goes to the neighbour served worst so far: the one of smallest running ratio ū_j / w_j.

    ū_j is what neighbour j has received per round so far, w_j its mean contribution. Those that tie share
    equally. Rows never settle: each moves everything from one round to the next, and what approaches the
    equilibrium are the running averages. Averages are announced when a round has ended, so turns within a
    round change nothing; who takes part does. An agent posts the ratio up to which it gives, and how much.

    The rule is this package's reading of the dynamic sharing policy of Georgiadis, Iosifidis and
    Tassiulas, by which "each node observes the sharing rates of its neighbors and allocates its resource
    accordingly" (their abstract); details may differ from theirs. It stands by itself as gradient
    scheduling: 1 / r_j = w_j / u_j is the slope of Σ w_j log u_j, so the agent gives where welfare of the
    averages rises fastest, a step of 1/t of the Frank-Wolfe method in round t. That such a rule is
    asymptotically optimal with resources drawn at random, Stolyar proved.

    Source: after Georgiadis, Iosifidis and Tassiulas, On the efficiency of sharing economy networks, IEEE
    Trans. Network Science and Engineering 7, 2020 (arXiv 1703.09669); Stolyar, On the asymptotic
    optimality of the gradient scheduling algorithm for multiuser throughput allocation, Operations
    Research 53, 2005.
    """

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
    """ū_j / w_j, what a neighbour has received so far per unit contributed (0 where there is none)."""
    has = link.contribution > 0
    return jnp.where(has, link.average_utility / jnp.where(has, link.contribution, 1), 0)
