"""The bottleneck decomposition of a market by maximum flows, in integers.

Two copies of the market are set against each other: everybody as a giver, everybody as a receiver. At
the equilibrium both fall into *groups*: the givers of a group serve its receivers and nobody else, and
all its receivers end with the same ratio λ = (contributions of its givers) / (contributions of its
receivers). A set of givers and receivers is one group when a flow exists in which every giver i spends
w_i and every receiver j gets λ w_j; otherwise a minimum cut tells those with a higher ratio from the
others. All sets of a level are tested by one maximum flow.

Contributions are integers here (every float is one, times a power of two), and so are capacities: a giver
has b·w_i to send and a receiver room for a·w_j, where λ = a/b in lowest terms. Nothing is rounded unless
these outgrow the 63 bits of the flow solver; then either the lowest bits are left out, which the caller
must judge by the certificate, or they are put back by further flows on what remains.

Source: the decomposition is Wu and Zhang's, STOC 2007; the splitting by minimum cuts is the divide and
conquer of parametric flows (Gallo, Grigoriadis and Tarjan, SIAM J. Comput. 18, 1989).
"""

import dataclasses
import itertools
from fractions import Fraction

import numpy as np
from jaxtyping import Bool, Int, Shaped

from cmapjax.equilibrium._maximum_flow import maximum_flow
from cmapjax.market._rows import connected_parts

# The flow solver adds up capacities in signed 64-bit integers.
FLOW_BITS = 62
# Agents of a batch of markets. Larger ones outgrow the processor's cache (200,000 agents at once take 1.8
# times as long per market), and a market whose numbers need Python's integers slows only its own batch.
BATCH = 20_000


@dataclasses.dataclass(frozen=True)
class Partition:
    """Givers and receivers in groups, numbered by market and then by ratio, and the flow that proves it."""

    gives_in: Int[np.ndarray, "agents"]
    """The group in which an agent gives."""
    receives_in: Int[np.ndarray, "agents"]
    """The group in which it receives."""
    numerator: np.ndarray
    """λ = numerator / denominator of each group, in lowest terms (whole numbers of either kind)."""
    denominator: np.ndarray
    parts: np.ndarray
    """What flows along each arc, in parts of which giver i has weight_i · denominator of its group."""
    num_flows: int

    @property
    def ratio(self) -> np.ndarray:
        """λ of each group, the nearest float64."""
        return np.array([int(a) / int(b) for a, b in zip(self.numerator, self.denominator, strict=True)])


def as_integers(
    contribution: Shaped[np.ndarray, "agents"], market_of: Int[np.ndarray, "agents"]
) -> tuple[np.ndarray, np.ndarray]:
    """Whole numbers proportional to the contributions in each market, and the power of two of its unit.

    Exactly contribution = number · 2^power. The numbers are int64 where all of them, added up, fit, and
    Python's integers otherwise.

    Raises:
        ValueError: a contribution that is not finite and above zero.
    """
    bad = ~(np.isfinite(contribution) & (contribution > 0))
    if np.any(bad):
        raise ValueError(f"contribution: one is {contribution[bad][0]:g}; all must be finite and above zero.")
    mantissa, power = np.frexp(contribution)
    number = np.ldexp(mantissa, 53).astype(np.int64)
    lowest_bit = number & -number
    number //= lowest_bit
    power = power - 53 + np.frexp(lowest_bit.astype(np.float64))[1] - 1
    unit = np.full(market_of.max() + 1, np.iinfo(np.int64).max)
    np.minimum.at(unit, market_of, power)
    shift = power - unit[market_of]
    bits = np.frexp(number.astype(np.float64))[1] + shift
    if bits.max() + np.log2(len(number)) < FLOW_BITS:
        return number << shift, unit
    return number.astype(object) << shift.astype(object), unit


def decompose(giver, receiver, weight, market_of) -> Partition:
    """The groups of a market, or of many side by side, proved in integers.

    Many markets are taken a batch at a time, no larger than the flow solver's memory stays quick for.

    Args:
        giver, receiver: both directions of every link, ordered by giver.
        weight: contributions as whole numbers (`as_integers`).
        market_of: the market of each agent, from 0.
    """
    if market_of[-1] == 0 or np.any(np.diff(market_of) < 0):
        return _decompose(giver, receiver, weight, market_of)
    batch = np.flatnonzero(np.diff(market_of, prepend=-1)) // BATCH  # of each market, by its first agent
    first = np.flatnonzero(np.diff(batch[market_of], prepend=-1, append=batch[-1] + 1))
    found = []
    for start, end in itertools.pairwise(first.tolist()):
        arcs = slice(*np.searchsorted(giver, (start, end)))
        own = market_of[start:end]
        found.append(_decompose(giver[arcs] - start, receiver[arcs] - start, weight[start:end], own - own[0]))
    return _side_by_side(found)


