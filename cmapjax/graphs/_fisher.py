"""Linear Fisher markets: buyers with budgets, goods in supply, and what a unit of each is worth to whom."""

import dataclasses
from collections.abc import Hashable, Sequence

import numpy as np
import scipy
from jaxtyping import Float

from cmapjax.arguments._checks import as_real, check_not_negative, check_positive, short
from cmapjax.arguments._labelled import by_name
from cmapjax.graphs._file_options import FileOptions
from cmapjax.graphs._outcome import FisherOutcome
from cmapjax.graphs._valuations import read_valuations
from cmapjax.market._bound import Arcs
from cmapjax.market._market import Market
from cmapjax.runtime._settings import entry

UNWANTED, WANTLESS = "goods that no buyer wants", "buyers who want no good"
# How far a flow may be from feasible, in parts of a supply, and still be that of a run.
ROUNDING = 1e-5
# A good counts as bought if it is more than this share of its supply, or of what its buyer gets.
USED = 1e-9


def fisher(
    valuations,
    budgets=1.0,
    *,
    supply=1.0,
    buyers: Sequence[Hashable] | None = None,
    goods: Sequence[Hashable] | None = None,
    memory_budget: int | None = None,
) -> Market:
    """The linear Fisher market: buyers with budgets B_b, goods in supply s_g, utilities u_b = Σ_g v_bg x_bg.

    Agents are the goods, then the buyers. A good is a giver (endowment s_g, priority 0), a buyer a receiver
    (endowment 0, priority B_b), and a valuation v_bg > 0 a link one way of that efficiency. A good that no
    buyer wants, and a buyer who wants no good, stay in the market, with a link of capacity 0;
    `market.origin.notes` counts them.

    Args:
        valuations: v_bg, a row for each buyer and a column for each good (value per unit, 0 where a buyer
            does not want a good): a NumPy array, a sparse matrix of SciPy, a table with names (pandas), or
            the path of a file. A `.csv` or `.tsv` has goods' names in its first row and buyers' in its
            first column, and is blank where a buyer does not want a good; a `.mtx` is a MatrixMarket
            matrix.
        budgets: B_b ≥ 0 (money), one number, one per buyer, or with names. A buyer without budget gets
            nothing.
        supply: s_g > 0 (units of the good), likewise.
        buyers, goods: names of the rows and columns; by default those of the table or file, else buyer-0,
            buyer-1 … and good-0, good-1 … (in a `.mtx` from 1, as the file counts).
        memory_budget: bytes of memory that reading a file may take, as for `read_market`.

    Returns:
        One market. `cmapjax.graphs.fisher_outcome` reads prices and allocations off its flows.

    Raises:
        ValueError: valuations that are no numbers, negative, not finite or given twice, by buyer and good;
            budgets or supplies out of their range; names given twice; anything wrong with a file.

    Source: Eisenberg and Gale, Ann. Math. Statist. 30, 1959.
    """
    given = read_valuations(valuations, buyers, goods, FileOptions(memory_budget=memory_budget))
    num_goods, num_buyers = len(given.goods), len(given.buyers)
    budgets = as_real("budgets", by_name("budgets", budgets, given.buyers), (num_buyers,))
    check_not_negative("budgets", budgets, lambda i: given.buyers[i])
    supply = as_real("supply", by_name("supply", supply, given.goods), (num_goods,))
    check_positive("supply", supply, lambda i: given.goods[i])
    unwanted = np.setdiff1d(np.arange(num_goods), given.good)
    wantless = np.setdiff1d(np.arange(num_buyers), given.buyer)
    # Everybody needs a link: these lead to and from the first on the other side, and are closed.
    closed = [*((g, 0) for g in unwanted), *((0, b) for b in wantless if 0 not in unwanted or b)]
    ends = np.concatenate([np.stack([given.good, given.buyer], 1), np.array(closed, int).reshape(-1, 2)])
    ends[:, 1] += num_goods
    extra = len(closed)
    market = Market.from_links(
        ends,
        endowment=np.append(supply, np.zeros(num_buyers)),
        priority=np.append(np.zeros(num_goods), budgets),
        efficiency=np.append(given.worth, np.ones(extra)),
        capacity=np.append(np.full(len(given.worth), np.inf), np.zeros(extra)),
        labels=[*given.goods, *given.buyers],
        directed=True,
    )
    notes = {UNWANTED: len(unwanted), WANTLESS: len(wantless)}
    return dataclasses.replace(market, origin=market.origin.noting(notes))


