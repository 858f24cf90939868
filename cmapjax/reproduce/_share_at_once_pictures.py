"""Phase diagrams as tiles that say their number."""

import numpy as np
import pandas as pd

from cmapjax.plots._canvas import COLOURS, new_figure
from cmapjax.reproduce._part import Picture

MARKS = ("o", "s", "^", "D", "v", "P", "X")


def tiles(panel, table: pd.DataFrame, across: str, down: str, value: str = "mean_share"):
    """A map of `value`; two digits in every tile (three above 0.99), dark where it is near 0."""
    columns, rows = (list(dict.fromkeys(table[axis])) for axis in (across, down))
    if pd.api.types.is_numeric_dtype(table[across]):
        columns = sorted(columns)
    if pd.api.types.is_numeric_dtype(table[down]):
        rows = sorted(rows)
    grid = table.pivot_table(index=down, columns=across, values=value).reindex(index=rows, columns=columns)
    picture = panel.imshow(grid, cmap="cividis", vmin=0, vmax=1, aspect="auto", origin="lower")
    for (i, j), number in np.ndenumerate(grid.to_numpy()):
        if np.isnan(number):
            continue
        text = "1" if number >= 0.9995 else f"{number:.3f}" if number >= 0.985 else f"{number:.2f}"
        panel.text(
            j,
            i,
            text.replace("0.", ".", 1),
            ha="center",
            va="center",
            fontsize=7,
            color="black" if number > 0.5 else "white",
        )
    panel.set_xticks(range(len(columns)), [f"{c:g}" if not isinstance(c, str) else c for c in columns])
    panel.set_yticks(range(len(rows)), [f"{r:g}" if not isinstance(r, str) else r for r in rows])
    panel.tick_params(labelsize=7.5)
    return picture


def families_by_share(table: pd.DataFrame) -> Picture:
    """Families against the probability of acting."""
    some = table[(table["damping"] == 1) & ~table["kind"].str.contains("degree")]
    figure = new_figure(7, 3.2)
    panel = figure.subplots()
    picture = tiles(panel, some, "participation", "kind")
    panel.set_xlabel("probability p of acting in a round", fontsize=8.5)
    figure.colorbar(picture, ax=panel, fraction=0.04, pad=0.02).set_label("share of equilibrium", fontsize=8)
    caption = (
        "Mean share of the equilibrium's Nash welfare in the second half of the rounds, agents of one family "
        f"acting with probability p (undamped; {int(some['markets'].min())} "
        f"markets of 100 agents a tile). Below nine tenths: {_first_below(some, 0.9)}."
    )
    return Picture(figure, caption)


def _first_below(table: pd.DataFrame, share: float) -> str:
    """From which probability on families stay below a share, the least first."""
    first = table[table["mean_share"] < share].groupby("kind")["participation"].min().sort_values()
    words = [f"from p = {p:g} on {', '.join(kinds.index)}" for p, kinds in first.groupby(first)]
    return "; ".join(words) or "none"


def degrees(table: pd.DataFrame) -> Picture:
    """Mean degree of Erdős-Rényi networks against participation, and against damping."""
    some = table[table["kind"].str.startswith("Erdős-Rényi")].copy()
    some["degree"] = [int(kind.split()[-1]) if "degree" in kind else 8 for kind in some["kind"]]
    figure = new_figure(7.4, 2.9)
    panels = figure.subplots(1, 2, sharey=True)
    tiles(panels[0], some[some["damping"] == 1], "participation", "degree")
    picture = tiles(panels[1], some[some["participation"] == 1], "damping", "degree")
    panels[0].set_xlabel("probability p of acting (θ = 1)", fontsize=8.5)
    panels[1].set_xlabel("damping θ (everybody acts)", fontsize=8.5)
    panels[0].set_ylabel("mean degree", fontsize=8.5)
    figure.colorbar(picture, ax=panels, fraction=0.03, pad=0.02).set_label("share of equilibrium", fontsize=8)
    caption = (
        "The same for Erdős-Rényi networks of several mean degrees: few may act at once, or all by small "
        f"steps ({int(some['markets'].min())} markets a tile; at θ = 0.05 some are still on their way up)."
    )
    return Picture(figure, caption)


def both(table: pd.DataFrame) -> Picture:
    """Participation against damping on Erdős-Rényi networks of degree 8."""
    numbers = (0.1, 0.2, 0.4, 0.6, 0.8, 1.0)
    some = table[
        (table["kind"] == "Erdős-Rényi")
        & table["participation"].isin(numbers)
        & table["damping"].isin(numbers)
    ]
    figure = new_figure(4.6, 3.1)
    panel = figure.subplots()
    picture = tiles(panel, some, "participation", "damping")
    panel.set_xlabel("probability p of acting", fontsize=8.5)
    panel.set_ylabel("damping θ", fontsize=8.5)
    figure.colorbar(picture, ax=panel, fraction=0.05, pad=0.02).set_label("share of equilibrium", fontsize=8)
    caption = (
        "Participation and damping together on Erdős-Rényi networks of mean degree 8: either cures, and a "
        "little of both does. Where both are large, damping loses less than participation; where both are "
        "small, markets are still on their way."
    )
    return Picture(figure, caption)


def edges(table: pd.DataFrame) -> Picture:
    """Where stability ends, measured against predicted."""
    figure = new_figure(7.2, 3.4)
    panels = figure.subplots(1, 2, sharey=True)
    columns = {"edge_from_active": "2 / active contributors", "edge_from_stiffness": "2 / stiffness"}
    kinds = [kind for kind in dict.fromkeys(table["kind"]) if "degree" not in kind]
    for panel, (column, words) in zip(panels, columns.items(), strict=True):
        for number, kind in enumerate(kinds):
            some = table[table["kind"].str.startswith(kind)]
            style = {"color": COLOURS[number], "marker": MARKS[number], "alpha": 0.75, "linewidths": 0}
            panel.scatter(some[column], some["edge_measured"], s=18, label=kind, **style)
        panel.plot([0.05, 1], [0.05, 1], color="#888888", linewidth=0.8, linestyle="--")
        for axis in (panel.xaxis, panel.yaxis):
            axis.axes.set(xscale="log", yscale="log")
        ticks = [0.05, 0.1, 0.2, 0.5, 1]
        panel.set_xticks(ticks, [f"{t:g}" for t in ticks])
        panel.set_yticks(ticks[1:], [f"{t:g}" for t in ticks[1:]])
        panel.minorticks_off()
        panel.set_xlabel(words, fontsize=8.5)
        panel.grid(alpha=0.25)
    panels[0].set_ylabel("largest stable p", fontsize=8.5)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, fontsize=7.5, frameon=False)
    caption = (
        "The largest probability of acting at which a market stays at 99.9 % of the equilibrium, against two "
        f"predictions; {len(table)} markets, on the dashed line if they agree (1: stable even all at once)."
    )
    return Picture(figure, caption)
