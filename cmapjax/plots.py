"""Pictures of runs and markets, as Matplotlib figures.

Figures are made without pyplot, so nothing here needs a display or leaves figures behind.
"""

import io
from collections.abc import Mapping

import numpy as np
from jaxtyping import Float

from cmapjax import metrics
from cmapjax._checks import short
from cmapjax._market import Market
from cmapjax._simulate import Run
from cmapjax.graphs._files import check_writable_path, write_bytes

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
SMALLEST_RATIO = 1e-4  # in a histogram; what is below stands in its first bin, and the title says so
# Of the metrics on a linear axis, those that are worse the larger they are.
WORSE_ABOVE = ("oscillation", "gini", "num_starved")


def _figure(width: float, height: float):
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained", dpi=150)


def save(figure, path) -> None:
    """Write a figure as PNG, PDF or SVG, as the ending says, fonts embedded, margins cut.

    Equal figures give equal files: no dates, no random names.

    Raises:
        ValueError: another ending; a folder that does not exist.
    """
    import matplotlib as mpl

    path = check_writable_path(path)
    dates = {".png": {}, ".pdf": {"CreationDate": None}, ".svg": {"Date": None}}
    ending = path.suffix.lower()
    if ending not in dates:
        raise ValueError(f"path is {short(str(path))}; end it in .png, .pdf or .svg.")
    content = io.BytesIO()
    with mpl.rc_context({"pdf.fonttype": 42, "svg.fonttype": "path", "svg.hashsalt": "cmapjax"}):
        figure.savefig(content, format=ending[1:], bbox_inches="tight", metadata=dates[ending])
    write_bytes(path, content.getvalue())


def _plain(text) -> str:
    """Text as it stands: a dollar starts no formula, and a leading underscore hides nothing."""
    text = str(text).replace("$", r"\$")
    return f" {text}" if text.startswith("_") else text


