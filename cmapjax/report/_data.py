"""What a page is made from: a study's results as frames, and what is missing from them."""

import dataclasses
import functools
from typing import Any

import numpy as np
import pandas as pd

from cmapjax.plots._tables import PLAY, play_names
from cmapjax.studies import Chunk

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
        about: what study.json says.
        summary: one row per market and cell; `play` is the place in `plays`.
        curves: quantiles over markets, one row per cell, round and metric.
        plays: strategy, schedule and damping in words, in order of appearance.
        cells: one row per cell: cell, ground, play, axes, planned, played, failed (numbers of markets).
        axes: names of the study's axes; `ground_axes` those that decide markets.
        failures: chunks that failed: chunk, ground, first, count, reason.
        described: the study as an object; None if it cannot be one here (files it refers to are elsewhere).
    """

    about: dict
    summary: pd.DataFrame
    curves: pd.DataFrame
    plays: list[str]
    cells: pd.DataFrame
    axes: list[str]
    ground_axes: list[str]
    failures: pd.DataFrame
    described: Any

    @classmethod
    def from_results(cls, results) -> "ReportData":
        """The data of what `open_study` has opened."""
        described = _described(results.study)
        is_begun = bool(results.chunks)
        summary = results.frame() if is_begun else _nothing(results.axes)
        summary.attrs = {}  # pandas copies them with every column
        curves = results.curves() if is_begun else None
        played = set(summary["cell"].unique().tolist())
        unplayed = [cell for cell in described.cells() if cell.number not in played] if described else []
        codes, plays = pd.factorize(play_names(_words(summary, unplayed)))
        axes = [axis for axis in results.axes if axis in summary.columns]
        summary = summary.assign(play=codes[: len(summary)])
        failures = _failures(results.failed)
        cells = _cells(summary, axes, unplayed, codes[len(summary) :])
        grounds = described.grounds() if described else None
        planned = [grounds[g].markets if grounds else results.study["markets"] for g in cells["ground"]]
        lost = failures.groupby("ground")["count"].sum()
        return cls(
            about=dict(results.about),
            summary=summary,
            curves=pd.DataFrame({"metric": []}) if curves is None else curves,
            plays=[str(play) for play in plays],
            cells=cells.assign(
                planned=np.array(planned, int),
                played=cells["cell"].map(summary.groupby("cell").size()).fillna(0).astype(int),
                failed=cells["ground"].map(lost).fillna(0).astype(int),
            ),
            axes=axes,
            ground_axes=[axis for axis in axes if _is_of_ground(cells, axis)],
            failures=failures,
            described=described,
        )

    @property
    def study(self) -> dict:
        """The study's description."""
        return self.about["study"]

    @functools.cached_property
    def metrics(self) -> list[str]:
        """The recorded numbers per market, in the order of the columns."""
        left_out = {*_NOT_METRICS, *self.axes}
        numeric = pd.api.types.is_numeric_dtype
        return [c for c in self.summary.columns if c not in left_out and numeric(self.summary[c])]

    @property
    def planned(self) -> int:
        """Runs that the study asks for, of all cells together."""
        return int(self.cells["planned"].sum())

    @property
    def played(self) -> int:
        """Runs that have been played."""
        return len(self.summary)

    @property
    def stopped(self) -> np.ndarray:
        """Which runs were stopped before the last round."""
        if "stopped_round" not in self.summary.columns:
            return np.zeros(len(self.summary), bool)
        return self.summary["stopped_round"].notna().to_numpy()

    @property
    def non_finite(self) -> pd.Series:
        """How often each metric was flagged as no finite number."""
        if "flags" not in self.summary.columns:
            return pd.Series(dtype=int)
        flags = self.summary["flags"].dropna().astype(str)
        flags = flags[flags != ""]  # name=inf,name=nan
        return flags.str.replace(r"=[^,]*", "", regex=True).str.split(",").explode().value_counts()


def _described(document: dict):
    """The study as an object, which knows its cells and grounds."""
    from cmapjax.studies import Study

    try:
        return Study(**document)
    except (ValueError, OSError):  # network files are not where they were; all else works without
        return None


def _nothing(axes: list[str]) -> pd.DataFrame:
    """The summary of a study of which no chunk is finished: its columns, without rows."""
    text = dict.fromkeys(("strategy", "schedule", "damping", "verdict", *axes), object)
    numbers = dict.fromkeys(("cell", "ground", "market", "num_agents", "rounds", "agent_updates"), "int64")
    return pd.DataFrame({name: pd.Series(dtype=kind) for name, kind in (text | numbers).items()})


def _words(summary: pd.DataFrame, unplayed: list) -> pd.DataFrame:
    """What every row plays, and after them what every cell would that has no row."""
    from cmapjax.words._plans import plan

    lines = []
    for cell in unplayed:
        words = cell.words._asdict()
        line = plan(*(words[name] for name in PLAY))
        words |= {"schedule": line.schedule, "damping": line.damping} | cell.axes
        lines.append([str(words[name]) for name in PLAY])
    more = pd.DataFrame(lines, columns=[*PLAY], dtype=object)
    return pd.concat([summary[[*PLAY]].astype(str), more], ignore_index=True)


def _failures(failed: dict[str, str]) -> pd.DataFrame:
    """Chunks that failed, by name: what they were to play, and why they did not."""
    rows = [(name, *Chunk.named(name), str(reason)) for name, reason in failed.items()]
    return pd.DataFrame(rows, columns=["chunk", "ground", "first", "count", "reason"])


def _cells(summary: pd.DataFrame, axes: list[str], unplayed: list, plays) -> pd.DataFrame:
    """One row per cell, in order: its number, ground, play and place on the axes."""
    columns = list(dict.fromkeys(["cell", "ground", "play", *axes]))
    cells = summary.drop_duplicates("cell")[columns]
    if unplayed:
        more = pd.DataFrame(
            [
                {"cell": cell.number, "ground": cell.ground, "play": play, **cell.axes}
                for cell, play in zip(unplayed, plays, strict=True)
            ]
        )[columns]
        both = pd.concat([cells.astype(object), more.astype(object)]).infer_objects()
        cells = both if len(cells) else more
    return cells.sort_values("cell").reset_index(drop=True)


def _is_of_ground(cells: pd.DataFrame, axis: str) -> bool:
    """Whether the cells of a ground, which share their markets, share this axis' value."""
    return bool((cells.groupby("ground")[axis].nunique() <= 1).all()) and axis not in PLAY
