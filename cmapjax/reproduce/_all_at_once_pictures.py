"""Pictures of agents acting at once: what becomes of markets, and of their welfare."""

import numpy as np
import pandas as pd

from cmapjax.plots._canvas import COLOURS, new_figure
from cmapjax.plots._study import HATCHES, VERDICT_COLOURS
from cmapjax.reproduce._part import Picture

SHOWN = ("Erdős-Rényi", "Barabási-Albert", "tree")
STYLES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (1, 1)), (0, (3, 1, 1, 1)))


def verdicts(table: pd.DataFrame, words: dict[str, str]) -> Picture:
    """Shares of verdicts, a panel per family and a bar per way of acting."""
    some = table[table["contributions"] != "unit"]
    names = [name for name in some["family"].unique() if "degree" not in name]
    figure = new_figure(7.4, 5.0)
    panels = figure.subplots(4, 2, sharex=True, sharey=True).ravel()
    for panel, family in zip(panels, names, strict=False):
        here = some[some["family"] == family]
        left = np.zeros(len(words))
        for number, verdict in enumerate(VERDICT_COLOURS):
            parts = np.array(
                [100 * (here.loc[here["play"] == play, "verdict"] == verdict).mean() for play in words]
            )
            if not (some["verdict"] == verdict).any():
                continue
            style = {"color": VERDICT_COLOURS[verdict], "hatch": HATCHES[number], "edgecolor": "white"}
            label = verdict if panel is panels[0] else None
            panel.barh(range(len(words)), parts, left=left, height=0.8, linewidth=0.4, label=label, **style)
            left += parts
        panel.set_title(family, fontsize=8.5, loc="left", pad=2)
        panel.set_yticks(range(len(words)), list(words.values()), fontsize=6.5)
        panel.tick_params(axis="x", labelsize=7)
        panel.spines[["top", "right", "left"]].set_visible(False)
    panels[0].invert_yaxis()
    panels[-1].set_axis_off()
    panels[-2].set_xlabel("% of markets", fontsize=8)
    figure.legend(loc="lower right", fontsize=8, frameon=False, bbox_to_anchor=(0.9, 0.06))
    per_bar = len(here) // len(words)
    caption = (
        f"What becomes of markets of 100 agents with unequal contributions when all act at once: about "
        f"{per_bar} markets a bar. 'Closing in' under small steps is slow convergence."
    )
    return Picture(figure, caption)


def welfare(kind: np.ndarray, share: dict[str, np.ndarray], words: dict[str, str]) -> Picture:
    """Nash welfare over the equilibrium's, the median market, over the first rounds."""
    figure = new_figure(7.4, 3.1)
    panels = figure.subplots(1, len(SHOWN), sharey=True)
    for panel, family in zip(panels, SHOWN, strict=True):
        for number, (play, name) in enumerate(words.items()):
            middle = np.median(share[play][:61, kind == family], axis=1)
            colour = COLOURS[number % len(COLOURS)]
            panel.plot(100 * middle, linestyle=STYLES[number], color=colour, linewidth=1.3, label=name)
        panel.set_title(f"{family} ({(kind == family).sum()} markets)", fontsize=8.5)
        panel.set_xlabel("rounds", fontsize=8)
        panel.set_ylim(0, 103)
        panel.grid(alpha=0.25)
        panel.tick_params(labelsize=7)
    panels[0].set_ylabel("Nash welfare, % of equilibrium", fontsize=8)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, fontsize=7, frameon=False)
    caption = (
        "The median market with unequal contributions, round by round. All the way at once breaks down on "
        "dense networks, half of the way stays short; the others come to the equilibrium, small steps of "
        "1/Δ most slowly where there are hubs."
    )
    return Picture(figure, caption)
