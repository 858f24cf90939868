"""The primal-dual hybrid gradient method on the central program."""

import functools

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from cmapjax.equilibrium._ascent import ascend, check_count
from cmapjax.equilibrium._equilibrium import Method
from cmapjax.market._market import Market
from cmapjax.runtime._settings import compiled, entry
from cmapjax.runtime._types import Array

# The two sides of a market may move by residuals this far apart before its steps are shifted from one
# side to the other, at first by a tenth, and by a little less every time so that shifting dies out.
IMBALANCE = 1.2
FIRST_SHIFT, SHIFT_DECAY = 0.1, 0.999


class PrimalDualHybridGradient(Method):
    """Chambolle and Pock's method: neither a projection nor a feasible point until the end.

    Finds the saddle point, over y ≥ 0, of

        Σ_ij y_ij (q_i − m_j) − Σ_i q_i w_i + Σ_j w_j log m_j,

    q_i being the price of what agent i gives and m_j = w_j / u_j what a unit is worth to j. With step sizes
    τ_ij = t c_ij / 2 and σ_i = 1 / (t Σ_j c_ij), where c_ij = √(w_i w_j),

        y⁺ = max(0, y + τ (m_j − q_i)),  ȳ = 2 y⁺ − y,
        q⁺ = q + σ (Σ_j ȳ_ij − w_i),
        m⁺ = (v + √(v² + 4 σ w)) / 2,  v = m − σ Σ_i ȳ_ij, the proximal step of the logarithm.

    Any c > 0 makes the preconditioned operator a contraction by the Cauchy-Schwarz inequality; these make
    all variables free of the unit of value. Every market shifts its own t until both sides move by about
    the same. The certificate is taken of the flow with its rows scaled to spend the contributions.

    Args:
        max_steps: steps before giving up.
        check_every: steps between two looks at the certificate.

    Source: Chambolle and Pock, J. Math. Imaging Vision 40, 2011; Pock and Chambolle, ICCV 2011 (diagonal
    step sizes); Goldstein, Li, Yuan, Esser and Baraniuk, arXiv:1305.0546 (balancing the two sides).
    """

    known_as = ("pdhg",)
    remedy = "raise max_steps"

    max_steps: int = 100_000
    check_every: int = eqx.field(static=True, default=20)

    def __check_init__(self):
        check_count("max_steps", self.max_steps)
        check_count("check_every", self.check_every)

    @entry
    def solve(self, market, tolerance):
        return _iterate(market.bare(), np.float64(tolerance), np.int64(self.max_steps), self.check_every)


class _State(eqx.Module):
    """In the order of storage, or per market."""

    flow: Float[Array, "slots"]
    worth: Float[Array, "agents"]
    """m_j."""
    price: Float[Array, "agents"]
    """q_i."""
    step: Float[Array, "markets"]
    """t."""
    shift: Float[Array, "markets"]
    """By what share t changes next time."""


@compiled
def _iterate(market, tolerance, max_steps, check_every):
    links = market.links
    weight = market.stored(market.contribution)
    size = jnp.where(links.is_entry, jnp.sqrt(links.spread(weight) * links.take(weight)), 0)
    flow = market.equal_flow()
    utility = links.total(market.mirror(flow))
    one = jnp.ones(market.num_markets)
    first = _State(flow, weight / utility, utility / weight, one, FIRST_SHIFT * one)
    step = functools.partial(_step, market, weight, size)

    def flow_of(state):
        # An agent that gives nothing yet, as may be on the way, is taken to split equally.
        spent = links.spread(links.total(state.flow))
        scaled = state.flow * (links.spread(weight) / jnp.where(spent > 0, spent, 1))
        return jnp.where(spent > 0, scaled, flow)

    return ascend(market, first, step, flow_of, tolerance, max_steps, check_every)


def _step(market: Market, weight, size, state: _State) -> _State:
    links = market.links
    stepped = market.stored(state.step[market.market_of])
    reach = links.total(size)
    sigma = 1 / (stepped * reach)

    margin = links.take(state.worth) - links.spread(state.price)
    flow = jnp.maximum(state.flow + links.spread(stepped) * size / 2 * margin, 0)
    ahead = 2 * flow - state.flow
    price = state.price + sigma * (links.total(ahead) - weight)
    worth = _worth(state.worth - sigma * links.total(market.mirror(ahead)), sigma * weight)

    squares = (flow - state.flow) ** 2 / jnp.where(size > 0, size / 2, 1)
    given = jnp.sqrt(market.total(market.unstored(links.total(squares)))) / state.step
    squares = reach * ((worth - state.worth) ** 2 + (price - state.price) ** 2)
    asked = jnp.sqrt(market.total(market.unstored(squares))) * state.step
    longer, shorter = given > IMBALANCE * asked, asked > IMBALANCE * given
    factor = jnp.where(longer, 1 / (1 - state.shift), jnp.where(shorter, 1 - state.shift, 1))
    shift = jnp.where(longer | shorter, SHIFT_DECAY * state.shift, state.shift)
    return _State(flow, worth, price, factor * state.step, shift)


def _worth(v, product):
    """The root m > 0 of m² − v m − σ w = 0, without cancellation."""
    root = jnp.sqrt(v**2 + 4 * product)
    return jnp.where(v > 0, (v + root) / 2, 2 * product / (root - v))
