"""What adding or removing one link would change, by solving the changed markets exactly, side by side."""

import dataclasses
import functools
from collections.abc import Callable, Hashable, Sequence

import jax
import numpy as np
from jaxtyping import Float, Int

from cmapjax import metrics
from cmapjax.arguments._checks import short
from cmapjax.equilibrium._decomposition import as_integers, decompose
from cmapjax.equilibrium._equilibrium import Equilibrium
from cmapjax.equilibrium._solve import solve
from cmapjax.market._bound import Arcs
from cmapjax.market._market import Market
from cmapjax.runtime._settings import entry
from cmapjax.sensitivity._changed import NewLink, promise, utilities
from cmapjax.sensitivity._fields import with_field
from cmapjax.sensitivity._support import Supported

ARCS_AT_ONCE = 1_000_000
# In markets with other terms than endowment and value, which take longer.
ARCS_WITH_TERMS = 200_000
# Pairs of agents that are listed at once, 16 bytes each.
MOST_PAIRS = 20_000_000
USED = 1e-12
# A new link changes something if r_p r_j is below this, which is 1 up to rounding.
PAYS = 1 - 1e-12


@dataclasses.dataclass(frozen=True)
class LinkChanges:
    """What changes of single links would achieve, the largest gain first."""

    links: tuple[tuple[Hashable, Hashable], ...]
    """The links as pairs of labels."""
    change: Float[np.ndarray, "links"]
    """The objective with the change, minus that of the market as it is."""
    num_untried: int
    """How many links were left out because of `most`."""
    strands: tuple[tuple[Hashable, ...], ...] = ()
    """The agents, by label, whose only link each of `links` is: they are left with nothing without it. Empty
    tuples for new links."""


@entry(remedy="differentiate cmapjax.equilibrium_utility instead", any_market=True)
def new_links(
    market: Market,
    objective: Callable = metrics.log_nash_welfare,
    *,
    candidates: Sequence[tuple[Hashable, Hashable]] | None = None,
    most: int | None = None,
    equilibrium: Equilibrium | None = None,
    capacity: float = np.inf,
    efficiency: float = 1.0,
    directed: bool = False,
) -> LinkChanges:
    """What each possible new link would change: every market with one more link, solved exactly.

    A link between p and j with r_p r_j ≥ 1 changes nothing, because the present equilibrium remains one
    (reciprocity), so only the others are solved. In a market with other terms, a way from i to j on which a
    unit would not earn more, ρ_j e ≤ q_i, changes nothing. Who counts in the objective are those who count
    now: what somebody gains whom nobody can give to yet is no part of Nash welfare.

    Args:
        objective: a function of (market, utility) giving one number per market that depends on
            contributions and utilities only: `metrics.log_nash_welfare`, `min_ratio`, `utility_of(label)`.
        candidates: pairs of labels; by default all pairs of one market that are not linked.
        most: list and try only this many of the links that change something, those of the least r_p r_j; the
            result says how many are left out. For networks with too many pairs to list.
        equilibrium: of this market, by an exact method, if it is known.
        capacity: K of new links, in each direction (value, as sent).
        efficiency: e of new links.
        directed: a pair is one arc, from the first agent to the second.

    Returns:
        The links with what each would change, the largest gain first.

    Raises:
        ValueError: candidates that are linked already, in different markets, or too many to list; a capacity
            or efficiency that is not above 0.
    """
    link = NewLink(capacity, efficiency, directed=directed)
    if market.terms or not link.is_plain:
        return _new_with_terms(market, objective, candidates, most, equilibrium, link)
    equilibrium = solve(market) if equilibrium is None else equilibrium
    giver, receiver = market.arcs()
    n = market.num_agents
    linked = giver * n + receiver
    ratio = np.asarray(equilibrium.ratio)
    num_untried = 0
    if candidates is None and most is not None:
        pairs, num_untried = _poorest_pairs(market, ratio, most)
    elif candidates is None:
        pairs = _all_pairs(market)
        pairs = pairs[~np.isin(pairs[:, 0] * n + pairs[:, 1], linked)]
    else:
        pairs = _unlinked(market, candidates, linked)
    product = ratio[pairs[:, 0]] * ratio[pairs[:, 1]]
    changes = _Changes(market, objective, equilibrium)
    found = changes.of(pairs, product < PAYS, product, most, is_new=True)
    return dataclasses.replace(found, num_untried=found.num_untried + num_untried)


