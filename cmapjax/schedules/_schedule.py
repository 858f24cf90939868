"""Schedules: who acts in which turn of a round.

Agents of the same turn answer at the same time, seeing what earlier turns of the round left behind.
A schedule is planned once per market, on the host; the plan is what compiled code runs.
"""

import abc

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int

from cmapjax.arguments._checks import check_kind, listed
from cmapjax.market._market import Market
from cmapjax.market._random import draw_per_agent
from cmapjax.runtime._platform import platform
from cmapjax.runtime._types import Array, as_parameter
from cmapjax.schedules._turns import (
    LEAST_SPREAD,
    colours,
    even_out,
    first_conflict,
    joined_classes,
    precedence_levels,
)

# Rows of a turn are padded to widths a factor of four apart: few kernels, since most turns are small.
WIDTH_GROWTH = 4
# Up to so many slots, which a GPU plays in the time of some twenty launches.
NUMBERED_ON_GPU = 4_000_000


class Plan(eqx.Module):
    """Turns of a round as the engine runs them."""

    is_everyone: eqx.AbstractVar[bool]
    """Whether all agents act in one turn, so that no tables are needed."""
    shares_receivers: eqx.AbstractVar[bool]
    """Whether two agents of one turn may give to the same neighbour."""
    widths: eqx.AbstractVar[tuple[int, ...]]

    def tables(
        self, market: Market, round: Int[Array, ""], key: Array | None
    ) -> tuple[Int[Array, "turns _"], ...]:
        """For each width, the agents (where stored) acting in each turn; `num_agents` is nobody."""
        raise NotImplementedError

    def acts(self, market: Market, key: Array | None) -> Bool[Array, "agents"] | None:
        """Which agents take part this round; None when all on the tables do."""
        return None


class Schedule(eqx.Module):
    """Who acts when. A schedule of your own implements `plan`, most simply by way of `Turns`."""

    @property
    def is_random(self) -> bool:
        """Whether running it needs a key."""
        return False

    @abc.abstractmethod
    def plan(self, market: Market, hops: int | float = 1) -> Plan:
        """The turns on this market, for strategies that look `hops` far."""


# -- plans ---------------------------------------------------------------------------------------


class EveryonePlan(Plan):
    """All agents in one turn."""

    is_everyone = True
    shares_receivers = True
    widths = ()


class TablePlan(Plan):
    """The same turns every round."""

    rows: tuple[Int[Array, "turns _"], ...]
    widths: tuple[int, ...] = eqx.field(static=True)
    shares_receivers: bool = eqx.field(static=True)
    is_everyone = False

    def tables(self, market, round, key):
        return self.rows

    def turn_of(self, num_agents: int) -> Int[np.ndarray, "agents"]:
        """The turn of every agent, in the order of storage; -1 if it has none."""
        turn = np.full(num_agents, -1, np.int32)
        for table in map(np.asarray, self.rows):
            number, column = np.nonzero(table < num_agents)
            turn[table[number, column]] = number
        return turn


class OrderPlan(Plan):
    """One agent of each market per turn; the order fresh every round, or one turn per round."""

    seat: Int[Array, "agents"]
    """The agent's place in its market's order, in the caller's order of agents."""
    width_of: Int[Array, "agents"]
    num_turns: int = eqx.field(static=True)
    widths: tuple[int, ...] = eqx.field(static=True)
    is_shuffled: bool = eqx.field(static=True)
    is_everyone = False
    shares_receivers = False

    def tables(self, market, round, key):
        sizes = jnp.asarray(market.members.lengths)[market.members.place]
        market_of = group = jnp.asarray(market.market_of)
        seat = jnp.asarray(self.seat)
        agents = jnp.arange(market.num_agents, dtype=seat.dtype)
        if market.repeats is not None:  # padding rows come after all agents, and have no turn
            group = jnp.where(market.repeats == agents, market_of, market.num_markets)
        if self.is_shuffled:
            drawn = draw_per_agent(key, market, jax.random.uniform)
            order = jnp.lexsort((drawn, group))
            first = jnp.cumsum(sizes) - sizes
            turn = jnp.zeros_like(seat).at[order].set(agents - first[market_of[order]], unique_indices=True)
        else:
            current = (round % sizes).astype(seat.dtype)[market_of]
            turn = jnp.where(seat == current, 0, self.num_turns)
        if market.repeats is not None:
            turn = jnp.where(group == market_of, turn, self.num_turns)
        stored = jnp.asarray(market.links.place)
        nobody = jnp.full((self.num_turns, market.num_markets), market.num_agents, stored.dtype)
        return tuple(
            nobody.at[jnp.where(self.width_of == c, turn, self.num_turns), market_of].set(stored, mode="drop")
            for c in range(len(self.widths))
        )


