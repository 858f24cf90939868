"""Metrics over time: several runs against rounds and agent updates."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float

from cmapjax import metrics
from cmapjax.engine._run import Run
from cmapjax.market._market import Market
from cmapjax.plots._canvas import COLOURS, new_figure, plain

STYLES = ("-", "--", "-.", ":")
TIME = {"rounds": "rounds", "agent updates": "agent updates per agent"}
CLOCKS = tuple(TIME)
# Metric: axis label, and whether small values are what matters (a logarithmic axis).
MEASURES = {
    "share_of_equilibrium": ("Nash welfare, % of the equilibrium's", False),
    "certified_share": ("Nash welfare, % of the equilibrium's (certified)", False),
    "log_welfare_loss": ("log welfare loss φ* − φ", True),
    "misallocated_share": ("misallocated value, share of all", True),
    "certified_gap": ("certified gap (log Nash welfare)", True),
    "average_share_of_equilibrium": ("Nash welfare of running averages, % of the equilibrium's", False),
    "average_certified_share": ("Nash welfare of running averages, % (certified)", False),
    "average_certified_gap": ("certified gap of running averages", True),
    "average_misallocated_share": ("misallocated value of running averages, share", True),
    "average_log_nash_welfare": ("log Nash welfare of running averages", False),
    "worst_relative_error": ("worst agent's relative error", True),
    "min_ratio": ("least ratio (received / contributed)", False),
    "oscillation": ("oscillating value, share of all", True),
    "gini": ("Gini index of ratios", False),
    "jain_index": ("Jain index of ratios", False),
}
_OF_AVERAGES = ("average_log_nash_welfare", "log_nash_welfare", "log_welfare_loss")
SMALLEST_SHOWN = 1e-12  # smaller values are rounding, and drawn at the edge
# The metrics on a linear axis for which larger values are worse.
WORSE_ABOVE = ("oscillation", "gini", "num_starved")


def comparison(market: Market, runs: Mapping[str, Run]):
    """Welfare and loss of several runs on the same markets, against both clocks: a figure of four panels.

    Where surplus varies, both are of running averages: what agents received per round so far. Lines are
    medians over markets, bands their 10 % to 90 % range. A market that is infinite, or not a number,
    counts as the worst and is drawn at a marked edge.

    Args:
        market: the markets that all runs were on.
        runs: by the name that the legend shows.

    Returns:
        A Matplotlib figure.

    Raises:
        ValueError: no runs; a run without the metrics.
    """
    _check_runs(runs)
    rows = _compared(runs)
    figure = new_figure(10, 3.5 * len(rows))
    panels = figure.subplots(len(rows), 2, sharey="row", squeeze=False)
    for panel_row, metric in zip(panels, rows, strict=True):
        for panel, clock in zip(panel_row, CLOCKS, strict=True):
            lines = _draw_curves(panel, market, runs, metric, clock)
        panel_row[1].set_ylabel("")
    _add_legend(figure, lines, runs, ncols=1 if len(runs) > 6 else 2)
    return figure


def convergence(
    market: Market,
    runs: Mapping[str, Run],
    *,
    metric: str | None = None,
    clock: str = "rounds",
):
    """One recorded metric of several runs against a clock: a figure of one panel.

    Args:
        market: the markets that all runs were on.
        runs: by the name that the legend shows.
        metric: a recorded metric, or "certified_share", exp(−gap) of the certified gap: the share of the
            equilibrium's Nash welfare that is certainly reached. By default "share_of_equilibrium" if all
            runs have recorded it, which takes the equilibrium (`metrics.standard(solve(market).utility)`),
            and else "certified_share", of what `simulate` records by itself; of running averages where
            surplus varies.
        clock: "rounds", or "agent updates" (per agent).

    Returns:
        A Matplotlib figure.

    Raises:
        ValueError: no runs; a metric that a run has not recorded; another clock.
    """
    _check_runs(runs)
    if clock not in CLOCKS:
        raise ValueError(f"clock is {clock!r}; give one of {', '.join(CLOCKS)}.")
    metric = _compared(runs)[0] if metric is None else metric
    figure = new_figure(7, 4.5)
    _add_legend(figure, _draw_curves(figure.subplots(), market, runs, metric, clock), runs, ncols=1)
    return figure


def _check_runs(runs) -> None:
    if not runs:
        raise ValueError("runs: nothing to draw; give at least one run by name.")


def _compared(runs: Mapping[str, Run]) -> tuple[str, ...]:
    """The metrics of welfare and loss in which all runs can be compared, as far as they have recorded any."""

    def have(*names: str) -> bool:
        return all(name in run.records for run in runs.values() for name in names)

    if not any(run.varies for run in runs.values()):
        known = have("share_of_equilibrium")
        return (
            ("share_of_equilibrium", "misallocated_share") if known else ("certified_share", "certified_gap")
        )
    if have("share_of_equilibrium", "average_log_nash_welfare"):
        return "average_share_of_equilibrium", "average_misallocated_share"
    if have("average_certified_gap"):
        return "average_certified_share", "average_certified_gap"
    return ("average_log_nash_welfare",)


def _add_legend(figure, lines, runs, ncols: int) -> None:
    labels = [_legend(name, run) for name, run in runs.items()]
    is_ensemble = any(len(run.verdict) > 1 for run in runs.values())
    title = "line: median market; band: 10 % to 90 % of markets" if is_ensemble else None
    figure.legend(lines, labels, loc="outside upper center", ncols=ncols, frameon=False, title=title)


def _draw_curves(panel, market, runs, metric, clock) -> list:
    """A line per run, with a band where there are several markets; returns the lines."""
    label, is_log = MEASURES.get(metric, (metric.replace("_", " "), False))
    is_worse_above = is_log or metric in WORSE_ABOVE
    times = [run.rounds if clock == "rounds" else _updates(market, run) for run in runs.values()]
    curves = [_quantiles(_values(run, name, metric), is_log, is_worse_above) for name, run in runs.items()]
    edge = edge_of(np.concatenate([c.ravel() for c in curves]), is_log, is_worse_above)
    lines = [
        draw_bands(panel, number, time, curve if len(run.verdict) > 1 else curve[1:2], edge, linewidth=1.6)
        for number, (run, time, curve) in enumerate(zip(runs.values(), times, curves, strict=True))
    ]
    if not all(np.isfinite(c).all() for c in curves):
        mark_edge(panel, edge, is_worse_above)
    if is_log:
        panel.set_yscale("log")
    time_axis(panel, max(time[-1] for time in times))
    name_axes(panel, TIME[clock], label)
    return lines


def draw_bands(panel, number: int, time, rows, edge: float, **style):
    """A line and bands around it, in the colour and dashes of this number.

    Args:
        panel: where to.
        number: of the line in its panel.
        time: of every column of `rows`.
        rows: quantiles in ascending order, of which the middle one is the line.
        edge: where infinite values are drawn.
        style: of the line.

    Returns:
        The line.
    """
    rows, colour = np.where(np.isfinite(rows), rows, edge), COLOURS[number % len(COLOURS)]
    for k in range(len(rows) // 2):
        panel.fill_between(time, rows[k], rows[-1 - k], color=colour, alpha=0.14 + 0.08 * k, linewidth=0)
    (line,) = panel.plot(time, rows[len(rows) // 2], STYLES[number % len(STYLES)], color=colour, **style)
    return line


def name_axes(panel, across: str, up: str) -> None:
    """Labels of both axes, a grid, and no frame at the top and the right."""
    panel.set_xlabel(across)
    panel.set_ylabel(up)
    panel.grid(alpha=0.25)
    panel.spines[["top", "right"]].set_visible(False)


def _quantiles(values, is_log: bool, is_worse_above: bool) -> Float[np.ndarray, "3 records"]:
    """The 10 %, 50 % and 90 % market of every record; one that is not a number counts as the worst."""
    values = np.where(np.isnan(values), np.inf if is_worse_above else -np.inf, values)
    if is_log:
        values = np.clip(values, SMALLEST_SHOWN, None)
    # inverted_cdf does not interpolate, so an infinite market does not turn its neighbours into NaN.
    return np.quantile(values, [0.1, 0.5, 0.9], axis=1, method="inverted_cdf")


def edge_of(values, is_log: bool, is_worse_above: bool) -> float:
    """The height at which infinite values are drawn, beyond all others."""
    finite = values[np.isfinite(values)]
    if not len(finite):
        return 1.0 if is_log else 0.0
    if is_log:
        return float(finite.max() * 10)
    room = 0.15 * (np.ptp(finite) or max(abs(finite[0]), 1.0))
    return float(finite.max() + room if is_worse_above else finite.min() - room)


def mark_edge(panel, edge: float, is_worse_above: bool) -> None:
    """Draws a dotted line with a label where infinite values are drawn."""
    words = "infinite: an agent has nothing (or not a number)"
    panel.axhline(edge, color="#808080", linewidth=0.8, linestyle=":", zorder=0)
    panel.annotate(
        words, (1, edge), xycoords=("axes fraction", "data"), xytext=(-2, -3 if is_worse_above else 3),
        textcoords="offset points", ha="right", va="top" if is_worse_above else "bottom",
        fontsize=7, color="#505050",
    )  # fmt: skip


def time_axis(panel, last: float, most_ticks: int = 30) -> None:
    """A time axis, linear up to 1, then logarithmic: most happens in the first rounds, and tails are long."""
    from matplotlib.ticker import NullLocator

    steps = (1, 2, 5) if last <= 200 else (1,)  # more would run into each other
    ticks = [0, *(k * 10**e for e in range(10) for k in steps if k * 10**e <= last)]
    if len(ticks) > most_ticks:
        ticks = [0, *(10**e for e in range(10) if 10**e <= last)]
    panel.set_xscale("symlog", linthresh=1)
    panel.set_xlim(0, max(last, 1))
    panel.set_xticks(ticks, labels=[f"{t:,}" for t in ticks])
    panel.xaxis.set_minor_locator(NullLocator())


def _updates(market, run) -> np.ndarray:
    """Agent updates per agent, on average over markets."""
    return (run.agent_updates / np.bincount(np.asarray(market.market_of))).mean(axis=1)


def _values(run, name: str, metric: str) -> Float[np.ndarray, "records markets"]:
    if metric == "average_share_of_equilibrium" and {*_OF_AVERAGES} <= run.records.keys():
        average, *parts = (run.records[name] for name in _OF_AVERAGES)
        with np.errstate(invalid="ignore"):
            best = sum(parts)  # welfare plus loss is the equilibrium's welfare, in every round
        return 100 * np.exp(average - np.nanmax(np.where(np.isfinite(best), best, np.nan), axis=0))
    recorded = metric.replace("certified_share", "certified_gap")
    if recorded not in run.records:
        raise ValueError(
            f"metric {recorded!r} was not recorded by run {name!r}; recorded: {', '.join(run.records)}."
        )
    values = run.records[recorded]
    if metric.endswith("certified_share"):
        return 100 * np.exp(-values)
    return values * (100 if metric == "share_of_equilibrium" else 1)


def _legend(name: str, run) -> str:
    """The run's name and how many of its markets failed, and how."""
    markets, notes = len(run.verdict), []
    for word in ("settled elsewhere", "starved for now", "not feasible", "not finite"):
        failed = int(np.sum(np.asarray(run.verdict) == metrics.VERDICTS.index(word)))
        if failed:
            notes.append(word if markets == 1 else f"{failed:,} of {markets:,} {word}")
    return plain(f"{name} ({', '.join(notes)})" if notes else name)
