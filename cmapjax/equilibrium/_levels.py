"""The equilibrium of a market with any supplies, priorities, demands, own use and capacities, in integers.

Receivers are divided into *groups* of one level L each: a receiver j gets u_j = L b_j, or its demand D_j if
that is less, or its own use a_j if that is more. The receivers of a group are tested together: L is the least
level at which they would take all that their givers can send them, Σ_j z_j(L) = Σ_i min(s_i, Σ_j K_ij) with
z_j(L) = min(D_j − a_j, max(0, L b_j − a_j)). If a flow delivers that, the group is done. Otherwise a minimum
cut tells the receivers that are poorer than the others, who take from their givers what they can; the others
share what is left. All groups of a level of this division are tested by one maximum flow.

Levels are fractions of whole numbers, and so is everything that is compared. Where capacities outgrow the 63
bits of the flow solver, the lowest bits are put back by further flows on what remains.

Source: Groenevelt, Eur. J. Oper. Res. 54, 1991 (separable programs on polymatroids); docs/equilibrium.md.
"""

import bisect
import dataclasses
from fractions import Fraction

import numpy as np
from jaxtyping import Bool, Int

from cmapjax.equilibrium._decomposition import FLOW_BITS, excess_bits, shifted
from cmapjax.equilibrium._maximum_flow import maximum_flow

UNLIMITED = -1


@dataclasses.dataclass(frozen=True)
class Terms:
    """Markets side by side, in whole numbers of any size (arrays of Python's integers).

    Amounts of one market are in one unit, its priorities in another.
    """

    giver: Int[np.ndarray, "arcs"]
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
    """The group of each receiver, in the order of levels within a market; −1 for those that get nothing."""
    numerator: np.ndarray
    """L = numerator / denominator of each group in lowest terms; `UNLIMITED` where all are satisfied."""
    denominator: np.ndarray
    got: np.ndarray
    """z of each agent, in parts of which a unit has its group's denominator."""
    parts: np.ndarray
    """What flows along each arc, in parts of which a unit has the receiver's group's denominator."""
    num_flows: int


def levels(terms: Terms) -> Levels:
    """The groups of receivers, divided until a flow serves each."""
    division = _Division(terms)
    while division.is_open:
        division.divide()
    return division.result()


