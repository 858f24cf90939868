"""The certificate of any flow of any market, block by block: compiled, or in NumPy for many flows at once."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from cmapjax.market._filled import Agents, Filled, Slots, filled, in_rows, of_neighbours
from cmapjax.market._market import Market
from cmapjax.market._reductions import Rows, look, of_rows, over_slots
from cmapjax.runtime._precision import is_in_numpy, namespace
from cmapjax.runtime._types import Array

# What counts as satisfied, or as a full link, in parts of the demand or the capacity.
FULL = {"float64": 1e-9, "float32": 1e-5}
# How often prices of satisfied receivers are raised along chains of them: compiled, and in NumPy, which stops
# when nothing moves.
SWEEPS, SWEEPS_ON_HOST = 3, 12


def bound_of_flow(
    market: Market, flow: Float[Array, "... slots"], claim: Float[Array, "... agents"] | None = None
) -> Float[Array, "... markets"]:
    """How much log Nash welfare Σ b_j log(û_j / b_j) / B a flow misses at most, by weak duality.

    For any prices ρ ≥ 0 of receivers and q ≥ 0 of givers it is at most

        Gap = Σ_j [b_j log(v_j / û_j) − ρ_j (v_j − a_j)] / B + Σ_i [q_i s_i + Σ_j K_ij (ρ_j e_ij − q_i)⁺] / B,

    with v_j = b_j / ρ_j brought into [a_j, D_j]. Prices come from the flow. An unsatisfied receiver has
    ρ_j = b_j / u_j; a satisfied one 0, or one with a claim β_j / u_j. A giver has that of its best link
    that is not full. Then prices are raised to the least at which no giver would rather serve a receiver,
    and those of satisfied ones to what their givers could have elsewhere; the least gap is kept.

    Args:
        flow: y_ij in the market's layout; cut to capacities, and rows that spend too much scaled down.
        claim: β_j, if agents announce claims.

    Returns:
        One number per market; +inf where somebody who counts has nothing.
    """
    xp, links, of = namespace(market, flow), market.links, filled(market)
    full = FULL[str(flow.dtype)]
    flow = feasible_flow(market, of, xp.asarray(flow, np.float64))
    arriving = look(flow * of.efficiency, market.reverse)
    return _least_gap(market, of, of.own_use + over_slots(links, jnp.add, arriving), flow, claim, full)


def bound_of_utility(
    market: Market, utility: Float[Array, "... agents"], claim: Float[Array, "... agents"] | None = None
) -> Float[Array, "... markets"]:
    """The same of utilities u_j, in the caller's order, of which the flow is not known: links are then taken
    as not full, which makes the bound larger where some are."""
    xp = namespace(market, utility)
    utility = look(xp.asarray(utility, np.float64), market.links.order)
    return _least_gap(market, filled(market), utility, None, claim, FULL["float64"])


def feasible_flow(market: Market, of: Filled, flow: Slots) -> Slots:
    """The flow cut to capacities, and rows scaled down to what their givers have."""
    xp, links = namespace(market, flow), market.links
    flow = xp.clip(flow, 0, of.capacity)
    spent = over_slots(links, jnp.add, flow)
    return flow * in_rows(links, xp.minimum(1, of.supply / xp.where(spent > 0, spent, 1)))


def _least_gap(
    market: Market, of: Filled, utility: Agents, flow: Slots | None, claim: Agents | None, full: float
):
    xp, links = namespace(market, utility), market.links
    counts, counted = of.counts, xp.minimum(utility, of.demand)
    top = xp.where(counts & (counted > 0), of.priority / xp.where(counted > 0, counted, 1), 0)
    is_satisfied = counts & (utility >= of.demand * (1 - full))
    starts = [xp.where(is_satisfied, 0, top)]
    if claim is not None:
        claim = look(xp.asarray(claim, np.float64), links.order)
        starts.append(xp.minimum(claim / xp.where(utility > 0, utility, 1), top))
    supply = in_rows(links, of.supply)
    is_open = leads = (of.capacity > 0) & (supply > 0)
    serves = False
    if flow is not None:
        is_open = leads & (flow < of.capacity * (1 - full))
        serves = look(leads & (flow > full * supply), market.reverse)
    leads, efficiency = look(leads, market.reverse), look(of.efficiency, market.reverse)

    def swept(price):
        """The best gap of these prices and of raised ones, and the raised prices."""
        worth = of_neighbours(links, price) * of.efficiency
        outlet = over_slots(links, jnp.maximum, xp.where(is_open, worth, 0))
        offered = of_neighbours(links, outlet) / efficiency
        least = -over_slots(links, jnp.maximum, xp.where(leads, -offered, -xp.inf))
        raised = xp.maximum(price, xp.where(counts & xp.isfinite(least), least, 0))
        dear = over_slots(links, jnp.maximum, xp.where(serves, offered, 0))
        raised = xp.where(is_satisfied, xp.maximum(raised, xp.minimum(dear, top)), raised)
        gaps = [_gap_of_prices(market, of, counted, prices, outlet) for prices in (price, raised)]
        return xp.fmin(*gaps), raised

    best = np.inf
    for price in starts:
        for _ in range(SWEEPS_ON_HOST if is_in_numpy() else SWEEPS):
            gap, raised = swept(price)
            best = xp.fmin(best, gap)
            if is_in_numpy() and np.array_equal(raised, price):
                break
            price = raised
    return best


def _gap_of_prices(market: Market, of: Filled, counted: Agents, price: Agents, outlet: Agents):
    """The gap, of prices ρ of receivers and q of givers, the `outlet`."""
    xp, links = namespace(market, counted), market.links
    rent = xp.maximum(of_neighbours(links, price) * of.efficiency - in_rows(links, outlet), 0)
    room = xp.minimum(of.capacity, in_rows(links, of.supply))
    earned = outlet * of.supply + over_slots(links, jnp.add, rent * room)
    vectors = of.priority, of.own_use, of.demand, counted, price, earned
    asked = [(_gap, tuple(look(x, links.place) for x in vectors))]
    return of_rows(market.members, market.contribution, asked)[0]


def _gap(rows: Rows, priority, own_use, demand, counted, price, earned):
    xp, asked = rows.xp, []
    wanted = [rows.total(earned + price * own_use), rows.total(priority)]
    spent, weight = yield wanted
    # In a market without demands and own use this scale makes the prices the best of their direction.
    scale = xp.where(spent > 0, weight / xp.where(spent > 0, spent, 1), 1)
    for by in (xp.ones_like(scale), scale):
        by = by[..., None]
        at = by * price
        wish = xp.clip(xp.where(at > 0, priority / xp.where(at > 0, at, 1), xp.inf), own_use, demand)
        has = (priority > 0) & (counted > 0)
        ratio = xp.where(has, wish / xp.where(has, counted, 1), 1)
        gain = xp.where(has, priority * xp.log(ratio) - xp.where(at > 0, at * (wish - own_use), 0), 0)
        asked.append(rows.total(gain + by * earned))
    nothing = rows.total(((priority > 0) & ~(counted > 0)).astype(weight.dtype))
    plain, scaled, starved = yield [*asked, nothing]
    gap = xp.fmin(plain, scaled) / xp.where(weight > 0, weight, 1)
    return xp.where((starved > 0) | ~(gap < xp.inf), xp.inf, gap)
