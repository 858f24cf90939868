"""What the pages of claims share: how much is played, on which markets, and how checks are recorded.

`CMAPJAX_CLAIMS` says how much: "quick" (the default, and what the documentation is built with) or "full".
`CMAPJAX_CLAIMS_SEED` is the seed of everything random, `CMAPJAX_CLAIMS_OUT` a CSV file for the checks.
"""

import builtins
import os
import warnings
from collections.abc import Iterable
from pathlib import Path

import jax
import numpy as np
import pandas as pd
from scipy import stats

import cmapjax as cj
from cmapjax import graphs

HERE = Path(__file__).parent
MODE = os.environ.get("CMAPJAX_CLAIMS", "quick")
SEED = int(os.environ.get("CMAPJAX_CLAIMS_SEED", "0"))
OUT = os.environ.get("CMAPJAX_CLAIMS_OUT")
if MODE not in ("quick", "full"):
    raise ValueError(f"CMAPJAX_CLAIMS is {MODE!r}; give quick or full.")
HOLDS, IN_PART, FAILS, OPEN = "holds", "holds in part", "does not hold", "left open"
COLUMNS = ("part", "labels", "claim", "statement", "expected", "found", "verdict", "proved", "mode", "seed")
# Contributions of the common grid (grid.toml), as of `families`.
CONTRIBUTIONS = {
    "unit": graphs.Unit(),
    "uniform": graphs.Uniform(0.1, 1),
    "lognormal": graphs.LogNormal(sigma=1.0),
}
# Ways to play them.
_AT_ONCE = cj.Simultaneous()
PLAYS = {
    "CMAP in turn": (cj.CMAP(), cj.Sequential()),
    "CMAP by colours": (cj.CMAP(), cj.Coloured()),
    "CMAP at once, local damping": (cj.Damped(cj.CMAP(), cj.LocalDamping()), _AT_ONCE),
    "CMAP at once, damping 1/2": (cj.Damped(cj.CMAP(), cj.FixedDamping(0.5)), _AT_ONCE),
    "CMAP at once": (cj.Damped(cj.CMAP(), cj.FixedDamping(1.0)), _AT_ONCE),  # shares a program with 1/2
    "proportional response": (cj.ProportionalResponse(), _AT_ONCE),
    "CMAP by 5 gradient steps, local damping": (
        cj.Damped(cj.GradientCMAP(method=cj.OptaxGradient(5)), cj.LocalDamping()),
        _AT_ONCE,
    ),
    "selfish": (cj.SelfishBestReply(), _AT_ONCE),
    "equal split": (cj.EqualSplit(), _AT_ONCE),
}
RESAMPLES = 2000

# A bar of progress, in a notebook that cannot show one.
warnings.filterwarnings("ignore", message='install "ipywidgets"')
if OUT:  # executed as a script: programs compiled are kept for the next time
    cj.compilation_cache()


def pick(quick, full):
    """The first in a quick run, else the second."""
    return quick if MODE == "quick" else full


def key(stream: int):
    """A key drawn from the seed, one for each number."""
    return jax.random.fold_in(jax.random.key(SEED), stream)


# -- markets ---------------------------------------------------------------------------------------


def families(n: int, degree: float = 8) -> dict[str, graphs.Family]:
    """The seven families of the common grid, of n agents; `degree` where it can be chosen."""
    rows = max(r for r in range(1, int(n**0.5) + 1) if n % r == 0)
    if rows < max(3, 0.75 * n**0.5):  # no torus of n agents is nearly square
        rows = max(3, round(n**0.5))
    half = n // 2
    return {
        "Erdős-Rényi": graphs.ErdosRenyi(n, mean_degree=degree),
        "Barabási-Albert": graphs.BarabasiAlbert(n, 2),
        "Watts-Strogatz": graphs.WattsStrogatz(n, 4, 0.1),
        "geometric": graphs.RandomGeometric(n, mean_degree=degree),
        "torus": graphs.TorusGrid(rows, max(3, round(n / rows))),
        "tree": graphs.RandomTree(n),
        "bipartite": graphs.Bipartite(half, n - half, mean_degree=min(degree, half - 1)),
    }


def drawn(family, contribution: str, stream: int, number: int = 1, *, drops: bool = False) -> cj.Market:
    """So many markets of a family; isolated agents are left out, or their network is drawn anew."""
    isolated = graphs.Drop() if drops else graphs.Redraw()
    source = graphs.RandomMarket(family, endowment=CONTRIBUTIONS[contribution], isolated=isolated)
    return source.draw(key(stream), number)


def grid(sizes: Iterable[int], number: int, degree: float = 8) -> tuple[cj.Market, pd.DataFrame]:
    """The common grid as one market, and for each of its markets family, contributions and agents.

    The torus of equal agents is left out: it starts at its equilibrium.
    """
    kinds = [
        (name, words, n, family)
        for n in sizes
        for name, family in families(n, degree).items()
        for words in CONTRIBUTIONS
        if (name, words) != ("torus", "unit")
    ]
    parts = [drawn(family, words, k, number) for k, (_, words, _, family) in enumerate(kinds)]
    table = pd.DataFrame([row[:3] for row in kinds], columns=["family", "contributions", "agents"])
    return cj.pack(parts), table.loc[table.index.repeat(number)].reset_index(drop=True)


