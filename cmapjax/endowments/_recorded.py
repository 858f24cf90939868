"""Recorded surplus: a table of rounds and agents, and how such tables are taken."""

import warnings
from collections.abc import Mapping

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from cmapjax.arguments._checks import ROUNDED, as_real, first_out_of_order, short
from cmapjax.arguments._labelled import Parts, is_labelled, places, take_apart
from cmapjax.endowments._processes import Endowments
from cmapjax.runtime._types import Array, as_parameter


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
        self.values, self.names, self.times = recorded("trace", values)

    def __check_init__(self):
        check_amounts("trace", self.values, self.names, "endowments")

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


def recorded(field: str, table) -> tuple:
    """The values of a table of rounds and agents, the names of its columns and those of its rows.

    Names are None where there are none.
    """
    if isinstance(table, Mapping):
        raise ValueError(f"{field} is a mapping; give a table, such as pandas.DataFrame(mapping).")
    if not is_labelled(table):
        return table, None, None
    values, names, rows, _ = take_apart(field, table)
    return _as_numbers(field, values, names), None if names is None else tuple(names), _times(field, rows)


def check_amounts(field: str, values, names: tuple | None, what: str) -> None:
    """Raise ValueError unless this is a table of finite numbers ≥ 0 (traced ones cannot be looked at).

    Args:
        field: the name of the table.
        values: the table.
        names: of its columns.
        what: its numbers are.
    """
    if not isinstance(values, np.ndarray):
        return
    if values.ndim != 2 or values.size == 0:
        raise ValueError(f"{field} has shape {values.shape}; give a table [rounds, agents].")
    bad = np.argwhere(~(np.isfinite(as_real(field, values, values.shape)) & (values >= 0)))
    if len(bad):
        row, agent = bad[0].tolist()
        raise ValueError(
            f"{field}: agent {agent if names is None else short(names[agent])} has "
            f"{short(values[row, agent])} in round {row}; {what} must be finite and not negative. Correct "
            "the record."
        )


def _times(field: str, rows) -> tuple | None:
    """The names of rounds; None for the numbers 0, 1, … that pandas gives by itself."""
    if rows is None or list(rows) == list(range(len(rows))):
        return None
    times = tuple(rows)
    place = None if isinstance(times[0], str) else first_out_of_order(times)
    if place is not None:
        warnings.warn(
            f"{field}: the time {times[place]} (row {place}) does not come after {times[place - 1]}; rounds "
            "are played in the order of the rows.",
            stacklevel=5,
        )
    return times


def _as_numbers(field: str, values, names: list | None) -> np.ndarray:
    """A table of objects as numbers. Raises ValueError naming a column that holds others."""
    values = np.asarray(values)
    if values.dtype != object or values.ndim != 2:
        return values
    for column, name in zip(values.T, names or range(values.shape[1]), strict=True):
        wrong = [x for x in column if isinstance(x, bool) or not isinstance(x, (int, float, np.number))]
        if wrong:
            raise ValueError(
                f"{field}: column {short(name)} holds {short(wrong[0])}, which is no number; if these are "
                f"times, make them the index (.set_index({short(name)}))."
            )
    return values.astype(np.float64)
