# %% [markdown]
# # Which networks are equal
# **Claim (E14).** Denser networks lower inequality, with diminishing returns.
#
# Inequality is the Gini coefficient over the agents of a market, of ratios (value received per value contributed)
# and of utilities. With unequal contributions utilities stay unequal however dense the network; ratios do not.
# *Sharing centrality* is our reading of "many partners who in turn have few": s_j = Σ w_p / deg(p) over the partners
# p of j, what j would receive if everybody split equally. A bipartite network keeps two levels however dense it is.
# That density lowers inequality was seen with people sharing in networks (Shirado, Iosifidis, Tassiulas and
# Christakis, Nature Communications 2019); theirs are not these networks, nor these strategies.

# %%
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from claims import CONTRIBUTIONS, Page, count, drawn, interval, median, pick, share

import cmapjax as cj
from cmapjax import graphs

page = Page("topology", "E14", "Denser networks lower inequality, with diminishing returns.")
AGENTS, SPARSE = 100, 8  # above this mean degree most ratios are 1, and there is little to rank
SAME, FEW = 1e-9, 10  # relative; kinds of fewer markets with unequal utilities are not judged by their pairs
DEGREES = pick((2, 4, 8, 16, 32), (2, 4, 6, 8, 12, 16, 24, 32))
NUMBER, WORDS = pick(30, 150), pick(("unit", "lognormal"), tuple(CONTRIBUTIONS))


