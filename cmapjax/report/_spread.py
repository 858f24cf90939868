"""How markets ended: distributions of metrics, and verdicts."""

import numpy as np

from cmapjax.plots._tables import VERDICTS, absent, is_worse_above, measure, ranked
from cmapjax.report import _plotly as draw
from cmapjax.report._lattice import axes_of
from cmapjax.report._summary import percent
from cmapjax.report._view import View, ordered

NUM_BINS = 40


def distribution(view: View, is_loss: bool) -> dict | None:
    """The share of markets at or below values of one measure; None if nothing of the kind was recorded."""
    first = ("misallocated_share", "certified_gap") if is_loss else ("share_of_equilibrium",)
    names = ordered([m for m in view.metrics if measure(m)[1] == is_loss], first)
    if not names:
        return None
    hover = "<br>%{x:.4g}: %{y:.3~g} % of markets<extra></extra>"
    looks = [draw.line(play, name) for play, name in enumerate(view.data.plays)]
    looks = [look | {"mode": "lines", "hovertemplate": look["name"] + hover} for look in looks]
    layout = draw.LAYOUT | {"yaxis": draw.axis("% of markets at or below", rangemode="tozero")}
    axes, counts = {}, np.zeros((len(view.cells), len(names), NUM_BINS + 1), int)
    for k, metric in enumerate(names):
        edges, counts[:, k] = _histogram(view, metric)
        axis = {"xaxis": draw.metric_axis(metric) | {"nticks": 6}}
        axes[metric] = {"data": [{"x": draw.numbers(edges)}] * len(looks), "layout": axis}
    heights = {}
    for condition, groups in view.groups.items():
        sums = np.array([counts[cells].sum(axis=0) for cells in groups])
        for k, metric in enumerate(names):
            heights[f"{condition}|{metric}"] = _lines(view, condition, metric, sums[:, k])
    return {
        "controls": [("metric", "Measure", draw.labels(names))],
        "parts": [
            {"by": [], "figures": {"": {"data": looks, "layout": layout}}},
            {"by": ["metric"], "figures": axes},
            {"by": ["condition", "metric"], "figures": heights},
        ],
    }


def _histogram(view: View, metric: str) -> tuple[np.ndarray, np.ndarray]:
    """Edges of bins common to all cells; of every cell how many markets are in each, and last in none."""
    values = ranked(view.summary[metric], metric)
    cell = np.searchsorted(view.cells["cell"], view.summary["cell"])
    is_log, is_there = measure(metric)[1], np.isfinite(values)
    places = draw.placed(np.where(is_there, values, 1.0), metric)
    places = np.log10(places) if is_log else places
    low, high = (places[is_there].min(), places[is_there].max()) if is_there.any() else (0.0, 1.0)
    room = 0.0 if high > low else 0.5 * max(abs(high), 1e-9)
    edges = np.linspace(low - room, high + room, NUM_BINS + 1)
    bins = np.clip(np.searchsorted(edges, places, side="right") - 1, 0, NUM_BINS - 1)
    counts = np.zeros((len(view.cells), NUM_BINS + 1), int)
    np.add.at(counts, (cell, np.where(is_there, bins, NUM_BINS)), 1)
    return 10**edges if is_log else edges, counts


def _lines(view: View, condition: str, metric: str, counts: np.ndarray) -> dict:
    """The share of every play's markets at or below each edge of a bin, and how many have no place there."""
    total, lost = counts.sum(axis=1), counts[:, -1]
    below = np.pad(counts[:, :-1].cumsum(axis=1), ((0, 0), (1, 0)))
    if not is_worse_above(metric):  # those that are not finite are the worst
        below = below + lost[:, None]
    rows = draw.numbers(100 * below / np.maximum(total, 1)[:, None], 4)
    word, readout = absent(metric), []
    fine = "got there" if word == "never" else "finite"
    for play, (n, out) in enumerate(zip(total.tolist(), lost.tolist(), strict=True)):
        words = f"{out:,} of {n:,} markets {word}, not on the axis" if out else f"{n:,} markets, all {fine}"
        readout += [(play, words)] if n else []
    small = " What is below 1e−12 stands there." if measure(metric)[1] else ""
    return {
        "data": [{"y": row if n else []} for n, row in zip(total, rows, strict=True)],
        "note": f"{view.words(condition)}; {total.sum():,} runs in {NUM_BINS} bins.{small}",
        "readout": readout,
    }


def verdicts(view: View) -> dict:
    """The share of markets that came to each verdict, a bar per strategy or per value of an axis."""
    axes, figures = axes_of(view.cells, view.data.axes, []), {}
    for condition, where in view.conditions.items():
        note = f"{view.words(condition)}; {view.verdicts[where].sum():,} runs."
        if ended := view.stopped[where].sum():
            note += f" {ended:,} were stopped early."
        if lost := view.cells["failed"].to_numpy()[where].sum():
            note += f" {lost:,} more failed and are in no bar."
        bars = zip(view.data.plays, view.groups[condition], strict=True)
        figures[f"{condition}|play"] = _bars(view, bars, note, is_by_play=True)
        for number, axis in enumerate(axes):
            bars = (
                (f"{axis.name} {level}", where[axis.place[where] == k]) for k, level in enumerate(axis.levels)
            )
            figures[f"{condition}|{number}"] = _bars(view, bars, f"{note} All strategies together.")
    looks = {"data": draw.verdict_traces(), "layout": draw.LAYOUT | {
        "barmode": "stack", "bargap": 0.3, "showlegend": True, "margin": {"l": 56, "r": 12, "t": 64, "b": 44},
        "legend": {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0, "traceorder": "normal"},
        "uniformtext": {"minsize": 9, "mode": "hide"},
        "xaxis": draw.axis("% of markets", range=[0, 100], fixedrange=True),
        "yaxis": draw.axis("", autorange="reversed", fixedrange=True, type="category"),
    }}  # fmt: skip
    by = ("by", "A bar for every", [("play", "strategy"), *((k, axis.name) for k, axis in enumerate(axes))])
    parts = [{"by": [], "figures": {"": looks}}, {"by": ["condition", "by"], "figures": figures}]
    return {"controls": [by], "parts": parts}


def _bars(view: View, bars, note: str, is_by_play: bool = False) -> dict:
    """Bars of several parts, of pairs of a name and cells."""
    rows = [(k, name, view.verdicts[cells].sum(axis=0)) for k, (name, cells) in enumerate(bars)]
    rows = [row for row in rows if row[2].any()]
    shares = np.array([100 * counts / counts.sum() for *_, counts in rows]).reshape(-1, len(VERDICTS))
    names, meta = [draw.wrapped(name, 22) for _, name, _ in rows], [k for k, *_ in rows]
    of_play = {"meta": meta} if is_by_play else {}
    data = [
        {"x": lengths, "y": names, "showlegend": any(lengths), **of_play}
        for lengths in draw.numbers(shares.T)
    ]
    readout = []
    for (k, name, _), row in zip(rows, shares.tolist(), strict=True):
        text = ", ".join(f"{percent(x)} % {v}" for x, v in zip(row, VERDICTS, strict=True) if x)
        readout.append((k, text) if is_by_play else (None, f"{name}: {text}"))
    height = 150 + 50 * max(len(rows), 2)
    return {"data": data, "layout": {"height": height}, "readout": readout, "note": note}
