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

from cmapjax.arguments._checks import as_real, check_not_negative, check_positive, short
from cmapjax.arguments._labelled import by_name, unlabelled
from cmapjax.arguments._origin import Origin
from cmapjax.market._columns import Columns, entry_slots
from cmapjax.market._given import read_agents, read_arcs, read_links
from cmapjax.market._laid_out import in_slots, laid_out_links, listed_by_market
from cmapjax.market._numbers import IF_ABSENT, OF_ARCS, check_numbers, renewed_terms, traced_terms
from cmapjax.market._reductions import blocks, joined, over_ranges, over_slots, written
from cmapjax.market._rows import compressed_rows, connected_parts
from cmapjax.runtime._precision import float64_on_host, namespace
from cmapjax.runtime._settings import check_plain, entry
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
    priority: Float[Array, "agents"] | None = None
    """b_i ≥ 0, by what fair shares are measured (value); None: the contribution."""
    demand: Float[Array, "agents"] | None = None
    """D_i ≥ a_i, what an agent can use in all (value); None: unlimited."""
    own_use: Float[Array, "agents"] | None = None
    """a_i ≥ 0, what it has without the others (value); None: 0."""
    capacity: Float[Array, "slots"] | None = None
    """K_ij ≥ 0, the most that i may give to j, laid out as a flow (value); None: unlimited."""
    efficiency: Float[Array, "slots"] | None = None
    """e_ij > 0, what arrives of a unit, laid out as a flow; None: 1."""
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
        priority=None,
        demand=None,
        own_use=None,
        capacity=None,
        efficiency=None,
        directed: bool = False,
    ) -> "Market":
        """The market on these links, by default undirected.

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
            priority: b_i ≥ 0, by what an agent's fair share is measured (value), given as endowments are; by
                default its contribution. An agent of priority 0 receives nothing.
            demand: D_i ≥ 0, what an agent can use in all, own use included (value); by default unlimited.
                What it receives beyond is worth nothing.
            own_use: a_i ≥ 0, what it has without the others (value); by default 0. It counts as received.
            capacity: K ≥ 0, the most that can be given along a link in a round (value, as sent): one number,
                or one per link, which holds in each direction; by default unlimited.
            efficiency: e > 0, what arrives of a unit given along a link, likewise; by default 1.
            directed: each row of `links` is one arc, from its first agent to its second, with its own
                capacity and efficiency; a link both ways is two rows.

        Returns:
            One market, agents in the order of their numbers.

        Raises:
            ValueError: an empty network; agents out of range; self-loops or isolated agents not asked to
                be dropped; endowments or values that are not finite and positive; other fields out of
                their range, or a demand below own use; names that are missing, unknown or given twice; links
                given twice with different capacities or efficiencies.
        """
        found = read_links(
            links, labels, num_agents, directed, drop_self_loops=drop_self_loops, drop_isolated=drop_isolated
        )
        arcs = {
            "capacity": read_arcs("capacity", capacity, found, directed=directed, otherwise=0.0),
            "efficiency": read_arcs("efficiency", efficiency, found, directed=directed, otherwise=1.0),
        }
        if directed and capacity is None:
            one_way = read_arcs("capacity", np.inf, found, directed=True, otherwise=0.0)
            arcs["capacity"] = None if np.all(one_way == np.inf) else one_way
        agents = {"endowment": endowment, "value": value, "priority": priority}
        agents |= {"demand": demand, "own_use": own_use}
        fields = {k: read_agents(k, x, found) for k, x in agents.items() if x is not None}
        fields |= {k: x for k, x in arcs.items() if x is not None}
        market_of, numbers = np.zeros(len(found.kept), np.int32), np.zeros(1, np.uint32)
        return assemble_rows(found.starts, found.neighbours, fields, market_of, numbers, found.origin)

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
    def terms(self) -> tuple[str, ...]:
        """The fields beyond endowment and value that this market has: of priority, demand, own_use, capacity
        and efficiency."""
        return tuple(name for name in IF_ABSENT if getattr(self, name) is not None)

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
                check = check_not_negative if field == "endowment" and self.terms else check_positive
                check(field, new, lambda i: self.labels[i])
            market = eqx.tree_at(lambda m, field=field: getattr(m, field), market, new)
        return market

    def with_terms(self, **terms) -> "Market":
        """The same network with other priorities, demands, own use, capacities or efficiencies.

        Traced arrays are taken as they are, one number per agent or arc, so this may be differentiated.

        Args:
            **terms: priority, demand and own_use as `from_links` takes them; capacity and efficiency as one
                number, or one for each arc, in the order of `arcs`. None removes a field.

        Returns:
            A new market on the same links.

        Raises:
            ValueError: no such field; numbers out of their range; plain numbers in a market that is traced.
        """
        traced = {name: x for name, x in terms.items() if isinstance(x, jax.core.Tracer)}
        market, plain = self, {name: x for name, x in terms.items() if name not in traced}
        if plain:
            check_plain("with_terms", (self, plain), "make the market before, or give traced numbers")
            market = dataclasses.replace(self, **renewed_terms(self, self._arc_slots()[2], plain))
        return dataclasses.replace(market, **traced_terms(market, traced))

    def bare(self) -> "Market":
        """This market without its names, as compiled code sees it."""
        return dataclasses.replace(self, origin=Origin())

    @entry(remedy="take it of a market of plain numbers", any_market=True)
    def fingerprint(self) -> str:
        """A short hash of links and numbers: equal markets, equal fingerprints."""
        digest = hashlib.sha256()
        fields = {name: getattr(self, name) for name in self.terms}
        terms = [self.arc_values(x) if name in OF_ARCS else x for name, x in fields.items()]
        for part in (*self.arcs(), self.endowment, self.value, self.market_of, *terms):
            digest.update(np.ascontiguousarray(part).tobytes())
        digest.update(" ".join(self.terms).encode())
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

    @float64_on_host(any_market=True)
    def _per_market(self, combine, x, fill):
        return over_ranges(self.members, combine, x, fill)

    # -- storage: the engine's side ------------------------------------------------------------

    @float64_on_host(any_market=True)
    def stored(self, x: Shaped[Array, "agents"]) -> Shaped[Array, "agents"]:
        """A vector over agents, from the caller's order to the order of storage."""
        return x[self.links.order]

    @float64_on_host(any_market=True)
    def unstored(self, x: Shaped[Array, "agents"]) -> Shaped[Array, "agents"]:
        """A vector over agents, from the order of storage to the caller's."""
        return x[self.links.place]

    @float64_on_host(any_market=True)
    def mirror(self, flow: Shaped[Array, "slots"]) -> Shaped[Array, "slots"]:
        """For every slot (i, j) what stands in slot (j, i): given becomes received."""
        return flow[self.reverse]

    @float64_on_host(any_market=True)
    def gave(self, flow: Float[Array, "slots"]) -> Float[Array, "agents"]:
        """Σ_j y_ij: the value each agent gave away."""
        return self.unstored(over_slots(self.links, jnp.add, flow))

    @float64_on_host(any_market=True)
    def received(self, flow: Float[Array, "slots"]) -> Float[Array, "agents"]:
        """u_j = a_j + Σ_i e_ij y_ij: the value each agent has received, its utility."""
        arriving = flow if self.efficiency is None else flow * self.efficiency
        total = self.unstored(over_slots(self.links, jnp.add, self.mirror(arriving)))
        return total if self.own_use is None else total + self.own_use

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

    @entry(remedy="take it of a flow that is computed", any_market=True)
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


