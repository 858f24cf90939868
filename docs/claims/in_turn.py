# %% [markdown]
# # One agent after another
# **Claim (C3, E3).** CMAP behaves like coordinate ascent: one agent after another it never lowers welfare and
# converges.
#
# Every turn of every agent is looked at (in each round of the slow clock one agent of every market acts), so a
# fall within a round would be seen. A round's worth is as many turns as there are agents. Markets are those of
# the common grid; the torus of equal agents starts at its equilibrium and is left out.

# %%
import math

import matplotlib.pyplot as plt
import numpy as np
from claims import SEED, Page, count, first_within, grid, median, pick, share

import cmapjax as cj

page = Page(
    "in-turn",
    "C3 E3",
    "CMAP behaves like coordinate ascent: one agent after another it never lowers welfare and converges.",
)
# The log of Nash welfare is a mean of some hundred logarithms near 1: a smaller fall is rounding.
ROUNDING = 1e-13
market, kinds = grid(pick([20], [20, 100]), pick(3, 12))
largest, rounds = int(kinds["agents"].max()), pick(40, 100)
standard = cj.metrics.standard(cj.solve(market).utility)
record = {name: standard[name] for name in ("log_nash_welfare", "log_welfare_loss")}
ORDERS = {
    "their own order": np.arange(market.num_agents),
    "random order": np.random.default_rng(SEED).permutation(market.num_agents),
}
runs = {
    words: cj.simulate(
        market, cj.CMAP(), schedule=cj.OneAgentPerRound(order), rounds=rounds * largest, record=record
    )
    for words, order in ORDERS.items()
}

# %% [markdown]
# ## Welfare never falls

# %%
for words, run in runs.items():
    steps = np.diff(run.records["log_nash_welfare"], axis=0)
    page.check(
        f"No turn lowers Nash welfare (agents in {words}).",
        expected="never, beyond rounding: every turn maximises the welfare over one agent's row",
        found=f"it fell in {count(steps < -ROUNDING, 'turns')}, at most by {max(-steps.min(), 0):.1e} (a "
        f"logarithm; rounding is about {ROUNDING:.0e})",
        met=not (steps < -ROUNDING).any(),
        proved=True,
    )

# %% [markdown]
# ## It converges
# A market is there within 1e-6, or on its way: the second half of the turns at least halves what was missing.

# %%
losses = np.concatenate([run.records["log_welfare_loss"] for run in runs.values()], axis=1)
last, half = losses[-1], losses[len(losses) // 2]
close = last <= 1e-6
page.check(
    "It converges to the equilibrium.",
    expected="limit points of exact maximisation over one row after another are optimal",
    found=f"within 1e-6 of the equilibrium's log welfare after {rounds} rounds' worth: {share(close, 'runs')}; of "
    f"the others {np.sum(last[~close] <= half[~close] / 2)} halve what is missing in the second half, "
    f"{np.sum(last[~close] > half[~close] / 2)} do not; missing at the end: "
    f"{median(np.maximum(last, 0), '.1e', 'runs')}, at most {last.max():.1e}",
    met=close | (last <= half / 2),
    proved=True,
)

# %% [markdown]
# ## How soon

# %%
ACCURACIES = {"98 %": (0.98, 1, 2), "99.9 %": (0.999, 1, 8), "99.999 %": (0.99999, 2, 46)}
agents = np.tile(kinds["agents"], len(runs))
turns = np.arange(len(losses))
worth = {name: first_within(losses, -math.log(x), turns) / agents for name, (x, *_) in ACCURACIES.items()}
for name, (_, least, most) in ACCURACIES.items():
    needed = np.ceil(worth[name])
    page.check(
        f"{name} of the equilibrium within {most} rounds.",
        expected=f"{least} to {most} rounds",
        found=f"{share(needed <= most, 'runs')}; rounds {median(needed, '.3g', 'runs')}, at most {needed.max():g}",
        met=needed <= most,
    )
few = worth["98 %"]
page.check(
    "98 % takes n to 2n agent updates.",
    expected="from n to 2n, n being the number of agents",
    found=f"{median(few, '.3f', 'runs')} n; from {few.min():.2f} n to {few.max():.2f} n; at most 2 n: "
    f"{share(few <= 2, 'runs')}; fewer than n: {share(few < 1, 'runs')}",
    met=few <= 2,
)

# %%
figure, panel = plt.subplots(figsize=(7, 3.5), layout="constrained")
loss = runs["their own order"].records["log_welfare_loss"]
for family in kinds["family"].unique():
    these = (kinds["family"] == family) & (kinds["agents"] == largest)
    panel.semilogy(turns / largest, np.median(np.clip(loss[:, these], 1e-12, None), axis=1), label=family)
panel.set(xlim=(0, 20), ylim=(1e-9, 1), xlabel="rounds' worth of turns", ylabel="log welfare missing, median")
panel.legend(frameon=False, fontsize=8, ncols=2)
# %% [markdown]
# ## Verdicts

# %%
page.finish()