def comparison(market: Market, runs: Mapping[str, Run]):
    """Welfare and loss of several runs on the same markets, against both clocks: a figure of four panels.

    Lines are medians over markets, bands their 10 % to 90 % range. A market that is infinite, or not a
    number, counts as the worst and is drawn at a marked edge.

    Raises:
        ValueError: no runs; a run without the metrics.
    """
    _check_runs(runs)
    known = all("share_of_equilibrium" in run.records for run in runs.values())
    rows = ("share_of_equilibrium", "misallocated_share") if known else ("certified_share", "certified_gap")
    figure = _figure(10, 7)
    panels = figure.subplots(2, 2, sharey="row")
    for panel_row, metric in zip(panels, rows, strict=True):
        for panel, clock in zip(panel_row, CLOCKS, strict=True):
            _draw_curves(panel, market, runs, metric, clock)
        panel_row[1].set_ylabel("")
    _add_legend(figure, panels[0, 0], runs, ncols=1 if len(runs) > 6 else 2)
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
        ValueError: no runs; a metric that a run has not recorded; another clock.
    """
    _check_runs(runs)
    if clock not in CLOCKS:
        raise ValueError(f"clock is {clock!r}; give one of {', '.join(CLOCKS)}.")
    figure = _figure(7, 4.5)
    panel = figure.subplots()
    _draw_curves(panel, market, runs, metric, clock)
    _add_legend(figure, panel, runs, ncols=1)
    return figure


def _check_runs(runs) -> None:
    if not runs:
        raise ValueError("runs: nothing to draw; give at least one run by name.")


def _add_legend(figure, panel, runs, ncols: int) -> None:
    lines = [line for line in panel.lines if line.get_gid() == "run"]
    labels = [_legend(name, run) for name, run in runs.items()]
    is_ensemble = any(len(run.verdict) > 1 for run in runs.values())
    title = "line: median market; band: 10 % to 90 % of markets" if is_ensemble else None
    figure.legend(lines, labels, loc="outside upper center", ncols=ncols, frameon=False, title=title)


def _draw_curves(panel, market, runs, metric, clock) -> None:
    label, is_log = MEASURES.get(metric, (metric.replace("_", " "), False))
    is_worse_above = is_log or metric in WORSE_ABOVE
    curves = [_quantiles(_values(run, name, metric), is_log, is_worse_above) for name, run in runs.items()]
    edge = _edge(np.concatenate([c.ravel() for c in curves]), is_log, is_worse_above)
    for number, (run, curve) in enumerate(zip(runs.values(), curves, strict=True)):
        time = run.rounds if clock == "rounds" else _updates(market, run)
        low, middle, high = np.where(np.isfinite(curve), curve, edge)
        colour = COLOURS[number % len(COLOURS)]
        style = STYLES[number % len(STYLES)]
        panel.plot(time, middle, style, color=colour, linewidth=1.6, gid="run")
        if len(run.verdict) > 1:
            panel.fill_between(time, low, high, color=colour, alpha=0.15, linewidth=0)
    if not all(np.isfinite(c).all() for c in curves):
        words = "infinite: an agent has nothing (or not a number)"
        panel.axhline(edge, color="#808080", linewidth=0.8, linestyle=":", zorder=0)
        panel.annotate(
            words, (1, edge), xycoords=("axes fraction", "data"), xytext=(-2, -3 if is_worse_above else 3),
            textcoords="offset points", ha="right", va="top" if is_worse_above else "bottom",
            fontsize=7, color="#505050",
        )  # fmt: skip
    if is_log:
        panel.set_yscale("log")
    _time_axis(panel, market, runs, clock)
    panel.set_xlabel("rounds" if clock == "rounds" else "agent updates per agent")
    panel.set_ylabel(label)
    panel.grid(alpha=0.25)
    panel.spines[["top", "right"]].set_visible(False)


def _quantiles(values, is_log: bool, is_worse_above: bool) -> Float[np.ndarray, "3 records"]:
    """The 10 %, 50 % and 90 % market of every record; one that is not a number counts as the worst."""
    values = np.where(np.isnan(values), np.inf if is_worse_above else -np.inf, values)
    if is_log:
        values = np.clip(values, SMALLEST_SHOWN, None)
    # inverted_cdf never interpolates, so an infinite market does not turn its neighbours into NaN.
    return np.quantile(values, [0.1, 0.5, 0.9], axis=1, method="inverted_cdf")


def _edge(values, is_log: bool, is_worse_above: bool) -> float:
    """Where infinite values are drawn: beyond all others."""
    finite = values[np.isfinite(values)]
    if not len(finite):
        return 1.0 if is_log else 0.0
    if is_log:
        return float(finite.max() * 10)
    room = 0.15 * (np.ptp(finite) or max(abs(finite[0]), 1.0))
    return float(finite.max() + room if is_worse_above else finite.min() - room)


def _time_axis(panel, market, runs, clock) -> None:
    """Linear up to 1, then logarithmic: most happens in the first rounds, the tails are long."""
    from matplotlib.ticker import NullLocator

    last = max((run.rounds if clock == "rounds" else _updates(market, run))[-1] for run in runs.values())
    steps = (1, 2, 5) if last <= 200 else (1,)  # more would run into each other
    ticks = [0, *(k * 10**e for e in range(10) for k in steps if k * 10**e <= last)]
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


def _legend(name: str, run) -> str:
    """The run's name and how many of its markets failed, and how."""
    markets, notes = len(run.verdict), []
    for word in ("starved", "not finite"):
        failed = int(np.sum(np.asarray(run.verdict) == metrics.VERDICTS.index(word)))
        if failed:
            notes.append(word if markets == 1 else f"{failed:,} of {markets:,} {word}")
    return _plain(f"{name} ({', '.join(notes)})" if notes else name)


