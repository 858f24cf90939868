"""The equilibrium, the central optimum of a market, with its certificate."""

import abc
import dataclasses
import math
from fractions import Fraction
from typing import ClassVar

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int

from cmapjax import metrics
from cmapjax.arguments._checks import short
from cmapjax.market._certificate import certified_gap_of_flow, spending_error
from cmapjax.market._market import Market
from cmapjax.market._numbers import OF_AGENTS
from cmapjax.market._reductions import over_entries
from cmapjax.runtime._precision import float64_on_host
from cmapjax.runtime._types import Array

RESULTS = ("solved", "iterations ran out")


class Groups(eqx.Module):
    """Who exchanges with whom at the equilibrium.

    A *group* consists of all givers and receivers of one ratio in one market: its givers give to its
    receivers only, and agents that give in the group of ratio λ receive in that of ratio 1/λ. Groups are
    numbered by market, then by ratio. A *block* is a connected part of a group: its ratio depends on its own
    contributions only.
    """

    gives_in: Int[Array, "agents"]
    """The group in which an agent gives."""
    receives_in: Int[Array, "agents"]
    """The group in which it receives."""
    gives_in_block: Int[Array, "agents"]
    """The block in which it gives, named by the block's first receiver."""
    receives_in_block: Int[Array, "agents"]
    ratio: Float[Array, "groups"]
    """λ = (contributions of the givers) / (contributions of the receivers), of groups and of blocks."""
    market: Int[Array, "groups"]

    @property
    def num_groups(self) -> int:
        return self.ratio.shape[0]

    def members(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """The receivers and the givers of each group, as agent numbers."""
        sides = []
        for group in (self.receives_in, self.gives_in):
            order = np.argsort(group, kind="stable")
            sides.append(np.split(order, np.searchsorted(group[order], np.arange(1, self.num_groups))))
        return list(zip(*sides, strict=True))

    def pairs(self) -> list[tuple[int, np.ndarray, np.ndarray]]:
        """The groups of ratio α ≤ 1 with their receivers B and givers C, by market and ratio.

        B receives from C only, and C from B only, in the group of ratio 1/α, which is left out. If α = 1, B
        and C are the same agents. (Groups are numbered by their exact ratios, so that two groups whose ratios
        round to 1 from below and above are told apart.)
        """
        return [
            (number, receivers, givers)
            for number, (receivers, givers) in enumerate(self.members())
            if self.receives_in[givers[0]] >= number
        ]


@dataclasses.dataclass(frozen=True)
class Fractions:
    """An equilibrium in exact fractions, verified in integers."""

    utility: tuple[Fraction, ...]
    ratio: tuple[Fraction, ...]
    flow: tuple[Fraction, ...]
    """y_ij on every arc, in the order of `Market.arcs`."""
    level: tuple[Fraction | float, ...] | None = None
    """`Settlement.level`; inf is a float. None in markets of endowments and values."""


class Settlement(eqx.Module):
    """What else the equilibrium settles in a market with priorities, demands, own use or capacities."""

    counts: Bool[Array, "agents"]
    """Whose utility the welfare counts: who has a priority and a demand, and own use or somebody to give."""
    is_satisfied: Bool[Array, "agents"]
    """Which of these have all that they can use."""
    level: Float[Array, "agents"]
    """L_j: u_j = L_j b_j, but for those whose demand is less or whose own use is more; inf where givers
    of the satisfied have more than these can use."""
    receiver_price: Float[Array, "agents"]
    """ρ_j = L_j^−α, what a unit is worth where j receives it; 0 of agents that do not count. With α = ∞, the
    prices of the logarithm in the market without losses, which support the same flow."""
    claim: Float[Array, "agents"]
    """β_j ≤ b_j, the priority with which j would receive its demand if it had none."""
    rent: Float[Array, "slots"]
    """ρ_j − q_i of full links, what another unit of their capacity would be worth; else 0."""
    kept: Float[Array, "agents"]
    """What each agent has left that nobody can use or reach (value)."""


class Equilibrium(eqx.Module):
    """The fair and stable allocation of a market. Arrays are NumPy's, float64.

    Utilities, ratios and prices are unique; the allocation is one of many that support them.
    """

    utility: Float[Array, "agents"]
    """u*_j, value received: at least 2.2e-308, the smallest number that float64 holds in full."""
    ratio: Float[Array, "agents"]
    """r*_j = u*_j / w_j, value received per value contributed."""
    price: Float[Array, "agents"]
    """q_i = max_{j ∈ N_i} w_j / u_j, the price of one unit of value that agent i gives (equals r*_i);
    one unit of its resource costs v_i q_i."""
    flow: Float[Array, "slots"]
    """A supporting y*_ij, in the market's own layout (`Market.arc_values` reads it)."""
    log_nash_welfare: Float[Array, "markets"]
    """Σ w_j log r*_j / W."""
    gap: Float[Array, "markets"]
    """The certified gap: the log Nash welfare of the true optimum is at most this much higher."""
    price_error: Float[Array, "markets"]
    """max_i |q_i / r_i − 1|, with q and r of the utilities that the flow delivers: 0 exactly at the
    equilibrium, and near it about the relative error of those utilities. (The gap is of second order in it: a
    gap of 1e-10 leaves utilities uncertain by 1e-5.) In markets with other terms, the most by which a unit
    could earn more on another link of its giver, in parts of that."""
    spending_error: Float[Array, "markets"]
    """The worst violation of feasibility by the flow, as a share of the agent's contribution."""
    iterations: Int[Array, ""]
    """How many steps the method took: sweeps, rounds or maximum flows."""
    result: Int[Array, "markets"]
    """A place in `RESULTS`."""
    mean_ratio: Float[Array, "markets"] | None = None
    """M_α = (Σ b_j r_j^(1−α) / B)^(1/(1−α)) with counted ratios û_j / b_j, the mean that fairness α makes as
    large as possible: geometric if α = 1, the least if α = ∞. None in markets of endowments and values that
    are solved with α = 1, where it is exp(log_nash_welfare)."""
    groups: Groups | None = None
    """Who exchanges with whom; None from methods that are not exact."""
    settlement: Settlement | None = None
    """Levels, claims, rents and what is kept, in markets with other terms than endowment and value."""
    exact: Fractions | None = eqx.field(static=True, default=None)
    """The equilibrium in fractions, from `solve(market, exact=True)`; else None."""

    @property
    def is_solved(self) -> bool:
        """Whether every market's gap reached the tolerance."""
        return bool(np.all(np.asarray(self.result) == 0))

    def to_frame(self, market: Market):
        """The equilibrium as a pandas DataFrame, a row per agent.

        Columns: market (its number), agent (its label), contribution w_j, utility u*_j (value received),
        ratio r*_j, price q_j; of the exact methods also gives_in and receives_in, of `groups`; in markets
        with other terms those of agents, and level, receiver_price, claim and kept, of `settlement`.

        Args:
            market: whose equilibrium it is.

        Returns:
            Rows in the market's order.

        Raises:
            ValueError: a market with another number of agents.
        """
        import pandas as pd

        if len(self.utility) != market.num_agents:
            raise ValueError(
                f"market: the equilibrium is of {len(self.utility)} agents, this market has "
                f"{market.num_agents}; give the market that was solved."
            )
        labels = np.empty(market.num_agents, object)
        labels[:] = list(market.labels)
        columns = {
            "market": np.asarray(market.market_of),
            "agent": labels,
            "contribution": np.asarray(market.contribution),
            "utility": self.utility,
            "ratio": self.ratio,
            "price": self.price,
        }
        if self.groups is not None:
            columns |= {"gives_in": self.groups.gives_in, "receives_in": self.groups.receives_in}
        if self.settlement is not None:
            of_agents = [name for name in market.terms if name in OF_AGENTS]
            columns |= {name: np.asarray(getattr(market, name)) for name in of_agents}
            settled = ("level", "receiver_price", "claim", "kept")
            columns |= {name: getattr(self.settlement, name) for name in settled}
        return pd.DataFrame(columns)


class Method(eqx.Module):
    """A method of finding the equilibrium. One of your own implements `solve`."""

    counts: ClassVar[str] = "steps"
    """What `Equilibrium.iterations` counts."""
    remedy: ClassVar[str] = ""
    """What to do if it stops too early, ending in the name of a field; nothing if it never does."""

    @abc.abstractmethod
    def solve(self, market: Market, tolerance: float) -> Equilibrium:
        """The equilibrium to a certified gap of at most `tolerance`, or as near as the method came.

        Args:
            tolerance: on the certified gap (a logarithm).

        Returns:
            The equilibrium, whose `result` says for each market whether the gap reached the tolerance.
        """


def equilibrium_of_flow(market: Market, flow, tolerance, iterations) -> Equilibrium:
    """An allocation as an approximate equilibrium: the utilities, prices and certificate of this flow."""
    utility = market.received(flow)
    gap = certified_gap_of_flow(market, flow)
    return Equilibrium(
        utility=utility,
        ratio=metrics.ratio(market, utility),
        price=prices(market, utility),
        flow=flow,
        log_nash_welfare=metrics.log_nash_welfare(market, utility),
        gap=gap,
        price_error=price_error(market, utility),
        spending_error=spending_error(market, flow),
        iterations=iterations,
        result=(gap > tolerance).astype(jnp.int32),
    )


@float64_on_host
def prices(market: Market, utility: Float[Array, "agents"]) -> Float[Array, "agents"]:
    """q_i = max_{j ∈ N_i} w_j / u_j, the price that agent i's poorest neighbour pays for a unit of its
    value."""
    inverse = 1 / market.stored(metrics.ratio(market, utility))
    return market.unstored(over_entries(market.links, jnp.maximum, inverse, -np.inf))


@float64_on_host
def price_error(market: Market, utility: Float[Array, "agents"]) -> Float[Array, "markets"]:
    """max_i |q_i / r_i − 1| of each market: 0 at the equilibrium, about the error of utilities near it."""
    return market.largest(abs(prices(market, utility) / metrics.ratio(market, utility) - 1))


def check_representable(market: Market, ratio: Float[np.ndarray, "agents"]) -> None:
    """Raise ValueError if a utility lies below what float64 holds in full, naming the agent. On the host."""
    contribution, tiny = np.asarray(market.contribution), np.finfo(np.float64).tiny
    small = np.flatnonzero(ratio * contribution < tiny)
    if not len(small):
        return
    i = small[0]
    size = "less still"
    if ratio[i] > 0:
        size = f"some 1e{math.floor(math.log10(ratio[i]) + math.log10(contribution[i]))}"
    raise ValueError(
        f"utility: agent {short(market.labels[i])}, who contributes {contribution[i]:g}, would receive "
        f"{ratio[i]:g} of that, {size}, which float64 does not hold (at least {tiny:.1e}; so for "
        f"{len(small)} agent(s)); leave out agents that bring next to nothing, or take the fractions of "
        "cmapjax.equilibrium.solve_in_fractions(market), which hold it."
    )
