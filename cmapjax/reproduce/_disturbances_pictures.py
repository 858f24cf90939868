"""Pictures of part `disturbances`."""

import numpy as np

from cmapjax.plots._canvas import COLOURS, new_figure
from cmapjax.reproduce._disturbances_plays import CMAP, PROPORTIONAL, Churn, Play
from cmapjax.reproduce._part import Picture

STYLES = ("-", "--", "-.", ":")
LEAST, MOST = 1e-8, 3.0


def loss_curves(plays: list[Play]) -> Picture:
    """Welfare missing against rounds under every disturbance: medians."""
    figure = new_figure(9.5, 7)
    panels = figure.subplots(2, 3, sharey=True).ravel()
    late = [p for p in plays if p.group in ("undisturbed", "delay") and p.who in (PROPORTIONAL, CMAP)]
    lost = [p for p in plays if p.group in ("undisturbed", "loss") and p.level in (0, 0.1, 0.5, 0.8)]
    late = [p for p in late if p.level in (0, 1, 2, 8)]
    shown = (
        (
            "out of step: proportional response",
            _named(plays, "asynchrony", PROPORTIONAL),
            lambda p: _short(p.who),
        ),
        ("late news: proportional response", [p for p in late if p.who == PROPORTIONAL], _rounds_late),
        ("late news: CMAP, locally damped", [p for p in late if p.who == CMAP], _rounds_late),
        ("lost news: proportional response", [p for p in lost if p.who == PROPORTIONAL], _lost),
        ("lost news: CMAP, locally damped", [p for p in lost if p.who == CMAP], _lost),
        ("CMAP and others", [*_named(plays, "mixture"), *_named(plays, "minority")], _others),
    )
    for panel, (title, runs, name) in zip(panels, shown, strict=True):
        for number, play in enumerate(runs):
            middle = np.clip(np.median(play.loss, axis=1), LEAST, MOST)
            style = {"color": COLOURS[number % len(COLOURS)], "ls": STYLES[number % len(STYLES)], "lw": 1.2}
            panel.plot(np.arange(len(middle)), middle, label=name(play), **style)
        panel.set(xscale="symlog", yscale="log", ylim=(LEAST, MOST))
        panel.set_xlim(0, max(len(play.loss) for play in runs) - 1)
        panel.set_title(title, fontsize=9, loc="left")
        panel.legend(frameon=False, fontsize=6.5, loc="lower left")
        panel.spines[["top", "right"]].set_visible(False)
    for panel in panels[3:]:
        panel.set_xlabel("round")
    for panel in panels[::3]:
        panel.set_ylabel("log Nash welfare missing")
    return Picture(
        figure,
        "Log Nash welfare missing against rounds (turns of all agents), medians of "
        f"{plays[0].loss.shape[1]} markets of 48 agents: acting out of step, news late by so many rounds, "
        "news lost with a probability, and CMAP beside other strategies.",
    )


def _named(plays, group: str, who: str = "") -> list[Play]:
    return [play for play in plays if play.group == group and play.who.startswith(who)]


def _short(who: str) -> str:
    return who.removeprefix(f"{PROPORTIONAL}, ")


def _rounds_late(play: Play) -> str:
    return f"{play.level} round{'s' * (play.level != 1)} late" if play.level else "fresh"


def _lost(play: Play) -> str:
    return f"{play.level:.0%} lost".replace("%", " %") if play.level else "none lost"


def _others(play: Play) -> str:
    if play.group == "mixture":
        return play.who
    return f"{play.level:.0%} {play.who}".replace("%", " %")


def churn_curves(runs: list[Churn]) -> Picture:
    """Welfare missing over time while agents come and go, and its mean against the rate of changes."""
    figure = new_figure(9.5, 3.6)
    left, right = figure.subplots(1, 2, width_ratios=(1.6, 1))
    right.set(xscale="log", yscale="log")
    slowest = max(run.period for run in runs)
    for number, who in enumerate((PROPORTIONAL, CMAP)):
        own = [run for run in runs if run.who == who]
        name = who if who != CMAP else "CMAP, locally damped"
        run = next(run for run in own if run.period == slowest)
        missing = np.clip(1 - np.exp(-np.median(run.loss, axis=1)), LEAST, 1)
        style = {"color": COLOURS[number], "ls": STYLES[number]}
        left.plot(1 + np.arange(len(missing)), missing, label=name, **style)
        tracking = [np.quantile(run.tracking(min(40, len(run.loss) // 2)), (0.1, 0.5, 0.9)) for run in own]
        low, middle, high = np.array(tracking).T
        rate = 1 / np.array([run.period for run in own])
        right.errorbar(
            rate, middle, (middle - low, high - middle), marker="os"[number], capsize=2, label=name, **style
        )
    right.set_xticks(rate, labels=[f"1/{run.period}" for run in own])
    right.minorticks_off()
    left.set(yscale="log", xlabel=f"round (an agent leaves and another comes every {slowest})")
    left.set_ylabel("share of Nash welfare missing")
    right.set(xlabel="changes per round and market", ylabel="missing on average")
    for panel in (left, right):
        panel.spines[["top", "right"]].set_visible(False)
        panel.legend(frameon=False, fontsize=8)
    return Picture(
        figure,
        f"Agents come and go in {runs[0].loss.shape[1]} markets of 48. Left: medians of what is missing to "
        "the Nash welfare of the equilibrium of those who are there. Right: its mean over time against the "
        "rate of changes, medians and 10 % to 90 % ranges.",
    )
