"""The certificate of markets of any kind, in plain NumPy on lists of arcs."""

import dataclasses
from collections.abc import Iterator

import numpy as np
from jaxtyping import Bool, Float, Int

from cmapjax.market._market import Market

# How often prices of satisfied receivers are raised along chains of them.
SWEEPS = 12
# What counts as satisfied, or as a full link, in parts of the demand or the capacity.
FULL = 1e-9
# Sums of terms that all have one sign are wrong by less than this share.
ROUNDED = 1e-14


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

    @property
    def leads(self) -> Bool[np.ndarray, "arcs"]:
        """Whether anything can be given along an arc to somebody who counts and wants more than its own."""
        return self.carries & (self.counts & (self.demand > self.own_use))[self.receiver]

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

    def log_mean_ratio(
        self, utility: Float[np.ndarray, "agents"], fairness: float
    ) -> Float[np.ndarray, "markets"]:
        """log M_α = log(Σ b_j r_j^(1−α) / B) / (1−α) with r_j = û_j / b_j over those who count; −inf where
        nobody does. α = 1 is the geometric mean, α = ∞ the least ratio."""
        counts, size = self.counts, int(self.market_of.max()) + 1
        owner, b = self.market_of[counts], self.priority[counts]
        with np.errstate(divide="ignore"):
            logs = np.log(np.minimum(utility, self.demand)[counts] / b)
        ends = np.full(size, np.inf)
        np.minimum.at(ends, owner, logs if fairness > 1 else -logs)
        ends = ends if fairness > 1 else -ends
        if fairness == np.inf:
            return np.where(np.isfinite(ends), ends, -np.inf)
        weight, bend = np.bincount(owner, b, size), 1 - fairness
        with np.errstate(divide="ignore", invalid="ignore"):
            if bend == 0:
                found = np.bincount(owner, b * logs, size) / weight
            else:
                terms = b * np.exp(bend * (logs - ends[owner]))
                found = ends + np.log(np.bincount(owner, terms, size) / weight) / bend
        return np.where(np.isnan(found), -np.inf, found)

    def only(self, chosen: np.ndarray) -> "Arcs":
        """The market with some of its arcs."""
        names = ("giver", "receiver", "capacity", "efficiency")
        return dataclasses.replace(self, **{name: getattr(self, name)[chosen] for name in names})

    def mean(self, x: Float[np.ndarray, "agents"]) -> Float[np.ndarray, "markets"]:
        """Σ x / B over each market's agents; 0 in a market where nobody counts."""
        weight = np.bincount(self.market_of, np.where(self.counts, self.priority, 0))
        return np.bincount(self.market_of, x) / np.where(weight > 0, weight, 1)


@dataclasses.dataclass(frozen=True)
class Welfare:
    """Σ b_j g_α(û_j / (b_j M)) / B, with g_1 = log, g_α(x) = x^(1−α) / (1−α): what an allocation is worth.

    Ratios are measured in M, one number per market, so that prices neither overflow nor depend on units.
    """

    fairness: float = 1.0
    """α, from above 0 to below infinity."""
    unit: Float[np.ndarray, "agents"] | float = 1.0
    """M of each agent's market."""

    @staticmethod
    def at(arcs: Arcs, utility: Float[np.ndarray, "agents"], fairness: float) -> "Welfare":
        """Ratios in units of their generalised mean; of 1 if α = 1, where units cancel."""
        if fairness == 1:
            return Welfare()
        unit = np.exp(arcs.log_mean_ratio(utility, fairness))
        return Welfare(fairness, np.where(unit > 0, unit, 1)[arcs.market_of])

    def price(self, ratio: Float[np.ndarray, "agents"]) -> Float[np.ndarray, "agents"]:
        """ρ = (r / M)^−α, what another unit is worth to an agent of ratio r."""
        return 1 / ratio if self.fairness == 1 else (ratio / self.unit) ** -self.fairness

    def ratio(self, price: Float[np.ndarray, "agents"]) -> Float[np.ndarray, "agents"]:
        """The ratio at which a unit is worth this price."""
        return 1 / price if self.fairness == 1 else self.unit * price ** (-1 / self.fairness)

    def gain(self, more, utility, priority) -> Float[np.ndarray, "agents"]:
        """b g_α(more / b) − b g_α(utility / b)."""
        step, bend = np.log(more / utility), 1 - self.fairness
        if bend == 0:
            return priority * step
        return priority * (utility / (priority * self.unit)) ** bend * np.expm1(bend * step) / bend

    def missing(self, x, arcs: Arcs, utility) -> Float[np.ndarray, "markets"]:
        """log(M*_α / M_α), if the optimum's welfare is higher by x: M_α is the mean of ratios behind it."""
        bend = 1 - self.fairness
        if bend == 0:
            return x
        least = np.where(arcs.counts, utility, 1) / np.where(arcs.counts, arcs.priority, 1) / self.unit
        weight = np.where(arcs.counts, arcs.priority, 0)
        # Near −1, a flow far from the optimum, the logarithm makes rounding large; it is rounded up.
        part = bend * x / arcs.mean(weight * least**bend) * (1 + ROUNDED)
        return np.where(part > -1, np.log1p(np.maximum(part, -1)) / bend, np.inf)


