"""How far an agent's community reaches: does it matter to CMAP, and what if it is the agent alone?"""

import math
from typing import NamedTuple

import numpy as np
import pandas as pd

from cmapjax.market._random import key_of
from cmapjax.reproduce import _families as fam
from cmapjax.reproduce._numbers import count, median
from cmapjax.reproduce._part import FAILS, HOLDS, IN_PART, Check, Finding, Picture, Setting

HOPS = (1, 2, 3, math.inf)
# Sums of weighted logarithms over a whole market: differences this small beside the sums are rounding.
ROUNDING = 1e-11
# A general-purpose optimiser stops where the objective no longer moves, about the root of its rounding.
OPTIMISER = 1e-4


class Way(NamedTuple):
    """What is played, in words, but for the hops."""

    name: str
    strategy: str
    schedule: str
    damping: str = "none"


IN_TURN = Way("CMAP in turn", "cmap", "sequential")
GRADIENT = Way(
    "projected gradient at once", "cmap-gradient:iterations=5,method=optax", "simultaneous", "local"
)
AT_ONCE = Way("CMAP at once", "cmap", "simultaneous")
OTHERS = (
    AT_ONCE,
    Way("CMAP at once, local damping", "cmap", "simultaneous", "local"),
    Way("CMAP by colours", "cmap", "coloured"),
    Way("CMAP in random order", "cmap", "random-order"),
)


def measure(setting: Setting) -> Finding:
    # Small markets: every k is a program of its own to compile, which takes longer than to run it.
    study = fam.study_of(setting, "communities", [setting.pick(12, 30)], setting.pick(3, 5), 1)
    everything = fam.ensemble(study)
    runs = _runs(setting, everything)
    rows = _rows(everything, setting.pick(60, 400), setting.seed)
    return Finding(
        [_same(runs), _nothing(everything, runs), *_best_rows(rows)],
        {"trajectories": _table(everything, runs), "best-rows": rows},
        {"communities": Picture(_draw(runs), _caption(everything))},
        [
            "A member of the community that an agent cannot give to enters its program by a constant, so the "
            "row that is best is the same for every k ≥ 1; the package's exact CMAP uses that. Two checks "
            "do not: the projected gradient has all members of the community in its objective, and the best "
            "rows are compared by objectives summed up here over all members.",
        ],
    )


def _runs(setting: Setting, everything: fam.Ensemble) -> dict:
    """By way of playing and k."""
    asked = {IN_TURN: (0, *HOPS), GRADIENT: setting.pick((1, math.inf), (0, *HOPS))}
    asked |= dict.fromkeys(setting.pick((), OTHERS), (0, *HOPS))
    runs = {}
    for way, hops in asked.items():
        setting.tell(f"{way.name}, k = {', '.join(map(_name, hops))}")
        for k in hops:
            runs[way, k] = _played(everything, way, k, setting.pick(10, 30), setting.seed)
    return runs


def _name(k) -> str:
    return "∞" if math.isinf(k) else str(k)


def _played(everything: fam.Ensemble, way: Way, hops, rounds: int, seed: int):

    import cmapjax as cj
    from cmapjax import metrics
    from cmapjax.words._plans import make, plan

    more = "inf" if math.isinf(hops) else hops
    text = f"{way.strategy}{',' if ':' in way.strategy else ':'}hops={more}"
    strategy, schedule = make(plan(text, way.schedule, way.damping))
    standard = metrics.standard(everything.equilibrium.utility)
    return cj.simulate(
        everything.market,
        strategy,
        schedule=schedule,
        rounds=rounds,
        record={"log_welfare_loss": standard["log_welfare_loss"]},
        key=key_of(seed),
    )


def _agreement(one, other) -> tuple[bool, float]:
    """Whether two runs are equal to the last bit, and the largest difference of a flow."""
    same = np.array_equal(one.final.flow, other.final.flow) and all(
        np.array_equal(one.records[name], other.records[name], equal_nan=True) for name in one.records
    )
    return same, float(np.abs(one.final.flow - other.final.flow).max())


