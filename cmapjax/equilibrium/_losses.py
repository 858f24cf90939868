"""Losses on links as factors of givers times factors of receivers, on all links or on a forest of them."""

from collections import defaultdict

import numpy as np
import scipy  # which loads `scipy.sparse` at its first use
from jaxtyping import Float, Int

from cmapjax.market._bound import Arcs

# Logarithms of efficiencies that differ by less than this have been rounded.
ROUNDING = 1e-13


def product_losses(
    arcs: Arcs,
) -> tuple[Float[np.ndarray, "agents"], Float[np.ndarray, "agents"]] | None:
    """Factors f of givers and g of receivers with e_ij = f_i g_j on every link that carries something.

    None if there are none, beyond rounding.
    """
    n, log = len(arcs.supply), np.log(arcs.efficiency)
    if not np.any(log):
        return np.ones(n), np.ones(n)
    leads = np.flatnonzero(arcs.carries & arcs.counts[arcs.receiver])
    part, _ = forest_factors(arcs, leads, np.ones(len(leads)))
    if not np.all(fits(arcs, part)[leads]):
        return None
    return np.exp(part[:n]), np.exp(part[n:])


def forest_factors(
    arcs: Arcs, chosen: Int[np.ndarray, "links"], share: Float[np.ndarray, "links"]
) -> tuple[Float[np.ndarray, "nodes"], Int[np.ndarray, "nodes"]]:
    """Logarithms of the factors along a forest of the chosen arcs, and the tree of each node.

    Nodes are givers, then receivers.

    Args:
        share: between 0 and 2; arcs with the largest are in the forest.
    """
    size, csgraph = 2 * len(arcs.supply), scipy.sparse.csgraph
    ends = arcs.giver[chosen], len(arcs.supply) + arcs.receiver[chosen]
    # Numbered in the order of shares, because a stored weight must not be 0.
    rank = np.empty(len(chosen))
    order = np.argsort(-share, kind="stable")
    rank[order] = np.arange(1, len(chosen) + 1)
    graph = scipy.sparse.csr_array((rank, ends), shape=(size, size))
    tree = csgraph.minimum_spanning_tree(graph)
    of_tree = chosen[order[tree.data.astype(np.int64) - 1]]
    part = _parts(
        arcs.giver[of_tree],
        len(arcs.supply) + arcs.receiver[of_tree],
        np.log(arcs.efficiency[of_tree]),
        size,
    )
    return part, csgraph.connected_components(tree, directed=False)[1]


def fits(arcs: Arcs, part: Float[np.ndarray, "nodes"]) -> np.ndarray:
    """On which arcs the factors multiply to the efficiency."""
    ends = part[arcs.giver], part[len(arcs.supply) + arcs.receiver]
    size = 1 + np.abs(ends[0]) + np.abs(ends[1])
    return np.abs(np.log(arcs.efficiency) - ends[0] - ends[1]) <= ROUNDING * size


def _parts(
    one: Int[np.ndarray, "links"],
    other: Int[np.ndarray, "links"],
    total: Float[np.ndarray, "links"],
    size: int,
) -> Float[np.ndarray, "nodes"]:
    """Numbers of nodes that add up to those of the links, which form a forest."""
    links = defaultdict(list)
    for a, b, x in zip(one.tolist(), other.tolist(), total.tolist(), strict=True):
        links[a].append((b, x))
        links[b].append((a, x))
    part = {}
    for start in list(links):
        if start in part:
            continue
        part[start], queue = 0.0, [start]
        for node in queue:
            for neighbour, x in links[node]:
                if neighbour not in part:
                    part[neighbour] = x - part[node]
                    queue.append(neighbour)
    return np.array([part.get(node, 0.0) for node in range(size)])
