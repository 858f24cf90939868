"""The certificate: how far a market is from its equilibrium at most, without knowing the equilibrium."""

import dataclasses
from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from cmapjax.arguments._checks import as_real, short
from cmapjax.arguments._labelled import unlabelled
from cmapjax.market._filled import filled, in_rows
from cmapjax.market._market import Market
from cmapjax.market._priced import bound_of_flow, bound_of_utility
from cmapjax.market._reductions import (
    Rows,
    blocks,
    combined,
    joined,
    joined_rows,
    largest_of_rows,
    look,
    looked_up_next,
    of_rows,
    over_entries,
    over_slots,
    row_blocks,
    slot_blocks,
)
from cmapjax.runtime._precision import float64_on_host, is_in_numpy, namespace
from cmapjax.runtime._settings import check_x64
from cmapjax.runtime._types import Array


@float64_on_host(any_market=True)
def certified_gap(market: Market, utility: Float[Array, "... agents"]) -> Float[Array, "... markets"]:
    """An upper bound on log Nash welfare of the equilibrium minus that of these utilities (≥ 0).

    exp(−gap) is the share of the equilibrium's Nash welfare that is certainly reached. By weak duality,
    for any prices q > 0 on givers, with A = Σ q_p w_p and m_j = min_{p ∈ N_j} q_p,

        gap = log(A / W) − Σ_j w_j log(r_j m_j) / W,

    here with q_p = max_{k ∈ N_p} 1/r_k, the best neighbour's price. With these prices the gap never exceeds
    the Frank-Wolfe gap. Agents can work it out from their neighbours and two sums. By rounding it may be a
    few 1e-16 below zero at the equilibrium; it is +inf when an agent has nothing. The bound holds for
    utilities of a feasible allocation; see `certified_gap_of_flow`.

    Args:
        utility: u_j, the value that each agent received; of a feasible allocation.

    Returns:
        One number per market (a logarithm).

    Source: derived in docs/model.md.
    """
    if market.terms:
        return bound_of_utility(market, utility)
    utility = look(namespace(market, utility).asarray(utility), market.links.order)
    return _gap_of_blocks(market, row_blocks(market.links, utility))


def _gap_of_blocks(market: Market, utility: Sequence[Float[Array, "... _"]]) -> Float[Array, "... markets"]:
    """The gap of utilities in the order of storage, block by block."""
    xp, links = namespace(market, utility), market.links
    w = row_blocks(links, look(xp.asarray(market.contribution, utility[0].dtype), links.order))
    r = looked_up_next(links, [u / own for u, own in zip(utility, w, strict=True)])
    # The ratio of the poorest neighbour is the inverse of the price; it is finite where the price is not.
    poorest = over_entries(links, jnp.minimum, r, np.inf)
    richest_poorest = over_entries(links, jnp.maximum, poorest, -np.inf)
    vectors = tuple(look(x, links.place) for x in (r, poorest, richest_poorest))
    return of_rows(market.members, market.contribution, [(_gap, vectors)])[0]


def _gap(rows: Rows, r, poorest, richest_poorest):
    xp, w = rows.xp, rows.weight
    # q_p − 1 and r_j m_j − 1 rather than q_p and r_j m_j: near the equilibrium of a market with ratios
    # near one the differences carry the digits.
    excess = w * (1 / xp.where(poorest > 0, poorest, 1) - 1)
    slack = w * xp.log1p((r - richest_poorest) / xp.where(richest_poorest > 0, richest_poorest, 1))
    wanted = [rows.total(excess), rows.total(slack), rows.worth, rows.smallest(r)]
    excess, slack, worth, least = yield wanted
    gap = xp.log1p(excess / worth) - slack / worth
    # Numbers so far apart that they overflow certify nothing.
    return xp.where((least > 0) & (gap > -xp.inf), gap, xp.inf)


