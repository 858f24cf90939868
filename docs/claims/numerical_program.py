# %% [markdown]
# # 98 % by projected gradient
# **Claim (C5).** The numerical implementation of CMAP gets to 98 % of the equilibrium.
#
# The original's solver, budget, step rule, schedule, damping, networks, number of rounds and measure are not known. What
# stands here is a list of candidates for its 98 %, not an identification. Shares are Nash welfare over that of the
# equilibrium, medians over markets of seven families, contributions uniform from 0.1 to 1, from an equal split. A step is
# in shares of the agent's budget per unit of slope, 1/ratio. A run *stands* if its loss falls by less than a tenth over
# the second half of the rounds. In turn: by colours, which is exactly a sequential sweep.

# %%
import itertools
import warnings

import equinox as eqx
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from claims import Page, count, drawn, families, key, listed, median, pick, share

import cmapjax as cj

page = Page(
    "numerical-program", "C5", "The numerical implementation of CMAP gets to 98 % of the equilibrium."
)
# A long step beside a neighbour with next to nothing is a row of 1e9 to project, which costs digits.
warnings.filterwarnings("ignore", message=".*is not feasible")
LOW, HIGH, REACHED, STANDS = 0.97, 0.99, 0.9999, 0.9
STOPS = (10, 30)  # rounds after which a run may have been stopped
AGENTS, DEGREE, EACH, ROUNDS = pick((20, 6, 1, 40), (30, 8, 2, 120))
STEPS, BUDGETS = pick((0.03, 0.1, 0.3, 1.0), (0.003, 0.01, 0.03, 0.1, 0.3, 1.0)), pick((1, 5), (1, 5, 20))
POWERS, DAMPINGS = {"fixed": 0.0, "diminishing": 0.5}, (1.0, 0.5)
SCHEDULES = {
    "in turn": cj.Coloured(),
    "all at once": cj.Simultaneous(),
    "half at once": cj.RandomParticipation(0.5),
}


def as_floats(x):
    return np.asarray(x, float)


class Swept(cj.strategies.StepRule):
    """Steps size / (1 + iteration)^power, and none once the budget is spent: unlike budgets side by side."""

    size: np.ndarray = eqx.field(converter=as_floats)
    power: np.ndarray = eqx.field(converter=as_floats)
    budget: np.ndarray = eqx.field(converter=as_floats)

    def at(self, iteration):
        return jnp.where(iteration < self.budget, self.size / (1 + iteration) ** self.power, 0)


grid = families(AGENTS, DEGREE)
market = cj.pack([drawn(family, "uniform", 100 + k, EACH) for k, family in enumerate(grid.values())])
family, best = np.repeat(list(grid), EACH), cj.solve(market).utility
SETTING = ["schedule", "rule", "budget", "step", "damping"]
rows, shares, gaps = [], [], []


def play(settings, make) -> None:
    """All settings of a schedule as copies of the markets, every copy's agents with parameters of their own."""
    columns = pd.DataFrame(settings, columns=SETTING)
    own = {name: np.repeat(columns[name].to_numpy(), market.num_agents) for name in SETTING}
    together = cj.copies(market, endowment=np.tile(market.endowment, (len(settings), 1)))
    standard = cj.metrics.standard(np.tile(best, len(settings)))
    run = cj.simulate(
        together,
        cj.PerAgent(cj.Damped(make(own), cj.FixedDamping(own["damping"]))),
        rounds=ROUNDS,
        schedule=SCHEDULES[columns["schedule"][0]],
        record={name: standard[name] for name in ("share_of_equilibrium", "certified_gap")},
        key=key(99),
    )
    for kept, name in ((shares, "share_of_equilibrium"), (gaps, "certified_gap")):
        kept.extend(run.records[name].reshape(ROUNDS + 1, len(settings), -1).swapaxes(0, 1))
    rows.extend(settings)


def by_gradient(own):
    power = np.vectorize(POWERS.get)(own["rule"])
    method = cj.OptaxGradient(max(BUDGETS), Swept(own["step"], power, own["budget"]))
    return cj.GradientCMAP(method=method)


for schedule in pick(("in turn", "all at once"), tuple(SCHEDULES)):
    play([(schedule, *rest) for rest in itertools.product(POWERS, BUDGETS, STEPS, DAMPINGS)], by_gradient)
    play([(schedule, "exact", np.inf, np.nan, d) for d in DAMPINGS], lambda own: cj.CMAP())
    for budget in pick((), (1, 5)):
        method = cj.OptaxGradient(budget, cj.LineSearch())
        search = cj.GradientCMAP(method=method)
        play(
            [(schedule, "line search", budget, np.nan, d) for d in DAMPINGS],
            lambda own, search=search: search,
        )
