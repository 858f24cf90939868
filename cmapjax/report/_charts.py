"""What the charts of the page draw: the results brought down to a size that a browser opens at once.

Curves are thinned, distributions binned; what has been left out is said in `notes`, and the page shows it.
"""

import numpy as np
import pandas as pd

from cmapjax.plots._curves import SMALLEST_SHOWN
from cmapjax.plots._tables import (
    QUANTILES,
    SCALES,
    is_worse_above,
    levels,
    measure,
    quantiles,
    ranked,
    updates_per_round,
)
from cmapjax.report._data import ReportData, stopped
from cmapjax.report._figures import VERDICTS, common

MOST_CELLS = 1000  # in charts and in the table of cells
MOST_RECORDS = 60  # of a curve
MOST_NUMBERS = 400_000  # of all curves together: 3 MB
NUM_BINS = 40
DIGITS = 8
# Curves of these are kept first if there is no room for all.
FIRST = (
    "share_of_equilibrium",
    "certified_gap",
    "misallocated_share",
    "log_welfare_loss",
    "oscillation",
    "min_ratio",
)


def document(data: ReportData) -> dict:
    """All that the page's scripts need, as JSON's data."""
    notes: list[str] = []
    cells = some_cells(data.cells, notes)
    chosen = data.summary["cell"].isin(cells["cell"])
    summary = data.summary if chosen.all() else data.summary[chosen]
    metrics = data.metrics
    if not common(data).is_all:
        notes.append(
            "Strategies were not all played on the same markets; charts show each on its own. Choose cells "
            "that all have, or compare by the first table above."
        )
    curves = _curves(data, cells, notes)
    return {
        "measures": {name: _measure(name) for name in dict.fromkeys([*metrics, *curves["metrics"]])},
        "verdicts": list(VERDICTS),
        "plays": data.plays,
        "axes": _axes(data, cells, notes),
        "cells": _cells(summary, cells),
        "statistics": _statistics(summary, cells, metrics),
        "histograms": _histograms(summary, cells, metrics),
        "curves": curves,
        "networks": data.networks,
        "notes": notes,
    }


def some_cells(cells: pd.DataFrame, notes: list[str]) -> pd.DataFrame:
    """All cells, or of very many those of grounds at even distances, so that plays stay comparable."""
    if len(cells) <= MOST_CELLS:
        return cells
    grounds = np.unique(cells["ground"])
    per_ground = len(cells) / len(grounds)
    number = max(int(MOST_CELLS / per_ground), 1)
    kept = grounds[np.unique(np.linspace(0, len(grounds) - 1, number).astype(int))]
    some = cells[cells["ground"].isin(kept)].head(MOST_CELLS).reset_index(drop=True)
    notes.append(
        f"Charts and the table of cells show {len(some):,} of {len(cells):,} cells, at even distances; key "
        "figures are about all."
    )
    return some


def _measure(metric: str) -> dict:
    label, is_log = measure(metric)
    return {
        "label": label,
        "log": is_log,
        "scale": SCALES.get(metric, 1.0),
        "worseAbove": is_worse_above(metric),
        "absent": "never" if metric.startswith("rounds_to") else "not finite",
    }


def _axes(data: ReportData, cells: pd.DataFrame, notes: list[str]) -> list[dict]:
    axes = []
    for name in data.axes:
        labels, place = levels(cells[name])
        distinct = cells[name].nunique()
        if len(labels) < distinct:
            notes.append(f"The {distinct:,} values of {name} are put into {len(labels)} ranges.")
        axes.append(
            {
                "name": name,
                "levels": labels,
                "level": np.asarray(place).tolist(),
                "isGround": name in data.ground_axes,
            }
        )
    return axes


def _cells(summary: pd.DataFrame, cells: pd.DataFrame) -> dict:
    order = cells["cell"]
    verdicts = pd.crosstab(summary["cell"], summary["verdict"].astype(str)).reindex(order, fill_value=0)
    ended = pd.Series(stopped(summary), index=summary.index)
    rates = updates_per_round(summary).reindex(order).fillna(1.0)
    agents = summary.groupby("cell")["num_agents"].mean().reindex(order).fillna(0)
    columns = ("cell", "ground", "play", "planned", "played", "failed")
    return {
        **{name: cells[name].astype(int).tolist() for name in columns},
        "rate": _numbers(rates),
        "agents": _numbers(agents),
        "stopped": ended.groupby(summary["cell"]).sum().reindex(order, fill_value=0).astype(int).tolist(),
        "verdicts": [verdicts[name].tolist() if name in verdicts else [0] * len(order) for name in VERDICTS],
    }


def _per_cell(summary: pd.DataFrame, cells: pd.DataFrame, metric: str):
    """Of every cell the ascending values of a metric, those that are not finite as the worst."""
    codes = pd.Categorical(summary["cell"], categories=cells["cell"]).codes
    values = ranked(summary[metric], metric)
    order = np.lexsort((values, codes))
    values, codes = values[order], codes[order]
    return np.split(values, np.searchsorted(codes, np.arange(1, len(cells))))


def _statistics(summary: pd.DataFrame, cells: pd.DataFrame, metrics: list[str]) -> dict:
    """Per metric and cell: median, first and last decile, mean; null where a market is not finite."""
    found = {}
    for metric in metrics:
        table = np.full((4, len(cells)), np.nan)
        for place, values in enumerate(_per_cell(summary, cells, metric)):
            if len(values):
                table[:3, place] = quantiles(values, [0.5, 0.1, 0.9])
                with np.errstate(invalid="ignore"):
                    table[3, place] = values.mean()
        found[metric] = dict(zip(("median", "decile1", "decile9", "mean"), map(_numbers, table), strict=True))
    return found


