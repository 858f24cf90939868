"""Checks of part `disturbances`."""

import numpy as np
import pandas as pd

from cmapjax.reproduce._disturbances_plays import CMAP, EQUAL, PROPORTIONAL, SELFISH, Churn, Play
from cmapjax.reproduce._judging import judged
from cmapjax.reproduce._numbers import count, median
from cmapjax.reproduce._part import Check

ROUNDING = 1e-12
WARM_UP = 40  # rounds of churn before the market is judged
OPEN = "no figure is known"


def _of(plays: list[Play], group: str, who: str = "") -> list[Play]:
    return [play for play in plays if play.group == group and play.who.startswith(who)]


def percent(share: float, form: str = ".0%") -> str:
    """98 %, with the blank that units have."""
    return format(share, form).replace("%", " %")


def _arrived(plays: list[Play], name) -> str:
    """Per run, how many markets arrive or close in, and what is still missing."""
    missing = {name(play): 1 - np.exp(-play.loss[-1]) for play in plays}
    return "; ".join(
        f"{what}: {count(play.arrives)}, Nash welfare missing at the end {np.median(x):.1e} (at most "
        f"{x.max():.1e})"
        for play, (what, x) in zip(plays, missing.items(), strict=True)
    )


def asynchrony(plays: list[Play]) -> list[Check]:
    """Agents acting out of step."""
    responses = [p for p in _of(plays, "asynchrony", PROPORTIONAL) if p.level < 1]
    turns = _of(plays, "asynchrony", "CMAP")
    falls = np.concatenate([(np.diff(play.loss, axis=0) > ROUNDING).ravel() for play in turns])
    return [
        Check(
            "Proportional response converges when agents act out of step.",
            "every market arrives or closes in (seen on five networks; no theorem)",
            _arrived(responses, lambda play: play.who.removeprefix(f"{PROPORTIONAL}, ")),
            judged(np.concatenate([play.arrives for play in responses])),
        ),
        Check(
            "CMAP, one agent at a time, needs no order.",
            "in a fresh random order, or whoever comes up, Nash welfare never falls from round to round "
            "and every market arrives or closes in",
            f"{int(falls.sum())} falls in {len(falls):,} rounds; "
            + _arrived(turns, lambda play: play.who.removeprefix("CMAP, undamped, ")),
            judged([not falls.any(), *np.concatenate([play.arrives for play in turns])]),
        ),
    ]


def delay(plays: list[Play]) -> list[Check]:
    """News that is late."""
    fresh = _of(plays, "undisturbed", PROPORTIONAL)[0].rounds_to(0.98)
    late = _of(plays, "delay", PROPORTIONAL)
    as_told = [p.rounds_to(0.98) == np.where(fresh > 0, (p.level + 1) * (fresh - 1) + 1, 0) for p in late]
    local = [_of(plays, "undisturbed", CMAP)[0], *[p for p in _of(plays, "delay", CMAP) if p.who == CMAP]]
    shorter = [p for p in _of(plays, "delay", CMAP) if p.who != CMAP]
    fails = {int(play.level): ~play.arrives for play in local}
    return [
        Check(
            "Late by d rounds, proportional response takes d + 1 times as long, and goes nowhere else.",
            "rounds to 98 % are (d + 1)(k − 1) + 1 where k suffice without delay: d + 1 runs take turns "
            "(derived)",
            f"so in {count(np.concatenate(as_told), 'runs')}; "
            + "; ".join(f"d = {p.level}: {median(p.rounds_to(0.98), '.0f')}" for p in late)
            + f"; without delay {median(fresh, '.0f')}",
            judged(np.concatenate(as_told)),
        ),
        Check(
            "Local damping is safe only while news is fresh.",
            "without delay every market arrives or closes in; two rounds late some do not (derived for m "
            "givers with the same two receivers: stable only if step × m < 2 sin(π / (4d + 2)), where "
            "local damping has 1)",
            "not arriving: "
            + ", ".join(f"d = {d}: {count(flags)}" for d, flags in fails.items())
            + "; Nash welfare at the end "
            + ", ".join(f"{percent(np.exp(-np.median(p.loss[-1])), '.1%')} (d = {p.level})" for p in local),
            judged([not fails[0].any(), all(flags.any() for d, flags in fails.items() if d >= 2)]),
        ),
        Check(
            "A step divided by d + 1 makes it safe again.",
            "every market arrives or closes in (derived for the same markets: 1 / (d + 1) < 2 sin(π / (4d "
            "+ 2)))",
            _arrived(shorter, lambda play: f"d = {play.level}"),
            judged(np.concatenate([play.arrives for play in shorter])),
        ),
    ]


