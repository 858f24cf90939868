"""Compressed rows of neighbours, on the host: agent i's are `neighbours[starts[i]:starts[i + 1]]`."""

import numpy as np
import scipy  # which loads `scipy.sparse` at its first use
from jaxtyping import Int

# Up to this many arcs NumPy sorts in less time than SciPy takes to load; for more, SciPy's sort is quicker.
FEW_ARCS = 100_000


def compressed_rows(
    links: Int[np.ndarray, "links 2"], num_agents: int
) -> tuple[Int[np.ndarray, "bounds"], Int[np.ndarray, "arcs"], int]:
    """Each agent's neighbours, ascending and without repetition, and how many links were repetitions."""
    ends = np.empty((2, len(links)), np.int64)
    for arc, (giver, receiver) in zip(ends, (links.T, links.T[::-1]), strict=True):
        # In 64 bits whatever the type of the links: products of 32-bit numbers would wrap around.
        np.multiply(giver, num_agents, out=arc, casting="unsafe", dtype=np.int64)
        np.add(arc, receiver, out=arc, casting="unsafe", dtype=np.int64)
    arcs = ends.ravel()  # giver · num_agents + receiver, below 2^62
    arcs.sort()
    is_new = np.ones(len(arcs), np.bool_)
    np.not_equal(arcs[1:], arcs[:-1], out=is_new[1:])
    repeated = len(arcs) - np.count_nonzero(is_new)
    if repeated:
        arcs = arcs[is_new]
    starts = np.searchsorted(arcs, np.arange(num_agents + 1) * num_agents)
    np.remainder(arcs, num_agents, out=arcs)
    return starts, arcs.astype(np.int32), repeated // 2


def reverse_arcs(
    starts: Int[np.ndarray, "bounds"], neighbours: Int[np.ndarray, "arcs"]
) -> Int[np.ndarray, "arcs"]:
    """For the arc from i to j, the place among all arcs of that from j to i."""
    # The k-th arc by (receiver, giver) is the reverse of the k-th by (giver, receiver).
    if len(neighbours) <= FEW_ARCS:
        return np.argsort(neighbours, kind="stable")
    num_agents = len(starts) - 1
    numbered = scipy.sparse.csr_array(
        (np.arange(len(neighbours), dtype=np.int32), neighbours, starts.astype(np.int32)),
        shape=(num_agents, num_agents),
    )
    return numbered.tocsc().data


def connected_parts(
    one: Int[np.ndarray, "links"], other: Int[np.ndarray, "links"], num_nodes: int
) -> Int[np.ndarray, "nodes"]:
    """The least node of each node's connected component, given both ends of every link."""
    part = np.arange(num_nodes)
    while len(one):
        np.minimum.at(part, np.maximum(one, other), np.minimum(one, other))
        while not np.array_equal(above := part[part], part):
            part = above
        one, other = part[one], part[other]
        are_apart = one != other
        one, other = one[are_apart], other[are_apart]
    return part
