# %% [markdown]
# # Committed rows
# **Claim.** In a population that follows CMAP, an agent that gives as it likes receives at most 1.618 times as much, the
# golden ratio, and a poor one no more; in a population of proportional response less than twice as much.
#
# [The proof](../why-all-at-once.md#who-commits-to-a-row) is short. A committed row is own use of its receivers in a market in
# which its giver has nothing, so that rests are exact equilibria. In a population of proportional response the row is what
# appearing as several is, one copy for each neighbour. A gain is what the agent receives over what the equilibrium
# gives it.

# %%
import itertools

import numpy as np
from claims import CONTRIBUTIONS, SEED, Page, drawn, families, listed, median, pick, share
from committed import GOLDEN, bound, rest, triangle

import cmapjax as cj

page = Page("commitment", "E13", "Who commits to a row gains at most the golden ratio under CMAP.")
ROUNDING = 1e-9  # of two exact equilibria's utilities over each other
rng = np.random.default_rng((SEED, 12))

# %% [markdown]
# ## Rows that reach the bound

# %%
RATIOS = (1, 2, 5)
reached = {rho: rest(*triangle(rho)[:2], 0, triangle(rho)[2])[0] for rho in RATIOS}
page.check(
    "In a triangle an agent of any ratio ρ ≥ 1 reaches the bound by giving all to its rival.",
    expected="ρ = 1, 2, 5 become 1.6180339887, 2.7320508076, 5.8541019662",
    found=", ".join(f"{rho} becomes {u:.10f}" for rho, u in reached.items()),
    met=[abs(u - rho * bound(rho)) < 1e-9 for rho, u in reached.items()],
    proved=True,
)
whole = rest([[0, 1], [1, 2], [0, 2]], np.array([1, 1, 2]), 0, [0, 1, 0], exact=True)
page.check(
    "With contributions 1, 1, 2 that row turns (1, 1, 2) into (3/2, 3/2, 1).",
    expected="exactly",
    found=", ".join(map(str, whole)),
    met=list(map(str, whole)) == ["3/2", "3/2", "1"],
    proved=True,
)

# %% [markdown]
# ## Rows of any kind on random networks
# All to one neighbour, equal parts, and parts drawn at random; networks of eight agents of all families.


# %%
def rows_of(neighbours, size, weight):
    """Rows to try: one neighbour each, equal parts, random parts, and nothing at all."""
    d = len(neighbours)
    parts = [*np.eye(d), np.full(d, 1 / d), *rng.dirichlet(np.full(d, 0.5), pick(3, 12))]
    rows = np.zeros((len(parts) + 1, size))
    rows[:-1, neighbours] = weight * np.array(parts)
    return rows


cases, kinds = [], []
for stream, (_, word, family) in enumerate(
    itertools.product(range(pick(2, 12)), CONTRIBUTIONS, families(8, 3).values())
):
    market = drawn(family, word, 900 + stream)
    giver, receiver = market.arcs()
    weight = np.asarray(market.contribution)
    links = np.stack([giver, receiver], axis=1)[giver < receiver]
    for agent in range(market.num_agents):
        near = receiver[giver == agent]
        cases += [
            (stream, links, weight, agent, row) for row in rows_of(near, market.num_agents, weight[agent])
        ]
    kinds.append((stream, links, weight))