def _side_by_side(parts: list[Partition]) -> Partition:
    """The groups of all batches, numbered on."""
    offsets = np.cumsum([0, *(len(part.numerator) for part in parts)])[:-1].tolist()

    def joined(name: str) -> np.ndarray:
        return np.concatenate([getattr(part, name) for part in parts])

    return Partition(
        np.concatenate([part.gives_in + offset for part, offset in zip(parts, offsets, strict=True)]),
        np.concatenate([part.receives_in + offset for part, offset in zip(parts, offsets, strict=True)]),
        joined("numerator"),
        joined("denominator"),
        joined("parts"),
        sum(part.num_flows for part in parts),
    )


def _decompose(giver, receiver, weight, market_of) -> Partition:
    rough = _divide(giver, receiver, weight, market_of, market_of, exactly=False)
    num_flows = rough.num_flows
    if not rough.is_exact:
        found = confirm(giver, receiver, weight, market_of, rough.gives_in, rough.receives_in)
        if found is not None:
            return dataclasses.replace(found, num_flows=found.num_flows + num_flows)
        rough = _divide(giver, receiver, weight, market_of, market_of, exactly=True)
        num_flows += rough.num_flows
    found = _number(rough, weight, market_of)
    return dataclasses.replace(found, num_flows=num_flows)


def confirm(giver, receiver, weight, market_of, gives_in, receives_in) -> Partition | None:
    """The groups that one expects, proved; None if they are wrong.

    Groups are numbered from 0; each agent gives in the one of its poorest neighbour.

    Sets that are not full are divided further, which mends groups that were taken together. That no
    agent was put on the wrong side shows in the end: everybody must give where the ratio is least.
    """
    divided = _divide(giver, receiver, weight, gives_in, receives_in, exactly=True)
    if not np.array_equal(np.unique(divided.gives_in), np.unique(divided.receives_in)):
        return None  # somebody has nobody to give to
    found = _number(divided, weight, market_of)
    # Groups are numbered by ratio, so the least ratio is the least number.
    is_least = found.gives_in[giver] <= found.receives_in[receiver]
    return found if np.all(is_least) else None


def blocks(giver, receiver, gives_in, receives_in) -> tuple[np.ndarray, np.ndarray]:
    """The connected parts of groups, in which an agent gives and receives, each named by its first receiver.

    Parts of a group share nothing but their ratio, and that by chance: when a contribution changes, only
    the parts that it belongs to move.
    """
    n = len(gives_in)
    inside = gives_in[giver] == receives_in[receiver]
    part = connected_parts(receiver[inside], n + giver[inside], 2 * n)  # receivers come before givers
    return part[n:], part[:n]


def verify(found: Partition, giver, receiver, weight, market_of) -> None:
    """Check every law of the equilibrium in integers, from the flow alone.

    Nothing flows backwards; every giver spends exactly its contribution; every receiver gets exactly λ
    times its own; r_p r_j ≥ 1 on every link and = 1 where something flows, which proves optimality
    (docs/model.md, the reciprocity certificate).

    Raises:
        ArithmeticError: a law is broken, which would be a fault of this module.
    """
    weight, parts = weight.astype(object), found.parts.astype(object)
    size = len(weight)
    a, b = found.numerator[found.receives_in], found.denominator[found.receives_in]
    parts_of_giver = weight * found.denominator[found.gives_in]
    laws = {
        "no flow is negative": np.all(parts >= 0),
        "everybody spends its contribution": np.all(_sums(parts, giver, size) == parts_of_giver),
        "everybody gets its group's ratio": np.all(
            _sums(parts, receiver, size) == weight * found.numerator[found.receives_in]
        ),
        "flows stay in their group": np.all(
            (parts == 0) | (found.gives_in[giver] == found.receives_in[receiver])
        ),
        "r_p r_j ≥ 1 on links": np.all(a[giver] * a[receiver] >= b[giver] * b[receiver]),
        "r_p r_j = 1 on used links": np.all(
            (parts == 0) | (a[giver] * a[receiver] == b[giver] * b[receiver])
        ),
    }
    broken = [law for law, holds in laws.items() if not holds]
    if broken:
        raise ArithmeticError(f"equilibrium: not the case that {broken}; please report this market.")


