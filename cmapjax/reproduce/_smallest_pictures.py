"""The smallest markets that fail: each network, and what its agents get."""

import networkx as nx
import numpy as np

from cmapjax.plots._canvas import COLOURS, new_figure
from cmapjax.reproduce._part import Picture

SHOWN = 40  # rounds
PALETTE = (*COLOURS, "#8C8C8C", "#8C564B", "#B8B800")
DASHES = ("-", "--", "-.", ":")


def specimens(some) -> Picture:
    """A row per market: its network, contributions in the nodes, and utilities over the rounds."""
    figure = new_figure(7.2, 1.55 * len(some) + 0.3)
    panels = figure.subplots(len(some), 2, width_ratios=[1, 2.6], squeeze=False)
    for (left, right), specimen in zip(panels, some, strict=True):
        _draw_network(left, specimen.market)
        utility = np.array([[float(u) for u in row] for row in specimen.run.utility])
        utility = _continued(utility, specimen.run.returns)
        # What half steps come to shows late.
        first = 0 if specimen.theta == 1 or len(utility) <= SHOWN + 1 else len(utility) - SHOWN - 1
        rounds = np.arange(first, first + SHOWN + 1)
        for agent, column in enumerate(utility[rounds].T):
            style = {"color": PALETTE[agent % len(PALETTE)], "linestyle": DASHES[agent % 4]}
            right.plot(rounds, column, linewidth=1.1, marker=".", markersize=2.5, **style)
        right.set_ylim(bottom=-0.04 * utility[rounds].max())
        right.axhline(0, color="#888888", linewidth=0.6)
        right.tick_params(labelsize=7)
        right.set_title(f"{specimen.words} (θ = {float(specimen.theta):g})", fontsize=8.5, loc="left", pad=3)
        right.set_ylabel("utility", fontsize=7.5)
    panels[-1, 1].set_xlabel("round", fontsize=8)
    caption = (
        "The smallest markets found of each sort, everybody acting at once from an equal split, in exact "
        "fractions. In the nodes: contributions; a line per agent, in the node's colour: what it gets (with "
        "half steps, the last rounds that were played)."
    )
    return Picture(figure, caption)


def _continued(utility: np.ndarray, returns) -> np.ndarray:
    """An exact run ends when a flow comes back; what follows is the same again."""
    if returns is None:
        return utility
    first, last = returns
    rounds = np.arange(SHOWN + 1)
    return utility[np.where(rounds < last, rounds, first + (rounds - first) % (last - first))]


def _draw_network(panel, market) -> None:
    graph = nx.Graph(market.links)
    place = nx.circular_layout(range(len(market.weight)))
    for a, b in graph.edges:
        panel.plot(*np.transpose([place[a], place[b]]), color="#999999", linewidth=1, zorder=1)
    for agent, weight in enumerate(market.weight):
        dot = {
            "s": 130,
            "color": PALETTE[agent % len(PALETTE)],
            "edgecolors": "black",
            "linewidths": 0.6,
            "zorder": 2,
        }
        panel.scatter(*place[agent], **dot)
        # White on dark, black on the light colours of the palette.
        ink = "black" if agent % len(PALETTE) in (4, 5, 9) else "white"
        panel.text(*place[agent], str(weight), ha="center", va="center", fontsize=8, color=ink, zorder=3)
    panel.set_aspect("equal")
    panel.margins(0.25)
    panel.set_axis_off()
