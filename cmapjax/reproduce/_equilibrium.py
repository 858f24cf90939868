"""Part `equilibrium`: one central program, and that its allocation is fair and stable (C1, E1, E2)."""

import numpy as np
import pandas as pd

import cmapjax as cj
from cmapjax.reproduce import _equilibrium_forms as forms
from cmapjax.reproduce._equilibrium_oracles import directed, oracles
from cmapjax.reproduce._equilibrium_pictures import gap_curves, sorted_ratios
from cmapjax.reproduce._grid import CONTRIBUTIONS, drawn, families
from cmapjax.reproduce._judging import judged, refuted
from cmapjax.reproduce._numbers import count, median
from cmapjax.reproduce._part import Check, Finding, Setting

# Utilities that agree to SAME, relative, are the same; the exact solver must meet those on paper to PAPER,
# and the forms of fairness and stability, which follow from its flows, to FORM.
SAME, PAPER, FORM = 1e-6, 1e-10, 1e-9
# A convex solver stops by its objective, which is flat at the optimum: utilities keep half its digits.
CONVEX = 1e-4
# Of a certified gap, which is a sum of logarithms.
ROUNDING = 1e-12
IN_TURN, PROPORTIONAL = "CMAP, one after another", "proportional response"
ARRIVES = {
    IN_TURN: "CMAP, one agent after another, arrives at them.",
    PROPORTIONAL: "Proportional response arrives at them.",
}
REMARKS = (
    "Fair means lexicographically optimal ratios (value received per value contributed): the least is as "
    "large as possible, then the second least, and so on. It is tested by linear programs that know "
    "nothing of the central program, and by the exchange that it implies (r_p r_j ≥ 1 on every link, = 1 "
    "where value flows). Stable means the core: no group of agents that exchange among themselves alone "
    "could give all its members more; all 2^n groups are tried. The equal split is put to the same tests, "
    "to show that they can fail.",
    forms.CONVEX_REMARK,
    f"Two vectors of utilities are called the same if no agent's differ by more than {SAME:g}, relative. "
    "Where a link is on the edge of being used, proportional response closes in like 1/t only: a market "
    "still further off counts as closing in if its error has fallen by at least a third over the second "
    "half of the run.",
    "The package holds undirected networks only. The directed market is three lines of algebra beside it.",
)


def measure(setting: Setting) -> Finding:
    """The equilibria of markets on paper and of random ones, in every form of the literature."""
    known = oracles()
    singles, table = _markets(setting, known)
    market = cj.pack(singles)
    setting.tell(f"{market.num_markets} markets: exact equilibria, and runs that tend there")
    found = cj.solve(market)
    runs = _runs(setting, market, found)
    setting.tell("the same equilibria by other methods, and all coalitions")
    paper = [np.array(oracle.utility, float) for oracle in known]
    table = table.join(forms.by_market(singles, market, found, paper, with_solver=not setting.quick))
    for name in (IN_TURN, PROPORTIONAL):
        last, halfway = forms.dynamics(runs[name])
        table[name], table[f"{name}: closing in"] = last, forms.tends(last, halfway, SAME)
    is_large = (table["kind"] == "large").to_numpy()
    shown = table.index[is_large & (table["contributions"] == "lognormal") & (table["family"] != "bipartite")]
    return Finding(
        checks=[*_paper_checks(table, runs), *_form_checks(table), _certificate(runs), _directed()],
        tables={"markets": table, "certificate": forms.tightness(runs)},
        pictures={
            "ratios": sorted_ratios(singles, table, list(shown.unique()[:6])),
            "certificate": gap_curves(runs, is_large),
        },
        remarks=list(REMARKS),
    )


def _markets(setting: Setting, known) -> tuple[list, pd.DataFrame]:
    """Those on paper, small random ones (on which everything is tried), and larger ones."""
    singles = [oracle.market() for oracle in known]
    rows = [("on paper", oracle.name, "as given") for oracle in known]
    plan = [("small", 8, 3, word, setting.pick(1, 6)) for word in CONTRIBUTIONS]
    plan += [("small", 12, 3, "lognormal", setting.pick(1, 4))]
    # Few agents in quick: what takes time then is compiling, the longer the more degrees there are.
    plan += [
        ("large", setting.pick(32, 64), 6, word, 1) for word in setting.pick(("lognormal",), CONTRIBUTIONS)
    ]
    stream = 0
    for kind, n, degree, word, number in plan:
        for name, family in families(n, degree).items():
            for _ in range(number):
                singles.append(drawn(family, CONTRIBUTIONS[word], setting.seed, stream))
                rows.append((kind, name, word))
                stream += 1
    return singles, pd.DataFrame(rows, columns=["kind", "family", "contributions"])


