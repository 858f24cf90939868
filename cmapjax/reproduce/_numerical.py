"""The program solved numerically: which settings of projected gradient end at 98 %, and why."""

import numpy as np

from cmapjax.reproduce._numbers import count, median, share
from cmapjax.reproduce._numerical_pictures import examples, maps
from cmapjax.reproduce._numerical_played import SCHEDULES, Candidate, Shares, Size, play
from cmapjax.reproduce._part import FAILS, HOLDS, IN_PART, OPEN, Check, Finding, Setting

# "About 98 %".
LOW, HIGH = 0.97, 0.99
# Reached: what is lacking cannot be seen in any number of four digits.
REACHED = 0.9999
# A candidate whose loss falls to more than this share over the second half of the run stands still.
STANDS = 0.9
DENSE = ("Erdős-Rényi", "geometric", "bipartite")
QUICK = Size(20, 6, 1, 40, (0.01, 0.03, 0.1, 0.3, 1.0), (1, 5, 20), ("in turn", "all at once"))
FULL = Size(30, 8, 2, 120, (0.003, 0.01, 0.03, 0.1, 0.3, 1.0), (1, 5, 20), tuple(SCHEDULES), (1, 5))


def measure(setting: Setting) -> Finding:
    """Projected gradient under budgets, step rules, schedules and dampings, beside the exact answer."""
    return finding(play(setting, setting.pick(QUICK, FULL)))


def finding(shares: Shares) -> Finding:
    """What the runs come to."""
    table = candidates(shares)
    return Finding(
        checks(shares, table),
        tables={"settings": table},
        pictures={"map": maps(shares, (LOW, HIGH)), "examples": examples(shares, table, (LOW, HIGH))},
        remarks=_remarks(shares),
    )


def checks(shares: Shares, table) -> list[Check]:
    """What was claimed, against the table of settings."""
    return [
        _exact_in_turn(shares),
        _few_sweeps(shares),
        _unfinished(table),
        *(_standing(table, kind, statement) for kind, statement in STANDING.items()),
        _half_damped(shares),
        _closed(shares),
        _identified(shares, table),
    ]


# What keeps a run where it is, and the statement that some stand at 98 % for it.
STANDING = {
    "steps too long": "Steps that are too long leave the run standing at 97 to 99 %, even one after another.",
    "too many at once": "Too many agents at once leave the run standing at 97 to 99 %.",
}
# Rounds after which a run may have been stopped.
STOPS = (10, 30)


