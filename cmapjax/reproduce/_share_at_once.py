"""How many agents may act at once: phase diagrams over participation, damping and density.

Every round each agent answers with probability p, and moves θ of the way. What is counted is the mean share
of the equilibrium's Nash welfare over the second half of the rounds; a market is *stable* if it is at least
0.999, and *settling* if it is that or its loss still shrinks by a tenth from the third quarter of the rounds
to the last. The theory that predictions rest on stands in `_at_once_markets`.
"""

from typing import NamedTuple

import numpy as np
import pandas as pd
import scipy.stats

from cmapjax.market._random import key_of
from cmapjax.reproduce import _share_at_once_pictures as pictures
from cmapjax.reproduce._at_once_markets import DEGREES, Crowding, Ensemble, by_degree, common, crowding, play
from cmapjax.reproduce._grid import families
from cmapjax.reproduce._judging import judged
from cmapjax.reproduce._numbers import count, median, share
from cmapjax.reproduce._part import FAILS, HOLDS, IN_PART, Check, Finding, Setting

SHARES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
DAMPINGS = (0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0)
BOTH = (0.1, 0.2, 0.4, 0.6, 0.8, 1.0)
STABLE = 0.999
# Means of the share of equilibrium in an earlier trial, two markets of 100 agents per family: (least, most).
FAR = ("Watts-Strogatz", "torus")
DENSE = ("Erdős-Rényi", "geometric", "bipartite")
EXPECTED = (
    *((name, p, STABLE, 1.0) for name in families(100) for p in (0.1, 0.2)),
    *((name, 0.3, 0.989, 0.993) for name in DENSE),
    *((name, 0.5, 0.72, 0.81) for name in DENSE),
    *((name, 0.7, 0.0, 0.10) for name in DENSE),
    *((name, 0.5, 0.986, 0.986) for name in FAR),
    *((name, 0.7, 0.26, 0.31) for name in FAR),
    ("Barabási-Albert", 0.5, 0.997, 0.997),
    ("Barabási-Albert", 0.7, 0.89, 0.89),
    ("tree", 0.9, 1.0, 1.0),
)
NEAR = 0.02  # as near as counts as the same, beyond the range of two markets


class Phases(NamedTuple):
    """Mean share of the equilibrium in the second half of the rounds, by what was played."""

    markets: Ensemble
    crowd: Crowding
    chosen: np.ndarray
    """Markets of unequal contributions, which all that follows is about."""
    late: dict[tuple[float, float], np.ndarray]
    """By (p, θ), of every chosen market."""
    settles: dict[tuple[float, float], np.ndarray]
    """Likewise, whether it is stable or still gets better."""

    def kinds(self) -> np.ndarray:
        return self.markets.kind[self.chosen]


