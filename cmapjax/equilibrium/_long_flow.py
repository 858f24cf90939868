"""Maximum flows of capacities of any size, by the flow solver's 63 bits."""

import numpy as np
from jaxtyping import Bool

from cmapjax.equilibrium._decomposition import FLOW_BITS, excess_bits, shifted
from cmapjax.equilibrium._maximum_flow import maximum_flow

UNLIMITED = -1


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

    def maximum(self, *, exactly: bool) -> tuple[np.ndarray, Bool[np.ndarray, "nodes"], np.ndarray]:
        """The flow on each arc, who (givers, then receivers) can be reached in what remains of it, and by how
        much the flow of each group may be too little, unless it is wanted exactly."""
        givers, receivers, arcs = self.groups
        size = len(self.total)
        # A capacity cut to whole units loses less than one of them, at every agent and every arc.
        ends = sum(np.bincount(own, minlength=size) for own in self.groups)
        shift = np.zeros(size, np.int64)
        if self.total.sum() >= 2**FLOW_BITS:
            shift = excess_bits(self.total, ends)
        flow, above = self._solve(self.send, self.take, self.ahead, None, shift)
        if not exactly:
            return flow, above, np.where(shift > 0, ends.astype(object) << shift.astype(object), 0)
        while np.any(shift):
            # Less than a unit was lost at each end, so no more than this can still be added.
            bound = (ends + 2).astype(object) << shift.astype(object)
            shift = np.where(shift > 0, excess_bits(bound * ends.astype(object), ends), 0)
            rest = np.minimum(self.send - sums(flow, self.tail, len(self.send)), bound[givers])
            room = np.minimum(self.take - sums(flow, self.head, len(self.take)), bound[receivers])
            ahead = np.minimum(self.ahead - flow, bound[arcs])
            change, above = self._solve(rest, room, ahead, np.minimum(flow, bound[arcs]), shift)
            flow = flow + change
        return flow, above, np.zeros(size, object)

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


def sums(x: np.ndarray, index: np.ndarray, size: int) -> np.ndarray:
    """Exact sums of integers of any size by index."""
    out = np.zeros(size, object)
    np.add.at(out, index, x)
    return out
