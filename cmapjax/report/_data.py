"""What a page is made from: the frames of a results folder, and what is missing from them."""

import dataclasses
import re
from typing import Any

import numpy as np
import pandas as pd

from cmapjax.plots._tables import PLAY, play_names

_CHUNK = re.compile(r"g(\d+)-m(\d+)-n(\d+)")
# What frames have besides axes; an axis may be named like one of the words that make up a cell.
_NOT_METRICS = (
    "cell", "ground", "market", "seed", "fingerprint", "network", "endowment", "value", "process",
    "strategy", "schedule", "damping", "isolated", "num_agents", "num_links", "rounds", "agent_updates",
    "stopped_round", "verdict", "flags", "play", "equilibrium_log_welfare",
    "equilibrium_gap", "spending_error",
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class ReportData:
    """A study's results as plain frames; nothing in them has been left out.

    Attributes:
        study: the study's document.
        about: what study.json says.
        text: the study file as given, if it was kept.
        summary: one row per market and cell; `play` is the place in `plays`.
        curves: quantiles over markets, one row per cell, round and metric.
        plays: strategy, schedule and damping in words, in order of appearance.
        cells: one row per cell: cell, ground, play, axes, planned, played, failed (numbers of markets).
        axes: names of the study's axes; `ground_axes` those that decide markets.
        failures: chunks that failed: chunk, ground, first, count, reason.
        described: the study as an object; None if it cannot be one here (files it refers to are elsewhere).
        networks: markets drawn again, for the network view.
        notes: what the page has to say about its own gaps.
    """

    study: dict
    about: dict
    text: str | None
    summary: pd.DataFrame
    curves: pd.DataFrame
    plays: list[str]
    cells: pd.DataFrame
    axes: list[str]
    ground_axes: list[str]
    failures: pd.DataFrame
    described: Any = None
    networks: list[dict] = dataclasses.field(default_factory=list)
    notes: list[str] = dataclasses.field(default_factory=list)

    @classmethod
    def from_results(cls, results, *, text: str | None = None) -> "ReportData":
        """The data of what `open_study` has opened."""
        document = dict(results.study)
        described = _described(document)
        summary = results.frame() if results.chunks else _nothing(document)
        curves = results.curves() if results.chunks else None
        codes, plays = pd.factorize(play_names(_with_unplayed(summary, described)))
        axes = [axis for axis in results.axes if axis in summary.columns]
        summary = summary.assign(play=codes[: len(summary)])
        failures = _failures(results.failed)
        cells = _cells(summary, axes, document, described, codes[len(summary) :], failures)
        return cls(
            study=document,
            about=dict(results.about),
            text=text,
            summary=summary,
            curves=pd.DataFrame({"metric": []}) if curves is None else curves,
            plays=[str(play) for play in plays],
            cells=cells,
            axes=axes,
            ground_axes=[axis for axis in axes if _is_of_ground(cells, axis)],
            failures=failures,
            described=described,
        )

    @property
    def name(self) -> str:
        return str(self.study.get("name", "study"))

    @property
    def metrics(self) -> list[str]:
        """The recorded numbers per market, in the order of the columns."""
        left_out = {*_NOT_METRICS, *self.axes}
        numeric = pd.api.types.is_numeric_dtype
        return [c for c in self.summary.columns if c not in left_out and numeric(self.summary[c])]

    @property
    def planned(self) -> int:
        """Markets that the study asks for, of all cells together."""
        return int(self.cells["planned"].sum())

    @property
    def played(self) -> int:
        return len(self.summary)


def _described(document: dict):
    """The study as an object, which knows its cells and grounds."""
    from cmapjax.studies import Study

    try:
        return Study(**document)
    except (ValueError, OSError):  # network files are not where they were; all else works without
        return None


def _nothing(document: dict) -> pd.DataFrame:
    """The summary of a study of which no chunk is finished: its columns, without rows."""
    text = ("strategy", "schedule", "damping", "verdict", *_axes(document))
    numbers = ("cell", "ground", "market", "num_agents", "rounds", "agent_updates")
    return pd.DataFrame({name: pd.Series(dtype=object) for name in text}).assign(
        **{name: pd.Series(dtype="int64") for name in numbers}
    )


def _axes(document: dict) -> list[str]:
    from cmapjax.studies.results._open import axes_of

    return axes_of(document)


def _unplayed(summary: pd.DataFrame, described) -> list:
    """Cells of which no market has been played."""
    if described is None:
        return []
    played = set(summary["cell"].unique().tolist())
    return [cell for cell in described.cells() if cell.number not in played]


def _with_unplayed(summary: pd.DataFrame, described) -> pd.DataFrame:
    """What every row plays, and after them what every cell would that has no row."""
    from cmapjax.words._plans import plan

    lines = []
    for cell in _unplayed(summary, described):
        words = cell.words._asdict()
        line = plan(*(words[name] for name in PLAY))
        words |= {"schedule": line.schedule, "damping": line.damping} | cell.axes
        lines.append([str(words[name]) for name in PLAY])
    return pd.concat(
        [summary[[*PLAY]].astype(str), pd.DataFrame(lines, columns=[*PLAY], dtype=object)], ignore_index=True
    )


def _failures(failed: dict[str, str]) -> pd.DataFrame:
    """Chunks that failed, by name: what they were to play, and why they did not."""
    rows = []
    for name, reason in failed.items():
        match = _CHUNK.fullmatch(name)
        ground, first, count = map(int, match.groups()) if match else (-1, 0, 0)
        rows.append((name, ground, first, count, str(reason)))
    return pd.DataFrame(rows, columns=["chunk", "ground", "first", "count", "reason"])


def _cells(summary, axes: list[str], document: dict, described, plays, failures) -> pd.DataFrame:
    """One row per cell, with how many markets it has, lacks and has lost."""
    first = summary.drop_duplicates("cell")
    columns = list(dict.fromkeys(["cell", "ground", "play", *axes]))
    cells = first[columns]
    more = [
        {"cell": cell.number, "ground": cell.ground, "play": play, **cell.axes}
        for cell, play in zip(_unplayed(summary, described), plays, strict=True)
    ]
    if more:
        added = pd.DataFrame(more)[columns]
        cells = (
            pd.concat([cells.astype(object), added.astype(object)]).infer_objects() if len(cells) else added
        )
    cells = cells.sort_values("cell").reset_index(drop=True)
    lost = failures.groupby("ground")["count"].sum()
    played = summary.groupby("cell").size()
    markets = int(document.get("markets", 0))
    if described is None:
        planned = np.full(len(cells), markets)
    else:
        planned = np.array([described.grounds()[ground].markets for ground in cells["ground"].tolist()], int)
    return cells.assign(
        played=cells["cell"].map(played).fillna(0).astype(int).to_numpy(),
        planned=planned,
        failed=cells["ground"].map(lost).fillna(0).astype(int).to_numpy(),
    )


def _is_of_ground(cells: pd.DataFrame, axis: str) -> bool:
    """Whether the cells of a ground, which share their markets, share this axis' value."""
    return bool((cells.groupby("ground")[axis].nunique() <= 1).all()) and axis not in PLAY


def non_finite(summary: pd.DataFrame) -> pd.Series:
    """How often each metric was flagged as no finite number."""
    if "flags" not in summary.columns:
        return pd.Series(dtype=int)
    flags = summary["flags"].dropna().astype(str)
    flags = flags[flags != ""]  # name=inf,name=nan
    return flags.str.replace(r"=[^,]*", "", regex=True).str.split(",").explode().value_counts()


def stopped(summary: pd.DataFrame) -> np.ndarray:
    """Which markets were stopped before the last round."""
    if "stopped_round" not in summary.columns:
        return np.zeros(len(summary), bool)
    return summary["stopped_round"].notna().to_numpy()