def candidates(shares: Shares):
    """A row per setting: its share of the equilibrium by and by, and what keeps it where it ends."""
    import pandas as pd

    last = int(shares.rounds[-1])
    middle = {t: np.median(shares.at(t), axis=1) for t in sorted({*STOPS, last // 2, last})}
    loss = {t: -np.log(np.maximum(share, 1e-12)) for t, share in middle.items()}
    rows = []
    for k, setting in enumerate(shares.candidates):
        final = middle[last][k]
        kind = "reached" if final >= REACHED else "unfinished"
        if final < REACHED and loss[last][k] > STANDS * loss[last // 2][k]:
            kind = "steps too long" if setting.schedule == "in turn" else "too many at once"
        row = setting._asdict() | {_column(t): share[k] for t, share in middle.items()}
        ends = shares.share[k, -1]
        rows.append(row | {"lowest": ends.min(), "highest": ends.max(), "kind": kind})
    return pd.DataFrame(rows)


def _column(rounds: int) -> str:
    return f"share_after_{rounds}_rounds"


def _ends(table):
    """The column of the last share."""
    return [name for name in table.columns if name.startswith("share_after")][-1]


def _near(table, column: str | None = None):
    """The settings that are at about 98 %, at the end or when stopped before."""
    return table[table[column or _ends(table)].between(LOW, HIGH)]


def _named(table, column: str | None = None) -> str:
    """A few of these settings, with what they reach."""
    column = column or _ends(table)
    few = table.sort_values("budget", ascending=False).head(3)
    settings = (Candidate(*(row[field] for field in Candidate._fields)) for _, row in few.iterrows())
    named = [f"{s} ({100 * x:.1f} %)" for s, x in zip(settings, few[column], strict=True)]
    return f", such as {'; '.join(named)}" if named else ""


def _unfinished(table) -> Check:
    """Settings that are on their way, at the end or where they may have been stopped."""
    rising = table[table["kind"].isin(["unfinished", "reached"])]
    columns = [*(_column(t) for t in STOPS), _ends(table)]
    near = {column: _near(rising, column) for column in columns}
    counts = ", ".join(f"{len(x)} {c.replace('share_', '').replace('_', ' ')}" for c, x in near.items())
    first = columns[0]
    return Check(
        "Few or short steps leave the run at 97 to 99 % when it is stopped, still rising.",
        "Some setting of the sweep whose median over the markets is there after 10 or 30 rounds or at the "
        "end. "
        "(The original's setting is not known, so nothing more can be expected.)",
        f"Of {len(table)} settings {counts}{_named(near[first], first)}.",
        HOLDS if any(len(x) for x in near.values()) else FAILS,
    )


def _standing(table, kind: str, statement: str) -> Check:
    """Whether some settings stand near 98 % for this reason."""
    of_kind = table[table["kind"] == kind]
    near = _near(of_kind)
    return Check(
        statement,
        "Some setting of the sweep whose median over the markets ends there and has ceased to rise.",
        f"{len(near)} of {len(table)} settings{_named(near)}; {len(of_kind)} stand somewhere for that "
        "reason.",
        HOLDS if len(near) else FAILS,
    )


def _few_sweeps(shares: Shares) -> Check:
    (exact,) = shares.where(rule="exact", schedule="in turn", damping=1.0)
    after = {t: np.median(shares.at(t)[exact]) for t in (1, 2, 3)}
    there = [LOW <= after[t] <= HIGH for t in (1, 2)]
    return Check(
        "The exact answer, one agent after another, passes 97 to 99 % in its first two rounds: to stop there "
        "would be enough.",
        "98 % within 1 to 2 sweeps.",
        "Median share after "
        + ", ".join(
            f"{t} {'sweep' if t == 1 else 'sweeps'} {median(shares.at(t)[exact], '.4f')}" for t in after
        )
        + ".",
        HOLDS if any(there) else FAILS,
    )


def _exact_in_turn(shares: Shares) -> Check:
    (exact,) = shares.where(rule="exact", schedule="in turn", damping=1.0)
    last = shares.share[exact, -1]
    lacking = np.maximum(1 - last, 0)
    return Check(
        "The exact best response (water-filling), one agent after another, has no gap.",
        f"Every market at {100 * REACHED:g} % of the equilibrium or more; 99.999 % within 2 to 46 sweeps.",
        f"{count(last >= REACHED)} there; lacking at the end {median(lacking, '.1e')}, at most "
        f"{lacking.max():.1e}; certified to lack at most {shares.gap[exact].max():.1e} (log Nash welfare).",
        HOLDS if (last >= REACHED).all() else IN_PART if (last >= REACHED).any() else FAILS,
    )


def _half_damped(shares: Shares) -> Check:
    """The exact answer by everybody at once, half damped: another gap of this size."""
    (half,) = shares.where(rule="exact", schedule="all at once", damping=0.5)
    later = shares.rounds >= shares.rounds[-1] // 2
    plateau = shares.share[half][later].mean(axis=0)
    of = {name: np.median(plateau[shares.family == k]) for k, name in enumerate(shares.families)}
    within = [0.92 <= of[name] <= 0.99 for name in DENSE]
    return Check(
        "The exact answer by everybody at once, damped by 1/2, stands at 92 to 99 % on Erdős-Rényi, "
        "geometric and bipartite networks: a gap of this size needs no inexact solver.",
        "0.92 to 0.99 there; 0.975 to 0.999 on small worlds; most trees, tori and Barabási-Albert networks "
        "converge.",
        "Mean share over the second half of the run: "
        + ", ".join(f"{name} {x:.3f}" for name, x in of.items())
        + f" (medians of {shares.share.shape[2] // len(of)} markets each).",
        HOLDS if all(within) else IN_PART if any(within) else FAILS,
    )


def _closed(shares: Shares) -> Check:
    """Whether the gap of projected gradient in turn goes away with its causes."""
    fixed = shares.where(schedule="in turn", damping=1.0, rule="fixed")
    least = {k: shares.share[k, -1].min() for k in fixed}
    best = max(least, key=least.get)
    reached = shares.share[best, -1] >= REACHED
    return Check(
        "In turn, with short steps and enough of them, projected gradient reaches the equilibrium as the "
        "exact answer does.",
        f"Some setting of the sweep at {100 * REACHED:g} % or more on every market.",
        f"Best of {len(fixed)}: {shares.candidates[best]}; median {np.median(shares.share[best, -1]):.6f}, "
        f"lowest {least[best]:.6f} of the equilibrium; that near: {share(reached)}.",
        HOLDS if reached.all() else IN_PART if reached.any() else FAILS,
    )


def _identified(shares: Shares, table) -> Check:
    """Whether "98 %" tells which setting was used."""
    near = _near(table)
    kinds = near["kind"].value_counts().to_dict()
    stopped = sum(len(_near(table, _column(t))) for t in STOPS)
    causes = len(kinds) + bool(stopped)
    listed = ", ".join(f"{kind} {number}" for kind, number in kinds.items()) or "none"
    return Check(
        "The 98 % of the original implementation can be traced to one cause.",
        "Not said: its step rule, budget, schedule, damping and number of rounds are not known.",
        f"{len(near)} of {len(table)} settings end at 97 to 99 % after {shares.rounds[-1]} rounds: {listed}; "
        f"{stopped} are there after {' or '.join(map(str, STOPS))} rounds.",
        HOLDS if causes == 1 else OPEN if causes else FAILS,
    )


def _remarks(shares: Shares) -> list[str]:
    return [
        "The original's exact setting is not known: neither its solver, budget, step rule, schedule and "
        "damping nor its networks, number of rounds and measure. What stands here is a list of candidates "
        "for its 98 %, not an identification.",
        "Shares are Nash welfare over that of the equilibrium (weighted by contribution), medians of "
        f"{shares.share.shape[2]} markets of about {shares.size} agents, from seven families, contributions "
        f"uniform on (0.1, 1), after {shares.rounds[-1]} rounds from an equal split.",
        "A step is in shares of the agent's budget per unit of slope, 1/ratio; every round begins where the "
        "last ended. A run stands if its loss in log Nash welfare falls by less than a tenth over the second "
        "half of the rounds.",
        "In turn: agent after agent, played by colours, which is exactly a sequential sweep.",
    ]
