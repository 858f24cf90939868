"""The picture of the README, and the numbers in it: `python docs/pictures.py` writes docs/figures/gnutella*.

Five ways to share on a peer-to-peer network of 10,875 hosts, each bringing one unit a round. Takes a minute.
"""

import functools
from pathlib import Path

import numpy as np
import pandas as pd

import cmapjax as cj
from cmapjax.plots._canvas import COLOURS, new_figure
from cmapjax.plots._curves import time_axis

FIGURES = Path(__file__).parent / "figures"
ROUNDS = 100
LOOK_AFTER = 10  # rounds, at hosts
PLAYS = {
    "CMAP, one after another": (cj.CMAP(), cj.Sequential()),
    "entropic CMAP, all at once": (cj.EntropicCMAP(1.5), cj.Simultaneous()),
    "proportional response": (cj.ProportionalResponse(), cj.Simultaneous()),
    "CMAP, all at once, damped": (cj.Damped(cj.CMAP(), cj.LocalDamping()), cj.Simultaneous()),
    "CMAP, all at once": (cj.CMAP(), cj.Simultaneous()),
}
PLAY_COLOURS = dict(zip(PLAYS, (COLOURS[0], COLOURS[6], COLOURS[3], COLOURS[2], COLOURS[1]), strict=True))
# What a host gets, in parts of its fair share (its utility at the equilibrium): above and up to which part.
CLASSES = {
    "nothing": (-np.inf, 1e-9, "#D55E00", "xxxx"),
    "less than 90 %": (1e-9, 0.9, "#E69F00", "////"),
    "within 10 %": (0.9, 1.1, "#009E73", ""),
    "more than 110 %": (1.1, np.inf, "#56B4E9", "...."),
}


def main() -> None:
    market = cj.graphs.read_market(cj.graphs.shipped("gnutella"))
    equilibrium = cj.solve(market)
    record = {
        "share": lambda m, s: cj.metrics.share_of_equilibrium(m, s.utility, equilibrium.utility),
        **{
            words: functools.partial(_count, of=equilibrium.utility, above=above, up_to=up_to)
            for words, (above, up_to, _, _) in CLASSES.items()
        },
    }
    runs = {
        name: cj.simulate(market, strategy, schedule=schedule, rounds=ROUNDS, record=record)
        for name, (strategy, schedule) in PLAYS.items()
    }
    curves = pd.DataFrame({name: 100 * run.records["share"][:, 0] for name, run in runs.items()}).rename_axis(
        "round"
    )
    hosts = pd.DataFrame(
        {name: {c: int(run.records[c][LOOK_AFTER, 0]) for c in CLASSES} for name, run in runs.items()}
    ).rename_axis("gets of its fair share")
    curves.round(4).to_csv(FIGURES / "gnutella.csv")
    hosts.to_csv(FIGURES / "gnutella-hosts.csv")
    cj.plots.save(_drawn(curves, hosts), FIGURES / "gnutella.png")


def _count(market, state, of, above, up_to):
    """How many agents get more than one and at most another part of their fair share."""
    part = state.utility / of
    return market.total(((part > above) & (part <= up_to)).astype(part.dtype))


def _drawn(curves: pd.DataFrame, hosts: pd.DataFrame):
    figure = new_figure(9, 4.3)
    left, right = figure.subplots(1, 2, width_ratios=(1.15, 1))
    for name in curves:
        left.plot(curves.index, curves[name], color=PLAY_COLOURS[name], linewidth=2.2)
    time_axis(left, ROUNDS)
    left.set(xlabel="rounds", ylabel="welfare, % of the best possible", ylim=(-4, 111))
    left.set_title("How good is the allocation?", loc="left", fontsize=11)
    left.grid(alpha=0.25)
    # Beside its line, where there is room; the colour says which.
    for name, round_, height, side in (
        ("CMAP, one after another", 1.1, 102, "bottom"),
        ("entropic CMAP,\nall at once", 0.04, 99, "top"),
        ("proportional\nresponse", 1.25, 79, "top"),
        ("CMAP, all at once, damped", 2.6, 55, "top"),
        ("CMAP, all at once", 1.3, 2, "bottom"),
    ):
        colour = PLAY_COLOURS[name.replace("\n", " ")]
        left.text(round_, height, name, color=colour, va=side, fontsize=9, weight="bold")
    _draw_hosts(figure, right, hosts)
    for panel in (left, right):
        panel.spines[["top", "right"]].set_visible(False)
    return figure


def _draw_hosts(figure, panel, hosts: pd.DataFrame) -> None:
    total = hosts.iloc[:, 0].sum()
    for place, name in enumerate(hosts):
        begin = 0.0
        for words, (_, _, colour, hatch) in CLASSES.items():
            width = 100 * hosts.loc[words, name] / total
            label = words if place == 0 else None
            panel.barh(place, width, 0.5, begin, color=colour, edgecolor="white", hatch=hatch, label=label)
            if width >= 8:
                box = {"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 1}
                style = {"ha": "center", "va": "center", "fontsize": 8, "bbox": box}
                panel.text(begin + width / 2, place, f"{width:.0f} %", **style)
            begin += width
        panel.text(0, place - 0.31, name, color=PLAY_COLOURS[name], fontsize=9, weight="bold", va="bottom")
    panel.set(
        xlim=(0, 100), ylim=(len(hosts.columns) - 0.6, -0.75), yticks=[], xlabel=f"% of {total:,} hosts"
    )
    panel.spines["left"].set_visible(False)
    panel.set_title(f"What do hosts get of their fair share, round {LOOK_AFTER}?", loc="left", fontsize=11)
    handles, labels = panel.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower right", ncols=4, frameon=False, fontsize=8)


if __name__ == "__main__":
    main()
