"""The certificate of markets of any kind, in plain NumPy on lists of arcs."""

import dataclasses

import numpy as np
from jaxtyping import Bool, Float, Int

from cmapjax.market._market import Market

# How often prices of satisfied receivers are raised along chains of them.
SWEEPS = 12
# What counts as satisfied, or as a full link, in parts of the demand or the capacity.
FULL = 1e-9


@dataclasses.dataclass(frozen=True)
class Arcs:
    """A market as lists of arcs, with what holds where a field is absent filled in. Float64."""

    giver: Int[np.ndarray, "arcs"]
    receiver: Int[np.ndarray, "arcs"]
    capacity: Float[np.ndarray, "arcs"]
    efficiency: Float[np.ndarray, "arcs"]
    supply: Float[np.ndarray, "agents"]
    own_use: Float[np.ndarray, "agents"]
    demand: Float[np.ndarray, "agents"]
    priority: Float[np.ndarray, "agents"]
    market_of: Int[np.ndarray, "agents"]

    @staticmethod
    def of(market: Market) -> "Arcs":
        giver, receiver = market.arcs()
        supply = np.asarray(market.contribution)

        def agents(x, otherwise):
            return np.broadcast_to(otherwise, supply.shape) if x is None else np.asarray(x)

        def arcs(x, otherwise):
            return np.full(len(giver), otherwise) if x is None else np.asarray(market.arc_values(x))

        return Arcs(
            giver,
            receiver,
            arcs(market.capacity, np.inf),
            arcs(market.efficiency, 1.0),
            supply,
            agents(market.own_use, 0.0),
            agents(market.demand, np.inf),
            agents(market.priority, supply),
            np.asarray(market.market_of),
        )

    @property
    def carries(self) -> Bool[np.ndarray, "arcs"]:
        """Whether anything can be given along an arc."""
        return (self.supply[self.giver] > 0) & (self.capacity > 0)

    @property
    def counts(self) -> Bool[np.ndarray, "agents"]:
        """Who is part of Nash welfare: with a priority and a demand, and with own use or a possible giver."""
        reached = np.zeros(len(self.supply), bool)
        reached[self.receiver[self.carries]] = True
        return (self.priority > 0) & (self.demand > 0) & ((self.own_use > 0) | reached)

    def received(self, flow: Float[np.ndarray, "arcs"]) -> Float[np.ndarray, "agents"]:
        """u_j = a_j + Σ_i e_ij y_ij."""
        return self.own_use + np.bincount(self.receiver, self.efficiency * flow, len(self.supply))

    def feasible(self, flow: Float[np.ndarray, "arcs"]) -> Float[np.ndarray, "arcs"]:
        """The flow cut to capacities, and rows scaled down to what their givers have."""
        flow = np.clip(flow, 0, self.capacity)
        spent = np.bincount(self.giver, flow, len(self.supply))
        scale = np.minimum(1, self.supply / np.where(spent > 0, spent, 1))
        return flow * scale[self.giver]

    def excess(self, flow: Float[np.ndarray, "arcs"]) -> Float[np.ndarray, "markets"]:
        """The worst violation of feasibility, in parts of what the giver has: a negative flow, one over its
        link's capacity, a row over its giver's supply.
        """
        spent = np.bincount(self.giver, np.maximum(flow, 0), len(self.supply))
        over = np.maximum(spent - self.supply, 0)
        np.maximum.at(over, self.giver, np.maximum(-flow, flow - self.capacity))
        worst = np.zeros(int(self.market_of.max()) + 1)
        share = np.where(over > 0, over / np.where(self.supply > 0, self.supply, 1), 0)
        np.maximum.at(worst, self.market_of, share)
        return worst

    def log_welfare(self, utility: Float[np.ndarray, "agents"]) -> Float[np.ndarray, "markets"]:
        """Σ b_j log(û_j / b_j) / B over those who count, û_j = min(u_j, D_j)."""
        counts = self.counts
        b = np.where(counts, self.priority, 0)
        with np.errstate(divide="ignore"):
            logs = np.log(np.minimum(utility, self.demand)[counts] / b[counts])
        terms = np.zeros(len(b))
        terms[counts] = b[counts] * logs
        return self.mean(terms)

    def mean(self, x: Float[np.ndarray, "agents"]) -> Float[np.ndarray, "markets"]:
        """Σ x / B over each market's agents; 0 in a market where nobody counts."""
        weight = np.bincount(self.market_of, np.where(self.counts, self.priority, 0))
        return np.bincount(self.market_of, x) / np.where(weight > 0, weight, 1)


