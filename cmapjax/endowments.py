"""How much surplus an agent has in a round: constant, drawn afresh, or recorded.

All processes draw a round's endowment with mean ε_i; what is not given in the round perishes.
"""

import abc

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from cmapjax._checks import as_real, short
from cmapjax._market import Market
from cmapjax._random import draw_per_agent
from cmapjax._types import Array, as_parameter

# Outside the ranges of their parameters draws are 0, infinite, or far from the mean that is promised.
LEAST_VARIATION = 1e-6
LEAST_PROBABILITY = 1e-6

__all__ = ["Constant", "Endowments", "Exponential", "Gamma", "LogNormal", "OnOff", "Trace"]


class Endowments(eqx.Module):
    """The endowment of every agent in every round, in units of its own resource."""

    @property
    def is_constant(self) -> bool:
        return False

    @property
    def is_random(self) -> bool:
        return True

    def check(self, market: Market, rounds: int) -> None:
        """Raise ValueError if this process cannot serve this market for so many rounds."""

    @abc.abstractmethod
    def draw(self, market: Market, round: Int[Array, ""], key: Array | None) -> Float[Array, "agents"]:
        """The endowments of one round (float64)."""


class Constant(Endowments):
    """ε_i every round."""

    @property
    def is_constant(self):
        return True

    @property
    def is_random(self):
        return False

    def draw(self, market, round, key):
        return jnp.asarray(market.endowment)


class Exponential(Endowments):
    """Independent exponential draws with mean ε_i (standard deviation ε_i)."""

    def draw(self, market, round, key):
        return market.endowment * draw_per_agent(key, market, jax.random.exponential)


class _Varying(Endowments):
    """A process with a coefficient of variation: standard deviation divided by mean."""

    variation: Float[Array, ""] = eqx.field(converter=as_parameter, default=0.5)


class Gamma(_Varying):
    """Independent gamma draws with mean ε_i and a given coefficient of variation.

    Args:
        variation: standard deviation divided by mean, from 1e-6 (below, rounding makes it `Constant`) to 3
            (above, draws underflow to 0 often enough to lower the mean).

    Raises:
        ValueError: a variation outside this range.
    """

    def __check_init__(self):
        _check_range("variation", self.variation, LEAST_VARIATION, 3)

    def draw(self, market, round, key):
        shape = 1 / jnp.square(self.variation)
        unit = draw_per_agent(key, market, lambda k: jax.random.gamma(k, shape))
        return market.endowment * unit / shape


class LogNormal(_Varying):
    """Independent log-normal draws with mean ε_i and a given coefficient of variation.

    Args:
        variation: standard deviation divided by mean, from 1e-6 (below, rounding makes it `Constant`) to 1000
            (there the largest of a million draws is a tenth of their sum; above, runs miss the mean).

    Raises:
        ValueError: a variation outside this range.
    """

    def __check_init__(self):
        _check_range("variation", self.variation, LEAST_VARIATION, 1000)

    def draw(self, market, round, key):
        variance = jnp.log1p(jnp.square(self.variation))
        normal = draw_per_agent(key, market, jax.random.normal)
        return market.endowment * jnp.exp(jnp.sqrt(variance) * normal - variance / 2)


class OnOff(Endowments):
    """Independently each round: ε_i / p with probability p, else nothing.

    Args:
        probability: p, from 1e-6 (below, hardly any run sees an agent have anything) to 1.

    Raises:
        ValueError: a probability outside this range.
    """

    probability: Float[Array, ""] = eqx.field(converter=as_parameter, default=0.5)

    def __check_init__(self):
        _check_range("probability", self.probability, LEAST_PROBABILITY, 1)

    def draw(self, market, round, key):
        coin = draw_per_agent(key, market, jax.random.uniform)
        return jnp.where(coin < self.probability, market.endowment / self.probability, 0)


class Trace(Endowments):
    """Recorded endowments, a row per round and a column per agent, in the market's order of agents.

    The agents' mean endowments stay those of the market; `trace.means` is what a market that knows its
    trace should be given.

    Raises:
        ValueError: not a table of finite numbers ≥ 0; on use, too few rounds or other agents.
    """

    values: Float[Array, "rounds agents"] = eqx.field(converter=as_parameter)

    def __check_init__(self):
        values = self.values
        if not isinstance(values, np.ndarray):
            return
        if values.ndim != 2 or values.size == 0:
            raise ValueError(f"trace has shape {values.shape}; give a table [rounds, agents].")
        bad = np.argwhere(~(np.isfinite(as_real("trace", values, values.shape)) & (values >= 0)))
        if len(bad):
            row, agent = bad[0]
            raise ValueError(
                f"trace: agent {agent} has {short(values[row, agent])} in round {row}; endowments must be "
                "finite and not negative. Correct the record."
            )

    @property
    def means(self) -> Float[np.ndarray, "agents"]:
        """Each agent's mean over the rounds."""
        return self.values.mean(axis=0)

    @property
    def is_random(self):
        return False

    def check(self, market, rounds):
        length, agents = self.values.shape
        if agents != market.num_agents:
            raise ValueError(
                f"trace has {agents} columns for a market of {market.num_agents} agents; give one each."
            )
        if length < rounds:
            raise ValueError(
                f"trace has {length} rounds, but round {rounds} is asked for; simulate fewer rounds or give "
                "a longer record."
            )

    def draw(self, market, round, key):
        return jnp.asarray(self.values)[round]


def _check_range(field: str, number, least: float, most: float) -> None:
    """Raise ValueError unless the number lies in this range (traced ones cannot be looked at)."""
    if isinstance(number, np.ndarray) and not (
        number.dtype.kind in "if" and np.all((number >= least) & (number <= most))
    ):
        raise ValueError(f"{field} is {number}; give a number from {least:g} to {most:g}.")
