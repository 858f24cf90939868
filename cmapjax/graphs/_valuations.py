"""Valuations of a Fisher market, from arrays, tables with names, and files."""

import contextlib
import os
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import scipy
from jaxtyping import Float, Int

from cmapjax.arguments._checks import check_unique, short
from cmapjax.arguments._labelled import is_labelled, take_apart
from cmapjax.graphs._doubts import is_number
from cmapjax.graphs._file_options import FileOptions
from cmapjax.graphs._files import FileError, check_budget, check_path, format_and_packing, naming, read_bytes
from cmapjax.graphs._matrix import read_entries
from cmapjax.graphs._table import read_table, unescape_cell

_FORMATS = {".csv": ",", ".tsv": "\t", ".mtx": "matrix-market"}
_BYTES_PER_CELL = 64  # a Python number of a table, and its share of lists
REMEDY = "give numbers ≥ 0, and 0 where a buyer does not want a good"


class Valuations(NamedTuple):
    """Who wants what, and how much; every valuation is above zero."""

    buyer: Int[np.ndarray, "valuations"]
    good: Int[np.ndarray, "valuations"]
    worth: Float[np.ndarray, "valuations"]
    """What a unit of the good is worth to the buyer."""
    buyers: Sequence[str]
    goods: Sequence[str]


def read_valuations(given, buyers, goods, options: FileOptions) -> Valuations:
    """The valuations as `fisher` takes them, checked."""
    path = given if isinstance(given, (str, os.PathLike)) else None
    table, rows, columns = _of_file(path, options) if path is not None else _in_memory(given)
    for field, own, asked in (("buyers", rows, buyers), ("goods", columns, goods)):
        if own is not None and asked is not None:
            raise ValueError(f"{field}: the valuations have names of their own; leave {field} out.")
    first = 0 if path is None else 1  # as the file counts
    buyers = _names("buyer", buyers if rows is None else rows, table.shape[0], first)
    goods = _names("good", goods if columns is None else columns, table.shape[1], first)
    with contextlib.nullcontext() if path is None else naming(path):
        check_unique("buyers and goods", [*buyers, *goods], "give each a name of its own")
        return _checked(table, buyers, goods)


def _names(kind: str, given, size: int, first: int) -> list:
    names = [f"{kind}-{first + i}" for i in range(size)] if given is None else list(given)
    if len(names) != size:
        raise ValueError(f"{kind}s: {len(names)} names for {size} {kind}s of the valuations; name each.")
    return names


def _in_memory(given) -> tuple:
    """The table, the names of its rows and those of its columns, None where there are none."""
    if scipy.sparse.issparse(given):
        return given, None, None
    rows = columns = None
    if is_labelled(given):
        given, columns, rows, _ = take_apart("valuations", given)
        rows, columns = (_own_names(names) for names in (rows, columns))
    table = np.asarray(given)
    if table.ndim != 2 or 0 in table.shape:
        raise ValueError(
            f"valuations have shape {table.shape}; give a row for each buyer and a column for each good."
        )
    return table, rows, columns


def _own_names(names) -> list | None:
    """Names that are not merely the numbers 0, 1, … of pandas."""
    names = None if names is None else list(names)
    return None if names is None or names == list(range(len(names))) else names


def _checked(table, buyers: list, goods: list) -> Valuations:
    """The cells that are not 0.

    Raises:
        ValueError: a cell that is no number, not finite, negative, or given twice; nothing is wanted.
    """

    def cell(row: int, column: int) -> str:
        return f"valuations: what good {short(goods[column])} is worth to buyer {short(buyers[row])}"

    if table.dtype == object:
        for (row, column), x in np.ndenumerate(table):
            if isinstance(x, bool) or not isinstance(x, (int, float, np.integer, np.floating)):
                raise ValueError(f"{cell(row, column)} is {short(x)}; {REMEDY}.")
        table = table.astype(np.float64)
    if table.dtype.kind not in "buif":
        raise ValueError(f"valuations have dtype {table.dtype}; {REMEDY}.")
    entries = scipy.sparse.coo_array(table)
    worth = entries.data.astype(np.float64)
    bad = np.flatnonzero(~(np.isfinite(worth) & (worth >= 0)))
    if len(bad):
        k = bad[0]
        raise ValueError(f"{cell(entries.row[k], entries.col[k])} is {worth[k]:g}; {REMEDY}.")
    place = entries.row.astype(np.int64) * table.shape[1] + entries.col
    order = np.argsort(place, kind="stable")
    twice = order[1:][np.diff(place[order]) == 0]
    if len(twice):
        k = twice[0]
        raise ValueError(f"{cell(entries.row[k], entries.col[k])} is given more than once; give it once.")
    wanted = order[worth[order] > 0]
    if not len(wanted):
        raise ValueError(f"valuations: no buyer wants any good; {REMEDY}.")
    return Valuations(entries.row[wanted], entries.col[wanted], worth[wanted], buyers, goods)


# -- files -------------------------------------------------------------------------------------------------


def _of_file(path, options: FileOptions) -> tuple:
    path = check_path(path)
    with naming(path):
        form, packing = format_and_packing(path, _FORMATS)
        data = read_bytes(path, options.budget, packing=packing)
        if form != "matrix-market":
            return _of_table(data, form, options)
        table, is_half = read_entries(data, options, is_network=False)
        if is_half:
            raise FileError("is symmetric, and buyers are not goods; write it as general.", 1)
        return table, None, None


def _of_table(data: bytes, delimiter: str, options: FileOptions) -> tuple:
    """A header with the goods' names behind a first cell, and a row for each buyer: its name, and numbers."""
    check_budget(_BYTES_PER_CELL * data.count(delimiter.encode()), options.budget, "the table needs")
    rows = read_table(data, delimiter)
    line, header = next(rows)
    goods = [unescape_cell(name).strip() for name in header[1:]]
    if not goods:
        raise FileError("holds no goods; put the names of goods behind the first cell.", line)
    buyers, table = [], []
    for line, (name, *cells) in rows:
        buyers.append(unescape_cell(name).strip())
        bad = next((k for k, x in enumerate(cells) if x.strip() and ("_" in x or not is_number(x))), None)
        if bad is not None:
            what = (
                f"what good {short(goods[bad])} is worth to buyer {short(buyers[-1])} is {short(cells[bad])}"
            )
            raise FileError(f"{what}; {REMEDY}.", line)
        table.append([float(x) if x.strip() else 0.0 for x in cells])
    if not buyers:
        raise FileError("holds no buyers; add a row for each.", line)
    return np.array(table), buyers, goods
