"""Key figures: what every strategy, and every cell, came to, with 95 % confidence intervals.

Intervals assume nothing but that markets are drawn independently: of a median they end at two of the ordered
values (by the binomial distribution of how many lie below it), of a share they are Clopper and Pearson's.
"""

import functools
import re
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import special

from cmapjax.plots._tables import SCALES, VERDICTS, absent, quantiles, ranked, verdict_counts
from cmapjax.report._data import ReportData

# What the tables show of the metrics recorded, the most telling first: a head and what it means.
KEY_METRICS = {
    "share_of_equilibrium": ("Nash welfare", "% of the equilibrium's"),
    "misallocated_share": ("misallocated", "share of all value in the wrong hands"),
    "certified_gap": ("certified gap", "log Nash welfare missing at most"),
    "min_ratio": ("least ratio", "value received per value contributed of the agent worst off"),
    "rounds_to_98": ("98 % after", "rounds until 98 % of the equilibrium's Nash welfare was recorded"),
}
PAIRED = "share_of_equilibrium"
TAIL = 0.025  # probability on either side of an interval
_MARKET = ["ground", "market"]


class Figure(NamedTuple):
    """A number and its 95 % confidence interval, in the units of the results files."""

    value: float
    low: float
    high: float


class Line(NamedTuple):
    """What some markets came to: medians by metric, shares by verdict."""

    markets: int
    medians: dict[str, Figure]
    shares: dict[str, Figure]
    difference: Figure | None = None


@functools.lru_cache(maxsize=1000)
def _rank(n: int) -> int:
    """The place, from either end of n ordered values, at which the interval of their median ends."""
    below = special.bdtr(np.arange((n + 1) // 2), n, 0.5)
    return max(int(np.count_nonzero(below <= TAIL)) - 1, 0)  # fewer than six: between the ends


def median_of(values: np.ndarray) -> Figure:
    """The median of values that may be infinite, and its interval."""
    ordered, rank = np.sort(values), _rank(len(values))
    return Figure(*(float(x) for x in (quantiles(ordered, [0.5])[0], ordered[rank], ordered[-1 - rank])))


@functools.lru_cache(maxsize=10_000)
def share_of(count: int, n: int) -> Figure:
    """The share of markets with a property that `count` of n have, and its interval."""
    low = float(special.betaincinv(count, n - count + 1, TAIL)) if count else 0.0
    high = float(special.betaincinv(count + 1, n - count, 1 - TAIL)) if count < n else 1.0
    return Figure(count / n, low, high)


def key_metrics(data: ReportData) -> list[str]:
    """The metrics that tables show, of those recorded; the gap only where nothing better is known."""
    known = [name for name in KEY_METRICS if name in data.metrics]
    return [name for name in known if name != "certified_gap" or PAIRED not in known]


def lines_of(data: ReportData, rows: pd.DataFrame, by: str) -> dict[int, Line]:
    """What rows of the summary came to, by their play or cell."""
    groups, place = np.unique(rows[by].to_numpy(int), return_inverse=True)
    counts = verdict_counts(rows["verdict"], place, len(groups)).tolist()
    order = np.argsort(place, kind="stable")
    cuts = np.searchsorted(place[order], np.arange(1, len(groups)))
    parts = {key: np.split(ranked(rows[key], key)[order], cuts) for key in key_metrics(data)}
    found = {}
    for k, group in enumerate(groups.tolist()):
        n = sum(counts[k])
        shares = {v: share_of(count, n) for v, count in zip(VERDICTS, counts[k], strict=True)}
        found[group] = Line(n, {key: median_of(values[k]) for key, values in parts.items()}, shares)
    return found


def by_play(data: ReportData, rows: pd.DataFrame | None = None) -> list[Line | None]:
    """A line per play, all its cells together, and the paired difference to the first play that was played.

    Args:
        data: whose plays.
        rows: of the summary, those to count; all by default.

    Returns:
        As many lines as there are plays; None where none of these rows is of the play.
    """
    rows = data.summary if rows is None else rows
    found = lines_of(data, rows, "play") if len(rows) else {}
    for play in sorted(found)[1:]:
        one, other = (rows[rows["play"] == number] for number in (min(found), play))
        found[play] = found[play]._replace(difference=paired_difference(one, other))
    return [found.get(play) for play in range(len(data.plays))]


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
    text = f"{value:{sign}.3g}"
    return re.sub(r"e\+?(-?)0*", r"e\1", text) if "e" in text else text


def percent(value: float) -> str:
    """Per cent to three digits, or as many as tell nearly all from all."""
    if not 99.5 < value < 100:
        return amount(value)
    digits = int(np.clip(np.ceil(-np.log10(100 - value)) + 1, 1, 6))
    text = f"{value:.{digits}f}"
    return "100" if float(text) == 100 else text
