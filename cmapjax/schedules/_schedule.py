"""Schedules: who acts in which turn of a round.

Agents of the same turn answer at the same time, seeing what earlier turns of the round left behind.
A schedule is planned once per market, on the host; the plan is what compiled code runs.
"""

import abc

import equinox as eqx
import numpy as np
from jaxtyping import Float, Int

from cmapjax.arguments._checks import check_kind, listed
from cmapjax.market._market import Market
from cmapjax.runtime._types import Array, as_parameter
from cmapjax.schedules._plans import EveryonePlan, ParticipationPlan, Plan, order_plan, seats, table_plan
from cmapjax.schedules._turns import (
    LEAST_SPREAD,
    colours,
    even_out,
    precedence_levels,
)


class Schedule(eqx.Module):
    """Who acts when. A schedule of your own implements `plan`, most simply by way of `Turns`."""

    @property
    def is_random(self) -> bool:
        """Whether running it needs a key."""
        return False

    @abc.abstractmethod
    def plan(self, market: Market, hops: int | float = 1) -> Plan:
        """The turns on this market, for strategies that look `hops` far.

        Args:
            hops: how far agents look (`Strategy.hops`). In sequence, agents that look further wait for more.

        Returns:
            The plan that compiled code runs.
        """


# -- schedules -----------------------------------------------------------------------------------


class Simultaneous(Schedule):
    """All agents act at once; each sees the last round only."""

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
    """Agents act one after another; each sees what those before it have done in this round.

    Agents that cannot see each other's rows share a turn: each acts in the earliest turn in which its view is
    the one it would have in sequence. The rows are the same, in far fewer turns.

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
        """The turn of each agent.

        Args:
            hops: as for `plan`.

        Returns:
            One turn per agent, from 0 on.

        Raises:
            ValueError: `order` does not name every agent exactly once.
        """
        order = check_order(self.order, market)
        if hops > 1:  # agents see beyond their neighbours: one turn per agent
            return seats(market, order)
        return precedence_levels(*market.neighbour_rows(), order)


class Coloured(Schedule):
    """Agents act colour by colour; agents of one colour share no receiver and act together.

    Colours are a greedy colouring of the common-receiver graph, which joins agents that have a neighbour in
    common. The rows of two agents of one colour enter different terms of the community's program, so for
    CMAP a coloured round equals a sequential round in the order of colours. Neighbours may share a colour:
    a strategy that looks at its own receipts (proportional response) then sees those of the turn before.
    """

    known_as = ("colored",)

    def plan(self, market, hops=1):
        return table_plan(market, self.turns(market))

    def turns(self, market: Market) -> Int[np.ndarray, "agents"]:
        """The colour of each agent, which is its turn. It does not depend on the other markets of an
        ensemble."""
        colour = colours(*market.neighbour_rows())
        market_of = np.asarray(market.market_of)
        for number in np.flatnonzero(np.bincount(market_of) >= LEAST_SPREAD):
            agents = np.flatnonzero(market_of == number)
            rows = market.adjacency()[agents][:, agents]
            colour[agents] = even_out(rows.indptr.astype(np.int64), rows.indices, colour[agents])
        return colour


class RandomOrder(Schedule):
    """Agents act one after another, in a new random order every round."""

    @property
    def is_random(self):
        return True

    def plan(self, market, hops=1):
        return order_plan(market, np.arange(market.num_agents), is_shuffled=True)


class OneAgentPerRound(Schedule):
    """One agent of each market acts per round, in a fixed cyclic order.

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
    """Another schedule in which every agent takes its turn with a given probability, drawn each round.

    An agent that skips a round repeats its last row.

    Args:
        probability: of taking part, above 0 and at most 1.
        schedule: in which turn those who take part act; simultaneous by default.

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


def check_order(order, market: Market) -> Int[np.ndarray, "agents"]:
    """`order` as an array, None being the agents' own order. Raises ValueError unless it names each once."""
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
