"""The grid that parts have in common: seven families of networks, and three ways of contributing.

In the words of studies, and of these words as objects.
"""

from cmapjax.graphs import Distribution, Drop, Family, RandomMarket, Redraw
from cmapjax.market._market import Market
from cmapjax.market._random import key_of
from cmapjax.words._objects import Builder

FAMILIES = {
    "Erdős-Rényi": "er:n={n},degree={degree:g}",
    "Barabási-Albert": "ba:n={n},m=2",
    "Watts-Strogatz": "ws:n={n},k=4,rewiring=0.1",
    "geometric": "geometric:n={n},degree={degree:g}",
    "torus": "torus:rows={rows},columns={columns}",
    "tree": "tree:n={n}",
    "bipartite": "bipartite:left={left},right={right},degree={mean:g}",
}
WORDS_OF_CONTRIBUTIONS = {
    "unit": "unit",
    "uniform": "uniform:low=0.1,high=1",
    "lognormal": "lognormal:sigma=1",
}
CONTRIBUTIONS: dict[str, Distribution] = {
    name: Builder().build(Distribution, words) for name, words in WORDS_OF_CONTRIBUTIONS.items()
}
# A torus is this nearly square, or has another number of agents than was asked for.
LEAST_SIDE = 0.75


def words_of(name: str, n: int, degree: float = 8) -> str:
    """A family of n agents in the words of studies (a torus of about n, if n has no two sides alike).

    Args:
        name: of the family.
        n: agents.
        degree: expected number of neighbours in those families that have it as a parameter. (On a side of few
            agents there are fewer.)
    """
    rows, columns = _sides(n)
    left = n // 2
    numbers = {"rows": rows, "columns": columns, "left": left, "right": n - left}
    return FAMILIES[name].format(n=n, degree=degree, mean=min(degree, left - 1), **numbers)


def _sides(n: int) -> tuple[int, int]:
    """Of a torus, 3 or more each."""
    root = n**0.5
    short = next(r for r in range(int(root), 0, -1) if n % r == 0)
    if short >= max(3, LEAST_SIDE * root):
        return short, n // short
    side = max(3, round(root))
    return side, max(3, round(n / side))


def families(n: int, degree: float = 8) -> dict[str, Family]:
    """The seven families by name; arguments as of `words_of`."""
    return {name: Builder().build(Family, words_of(name, n, degree)) for name in FAMILIES}


def drawn(
    kind: Family,
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
    key = key_of(seed, stream)
    isolated = Drop() if drops else Redraw()
    return RandomMarket(kind, endowment=contribution, isolated=isolated).draw(key, number)
