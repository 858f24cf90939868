"""How ratios are spread over agents."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float

from cmapjax import metrics
from cmapjax.plots._canvas import COLOURS, new_figure, plain

SMALLEST_RATIO = 1e-4  # what is below stands in the first bin, and the title says so


def ratio_histogram(
    ratios: Mapping[str, Float[np.ndarray, "agents"]],
    *,
    equilibrium: Float[np.ndarray, "agents"] | None = None,
):
    """How ratios (value received per value contributed) are spread over agents, one panel per strategy.

    The axis is logarithmic; agents that have nothing, less than it shows, or no finite number, are
    counted in words. The equilibrium is an outline.

    Args:
        ratios: r_j of all agents, by the name that stands above the panel.
        equilibrium: r*_j of all agents, drawn into every panel.

    Returns:
        A Matplotlib figure.

    Raises:
        ValueError: no ratios.
    """
    if not ratios or any(np.size(r) == 0 for r in ratios.values()):
        raise ValueError("ratios: nothing to draw; give the ratios of at least one agent by name.")
    figure = new_figure(7, 1 + 1.5 * len(ratios))
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
        panel.set_title(plain(name + _left_out(values)), fontsize=9, loc="left")
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
    """Bars in per cent of all agents, including those that a logarithmic axis cannot show."""
    shown = np.clip(ratios[_is_shown(ratios)], bins[0], None)
    panel.hist(shown, bins, weights=np.full(len(shown), 100 / len(ratios)), **style)


def _left_out(ratios) -> str:
    """How many agents the bars do not show, or show in another place, and why."""
    nothing = np.isfinite(ratios) & (ratios <= metrics.NOTHING)
    counts = {
        "have nothing": nothing,
        f"less than {SMALLEST_RATIO:g}": _is_shown(ratios) & (ratios < SMALLEST_RATIO),
        "are not finite": ~np.isfinite(ratios),
    }
    words = [f"{int(n.sum()):,} of {len(ratios):,} agents {what}" for what, n in counts.items() if n.any()]
    return f": {', '.join(words)}" if words else ""
