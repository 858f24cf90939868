"""What makes an equilibrium fair and stable, in the forms of the literature, each a check of its own.

They are equivalent on undirected networks, so each can confirm the others; none uses the solver's groups
except `bottleneck_pairs`, which is another way of writing them. On the host, in float64.
"""

import dataclasses
from collections.abc import Hashable

import numpy as np
import scipy.optimize
import scipy.sparse
from jaxtyping import Float

from cmapjax._certificate import per_market
from cmapjax._equilibrium import Equilibrium
from cmapjax._labelled import by_name
from cmapjax._market import Market
from cmapjax._settings import entry
from cmapjax._types import Array

__all__ = [
    "BottleneckPair",
    "arrow_debreu_error",
    "arrow_debreu_prices",
    "best_coalition",
    "bottleneck_pairs",
    "lexicographic_error",
    "lexicographic_ratios",
    "reciprocity_error",
]

MOST_LINEAR = 300
MOST_COALITION = 14
# A link counts as used when it carries more than this share of the smaller contribution at its ends:
# below it stands the rounding of a converged run.
USED = 1e-9
OUTSIDE = "check the equilibrium once it is computed"


@dataclasses.dataclass(frozen=True)
class BottleneckPair:
    """(B, C, α): the receivers B are served by the givers C alone, and get α = w(C) / w(B) ≤ 1 per value.

    In return B serves C, which gets 1/α. B and C are the same agents where α = 1. Agents by label.
    """

    receivers: tuple[Hashable, ...]
    givers: tuple[Hashable, ...]
    ratio: float
    market: int


@entry(remedy=OUTSIDE)
def bottleneck_pairs(market: Market, equilibrium: Equilibrium) -> list[BottleneckPair]:
    """The bottleneck decomposition (B_1, C_1, α_1), …, by market, α ascending.

    Raises:
        ValueError: an equilibrium of a method that finds no groups.

    Source: Wu and Zhang, STOC 2007; Cheng, Deng, Qi and Yan, IJCAI 2016.
    """
    groups = equilibrium.groups
    if groups is None:
        raise ValueError("equilibrium: its method finds no groups; solve with method=Decomposition().")
    labels = market.labels
    return [
        BottleneckPair(
            receivers=tuple(labels[i] for i in receivers),
            givers=tuple(labels[i] for i in givers),
            ratio=float(groups.ratio[number]),
            market=int(groups.market[number]),
        )
        for number, receivers, givers in groups.pairs()
    ]


@entry(remedy=OUTSIDE)
def reciprocity_error(market: Market, flow: Float[Array, "slots"]) -> Float[np.ndarray, "markets"]:
    """By how much reciprocity fails: the largest of 1 − r_p r_j over links, and |r_p r_j − 1| over used ones.

    0 exactly at the equilibrium: agents exchange with those whose ratio is the inverse of their own, and
    nobody has a neighbour with whom both would rather exchange. A link counts as used when it carries
    more than 1e-9 of the smaller contribution at its ends.

    Source: derived in docs/model.md; the level structure is in Georgiadis, Iosifidis and Tassiulas, 2015.
    """
    giver, receiver, y, ratio = _arcs(market, flow)
    product = ratio[giver] * ratio[receiver]
    error = np.where(_is_used(market, giver, receiver, y), np.abs(product - 1), np.maximum(1 - product, 0))
    return _worst(market, giver, error)


@entry(remedy=OUTSIDE)
def lexicographic_error(market: Market, flow: Float[Array, "slots"]) -> Float[np.ndarray, "markets"]:
    """By how much somebody richer is served before somebody poorer: max of r_j / min_{k ∈ N_p} r_k − 1
    over links p → j that are used.

    0 exactly if the ratios are lexicographically optimal: the least ratio is as large as possible, then
    the second least, and so on. (A flow is improvable if and only if value can be moved from a richer to
    a poorer receiver along a path of givers, and then it can be moved at one giver of that path.)

    Source: Georgiadis, Iosifidis and Tassiulas, SIGMETRICS 2015; Fujishige, Math. Oper. Res. 5, 1980.
    """
    giver, receiver, y, ratio = _arcs(market, flow)
    rows = np.flatnonzero(np.diff(giver, prepend=-1))
    poorest = np.minimum.reduceat(ratio[receiver], rows)
    is_used = _is_used(market, giver, receiver, y)
    with np.errstate(divide="ignore", invalid="ignore"):
        error = np.where(is_used & (ratio[receiver] > 0), ratio[receiver] / poorest[giver] - 1, 0)
    return _worst(market, giver, error)


@entry(remedy=OUTSIDE)
def lexicographic_ratios(market: Market) -> Float[np.ndarray, "agents"]:
    """The lexicographically optimal ratios, by progressive filling with linear programs (small markets).

    Raise everybody's ratio together as far as it goes; freeze those who can go no further; repeat.
    Independent of every other solver here, and slow: meant for checking.

    Raises:
        ValueError: more than 300 agents, or several markets.
    """
    _check_small(market, MOST_LINEAR)
    giver, receiver = market.arcs()
    w, n, arcs = np.asarray(market.contribution), market.num_agents, len(giver)
    columns = np.arange(arcs)
    spends = scipy.sparse.csr_array((np.ones(arcs), (giver, columns)), (n, arcs))
    gets = scipy.sparse.csr_array((1 / w[receiver], (receiver, columns)), (n, arcs))
    ratio = np.full(n, np.nan)
    while np.any(np.isnan(ratio)):
        is_free = np.isnan(ratio)
        floor = np.where(is_free, 0, ratio)
        level = _raise(spends, gets, w, is_free.astype(float), floor)
        stuck = [
            j
            for j in np.flatnonzero(is_free)
            if _raise(spends, gets, w, np.eye(n)[j], np.where(is_free, level, ratio)) <= 1e-9 * level
        ]
        ratio[stuck] = level
    return ratio