def _histograms(summary: pd.DataFrame, cells: pd.DataFrame, metrics: list[str]) -> dict:
    """Per metric: edges of bins common to all cells, and for every cell how many markets are in each.

    Of a metric on a logarithmic axis the edges are powers of ten. `absent` counts those that are not finite.
    """
    found = {}
    for metric in metrics:
        parts = _per_cell(summary, cells, metric)
        values = np.concatenate([*parts, np.zeros(0)])
        finite = values[np.isfinite(values)]
        is_log = measure(metric)[1]
        low, high = (float(finite.min()), float(finite.max())) if len(finite) else (0.0, 1.0)
        if is_log:
            low, high = (float(np.log10(max(end, SMALLEST_SHOWN))) for end in (low, high))
        room = 0.0 if high > low else 0.5 * max(abs(high), 1e-9)
        edges = np.linspace(low - room, high + room, NUM_BINS + 1)
        counts, absent = [], []
        for part in parts:
            own = part[np.isfinite(part)]
            own = np.log10(np.maximum(own, SMALLEST_SHOWN)) if is_log else own
            counts.append(np.histogram(np.clip(own, edges[0], edges[-1]), edges)[0].tolist())
            absent.append(len(part) - len(own))
        found[metric] = {"edges": _numbers(edges), "counts": counts, "absent": absent}
    return found


def _curves(data: ReportData, cells: pd.DataFrame, notes: list[str]) -> dict:
    """Per metric and cell five rows (quantiles) over the records kept."""
    curves = data.curves
    if not len(curves):
        return {"rounds": [], "cells": [], "metrics": {}, "isSketch": False}
    curves = curves.assign(metric=curves["metric"].astype(str))
    recorded = [
        m for m in dict.fromkeys([*FIRST, *curves["metric"].unique()]) if (curves["metric"] == m).any()
    ]
    rounds = np.unique(curves["round"])
    kept = _some_rounds(rounds)
    if len(kept) < len(rounds):
        notes.append(f"Curves show {len(kept)} of {len(rounds):,} recorded rounds.")
    room = max(MOST_NUMBERS // (len(kept) * len(QUANTILES)), 1)
    if (data.study.get("record") or {}).get("curves") == "full" and stopped(data.summary).any():
        notes.append("Curves of markets that were stopped end there; later points are of those that went on.")
    order = cells["cell"].to_numpy()
    metrics = recorded[: max(room // len(order), min(2, len(recorded)))]
    if len(metrics) < len(recorded):
        notes.append(
            f"Curves of {', '.join(metrics)} are here; of {len(recorded) - len(metrics)} more in the files."
        )
    if len(metrics) * len(order) > room:
        grounds = np.unique(cells["ground"])
        number = max(int(room / len(metrics) / len(order) * len(grounds)), 1)
        some = grounds[np.unique(np.linspace(0, len(grounds) - 1, number).astype(int))]
        order = cells.loc[cells["ground"].isin(some), "cell"].to_numpy()
        notes.append(f"Curves are of {len(order):,} of {len(cells):,} cells.")
    some = curves[curves["round"].isin(kept) & curves["cell"].isin(order) & curves["metric"].isin(metrics)]
    return {
        "rounds": kept.tolist(),
        "isSketch": (data.study.get("record") or {}).get("curves") != "full",
        "cells": np.flatnonzero(cells["cell"].isin(order)).tolist(),
        "metrics": {m: _tables(some[some["metric"] == m], order, kept) for m in metrics},
    }


def _tables(curves: pd.DataFrame, order: np.ndarray, rounds: np.ndarray) -> list:
    """Of every cell its quantiles; where all its markets have ended the last ones stand."""
    table = np.full((len(order), len(QUANTILES), len(rounds)), np.nan)
    last = np.zeros((len(order), len(rounds)), int)
    row = pd.Categorical(curves["cell"], categories=order).codes
    column = np.searchsorted(rounds, curves["round"])
    for k, name in enumerate(QUANTILES):
        table[row, k, column] = curves[name].to_numpy(np.float64)
    last[row, column] = column
    last = np.maximum.accumulate(last, axis=1)
    table = np.take_along_axis(table, last[:, None], axis=2)
    return [[_numbers(line) for line in cell] for cell in table]


def _some_rounds(rounds: np.ndarray) -> np.ndarray:
    """Records at even distances on the chart's axis (logarithmic from 1 on) and in rounds, both ends kept."""
    if len(rounds) <= MOST_RECORDS:
        return rounds
    wanted = np.expm1(np.linspace(0, np.log1p(float(rounds[-1])), MOST_RECORDS))
    nearest = np.abs(rounds[:, None] - wanted).argmin(axis=0)
    spread = np.linspace(0, len(rounds) - 1, MOST_RECORDS // 2).astype(int)
    return rounds[np.unique([*nearest[: MOST_RECORDS // 2], *spread])]


def _numbers(values) -> list:
    """As JSON's numbers, to eight digits; what is not finite as null."""
    return [float(f"{v:.{DIGITS}g}") if np.isfinite(v) else None for v in np.asarray(values, float).tolist()]
