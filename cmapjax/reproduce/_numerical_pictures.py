"""The pictures of the part on numerical CMAP."""

import numpy as np

from cmapjax.plots._canvas import COLOURS, new_figure
from cmapjax.reproduce._numerical_played import Candidate, Shares
from cmapjax.reproduce._part import Picture

STYLES = ("-", "--", "-.", (0, (1, 1)), (0, (4, 1, 1, 1)), (0, (6, 2)))


def maps(shares: Shares, band: tuple[float, float]) -> Picture:
    """Share of the equilibrium by step and budget, a panel per schedule and damping; fixed steps."""
    schedules = ("in turn", "all at once")
    figure = new_figure(8, 6)
    panels = figure.subplots(2, 2, sharex=True, sharey=True)
    fixed = [c for c in shares.candidates if c.rule == "fixed"]
    steps, budgets = sorted({c.step for c in fixed}), sorted({c.budget for c in fixed})
    for column, schedule in enumerate(schedules):
        for row, damping in enumerate((1.0, 0.5)):
            axes = panels[row, column]
            table = np.empty((len(budgets), len(steps)))
            for k in shares.where(rule="fixed", schedule=schedule, damping=damping):
                c = shares.candidates[k]
                table[budgets.index(c.budget), steps.index(c.step)] = np.median(shares.share[k, -1])
            image = axes.imshow(table, vmin=0.5, vmax=1, cmap="cividis", origin="lower", aspect="auto")
            _numbers(axes, table, band)
            axes.set_title(schedule + (", damped by 1/2" if damping < 1 else ""), fontsize=10)
            axes.set_xticks(range(len(steps)), [f"{s:g}" for s in steps])
            axes.set_yticks(range(len(budgets)), [f"{b:g}" for b in budgets])
    for axes in panels[-1]:
        axes.set_xlabel("step")
    for axes in panels[:, 0]:
        axes.set_ylabel("iterations per turn")
    figure.colorbar(image, ax=panels, label="share of the equilibrium", extend="min")
    return Picture(
        figure,
        f"Where projected gradient with a fixed step ends after {shares.rounds[-1]} rounds: Nash welfare "
        f"over that of the equilibrium, in per cent, medians of {shares.share.shape[2]} markets. Framed: "
        f"{100 * band[0]:g} to {100 * band[1]:g} %.",
    )


def _numbers(axes, table, band) -> None:
    for (y, x), value in np.ndenumerate(table):
        shown = f"{100 * value:.1f}" if value < 0.9995 else "100"
        colour = "white" if value < 0.8 else "black"
        axes.text(x, y, shown, ha="center", va="center", fontsize=8, color=colour)
        if band[0] <= value <= band[1]:
            frame = {"fill": False, "edgecolor": COLOURS[1], "linewidth": 2.5}
            from matplotlib.patches import Rectangle

            axes.add_patch(Rectangle((x - 0.46, y - 0.46), 0.92, 0.92, **frame))


def examples(shares: Shares, table, band: tuple[float, float]) -> Picture:
    """Shares over rounds of one candidate of each kind, beside the exact answer."""
    chosen = [
        *shares.where(rule="exact", schedule="in turn", damping=1.0),
        *shares.where(rule="exact", schedule="all at once", damping=0.5),
    ]
    last = [name for name in table.columns if name.startswith("share_after")][-1]
    near = table[table[last].between(*band)]
    for _, of_kind in near[near["rule"] != "exact"].groupby("kind"):
        chosen.append(int(of_kind.sort_values("budget").index[-1]))
    figure = new_figure(8, 4.6)
    axes = figure.subplots()
    for k, colour, style in zip(chosen, COLOURS, STYLES, strict=False):
        setting: Candidate = shares.candidates[k]
        middle = np.median(shares.share[k], axis=1)
        kind = table["kind"][k]
        axes.plot(shares.rounds, 100 * middle, color=colour, linestyle=style, label=f"{setting} ({kind})")
    axes.axhspan(100 * band[0], 100 * band[1], color="#999999", alpha=0.25, linewidth=0)
    axes.set_ylim(85, 100.5)
    axes.set_xlabel("rounds")
    axes.set_ylabel("share of the equilibrium, per cent")
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside lower center", frameon=False, fontsize=8)
    return Picture(
        figure,
        f"One setting of each kind that ends at 97 to 99 % (shaded), beside the exact answer: medians of "
        f"{shares.share.shape[2]} markets.",
    )
