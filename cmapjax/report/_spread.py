"""How markets ended: distributions of metrics, and verdicts."""

import numpy as np

from cmapjax.plots import _tables
from cmapjax.plots._tables import VERDICTS, measure
from cmapjax.report import _plotly as draw
from cmapjax.report._lattice import axes_of
from cmapjax.report._summary import percent
from cmapjax.report._view import View, ordered

NUM_BINS = 40


def distribution(view: View, is_loss: bool) -> dict | None:
    """How markets are spread over values of one measure; None if nothing of the kind was recorded."""
    first = ("misallocated_share", "certified_gap") if is_loss else ("share_of_equilibrium",)
    names = ordered([m for m in view.data.metrics if measure(m)[1] == is_loss], first)
    if not names:
        return None
    looks = [
        {
            "mode": "lines", "name": draw.plain(name), "meta": play,
            "line": {"color": draw.COLOURS[play % len(draw.COLOURS)], "width": 2.2,
                     "dash": draw.DASHES[play % len(draw.DASHES)]},
            "hovertemplate": f"{draw.plain(name)}<br>%{{x:.4g}}: %{{y:.3~g}} % of markets<extra></extra>",
        }
        for play, name in enumerate(view.data.plays)
    ]  # fmt: skip
    axes, heights, readouts = {}, {}, {}
    for metric in names:
        edges, counts, lost = _histogram(view, metric)
        axis = {"xaxis": draw.metric_axis(metric) | {"nticks": 6}}
        axes[metric] = {"data": [{"x": draw.numbers(edges)} for _ in view.data.plays], "layout": axis}
        for condition in view.conditions:
            sums = [(counts[some].sum(0), lost[some].sum()) for some in view.by_play(condition)]
            for form, found in _shares(sums, _tables.is_worse_above(metric)).items():
                heights[f"{condition}|{metric}|{form}"] = {"data": found}
            readouts[f"{condition}|{metric}"] = _counted(view, condition, metric, sums)
    forms = {"below": "% of markets at or below", "bins": "histogram"}
    titles = {"below": ("% of markets at or below", "linear"), "bins": ("% of markets in a bin", "hv")}
    by_form = {
        form: {
            "data": [{"line": {"shape": shape}} for _ in view.data.plays],
            "layout": {"yaxis": draw.axis(title, rangemode="tozero")},
        }
        for form, (title, shape) in titles.items()
    }
    return {
        "controls": [("metric", "Measure", draw.labels(names)), ("form", "Form", list(forms.items()))],
        "parts": [
            {"by": [], "figures": {"": {"data": looks, "layout": draw.LAYOUT}}},
            {"by": ["metric"], "figures": axes},
            {"by": ["form"], "figures": by_form},
            {"by": ["condition", "metric", "form"], "figures": heights},
            {"by": ["condition", "metric"], "figures": readouts},
        ],
    }


