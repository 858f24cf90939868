"""The numbers that charts show: cells, what a reader can choose of them, and what is left out and said.

A chart is `controls` and `parts`, made by `bands`, `distribution`, `verdicts` and `networks.chart`. A control
is an id, words, and pairs of a value and words. A part has the ids that it depends on (`by`) and `figures` by
their values; the script lays the chosen ones over each other. The id "condition" (values on the axes of
markets) belongs to all charts. Besides `data` and `layout` a figure may have a `note` and a `readout`: pairs
of a strategy (or none) and words.
"""

from typing import NamedTuple

import numpy as np
import pandas as pd

from cmapjax.plots import _tables
from cmapjax.report._data import ReportData
from cmapjax.report._lattice import ALL, Axis, axes_of, key_text, lattice

MOST_CELLS = 1000  # in charts and in the table of cells
MOST_CHOICES = 250  # of conditions
MOST_RECORDS = 40  # of a curve
MOST_NUMBERS = 400_000  # of all curves together
# What is shown first, and kept if there is no room for all.
FIRST = (
    "share_of_equilibrium", "certified_gap", "misallocated_share", "log_welfare_loss", "oscillation",
    "min_ratio",
)  # fmt: skip
CLOCKS = {"rounds": "rounds", "each": "agent updates, per agent", "all": "agent updates, whole market"}


class View(NamedTuple):
    """What charts are made from: cells of which something has been played, and what is chosen of them."""

    data: ReportData
    summary: pd.DataFrame
    cells: pd.DataFrame
    axes: list[Axis]
    """Those of markets; a condition has a level of each."""
    conditions: dict[str, np.ndarray]
    """Places in `cells`, by choice."""
    groups: dict[str, list[np.ndarray]]
    """The same, by choice and strategy."""
    metrics: list[str]
    statistics: np.ndarray
    """Cells × metrics × statistics."""
    verdicts: np.ndarray
    """Cells × verdicts: how many markets came to each."""
    stopped: np.ndarray
    """Of every cell how many markets were stopped."""
    recorded: list[str]
    """Metrics of which there are curves here."""
    curves: np.ndarray
    """Cells × these metrics × rounds × quantiles."""
    rounds: np.ndarray
    rates: dict[str, np.ndarray]
    """By clock: of every cell what it counts in a round."""

    def words(self, condition: str) -> str:
        """A condition in words."""
        levels = zip(self.axes, map(int, condition.split(",")), strict=True) if self.axes else ()
        return ", ".join(f"{a.name} {a.levels[k]}" for a, k in levels if k != ALL) or "all conditions"


def some_cells(cells: pd.DataFrame, notes: list[str]) -> pd.DataFrame:
    """All cells, or of very many those of grounds at even distances, so that plays stay comparable."""
    if len(cells) <= MOST_CELLS:
        return cells
    grounds = np.unique(cells["ground"])
    number = max(int(MOST_CELLS * len(grounds) / len(cells)), 1)
    kept = grounds[np.unique(np.linspace(0, len(grounds) - 1, number).astype(int))]
    some = cells[cells["ground"].isin(kept)].head(MOST_CELLS).reset_index(drop=True)
    notes.append(
        f"Charts and the table of cells show {len(some):,} of {len(cells):,} cells, at even distances; key "
        "figures are about all."
    )
    return some


def view_of(data: ReportData, notes: list[str]) -> View:
    """The numbers that charts show; what is left out is said in notes."""
    cells = some_cells(data.cells, notes)
    cells = cells[cells["played"] > 0].reset_index(drop=True)
    is_shown = data.summary["cell"].isin(cells["cell"]).to_numpy()
    summary = data.summary[is_shown]
    place = np.searchsorted(cells["cell"], summary["cell"])
    axes = axes_of(cells, data.ground_axes, notes)
    rounds = _some_rounds(np.unique(data.curves["round"])) if len(data.curves) else np.zeros(0, int)
    numbers = max(len(data.plays) * len(rounds) * len(_tables.QUANTILES), 1)  # of a condition and metric
    most = max(min(MOST_CHOICES, MOST_NUMBERS // (2 * numbers)), 1)
    choices, depth = lattice(axes, len(cells), most)
    if depth < len(axes):
        words = f"{depth} of the axes" if depth else "none of the axes"
        notes.append(
            f"There are too many conditions for one page: a value of {words} at a time can be chosen."
        )
    room = max(MOST_NUMBERS // (numbers * len(choices)), 1)
    conditions = {key_text(key): where for key, where in choices.items()}
    plays = cells["play"].to_numpy()
    recorded, curves = _curves(data, cells, rounds, room, notes)
    each = _tables.updates_per_round(summary).to_numpy()
    agents = summary.groupby("cell")["num_agents"].mean().to_numpy()
    rates = dict(zip(CLOCKS, (np.ones_like(each), each, each * agents), strict=True))
    return View(
        data,
        summary,
        cells,
        axes,
        conditions,
        groups={
            name: [where[plays[where] == play] for play in range(len(data.plays))]
            for name, where in conditions.items()
        },
        metrics=data.metrics,
        statistics=_tables.statistics(summary, data.metrics),
        verdicts=_tables.verdict_counts(summary["verdict"], place, len(cells)),
        stopped=np.bincount(place[data.stopped[is_shown]], minlength=len(cells)),
        recorded=recorded,
        curves=curves,
        rounds=rounds,
        rates=rates,
    )


def _curves(data: ReportData, cells, rounds, room: int, notes: list[str]) -> tuple[list[str], np.ndarray]:
    """The metrics there is room for, and their quantiles in every cell at the rounds shown."""
    if not len(data.curves):
        return [], np.zeros(0)
    curves = data.curves[data.curves["cell"].isin(cells["cell"])]
    names = curves["metric"].astype(str)
    recorded = ordered(names.unique(), FIRST)
    if len(rounds) < (number := data.curves["round"].nunique()):
        notes.append(f"Curves show {len(rounds)} of {number:,} recorded rounds.")
    if len(recorded) > room:
        more = len(recorded) - room
        notes.append(f"Curves of {', '.join(recorded[:room])} are here; of {more} more in the files.")
    if (data.study.get("record") or {}).get("curves") == "full" and data.stopped.any():
        notes.append("Curves of markets that were stopped end there; later points are of those that went on.")
    found = []
    for metric in recorded[:room]:
        _, known, values = _tables.cell_bands(curves[names == metric], metric)
        found.append(values[:, np.searchsorted(known, rounds)])
    return recorded[:room], np.stack(found, axis=1)


def ordered(names, first) -> list[str]:
    """The names, some of them first."""
    return list(dict.fromkeys([*(n for n in first if n in set(names)), *names]))


def _some_rounds(rounds: np.ndarray) -> np.ndarray:
    """Records at even distances on the chart's axis (logarithmic from 1 on) and in rounds, both ends kept."""
    if len(rounds) <= MOST_RECORDS:
        return rounds
    wanted = np.expm1(np.linspace(0, np.log1p(float(rounds[-1])), MOST_RECORDS))
    nearest = np.abs(rounds[:, None] - wanted).argmin(axis=0)
    spread = np.linspace(0, len(rounds) - 1, MOST_RECORDS // 2).astype(int)
    return rounds[np.unique([*nearest[: MOST_RECORDS // 2], *spread])]
