"""From a flow that is nearly optimal to the exact optimum over the links that it uses."""

import dataclasses

import numpy as np
from jaxtyping import Float

from cmapjax.equilibrium._by_levels import Found, by_levels
from cmapjax.equilibrium._losses import fits, forest_factors
from cmapjax.market._bound import Arcs


def polished(arcs: Arcs, flow: Float[np.ndarray, "arcs"], fairness: float) -> Found:
    """The optimum of the market in which only links change that lie on a forest, or agree with it.

    On links with 0 < y < K an equilibrium has ρ_j e_ij = q_i, so there efficiencies are products, whatever
    they are elsewhere, and exact levels solve that part of the market. The forest takes links in the order
    of how much of its giver's and its receiver's amounts each carries. Other links keep their flow, as part
    of their receiver's own use. The optimum is therefore at least as good as the flow, and is the market's
    where the flow uses the right links.
    """
    n, utility = len(arcs.supply), arcs.received(flow)
    share = flow / np.where(arcs.supply > 0, arcs.supply, 1)[arcs.giver]
    share = share + arcs.efficiency * flow / np.where(utility > 0, utility, 1)[arcs.receiver]
    leads = arcs.leads
    chosen = np.flatnonzero(leads & (flow > 0) & (flow < arcs.capacity))
    part, tree = forest_factors(arcs, chosen, share[chosen])
    moves = leads & (tree[arcs.giver] == tree[n + arcs.receiver]) & fits(arcs, part)
    still = np.where(moves, 0, flow)
    rest = dataclasses.replace(
        arcs.only(moves),
        supply=np.maximum(arcs.supply - np.bincount(arcs.giver, still, n), 0),
        own_use=np.minimum(arcs.received(still), arcs.demand),
    )
    found = by_levels(rest, np.exp(part[:n]), np.exp(part[n:]), fairness)
    still[moves] = found.flow
    return found._replace(flow=still)