def assemble(links: Int[np.ndarray, "links 2"], fields: dict[str, np.ndarray], *rest) -> Market:
    """`assemble_rows` of links that are distinct, without self-loops, and reach every agent."""
    starts, neighbours, _ = compressed_rows(links, len(fields["endowment"]))
    return assemble_rows(starts, neighbours, fields, *rest)


def assemble_rows(
    starts: Int[np.ndarray, "bounds"],
    neighbours: Int[np.ndarray, "arcs"],
    fields: dict[str, np.ndarray],
    market_of: Int[np.ndarray, "agents"],
    numbers: UInt[np.ndarray, "markets"],
    origin: Origin,
    rows: Columns | None = None,
) -> Market:
    """The market in which agent i's neighbours are `neighbours[starts[i]:starts[i + 1]]`, ascending.

    Args:
        fields: endowment, value and those of `IF_ABSENT` that there are, of agents, or of arcs in the order
            of the rows.
        rows: columns laid out but empty, which decide where links are stored; by default those of `lay_out`.
    """
    check_numbers(fields, starts, neighbours, origin)
    rows, reverse, slot = laid_out_links(starts, neighbours, rows)
    arcs = {name: in_slots(rows, slot, fields[name]) for name in OF_ARCS if name in fields}
    return Market(
        **(fields | arcs),
        links=rows,
        reverse=reverse,
        members=listed_by_market(market_of),
        market_of=market_of.astype(np.int32),
        numbers=numbers,
        origin=origin,
    )