def _histogram(view: View, metric: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Edges of bins common to all cells; of every cell how many markets are in each, and in none."""
    values = _tables.ranked(view.summary[metric], metric)
    cell = np.searchsorted(view.cells["cell"], view.summary["cell"])
    is_log, is_there = measure(metric)[1], np.isfinite(values)
    places = draw.placed(np.where(is_there, values, 1.0), metric)
    places = np.log10(places) if is_log else places
    low, high = (places[is_there].min(), places[is_there].max()) if is_there.any() else (0.0, 1.0)
    room = 0.0 if high > low else 0.5 * max(abs(high), 1e-9)
    edges = np.linspace(low - room, high + room, NUM_BINS + 1)
    bins = np.clip(np.searchsorted(edges, places, side="right") - 1, 0, NUM_BINS - 1)
    counts = np.zeros((len(view.cells), NUM_BINS), int)
    np.add.at(counts, (cell[is_there], bins[is_there]), 1)
    lost = np.bincount(cell[~is_there], minlength=len(view.cells))
    return 10**edges if is_log else edges, counts, lost


def _shares(sums, is_worse_above: bool) -> dict[str, list[dict]]:
    """Heights of lines: the share of markets at or below each edge of a bin, and in each bin."""
    counts = np.array([[0, *row] for row, _ in sums])
    lost = np.array([[number] for _, number in sums])
    total = counts.sum(axis=1, keepdims=True) + lost
    start = np.zeros_like(lost) if is_worse_above else lost  # those that are not finite are the worst
    lines = {"below": counts.cumsum(axis=1) + start, "bins": np.roll(counts, -1, axis=1)}
    return {
        form: [
            {"y": row if n else []}
            for n, row in zip(total, draw.numbers(100 * rows / np.maximum(total, 1), 4), strict=True)
        ]
        for form, rows in lines.items()
    }


def _counted(view: View, condition: str, metric: str, sums) -> dict:
    """How many markets a distribution is of, and of how many it is not."""
    readout = []
    for play, (counts, lost) in enumerate(sums):
        word, total = _tables.absent(metric), int(counts.sum() + lost)
        fine = f"{total:,} markets, all {'got there' if word == 'never' else 'finite'}"
        if total:
            readout.append((play, f"{lost:,} of {total:,} markets {word}, not on the axis" if lost else fine))
    total = sum(int(counts.sum() + lost) for counts, lost in sums)
    small = " What is below 1e−12 stands there." if measure(metric)[1] else ""
    note = f"{view.words(condition)}; {total:,} runs in {NUM_BINS} bins.{small}"
    return {"note": note, "readout": readout}


def verdicts(view: View) -> dict:
    """The share of markets that came to each verdict, a bar per strategy or per value of an axis."""
    cells, summary = view.cells, view.summary
    place = np.searchsorted(cells["cell"], summary["cell"])
    counts = _tables.verdict_counts(summary["verdict"], place, len(cells))
    ended = np.bincount(
        place[view.data.stopped[view.data.summary["cell"].isin(cells["cell"])]], minlength=len(cells)
    )
    axes = axes_of(cells, view.data.axes, [])
    figures = {}
    for condition, where in view.conditions.items():
        total = int(counts[where].sum())
        note = f"{view.words(condition)}; {total:,} runs."
        if ended[where].any():
            note += f" {ended[where].sum():,} were stopped early."
        if lost := int(cells["failed"].to_numpy()[where].sum()):
            note += f" {lost:,} more failed and are in no bar."
        bars = [
            (name, counts[some].sum(0))
            for name, some in zip(view.data.plays, view.by_play(condition), strict=True)
        ]
        figures[f"{condition}|play"] = _bars(bars, range(len(bars))) | {"note": note}
        for number, axis in enumerate(axes):
            parts = [where[axis.place[where] == k] for k in range(len(axis.levels))]
            bars = [
                (f"{axis.name} {name}", counts[some].sum(0))
                for name, some in zip(axis.levels, parts, strict=True)
            ]
            figures[f"{condition}|{number}"] = _bars(bars) | {"note": f"{note} All strategies together."}
    looks = {"data": draw.verdict_traces(), "layout": draw.LAYOUT | {
        "barmode": "stack", "bargap": 0.3, "showlegend": True, "margin": {"l": 56, "r": 12, "t": 64, "b": 44},
        "legend": {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0, "traceorder": "normal"},
        "xaxis": draw.axis("% of markets", range=[0, 100], fixedrange=True),
        "yaxis": draw.axis("", autorange="reversed", fixedrange=True, type="category"),
    }}  # fmt: skip
    by = ("by", "A bar for every", [("play", "strategy"), *((k, axis.name) for k, axis in enumerate(axes))])
    parts = [{"by": [], "figures": {"": looks}}, {"by": ["condition", "by"], "figures": figures}]
    return {"controls": [by], "parts": parts}


def _bars(bars, plays=None) -> dict:
    """Bars of several parts; `plays` are the strategies that they belong to."""
    kept = [k for k, (_, row) in enumerate(bars) if row.sum()]
    names, rows = [draw.wrapped(bars[k][0], 22) for k in kept], [bars[k][1] for k in kept]
    shares = np.array([100 * row / row.sum() for row in rows]).reshape(len(rows), len(VERDICTS))
    occurring = np.flatnonzero(shares.sum(axis=0) > 0)
    lengths = draw.numbers(shares.T)
    data = [
        {
            "x": lengths[k],
            "y": names,
            "showlegend": bool(k in occurring),
            "hovertext": [
                f"{n}<br>{v}: {row[k]:,} of {row.sum():,}" for n, row in zip(names, rows, strict=True)
            ],
            "text": [f"{share:.0f}" if share >= 8 else "" for share in shares[:, k]],
            "textposition": "inside",
            "insidetextanchor": "middle",
            **({} if plays is None else {"meta": [plays[i] for i in kept]}),
        }
        for k, v in enumerate(VERDICTS)
    ]
    parts = [", ".join(f"{percent(s[k])} % {VERDICTS[k]}" for k in occurring if s[k]) for s in shares]
    readout = [
        (i, f"{text}") if plays else (None, f"{bars[i][0]}: {text}")
        for i, text in zip(kept, parts, strict=True)
    ]
    return {"data": data, "layout": {"height": 150 + 50 * max(len(rows), 2)}, "readout": readout}
