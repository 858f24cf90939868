"""Nash welfare and market loss over time under every play, and how much their definitions matter."""

import itertools

import numpy as np
import pandas as pd

from cmapjax.reproduce import _families as fam
from cmapjax.reproduce._numbers import median, share
from cmapjax.reproduce._part import FAILS, HOLDS, IN_PART, Check, Finding, Picture, Setting

# Measures by column; what they are called, and whether more is better.
MEASURES = {
    "log_nash_welfare": ("weighted Nash welfare", True),
    "unweighted_log_nash_welfare": ("unweighted Nash welfare", True),
    "log_welfare_loss": ("log welfare loss", False),
    "misallocated_share": ("misallocated share", False),
    "worst_relative_error": ("worst relative error", False),
}
LOSSES = tuple(name for name, (_, more) in MEASURES.items() if not more)
# That never lower welfare, as is proved of them.
RISING = (fam.IN_TURN, fam.BY_COLOURS, fam.LOCAL)
ROUNDING = 1e-12  # of a mean of a hundred logarithms near 1
LEVEL = 1e-9  # plays closer than this, by some measure, count as level
LOOKS = (2, 10, 100)  # rounds after which plays are ranked
K4_SHARE = 0.96524
LEAST_SHOWN = 70  # per cent of the equilibrium's welfare


def measure(setting: Setting) -> Finding:
    study = fam.common(setting)
    curves = fam.curves_of(setting, study)
    everything = fam.ensemble(study)
    known = _equilibrium(everything)
    long = _long(curves, known)
    ranks = _disagreement(long)
    return Finding(
        [*_over_time(curves), _four(), _beyond(long), *_rankings(ranks)],
        {"over-time": _by_round(curves, known), "disagreement": ranks, "best-play": _best(long)},
        {
            "over-time": Picture(_draw(curves, known), _caption(curves)),
            "disagreement": Picture(_draw_ranks(ranks), RANKS_CAPTION),
        },
        [
            "Weighted Nash welfare is the geometric mean of ratios, weighted by contribution: what the "
            "central program maximises. Unweighted, it is the geometric mean of what agents receive.",
            "Losses: log welfare missing; the share of all value in the wrong hands, Σ|u − u*|/2W; the "
            "relative error of the agent that is off most, max|u/u* − 1|.",
            "The definitions of the poster are not known; these are the package's.",
        ],
    )


def _equilibrium(everything: fam.Ensemble) -> dict[int, np.ndarray]:
    """By ground the unweighted log welfare of every market's equilibrium."""
    from cmapjax import metrics

    value = metrics.unweighted_log_nash_welfare(everything.market, everything.equilibrium.utility)
    return {
        int(g): np.asarray(value)[some.index] for g, some in everything.kinds.groupby("ground", sort=False)
    }


# -- over time ---------------------------------------------------------------------------------------


def _over_time(curves: fam.Curves) -> list[Check]:
    checks = []
    cells = curves.cells
    groups = {
        "in turn, by colours, or all at once with local damping": RISING,
        "by proportional response": (fam.RESPONSE,),
        "by CMAP all at once, undamped or with damping 1/2": (fam.AT_ONCE, fam.HALF),
    }
    expected = {
        RISING: "yes, in every round, as is proved",
        (fam.RESPONSE,): "over every two rounds; a single one may lower it",
        (fam.AT_ONCE, fam.HALF): "no: it oscillates, and may leave an agent with nothing",
    }
    for words, plays in groups.items():
        chosen = [cell for cell in cells.index if cells["play"][cell] in plays]
        losses = np.concatenate([curves.values["log_welfare_loss"][cell] for cell in chosen], axis=1)
        with np.errstate(invalid="ignore"):
            falls = np.diff(losses, axis=0) > ROUNDING
        falls |= np.isinf(losses[1:])
        always = ~falls.any(axis=0)
        better = [
            np.concatenate([_improved(curves.values[name][cell]) for cell in chosen]) for name in LOSSES
        ]
        all_less = np.all(better, axis=0)
        checks.append(
            Check(
                f"Welfare rises from round to round and all three losses end lower, {words}.",
                expected[plays],
                f"welfare never falls in {share(always, 'runs')}; all three losses lower after "
                f"{curves.rounds[-1]} rounds than at the start in {share(all_less, 'runs')}; log welfare "
                f"missing at the end {median(losses[-1], fam.missing, 'runs')}",
                _graded((always & all_less).mean()),
            )
        )
    return checks


