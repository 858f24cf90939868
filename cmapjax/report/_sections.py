"""The words and tables of the page, ready for its template.

A table has a name, a caption, heads and rows. A cell is text, or a number with its text and, where it has
one, its interval.
"""

import pprint
import re
import shlex
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from cmapjax.plots._tables import VERDICTS, axis_text
from cmapjax.report._data import ReportData
from cmapjax.report._summary import (
    KEY_METRICS,
    PAIRED,
    Figure,
    Line,
    amount,
    by_play,
    common,
    key_metrics,
    lines_of,
    percent,
    shown,
)
from cmapjax.report._view import some_cells
from cmapjax.studies import mean_intervals
from cmapjax.studies._interval import ROUNDING

INTERVALS = (
    "In brackets exact 95 % confidence intervals: of medians by order statistics (of fewer than six markets "
    "from the least to the greatest), of shares Clopper and Pearson's. A market that is not finite, or never "
    "got there, counts as the worst, not as absent."
)
A_RUN = "runs (a market under a strategy) have been played."


class Table(NamedTuple):
    """A table that its heads sort, and what stands below it."""

    name: str
    caption: str
    heads: list[str]
    rows: list[list]
    notes: list[str]


def words(data: ReportData, notes: list[str], folder_name: str) -> dict[str, Any]:
    """All that the template says in words, by name; what charts leave out is added to notes."""
    shared = common(data)
    if not shared.is_all:
        notes.append(
            "Strategies were not all played on the same markets; charts show each on its own. Choose cells "
            "that all have, or compare by the table above."
        )
    return {
        "title": str(data.study.get("name", "study")),
        "status": status(data),
        "facts": facts(data),
        "varying": varying(data),
        "fixed": {
            k: v for k, v in data.study.get("cells", {}).items() if v is not None and k not in data.axes
        },
        "figures": key_figures(data, shared) if data.played else None,
        "unplayed": [name for name, line in zip(data.plays, by_play(data), strict=True) if line is None],
        "shared": shared,
        "cells": cell_table(data),
        "trouble": trouble(data),
        "failures": failures(data),
        **reproduce(data, folder_name),
    }


def status(data: ReportData) -> tuple[bool, str]:
    """Whether something is missing, and what."""
    lost, missing = int(data.failures["count"].sum()), data.planned - data.played
    if not len(data.failures) and missing <= 0:
        return False, f"✓ Complete: all {data.planned:,} {A_RUN}"
    if not len(data.failures) and _asked(data):
        return False, (
            f"{data.played:,} of at most {data.planned:,} {A_RUN} Where the mean is known well enough in "
            "every cell of a ground no more markets are drawn (Cells)."
        )
    text = f"⚠ {data.played:,} of {data.planned:,} {A_RUN} "
    if not len(data.failures):
        return True, f"{text}The rest has not been played yet; cmapjax study resume goes on."
    return True, (
        f"{text}{len(data.failures):,} chunk(s) failed, {lost:,} market(s) under every strategy; the reasons "
        "are under Trouble."
    )


def facts(data: ReportData) -> dict[str, str]:
    """What was run, on what."""
    study, about, record = data.study, data.about, data.study.get("record") or {}
    metrics = record.get("metrics", "standard")
    metrics = f"{metrics} metrics" if isinstance(metrics, str) else ", ".join(map(str, metrics))
    every = record.get("every")
    found = {
        "Cells": f"{len(data.cells):,} on {data.cells['ground'].nunique():,} kinds of market",
        "Markets": f"{len(data.summary[['ground', 'market']].drop_duplicates()):,}",
        "Runs": f"{data.played:,}, a run being a market under a strategy",
        "Rounds": f"{study.get('rounds', 0):,}",
        "Seed": study.get("seed"),
        "Precision": study.get("precision", "float64"),
        "Equilibrium": "solved exactly" if study.get("equilibrium", True) else "not solved",
        "Recorded": f"{metrics}; curves: {record.get('curves', 'quantiles')}, "
        + (f"every {every} rounds" if every else "after 1, 2, 3, 5, 8, … rounds"),
        "Device": about.get("device"),
        "Started": about.get("created"),
        "Versions": ", ".join(f"{name} {number}" for name, number in (about.get("versions") or {}).items()),
        "Commit": about.get("commit"),
        "Study's digest": about.get("digest"),
    }
    return {word: str(fact) for word, fact in found.items() if fact not in (None, "")}


