"""The sections of the page that are words and tables."""

import re
import shlex

import numpy as np
import pandas as pd

from cmapjax.plots._tables import axis_text
from cmapjax.report._charts import MOST_CELLS, some_cells
from cmapjax.report._data import ReportData, non_finite, stopped
from cmapjax.report._figures import (
    KEY_METRICS,
    PAIRED,
    VERDICTS,
    Figure,
    Line,
    amount,
    by_cell,
    by_play,
    common,
    key_metrics,
    percent,
    shown,
)
from cmapjax.report._markup import Markup, tag
from cmapjax.report._toml import as_toml
from cmapjax.studies._interval import ROUNDING, mean_intervals

INTERVALS = (
    "In brackets 95 % bootstrap intervals (2,000 resamples of the markets, fixed seed; for shares of 0 and "
    "100, of which resamples say nothing, the rule of three). A market that is not finite, or never got "
    "there, counts as the worst, not as absent."
)


def status(data: ReportData) -> Markup:
    """Whether the study is complete, and if not, what is missing and why."""
    lost = int(data.failures["count"].sum())
    missing = data.planned - data.played
    if not len(data.failures) and missing <= 0:
        words = f"✓ Complete: all {data.planned:,} runs (a market under a strategy) have been played."
        return tag("p", words, class_="status", role="status")
    if not len(data.failures) and _asked(data):
        words = (
            f"{data.played:,} of at most {data.planned:,} runs (a market under a strategy) have been played. "
        )
        words += (
            "Where the mean is known well enough in every cell of a ground no more markets are drawn (Cells)."
        )
        return tag("p", words, class_="status", role="status")
    parts = [f"⚠ {data.played:,} of {data.planned:,} runs (a market under a strategy) have been played."]
    if len(data.failures):
        parts.append(
            f" {len(data.failures):,} chunk(s) failed, {lost:,} market(s) under every strategy; the reasons "
            "are under "
        )
        parts += [tag("a", "Trouble", href="#trouble"), "."]
    else:
        parts.append(" The rest has not been played yet; cmapjax study resume goes on.")
    return tag("p", parts, class_="status warning", role="alert")


def what_was_run(data: ReportData) -> Markup:
    study, about = data.study, data.about
    versions = about.get("versions") or {}
    markets = len(data.summary[["ground", "market"]].drop_duplicates())
    facts = {
        "Cells": f"{len(data.cells):,} on {data.cells['ground'].nunique():,} kinds of market",
        "Markets": f"{markets:,}",
        "Runs": f"{data.played:,}, a run being a market under a strategy",
        "Rounds": study.get("rounds"),
        "Seed": study.get("seed"),
        "Precision": study.get("precision", "float64"),
        "Equilibrium": "solved exactly" if study.get("equilibrium", True) else "not solved",
        "Recorded": _recorded(study.get("record") or {}),
        "Device": about.get("device"),
        "Started": about.get("created"),
        "Versions": ", ".join(f"{name} {number}" for name, number in versions.items()),
        "Commit": about.get("commit"),
        "Study's digest": about.get("digest"),
    }
    rows = [
        [tag("dt", word), tag("dd", _text(fact))] for word, fact in facts.items() if fact not in (None, "")
    ]
    return tag("div", tag("dl", rows), tag("div", _axes(data), _words_of_cells(data)), class_="facts")


def _recorded(record: dict) -> str:
    metrics = record.get("metrics", "standard")
    metrics = f"{metrics} metrics" if isinstance(metrics, str) else ", ".join(map(str, metrics))
    return f"{metrics}; curves: {record.get('curves', 'quantiles')}, every {record.get('every', 10)} rounds"


def _text(fact) -> str:
    return f"{fact:,}" if isinstance(fact, int) and not isinstance(fact, bool) and fact < 10**9 else str(fact)


def _words_of_cells(data: ReportData) -> Markup | None:
    words = {
        name: text
        for name, text in (data.study.get("cells") or {}).items()
        if text is not None and name not in data.axes
    }
    if not words:
        return None
    rows = [[tag("dt", name), tag("dd", tag("code", str(text)))] for name, text in words.items()]
    return tag("div", tag("h3", "A cell"), tag("dl", rows))