def _improved(values: np.ndarray) -> np.ndarray:
    return values[-1] < np.maximum(values[0], LEVEL)


def _graded(part: float) -> str:
    return HOLDS if part >= 0.99 else FAILS if part <= 0.05 else IN_PART


def _relative(curves: fam.Curves, known, name: str, cell: int) -> np.ndarray:
    """The measure as it is shown: welfare as a share of the equilibrium's."""
    values = curves.values[name][cell]
    if name == "log_nash_welfare":
        return np.exp(-curves.values["log_welfare_loss"][cell])
    if name == "unweighted_log_nash_welfare":
        return np.exp(values - known[curves.cells["ground"][cell]])
    return values


def _by_round(curves: fam.Curves, known) -> pd.DataFrame:
    """The median market of every play after some rounds, by every measure."""
    rows = []
    for play in fam.PLAYS:
        chosen = [cell for cell in curves.cells.index if curves.cells["play"][cell] == play]
        tables = {
            name: np.concatenate([_relative(curves, known, name, c) for c in chosen], axis=1)
            for name in MEASURES
        }
        for at in (0, 1, 2, 5, 10, 20, 50, 100):
            row = {"play": play, "round": at, "markets": tables[LOSSES[0]].shape[1]}
            for name, (words, more) in MEASURES.items():
                of = ", share of the equilibrium's" if more else ""
                row[f"{words}{of}, median"] = float(np.quantile(tables[name][at], 0.5, method="inverted_cdf"))
            rows.append(row)
    return pd.DataFrame(rows)


# -- definitions -------------------------------------------------------------------------------------


def _four() -> Check:
    """K4 with contributions 5, 1, 1, 1: the equilibrium against the best unweighted welfare."""
    import cmapjax as cj
    from cmapjax import metrics

    links = np.array([[0, 1], [0, 2], [0, 3], [1, 2], [1, 3], [2, 3]])
    market = cj.Market.from_links(links, endowment=[5.0, 1.0, 1.0, 1.0])
    giver, receiver = market.arcs()
    # Everybody receives 2, a quarter of all: with the sum given, no geometric mean is larger.
    even = np.where(giver == 0, 5 / 3, np.where(receiver == 0, 2 / 3, 1 / 6))
    best = market.received(market.flow_from_arcs(even))
    found = np.asarray(cj.solve(market).utility)
    welfare = [float(np.asarray(metrics.unweighted_nash_welfare(market, u))[0]) for u in (found, best)]
    weighted = float(np.asarray(metrics.share_of_equilibrium(market, np.asarray(best), found))[0])
    part = welfare[0] / welfare[1]
    return Check(
        "Weighted and unweighted welfare disagree: on four agents who are all neighbours, contributions 5, "
        "1, 1, 1, the equilibrium is not best by unweighted welfare.",
        f"equilibrium (3, 5/3, 5/3, 5/3); {K4_SHARE} of the best feasible unweighted welfare, (2, 2, 2, 2)",
        f"equilibrium ({', '.join(f'{u:.5g}' for u in found)}), best "
        f"({', '.join(f'{u:.5g}' for u in best)}): "
        f"{part:.5f} of it; by weighted welfare that best is {weighted:.5f} of the equilibrium",
        HOLDS if abs(part - K4_SHARE) < 5e-6 and weighted < 1 else FAILS,
    )


def _long(curves: fam.Curves, known) -> pd.DataFrame:
    """Every measure of every market and play at the rounds at which plays are ranked; more is better."""
    frames = []
    for cell, about in curves.cells.iterrows():
        for at in LOOKS:
            columns = {
                name: (1 if more else -1) * curves.values[name][cell][at]
                for name, (_, more) in MEASURES.items()
            }
            relative = curves.values["unweighted_log_nash_welfare"][cell][at] - known[about["ground"]]
            frames.append(
                pd.DataFrame(columns).assign(
                    round=at,
                    play=about["play"],
                    family=about["family"],
                    contributions=about["contributions"],
                    market=lambda frame, ground=about["ground"]: [f"{ground}-{m}" for m in range(len(frame))],
                    beyond=relative,
                )
            )
    return pd.concat(frames, ignore_index=True)


