"""How much surplus an agent has in a round: constant, random, or recorded.

All processes have mean ε_i; what is not given in its round perishes.
"""

import abc
import warnings
from collections.abc import Mapping
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from cmapjax.arguments._checks import ROUNDED, as_real, first_out_of_order, short
from cmapjax.arguments._labelled import Parts, is_labelled, places, take_apart
from cmapjax.market._market import Market
from cmapjax.market._random import draw_per_agent
from cmapjax.runtime._types import Array, as_parameter

# Outside these ranges of parameters, draws are 0, infinite, or far from the mean ε_i.
LEAST_VARIATION = 1e-6
LEAST_PROBABILITY = 1e-6

__all__ = ["Constant", "Endowments", "Exponential", "Gamma", "LogNormal", "OnOff", "Trace"]


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


class Trace(Endowments):
    """Recorded endowments, a row per round and a column per agent.

    Columns that have names (of a pandas DataFrame, say, or what `graphs.read_trace` returns) are matched with
    the market's agents by name, and the frame's index are the times of the rounds. Without names, columns are
    in the market's order of agents.

    The market's endowments must be the columns' means, up to 0.1 %: see `trace.means`.

    Args:
        values: the table, in units of the agents' own resources.

    Raises:
        ValueError: not a table of finite numbers ≥ 0; on use, too few rounds, other agents, or endowments
            of the market that are not the means.

    Warns:
        UserWarning: times that do not ascend; rounds are played in the order of the rows.
    """

    values: Float[Array, "rounds agents"] = eqx.field(converter=as_parameter)
    names: tuple | None = eqx.field(static=True, default=None)
    """The names of the columns; None if they have none."""
    times: tuple | None = eqx.field(static=True, default=None)
    """The names of the rows, such as times; None if they have none."""

    def __init__(self, values):
        self.names = self.times = None
        if isinstance(values, Mapping):
            raise ValueError("trace is a mapping; give a table, such as pandas.DataFrame(mapping).")
        if is_labelled(values):
            values, names, rows, _ = take_apart("trace", values)
            self.names = None if names is None else tuple(names)
            self.times = _times(rows)
            values = _as_numbers(values, names)
        self.values = values

    def __check_init__(self):
        values = self.values
        if not isinstance(values, np.ndarray):
            return
        if values.ndim != 2 or values.size == 0:
            raise ValueError(f"trace has shape {values.shape}; give a table [rounds, agents].")
        bad = np.argwhere(~(np.isfinite(as_real("trace", values, values.shape)) & (values >= 0)))
        if len(bad):
            row, agent = bad[0].tolist()
            raise ValueError(
                f"trace: agent {agent if self.names is None else short(self.names[agent])} has "
                f"{short(values[row, agent])} in round {row}; endowments must be finite and not negative. "
                "Correct the record."
            )

    @property
    def means(self):
        """Each agent's mean over the rounds, for `market.with_contributions(endowment=trace.means)`.

        An array; if the columns have names, a pandas Series with these.
        """
        mean = self.values.mean(axis=0)
        if self.names is None:
            return mean
        import pandas as pd

        return pd.Series(mean, index=pd.Index(self.names, tupleize_cols=False))

    @property
    def is_random(self):
        return False

    def matched(self, market):
        if self.names is None:
            return self
        place = places("trace", Parts(self.values, list(self.names), self.times), market.labels)
        return Trace(self.values if place is None else self.values[:, np.asarray(place)])

    def check(self, market, rounds):
        values = self.matched(market).values
        length, agents = values.shape
        if agents != market.num_agents:
            raise ValueError(
                f"trace has {agents} columns for a market of {market.num_agents} agents; give one each."
            )
        if length < rounds:
            raise ValueError(
                f"trace has {length} rounds, but round {rounds} is asked for; simulate fewer rounds or give "
                "a longer record."
            )
        if isinstance(values, jax.core.Tracer) or isinstance(market.endowment, jax.core.Tracer):
            return
        mean, given = np.asarray(values).mean(axis=0), np.asarray(market.endowment)
        bad = np.flatnonzero(np.abs(mean - given) > ROUNDED * np.maximum(mean, given))
        if len(bad):
            raise ValueError(
                f"trace: agent {short(market.labels[bad[0]])} has {mean[bad[0]]:.6g} a round on average, but "
                f"an endowment of {given[bad[0]]:.6g} in the market ({len(bad)} such agents); give the "
                "market the trace's own, market.with_contributions(endowment=trace.means)."
            )

    def draw(self, market, round, key):
        return jnp.asarray(self.matched(market).values)[round]


def _times(rows) -> tuple | None:
    """The names of rounds; None for the numbers 0, 1, … that pandas gives by itself."""
    if rows is None or list(rows) == list(range(len(rows))):
        return None
    times = tuple(rows)
    place = None if isinstance(times[0], str) else first_out_of_order(times)
    if place is not None:
        warnings.warn(
            f"trace: the time {times[place]} (row {place}) does not come after {times[place - 1]}; rounds "
            "are played in the order of the rows.",
            stacklevel=4,
        )
    return times


def _as_numbers(values, names: list | None) -> np.ndarray:
    """A table of objects as numbers. Raises ValueError naming a column that holds others."""
    values = np.asarray(values)
    if values.dtype != object or values.ndim != 2:
        return values
    for column, name in zip(values.T, names or range(values.shape[1]), strict=True):
        wrong = [x for x in column if isinstance(x, bool) or not isinstance(x, (int, float, np.number))]
        if wrong:
            raise ValueError(
                f"trace: column {short(name)} holds {short(wrong[0])}, which is no number; if these are "
                f"times, make them the index (.set_index({short(name)}))."
            )
    return values.astype(np.float64)


def _check_range(field: str, number, least: float, most: float) -> None:
    """Raise ValueError unless the number lies in this range (traced ones cannot be looked at)."""
    if isinstance(number, np.ndarray) and not (
        number.dtype.kind in "if" and np.all((number >= least) & (number <= most))
    ):
        raise ValueError(f"{field} is {number}; give a number from {least:g} to {most:g}.")
