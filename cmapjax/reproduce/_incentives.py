"""Part `incentives`: what an agent gains by hiding links, hiding endowment, or appearing as several (E13)."""

import itertools

import numpy as np
import pandas as pd

from cmapjax.plots._canvas import COLOURS, new_figure
from cmapjax.reproduce._grid import CONTRIBUTIONS, drawn, families
from cmapjax.reproduce._incentives_search import SEARCH, best_ring, best_splits, ring_gains
from cmapjax.reproduce._incentives_variants import (
    hiding,
    network_of,
    received,
    truthful,
    understating,
)
from cmapjax.reproduce._judging import judged, refuted
from cmapjax.reproduce._numbers import median, share
from cmapjax.reproduce._part import Check, Finding, Picture, Setting

# Rounding of two exact equilibria's utilities over each other.
ROUNDING = 1e-9
REPORTED = (0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99)
MOST_HIDDEN = 30  # ways to hide links, per agent
# Known examples on rings: contributions, share of the copy at the second agent, and the gain.
TRIANGLE = ((1, (1 + 2**0.5) / 2, (2**0.5 - 1) / 2), 0.5, 2**0.5)
FIVE_RING = ((1, 1.07112453, 3065.71908, 0.633953824, 5.55735e-4), 0.99972233, 1.998605)
# The largest gains that earlier searches found, by the length of the ring.
EARLIER = {3: 1.4128, 4: 1.0, 5: 1.9986, 6: 1.9775, 7: 1.9924}
REMARKS = (
    "A gain is what the deviating agent receives at the new equilibrium, all its copies together, over "
    "what it receives by the truth; equilibria are exact. It says nothing about deviations while a dynamic "
    "is still under way, which nobody has worked out.",
    f"Hiding: every set of links that leaves the agent one of its own (at most {MOST_HIDDEN} per agent, "
    "drawn at random); partners without any other link leave the market. Under-reporting: "
    f"{', '.join(f'{s:.0%}' for s in REPORTED)} of the endowment".replace("%", " %")
    + "; the rest perishes.",
    "Appearing as several: each neighbour is linked with one copy, and copies share the endowment. "
    f"{SEARCH} What a search finds is a lower bound of what can be gained.",
    "The bound of 2 for any network is a theorem (Cheng, Deng, Li and Yan, Games and Economic Behavior "
    "148, 2024). Contributions near it span many orders of magnitude.",
)


def measure(setting: Setting) -> Finding:
    """Gains of deviations on random markets and on markets built for them."""
    rows = _networks(setting)
    setting.tell(f"hiding links and endowments on {len(rows)} networks")
    hidden, reported = _table(rows, _hiding(rows, setting.seed)), _table(rows, _understating(rows))
    setting.tell(f"appearing as several agents on {len(rows)} networks")
    targets = [(k, agent) for k, (*_, network) in enumerate(rows) for agent in _divisible(network)]
    gains, splits = best_splits([(rows[k][-1], agent) for k, agent in targets], setting.seed)
    split = _table(rows, [(k, agent, gain) for (k, agent), gain in zip(targets, gains, strict=True)])
    split["copies"] = [len(s.log_share) for s in splits]
    lengths = setting.pick((3, 4, 5), tuple(EARLIER))
    setting.tell(f"rings of {lengths} agents, contributions searched for")
    rings = {n: best_ring(n, setting.seed, setting.pick(25, 80), setting.pick(80, 250)) for n in lengths}
    return Finding(
        checks=[
            _harmless("Hiding links", hidden),
            _harmless("Reporting less than one has", reported),
            *_examples(),
            _random(split),
            _searched(rings),
        ],
        tables={
            "hiding-links": hidden,
            "under-reporting": reported,
            "several-identities": split,
            "rings": _ring_table(rings),
        },
        pictures={"gains": _picture(split)},
        remarks=list(REMARKS),
    )


def _networks(setting: Setting) -> list[tuple]:
    """(family, contributions, network), one of every kind after another."""
    plan = [(8, word) for word in ("lognormal", "uniform", "unit")]
    rows, stream = [], 0
    for _ in range(setting.pick(2, 15)):
        for n, word in plan:
            for name, family in families(n, 3).items():
                market = drawn(family, CONTRIBUTIONS[word], setting.seed, stream)
                rows.append((name, word, network_of(market)))
                stream += 1
    return rows


def _divisible(network) -> list[int]:
    """Agents with links to divide: two at least."""
    return np.flatnonzero(np.bincount(network.links.ravel()) > 1).tolist()


def _hiding(rows, seed: int) -> list[tuple]:
    rng = np.random.default_rng(seed)
    where, variants = [], []
    for k, (*_, network) in enumerate(rows):
        for agent in _divisible(network):
            mine = network.links_of(agent)
            sets = [s for n in range(1, len(mine)) for s in itertools.combinations(mine.tolist(), n)]
            if len(sets) > MOST_HIDDEN:
                sets = [sets[i] for i in rng.choice(len(sets), MOST_HIDDEN, replace=False)]
            where += [(k, agent)] * len(sets)
            variants += [hiding(network, agent, chosen) for chosen in sets]
    return _best(rows, where, received(variants))


def _understating(rows) -> list[tuple]:
    where = [(k, agent) for k, (*_, network) in enumerate(rows) for agent in range(len(network.weight))]
    where = [pair for pair in where for _ in REPORTED]
    shares = itertools.cycle(REPORTED)
    return _best(
        rows,
        where,
        received(understating(rows[k][-1], a, s) for (k, a), s in zip(where, shares, strict=False)),
    )