def _beyond(long: pd.DataFrame) -> Check:
    some = long[long["contributions"] != "unit"]
    beyond = some["beyond"].to_numpy() > LEVEL
    most = float(np.exp(some["beyond"].max()))
    return Check(
        "By unweighted welfare a run can exceed the equilibrium.",
        "it can, where contributions differ: the equilibrium maximises another welfare",
        f"it does in {share(beyond, 'runs and rounds')}, at most {most:.3f} times the equilibrium's "
        "(unequal contributions)",
        HOLDS if beyond.any() else FAILS,
    )


def _disagreement(long: pd.DataFrame) -> pd.DataFrame:
    """For two measures, the share of pairs of plays on a market that they put in opposite orders."""
    rows = []
    for at, some in long.groupby("round"):
        pivots = {name: some.pivot(index="market", columns="play", values=name) for name in MEASURES}
        orders = {name: _orders(pivot.to_numpy(float)) for name, pivot in pivots.items()}
        best = {name: pivot.to_numpy(float) for name, pivot in pivots.items()}
        for one, other in itertools.combinations(MEASURES, 2):
            decided = (orders[one] != 0) & (orders[other] != 0)
            apart = (orders[one] * orders[other] == -1) & decided
            rows.append(
                {
                    "round": at,
                    "one": MEASURES[one][0],
                    "other": MEASURES[other][0],
                    "pairs of plays": int(decided.sum()),
                    "in opposite order, share": apart.sum() / max(decided.sum(), 1),
                    "another play is best, share of markets": float(
                        _another_best(best[one], best[other]).mean()
                    ),
                }
            )
    return pd.DataFrame(rows)


def _orders(values: np.ndarray) -> np.ndarray:
    """Of every market and pair of plays which is better: 1 the first, −1 the second, 0 level."""
    one, other = np.triu_indices(values.shape[1], 1)
    with np.errstate(invalid="ignore"):
        difference = values[:, one] - values[:, other]
    return np.sign(np.where(np.abs(difference) > LEVEL, difference, 0.0))


