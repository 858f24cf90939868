# %% [markdown]
# # Acting in parallel, exactly
# **Claim (C4, E10).** Agents that share no receiver may act at the same time: a sweep by colours is a sequential
# sweep.
#
# Two agents' rows meet only in what a common receiver gets. All givers of a receiver need colours of their own,
# hence at least Δ; a clique of agents that share receivers pairwise may need more. The bound below is grown
# greedily from the givers of the largest receivers, so it is valid though not always the best.

# %%
import numpy as np
import pandas as pd
from claims import Page, count, drawn, families, median, pick

import cmapjax as cj

page = Page(
    "colouring",
    "C4 E10",
    "Agents that share no receiver may act at the same time: a sweep by colours is a sequential sweep.",
)
SWEEPS, CROWDED = 3, 12  # a clique is grown from so many receivers
SIZES, NUMBER = pick((20, 100), (20, 100, 1000)), pick(1, 10)
drawings = [
    (name, size, drawn(family, "uniform", 100 * k + 10 * len(str(size)) + place, drops=True))
    for size in SIZES
    for place, (name, family) in enumerate(families(size).items())
    for k in range(NUMBER)
]


def clique_bound(market) -> int:
    """How many agents share receivers pairwise, at least: as many colours are needed."""
    starts, neighbours = market.neighbour_rows()
    rows = np.split(neighbours, starts[1:-1])

    def rivals(agent):
        return set(np.concatenate([rows[j] for j in rows[agent]]).tolist()) - {agent}

    best = 0
    for receiver in np.argsort([-len(row) for row in rows], kind="stable")[:CROWDED]:
        clique = rows[receiver].tolist()
        candidates = set.intersection(*map(rivals, clique))
        while candidates:
            agent = max(sorted(candidates), key=lambda a: len(candidates & rivals(a)))
            clique.append(agent)
            candidates &= rivals(agent)
        best = max(best, len(clique))
    return best


def one_by_one(market, order) -> np.ndarray:
    """Flows after sweeps of CMAP agent by agent, from the formula, in parts of the giver's contribution."""
    starts, neighbours = market.neighbour_rows()
    w, rows = np.asarray(market.contribution), np.split(neighbours, starts[1:-1])
    flow = [np.full(len(row), w[i] / len(row)) for i, row in enumerate(rows)]
    utility = np.bincount(neighbours, np.concatenate(flow), minlength=len(w))
    for i in np.tile(order, SWEEPS):
        others, weight = utility[rows[i]] - flow[i], w[rows[i]]
        ascending = np.argsort(others / weight)
        level = ((w[i] + np.cumsum(others[ascending])) / np.cumsum(weight[ascending])).min()
        flow[i] = np.maximum(level * weight - others, 0)
        utility[rows[i]] = others + flow[i]
    return np.concatenate([y / w[i] for i, y in enumerate(flow)])


# %% [markdown]
# ## Colours, bounds, and sweeps both ways

# %%
everything = cj.pack([market for *_, market in drawings])
run = cj.simulate(everything, cj.CMAP(), rounds=SWEEPS, schedule=cj.Coloured(), record={})
giver, _ = everything.arcs()
by_colour = everything.arc_values(run.final.flow) / everything.contribution[giver]
ends = np.cumsum([2 * market.num_links for *_, market in drawings])[:-1]
rows = []
for (family, size, market), found in zip(drawings, np.split(by_colour, ends), strict=True):
    colour = cj.Coloured().turns(market)
    expected = one_by_one(market, np.argsort(colour, kind="stable"))
    numbers = {"Δ": market.degree.max(), "clique": clique_bound(market), "colours": colour.max() + 1}
    numbers["levels"] = cj.Sequential().turns(market).max() + 1  # turns that leave any order as it is
    rows.append(
        {"family": family, "size": size, "agents": market.num_agents}
        | numbers
        | {"difference": abs(found - expected).max()}
    )
table = pd.DataFrame(rows)
table.drop(columns="agents").groupby(["family", "size"], sort=False).median()

# %%
page.check(
    "A sweep colour by colour is a sequential sweep in the order of colours.",
    expected="the same flows to 1e-12 of a contribution",
    found=f"largest difference {table['difference'].max():.1e} over {len(table)} markets, {SWEEPS} sweeps",
    met=table["difference"].max() <= 1e-12,
    proved=True,
)
below = (table["colours"] < table["clique"]) | (table["clique"] < table["Δ"])
page.check(
    "At least Δ colours are needed, and greedy colouring comes near the clique bound.",
    expected="colours ≥ clique ≥ Δ; fewer than twice the clique",
    found=f"below a bound in {count(below)}; colours over clique {median(table['colours'] / table['clique'], '.2f')}, "
    f"at most {(table['colours'] / table['clique']).max():.2f}; equal, so as few as can be, in "
    f"{count(table['colours'] == table['clique'])}",
    met=not (below | (table["colours"] >= 2 * table["clique"])).any(),
)
EARLIER = {
    "torus": 6, "tree": 6, "Watts-Strogatz": 8, "geometric": 17, "bipartite": 19, "Erdős-Rényi": 23,
    "Barabási-Albert": 26,
}  # fmt: skip
ranges = table[table["size"] == 100].groupby("family")["colours"].agg(["min", "max"])
page.check(
    "Greedy colours of 100 agents are as in an earlier trial.",
    expected=", ".join(f"{name} {number}" for name, number in EARLIER.items()) + " (one market each)",
    found=", ".join(f"{name} {ranges['min'][name]} to {ranges['max'][name]}" for name in EARLIER)
    + f" ({NUMBER} markets each)",
    met=[ranges["min"][name] <= number <= ranges["max"][name] for name, number in EARLIER.items()],
)
largest = table[table["size"] == table["size"].max()]
saved = (largest["agents"] / largest["colours"]).groupby(largest["family"]).median()
page.check(
    "Colours save most turns of a round.",
    expected="of the largest size in every family fewer than half as many turns as agents",
    found=f"agents over colours {', '.join(f'{name} {x:.1f}' for name, x in saved.items())} (medians of families), "
    f"at {table['size'].max()} agents",
    met=saved > 2,
)

# %% [markdown]
# ## Verdicts

# %%
page.finish()