def _runs(setting: Setting, market, found) -> dict:
    """Runs with their certified and true gaps after every round."""
    standard = cj.metrics.standard(found.utility)
    record = {name: standard[name] for name in ("certified_gap", "log_welfare_loss", "worst_relative_error")}
    giver, _ = market.arcs()
    parts = np.random.default_rng(setting.seed).exponential(size=len(giver))
    parts *= (np.asarray(market.contribution) / np.bincount(giver, parts))[giver]
    even, anyhow = market.equal_flow(), market.flow_from_arcs(parts)

    def play(strategy, rounds, start, schedule=None):
        schedule = cj.Simultaneous() if schedule is None else schedule
        return cj.simulate(market, strategy, rounds=rounds, start=start, record=record, schedule=schedule)

    def damped(theta):  # one compiled program for all θ, 1 included
        return cj.Damped(cj.CMAP(), cj.FixedDamping(theta))

    return {
        IN_TURN: play(cj.CMAP(), setting.pick(150, 3000), even, cj.Sequential()),
        PROPORTIONAL: play(cj.ProportionalResponse(), setting.pick(2000, 10_000), even),
        "CMAP, all at once": play(damped(1.0), setting.pick(100, 300), even),
        "CMAP, half a step, random start": play(damped(0.5), setting.pick(100, 300), anyhow),
    }


def _paper_checks(table: pd.DataFrame, runs) -> list[Check]:
    paper = table[table["kind"] == "on paper"]
    error = paper["on paper"]
    checks = [
        Check(
            "The exact solver finds the equilibria that are known on paper.",
            f"every utility to {PAPER:g}, relative, on networks of 2 to 77 agents",
            f"{count(error <= PAPER)}; largest relative error {error.max():.1e}",
            judged(error <= PAPER),
        )
    ]
    for name in (IN_TURN, PROPORTIONAL):
        error, closing = paper[name], paper[f"{name}: closing in"]
        slow = ", ".join(f"{row['family']} ({row[name]:.0e})" for _, row in paper[error > SAME].iterrows())
        checks.append(
            Check(
                ARRIVES[name],
                f"every utility to {SAME:g}, relative",
                f"{count(error <= SAME)} after {int(runs[name].rounds[-1]):,} rounds; "
                f"not yet: {slow or 'none'}; of these {int((~closing).sum())} no longer closing in",
                judged(error <= SAME) if closing.all() else judged([False]),
            )
        )
    return checks


def _form_checks(table: pd.DataFrame) -> list[Check]:
    random = table[table["kind"] != "on paper"]
    small = random[random["kind"] == "small"]
    return [_central(table), _limits(random), *_fair(table, small), _stable(small), _competitive(table)]


def _central(table: pd.DataFrame) -> Check:
    first, convex = table["first-order method"], table["convex solver"].dropna()
    solver = f"; Clarabel {count(convex <= CONVEX)}, largest {convex.max():.1e}" if len(convex) else ""
    return Check(
        "The market-level goal is one central program: solving it as such gives the equilibrium of the "
        "exact solver.",
        f"0 mismatches: every utility to {SAME:g}, relative (a convex solver's to {CONVEX:g})",
        f"projected gradient {count(first <= SAME)} alike, largest difference {first.max():.1e}{solver}",
        judged([*(first <= SAME), *(convex <= CONVEX)]),
    )


def _limits(random: pd.DataFrame) -> Check:
    words, met = [], []
    for name in (IN_TURN, PROPORTIONAL):
        error, closing = random[name], random[f"{name}: closing in"]
        words.append(
            f"{name}: {count(error <= SAME)} there, {int((closing & (error > SAME)).sum())} closing in "
            f"(largest error {error.max():.1e}), {int((~closing).sum())} elsewhere"
        )
        met += [*closing]
    return Check(
        "It is the limit of proportional response and where CMAP one after another rests.",
        f"0 mismatches: within {SAME:g}, or closing in like 1/t",
        "; ".join(words),
        judged(met),
    )