def _axes(data: ReportData) -> Markup | None:
    """The axes and their values; of long ones the ends."""
    if not data.axes:
        return None
    rows = []
    for axis in data.axes:
        values = data.cells[axis].unique().tolist()
        words = ", ".join(map(axis_text, values[:12]))
        if len(values) > 12:
            words = f"{len(values):,} values"
            if pd.api.types.is_numeric_dtype(data.cells[axis]):
                words += f" from {axis_text(min(values))} to {axis_text(max(values))}"
        rows.append([tag("dt", axis), tag("dd", words)])
    return tag("div", tag("h3", "What varies"), tag("dl", rows))


def key_figures(data: ReportData) -> Markup:
    """A line per strategy; if their markets differ, a table of those they share and one of all."""
    if not data.played:
        return tag("p", "No market has been played yet.")
    shared = common(data)
    unplayed = [name for name, line in zip(data.plays, by_play(data), strict=True) if line is None]
    parts = []
    if unplayed:
        text = f"Of these strategies no market has been played: {'; '.join(unplayed)}."
        parts.append(tag("p", text, class_="note"))
    if shared.is_all:
        parts.append(_figures_table(data, data.summary, "figures-table", "All cells together, per strategy"))
        return tag("div", parts)
    text = (
        f"{shared.markets:,} of {shared.of:,} markets were played under every strategy (where leaves out "
        "cells, or chunks are missing). "
    )
    text += "Only on these are strategies compared." if shared.markets else "So strategies are not compared."
    parts.append(tag("p", text, class_="note"))
    if shared.markets:
        caption = "On the markets that all strategies were played on"
        parts.append(_figures_table(data, shared.rows, "figures-table", caption))
    caption = "Each strategy on its own markets, which are not the same"
    parts.append(
        _figures_table(
            data,
            data.summary,
            "own-figures-table",
            caption,
            is_compared=False,
            is_explained=not shared.markets,
        )
    )
    return tag("div", parts)


def _figures_table(
    data: ReportData,
    some: pd.DataFrame,
    name: str,
    caption: str,
    is_compared: bool = True,
    is_explained: bool = True,
) -> Markup:
    """Key figures of these rows of the summary, and what they mean."""
    lines, keys = [line for line in by_play(data, some) if line], key_metrics(data)
    heads = ["strategy", "markets", *(KEY_METRICS[key][0] for key in keys)]
    has_difference = is_compared and any(line.difference for line in lines)
    if has_difference:
        heads.append("more than the first")
    shown_verdicts = [v for v in VERDICTS if any(line.shares[v].value > 0 for line in lines)]
    rows = []
    for line in lines:
        row = [tag("th", line.name, scope="row"), _number(line.markets, f"{line.markets:,}")]
        row += [_figure(line.medians[key], key) for key in keys]
        if has_difference:
            row.append(_difference(line))
        rows.append(tag("tr", row + [_share(line.shares[v]) for v in shown_verdicts]))
    notes = [f"{KEY_METRICS[key][0]}: median market's {KEY_METRICS[key][1]}." for key in keys]
    if has_difference:
        notes.append(
            "More than the first: median over markets of the difference on the same market, in points."
        )
    notes.append(f"{', '.join(v.capitalize() for v in shown_verdicts)}: % of markets. {INTERVALS}")
    return tag(
        "div",
        _table(name, heads + [f"{v}, %" for v in shown_verdicts], rows, caption, ("strategy",)),
        tag("p", " ".join(notes), class_="note") if is_explained else None,
        above_all(some),
    )