@float64_on_host(any_market=True)
def certified_gap_of_flow(
    market: Market,
    flow: Float[Array, "... slots"],
    received: Float[Array, "... slots"] | None = None,
    claim: Float[Array, "... agents"] | None = None,
) -> Float[Array, "... markets"]:
    """`certified_gap` of an allocation, in float64 and of exactly what it spends.

    Rows are first scaled in float64 to spend exactly the contributions, which undoes the rounding of a
    float32 run. The bound is rigorous for the scaled allocation, and negative only by the rounding of
    float64. For a float32 flow the bound is raised where needed, so that it also holds for the utilities
    stored in float32, whose welfare differs from that of the scaled rows by some 1e-8.

    In a market with priorities, demands, own use, capacities or efficiencies what a
    link carries is first cut to its capacity, and rows that spend more than their agent has are scaled down;
    the bound is on Σ b_j log(û_j / b_j) / B with û_j = min(u_j, D_j), over the agents that count.

    Args:
        flow: y_ij in the market's layout.
        received: `market.mirror(flow)`, if it is known; looking it up costs as much as everything else.
        claim: β_j of agents with a demand, if they announce claims (`State.claim`); with them the bound is
            closer.

    Returns:
        One number per market (a logarithm).

    Raises:
        ValueError: traced arguments outside x64 mode.
    """
    if not is_in_numpy():
        check_x64("certified_gap_of_flow")
    if market.terms:
        return bound_of_flow(market, flow, claim)
    xp, links = namespace(market, flow, received), market.links
    flow, parts = xp.asarray(flow), _delivered(market, flow, received)
    gap = _gap_of_blocks(market, parts)
    if flow.dtype == np.float64:
        return gap
    utility = joined_rows(links, parts)
    received = look(flow, market.reverse) if received is None else xp.asarray(received)
    # Adding up float32 amounts in float32 and in float64 gives two utilities; the bound must hold for both.
    single, double = (
        xp.asarray(over_slots(links, jnp.add, xp.asarray(received, dtype)), utility.dtype)
        for dtype in (flow.dtype, np.float64)
    )
    held = xp.minimum(single, double)
    has = held > 0
    more = xp.where(has, xp.log1p((utility - held) / xp.where(has, held, 1)), xp.inf)
    asked = [(_mean, (look(more, links.place),))]
    return gap + xp.maximum(of_rows(market.members, market.contribution, asked)[0], 0)


def _mean(rows: Rows, x):
    total, worth = yield [rows.total(rows.weight * x), rows.worth]
    return total / worth


@float64_on_host
def delivered(
    market: Market, flow: Float[Array, "... slots"], received: Float[Array, "... slots"] | None = None
) -> Float[Array, "... agents"]:
    """u_j = Σ_i y_ij in the order of storage, in float64, of rows scaled to spend exactly w_i.

    Args:
        flow: y_ij in the market's layout.
        received: as for `certified_gap_of_flow`. Ignored for a float32 flow: there the two ends of a link
            hold separate copies, which differ by more than the error the bound may have.
    """
    return joined_rows(market.links, _delivered(market, flow, received))


def _delivered(market: Market, flow, received) -> list[Float[Array, "... _"]]:
    """`delivered`, block by block."""
    xp, links = namespace(market, flow, received), market.links
    flow = xp.asarray(flow)
    w = row_blocks(links, look(xp.asarray(market.contribution), links.order))
    spent = [combined(jnp.add, xp.asarray(block, np.float64)) for block in slot_blocks(links, flow)]
    scales = [own / xp.where(total > 0, total, 1) for own, total in zip(w, spent, strict=True)]
    scale = looked_up_next(links, scales)
    if received is None or flow.dtype != np.float64:
        received = look(flow, market.reverse)
    # The giver's scale is looked up in a vector over agents, which is cheaper than looking up flows again.
    pairs = zip(blocks(links), slot_blocks(links, xp.asarray(received)), strict=True)
    return [combined(jnp.add, xp.asarray(given, np.float64) * block.look(scale)) for block, given in pairs]


