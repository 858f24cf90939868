# %% [markdown]
# # What an agent gains by lying
# **Claim (E13).** Hiding links or endowments gains nothing; splitting into several identities gains less than double.
#
# A gain is what the deviating agent receives at the new equilibrium, all its copies together, over what it receives by
# the truth; equilibria are exact. *Hiding*: every set of links that leaves the agent one of its own; partners without
# any other link leave the market. *Under-reporting*: a share of the endowment, the rest perishes. *Appearing as
# several*: each neighbour is linked with one copy, and copies share the endowment; what a search finds is a lower bound.
# The bound of 2 is a theorem (Cheng, Deng, Li and Yan, Games and Economic Behavior 148, 2024). Nothing is said about
# deviations while a dynamic is still under way. [Committed rows](commitment.py) and [a table of what can be done to
# whom](../why-all-at-once.md#who-commits-to-a-row) go on from here.

# %%
import itertools

import numpy as np
import pandas as pd
from claims import CONTRIBUTIONS, SEED, Page, drawn, families, median, pick, share

import cmapjax as cj

page = Page(
    "incentives",
    "E13",
    "Hiding links or endowments gains nothing; splitting into several identities gains less than double.",
)
ROUNDING = 1e-9  # of two exact equilibria's utilities over each other
REPORTED = (0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99)
MOST = pick(4, 30)  # ways to hide links, per agent
rng = np.random.default_rng(SEED)


def received(variants) -> np.ndarray:
    """What the deviating agent has in all: variants are (links, contributions, its own agents).

    Nothing passes between networks, so that a thousand of them are solved as one.
    """
    variants, found = list(variants), []
    for begin in range(0, len(variants), 1000):
        some = variants[begin : begin + 1000]
        ends = np.cumsum([0] + [len(weight) for _, weight, _ in some])
        links = np.concatenate([links + start for (links, *_), start in zip(some, ends, strict=False)])
        market = cj.Market.from_links(links, endowment=np.concatenate([weight for _, weight, _ in some]))
        utility = cj.solve(market).utility
        found += [
            utility[start + np.asarray(own)].sum() for (*_, own), start in zip(some, ends, strict=False)
        ]
    return np.array(found)


def hiding(links, weight, agent, hidden):
    kept = np.delete(links, hidden, axis=0)
    there = np.unique(kept)
    return np.searchsorted(there, kept), weight[there], [np.searchsorted(there, agent)]


def understating(links, weight, agent, part):
    return links, np.where(np.arange(len(weight)) == agent, part * weight, weight), [agent]


def splitting(links, weight, agent, copy_of, shares):
    """The agent's k-th link goes to copy `copy_of[k]`; the first copy takes its place, the others come last."""
    own = np.append(agent, len(weight) + np.arange(len(shares) - 1))
    mine, links = np.flatnonzero((links == agent).any(axis=1)), links.copy()
    links[mine, (links[mine, 1] == agent).astype(int)] = own[copy_of]
    more = np.append(weight, weight[agent] * shares[1:])
    more[agent] *= shares[0]
    return links, more, own


def gains(lies) -> pd.DataFrame:
    """The best gain of each agent over its lies: (network, agent, variant) each."""
    lies = list(lies)
    table = pd.DataFrame({"network": k, "agent": agent} for k, agent, _ in lies)
    table["gain"] = received([variant for *_, variant in lies])
    pairs = table[["network", "agent"]].drop_duplicates()
    truth = received([(*networks[k], [agent]) for k, agent in pairs.itertuples(index=False)])
    best = table.groupby(["network", "agent"], sort=False)["gain"]
    return pairs.assign(gain=best.max().to_numpy() / truth, lie=best.idxmax().to_numpy())


networks, kinds = [], []
for stream, (_, word, (name, family)) in enumerate(
    itertools.product(range(pick(1, 15)), CONTRIBUTIONS, families(8, 3).items())
):
    market = drawn(family, word, stream)
    giver, receiver = market.arcs()
    networks.append((np.stack([giver, receiver], axis=1)[giver < receiver], np.asarray(market.contribution)))
    kinds.append(f"{name}, {word}")
divisible = [
    (k, a) for k, (links, _) in enumerate(networks) for a in np.flatnonzero(np.bincount(links.ravel()) > 1)
]

# %% [markdown]
# ## Hiding


# %%
def hidden_sets(k, agent):
    mine = np.flatnonzero((networks[k][0] == agent).any(axis=1)).tolist()
    sets = [s for n in range(1, len(mine)) for s in itertools.combinations(mine, n)]
    return sets if len(sets) <= MOST else [sets[i] for i in rng.choice(len(sets), MOST, replace=False)]


LIES = {
    "Hiding links": gains(
        (k, a, hiding(*networks[k], a, s)) for k, a in divisible for s in hidden_sets(k, a)
    ),
    "Reporting less than one has": gains(
        (k, a, understating(*networks[k], a, part))
        for k, (_, weight) in enumerate(networks)
        for a in range(len(weight))
        for part in pick(REPORTED[::3], REPORTED)
    ),
}
for what, table in LIES.items():
    gain = table["gain"]
    page.check(
        f"{what} gains nothing.",
        expected="no agent ends with more than by the truth: ratio at most 1",
        found=f"{(gain > 1 + ROUNDING).sum()} of {len(gain):,} agents in {table['network'].nunique()} markets gain; largest "
        f"ratio − 1: {gain.max() - 1:.1e}; an agent's best lie leaves it a ratio of {median(gain, of='agents')}",
        met=gain.max() <= 1 + ROUNDING,
        proved=True,
    )

