"""Why two studies differ: in what they describe, what they were made with, how far they got, in values."""

from typing import NamedTuple

import numpy as np

from cmapjax.arguments._checks import listed
from cmapjax.studies._chunks import Chunk
from cmapjax.studies._schema import FIELDS
from cmapjax.studies._sketch import added_up, counted
from cmapjax.studies.results._about import CIRCUMSTANCES, changes
from cmapjax.studies.results._frames import AT_ONCE
from cmapjax.studies.results._results import StudyResults
from cmapjax.studies.results._verify import CURVES


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
    a, b = StudyResults(folder_a), StudyResults(folder_b)
    keys = {"description": ("study", "sources"), "versions": ("commit", *CIRCUMSTANCES)}
    found = [
        Difference(kind, text)
        for kind, some in keys.items()
        for key in some
        for text in changes(a.about.get(key), b.about.get(key), key)
    ]
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


def _markets(results: StudyResults) -> dict[int, set[int]]:
    """The markets played, by ground."""
    found: dict[int, set[int]] = {}
    for chunk in map(Chunk.named, results.chunks):
        found.setdefault(chunk.ground, set()).update(range(chunk.first, chunk.first + chunk.count))
    return found


def _values(a: StudyResults, b: StudyResults, grounds: list[int]) -> list[Difference]:
    """Columns of the summary whose values differ, with how often and by how much."""
    differing: dict[str, list] = {}
    alone: dict[str, None] = {}
    strangers = rows = 0
    for ground in grounds:
        first, second = (each.frame(ground=ground).set_index(["cell", "market"]) for each in (a, b))
        alone |= dict.fromkeys(first.columns.symmetric_difference(second.columns))
        first, second = first.align(second, join="inner")
        of_cell = first.columns.intersection([*a.axes, *b.axes, *FIELDS])
        same = (first[of_cell].astype(object) == second[of_cell].astype(object)).all(axis=1).to_numpy()
        strangers += int((~same).sum())
        first, second = first[same], second[same]
        rows += len(first)
        for name in first.columns:
            gaps = _gaps(first[name], second[name])
            if len(gaps):
                differing.setdefault(name, []).append(gaps)
    found = [Difference("values", f"column {name} is in one of the two only") for name in alone]
    if strangers:
        found.append(Difference("values", f"{strangers:,} rows have equal numbers but describe other cells"))
    for name, some in differing.items():
        number, largest = sum(map(len, some)), max(gaps.max() for gaps in some)
        by = f", by up to {largest:.3g}" if np.isfinite(largest) and largest else ""
        where = [f"cell {cell} market {market}" for gaps in some for cell, market in gaps.index[:4]]
        places = listed(where, 3).replace("'", "")
        found.append(Difference("values", f"{name} differs in {number:,} of {rows:,} rows{by} ({places})"))
    return found


def _gaps(first, second):
    """Of the rows in which a column differs by how much, by cell and market; by 0 if it is no number."""
    is_number = first.dtype.kind in "iufb" and second.dtype.kind in "iufb"
    if not is_number:
        first, second = (column.astype(object).fillna("") for column in (first, second))
    differs = (first != second) & ~(first.isna() & second.isna())
    gaps = (first - second).abs() if is_number else 0.0 * differs
    return gaps.replace(np.inf, np.nan).fillna(0.0)[differs]


def _same_curves(a: StudyResults, b: StudyResults, ground: int) -> bool:
    """Whether the markets of a ground have equal curves, or equal sketches of them."""
    tables = []
    for results in (a, b):
        table = added_up(results.tables(CURVES, ground=ground), AT_ONCE)
        if table is not None:
            table = counted([table])
            table = table.sort_by([(name, "ascending") for name in table.column_names])
        tables.append(table)
    first, second = tables
    return first is second or (None not in (first, second) and first.equals(second))