def ratio_histogram(
    ratios: Mapping[str, Float[np.ndarray, "agents"]],
    *,
    equilibrium: Float[np.ndarray, "agents"] | None = None,
):
    """How ratios (value received per value contributed) are spread over agents, one panel per strategy.

    The axis is logarithmic; agents that have nothing, less than it shows, or no finite number, are
    counted in words. The equilibrium is an outline.

    Raises:
        ValueError: no ratios.
    """
    if not ratios or any(np.size(r) == 0 for r in ratios.values()):
        raise ValueError("ratios: nothing to draw; give the ratios of at least one agent by name.")
    figure = _figure(7, 1 + 1.5 * len(ratios))
    panels = np.atleast_1d(figure.subplots(len(ratios), 1, sharex=True))
    everything = [*ratios.values(), *([] if equilibrium is None else [equilibrium])]
    shown = np.concatenate([r[_is_shown(r)] for r in map(np.asarray, everything)])
    shown = shown if len(shown) else np.array([0.1, 10])
    low, high = np.log10([max(shown.min(), SMALLEST_RATIO) / 1.1, max(shown.max(), SMALLEST_RATIO) * 1.1])
    bins = np.logspace(low, high, 41)
    for number, (panel, (name, values)) in enumerate(zip(panels, ratios.items(), strict=True)):
        values = np.asarray(values)
        style = {"color": COLOURS[number % len(COLOURS)], "alpha": 0.75}
        _draw_histogram(panel, values, bins, **style)
        if equilibrium is not None:
            style = {"histtype": "step", "color": "black", "linewidth": 1, "label": "equilibrium"}
            _draw_histogram(panel, np.asarray(equilibrium), bins, **style)
        panel.set_title(_plain(name + _left_out(values)), fontsize=9, loc="left")
        panel.set_ylabel("% of agents")
        panel.set_xscale("log")
        panel.spines[["top", "right"]].set_visible(False)
    panels[-1].set_xlabel("ratio: value received per value contributed")
    if equilibrium is not None:
        panels[0].legend(frameon=False, fontsize=8)
    return figure


def _is_shown(ratios):
    return np.isfinite(ratios) & (ratios > metrics.NOTHING)


def _draw_histogram(panel, ratios, bins, **style) -> None:
    """Per cent of all agents, those included that have no place on a logarithmic axis."""
    shown = np.clip(ratios[_is_shown(ratios)], bins[0], None)
    panel.hist(shown, bins, weights=np.full(len(shown), 100 / len(ratios)), **style)


def _left_out(ratios) -> str:
    """How many agents the bars do not show, or not at their place, and why."""
    nothing = np.isfinite(ratios) & (ratios <= metrics.NOTHING)
    counts = {
        "have nothing": nothing,
        f"less than {SMALLEST_RATIO:g}": _is_shown(ratios) & (ratios < SMALLEST_RATIO),
        "are not finite": ~np.isfinite(ratios),
    }
    words = [f"{int(n.sum()):,} of {len(ratios):,} agents {what}" for what, n in counts.items() if n.any()]
    return f": {', '.join(words)}" if words else ""


def network(market: Market, flow: Float[np.ndarray, "slots"], *, title: str = "", seed: int = 0):
    """The network: agents coloured by ratio and sized by contribution, links as wide as their flow.

    An agent that has nothing is marked by a cross, so that it differs from one that has little.

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
    nothing = ratios <= metrics.NOTHING
    if nothing.any():
        crosses = {"marker": "X", "facecolors": "white", "edgecolors": "black", "linewidths": 0.6}
        panel.scatter(*spots[nothing].T, s=0.6 * area[nothing], zorder=3, **crosses)
    if market.num_agents <= LABELLED_AGENTS:
        for label, spot in zip(market.labels, spots, strict=True):
            panel.annotate(
                _plain(short(label).strip("'")), spot, xytext=(5, 5), textcoords="offset points", fontsize=7
            )
    bar = figure.colorbar(ScalarMappable(norm, "RdBu"), ax=panel, shrink=0.8)
    bar.set_label("ratio: value received per value contributed")
    ticks = [
        t for t in (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100) if norm.vmin <= t <= norm.vmax
    ]
    bar.set_ticks(ticks, labels=[f"{t:g}" for t in ticks])
    bar.minorticks_off()
    panel.set_title(_plain(title), fontsize=10)
    panel.text(
        0.5,
        -0.02,
        "node area: contribution; line width: flow both ways"
        + (f"; cross: {int(nothing.sum())} agent(s) with nothing" if nothing.any() else ""),
        transform=panel.transAxes,
        ha="center",
        va="top",
        fontsize=8,
    )
    panel.set_axis_off()
    return figure