shares, gaps = np.stack(shares), np.stack(gaps)  # [settings, rounds, markets]
middle = np.median(shares, axis=2)
table = pd.DataFrame(rows, columns=SETTING).assign(
    at_10=middle[:, 10], at_30=middle[:, 30], end=middle[:, -1], lowest=shares[:, -1].min(axis=1)
)
loss = -np.log(np.maximum(middle, 1e-12))
stands = (middle[:, -1] < REACHED) & (loss[:, -1] > STANDS * loss[:, ROUNDS // 2])
table["kind"] = np.where(
    stands,
    np.where(table["schedule"] == "in turn", "steps too long", "too many at once"),
    np.where(middle[:, -1] >= REACHED, "reached", "unfinished"),
)


def near(column, some=table):
    return some[some[column].between(LOW, HIGH)]


def named(some, column) -> str:
    few = some.sort_values("budget", ascending=False).head(3)
    words = [
        f"{r.schedule}, {r.rule}{'' if np.isnan(r.step) else f' step {r.step:g}'}, {r.budget:g} iterations, damping "
        f"{r.damping:g} ({100 * x:.1f} %)"
        for r, x in zip(few.itertuples(), few[column], strict=True)
    ]
    return f", such as {'; '.join(words)}" if words else ""


pd.concat([near("end"), table[table["rule"] == "exact"]]).round(4)

# %% [markdown]
# ## The exact answer

# %%
exact, half = (
    table.index[(table["rule"] == "exact") & (table["schedule"] == s) & (table["damping"] == d)][0]
    for s, d in (("in turn", 1.0), ("all at once", 0.5))
)
last = shares[exact, -1]
page.check(
    "The exact best response (water-filling), one agent after another, has no gap.",
    expected=f"Every market at {100 * REACHED:g} % of the equilibrium or more; 99.999 % within 2 to 46 sweeps.",
    found=f"{count(last >= REACHED)} there; lacking at the end {median(np.maximum(1 - last, 0), '.1e')}, at most "
    f"{max(1 - last.min(), 0):.1e}; certified to lack at most {gaps[exact, -1].max():.1e} (log Nash welfare).",
    met=last >= REACHED,
)
page.check(
    "The exact answer, one agent after another, passes 97 to 99 % in its first two rounds: to stop there would be enough.",
    expected="98 % within 1 to 2 sweeps.",
    found="Median share after "
    + ", ".join(f"{t} sweeps {median(shares[exact, t], '.4f')}" for t in (1, 2, 3))
    + ".",
    met=any(LOW <= middle[exact, t] <= HIGH for t in (1, 2)),
)
plateau = pd.Series(shares[half, ROUNDS // 2 :].mean(axis=0)).groupby(family).median()
page.check(
    "The exact answer by everybody at once, damped by 1/2, stands at 92 to 99 % on Erdős-Rényi, geometric and bipartite "
    "networks: a gap of this size needs no inexact solver.",
    expected="0.92 to 0.99 there; 0.975 to 0.999 on small worlds; most trees, tori and Barabási-Albert networks converge.",
    found=f"Mean share over the second half of the run: {listed(plateau, '.3f')} (medians of {EACH} markets each).",
    met=[0.92 <= plateau[name] <= 0.99 for name in ("Erdős-Rényi", "geometric", "bipartite")],
)

# %% [markdown]
# ## Projected gradient

# %%
rising = table[table["kind"].isin(["unfinished", "reached"])]
found = {column: near(column, rising) for column in ("at_10", "at_30", "end")}
page.check(
    "Few or short steps leave the run at 97 to 99 % when it is stopped, still rising.",
    expected="Some setting of the sweep whose median over the markets is there after 10 or 30 rounds or at the end. (The "
    "original's setting is not known, so nothing more can be expected.)",
    found=f"Of {len(table)} settings {listed({c: len(x) for c, x in found.items()}, 'd')}{named(found['at_10'], 'at_10')}.",
    met=any(len(x) for x in found.values()),
)
STANDING = {
    "steps too long": "Steps that are too long leave the run standing at 97 to 99 %, even one after another.",
    "too many at once": "Too many agents at once leave the run standing at 97 to 99 %.",
}
for kind, statement in STANDING.items():
    some = near("end", table[table["kind"] == kind])
    page.check(
        statement,
        expected="Some setting of the sweep whose median over the markets ends there and has ceased to rise.",
        found=f"{len(some)} of {len(table)} settings{named(some, 'end')}; {(table['kind'] == kind).sum()} stand somewhere for that "
        "reason.",
        met=len(some) > 0,
    )
fixed = table[(table["schedule"] == "in turn") & (table["damping"] == 1) & (table["rule"] == "fixed")]
top = fixed["lowest"].idxmax()
page.check(
    "In turn, with short steps and enough of them, projected gradient reaches the equilibrium as the exact answer does.",
    expected=f"Some setting of the sweep at {100 * REACHED:g} % or more on every market.",
    found=f"Best of {len(fixed)}: step {table['step'][top]:g}, {table['budget'][top]:g} iterations; median {middle[top, -1]:.6f}, "
    f"lowest {fixed['lowest'].max():.6f} of the equilibrium; that near: {share(shares[top, -1] >= REACHED)}.",
    met=shares[top, -1] >= REACHED,
)
kinds, stopped = near("end")["kind"].value_counts(), len(near("at_10")) + len(near("at_30"))
causes = len(kinds) + bool(stopped)
page.check(
    "The 98 % of the original implementation can be traced to one cause.",
    expected="Not said: its step rule, budget, schedule, damping and number of rounds are not known.",
    found=f"{kinds.sum()} of {len(table)} settings end at 97 to 99 % after {ROUNDS} rounds: {listed(kinds, 'd') or 'none'}; {stopped} "
    "are there after 10 or 30 rounds.",
    met=[causes == 1] if causes in (0, 1) else None,
)
figure, panel = plt.subplots(figsize=(6, 3.5), layout="constrained")
panel.plot(middle[near("end").index].T, color="0.7", linewidth=0.8)
panel.plot(middle[exact], label="exact, in turn")
panel.plot(middle[half], label="exact, at once, damping 1/2")
panel.set(xlabel="rounds", ylabel="share of the equilibrium, median", ylim=(0.8, 1.005))
panel.legend(frameon=False)

# %% [markdown]
# ## Verdicts

# %%
page.finish()