def settled(cases, copies: bool) -> np.ndarray:
    """What the agent of each case receives: of CMAP, or of proportional response (by `copies`)."""
    found = []
    for begin in range(0, len(cases), 2000):
        links, endowment, priority, own_use, own, start = [], [], [], [], [], 0
        for _, its_links, weight, agent, row in cases[begin : begin + 2000]:
            gives, size = np.flatnonzero(row > 0), len(weight)
            if copies:  # the first copy takes the agent's place, the others come last; none gives nothing
                new = np.append(agent, size + np.arange(len(gives) - 1))
                to = dict(zip(gives.tolist(), new.tolist(), strict=True))
                its_links = np.array(
                    [[to[b], b] if a == agent else [a, to[a]] if b == agent else [a, b] for a, b in its_links]
                )
                weight = np.append(weight, row[gives[1:]])
                weight[agent] = row[gives[0]]
                row, own_agents = np.zeros(len(weight)), new
                gift = weight
            else:
                gift, own_agents = np.where(np.arange(size) == agent, 0, weight), [agent]
            links.append(its_links + start)
            endowment.append(gift)
            priority.append(weight)
            own_use.append(row)
            own.append(start + np.asarray(own_agents))
            start += len(weight)
        market = cj.Market.from_links(
            np.concatenate(links),
            endowment=np.concatenate(endowment),
            priority=np.concatenate(priority),
            own_use=np.concatenate(own_use),
        )
        utility = cj.solve(market).utility
        found += [utility[k].sum() for k in own]
    return np.array(found)


truth = {stream: cj.solve(cj.Market.from_links(links, endowment=w)).utility for stream, links, w in kinds}
before = np.array([truth[stream][agent] for stream, _, _, agent, _ in cases])
ratio = before / np.array([weight[agent] for _, _, weight, agent, _ in cases])
gain = settled(cases, copies=False) / before
network = np.array([stream for stream, *_ in cases])
gives = np.array([row.sum() > 0 for *_, row in cases])
page.check(
    "No row gains more than (1 + √(1 + 4/ρ))/2 times, and none anything for an agent of ρ < 1.",
    expected="proved: no exception",
    found=f"{(gain > bound(ratio) + ROUNDING).sum()} of {len(gain):,} rows; largest gain {gain.max():.4f} of at most {GOLDEN:.4f}; of poor "
    f"agents {gain[ratio < 1 - ROUNDING].max():.10f}",
    met=(gain <= bound(ratio) + ROUNDING).all(),
    proved=True,
)
page.check(
    "Who gives nothing and announces its full contribution never gains.",
    expected="proved: at most 1; medians of an earlier trial 1.000",
    found=f"largest {gain[~gives].max():.10f}; {median(gain[~gives], '.4f', 'agents')}",
    met=(gain[~gives] <= 1 + ROUNDING).all(),
    proved=True,
)
some = np.array([(gain[network == k] > 1.01).any() for k in np.unique(network)])
page.check(
    "In most markets somebody has a row that gains more than 1 %.",
    expected="in 63 to 72 % of an earlier trial's, of up to seven agents",
    found=share(some),
    met=0.5 <= some.mean() <= 0.9,
)

# %% [markdown]
# ## The same rows among followers of proportional response

# %%
full = [
    np.count_nonzero(row) == np.count_nonzero((links == agent).any(axis=1))
    for _, links, _, agent, row in cases
]
spread = [case for case, keeps_all in zip(cases, full, strict=True) if keeps_all]
split = settled(spread, copies=True)
theirs, ours = split / before[full], gain[full]
page.check(
    "In a population of proportional response, where a committed row is a row of copies, it gains less than double.",
    expected="proved: below 2",
    found=f"largest gain 2 − {2 - theirs.max():.1e}, of CMAP by the same rows {ours.max():.4f}; means "
    + listed({"proportional response": theirs.mean(), "CMAP": ours.mean()}, ".4f"),
    met=theirs.max() < 2,
    proved=True,
)
TWO = 2**0.5
weight = np.array([1, (1 + TWO) / 2, (TWO - 1) / 2])
triangle_links = np.array([[0, 1], [1, 2], [0, 2]])
case = [(0, triangle_links, weight, 0, np.array([0, 0.5, 0.5]))]
one, other = settled(case, copies=True)[0], settled(case, copies=False)[0]
page.check(
    "In a triangle with contributions 1, (1 + √2)/2, (√2 − 1)/2, halves gain √2 there and (1 + √2)/2 under CMAP.",
    expected="1.414213562 and 1.207106781",
    found=f"{one:.9f} and {other:.9f}",
    met=[abs(one - TWO) < 1e-9, abs(other - (1 + TWO) / 2) < 1e-9],
    proved=True,
)

# %% [markdown]
# ## Verdicts

# %%
page.finish()