def _raise(spends, gets, w, direction, floor) -> float:
    """The greatest t with ratios ≥ floor + t · direction (the floor lowered by a hair, for rounding)."""
    n, arcs = spends.shape
    objective = np.concatenate([np.zeros(arcs), [-1.0]])
    balance = scipy.sparse.hstack([-gets, scipy.sparse.csr_array(direction[:, None])])
    spending = scipy.sparse.hstack([spends, scipy.sparse.csr_array((n, 1))])
    found = scipy.optimize.linprog(
        objective, A_ub=balance, b_ub=-floor * (1 - 1e-12), A_eq=spending, b_eq=w, method="highs"
    )
    if found.status != 0:
        raise ArithmeticError(f"linear program: {found.message}")
    return found.x[-1]


@entry(remedy=OUTSIDE)
def best_coalition(market: Market, utility) -> tuple[tuple[Hashable, ...], float]:
    """The coalition that could gain most by itself, and the factor by which all its members could.

    A coalition S that exchanges only within itself can give every member t times its utility where
    t = min over X ⊆ S of w(N(X) ∩ S) / u(X). The utilities are in the core, no coalition improves all its
    members, if the factor is ≤ 1. All 2^n coalitions are tried.

    Raises:
        ValueError: more than 14 agents, or several markets.

    Source: the core of Georgiadis, Iosifidis and Tassiulas, SIGMETRICS 2015; t by Hall's condition.
    """
    _check_small(market, MOST_COALITION)
    utility, n = by_name("utility", utility, market.labels), market.num_agents
    sets = np.arange(2**n)
    is_member = (sets[:, None] >> np.arange(n)) & 1
    giver, receiver = market.arcs()
    neighbours = np.zeros(n, np.int64)
    np.bitwise_or.at(neighbours, receiver, 1 << giver)
    reach = np.bitwise_or.reduce(np.where(is_member, neighbours, 0), axis=1)
    worth, wish = is_member @ np.asarray(market.contribution), is_member @ np.asarray(utility)
    best, factor = (), 0.0
    for coalition in sets[1:]:
        parts = sets[1:][(sets[1:] & ~coalition) == 0]
        with np.errstate(divide="ignore"):
            gain = np.min(worth[reach[parts] & coalition] / wish[parts])
        if gain > factor:
            best, factor = tuple(np.array(market.labels, object)[is_member[coalition] > 0]), float(gain)
    return best, factor


@entry(remedy=OUTSIDE)
def arrow_debreu_prices(market: Market, equilibrium: Equilibrium) -> Float[np.ndarray, "agents"]:
    """Prices π_p = √r_p, per unit of p's value, at which the equilibrium is a competitive one.

    Every agent sells its whole surplus at its own price and buys, with exactly that income, from its
    cheapest neighbours. (The prices q_p = r_p of the central program are not these: there, budgets are
    given.) Prices of each component may be scaled at will.

    Source: derived in docs/equilibrium.md; the equivalence is Wu and Zhang's, STOC 2007.
    """
    return np.sqrt(np.asarray(equilibrium.ratio))


@entry(remedy=OUTSIDE)
def arrow_debreu_error(market: Market, price, flow: Float[Array, "slots"]) -> Float[np.ndarray, "markets"]:
    """By how much prices and flow miss a competitive equilibrium, relative; the larger of two errors.

    An agent's spending Σ_p π_p y_pj against its income π_j w_j, and what it pays on used links against the
    price of its cheapest neighbour.
    """
    giver, receiver, y, _ = _arcs(market, flow)
    price, n = np.asarray(by_name("price", price, market.labels)), market.num_agents
    spending = np.bincount(receiver, price[giver] * y, n)
    income = price * np.asarray(market.contribution)
    # Seen from each agent as a buyer: arcs come in both directions, so its sellers are its own row.
    rows = np.flatnonzero(np.diff(giver, prepend=-1))
    cheapest = np.minimum.reduceat(price[receiver], rows)
    is_used = _is_used(market, giver, receiver, y)
    overpaid = np.where(is_used, price[giver] / cheapest[receiver] - 1, 0)
    budget = per_market(np.maximum, np.abs(spending / income - 1), np.asarray(market.market_of))
    return np.maximum(budget, _worst(market, giver, overpaid))


def _arcs(market: Market, flow):
    giver, receiver = market.arcs()
    return giver, receiver, market.arc_values(flow), market.received(flow) / np.asarray(market.contribution)


def _is_used(market: Market, giver, receiver, y):
    w = np.asarray(market.contribution)
    return y > USED * np.minimum(w[giver], w[receiver])


def _worst(market: Market, giver, error) -> Float[np.ndarray, "markets"]:
    worst = np.maximum.reduceat(error, np.flatnonzero(np.diff(giver, prepend=-1)))
    return per_market(np.maximum, worst, np.asarray(market.market_of))


def _check_small(market: Market, most: int) -> None:
    if market.num_markets > 1 or market.num_agents > most:
        raise ValueError(
            f"market: {market.num_agents} agents in {market.num_markets} market(s); this check is for one "
            f"market of at most {most} agents."
        )
