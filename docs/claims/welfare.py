# %% [markdown]
# # Welfare and loss, and their definitions
# **Claim (C7).** Nash social welfare rises and market loss falls over time.
#
# Weighted Nash welfare is the geometric mean of ratios, weighted by contribution: what the central program
# maximises. Unweighted, it is the geometric mean of what agents receive. Losses are the log welfare missing, the
# share of all value in the wrong hands, Σ|u − u*|/2W, and the relative error of the agent that is off most.
# The definitions of the founding poster are not known; these are the package's.

# %%
import matplotlib.pyplot as plt
import numpy as np
from claims import PLAYS, Page, graded, grid, median, pick, share

import cmapjax as cj
from cmapjax import metrics

page = Page("welfare", "C7", "Nash social welfare rises and market loss falls over time.")
ROUNDING = 1e-12  # of a mean of a hundred logarithms near 1
LEVEL = 1e-9  # plays closer than this, by some measure, count as level
LOOKS = (2, 10, 100)  # rounds after which plays are ranked
market, kinds = grid(pick([20], [20, 100]), pick(2, 12))
best = cj.solve(market).utility
standard = metrics.standard(best)
LOSSES = ("log_welfare_loss", "misallocated_share", "worst_relative_error")
record = {name: standard[name] for name in ("log_nash_welfare", *LOSSES)}
record["unweighted"] = lambda market, state: metrics.unweighted_log_nash_welfare(market, state.utility)
rounds = pick(100, 300)
plays = [name for name in PLAYS if pick("gradient" not in name, True)]
runs = {
    name: cj.simulate(market, strategy, schedule=schedule, rounds=rounds, record=record).records
    for name, (strategy, schedule) in PLAYS.items()
    if name in plays
}

# %% [markdown]
# ## Over time

# %%
GROUPS = {
    "in turn, by colours, or all at once with local damping": (
        plays[:3],
        "yes, in every round, as is proved",
    ),
    "by proportional response": ([plays[5]], "over every two rounds; a single one may lower it"),
    "by CMAP all at once, undamped or with damping 1/2": (
        plays[3:5],
        "no: it oscillates, and may leave an agent with nothing",
    ),
}
for words, (chosen, expected) in GROUPS.items():
    of = {name: np.concatenate([runs[play][name] for play in chosen], axis=1) for name in LOSSES}
    missing = of["log_welfare_loss"]
    with np.errstate(invalid="ignore"):
        falls = (np.diff(missing, axis=0) > ROUNDING) | np.isinf(missing[1:])
    always = ~falls.any(axis=0)
    lower = np.all([x[-1] < np.maximum(x[0], LEVEL) for x in of.values()], axis=0)
    part = (always & lower).mean()
    page.check(
        f"Welfare rises from round to round and all three losses end lower, {words}.",
        expected=expected,
        found=f"welfare never falls in {share(always, 'runs')}; all three losses lower after {rounds} rounds than at "
        f"the start in {share(lower, 'runs')}; log welfare missing at the end "
        f"{median(np.maximum(missing[-1], 0), '.1e', 'runs')}",
        met=graded(part, 0.99),
    )
page.check(
    "In turn, by colours, or all at once with local damping no round lowers welfare.",
    expected="proved: 0 rounds",
    found=f"{sum((np.diff(runs[p]['log_welfare_loss'], axis=0) > ROUNDING).sum() for p in plays[:3])} falls in "
    f"{3 * rounds * market.num_markets:,} rounds",
    met=[(np.diff(runs[play]["log_welfare_loss"], axis=0) <= ROUNDING).all() for play in plays[:3]],
    proved=True,
)
figure, panel = plt.subplots(figsize=(7, 3.8), layout="constrained")
for name, records in runs.items():
    panel.plot(np.exp(-np.median(records["log_welfare_loss"], axis=1)), label=name)
