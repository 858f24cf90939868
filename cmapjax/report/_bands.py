"""Convergence: a line and two bands per strategy over time."""

import numpy as np

from cmapjax.plots import _tables
from cmapjax.plots._curves import edge_of
from cmapjax.plots._tables import measure
from cmapjax.report import _plotly as draw
from cmapjax.report._summary import shown
from cmapjax.report._view import CLOCKS, View


def bands(view: View) -> dict | None:
    """Over time, a line and two bands per strategy; None if no curves were recorded."""
    if not view.curves:
        return None
    looks = [trace for play, name in enumerate(view.data.plays) for trace in _band_looks(play, name)]
    widths = {"both": (0, 1, 2, 3), "half": (2, 3), "most": (0, 1), "none": ()}
    visible = {
        width: {"data": [{"visible": k in (*shown, 4)} for _ in view.data.plays for k in range(5)]}
        for width, shown in widths.items()
    }
    words = {"both": "half and 90 % of markets", "half": "half", "most": "90 %", "none": "none"}
    return {
        "controls": [
            ("metric", "Measure", draw.labels(view.curves)),
            ("clock", "Clock", list(CLOCKS.items())),
            ("width", "Bands", list(words.items())),
        ],
        "parts": [
            {"by": [], "figures": {"": {"data": looks, "layout": draw.LAYOUT}}},
            {"by": ["width"], "figures": visible},
            {
                "by": ["condition", "metric"],
                "figures": {f"{c}|{m}": _heights(view, c, m) for c in view.conditions for m in view.curves},
            },
            {
                "by": ["condition", "clock"],
                "figures": {f"{c}|{k}": _times(view, c, k) for c in view.conditions for k in CLOCKS},
            },
        ],
    }


def _band_looks(play: int, name: str) -> list[dict]:
    """The edges of two bands (5 % and 95 %, 25 % and 75 % of markets) and the median market."""
    colour = draw.COLOURS[play % len(draw.COLOURS)]
    low = {"mode": "lines", "line": {"width": 0, "color": colour}, "hoverinfo": "skip", "meta": play}
    high = low | {"fill": "tonexty"}
    return [
        low, high | {"fillcolor": f"{colour}1f"}, low, high | {"fillcolor": f"{colour}38"},
        {
            "mode": "lines+markers", "name": draw.plain(name), "meta": play, "text": "",
            "line": {"color": colour, "width": 2.5, "dash": draw.DASHES[play % len(draw.DASHES)]},
            "marker": {"color": colour, "size": 7, "symbol": draw.SYMBOLS[play % len(draw.SYMBOLS)],
                       "maxdisplayed": 6},
            "hovertemplate": f"{draw.plain(name)}<br>%{{customdata}}: %{{y:.4~g}}%{{text}}<extra></extra>",
        },
    ]  # fmt: skip


def _heights(view: View, condition: str, metric: str) -> dict:
    """Where lines and bands stand, under a condition."""
    groups = view.by_play(condition)
    found = [_tables.over_cells(view.curves[metric][cells]) if len(cells) else None for cells in groups]
    values = np.concatenate([np.zeros(0), *(table.ravel() for table in found if table is not None)])
    edge = edge_of(values, measure(metric)[1], _tables.is_worse_above(metric))
    data, readout = [], []
    for play, (cells, table) in enumerate(zip(groups, found, strict=True)):
        if table is None:
            data += [{"y": []}] * 5
            continue
        rows = draw.placed(np.where(np.isfinite(table), table, edge), metric)[:, [0, 4, 1, 3, 2]]
        data += [{"y": row} for row in draw.numbers(rows.T)]
        if not np.isfinite(table[:, 2]).all():
            data[-1]["text"] = ["" if np.isfinite(v) else " (not finite)" for v in table[:, 2]]
        middle, low, high = _tables.over_cells(view.statistics[metric][cells])[:3]
        middle, low, high = (shown(metric, v) for v in (middle, low, high))
        readout.append((play, f"{middle} at the end (80 % of markets from {low} to {high})"))
    line = {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "line": {"color": draw.FAINT, "dash": "dot"}}
    height = float(draw.placed(edge, metric))
    is_edgy = not np.isfinite(values).all()
    layout = {
        "yaxis": draw.metric_axis(metric),
        "shapes": [line | {"y0": height, "y1": height}] if is_edgy else [],
    }
    return {"data": data, "layout": layout, "readout": readout, "note": _about(view, condition, is_edgy)}


def _about(view: View, condition: str, is_edgy: bool) -> str:
    number = len(view.conditions[condition])
    note = f"{view.words(condition)}; {number:,} cells."
    if number > len(view.data.plays):
        note += " Of several cells each line is the median over cells of that quantile."
    if is_edgy:
        note += " Dotted line: not finite (an agent has nothing)."
    if (view.data.study.get("record") or {}).get("curves") != "full":
        note += " Curves were kept as counts: a point on them is right to 1 %; the numbers below are exact."
    return note


def _times(view: View, condition: str, clock: str) -> dict:
    """When records were made, by one of the clocks, under a condition."""
    rates = view.rates[clock]
    data, last = [], 1.0
    for cells in view.by_play(condition):
        time = view.rounds * (rates[cells].mean() if len(cells) else np.nan)
        x = draw.numbers(draw.bent(time)) if len(cells) else []
        last = max(last, float(time[-1])) if len(cells) else last
        unit = "rounds" if clock == "rounds" else "updates"
        data += [{"x": x}] * 4 + [{"x": x, "customdata": [f"{t:,.6g} {unit}" for t in time]}]
    return {"data": data, "layout": {"xaxis": draw.time_axis(CLOCKS[clock], last)}}
