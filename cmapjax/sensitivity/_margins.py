"""How far contributions may move before the equilibrium's blocks of exchange change."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from cmapjax.equilibrium._equilibrium import Equilibrium
from cmapjax.equilibrium._maximum_flow import maximum_flow
from cmapjax.equilibrium._solve import solve
from cmapjax.market._market import Market
from cmapjax.runtime._settings import entry

# Copies of blocks are tested side by side, this many arcs at a time.
ARCS_AT_ONCE = 2_000_000
MOST_ARCS = 200_000_000
# Flow that is missing below this share of a block's is rounding.
ROUNDING = 1e-13
KINK = 1e-9


@dataclasses.dataclass(frozen=True)
class Margins:
    """How much less and how much more each of some agents may bring, in units of its own resource."""

    agents: tuple
    """Labels."""
    down: Float[np.ndarray, "agents"]
    up: Float[np.ndarray, "agents"]
    """+inf if no increase ever changes the blocks."""
    endowment: Float[np.ndarray, "agents"]

    @property
    def is_kink(self) -> np.ndarray:
        """Whether blocks change at the slightest move (1e-9 of the endowment) to one side.

        The derivative is then one-sided: that of the side on which blocks of equal ratio stay together.
        """
        return np.minimum(self.down, self.up) <= KINK * self.endowment


@entry(remedy="differentiate cmapjax.equilibrium_utility instead")
def margins(market: Market, *, of: Sequence | None = None, equilibrium: Equilibrium | None = None) -> Margins:
    """How far each endowment may move, alone, before the blocks of exchange (`Groups`) change.

    Until then the derivatives of `equilibrium_utility` are those of one smooth function. Two things end a
    block. Its ratio, which moves with the contribution, meets that of another block to which a link leads;
    that has a closed form. Or a part X of its givers comes to have too much for the receivers they
    reach, w(X) = λ w(N(X)); the part that comes first is found by maximum flows and Newton's method on the
    cut (Dinkelbach), for all agents side by side. By symmetry the block in which an agent receives ends
    at the same moment as that in which it gives.

    Args:
        of: labels of the agents; by default everybody.
        equilibrium: of this market, by an exact method, if it is known.

    Returns:
        For each agent of `of` how much less and how much more it may bring.

    Raises:
        ValueError: copies of the blocks of all these agents would take more than 2e8 arcs.
    """
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
        # Whoever receives in the block where an agent gives, gives in the one where it receives.
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
        # An agent that gives and receives in one block moves no ratio.
        limit = np.full(len(self.names), np.inf)
        ratio, opposite = self.ratio, self.mirror[lower] == upper
        if sign > 0:  # the ratio rises to that of an upper block, or to 1, where its mirror image is
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
        # Beyond this no cut of the block can be the first to bind.
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
        # Every copy on a scale of its own, so that all fit the solver's 62 bits together.
        sizes = np.bincount(of_giver, minlength=len(agents)) + np.bincount(of_receiver, minlength=len(agents))
        is_left = total > 0  # not if the only giver is left with nothing, which fits any receiver
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
