"""Convergence: a line and two bands per strategy over time."""

import numpy as np

from cmapjax.plots._curves import edge_of
from cmapjax.plots._tables import is_worse_above, measure, over_cells
from cmapjax.report import _plotly as draw
from cmapjax.report._summary import shown
from cmapjax.report._view import CLOCKS, View


def bands(view: View) -> dict | None:
    """Over time, a line and two bands per strategy; None if no curves were recorded."""
    if not view.recorded:
        return None
    looks = [trace for play, name in enumerate(view.data.plays) for trace in _band_looks(play, name)]
    heights, times = {}, {}
    for condition in view.conditions:
        found = zip(view.recorded, _heights(view, condition), strict=True)
        heights |= {f"{condition}|{metric}": figure for metric, figure in found}
        times |= {f"{condition}|{clock}": _times(view, condition, clock) for clock in CLOCKS}
    return {
        "controls": [
            ("metric", "Measure", draw.labels(view.recorded)),
            ("clock", "Clock", list(CLOCKS.items())),
        ],
        "parts": [
            {"by": [], "figures": {"": {"data": looks, "layout": draw.LAYOUT}}},
            {"by": ["condition", "metric"], "figures": heights},
            {"by": ["condition", "clock"], "figures": times},
        ],
    }


def _band_looks(play: int, name: str) -> list[dict]:
    """The edges of two bands (5 % and 95 %, 25 % and 75 % of markets) and the median market."""
    look = draw.line(play, name)
    colour = look["line"]["color"]
    low = {"mode": "lines", "line": {"width": 0, "color": colour}, "hoverinfo": "skip", "meta": play}
    high = low | {"fill": "tonexty"}
    marker = {"color": colour, "size": 7, "symbol": draw.SYMBOLS[play % len(draw.SYMBOLS)], "maxdisplayed": 6}
    hover = f"{look['name']}<br>%{{customdata:,.6~g}}: %{{y:.4~g}}%{{text}}<extra></extra>"
    middle = look | {"mode": "lines+markers", "marker": marker, "text": "", "hovertemplate": hover}
    return [low, high | {"fillcolor": f"{colour}1f"}, low, high | {"fillcolor": f"{colour}38"}, middle]


def _heights(view: View, condition: str):
    """Where lines and bands of every metric stand, under a condition."""
    groups = view.groups[condition]
    tables = [over_cells(view.curves[cells]) if len(cells) else None for cells in groups]
    ends = [over_cells(view.statistics[cells]) if len(cells) else None for cells in groups]
    line = {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "line": {"color": draw.FAINT, "dash": "dot"}}
    for k, metric in enumerate(view.recorded):
        values = np.array([table[k] for table in tables if table is not None])
        is_finite, is_log = np.isfinite(values), measure(metric)[1]
        edge = edge_of(values, is_log, is_worse_above(metric))
        rows = draw.numbers(
            draw.placed(np.where(is_finite, values, edge), metric)[:, :, [0, 4, 1, 3, 2]].swapaxes(1, 2)
        )
        data, readout, number = [], [], view.metrics.index(metric)
        for play, (table, end) in enumerate(zip(tables, ends, strict=True)):
            if table is None:
                data += [{"y": []}] * 5
                continue
            data += [{"y": row} for row in rows.pop(0)]
            if not np.isfinite(table[k, :, 2]).all():
                data[-1]["text"] = ["" if np.isfinite(v) else " (not finite)" for v in table[k, :, 2]]
            middle, low, high = (shown(metric, v) for v in end[number, :3].tolist())
            readout.append((play, f"{middle} at the end (80 % of markets from {low} to {high})"))
        height = float(draw.placed(edge, metric))
        shapes = [] if is_finite.all() else [line | {"y0": height, "y1": height}]
        layout = {"yaxis": draw.metric_axis(metric), "shapes": shapes}
        note = _about(view, condition, bool(shapes))
        yield {"data": data, "layout": layout, "readout": readout, "note": note}


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
    groups = view.groups[condition]
    rates = np.array([view.rates[clock][cells].mean() if len(cells) else np.nan for cells in groups])
    time = rates[:, None] * view.rounds
    data = []
    for cells, x, exact in zip(groups, draw.numbers(draw.bent(time)), draw.numbers(time, 6), strict=True):
        x = x if len(cells) else []
        data += [{"x": x}] * 4 + [{"x": x, "customdata": exact}]
    axis = draw.time_axis(CLOCKS[clock], max(float(np.nanmax(time)), 1.0))
    return {"data": data, "layout": {"xaxis": axis}}
