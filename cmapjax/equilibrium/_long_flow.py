"""Maximum flows of capacities of any size, by the flow solver's 63 bits."""

import numpy as np
from jaxtyping import Bool, Int

from cmapjax.equilibrium._maximum_flow import maximum_flow

UNLIMITED = -1
# The flow solver adds up capacities in signed 64-bit integers.
FLOW_BITS = 62
# A sum of n floats is wrong by less than this share times √n, as a rule.
ROUGH = 2.0**-50


class Network:
    """Givers, receivers and arcs of several groups, of which the maximum flow is wanted.

    Amounts are whole numbers of any size, of which the flow is exact, or floats.

    Args:
        tail, head: the giver and the receiver of each arc.
        limited, limit: some arcs, and their capacities; the others have none.
    """

    def __init__(self, tail, head, send, take, limited, limit, group_of_giver, group_of_receiver):
        self.groups = group_of_giver, group_of_receiver, group_of_receiver[head]
        # Nobody can send more than all receivers of a group take.
        wanted = sums(take, group_of_receiver, int(group_of_receiver.max()) + 1)
        self.tail, self.head, self.take = tail, head, take
        self.send = np.minimum(send, wanted[group_of_giver])
        binds = (limit < self.send[tail[limited]]).astype(bool)
        self.limited, self.limit = limited[binds], limit[binds]
        self.total = np.maximum(wanted, sums(self.send, group_of_giver, len(wanted)))
        self.is_rough = self.total.dtype == np.float64
        self.is_long = not self.is_rough and int(self.total.astype(object).sum()) >= 2**FLOW_BITS
        """Whether whole numbers do not fit one flow."""
        # A capacity cut to whole units loses less than one of them, at every agent and every limited arc.
        ends = np.bincount(group_of_giver, minlength=len(wanted)) + np.bincount(group_of_receiver)
        self.ends = ends + np.bincount(self.groups[2][self.limited], minlength=len(wanted))
        self.num_flows = 0

    def maximum(self) -> tuple[np.ndarray, Bool[np.ndarray, "nodes"], np.ndarray]:
        """The flow on each arc, who (givers, then receivers) can be reached in what remains of it, and by how
        much the flow of each group may be too little, which is nothing for whole numbers."""
        givers, receivers, arcs = self.groups
        ends, shift, limited = self.ends, np.zeros(len(self.total), np.int64), self.limited
        if self.is_rough or self.is_long:
            shift = self._excess_bits(self.total)
        send = _shifted(self.send, shift[givers])
        flow, above = self._solve(send, self.take, send[self.tail], self.limit, None, shift)
        if self.is_rough:
            return flow, above, np.ldexp(ends.astype(float), shift) + ROUGH * np.sqrt(ends) * self.total
        while np.any(shift):
            # Less than a unit was lost at each end, so no more than this can still be added.
            bound = (ends + 2).astype(object) << shift.astype(object)
            shift = np.where(shift > 0, self._excess_bits(bound * ends.astype(object)), 0)
            most = bound[arcs]
            rest = np.minimum(self.send - sums(flow, self.tail, len(self.send)), bound[givers])
            room = np.minimum(self.take - sums(flow, self.head, len(self.take)), bound[receivers])
            limit = np.minimum(self.limit - flow[limited], most[limited])
            send, ahead, back = (
                _shifted(rest, shift[givers]),
                _shifted(bound, shift)[arcs],
                np.minimum(flow, most),
            )
            change, above = self._solve(send, room, ahead, limit, back, shift)
            flow = flow + change
        return flow, above, np.zeros(len(ends), np.int64)

    def _excess_bits(self, total: np.ndarray) -> Int[np.ndarray, "groups"]:
        """Bits to leave out of each group so that all fit one flow, room being shared by the number of ends;
        of floats, how many there are too few if negative."""
        room = FLOW_BITS - 1 - np.ceil(np.log2(self.ends.sum() / self.ends)).astype(np.int64)
        if self.is_rough:
            return np.frexp(total)[1] - room
        return np.maximum(np.array([int(t).bit_length() for t in total]) - room, 0)

    def _solve(self, send, take, ahead, limit, back, shift):
        """The maximum flow when each group's lowest bits are left out, in the unit of all bits; of `send` and
        `ahead` they have been."""
        arcs = self.groups[2]
        ahead[self.limited] = _shifted(limit, shift[arcs[self.limited]])
        take = _shifted(take, shift[self.groups[1]])
        back = None if back is None else _shifted(back, shift[arcs])
        self.num_flows += 1
        flow, above = maximum_flow(self.tail, self.head, send, take, ahead, back)
        if self.is_rough:
            return np.ldexp(flow.astype(float), shift[arcs]), above
        if self.is_long:
            return flow.astype(object) << shift[arcs].astype(object), above
        return flow, above


def _shifted(x: np.ndarray, shift: np.ndarray) -> Int[np.ndarray, "_"]:
    """x / 2^shift, rounded down."""
    if x.dtype == np.float64:
        return np.ldexp(x, -shift).astype(np.int64)
    return (x >> shift.astype(x.dtype)).astype(np.int64)


def sums(x: np.ndarray, index: np.ndarray, size: int) -> np.ndarray:
    """Sums by index, exact of integers of either kind."""
    if x.dtype == np.float64:
        return np.bincount(index, x, size)
    out = np.zeros(size, x.dtype)
    np.add.at(out, index, x)
    return out