def varying(data: ReportData) -> dict[str, str]:
    """The axes and their values; of long ones the ends."""
    rows = {}
    for axis in data.axes:
        values = data.cells[axis].unique().tolist()
        rows[axis] = ", ".join(map(axis_text, values[:12]))
        if len(values) > 12:
            rows[axis] = f"{len(values):,} values"
            if pd.api.types.is_numeric_dtype(data.cells[axis]):
                rows[axis] += f" from {axis_text(min(values))} to {axis_text(max(values))}"
    return rows


def key_figures(data: ReportData, shared) -> Table:
    """A line per strategy, on the markets that all share; if there are none, each on its own."""
    is_compared = shared.markets > 0
    some = shared.rows if is_compared else data.summary
    caption = "All cells together, per strategy"
    if not shared.is_all:
        caption = "On the markets that all strategies were played on"
    if not is_compared:
        caption = "Each strategy on its own markets, which are not the same"
    lines = {name: line for name, line in zip(data.plays, by_play(data, some), strict=True) if line}
    keys, verdicts = key_metrics(data), _occurring(lines.values())
    has_difference = is_compared and any(line.difference for line in lines.values())
    heads = ["strategy", "markets", *(KEY_METRICS[key][0] for key in keys)]
    heads += ["more than the first"] * has_difference + [f"{v}, %" for v in verdicts]
    rows = [
        [name, (line.markets, f"{line.markets:,}")]
        + [_figure(line.medians[key], key) for key in keys]
        + [_difference(line)] * has_difference
        + [_share(line.shares[v]) for v in verdicts]
        for name, line in lines.items()
    ]
    note = [f"{KEY_METRICS[key][0]}: median market's {KEY_METRICS[key][1]}." for key in keys]
    if has_difference:
        note.append(
            "More than the first: median over markets of the difference on the same market, in points."
        )
    note.append(f"{', '.join(verdicts).capitalize()}: % of markets. {INTERVALS}")
    return Table("figures-table", caption, heads, rows, [" ".join(note), *above_all(some)])


def above_all(some: pd.DataFrame) -> list[str]:
    """Why shares of the equilibrium are above 100 %, where they are."""
    if PAIRED not in some or not (above := int((some[PAIRED] > 1 + ROUNDING).sum())):
        return []
    text = f"{above:,} of {len(some):,} runs are above 100 % of the equilibrium's Nash welfare. "
    processes = sorted(set(some["process"].astype(str)) - {"constant"}) if "process" in some else []
    if not processes:
        return [
            f"{text}With constant endowments that is not possible: a fault, of the results or of cmapjax."
        ]
    return [
        f"{text}Their endowments vary ({', '.join(processes)}): the last round may have brought more than "
        "the mean endowments, which the equilibrium is of. What is reached over time is in the metrics named "
        "average_…"
    ]


def cell_table(data: ReportData) -> Table:
    """A row per cell, with what the cell is."""
    notes: list[str] = []
    some, keys, lines = some_cells(data.cells, notes), key_metrics(data), lines_of(data, data.summary, "cell")
    intervals = mean_intervals(data.study, data.summary) if data.played else None
    verdicts = _occurring(lines.values())
    heads = ["cell", *data.axes, "markets", *(KEY_METRICS[key][0] for key in keys)]
    heads += [f"{v}, %" for v in verdicts]
    found: dict[int, Any] = {}
    if intervals is not None:
        heads.insert(2 + len(data.axes), f"mean {_asked(data)['metric'].replace('_', ' ')}")
        found = {row.cell: row for row in intervals.itertuples(index=False)}
    rows = []
    for number, planned, failed, *values in some[["cell", "planned", "failed", *data.axes]].itertuples(
        index=False, name=None
    ):
        line = lines.get(number)
        row = [(number, str(number)), *map(_value, values), _markets(line, planned, failed)]
        if line is not None:
            row += [_mean(found[number])] if found else []
            row += [_figure(line.medians[key], key) for key in keys]
            row += [_share(line.shares[v]) for v in verdicts]
        rows.append(row + ["not played"] * (len(heads) - len(row)))
    note = f"Medians over markets. {INTERVALS}"
    if found:
        reached = int(intervals["is_reached"].sum())
        note += (
            " The mean has the 95 % interval by which drawing ends, which holds however often it is looked "
            f"at: in {reached:,} of {len(found):,} cells it is at most {axis_text(_asked(data)['width'])} "
            "wide (*)."
        )
    is_part = len(some) < len(data.cells)
    caption = f"{len(some):,} of {len(data.cells):,} cells" if is_part else "Every cell"
    return Table("cells-table", caption, heads, rows, [note, *notes])


