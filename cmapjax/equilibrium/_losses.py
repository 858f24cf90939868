"""Losses on links that are a factor of the giver times one of the receiver."""

from collections import defaultdict

import numpy as np
from jaxtyping import Float, Int

from cmapjax.market._bound import Arcs

# Logarithms of efficiencies that differ by less than this have been rounded.
ROUNDING = 1e-13


def product_losses(arcs: Arcs) -> tuple[Float[np.ndarray, "agents"], Float[np.ndarray, "agents"]]:
    """Factors f of givers and g of receivers with e_ij = f_i g_j on every link that carries something.

    Raises:
        ValueError: there are none, beyond rounding.
    """
    n, log = len(arcs.supply), np.log(arcs.efficiency)
    if not np.any(log):
        return np.ones(n), np.ones(n)
    leads = np.flatnonzero(arcs.carries & arcs.counts[arcs.receiver])
    giver, receiver, log = arcs.giver[leads], n + arcs.receiver[leads], log[leads]
    part = _parts(giver, receiver, log, 2 * n)
    error = np.abs(log - part[giver] - part[receiver])
    if np.any(error > ROUNDING * (1 + np.max(np.abs(part)))):
        raise ValueError(
            "solve: this market has efficiencies that are not a factor of the giver times one of the "
            "receiver, which no method here solves; make them so, or leave efficiency out."
        )
    return np.exp(part[:n]), np.exp(part[n:])


def _parts(
    one: Int[np.ndarray, "links"],
    other: Int[np.ndarray, "links"],
    total: Float[np.ndarray, "links"],
    size: int,
) -> Float[np.ndarray, "nodes"]:
    """Numbers of nodes that add up to those of the links along a tree of links in every connected part."""
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
