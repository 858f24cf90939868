"""A file of somebody's own classes, as text and as a module: it stands for one beside a study."""

import abc
import dataclasses

import equinox as eqx
import jax.numpy as jnp
import numpy as np

import cmapjax as cj
from cmapjax import endowments, graphs


class Generous(cj.Strategy):
    """Part as before, the rest to all alike."""

    symbols = {"s": "share"}  # noqa: RUF012 - as people write it
    share: np.ndarray = eqx.field(converter=np.asarray, default=0.5)

    def respond(self, view):
        even = view.is_neighbour / cj.total(view.is_neighbour.astype(view.budget.dtype))
        return (1 - self.share) * cj.repeat(view) + self.share * view.budget * even


class Spendthrift(cj.Strategy):
    """Gives a tenth more than it has."""

    def respond(self, view):
        return 1.1 * cj.repeat(view)


class Both(cj.Strategy):
    """Half of each of two strategies."""

    one: cj.Strategy
    other: cj.Strategy

    def respond(self, view):
        return (self.one.respond(view) + self.other.respond(view)) / 2


class Unfinished(cj.Strategy):
    """Says nothing yet."""

    @abc.abstractmethod
    def more(self): ...

    def respond(self, view):
        return cj.repeat(view)


class Slowly(cj.Damping):
    """A tenth of the way, or as little as is said."""

    theta: float = 0.1

    def step(self, view):
        return jnp.asarray(self.theta, view.sent.dtype)


class Backwards(cj.Schedule):
    """One after another, from the last agent to the first."""

    def plan(self, market, hops=1):
        return cj.Sequential(np.arange(market.num_agents)[::-1]).plan(market, hops)


@dataclasses.dataclass(frozen=True)
class Ladder(graphs.Family):
    """Two rows of agents, everybody linked with those beside and across."""

    steps: int

    def __post_init__(self):
        if self.steps < 2:
            raise ValueError(f"steps is {self.steps}; give 2 or more.")

    @property
    def num_agents(self):
        return 2 * self.steps

    @property
    def mean_links(self):
        return 3 * self.steps - 2

    def links(self, rng):
        one = np.arange(self.steps)
        across = np.stack([one, one + self.steps], axis=1)
        beside = np.stack([one[:-1], one[1:]], axis=1)
        return np.concatenate([across, beside, beside + self.steps])


@dataclasses.dataclass(frozen=True)
class RichOrPoor(graphs.Distribution):
    """1 or 3, by a coin."""

    mean = 2.0

    def draw(self, rng, num_agents):
        return rng.choice([1.0, 3.0], num_agents)


class Seasons(endowments.Endowments):
    """Half as much again in every second round, and half as much in the others."""

    is_random = False

    def draw(self, market, round, key):
        return market.endowment * jnp.where(round % 2 == 0, 1.5, 0.5)


def behind(market, state):
    """Agents that have less than half of what they bring."""
    return market.total(1.0 * (state.utility < 0.5 * market.contribution))


def farthest(market, state, equilibrium):
    """The largest distance of a utility from that of the equilibrium."""
    return market.largest(abs(state.utility - equilibrium))


def of_nothing(market):
    """No metric: it does not look at what happened."""
    return market.num_agents
