"""Pictures of part `equilibrium`."""

import numpy as np

import cmapjax as cj
from cmapjax.plots._canvas import COLOURS, new_figure
from cmapjax.reproduce._part import Picture

SMALLEST = 1e-15  # below is rounding


def sorted_ratios(singles: list, table, shown: list[int]) -> Picture:
    """Ratios from the poorest to the richest agent, at the equal split and at the equilibrium."""
    figure = new_figure(8.5, 4.6)
    panels = figure.subplots(2, 3, sharex=True, sharey=True).ravel()
    for panel, number in zip(panels, shown, strict=True):
        market = singles[number]
        w, rank = np.asarray(market.contribution), np.linspace(0, 100, market.num_agents)
        equal, best = market.received(market.equal_flow()), cj.solve(market).utility
        panel.step(rank, np.sort(equal / w), where="mid", color=COLOURS[1], label="equal split")
        panel.step(rank, np.sort(best / w), where="mid", color=COLOURS[0], lw=2, label="equilibrium")
        panel.axhline(1, color="0.6", lw=0.8, zorder=0)
        panel.set_yscale("log")
        panel.set_title(f"{table['family'][number]}, {market.num_agents} agents", fontsize=9, loc="left")
        panel.spines[["top", "right"]].set_visible(False)
    panels[0].legend(frameon=False, fontsize=8)
    for panel in panels[3:]:
        panel.set_xlabel("agents, poorest first, %")
    for panel in panels[::3]:
        panel.set_ylabel("received per contributed")
    return Picture(
        figure,
        "What agents receive per value contributed, sorted, on six random markets with lognormal "
        "contributions: at the equal split and at the equilibrium, which lifts the poorest as far as the "
        "network allows, then the next. Steps are groups of agents with the same ratio; 1 is even.",
    )


def gap_curves(runs, kinds: np.ndarray) -> Picture:
    """Certified and true gap against rounds: medians over the larger markets."""
    figure = new_figure(8.5, 3.6)
    panels = figure.subplots(1, len(runs), sharey=True)
    for panel, (name, run) in zip(panels, runs.items(), strict=True):
        # Infinite gaps (somebody has nothing) stand at the upper edge.
        true = np.median(run.records["log_welfare_loss"][:, kinds], axis=1)
        bound = np.median(run.records["certified_gap"][:, kinds], axis=1)
        for values, style in ((bound, {"color": COLOURS[1]}), (true, {"color": COLOURS[0], "ls": "--"})):
            label = "certified bound" if values is bound else "true gap"
            panel.plot(run.rounds, np.clip(values, SMALLEST, 1e2), label=label, **style)
        panel.set(xscale="symlog", yscale="log", xlabel="round", ylim=(SMALLEST / 2, 3e2))
        panel.set_xlim(0, int(run.rounds[-1]))
        panel.set_title(name.replace(", ", ",\n", 1), fontsize=8, loc="left")
        panel.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylabel("log Nash welfare missing")
    panels[0].legend(frameon=False, fontsize=8)
    return Picture(
        figure,
        "The certified bound, which needs no equilibrium, above the true gap: medians over "
        f"{int(kinds.sum())} random markets of 64 agents. Gaps of agents that have nothing are infinite and "
        "stand at the upper edge.",
    )
