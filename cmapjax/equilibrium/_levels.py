"""The equilibrium of a market with any supplies, priorities, demands, own use and capacities, in integers.

Receivers are divided into *groups* of one level L each: a receiver j gets u_j = L b_j, or its demand D_j if
that is less, or its own use a_j if that is more. The receivers of a group are tested together: L is the least
level at which they would take all that their givers can send them, Σ_j z_j(L) = Σ_i min(s_i, Σ_j K_ij) with
z_j(L) = min(D_j − a_j, max(0, L b_j − a_j)). If a flow delivers that, the group is done. Otherwise a minimum
cut tells the receivers that are poorer than the others, who take from their givers what they can; the others
share what is left. All groups of a level of this division are tested by one maximum flow.

Levels are fractions of whole numbers, and so is everything that is compared. Where these outgrow the 63 bits
of the flow solver, groups are first found in floats, and then proved: the lowest bits are put back by further
flows on what remains.

In a market of endowments and values a receiver's priority is its contribution, and L its ratio. There all
that a giver has goes to one group, and the division is the bottleneck decomposition.

Source: Groenevelt, Eur. J. Oper. Res. 54, 1991 (separable programs on polymatroids); Wu and Zhang, STOC 2007
(the bottleneck decomposition); docs/equilibrium.md.
"""

import dataclasses
import itertools
from fractions import Fraction

import numpy as np
from jaxtyping import Int

from cmapjax.equilibrium._least_level import as_floats, least_levels, reduced, taken
from cmapjax.equilibrium._long_flow import FLOW_BITS, ROUGH, UNLIMITED, Network, sums

# Agents of a batch of markets. Larger ones outgrow the processor's cache (200,000 agents at once take 1.8
# times as long per market), and a market whose numbers need Python's integers slows only its own batch.
BATCH = 20_000
# Products of smaller whole numbers, and sums of these, are held by 64 bits.
SHORT = 2**62


@dataclasses.dataclass(frozen=True)
class Terms:
    """Markets side by side, in whole numbers (arrays of int64, or of Python's integers), or in floats.

    Amounts of one market are in one unit, its priorities in another.
    """

    giver: Int[np.ndarray, "arcs"]
    """In ascending order."""
    receiver: Int[np.ndarray, "arcs"]
    capacity: np.ndarray
    """K of each arc; `UNLIMITED` if it has none."""
    supply: np.ndarray
    """s of each agent."""
    own_use: np.ndarray
    """a of each agent."""
    room: np.ndarray
    """D − a of each agent; `UNLIMITED` without a demand."""
    priority: np.ndarray
    """b of each agent; 0 for those that do not count."""
    market_of: Int[np.ndarray, "agents"]


@dataclasses.dataclass(frozen=True)
class Levels:
    """Who receives what, and the flow that proves it. What receiver j gets is got / denominator."""

    group: Int[np.ndarray, "agents"]
    """The group of each receiver, numbered by market and then by level, which is another for each group of a
    market; −1 for those that get nothing."""
    numerator: np.ndarray
    """L = numerator / denominator of each group in lowest terms; `UNLIMITED` where all are satisfied."""
    denominator: np.ndarray
    got: np.ndarray
    """z of each agent, in parts of which a unit has its group's denominator."""
    parts: np.ndarray
    """What flows along each arc, in parts of which a unit has the receiver's group's denominator."""
    num_flows: int


def levels(terms: Terms, expected: Int[np.ndarray, "agents"] | None = None) -> Levels:
    """The groups of receivers, divided until a flow serves each.

    Many markets are taken a batch at a time, no larger than the flow solver's memory stays quick for.

    Args:
        terms: in whole numbers.
        expected: the groups that one expects, numbered in the order of levels within a market; groups that
            were taken together are divided.
    """
    market_of = terms.market_of
    found = None if expected is None else _proved(terms, expected)
    if found is not None:
        return found
    if market_of[-1] == 0 or np.any(np.diff(market_of) < 0):
        return _levels(terms)
    batch = np.flatnonzero(np.diff(market_of, prepend=-1)) // BATCH  # of each market, by its first agent
    first = np.flatnonzero(np.diff(batch[market_of], prepend=-1, append=batch[-1] + 1))
    return _side_by_side([_levels(_part(terms, *ends)) for ends in itertools.pairwise(first.tolist())])