def loss(plays: list[Play]) -> list[Check]:
    """News that does not arrive."""
    out = []
    for who, word in ((PROPORTIONAL, "Proportional response"), (CMAP, "CMAP, locally damped,")):
        runs, fresh = _of(plays, "loss", who), _of(plays, "undisturbed", who)[0]
        times = "; ".join(
            f"{percent(play.level)} lost: {median(play.rounds_to(0.98), '.0f')}" for play in runs
        )
        out.append(
            Check(
                f"{word} converges though news is lost.",
                f"every market arrives or closes in; how long it takes: {OPEN}",
                f"{_arrived(runs, lambda play: f'{percent(play.level)} lost')}. Rounds to 98 %: {times}; "
                f"none lost: {median(fresh.rounds_to(0.98), '.0f')}",
                judged(np.concatenate([play.arrives for play in runs])),
            )
        )
    return out


def mixed(plays: list[Play]) -> list[Check]:
    """Several strategies in one market."""
    mixtures, stubborn, selfish = (
        _of(plays, "mixture"),
        _of(plays, "minority", EQUAL),
        _of(plays, "minority", SELFISH),
    )
    missing = {play.level: 1 - np.exp(-play.loss[-1]) for play in stubborn}
    gains = {play.level: play.gains[np.isfinite(play.gains)] for play in selfish}
    welfare = {play.level: 1 - np.exp(-play.loss[-1]) for play in selfish}
    return [
        Check(
            "Followers of CMAP and of proportional response reach the equilibrium together.",
            f"every market arrives or closes in; {OPEN}",
            _arrived(mixtures, lambda play: play.who),
            judged(np.concatenate([play.arrives for play in mixtures])),
        ),
        Check(
            "A minority that splits equally costs the market less Nash welfare than its share of the agents.",
            f"missing at the end: a smaller share than theirs, in every market; {OPEN}",
            "; ".join(
                f"{percent(level)} of the agents: {median(x, '.3f')} missing, less in {count(x < level)}"
                for level, x in missing.items()
            ),
            judged(np.concatenate([x < level for level, x in missing.items()])),
        ),
        Check(
            "A selfish minority among followers of CMAP gains nothing.",
            "receives at most what the equilibrium gives it (mean over the second half of the run), in "
            f"every market; {OPEN}",
            "; ".join(
                f"{percent(level)} of the agents: {median(x, '.3f')} of it, no more in {count(x <= 1)}; Nash "
                f"welfare missing {median(welfare[level], '.3f')}"
                for level, x in gains.items()
            ),
            judged(np.concatenate([x <= 1 for x in gains.values()])),
        ),
    ]


def churn(runs: list[Churn]) -> list[Check]:
    """Agents that come and go."""
    table = churn_table(runs)
    rises, words = [], []
    for who, rows in table.groupby("who", sort=False):
        missing = rows.sort_values("rounds between changes", ascending=False)["tracking error"].to_numpy()
        rises.append(bool((np.diff(missing) > 0).all()))
        words.append(f"{who} {', '.join(f'{x:.4f}' for x in missing)}")
    periods = ", ".join(str(t) for t in sorted(table["rounds between changes"].unique(), reverse=True))
    slow = [run for run in runs if run.period == max(r.period for r in runs)]
    quicker = [np.median(run.recovery(0.98)) <= np.median(run.from_start) for run in slow]
    recovered = "; ".join(
        f"{run.who}: 98 % after {median(run.recovery(0.98), '.0f', 'changes')}, 99.9 % after "
        f"{median(run.recovery(0.999), '.0f', 'changes')}, from the start 98 % after "
        f"{median(run.from_start, '.0f')}"
        for run in slow
    )
    return [
        Check(
            "The faster agents come and go, the further is the market from its equilibrium.",
            f"the share of Nash welfare missing, averaged over time, rises with the rate of changes; {OPEN}",
            f"a change every {periods} rounds: " + "; ".join(words),
            judged(rises),
        ),
        Check(
            "After a change the market is back no later than it came from an equal split.",
            f"rounds to 98 % of the new equilibrium, medians; {OPEN}",
            recovered,
            judged(quicker),
        ),
    ]


def churn_table(runs: list[Churn]) -> pd.DataFrame:
    """One row per run: tracking error and recovery."""

    def middle(rounds):
        return float(np.quantile(rounds, 0.5, method="inverted_cdf"))

    return pd.DataFrame(
        {
            "who": run.who,
            "rounds between changes": run.period,
            "changes": len(run.recovery(0.98)),
            "tracking error": float(np.median(run.tracking(WARM_UP))),
            "tracking error, 90 %": float(np.quantile(run.tracking(WARM_UP), 0.9)),
            "rounds to 98 %": middle(run.recovery(0.98)),
            "rounds to 99.9 %": middle(run.recovery(0.999)),
        }
        for run in runs
    )
