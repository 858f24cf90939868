"""Parts of Plotly figures as plain data: the page's script puts them together and draws them."""

import functools
import html
import textwrap

import numpy as np

from cmapjax.plots._curves import SMALLEST_SHOWN
from cmapjax.plots._study import VERDICT_COLOURS
from cmapjax.plots._tables import SCALES, VERDICTS, measure

GROUND, TEXT, FAINT, GRID = "#ffffff", "#1b1f24", "#57606a", "#e4e7eb"
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#b5478f", "#9a6b00", "#2e8fc0", "#444444")
DASHES = ("solid", "dash", "dot", "dashdot")
STROKES = ("", "7 4", "2 3", "7 3 2 3")  # the same, of lines beside words
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "x", "star", "cross", "hexagon", "bowtie")
PATTERNS = ("", "\\", "/", "x", ".", "+", "-", "|")
# What stands for each colour on a dark ground.
DARK = {
    GROUND: "#14171b", TEXT: "#e8eaed", FAINT: "#a5adb7", GRID: "#2c323a", "#7a838e": "#8c959f",
    "#0072b2": "#56b4e9", "#d55e00": "#ff8a3d", "#009e73": "#2fd3a5", "#b5478f": "#e9a3c9",
    "#9a6b00": "#f5c242", "#2e8fc0": "#b3a7f5", "#444444": "#dddddd", "#56b4e9": "#a9ddf9",
    "#e69f00": "#f5c242", "#cc79a7": "#e79bc8", "#000000": "#bbbbbb",
}  # fmt: skip
LAYOUT = {
    "paper_bgcolor": GROUND,
    "plot_bgcolor": GROUND,
    "showlegend": False,
    "hovermode": "closest",
    "font": {"color": TEXT, "size": 12, "family": "system-ui, 'Liberation Sans', sans-serif"},
    "margin": {"l": 56, "r": 12, "t": 28, "b": 44},
    "hoverlabel": {"bgcolor": GROUND, "bordercolor": TEXT, "font": {"color": TEXT}, "align": "left"},
}


def plain(text) -> str:
    """Text as it stands: Plotly reads some HTML."""
    return html.escape(str(text), quote=False)


@functools.cache
def wrapped(text: str, width: int) -> str:
    """Plain text in lines of that many letters at most."""
    return "<br>".join(map(plain, textwrap.wrap(text, width) or [""]))


def axis(title: str, **more) -> dict:
    """An axis, its title in lines that a phone shows."""
    words = {"text": wrapped(title, 44), "font": {"size": 13}, "standoff": 8}
    look = {"gridcolor": GRID, "linecolor": GRID, "zeroline": False, "automargin": True}
    return {"title": words, "tickfont": {"color": TEXT}, **look, **more}


def metric_axis(metric: str) -> dict:
    """An axis for a metric, logarithmic where that is usual."""
    label, is_log = measure(metric)
    return axis(label, type="log", exponentformat="power", nticks=7) if is_log else axis(label, type="linear")


def placed(values, metric: str) -> np.ndarray:
    """Finite values of a metric as they are drawn: in per cent, or not below what a logarithm shows."""
    values = np.asarray(values, float)
    return np.maximum(values, SMALLEST_SHOWN) if measure(metric)[1] else values * SCALES.get(metric, 1.0)


def bent(time) -> np.ndarray:
    """Time linear up to 1, then logarithmic: most happens in the first rounds, the tails are long."""
    time = np.asarray(time, float)
    return np.where(time <= 1, time, 1 + np.log10(np.maximum(time, 1)))


def time_axis(title: str, last: float) -> dict:
    """The axis of bent time."""
    steps = (1, 2, 5) if last <= 50 else (1,)
    ticks = [0, *(k * 10**e for e in range(13) for k in steps if k * 10**e <= last)]
    ends = [0, 1.01 * float(bent(last))]
    return axis(title, tickvals=numbers(bent(ticks)), ticktext=[f"{t:,}" for t in ticks], range=ends)


def numbers(values, digits: int = 5) -> list:
    """As JSON's numbers, to so many digits (whole ones to all); what is not finite as null."""
    values = np.asarray(values, float)
    is_there = np.isfinite(values)
    size = np.abs(np.where(is_there & (values != 0), values, 1.0))
    power = 10.0 ** np.minimum(np.maximum(digits - 1 - np.floor(np.log10(size)), 0), 22)  # these are exact
    rounded = np.round(np.where(is_there, values, 0.0) * power) / power
    return (rounded if is_there.all() else np.where(is_there, rounded, None)).tolist()


def labels(metrics) -> list[tuple[str, str]]:
    """Metrics as a control offers them."""
    return [(name, measure(name)[0]) for name in metrics]


def line(play: int, name: str) -> dict:
    """The looks of a strategy's line."""
    style = {"color": COLOURS[play % len(COLOURS)], "width": 2.4, "dash": DASHES[play % len(DASHES)]}
    return {"name": plain(name), "meta": play, "line": style}


def verdict_traces() -> list[dict]:
    """The looks of bars, one part per verdict: colour and pattern."""
    return [
        {
            "type": "bar",
            "orientation": "h",
            "name": verdict,
            "hovertemplate": f"%{{y}}<br>{verdict}: %{{x:.3~g}} %<extra></extra>",
            "texttemplate": "%{x:.0f}",
            "textposition": "inside",
            "insidetextanchor": "middle",
            "marker": {
                "color": VERDICT_COLOURS[verdict].lower(),
                "line": {"color": GROUND, "width": 1},
                "pattern": {
                    "shape": pattern,
                    "bgcolor": VERDICT_COLOURS[verdict].lower(),
                    "fgcolor": GROUND,
                    "fgopacity": 0.5,
                    "size": 7,
                    "solidity": 0.2,
                },
            },
        }
        for verdict, pattern in zip(VERDICTS, PATTERNS, strict=True)
    ]
