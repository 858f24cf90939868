"""How far contributions may change before the equilibrium's blocks of exchange change."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from cmapjax.equilibrium._equilibrium import Equilibrium
from cmapjax.equilibrium._maximum_flow import maximum_flow
from cmapjax.equilibrium._solve import solve
from cmapjax.market._market import Market
from cmapjax.runtime._settings import entry

# How many arcs of copies of blocks are tested together.
ARCS_AT_ONCE = 2_000_000
MOST_ARCS = 200_000_000
# Missing flow below this share of a block's flow is rounding.
ROUNDING = 1e-13
KINK = 1e-9


@dataclasses.dataclass(frozen=True)
class Margins:
    """How much the endowment of each of some agents may change, in units of its own resource."""

    agents: tuple
    """Their labels."""
    down: Float[np.ndarray, "agents"]
    """How much less each may bring before blocks change."""
    up: Float[np.ndarray, "agents"]
    """How much more; +inf if no increase changes the blocks."""
    endowment: Float[np.ndarray, "agents"]
    """What each brings now."""

    @property
    def is_kink(self) -> np.ndarray:
        """Whether blocks change at the slightest move (1e-9 of the endowment) to one side.

        The derivative is then one-sided: that of the side on which blocks of equal ratio stay together.
        """
        return np.minimum(self.down, self.up) <= KINK * self.endowment


@entry(remedy="differentiate cmapjax.equilibrium_utility instead", any_market=True)
def margins(market: Market, *, of: Sequence | None = None, equilibrium: Equilibrium | None = None) -> Margins:
    """How far each endowment may move, alone, before the blocks of exchange (`Groups`) change.

    Within these limits `equilibrium_utility` is smooth. A block changes in two ways. Its ratio, which depends
    on the contribution, reaches that of another block to which a link leads; this limit has a closed form. Or
    a part X of its givers has as much as the receivers they reach can take, w(X) = λ w(N(X)); the first such
    part is found by maximum flows and Newton's method on the cut (Dinkelbach), for all agents side by side.
    By symmetry the block in which an agent receives changes at the same point as that in which it gives.

    Args:
        of: labels of the agents; by default everybody.
        equilibrium: of this market, by an exact method, if it is known.

    Returns:
        For each agent of `of` how much less and how much more it may bring.

    Raises:
        ValueError: copies of the blocks of all these agents would take more than 2e8 arcs; a market with
            priority, demand, own use, capacity or efficiency, in which there are no blocks of exchange.
    """
    if market.terms:
        raise ValueError(
            f"margins: this market has {', '.join(market.terms)}, and margins are of blocks of exchange, "
            "which only markets of endowments and values have; `kinks` says where derivatives are one-sided."
        )
    equilibrium = solve(market) if equilibrium is None else equilibrium
    if equilibrium.groups is None:
        raise ValueError("equilibrium: its method finds no groups; solve with method=Decomposition().")
    agents = np.arange(market.num_agents) if of is None else np.array([market.index(x) for x in of])
    exchange = _Exchange(market, equilibrium.groups)
    num_arcs = exchange.num_arcs[exchange.gives_in[agents]]
    if 2 * num_arcs.sum() > MOST_ARCS:
        raise ValueError(
            f"margins: {len(agents):,} agents in blocks of up to {num_arcs.max():,} links are too many; "
            "name fewer with of=[…]."
        )
    moves = {}
    for name, sign in (("down", -1), ("up", 1)):
        limit = exchange.limit_by_order(agents, sign)
        batch = np.cumsum(num_arcs) // ARCS_AT_ONCE
        for number in np.unique(batch):
            part = batch == number
            limit[part] = exchange.limit_by_flow(agents[part], sign, limit[part])
        moves[name] = limit / np.asarray(market.value)[agents]
    labels = tuple(market.labels[i] for i in agents)
    return Margins(labels, moves["down"], moves["up"], np.asarray(market.endowment)[agents])


class _Exchange:
    """The blocks of exchange with the arcs inside each and the order between them, in float64."""

    def __init__(self, market: Market, groups):
        self.weight = np.asarray(market.contribution)
        self.giver, self.receiver = market.arcs()
        self.names, receives_in = np.unique(groups.receives_in_block, return_inverse=True)
        self.gives_in = np.searchsorted(self.names, groups.gives_in_block)
        self.ratio = groups.ratio[groups.receives_in[self.names]]
        self.given = np.bincount(self.gives_in, self.weight)
        self.wanted = np.bincount(receives_in, self.weight)
        # Agents that receive in the block where an agent gives, give in the block where it receives.
        self.mirror = np.zeros(len(self.names), np.int64)
        self.mirror[self.gives_in] = receives_in
        self.out, self.into = self.gives_in[self.giver], receives_in[self.receiver]
        inside = np.flatnonzero(self.out == self.into)
        order = inside[np.argsort(self.out[inside], kind="stable")]
        self.num_arcs = np.bincount(self.out[inside], minlength=len(self.names))
        self.arcs_of = np.split(order, np.cumsum(self.num_arcs)[:-1])

    def limit_by_order(self, agents: np.ndarray, sign: int) -> np.ndarray:
        """The move of w_i at which the ratio of the block where i gives meets that of a block it touches."""
        links = np.unique(np.stack([self.out, self.into])[:, self.out != self.into], axis=1)
        lower, upper = links
        # The contribution of an agent that gives and receives in one block does not change its ratio.
        limit = np.full(len(self.names), np.inf)
        ratio, opposite = self.ratio, self.mirror[lower] == upper
        if sign > 0:  # the ratio rises to that of an upper block, or to 1, where it meets its mirror block
            room = np.where(opposite, 1, ratio[upper]) * self.wanted[lower] - self.given[lower]
            np.minimum.at(limit, lower, np.maximum(room, 0))
        else:  # it falls to that of a lower block
            room = self.given[upper] - np.where(opposite, 1, ratio[lower]) * self.wanted[upper]
            np.minimum.at(limit, upper, np.maximum(room, 0))
        limit[self.mirror == np.arange(len(limit))] = np.inf
        own = self.weight[agents] if sign < 0 else np.inf
        return np.minimum(limit[self.gives_in[agents]], own)

    def limit_by_flow(self, agents: np.ndarray, sign: int, limit: np.ndarray) -> np.ndarray:
        """The least move, up to the limit, at which a part of the block has more than can be placed."""
        # Above this limit no cut of the block can be the first that binds.
        group = self.gives_in[agents]
        far = 2 * self.given[group] * self.wanted[group] / self.weight.min() + self.given[group]
        is_far = limit > far
        move = np.minimum(limit, far)
        tried = np.arange(len(agents))
        while len(tried):
            slack, slope = self._first_cut(agents[tried], sign, move[tried])
            binds = slope > 0
            with np.errstate(divide="ignore", invalid="ignore"):
                new = np.where(binds, np.maximum(slack, 0) / slope, np.inf)
            falls = new < move[tried] * (1 - ROUNDING)
            move[tried[falls]] = new[falls]
            is_far[tried[falls]] = False
            tried = tried[falls]
        return np.where(is_far, limit, move)

    def _first_cut(self, agents, sign: int, move) -> tuple[np.ndarray, np.ndarray]:
        """Of the part X that is most over-supplied after the moves: λ w(N(X)) − w(X), and how fast it falls.

        The slope is 0 where all can be placed.
        """
        copies, groups = np.arange(len(agents)), self.gives_in[agents]
        arcs = [self.arcs_of[g] for g in groups]
        copy = np.repeat(copies, [len(a) for a in arcs])
        arcs = np.concatenate(arcs)
        n = len(self.weight)
        givers, tail = np.unique(copy * n + self.giver[arcs], return_inverse=True)
        receivers, head = np.unique(copy * n + self.receiver[arcs], return_inverse=True)
        of_giver, giver = np.divmod(givers, n)
        of_receiver, receiver = np.divmod(receivers, n)
        given, wanted = self.given[groups], self.wanted[groups]
        is_self = self.mirror[groups] == groups
        moved_giver, moved_receiver = giver == agents[of_giver], receiver == agents[of_receiver]
        supply = self.weight[giver] + sign * move[of_giver] * moved_giver
        both = self.weight[receiver] + sign * move[of_receiver] * (moved_receiver & is_self[of_receiver])
        total = given + sign * move
        demand = both * (total / np.where(is_self, total, wanted))[of_receiver]
        # Every copy has its own scale, so that all fit the solver's 62 bits.
        sizes = np.bincount(of_giver, minlength=len(agents)) + np.bincount(of_receiver, minlength=len(agents))
        is_left = total > 0  # false if the only giver has nothing left, which any receiver can take
        scale = np.where(is_left, 2.0**61 * sizes / sizes.sum() / np.where(is_left, total, 1), 0)
        send, take = (
            np.floor(x).astype(np.int64) for x in (supply * scale[of_giver], demand * scale[of_receiver])
        )
        flow, above = maximum_flow(tail, head, send, take, send[tail])
        over, under = above[: len(givers)], above[len(givers) :]

        def sums(x, index):
            return np.bincount(index, x, minlength=len(agents))

        missing = sums(send, of_giver) - sums(flow, of_giver[tail])
        is_full = missing <= sizes + ROUNDING * sums(send, of_giver)
        part, reached = (
            sums(self.weight[giver] * over, of_giver),
            sums(self.weight[receiver] * under, of_receiver),
        )
        has_giver = sums(moved_giver & over, of_giver)
        share = np.where(is_self, sums(moved_receiver & under, of_receiver), reached / wanted)
        slack = given / wanted * reached - part
        return slack, np.where(is_full, 0, sign * (has_giver - share))
