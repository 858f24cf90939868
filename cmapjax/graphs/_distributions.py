"""Distributions of endowments, values and other numbers of a random market, and rules of priorities.

Every draw of a distribution is a finite number above zero, as a market requires. Where it may be exactly 0
(with a chance of about 2⁻⁵³), the number is drawn again.
"""

import abc
import dataclasses
import math
from typing import ClassVar

import numpy as np
from jaxtyping import Float

from cmapjax.graphs._parameters import Checked, real

# Means and bounds must be in this range, far inside that of float64, so that neither a draw nor the product
# of an endowment and a value over- or underflows for any reasonable parameters.
LEAST, MOST = 1e-100, 1e100


def _scale(default=dataclasses.MISSING) -> float:
    """A field that holds a mean or a bound."""
    return real(least=LEAST, most=MOST, above=False, default=default)


class PriorityRule(Checked, abc.ABC):
    """How priorities follow from what agents bring and want; every `Distribution` is such a rule, too.

    Parameters outside their range raise ValueError.
    """

    is_random: ClassVar[bool] = False
    """Whether two markets of the same contributions and demands may differ."""

    @abc.abstractmethod
    def priorities(
        self,
        rng: np.random.Generator,
        contribution: Float[np.ndarray, "agents"],
        demand: Float[np.ndarray, "agents"] | None,
    ) -> Float[np.ndarray, "agents"]:
        """The priority of every agent of a market.

        Args:
            rng: a NumPy generator, for rules that draw.
            contribution: w_j (value); NaN for agents that are left out of the market.
            demand: D_j (value); None if there is none.

        Returns:
            b_j ≥ 0, one number per agent (value).
        """


@dataclasses.dataclass(frozen=True)
class Mix(PriorityRule):
    """A share τ of all points is given to all equally, the rest by contribution: b_j = (1 - τ) w_j + τ W/n.

    Args:
        share: τ, from 0 (priorities are contributions) to 1 (they are equal).
    """

    known_as: ClassVar[tuple[str, ...]] = ("solidarity",)
    share: float | int = real(most=1, above=False)

    def priorities(self, rng, contribution, demand):
        return (1 - self.share) * contribution + self.share * np.nanmean(contribution)


@dataclasses.dataclass(frozen=True)
class Coverage(PriorityRule):
    """Priorities are demands, b_j = D_j: what is shared evenly is the share of each demand that is met."""

    def priorities(self, rng, contribution, demand):
        return demand


class Distribution(PriorityRule):
    """A distribution of positive numbers. Parameters outside their range raise ValueError."""

    is_random: ClassVar[bool] = True
    """Whether two draws may differ."""

    def priorities(self, rng, contribution, demand):
        return self.draw(rng, len(contribution))

    @property
    @abc.abstractmethod
    def mean(self) -> float:
        """The expectation of a draw (∞ where it has none)."""

    @abc.abstractmethod
    def draw(self, rng: np.random.Generator, num_agents: int) -> Float[np.ndarray, "agents"]:
        """Independent draws, one per agent: float64, finite and above zero.

        Args:
            rng: a NumPy generator, whose state the draw advances.
            num_agents: how many numbers to draw.

        Returns:
            One number per agent.
        """


@dataclasses.dataclass(frozen=True)
class Unit(Distribution):
    """Every agent has 1; of priorities, an equal right of all heads."""

    known_as = ("heads", "ones")
    is_random = False

    @property
    def mean(self):
        return 1.0

    def draw(self, rng, num_agents):
        return np.ones(num_agents)


@dataclasses.dataclass(frozen=True)
class Constant(Distribution):
    """Every agent or link has the same number.

    Args:
        number: above 0.
    """

    is_random = False
    number: float | int = _scale()

    @property
    def mean(self):
        return self.number

    def draw(self, rng, num_agents):
        return np.full(num_agents, self.number)


@dataclasses.dataclass(frozen=True)
class Uniform(Distribution):
    """Uniform between two numbers; mean (low + high) / 2.

    Args:
        low: 0 or above.
        high: above low.
    """

    low: float | int = real(most=MOST, above=False)
    high: float | int = _scale()

    def _check(self):
        if self.low >= self.high:
            raise ValueError(f"low is {self.low} and high is {self.high}; give a low below high.")

    @property
    def mean(self):
        return self.low / 2 + self.high / 2

    def draw(self, rng, num_agents):
        return draw_positive(lambda size: rng.uniform(self.low, self.high, size), num_agents)


@dataclasses.dataclass(frozen=True)
class Exponential(Distribution):
    """Exponential with density exp(-x / mean) / mean.

    Args:
        mean: above 0.
    """

    mean: float | int = _scale(1.0)

    def draw(self, rng, num_agents):
        return self.mean * draw_positive(rng.standard_exponential, num_agents)


@dataclasses.dataclass(frozen=True)
class Gamma(Distribution):
    """Gamma with density ∝ x^(shape - 1) exp(-shape · x / mean); standard deviation mean / √shape.

    Args:
        shape: at least 0.1 (below, draws underflow to 0 often enough to matter).
        mean: above 0.
    """

    shape: float | int = real(least=0.1, most=1e15, above=False)
    mean: float | int = _scale(1.0)

    def draw(self, rng, num_agents):
        unit = draw_positive(lambda size: rng.standard_gamma(self.shape, size), num_agents)
        return unit * (self.mean / self.shape)


@dataclasses.dataclass(frozen=True)
class LogNormal(Distribution):
    """exp(ln mean - sigma²/2 + sigma · z) for a standard normal z.

    Args:
        sigma: standard deviation of the logarithm, above 0 and at most 20 (at which draws still fit
            float64, though almost none comes near the mean).
        mean: above 0.
    """

    sigma: float | int = real(most=20)
    mean: float | int = _scale(1.0)

    def draw(self, rng, num_agents):
        return self.mean * np.exp(self.sigma * rng.standard_normal(num_agents) - self.sigma**2 / 2)


@dataclasses.dataclass(frozen=True)
class Pareto(Distribution):
    """Pareto with P(X > x) = (minimum / x)^alpha; mean alpha · minimum / (alpha - 1), ∞ for alpha ≤ 1.

    Args:
        alpha: tail index, at least 0.1 (below, draws overflow).
        minimum: the least draw, above 0.
    """

    alpha: float | int = real(least=0.1, most=1e15, above=False)
    minimum: float | int = _scale(1.0)

    @property
    def mean(self):
        return math.inf if self.alpha <= 1 else self.alpha / (self.alpha - 1) * self.minimum

    def draw(self, rng, num_agents):
        # 1 - u is never 0 but at least 2⁻⁵³, so a draw is at most minimum · 2^(53 / alpha) ≤ 1e260.
        return self.minimum * (1 - rng.random(num_agents)) ** (-1 / self.alpha)


def draw_positive(draw, num_agents: int) -> Float[np.ndarray, "agents"]:
    """`draw(size)` with every exact zero drawn again."""
    numbers = draw(num_agents)
    while (zero := np.flatnonzero(numbers == 0)).size:
        numbers[zero] = draw(len(zero))
    return numbers
