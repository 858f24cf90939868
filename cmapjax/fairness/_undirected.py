"""Definitions of the literature that need undirected markets of endowments and values: there they are
equivalent, so that each check can confirm the others.

Only `bottleneck_pairs` uses the solver's groups; it is another way of writing them.
"""

import dataclasses
import itertools
import math
from collections.abc import Hashable
from fractions import Fraction

import numpy as np
from jaxtyping import Float

from cmapjax.arguments._checks import as_real, check_positive, check_span, short
from cmapjax.arguments._labelled import by_name
from cmapjax.equilibrium._equilibrium import Equilibrium
from cmapjax.fairness._general import ROUNDING, USED, with_terms
from cmapjax.market._certificate import check_flow, per_market
from cmapjax.market._market import Market
from cmapjax.runtime._settings import entry
from cmapjax.runtime._types import Array

MOST_FILLING = 300
MOST_COALITION = 14
OUTSIDE = "check the equilibrium once it is computed"
# Why each is about markets of endowments and values only, and what holds of others.
NEEDS = {
    "bottleneck_pairs": "groups exchange in pairs only there, and elsewhere a giver may serve several; "
    "`Equilibrium.settlement.level` has the levels of all",
    "reciprocity_error": "ratios of agents who exchange are inverse only there; use lexicographic_error, "
    "proportionality_error or envy_error",
    "lexicographic_ratios": "it fills up contributions, without limits; `solve(market, exact=True)` verifies "
    "its fractions law by law",
    "best_coalition": "what a coalition has by itself is told by contributions only there; use pareto_error",
    "arrow_debreu_prices": "budgets are what agents earn only there, and priorities elsewhere; use "
    "`Equilibrium.price` and `Equilibrium.settlement.receiver_price`",
    "arrow_debreu_error": "budgets are what agents earn only there, and priorities elsewhere; use "
    "envy_error, or the certified gap",
}


@dataclasses.dataclass(frozen=True)
class BottleneckPair:
    """A pair (B, C, α): the receivers B are served by the givers C only.

    B receives α = w(C) / w(B) ≤ 1 per value contributed, and in return C receives 1/α from B. If α = 1, B and
    C are the same agents.
    """

    receivers: tuple[Hashable, ...]
    """B, by label."""
    givers: tuple[Hashable, ...]
    """C, by label."""
    ratio: float
    """α."""
    market: int
    """The market's number in its ensemble."""


@entry(remedy=OUTSIDE, any_market=True)
def bottleneck_pairs(market: Market, equilibrium: Equilibrium) -> list[BottleneckPair]:
    """The bottleneck decomposition (B_1, C_1, α_1), …, by market, α ascending.

    Args:
        equilibrium: of this market, by an exact method.

    Returns:
        One pair for each α ≤ 1 of each market.

    Raises:
        ValueError: an equilibrium of a method that finds no groups.

    Source: Wu and Zhang, STOC 2007; Cheng, Deng, Qi and Yan, IJCAI 2016.
    """
    _check_ordinary("bottleneck_pairs", market)
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


@entry(remedy=OUTSIDE, any_market=True)
def reciprocity_error(market: Market, flow: Float[Array, "slots"]) -> Float[np.ndarray, "markets"]:
    """The error of reciprocity: the largest of 1 − r_p r_j over links, and |r_p r_j − 1| over used links.

    It is 0 exactly at the equilibrium: there agents exchange with neighbours whose ratio is the inverse of
    their own, and no two linked agents would both gain by exchanging more. A link counts as used if it
    carries more than 1e-9 of what its giver has or its receiver gets.

    Args:
        flow: y_ij in the market's layout (value).

    Returns:
        A number per market; if that is larger, the share by which a row misses its contribution.

    Raises:
        ValueError: a flow that is not feasible, beyond rounding (1e-3 of a contribution in float32, else
            1e-5); the agent and the amounts are named. Inside a JAX transformation.

    Source: derived in docs/model.md; the level structure is in Georgiadis, Iosifidis and Tassiulas, 2015.
    """
    _check_ordinary("reciprocity_error", market)
    arcs = _Arcs(market, flow)
    with np.errstate(over="ignore"):
        product = arcs.ratio[arcs.giver] * arcs.ratio[arcs.receiver]
    return arcs.worst(np.where(arcs.is_used, np.abs(product - 1), np.maximum(1 - product, 0)))