def above_all(some: pd.DataFrame) -> Markup | None:
    """Why shares of the equilibrium are above 100 %, where they are."""
    if PAIRED not in some or not (above := int((some[PAIRED] > 1 + ROUNDING).sum())):
        return None
    text = f"{above:,} of {len(some):,} runs are above 100 % of the equilibrium's Nash welfare. "
    varying = sorted(set(some["process"].astype(str)) - {"constant"}) if "process" in some else []
    if varying:
        text += (
            f"Their endowments vary ({', '.join(varying)}): the last round may have brought more than the "
            "mean endowments, which the equilibrium is of. What is reached over time is in the metrics named "
            "average_…"
        )
    else:
        text += "With constant endowments that is not possible: a fault, of the results or of cmapjax."
    return tag("p", text, class_="note")


def cell_table(data: ReportData) -> Markup:
    """A row per cell, with what the cell is."""
    notes: list[str] = []
    some = some_cells(data.cells, notes)
    keys = key_metrics(data)
    axes = data.axes
    intervals = mean_intervals(data.study, data.summary) if data.played else None
    heads = ["cell", *axes, "markets"]
    if intervals is not None:
        heads.append(f"mean {_asked(data)['metric'].replace('_', ' ')}")
        intervals = intervals.set_index("cell")
    heads += [KEY_METRICS[key][0] for key in keys]
    rows = []
    lines = dict(zip(data.cells["cell"].tolist(), by_cell(data), strict=True))
    played = [line for line in lines.values() if line]
    shown_verdicts = [v for v in VERDICTS if any(line.shares[v].value > 0 for line in played)]
    for cell in some[["cell", "planned", "failed", *axes]].itertuples(index=False, name=None):
        number, planned, failed, *values = cell
        line = lines[number]
        row = [_number(number, str(number)), *(_value(value) for value in values)]
        row.append(_markets(line, planned, failed))
        if line is None:
            row += [tag("td", "not played", data_value="")] * (len(heads) - len(row) + len(shown_verdicts))
        else:
            row += [] if intervals is None else [_mean(intervals.loc[number])]
            row += [_figure(line.medians[key], key) for key in keys]
            row += [_share(line.shares[v]) for v in shown_verdicts]
        rows.append(tag("tr", row))
    words = [axis for axis in axes if not pd.api.types.is_numeric_dtype(data.cells[axis])]
    caption = f"{len(some):,} of {len(data.cells):,} cells" if len(some) < len(data.cells) else "Every cell"
    heads += [f"{v}, %" for v in shown_verdicts]
    note = f"Medians over markets. {INTERVALS}" + (f" {notes[0]}" if len(data.cells) > MOST_CELLS else "")
    if intervals is not None:
        reached, width = int(intervals["is_reached"].sum()), axis_text(_asked(data)["width"])
        note += (
            " The mean has the 95 % interval by which drawing ends, which holds however often it is looked "
            f"at: in {reached:,} of {len(intervals):,} cells it is at most {width} wide (*)."
        )
    return tag("div", _table("cells-table", heads, rows, caption, words), tag("p", note, class_="note"))


def _table(name: str, heads: list[str], rows: list[Markup], caption: str, words=()) -> Markup:
    """A table whose heads sort it; columns are numbers but for those in `words`."""
    head = []
    for text in heads:
        kind = None if text in words else "number"
        head.append(tag("th", tag("button", text, type="button"), scope="col", aria_sort="none", class_=kind))
    inside = tag("table", tag("caption", caption), tag("thead", tag("tr", head)), tag("tbody", rows), id=name)
    return tag("div", inside, class_="scroll", tabindex="0", role="region", aria_label=caption)


def _number(value, text: str, *more, **attributes) -> Markup:
    return tag("td", text, *more, data_value=repr(value), class_="number", **attributes)


def _value(value) -> Markup:
    """The value of an axis."""
    value = value.item() if isinstance(value, np.generic) else value
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return _number(value, axis_text(value))
    return tag("td", str(value), data_value=str(value))


def _figure(figure: Figure, metric: str) -> Markup:
    return _number(
        float(figure.value),
        shown(metric, figure.value),
        _interval(shown(metric, figure.low), shown(metric, figure.high)),
        data_low=repr(figure.low),
        data_high=repr(figure.high),
    )


def _asked(data: ReportData) -> dict | None:
    """By which mean the study stops drawing markets, if it does."""
    return (data.study.get("stop") or {}).get("interval")


