# %% [markdown]
# # From 20 to a million agents
# **Claim (C9, E15).** Cost per round grows in proportion to the number of links.
#
# Times are of calls of `simulate`, the fastest of several, after one that compiles; a round is what a longer call takes
# longer. They depend on the machine and on what else it does, so this page is worth reading when it was executed on an
# idle one. Whether the certified gap is met is looked at every ten rounds; "never" means not within 2,500 rounds.
# Exponents are of seconds against links, by least squares on logarithms with an intercept per family, for markets of
# 1,000 links or more.

# %%
import os
import time

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import scipy.stats
from claims import Page, drawn, families, pick

import cmapjax as cj

page = Page("size", "C9 E15", "Cost per round grows in proportion to the number of links.")
GAP, EVERY, MOST, CALLS, LARGE = 1e-4, 10, 2500, pick(2, 5), 1000
PLAYS = {
    "proportional response": cj.ProportionalResponse(),
    "CMAP, locally damped": cj.Damped(cj.CMAP(), cj.LocalDamping()),
}
PLAN = pick(
    [("torus", n) for n in (500, 1000, 4000)],
    [(name, n) for n in (20, 1000, 10**5) for name in families(20, 4)]
    + [(name, 10**4) for name in ("Erdős-Rényi", "torus", "Barabási-Albert")]
    + [(name, 10**6) for name in ("Erdős-Rényi", "torus")],
)
SOLVED = ("Erdős-Rényi", "Barabási-Albert", "torus", "tree")  # exactly, with 100,000 agents


def clock(call):
    start = time.perf_counter()
    return call(), time.perf_counter() - start


def timed(market, strategy) -> dict:
    """Seconds per round: what a call that is three times as long takes longer. And rounds to the certified gap."""
    number = int(np.clip(pick(2e6, 5e7) / market.num_links, 20, pick(1000, 5000)))

    def play(rounds, every, start=None):
        record = ["certified_gap"]
        return cj.simulate(market, strategy, rounds=rounds, every=every, record=record, start=start)

    seconds = {}
    for rounds in (number, 3 * number):
        play(rounds, rounds)  # compiles
        seconds[rounds] = min(clock(lambda rounds=rounds: play(rounds, rounds))[1] for _ in range(CALLS))
    at_once = 500 if market.num_links < 10**6 else 50
    run = play(at_once, EVERY)
    gaps = [run.records["certified_gap"][:, 0]]
    while gaps[-1][-1] > GAP and at_once * len(gaps) < pick(1500, MOST):
        run = play(at_once, EVERY, run.final)
        gaps.append(run.records["certified_gap"][1:, 0])
    reached = np.flatnonzero(np.concatenate(gaps) <= GAP)
    return {
        "seconds per round": (seconds[3 * number] - seconds[number]) / (2 * number),
        "rounds": EVERY * float(reached[0]) if len(reached) else np.inf,
    }


rows, solutions = [], []
for stream, (family, size) in enumerate(sorted(PLAN, key=lambda pair: pair[1])):
    market = drawn(families(size, min(8, size // 4))[family], "uniform", stream, drops=True)
    about = {"family": family, "size": size, "agents": market.num_agents, "links": market.num_links}
    rows += [about | {"who": who} | timed(market, strategy) for who, strategy in PLAYS.items()]
    if size <= 10**4 or (size == 10**5 and family in SOLVED):
        took = [clock(lambda market=market: cj.solve(market))[1] for _ in range(3)]
        solutions.append(about | {"seconds": np.median(took)})
table, solutions = pd.DataFrame(rows), pd.DataFrame(solutions)
print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} (processes that wanted one, mean of a minute)")
table["ns"] = 1e9 * table["seconds per round"] / (2 * table["links"])
table.round(8)

# %% [markdown]
# ## Cost


# %%
def exponent(links, seconds, family) -> tuple[float, float, float]:
    """The slope of log seconds against log links with an intercept per family, and its 95 % interval."""
    x, y = (np.log(z) - np.log(z).groupby(family).transform("mean") for z in (links, seconds))
    freedom = len(x) - family.nunique() - 1
    slope = (x @ y) / (x @ x)
    error = np.sqrt(((y - slope * x) ** 2).sum() / freedom / (x @ x))
    width = scipy.stats.t.ppf(0.975, freedom) * error
    return slope, slope - width, slope + width


figure, panel = plt.subplots(figsize=(6, 3.5), layout="constrained")
for who, some in table.groupby("who", sort=False):
    large = some[some["links"] >= LARGE]
    slope, low, high = exponent(large["links"], large["seconds per round"], large["family"])
    about = 0.8 <= slope <= 1.25  # caches make large markets dearer
    page.check(
        f"Cost per round grows in proportion to the number of links ({who}).",
        expected="exponent 1: its 95 % interval meets 0.9 to 1.1",
        found=f"exponent {slope:.3f} [{low:.3f}, {high:.3f}] ({len(large)} markets of {large['links'].min():,} to "
        f"{large['links'].max():,} links); {large['ns'].median():.1f} ns per round and link end (median; "
        f"{large['ns'].min():.1f} to {large['ns'].max():.1f})",
        met=[about and low <= 1.1 and high >= 0.9, about],
    )
    panel.loglog(some["links"], some["seconds per round"], "o", label=who)
panel.set(xlabel="links", ylabel="seconds per round")
panel.legend(frameon=False)

# %% [markdown]
# ## Rounds that are needed

# %%
for who, some in table[table["size"] >= 1000].groupby("who", sort=False):
    by_family = [(name, x.sort_values("size")) for name, x in some.groupby("family")]
    page.check(
        f"The rounds that a market needs hardly depend on its size ({who}).",
        expected=f"to a certified gap of {GAP:g}: from 1,000 to {max(some['size']):,} agents they do not double, in any family",
        found="; ".join(
            f"{name}: " + ", ".join(f"{r:g} ({n:,})" for n, r in zip(x["size"], x["rounds"], strict=True))
            for name, x in by_family
        ).replace("inf", "never"),
        met=[x["rounds"].iloc[-1] <= 2 * x["rounds"].iloc[0] < np.inf for _, x in by_family],
    )
top = table[table["size"] == table["size"].max()].assign(
    seconds=lambda x: x["rounds"] * x["seconds per round"]
)
quickest = top.loc[top.groupby("family")["seconds"].idxmin()]
page.check(
    f"The largest markets come to a certified gap of {GAP:g} within a minute.",
    expected="at most 60 s without compiling, by the quicker strategy",
    found="; ".join(
        f"{r.family}, {r.agents:,} agents, {r.who}: {r.seconds:.2g} s" for r in quickest.itertuples()
    ).replace("inf s", "never"),
    met=quickest["seconds"] <= 60,
)
large = solutions[solutions["links"] >= LARGE]
slope, low, high = exponent(large["links"], large["seconds"], large["family"])
last = large.loc[large["links"].idxmax()]
page.check(
    "The exact equilibrium takes hardly more than proportionally longer, too.",
    expected="exponent at most 1.2",
    found=f"exponent {slope:.3f} [{low:.3f}, {high:.3f}] ({len(large)} markets); {last['seconds']:.3g} s for "
    f"{last['agents']:,} agents and {last['links']:,} links ({last['family']})",
    met=[slope <= 1.2, low <= 1.2],
)

# %% [markdown]
# ## Verdicts

# %%
page.finish()