def _part(terms: Terms, start: int, end: int) -> Terms:
    """The markets of some agents in sequence."""
    arcs = slice(*np.searchsorted(terms.giver, (start, end)))
    return Terms(
        terms.giver[arcs] - start,
        terms.receiver[arcs] - start,
        terms.capacity[arcs],
        *(x[start:end] for x in (terms.supply, terms.own_use, terms.room, terms.priority)),
        terms.market_of[start:end] - terms.market_of[start],
    )


def _side_by_side(parts: list[Levels]) -> Levels:
    """The groups of all batches, numbered on."""
    offsets = np.cumsum([0, *(len(part.numerator) for part in parts)])[:-1].tolist()
    groups = [
        np.where(part.group < 0, -1, part.group + offset) for part, offset in zip(parts, offsets, strict=True)
    ]
    names = ("numerator", "denominator", "got", "parts")
    joined = [np.concatenate([getattr(part, name) for part in parts]) for name in names]
    return Levels(np.concatenate(groups), *joined, sum(part.num_flows for part in parts))


def _levels(terms: Terms) -> Levels:
    division = _Division(terms, may_round=True)
    found = division.divided()
    if not division.is_rough:
        return found
    proved = _proved(terms, found.group) or _Division(terms).divided()
    return dataclasses.replace(proved, num_flows=found.num_flows + proved.num_flows)


def _proved(terms: Terms, expected: Int[np.ndarray, "agents"]) -> Levels | None:
    """The groups that one expects, divided where they were taken together; None if they are wrong."""
    division = _Division(terms, expected=expected)
    found = division.divided()
    return found if division.serves_the_poorest(found) else None


def _in_floats(terms: Terms) -> Terms:
    """The same in float64."""
    amounts = terms.capacity, terms.supply, terms.own_use, terms.room
    capacity, supply, own_use, room = as_floats(*amounts)
    (priority,) = as_floats(terms.priority)
    return Terms(terms.giver, terms.receiver, capacity, supply, own_use, room, priority, terms.market_of)


