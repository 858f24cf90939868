"""A picture of what one agent did in one round, its neighbours drawn as vessels."""

from cmapjax.plots._canvas import COLOURS, new_figure, plain

MOST_VESSELS = 40


def explanation(about):
    """The neighbours as vessels, as wide as they contribute (or claim), filled by others and by the agent.

    Height is value received per unit contributed, so areas are value. The line is CMAP's water level; a
    damped agent ends between its last row and that line.

    Args:
        about: what `cmapjax.explain` returned.

    Returns:
        A Matplotlib figure.
    """
    ordered = sorted(about.neighbours, key=lambda n: n.level_before)
    shown = ordered[:MOST_VESSELS]
    figure = new_figure(7, 4)
    axes = figure.subplots()
    left, ticks = 0.0, []
    mean = sum(n.weight for n in shown) / max(len(shown), 1)
    for n in shown:
        place = {"x": left, "width": n.weight, "align": "edge", "edgecolor": "white", "linewidth": 1}
        axes.bar(height=n.level_before, color="#BBBBBB", label="from others", **place)
        given = n.level_after - n.level_before
        axes.bar(
            height=given,
            bottom=n.level_before,
            color=COLOURS[0],
            hatch="//",
            label=f"from {about.agent}",
            **place,
        )
        ticks.append(left + n.weight / 2)
        left += n.weight + 0.15 * mean
    if about.level is not None:
        axes.axhline(about.level, color=COLOURS[1], linestyle="--", label=f"water level {about.level:.4g}")
    crowded = len(shown) > 12
    axes.set_xticks(ticks, [plain(n.label) for n in shown], rotation=90 if crowded else 0, fontsize=8)
    more = len(ordered) - len(shown)
    measure = "contribute" if about.own is None else "claim"
    left_out = f" ({more} richer ones left out)" if more else ""
    axes.set_xlabel(f"neighbours, as wide as they {measure}{left_out}")
    axes.set_ylabel(f"received per unit {'contributed' if about.own is None else 'claimed'}")
    when = f"round {about.round}" + (
        f", turn {about.turn} of {about.num_turns}" if about.num_turns > 1 else ""
    )
    axes.set_title(
        plain(
            f"Agent {about.agent} in {when}: {type(about.rule).__name__}, {about.contribution:.4g} to give"
        ),
        loc="left",
        fontsize=10,
    )
    axes.spines[["top", "right"]].set_visible(False)
    handles, labels = axes.get_legend_handles_labels()
    unique = dict(zip(labels, handles, strict=True))
    figure.legend(
        unique.values(), map(plain, unique), loc="outside lower center", ncols=3, frameon=False, fontsize=8
    )
    return figure