def _best(rows, where: list[tuple], got: np.ndarray) -> list[tuple]:
    """(network, agent, largest gain) over the variants of each agent."""
    pairs = sorted(set(where))
    truth = dict(zip(pairs, received(truthful(rows[k][-1], a) for k, a in pairs), strict=True))
    best = dict.fromkeys(pairs, 0.0)
    for pair, amount in zip(where, got, strict=True):
        best[pair] = max(best[pair], float(amount / truth[pair]))
    return [(*pair, gain) for pair, gain in best.items()]


def _table(rows, gains: list[tuple]) -> pd.DataFrame:
    """One row per agent."""
    return pd.DataFrame(
        [(rows[k][0], rows[k][1], k, agent, gain) for k, agent, gain in gains],
        columns=["family", "contributions", "network", "agent", "best gain"],
    )


def _harmless(what: str, table: pd.DataFrame) -> Check:
    gain = table["best gain"]
    return Check(
        f"{what} gains nothing.",
        "no agent ends with more than by the truth: ratio at most 1",
        f"{int((gain > 1 + ROUNDING).sum())} of {len(gain):,} agents in {table['network'].nunique()} "
        f"markets gain; largest ratio − 1: {gain.max() - 1:.1e}; an agent's best lie leaves it a ratio of "
        f"{median(gain, of='agents')}",
        refuted(gain > 1 + ROUNDING),
    )


def _examples() -> list[Check]:
    checks = []
    for name, (weight, first, expected), digits in (
        ("a triangle with contributions 1, (1 + √2)/2, (√2 − 1)/2", TRIANGLE, 1e-9),
        ("a ring of five", FIVE_RING, 1e-6),
    ):
        found = max(_gain_on_ring(weight, first), _gain_on_ring(weight, 1 - first))
        checks.append(
            Check(
                f"On {name} an agent gains by appearing as two.",
                f"a ratio of {expected:.9g} to {digits:g}, half of the endowment to each"
                if first == 0.5
                else f"a ratio of {expected:.9g} to {digits:g}, {first:.8g} of the endowment to one",
                f"ratio {found:.9f}, {abs(found - expected):.1e} away",
                judged([abs(found - expected) <= digits]),
            )
        )
    return checks


def _gain_on_ring(weight, first: float) -> float:
    odds = np.log(first) - np.log1p(-first)
    return float(ring_gains(np.append(np.log(weight), odds)[None])[0])


def _random(split: pd.DataFrame) -> Check:
    gain = split["best gain"]
    top = split.loc[gain.idxmax()]
    return Check(
        "Splitting into several identities gains less than double.",
        "a ratio below 2 for every agent of every network",
        f"largest 2 − {2 - gain.max():.3g} ({top['family']}, {top['contributions']} contributions, "
        f"{top['copies']} copies); more than 1 % gained by {share(gain > 1.01, of='agents')}, more than 10 "
        f"% by {share(gain > 1.1, of='agents')}",
        refuted(gain >= 2),
    )


def _searched(rings: dict) -> Check:
    gains = {n: ring.gain for n, ring in rings.items()}
    return Check(
        "Nor does it on rings whose contributions were searched for the largest gain.",
        "below 2; earlier searches found " + ", ".join(f"{EARLIER[n]:g} ({n} agents)" for n in gains),
        ", ".join(f"{gain:.6f} ({n} agents)" for n, gain in gains.items()),
        refuted([gain >= 2 for gain in gains.values()]),
    )


def _ring_table(rings: dict) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "agents": list(rings),
            "largest gain found": [ring.gain for ring in rings.values()],
            "earlier search": [EARLIER[n] for n in rings],
            "share of the first copy": [ring.share for ring in rings.values()],
            "contributions": [
                ", ".join(f"{w / ring.weight[0]:.6g}" for w in ring.weight) for ring in rings.values()
            ],
        }
    )


def _picture(split: pd.DataFrame) -> Picture:
    figure = new_figure(9, 3.8)
    left, right = figure.subplots(1, 2, width_ratios=(1.3, 1))
    bins = np.linspace(1, max(1.5, split["best gain"].max()) + 1e-9, 13)
    for number, (name, group) in enumerate(split.groupby("contributions", sort=False)["best gain"]):
        counts, _ = np.histogram(np.clip(group, 1, None), bins)
        width = (bins[1] - bins[0]) / 4
        style = {"color": COLOURS[number], "label": f"{name} ({len(group):,} agents)"}
        left.bar(bins[:-1] + (number + 1) * width, 100 * counts / len(group), width, **style)
    left.set(yscale="log", xlabel="best gain found (1: none)", ylabel="% of agents")
    left.legend(frameon=False, fontsize=8, title="contributions", title_fontsize=8)
    odds = np.linspace(-10, 10, 201)
    for number, (name, (weight, *_)) in enumerate((("triangle", TRIANGLE), ("ring of five", FIVE_RING))):
        genes = np.column_stack([np.tile(np.log(weight), (len(odds), 1)), odds])
        right.plot(odds, ring_gains(genes), color=COLOURS[number], ls=("-", "--")[number], label=name)
    right.axhline(2, color="0.4", lw=0.8, ls=":")
    right.axhline(1, color="0.4", lw=0.8)
    right.set(xlabel="log odds of the first copy's share", ylabel="gain", ylim=(None, 2.1))
    right.legend(frameon=False, fontsize=8)
    for panel in (left, right):
        panel.spines[["top", "right"]].set_visible(False)
    return Picture(
        figure,
        f"Left: the best gain found for each of {len(split):,} agents of {split['network'].nunique()} "
        "random markets by appearing as several. Right: two markets made for it, against how the agent "
        "divides its endowment between two copies; dotted is the bound of 2.",
    )