class _Division:
    """Groups of receivers, some of them still open. A *copy* is what a giver has left for one group."""

    def __init__(self, terms: Terms):
        self.terms = terms
        counts = (terms.priority > 0) & (terms.room != 0)
        carries = (terms.supply[terms.giver] > 0) & (terms.capacity != 0) & counts[terms.receiver]
        self.arcs = np.flatnonzero(carries)
        """The arcs that lead into open groups."""
        self.group = np.full(len(counts), -1)
        self.group[terms.receiver[self.arcs]] = terms.market_of[terms.receiver[self.arcs]]
        self.num_groups = int(terms.market_of.max()) + 1
        givers, self.copy = np.unique(terms.giver[self.arcs], return_inverse=True)
        """The copy of each of these arcs' givers."""
        self.left = terms.supply[givers].astype(object)
        self.level = {}
        """The numerator and denominator of each closed group."""
        self.got = np.zeros(len(terms.supply), object)
        self.parts = np.zeros(len(terms.giver), object)
        self.num_flows = 0

    @property
    def is_open(self) -> bool:
        return len(self.arcs) > 0

    def divide(self) -> None:
        """One maximum flow for all open groups: each is closed, or divided in two."""
        terms = self.terms
        receivers, head = np.unique(terms.receiver[self.arcs], return_inverse=True)
        groups, group = np.unique(self.group[receivers], return_inverse=True)
        tail, copies = self.copy, len(self.left)
        capacity = terms.capacity[self.arcs]
        send = np.minimum(self.left, _limits(tail, capacity, self.left))
        group_of_copy = np.zeros(copies, np.int64)
        group_of_copy[tail] = group[head]
        supplied = sums(send, group_of_copy, len(groups))
        b, a, room = terms.priority[receivers], terms.own_use[receivers], terms.room[receivers]
        numerator, denominator = least_levels(b, a, room, group, supplied)
        d = denominator[group]
        take = taken(b, a, room, numerator[group], d)
        d_arc = d[head]
        ahead = np.where(capacity == UNLIMITED, UNLIMITED, capacity * d_arc)
        network = Network(tail, head, send * denominator[group_of_copy], take, ahead, group_of_copy, group)
        flow, above = network.maximum()
        self.num_flows += network.num_flows
        is_full = sums(take, group, len(groups)) == sums(flow, group[head], len(groups))
        for place in np.flatnonzero(is_full):
            self.level[int(groups[place])] = (numerator[place], denominator[place])
        closes = is_full[group]
        self.got[receivers[closes]] = take[closes]
        self.parts[self.arcs[closes[head]]] = flow[closes[head]]
        self._split(receivers, group, is_full, groups, head, above[copies:])

    def _split(self, receivers, group, is_full, groups, head, is_richer) -> None:
        """Richer receivers of groups that are not full form groups of their own, and get what is left."""
        fresh = np.full(len(groups), -1)
        fresh[~is_full] = self.num_groups + np.arange(np.count_nonzero(~is_full))
        moves = is_richer & ~is_full[group]
        self.group[receivers[moves]] = fresh[group[moves]]
        self.num_groups += np.count_nonzero(~is_full)
        goes_on, moved = ~is_full[group][head], moves[head]
        stays = goes_on & ~moved
        arcs, copy = self.arcs, self.copy
        served = _limits(copy[stays], self.terms.capacity[arcs[stays]], self.left)
        rest = self.left - np.minimum(self.left, served)
        # Arcs from givers that the poorer receivers leave nothing are closed.
        moved = moved & (rest[copy] > 0)
        kept = np.flatnonzero(stays | moved)
        number = np.where(moved, len(self.left) + copy, copy)[kept]
        names, self.copy = np.unique(number, return_inverse=True)
        self.left = np.concatenate([self.left, rest])[names]
        self.arcs = arcs[kept]
        # Receivers whose givers have nothing left for them get nothing.
        is_served = np.zeros(len(self.group), bool)
        is_served[self.terms.receiver[self.arcs]] = True
        self.group[receivers[moves & ~is_served[receivers]]] = -1

    def result(self) -> Levels:
        """Groups numbered by market, then by level."""
        market = dict(zip(self.group.tolist(), self.terms.market_of.tolist(), strict=True))

        def rank(number: int):
            top, bottom = self.level[number]
            is_satisfied = top == UNLIMITED
            level = Fraction(0) if is_satisfied else Fraction(int(top), int(bottom))
            return market[number], is_satisfied, float(level), level, number

        order = sorted(self.level, key=rank)
        place = {number: k for k, number in enumerate(order)}
        group = np.array([place.get(g, -1) for g in self.group.tolist()])
        tops, bottoms = np.array([self.level[number] for number in order], object).reshape(-1, 2).T
        return Levels(group, tops, bottoms, self.got, self.parts, self.num_flows)