def _fair(table: pd.DataFrame, small: pd.DataFrame) -> list[Check]:
    lexicographic, rules = small["linear programs"], table[["reciprocity", "lexicographic"]].max(axis=1)
    split = table[["reciprocity, equal split", "lexicographic, equal split"]].max(axis=1)
    possible = table[table["even is feasible"]]
    away = possible["furthest from even"]
    return [
        Check(
            "It is fair: its ratios are the lexicographically optimal ones.",
            f"0 mismatches with progressive filling by linear programs, to {SAME:g}, relative",
            f"{count(lexicographic <= SAME)} alike, largest difference {lexicographic.max():.1e}",
            judged(lexicographic <= SAME),
        ),
        Check(
            "Value is exchanged in proportion: r_p r_j = 1 where it flows, ≥ 1 on every link, and nobody "
            "serves a richer neighbour before a poorer one.",
            f"violated by at most {FORM:g}; the equal split violates it",
            f"{count(rules <= FORM)} keep to it, largest violation {rules.max():.1e}; the equal split "
            f"{count(split <= FORM)}",
            judged(rules <= FORM),
        ),
        Check(
            "Wherever the network allows everybody to receive what it contributes, everybody does.",
            f"ratios of 1 to {FORM:g} wherever a linear program finds such an allocation",
            f"{count(away <= FORM)} that allow it ({len(table) - len(possible)} do not); furthest from 1: "
            f"{away.max():.1e}",
            judged(away <= FORM),
        ),
    ]


def _stable(small: pd.DataFrame) -> Check:
    gain, split = small["best coalition"], small["best coalition, equal split"]
    return Check(
        "It is stable: no coalition of agents could give all its members more by exchanging among "
        "themselves.",
        f"factor at most 1 (to {FORM:g}) over all coalitions; the equal split can be improved on",
        f"{count(gain <= 1 + FORM)} stable, largest factor − 1: {gain.max() - 1:.1e}; at the equal split a "
        f"coalition gains on {count(split > 1 + FORM)}, by a factor of {median(split)}",
        refuted(gain > 1 + FORM),
    )


def _competitive(table: pd.DataFrame) -> Check:
    error = table["competitive"]
    return Check(
        "It is competitive: at prices √r everybody sells its whole surplus and spends exactly what it earns, "
        "with its cheapest neighbours (Arrow and Debreu).",
        f"violated by at most {FORM:g}",
        f"{count(error <= FORM)} in competitive equilibrium, largest violation {error.max():.1e}",
        judged(error <= FORM),
    )


def _certificate(runs) -> Check:
    least = {name: forms.slack(run) for name, run in runs.items()}
    broken = np.concatenate([(slack < -ROUNDING).ravel() for slack in least.values()])
    loose = forms.tightness(runs)
    return Check(
        "The certified gap, which needs no equilibrium, is never below the true one.",
        "0 violations at any round of any run",
        f"{int(broken.sum())} violations in {len(broken):,} gaps of {len(runs)} runs on "
        f"{least[IN_TURN].shape[1]} markets (least difference "
        f"{min(slack.min() for slack in least.values()):.1e}, rounding); the bound is "
        f"{loose['certified / true, median'].min():.2g} to {loose['certified / true, median'].max():.2g} "
        "times the true gap (medians of runs)",
        refuted(broken),
    )


def _directed() -> Check:
    found = directed()
    central, competitive = (", ".join(f"{u:.6f}" for u in v) for v in (found.central, found.competitive))
    differ = np.abs(found.central - found.competitive).max()
    paper = np.abs(found.central - np.array([2, 4 / 3, 2 / 3])).max()
    return Check(
        "It takes an undirected network: with one-way links the program and the competitive equilibrium "
        "part.",
        "arcs 1→2, 1→3, 2→1, 3→2, contributions (1, 2, 1): (2, 4/3, 2/3) against (2, 1, 1)",
        f"central program ({central}), competitive equilibrium ({competitive}), violated by "
        f"{found.competitive_error:.0e}: {differ:.3f} apart",
        judged([paper < SAME, found.competitive_error < FORM, differ > 0.1]),
    )
