"""Pictures of runs and markets, as Matplotlib figures.

Figures are made without pyplot, so nothing here needs a display or leaves figures behind.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from jaxtyping import Float

from cmapjax import metrics
from cmapjax._checks import short
from cmapjax._market import Market
from cmapjax._simulate import Run

# Okabe and Ito's palette, distinguishable with any colour vision; line styles say it once more.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
STYLES = ("-", "--", "-.", ":")
MOST_AGENTS = 300  # a drawing of more agents shows nothing
LABELLED_AGENTS = 40
CLOCKS = ("rounds", "agent updates")
# Metric: axis label, and whether small values are what matters (a logarithmic axis).
MEASURES = {
    "share_of_equilibrium": ("Nash welfare, % of the equilibrium's", False),
    "certified_share": ("Nash welfare, % of the equilibrium's (certified)", False),
    "log_welfare_loss": ("log welfare loss φ* − φ", True),
    "misallocated_share": ("misallocated value, share of all", True),
    "certified_gap": ("certified gap (log Nash welfare)", True),
    "worst_relative_error": ("worst agent's relative error", True),
    "min_ratio": ("least ratio (received / contributed)", False),
    "oscillation": ("oscillating value, share of all", True),
    "gini": ("Gini index of ratios", False),
    "jain_index": ("Jain index of ratios", False),
}
SMALLEST_SHOWN = 1e-12  # below, rounding; drawn at the edge


def _figure(width: float, height: float):
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained", dpi=150)


def save(figure, path) -> None:
    """Write a figure as PNG, PDF or SVG, as the ending says, fonts embedded.

    Raises:
        ValueError: another ending.
    """
    import matplotlib as mpl

    path = Path(path)
    if path.suffix.lower() not in (".png", ".pdf", ".svg"):
        raise ValueError(f"path is {short(str(path))}; end it in .png, .pdf or .svg.")
    with mpl.rc_context({"pdf.fonttype": 42, "svg.fonttype": "path"}):
        figure.savefig(path)


def comparison(market: Market, runs: Mapping[str, Run]):
    """Welfare and loss of several runs on the same markets, against both clocks: a figure of four panels.

    Lines are medians over markets, bands their 10 % to 90 % range.
    """
    known = all("share_of_equilibrium" in run.records for run in runs.values())
    rows = ("share_of_equilibrium", "misallocated_share") if known else ("certified_share", "certified_gap")
    figure = _figure(10, 7)
    panels = figure.subplots(2, 2, sharey="row")
    for panel_row, metric in zip(panels, rows, strict=True):
        for panel, clock in zip(panel_row, CLOCKS, strict=True):
            _draw_curves(panel, market, runs, metric, clock)
        panel_row[1].set_ylabel("")
    handles, labels = panels[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=1 if len(runs) > 6 else 2, frameon=False)
    return figure


def convergence(
    market: Market,
    runs: Mapping[str, Run],
    *,
    metric: str = "share_of_equilibrium",
    clock: str = "rounds",
):
    """One recorded metric of several runs against a clock: a figure of one panel.

    Args:
        market: the markets that all runs were on.
        runs: by the name that the legend shows.
        metric: a recorded metric, or "certified_share".
        clock: "rounds", or "agent updates" (per agent).

    Raises:
        ValueError: a metric that a run has not recorded; another clock.
    """
    if clock not in CLOCKS:
        raise ValueError(f"clock is {clock!r}; give one of {', '.join(CLOCKS)}.")
    figure = _figure(7, 4.5)
    panel = figure.subplots()
    _draw_curves(panel, market, runs, metric, clock)
    figure.legend(loc="outside upper center", ncols=1, frameon=False)
    return figure


def _draw_curves(panel, market, runs, metric, clock) -> None:
    label, is_log = MEASURES.get(metric, (metric.replace("_", " "), False))
    for number, (name, run) in enumerate(runs.items()):
        values = _values(run, name, metric)
        time = run.rounds if clock == "rounds" else _updates(market, run)
        if is_log:
            values = np.clip(values, SMALLEST_SHOWN, None)
        # inverted_cdf never interpolates, so an infinite market does not turn its neighbours into NaN.
        low, middle, high = np.quantile(values, [0.1, 0.5, 0.9], axis=1, method="inverted_cdf")
        colour = COLOURS[number % len(COLOURS)]
        style = STYLES[number % len(STYLES)]
        panel.plot(time, _finite(middle), style, color=colour, label=_legend(name, run), linewidth=1.6)
        if values.shape[1] > 1:
            panel.fill_between(time, _finite(low), _finite(high), color=colour, alpha=0.15, linewidth=0)
    if is_log:
        panel.set_yscale("log")
    _time_axis(panel, market, runs, clock)
    panel.set_xlabel("rounds" if clock == "rounds" else "agent updates per agent")
    panel.set_ylabel(label)
    panel.grid(alpha=0.25)
    panel.spines[["top", "right"]].set_visible(False)


def _time_axis(panel, market, runs, clock) -> None:
    """Linear up to 1, then logarithmic: most happens in the first rounds, the tails are long."""
    from matplotlib.ticker import NullLocator

    last = max((run.rounds if clock == "rounds" else _updates(market, run))[-1] for run in runs.values())
    ticks = [0, *(k * 10**e for e in range(8) for k in (1, 2, 5) if k * 10**e <= last)]
    panel.set_xscale("symlog", linthresh=1)
    panel.set_xlim(0, max(last, 1))
    panel.set_xticks(ticks, labels=[f"{t:,}" for t in ticks])
    panel.xaxis.set_minor_locator(NullLocator())


def _updates(market, run) -> np.ndarray:
    """Agent updates per agent, on average over markets."""
    return (run.agent_updates / np.bincount(np.asarray(market.market_of))).mean(axis=1)


def _values(run, name: str, metric: str) -> Float[np.ndarray, "records markets"]:
    if metric == "certified_share" and "certified_gap" in run.records:
        return 100 * np.exp(-run.records["certified_gap"])
    if metric not in run.records:
        raise ValueError(
            f"metric {metric!r} was not recorded by run {name!r}; recorded: {', '.join(run.records)}."
        )
    return run.records[metric] * (100 if metric == "share_of_equilibrium" else 1)


def _finite(values):
    """Infinite values as gaps; the legend counts the starved markets that cause them."""
    return np.where(np.isfinite(values), values, np.nan)


def _legend(name: str, run) -> str:
    starved = int(np.sum(np.asarray(run.verdict) == metrics.VERDICTS.index("starved")))
    markets = len(run.verdict)
    if not starved:
        return name
    return f"{name} (starved)" if markets == 1 else f"{name} ({starved:,} of {markets:,} starved)"


def ratio_histogram(
    ratios: Mapping[str, Float[np.ndarray, "agents"]],
    *,
    equilibrium: Float[np.ndarray, "agents"] | None = None,
):
    """How ratios (value received per value contributed) are spread over agents, one panel per strategy.

    The axis is logarithmic; agents with nothing are counted in words. The equilibrium is an outline.
    """
    figure = _figure(7, 1 + 1.5 * len(ratios))
    panels = np.atleast_1d(figure.subplots(len(ratios), 1, sharex=True))
    everything = [*ratios.values(), *([] if equilibrium is None else [equilibrium])]
    shown = np.concatenate([np.asarray(r)[np.asarray(r) > metrics.NOTHING] for r in everything])
    low, high = np.log10([max(shown.min(), 1e-4) / 1.1, shown.max() * 1.1])
    bins = np.logspace(low, high, 41)
    for number, (panel, (name, values)) in enumerate(zip(panels, ratios.items(), strict=True)):
        values = np.asarray(values)
        colour = COLOURS[number % len(COLOURS)]
        weights = np.full(len(values), 100 / len(values))
        panel.hist(
            np.clip(values, bins[0], None)[values > metrics.NOTHING],
            bins,
            color=colour,
            alpha=0.75,
            weights=weights[values > metrics.NOTHING],
        )
        if equilibrium is not None:
            panel.hist(
                equilibrium,
                bins,
                histtype="step",
                color="black",
                linewidth=1,
                weights=np.full(len(equilibrium), 100 / len(equilibrium)),
                label="equilibrium",
            )
        nothing = int(np.sum(values <= metrics.NOTHING))
        title = f"{name}: {nothing:,} of {len(values):,} agents have nothing" if nothing else name
        panel.set_title(title, fontsize=9, loc="left")
        panel.set_ylabel("% of agents")
        panel.set_xscale("log")
        panel.spines[["top", "right"]].set_visible(False)
    panels[-1].set_xlabel("ratio: value received per value contributed")
    if equilibrium is not None:
        panels[0].legend(frameon=False, fontsize=8)
    return figure


def network(market: Market, flow: Float[np.ndarray, "slots"], *, title: str = "", seed: int = 0):
    """The network: agents coloured by ratio and sized by contribution, links as wide as their flow.

    Args:
        market: one market of at most 300 agents.
        flow: y_ij in the market's layout; a link's width is what flows both ways together.
        title: a line above.
        seed: of the layout.

    Raises:
        ValueError: too many agents to see anything.
    """
    import networkx as nx
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import LogNorm

    if market.num_agents > MOST_AGENTS:
        raise ValueError(
            f"market has {market.num_agents:,} agents; a drawing shows at most {MOST_AGENTS}. Draw a part of "
            "it, or ratio_histogram."
        )
    giver, receiver = market.arcs()
    graph = nx.Graph()
    graph.add_nodes_from(range(market.num_agents))
    graph.add_edges_from(zip(giver.tolist(), receiver.tolist(), strict=True))
    place = nx.kamada_kawai_layout(graph) if nx.is_connected(graph) else nx.spring_layout(graph, seed=seed)
    width = dict.fromkeys((tuple(sorted(e)) for e in graph.edges), 0.0)
    for i, j, y in zip(giver.tolist(), receiver.tolist(), market.arc_values(flow), strict=True):
        width[min(i, j), max(i, j)] += float(y)
    ratios = np.asarray(metrics.ratio(market, market.received(flow)))
    figure = _figure(7, 6)
    panel = figure.subplots()
    most = max(width.values())
    for (i, j), y in width.items():
        panel.plot(
            *zip(place[i], place[j], strict=True),
            color="#888888",
            zorder=1,
            linewidth=0.3 + 5 * y / most,
            solid_capstyle="round",
        )
    reach = max(np.abs(np.log(np.clip(ratios, 1e-2, 1e2))).max(), np.log(1.5))
    norm = LogNorm(np.exp(-reach), np.exp(reach))
    weight = np.asarray(market.contribution)
    area = 40 + 200 * weight / weight.max() * min(1.0, 40 / market.num_agents)
    spots = np.array([place[i] for i in range(market.num_agents)])
    panel.scatter(
        *spots.T,
        s=area,
        c=np.clip(ratios, norm.vmin, norm.vmax),
        norm=norm,
        cmap="RdBu",
        edgecolors="black",
        linewidths=0.6,
        zorder=2,
    )
    if market.num_agents <= LABELLED_AGENTS:
        for label, spot in zip(market.labels, spots, strict=True):
            panel.annotate(
                short(label).strip("'"), spot, xytext=(5, 5), textcoords="offset points", fontsize=7
            )
    bar = figure.colorbar(ScalarMappable(norm, "RdBu"), ax=panel, shrink=0.8)
    bar.set_label("ratio: value received per value contributed")
    ticks = [
        t for t in (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100) if norm.vmin <= t <= norm.vmax
    ]
    bar.set_ticks(ticks, labels=[f"{t:g}" for t in ticks])
    bar.minorticks_off()
    panel.set_title(title, fontsize=10)
    panel.text(
        0.5,
        -0.02,
        "node area: contribution; line width: flow both ways",
        transform=panel.transAxes,
        ha="center",
        va="top",
        fontsize=8,
    )
    panel.set_axis_off()
    return figure