@float64_on_host(any_market=True)
def spending_error(
    market: Market, flow: Float[Array, "slots"], budget: Float[Array, "agents"] | None = None
) -> Float[Array, "markets"]:
    """The worst violation of feasibility, in parts of the agent's contribution w_i.

    Of |Σ_j y_ij − b_i|, the size of a negative flow, and flow where there is no link, the largest. In a
    market with capacities b_i is at most what an agent's links let through, and what goes beyond the capacity
    of a link counts as well.

    Args:
        flow: y_ij in the market's layout.
        budget: b_i, what each agent had to give (value); by default its mean contribution.

    Returns:
        One number per market (a share of the agent's contribution).
    """
    xp, links = namespace(market, flow, budget), market.links
    flow = xp.asarray(flow)
    w = xp.asarray(market.contribution, flow.dtype)
    if market.terms:
        return _spending_error(market, flow, w if budget is None else budget)
    missing = xp.abs(look(over_slots(links, jnp.add, flow), links.place) - (w if budget is None else budget))
    wrong = [
        combined(jnp.maximum, xp.where(block.is_entry, xp.maximum(-given, 0), xp.abs(given)))
        for block, given in zip(blocks(links), slot_blocks(links, flow), strict=True)
    ]
    error = xp.maximum(missing, look(joined_rows(links, wrong), links.place)) / w
    return of_rows(market.members, market.contribution, [(largest_of_rows, (error,))])[0]


def _spending_error(market: Market, flow, budget):
    """The same of any market."""
    xp, links, of = namespace(market, flow, budget), market.links, filled(market)
    room = over_slots(links, jnp.add, xp.where(in_rows(links, of.supply) > 0, of.capacity, 0))
    missing = xp.abs(over_slots(links, jnp.add, flow) - xp.minimum(look(budget, links.order), room))
    wrong = over_slots(links, jnp.maximum, xp.maximum(-flow, flow - of.capacity))
    error = xp.maximum(missing, wrong) / xp.where(of.supply > 0, of.supply, 1)
    return of_rows(market.members, market.contribution, [(largest_of_rows, (look(error, links.place),))])[0]


def check_flow(field: str, market: Market, flow, tolerance: float) -> Float[np.ndarray, "slots"]:
    """The flow in float64, checked to be feasible.

    Args:
        field: what the caller calls it.
        flow: y_ij in the market's layout.
        tolerance: how far a row's sum may be from the agent's contribution, relative to it.

    Raises:
        ValueError: a flow of a wrong shape, negative or not finite somewhere, off the
            network, or whose rows do not spend the contributions; the first agent is named.
    """
    num_slots, flow = market.links.num_slots, unlabelled(field, flow)
    if np.shape(flow) != (num_slots,):
        raise ValueError(
            f"{field} has shape {np.shape(flow)}; give one amount for each of this market's slots, "
            f"({num_slots},), as `market.flow_from_arcs` makes it."
        )
    flow, labels = as_real(field, flow, (num_slots,)), market.labels
    giver, receiver = market.arcs()
    y = market.arc_values(flow)
    bad = np.flatnonzero(~(np.isfinite(y) & (y >= 0)))
    if len(bad):
        arc = bad[0]
        raise ValueError(
            f"{field}: the flow holds {y[arc]}; give finite amounts ≥ 0 (from agent "
            f"{short(labels[giver[arc]])} to agent {short(labels[receiver[arc]])})."
        )
    is_entry = joined(market.links, [block.is_entry for block in blocks(market.links)])
    if np.any(flow[~is_entry] != 0):
        raise ValueError(f"{field}: value flows where there is no link; make it with flow_from_arcs.")
    contribution, gave = np.asarray(market.contribution), market.gave(flow)
    owed = _owed(field, market, flow, tolerance) if market.terms else contribution
    scale = np.where(contribution > 0, contribution, 1)
    agent = int(np.argmax(np.abs(gave - owed) / scale))
    if not abs(gave[agent] - owed[agent]) <= tolerance * scale[agent]:
        what = "contribution" if owed[agent] == contribution[agent] else "links' capacity"
        raise ValueError(
            f"{field}: agent {short(labels[agent])} gives {gave[agent]:.8g} of its {what} "
            f"{owed[agent]:.8g}; every row of a {field} must spend exactly endowment × value"
            + (", or what capacities let through." if market.terms else ".")
        )
    return flow


