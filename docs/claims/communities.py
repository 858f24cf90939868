# %% [markdown]
# # Any community acts alike
# **Claim (C2, E9).** However far an agent's community reaches, k = 1, 2, 3 …, CMAP behaves identically; with
# k = 0 it does nothing.
#
# A member that an agent cannot give to enters its program by a constant, so the best row is the same for every
# k ≥ 1. The package's exact CMAP uses that; two of the checks below do not: the projected gradient has all
# members of the community in its objective, and the best rows are compared by objectives summed up here.

# %%
import math

import numpy as np
import pandas as pd
from claims import SEED, Page, count, drawn, families, grid, key, median, pick
from scipy.optimize import minimize
from scipy.sparse.csgraph import shortest_path

import cmapjax as cj

page = Page(
    "communities",
    "C2 E9",
    "However far an agent's community reaches, k = 1, 2, 3 …, CMAP behaves identically; with k = 0 it does nothing.",
)
HOPS = (1, 2, 3, math.inf)
ROUNDING = 1e-11  # of sums of weighted logarithms over a whole market
OPTIMISER = 1e-4  # a general-purpose optimiser stops about at the root of the objective's rounding
market, _ = grid([pick(12, 30)], pick(1, 5), degree=pick(4, 8))
loss = {"loss": cj.metrics.standard(cj.solve(market).utility)["log_welfare_loss"]}

# %% [markdown]
# ## The same run for every k
# From an equal split, with 1, 2, 3 and all hops.

# %%
LOCAL = cj.LocalDamping()
WAYS = {
    "in turn": (lambda k: cj.CMAP(k), cj.Sequential()),
    "projected gradient at once": (
        lambda k: cj.Damped(cj.GradientCMAP(k, cj.OptaxGradient(5)), LOCAL),
        cj.Simultaneous(),
    ),
    "at once": (lambda k: cj.CMAP(k), cj.Simultaneous()),
    "at once, local damping": (lambda k: cj.Damped(cj.CMAP(k), LOCAL), cj.Simultaneous()),
    "by colours": (lambda k: cj.CMAP(k), cj.Coloured()),
    "in random order": (lambda k: cj.CMAP(k), cj.RandomOrder()),
}
# Every k is a program of its own to compile, so the quick run has fewer.
ways, hops = pick(("in turn", "projected gradient at once"), tuple(WAYS)), pick((0, 1, math.inf), (0, *HOPS))
runs = {}
for way in ways:
    strategy, schedule = WAYS[way]
    for k in hops:
        runs[way, k] = cj.simulate(
            market, strategy(k), schedule=schedule, rounds=pick(10, 30), record=loss, key=key(1)
        )


def agree(one, other):
    return np.array_equal(one.final.flow, other.final.flow) and np.array_equal(
        one.records["loss"], other.records["loss"]
    )


start, rounds = market.equal_flow(), pick(10, 30)
trajectories = pd.DataFrame(
    {
        "way": way,
        "k": k,
        "as with k = 1, to the last bit": agree(runs[way, 1], run),
        "differs by at most": float(abs(run.final.flow - runs[way, 1].final.flow).max()),
        "moved by at most": float(abs(run.final.flow - start).max() / market.contribution.max()),
        "share of the equilibrium, median": float(np.exp(-np.median(run.records["loss"][-1]))),
    }
    for (way, k), run in runs.items()
)
further, none = trajectories[trajectories["k"] > 1], trajectories[trajectories["k"] == 0]
page.check(
    "Trajectories are the same for k = 1, 2, 3 and ∞.",
    expected="bit for bit",
    found=f"equal to that with k = 1 to the last bit, flows at the end and welfare of every round: "
    f"{count(further.iloc[:, 2], 'runs')} of {rounds} rounds with larger k; largest difference of a flow "
    f"{further.iloc[:, 3].max():.0e}",
    met=further.iloc[:, 2],
    proved=True,
)
stays = np.exp(-runs[ways[0], 0].records["loss"][-1])
page.check(
    "With k = 0 nothing happens: every agent goes on giving as it did.",
    expected="the allocation of the start, for ever",
    found=f"after {rounds} rounds no gift has changed by more than {none['moved by at most'].max():.0e} of the "
    f"largest contribution ({len(none) * market.num_markets} runs of a market); it stays at "
    f"{median(stays, '.3f')} of the equilibrium's welfare",
    met=none["moved by at most"] <= ROUNDING,
    proved=True,
)
trajectories

