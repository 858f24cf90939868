"""Drawings of a network: ratios and flows, and derivatives."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from cmapjax import metrics
from cmapjax.arguments._checks import short
from cmapjax.arguments._labelled import by_name
from cmapjax.market._market import Market
from cmapjax.plots._canvas import new_figure, plain
from cmapjax.sensitivity import LinkChanges

MOST_AGENTS = 300  # a drawing of more agents shows nothing
LABELLED_AGENTS = 40
# A drawing of derivatives shows a part of a larger network: this many agents that matter most, and their
# neighbours up to the limit above.
CENTRES = 12
MOST_SHOWN_LINKS = 20
TICKS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100)


def network(market: Market, flow: Float[np.ndarray, "slots"], *, title: str = "", seed: int = 0):
    """The network: agents coloured by ratio and sized by contribution, links as wide as their flow.

    An agent that has nothing is marked by a cross, so that it differs from one that has little.

    Args:
        market: one market of at most 300 agents.
        flow: y_ij in the market's layout; a link's width is what flows both ways together.
        title: a line above.
        seed: of the layout.

    Returns:
        A Matplotlib figure.

    Raises:
        ValueError: too many agents to see anything.
    """
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import LogNorm

    if market.num_agents > MOST_AGENTS:
        raise ValueError(
            f"market has {market.num_agents:,} agents; a drawing shows at most {MOST_AGENTS}. Draw a part of "
            "it, or ratio_histogram."
        )
    drawing = _Drawing(market, np.arange(market.num_agents), seed)
    links, there, back = links_of(market)
    values = market.arc_values(flow)
    both = values[there] + values[back]
    drawing.draw_links(links, linewidths=0.3 + 5 * both / both.max())
    ratios = np.asarray(metrics.ratio(market, market.received(flow)))
    reach = max(np.abs(np.log(np.clip(ratios, 1e-2, 1e2))).max(), np.log(1.5))
    norm = LogNorm(np.exp(-reach), np.exp(reach))
    drawing.draw_agents(np.clip(ratios, norm.vmin, norm.vmax), norm, "RdBu")
    nothing = ratios <= metrics.NOTHING
    if nothing.any():
        drawing.draw_crosses(np.flatnonzero(nothing))
    bar = drawing.figure.colorbar(ScalarMappable(norm, "RdBu"), ax=drawing.panel, shrink=0.8)
    bar.set_label("ratio: value received per value contributed")
    ticks = [t for t in TICKS if norm.vmin <= t <= norm.vmax]
    bar.set_ticks(ticks, labels=[f"{t:g}" for t in ticks])
    bar.minorticks_off()
    drawing.write(
        title,
        "node area: contribution; line width: flow both ways"
        + (f"; cross: {int(nothing.sum())} agent(s) with nothing" if nothing.any() else ""),
    )
    return drawing.figure


def derivatives(
    market: Market,
    slope,
    *,
    label: str,
    title: str = "",
    seed: int = 0,
):
    """The network coloured by a derivative: agents by one number each, or the links that change most.

    Of a network of more than 300 agents the part around those that matter most is drawn, and the
    figure says so.

    Args:
        slope: `sensitivity.gradient`, one number per agent; or `sensitivity.new_links` and
            `removed_links`, of which the 20 largest changes are drawn (new links dashed).
        label: what the colour means, with its unit.
        title: a line above.
        seed: of the layout.

    Returns:
        A Matplotlib figure.
    """
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    if isinstance(slope, LinkChanges):
        strongest = _strongest(market, slope)
        ends = [agent for pair, *_ in strongest for agent in pair]
        numbers = np.array([change for _, change, _ in strongest])
    else:
        strongest, numbers = [], np.asarray(by_name("slope", slope, market.labels), float)
        ends = np.argsort(-np.abs(numbers), kind="stable")[:CENTRES].tolist()
    shown = _part(market, ends)
    drawing = _Drawing(market, shown, seed)
    finite = numbers[np.isfinite(numbers)]
    most = np.abs(finite).max() if np.any(finite) else 1.0
    norm = Normalize(-most, most)
    drawing.draw_links(drawing.links, linewidths=0.6)
    if strongest:
        pairs, _, are_new = zip(*strongest, strict=True)
        # A dark edge makes pale colours visible on white.
        for width, tints in ((3.6, "#404040"), (2.6, _colours(numbers, norm))):
            dashes = [(0, (8 / width, 4 / width)) if is_new else "-" for is_new in are_new]  # of its width
            look = {"linewidths": width, "colors": tints, "linestyles": dashes, "capstyle": "butt"}
            drawing.draw_links(pairs, zorder=1.5, **look)
        drawing.draw_agents(None, None, None)
    else:
        drawing.draw_agents(numbers[shown], norm, "PuOr")
    bar = drawing.figure.colorbar(ScalarMappable(norm, "PuOr"), ax=drawing.panel, shrink=0.8)
    bar.set_label(plain(label))
    notes = ["node area: contribution"]
    if strongest:
        notes.append(f"the {len(strongest)} links that matter most")
        notes += ["dashed: new"] if any(is_new for *_, is_new in strongest) else []
        notes += ["black: −∞ (strands an agent)"] if not np.isfinite(numbers).all() else []
    if len(shown) < market.num_agents:
        notes.append(f"{len(shown):,} of {market.num_agents:,} agents, around those that matter most")
    drawing.write(title, "; ".join(notes))
    return drawing.figure


def _strongest(market: Market, changes: LinkChanges) -> list[tuple[tuple[int, int], float, bool]]:
    """The links that change something, the strongest first: their ends, the change, whether they are new."""
    linked = set(zip(*(arc.tolist() for arc in market.arcs()), strict=True))
    order = np.argsort(-np.abs(changes.change), kind="stable")[:MOST_SHOWN_LINKS]
    chosen = [k for k in order if changes.change[k] != 0]
    pairs = [tuple(market.index(agent) for agent in changes.links[k]) for k in chosen]
    return [
        (pair, float(changes.change[k]), pair not in linked) for k, pair in zip(chosen, pairs, strict=True)
    ]


def _colours(changes: np.ndarray, norm) -> list:
    import matplotlib as mpl

    return [mpl.colormaps["PuOr"](norm(x)) if np.isfinite(x) else "black" for x in changes.tolist()]


def _part(market: Market, centres: Sequence[int]) -> np.ndarray:
    """All agents of a small market; of a large one the centres and the neighbours there is room for."""
    if market.num_agents <= MOST_AGENTS:
        return np.arange(market.num_agents)
    starts, neighbours = market.neighbour_rows()
    chosen = list(dict.fromkeys(centres))[:MOST_AGENTS]
    around = [neighbours[starts[i] : starts[i + 1]].tolist() for i in chosen]
    # One neighbour of each centre at a time, so that no hub fills the drawing.
    for rank in range(max(map(len, around), default=0)):
        for row in around:
            if rank < len(row) and len(chosen) < MOST_AGENTS:
                chosen.append(row[rank])
        chosen = list(dict.fromkeys(chosen))
    return np.array(sorted(chosen))


def links_of(market: Market) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pairs of agents, and of each the places among `market.arcs()` of the arcs there and back."""
    giver, receiver = market.arcs()
    is_link = giver < receiver
    pairs = np.stack([giver[is_link], receiver[is_link]], axis=1)
    return pairs, np.flatnonzero(is_link), np.lexsort((giver, receiver))[is_link]


