"""One agent after another: does welfare ever fall, and how soon is it nearly all there is?"""

import math

import numpy as np
import pandas as pd

from cmapjax.reproduce import _families as fam
from cmapjax.reproduce._numbers import count, median, share
from cmapjax.reproduce._part import FAILS, HOLDS, IN_PART, Check, Finding, Picture, Setting

# What is to be reached, as the log Nash welfare that may still be missing.
ACCURACIES = {"98 %": -math.log(0.98), "99.9 %": -math.log(0.999), "99.999 %": -math.log(0.99999)}
EXPECTED_ROUNDS = {"98 %": 2, "99.9 %": 8, "99.999 %": 46}
# The log of Nash welfare is a mean of some hundred logarithms near 1: beyond this a fall is no rounding.
ROUNDING = 1e-13
ROUNDS = (40, 100)  # of markets of 100 agents, quick and in full; smaller ones have more
ORDERS = (fam.OWN_ORDER, fam.RANDOM_ORDER)


def measure(setting: Setting) -> Finding:
    study = fam.common(setting)
    everything = fam.ensemble(study)
    rounds = setting.pick(*ROUNDS)
    runs = {order: fam.turn_by_turn(setting, study, order, 100 * rounds) for order in ORDERS}
    sweeps = {order: reached(everything, run) for order, run in runs.items()}
    table = _table(everything.kinds, sweeps)
    return Finding(
        [*_rises(runs, everything), _converges(runs, rounds), *_soon(sweeps), _in_updates(sweeps)],
        {"rounds-needed": table, "largest-falls": _falls(runs, everything.kinds)},
        {"in-turn": Picture(_draw(everything, runs, sweeps), _caption(everything, rounds))},
        [
            "Every turn of every agent is looked at (the schedule in which one agent acts per round), so "
            "that a fall within a round would be seen. A round's worth is as many turns as there are agents.",
            "The torus with equal contributions is left out: it starts at its equilibrium.",
        ],
    )


def reached(everything: fam.Ensemble, run) -> dict[str, np.ndarray]:
    """By accuracy, of every market the agent updates per agent until it was there."""
    loss, agents = run.records["log_welfare_loss"], everything.kinds["agents"].to_numpy()
    return {name: fam.first_within(loss, most, run.rounds) / agents for name, most in ACCURACIES.items()}


def _rises(runs, everything) -> list[Check]:
    checks = []
    for order, run in runs.items():
        steps = np.diff(run.records["log_nash_welfare"], axis=0)
        fell = steps < -ROUNDING
        worst = max(-float(steps.min()), 0.0)
        checks.append(
            Check(
                f"No turn lowers Nash welfare (agents in {'their ' * (order == ORDERS[0])}{order}).",
                "never, beyond rounding: every turn maximises the welfare over one agent's row",
                f"it fell in {count(fell.ravel(), 'turns')}, at most by {worst:.1e} (a logarithm; rounding "
                f"is about {ROUNDING:.0e})",
                HOLDS if not fell.any() else FAILS,
            )
        )
    return checks


