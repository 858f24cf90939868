"""The central program as a function with a feasible set, for solvers of such problems."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from cmapjax.arguments._checks import check_kind
from cmapjax.equilibrium._simplex import optax_projection, project_rows
from cmapjax.market._bound import Arcs
from cmapjax.market._certificate import certified_gap_of_flow, per_market
from cmapjax.market._filled import counted, weights
from cmapjax.market._market import Market
from cmapjax.runtime._derivatives import log_or_minus_infinity
from cmapjax.runtime._settings import compiled, entry
from cmapjax.runtime._types import Array
from cmapjax.strategies._gradient import capped_point


@dataclasses.dataclass(frozen=True, eq=False)
class Problem:
    """minimise `objective(x)` over the x that `project` leaves alone, from `start` on; made by `problem`.

    x holds the shares s_ij = y_ij / w_i that agents give of their contributions, in the market's own layout
    (one number per slot, like a flow; padding is 0 and stays so). Feasible are s ≥ 0 with Σ_j s_ij = 1. The
    unit of value does not matter.

    In a market with other terms s_ij ≤ K_ij / w_i, 0 where nothing can be given, and shares sum to 1 or to
    what links let through, if that is less. Ratios are û_j / b_j of those who count, with
    û_j = min(u_j, D_j), so that the objective has kinks where a demand is met.

    Objective and projection may be differentiated, compiled, and mapped. They follow the precision around
    them: write `with jax.enable_x64(True):` for more than seven digits.
    """

    market: Market
    start: Float[np.ndarray, "slots"]
    """Equal shares, 1 / deg(i)."""
    weight: Float[np.ndarray, "slots"]
    """w_i of the giver; 0 on padding."""
    importance: Float[np.ndarray, "agents"]
    """w_j / w̄, w̄ being the mean contribution of j's market; in a market with other terms b_j / b̄ of those
    who count, 0 of others."""
    most: Float[np.ndarray, "slots"] | None = None
    """The largest share of each slot; None in a market of endowments and values."""

    def objective(self, x: Float[Array, "slots"]) -> Float[Array, ""]:
        """−Σ_j (w_j / w̄) log r_j, summed over all markets, each of which may be minimised by itself.

        In each market this is −log Nash welfare times its number of agents. +inf where an agent receives
        nothing or less, with slope 0 there in what it receives.

        Args:
            x: shares, feasible or not.

        Returns:
            One number, for `jax.grad` too.

        Raises:
            ValueError: not one real number per slot.
        """
        return _objective(self.market, self.weight, self.importance, self._checked(x))

    def project(self, x: Float[Array, "slots"]) -> Float[Array, "slots"]:
        """The nearest feasible shares: argmin Σ (s − x)² over s ≥ 0, Σ_j s_ij = 1 (or as `Problem` says).

        Args:
            x: any numbers, one per slot.

        Returns:
            Shares, 0 on padding.

        Raises:
            ValueError: not one real number per slot.
        """
        return _project(self.market, self.most, self._checked(x))

    def flow(self, x: Float[Array, "slots"]) -> Float[Array, "slots"]:
        """y_ij = w_i s_ij (value), as everything else in this package takes it."""
        return self._checked(x) * self.weight

    def certified_gap(self, x: Float[Array, "slots"]) -> Float[Array, "markets"]:
        """How much log Nash welfare each market misses at most, at the nearest feasible shares.

        Args:
            x: what a solver has found.

        Returns:
            `certified_gap_of_flow`, one number per market.

        Raises:
            ValueError: not one real number per slot; traced arguments outside x64 mode.
        """
        return certified_gap_of_flow(self.market, self.flow(self.project(x)))

    def _checked(self, x):
        kind = getattr(x, "dtype", None)
        if np.shape(x) != self.start.shape or kind is None or not jnp.issubdtype(kind, jnp.floating):
            raise ValueError(
                f"x is of shape {np.shape(x)} and type {kind or type(x).__name__}; give an array of real "
                f"numbers like `start`, {self.start.shape}."
            )
        return x


@entry(any_precision=True, any_market=True)
@compiled
def _objective(market, weight, importance, x):
    utility = jnp.maximum(market.received(x * weight), 0)
    if not market.terms:
        return -jnp.sum(importance * log_or_minus_infinity(utility / market.contribution))
    measure, counts = jnp.asarray(weights(market), utility.dtype), importance > 0
    ratio = jnp.where(counts, counted(market, utility) / jnp.where(counts, measure, 1), 1)
    return -jnp.sum(importance * log_or_minus_infinity(ratio))


@entry(any_precision=True, any_market=True)
@compiled
def _project(market, most, x):
    if most is None:
        return project_rows(market, optax_projection(), x)
    most = jnp.asarray(most, x.dtype)
    cut = market.links.blocks
    rows = [
        jax.vmap(capped_point, in_axes=-1, out_axes=-1)(point, limit > 0, limit)
        for point, limit in zip(cut(x), cut(most), strict=True)
    ]
    return market.links.join(rows)


@entry(remedy="make it of a market of plain numbers", any_market=True)
def problem(market: Market) -> Problem:
    """The equilibrium as a convex problem over shares, for any first-order solver.

    Args:
        market: one market, or many packed side by side: one problem whose objective is the sum of theirs.

    Returns:
        Objective, start, projection and certificate.

    Raises:
        ValueError: traced arguments.
    """
    check_kind("market", market, Market, "Market.from_links(…), or a reader of cmapjax.graphs")
    if market.terms:
        return _with_terms(market)
    giver, _ = market.arcs()
    weight, market_of = np.asarray(market.contribution), np.asarray(market.market_of)
    mean = per_market(np.add, weight, market_of) / np.bincount(market_of)
    return Problem(
        market.bare(),
        start=market.flow_from_arcs((1 / np.bincount(giver))[giver]),
        weight=market.flow_from_arcs(weight[giver]),
        importance=weight / mean[market_of],
    )


def _with_terms(market: Market) -> Problem:
    arcs = Arcs.of(market)
    supply, giver, market_of = arcs.supply, arcs.giver, arcs.market_of
    measure = np.asarray(weights(market))
    counts = np.bincount(market_of, measure > 0)
    mean = np.bincount(market_of, measure) / np.where(counts > 0, counts, 1)
    share = np.minimum(arcs.capacity / np.where(supply > 0, supply, 1)[giver], 1)
    most = market.flow_from_arcs(np.where(arcs.leads, share, 0))
    return Problem(
        market.bare(),
        start=_project(market.bare(), most, np.zeros(most.shape)),
        weight=market.flow_from_arcs(supply[giver]),
        importance=measure / np.where(mean > 0, mean, 1)[market_of],
        most=most,
    )
