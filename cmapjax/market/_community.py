"""Communities: the agents within k hops of an agent."""

import math

import jax.numpy as jnp
import numpy as np
import scipy
from jaxtyping import Float, Int

from cmapjax.arguments._checks import check_hops
from cmapjax.market._columns import build_columns
from cmapjax.market._market import Market
from cmapjax.market._reductions import look, over_entries, written
from cmapjax.runtime._derivatives import log_or_minus_infinity
from cmapjax.runtime._precision import float64_on_host, namespace
from cmapjax.runtime._settings import check_plain
from cmapjax.runtime._types import Array

MAX_MEMBERS = 200_000_000  # entries of a table of communities (0.8 GB of int32)


def communities(market: Market, hops: int | float) -> "scipy.sparse.csr_array":
    """The 0/1 matrix whose row i marks C_i^k, the agents within `hops` of i, itself included.

    Raises:
        ValueError: a k that is not a number of hops; more members in all than the table may hold.
    """
    check_hops(hops)
    check_plain("communities", market.links, "the network must be known there, not an argument of it")
    adjacency = market.adjacency().astype(bool)
    step = adjacency + scipy.sparse.eye_array(market.num_agents, dtype=bool, format="csr")
    reach = scipy.sparse.eye_array(market.num_agents, dtype=bool, format="csr")
    component = market.components()
    everybody = int(np.sum(np.bincount(component).astype(np.int64) ** 2))
    if hops == math.inf and everybody > MAX_MEMBERS:
        _refuse(hops, everybody)
    done = 0
    while done < hops:
        grown = (reach @ step).tocsr()
        if grown.nnz > MAX_MEMBERS:
            _refuse(hops, grown.nnz)
        if grown.nnz == reach.nnz:
            break
        reach, done = grown, done + 1
    reach.sort_indices()
    return reach


def _refuse(hops: int | float, members: int) -> None:
    raise ValueError(
        f"community_hops {hops}: the communities have {members} members in all, more than the limit of "
        f"{MAX_MEMBERS}; take fewer hops, or CMAP, whose row is the same for every k ≥ 1."
    )


def beyond_table(market: Market, hops: int | float) -> Int[np.ndarray, "agents members"]:
    """For each stored agent the members of its community that it cannot give to, by where they are stored.

    Neighbours and the agent itself are not among them; padding is `num_agents`.
    """
    n = market.num_agents
    reach = communities(market, hops)
    near = market.adjacency().astype(bool) + scipy.sparse.eye_array(n, dtype=bool, format="csr")
    far = (reach.astype(np.int8) - reach.multiply(near).astype(np.int8)).tocsr()
    far.eliminate_zeros()
    lengths = np.diff(far.indptr)
    if n * int(lengths.max(initial=0)) > MAX_MEMBERS:
        _refuse(hops, n * int(lengths.max()))
    table = np.full((n, max(int(lengths.max(initial=0)), 1)), n, np.int32)
    row = np.repeat(np.arange(n), lengths)
    column = np.arange(far.nnz) - np.repeat(far.indptr[:-1], lengths)
    place = np.asarray(market.links.place)
    table[place[row], column] = place[far.indices]
    return table


@float64_on_host
def community_utility(
    market: Market, utility: Float[Array, "... agents"], hops: int | float = 1
) -> Float[Array, "... agents"]:
    """The utility of each agent's community: Σ_{j ∈ C_i^k} w_j log u_j (-inf if a member has nothing).

    Args:
        utility: u_j, value received.
        hops: k = 0 (the agent alone), 1 (with its neighbours), 2, …, or `math.inf`. With k = 1 the market may
            be an argument of compiled code; with other k it must be a constant there.

    Returns:
        One number per agent.

    Raises:
        ValueError: a k that is not a number of hops; communities too large to list.
    """
    check_hops(hops)
    xp = namespace(market, utility)
    weighted = xp.asarray(market.contribution) * log_or_minus_infinity(xp.asarray(utility))
    if hops == 1:  # studies record it inside compiled code, where the links say who is a member
        own = written(look(weighted, market.links.order))
        return look(own + over_entries(market.links, jnp.add, own), market.links.place)
    columns, _ = build_columns(*_rows(communities(market, hops)))
    return over_entries(columns, jnp.add, weighted)[columns.place]


def _rows(matrix: "scipy.sparse.csr_array") -> tuple[np.ndarray, np.ndarray]:
    return matrix.indptr.astype(np.int64), matrix.indices
