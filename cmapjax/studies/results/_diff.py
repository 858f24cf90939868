"""Why two studies differ: in what they describe, what they were made with, how far they got, in values."""

from typing import NamedTuple

import numpy as np

from cmapjax.arguments._checks import listed
from cmapjax.studies._chunks import Chunk
from cmapjax.studies._names import FIELDS
from cmapjax.studies.results._about import CIRCUMSTANCES, changes
from cmapjax.studies.results._curves import counted
from cmapjax.studies.results._frames import frame
from cmapjax.studies.results._open import axes_of
from cmapjax.studies.results._results import CURVES, Results


class Difference(NamedTuple):
    """One difference: `kind` is description, versions, markets, values or curves; `what` says it in words."""

    kind: str
    what: str

    @property
    def is_of_values(self) -> bool:
        """Whether results differ, and not only what they were described or made with."""
        return self.kind in ("markets", "values", "curves")

    def __str__(self) -> str:
        return f"{self.kind}: {self.what}"


def diff(folder_a, folder_b) -> list[Difference]:
    """Why two studies differ; empty if they describe the same and hold equal values.

    Descriptions and versions are compared key by key, then which markets have been played, then the values
    of markets that both have. Rows are compared where cell and market mean the same in both: where everything
    that describes the cell agrees. Timings and how markets were cut into chunks do not count.

    Args:
        folder_a: one results folder.
        folder_b: the other.

    Returns:
        The differences; where values are equal all the same, none of them `is_of_values`.

    Raises:
        ResultsError: one of the two is no results folder, or is damaged (the file is named).
    """
    a, b = Results(folder_a), Results(folder_b)
    found = [
        Difference("description", text)
        for key in ("study", "sources")
        for text in changes(a.about.get(key), b.about.get(key), key)
    ]
    for key in ("commit", *CIRCUMSTANCES):
        found += [Difference("versions", text) for text in changes(a.about.get(key), b.about.get(key), key)]
    markets_a, markets_b = _markets(a), _markets(b)
    for here, there, which in ((markets_a, markets_b, "first"), (markets_b, markets_a, "second")):
        for ground, markets in sorted(here.items()):
            if only := sorted(markets - there.get(ground, set())):
                what = f"ground {ground}: only the {which} has {len(only):,} ({listed(only)})"
                found.append(Difference("markets", what))
    both = sorted(markets_a.keys() & markets_b.keys())
    found += _values(a, b, both)
    if differing := [ground for ground in both if not _same_curves(a, b, ground)]:
        found.append(Difference("curves", f"differ in ground {listed(differing)}"))
    return found


def _markets(results: Results) -> dict[int, set[int]]:
    """The markets played, by ground."""
    found: dict[int, set[int]] = {}
    for chunk in map(Chunk.named, results.chunks()):
        found.setdefault(chunk.ground, set()).update(range(chunk.first, chunk.first + chunk.count))
    return found


def _values(a: Results, b: Results, grounds: list[int]) -> list[Difference]:
    """Columns of the summary whose values differ, with how often and by how much."""
    counts: dict[str, list] = {}
    alone: dict[str, None] = {}
    strangers = rows = 0
    axes = [*axes_of(a.about["study"]), *axes_of(b.about["study"])]
    for ground in grounds:
        first, second = (frame(each, ground=ground).set_index(["cell", "market"]) for each in (a, b))
        alone |= dict.fromkeys(first.columns.symmetric_difference(second.columns))
        both = first.index.intersection(second.index)
        first, second = first.loc[both], second.loc[both]
        same = np.ones(len(first), bool)
        for name in first.columns.intersection(second.columns).intersection([*axes, *FIELDS]):
            same &= first[name].astype(object).to_numpy() == second[name].astype(object).to_numpy()
        strangers += int((~same).sum())
        first, second = first[same], second[same]
        rows += len(first)
        for name in first.columns.intersection(second.columns, sort=False):
            _compare(counts, name, first[name], second[name])
    found = [Difference("values", f"column {name} is in one of the two only") for name in alone]
    if strangers:
        found.append(Difference("values", f"{strangers:,} rows have equal numbers but describe other cells"))
    for name, (number, largest, where) in counts.items():
        by = f", by up to {largest:.3g}" if np.isfinite(largest) and largest else ""
        places = listed([f"cell {cell} market {market}" for cell, market in where], 3).replace("'", "")
        found.append(Difference("values", f"{name} differs in {number:,} of {rows:,} rows{by} ({places})"))
    return found


def _compare(counts: dict, name: str, first, second) -> None:
    """Add to `counts`: in how many rows a column differs, by how much at most, and some of them."""
    if first.dtype.kind in "iufb" and second.dtype.kind in "iufb":
        x, y = first.to_numpy(np.float64), second.to_numpy(np.float64)
        differs = (x != y) & ~(np.isnan(x) & np.isnan(y))
        gaps = np.abs(x - y)[differs]
        largest = float(np.nanmax(gaps)) if np.any(np.isfinite(gaps)) else float("nan")
    else:
        x, y = (column.astype(object).fillna("").to_numpy() for column in (first, second))
        differs, largest = x != y, 0.0
    if differs.any():
        record = counts.setdefault(name, [0, 0.0, []])
        record[0] += int(differs.sum())
        record[1] = np.fmax(record[1], largest)
        record[2] += [tuple(map(int, key)) for key in first.index[differs][:4]]


def _same_curves(a: Results, b: Results, ground: int) -> bool:
    """Whether the markets of a ground have equal curves, or equal sketches of them."""
    tables = []
    for results in (a, b):
        parts = list(results.tables(CURVES, ground=ground))
        if not parts:
            tables.append(None)
            continue
        table = counted(parts)
        tables.append(table.sort_by([(name, "ascending") for name in table.column_names]))
    first, second = tables
    return first is second or (None not in (first, second) and first.equals(second))
