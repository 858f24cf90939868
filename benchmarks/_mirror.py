"""Mirror ascent on the central program, which is proportional response."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from cmapjax.engine._round import act_together, both_ends, known_facts, received_totals
from cmapjax.equilibrium._ascent import ascend, check_count
from cmapjax.equilibrium._equilibrium import Method
from cmapjax.runtime._settings import compiled, entry
from cmapjax.strategies import ProportionalResponse


class MirrorAscent(Method):
    """Entropic mirror ascent without a step size to choose: two rounds of proportional response a step.

    Agents are buyers and, on the other side, sellers of a Fisher market. Buyer j bids b_jp = w_j y_pj / u_j
    of its budget w_j on seller p (one round), and p splits what it has in proportion to the bids,
    y_pj = w_p b_jp / Σ_k b_kp (a second round). Both together are one gradient step, in the Kullback-Leibler
    divergence, on Shmyrev's convex program for the same equilibrium, whose values close as 1/t. In the
    exchange the rows of single rounds may swap for ever; every second one comes to rest.

    Args:
        max_steps: steps, of two rounds each, before giving up.
        check_every: steps between two looks at the certificate.

    Source: Birnbaum, Devanur and Xiao, Distributed algorithms via gradient descent for Fisher markets, EC
    2011; Wu and Zhang, STOC 2007 (the exchange).
    """

    known_as = ("mirror",)
    remedy = "raise max_steps"

    max_steps: int = 100_000
    check_every: int = eqx.field(static=True, default=20)

    def __check_init__(self):
        check_count("max_steps", self.max_steps)
        check_count("check_every", self.check_every)

    @entry
    def solve(self, market, tolerance):
        return _respond(market.bare(), np.float64(tolerance), np.int64(self.max_steps), self.check_every)


@compiled
def _respond(market, tolerance, max_steps, check_every):
    known = known_facts(market, None, jnp.float64)

    def round(flows):
        utility = received_totals(market, known, flows)
        return act_together(market, known, ProportionalResponse(), flows, utility, known.contribution, flows)

    return ascend(
        market,
        both_ends(market, market.equal_flow()),
        lambda flows: round(round(flows)),
        lambda flows: market.links.join(flows.sent),
        tolerance,
        max_steps,
        check_every,
    )