def bound(arcs: Arcs, utility, price: Float[np.ndarray, "agents"]) -> Float[np.ndarray, "markets"]:
    """How much log Nash welfare each market misses at most, for any prices ρ ≥ 0 of receivers.

    Gap(ρ) = Σ_j [b_j log(v_j / û_j) − ρ_j (v_j − a_j)] / B + Σ_i σ_i(ρ) / B over those who count, where
    v_j = clip(b_j / ρ_j, a_j, D_j) is what j would ask for at its price, and σ_i the most that giver i could
    earn.
    Any prices give a bound; those of the equilibrium give 0 there.

    Args:
        utility: u_j of a feasible flow.
    """
    counts = arcs.counts
    price = np.where(counts, price, 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        asked = np.clip(np.where(price > 0, arcs.priority / price, np.inf), arcs.own_use, arcs.demand)
        gain = arcs.priority * np.log(asked / np.minimum(utility, arcs.demand))
        terms = gain - np.where(price > 0, price * (asked - arcs.own_use), 0)
    terms = np.where(counts, terms, 0) + earned(arcs, price)
    return arcs.mean(terms)


def earned(arcs: Arcs, price: Float[np.ndarray, "agents"]) -> Float[np.ndarray, "agents"]:
    """σ_i = max Σ_j ρ_j e_ij y_ij over what i can give: its dearest links first, each up to its capacity.

    Written as q_i s_i + Σ_j K_ij (ρ_j e_ij − q_i)⁺, which is not below that for any q_i ≥ 0, and equal to it
    if q_i is what the last unit earns. So the rounding of running sums does not matter.
    """
    worth = price[arcs.receiver] * arcs.efficiency
    order = np.lexsort((-worth, arcs.giver))
    giver, worth = arcs.giver[order], worth[order]
    room = np.minimum(arcs.capacity[order], arcs.supply[giver])
    before = np.cumsum(room) - room
    first = np.flatnonzero(np.diff(giver, prepend=-1))
    before = before - np.repeat(before[first], np.diff(np.append(first, len(giver))))
    is_last = (before < arcs.supply[giver]) & (before + room >= arcs.supply[giver])
    last = np.zeros(len(arcs.supply))
    last[giver[is_last]] = worth[is_last]
    rent = np.maximum(worth - last[giver], 0)
    return last * arcs.supply + np.bincount(giver, rent * room, len(last))


def certified_bound(arcs: Arcs, flow: Float[np.ndarray, "arcs"]) -> Float[np.ndarray, "markets"]:
    """The bound of a feasible flow, with prices found from it alone.

    Unsatisfied receivers have the price b_j / u_j. Prices of satisfied ones start at 0 and are raised to the
    least at which no giver would rather serve them, and to what those that serve them could have elsewhere;
    along a chain of satisfied receivers this takes as many sweeps as it is long. The least bound is kept.
    """
    utility, counts = arcs.received(flow), arcs.counts
    with np.errstate(divide="ignore", invalid="ignore"):
        top = np.where(counts, arcs.priority / np.minimum(utility, arcs.demand), 0)
    is_satisfied = counts & (utility >= arcs.demand * (1 - FULL))
    leads = arcs.carries & counts[arcs.receiver]
    is_open = leads & (flow < arcs.capacity * (1 - FULL))
    serves = leads & (flow > FULL * arcs.supply[arcs.giver])
    price = np.where(is_satisfied, 0.0, top)
    best = bound(arcs, utility, top)
    for _ in range(SWEEPS):
        outlet = _extreme(np.maximum, price[arcs.receiver] * arcs.efficiency, arcs.giver, is_open, price, 0.0)
        offered = outlet[arcs.giver] / arcs.efficiency
        least = _extreme(np.minimum, offered, arcs.receiver, leads, price, np.inf)
        dear = _extreme(np.maximum, offered, arcs.receiver, serves, price, 0.0)
        raised = np.maximum(price, np.where(np.isfinite(least), least, 0))
        raised = np.where(is_satisfied, np.maximum(raised, np.minimum(dear, top)), raised)
        raised = np.where(counts, raised, 0)
        best = np.fmin(best, np.fmin(bound(arcs, utility, price), bound(arcs, utility, raised)))
        if np.array_equal(raised, price):
            break
        price = raised
    starved = np.bincount(arcs.market_of, counts & ~(utility > 0)) > 0
    return np.where(starved | np.isnan(best), np.inf, best)


def _extreme(ufunc, x, index, where, like, otherwise) -> np.ndarray:
    out = np.full(len(like), otherwise)
    ufunc.at(out, index[where], x[where])
    return out