def _same(runs) -> Check:
    pairs = [_agreement(runs[way, HOPS[0]], run) for (way, k), run in runs.items() if k > HOPS[0]]
    equal = [same for same, _ in pairs]
    worst = max(difference for _, difference in pairs)
    rounds = int(next(iter(runs.values())).rounds[-1])
    return Check(
        "Trajectories are the same for k = 1, 2, 3 and ∞.",
        "bit for bit",
        "equal to the last bit to that with k = 1, flows at the end and welfare of every round: "
        f"{count(equal, 'runs')} of {rounds} rounds with k = 2, 3, ∞; largest difference of a flow "
        f"{fam.tiny(worst)}",
        HOLDS if all(equal) else IN_PART if worst <= ROUNDING else FAILS,
    )


def _nothing(everything, runs) -> Check:
    start, w = np.asarray(everything.market.equal_flow()), float(everything.market.contribution.max())
    still = [run for (_, k), run in runs.items() if k == 0]
    moved = max(float(np.abs(run.final.flow - start).max()) for run in still) / w
    losses = np.concatenate([run.records["log_welfare_loss"] for run in still], axis=1)
    change = float(np.abs(losses - losses[0]).max())
    reached = np.exp(-losses[-1, : everything.market.num_markets])
    return Check(
        "With k = 0 nothing happens: every agent goes on giving as it did.",
        "the allocation of the start, for ever",
        f"after {still[0].rounds[-1]} rounds no gift has changed by more than {fam.tiny(moved)} of the "
        f"largest contribution, log welfare by {fam.tiny(change)} ({losses.shape[1]} runs); it stays at "
        f"{median(reached, '.3f')} of the equilibrium's",
        HOLDS if max(moved, change) <= ROUNDING else FAILS,
    )


# -- rows ------------------------------------------------------------------------------------------


def _rows(everything: fam.Ensemble, number: int, seed: int) -> pd.DataFrame:
    """Of some agents, CMAP's answer to the equal split against other rows, by the full objective."""
    from cmapjax.market._community import communities

    market, rng = everything.market, np.random.default_rng(seed)
    contribution = np.asarray(market.contribution)
    starts, neighbours = market.neighbour_rows()
    several = np.flatnonzero(np.diff(starts) > 1)  # who has one neighbour has no choice
    chosen = rng.choice(several, min(number, len(several)), replace=False)
    shares = contribution / np.diff(starts)
    utility = np.bincount(neighbours, np.repeat(shares, np.diff(starts)), len(contribution))
    answers = _answers(market)
    members = {k: communities(market, k) for k in (0, *HOPS)}
    found = []
    for agent in np.sort(chosen):
        near = neighbours[starts[agent] : starts[agent + 1]]
        row = answers[starts[agent] : starts[agent + 1]]
        others = utility.copy()
        others[near] -= shares[agent]
        found.append(
            _compared(agent, near, row, others, contribution, members, rng)
            | {"family": everything.kinds["family"][int(market.market_of[agent])]}
        )
    columns = ["family", "agent", *[c for c in found[0] if c not in ("family", "agent")]]
    return pd.DataFrame(found)[columns]


def _answers(market) -> np.ndarray:
    """Everybody's row in the first round of CMAP at once, arc by arc."""
    import cmapjax as cj

    return market.arc_values(cj.simulate(market, cj.CMAP(), rounds=1, record={}).final.flow)


def _compared(agent, near, row, others, w, members, rng) -> dict:
    """How much better the answer is than 100 random rows, by communities of every reach."""
    rows = w[agent] * rng.dirichlet(np.ones(len(near)), 100)
    gains = {}
    for k, reach in members.items():
        community = reach.indices[reach.indptr[agent] : reach.indptr[agent + 1]]
        values = [_objective(some, near, others, w, community) for some in (row, *rows)]
        gains[k] = values[0] - np.array(values[1:])
    apart = max(float(np.abs(gains[k] - gains[1]).max()) for k in HOPS)
    everybody = members[math.inf].indices[
        members[math.inf].indptr[agent] : members[math.inf].indptr[agent + 1]
    ]
    optimum = _optimum(near, others, w, everybody, w[agent])
    return {
        "agent": int(agent),
        "neighbours": len(near),
        "least gain over 100 random rows": float(min(gains[k].min() for k in HOPS)),
        "gains differ between k ≥ 1 by": apart,
        "largest gain with k = 0": float(np.abs(gains[0]).max()),
        "an optimiser's row for k = ∞ differs by, share of the budget": float(
            np.abs(optimum - row).sum() / (2 * w[agent])
        ),
    }


