"""Who may share with whom when cables reach further than neighbours."""

import numpy as np

from cmapjax.market._community import communities
from cmapjax.market._market import Market, assemble_rows
from cmapjax.market._numbers import OF_AGENTS, OF_ARCS
from cmapjax.runtime._settings import check_plain


def within(market: Market, hops: int | float) -> Market:
    """The market in which all agents at most so many links apart are neighbours.

    What passes between two agents further apart passes through others' cables. That these may be full is not
    modelled: every pair has a link of its own, without limit and without loss. So a market whose links have
    capacities or efficiencies is refused, since neither says what holds along a way.

    Args:
        market: one market, or several side by side, of which each keeps its agents, numbers and labels.
        hops: the most links between two agents: 1 (as they are), 2, …, or `math.inf` for everybody whom a
            way leads to.

    Returns:
        A market of the same agents.

    Raises:
        ValueError: hops other than these; links with capacities (as all have that go one way) or
            efficiencies; so many pairs that no table holds them.
    """
    check_plain("within", (market, hops), "make the market before")
    if isinstance(hops, bool) or not (hops == float("inf") or (isinstance(hops, int) and hops >= 1)):
        raise ValueError(f"hops is {hops!r}; give 1, 2, …, or math.inf for everybody.")
    of_links = [name for name in OF_ARCS if name in market.terms]
    if of_links:
        raise ValueError(
            f"within: links of this market have {of_links[0]}, and what that is along a way of several links "
            "is not known; leave it out, or list the pairs that may share as links of their own."
        )
    reach = communities(market, hops)
    giver = np.repeat(np.arange(market.num_agents, dtype=np.int32), np.diff(reach.indptr))
    others = reach.indices != giver
    starts = np.append(0, np.cumsum(np.bincount(giver[others], minlength=market.num_agents)))
    fields = {name: np.asarray(getattr(market, name)) for name in ("endowment", "value")}
    fields |= {name: np.asarray(getattr(market, name)) for name in OF_AGENTS if name in market.terms}
    neighbours = reach.indices[others].astype(np.int32)
    market_of, numbers = np.asarray(market.market_of), np.asarray(market.numbers)
    return assemble_rows(starts, neighbours, fields, market_of, numbers, market.origin)
