"""Markets whose equilibria are known on paper, and a directed one that has two."""

from fractions import Fraction
from typing import NamedTuple

import networkx as nx
import numpy as np
import scipy.optimize

from cmapjax.market._market import Market

THIRD, HALF, TWO_THIRDS = Fraction(1, 3), Fraction(1, 2), Fraction(2, 3)


class Oracle(NamedTuple):
    """A market and the utilities of its equilibrium, worked out by hand (bottleneck by bottleneck)."""

    name: str
    links: list
    contribution: list
    utility: list

    def market(self) -> Market:
        return Market.from_links(np.array(self.links), endowment=np.array(self.contribution, float))


def oracles() -> list[Oracle]:
    """Sixteen of them, from one link to a network of 77 people."""
    square, clique = [(0, 1), (1, 2), (2, 3), (3, 0)], [(i, j) for i in range(4) for j in range(i + 1, 4)]
    fifths, forth, three_quarters = Fraction(5, 3), Fraction(1, 4), Fraction(3, 4)
    known = [
        Oracle("one link", _path(2), [3, 1], [1, 3]),
        Oracle("path of 3", _path(3), [1] * 3, [HALF, 2, HALF]),
        Oracle("path of 4", _path(4), [1] * 4, [1] * 4),
        Oracle(
            "path of 4, unequal",
            _path(4),
            [1, 2, 3, 4],
            [3 * HALF, Fraction(4, 3), 9 * HALF, Fraction(8, 3)],
        ),
        Oracle("path of 5", _path(5), [1] * 5, [TWO_THIRDS, 3 * HALF] * 2 + [TWO_THIRDS]),
        Oracle("path of 5, unequal", _path(5), [4, 1, 2, 1, 1], [1, 4, TWO_THIRDS, 3, THIRD]),
        Oracle("star of 5", [(0, i) for i in range(1, 5)], [1] * 5, [4] + [forth] * 4),
        Oracle("clique of 4", clique, [5, 1, 1, 1], [3] + [fifths] * 3),
        Oracle("clique of 4, nobody too large", clique, [3, 2, 1, 1], [3, 2, 1, 1]),
        Oracle(
            "cycle of 4",
            square,
            [1, 2, 3, 1],
            [three_quarters, Fraction(8, 3), 3 * three_quarters, Fraction(4, 3)],
        ),
        Oracle(
            "triangle behind a fork",
            [(0, 2), (1, 2), (2, 3), (3, 4), (4, 5), (3, 5)],
            [1] * 6,
            [HALF, HALF, 2, 1, 1, 1],
        ),
        Oracle("cube (regular)", _numbered(nx.hypercube_graph(3)), [1] * 8, [1] * 8),
        Oracle("Petersen (regular)", _numbered(nx.petersen_graph()), [1] * 10, [1] * 10),
    ]
    return [*known, _karate(), _davis(), _les_miserables()]


def _path(n: int) -> list:
    return [(i, i + 1) for i in range(n - 1)]


def _numbered(graph) -> list:
    return list(nx.convert_node_labels_to_integers(graph).edges)


def _karate() -> Oracle:
    ratio = dict.fromkeys(range(34), 1)
    ratio |= dict.fromkeys([14, 15, 18, 20, 22], Fraction(2, 5)) | dict.fromkeys([32, 33], Fraction(5, 2))
    ratio |= dict.fromkeys([7, 9, 11, 12, 13, 17, 19, 21], HALF) | dict.fromkeys([0, 1, 2, 3], 2)
    links = _numbered(nx.karate_club_graph())
    return Oracle("karate club", links, [1] * 34, [ratio[i] for i in range(34)])


def _davis() -> Oracle:
    graph = nx.davis_southern_women_graph()
    women = set(graph.graph["top"])
    ratio = [Fraction(7, 9) if agent in women else Fraction(9, 7) for agent in graph]
    return Oracle("Davis women and events", _numbered(graph), [1] * 32, ratio)


def _les_miserables() -> Oracle:
    """Its bottlenecks: those who know nobody but these, of the people that earlier ones leave."""
    graph = nx.les_miserables_graph()
    left, ratio = set(graph), dict.fromkeys(graph, Fraction(1))
    for hubs in (["Myriel"], ["Valjean"], ["Fauchelevent"], ["Cosette", "Javert"]):
        served = {a for a in left - set(hubs) if set(graph[a]) & left <= set(hubs)}
        alpha = Fraction(len(hubs), len(served))
        ratio |= dict.fromkeys(served, alpha) | dict.fromkeys(hubs, 1 / alpha)
        left -= served | set(hubs)
    return Oracle("Les Misérables", _numbered(graph), [1] * 77, list(ratio.values()))


class Directed(NamedTuple):
    """A market with one-way links: what its central program and its competitive equilibrium give."""

    central: np.ndarray
    competitive: np.ndarray
    competitive_error: float
    """By how much prices (1, 1/2, 1) miss supporting the second: relative, 0 if they do."""


def directed() -> Directed:
    """Arcs 1→2, 1→3, 2→1, 3→2 with contributions (1, 2, 1), worked out without the package.

    `Market` holds undirected networks only. Here agents 2 and 3 have no choice, and agent 1 gives x to
    agent 2: u = (2, 1 + x, 1 − x).
    """
    weight = np.array([1.0, 2, 1])

    def utility(x):
        return np.array([2, 1 + x, 1 - x])

    found = scipy.optimize.minimize_scalar(
        lambda x: -weight @ np.log(utility(x)),
        bounds=(0, 1 - 1e-9),
        method="bounded",
        options={"xatol": 1e-12},
    )
    price, flow = np.array([1.0, 0.5, 1.0]), np.array([[0.0, 0, 1], [2, 0, 0], [0, 1, 0]])
    sells_to = np.array([[0, 1, 1], [1, 0, 0], [0, 1, 0]])
    spending, income = price @ flow, price * weight
    cheapest = np.where(sells_to > 0, price[:, None], np.inf).min(axis=0)
    overpaid = np.where(flow > 0, price[:, None] / cheapest - 1, 0)
    error = max(np.abs(spending / income - 1).max(), overpaid.max())
    return Directed(utility(found.x), flow.sum(axis=0), float(error))
