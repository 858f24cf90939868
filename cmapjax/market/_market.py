"""The market: agents on an undirected network, what each brings, and how their links are stored."""

import dataclasses
import hashlib
from collections.abc import Hashable, Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import scipy
from jaxtyping import Float, Int, Shaped, UInt

from cmapjax.arguments._checks import (
    CONTRIBUTION,
    as_links,
    as_real,
    check_fits,
    check_positive,
    check_unique,
    count_agents,
    listed,
    short,
)
from cmapjax.arguments._labelled import by_name, unlabelled
from cmapjax.arguments._origin import Origin
from cmapjax.market._columns import Columns, entry_slots, lay_out
from cmapjax.market._reductions import blocks, joined, over_ranges, over_slots, written
from cmapjax.market._rows import compressed_rows, connected_parts, reverse_arcs
from cmapjax.runtime._precision import float64_on_host, namespace
from cmapjax.runtime._settings import entry
from cmapjax.runtime._types import Array


class Market(eqx.Module):
    """Agents on an undirected network. One market, or an ensemble packed side by side.

    Agent i brings a surplus of mean `endowment[i]` (in units of its own resource) every round, each unit
    worth `value[i]`; its *contribution* is w_i = ε_i v_i. Vectors over agents are always in the caller's
    order. Only this module knows how links are stored. A *flow* (value given along every link, both ways)
    is one opaque array, made and read by the methods here.

    Build one with `Market.from_links`, or the readers and random families of `cmapjax.graphs`.
    """

    endowment: Float[Array, "agents"]
    value: Float[Array, "agents"]
    links: Columns
    """Row a: the neighbours of the agent stored at a, by where they are stored."""
    reverse: Int[Array, "slots"]
    """The slot of the same link seen from its other end."""
    members: Columns
    """Row m: the agents of market m, in the caller's numbers."""
    market_of: Int[Array, "agents"]
    """The market of each agent, as a row of `members`."""
    numbers: UInt[Array, "markets"]
    """Each market's number in its ensemble. Random draws depend on it, not on the place in the ensemble."""
    origin: Origin = eqx.field(static=True)
    """The agents' labels, and what was merged, dropped and ignored when the market was made."""
    repeats: Int[Array, "agents"] | None = None
    """In a market with padding rows (`_canonical`): the agent whose row each padding row repeats; agents
    repeat themselves."""

    @staticmethod
    def from_links(
        links: Int[np.ndarray, "links 2"],
        *,
        endowment=1.0,
        value=1.0,
        labels: Sequence[Hashable] | None = None,
        num_agents: int | None = None,
        drop_self_loops: bool = False,
        drop_isolated: bool = False,
    ) -> "Market":
        """The market on these undirected links.

        A link given twice, in either direction, is one link; `market.origin.merged_links` counts them.

        Args:
            links: pairs of agent numbers, 0 … num_agents - 1.
            endowment: mean surplus ε_i per round (units of i's resource), one number or one per agent. What
                has names (a mapping, a pandas Series, an xarray DataArray) is matched by name; a Series that
                is merely numbered 0, 1, … is taken in order.
            value: worth v_i of one unit likewise (value per unit).
            labels: names of the agents, in order; by default their numbers.
            num_agents: by default as many as there are labels, else the largest number plus one.
            drop_self_loops: leave out links of an agent with itself, instead of refusing them.
            drop_isolated: leave out agents without a neighbour, instead of refusing them.

        Returns:
            One market, agents in the order of their numbers.

        Raises:
            ValueError: an empty network; agents out of range; self-loops or isolated agents not asked to
                be dropped; endowments or values that are not finite and positive; names that are missing,
                unknown or given twice.
        """
        links = as_links(links)
        if labels is not None:
            labels = list(labels)
            check_unique("labels", labels, "give every agent a name of its own")
            if num_agents not in (None, len(labels)):
                raise ValueError(f"labels: {len(labels)} names for num_agents={num_agents}; leave one out.")
            num_agents = len(labels)
        num_agents = count_agents(links, num_agents)

        def name_of(i):
            return i if labels is None else labels[i]

        names = range(num_agents) if labels is None else labels
        endowment = as_real("endowment", by_name("endowment", endowment, names), (num_agents,), name_of)
        value = as_real("value", by_name("value", value, names), (num_agents,), name_of)

        loops = links[:, 0] == links[:, 1]
        looped = [name_of(int(i)) for i in np.unique(links[loops, 0])]
        if looped and not drop_self_loops:
            raise ValueError(
                f"links: self-loop(s) at agent {listed(looped)}; an agent cannot give to itself. "
                "Remove them, or pass drop_self_loops=True."
            )
        starts, neighbours, merged = compressed_rows(links[~loops] if looped else links, num_agents)
        degree = np.diff(starts)
        isolated = np.flatnonzero(degree == 0)
        isolated_names = [name_of(i) for i in isolated.tolist()]
        if len(isolated) and not drop_isolated:
            raise ValueError(
                f"links: {len(isolated)} agent(s) have no neighbour ({listed(isolated_names)}) and could "
                "neither give nor receive. Link them, or pass drop_isolated=True."
            )
        if len(isolated):
            kept = np.flatnonzero(degree)
            neighbours = (np.cumsum(degree > 0, dtype=np.int32) - 1)[neighbours]
            starts = np.append(starts[kept], starts[-1])
            labels = [name_of(i) for i in kept.tolist()]
            endowment, value = endowment[kept], value[kept]
        if not len(neighbours):
            raise ValueError("links: the network is empty; a market needs at least one link.")
        origin = Origin(
            labels,
            merged_links=merged,
            dropped_self_loops=looped,
            dropped_isolated=isolated_names,
        )
        market_of, numbers = np.zeros(len(endowment), np.int32), np.zeros(1, np.uint32)
        return assemble_rows(starts, neighbours, endowment, value, market_of, numbers, origin)

    def __repr__(self) -> str:
        several = f", {self.num_markets} markets" if self.num_markets > 1 else ""
        return f"Market({self.num_agents} agents, {self.num_links} links{several})"

    # -- what the caller sees ------------------------------------------------------------------

    @property
    def num_agents(self) -> int:
        return self.market_of.shape[0]

    @property
    def num_markets(self) -> int:
        return self.members.num_rows

    @property
    def num_links(self) -> int:
        """Number of undirected links."""
        return int(np.sum(self._degrees()[: int(np.sum(self.members.lengths))])) // 2

    @property
    def labels(self) -> Sequence[Hashable]:
        """Names of the agents, in order."""
        return range(self.num_agents) if self.origin.labels is None else self.origin.labels

    @property
    def padding(self) -> float:
        """Padded slots per link end stored (0.2 means 20 %)."""
        return self.links.num_slots / (2 * self.num_links) - 1

    @property
    def contribution(self) -> Float[Array, "agents"]:
        """w_i = ε_i v_i, the mean value agent i brings to a round."""
        return self.endowment * self.value

    @property
    def degree(self) -> Int[Array, "agents"]:
        """Number of neighbours."""
        return self.unstored(self.links.lengths)

    def index(self, label: Hashable) -> int:
        """The number of the agent of this name. Raises ValueError if there is none."""
        if self.origin.labels is None:
            if isinstance(label, (int, np.integer)) and 0 <= label < self.num_agents:
                return int(label)
        elif label in self.origin.position:
            return self.origin.position[label]
        raise ValueError(f"agent {short(label)} is not in this market of {self.num_agents} agents.")

    def with_contributions(self, *, endowment=None, value=None) -> "Market":
        """The same network with other endowments or values: one number, one per agent, or with names.

        Names are matched as by `from_links`. Traced arrays are taken as they are, so this may be
        differentiated and vmapped.

        Args:
            endowment: mean surplus ε_i per round (units of i's resource); by default unchanged.
            value: worth v_i of one unit (value per unit); by default unchanged.

        Returns:
            A new market on the same links.

        Raises:
            ValueError: numbers that are not finite and positive, or not one per agent; names that do not
                match.
        """
        market = self
        for field, new in (("endowment", endowment), ("value", value)):
            if new is None:
                continue
            if isinstance(new, jax.core.Tracer):
                new = jnp.broadcast_to(new, (self.num_agents,))
            else:
                new = by_name(field, new, self.labels)
                new = as_real(field, new, (self.num_agents,), lambda i: self.labels[i])
                check_positive(field, new, lambda i: self.labels[i])
            market = eqx.tree_at(lambda m, field=field: getattr(m, field), market, new)
        return market

    def bare(self) -> "Market":
        """This market without its names, as compiled code sees it."""
        return dataclasses.replace(self, origin=Origin())

    @entry(remedy="take it of a market of plain numbers")
    def fingerprint(self) -> str:
        """A short hash of links, endowments and values: equal markets, equal fingerprints."""
        digest = hashlib.sha256()
        for part in (*self.arcs(), self.endowment, self.value, self.market_of):
            digest.update(np.ascontiguousarray(part).tobytes())
        return digest.hexdigest()[:16]

    # -- totals per market ---------------------------------------------------------------------

    def total(self, x: Shaped[Array, "agents"]) -> Shaped[Array, "markets"]:
        """Σ over the agents of each market."""
        # Computed first, because XLA may otherwise fuse a product with the sum, and round differently
        # depending on the shapes.
        return self._per_market(jnp.add, written(by_name("x", x, self.labels)), 0)

    def smallest(self, x: Float[Array, "agents"]) -> Float[Array, "markets"]:
        """The least over the agents of each market."""
        return self._per_market(jnp.minimum, x, jnp.inf)

    def largest(self, x: Float[Array, "agents"]) -> Float[Array, "markets"]:
        """The greatest over the agents of each market."""
        return self._per_market(jnp.maximum, x, -jnp.inf)

    @float64_on_host
    def _per_market(self, combine, x, fill):
        return over_ranges(self.members, combine, x, fill)

    # -- storage: the engine's side ------------------------------------------------------------

    @float64_on_host
    def stored(self, x: Shaped[Array, "agents"]) -> Shaped[Array, "agents"]:
        """A vector over agents, from the caller's order to the order of storage."""
        return x[self.links.order]

    @float64_on_host
    def unstored(self, x: Shaped[Array, "agents"]) -> Shaped[Array, "agents"]:
        """A vector over agents, from the order of storage to the caller's."""
        return x[self.links.place]

    @float64_on_host
    def mirror(self, flow: Shaped[Array, "slots"]) -> Shaped[Array, "slots"]:
        """For every slot (i, j) what stands in slot (j, i): given becomes received."""
        return flow[self.reverse]

    @float64_on_host
    def gave(self, flow: Float[Array, "slots"]) -> Float[Array, "agents"]:
        """Σ_j y_ij: the value each agent gave away."""
        return self.unstored(over_slots(self.links, jnp.add, flow))

    @float64_on_host
    def received(self, flow: Float[Array, "slots"]) -> Float[Array, "agents"]:
        """u_j = Σ_i y_ij: the value each agent received, its utility."""
        return self.unstored(over_slots(self.links, jnp.add, self.mirror(flow)))

    @float64_on_host
    def equal_flow(self) -> Float[Array, "slots"]:
        """The flow in which everybody splits its contribution equally: y_ij = w_i / deg(i)."""
        share = self.stored(self.contribution) / self.links.lengths
        rows = zip(blocks(self.links), self.links.row_blocks(share), strict=True)
        return joined(self.links, [namespace(x).where(block.is_entry, x, 0) for block, x in rows])

    # -- flows in the caller's terms -----------------------------------------------------------

    def arcs(self) -> tuple[np.ndarray, np.ndarray]:
        """Both directions of every link as (giver, receiver) numbers, ordered by giver, then receiver."""
        giver, receiver, _ = self._arc_slots()
        return giver, receiver

    def arc_values(self, flow: Shaped[np.ndarray, "slots"]) -> Shaped[np.ndarray, "arcs"]:
        """The flow on every arc, in the order of `arcs` (value; divide by the giver's v for units)."""
        return namespace(flow).asarray(flow)[self._arc_slots()[2]]

    def flow_from_arcs(self, values: Float[np.ndarray, "arcs"]) -> Float[np.ndarray, "slots"]:
        """The flow with these values on the arcs, in the order of `arcs`."""
        slots = self._arc_slots()[2]
        flow = np.zeros(self.links.num_slots, np.float64)
        flow[slots] = as_real("flow", unlabelled("flow", values), slots.shape)
        return flow

    @entry(remedy="take it of a flow that is computed")
    def allocation(self, flow: Shaped[np.ndarray, "slots"]) -> "scipy.sparse.csr_array":
        """The matrix x_ij = y_ij / v_i: what agent i gives to j, in units of i's resource (rows sum to ε_i).

        With it the utilities of the literature are u_j = Σ_p x_pj v_p, `value @ allocation`.
        """
        giver, receiver = self.arcs()
        units = self.arc_values(flow) / np.asarray(self.value)[giver]
        return scipy.sparse.csr_array((units, (giver, receiver)), shape=(self.num_agents,) * 2)

    def _arc_slots(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Giver, receiver and slot of every arc; `assemble_rows` stored each row's receivers ascending."""
        slot = entry_slots(self.links)
        giver = np.repeat(np.arange(self.num_agents, dtype=np.int32), self._degrees())
        return giver, np.asarray(self.links.order)[np.asarray(self.links.entries)[slot]], slot

    def _degrees(self) -> Int[np.ndarray, "agents"]:
        return np.asarray(self.links.lengths)[np.asarray(self.links.place)]

    def adjacency(self) -> "scipy.sparse.csr_array":
        """The symmetric 0/1 adjacency matrix, in the caller's order."""
        starts, neighbours = self.neighbour_rows()
        rows = np.ones(len(neighbours), np.int8), neighbours, starts.astype(np.int32)
        return scipy.sparse.csr_array(rows, shape=(self.num_agents, self.num_agents))

    def neighbour_rows(self) -> tuple[np.ndarray, np.ndarray]:
        """Compressed rows of neighbours: agent i's are `neighbours[starts[i]:starts[i + 1]]`, ascending."""
        return np.concatenate([[0], np.cumsum(self._degrees(), dtype=np.int64)]), self.arcs()[1]

    def components(self) -> Int[np.ndarray, "agents"]:
        """The connected component (a number) of each agent."""
        return np.unique(connected_parts(*self.arcs(), self.num_agents), return_inverse=True)[1]


def assemble(
    links: Int[np.ndarray, "links 2"],
    endowment: np.ndarray,
    value: np.ndarray,
    market_of: Int[np.ndarray, "agents"],
    numbers: UInt[np.ndarray, "markets"],
    origin: Origin,
) -> Market:
    """The market on links that are distinct, without self-loops, and reach every agent."""
    starts, neighbours, _ = compressed_rows(links, len(endowment))
    return assemble_rows(starts, neighbours, endowment, value, market_of, numbers, origin)


def assemble_rows(
    starts: Int[np.ndarray, "bounds"],
    neighbours: Int[np.ndarray, "arcs"],
    endowment: np.ndarray,
    value: np.ndarray,
    market_of: Int[np.ndarray, "agents"],
    numbers: UInt[np.ndarray, "markets"],
    origin: Origin,
    rows: Columns | None = None,
) -> Market:
    """The market in which agent i's neighbours are `neighbours[starts[i]:starts[i + 1]]`, ascending.

    `rows` are columns laid out but empty, which decide where links are stored; by default those of `lay_out`.
    """

    def name_of(i):
        return i if origin.labels is None else origin.labels[i]

    check_positive("endowment", endowment, name_of)
    check_positive("value", value, name_of)
    with np.errstate(over="ignore", under="ignore"):
        contribution = endowment * value
    check_fits(CONTRIBUTION, contribution, np.float64, name_of, "rescale them")

    rows = lay_out(starts) if rows is None else rows
    reverse_arc = reverse_arcs(starts, neighbours)
    slot = entry_slots(rows)
    # Rows point at where a neighbour is stored, so that agent vectors need no second look-up.
    rows.entries[slot] = rows.place[neighbours]
    reverse = np.arange(rows.num_slots, dtype=np.int32)
    reverse[slot] = slot[reverse_arc]

    members = listed_by_market(market_of)
    return Market(endowment, value, rows, reverse, members, market_of.astype(np.int32), numbers, origin)


def listed_by_market(market_of: Int[np.ndarray, "agents"]) -> Columns:
    """The agents of each market, a market a row."""
    members = lay_out(np.append(0, np.cumsum(np.bincount(market_of))))
    members.entries[entry_slots(members)] = np.argsort(market_of, kind="stable")
    return dataclasses.replace(members, is_full=members.num_slots == len(market_of))