@entry(remedy=OUTSIDE, any_market=True)
def lexicographic_error(market: Market, flow: Float[Array, "slots"]) -> Float[np.ndarray, "markets"]:
    """The error of lexicographic optimality: max of r_j / min_{k ∈ N_p} r_k − 1 over used links p → j, by how
    much a giver serves a richer neighbour before its poorest.

    It is 0 exactly if the ratios are lexicographically optimal: the least ratio is as large as possible, then
    the second least, and so on. (A flow can be improved if and only if value can be moved from a richer to a
    poorer receiver along a path of givers, and then also at one giver of that path.)

    In markets with priorities, demands, own use, capacities or directions, r_j = û_j / b_j; a giver may serve
    those to whom its link is not full, and those who have enough stand for whom their givers could serve
    instead. What exceeds a demand counts as given to somebody infinitely rich.

    Args:
        flow: y_ij in the market's layout (value).

    Returns:
        A number per market, +inf where a neighbour has nothing; if that is larger, the share by which a row
        misses its contribution, though somebody could use it.

    Raises:
        ValueError: as of `reciprocity_error`; a market with losses, where the fair flow need not be
            lexicographically optimal.

    Source: Georgiadis, Iosifidis and Tassiulas, SIGMETRICS 2015; Fujishige, Math. Oper. Res. 5, 1980.
    """
    if market.terms:
        return with_terms(market, flow)
    arcs = _Arcs(market, flow)
    received = arcs.ratio[arcs.receiver]
    poorest = np.minimum.reduceat(received, arcs.rows)[arcs.giver]
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        error = np.where(arcs.is_used & (received > 0), received / poorest - 1, 0)
    return arcs.worst(error)


@entry(remedy=OUTSIDE, any_market=True)
def lexicographic_ratios(market: Market) -> Float[np.ndarray, "agents"]:
    """The lexicographically optimal ratios, by progressive filling in whole numbers (small markets).

    All ratios are raised together as far as possible; agents that can get no more are fixed, with the givers
    that serve them; the others are raised further. The level of each step is found by Dinkelbach's method on
    maximum flows of NetworkX, in Python's integers, so that only the result is rounded. The ratios are then
    verified by reciprocity. The function shares no code with `solve`; it is slow and meant for checks.

    Returns:
        r_j of each agent, the nearest float64.

    Raises:
        ValueError: more than 300 agents, or several markets; contributions whose ratios overflow.
        ArithmeticError: the ratios found are not reciprocal, which would be a fault of this function.

    Source: Megiddo, Math. Prog. 7, 1974 (lexicographically optimal flows); Dinkelbach, Management Science
    13, 1967.
    """
    _check_ordinary("lexicographic_ratios", market)
    _check_small(market, MOST_FILLING)
    contribution = np.asarray(market.contribution)
    check_span(contribution, "float64", lambda i: market.labels[i])
    exact = [Fraction(w) for w in contribution.tolist()]
    unit = math.lcm(*(w.denominator for w in exact))
    weight = [int(w * unit) for w in exact]
    starts, neighbours = market.neighbour_rows()
    around = [neighbours[a:b].tolist() for a, b in itertools.pairwise(starts)]
    ratio: dict[int, Fraction] = {}
    givers, receivers = set(range(len(weight))), set(range(len(weight)))
    while receivers:
        level, stuck, serving = _lowest_level(around, weight, givers, receivers)
        ratio |= dict.fromkeys(stuck, level)
        givers, receivers = givers - serving, receivers - stuck
    if any(ratio[p] * ratio[j] < 1 for p in ratio for j in around[p]):
        raise ArithmeticError("lexicographic_ratios: r_p r_j < 1 on a link; please report this market.")
    return np.array([float(ratio[j]) for j in range(len(weight))])


