# %% [markdown]
# # The smallest markets that fail
# **Claim (C4).** Some very small markets oscillate, diverge or never settle when all agents follow CMAP at once.
#
# Size is counted in agents, then links, then total contribution (whole numbers). All connected networks up to some size
# are tried with all contributions up to a bound; what is said of them is true of those and no others. Larger markets are
# drawn at random and shrunk: nothing smaller next to what remains does the same, but something else might.
#
# A *period* is a flow that comes back to within 1e-9 of all value. What does not come back to within 1e-6 and has a
# Lyapunov exponent above 0.02 per round, early and after thousands of rounds, is called *chaotic*: numerical evidence, not
# a proof. Runs in exact fractions confirm it as far as they go. Proved ([the model](../model.md)): undamped there is
# neither a longer period nor chaos; with half steps no market without an agent of at least four neighbours can fail.

# %%
import itertools
from fractions import Fraction

import networkx as nx
import numpy as np
import pandas as pd
from claims import SEED, Page, pick
from networkx.generators.atlas import graph_atlas_g
from tiny import SAME, Tiny, as_floats, equal_split, exact, exponents, fate, play, trajectory

import cmapjax as cj

page = Page(
    "smallest-markets",
    "C4",
    "Some very small markets oscillate, diverge or never settle when all agents follow CMAP at once.",
)
BOUNDS = pick({2: 6, 3: 6, 4: 4, 5: 2}, {2: 12, 3: 12, 4: 8, 5: 4, 6: 2, 7: 2})  # contributions, by agents
SPAN, LOOKS, AT_A_TIME, CHAOTIC, HALF = 250, pick(2, 4), 400, 0.02, Fraction(1, 2)

# %% [markdown]
# ## All small markets
# Played by the engine, from an equal split, all side by side; those that are not clear by then are played on in NumPy.


# %%
def distinct(adjacency: np.ndarray, most: int) -> np.ndarray:
    """Contributions 1 … most, without those that are multiples or mirror images of others."""
    orders = np.array(list(itertools.permutations(range(len(adjacency)))))
    same = orders[(adjacency[orders[:, :, None], orders[:, None, :]] == adjacency).all(axis=(1, 2))]
    weights = np.array(list(itertools.product(range(1, most + 1), repeat=len(adjacency))))
    weights = weights[np.gcd.reduce(weights, axis=1) == 1]
    place = (most + 1) ** np.arange(len(adjacency))[::-1]
    least = own = weights @ place
    for order in same:
        least = np.minimum(least, weights[:, order] @ place)
    return weights[own == least]


markets, parts = [], []
for graph in graph_atlas_g():
    if len(graph) in BOUNDS and nx.is_connected(graph):
        links = tuple(sorted(tuple(sorted(link)) for link in graph.edges))
        weights = distinct(
            nx.to_numpy_array(graph, nodelist=range(len(graph)), dtype=int), BOUNDS[len(graph)]
        )
        parts.append(cj.copies(cj.Market.from_links(links), endowment=weights.astype(float)))
        markets += [Tiny(links, tuple(row)) for row in weights.tolist()]
everything, agents = cj.pack(parts), np.array([len(m.weight) for m in markets])


