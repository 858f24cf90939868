"""What supports an equilibrium of any market: on which links prices are equal, which links are full, who has
enough. While this stays, utilities are an explicit function of all fields."""

from typing import NamedTuple

import networkx as nx
import numpy as np
import scipy
from jaxtyping import Bool, Float, Int

from cmapjax.equilibrium._equilibrium import Equilibrium
from cmapjax.equilibrium._general import solve_general
from cmapjax.market._bound import FULL, Arcs
from cmapjax.market._market import Market
from cmapjax.runtime._types import Array

# Prices that differ by less than this share are equal. Those of exact levels are right to some 1e-15.
EQUAL = 1e-11
# A demand met this nearly, in parts of it, is a kink.
KINK = 1e-9
TOLERANCE = 1e-12
# How a receiver's utility comes about.
BY_LINKS, BY_LEVEL, BY_DEMAND = range(3)


class Support(NamedTuple):
    """The links on which a unit earns what its giver earns at best form *parts*. Prices in a part hang
    together by a tree of its links. Nodes are agents as givers, then agents as receivers."""

    giver: Int[Array, "slots"]
    receiver: Int[Array, "slots"]
    """The agents of each slot; any on padding."""
    parent: Int[Array, "nodes"]
    """The next node on the way to the root; a root's is itself."""
    link: Int[Array, "nodes"]
    """The slot of the link to it; any at roots."""
    kind: Int[Array, "agents"]
    """`BY_LEVEL`: the price of the part says what it gets; `BY_DEMAND`: it has all that it can use;
    `BY_LINKS`: it gets what full links bring, or nothing."""
    is_full: Bool[Array, "slots"]
    """Links that are full and would earn more than their giver earns elsewhere."""
    is_cyclic: Bool[Array, "slots"]
    """Links on a cycle of such links, on which no single flow is the equilibrium's."""


def check_solved(found: Equilibrium) -> None:
    """Raise ArithmeticError unless an equilibrium was found."""
    if not found.is_solved:
        raise ArithmeticError(
            f"equilibrium: its certified gap is {np.max(found.gap):.1e} and its price_error "
            f"{np.max(found.price_error):.1e}, too much to tell which links are used; please report this "
            "market."
        )