def _lowest_level(around, weight, givers: set, receivers: set) -> tuple[Fraction, set, set]:
    """The largest ratio that all receivers can have together, the receivers that can get no more, and their
    givers.

    The ratio is the minimum over parts S of the receivers of w(givers to S) / w(S). If a level is too high,
    some part gets too little in the maximum flow; the lower level of that part is tried next, until no part
    gets too little.
    """
    import networkx as nx

    part = receivers
    while True:
        serving = {i for j in part for i in around[j] if i in givers}
        level = Fraction(sum(weight[i] for i in serving), sum(weight[j] for j in part))
        network = nx.DiGraph()
        for i in serving:
            network.add_edge("source", ("gives", i), capacity=weight[i] * level.denominator)
            network.add_edges_from((("gives", i), ("gets", j)) for j in around[i] if j in part)
        for j in part:
            network.add_edge(("gets", j), "sink", capacity=weight[j] * level.numerator)
        flow, (_, below) = nx.minimum_cut(network, "source", "sink")
        if flow == sum(weight[j] for j in part) * level.numerator:
            return level, part, serving
        part = {j for j in part if ("gets", j) in below}


@entry(remedy=OUTSIDE, any_market=True)
def best_coalition(market: Market, utility) -> tuple[tuple[Hashable, ...], float]:
    """The coalition that could gain most by itself, and the factor by which all its members could.

    A coalition S that exchanges only within itself can give every member t times its utility, where t = min
    over X ⊆ S of w(N(X) ∩ S) / u(X). If the factor is ≤ 1, the utilities of a feasible flow are in the core:
    no coalition can improve all its members. All 2^n coalitions are tried.

    Args:
        utility: u_j, value received.

    Returns:
        The labels of the coalition, and t: +inf if it can serve members who have nothing.

    Raises:
        ValueError: more than 14 agents, or several markets; utilities that are negative, not finite, or
            more in sum than all contributions.

    Source: the core of Georgiadis, Iosifidis and Tassiulas, SIGMETRICS 2015; t by Hall's condition.
    """
    _check_ordinary("best_coalition", market)
    _check_small(market, MOST_COALITION)
    n = market.num_agents
    utility = _checked_utility(market, by_name("utility", utility, market.labels))
    sets = np.arange(2**n)
    is_member = (sets[:, None] >> np.arange(n)) & 1
    giver, receiver = market.arcs()
    neighbours = np.zeros(n, np.int64)
    np.bitwise_or.at(neighbours, receiver, 1 << giver)
    reach = np.bitwise_or.reduce(np.where(is_member, neighbours, 0), axis=1)
    worth, wish = is_member @ np.asarray(market.contribution), is_member @ utility
    best, factor = (), 0.0
    for coalition in sets[1:]:
        parts = sets[1:][(sets[1:] & ~coalition) == 0]
        has, wants = worth[reach[parts] & coalition], wish[parts]
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            # Members that have nothing and that the coalition cannot serve gain nothing.
            gain = np.min(np.where(has > 0, has / wants, 0))
        if gain > factor:
            best, factor = tuple(np.array(market.labels, object)[is_member[coalition] > 0]), float(gain)
    return best, factor


@entry(remedy=OUTSIDE, any_market=True)
def arrow_debreu_prices(market: Market, equilibrium: Equilibrium) -> Float[np.ndarray, "agents"]:
    """Prices π_p = √r_p, per unit of p's value, at which the equilibrium is a competitive one.

    Every agent sells its whole surplus at its own price and buys, with exactly that income, from its
    cheapest neighbours. (The prices q_p = r_p of the central program are not these: there, budgets are
    given.) Prices of each component may be scaled at will.

    Args:
        equilibrium: of this market, by any method.

    Returns:
        π_p of each agent.

    Source: derived in docs/equilibrium.md; the equivalence is Wu and Zhang's, STOC 2007.
    """
    _check_ordinary("arrow_debreu_prices", market)
    return np.sqrt(np.asarray(equilibrium.ratio))