panel.set(xlabel="rounds", ylabel="share of the equilibrium's Nash welfare", xlim=(0, 100), ylim=(0.7, 1.01))
panel.set_xscale("symlog", linthresh=1)
panel.legend(frameon=False, fontsize=8)
# %% [markdown]
# ## How much the definition matters
# Four agents who are all neighbours bring 5, 1, 1, 1. By unweighted welfare the best is (2, 2, 2, 2): everybody
# has a quarter of all.

# %%
four = cj.Market.from_links([[0, 1], [0, 2], [0, 3], [1, 2], [1, 3], [2, 3]], endowment=[5.0, 1.0, 1.0, 1.0])
found, even = cj.solve(four).utility, np.full(4, 2.0)
unweighted = float(np.squeeze(metrics.unweighted_nash_welfare(four, found))) / 2
weighted = float(np.squeeze(metrics.share_of_equilibrium(four, even, found)))
page.check(
    "Weighted and unweighted welfare disagree: on four agents who are all neighbours, contributions 5, 1, 1, 1, the "
    "equilibrium is not best by unweighted welfare.",
    expected="equilibrium (3, 5/3, 5/3, 5/3); 0.96524 of the best feasible unweighted welfare, (2, 2, 2, 2)",
    found=f"equilibrium ({', '.join(f'{u:.5g}' for u in found)}), best (2, 2, 2, 2): {unweighted:.5f} of it; by weighted "
    f"welfare that best is {weighted:.5f} of the equilibrium",
    met=[np.allclose(found, [3, 5 / 3, 5 / 3, 5 / 3]), abs(unweighted - 0.96524) < 5e-6, weighted < 1],
    proved=True,
)
uneven = (kinds["contributions"] != "unit").to_numpy()
known = np.asarray(metrics.unweighted_log_nash_welfare(market, best))
beyond = np.stack([records["unweighted"][list(LOOKS)] - known for records in runs.values()])[..., uneven]
page.check(
    "By unweighted welfare a run can exceed the equilibrium.",
    expected="it can, where contributions differ: the equilibrium maximises another welfare",
    found=f"it does in {share((beyond > LEVEL).ravel(), 'runs and rounds')}, at most {np.exp(beyond.max()):.3f} times "
    "the equilibrium's (unequal contributions)",
    met=(beyond > LEVEL).any(),
)

# %% [markdown]
# Ranking: of all pairs of plays on a market, how many do two measures put in opposite orders? And in how many
# markets is no play best by both?

# %%
first, second = np.triu_indices(len(plays), 1)


def ranking(name: str, at: int):
    """Which of each pair of plays is better (0: level), and which plays are best, market by market."""
    sign = -1 if name in LOSSES else 1
    values = sign * np.stack([runs[play][name][at] for play in plays], axis=1)
    with np.errstate(invalid="ignore"):
        apart = np.nan_to_num(values[:, first] - values[:, second])
    return np.sign(np.where(abs(apart) > LEVEL, apart, 0)), values >= values.max(
        axis=1, keepdims=True
    ) - LEVEL


for name, words in (
    ("unweighted", "unweighted Nash welfare"),
    ("misallocated_share", "misallocated share"),
    ("worst_relative_error", "worst relative error"),
):
    opposite, another, parts = [], [], []
    for at in LOOKS:
        (one, top), (other, other_top) = ranking("log_nash_welfare", at), ranking(name, at)
        decided = (one != 0) & (other != 0)
        opposite.append((one * other == -1).sum() / max(decided.sum(), 1))
        another.append((~(top & other_top).any(axis=1)).mean())
        parts.append(
            f"after {at} rounds {100 * opposite[-1]:.1f} % of {decided.sum():,} pairs, and in "
            f"{100 * another[-1]:.1f} % of the markets another play is best"
        )
    page.check(
        f"Ranking plays by {words} gives the order that weighted Nash welfare gives.",
        expected="not always" if name == "unweighted" else "not said before",
        found=f"in opposite order: {'; '.join(parts)}",
        met=[max(opposite + another) <= 0.02, min(opposite) < 0.5],
    )

# %% [markdown]
# ## Verdicts

# %%
page.finish()
