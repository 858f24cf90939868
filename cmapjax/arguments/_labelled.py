"""Vectors and tables with agents' names, put in a market's order by name.

These are mappings, pandas Series and DataFrames, xarray's DataArrays, and tables of polars and Arrow. They
are recognised by their attributes, so that none of these libraries is imported.
"""

import inspect
from collections.abc import Callable, Hashable, Mapping, Sequence
from numbers import Integral, Real
from typing import Any, NamedTuple

import numpy as np

from cmapjax.arguments._checks import listed, short

AGENT_DIMENSIONS = ("agent", "agents")


class Parts(NamedTuple):
    """The values and names of a labelled vector or table."""

    values: np.ndarray | list
    """A vector [agents] or a table [rows, agents]."""
    names: list | None
    """The names of a vector's numbers or a table's columns; None if they have none."""
    rows: Sequence | None = None
    """The names of a table's rows, such as time stamps."""
    is_mapping: bool = False


def is_labelled(x) -> bool:
    """Whether this is a vector or table with names, by its attributes."""
    return isinstance(x, Mapping) or _is_series(x) or _is_table(x) or _is_xarray(x)


def _is_series(x) -> bool:
    return hasattr(x, "to_numpy") and hasattr(x, "index") and not callable(x.index)


def _is_table(x) -> bool:
    return hasattr(x, "columns") and (hasattr(x, "to_numpy") or hasattr(x, "column_names"))


def _is_xarray(x) -> bool:
    return hasattr(x, "dims") and hasattr(x, "indexes")


def take_apart(field: str, given) -> Parts:
    """The numbers and names of something labelled.

    Raises:
        ValueError: xarray's with more than two dimensions.
    """
    if _is_xarray(given) and hasattr(given, "ndim"):
        return _of_xarray(field, given)
    if isinstance(given, Mapping):
        return Parts(list(given.values()), list(given), is_mapping=True)
    if not _is_table(given):
        return Parts(given.to_numpy(), given.index.tolist())
    if hasattr(given, "column_names"):  # Arrow
        columns = [np.asarray(column) for column in given.columns]
        return Parts(np.stack(columns, axis=-1) if columns else np.zeros((0, 0)), list(given.column_names))
    rows = getattr(given, "index", None)
    return Parts(given.to_numpy(), list(given.columns), None if rows is None or callable(rows) else rows)


def _of_xarray(field: str, given) -> Parts:
    if given.ndim > 2:
        raise ValueError(f"{field} has the dimensions {listed(given.dims)}; give one of agents, or two.")
    last = [d for d in given.dims if d in AGENT_DIMENSIONS][-1:] or list(given.dims[-1:])
    given = given.transpose(..., *last)
    index = [given.indexes.get(dimension) for dimension in given.dims]
    names = index[-1].tolist() if index and index[-1] is not None else None
    return Parts(given.values, names, index[0] if len(index) == 2 else None)


def by_name(field: str, given, labels: Sequence[Hashable], *, are_numbers: bool = True):
    """The numbers given for agents, in the order of `labels`; the last axis of a table is that of agents.

    Values without names are returned unchanged. So are those that pandas has numbered 0, 1, … by itself, if
    the agents' labels are text.

    Args:
        field: the name of the argument, for errors.
        given: anything; a DataFrame of one column counts as that column if `labels` are several.
        labels: every agent's name.
        are_numbers: whether entries that are no numbers are refused.

    Raises:
        ValueError: agents without an entry, entries without an agent, names that occur twice; numbers
            0, 1, … of which one cannot tell whether they are names; a table whose rows are the agents.
    """
    if not is_labelled(given):
        return given
    if _is_table(given) and len(given.columns) == 1 and len(labels) > 1 and hasattr(given, "iloc"):
        given = given.iloc[:, 0]
    values = (parts := take_apart(field, given)).values
    place = places(field, parts, labels)
    if place is None:
        return values
    if isinstance(values, np.ndarray) and values.dtype != object:
        return values[..., place]
    if not are_numbers:
        return [values[i] for i in place]
    rows = values if np.ndim(values) > 1 else [values]
    pairs = list(zip(labels, place, strict=True))
    numbers = [[real_of_agent(field, label, row[i]) for label, i in pairs] for row in rows]
    return np.array(numbers if np.ndim(values) > 1 else numbers[0])


