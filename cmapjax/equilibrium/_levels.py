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
from jaxtyping import Int

from cmapjax.equilibrium._long_flow import UNLIMITED, Network, sums


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
    """The groups of receivers, divided until a flow serves each.

    Where numbers are long, groups are first found without their lowest bits, and then proved with all.
    """
    division = _Division(terms, exactly=False)
    found = division.divided()
    if division.is_exact:
        return found
    again = _Division(terms, exactly=True, expected=found.group)
    proved, num_flows = again.divided(), found.num_flows
    if not again.serves_the_poorest(proved):
        num_flows += proved.num_flows
        proved = _Division(terms, exactly=True).divided()
    return dataclasses.replace(proved, num_flows=num_flows + proved.num_flows)


class _Division:
    """Groups of receivers, some of them still open. A *copy* is what a giver has left for one group.

    Args:
        exactly: put back the bits that do not fit the flow solver, however many flows that takes.
        expected: the groups to begin with, in the order of levels within a market; by default all receivers
            of a market are one.
    """

    def __init__(self, terms: Terms, *, exactly: bool, expected: np.ndarray | None = None):
        self.terms, self.exactly, self.is_exact = terms, exactly, True
        self.counts = (terms.priority > 0) & (terms.room != 0)
        carries = (terms.supply[terms.giver] > 0) & (terms.capacity != 0) & self.counts[terms.receiver]
        self.leads = np.flatnonzero(carries)
        group = terms.market_of if expected is None else expected
        self.num_groups = int(group.max()) + 1
        self.arcs = self.leads[group[terms.receiver[self.leads]] >= 0]
        """The arcs that lead into open groups."""
        of_arc = group[terms.receiver[self.arcs]]
        names, copy = np.unique(
            terms.giver[self.arcs].astype(np.int64) * self.num_groups + of_arc, return_inverse=True
        )
        self.left = self._left(names // self.num_groups, copy)
        kept = self.left[copy] > 0
        self.arcs = self.arcs[kept]
        copies, self.copy = np.unique(copy[kept], return_inverse=True)
        """The copy of each of these arcs' givers."""
        self.left = self.left[copies]
        self.group = np.full(len(self.counts), -1)
        receivers = terms.receiver[self.arcs]
        self.group[receivers] = group[receivers]
        self.level = {}
        """The numerator and denominator of each closed group."""
        self.got = np.zeros(len(terms.supply), object)
        self.parts = np.zeros(len(terms.giver), object)
        self.has_left = np.zeros(len(terms.giver), bool)
        """Whether an arc's giver has something left for its receiver's group."""
        self.num_flows = 0

    def _left(self, giver: np.ndarray, copy: np.ndarray) -> np.ndarray:
        """What givers have left for their groups, those of one giver being in the order of levels."""
        supply, capacity = self.terms.supply[giver].astype(object), self.terms.capacity[self.arcs]
        first = np.flatnonzero(np.diff(giver, prepend=-1))
        limit = _limits(copy, capacity, supply)
        before = np.cumsum(limit) - limit
        before = before - np.repeat(before[first], np.diff(np.append(first, len(giver))))
        return np.maximum(supply - before, 0)

    def divided(self) -> Levels:
        """The groups when none is open any more."""
        while self.is_open:
            self.divide()
        return self.result()

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
        flow, above, missing = network.maximum(exactly=self.exactly)
        self.num_flows += network.num_flows
        self.is_exact &= not np.any(missing)
        is_full = sums(take, group, len(groups)) - sums(flow, group[head], len(groups)) <= missing
        is_full = is_full.astype(bool)
        for place in np.flatnonzero(is_full):
            self.level[int(groups[place])] = (numerator[place], denominator[place])
        closes = is_full[group]
        self.got[receivers[closes]] = take[closes]
        closed = self.arcs[closes[head]]
        self.parts[closed] = flow[closes[head]]
        self.has_left[closed] = True
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

    def serves_the_poorest(self, found: Levels) -> bool:
        """Whether no giver serves, or keeps something from, a level above one to which a link is not full."""
        rank = self._ranks(found)
        leads, terms = self.leads, self.terms
        giver, receiver, capacity = terms.giver[leads], terms.receiver[leads], terms.capacity[leads]
        denominator = np.append(found.denominator, 1)[found.group[receiver]]
        parts = found.parts[leads]
        is_open = (capacity == UNLIMITED) | (parts < capacity * denominator)
        keeps = self.has_left[leads] & (np.append(found.numerator, 0)[found.group[receiver]] == UNLIMITED)
        serves = (parts > 0) | (is_open & keeps)
        highest, lowest = np.full(len(rank), -1), np.full(len(rank), len(rank))
        for level, where, ufunc in ((highest, serves, np.maximum), (lowest, is_open, np.minimum)):
            where = where.astype(bool)
            ufunc.at(level, giver[where], rank[receiver[where]])
        return bool(np.all(highest <= lowest))

    def _ranks(self, found: Levels) -> np.ndarray:
        """The place of each receiver's level among all levels, equal ones having the same."""
        terms = self.terms

        def level(j: int):
            group = found.group[j]
            if group < 0:
                return 0, Fraction(int(terms.own_use[j]), int(terms.priority[j]))
            top = int(found.numerator[group])
            return (1, Fraction(0)) if top == UNLIMITED else (0, Fraction(top, int(found.denominator[group])))

        agents = np.flatnonzero(self.counts).tolist()
        names = [
            (g, 0) if g >= 0 else (g, j) for j, g in zip(agents, found.group[agents].tolist(), strict=True)
        ]
        one_of = dict(zip(names, agents, strict=True))
        levels = {name: level(j) for name, j in one_of.items()}
        places = {x: place for place, x in enumerate(sorted(set(levels.values())))}
        rank = np.zeros(len(self.counts), np.int64)
        rank[agents] = [places[levels[name]] for name in names]
        return rank

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
    between, full = _guess(priority, own_use, room, group, supplied)
    for _ in range(2):
        numerator, denominator = _level_of(priority, own_use, room, group, supplied, between, full)
        at = numerator[group], denominator[group]
        between, full = _sides(priority, own_use, room, *at)
        # The least root is where all take just that much, and somebody would take less at any lower level.
        is_right = sums(taken(priority, own_use, room, *at), group, num_groups) == supplied * denominator
        is_right &= np.bincount(group, between, num_groups) > 0
        if np.all(is_right | is_satisfied):
            break
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
    is_bounded = room != UNLIMITED
    (b,) = _as_floats(priority)
    a, bounded, supplied = _as_floats(own_use, np.where(is_bounded, room, 0), supplied)
    end = np.where(is_bounded, a + bounded, np.inf) / b
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
    is_below = at < supplied[owner]
    last = np.maximum.reduceat(np.where(is_below, np.arange(len(owner)), first[0]), first)
    last = np.maximum(last, first)
    with np.errstate(divide="ignore", invalid="ignore"):
        level = points[last] + np.where(slope[last] > 0, (supplied - at[last]) / slope[last], 0)
    level = level[group]
    return (start < level) & (level <= end), end < level


def _as_floats(*parts: np.ndarray) -> list[np.ndarray]:
    """Integers of any size as float64, in a unit in which none of them overflows."""
    bits = max(int(x).bit_length() for part in parts for x in part)
    unit = 1 << max(bits - 1000, 0)
    return [np.true_divide(part, unit).astype(float) for part in parts]


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


def _limits(copy, capacity, left) -> np.ndarray:
    """Σ of the capacities of each copy's arcs; all that is left where one is unlimited."""
    limit = sums(np.where(capacity == UNLIMITED, 0, capacity), copy, len(left))
    is_free = np.zeros(len(left), bool)
    is_free[copy[capacity == UNLIMITED]] = True
    return np.where(is_free, left, limit)