class ParticipationPlan(Plan):
    """Another plan in which every agent takes part with a given probability."""

    base: Plan
    probability: Float[Array, ""]

    @property
    def is_everyone(self):
        return self.base.is_everyone

    @property
    def shares_receivers(self):
        return self.base.shares_receivers

    @property
    def widths(self):
        return self.base.widths

    def tables(self, market, round, key):
        return self.base.tables(market, round, jax.random.fold_in(key, 0))

    def acts(self, market, key):
        coin = draw_per_agent(jax.random.fold_in(key, 1), market, jax.random.uniform)
        acting = coin < self.probability
        others = self.base.acts(market, jax.random.fold_in(key, 2))
        return acting if others is None else acting & others


class TurnTable(Plan):
    """The turns of some rounds, as numbers."""

    turns: Int[Array, "rounds agents"]
    """The turn of every agent in every round, in the order of storage; -1 where it takes no part."""
    lengths: Int[Array, "rounds"]
    """How many turns a round has."""
    first: Int[Array, ""]
    """The round (as counted before it) that the first row is of."""
    num_turns: int | None = eqx.field(static=True, default=None)
    """How many turns every round has, if all rounds are as the one row says."""
    is_everyone = False
    shares_receivers = True
    widths = ()

    def of_round(self, round: Int[Array, ""]) -> tuple[Int[Array, "agents"], int | Int[Array, ""]]:
        """Of a round the turn of every agent, and the number of turns."""
        if self.num_turns is not None:
            return jnp.asarray(self.turns[0]), self.num_turns
        turns, length = (
            jax.lax.dynamic_index_in_dim(x, round - self.first, keepdims=False)
            for x in (self.turns, self.lengths)
        )
        return turns, length


# -- schedules -----------------------------------------------------------------------------------


class Simultaneous(Schedule):
    """Everybody at once, each seeing only last round."""

    def plan(self, market, hops=1):
        return EveryonePlan()


class Turns(Schedule):
    """Any turns: `turn[i]` is the turn of agent i, 0, 1, 2, …; agents of one turn act together.

    Raises:
        ValueError: on planning, if there is not one whole number ≥ 0 per agent of the market.
    """

    turn: Int[Array, "agents"] = eqx.field(converter=np.asarray)

    def plan(self, market, hops=1):
        turn = np.asarray(self.turn)
        if turn.shape != (market.num_agents,) or turn.dtype.kind not in "iu" or turn.min() < 0:
            raise ValueError(
                f"turn has shape {turn.shape} and dtype {turn.dtype}; give one whole number ≥ 0 for each "
                f"of the {market.num_agents} agents."
            )
        return table_plan(market, turn)


class Sequential(Schedule):
    """One after another, each seeing what those before it have done this round.

    Planned as the earliest turns that leave every agent's view as it would be in sequence (an agent
    waits for those before it whose rows it can see), which gives the same rows in far fewer turns.

    Args:
        order: the agents' numbers in the order in which they act; by default their own order. In an
            ensemble only the order within each market matters.

    Raises:
        ValueError: on planning, if `order` does not name every agent exactly once.
    """

    order: Int[Array, "agents"] | None = eqx.field(
        converter=lambda x: None if x is None else np.asarray(x), default=None
    )

    def plan(self, market, hops=1):
        return table_plan(market, self.turns(market, hops))

    def turns(self, market: Market, hops: int | float = 1) -> Int[np.ndarray, "agents"]:
        """The turn of each agent."""
        order = check_order(self.order, market)
        if hops > 1:  # agents see far: keep one turn per agent
            return seats(market, order)
        return precedence_levels(*market.neighbour_rows(), order)


class Coloured(Schedule):
    """Colour after colour: agents that share no receiver act together.

    A greedy colouring of the common-receiver graph (agents are joined when they have a neighbour in
    common). Agents of one colour do not touch each other's terms of the community's program, so for
    CMAP a coloured round equals a sequential round in the order of colours. Adjacent agents may share
    a colour: a strategy that looks at its own receipts (proportional response) sees last turn's.
    """

    known_as = ("colored",)

    def plan(self, market, hops=1):
        return table_plan(market, self.turns(market))

    def turns(self, market: Market) -> Int[np.ndarray, "agents"]:
        """The colour of each agent, which is its turn; the same packed as alone."""
        colour = colours(*market.neighbour_rows())
        market_of = np.asarray(market.market_of)
        for number in np.flatnonzero(np.bincount(market_of) >= LEAST_SPREAD):
            agents = np.flatnonzero(market_of == number)
            rows = market.adjacency()[agents][:, agents]
            colour[agents] = even_out(rows.indptr.astype(np.int64), rows.indices, colour[agents])
        return colour


class RandomOrder(Schedule):
    """One after another, in a fresh random order every round."""

    @property
    def is_random(self):
        return True

    def plan(self, market, hops=1):
        return order_plan(market, np.arange(market.num_agents), is_shuffled=True)


class OneAgentPerRound(Schedule):
    """The slow clock: in each round one agent of each market acts, in a fixed cyclic order.

    Args:
        order: as for `Sequential`.
    """

    known_as = ("one-agent",)

    order: Int[Array, "agents"] | None = eqx.field(
        converter=lambda x: None if x is None else np.asarray(x), default=None
    )

    def plan(self, market, hops=1):
        return order_plan(market, check_order(self.order, market), is_shuffled=False)