def _occurring(lines: Iterable[Line]) -> list[str]:
    return [v for v in VERDICTS if any(line.shares[v].value > 0 for line in lines)]


def _value(value):
    """The value of an axis."""
    value = value.item() if isinstance(value, np.generic) else value
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return (value, axis_text(value)) if is_number else str(value)


def _cell(figure: Figure, text: Callable[[float], str]) -> tuple:
    value, low, high = map(text, figure)
    return float(figure.value), value, (f"[{low},", f"{high}]")


def _figure(figure: Figure, metric: str) -> tuple:
    return _cell(figure, lambda x: shown(metric, x))


def _share(figure: Figure) -> tuple:
    return _cell(figure, lambda x: percent(100 * x))


def _difference(line: Line):
    if line.difference is None:
        return "–"
    return _cell(line.difference, lambda x: amount(100 * x, "+") if abs(x) >= 1e-11 else "0")


def _markets(line: Line | None, planned: int, failed: int) -> tuple:
    played = 0 if line is None else line.markets
    more = [f"of {planned:,}"] * (played < planned) + [f"{failed:,} failed"] * bool(failed)
    return played, f"{played:,}", more


def _asked(data: ReportData) -> dict | None:
    """By which mean the study stops drawing markets, if it does."""
    return (data.study.get("stop") or {}).get("interval")


def _mean(found):
    """The mean of a cell's markets and its interval; a star says that it is as narrow as asked for."""
    if not np.isfinite(found.mean):
        return "a market is not finite"
    mark = " *" * found.is_reached
    value, text, ends = _figure(Figure(found.mean, found.low, found.high), found.metric)
    return value, text + mark, ends


def failures(data: ReportData) -> Table | None:
    """Chunks that failed."""
    heads = ["chunk", "ground", "first market", "markets", "reason"]
    rows = [
        [name, *((x, f"{x:,}") for x in numbers), reason]
        for name, *numbers, reason in data.failures.itertuples(index=False, name=None)
    ]
    caption = "Chunks that failed; they are in no number above"
    return Table("failures-table", caption, heads, rows, []) if rows else None


def trouble(data: ReportData) -> list[str]:
    """Markets that were stopped and numbers that are not finite; or that nothing of the kind happened."""
    parts = []
    ended = data.summary[data.stopped]
    if len(ended):
        rounds = axis_text(ended["stopped_round"].astype(float).median())
        kinds = ended["verdict"].astype(str).value_counts()
        words = ", ".join(f"{number:,} {kind}" for kind, number in kinds.items())
        parts.append(
            f"{len(ended):,} of {data.played:,} runs were stopped early, in the median after {rounds} "
            f"rounds: {words}. They count with what they had come to."
        )
    if len(flags := data.non_finite):
        parts.append(
            "Not finite, because an agent has nothing or numbers left their range: "
            f"{'; '.join(f'{name}: {number:,}' for name, number in flags.items())}, each of {data.played:,} "
            "runs."
        )
    if parts or len(data.failures):
        return parts
    return ["None: no chunk failed, no run was stopped early, every number is finite."]


def reproduce(data: ReportData, folder_name: str) -> dict[str, str]:
    """The commands that give these results again, and the study file."""
    # A name is a word to the shell, and never an option.
    folder = shlex.quote(re.sub(r"^-", "./-", folder_name))
    commit = data.about.get("commit")
    commands = [f"git checkout {shlex.quote(str(commit))}", "pip install '.[study]'"] if commit else []
    run, name, text = f"cmapjax study run study.toml --out {folder}", "study.toml", data.about.get("text")
    if not text:
        run, name, text = "python study.py", "study.py", _program(data.study, folder_name)
    version = (data.about.get("versions") or {}).get("cmapjax", "that is not known")
    source = "In a clone of cmapjax." if commit else f"With cmapjax {version}; its commit was not recorded."
    return {
        "commands": "\n".join([*commands, run, f"cmapjax report {folder}"]),
        "source": source,
        "study_name": name,
        "study_file": text,
    }


def _program(study: dict, folder_name: str) -> str:
    """Python that makes and runs the study, for one that was not read from a file."""
    made = pprint.pformat(study, width=100, sort_dicts=False)
    return f"from cmapjax import Study\n\nstudy = Study(**{made})\nstudy.run({folder_name!r})\n"