def first_within(loss: np.ndarray, most: float, rounds: np.ndarray) -> np.ndarray:
    """Of every column the first round with a loss of at most `most`; infinite if there is none."""
    within = loss <= most
    return np.where(within.any(axis=0), rounds[within.argmax(axis=0)], np.inf)


# -- numbers ---------------------------------------------------------------------------------------


def middle(values) -> float:
    """The lower median, which is one of the values; some may be infinite (never reached)."""
    return float(np.quantile(np.asarray(values, float), 0.5, method="inverted_cdf"))


def interval(values) -> tuple[float, float]:
    """The 95 % percentile bootstrap interval of `middle`; NaN, which says nothing was measured, is refused.

    No resample is drawn whole: the k-th of n ordered uniform numbers is Beta(k, n − k + 1).
    """
    ordered = np.sort(np.asarray(values, float))
    n, k = len(ordered), (len(ordered) + 1) // 2
    if n == 0 or np.isnan(ordered).any():
        raise ValueError(f"{n} values, of which {np.isnan(ordered).sum()} are no numbers.")
    places = (n * np.random.default_rng(SEED).beta(k, n - k + 1, RESAMPLES)).astype(int)
    low, high = np.quantile(ordered[np.minimum(places, n - 1)], [0.025, 0.975], method="inverted_cdf")
    return float(low), float(high)


def median(values, form: str = ".4g", of: str = "markets") -> str:
    """ "0.981 [0.979, 0.983] (median of 210 markets)": with the 95 % bootstrap interval."""
    one, *ends = ("never" if x == np.inf else format(x, form) for x in (middle(values), *interval(values)))
    return f"{one} [{', '.join(ends)}] (median of {len(values):,} {of})"


def share(flags, of: str = "markets") -> str:
    """ "97.6 % [94.5 %, 99.2 %] (of 210 markets)": with the 95 % Wilson interval."""
    flags = np.asarray(flags, bool)
    ends = stats.binomtest(int(flags.sum()), len(flags)).proportion_ci(method="wilson")
    text = f"{flags.mean():.1%} [{ends.low:.1%}, {ends.high:.1%}] (of {len(flags):,} {of})"
    return text.replace("%", " %")


def count(flags, of: str = "markets") -> str:
    """ "12 of 210 markets"."""
    flags = np.asarray(flags, bool)
    return f"{int(flags.sum()):,} of {flags.size:,} {of}"


def listed(numbers, form: str = ".3g") -> str:
    """ "tree 0.98, torus 0.97": a mapping from names to numbers."""
    return ", ".join(f"{name} {value:{form}}" for name, value in dict(numbers).items()).replace("%", " %")


def graded(part: float, holds: float = 0.95, fails: float = 0.05) -> list[bool]:
    """What to give `check` for a share of cases: it holds from `holds` on, and not up to `fails`."""
    return [part >= holds, part > fails]


# -- checks ----------------------------------------------------------------------------------------


class Page:
    """A claim, and the checks that it is put to."""

    def __init__(self, part: str, labels: str, claim: str):
        self.part, self.labels, self.claim = part, labels, claim
        self.checks: list[dict] = []

    def check(self, statement: str, *, expected: str, found: str, met, proved: bool = False) -> None:
        """Record a statement with its verdict.

        Args:
            statement: a sentence that numbers can refute.
            expected: what was claimed, derived or found before.
            found: what came out, with numbers.
            met: for each case whether it is as expected. All: it holds; some: in part; none: it does not
                hold. None leaves it open.
            proved: an exception is an error, of the package or of the proof: `finish` raises.
        """
        if not any(character.isdigit() for character in found):
            raise ValueError(f"found is {found!r}; say it with a number.")
        flags = None if met is None else np.asarray(met, bool).ravel()
        if flags is not None and len(flags) == 0:
            raise ValueError(f"met is empty; give a case to judge {statement!r} by.")
        verdict = OPEN if flags is None else HOLDS if flags.all() else IN_PART if flags.any() else FAILS
        row = (self.part, self.labels, self.claim, statement, expected, found, verdict, proved, MODE, SEED)
        self.checks.append(dict(zip(COLUMNS, row, strict=True)))

    def finish(self) -> "Page":
        """Show the verdicts and write them to `CMAPJAX_CLAIMS_OUT`; AssertionError if a proof is broken."""
        if OUT:
            pd.DataFrame(self.checks, columns=COLUMNS).to_csv(OUT, index=False)
        if not hasattr(builtins, "__IPYTHON__"):
            for row in self.checks:
                print(f"{row['verdict']}: {row['statement']} Found: {row['found']}")
        broken = [row for row in self.checks if row["proved"] and row["verdict"] != HOLDS]
        assert not broken, "; ".join(f"{row['statement']} Found: {row['found']}" for row in broken)
        return self

    def _repr_markdown_(self) -> str:
        return table(self.checks)


def table(checks: Iterable[dict], columns=("statement", "expected", "found", "verdict")) -> str:
    """Checks in Markdown."""
    lines = ["| " + " | ".join(("", *columns[1:])) + " |", "|---" * len(columns) + "|"]
    for row in checks:
        lines.append("| " + " | ".join(_cell(str(row[name])) for name in columns) + " |")
    return "\n".join(lines)


def _cell(text: str) -> str:
    for character in "\\|*_<[`$":
        text = text.replace(character, f"\\{character}")
    return text