def _mean(found) -> Markup:
    """The mean of a cell's markets and its interval; a star says that it is as narrow as asked for."""
    if not np.isfinite(found["mean"]):
        return tag("td", "a market is not finite", data_value="")
    value, low, high = (shown(found["metric"], end) for end in (found["mean"], found["low"], found["high"]))
    return _number(float(found["mean"]), value, _interval(low, high), " *" if found["is_reached"] else None)


def _share(figure: Figure) -> Markup:
    low, high = (percent(100 * x) for x in (figure.low, figure.high))
    return _number(float(figure.value), percent(100 * figure.value), _interval(low, high))


def _interval(low: str, high: str) -> Markup:
    """Two ends that a narrow column may put one below the other."""
    return tag("span", " ", tag("span", f"[{low},"), " ", tag("span", f"{high}]"), class_="interval")


def _difference(line: Line) -> Markup:
    if line.difference is None:
        return tag("td", "–", data_value="", class_="number")
    value, low, high = (amount(100 * x, "+") if abs(x) >= 1e-11 else "0" for x in line.difference)
    return _number(float(line.difference.value), value, _interval(low, high))


def _markets(line: Line | None, planned: int, failed: int) -> Markup:
    played = 0 if line is None else line.markets
    more = [f" of {planned:,}"] if played < planned else []
    more += [f", {failed:,} failed"] if failed else []
    return _number(played, f"{played:,}", tag("span", more, class_="interval") if more else None)


def trouble(data: ReportData) -> Markup:
    """Chunks that failed, markets that were stopped, numbers that are not finite; or that there are none."""
    parts = []
    if len(data.failures):
        rows = [
            tag(
                "tr",
                tag("td", name, data_value=name),
                *(_number(int(x), f"{x:,}") for x in (ground, first, count)),
                tag("td", reason, data_value=reason, class_="reason"),
            )
            for name, ground, first, count, reason in data.failures.itertuples(index=False, name=None)
        ]
        heads = ["chunk", "ground", "first market", "markets", "reason"]
        parts.append(_table("failures-table", heads, rows, "Chunks that failed; they are in no number above"))
    ended = data.summary[stopped(data.summary)]
    if len(ended):
        rounds = ended["stopped_round"].astype(float).median()
        kinds = ended["verdict"].astype(str).value_counts()
        words = ", ".join(f"{number:,} {kind}" for kind, number in kinds.items())
        text = (
            f"{len(ended):,} of {data.played:,} runs were stopped early, in the median after "
            f"{axis_text(rounds)} rounds: {words}. They count with what they had come to."
        )
        parts.append(tag("p", text))
    flags = non_finite(data.summary)
    if len(flags):
        words = "; ".join(f"{name}: {number:,}" for name, number in flags.items())
        text = (
            f"Not finite, because an agent has nothing or numbers left their range: {words}, each of "
            f"{data.played:,} runs."
        )
        parts.append(tag("p", text))
    fine = "None: no chunk failed, no run was stopped early, every number is finite."
    return tag("div", parts or tag("p", fine))


def reproduce(data: ReportData, folder_name: str) -> Markup:
    """The commands that give these results again, and the study file."""
    version = (data.about.get("versions") or {}).get("cmapjax")
    # A name is a word to the shell, and never an option.
    folder = shlex.quote(re.sub(r"^-", "./-", folder_name))
    commands = [f"pip install 'cmapjax[study]=={version}'"] if version else []
    commands += [f"cmapjax study run study.toml --out {folder}", f"cmapjax report {folder}"]
    commit = data.about.get("commit")
    words = (
        "The same study on the same versions and kind of device gives the same values, bit for bit, however "
        "many workers play it. study.toml:"
    )
    return tag(
        "div",
        tag("pre", tag("code", "\n".join(commands), id="command")),
        tag("p", f"With commit {commit} of cmapjax.", class_="note") if commit else None,
        tag("p", words, class_="note"),
        tag("pre", tag("code", data.text or as_toml(data.study), id="study-file")),
    )