def _new_with_terms(market: Market, objective, candidates, most, equilibrium, link: NewLink) -> LinkChanges:
    """`new_links` of a market with other terms, or of links that are not like those of others."""
    if not market.terms:
        market, equilibrium = with_field(market, "own_use"), None
    supported = Supported(market, found=equilibrium)
    arcs, n = supported.arcs, market.num_agents
    is_open = arcs.capacity > 0
    linked = (arcs.giver.astype(np.int64) * n + arcs.receiver)[is_open]
    if not link.directed:
        linked = np.append(linked, (arcs.receiver.astype(np.int64) * n + arcs.giver)[is_open])
    if candidates is None:
        pairs = _all_pairs(market)
        pairs = np.concatenate([pairs, pairs[:, ::-1]]) if link.directed else pairs
        pairs = pairs[~np.isin(pairs[:, 0] * n + pairs[:, 1], linked)]
    else:
        pairs = _unlinked(market, candidates, linked)
    rank = promise(supported, pairs, link)
    return _Changes(market, objective, supported.found, link).of(pairs, rank < PAYS, rank, most, is_new=True)


@entry(remedy="differentiate cmapjax.equilibrium_utility instead", any_market=True)
def removed_links(
    market: Market,
    objective: Callable = metrics.log_nash_welfare,
    *,
    candidates: Sequence[tuple[Hashable, Hashable]] | None = None,
    most: int | None = None,
    equilibrium: Equilibrium | None = None,
) -> LinkChanges:
    """What the loss of each link would change: every market with one link less, solved exactly.

    Removing a link changes nothing if some equilibrium flow does not use it, so only links that carry flow
    are solved. An agent that loses its only link has a utility of 0: log Nash welfare falls to -inf, and
    `LinkChanges.strands` names the agent. Both directions of a link are lost.

    Args:
        objective, equilibrium: as for `new_links`.
        candidates: pairs of labels; by default all links.
        most: try only this many, those that carry the largest share of the contributions at their ends.

    Returns:
        The links with what the loss of each would change, the largest gain first.

    Raises:
        ValueError: candidates that are not links of this market.
    """
    equilibrium = solve(market) if equilibrium is None else equilibrium
    giver, receiver = market.arcs()
    n = market.num_agents
    linked = giver * n + receiver
    if candidates is None:
        pairs = np.stack([giver, receiver], axis=1)[giver < receiver]
        pairs = pairs[_is_open(market, pairs)]
    else:
        pairs = _as_pairs(market, candidates)
        is_link = np.isin(pairs[:, 0] * n + pairs[:, 1], linked)
        is_link[is_link] = _is_open(market, pairs[is_link])
        for a, b in pairs[~is_link]:
            raise ValueError(f"candidates: {_named(market, a, b)} are not linked; leave the pair out.")
    supply = np.asarray(market.contribution)
    share = market.arc_values(equilibrium.flow) / np.where(supply > 0, supply, 1)[giver]
    there = np.searchsorted(linked, pairs[:, 0] * n + pairs[:, 1])
    back = np.searchsorted(linked, pairs[:, 1] * n + pairs[:, 0])
    carried = np.maximum(share[there], share[back])
    changes = _Changes(market, objective, equilibrium)
    return changes.of(pairs, carried > USED, -carried, most, is_new=False)


