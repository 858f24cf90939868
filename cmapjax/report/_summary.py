"""Key figures: what every strategy, and every cell, came to, with bootstrap intervals."""

import re
from typing import NamedTuple

import numpy as np
import pandas as pd

from cmapjax.plots._tables import SCALES, VERDICTS, absent, quantiles, ranked, verdict_counts
from cmapjax.report._data import ReportData
from cmapjax.report._intervals import median_interval, share_interval

# What the tables show of the metrics recorded, the most telling first: a head and what it means.
KEY_METRICS = {
    "share_of_equilibrium": ("Nash welfare", "% of the equilibrium's"),
    "misallocated_share": ("misallocated", "share of all value in the wrong hands"),
    "certified_gap": ("certified gap", "log Nash welfare missing at most"),
    "min_ratio": ("least ratio", "value received per value contributed of the agent worst off"),
    "rounds_to_98": ("98 % after", "rounds until 98 % of the equilibrium's Nash welfare was recorded"),
}
PAIRED = "share_of_equilibrium"
_MARKET = ["ground", "market"]


class Figure(NamedTuple):
    """A number and its 95 % bootstrap interval, in the units of the results files."""

    value: float
    low: float
    high: float


class Line(NamedTuple):
    """What some markets came to: medians by metric, shares by verdict."""

    name: str
    markets: int
    medians: dict[str, Figure]
    shares: dict[str, Figure]
    difference: Figure | None = None


def key_metrics(data: ReportData) -> list[str]:
    """The metrics that tables show, of those recorded; the gap only where nothing better is known."""
    known = [name for name in KEY_METRICS if name in data.metrics]
    return [name for name in known if name != "certified_gap" or PAIRED not in known]


def by_play(data: ReportData, rows: pd.DataFrame | None = None) -> list[Line | None]:
    """A line per play, all its cells together, and the paired difference to the first play that was played.

    Args:
        data: whose plays.
        rows: of the summary, those to count; all by default.

    Returns:
        As many lines as there are plays; None where none of these rows is of the play.
    """
    groups = dict(list((data.summary if rows is None else rows).groupby("play")))
    first = groups[min(groups)] if groups else None
    lines, keys = [], key_metrics(data)
    for place, name in enumerate(data.plays):
        some = groups.get(place)
        line = None if some is None else _line(name, some, keys)
        if line is not None and some is not first:
            line = line._replace(difference=paired_difference(first, some))
        lines.append(line)
    return lines


def by_cell(data: ReportData) -> dict[int, Line | None]:
    """A line per cell; None where no market has been played."""
    groups, keys = dict(list(data.summary.groupby("cell"))), key_metrics(data)
    return {
        cell: _line(str(cell), groups[cell], keys) if cell in groups else None
        for cell in data.cells["cell"].tolist()
    }


class Common(NamedTuple):
    """The markets that every play was played on, of those that were played at all."""

    rows: pd.DataFrame
    """Of the summary, those of common markets."""
    markets: int
    of: int
    """Markets that some play was played on."""

    @property
    def is_all(self) -> bool:
        """Whether all markets are common."""
        return self.markets == self.of


def common(data: ReportData) -> Common:
    """What plays can be compared on: `where` may leave out cells of some plays, and chunks may be missing."""
    plays = data.summary[[*_MARKET, "play"]].drop_duplicates().groupby(_MARKET).size()
    shared = plays[plays == data.summary["play"].nunique()]
    rows = data.summary
    if len(shared) < len(plays):
        rows = rows[pd.MultiIndex.from_frame(rows[_MARKET]).isin(shared.index)]
    return Common(rows, len(shared), len(plays))


def _line(name: str, rows: pd.DataFrame, keys: list[str]) -> Line:
    n = len(rows)
    counts = verdict_counts(rows["verdict"], np.zeros(n, int), 1)[0].tolist()
    shares = {v: Figure(c / n, *share_interval(c, n)) for v, c in zip(VERDICTS, counts, strict=True)}
    return Line(name, n, {key: median_of(ranked(rows[key], key)) for key in keys}, shares)


def median_of(values: np.ndarray) -> Figure:
    """The median, and how far it may be off."""
    ordered = np.sort(values)
    return Figure(float(quantiles(ordered, [0.5])[0]), *median_interval(ordered))


def paired_difference(one: pd.DataFrame, other: pd.DataFrame) -> Figure | None:
    """Median over markets of how much more `other` has reached of the equilibrium than `one` on the same."""
    if PAIRED not in one.columns:
        return None
    both = one[[*_MARKET, PAIRED]].merge(other[[*_MARKET, PAIRED]], on=_MARKET, suffixes=("_one", "_other"))
    difference = both[f"{PAIRED}_other"] - both[f"{PAIRED}_one"]
    values = difference.dropna().to_numpy(np.float64)
    return median_of(values) if len(values) else None


def shown(metric: str, value: float) -> str:
    """A value as the page shows it, in per cent where that is usual."""
    if not np.isfinite(value):
        return absent(metric)
    return percent(100 * value) if metric in SCALES else amount(value)


def amount(value: float, sign: str = "") -> str:
    """A number to three digits, whole from a thousand on."""
    if 1000 <= abs(value) < 1e6:
        return f"{value:{sign}.0f}"
    return re.sub(r"e\+?(-?)0*", r"e\1", f"{float(value):{sign}.3g}")


def percent(value: float) -> str:
    """Per cent to three digits, or as many as tell nearly all from all."""
    if not 99.5 < value < 100:
        return amount(value)
    digits = int(np.clip(np.ceil(-np.log10(100 - value)) + 1, 1, 6))
    text = f"{value:.{digits}f}"
    return "100" if float(text) == 100 else text