@dataclasses.dataclass(frozen=True)
class _Divided:
    gives_in: Int[np.ndarray, "agents"]
    receives_in: Int[np.ndarray, "agents"]
    parts: np.ndarray
    num_flows: int
    is_exact: bool


def _divide(giver, receiver, weight, gives_in, receives_in, *, exactly: bool) -> _Divided:
    """Sets of givers and receivers, each divided until a flow fills it.

    Args:
        gives_in, receives_in: the sets to begin with, numbered from 0.
        exactly: put back the bits that do not fit the flow solver, however many flows that takes.
    """
    gives_in, receives_in = gives_in.astype(np.int64), receives_in.astype(np.int64)
    num_groups = int(max(gives_in.max(), receives_in.max())) + 1
    is_open = np.ones(num_groups, bool)
    parts = np.zeros(len(giver), weight.dtype)
    num_flows, is_exact = 0, True
    while np.any(is_open):
        group = gives_in[giver]
        arcs = np.flatnonzero((group == receives_in[receiver]) & is_open[group])
        level = _Level(giver[arcs], receiver[arcs], weight, gives_in, receives_in, is_open)
        flow, is_full, above_giver, above_receiver = level.saturate(exactly)
        num_flows, is_exact = num_flows + level.num_flows, is_exact and level.is_exact
        closes = np.zeros(num_groups, bool)
        closes[level.groups] = is_full
        is_closed = closes[group[arcs]]
        parts = parts.astype(np.promote_types(parts.dtype, flow.dtype))
        parts[arcs[is_closed]] = flow[is_closed]
        # What is above the cut moves out of each set that is not full, into a new one.
        split = level.groups[~is_full]
        new = np.full(num_groups, -1)
        new[split] = num_groups + np.arange(len(split))
        for membership, above in ((gives_in, above_giver), (receives_in, above_receiver)):
            moved = above & (new[membership] >= 0)
            membership[moved] = new[membership[moved]]
        is_open = np.concatenate([is_open & ~closes, np.ones(len(split), bool)])
        num_groups += len(split)
    return _Divided(gives_in, receives_in, parts, num_flows, is_exact)


def _number(divided: _Divided, weight, market_of) -> Partition:
    """Groups numbered by market and ratio, those of the same ratio in one market taken together."""
    groups, receives_in = np.unique(divided.receives_in, return_inverse=True)
    gives_in = np.searchsorted(groups, divided.gives_in)
    given, wanted = (_sums(weight, m, len(groups)).astype(object) for m in (gives_in, receives_in))
    divisor = np.gcd(given, wanted)
    numerator, denominator = given // divisor, wanted // divisor
    market = np.zeros(len(groups), np.int64)
    market[receives_in] = market_of
    ratios = map(Fraction, numerator.tolist(), denominator.tolist())
    # Fractions are compared only where floats do not tell.
    keys = [(m, float(r), r) for m, r in zip(market.tolist(), ratios, strict=True)]
    order = sorted(range(len(keys)), key=keys.__getitem__)
    is_first = np.array([k == 0 or keys[order[k]] != keys[order[k - 1]] for k in range(len(order))])
    number = np.zeros(len(order), np.int64)
    number[order] = np.cumsum(is_first) - 1
    first = np.array(order)[is_first]
    return Partition(
        number[gives_in],
        number[receives_in],
        numerator[first],
        denominator[first],
        divided.parts,
        divided.num_flows,
    )


def _sums(x: np.ndarray, index: np.ndarray, size: int) -> np.ndarray:
    """Exact sums of integers, of either kind, by index."""
    out = np.zeros(size, x.dtype)
    np.add.at(out, index, x)
    return out


