"""Markets from arrays in memory: two columns of labels, or an adjacency matrix."""

import dataclasses
from collections.abc import Hashable, Sequence

import numpy as np
import scipy

from cmapjax.arguments._checks import short
from cmapjax.graphs._file_options import FileOptions
from cmapjax.graphs._labels import LARGEST, unless_numbers
from cmapjax.graphs._matrix import pattern_of
from cmapjax.graphs._network import Note
from cmapjax.market._market import Market


def from_arrays(
    source,
    target,
    *,
    endowment=1.0,
    value=1.0,
    drop_self_loops: bool = False,
    drop_isolated: bool = False,
    **terms,
) -> Market:
    """The market on the links source[k] – target[k], such as two columns of a data frame.

    Labels are all integers (not negative) or all text; text is compared exactly. Agents come in ascending
    order if they are integers, else in order of first appearance (source before target, link by link). A link
    given twice, in either direction, is merged and counted.

    Args:
        source: the label of one end of every link (a vector over links).
        target: the label of the other end, likewise.
        endowment: ε_i (units of i's resource per round), one number, one per agent in that order, or with
            names (as `Market.from_links` takes them).
        value: v_i likewise (per unit).
        drop_self_loops, drop_isolated: leave these out, instead of refusing them.
        terms: priority, demand, own_use, capacity, efficiency and directed, as `Market.from_links` takes
            them: of agents like endowments, of links one number or one per link.

    Returns:
        One market.

    Raises:
        ValueError: columns of different lengths; missing, fractional, negative or mixed labels; what
            `Market.from_links` refuses.
    """
    columns = [_as_labels(name, column) for name, column in (("source", source), ("target", target))]
    if len(columns[0]) != len(columns[1]):
        raise ValueError(
            f"source has {len(columns[0])} labels and target {len(columns[1])}; give one of each per link."
        )
    if columns[0].dtype != columns[1].dtype:
        raise ValueError(
            "source and target hold labels of different kinds (integers and text); make both the same."
        )
    ends = np.stack(columns, axis=1)
    if ends.dtype == object:
        number_of: dict[str, int] = {}
        numbers = [number_of.setdefault(label, len(number_of)) for label in ends.ravel().tolist()]
        labels, links = list(number_of), np.array(numbers, np.int64).reshape(-1, 2)
    else:
        agents, links = np.unique(ends, return_inverse=True)
        labels, links = agents.tolist(), links.reshape(-1, 2)
    return Market.from_links(
        links,
        endowment=endowment,
        value=value,
        labels=unless_numbers(labels),
        num_agents=len(labels),
        drop_self_loops=drop_self_loops,
        drop_isolated=drop_isolated,
        **terms,
    )


def _as_labels(field: str, column) -> np.ndarray:
    """The column as int64, or as Python text."""
    column = np.asarray(column)
    if column.ndim != 1:
        raise ValueError(f"{field} has shape {column.shape}; give one label per link.")
    items = column.tolist()
    if items and all(isinstance(item, int) and not isinstance(item, bool) for item in items):
        bad = next((k for k, item in enumerate(items) if not 0 <= item <= LARGEST), None)
        if bad is not None:
            raise ValueError(
                f"{field}[{bad}] is {items[bad]}; integer labels lie between 0 and 2^63 - 1. Renumber the "
                "agents, or give text."
            )
        return np.array(items, np.int64)
    if column.dtype.kind not in "OUTiu":
        raise ValueError(
            f"{field} has dtype {column.dtype}; labels are integers or text. If missing entries made the "
            "column fractional, remove them, then convert it with .astype(int)."
        )
    for k, item in enumerate(items):
        if not isinstance(item, str) or not item:
            raise ValueError(
                f"{field}[{k}] is {short(item)}; every label must be text (or all of them integers). "
                "Correct it, or remove the link."
            )
    labels = np.empty(len(items), object)
    labels[:] = items
    return labels if items else np.zeros(0, np.int64)


def from_sparse(
    matrix,
    *,
    endowment=1.0,
    value=1.0,
    labels: Sequence[Hashable] | None = None,
    drop_self_loops: bool = False,
    drop_isolated: bool = False,
    symmetrize: bool = False,
    directed: bool = False,
    **terms,
) -> Market:
    """The market on an adjacency matrix, sparse (SciPy, any format) or dense (NumPy).

    Entries other than zero are links, those on the diagonal self-loops; their values are not used. Zeros
    that a sparse matrix stores are no links; `market.origin.notes` counts them.

    Args:
        matrix: square, of symmetric pattern.
        endowment: ε_i (units of i's resource per round), one number, one per row, or with names (as
            `Market.from_links` takes them).
        value: v_i likewise (per unit).
        labels: names of the rows; by default their numbers.
        drop_self_loops, drop_isolated: leave these out, instead of refusing them.
        symmetrize: make every entry of an unsymmetric matrix a link both ways.
        directed: every entry is a link one way, from its row to its column.
        terms: priority, demand and own_use, as `Market.from_links` takes them; capacity and efficiency, one
            number for all links.

    Returns:
        One market, an agent per row.

    Raises:
        ValueError: a matrix that is not square, numeric, finite or (unless symmetrised) symmetric in its
            pattern; what `Market.from_links` refuses.
    """
    if not scipy.sparse.issparse(matrix):
        matrix = np.asarray(matrix)
    names = range(matrix.shape[0]) if labels is None else list(labels)
    if len(names) != matrix.shape[0]:
        raise ValueError(
            f"labels: {len(names)} names for {matrix.shape[0]} rows of the matrix; name every row."
        )
    for field in ("capacity", "efficiency"):
        if np.ndim(terms.get(field, 1.0)):
            raise ValueError(f"{field}: give one number for all links; `from_arrays` takes one for each.")
    options = FileOptions(symmetrize=symmetrize, directed=directed)
    pattern = pattern_of(matrix, options, names.__getitem__)
    market = Market.from_links(
        pattern.links,
        endowment=endowment,
        value=value,
        labels=unless_numbers(names),
        num_agents=len(names),
        drop_self_loops=drop_self_loops,
        drop_isolated=drop_isolated,
        directed=directed,
        **terms,
    )
    zeros = {Note.ZEROS: pattern.num_zeros} if pattern.num_zeros else {}
    return dataclasses.replace(market, origin=market.origin.noting(zeros)) if zeros else market
