"""What a page is made from: the frames of a results folder, and what is missing from them."""

import dataclasses
import re
from pathlib import Path

import numpy as np
import pandas as pd

from cmapjax.plots._tables import PLAY, play_names

_CHUNK = re.compile(r"g(\d+)-m(\d+)-n(\d+)")
# What frames have besides axes; an axis may be named like one of the words that make up a cell.
_NOT_METRICS = (
    "cell", "ground", "market", "seed", "fingerprint", "network", "endowment", "value", "process",
    "strategy", "schedule", "damping", "isolated", "num_agents", "num_links", "rounds", "agent_updates",
    "stopped_round", "verdict", "flags", "play", "equilibrium_log_welfare",
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class ReportData:
    """A study's results as plain frames; nothing in them has been left out.

    Attributes:
        study: the study's document.
        manifest: of the results folder.
        text: the study file as given, if it was kept.
        summary: one row per market and cell; `play` is the place in `plays`.
        curves: quantiles over markets, one row per cell, round and metric.
        plays: strategy, schedule and damping in words, in order of appearance.
        cells: one row per cell: cell, ground, play, axes, planned, played, failed (numbers of markets).
        axes: names of the study's axes; `ground_axes` those that decide markets.
        failures: chunks that failed: chunk, ground, first, count, reason.
        networks: markets drawn again, for the network view.
    """

    study: dict
    manifest: dict
    text: str | None
    summary: pd.DataFrame
    curves: pd.DataFrame
    plays: list[str]
    cells: pd.DataFrame
    axes: list[str]
    ground_axes: list[str]
    failures: pd.DataFrame
    networks: list[dict] = dataclasses.field(default_factory=list)

    @classmethod
    def from_results(cls, results, *, text: str | None = None) -> "ReportData":
        """The data of what `open_study` has opened."""
        study = results.study
        document = study.document() if hasattr(study, "document") else dict(study)
        summary = results.frame()
        curves = results.curves()
        curves = pd.DataFrame({"metric": []}) if curves is None else curves
        names = play_names(summary)
        codes, plays = pd.factorize(names)
        summary = summary.assign(play=codes)
        failures = _failures(results)
        axes = [axis for axis in _axes(study, document) if axis in summary.columns]
        cells = _cells(summary, axes, document, failures)
        return cls(
            study=document,
            manifest=dict(results.manifest),
            text=text,
            summary=summary,
            curves=curves,
            plays=[str(play) for play in plays],
            cells=cells,
            axes=axes,
            ground_axes=[axis for axis in axes if _is_of_ground(cells, axis)],
            failures=failures,
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


def read_text(folder: Path) -> str | None:
    """The study file as it was given; None if the folder has none that is text."""
    path = folder / "study.toml"
    if not path.is_file() or path.stat().st_size > 1 << 20:
        return None
    return path.read_text(encoding="utf-8", errors="replace")


def _axes(study, document: dict) -> list[str]:
    """Names of the axes, from the study or from its document."""
    if hasattr(study, "axes"):
        return list(study.axes)
    names = list(document.get("grid") or {})
    for table in (*(document.get("zip") or ()), *(document.get("list") or ())):
        names += list(table)
    names += [name for name in document.get("sample") or {} if name not in ("method", "number", "seed")]
    return list(dict.fromkeys(names))


def _failures(results) -> pd.DataFrame:
    """Chunks that failed, by name: what they were to play, and why they did not."""
    failed = getattr(results, "failed", None)
    failed = failed() if callable(failed) else failed
    rows = []
    for name, reason in dict(failed or {}).items():
        match = _CHUNK.fullmatch(name)
        ground, first, count = map(int, match.groups()) if match else (-1, 0, 0)
        rows.append((name, ground, first, count, str(reason)))
    return pd.DataFrame(rows, columns=["chunk", "ground", "first", "count", "reason"])


def _cells(summary: pd.DataFrame, axes: list[str], document: dict, failures: pd.DataFrame) -> pd.DataFrame:
    """One row per cell that has been played at all, with how many markets it has, lacks and has lost."""
    first = summary.drop_duplicates("cell").sort_values("cell")
    columns = list(dict.fromkeys(["cell", "ground", "play", *PLAY, "num_agents", *axes]))
    cells = first[columns].reset_index(drop=True)
    lost = failures.groupby("ground")["count"].sum()
    played = summary.groupby("cell").size()
    return cells.assign(
        played=cells["cell"].map(played).to_numpy(),
        planned=int(document.get("markets", 0)),
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
    flags = flags[flags != ""]
    return flags.str.split(r"[,;\s]+", regex=True).explode().value_counts()


def stopped(summary: pd.DataFrame) -> np.ndarray:
    """Which markets were stopped before the last round."""
    if "stopped_round" not in summary.columns:
        return np.zeros(len(summary), bool)
    return summary["stopped_round"].notna().to_numpy()