class _Level:
    """All sets that are still open, as one network: agents that give, agents that receive, arcs."""

    def __init__(self, giver, receiver, weight, gives_in, receives_in, is_open):
        self.num_agents = len(weight)
        self.givers, self.receivers = np.flatnonzero(is_open[gives_in]), np.flatnonzero(is_open[receives_in])
        self.groups = np.flatnonzero(is_open)
        number = np.cumsum(is_open) - 1
        self.group_of_giver = number[gives_in[self.givers]]
        self.group_of_receiver = number[receives_in[self.receivers]]
        place = np.zeros(self.num_agents, np.int64)
        place[self.givers] = np.arange(len(self.givers))
        self.tail = place[giver]
        place[self.receivers] = np.arange(len(self.receivers))
        self.head = place[receiver]
        self.group_of_arc = self.group_of_giver[self.tail]
        self.weight_given, self.weight_wanted = weight[self.givers], weight[self.receivers]
        self.num_flows, self.is_exact = 0, True

    def saturate(self, exactly: bool):
        """Flow per arc, whether each set is full, and who is above the cut, as giver and as receiver."""
        num_groups = len(self.groups)
        given = _sums(self.weight_given, self.group_of_giver, num_groups).astype(object)
        wanted = _sums(self.weight_wanted, self.group_of_receiver, num_groups).astype(object)
        divisor = np.gcd(given, wanted)
        total = given * (wanted // divisor)
        sizes = np.bincount(self.group_of_giver, minlength=num_groups) + np.bincount(
            self.group_of_receiver, minlength=num_groups
        )
        shift = np.zeros(num_groups, np.int64)
        kind = object
        if total.sum() < 2**FLOW_BITS:
            kind = np.int64
        else:
            shift = excess_bits(total, sizes)
        supply = self.weight_given.astype(kind) * (wanted // divisor).astype(kind)[self.group_of_giver]
        demand = self.weight_wanted.astype(kind) * (given // divisor).astype(kind)[self.group_of_receiver]
        flow, cut = self._push(supply, demand, shift)
        # A capacity cut to whole units loses less than one of them, at each agent.
        missing = np.where(shift > 0, sizes, 0)
        if exactly and np.any(shift):
            flow, cut = self._refine(supply, demand, flow, shift, sizes, cut)
            missing = np.zeros(num_groups, np.int64)
            shift = np.zeros(num_groups, np.int64)
        self.is_exact = not np.any(shift)
        sent = _sums(flow, self.group_of_arc, num_groups)
        is_full = (total >> shift.astype(object)) - sent <= missing
        upper = np.zeros((2, self.num_agents), bool)
        upper[0, self.givers] = cut[: len(self.givers)]
        upper[1, self.receivers] = cut[len(self.givers) :]
        return flow, is_full.astype(bool), upper[0], upper[1]

    def _push(self, supply, demand, shift) -> tuple[np.ndarray, Bool[np.ndarray, "nodes"]]:
        """The maximum flow after leaving out each set's lowest bits, and the upper side of its cut."""
        send = shifted(supply, shift[self.group_of_giver])
        take = shifted(demand, shift[self.group_of_receiver])
        return self._solve(send, take, send[self.tail], None)

    def _refine(self, supply, demand, flow, shift, sizes, cut):
        """The exact maximum flow: what was left out is sent through what remains, a few bits at a time."""
        flow = flow.astype(object) << shift[self.group_of_arc].astype(object)
        while np.any(shift):
            # Less than a unit was lost at each agent, so no more than this can still be added.
            bound = (sizes + 2).astype(object) << shift.astype(object)
            rest = supply - _sums(flow, self.tail, len(supply))
            room = demand - _sums(flow, self.head, len(demand))
            shift = np.where(shift > 0, excess_bits(bound * sizes.astype(object), sizes), 0)
            bound_giver, bound_receiver = bound[self.group_of_giver], bound[self.group_of_receiver]
            bound_arc = bound[self.group_of_arc]
            shift_arc = shift[self.group_of_arc]
            ahead = shifted(bound_arc, shift_arc)
            back = shifted(np.minimum(flow, bound_arc), shift_arc)
            send = shifted(np.minimum(rest, bound_giver), shift[self.group_of_giver])
            take = shifted(np.minimum(room, bound_receiver), shift[self.group_of_receiver])
            change, cut = self._solve(send, take, ahead, back)
            flow = flow + (change.astype(object) << shift_arc.astype(object))
        return flow, cut

    def _solve(self, send, take, ahead, back):
        self.num_flows += 1
        return maximum_flow(self.tail, self.head, send, take, ahead, back)


def excess_bits(total: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Bits to leave out of each set so that all of them fit one flow, room being shared by head count."""
    room = FLOW_BITS - 1 - np.ceil(np.log2(sizes.sum() / sizes)).astype(np.int64)
    bits = np.array([int(t).bit_length() for t in total])
    return np.maximum(bits - room, 0)


def shifted(x: np.ndarray, shift: np.ndarray) -> Int[np.ndarray, "_"]:
    return (x >> shift.astype(x.dtype)).astype(np.int64)
