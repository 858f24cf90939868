"""How much surplus an agent has in a round: constant or random.

All processes have mean ε_i; what is not given in its round perishes.
"""

import abc
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from cmapjax.market._market import Market
from cmapjax.market._random import draw_per_agent
from cmapjax.runtime._types import Array, as_parameter

# Outside these ranges of parameters, draws are 0, infinite, or far from the mean ε_i.
LEAST_VARIATION = 1e-6
LEAST_PROBABILITY = 1e-6


class Endowments(eqx.Module):
    """The endowment of every agent in every round, in units of its own resource."""

    symbols: ClassVar[dict[str, str]] = {"cv": "variation", "p": "probability"}
    """Short names of parameters, on the command line and in studies."""

    @property
    def is_constant(self) -> bool:
        return False

    @property
    def is_random(self) -> bool:
        return True

    def matched(self, market: Market) -> "Endowments":
        """This process with its numbers per agent put in the market's order of agents.

        Raises:
            ValueError: it holds names that are not the agents'.
        """
        return self

    def check(self, market: Market, rounds: int) -> None:
        """Raise ValueError if this process cannot serve this market for so many rounds.

        Args:
            rounds: how many will have been played at the end, those before a continued start included.

        Raises:
            ValueError: what does not fit.
        """

    @property
    def changes_needs(self) -> bool:
        """Whether demands and own use differ from round to round too (`needs`)."""
        return False

    def needs(self, market: Market, round: Int[Array, ""]):
        """Demand D_j and own use a_j of one round (float64), if `changes_needs`."""
        raise NotImplementedError

    @abc.abstractmethod
    def draw(self, market: Market, round: Int[Array, ""], key: Array | None) -> Float[Array, "agents"]:
        """The endowments of one round (float64).

        Args:
            round: rounds played before this one.
            key: of the round; None for processes that are not random.

        Returns:
            One number per agent, in units of its own resource.
        """


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


def _check_range(field: str, number, least: float, most: float) -> None:
    """Raise ValueError unless the number lies in this range (traced ones cannot be looked at)."""
    if isinstance(number, np.ndarray) and not (
        number.dtype.kind in "if" and np.all((number >= least) & (number <= most))
    ):
        raise ValueError(f"{field} is {number}; give a number from {least:g} to {most:g}.")