def measure(setting: Setting) -> Finding:
    """The maps, an earlier trial beside ours, and where stability ends against its predictions."""
    markets, rounds = common(setting)
    setting.tell("share at once: counting active contributors")
    phases = Phases(
        markets,
        Crowding(*(x[markets.contribution != "unit"] for x in crowding(markets.market, markets.equilibrium))),
        markets.contribution != "unit",
        {},
        {},
    )
    wanted = [(p, 1.0) for p in SHARES] + [(1.0, t) for t in DAMPINGS] + [(p, t) for p in BOTH for t in BOTH]
    for number, (p, theta) in enumerate(dict.fromkeys(wanted)):
        if number % 10 == 0:
            setting.tell(f"share at once: {number} of {len(dict.fromkeys(wanted))} points")
        key = key_of(setting.seed, 1 + number)
        run = play(markets, theta, share=p, rounds=rounds, key=key)
        some = run.records["share"][:, phases.chosen]
        third, last = (1 - part.mean(axis=0) for part in np.array_split(some, 4)[2:])
        phases.late[p, theta] = some[rounds // 2 :].mean(axis=0)
        phases.settles[p, theta] = (phases.late[p, theta] >= STABLE) | (last < 0.9 * third)
    edges = edge_table(phases)
    return Finding(
        checks=[_earlier(phases), *_maps(phases), *_predicted(edges), *_steps(phases)],
        tables={
            "shares": earlier_table(phases),
            "phases": phase_table(phases),
            "edges": edges.round(4),
        },
        pictures={
            "participation": pictures.families_by_share(phase_table(phases)),
            "density": pictures.degrees(phase_table(phases)),
            "both": pictures.both(phase_table(phases)),
            "edges": pictures.edges(edges),
        },
        remarks=[
            f"{int(phases.chosen.sum())} markets of 100 agents, contributions uniform and lognormal, "
            f"{rounds} rounds from an equal split, one run per market and point.",
            "Active contributors of a receiver: givers to it that, at the equilibrium, may give to it and to "
            "another receiver as well (the ratios at both ends of the link multiply to 1). A market's number "
            "is that of its most crowded receiver; its stiffness, at most that number, is the largest "
            "eigenvalue of the linearised round, and equals m on the network of m givers and two receivers.",
            "The earlier trial had two markets per family; its contributions and rounds are not "
            f"known, so {NEAR:g} beside their range counts as the same.",
            "Settled after first looks at seed 0, and therefore to be tried with another --seed: that the "
            "edge of stability is sought from large p down, since slow markets at small p look unstable; "
            "that the proved bound counts markets that still improve; and the form θ (1 + p (m − 1)) "
            "itself, in place of the product θ p, which does not decide.",
        ],
    )


def earlier_table(phases: Phases) -> pd.DataFrame:
    """Mean share per family and p beside the earlier trial."""
    rows = []
    for name, p, low, high in EXPECTED:
        values = phases.late[p, 1.0][phases.kinds() == name]
        rows.append(
            {
                "family": name,
                "participation": p,
                "markets": len(values),
                "mean_share": values.mean(),
                "least": values.min(),
                "most": values.max(),
                "earlier_from": low,
                "earlier_to": high,
                "same": low - _slack(low) <= values.mean() <= high + NEAR,
            }
        )
    return pd.DataFrame(rows).round(5)


def _slack(low: float) -> float:
    """Of what should be stable, only as much as is said; else `NEAR`."""
    return 0.001 if low >= STABLE else NEAR


def phase_table(phases: Phases) -> pd.DataFrame:
    """A row per kind of market, p and θ: the mean share of the equilibrium, and how many are stable."""
    rows = []
    for (p, theta), late in phases.late.items():
        for kind in dict.fromkeys(phases.kinds()):
            values = late[phases.kinds() == kind]
            rows.append(
                {
                    "kind": kind,
                    "participation": p,
                    "damping": theta,
                    "markets": len(values),
                    "mean_share": values.mean(),
                    "stable_%": 100 * (values >= STABLE).mean(),
                }
            )
    return pd.DataFrame(rows).round(5)


def edge_table(phases: Phases) -> pd.DataFrame:
    """Per market the largest p up to which it is stable, interpolated, and what was predicted."""
    late = np.stack([phases.late[p, 1.0] for p in SHARES])
    largest = phases.markets.largest_degree[phases.chosen]
    return pd.DataFrame(
        {
            "kind": phases.kinds(),
            "largest_degree": largest,
            "active_contributors": phases.crowd.active,
            "stiffness": phases.crowd.stiffness,
            "edge_measured": [_edge(column) for column in late.T],
            "edge_from_active": np.minimum(1, 2 / np.maximum(phases.crowd.active, 1e-9)),
            "edge_from_stiffness": np.minimum(1, 2 / np.maximum(phases.crowd.stiffness, 1e-9)),
            "edge_proved": np.minimum(1, 1 / (largest - 1)),
        }
    )


def _edge(late: np.ndarray) -> float:
    """Where the loss rises above that of a stable market for good, by interpolation between the p played.

    Sought from the largest p down, because with few acting at a time a market may only be slow.
    """
    loss = 1 - late
    below = np.flatnonzero(loss <= 1 - STABLE)
    if len(below) == 0:
        return SHARES[0]
    last = below[-1]
    if last == len(SHARES) - 1:
        return 1.0
    # On a logarithmic scale, since losses rise by orders of magnitude.
    low, high = np.log(np.maximum(loss[[last, last + 1]], 1e-12))
    part = (np.log(1 - STABLE) - low) / (high - low)
    return SHARES[last] + part * (SHARES[last + 1] - SHARES[last])


# -- checks ----------------------------------------------------------------------------------------


def _earlier(phases: Phases) -> Check:
    table = earlier_table(phases)
    odd = table[~table["same"]]
    found = ", ".join(
        f"{r.family} {r.mean_share:.3f} at p = {r.participation:g} (earlier {r.earlier_from:g} to "
        f"{r.earlier_to:g})"
        for r in odd.itertuples()
    )
    return Check(
        "Acting with probability p, markets are stable up to p = 0.2 and break down at larger p.",
        "mean shares of two markets per family: ≥ 0.999 for p ≤ 0.2; Erdős-Rényi, geometric and bipartite "
        "0.989 to 0.993 at 0.3, 0.72 to 0.81 at 0.5, ≤ 0.10 at 0.7; Watts-Strogatz and torus 0.986 at 0.5, "
        "0.26 to 0.31 at 0.7; Barabási-Albert 0.997 at 0.5, 0.89 at 0.7; tree 1.000 at 0.9",
        f"{count(table['same'], 'numbers')} the same"
        + (f"; not so {found}" if len(odd) else "")
        + f"; {int(table['markets'].min())} markets a number",
        judged(table["same"]),
    )


def _maps(phases: Phases) -> list[Check]:
    degrees = sorted((8, *DEGREES))
    edges = edge_table(phases)
    middle = [edges.loc[edges["kind"] == by_degree(d), "edge_measured"].median() for d in degrees]
    return [
        Check(
            "The denser the network, the fewer agents may act at once.",
            "the largest stable p falls with the mean degree of Erdős-Rényi networks",
            "median largest stable p "
            + ", ".join(f"{m:.2f} at degree {d}" for m, d in zip(middle, degrees, strict=True)),
            judged(np.diff(middle) <= 1e-9),
        )
    ]


def _predicted(edges: pd.DataFrame) -> list[Check]:
    some = edges[edges["edge_measured"] < 1]
    checks = []
    for column, words in (("edge_from_active", "active contributors"), ("edge_from_stiffness", "stiffness")):
        ratio = some["edge_measured"] / some[column]
        rank = scipy.stats.spearmanr(edges[column], edges["edge_measured"]).statistic
        near = (ratio > 0.5) & (ratio < 2)
        checks.append(
            Check(
                f"Stability ends at about p = 2 / {words}.",
                "within a factor of two, market by market",
                f"measured over predicted {median(ratio, '.2f')}; within a factor of two {share(near)}; rank "
                f"correlation {rank:.2f}",
                HOLDS if near.mean() > 0.9 else IN_PART if near.mean() > 0.5 else FAILS,
            )
        )
    return checks


def _steps(phases: Phases) -> list[Check]:
    """All pairs of p and θ at once, by what the theory says counts: θ (1 + p (m − 1)), below or above 2."""
    largest = phases.markets.largest_degree[phases.chosen]
    proved, near, settles = [], [], []
    for (p, theta), flags in phases.settles.items():
        settles.append(flags)
        proved.append(theta * (1 + p * (largest - 1)) < 2)
        near.append(theta * (1 + p * (phases.crowd.stiffness - 1)) < 2)
    proved, near, settles = (np.concatenate(x) for x in (proved, near, settles))
    below, above = settles[near & ~proved], settles[~near]
    return [
        Check(
            "Markets settle if θ (1 + p (Δ − 1)) < 2.",
            "proved in expectation (p below 1/(Δ − 1) undamped, θ below 2/Δ with everybody at once)",
            f"{share(settles[proved], 'runs')} settle",
            HOLDS if settles[proved].all() else IN_PART if settles[proved].mean() > 0.99 else FAILS,
        ),
        Check(
            "With the stiffness for Δ, that tells where it ends: θ (1 + p (stiffness − 1)) = 2.",
            "derived for small deviations: below it most settle, above it most do not",
            f"between the proved bound and this {share(below, 'runs')} settle, above {share(above, 'runs')}",
            HOLDS if below.mean() > 0.9 and above.mean() < 0.25 else IN_PART if below.mean() > 0.9 else FAILS,
        ),
    ]