def _owed(field: str, market: Market, flow, tolerance: float) -> Float[np.ndarray, "agents"]:
    """What each row has to sum to; raises ValueError where more is given than a link lets through."""
    of, (giver, receiver) = filled(market), market.arcs()
    most, given = market.arc_values(of.capacity), market.arc_values(flow)
    over = np.flatnonzero(given > most + tolerance * np.asarray(market.contribution)[giver])
    if len(over):
        arc, labels = over[0], market.labels
        raise ValueError(
            f"{field}: agent {short(labels[giver[arc]])} gives {given[arc]:.8g} to agent "
            f"{short(labels[receiver[arc]])}, which may be given {most[arc]:.8g}; give no more than the "
            "capacity, and nothing against an arrow or to an agent that cannot use it."
        )
    return np.minimum(market.contribution, np.bincount(giver, most, market.num_agents))


@dataclasses.dataclass(frozen=True)
class Certificate:
    """What is certified of an allocation from its flows alone."""

    utility: Float[np.ndarray, "agents"]
    gap: Float[np.ndarray, "markets"]
    spending_error: Float[np.ndarray, "markets"]


def certify_arcs(
    giver: Int[np.ndarray, "arcs"],
    receiver: Int[np.ndarray, "arcs"],
    flow: Float[np.ndarray, "arcs"],
    contribution: Float[np.ndarray, "agents"],
    market_of: Int[np.ndarray, "agents"],
) -> Certificate:
    """`certified_gap_of_flow` and `spending_error`, written a second time in plain NumPy on lists of arcs.

    It shares no code and no storage with them or with any solver, and needs no compiling.

    Args:
        giver, receiver: both directions of every link, ordered by giver, then receiver (`Market.arcs`).
        flow: y_ij on each (value).
    """
    rows = np.flatnonzero(np.diff(giver, prepend=-1))
    # The k-th arc by (receiver, giver) runs opposite to the k-th by (giver, receiver).
    incoming = np.lexsort((giver, receiver))
    spent = np.add.reduceat(flow, rows)
    exact = flow * (contribution / np.where(spent > 0, spent, 1))[giver]
    utility = np.add.reduceat(exact[incoming], rows)
    ratio = utility / contribution
    poorest = np.minimum.reduceat(ratio[receiver], rows)
    richest_poorest = np.maximum.reduceat(poorest[receiver], rows)
    with np.errstate(divide="ignore", invalid="ignore"):
        excess = contribution * (1 / poorest - 1)
        slack = contribution * np.log1p((ratio - richest_poorest) / richest_poorest)
    worth = per_market(np.add, contribution, market_of)
    with np.errstate(invalid="ignore"):
        gap = (
            np.log1p(per_market(np.add, excess, market_of) / worth)
            - per_market(np.add, slack, market_of) / worth
        )
    gap = np.where((per_market(np.minimum, utility, market_of) > 0) & (gap > -np.inf), gap, np.inf)
    error = np.maximum(np.abs(spent - contribution), -np.minimum.reduceat(flow, rows)) / contribution
    return Certificate(utility, gap, per_market(np.maximum, error, market_of))


def per_market(
    ufunc: np.ufunc, x: Float[np.ndarray, "agents"], market_of: Int[np.ndarray, "agents"]
) -> Float[np.ndarray, "markets"]:
    """Sum, least or greatest over the agents of each market, on the host (NumPy sums pairwise)."""
    by_market = np.argsort(market_of, kind="stable")
    first = np.flatnonzero(np.diff(market_of[by_market], prepend=-1))
    return ufunc.reduceat(x[by_market], first)