class Network:
    """Givers, receivers and arcs of several groups, of which the maximum flow is wanted, in whole numbers."""

    def __init__(self, tail, head, send, take, ahead, group_of_giver, group_of_receiver):
        self.groups = group_of_giver, group_of_receiver, group_of_receiver[head]
        # Nobody can send more than all receivers of a group take.
        wanted = sums(take, group_of_receiver, int(group_of_receiver.max()) + 1)
        self.tail, self.head, self.take = tail, head, take
        self.send = np.minimum(send, wanted[group_of_giver])
        self.ahead = np.where(ahead == UNLIMITED, self.send[tail], np.minimum(ahead, self.send[tail]))
        self.total = np.maximum(wanted, sums(self.send, group_of_giver, len(wanted)))
        self.num_flows = 0

    def maximum(self) -> tuple[np.ndarray, Bool[np.ndarray, "nodes"]]:
        """The flow on each arc, and who (givers, then receivers) can be reached in what remains of it."""
        givers, receivers, arcs = self.groups
        size = len(self.total)
        # A capacity cut to whole units loses less than one of them, at every agent and every arc.
        ends = sum(np.bincount(own, minlength=size) for own in self.groups)
        shift = np.zeros(size, np.int64)
        if self.total.sum() >= 2**FLOW_BITS:
            shift = excess_bits(self.total, ends)
        flow, above = self._solve(self.send, self.take, self.ahead, None, shift)
        while np.any(shift):
            # Less than a unit was lost at each end, so no more than this can still be added.
            bound = (ends + 2).astype(object) << shift.astype(object)
            shift = np.where(shift > 0, excess_bits(bound * ends.astype(object), ends), 0)
            rest = np.minimum(self.send - sums(flow, self.tail, len(self.send)), bound[givers])
            room = np.minimum(self.take - sums(flow, self.head, len(self.take)), bound[receivers])
            ahead = np.minimum(self.ahead - flow, bound[arcs])
            change, above = self._solve(rest, room, ahead, np.minimum(flow, bound[arcs]), shift)
            flow = flow + change
        return flow, above

    def _solve(self, send, take, ahead, back, shift):
        """The maximum flow when each group's lowest bits are left out, in the unit of all bits."""
        givers, receivers, arcs = self.groups
        self.num_flows += 1
        flow, above = maximum_flow(
            self.tail,
            self.head,
            shifted(send, shift[givers]),
            shifted(take, shift[receivers]),
            shifted(ahead, shift[arcs]),
            None if back is None else shifted(back, shift[arcs]),
        )
        return flow.astype(object) << shift[arcs].astype(object), above


def taken(priority, own_use, room, numerator, denominator) -> np.ndarray:
    """z_j(L) · denominator = min(D − a, max(0, L b − a)) · denominator."""
    wanted = np.maximum(numerator * priority - own_use * denominator, 0)
    full = room * denominator
    return np.where(
        numerator == UNLIMITED, full, np.where(room == UNLIMITED, wanted, np.minimum(wanted, full))
    )


def least_levels(priority, own_use, room, group, supplied) -> tuple[np.ndarray, np.ndarray]:
    """The least L of each group with Σ_j z_j(L) = supplied, as numerator and denominator.

    The numerator is `UNLIMITED` where all demands together are less than what is supplied.

    L lies where some receiver j is *between*: a_j < L b_j ≤ D_j. If those between and those satisfied are
    known, L = (supplied − Σ_satisfied room + Σ_between a) / Σ_between b. They are guessed in float64, and the
    guess is tested in integers; where it fails, the level is found among the ends of all intervals by
    bisection.
    """
    num_groups = len(supplied)
    is_bounded = room != UNLIMITED
    demands = sums(np.where(is_bounded, room, 0), group, num_groups)
    never = sums((~is_bounded).astype(object), group, num_groups) == 0
    is_satisfied = never & (demands < supplied)
    numerator, denominator = _level_of(
        priority, own_use, room, group, supplied, *_guess(priority, own_use, room, group, supplied)
    )
    for _ in range(3):
        between, full = _sides(priority, own_use, room, numerator[group], denominator[group])
        again = _level_of(priority, own_use, room, group, supplied, between, full)
        is_right = (again[0] == numerator) & (again[1] == denominator)
        if np.all(is_right | is_satisfied):
            break
        numerator, denominator = again
    for number in np.flatnonzero(~(is_right | is_satisfied)):
        own = group == number
        numerator[number], denominator[number] = _bisected(
            priority[own], own_use[own], room[own], supplied[number]
        )
    numerator[is_satisfied], denominator[is_satisfied] = UNLIMITED, 1
    return numerator, denominator


def _sides(priority, own_use, room, numerator, denominator) -> tuple[np.ndarray, np.ndarray]:
    """Who is between own use and demand at these levels, and whose demand is below."""
    reached = numerator * priority
    is_above = reached > own_use * denominator
    is_full = (room != UNLIMITED) & (reached > (own_use + room) * denominator)
    return (is_above & ~is_full).astype(bool), is_full.astype(bool)


