"""The grid that parts have in common: seven families of networks, and three ways of contributing."""

import math

import jax

from cmapjax._market import Market
from cmapjax.graphs import (
    BarabasiAlbert,
    Bipartite,
    Distribution,
    Drop,
    ErdosRenyi,
    Family,
    LogNormal,
    RandomGeometric,
    RandomMarket,
    RandomTree,
    Redraw,
    TorusGrid,
    Uniform,
    Unit,
    WattsStrogatz,
)

CONTRIBUTIONS: dict[str, Distribution] = {
    "unit": Unit(),
    "uniform": Uniform(0.1, 1),
    "lognormal": LogNormal(1.0),
}


def families(n: int, degree: float = 8) -> dict[str, Family]:
    """The seven families by name, of about n agents (a torus has sides).

    Args:
        n: agents; the torus has the nearest number that two sides of similar length can have.
        degree: expected number of neighbours in those families that have it as a parameter.
    """
    side = max(3, round(math.sqrt(n)))
    return {
        "Erdős-Rényi": ErdosRenyi(n, mean_degree=degree),
        "Barabási-Albert": BarabasiAlbert(n, 2),
        "Watts-Strogatz": WattsStrogatz(n, 4, 0.1),
        "geometric": RandomGeometric(n, mean_degree=degree),
        "torus": TorusGrid(side, max(3, round(n / side))),
        "tree": RandomTree(n),
        "bipartite": Bipartite(n // 2, n - n // 2, mean_degree=degree),
    }


def drawn(
    family: Family,
    contribution: Distribution,
    seed: int,
    stream: int,
    number: int = 1,
    *,
    drops: bool = False,
) -> Market:
    """So many markets of a family, packed; `stream` tells what else is drawn from the seed apart.

    Args:
        drops: isolated agents are left out, and not whole networks with one drawn again (in which large
            sparse networks, who always have some, would never succeed).
    """
    key = jax.random.fold_in(jax.random.key(seed), stream)
    isolated = Drop() if drops else Redraw()
    return RandomMarket(family, endowment=contribution, isolated=isolated).draw(key, number)
