"""Charts of a study for papers: those of the report page, as Matplotlib figures of column width.

`summary` and `curves` are the frames that `open_study` gives. What is drawn of each play (strategy, schedule
and damping) differs in colour and in line style.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from cmapjax.plots._canvas import COLOURS, EXACT_SIZE, new_figure, plain, small_text
from cmapjax.plots._curves import (
    CLOCKS,
    SMALLEST_SHOWN,
    STYLES,
    TIME,
    draw_bands,
    edge_of,
    mark_edge,
    name_axes,
    time_axis,
)
from cmapjax.plots._tables import (
    SCALES,
    VERDICTS,
    absent,
    bands,
    check_metric,
    chosen,
    is_worse_above,
    levels,
    measure,
    over_cells,
    play_names,
    ranked,
    statistics,
    updates_per_round,
    verdict_counts,
)

ROUNDING = 1e-6  # a share may be above 1 by this much because of rounding
COLUMN_WIDTH = 3.4  # inches; a column of a two-column paper
HATCHES = ("", "\\\\\\\\", "////", "xxxx", "....", "++++", "----", "||||")
VERDICT_COLOURS = dict(
    zip(
        VERDICTS,
        ("#009E73", "#0072B2", "#56B4E9", "#E69F00", "#F0E442", "#D55E00", "#CC79A7", "#000000"),
        strict=True,
    )
)


@small_text()
def convergence_bands(
    curves: pd.DataFrame,
    summary: pd.DataFrame,
    *,
    metric: str = "share_of_equilibrium",
    clock: str = "rounds",
    where: Mapping | None = None,
    width: float = COLUMN_WIDTH,
):
    """One metric over time, a line and two bands per play: the median market, half and 90 % of all markets.

    Args:
        curves: `open_study(folder).curves()`.
        summary: `open_study(folder).frame()`.
        metric: a recorded metric.
        clock: "rounds", or "agent updates" (per agent).
        where: axes and the value that each is to have; of the cells that remain, each quantile's median.
        width: inches.

    Returns:
        A Matplotlib figure.

    Raises:
        ValueError: another clock; a metric that was not recorded; no cell that fits.
    """
    if clock not in CLOCKS:
        raise ValueError(f"clock is {clock!r}; give one of {', '.join(CLOCKS)}.")
    recorded = sorted(curves["metric"].astype(str).unique())
    if metric not in recorded:
        raise ValueError(f"metric {metric!r} is not among the curves; recorded: {', '.join(recorded)}.")
    some = chosen(summary, where)
    is_log, is_worse = measure(metric)[1], is_worse_above(metric)
    rates = updates_per_round(some)
    drawn = {}
    for play, group in some.groupby(play_names(some), sort=False):
        cells = group["cell"].unique()
        rate = 1.0 if clock == "rounds" else rates[cells].mean()
        table = bands(curves[curves["cell"].isin(cells)], metric) * SCALES.get(metric, 1.0)
        shown = np.maximum(table.to_numpy(), SMALLEST_SHOWN) if is_log else table.to_numpy()
        drawn[play] = (rate * table.index.to_numpy(float), shown)
    values = np.concatenate([shown.ravel() for _, shown in drawn.values()])
    edge = edge_of(values, is_log, is_worse)
    figure, panel = _new(width, 2.3 + 0.16 * len(drawn))
    for number, (play, (time, shown)) in enumerate(drawn.items()):
        draw_bands(panel, number, time, shown.T, edge, linewidth=1.3, label=plain(play))
    if not np.isfinite(values).all():
        mark_edge(panel, edge, is_worse)
    time_axis(panel, max(time[-1] for time, _ in drawn.values()), int(3 * width))
    name_axes(panel, TIME[clock], _label(metric, values))
    if is_log:
        panel.set_yscale("log")
    figure.legend(loc="outside upper left", frameon=False, ncols=1 if width < 5 else 2)
    return figure


@small_text()
def distributions(
    summary: pd.DataFrame,
    *,
    metric: str = "share_of_equilibrium",
    where: Mapping | None = None,
    width: float = COLUMN_WIDTH,
):
    """How a metric at the end is spread over markets: the share of markets at or below, a step line per play.

    A market whose metric is not finite has no place on the axis; the line then ends below, or begins above,
    and the legend counts them.

    Args:
        summary: `open_study(folder).frame()`.
        metric: one of its columns of numbers.
        where: as for `convergence_bands`.
        width: inches.

    Returns:
        A Matplotlib figure.
    """
    check_metric(summary, metric)
    some = chosen(summary, where)
    is_log = measure(metric)[1]
    groups = list(some.groupby(play_names(some), sort=False))
    figure, panel = _new(width, 2.2 + 0.16 * len(groups))
    for number, (play, group) in enumerate(groups):
        values = np.sort(ranked(group[metric], metric)) * SCALES.get(metric, 1.0)
        finite = np.isfinite(values)
        height = 100 * np.arange(1, len(values) + 1) / len(values)
        shown = np.maximum(values, SMALLEST_SHOWN) if is_log else values
        lost = int((~finite).sum())
        words = f" ({lost:,} of {len(values):,} {absent(metric)})" if lost else ""
        look = {"color": COLOURS[number % len(COLOURS)], "linewidth": 1.3, "label": plain(f"{play}{words}")}
        panel.step(shown[finite], height[finite], STYLES[number % len(STYLES)], where="post", **look)
    if is_log:
        panel.set_xscale("log")
    panel.set_ylim(0, 101)
    shares = some[metric].to_numpy(np.float64, na_value=np.nan) * SCALES.get(metric, 1.0)
    name_axes(panel, _label(metric, shares), "% of markets at or below")
    figure.legend(loc="outside upper left", frameon=False)
    return figure


def _label(metric: str, values: np.ndarray) -> str:
    """The label of a metric, with the reason if shares of the equilibrium are above 100 %."""
    label = measure(metric)[0]
    is_above = metric in SCALES and np.any(values[np.isfinite(values)] > 100 * (1 + ROUNDING))
    return f"{label}\n(above 100: rounds with more than mean surplus)" if is_above else label


@small_text()
def heat_map(
    summary: pd.DataFrame,
    across: str,
    down: str,
    *,
    metric: str = "share_of_equilibrium",
    where: Mapping | None = None,
    width: float = COLUMN_WIDTH,
):
    """The median market's metric over two axes, as tiles with the number in each.

    Of several cells a tile shows the median over them of their median markets. Markets that are not finite
    count as the worst; a tile whose median is one of them says so.

    Args:
        summary: `open_study(folder).frame()`.
        across, down: two axes of the study.
        metric: one of its columns of numbers.
        where: as for `convergence_bands`.
        width: inches.

    Returns:
        A Matplotlib figure.

    Raises:
        ValueError: axes or a metric that the study has not; one axis twice.
    """
    check_metric(summary, metric)
    if across == down:
        raise ValueError(f"across and down are both {across!r}; give two axes.")
    some = chosen(summary, where, also=(across, down))
    columns, column_of = levels(some[across])
    rows, row_of = levels(some[down])
    tiles = np.full((len(rows), len(columns)), np.nan)
    medians = pd.Series(statistics(some, [metric])[:, 0, 0] * SCALES.get(metric, 1.0))
    first = np.unique(some["cell"], return_index=True)[1]  # in the order of the medians
    for (i, j), group in medians.groupby([row_of[first], column_of[first]]):
        tiles[i, j] = over_cells(group.to_numpy())
    slant = _slant(columns, width)
    below = 0.04 * max(map(len, columns)) if slant else 0  # inches that a letter of a leaning label takes
    figure, panel = _new(width, 0.9 + below + 0.32 * len(rows))
    picture = _draw_tiles(panel, tiles, metric)
    panel.set_xticks(range(len(columns)), [plain(c) for c in columns], **slant)
    panel.set_yticks(range(len(rows)), [plain(r) for r in rows])
    panel.set_xlabel(plain(across))
    panel.set_ylabel(plain(down))
    above = _label(metric, tiles).removeprefix(measure(metric)[0])
    panel.set_title(f"{measure(metric)[0]}, median market{above}", fontsize=7, loc="left")
    _add_bar(figure, panel, picture)
    return figure


def _draw_tiles(panel, tiles, metric: str):
    """The tiles and their numbers, with digits enough to tell the least from the most."""
    from matplotlib.colors import LogNorm

    finite = tiles[np.isfinite(tiles)]
    is_log = measure(metric)[1] and len(finite) > 0 and finite.min() > 0 and finite.max() > 10 * finite.min()
    norm = LogNorm(max(finite.min(), SMALLEST_SHOWN), finite.max()) if is_log else None
    shown = np.ma.masked_invalid(np.maximum(tiles, SMALLEST_SHOWN) if is_log else tiles)
    picture = panel.imshow(shown, cmap="cividis", norm=norm, aspect="auto", origin="lower")
    digits = 3
    if len(finite) and 0 < np.ptp(finite) < 0.1 * abs(finite).max():
        digits = min(3 + int(np.log10(abs(finite).max() / np.ptp(finite))), 7)
    for i, j in np.argwhere(~np.isnan(tiles)):
        # Cividis is light from about three fifths on.
        is_light = np.ma.is_masked(shown[i, j]) or picture.norm(shown[i, j]) > 0.55
        text = f"{tiles[i, j]:.{digits}g}" if np.isfinite(tiles[i, j]) else absent(metric)
        style = {"fontsize": 6.5 if tiles.shape[1] <= 8 else 4.5, "color": "black" if is_light else "white"}
        panel.text(j, i, text, ha="center", va="center", **style)
    return picture


def _add_bar(figure, panel, picture) -> None:
    from matplotlib.ticker import MaxNLocator, ScalarFormatter

    bar = figure.colorbar(picture, ax=panel, fraction=0.05, pad=0.02)
    if picture.norm.__class__.__name__ == "Normalize":
        bar.formatter = ScalarFormatter(useOffset=False)
        bar.locator = MaxNLocator(4)
        bar.update_ticks()


def _slant(labels: list[str], width: float) -> dict:
    """The slant of labels that are too long to stand side by side."""
    room = width * 14 / max(len(labels), 1)  # letters of 7 points that fit above each column
    return {"rotation": 35, "ha": "right"} if max(map(len, labels)) > room else {}


@small_text()
def verdict_shares(
    summary: pd.DataFrame,
    *,
    by: str | None = None,
    where: Mapping | None = None,
    width: float = COLUMN_WIDTH,
):
    """The share of markets that converged, oscillate, starve …, a bar per play or per value of an axis.

    Args:
        summary: `open_study(folder).frame()`.
        by: an axis; plays if left out.
        where: as for `convergence_bands`.
        width: inches.

    Returns:
        A Matplotlib figure.
    """
    some = chosen(summary, where, also=() if by is None else (by,))
    if by is None:
        names, place = (lambda p: (list(p.unique()), pd.factorize(p)[0]))(play_names(some))
    else:
        names, place = levels(some[by])
    counts = verdict_counts(some["verdict"], place, len(names))
    shares = 100 * counts / counts.sum(axis=1, keepdims=True)
    figure, panel = _new(width, 0.9 + 0.36 * len(names))
    for k, name in enumerate(VERDICT_COLOURS):
        if counts[:, k].any():
            _draw_bars(panel, shares[:, :k].sum(axis=1), shares[:, k], k, name)
    for i, name in enumerate(names):  # above its bar, because beside it long names take too much space
        text = name if by is None else f"{by} {name}"
        panel.text(0, i - 0.33, plain(text), ha="left", va="bottom", fontsize=6.5)
    panel.set_yticks([])
    panel.set_ylim(len(names) - 0.6, -0.8)
    panel.set_xlim(0, 100)
    panel.set_xlabel("% of markets")
    panel.spines[["top", "right", "left"]].set_visible(False)
    figure.legend(loc="outside upper left", frameon=False, ncols=2)
    return figure


def _draw_bars(panel, left, shares, k: int, name: str) -> None:
    """The part of every bar that is one verdict, told by colour, hatching and a number."""
    style = {"color": VERDICT_COLOURS[name], "edgecolor": "white", "linewidth": 0.5, "hatch": HATCHES[k]}
    panel.barh(range(len(shares)), shares, left=left, height=0.6, label=name, **style)
    box = {"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 0.8}
    for i in np.flatnonzero(shares >= 6):
        middle = left[i] + shares[i] / 2
        panel.text(middle, i, f"{shares[i]:.0f}", ha="center", va="center", fontsize=6.5, bbox=box)


def _new(width: float, height: float):
    """A figure of exactly this size in inches, and its one panel."""
    figure = new_figure(width, height)
    figure.set_gid(EXACT_SIZE)
    return figure, figure.subplots()