# %% [markdown]
# ## Appearing as several
# Two copies: divisions of the agent's links in two, the first copy with a share of the endowment at several log odds. One
# copy per neighbour: random shares. Then variations of the best, ever smaller.

# %%
ODDS = np.array(pick([-6.0, -2, 0, 2, 6], [-9.0, -6, -4, -3, -2, -1, 0, 1, 2, 3, 4, 6, 9]))
TRIES = pick(2, 8)


def first_tries(k, agent):
    degree = np.bincount(networks[k][0].ravel())[agent]
    divisions = [np.array((0, *rest)) for rest in itertools.product((0, 1), repeat=degree - 1) if any(rest)]
    chosen = rng.permutation(len(divisions))[: pick(3, 12)]
    two = [(divisions[d], np.array([odds, 0.0])) for d in chosen for odds in ODDS]
    return two + [(np.arange(degree), np.log(rng.dirichlet(np.ones(degree)))) for _ in range(TRIES)]


def shares_of(logs):
    shares = np.exp(logs - logs.max())
    return shares / shares.sum()


tried, best = {pair: first_tries(*pair) for pair in divisible}, {}
for step in (*pick((0.4,), (1.0, 0.4, 0.15)), None):
    flat = [(pair, division) for pair, divisions in tried.items() for division in divisions]
    table = gains((k, a, splitting(*networks[k], a, to, shares_of(logs))) for (k, a), (to, logs) in flat)
    for k, agent, gain, lie in table.itertuples(index=False):
        best[k, agent] = max(
            best.get((k, agent), (0.0, None)), (gain, flat[lie][1]), key=lambda pair: pair[0]
        )
    if step:
        tried = {
            pair: [(to, logs + step * rng.normal(size=len(logs))) for _ in range(TRIES)]
            for pair, (_, (to, logs)) in best.items()
        }
gain = np.array([found for found, _ in best.values()])
(k, _), (top, (_, logs)) = max(best.items(), key=lambda item: item[1][0])
page.check(
    "Splitting into several identities gains less than double.",
    expected="a ratio below 2 for every agent of every network",
    found=f"largest 2 − {2 - top:.3g} ({kinds[k]} contributions, {len(logs)} copies); more than 1 % gained by "
    f"{share(gain > 1.01, 'agents')}, more than 10 % by {share(gain > 1.1, 'agents')}",
    met=gain.max() < 2,
    proved=True,
)

# %% [markdown]
# ## Rings made for it


# %%
def ring_gains(genes) -> np.ndarray:
    """Rings with these log contributions; the last number is the log odds of the share of the copy at agent 1."""
    n = genes.shape[1] - 1
    links = np.stack([np.arange(n), (np.arange(n) + 1) % n], axis=1)
    weights, odds = np.exp(genes[:, :-1]), genes[:, -1]
    shares = np.stack(
        [1 / (1 + np.exp(-odds)), 1 / (1 + np.exp(odds))], axis=1
    )  # a tiny one keeps its digits
    split = [splitting(links, w, 0, np.array([0, 1]), s) for w, s in zip(weights, shares, strict=True)]
    return received(split) / received([(links, w, [0]) for w in weights])


EXAMPLES = {
    "a triangle with contributions 1, (1 + √2)/2, (√2 − 1)/2": (
        (1, (1 + 2**0.5) / 2, (2**0.5 - 1) / 2),
        0.5,
        2**0.5,
        1e-9,
    ),
    "a ring of five": ((1, 1.07112453, 3065.71908, 0.633953824, 5.55735e-4), 0.99972233, 1.998605, 1e-6),
}
for name, (weight, first, expected, digits) in EXAMPLES.items():
    odds = np.log(first) - np.log1p(-first)
    found = ring_gains(np.array([np.append(np.log(weight), x) for x in (odds, -odds)])).max()
    page.check(
        f"On {name} an agent gains by appearing as two.",
        expected=f"a ratio of {expected:.9g} to {digits:g}, {first:.8g} of the endowment to one",
        found=f"ratio {found:.9f}, {abs(found - expected):.1e} away",
        met=abs(found - expected) <= digits,
        proved=True,
    )
EARLIER, rings = {3: 1.4128, 4: 1.0, 5: 1.9986, 6: 1.9775, 7: 1.9924}, {}
for n in pick((3, 4), tuple(EARLIER)):
    parents, found = np.zeros((1, n + 1)), np.zeros(1)
    for step in np.geomspace(2, 0.02, pick(8, 80)):  # the ten best have children around them, ever nearer
        born = parents[rng.integers(len(parents), size=pick(30, 250))]
        born = np.clip(born + step * rng.normal(size=born.shape), -12, 12)  # a share stays above rounding
        parents, found = np.concatenate([parents, born]), np.concatenate([found, ring_gains(born)])
        order = np.argsort(-found, kind="stable")[:10]
        parents, found = parents[order], found[order]
    rings[n] = found[0]
page.check(
    "Nor does it on rings whose contributions were searched for the largest gain.",
    expected="below 2; earlier searches found " + ", ".join(f"{EARLIER[n]:g} ({n} agents)" for n in rings),
    found=", ".join(f"{gain:.6f} ({n} agents)" for n, gain in rings.items()),
    met=[gain < 2 for gain in rings.values()],
    proved=True,
)

# %% [markdown]
# ## Verdicts

# %%
page.finish()
