# %% [markdown]
# # Asynchrony, delay, loss, mixed strategies and churn
# **Claim (E12).** Agents that act late, lose messages, follow different strategies, or come and go.
#
# The engine has neither late or lost news nor agents that leave, so this page has a small world of its own: strategies are
# the package's, each agent's `respond` called with what *it* knows. Undisturbed, it is the engine's round (the first
# check). No figures are known to compare with: what is expected is derived, or says no more than that a run should
# arrive. A market *arrives* when at most 1e-6 of log Nash welfare is missing, and *closes in* when what is missing falls
# by at least a third over the second half. "CMAP" is locally damped wherever more than one agent acts at a time.

# %%
import jax
import matplotlib.pyplot as plt
import numpy as np
from claims import SEED, Page, count, drawn, families, first_within, median, pick

import cmapjax as cj

page = Page(
    "disturbances", "E12", "Agents that act late, lose messages, follow different strategies, or come and go."
)
AGENTS, AWAY, ROUNDING, UNKNOWN = 48, 0.1, 1e-12, "no figure is known"
CMAP, RESPONSE, EQUAL, SELFISH = KINDS = ("CMAP", "proportional response", "equal split", "selfish")
STRATEGIES = (cj.CMAP(), cj.ProportionalResponse(), cj.EqualSplit(), cj.SelfishBestReply())
market = cj.pack(
    [
        drawn(family, word, 10 * k + j, pick(1, 6))
        for j, word in enumerate(("uniform", "lognormal"))
        for k, family in enumerate(families(AGENTS, 6).values())
    ]
)
best, weight, of = cj.solve(market).utility, np.asarray(market.contribution), np.asarray(market.market_of)
first, size, n = np.flatnonzero(np.diff(of, prepend=-1)), np.bincount(of), market.num_agents
giver, receiver = market.arcs()
rank = np.arange(len(giver)) - np.searchsorted(giver, giver)
# Column i lists the neighbours of agent i; `back` is where the same link stands in its other end's column.
neighbour, is_link, back = (np.zeros((rank.max() + 1, n), t) for t in (int, bool, int))
neighbour[rank, giver], is_link[rank, giver] = receiver, True
reverse = np.lexsort((giver, receiver))
back[rank[reverse], giver[reverse]] = rank * n + giver
LOT = np.random.default_rng((SEED, 1)).uniform(size=n)  # larger minorities contain smaller ones


@jax.jit
def respond(view, kind):
    answers = [jax.vmap(s.respond, in_axes=-1, out_axes=-1)(view) for s in STRATEGIES]
    return jax.numpy.select([kind == k for k in range(len(KINDS))], answers)


def mirrored(links, sent):
    return np.where(links, sent.ravel()[back], 0)


def news(links, sent):
    """Of every neighbour: what one gave it, had from it, and what it received in all."""
    got = mirrored(links, sent)
    return np.stack([sent, got, np.where(links, got.sum(axis=0)[neighbour], 0)])


def play(kind, acts, *, step=1.0, damped=True, delay=0, loss=0.0, present=None) -> np.ndarray:
    """What every agent received, at the start (an equal split) and after every round; `acts`: who acts in each.

    News is `delay` rounds old, and does not arrive with probability `loss`; the agent goes by what it last heard. Who has
    lost or won a neighbour begins anew with an equal split.
    """
    kind, rng = np.broadcast_to(kind, n), np.random.default_rng((SEED, 5))
    links, past, heard, received = None, [], None, []
    for t, acting in enumerate(acts):
        here = is_link if present is None else is_link & present[t] & present[t][neighbour]
        if links is None or (here != links).any():
            changed = np.ones(n, bool) if links is None else (here != links).any(axis=0)
            links, degree = here, here.sum(axis=0)
            split = np.where(links, weight / np.maximum(degree, 1), 0)
            sent = split if t == 0 else np.where(changed, split, sent)
            heard = news(links, sent) if t == 0 else np.where(changed, news(links, sent), heard)
            beside = np.where(links, degree[neighbour], 0)
            local = 1 / np.maximum(beside.max(axis=0), 1) if damped else 1
            theta = np.where(kind == 0, step * local, 1)
        if t == 0:
            received.append(heard[1].sum(axis=0))
        past = [*past[-delay:], sent] if delay else [sent]
        comes = rng.uniform(size=links.shape) >= loss if loss else True
        heard = np.where(comes, news(links, past[0]), heard)
        then, got, utility = np.where(links, heard, 0)
        view = cj.View(
            sent=then,
            repeated=sent,
            received=got,
            contribution=np.where(links, weight[neighbour], 0),
            utility=utility,
            degree=beside.astype(float),
            budget=weight,
            is_neighbour=links,
            max_degree=np.full(n, degree.max(), float),
        )
        with jax.enable_x64(True):
            answer = np.asarray(respond(view, kind))
        sent = np.where(acting, sent + theta * (answer - sent), sent)
        received.append(mirrored(links, sent).sum(axis=0))
    return np.array(received)