def _all_pairs(market: Market) -> Int[np.ndarray, "pairs 2"]:
    sizes = np.bincount(market.market_of)
    if np.sum(sizes * (sizes - 1) // 2) > MOST_PAIRS:
        raise ValueError(
            f"candidates: {market.num_agents:,} agents make too many pairs to list; name some "
            "(candidates=[(label, label), …])."
        )
    members = np.split(np.argsort(market.market_of, kind="stable"), np.cumsum(sizes)[:-1])
    return np.concatenate([m[np.stack(np.triu_indices(len(m), 1), axis=1)] for m in members])


def _poorest_pairs(market: Market, ratio, most: int) -> tuple[Int[np.ndarray, "pairs 2"], int]:
    """The pairs in one market with the least r_p r_j below 1, and how many more there are.

    They are not linked, because at the equilibrium r_p r_j ≥ 1 on every link.
    """
    order = np.lexsort((ratio, market.market_of))
    sizes = np.bincount(market.market_of)
    found, count = [], 0
    for members in np.split(order, np.cumsum(sizes)[:-1]):
        poverty = ratio[members]
        # For each agent the number of agents (poorer ones and itself included) with which a link would change
        # something.
        partners = np.searchsorted(poverty, PAYS / poverty, side="left")
        rank = np.arange(len(members))
        count += int(np.sum(np.maximum(partners - rank - 1, 0)))
        # The pair of ranks i < j comes after all pairs of poorer agents, some (i + 1)(j − i) at least.
        for i in range(len(members) - 1):
            last = min(int(partners[i]), i + 1 + most // (i + 1))
            if last <= i + 1:
                break
            found.append(np.stack([np.full(last - i - 1, members[i]), members[i + 1 : last]], axis=1))
    pairs = np.concatenate([np.zeros((0, 2), np.int64), *found])
    kept = np.argsort(ratio[pairs[:, 0]] * ratio[pairs[:, 1]], kind="stable")[:most]
    return np.sort(pairs[kept], axis=1), count - len(kept)


def _is_open(market: Market, pairs) -> np.ndarray:
    """Whether anything may be given along these links in either direction."""
    if market.capacity is None:
        return np.ones(len(pairs), bool)
    n, (giver, receiver) = market.num_agents, market.arcs()
    key, capacity = giver.astype(np.int64) * n + receiver, market.arc_values(market.capacity)
    ways = (pairs[:, 0] * n + pairs[:, 1], pairs[:, 1] * n + pairs[:, 0])
    return np.maximum(*(capacity[np.searchsorted(key, way)] for way in ways)) > 0


def _unlinked(market: Market, candidates, linked) -> Int[np.ndarray, "pairs 2"]:
    pairs = _as_pairs(market, candidates)
    for a, b in pairs[np.isin(pairs[:, 0] * market.num_agents + pairs[:, 1], linked)]:
        raise ValueError(f"candidates: {_named(market, a, b)} are linked already; leave the pair out.")
    for a, b in pairs[market.market_of[pairs[:, 0]] != market.market_of[pairs[:, 1]]]:
        raise ValueError(f"candidates: {_named(market, a, b)} are in different markets.")
    return pairs


def _as_pairs(market: Market, candidates) -> Int[np.ndarray, "pairs 2"]:
    pairs = np.array([[market.index(a), market.index(b)] for a, b in candidates], np.int64).reshape(-1, 2)
    for a, b in pairs[pairs[:, 0] == pairs[:, 1]]:
        raise ValueError(f"candidates: {_named(market, a, b)} are one agent; leave the pair out.")
    return pairs


def _named(market: Market, a, b) -> str:
    return f"{short(market.labels[a])} and {short(market.labels[b])}"


class _Changes:
    """One market with many changes of one link each."""

    def __init__(
        self,
        market: Market,
        objective: Callable,
        equilibrium: Equilibrium,
        link: NewLink | None = None,
    ):
        self.market, self.utility, self.link = market, np.asarray(equilibrium.utility), link
        self.giver, self.receiver = market.arcs()
        self.contribution = np.asarray(market.contribution)
        self.market_of = np.asarray(market.market_of, np.int64)
        self.evaluate = jax.jit(jax.vmap(lambda utility: objective(market, utility)))

    def of(self, pairs, matters, rank, most: int | None, *, is_new: bool) -> LinkChanges:
        """All changes, 0 for links that do not matter; of the others only the `most` of least rank."""
        tried = np.flatnonzero(matters)
        untried = 0
        if most is not None and len(tried) > most:
            order = np.argsort(rank[tried], kind="stable")
            untried = len(tried) - most
            left_out = tried[order[most:]]
            tried = np.sort(tried[order[:most]])
            pairs, kept = np.delete(pairs, left_out, axis=0), np.delete(np.arange(len(pairs)), left_out)
            tried = np.searchsorted(kept, tried)
        change = np.zeros(len(pairs))
        at_once = max(1, (ARCS_WITH_TERMS if self.market.terms else ARCS_AT_ONCE) // len(self.giver))
        before = self.objective(self.utility[None])[0]
        for start in range(0, len(tried), at_once):
            chunk = tried[start : start + at_once]
            after = self.objective(self.solve(pairs[chunk], is_new))
            own = self.market_of[pairs[chunk, 0]]
            change[chunk] = after[np.arange(len(chunk)), own] - before[own]
        order = np.argsort(-change, kind="stable")
        labels = self.market.labels
        links = tuple((labels[a], labels[b]) for a, b in pairs[order].tolist())
        strands = tuple(
            () if is_new else tuple(labels[a] for a, b in (pair, pair[::-1]) if self.only_giver[a] == b)
            for pair in pairs[order].tolist()
        )
        return LinkChanges(links, change[order], untried, strands)

    @functools.cached_property
    def only_giver(self) -> Int[np.ndarray, "agents"]:
        """The only one who can give to an agent that has nothing of its own; −1 for others."""
        arcs, n = Arcs.of(self.market), self.market.num_agents
        giver, receiver = arcs.giver[arcs.carries], arcs.receiver[arcs.carries]
        found = np.full(n, -1)
        found[receiver] = giver
        return np.where(
            (np.bincount(receiver, minlength=n) == 1) & arcs.counts & (arcs.own_use == 0), found, -1
        )

    def objective(self, utility: Float[np.ndarray, "copies agents"]) -> Float[np.ndarray, "copies markets"]:
        return np.asarray(self.evaluate(utility))

    def solve(self, pairs: Int[np.ndarray, "copies 2"], is_new: bool) -> Float[np.ndarray, "copies agents"]:
        """Utilities of copies of the market, in each of which one link is new, or missing."""
        if self.market.terms:
            return utilities(self.market, pairs, self.link)
        n, copies = self.market.num_agents, len(pairs)
        copy = np.arange(copies)[:, None]
        giver, receiver = ((copy * n + arc).ravel() for arc in (self.giver, self.receiver))
        ends = copy * n + pairs
        if is_new:
            giver = np.concatenate([giver, ends[:, 0], ends[:, 1]])
            receiver = np.concatenate([receiver, ends[:, 1], ends[:, 0]])
        else:
            arc = self.giver * n + self.receiver
            gone = [np.searchsorted(arc, pairs[:, s] * n + pairs[:, 1 - s]) for s in (0, 1)]
            is_left = np.ones((copies, len(arc)), bool)
            for place in gone:
                is_left[copy[:, 0], place] = False
            giver, receiver = giver[is_left.ravel()], receiver[is_left.ravel()]
        market_of = (copy * self.market.num_markets + self.market_of).ravel()
        contribution = np.tile(self.contribution, copies)
        # Agents without a link are left out, and markets without agents too, by numbering the others again.
        present = np.zeros(copies * n, bool)
        present[giver] = True
        if not np.any(present):  # the only link was removed
            return np.zeros((copies, n))
        place = np.cumsum(present) - 1
        market_of = np.unique(market_of[present], return_inverse=True)[1]
        weight, _ = as_integers(contribution[present], market_of)
        found = decompose(place[giver], place[receiver], weight, market_of)
        utility = np.zeros(copies * n)
        utility[present] = contribution[present] * found.ratio[found.receives_in]
        return utility.reshape(copies, n)