def places(field: str, parts: Parts, labels: Sequence[Hashable]) -> list[int] | None:
    """The place of each agent's entry; None if entries are in the agents' order and have no names.

    Raises:
        ValueError: as `by_name`.
    """
    if parts.names is None:
        return None
    _check_rows(field, parts.rows, parts.names, labels)
    if not parts.is_mapping and _is_by_place(field, parts, labels):
        return None
    return _places(field, parts.names, labels)


def _check_rows(field: str, rows, names: list, labels: Sequence) -> None:
    """Raise if the names of a table's rows, and not of its columns, are the agents'."""
    if rows is None or isinstance(labels, range) or len(rows) != len(labels):
        return
    if set(names) != set(labels) and set(rows) == set(labels):
        raise ValueError(
            f"{field}: its rows are the agents, its columns {listed(names, 3)}; give one column, or "
            "transpose it (.T) if the columns are rounds."
        )


def _is_by_place(field: str, parts: Parts, labels: Sequence) -> bool:
    """Whether the names are only the numbers 0, 1, … that pandas gives to unnamed values."""
    names = parts.names
    if names != list(range(len(names))):
        return False
    numbers = labels if isinstance(labels, range) else [_as_number(label) for label in labels]
    if all(number is None for number in numbers) or list(numbers) == list(range(len(labels))):
        return True
    raise ValueError(
        f"{field} is numbered 0 to {len(names) - 1}, which may mean places or the agents' names "
        f"({listed(labels, 3)}); index it by their names, or pass .to_numpy() if it is in their order."
    )


def _as_number(label: Hashable) -> int | None:
    if isinstance(label, Integral) and not isinstance(label, bool):
        return int(label)
    return int(label) if isinstance(label, str) and label.isdecimal() else None


def _places(field: str, names: list, labels: Sequence) -> list[int]:
    """The place of each agent's entry."""
    place = {name: i for i, name in enumerate(names)}
    if len(place) < len(names):
        twice = [name for i, name in enumerate(names) if place[name] != i]
        raise ValueError(f"{field}: {listed(twice)} is named more than once; keep one entry for each agent.")
    known = set(labels)
    missing = [label for label in labels if label not in place]
    unknown = [name for name in names if name not in known]
    hint = ""
    if missing and {str(name) for name in unknown} & {str(label) for label in missing}:
        kinds = type(unknown[0]).__name__, type(missing[0]).__name__
        hint = f" Its names are of type {kinds[0]}, the agents' of type {kinds[1]}: convert them."
    if missing:
        raise ValueError(
            f"{field}: no number for {len(missing)} agent(s) ({listed(missing)}); name every agent.{hint}"
        )
    if unknown:
        raise ValueError(
            f"{field}: {listed(unknown)} is not an agent of this network; leave it out, or correct the name."
        )
    return [place[label] for label in labels]


def unlabelled(field: str, given):
    """Values for things that have no names here, such as arcs, without pandas' own numbering.

    Raises:
        ValueError: it has names of its own.
    """
    if not is_labelled(given):
        return given
    values, names, _, is_mapping = take_apart(field, given)
    if is_mapping or names not in (None, list(range(len(names or ())))):
        raise ValueError(
            f"{field} has names of its own ({listed(names, 3)}), which nothing here can be matched with; "
            "put it in the market's order, and pass a plain array (.to_numpy())."
        )
    return values


def real_of_agent(field: str, label: Hashable, number) -> float:
    """The number as a float. Raises ValueError, naming the agent, if it is none."""
    if isinstance(number, (bool, np.bool_)) or not isinstance(number, Real):
        raise ValueError(f"{field} of agent {short(label)} is {short(number)}; give a number.")
    return float(number)


def arguments_by_name(function: Callable, args: tuple, kwargs: dict[str, Any]) -> tuple[tuple, dict]:
    """The arguments of a function of a market, labelled ones put in the order of its agents."""
    if not any(map(is_labelled, (*args, *kwargs.values()))):
        return args, kwargs
    bound = inspect.signature(function).bind(*args, **kwargs)
    market, *_ = bound.arguments.values()
    for field, given in bound.arguments.items():
        if is_labelled(given):
            bound.arguments[field] = by_name(field, given, market.labels)
    return bound.args, bound.kwargs