@entry(remedy="take it of a flow that is computed", any_market=True)
def fisher_outcome(market: Market, flow, *, price=None) -> FisherOutcome:
    """Prices, allocations and utilities of a flow in a market that `fisher` made.

    Without prices given, those are p_g = max_b v_bg B_b / u_b, the most that a buyer would pay for a unit.
    At the equilibrium they are its prices (`Equilibrium.price` of the goods), and unique for goods sold.

    Args:
        flow: y_gb in the market's layout, such as `Equilibrium.flow` or a run's (units of the good).
        price: p_g ≥ 0 of each good, or with names, to check those of others (money per unit).

    Returns:
        The state; every field has one entry per buyer or good.

    Raises:
        ValueError: a market of another kind; a flow that is negative or gives more than there is, beyond
            1e-5 of a supply; prices out of their range.

    Source: Eisenberg and Gale, Ann. Math. Statist. 30, 1959.
    """
    arcs = _fisher_arcs(market)
    flow = np.asarray(market.arc_values(flow), np.float64)
    excess = arcs.excess(flow).max() if np.all(np.isfinite(flow)) else np.inf
    if excess > ROUNDING:
        raise ValueError(
            f"flow: it is negative or no number, or gives {excess:.3g} of a good's supply more than there "
            "is; give one that is feasible."
        )
    is_good, utility = arcs.supply > 0, arcs.received(flow)
    labels = np.empty(len(is_good), object)
    labels[:] = list(market.labels)
    prices = _dearest(arcs, utility)
    if price is not None:
        names = labels[is_good].tolist()
        prices[is_good] = as_real("price", by_name("price", price, names), (len(names),))
        check_not_negative("price", prices[is_good], lambda i: names[i])
    spent = np.multiply(prices[arcs.giver], flow, out=np.zeros_like(flow), where=flow > 0)
    sold = np.bincount(arcs.giver, flow, len(is_good)) / np.where(is_good, arcs.supply, 1)
    wishes = np.bincount(arcs.receiver, arcs.capacity > 0, len(is_good)) > 0
    has_plan = wishes & (arcs.priority > 0)
    paid = np.bincount(arcs.receiver, spent, len(is_good)) / np.where(has_plan, arcs.priority, 1)
    return FisherOutcome(
        buyers=tuple(labels[~is_good]),
        goods=tuple(labels[is_good]),
        price=prices[is_good],
        allocation=_matrix(arcs, flow),
        spending=_matrix(arcs, spent),
        utility=utility[~is_good],
        unsold=np.where(prices > 0, 1 - sold, 0)[is_good],
        unspent=np.where(has_plan, 1 - paid, 0)[~is_good],
        overpaid=_overpaid(arcs, prices, flow)[~is_good],
    )


def _dearest(arcs: Arcs, utility: Float[np.ndarray, "agents"]) -> Float[np.ndarray, "agents"]:
    """max_b v_bg B_b / u_b of each good."""
    budget, prices = arcs.priority, np.zeros(len(arcs.supply))
    with np.errstate(divide="ignore", invalid="ignore"):
        per_value = np.where(budget > 0, budget / utility, 0)
    pays = np.where(arcs.capacity > 0, arcs.efficiency * per_value[arcs.receiver], 0)
    np.maximum.at(prices, arcs.giver, pays)
    return prices


def _overpaid(arcs: Arcs, prices, flow: Float[np.ndarray, "arcs"]) -> Float[np.ndarray, "agents"]:
    """1 − (v/p of the worst good bought) / (v/p of the best good) of each buyer."""
    best, worst = np.zeros(len(arcs.supply)), np.full(len(arcs.supply), np.inf)
    with np.errstate(divide="ignore"):
        bang = np.where(arcs.capacity > 0, arcs.efficiency / prices[arcs.giver], 0)
    is_bought = (flow > USED * arcs.supply[arcs.giver]) & (arcs.priority > 0)[arcs.receiver]
    np.maximum.at(best, arcs.receiver, bang)
    np.minimum.at(worst, arcs.receiver[is_bought], bang[is_bought])
    is_worse = worst < best
    return np.where(is_worse, 1 - np.where(is_worse, worst, 0) / np.where(is_worse, best, 1), 0)


def _matrix(arcs: Arcs, values: Float[np.ndarray, "arcs"]) -> "scipy.sparse.csr_array":
    """Buyers × goods."""
    is_good, some = arcs.supply > 0, values > 0
    number = np.where(is_good, np.cumsum(is_good), np.cumsum(~is_good)) - 1
    places = number[arcs.receiver[some]], number[arcs.giver[some]]
    return scipy.sparse.csr_array((values[some], places), shape=(int(np.sum(~is_good)), int(np.sum(is_good))))


def _fisher_arcs(market: Market) -> Arcs:
    arcs = Arcs.of(market)
    is_good = arcs.supply > 0
    others = [name for name in ("demand", "own_use") if getattr(market, name) is not None]
    others += ["values other than 1"] if np.any(np.asarray(market.value) != 1) else []
    has_limits = np.any((arcs.capacity > 0) & (arcs.capacity < np.inf))
    others += ["capacities between 0 and infinity"] if has_limits else []
    both = np.flatnonzero(is_good & (arcs.priority > 0))
    if len(both):
        others.append(f"agents that give and receive ({short(market.labels[both[0]])})")
    if np.any(is_good[arcs.receiver[arcs.capacity > 0]]):
        others.append("links that are not from goods to buyers")
    if others:
        raise ValueError(
            f"fisher_outcome: this market has {', '.join(others)}; it is for those that `graphs.fisher` made."
        )
    return arcs
