"""Accelerated projected gradient ascent on the central program."""

import functools
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from cmapjax.arguments._checks import short
from cmapjax.equilibrium._ascent import ascend, check_count
from cmapjax.equilibrium._equilibrium import Method
from cmapjax.equilibrium._simplex import as_projection, project_rows
from cmapjax.market._market import Market
from cmapjax.runtime._settings import compiled, entry
from cmapjax.runtime._types import Array

# Every accepted step lets the next one be this much longer, every refused one halves it.
LENGTHEN, SHORTEN = 0.99, 2.0
# Relative changes of utilities below this are rounding, from which no curvature can be read.
ROUNDING = 1e-15


class ProjectedGradient(Method):
    """Accelerated projected gradient ascent with adaptive restart and a step size per market.

    Maximises Φ(s) = Σ_j w_j log u_j over shares s_ij = y_ij / w_i, every row on the unit simplex. With
    ŝ = (1 − θ) s + θ z, û its utilities and L the market's curvature,

        z⁺_i = Π(z_i + (w_j / û_j)_j / (θ L D_i)),  s⁺ = (1 − θ) s + θ z⁺,

    which is the gradient in the metric Σ_i w_i D_i ‖s_i‖². With D_i = max_{j ∈ N_i} Σ_{k ∈ N_j} w_k / w_j the
    curvature is at most 1 at ratios of one (Cauchy and Schwarz). All points are feasible, so every
    logarithm exists. A step stands if, with d_j = u⁺_j / û_j − 1, Σ_j w_j d_j² / min(1, 1 + d_j) ≤
    L Σ_i w_i D_i ‖s⁺_i − ŝ_i‖², which bounds Φ from below without differences of logarithms; otherwise L
    doubles. A market whose shares would turn back along their momentum starts the momentum afresh. None
    of it depends on the unit of value.

    Args:
        max_steps: gradients before giving up.
        check_every: steps between two looks at the certificate.
        projection: the nearest point of the unit simplex to a vector, as a function that JAX can trace:
            "optax" (`optax.projections.projection_simplex`), "jaxopt"
            (`jaxopt.projection.projection_simplex`), or your own.

    Raises:
        ValueError: counts that are not whole numbers above 0, a projection that is not a function.

    Source: Auslender and Teboulle, SIAM J. Optim. 16, 2006 (the iteration); Becker, Candès and Grant,
    Math. Prog. Comp. 3, 2011 (step sizes that grow again); O'Donoghue and Candès, Found. Comput. Math. 15,
    2015 (restart by the gradient).
    """

    remedy = "raise max_steps"

    max_steps: int = 100_000
    check_every: int = eqx.field(static=True, default=20)
    projection: str | Callable = eqx.field(static=True, default="optax")

    def __check_init__(self):
        check_count("max_steps", self.max_steps)
        check_count("check_every", self.check_every)
        if self.projection not in ("optax", "jaxopt") and not callable(self.projection):
            raise ValueError(
                f"projection is {short(self.projection)}; give optax, jaxopt, or a function such as "
                "optax.projections.projection_simplex."
            )

    @entry
    def solve(self, market, tolerance):
        return _climb(
            market.bare(),
            np.float64(tolerance),
            np.int64(self.max_steps),
            self.check_every,
            as_projection(self.projection),
        )


class _State(eqx.Module):
    """Shares per slot, the rest in the order of storage, or per market."""

    share: Float[Array, "slots"]
    utility: Float[Array, "agents"]
    ahead: Float[Array, "slots"]
    """z, where the momentum leads."""
    ahead_utility: Float[Array, "agents"]
    theta: Float[Array, "markets"]
    curvature: Float[Array, "markets"]


@compiled
def _climb(market, tolerance, max_steps, check_every, projection):
    weight = market.stored(market.contribution)
    flow = market.equal_flow()
    share = flow / market.links.spread(weight)
    utility = _utility(market, weight, share)
    around = market.links.total(market.links.take(weight))
    scale = market.links.fold(jnp.maximum, market.links.take(around / weight))
    one = jnp.ones(market.num_markets)
    first = _State(share, utility, share, utility, one, one)
    step = functools.partial(_step, market, projection, weight, scale)

    def flow_of(state):
        return state.share * market.links.spread(weight)

    return ascend(market, first, step, flow_of, tolerance, max_steps, check_every)


def _step(market: Market, projection: Callable, weight, scale, state: _State) -> _State:
    links = market.links

    def per_agent(x):
        return market.stored(x[market.market_of])

    def per_market(x):
        return market.total(market.unstored(x))

    theta, curvature = per_agent(state.theta), per_agent(state.curvature)
    mixed = state.utility + theta * (state.ahead_utility - state.utility)
    slope = links.take(weight / mixed)
    reach = links.spread(1 / (theta * curvature * scale))
    ahead = project_rows(market, projection, state.ahead + reach * slope)
    ahead_utility = _utility(market, weight, ahead)

    # How much the objective bends on the way, against what L promises.
    change = theta * (ahead_utility - state.ahead_utility) / mixed
    bend = per_market(weight * change**2 / jnp.minimum(1, 1 + change))
    moved = links.total((ahead - state.ahead) ** 2)
    promised = state.curvature * per_market(weight * scale * theta**2 * moved)
    stands = bend <= promised + ROUNDING**2 * per_market(weight)

    share = state.share + links.spread(theta) * (ahead - state.share)
    utility = state.utility + theta * (ahead_utility - state.utility)
    back = links.total((state.ahead - ahead) * (ahead - state.share))
    falls = per_market(weight * scale * back) > 0
    flatter = LENGTHEN * state.curvature
    moving = 2 / (1 + jnp.sqrt(1 + 4 * LENGTHEN / state.theta**2))
    restart = per_agent(falls)
    moved_on = _State(
        share,
        utility,
        jnp.where(links.spread(restart), share, ahead),
        jnp.where(restart, utility, ahead_utility),
        jnp.where(falls, 1, moving),
        flatter,
    )
    steeper = eqx.tree_at(lambda s: s.curvature, state, SHORTEN * state.curvature)
    return _where(market, stands, moved_on, steeper)


def _where(market, condition, then: _State, otherwise: _State) -> _State:
    """Market by market one state or the other."""
    agents = market.stored(condition[market.market_of])
    by_length = {
        "slots": market.links.spread(agents),
        "agents": agents,
        "markets": condition,
    }
    kinds = _State("slots", "agents", "slots", "agents", "markets", "markets")
    return jax.tree.map(lambda kind, a, b: jnp.where(by_length[kind], a, b), kinds, then, otherwise)


def _utility(market, weight, share):
    """u_j = Σ_i w_i s_ij, in the order of storage."""
    return market.links.total(market.mirror(share * market.links.spread(weight)))
