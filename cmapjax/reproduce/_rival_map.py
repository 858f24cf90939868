"""Who wins where: a table and a map."""

import numpy as np
import pandas as pd

from cmapjax.reproduce import _families as fam
from cmapjax.reproduce._rival_clocks import CLOCKS

TIE, NOBODY = "tie", "nobody"
SHORT = {
    fam.IN_TURN: "in turn",
    fam.BY_COLOURS: "colours",
    fam.LOCAL: "local d.",
    fam.HALF: "damped ½",
    fam.AT_ONCE: "at once",
    fam.RESPONSE: "PR",
    TIE: "tie",
    NOBODY: "nobody",
}
# Light enough for black letters; those of CMAP are cold, that of proportional response warm.
TINTS = {
    fam.IN_TURN: "#9ecae1",
    fam.BY_COLOURS: "#c6dbef",
    fam.LOCAL: "#b2e2c1",
    fam.HALF: "#d4eed0",
    fam.AT_ONCE: "#dcd6ee",
    fam.RESPONSE: "#fdb863",
    TIE: "#e3e3e3",
    NOBODY: "#f5f5f5",
}


def winners(table: pd.DataFrame, plays) -> pd.DataFrame:
    """By size, family, accuracy and clock: whose median market needs least, and what that and others need."""
    rows = []
    for (n, family, accuracy), some in table.groupby(["agents", "family", "accuracy"], sort=False):
        for clock in CLOCKS:
            medians = {
                play: float(np.quantile(group[clock], 0.5, method="inverted_cdf"))
                for play, group in some.groupby("play", sort=False)
            }
            rows.append(
                {"agents": n, "family": family, "accuracy": accuracy, "clock": clock}
                | {"winner": _winner(medians), "needs": min(medians.values())}
                | {play: medians[play] for play in plays}
            )
    return pd.DataFrame(rows)


def _winner(medians: dict[str, float]) -> str:
    """Of CMAP's ways that need the same the first one listed; a tie if proportional response does too."""
    least = min(medians.values())
    if np.isinf(least):
        return NOBODY
    best = [play for play in medians if medians[play] == least]
    if fam.RESPONSE in best and len(best) > 1:
        return TIE
    return next(play for play in (*fam.PLAYS,) if play in best)


def draw_map(tiles: pd.DataFrame, accuracies):
    """A panel per clock, a tile per family and accuracy, with the winner's name and what it needs."""
    from matplotlib.patches import Patch

    from cmapjax.plots._canvas import new_figure

    shown = {"rounds": "Rounds", "updates": "Agent updates, per agent", "moments": "Moments"}
    shown |= {"messages": "Messages, per direction of a link"}
    figure = new_figure(7.6, 7.4)
    panels = figure.subplots(2, 2, sharex=True, sharey=True).ravel()
    families = list(fam.FAMILIES)
    for panel, (clock, title) in zip(panels, shown.items(), strict=True):
        for tile in tiles[tiles["clock"] == clock].itertuples():
            across, down = accuracies.index(tile.accuracy), families.index(tile.family)
            box = {"facecolor": TINTS[tile.winner], "edgecolor": "white", "linewidth": 1.5}
            panel.add_patch(_box(across, down, box))
            needs = "" if np.isinf(tile.needs) else f"\n{tile.needs:.3g}"
            weight = "bold" if tile.winner == fam.RESPONSE else "normal"
            text = {
                "ha": "center",
                "va": "center",
                "fontsize": 7.5,
                "fontweight": weight,
                "linespacing": 1.05,
            }
            panel.text(across, down, SHORT[tile.winner] + needs, **text)
        panel.set_xlim(-0.5, len(accuracies) - 0.5)
        panel.set_ylim(len(families) - 0.5, -0.5)
        panel.set_xticks(range(len(accuracies)), accuracies, fontsize=9)
        panel.set_yticks(range(len(families)), families, fontsize=9)
        panel.tick_params(length=0, labelbottom=True)
        panel.spines[:].set_visible(False)
        panel.set_title(title, fontsize=10)
    names = {play: play for play in TINTS} | {TIE: "tie of the two", NOBODY: "nobody gets there"}
    present = [play for play in TINTS if (tiles["winner"] == play).any()]
    patches = [Patch(facecolor=TINTS[play], edgecolor="0.6", label=names[play]) for play in present]
    figure.legend(handles=patches, loc="outside lower center", ncols=3, frameon=False, fontsize=9)
    return figure


def _box(across: int, down: int, style: dict):
    from matplotlib.patches import Rectangle

    return Rectangle((across - 0.5, down - 0.5), 1, 1, **style)