class _Division:
    """Groups of receivers, some of them still open. A *copy* is what a giver has left for one group.

    Args:
        may_round: go on in floats, which find groups roughly, where whole numbers do not fit one flow.
        expected: the groups to begin with, in the order of levels within a market; by default all receivers
            of a market are one.
    """

    def __init__(self, terms: Terms, *, may_round: bool = False, expected: np.ndarray | None = None):
        self.terms, self.may_round, self.is_rough = terms, may_round, False
        self.leads = np.flatnonzero(_leads(terms))
        self.has_limits = bool(np.any(terms.capacity != UNLIMITED))
        self.has_intervals = bool(np.any(terms.room != UNLIMITED) or np.any(terms.own_use != 0))
        """Whether anybody has a demand or own use."""
        group = terms.market_of if expected is None else expected
        self.num_groups = int(group.max()) + 1
        self.arcs = self.leads[group[terms.receiver[self.leads]] >= 0]
        """The arcs that lead into open groups."""
        giver, of_arc = terms.giver[self.arcs].astype(np.int64), group[terms.receiver[self.arcs]]
        if expected is None:
            names, self.copy = _numbered(giver, len(terms.supply))
            self.left = terms.supply[names]
        else:
            names, copy = np.unique(giver * self.num_groups + of_arc, return_inverse=True)
            left = self._left(names // self.num_groups, copy)
            kept = left[copy] > 0
            self.arcs = self.arcs[kept]
            copies, self.copy = _numbered(copy[kept], len(left))
            self.left = left[copies]
        # `copy` holds the copy of each of these arcs' givers, and `left` what copies have, those of one giver
        # being in the order of levels.
        self.group = np.full(len(terms.supply), -1)
        receivers = terms.receiver[self.arcs]
        self.group[receivers] = group[receivers]
        self.closed = [(np.zeros(0, int), np.zeros(0, object), np.zeros(0, object))]
        """The closed groups, and numerators and denominators of their levels."""
        self.got = np.zeros(len(terms.supply), terms.supply.dtype)
        self.parts = np.zeros(len(terms.giver), terms.supply.dtype)
        self.has_left = np.zeros(len(terms.giver), bool)
        """Whether an arc's giver has something left for its receiver's group."""
        self.num_flows = 0

    def _left(self, giver: np.ndarray, copy: np.ndarray) -> np.ndarray:
        supply, first = self.terms.supply[giver], np.flatnonzero(np.diff(giver, prepend=-1))
        if not self.has_limits:
            left = np.zeros_like(supply)
            left[first] = supply[first]
            return left
        limit = _limits(copy, self.terms.capacity[self.arcs], supply)
        before = np.cumsum(limit) - limit
        before = before - np.repeat(before[first], np.diff(np.append(first, len(giver))))
        return np.maximum(supply - before, 0)

    def divided(self) -> Levels:
        """The groups when none is open any more."""
        while len(self.arcs):
            self._divide()
        return self._result()

    def _divide(self) -> None:
        """One maximum flow for all open groups: each is closed, or divided in two."""
        terms = self.terms
        receivers, head = _numbered(terms.receiver[self.arcs], len(self.group))
        groups, group = _numbered(self.group[receivers], self.num_groups)
        capacity, tail = terms.capacity[self.arcs], self.copy
        limited, send = np.zeros(0, int), self.left
        if self.has_limits:
            limited = np.flatnonzero(capacity != UNLIMITED)
            send = np.minimum(send, _limits(tail, capacity, send))
        of_copy = np.zeros(len(send), np.int64)
        of_copy[tail] = group[head]
        supplied = sums(send, of_copy, len(groups))
        priority, own_use, room = (x[receivers] for x in (terms.priority, terms.own_use, terms.room))
        if not _is_short(supplied, priority, own_use, room, capacity):
            if self.may_round and (self.has_limits or self.has_intervals):
                return self._go_on_in_floats()
            priority, send, supplied = (x.astype(object) for x in (priority, send, supplied))
        if self.has_intervals:
            top, bottom = least_levels(priority, own_use, room, group, supplied)
        else:
            top, bottom = reduced(supplied, sums(priority, group, len(groups)))
        if self.may_round and int((supplied.astype(object) * bottom).sum()) >= 2**FLOW_BITS:
            return self._go_on_in_floats()
        take = priority * top[group]
        if self.has_intervals:
            take = taken(priority, own_use, room, top[group], bottom[group])
        limit = capacity[limited] * bottom[group[head[limited]]]
        network = Network(tail, head, send * bottom[of_copy], take, limited, limit, of_copy, group)
        flow, above, missing = network.maximum()
        self.num_flows += network.num_flows
        is_full = sums(take, group, len(groups)) - sums(flow, group[head], len(groups)) <= missing
        is_richer = above[len(send) :]
        # A cut that divides nothing is of rounding.
        num_richer = np.bincount(group, is_richer)
        is_full = is_full.astype(bool) | (num_richer == 0) | (num_richer == np.bincount(group))
        self.closed.append((groups[is_full], top[is_full], bottom[is_full]))
        closes = is_full[group]
        self.got = _put(self.got, receivers[closes], take[closes])
        closed = self.arcs[closes[head]]
        self.parts = _put(self.parts, closed, flow[closes[head]])
        self.has_left[closed] = True
        self._split(receivers, group, is_full, head, is_richer)

    def _go_on_in_floats(self) -> None:
        self.terms, (self.left,) = _in_floats(self.terms), as_floats(self.left)
        self.is_rough, self.may_round = True, False

    def _split(self, receivers, group, is_full, head, is_richer) -> None:
        """Richer receivers of groups that are not full form groups of their own, and get what is left."""
        if np.all(is_full):
            self.arcs = self.arcs[:0]
            return
        fresh = self.num_groups + np.cumsum(~is_full) - 1
        moves = is_richer & ~is_full[group]
        self.group[receivers[moves]] = fresh[group[moves]]
        self.num_groups += np.count_nonzero(~is_full)
        goes_on, moved = ~is_full[group][head], moves[head]
        stays = goes_on & ~moved
        arcs, copy = self.arcs, self.copy
        served = _limits(copy[stays], self.terms.capacity[arcs[stays]], self.left)
        rest = self.left - np.minimum(self.left, served)
        if rest.dtype == np.float64:
            rest = np.where(rest > np.sqrt(len(arcs)) * ROUGH * self.left, rest, 0)
        # Arcs from givers that the poorer receivers leave nothing are closed.
        moved = moved & (rest[copy] > 0)
        kept = np.flatnonzero(stays | moved)
        # A giver's copies stay side by side, what the poorer take first.
        names, self.copy = _numbered((2 * copy + moved)[kept], 2 * len(self.left))
        self.left = np.where(names % 2 == 1, rest[names // 2], self.left[names // 2])
        self.arcs = arcs[kept]
        # Receivers whose givers have nothing left for them get nothing.
        is_served = np.zeros(len(self.group), bool)
        is_served[self.terms.receiver[self.arcs]] = True
        self.group[receivers[moves & ~is_served[receivers]]] = -1

    def _result(self) -> Levels:
        """Groups numbered by market, then by level, those of one level in a market taken together."""
        number, top, bottom = (np.concatenate(parts) for parts in zip(*self.closed, strict=True))
        market = np.zeros(self.num_groups + 1, np.int64)  # the last place is that of those in no group
        market[self.group] = self.terms.market_of
        market = market[number]
        value = np.where(top == UNLIMITED, np.inf, np.true_divide(top, bottom)).astype(float)
        order = np.lexsort((value, market))

        def are_same(*parts):
            return np.all([x[order[1:]] == x[order[:-1]] for x in parts], axis=0)

        if np.any(are_same(market, value) & ~are_same(market, top, bottom)):  # floats do not tell
            rows = zip(market.tolist(), value.tolist(), top, bottom, strict=True)
            exact = [(m, v, v == np.inf or Fraction(x, y)) for m, v, x, y in rows]
            order = np.array(sorted(range(len(exact)), key=exact.__getitem__))
        is_first = np.append(True, ~are_same(market, top, bottom))[: len(order)].astype(bool)
        place = np.full(self.num_groups + 1, -1)
        place[number[order]] = np.cumsum(is_first) - 1
        first = order[is_first]
        return Levels(place[self.group], top[first], bottom[first], self.got, self.parts, self.num_flows)

    def serves_the_poorest(self, found: Levels) -> bool:
        """Whether no giver serves, or keeps something from, a level above one to which a link is not full."""
        leads, terms = self.leads, self.terms
        giver, receiver, capacity = terms.giver[leads], terms.receiver[leads], terms.capacity[leads]
        group, parts = found.group[receiver], found.parts[leads]
        top, bottom = np.append(found.numerator, 0), np.append(found.denominator, 1)
        is_open, limited = np.ones(len(leads), bool), np.flatnonzero(capacity != UNLIMITED)
        is_open[limited] = parts[limited] < capacity[limited] * bottom[group[limited]]
        keeps = self.has_left[leads] & is_open & (top[group] == UNLIMITED)
        serves = ((parts > 0) | keeps).astype(bool)
        highest, lowest = np.full(len(terms.supply), -1), np.full(len(terms.supply), len(top))
        is_in_one = is_open & (group >= 0)
        np.maximum.at(highest, giver[serves], group[serves])
        np.minimum.at(lowest, giver[is_in_one], group[is_in_one])
        # Who gets nothing is in no group, and has the level a / b.
        rest = np.flatnonzero(is_open & (group < 0) & (highest[giver] >= 0))
        top, bottom = (x[highest[giver[rest]]] for x in (top, bottom))
        own_use, priority = (x[receiver[rest]].astype(object) for x in (terms.own_use, terms.priority))
        is_right = (top != UNLIMITED) & (top * priority <= own_use * bottom)
        return bool(np.all(highest <= lowest) and np.all(is_right))


def _leads(terms: Terms) -> np.ndarray:
    """Whether anything can be given along an arc to somebody who counts and wants more than its own."""
    counts = (terms.priority > 0) & (terms.room != 0)
    return (terms.supply[terms.giver] > 0) & (terms.capacity != 0) & counts[terms.receiver]


def _numbered(x: Int[np.ndarray, "_"], size: int) -> tuple[np.ndarray, np.ndarray]:
    """What occurs among numbers below `size`, ascending, and the place of each there."""
    occurs = np.zeros(size, bool)
    occurs[x] = True
    return np.flatnonzero(occurs), (np.cumsum(occurs) - 1)[x]


def _put(all_of_them: np.ndarray, where: np.ndarray, x: np.ndarray) -> np.ndarray:
    """With some of them replaced, in Python's integers if these are."""
    all_of_them = all_of_them.astype(np.promote_types(all_of_them.dtype, x.dtype), copy=False)
    all_of_them[where] = x
    return all_of_them


def _is_short(supplied, priority, own_use, room, capacity) -> bool:
    """Whether 64 bits hold products of all amounts with levels, and sums of these; of floats they do."""
    if supplied.dtype == np.float64:
        return True
    if object in (supplied.dtype, priority.dtype):
        return False
    most = max(int(own_use.sum() + supplied.sum()), len(room) * int(room.max()), int(capacity.max()))
    return most * int(priority.sum()) < SHORT


def _limits(copy, capacity, left) -> np.ndarray:
    """Σ of the capacities of each copy's arcs; all that is left where one is unlimited."""
    is_free, is_unlimited = np.zeros(len(left), bool), capacity == UNLIMITED
    is_free[copy[is_unlimited]] = True
    counts = ~is_unlimited & ~is_free[copy]
    return np.where(is_free, left, sums(capacity[counts], copy[counts], len(left)))
