"""Compressed rows of neighbours, on the host: agent i's are `neighbours[starts[i]:starts[i + 1]]`."""

import numpy as np
import scipy.sparse
from jaxtyping import Int


def compressed_rows(
    links: Int[np.ndarray, "links 2"], num_agents: int
) -> tuple[Int[np.ndarray, "bounds"], Int[np.ndarray, "arcs"], int]:
    """Each agent's neighbours, ascending and without repetition, and how many links were repetitions.

    Sorted by counting, twice: into rows, and transposed (which for a symmetric matrix changes nothing
    but the order within rows).
    """
    ends = np.empty((2, len(links)), np.int32)
    ends[0], ends[1] = links[:, 0], links[:, 1]
    entries = scipy.sparse.coo_array(
        (np.ones(ends.size, np.bool_), (ends.ravel(), ends[::-1].ravel())), shape=(num_agents, num_agents)
    )
    del ends
    entries.has_canonical_format = True  # repetitions are counted below; adding them up here would sort
    rows = entries.tocsr()
    del entries
    rows = rows.tocsc()
    starts, neighbours = rows.indptr.astype(np.int64), rows.indices
    del rows
    is_new = np.ones(len(neighbours), np.bool_)
    np.not_equal(neighbours[1:], neighbours[:-1], out=is_new[1:])
    is_new[starts[:-1][np.diff(starts) > 0]] = True
    repeated = len(neighbours) - np.count_nonzero(is_new)
    if repeated:
        starts = np.concatenate([[0], np.cumsum(is_new)])[starts]
        neighbours = neighbours[is_new]
    return starts, neighbours, repeated // 2
