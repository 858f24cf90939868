"""Why two studies differ: in what they describe, what they were made with, how far they got, in values."""

from typing import NamedTuple

import numpy as np

from cmapjax.arguments._checks import listed
from cmapjax.studies._store._manifest import changes
from cmapjax.studies._store._names import CURVES, SUMMARY, as_range
from cmapjax.studies._store._results import StudyResults, open_study
from cmapjax.studies._store._values import NO_VALUES, values_of

_MADE_WITH = ("versions", "commit", "device", "precision", "generator")
_KEYS = ["cell", "market"]


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

    Where values are equal all the same, no difference `is_of_values`.

    Descriptions and versions are compared key by key, then which markets have been played, then the values
    of markets that both have, ground by ground. Rows are compared where cell and market mean the same in
    both: where everything that describes the cell agrees. Timings and how markets were cut into chunks do
    not count.

    Raises:
        ValueError: one of the two is no results folder, or is damaged (the file is named).
    """
    a, b = open_study(folder_a), open_study(folder_b)
    found = [Difference("description", text) for text in changes(a.study, b.study)]
    if a.manifest["digest"] != b.manifest["digest"] and not found:
        found.append(Difference("description", "the files that the study reads differ"))
    for key in _MADE_WITH:
        before, after = a.manifest.get(key), b.manifest.get(key)
        found += [Difference("versions", text) for text in changes(before, after, key)]
    found += _markets(a, b)
    both = sorted(_grounds(a) & _grounds(b))
    found += _values(a, b, both)
    found += _curves(a, b, both)
    return found


def _grounds(results: StudyResults) -> set[int]:
    return {as_range(name).ground for name in results.chunks}


def _markets(a: StudyResults, b: StudyResults) -> list[Difference]:
    """Markets that only one of the two has, by ground."""
    found = []
    for here, there, which in ((a, b, "first"), (b, a, "second")):
        for ground in sorted(_grounds(here)):
            only = sorted(_numbers(here, ground) - _numbers(there, ground))
            if only:
                found.append(
                    Difference(
                        "markets", f"ground {ground}: only the {which} has {len(only):,} ({listed(only)})"
                    )
                )
    return found


def _numbers(results: StudyResults, ground: int) -> set[int]:
    ranges = [r for r in map(as_range, results.chunks) if r.ground == ground]
    return {market for r in ranges for market in range(r.first, r.end)}


def _values(a: StudyResults, b: StudyResults, grounds: list[int]) -> list[Difference]:
    """Columns of the summary whose values differ, with how often and by how much."""
    counts: dict[str, list] = {}
    strangers = rows = 0
    for ground in grounds:
        if _hash(a, SUMMARY, ground) == _hash(b, SUMMARY, ground):
            continue
        first, second = _frame(a, ground), _frame(b, ground)
        if missing := set(first.columns) ^ set(second.columns):
            for name in missing:
                counts.setdefault(f"column {name} is in one of the two only", [0, 0.0, []])
        both = first.index.intersection(second.index)
        first, second = first.loc[both], second.loc[both]
        same = _same_cell(first, second, [*a.axes, *b.axes])
        strangers += int((~same).sum())
        first, second = first[same], second[same]
        rows += len(first)
        for name in first.columns.intersection(second.columns):
            _compare(counts, name, first[name], second[name])
    found = []
    if strangers:
        found.append(Difference("values", f"{strangers:,} rows have equal numbers but describe other cells"))
    for name, (number, largest, where) in counts.items():
        if not number:
            found.append(Difference("values", name))
            continue
        by = f", by up to {largest:.3g}" if np.isfinite(largest) and largest else ""
        places = listed([f"cell {cell} market {market}" for cell, market in where], 3).replace("'", "")
        found.append(Difference("values", f"{name} differs in {number:,} of {rows:,} rows{by} ({places})"))
    return found


def _same_cell(first, second, axes: list[str]) -> np.ndarray:
    """Which rows describe the same cell in both."""
    words = ("network", "endowment", "value", "isolated", "process", "strategy", "schedule", "damping")
    same = np.ones(len(first), bool)
    for name in dict.fromkeys([*axes, *words]):
        if name in first.columns and name in second.columns:
            same &= first[name].astype(object).to_numpy() == second[name].astype(object).to_numpy()
    return same


def _compare(counts: dict, name: str, first, second) -> None:
    if first.dtype.kind in "iufb" and second.dtype.kind in "iufb":
        x, y = first.to_numpy(np.float64), second.to_numpy(np.float64)
        differs = (x != y) & ~(np.isnan(x) & np.isnan(y))
        with np.errstate(invalid="ignore"):
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


def _curves(a: StudyResults, b: StudyResults, grounds: list[int]) -> list[Difference]:
    differing = [ground for ground in grounds if _hash(a, CURVES, ground) != _hash(b, CURVES, ground)]
    if not differing:
        return []
    return [Difference("curves", f"differ in ground {listed(differing)}")]


def _hash(results: StudyResults, kind: str, ground: int):
    total = NO_VALUES
    for table in _of_ground(results, ground).tables(kind):
        total = total + values_of(table)
    return total


def _frame(results: StudyResults, ground: int):
    return _of_ground(results, ground).frame().set_index(_KEYS)


def _of_ground(results: StudyResults, ground: int) -> StudyResults:
    """The same results, of one ground alone."""
    chunks = {name: entry for name, entry in results.chunks.items() if as_range(name).ground == ground}
    return results.only(chunks)
