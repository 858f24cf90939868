"""A picture of what a community shared: over time, in the mean day, and by agent."""

import warnings

import numpy as np

from cmapjax.arguments._checks import check_kind
from cmapjax.equilibrium._sharing import Sharing
from cmapjax.plots._canvas import COLOURS, new_figure, plain

PARTS = {"own_use": ("own use", COLOURS[4]), "shared": ("shared", COLOURS[0]), "unmet": ("unmet", "#DDDDDD")}
DAYS = 14  # of more, each day is one step
MOST_STEPS = 400  # more cannot be told apart at the width of a page
FEW_STEPS = 48
NAMED_AGENTS = 25


def sharing(shared: Sharing):
    """Where need came from over time, in the mean day (if times are dates), and for every agent.

    Areas are own use, what others shared, and what stayed unmet, which are need together. The line is
    production; the part of it that is kept is shaded. Agents stand by the share of need that is met.

    Args:
        shared: what `cmapjax.share` returned.

    Returns:
        A Matplotlib figure.

    Raises:
        ValueError: anything else.
    """
    check_kind("shared", shared, Sharing, "what cmapjax.share(market, balance) returns")
    sums = {name: x.sum(axis=1) for name, x in shared.amounts().items()}
    times = _dates(shared.times)
    hours = None if times is None else (times - times.normalize()).total_seconds().to_numpy() / 3600
    has_days = hours is not None and len(set(hours)) > 1 and times.normalize().nunique() > 1
    figure = new_figure(7, 5.6)
    panels = figure.subplot_mosaic([["time", "time"], ["day", "agents"] if has_days else ["agents"] * 2])
    _draw_time(panels["time"], sums, times)
    if has_days:
        _draw_day(panels["day"], sums, hours)
    _draw_agents(panels["agents"], shared)
    for panel in panels.values():
        panel.spines[["top", "right"]].set_visible(False)
    figure.legend(
        *panels["time"].get_legend_handles_labels(),
        loc="outside upper center",
        ncols=5,
        frameon=False,
        fontsize=8,
    )
    return figure


def _dates(times):
    """Times as pandas' dates; None if they are none."""
    import pandas as pd

    if times is None or isinstance(times[0], (int, float, np.number)):
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that each is read by itself
        try:
            return pd.DatetimeIndex(pd.to_datetime(list(times)))
        except (ValueError, TypeError):
            return None


def _draw_time(panel, sums: dict, times) -> None:
    """Need and production by day if there are many, else by round, or by so many rounds."""
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter, date2num

    rounds = len(sums["need"])
    if times is not None and times.normalize().nunique() > DAYS:
        days, step = np.unique(times.normalize(), return_inverse=True)
        place, per = date2num(days), "per day"
    else:
        size = -(-rounds // MOST_STEPS)
        step = np.arange(rounds) // size
        place = (np.arange(1, rounds + 1) if times is None else date2num(times))[::size]
        per = "per round" if size == 1 else f"per {size} rounds"
    if times is None:
        panel.set_xlabel("round")
    else:
        locator = AutoDateLocator()
        panel.xaxis.set_major_locator(locator)
        panel.xaxis.set_major_formatter(ConciseDateFormatter(locator))
    _stack(panel, place, {name: np.bincount(step, x) for name, x in sums.items()})
    panel.set_ylabel(per)


def _draw_day(panel, sums: dict, hours: np.ndarray) -> None:
    at, place = np.unique(hours, return_inverse=True)
    count = np.bincount(place)
    _stack(panel, at, {name: np.bincount(place, x) / count for name, x in sums.items()})
    panel.set(xlabel="hour of the mean day", ylabel="per round", xticks=range(0, 25, 6))


def _stack(panel, place, sums: dict) -> None:
    """The parts of need above each other, and production, of which what is kept is shaded."""
    place, bottom = np.asarray(place, float), np.zeros(len(place))
    is_few = len(place) <= FEW_STEPS
    for name, (label, colour) in PARTS.items():
        if is_few:  # each has a width
            width = 0.9 * np.diff(place).min(initial=1 if len(place) < 2 else np.inf)
            panel.bar(place, sums[name], width, bottom=bottom, color=colour, label=label)
        else:
            panel.fill_between(place, bottom, bottom + sums[name], color=colour, label=label, linewidth=0)
        bottom = bottom + sums[name]
    made, used = sums["production"], sums["production"] - sums["kept"]
    panel.fill_between(place, used, made, color=COLOURS[1], alpha=0.25, linewidth=0, label="kept")
    panel.plot(place, made, "k.-" if is_few else "k-", linewidth=0.7, markersize=3, label="production")
    panel.set_ylim(0)
    panel.margins(x=0)


def _draw_agents(panel, shared: Sharing) -> None:
    """The share of need that every agent met itself and received, in order."""
    agents = shared.per_agent()
    agents = agents[agents["need"] > 0].sort_values("coverage", kind="stable")
    place, bottom = np.arange(len(agents)), np.zeros(len(agents))
    for name in ("own_use", "shared"):
        height = 100 * (agents[name] / agents["need"]).to_numpy()
        panel.bar(place, height, bottom=bottom, width=0.9, color=PARTS[name][1])
        bottom = bottom + height
    panel.set(ylabel="% of need met", ylim=(0, 100))
    panel.margins(x=0.01)
    if len(agents) <= NAMED_AGENTS:
        panel.set_xticks(place, [plain(label) for label in agents["agent"]], rotation=90, fontsize=7)
    else:
        panel.set(xticks=[], xlabel=f"{len(agents):,} agents, by the share that is met")