def places_of(agents: Sequence[int], links, seed: int = 0, most: int = MOST_AGENTS) -> np.ndarray:
    """Where agents stand: by Kamada and Kawai's layout, which is the clearer one, if the network is in one
    piece and of at most so many agents (its time grows with the cube of them)."""
    import networkx as nx

    graph = nx.Graph()
    graph.add_nodes_from(agents)
    graph.add_edges_from(links)
    is_clear = nx.is_connected(graph) and len(agents) <= most
    place = nx.kamada_kawai_layout(graph) if is_clear else nx.spring_layout(graph, seed=seed)
    return np.array([place[agent] for agent in agents])


class _Drawing:
    """A panel with some agents of a market laid out on it."""

    def __init__(self, market: Market, shown: np.ndarray, seed: int):
        self.market, self.shown = market, shown
        links, *_ = links_of(market)
        self.links = links[np.isin(links, shown).all(axis=1)]
        self.spots = places_of(shown.tolist(), self.links.tolist(), seed)
        self.figure = new_figure(7, 6)
        self.panel = self.figure.subplots()
        weight = np.asarray(market.contribution)[shown]
        self.area = 40 + 200 * weight / weight.max() * min(1.0, 40 / len(shown))

    def draw_links(self, links, **style) -> None:
        """Lines between pairs of agents."""
        from matplotlib.collections import LineCollection

        ends = self.spots[np.searchsorted(self.shown, links)]
        look = {"colors": "#888888", "zorder": 1, "capstyle": "round"} | style
        self.panel.add_collection(LineCollection(ends, **look))

    def draw_agents(self, numbers, norm, colours: str | None) -> None:
        tint = {"c": numbers, "norm": norm, "cmap": colours} if colours else {"c": "white"}
        self.panel.scatter(*self.spots.T, s=self.area, edgecolors="black", linewidths=0.6, zorder=2, **tint)

    def draw_crosses(self, which: np.ndarray) -> None:
        crosses = {"marker": "X", "facecolors": "white", "edgecolors": "black", "linewidths": 0.6}
        self.panel.scatter(*self.spots[which].T, s=0.6 * self.area[which], zorder=3, **crosses)

    def write(self, title: str, notes: str) -> None:
        """Labels of few agents, the title, and what areas and lines mean."""
        if len(self.shown) <= LABELLED_AGENTS:
            for agent, spot in zip(self.shown.tolist(), self.spots, strict=True):
                text = plain(short(self.market.labels[agent]).strip("'"))
                self.panel.annotate(
                    text, spot, xytext=(5, 5), textcoords="offset points", fontsize=7, zorder=4
                )
        self.panel.set_title(plain(title), fontsize=10)
        below = {"transform": self.panel.transAxes, "ha": "center", "va": "top", "fontsize": 8, "wrap": True}
        self.panel.text(0.5, -0.02, notes, **below)
        self.panel.set_axis_off()