def _another_best(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Of every market, whether no play is best by both measures."""
    with np.errstate(invalid="ignore"):
        tops = [values >= values.max(axis=1, keepdims=True) - LEVEL for values in (one, other)]
    return ~(tops[0] & tops[1]).any(axis=1)


def _rankings(ranks: pd.DataFrame) -> list[Check]:
    checks = []
    weighted = MEASURES["log_nash_welfare"][0]
    for name in ("unweighted_log_nash_welfare", "misallocated_share", "worst_relative_error"):
        words = MEASURES[name][0]
        some = ranks[(ranks["one"] == weighted) & (ranks["other"] == words)].set_index("round")
        apart, best = some["in opposite order, share"], some["another play is best, share of markets"]
        parts = "; ".join(
            f"after {at} rounds {100 * apart[at]:.1f} % of {some['pairs of plays'][at]:,} pairs, and in "
            f"{100 * best[at]:.1f} % of the markets another play is best"
            for at in LOOKS
        )
        most = max(apart.max(), best.max())
        checks.append(
            Check(
                f"Ranking plays by {words} gives the order that weighted Nash welfare gives.",
                "not always" if name == "unweighted_log_nash_welfare" else "not said before",
                f"in opposite order: {parts}",
                HOLDS if most <= 0.02 else FAILS if apart.min() >= 0.5 else IN_PART,
            )
        )
    return checks


def _best(long: pd.DataFrame) -> pd.DataFrame:
    """How often each play is best (alone or level), by measure and round."""
    rows = []
    for (at, name), some in (((at, name), s) for at, s in long.groupby("round") for name in MEASURES):
        pivot = some.pivot(index="market", columns="play", values=name)
        values = pivot.to_numpy(float)
        with np.errstate(invalid="ignore"):
            top = values >= values.max(axis=1, keepdims=True) - LEVEL
        shares = dict(zip(pivot.columns, top.mean(axis=0), strict=True))
        rows.append({"round": at, "measure": MEASURES[name][0]} | {play: shares[play] for play in fam.PLAYS})
    return pd.DataFrame(rows)


# -- pictures ----------------------------------------------------------------------------------------


def _draw(curves: fam.Curves, known):
    from cmapjax.plots._canvas import COLOURS, new_figure

    figure = new_figure(8, 5.6)
    panels = figure.subplots(2, 3).ravel()
    styles = ("-", "--", "-.", ":", "-", "--", "-", "-.", ":")
    colours = [*COLOURS[:6], "#8c564b", COLOURS[6], "#888888"]
    for panel, (name, (words, more)) in zip(panels, MEASURES.items(), strict=False):
        for number, play in enumerate(fam.PLAYS):
            chosen = [cell for cell in curves.cells.index if curves.cells["play"][cell] == play]
            values = np.concatenate([_relative(curves, known, name, c) for c in chosen], axis=1)
            middle = np.quantile(values, 0.5, axis=1, method="inverted_cdf")
            shown = np.maximum(100 * middle, LEAST_SHOWN) if more else np.clip(middle, 1e-9, 30)
            panel.plot(curves.rounds, shown, styles[number], color=colours[number], linewidth=1.5, label=play)
        panel.set_title(words, fontsize=10)
        panel.set_xscale("symlog", linthresh=1)
        panel.set_xlim(0, 100)
        panel.set_xticks([0, 1, 10, 100], ["0", "1", "10", "100"])
        panel.set_xlabel("rounds", fontsize=9)
        panel.tick_params(labelsize=8)
        panel.grid(alpha=0.25)
        panel.spines[["top", "right"]].set_visible(False)
        if more:
            panel.set_ylim(LEAST_SHOWN, 106)
            panel.set_ylabel("% of the equilibrium's", fontsize=9)
        else:
            panel.set_yscale("log")
    panels[-1].axis("off")
    panels[-1].legend(*panels[0].get_legend_handles_labels(), loc="center", frameon=False, fontsize=9)
    return figure


def _caption(curves: fam.Curves) -> str:
    number = sum(
        curves.values[LOSSES[0]][cell].shape[1]
        for cell in curves.cells.index
        if curves.cells["play"][cell] == fam.RESPONSE
    )
    return (
        f"The median of {number} markets of 20 and 100 agents (seven families, three distributions of "
        "contributions) under every play, by five measures; the time axis is logarithmic from round 1 on. "
        f"Welfare below {LEAST_SHOWN} %, losses below 1e-9 and above 30 (an agent has nothing) are drawn at "
        "the edge."
    )


RANKS_CAPTION = (
    "Of all pairs of plays on a market, the percentage that two measures put in opposite orders, after 2, "
    "10 and 100 rounds. Weighted welfare and log welfare loss are the same order by definition."
)


def _draw_ranks(ranks: pd.DataFrame):
    from cmapjax.plots._canvas import new_figure

    figure = new_figure(8, 3.4)
    names = [words for words, _ in MEASURES.values()]
    panels = figure.subplots(1, len(LOOKS), sharey=True)
    for panel, at in zip(panels, LOOKS, strict=True):
        square = np.full((len(names), len(names)), np.nan)
        for row in ranks[ranks["round"] == at].itertuples():
            i, j = names.index(row.one), names.index(row.other)
            square[i, j] = square[j, i] = 100 * row[5]
        panel.imshow(square, cmap="Oranges", vmin=0, vmax=60)
        for i, j in np.argwhere(~np.isnan(square)):
            panel.text(j, i, f"{square[i, j]:.0f}", ha="center", va="center", fontsize=9)
        panel.set_xticks(range(len(names)), names, rotation=40, ha="right", fontsize=8)
        panel.set_yticks(range(len(names)), names, fontsize=8)
        panel.tick_params(length=0)
        panel.spines[:].set_visible(False)
        panel.set_title(f"after {at} rounds", fontsize=10)
    return figure