@entry(remedy=OUTSIDE, any_market=True)
def arrow_debreu_error(market: Market, price, flow: Float[Array, "slots"]) -> Float[np.ndarray, "markets"]:
    """The relative error of prices and flow as a competitive equilibrium, the larger of two errors.

    They are that of an agent's spending Σ_p π_p y_pj against its income π_j w_j, and that of the prices it
    pays on used links against its cheapest neighbour's. (Goods are cleared, because a flow that does not give
    everything away is refused.)

    Args:
        price: π_p of each agent, per unit of its value, above zero.
        flow: y_ij in the market's layout (value).

    Returns:
        A number per market; if that is larger, the share by which a row misses its contribution.

    Raises:
        ValueError: prices that are not finite and above zero, one per agent; a flow as of
            `reciprocity_error`.
    """
    _check_ordinary("arrow_debreu_error", market)
    arcs = _Arcs(market, flow)
    price = by_name("price", price, market.labels)
    price = as_real("price", price, (market.num_agents,), lambda i: market.labels[i])
    check_positive("price", price, lambda i: market.labels[i])
    giver, receiver = arcs.giver, arcs.receiver
    with np.errstate(over="ignore", invalid="ignore"):
        # As shares of the receiver's income, which neither overflow nor underflow near an equilibrium.
        payment = price[giver] / price[receiver] * (arcs.flow / arcs.contribution[receiver])
    spending = np.bincount(receiver, np.where(arcs.flow > 0, payment, 0), market.num_agents)
    # Arcs come in both directions, so the sellers of a buyer are the entries of its own row.
    cheapest = np.minimum.reduceat(price[receiver], arcs.rows)
    with np.errstate(over="ignore"):
        overpaid = np.where(arcs.is_used, price[giver] / cheapest[receiver] - 1, 0)
    budget = per_market(np.maximum, np.abs(spending - 1), np.asarray(market.market_of))
    return np.maximum(budget, arcs.worst(overpaid))


def _check_ordinary(name: str, market: Market) -> None:
    """Raise ValueError if the market has more than endowments and values."""
    if market.terms:
        raise ValueError(
            f"{name}: this market has {', '.join(market.terms)}, and {name} knows markets of endowments and "
            f"values only: {NEEDS[name]}. Or leave those fields out."
        )


class _Arcs:
    """A feasible flow on both directions of every link, ordered by giver."""

    def __init__(self, market: Market, flow):
        dtype = str(getattr(flow, "dtype", "float64"))
        flow = check_flow("flow", market, flow, ROUNDING.get(dtype, ROUNDING["float64"]))
        self.market_of = np.asarray(market.market_of)
        self.contribution, self.flow = np.asarray(market.contribution), market.arc_values(flow)
        self.giver, self.receiver = market.arcs()
        self.rows = np.flatnonzero(np.diff(self.giver, prepend=-1))
        utility = market.received(flow)
        self.ratio = utility / self.contribution
        # A share of the giver's contribution or of what the receiver gets: all that a poor agent receives may
        # be a tiny share of what its rich neighbour has, and vice versa.
        self.is_used = self.flow > USED * np.minimum(self.contribution[self.giver], utility[self.receiver])
        self.missed = np.abs(market.gave(flow) / self.contribution - 1)

    def worst(self, error) -> Float[np.ndarray, "markets"]:
        """For each market the largest error on its arcs or of its agents' spending."""
        worst = np.maximum(np.maximum.reduceat(error, self.rows), self.missed)
        return per_market(np.maximum, worst, self.market_of)


def _checked_utility(market: Market, utility) -> Float[np.ndarray, "agents"]:
    utility = as_real("utility", utility, (market.num_agents,), lambda i: market.labels[i])
    bad = np.flatnonzero(~(np.isfinite(utility) & (utility >= 0)))
    if len(bad):
        label = short(market.labels[bad[0]])
        raise ValueError(f"utility: agent {label} receives {utility[bad[0]]}; give finite amounts ≥ 0.")
    total, worth = utility.sum(), np.asarray(market.contribution).sum()
    if total > worth * (1 + ROUNDING["float64"]):
        raise ValueError(f"utility: all agents receive {total:.8g}, and contribute {worth:.8g} in all.")
    return utility


def _check_small(market: Market, most: int) -> None:
    if market.num_markets > 1 or market.num_agents > most:
        raise ValueError(
            f"market: {market.num_agents} agents in {market.num_markets} market(s); this check is for one "
            f"market of at most {most} agents."
        )
