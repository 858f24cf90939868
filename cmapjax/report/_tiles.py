"""A number for every combination of values on two axes."""

import itertools
from collections.abc import Iterable

import numpy as np

from cmapjax.plots._tables import SCALES, VERDICTS, absent, measure, over_cells
from cmapjax.report import _plotly as draw
from cmapjax.report._lattice import ALL, Axis, axes_of, key_text, lattice
from cmapjax.report._view import FIRST, View, ordered

MOST_TILES = 2000
# As `plots._tables.statistics` has them.
STATISTICS = ("median market", "lowest tenth", "highest tenth", "mean market")


def tiles(view: View) -> dict | None:
    """A number for every choice of values on the axes, from which the script lays tiles; None if too few.

    `points` has a row per choice: of every measure its statistics (null if not finite), in order.
    """
    data, cells = view.data, view.cells
    axes = axes_of(cells, data.axes, [])
    if len(data.plays) > 1:
        axes.append(Axis("strategy played", data.plays, cells["play"].to_numpy()))
    if len(axes) < 2:
        return None
    choices, depth = lattice(axes, len(cells), MOST_TILES)
    if depth < 2:
        return None
    names = ordered(view.metrics, FIRST)
    measures = [
        {"label": measure(m)[0], "absent": absent(m), "log": measure(m)[1], "statistics": len(STATISTICS)}
        for m in names
    ]
    measures += [
        {"label": f"% of markets {v}", "absent": "", "log": False, "statistics": 1} for v in VERDICTS
    ]
    starts = itertools.accumulate((m["statistics"] for m in measures), initial=0)
    grounds = {axis.name: k for k, axis in enumerate(view.axes)}
    # The first of markets' axes across, strategies (or else another axis) down.
    order = sorted(range(len(axes)), key=lambda k: axes[k].name not in grounds)
    across = [(k, axes[k].name) for k in order]
    return {
        "controls": [
            ("metric", "Measure", [(k, m["label"]) for k, m in enumerate(measures)]),
            ("statistic", "Statistic", list(enumerate(STATISTICS))),
            ("play", "Strategy", [(ALL, "all of them"), *enumerate(data.plays)]),
            ("across", "Across", across),
            ("down", "Down", across[::-1]),
        ],
        "axes": [
            {"name": name, "levels": levels, "condition": grounds.get(name), "plays": levels is data.plays}
            for name, levels, _ in axes
        ],
        "measures": [m | {"start": start} for m, start in zip(measures, starts, strict=False)],
        "points": dict(zip(map(key_text, choices), _rows(view, names, choices.values()), strict=True)),
        "depth": depth,
        "layout": draw.LAYOUT,
        "axis": draw.axis("", showgrid=False),
    }


def _rows(view: View, names: list[str], choices: Iterable[np.ndarray]) -> list:
    """Of every choice of cells the statistics of these metrics, and the shares of verdicts."""
    scales = np.array([SCALES.get(m, 1.0) for m in names])
    table = view.statistics[:, [view.metrics.index(m) for m in names]] * scales[:, None]
    rows = []
    for where in choices:
        middle = over_cells(table[where])
        with np.errstate(invalid="ignore"):
            middle[:, 3] = table[where, :, 3].mean(axis=0)
        share = 100 * view.verdicts[where].sum(axis=0) / view.verdicts[where].sum()
        rows.append([*middle.ravel(), *share])
    return draw.numbers(rows)
