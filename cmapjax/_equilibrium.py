"""The equilibrium: the central optimum of a market, with a certificate."""

import abc

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from cmapjax import metrics
from cmapjax._certificate import certified_gap_of_flow
from cmapjax._checks import check_kind, check_span
from cmapjax._engine import act_in_turns, known_facts
from cmapjax._market import Market
from cmapjax._schedule import Coloured
from cmapjax._types import Array
from cmapjax.strategies import CMAP

RESULTS = ("solved", "sweeps ran out")

# Once the gap is small enough, sweeps go on until prices and ratios agree to this, or for a quarter of
# the sweeps made so far and this many more: nearly free on small markets, which then come out exact.
PRICE_TOLERANCE = 1e-10
POLISHING_SWEEPS = 200


class Equilibrium(eqx.Module):
    """The fair and stable allocation of a market. Arrays are NumPy's, float64.

    Utilities, ratios and prices are unique; the allocation is one of many that support them.
    """

    utility: Float[Array, "agents"]
    """u*_j, value received."""
    ratio: Float[Array, "agents"]
    """r*_j = u*_j / w_j, value received per value contributed."""
    price: Float[Array, "agents"]
    """q_i = max_{j ∈ N_i} w_j / u_j, the price of one unit of value that agent i gives (equals r*_i);
    one unit of its resource costs v_i q_i."""
    flow: Float[Array, "slots"]
    """A supporting y*_ij, in the market's own layout (`Market.arc_values` reads it)."""
    log_nash_welfare: Float[Array, "markets"]
    """Σ w_j log r*_j / W."""
    gap: Float[Array, "markets"]
    """Certified: the true optimum's log Nash welfare is at most this much higher."""
    price_error: Float[Array, "markets"]
    """max_i |q_i / r_i − 1|, which is 0 at the equilibrium: about the relative error of utilities. (The
    gap is of second order in it, so a gap of 1e-10 alone leaves utilities uncertain by 1e-5.)"""
    sweeps: Int[Array, ""]
    result: Int[Array, "markets"]
    """A place in `RESULTS`."""

    @property
    def is_solved(self) -> bool:
        """Whether every market's gap reached the tolerance."""
        return bool(np.all(np.asarray(self.result) == 0))


class Method(eqx.Module):
    """How the equilibrium is found."""

    @abc.abstractmethod
    def solve(self, market: Market, tolerance: float) -> Equilibrium:
        """The equilibrium to a certified gap of at most `tolerance`, or as near as the method came."""


class ColouredSweeps(Method):
    """Sweeps of CMAP in coloured order: exact block-coordinate ascent on the central program.

    Every sweep raises Nash welfare; fast on expanders (tens of sweeps), slow on grids and scale-free
    networks (thousands).

    Source: Hong, Wang, Razaviyayn and Luo, Math. Prog. 163, 2017 (rate of exact block minimisation).
    """

    max_sweeps: int = eqx.field(static=True, default=20_000)
    check_every: int = eqx.field(static=True, default=5)
    """Sweeps between two looks at the gap."""

    def __check_init__(self):
        for name in ("max_sweeps", "check_every"):
            number = getattr(self, name)
            if isinstance(number, bool) or not isinstance(number, int) or number < 1:
                raise ValueError(f"{name} is {number!r}; give a whole number, 1 or more.")

    def solve(self, market, tolerance):
        plan = Coloured().plan(market)
        with jax.enable_x64(True):
            return _sweep(market.bare(), plan, np.float64(tolerance), self.max_sweeps, self.check_every)


def solve(
    market: Market,
    *,
    tolerance: float = 1e-10,
    method: Method = ColouredSweeps(),  # noqa: B008
) -> Equilibrium:
    """The equilibrium of a market, or of every market of an ensemble, in float64.

    Maximises Σ_j w_j log u_j over all feasible allocations (the Eisenberg-Gale program in which every
    agent spends its own contribution). Solved means: the certified gap is at most `tolerance`.

    Args:
        market: one market, or many packed side by side.
        tolerance: on the certified gap, which bounds the missing log Nash welfare (dimensionless). Not
            below 1e-14, where rounding rules.
        method: how.

    Raises:
        ValueError: a tolerance out of range; contributions whose ratios overflow.
    """
    if not isinstance(tolerance, (int, float, np.floating)) or not 1e-14 <= tolerance < 1:
        raise ValueError(f"tolerance is {tolerance!r}; give a number from 1e-14 to below 1.")
    check_kind("market", market, Market, "Market.from_links(…), or a reader of cmapjax.graphs")
    check_kind("method", method, Method, "ColouredSweeps()")
    check_span(np.asarray(market.contribution), "float64", lambda i: market.labels[i])
    return jax.tree.map(np.asarray, method.solve(market, tolerance))


@eqx.filter_jit
def _sweep(market, plan, tolerance, max_sweeps, check_every) -> Equilibrium:
    known = known_facts(market, 1, jnp.float64)
    tables = plan.tables(market, 0, None)

    def sweep(flow, _):
        budget = known.contribution
        return act_in_turns(market, known, CMAP(), plan, tables, flow, budget, None), None

    def unfinished(carry):
        _, gap, error, sweeps, last_sweep = carry
        is_rough = jnp.any(error > PRICE_TOLERANCE) & (sweeps < last_sweep)
        return (jnp.any(gap > tolerance) | is_rough) & (sweeps < max_sweeps)

    def advance(carry):
        flow, _, _, sweeps, _ = carry
        flow, _ = jax.lax.scan(sweep, flow, length=check_every)
        gap, sweeps_now = certified_gap_of_flow(market, flow), sweeps + check_every
        # Pushed ahead for as long as the gap is too large, and left where it is afterwards.
        ahead = sweeps_now + sweeps_now // 4 + POLISHING_SWEEPS
        last_sweep = jnp.where(jnp.any(gap > tolerance), ahead, carry[4])
        return flow, gap, _price_error(market, flow), sweeps_now, last_sweep

    unknown = jnp.full(market.num_markets, jnp.inf)
    none = jnp.zeros((), jnp.int64)
    first = (market.equal_flow(), unknown, unknown, none, none + POLISHING_SWEEPS)
    flow, gap, error, sweeps, _ = jax.lax.while_loop(unfinished, advance, first)
    utility = market.received(flow)
    return Equilibrium(
        utility,
        metrics.ratio(market, utility),
        prices(market, utility),
        flow,
        metrics.log_nash_welfare(market, utility),
        gap,
        error,
        sweeps,
        (gap > tolerance).astype(jnp.int32),
    )


def prices(market: Market, utility: Float[Array, "agents"]) -> Float[Array, "agents"]:
    """q_i = max_{j ∈ N_i} w_j / u_j: what a unit of agent i's value fetches at its poorest neighbour."""
    inverse = 1 / market.stored(metrics.ratio(market, utility))
    return market.unstored(market.links.fold(jnp.maximum, market.links.take(inverse, -jnp.inf)))


def _price_error(market: Market, flow) -> Float[Array, "markets"]:
    utility = market.received(flow)
    return market.largest(jnp.abs(prices(market, utility) / metrics.ratio(market, utility) - 1))