def _level_of(priority, own_use, room, group, supplied, between, full) -> tuple[np.ndarray, np.ndarray]:
    """L = (supplied − Σ_full room + Σ_between a) / Σ_between b in lowest terms; 0 where nobody is."""
    size = len(supplied)
    top = (
        supplied
        - sums(np.where(full, room, 0), group, size)
        + sums(np.where(between, own_use, 0), group, size)
    )
    bottom = sums(np.where(between, priority, 0), group, size)
    is_found = (bottom > 0) & (top > 0)
    top, bottom = np.where(is_found, top, 0), np.where(is_found, bottom, 1)
    divisor = np.gcd(top, bottom)
    return top // divisor, bottom // divisor


def _guess(priority, own_use, room, group, supplied) -> tuple[np.ndarray, np.ndarray]:
    """Who is between and who is full at the level, in float64."""
    b, a = priority.astype(float), own_use.astype(float)
    is_bounded = room != UNLIMITED
    end = np.where(is_bounded, a + np.where(is_bounded, room, 0).astype(float), np.inf) / b
    start = a / b
    points = np.concatenate([start, end[is_bounded]])
    owner = np.concatenate([group, group[is_bounded]])
    slope = np.concatenate([b, -b[is_bounded]])
    order = np.lexsort((points, owner))
    points, owner, slope = points[order], owner[order], slope[order]
    first = np.flatnonzero(np.diff(owner, prepend=-1))
    before = np.cumsum(slope) - slope
    slope = np.maximum(np.cumsum(slope) - np.repeat(before[first], np.diff(np.append(first, len(owner)))), 0)
    step = np.append(np.diff(points), 0)
    step[np.append(first[1:], len(owner)) - 1] = 0
    risen = np.cumsum(slope * step)
    at = (
        risen - slope * step - np.repeat((risen - slope * step)[first], np.diff(np.append(first, len(owner))))
    )
    # At the last point that all together do not yet take what is supplied at, the level's interval begins.
    is_below = at < supplied.astype(float)[owner]
    last = np.maximum.reduceat(np.where(is_below, np.arange(len(owner)), first[0]), first)
    last = np.maximum(last, first)
    with np.errstate(divide="ignore", invalid="ignore"):
        level = points[last] + np.where(slope[last] > 0, (supplied.astype(float) - at[last]) / slope[last], 0)
    level = level[group]
    return (start < level) & (level <= end), end < level


def _bisected(priority, own_use, room, supplied) -> tuple[int, int]:
    """The least level of one group, in integers alone."""
    is_bounded = room != UNLIMITED
    tops = np.concatenate([own_use, (own_use + room)[is_bounded]])
    bottoms = np.concatenate([priority, priority[is_bounded]])
    points = sorted({Fraction(int(x), int(y)) for x, y in zip(tops, bottoms, strict=True)})

    def is_enough(point) -> bool:
        x, y = point.numerator, point.denominator
        return int(np.sum(taken(priority, own_use, room, x, y))) >= supplied * y

    place = bisect.bisect_left(points, True, key=is_enough)
    inside = points[place - 1] if place else points[0]
    x, y = inside.numerator, inside.denominator
    full = is_bounded & (x * priority >= (own_use + room) * y)
    between = (x * priority >= own_use * y) & ~full
    top, bottom = _level_of(
        priority,
        own_use,
        room,
        np.zeros(len(room), np.int64),
        np.array([supplied], object),
        between.astype(bool),
        full.astype(bool),
    )
    return top[0], bottom[0]


def sums(x: np.ndarray, index: np.ndarray, size: int) -> np.ndarray:
    """Exact sums of integers of any size by index."""
    out = np.zeros(size, object)
    np.add.at(out, index, x)
    return out


def _limits(copy, capacity, left) -> np.ndarray:
    """Σ of the capacities of each copy's arcs; all that is left where one is unlimited."""
    limit = sums(np.where(capacity == UNLIMITED, 0, capacity), copy, len(left))
    is_free = np.zeros(len(left), bool)
    is_free[copy[capacity == UNLIMITED]] = True
    return np.where(is_free, left, limit)
