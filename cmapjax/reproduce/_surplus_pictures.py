"""The pictures of the part on random surplus."""

import numpy as np

from cmapjax.plots._canvas import COLOURS, new_figure
from cmapjax.reproduce._part import Picture
from cmapjax.reproduce._surplus_errors import Errors
from cmapjax.reproduce._surplus_played import POLICY

STYLES = ("-", "--", "-.", (0, (1, 1)), (0, (5, 1, 1, 1, 1, 1)))


def curves(errors: Errors) -> Picture:
    """Errors of averages against rounds, a panel per process."""
    names = [name for name in errors.variation if name != "gamma, cv 1/2"]
    figure = new_figure(8, 6)
    panels = figure.subplots(2, 2, sharex=True, sharey=True)
    t = errors.rounds[1:]
    for axes, process in zip(panels.flat, names, strict=True):
        for rule, colour, style in zip(errors.worst, COLOURS, STYLES, strict=False):
            error = errors.of(rule, process)[1:]
            low, middle, high = np.quantile(error, [0.1, 0.5, 0.9], axis=1)
            axes.plot(t, middle, color=colour, linestyle=style, label=rule, linewidth=1.8)
            if rule == POLICY:
                axes.fill_between(t, low, high, color=colour, alpha=0.2, linewidth=0)
        power, law = (1, "1/t") if process == "constant" else (0.5, "1/√t")
        middle = np.median(errors.of(POLICY, process)[-1])
        axes.plot(
            t, 0.5 * middle * (t[-1] / t) ** power, color="#666666", linewidth=0.8, label=f"slope of {law}"
        )
        early = t[len(t) // 6]
        axes.annotate(law, (early, 0.2 * middle * (t[-1] / early) ** power), color="#444444")
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_title(process if process != "constant" else "constant endowments", fontsize=10)
        axes.spines[["top", "right"]].set_visible(False)
    for axes in panels[-1]:
        axes.set_xlabel("rounds t")
    for axes in panels[:, 0]:
        axes.set_ylabel("worst relative error of averages")
    figure.legend(
        *(x[: len(errors.worst)] for x in panels[0, 0].get_legend_handles_labels()),
        loc="outside lower center",
        ncols=2,
        frameon=False,
    )
    return Picture(
        figure,
        "Worst relative error of the mean utilities so far against rounds: medians of "
        f"{errors.num_markets} markets of seven families; the band has four fifths of them, under dynamic "
        "sharing. Thin lines: slopes of 1/t and 1/√t.",
    )


def slopes_by_family(rates, errors: Errors) -> Picture:
    """Slopes of the policy by family and process."""
    figure = new_figure(8, 3.6)
    axes = figure.subplots()
    ours = rates[rates["strategy"] == POLICY]
    for k, (process, colour) in enumerate(zip(errors.variation, COLOURS, strict=False)):
        slope = ours[ours["process"] == process].set_index("family")["slope"].loc[list(errors.families)]
        place = np.arange(len(slope)) + 0.12 * (k - 2)
        axes.plot(place, slope, "osD^v"[k], color=colour, label=process, markersize=6)
    for law, value in (("1/t", -1.0), ("1/√t", -0.5)):
        axes.axhline(value, color="#666666", linewidth=0.8)
        axes.annotate(law, (len(errors.families) - 0.6, value), va="bottom", color="#444444")
    axes.set_xticks(range(len(errors.families)), errors.families, fontsize=8)
    axes.set_ylabel("slope of log error on log t")
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside lower center", ncols=5, frameon=False, fontsize=8)
    return Picture(
        figure,
        "How fast averages approach the equilibrium under dynamic sharing, by family and process: medians "
        f"over {errors.num_markets // len(errors.families)} markets each.",
    )