def _objective(row, near, others, w, community) -> float:
    """Σ w log u over the community, the agent giving this row."""
    utility = others.copy()
    utility[near] += row
    with np.errstate(divide="ignore"):
        return float(np.sum(w[community] * np.log(utility[community])))


def _optimum(near, others, w, community, budget: float) -> np.ndarray:
    """The row that a general-purpose optimiser finds for the whole community's utility."""
    from scipy.optimize import minimize

    done = minimize(
        lambda x: -_objective(budget * x, near, others, w, community) / budget,
        np.full(len(near), 1 / len(near)),
        method="SLSQP",
        bounds=[(0, 1)] * len(near),
        constraints={"type": "eq", "fun": lambda x: x.sum() - 1},
        options={"ftol": 1e-14, "maxiter": 500},
    )
    return budget * done.x


def _best_rows(rows: pd.DataFrame) -> list[Check]:
    gain, apart = rows["least gain over 100 random rows"], rows["gains differ between k ≥ 1 by"]
    none, off = rows["largest gain with k = 0"], rows.iloc[:, -1]
    best = (gain >= -ROUNDING) & (apart <= ROUNDING) & (off <= OPTIMISER)
    return [
        Check(
            "The row that CMAP answers with is best for the community of every reach k ≥ 1.",
            "better than any other row, by the same amount whatever k",
            f"best of 101 rows for k = 1, 2, 3, ∞: {count(gain >= -ROUNDING, 'agents')}; gains differ "
            f"between these k by at most {fam.tiny(apart.max())}; the row that a general-purpose optimiser "
            f"finds for k = ∞ differs by {median(off, fam.tiny, 'agents')} of the budget, at most "
            f"{fam.tiny(off.max())}",
            HOLDS if best.all() else IN_PART if best.mean() > 0.9 else FAILS,
        ),
        Check(
            "With k = 0 every row is as good as any other.",
            "an agent's own row does not reach itself: no difference at all",
            f"differences between 101 rows: at most {fam.tiny(none.max())} ({len(rows)} agents)",
            HOLDS if (none == 0).all() else FAILS,
        ),
    ]


# -- what is shown ---------------------------------------------------------------------------------


def _table(everything, runs) -> pd.DataFrame:
    from cmapjax.market._community import communities

    sizes = {k: np.diff(communities(everything.market, k).indptr).mean() for k in (0, *HOPS)}
    rows = []
    for (way, k), run in sorted(runs.items(), key=lambda pair: pair[0][1]):
        same, difference = _agreement(runs[way, HOPS[0]], run)
        last = np.median(run.records["log_welfare_loss"][-1])
        rows.append(
            {
                "k": _name(k),
                "members of a community, mean": float(sizes[k]),
                "play": way.name,
                "as with k = 1 to the last bit": same,
                "largest difference of a flow": difference,
                "share of the equilibrium, median market": float(np.exp(-last)),
            }
        )
    return pd.DataFrame(rows)


def _draw(runs):
    from cmapjax.plots._canvas import COLOURS, new_figure

    figure = new_figure(7.5, 3.8)
    panels = figure.subplots(1, 2, sharey=True)
    widths, tints = (9, 6, 3.5, 1.4), (COLOURS[5], COLOURS[4], COLOURS[1], COLOURS[6])
    for panel, way in zip(panels, (IN_TURN, GRADIENT), strict=True):
        for number, k in enumerate((*HOPS, 0)):
            if (way, k) not in runs:
                continue
            share = np.exp(-np.median(runs[way, k].records["log_welfare_loss"], axis=1))
            style = {"color": COLOURS[0], "linewidth": 2.2, "linestyle": ":"}
            if k:
                style = {"color": tints[number], "linewidth": widths[number]}
            panel.plot(runs[way, k].rounds, 100 * share, label=f"k = {_name(k)}", **style)
        panel.set_title(way.name, fontsize=11)
        panel.set_xlabel("rounds")
        panel.grid(alpha=0.25)
        panel.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylabel("% of the equilibrium's Nash welfare")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper center", ncols=5, frameon=False)
    return figure


def _caption(everything) -> str:
    n = everything.market.num_markets
    agents = int(everything.kinds["agents"].max())
    return (
        f"The median of {n} markets of {agents} agents (seven families, three distributions of "
        "contributions). Lines for k = 1, 2, 3 and ∞ lie exactly on top of each other, drawn from wide to "
        "narrow so that all can be seen; with k = 0 nothing moves."
    )