class RandomParticipation(Schedule):
    """Another schedule in which an agent takes its turn only with some probability each round.

    An agent that skips a round gives as it gave before.

    Args:
        probability: of taking part, above 0 and at most 1.
        schedule: simultaneous by default.

    Raises:
        ValueError: a probability out of range.
    """

    known_as = ("participation",)

    probability: Float[Array, ""] = eqx.field(converter=as_parameter)
    schedule: Schedule = eqx.field(default_factory=Simultaneous)

    def __check_init__(self):
        check_kind("schedule", self.schedule, Schedule, "Sequential()")
        p = self.probability
        if isinstance(p, np.ndarray) and not (p.dtype.kind in "if" and np.all((p > 0) & (p <= 1))):
            raise ValueError(f"probability is {p}; give a number above 0 and at most 1.")

    @property
    def is_random(self):
        return True

    def plan(self, market, hops=1):
        return ParticipationPlan(self.schedule.plan(market, hops), self.probability)


# -- laying out turns ----------------------------------------------------------------------------


def check_order(order, market: Market) -> Int[np.ndarray, "agents"]:
    """`order` as an array; raises ValueError unless it names every agent once. None: their own order."""
    if order is None:
        return np.arange(market.num_agents)
    order = np.asarray(order)
    missing = np.setdiff1d(np.arange(market.num_agents), order) if order.dtype.kind in "iu" else [0]
    if order.shape != (market.num_agents,) or len(missing):
        raise ValueError(
            f"order must name each of the {market.num_agents} agents exactly once, by number; "
            f"missing: {listed(missing)}."
        )
    return order


def seats(market: Market, order: Int[np.ndarray, "agents"]) -> Int[np.ndarray, "agents"]:
    """Each agent's place in the order of its own market."""
    market_of = np.asarray(market.market_of)
    by_market = order[np.argsort(market_of[order], kind="stable")]
    sizes = np.bincount(market_of)
    seat = np.empty(len(order), np.int32)
    seat[by_market] = np.arange(len(order)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    return seat


def width_classes(market: Market) -> tuple[tuple[int, ...], Int[np.ndarray, "agents"]]:
    """Widths for rows of turns, and which of them each agent (in storage) uses."""
    lengths = np.asarray(market.links.lengths)
    exponent = np.ceil(np.log(np.maximum(lengths, WIDTH_GROWTH)) / np.log(WIDTH_GROWTH) - 1e-9)
    exponents, class_of = np.unique(exponent.astype(int), return_inverse=True)
    widths = np.minimum(WIDTH_GROWTH**exponents, market.links.shapes[-1][0])
    return tuple(int(w) for w in widths), class_of


def table_plan(market: Market, turn: Int[np.ndarray, "agents"]) -> TablePlan:
    """The plan in which agent i acts in turn `turn[i]`, empty turns left out."""
    turn = np.unique(turn, return_inverse=True)[1]
    widths, class_of = width_classes(market)
    stored_turn = turn[np.asarray(market.links.order)]
    filled = [np.bincount(stored_turn[class_of == c], minlength=turn.max() + 1) for c in range(len(widths))]
    widths, group_of = joined_classes(widths, np.array(filled))
    class_of, tables = group_of[class_of], []
    for c in range(len(widths)):
        agents = np.flatnonzero(class_of == c)
        agents = agents[np.argsort(stored_turn[agents], kind="stable")]
        counts = np.bincount(stored_turn[agents], minlength=turn.max() + 1)
        column = np.arange(len(agents)) - np.repeat(np.cumsum(counts) - counts, counts)
        table = np.full((len(counts), counts.max()), market.num_agents, np.int32)
        table[stored_turn[agents], column] = agents
        tables.append(table)
    conflict = first_conflict(*market.neighbour_rows(), turn)
    return TablePlan(tuple(tables), widths, conflict is not None)


def suited(plan: Plan, market: Market) -> Plan:
    """The plan in the form that suits the device.

    On a GPU a turn of a table is some kernels for every width of rows, and a conditional around them that
    the CPU must decide. Unless the market is large it takes less time if all answer in every turn and those
    act whose turn it is.
    """
    if platform() != "gpu" or type(plan) is not TablePlan or market.links.num_slots > NUMBERED_ON_GPU:
        return plan
    turns = len(plan.rows[0])
    of_agents = plan.turn_of(market.num_agents)[None]
    return TurnTable(of_agents, np.array([turns], np.int32), np.int64(0), num_turns=turns)


def order_plan(market: Market, order: Int[np.ndarray, "agents"], is_shuffled: bool) -> OrderPlan:
    """One agent of each market per turn, in this order (or shuffled every round)."""
    widths, class_of = width_classes(market)
    largest = int(np.bincount(np.asarray(market.market_of)).max())
    return OrderPlan(
        seats(market, order),
        class_of[np.asarray(market.links.place)].astype(np.int32),
        largest if is_shuffled else 1,
        widths,
        is_shuffled,
    )