def networks(degree: int) -> dict[str, graphs.Family]:
    half = AGENTS // 2
    return {
        "Erdős-Rényi": graphs.ErdosRenyi(AGENTS, mean_degree=degree),
        "Barabási-Albert": graphs.BarabasiAlbert(AGENTS, degree // 2),
        "Watts-Strogatz": graphs.WattsStrogatz(AGENTS, degree, 0.1),
        "geometric": graphs.RandomGeometric(AGENTS, mean_degree=degree),
        "bipartite": graphs.Bipartite(half, AGENTS - half, mean_degree=degree),
    }


def concordance(utility, other) -> float:
    """Of two agents that do not receive the same, how often the richer has the larger other number (ties: half)."""
    gap = utility[:, None] - utility
    richer = gap > SAME * np.maximum(utility[:, None], utility)
    return float(0.5 + 0.5 * np.sign(other[:, None] - other)[richer].mean()) if richer.any() else np.nan


frames = []
for degree in DEGREES:
    for place, (family, kind) in enumerate(networks(degree).items()):
        for word in WORDS:
            stream = 1000 * degree + 10 * place + list(CONTRIBUTIONS).index(word)
            market = drawn(kind, word, stream, NUMBER, drops=True)
            found, central = cj.solve(market), market.received(market.equal_flow())
            of, levels = np.asarray(found.groups.market), np.asarray(found.groups.ratio)
            ends, members = (np.cumsum(np.bincount(x))[:-1] for x in (of, np.asarray(market.market_of)))
            agents = np.split(np.arange(market.num_agents), members)
            frames.append(
                pd.DataFrame(
                    {
                        "family": family,
                        "contributions": word,
                        "degree": degree,
                        "ratios": cj.metrics.gini(market, found.ratio),
                        "utilities": cj.metrics.gini(market, found.utility),
                        "levels": np.bincount(of),
                        "off": [abs(x * x[::-1] - 1).max() for x in np.split(levels, ends)],
                        "central": [concordance(found.utility[a], central[a]) for a in agents],
                        "by degree": [concordance(found.utility[a], market.degree[a]) for a in agents],
                    }
                )
            )
table = pd.concat(frames, ignore_index=True)
KIND = ["family", "contributions", "degree"]
gini = table.groupby(KIND, sort=False)["ratios"].median().unstack("degree")
gini

# %% [markdown]
# ## It falls, and saturates
# Between degrees nothing rises but within the 95 % intervals of medians; from first to last it falls.

# %%
for what, some in (("ratios", table), ("utilities", table[table["contributions"] == "unit"])):
    groups = some.groupby(KIND, sort=False)[what]
    low, high = (groups.apply(lambda x, k=k: interval(x)[k]).unstack("degree").to_numpy() for k in (0, 1))
    falls = (low[:, 1:] <= high[:, :-1]).all(axis=1) & (high[:, -1] < low[:, 0])
    medians = groups.median().unstack("degree")
    ends = medians.iloc[:, [0, -1]].median()
    page.check(
        f"Denser networks lower inequality (of {what}{', unit contributions' * (what == 'utilities')}).",
        expected="the Gini coefficient falls with the mean degree in every family, and rises nowhere (beyond the 95 % "
        "intervals of medians)",
        found=f"so in {count(falls, 'families and contributions')}. Gini from {ends.iloc[0]:.3f} (degree {DEGREES[0]}) to "
        f"{ends.iloc[1]:.3f} (degree {DEGREES[-1]}), medians of {len(some):,} markets",
        met=falls,
    )
early, late, whole = gini[2] - gini[4], gini[16] - gini[32], gini[2] - gini[32]
page.check(
    "It saturates: further links help less and less.",
    expected="doubling the mean degree from 2 to 4 lowers the Gini of ratios by more than from 16 to 32",
    found=f"so in {count(early > late, 'families and contributions')}: by {early.median():.3f} against "
    f"{late.median():.3f} (medians); {100 * ((gini[2] - gini[SPARSE]) / whole).median():.0f} % of the whole fall is "
    f"over at a mean degree of {SPARSE}",
    met=(early > late) & (whole > 0),
)
figure, panel = plt.subplots(figsize=(6, 3.4), layout="constrained")
for (family, word), row in gini.iterrows():
    panel.plot(row.index, row, "o-" if word == "unit" else "s--", markersize=3, label=f"{family}, {word}")
panel.set(xlabel="mean degree", ylabel="Gini of ratios, median", xscale="log", xticks=DEGREES)
panel.set_xticks(DEGREES, DEGREES)
panel.legend(frameon=False, fontsize=7, ncols=2)

# %% [markdown]
# ## Who receives most

# %%
sparse = table[(table["degree"] <= SPARSE) & table["central"].notna()]
is_unit = sparse["contributions"] == "unit"
for some, whom in ((sparse[is_unit], "equal"), (sparse[~is_unit], "unequal")):
    kinds = some.groupby(KIND)["central"].agg(["median", "size"])
    kinds = kinds.loc[kinds["size"] >= FEW, "median"]
    page.check(
        f"With {whom} contributions, agents with many partners who in turn have few receive most.",
        expected="of two agents, the one that receives more has the larger sharing centrality more often than not, in "
        f"every kind of market up to a mean degree of {SPARSE}",
        found=f"in a share {median(some['central'], '.3f')} of pairs; more often than not in {count(kinds > 0.5, 'kinds')}, "
        f"least in {' '.join(map(str, kinds.idxmin()))} ({kinds.min():.3f})",
        met=kinds > 0.5,
    )
better = sparse[is_unit]["central"] > sparse[is_unit]["by degree"]
page.check(
    "That says more than the number of partners does (equal contributions).",
    expected="agrees with utilities in more pairs than degree does, in most markets",
    found=f"in {share(better)}; degree agrees in a share {median(sparse[is_unit]['by degree'], '.3f')} of pairs",
    met=better.mean() > 0.5,
)
page.check(
    "Ratios come in levels that are each other's inverses: l_k l_(m+1−k) = 1.",
    expected="in every market, to rounding",
    found=f"{count(table['off'] <= 1e-12)}, largest deviation {table['off'].max():.1e}; 1 to {table['levels'].max()} levels",
    met=table["off"] <= 1e-12,
    proved=True,
)

# %% [markdown]
# ## Verdicts

# %%
page.finish()
