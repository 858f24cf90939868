"""Plans: the turns of a round as compiled code runs them, laid out in tables."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int

from cmapjax.market._market import Market
from cmapjax.market._random import draw_per_agent
from cmapjax.runtime._platform import platform
from cmapjax.runtime._types import Array
from cmapjax.schedules._turns import first_conflict, joined_classes

# Rows of a turn are padded to widths a factor of four apart, so that a turn, usually small, has few kernels.
WIDTH_GROWTH = 4
# Plans of markets of up to this many slots are numbers on a GPU, which plays such a market in the time of
# some twenty launches.
NUMBERED_ON_GPU = 4_000_000


class Plan(eqx.Module):
    """The turns of a round as the engine runs them: what `Schedule.plan` returns, to be used for many
    runs."""

    is_everyone: eqx.AbstractVar[bool]
    """Whether all agents act in one turn, so that no tables are needed."""
    shares_receivers: eqx.AbstractVar[bool]
    """Whether two agents of one turn may give to the same neighbour."""
    widths: eqx.AbstractVar[tuple[int, ...]]
    """The widths to which rows are padded, one for each table."""

    def tables(
        self, market: Market, round: Int[Array, ""], key: Array | None
    ) -> tuple[Int[Array, "turns _"], ...]:
        """For each width the agents, by where they are stored, that act in each turn.

        Args:
            round: rounds played before this one.
            key: of the round, for random orders; None for others.

        Returns:
            For each width a table [turns, agents at once], padded with `num_agents`.

        Raises:
            NotImplementedError: all agents act in one turn (`is_everyone`), so that there are no tables.
        """
        raise NotImplementedError

    def acts(self, market: Market, key: Array | None) -> Bool[Array, "agents"] | None:
        """Which agents take part in this round; None if all do that the tables list.

        Args:
            key: of the round, for random participation; None for others.

        Returns:
            One truth value per agent in the caller's order, or None.
        """
        return None


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
    """One agent of each market per turn, in a fresh order every round; or one turn per round."""

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
        if market.repeats is not None:  # padding rows stand behind all agents and have no turn
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
        empty = jnp.full((self.num_turns, market.num_markets), market.num_agents, stored.dtype)
        return tuple(
            empty.at[jnp.where(self.width_of == c, turn, self.num_turns), market_of].set(stored, mode="drop")
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
    """The turns of some rounds as a table of numbers."""

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


# -- laying out turns ----------------------------------------------------------------------------


def seats(market: Market, order: Int[np.ndarray, "agents"]) -> Int[np.ndarray, "agents"]:
    """Each agent's place in the order of its market, from 0."""
    market_of = np.asarray(market.market_of)
    by_market = order[np.argsort(market_of[order], kind="stable")]
    sizes = np.bincount(market_of)
    seat = np.empty(len(order), np.int32)
    seat[by_market] = np.arange(len(order)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    return seat


def width_classes(market: Market) -> tuple[tuple[int, ...], Int[np.ndarray, "agents"]]:
    """The widths for rows of turns, and for each stored agent which of them its row has."""
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