class Supported:
    """The support of one equilibrium, on arcs, and where it is about to change. On the host."""

    def __init__(self, market: Market, fairness: float = 1.0, found: Equilibrium | None = None):
        self.market, self.fairness = market, fairness
        self.arcs = arcs = Arcs.of(market)
        found = solve_general(market, TOLERANCE, fairness, exact=False) if found is None else found
        check_solved(found)
        self.found = found
        self.num_agents = len(arcs.supply)
        self.counts = arcs.counts
        self.flow = np.asarray(market.arc_values(found.flow))
        level = np.where(self.counts, np.asarray(found.settlement.level), 0)
        self.reach = level * np.where(self.counts, arcs.priority, 0)
        """What each would have by its level alone."""
        self._compare_prices(found)
        has_equal = np.zeros(self.num_agents, bool)
        has_equal[arcs.receiver[self.is_equal]] = True
        is_met = self.counts & (self.reach > arcs.demand * (1 + TOLERANCE))
        self.kind = np.where(is_met, BY_DEMAND, np.where(has_equal, BY_LEVEL, BY_LINKS))
        self._grow_forest()

    def _compare_prices(self, found: Equilibrium) -> None:
        """Which links earn as much as their giver's last unit, and which full ones more."""
        arcs, settled = self.arcs, found.settlement
        # Who has more than its level would give it pays less than its group.
        power = 1.0 if self.fairness == np.inf else self.fairness
        with np.errstate(divide="ignore", invalid="ignore"):
            share = np.where(self.reach < arcs.own_use, self.reach / arcs.own_use, 1)
        price = np.where(self.counts, np.asarray(settled.receiver_price) * share**power, 0)
        wants = self.counts & (arcs.demand > arcs.own_use)
        earns = np.where(wants[arcs.receiver], price[arcs.receiver] * arcs.efficiency, 0)
        is_open = (arcs.capacity > 0) & (self.flow < arcs.capacity * (1 - FULL))
        best = np.zeros(self.num_agents)
        np.maximum.at(best, arcs.giver, np.where(is_open, earns, 0))
        near = EQUAL + 4 * np.asarray(found.price_error)[arcs.market_of[arcs.giver]]
        self.price, self.earns, self.best = price, earns, best
        best = best[arcs.giver]
        is_equal = (arcs.capacity > 0) & (best > 0) & (np.abs(earns - best) <= near * best)
        self.is_full = (earns > best * (1 + near)) & ~is_equal
        self.is_equal = is_equal

    def _grow_forest(self) -> None:
        """Parts, and a tree of each. Who has nothing to give joins the part of one whom it would serve."""
        arcs, n = self.arcs, self.num_agents
        gives = arcs.supply[arcs.giver] > 0
        pendant = np.flatnonzero(self.is_equal & ~gives)
        pendant = pendant[np.unique(arcs.giver[pendant], return_index=True)[1]]
        self.chosen = np.append(np.flatnonzero(self.is_equal & gives), pendant)
        tail, head = arcs.giver[self.chosen], n + arcs.receiver[self.chosen]
        csgraph, size = scipy.sparse.csgraph, 2 * n
        graph = scipy.sparse.csr_array((np.ones(len(tail)), (tail, head)), shape=(size, size))
        self.num_parts, self.part = csgraph.connected_components(graph, directed=False)
        roots = np.unique(self.part, return_index=True)[1]
        ends = np.append(tail, np.full(len(roots), size)), np.append(head, roots)
        whole = scipy.sparse.csr_array((np.ones(len(ends[0])), ends), shape=(size + 1, size + 1))
        _, parent = csgraph.breadth_first_order(whole, size, directed=False)
        parent = parent[:size].astype(np.int64)
        parent[roots] = roots
        self.parent, node = parent, np.arange(size)
        key = np.minimum(node, parent) * n + np.maximum(node, parent) - n
        place = np.searchsorted(arcs.giver.astype(np.int64) * n + arcs.receiver, key)
        self.link = np.where(parent == node, 0, np.minimum(place, len(arcs.giver) - 1))

    def cyclic(self) -> Bool[np.ndarray, "arcs"]:
        """Chosen links on a cycle of such links."""
        arcs, n = self.arcs, self.num_agents
        pairs = np.stack([arcs.giver[self.chosen], n + arcs.receiver[self.chosen]], axis=1)
        graph = nx.Graph(pairs.tolist())
        bridges = {(min(pair), max(pair)) for pair in nx.bridges(graph)}
        on_cycle = np.zeros(len(arcs.giver), bool)
        on_cycle[self.chosen] = [tuple(pair) not in bridges for pair in pairs.tolist()]
        return on_cycle

    def support(self) -> Support:
        """For compiled code, links by their slots."""
        arcs, market = self.arcs, self.market
        slot = np.asarray(market.arc_values(np.arange(market.links.num_slots)))

        def in_slots(x):
            out = np.zeros(market.links.num_slots, x.dtype)
            out[slot] = x
            return out

        has_losses = market.efficiency is not None
        return Support(
            in_slots(arcs.giver.astype(np.int32)),
            in_slots(arcs.receiver.astype(np.int32)),
            self.parent.astype(np.int32),
            slot[self.link].astype(np.int32),
            self.kind.astype(np.int32),
            in_slots(self.is_full),
            in_slots(self.cyclic() if has_losses else np.zeros(len(slot), bool)),
        )

    def undefined(self, field: str) -> Bool[np.ndarray, "..."]:
        """Where there is no derivative to either side: with a little more somebody would count who does not,
        or amounts are not settled."""
        arcs, n = self.arcs, self.num_agents
        if field == "efficiency":
            return self.cyclic()
        if field == "value":
            return np.zeros(n, bool)
        reached = arcs.own_use > 0
        reached[arcs.receiver[arcs.carries]] = True
        has_right, wants = arcs.priority > 0, arcs.demand > 0
        unreached = has_right & wants & ~reached
        if field == "capacity":
            return unreached[arcs.receiver] & (arcs.supply[arcs.giver] > 0)
        if field == "endowment":
            starts = wants & (self.market.priority is None)
            starts[arcs.giver[(arcs.capacity > 0) & unreached[arcs.receiver]]] = True
            return starts & (arcs.supply == 0)
        others = {"own_use": has_right & wants, "priority": wants & reached, "demand": has_right & reached}
        return ~self.counts & others[field]

    def kinks(self, field: str) -> Bool[np.ndarray, "..."]:
        """Where the slightest move of a field changes the support, by agents or arcs."""
        arcs = self.arcs
        gives, receives = self._changing()
        if field == "endowment" or field == "value":
            moves = gives | receives if self.market.priority is None else gives
            moves = moves & ((field == "endowment") | (arcs.supply > 0))
        elif field == "efficiency":
            moves = (gives[arcs.giver] | receives[arcs.receiver]) & (self.is_full | self.is_equal)
        elif field == "capacity":
            is_at = self.flow >= arcs.capacity * (1 - FULL)
            moves = (gives[arcs.giver] | receives[arcs.receiver]) & is_at
        else:
            moves = receives
        return moves | self.undefined(field)

    def _changing(self) -> tuple[Bool[np.ndarray, "agents"], Bool[np.ndarray, "agents"]]:
        """Whether the part in which an agent gives, and that in which it receives, is about to change."""
        arcs, n = self.arcs, self.num_agents
        is_kink = np.zeros(self.num_parts, bool)
        is_kink[self._loose_parts()] = True
        demand = np.where(self.counts & np.isfinite(arcs.demand), arcs.demand, np.nan)
        is_met = np.abs(self.reach - demand) <= KINK * demand
        is_kink[self.part[n:][is_met]] = True
        # Who has just what its full links can take.
        taken = np.bincount(arcs.giver, np.where(self.is_full, arcs.capacity, 0), n)
        is_even = (arcs.supply > 0) & (np.abs(arcs.supply - taken) <= KINK * arcs.supply)
        is_kink[self.part[:n][is_even]] = True
        fills = self.is_full & is_even[arcs.giver] & (arcs.capacity > 0)
        is_kink[self.part[n:][arcs.receiver[fills]]] = True
        # Who has nothing to give, and would serve several parts.
        loose = self.is_equal & ~(arcs.supply[arcs.giver] > 0)
        apart = self.part[n + arcs.receiver] != self.part[arcs.giver]
        gives, receives = is_kink[self.part[:n]], is_kink[self.part[n:]]
        gives[arcs.giver[loose & apart]] = True
        return gives, receives

    def _loose_parts(self) -> Int[np.ndarray, "some"]:
        """Parts held together by links that carry nothing, or all they can, in every flow."""
        arcs, n, chosen = self.arcs, self.num_agents, self.chosen
        flow, supply = self.flow[chosen], arcs.supply[arcs.giver[chosen]]
        tail, head = arcs.giver[chosen], n + arcs.receiver[chosen]
        more = (flow < arcs.capacity[chosen] * (1 - FULL)) | (supply == 0)
        less = (flow > FULL * supply) | (supply == 0)
        ends = np.append(tail[more], head[less]), np.append(head[more], tail[less])
        graph = scipy.sparse.csr_array((np.ones(len(ends[0])), ends), shape=(2 * n, 2 * n))
        _, strong = scipy.sparse.csgraph.connected_components(graph, directed=True, connection="strong")
        of_part = np.unique(np.stack([self.part, strong]), axis=1)[0]
        return np.flatnonzero(np.bincount(of_part, minlength=self.num_parts) > 1)

    def max_error(self, utility: Float[np.ndarray, "agents"]) -> float:
        """How far utilities of the formula are from those of the solver, in parts of them."""
        right = np.asarray(self.found.utility)
        return float(np.max(np.abs(utility - right) / np.where(right > 0, right, 1), initial=0.0))
