"""Key figures: what every play, and every cell, came to, with bootstrap intervals."""

import re
from decimal import ROUND_HALF_UP, Context, Decimal
from typing import NamedTuple

import numpy as np
import pandas as pd

from cmapjax.plots._study import VERDICT_COLOURS
from cmapjax.plots._tables import SCALES, quantiles, ranked
from cmapjax.report._data import ReportData
from cmapjax.report._intervals import median_interval, share_interval

VERDICTS = tuple(VERDICT_COLOURS)
# What the tables show of the metrics recorded, the most telling first: a head and what it means.
KEY_METRICS = {
    "share_of_equilibrium": ("Nash welfare", "% of the equilibrium's"),
    "misallocated_share": ("misallocated", "share of all value in the wrong hands"),
    "certified_gap": ("certified gap", "log Nash welfare missing at most"),
    "min_ratio": ("least ratio", "value received per value contributed of the agent worst off"),
    "rounds_to_98": ("98 % after", "rounds until 98 % of the equilibrium's Nash welfare was recorded"),
}
PAIRED = "share_of_equilibrium"


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
    stopped: int
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
    keys, lines = key_metrics(data), []
    groups = dict(list((data.summary if rows is None else rows).groupby("play")))
    first = groups[min(groups)] if groups else None
    for place, name in enumerate(data.plays):
        if place not in groups:
            lines.append(None)
            continue
        difference = None if groups[place] is first else paired_difference(first, groups[place])
        lines.append(_line(name, groups[place], keys)._replace(difference=difference))
    return lines


class Common(NamedTuple):
    """The markets that every play was played on, of those that were played at all."""

    rows: pd.DataFrame
    """Of the summary, those of common markets."""
    markets: int
    of: int
    """Markets that some play was played on."""

    @property
    def is_all(self) -> bool:
        return self.markets == self.of


def common(data: ReportData) -> Common:
    """What plays can be compared on: `where` may leave out cells of some plays, and chunks may be missing."""
    keys = ["ground", "market"]
    plays = data.summary[[*keys, "play"]].drop_duplicates().groupby(keys).size()
    shared = plays[plays == data.summary["play"].nunique()]
    rows = data.summary
    if len(shared) < len(plays):
        rows = rows[pd.MultiIndex.from_frame(rows[keys]).isin(shared.index)]
    return Common(rows, len(shared), len(plays))


def by_cell(data: ReportData) -> list[Line | None]:
    """A line per cell, in the order of `data.cells`; None where no market has been played."""
    keys = key_metrics(data)
    groups = dict(list(data.summary.groupby("cell")))
    return [
        _line(str(cell), groups[cell], keys) if cell in groups else None
        for cell in data.cells["cell"].tolist()
    ]


def _line(name: str, rows: pd.DataFrame, keys: list[str]) -> Line:
    n = len(rows)
    verdicts = rows["verdict"].astype(str).value_counts()
    stopped = int(rows["stopped_round"].notna().sum()) if "stopped_round" in rows else 0
    return Line(
        name=name,
        markets=n,
        medians={key: median_of(ranked(rows[key], key)) for key in keys},
        shares={
            v: Figure(verdicts.get(v, 0) / n, *share_interval(int(verdicts.get(v, 0)), n)) for v in VERDICTS
        },
        stopped=stopped,
    )


def median_of(values: np.ndarray) -> Figure:
    """The median, and how far it may be off."""
    ordered = np.sort(values)
    return Figure(float(quantiles(ordered, [0.5])[0]), *median_interval(ordered))


def paired_difference(one: pd.DataFrame, other: pd.DataFrame) -> Figure | None:
    """Median over markets of how much more `other` has reached of the equilibrium than `one` on the same."""
    if PAIRED not in one.columns:
        return None
    keys = ["ground", "market"]
    both = one[[*keys, PAIRED]].merge(other[[*keys, PAIRED]], on=keys, suffixes=("_one", "_other"))
    difference = both[f"{PAIRED}_other"] - both[f"{PAIRED}_one"]
    values = difference.dropna().to_numpy(np.float64)
    return median_of(values) if len(values) else None


def shown(metric: str, value: float) -> str:
    """A value as the page shows it, in per cent where that is usual."""
    if not np.isfinite(value):
        return "never" if metric.startswith("rounds_to") else "not finite"
    return percent(100 * value) if metric in SCALES else amount(value)


def amount(value: float, sign: str = "") -> str:
    """A number to three digits, whole from a thousand on."""
    if 1000 <= abs(value) < 1e6:
        return f"{_rounded(value, whole=True):{sign}.0f}"
    text = f"{float(_rounded(value)):{sign}.3g}"
    return re.sub(r"e([+-])0*", lambda m: "e-" if m[1] == "-" else "e", text)


def _rounded(value: float, whole: bool = False) -> Decimal:
    """Halves away from zero, as the page's script rounds: both show the same number alike."""
    exact = Decimal(value)
    if whole:
        return exact.to_integral_value(ROUND_HALF_UP)
    return Context(prec=3, rounding=ROUND_HALF_UP).create_decimal(exact)


def percent(value: float) -> str:
    """Per cent to three digits, or as many as tell nearly all from all."""
    if not 99.5 < value < 100:
        return amount(value)
    digits = int(np.clip(np.ceil(-np.log10(100 - value)) + 1, 1, 6))
    text = str(Decimal(value).quantize(Decimal(1).scaleb(-digits), ROUND_HALF_UP))
    return "100" if float(text) == 100 else text
