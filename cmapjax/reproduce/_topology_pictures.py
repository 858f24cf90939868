"""Pictures of part `topology`."""

import numpy as np
import pandas as pd

from cmapjax.plots._canvas import COLOURS, new_figure
from cmapjax.reproduce._part import Picture

MARKERS = ("o", "s", "^", "D", "v")


def against_degree(table: pd.DataFrame) -> Picture:
    """Gini of ratios against mean degree, a line per family, a panel per kind of contributions."""
    words = list(table["contributions"].unique())
    figure = new_figure(3.2 * len(words) + 1.2, 3.6)
    panels = np.atleast_1d(figure.subplots(1, len(words), sharey=True))
    for panel, word in zip(panels, words, strict=True):
        some = table[table["contributions"] == word]
        for number, (family, rows) in enumerate(some.groupby("family", sort=False)):
            gini = rows.groupby("degree")["gini of ratios"]
            style = {"color": COLOURS[number], "marker": MARKERS[number], "ms": 4}
            panel.plot(gini.median().index, gini.median(), label=family, **style)
            panel.fill_between(
                gini.median().index, gini.quantile(0.1), gini.quantile(0.9), color=COLOURS[number], alpha=0.12
            )
        panel.set(xscale="log", xlabel="mean degree", title=f"{word} contributions")
        panel.set_xticks(
            sorted(some["degree"].unique()), labels=[str(d) for d in sorted(some["degree"].unique())]
        )
        panel.minorticks_off()
        panel.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylabel("Gini of ratios")
    panels[-1].legend(frameon=False, fontsize=8)
    each = int(table.groupby(["family", "contributions", "degree"]).size().min())
    return Picture(
        figure,
        f"Inequality at the equilibrium against mean degree: medians and 10 % to 90 % ranges of {each} "
        "markets of 100 agents. It falls steeply at first and then hardly any more.",
    )


def against_centrality(cells, table: pd.DataFrame) -> Picture:
    """Utility against sharing centrality of every agent, a panel per family."""
    cells = [cell for cell in cells if cell.contributions == "unit"]
    figure = new_figure(2.2 * len(cells) + 0.6, 2.9)
    panels = figure.subplots(1, len(cells), sharex=True, sharey=True)
    for number, (panel, cell) in enumerate(zip(panels, cells, strict=True)):
        some = np.asarray(cell.market.market_of) < 12
        panel.plot([0.05, 30], [0.05, 30], color="0.7", lw=0.8)
        panel.plot(
            cell.centrality[some],
            np.asarray(cell.found.utility)[some],
            ".",
            ms=3,
            color=COLOURS[number],
            alpha=0.4,
        )
        rows = table[(table["family"] == cell.family) & (table["degree"] == cell.degree)]
        agree = rows[rows["contributions"] == "unit"]["pairs agreeing with sharing centrality"].median()
        panel.set(xscale="log", yscale="log", xlabel="sharing centrality")
        panel.set_title(
            f"{cell.family}\n{agree:.0%} of pairs agree".replace("%", " %"), fontsize=9, loc="left"
        )
        panel.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylabel("received at the equilibrium")
    return Picture(
        figure,
        "What agents receive at the equilibrium against sharing centrality, what they would receive if "
        "everybody split equally: 12 markets per family, mean degree 2, unit contributions; rank "
        "correlations are medians of all markets. Below the grey line agents receive less than by the "
        "equal split.",
    )


def ratio_levels(cells) -> Picture:
    """Histograms of the agents' ratios, sparse and dense."""
    families = list(dict.fromkeys(cell.family for cell in cells))
    figure = new_figure(2.2 * len(families) + 0.6, 2.9)
    panels = figure.subplots(1, len(families), sharey=True)
    bins = np.geomspace(1 / 16, 16, 34)
    for panel, family in zip(panels, families, strict=True):
        for number, degree in enumerate((2, 4, 16)):
            ratios = [
                np.asarray(c.found.ratio)
                for c in cells
                if (c.family, c.degree, c.contributions) == (family, degree, "lognormal")
            ]
            values = np.clip(np.concatenate(ratios), bins[0], bins[-1])
            weights = np.full(len(values), 100 / len(values))
            style = {"histtype": "step", "color": COLOURS[number], "ls": ("-", "--", "-.")[number], "lw": 1.3}
            panel.hist(values, bins, weights=weights, label=f"mean degree {degree}", **style)
        panel.set(xscale="log", yscale="log", xlabel="ratio")
        panel.set_xticks([0.1, 1, 10], labels=["0.1", "1", "10"])
        panel.set_title(family, fontsize=9, loc="left")
        panel.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylabel("% of agents")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper center", ncols=3, frameon=False)
    return Picture(
        figure,
        "How ratios are spread over agents at the equilibrium, lognormal contributions: sparse networks "
        "have many levels below and above 1, dense ones nearly only 1. What lies outside stands in the "
        "outermost bins.",
    )