def missing(received, best=best) -> np.ndarray:
    """Log Nash welfare missing, of each market; NaN in `best` leaves an agent out."""
    worth = np.where(np.isnan(best), 0, weight)
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where(worth > 0, worth * np.log(best / received), 0)
    return np.add.reduceat(terms, first, axis=1) / np.add.reduceat(
        np.broadcast_to(worth, terms.shape), first, axis=1
    )


def arrives(loss) -> np.ndarray:
    return (loss[-1] <= 1e-6) | (loss[-1] <= 2 / 3 * loss[len(loss) // 2])


def rounds_to(loss, share=0.98) -> np.ndarray:
    return first_within(loss, -np.log(share), np.arange(len(loss)))


def told(runs: dict) -> str:
    return "; ".join(
        f"{name}: {count(arrives(x))}, Nash welfare missing at the end {np.median(1 - np.exp(-x[-1])):.1e} (at most "
        f"{(1 - np.exp(-x[-1])).max():.1e})"
        for name, x in runs.items()
    )


def medians(rounds: dict) -> str:
    return "; ".join(f"{name}: {median(x, '.0f')}" for name, x in rounds.items())


def all_arrive(runs: dict) -> np.ndarray:
    return np.concatenate([arrives(x) for x in runs.values()])


ROUNDS = pick(100, 400)
everyone = np.ones((ROUNDS, n), bool)
C, P = KINDS.index(CMAP), KINDS.index(RESPONSE)
fresh = {who: play(KINDS.index(who), everyone) for who in (RESPONSE, CMAP)}
engine = {RESPONSE: cj.ProportionalResponse(), CMAP: cj.Damped(cj.CMAP(), cj.LocalDamping())}
apart = [
    abs(
        fresh[who][:11] - cj.simulate(market, strategy, rounds=10, record=["received"]).records["received"]
    ).max()
    for who, strategy in engine.items()
]
page.check(
    "Undisturbed, the world of this page is the engine's.",
    expected="the same receipts to 1e-9 of the largest contribution",
    found=f"10 rounds of {len(size)} markets differ by at most {max(apart):.0e}",
    met=max(apart) <= 1e-9 * weight.max(),
    proved=True,
)
loss_of = {who: missing(x) for who, x in fresh.items()}

# %% [markdown]
# ## Out of step
# Each agent acts in a round with a probability; or one agent of each market at a time, in a fresh random order every
# round, or whoever comes up. A round is as many turns as there are agents.

# %%
FEW, TURNS = pick(5, 40), int(size.max())


def one_by_one(in_order: bool) -> np.ndarray:
    rng, acts = np.random.default_rng((SEED, 3)), np.zeros((FEW * TURNS, n), bool)
    for start, own in zip(first, size, strict=True):
        for k in range(FEW):
            seats = rng.permutation(own) if in_order else rng.integers(own, size=own)
            acts[k * TURNS + np.arange(own), start + seats] = True
    return acts


coin = np.random.default_rng((SEED, 2)).uniform(size=(ROUNDS, n))
single = {"one by one, random order": one_by_one(True), "whoever comes up": one_by_one(False)}
steps = {"half of them": missing(play(P, coin < 0.5)), "a tenth": missing(play(P, coin < 0.1))}
steps |= {how: missing(play(P, acts))[::TURNS] for how, acts in single.items()}
page.check(
    "Proportional response converges when agents act out of step.",
    expected="every market arrives or closes in (seen on five networks; no theorem)",
    found=told(steps),
    met=all_arrive(steps),
)
turns = {how: missing(play(C, acts, damped=False))[::TURNS] for how, acts in single.items()}
falls = np.concatenate([np.diff(x, axis=0).ravel() > ROUNDING for x in turns.values()])
page.check(
    "CMAP, one agent at a time, lowers Nash welfare in no round, whatever the order.",
    expected="proved: 0 falls",
    found=f"{falls.sum()} falls in {len(falls):,} rounds",
    met=not falls.any(),
    proved=True,
)
page.check(
    "CMAP, one agent at a time, needs no order.",
    expected="in a fresh random order, or whoever comes up, every market arrives or closes in",
    found=told(turns),
    met=all_arrive(turns),
)

# %% [markdown]
# ## News late and lost
# What an agent knows of its neighbours is d rounds old, together with what it gave them then; or each round the news of a
# neighbour does not arrive with a probability. Gifts themselves always arrive.

# %%
DELAYS, LOSSES = pick((1, 4), (1, 2, 4, 8)), pick((0.3,), (0.1, 0.3, 0.5, 0.8))
base, late = rounds_to(loss_of[RESPONSE]), {d: rounds_to(missing(play(P, everyone, delay=d))) for d in DELAYS}
as_told = np.concatenate([x == np.where(base > 0, (d + 1) * (base - 1) + 1, 0) for d, x in late.items()])
page.check(
    "Late by d rounds, proportional response takes d + 1 times as long, and goes nowhere else.",
    expected="rounds to 98 % are (d + 1)(k − 1) + 1 where k suffice without delay: d + 1 runs take turns (derived)",
    found=f"so in {count(as_told, 'runs')}; {medians({f'd = {d}': x for d, x in late.items()})}; without delay "
    f"{median(base, '.0f')}",
    met=as_told,
    proved=True,
)
local = {0: loss_of[CMAP]} | {d: missing(play(C, everyone, delay=d)) for d in DELAYS}
fails = {d: ~arrives(x) for d, x in local.items()}
page.check(
    "Local damping is safe only while news is fresh.",
    expected="without delay every market arrives or closes in; two rounds late some do not (derived for m givers with the "
    "same two receivers: stable only if step × m < 2 sin(π / (4d + 2)), where local damping has 1)",
    found=f"not arriving: {', '.join(f'd = {d}: {count(x)}' for d, x in fails.items())}; Nash welfare at the end "
    + ", ".join(f"{100 * np.exp(-np.median(x[-1])):.1f} % (d = {d})" for d, x in local.items()),
    met=[not fails[0].any(), all(x.any() for d, x in fails.items() if d >= 2)],
)
shorter = {f"d = {d}": missing(play(C, everyone, delay=d, step=1 / (1 + d))) for d in DELAYS}
page.check(
    "A step divided by d + 1 makes it safe again.",
    expected="every market arrives or closes in (derived for the same markets: 1 / (d + 1) < 2 sin(π / (4d + 2)))",
    found=told(shorter),
    met=all_arrive(shorter),
)
for who, word in ((RESPONSE, "Proportional response"), (CMAP, "CMAP, locally damped,")):
    lost = {f"{100 * q:.0f} % lost": missing(play(KINDS.index(who), everyone, loss=q)) for q in LOSSES}
    page.check(
        f"{word} converges though news is lost.",
        expected=f"every market arrives or closes in; how long it takes: {UNKNOWN}",
        found=f"{told(lost)}. Rounds to 98 %: {medians({q: rounds_to(x) for q, x in lost.items()})}; none lost: "
        f"{median(rounds_to(loss_of[who]), '.0f')}",
        met=all_arrive(lost),
    )

# %% [markdown]
# ## Strategies side by side
# Who follows what is drawn by lot, agent by agent.

# %%
mixed = {
    f"{100 * part:.0f} % proportional response": missing(play(np.where(part > LOT, P, C), everyone))
    for part in pick((0.5,), (0.25, 0.5, 0.75))
}
page.check(
    "Followers of CMAP and of proportional response reach the equilibrium together.",
    expected=f"every market arrives or closes in; {UNKNOWN}",
    found=told(mixed),
    met=all_arrive(mixed),
)
PARTS = pick((0.25,), (0.1, 0.25, 0.5))
stubborn = {part: 1 - np.exp(-missing(play(np.where(part > LOT, 2, C), everyone))[-1]) for part in PARTS}
page.check(
    "A minority that splits equally costs the market less Nash welfare than its share of the agents.",
    expected=f"missing at the end: a smaller share than theirs, in every market; {UNKNOWN}",
    found="; ".join(
        f"{100 * part:.0f} % of the agents: {median(x, '.3f')} missing, less in {count(x < part)}"
        for part, x in stubborn.items()
    ),
    met=np.concatenate([x < part for part, x in stubborn.items()]),
)
words, met = [], []
for part in PARTS:
    received = play(np.where(part > LOT, 3, C), everyone)
    lately = received[ROUNDS // 2 :].mean(axis=0)  # where somebody is selfish a market need not come to rest
    mine, due = (np.add.reduceat(np.where(part > LOT, x, 0), first) for x in (lately, best))
    gain, gone = (mine / np.where(due > 0, due, 1))[due > 0], 1 - np.exp(-missing(received)[-1])
    words.append(
        f"{100 * part:.0f} % of the agents: {median(gain, '.3f')} of it, no more in {count(gain <= 1)}; Nash welfare missing "
        f"{median(gone, '.3f')}"
    )
    met += [*(gain <= 1)]
page.check(
    "A selfish minority among followers of CMAP gains nothing.",
    expected=f"receives at most what the equilibrium gives it (mean over the second half of the run), in every market; {UNKNOWN}",
    found="; ".join(words),
    met=met,
)

# %% [markdown]
# ## Churn
# A tenth of the agents is away; every T rounds one agent of each market leaves and another returns. The equilibrium is
# that of those who are there.

# %%
PERIODS, SPAN, WARM_UP = pick((20, 5), (60, 20, 10, 5, 2)), pick(60, 300), pick(20, 40)


def presence(period: int) -> np.ndarray:
    rng, here, out = np.random.default_rng((SEED, 4)), np.ones(n, bool), []
    for start, own in zip(first, size, strict=True):
        here[start + rng.choice(own, round(AWAY * own), replace=False)] = False
    for t in range(SPAN):
        if t and t % period == 0:
            here = here.copy()
            for start, own in zip(first, size, strict=True):
                agents = start + np.arange(own)
                leaves, comes = rng.choice(agents[here[agents]]), rng.choice(agents[~here[agents]])
                here[leaves], here[comes] = False, True
        out.append(here)
    return np.array(out)


def best_of(present, period: int) -> np.ndarray:
    """Equilibrium utilities of whoever is there and has a neighbour there, else NaN: [rounds, agents]."""
    links = np.stack([giver, receiver], axis=1)[giver < receiver]
    out = np.full((-(-SPAN // period), n), np.nan)
    for utility, here in zip(out, present[::period], strict=True):
        there = links[here[links].all(axis=1)]
        left = np.unique(there)
        utility[left] = cj.solve(
            cj.Market.from_links(np.searchsorted(left, there), endowment=weight[left])
        ).utility
    return np.repeat(out, period, axis=0)[:SPAN]


tracking, slow = {who: [] for who in (RESPONSE, CMAP)}, []
for period in PERIODS:
    present = presence(period)
    due = best_of(present, period)
    for who in tracking:
        loss = missing(play(KINDS.index(who), np.ones((SPAN, n), bool), present=present)[1:], due)
        tracking[who].append(np.median(1 - np.exp(-loss[WARM_UP:]).mean(axis=0)))
        if period == PERIODS[0]:
            epochs = loss[: SPAN // period * period].reshape(-1, period, len(first))
            found = {x: 1 + np.concatenate([rounds_to(e, x) for e in epochs[1:]]) for x in (0.98, 0.999)}
            slow.append((who, found, 1 + rounds_to(epochs[0])))
page.check(
    "The faster agents come and go, the further is the market from its equilibrium.",
    expected=f"the share of Nash welfare missing, averaged over time, rises with the rate of changes; {UNKNOWN}",
    found=f"a change every {', '.join(map(str, PERIODS))} rounds: "
    + "; ".join(f"{who} {', '.join(f'{x:.4f}' for x in xs)}" for who, xs in tracking.items()),
    met=[(np.diff(xs) > 0).all() for xs in tracking.values()],
)
page.check(
    "After a change the market is back no later than it came from an equal split.",
    expected=f"rounds to 98 % of the new equilibrium, medians; {UNKNOWN}",
    found="; ".join(
        f"{who}: 98 % after {median(x[0.98], '.0f', 'changes')}, 99.9 % after {median(x[0.999], '.0f', 'changes')}, from the "
        f"start 98 % after {median(begin, '.0f')}"
        for who, x, begin in slow
    ),
    met=[np.median(x[0.98]) <= np.median(begin) for _, x, begin in slow],
)
figure, panel = plt.subplots(figsize=(6, 3.2), layout="constrained")
for d, x in local.items():
    panel.semilogy(
        np.median(np.maximum(x, 1e-12), axis=1), label=f"CMAP, local damping, news {d} rounds late"
    )
panel.set(xlabel="rounds", ylabel="log Nash welfare missing, median")
panel.legend(frameon=False, fontsize=8)

# %% [markdown]
# ## Verdicts

# %%
page.finish()