def census(theta: float) -> pd.DataFrame:
    """Of every market its period, its exponent without one, and whether somebody had nothing: ever, and to the end."""
    flow, start, nothing = everything.equal_flow(), None, []
    for _ in range(LOOKS):
        record = {
            "nothing": lambda m, s: m.smallest(s.utility) == 0,
            "apart": lambda m, s, flow=flow: cj.metrics.flow_distance(m, s.flow, flow),
        }
        run = cj.simulate(everything, cj.Damped(cj.CMAP(), theta), rounds=SPAN, record=record, start=start)
        nothing.append(np.asarray(run.records["nothing"], bool).any(axis=0))
        start, flow = run.final, run.final.flow
    same = run.records["apart"][1:] < SAME
    found = pd.DataFrame(
        {
            "period": np.where(same.any(axis=0), same.argmax(axis=0) + 1, 0),
            "exponent": np.nan,
            "once": np.any(nothing, axis=0),
            "ever": nothing[-1],
        }
    )
    for rounds, open_ in ((pick(1000, 4000), found["period"] == 0), (pick(4000, 20_000), None)):
        some = np.flatnonzero(found["exponent"] > CHAOTIC if open_ is None else open_)
        for k in np.array_split(some, max(1, -(-len(some) // AT_A_TIME))):
            if len(k):
                period, once, exponent = fate([markets[i] for i in k], theta, rounds)
                found.loc[k, "period"], found.loc[k, "exponent"] = period, exponent
                found.loc[k, "once"] |= once
    return found.assign(chaotic=(found["period"] == 0) & (found["exponent"] > CHAOTIC))


def least(flags) -> Tiny | None:
    return min((markets[k] for k in np.flatnonzero(flags)), key=lambda m: m.size, default=None)


def told(market: Tiny | None) -> str:
    if market is None:
        return "none (0 markets)"
    links = " ".join(f"{a}-{b}" for a, b in market.links)
    return f"{len(market.weight)} agents, {len(market.links)} links ({links}), contributions {' '.join(map(str, market.weight))}"


whole, half = census(1.0), census(0.5)
within = f"least of all {len(markets):,} markets of up to {max(BOUNDS)} agents"
swing = least((whole["period"] == 2) & ~whole["once"])
run = exact(swing, Fraction(1), 100)
page.check(
    "Undamped, some market of four agents swings with period two for ever.",
    expected="K_{2,2} does when it leans to a side, with multiplier −1; smaller ones not known",
    found=f"{told(swing)} ({within}); in exact fractions rounds {run.returns} are equal",
    met=[len(swing.weight) <= 4, run.returns is not None and run.returns[1] - run.returns[0] == 2],
    proved=True,
)
once, ever = least(whole["once"]), least(whole["ever"])
rounds = [exact(m, Fraction(1), pick(100, 1000)).nothing for m in (once, ever)]
page.check(
    "Undamped, some very small market diverges until an agent has exactly nothing.",
    expected="K_{3,2} (five agents) does; smaller ones not known",
    found=f"once: {told(once)}, in round {rounds[0]} of the exact run; again and again for ever: {told(ever)}, first in round "
    f"{rounds[1]} ({within})",
    met=[r is not None for r in rounds],
)
page.check(
    "Undamped, no market is chaotic or has a period above two.",
    expected="proved, against what the claim had led to expect",
    found=f"{(whole['period'] > 2).sum()} with a longer period and {whole['chaotic'].sum()} chaotic of {len(markets):,} markets of up "
    f"to {max(BOUNDS)} agents; {(whole['period'] == 1).sum():,} rest, {(whole['period'] == 2).sum():,} have period two, "
    f"{(whole['period'] == 0).sum():,} not clear",
    met=not ((whole["period"] > 2) | whole["chaotic"]).any(),
    proved=True,
)
small = agents <= 4
page.check(
    "With half steps, up to four agents always come to rest.",
    expected="proved for Δ < 4",
    found=f"{(half['period'][small] == 1).sum()} of {small.sum()} of up to four agents rest",
    met=half["period"][small] == 1,
    proved=True,
)
swing = least(half["period"] == 2)
page.check(
    "With half steps somewhat more than four agents may swing.",
    expected="K_{4,2} (six agents) has the multiplier 1 − 4/2 = −1",
    found=f"least that swings: {told(swing)} ({within})",
    met=swing is not None if max(BOUNDS) >= 6 else None,  # not looked for among fewer agents
)

# %% [markdown]
# ## Larger markets with half steps, shrunk

# %%
rng, LATE = np.random.default_rng([SEED, 7]), pick(800, 2500)


def random_market(n: int) -> Tiny:
    """A connected network of any density with contributions from 1 to 3."""
    while True:
        chance = rng.uniform(2 / n, 0.9)
        pairs = [p for p in itertools.combinations(range(n), 2) if rng.random() < chance]
        graph = nx.Graph(pairs)
        if len(graph) == n and nx.is_connected(graph):
            return Tiny(tuple(pairs), tuple(rng.integers(1, 4, n).tolist()))


def is_chaotic(some: list[Tiny], rounds: int = LATE, early: int = 150) -> np.ndarray:
    """No period and a positive exponent, early (an exact run can show it) and late (many wander at first)."""
    weight, links = as_floats(some)
    flow = equal_split(weight, links)
    for _ in range(early):
        flow = play(flow, weight, links, 0.5)
    chaotic = exponents(trajectory(flow, weight, links, 0.5, early), weight, links, 0.5) > CHAOTIC
    if chaotic.any():
        period, _, exponent = fate([m for m, is_so in zip(some, chaotic, strict=True) if is_so], 0.5, rounds)
        chaotic[chaotic] = (period == 0) & (np.nan_to_num(exponent, nan=-1.0) > CHAOTIC)
    return chaotic


def smaller(market: Tiny) -> list[Tiny]:
    """All connected markets with an agent or a link less, or one contribution less by one; least first."""
    graph, found = nx.Graph(market.links), []
    for agent in graph:
        rest = graph.subgraph(set(graph) - {agent})
        if len(rest) > 1 and nx.is_connected(rest):
            number = {old: new for new, old in enumerate(sorted(rest))}
            links = sorted(tuple(sorted((number[a], number[b]))) for a, b in rest.edges)
            found.append(Tiny(tuple(links), tuple(market.weight[old] for old in sorted(rest))))
    for link in market.links:
        rest = tuple(other for other in market.links if other != link)
        if rest and len(nx.Graph(rest)) == len(graph) and nx.is_connected(nx.Graph(rest)):
            found.append(Tiny(rest, market.weight))
    for agent, weight in enumerate(market.weight):
        if weight > 1:
            found.append(
                Tiny(market.links, (*market.weight[:agent], weight - 1, *market.weight[agent + 1 :]))
            )
    return sorted(found, key=lambda m: m.size)


number, most, longer, chaotic = 0, 0, {}, []
for n in pick((8,), (7, 8, 9, 10)):
    some = [random_market(n) for _ in range(pick(60, 400))]
    period, _, exponent = fate(some, 0.5, 500)
    number, most = number + len(some), max(most, n)
    for k in np.flatnonzero(period > 2):
        longer[period[k]] = min(longer.get(period[k], some[k]), some[k], key=lambda m: m.size)
    some = [some[k] for k in np.flatnonzero(exponent > CHAOTIC)]
    if some:
        chaotic += [m for m, is_so in zip(some, is_chaotic(some), strict=True) if is_so]
ends = []
for market in sorted(chaotic, key=lambda m: m.size)[: pick(1, 8)]:
    while (candidates := smaller(market)) and (flags := is_chaotic(candidates)).any():
        market = candidates[int(flags.argmax())]
    ends.append(market)
lasting = is_chaotic(ends, pick(3000, 30_000)) if ends else []
confirmed = [m for m, is_so in zip(ends, lasting, strict=True) if is_so]
confirmed += [markets[k] for k in np.flatnonzero(half["chaotic"])]
never = min(confirmed, key=lambda m: m.size, default=None)
words, shown = "none confirmed", False
if never is not None:
    run = exact(never, HALF, pick(150, 1000))
    shown = run.returns is None and run.exponent > CHAOTIC
    words = (
        f"least found {told(never)}: exponent {run.exponent:.3f} per round, no flow comes back in {run.rounds} exact rounds "
        f"(denominators of {run.bits:,} bits)"
    )
page.check(
    "With half steps some markets never settle: they are chaotic.",
    expected="a positive Lyapunov exponent, and no period, confirmed without rounding",
    found=f"{len(chaotic)} of {number} random markets of up to {most} agents, {half['chaotic'].sum()} of {len(markets):,} of up to "
    f"{max(BOUNDS)} agents; {words}",
    met=[shown, bool(chaotic)],
)
for k in np.flatnonzero(half["period"] > 2):
    period = half["period"][k]
    longer[period] = min(longer.get(period, markets[k]), markets[k], key=lambda m: m.size)
page.check(
    "With half steps there are longer periods than two.",
    expected="not known before",
    found=f"periods {', '.join(map(str, sorted(longer))) or 'none (0)'}; least market seen of period "
    + "; ".join(f"{p}: {len(m.weight)} agents, {len(m.links)} links" for p, m in sorted(longer.items())[:3]),
    met=bool(longer),
)

# %% [markdown]
# ## Verdicts

# %%
page.finish()