def _converges(runs, rounds: int) -> Check:
    """Within 1e-6, or on the way: the second half of the rounds at least halves what was missing."""
    losses = [run.records["log_welfare_loss"] for run in runs.values()]
    last = np.concatenate([loss[-1] for loss in losses])
    middle = np.concatenate([loss[len(loss) // 2] for loss in losses])
    close = last <= 1e-6
    falling = close | (last <= middle / 2)
    return Check(
        "It converges to the equilibrium.",
        "limit points of exact maximisation over one row after another are optimal",
        f"within 1e-6 of the equilibrium's log welfare after {rounds} rounds: {share(close, 'runs')}; the "
        f"others halve what is missing from round {rounds // 2} on: {_those(falling[~close])}; missing at "
        f"the end: {median(last, fam.missing, 'runs')}, at most {last.max():.1e}",
        HOLDS if falling.all() else IN_PART if falling.mean() > 0.9 else FAILS,
    )


def _those(flags: np.ndarray) -> str:
    return count(flags, "runs") if len(flags) else "there are 0"


def _soon(sweeps) -> list[Check]:
    checks = []
    for name, most in EXPECTED_ROUNDS.items():
        found = np.ceil(np.concatenate([by_name[name] for by_name in sweeps.values()]))
        within = found <= most
        checks.append(
            Check(
                f"{name} of the equilibrium within {most} rounds.",
                {"98 %": "1 to 2 rounds", "99.9 %": "1 to 8 rounds", "99.999 %": "2 to 46 rounds"}[name],
                f"{share(within, 'runs')}; rounds {median(found, '.3g', 'runs')}, at most {_least(found)}",
                HOLDS if within.all() else IN_PART if within.mean() >= 0.5 else FAILS,
            )
        )
    return checks


def _least(rounds: np.ndarray) -> str:
    return "more than were played" if np.isinf(rounds).any() else f"{rounds.max():.0f}"


def _in_updates(sweeps) -> Check:
    found = np.concatenate([by_name["98 %"] for by_name in sweeps.values()])
    within = found <= 2
    return Check(
        "98 % takes n to 2n agent updates.",
        "from n to 2n, n being the number of agents",
        f"{median(found, '.3f', 'runs')} n; from {found.min():.2f} n to {found.max():.2f} n; at most 2 n: "
        f"{share(within, 'runs')}; fewer than n: {share(found < 1, 'runs')}",
        HOLDS if within.all() else IN_PART if within.mean() >= 0.5 else FAILS,
    )


def _table(kinds: pd.DataFrame, sweeps) -> pd.DataFrame:
    """Agent updates per agent until an accuracy, over the markets of a kind."""
    rows = []
    for (family, contributions, n), some in kinds.groupby(["family", "contributions", "agents"], sort=False):
        for order, by_name in sweeps.items():
            row = {"family": family, "contributions": contributions, "agents": n, "order": order}
            row["markets"] = len(some)
            for name, found in by_name.items():
                here = found[some.index]
                row[f"{name}, median rounds' worth of updates"] = float(
                    np.quantile(here, 0.5, method="inverted_cdf")
                )
                row[f"{name}, most"] = float(here.max())
            rows.append(row)
    return pd.DataFrame(rows)


def _falls(runs, kinds: pd.DataFrame) -> pd.DataFrame:
    rows = []
    for order, run in runs.items():
        steps = np.diff(run.records["log_nash_welfare"], axis=0)
        for family, some in kinds.groupby("family", sort=False):
            here = steps[:, some.index]
            rows.append(
                {
                    "family": family,
                    "order": order,
                    "turns": here.size,
                    "turns that lower welfare beyond rounding": int((here < -ROUNDING).sum()),
                    "largest fall of log Nash welfare": max(-float(here.min()), 0.0),
                }
            )
    return pd.DataFrame(rows)


def _draw(everything, runs, sweeps):
    from cmapjax.plots._canvas import COLOURS, new_figure

    figure = new_figure(7.5, 4.2)
    left, right = figure.subplots(1, 2, gridspec_kw={"width_ratios": [1.5, 1]})
    run, kinds = runs[ORDERS[0]], everything.kinds
    agents = kinds["agents"].max()
    styles = ("-", "--", "-.", ":")
    for number, family in enumerate(fam.FAMILIES):
        columns = kinds.index[(kinds["family"] == family) & (kinds["agents"] == agents)]
        loss = np.clip(run.records["log_welfare_loss"][:, columns], 1e-12, None)
        style = {"color": COLOURS[number % len(COLOURS)], "linestyle": styles[number % len(styles)]}
        left.plot(run.rounds / agents, np.median(loss, axis=1), linewidth=1.6, label=family, **style)
        found = np.sort(np.concatenate([by_name["98 %"][columns] for by_name in sweeps.values()]))
        part = 100 * np.arange(1, len(found) + 1) / len(found)
        right.step(np.insert(found, 0, 0), np.insert(part, 0, 0), where="post", linewidth=1.4, **style)
    for name, most in ACCURACIES.items():
        left.axhline(most, color="0.5", linewidth=0.8)
        left.annotate(name, (20, most), textcoords="offset points", xytext=(0, 2), fontsize=8, ha="right")
    left.set_yscale("log")
    left.set_xlim(0, 20)
    left.set_ylim(1e-9, 1)
    left.set_xlabel("rounds' worth of agent updates")
    left.set_ylabel("log Nash welfare missing, median market")
    right.set_xlim(0, 3)
    right.set_xlabel("rounds' worth of updates until 98 %")
    right.set_ylabel("% of the markets")
    for panel in (left, right):
        panel.grid(alpha=0.25)
        panel.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside upper center", ncols=4, frameon=False, fontsize=9)
    return figure


def _caption(everything, rounds: int) -> str:
    n = int((everything.kinds["agents"] == 100).sum())
    return (
        f"CMAP one agent after another on {n} markets of 100 agents, played for {rounds} rounds' worth of "
        "turns. Left: what is missing of the equilibrium's welfare, turn by turn, agents in their own "
        "order; straight lines mark 98, 99.9 and 99.999 %. Right: the share of markets (both orders) that "
        "have reached 98 %."
    )