def bound(
    arcs: Arcs, utility, price: Float[np.ndarray, "agents"], welfare: Welfare = Welfare()
) -> Float[np.ndarray, "markets"]:
    """How much log M_α (log Nash welfare if α = 1) each market misses at most, for any prices ρ ≥ 0.

    Welfare misses at most Gap(ρ) = Σ_j [b_j g(v_j / b_j) − b_j g(û_j / b_j) − ρ_j (v_j − a_j)] / B +
    Σ_i σ_i(ρ) / B, summed over those who count, where v_j = clip(b_j ρ_j^(−1/α), a_j, D_j) is what j would
    ask for at its price, and σ_i the most that giver i could earn. Any prices give a bound; those of the
    equilibrium give 0 there. Of ρ and tρ the better is taken, t being best where nobody has a demand or own
    use.

    Args:
        utility: u_j of a feasible flow.
        price: in units of the welfare's, see `Welfare.price`.
    """
    counts, per_unit = arcs.counts, 1 / welfare.unit
    price = np.where(counts, price, 0)
    own, earns = arcs.own_use * per_unit, earned(arcs, price) * per_unit
    counted = np.minimum(utility, arcs.demand)

    def at(scale):
        dear = price * scale
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            ratio = np.where(dear > 0, welfare.ratio(dear), np.inf)
            asked = np.clip(arcs.priority * ratio, arcs.own_use, arcs.demand)
            gain = welfare.gain(asked, counted, arcs.priority)
            terms = gain - np.where(dear > 0, dear * (asked * per_unit - own), 0)
        x = arcs.mean(np.where(counts, terms, 0) + scale * earns)
        return welfare.missing(x, arcs, counted)

    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        wanted = np.where(price > 0, arcs.priority * welfare.ratio(price) * per_unit * price, 0)
        scale = (arcs.mean(wanted) / arcs.mean(earns + price * own)) ** welfare.fairness
        scale = np.where(np.isfinite(scale) & (scale > 0), scale, 1)
        return np.fmin(at(1.0), at(scale[arcs.market_of]))


def earned(arcs: Arcs, price: Float[np.ndarray, "agents"]) -> Float[np.ndarray, "agents"]:
    """σ_i = max Σ_j ρ_j e_ij y_ij over what i can give: its dearest links first, each up to its capacity.

    Written as q_i s_i + Σ_j K_ij (ρ_j e_ij − q_i)⁺, which is not below that for any q_i ≥ 0, and equal to it
    if q_i is what the last unit earns. So the rounding of running sums does not matter.
    """
    worth = price[arcs.receiver] * arcs.efficiency
    if np.all(arcs.capacity >= arcs.supply[arcs.giver]):
        return _extreme(np.maximum, worth, arcs.giver, slice(None), price, 0.0) * arcs.supply
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


def certified_bound(
    arcs: Arcs, flow: Float[np.ndarray, "arcs"], fairness: float = 1.0, claim=None
) -> Float[np.ndarray, "markets"]:
    """The bound of a feasible flow, with prices found from it alone; the least that is found.

    Args:
        claim: β_j of each agent, if it is known; satisfied receivers then have the price (u_j / β_j)^−α, too.
    """
    utility = arcs.received(flow)
    welfare = Welfare.at(arcs, utility, fairness)
    best = np.full(int(arcs.market_of.max()) + 1, np.inf)
    for price in likely_prices(arcs, flow, welfare, claim):
        best = np.fmin(best, bound(arcs, utility, price, welfare))
    starved = np.bincount(arcs.market_of, arcs.counts & ~(utility > 0)) > 0
    return np.where(starved, np.inf, best)


def likely_prices(
    arcs: Arcs, flow: Float[np.ndarray, "arcs"], welfare: Welfare, claim=None
) -> Iterator[Float[np.ndarray, "agents"]]:
    """Prices that a feasible flow suggests.

    Unsatisfied receivers have the price of their ratio. Prices of satisfied ones start at 0 (or at those of
    their claims) and are raised to the least at which no giver would rather serve them, and to what those
    that serve them could have elsewhere; along a chain of satisfied receivers this takes as many sweeps as
    it is long.
    """
    utility, counts = arcs.received(flow), arcs.counts
    with np.errstate(divide="ignore", invalid="ignore"):
        top = welfare.price(np.minimum(utility, arcs.demand) / arcs.priority)
    top = np.where(counts & (utility > 0), top, 0)
    is_satisfied = counts & (utility >= arcs.demand * (1 - FULL))
    yield top
    starts = [np.where(is_satisfied, 0.0, top)]
    if claim is not None:
        with np.errstate(divide="ignore", invalid="ignore"):
            claimed = np.where(claim > 0, welfare.price(utility / claim), 0)
        starts.insert(0, np.where(is_satisfied, np.minimum(claimed, top), top))
    leads = arcs.carries & counts[arcs.receiver]
    is_open = leads & (flow < arcs.capacity * (1 - FULL))
    serves = leads & (flow > FULL * arcs.supply[arcs.giver])
    for price in starts:
        for _ in range(SWEEPS):
            worth = price[arcs.receiver] * arcs.efficiency
            outlet = _extreme(np.maximum, worth, arcs.giver, is_open, price, 0.0)
            offered = outlet[arcs.giver] / arcs.efficiency
            least = _extreme(np.minimum, offered, arcs.receiver, leads, price, np.inf)
            dear = _extreme(np.maximum, offered, arcs.receiver, serves, price, 0.0)
            raised = np.maximum(price, np.where(np.isfinite(least), least, 0))
            raised = np.where(is_satisfied, np.maximum(raised, np.minimum(dear, top)), raised)
            raised = np.where(counts, raised, 0)
            yield price
            yield raised
            if np.array_equal(raised, price):
                break
            price = raised


def _extreme(ufunc, x, index, where, like, otherwise) -> np.ndarray:
    out = np.full(len(like), otherwise)
    ufunc.at(out, index[where], x[where])
    return out