# %% [markdown]
# ## The best row for every k
# Of some agents, CMAP's answer to the equal split against 100 random rows and the row that a general-purpose
# optimiser finds, by Σ w log u over all within k hops.

# %%
rng, found = np.random.default_rng(SEED), []
for number in range(pick(3, 12)):
    for stream, (family, kind) in enumerate(families(pick(12, 30), pick(4, 8)).items()):
        one = drawn(kind, "lognormal", 1000 + 10 * number + stream)
        giver, receiver = one.arcs()
        answers = one.arc_values(cj.simulate(one, cj.CMAP(), rounds=1, record={}).final.flow)
        steps, w, equal = shortest_path(one.adjacency(), unweighted=True), one.contribution, one.equal_flow()
        several = np.flatnonzero(one.degree > 1)  # who has one neighbour has no choice
        for agent in rng.choice(several, min(pick(3, 5), len(several)), replace=False):
            near, row = receiver[giver == agent], answers[giver == agent]
            others = one.received(equal).copy()
            others[near] -= w[agent] / len(near)

            def objective(rows, k, near=near, others=others, agent=agent, steps=steps, w=w):
                utility = np.tile(others, (len(rows), 1))
                utility[:, near] += rows
                with np.errstate(divide="ignore"):
                    return (w * np.log(utility))[:, steps[agent] <= k].sum(axis=1)

            rows = np.vstack([row, w[agent] * rng.dirichlet(np.ones(len(near)), 100)])
            gains = {k: (lambda v: v[0] - v[1:])(objective(rows, k)) for k in (0, *HOPS)}
            best = minimize(
                lambda x, objective=objective, b=w[agent]: -objective(b * x[None], math.inf)[0] / b,
                np.full(len(near), 1 / len(near)),
                method="SLSQP",
                bounds=[(0, 1)] * len(near),
                constraints={"type": "eq", "fun": lambda x: x.sum() - 1},
                options={"ftol": 1e-14, "maxiter": 500},
            ).x
            found.append(
                {
                    "family": family,
                    "least gain": min(gains[k].min() for k in HOPS),
                    "gains differ": max(abs(gains[k] - gains[1]).max() for k in HOPS),
                    "gain with k = 0": abs(gains[0]).max(),
                    "optimiser differs": abs(w[agent] * best - row).sum() / (2 * w[agent]),
                }
            )
rows = pd.DataFrame(found)
page.check(
    "The row that CMAP answers with is best for the community of every reach k ≥ 1.",
    expected="better than any other row, by the same amount whatever k",
    found=f"best of 101 rows for k = 1, 2, 3, ∞: {count(rows['least gain'] >= -ROUNDING, 'agents')}; gains differ "
    f"between these k by at most {rows['gains differ'].max():.0e}; the row that an optimiser finds for k = ∞ "
    f"differs by {median(rows['optimiser differs'], '.0e', 'agents')} of the budget, at most "
    f"{rows['optimiser differs'].max():.0e}",
    met=(rows["least gain"] >= -ROUNDING)
    & (rows["gains differ"] <= ROUNDING)
    & (rows["optimiser differs"] <= OPTIMISER),
    proved=True,
)
page.check(
    "With k = 0 every row is as good as any other.",
    expected="an agent's own row does not reach itself: no difference at all",
    found=f"differences between 101 rows: at most {rows['gain with k = 0'].max():.0e} ({len(rows)} agents)",
    met=rows["gain with k = 0"] == 0,
    proved=True,
)

# %% [markdown]
# ## Verdicts

# %%
page.finish()
