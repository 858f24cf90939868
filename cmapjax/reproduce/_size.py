"""Part `size`: cost and rounds needed, from 20 to a million agents (C9, E15)."""

import numpy as np
import pandas as pd
import scipy.stats

import cmapjax as cj
from cmapjax.plots._canvas import COLOURS, new_figure
from cmapjax.reproduce._grid import CONTRIBUTIONS, drawn, families
from cmapjax.reproduce._judging import judged
from cmapjax.reproduce._part import FAILS, HOLDS, IN_PART, Check, Finding, Picture, Setting
from cmapjax.reproduce._size_timing import EVERY, GAPS, load, machine, solved, timed

PROPORTIONAL, CMAP = "proportional response", "CMAP, locally damped"
# Families of which markets of 100,000 agents are solved exactly, some seconds each.
SOLVED = ("Erdős-Rényi", "Barabási-Albert", "torus", "tree")
# Links from which on a round costs more than starting its kernels.
LARGE = 1000
# Exponents that count as proportional, and those that nearly do: caches make large markets dearer.
NEAR_ONE, ABOUT_ONE = (0.9, 1.1), (0.8, 1.25)
FEW_SECONDS = 60.0


def measure(setting: Setting) -> Finding:
    """Times and rounds of single markets of all sizes."""
    before = load()
    table, solutions = _timed(setting)
    return Finding(
        checks=[
            *[_cost(table, who) for who in (PROPORTIONAL, CMAP)],
            *[_rounds(table, who) for who in (PROPORTIONAL, CMAP)],
            _largest(table),
            _solving(solutions),
        ],
        tables={"rounds": table, "equilibrium": solutions},
        pictures={"cost": _cost_picture(table, solutions), "rounds": _rounds_picture(table)},
        remarks=_remarks(setting, before),
    )


def _timed(setting: Setting) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rounds of every market under every strategy, and exact equilibria of those not too large."""
    rows, solutions = [], []
    for stream, (name, size) in enumerate(_plan(setting)):
        setting.tell(f"{name}, {size:,} agents")
        family = families(size, min(8, size // 4))[name]
        market = drawn(family, CONTRIBUTIONS["uniform"], setting.seed, stream, drops=True)
        about = {
            "family": name,
            "asked for": size,
            "agents": market.num_agents,
            "links": market.num_links,
            "largest degree": int(np.max(market.degree)),
        }
        for who, (strategy, schedule) in _plays().items():
            seconds = setting.pick(0.3, 2.0) * (2 if size >= 10**6 else 1)
            rows.append(about | {"who": who} | timed(market, strategy, schedule, seconds))
        if size <= 10**4 or (size <= 10**5 and name in SOLVED):
            solutions.append(about | solved(market, 1 if size >= 10**5 else 3))
    table = pd.DataFrame(rows)
    table["ns per round and link end"] = 1e9 * table["seconds per round"] / (2 * table["links"])
    return table, pd.DataFrame(solutions)


def _remarks(setting: Setting, before: float) -> list[str]:
    return [
        f"Times depend on the machine and on what else it does: {machine()}; load {before:.2f} before and "
        f"{load():.2f} after (processes that wanted a core, mean of a minute). Compiling is left out of the "
        "times per round and stands in a column of its own; repeats are medians with the fastest and the "
        "slowest.",
        f"A round's time includes its share of a look at the certificate every {EVERY} rounds, so rounds to "
        f"a gap are multiples of {EVERY}. Contributions are uniform from 0.1 to 1; mean degree 8 where it "
        "can be chosen, less for 20 agents. Isolated agents are left out. “never” means: not within the "
        f"time given to it, {4 * setting.pick(0.3, 2.0):g} s per market and strategy, twice that at a "
        "million agents.",
        "Equilibria of a million agents, and of 100,000 in some families, are left out for the time they "
        "take.",
        "Exponents are of seconds against links, by least squares on logarithms with an intercept per "
        f"family, for markets of {LARGE:,} links or more; intervals are 95 % (t distribution).",
    ]


def _plan(setting: Setting) -> list[tuple[str, int]]:
    """Families and sizes."""
    if setting.quick:
        return [("torus", n) for n in (20, 1000, 10**4, 10**5)] + [
            ("Watts-Strogatz", n) for n in (1000, 10**4)
        ]
    plan = [(name, n) for n in (20, 1000, 10**5) for name in families(20, 4)]
    plan += [(name, 10**4) for name in ("Erdős-Rényi", "torus", "Barabási-Albert")]
    plan += [(name, 10**6) for name in ("Erdős-Rényi", "torus", "Barabási-Albert")]
    return sorted(plan, key=lambda pair: pair[1])


def _plays() -> dict:
    return {
        PROPORTIONAL: (cj.ProportionalResponse(), cj.Simultaneous()),
        CMAP: (cj.Damped(cj.CMAP(), cj.LocalDamping()), cj.Simultaneous()),
    }


def exponent(links, seconds, family) -> tuple[float, float, float]:
    """Slope of log seconds against log links with an intercept per family, and its 95 % interval.

    Raises:
        ValueError: too few points for an interval.
    """
    x, y = np.log(np.asarray(links, float)), np.log(np.asarray(seconds, float))
    names, which = np.unique(np.asarray(family), return_inverse=True)
    freedom = len(x) - len(names) - 1
    if freedom < 1:
        raise ValueError(f"{len(x)} times of {len(names)} families; give at least {len(names) + 2}.")

    def centred(values):
        return values - (np.bincount(which, values) / np.bincount(which))[which]

    x, y = centred(x), centred(y)
    slope = (x @ y) / (x @ x)
    error = np.sqrt(np.sum((y - slope * x) ** 2) / freedom / (x @ x))
    width = scipy.stats.t.ppf(0.975, freedom) * error
    return float(slope), float(slope - width), float(slope + width)


def _cost(table: pd.DataFrame, who: str) -> Check:
    rows = table[(table["who"] == who) & (table["links"] >= LARGE)]
    slope, low, high = exponent(rows["links"], rows["seconds per round"], rows["family"])
    each = rows["ns per round and link end"]
    near = low <= NEAR_ONE[1] and high >= NEAR_ONE[0] and ABOUT_ONE[0] <= slope <= ABOUT_ONE[1]
    about = ABOUT_ONE[0] <= slope <= ABOUT_ONE[1]
    return Check(
        f"Cost per round grows in proportion to the number of links ({who}).",
        f"exponent 1: its 95 % interval meets {NEAR_ONE[0]} to {NEAR_ONE[1]}",
        f"exponent {slope:.3f} [{low:.3f}, {high:.3f}] ({len(rows)} markets of {rows['links'].min():,} to "
        f"{rows['links'].max():,} links); {each.median():.1f} ns per round and link end (median; "
        f"{each.min():.1f} to {each.max():.1f})",
        HOLDS if near else IN_PART if about else FAILS,
    )


def _rounds(table: pd.DataFrame, who: str) -> Check:
    rows = table[table["who"] == who]
    wide = rows.pivot_table(
        index="family", columns="asked for", values=f"rounds to {GAPS[0]:g}", dropna=False
    )
    first, last = 1000, max(rows["asked for"])
    wide = wide[[size for size in wide if size >= first]].dropna(how="all", axis=0)
    growth = wide.apply(lambda row: row.dropna().iloc[-1] / row.dropna().iloc[0], axis=1)
    words = "; ".join(
        f"{name}: " + ", ".join(f"{_said(x)} ({size:,})" for size, x in row.dropna().items())
        for name, row in wide.iterrows()
    )
    return Check(
        f"The rounds that a market needs hardly depend on its size ({who}).",
        f"to a certified gap of {GAPS[0]:g}: from {first:,} to {last:,} agents they do not double, in any "
        "family",
        f"{words} agents",
        judged(growth.fillna(np.inf) <= 2),
    )


def _said(rounds: float) -> str:
    return "never" if np.isinf(rounds) else f"{rounds:.0f}"


def _largest(table: pd.DataFrame) -> Check:
    top = table[table["asked for"] == table["asked for"].max()]
    column = f"seconds to {GAPS[0]:g}"
    quickest = top.loc[top.groupby("family")[column].idxmin()]
    words = "; ".join(
        f"{row['family']}, {row['agents']:,} agents: {row['who']} {row[column]:.2g} s to {GAPS[0]:g}, "
        + (
            f"{row[f'seconds to {GAPS[1]:g}']:.2g} s to {GAPS[1]:g}"
            if np.isfinite(row[f"seconds to {GAPS[1]:g}"])
            else f"not within the time given to {GAPS[1]:g}"
        )
        for _, row in quickest.iterrows()
    )
    return Check(
        "The largest markets come to a certified gap of 1e-4 within a minute.",
        f"at most {FEW_SECONDS:g} s without compiling, by the quicker strategy",
        words,
        judged(quickest[column] <= FEW_SECONDS),
    )


def _solving(solutions: pd.DataFrame) -> Check:
    rows = solutions[solutions["links"] >= LARGE]
    slope, low, high = exponent(rows["links"], rows["seconds to solve"], rows["family"])
    top = rows.loc[rows["links"].idxmax()]
    return Check(
        "The exact equilibrium takes hardly more than proportionally longer, too.",
        "exponent at most 1.2",
        f"exponent {slope:.3f} [{low:.3f}, {high:.3f}] ({len(rows)} markets); {top['seconds to solve']:.3g} "
        f"s for {top['agents']:,} agents and {top['links']:,} links ({top['family']})",
        HOLDS if slope <= 1.2 else IN_PART if low <= 1.2 else FAILS,
    )


def _cost_picture(table: pd.DataFrame, solutions: pd.DataFrame) -> Picture:
    figure = new_figure(9, 3.8)
    panels = figure.subplots(1, 3, sharex=True)
    for panel, who in zip(panels, (PROPORTIONAL, CMAP), strict=False):
        for number, (family, rows) in enumerate(table[table["who"] == who].groupby("family", sort=False)):
            rows = rows.sort_values("links")
            panel.plot(
                rows["links"], rows["seconds per round"], "o-", ms=3, color=COLOURS[number], label=family
            )
            panel.fill_between(
                rows["links"], rows["fastest"], rows["slowest"], color=COLOURS[number], alpha=0.15
            )
        panel.set_title(f"{who}: a round", fontsize=9, loc="left")
    for number, (_, rows) in enumerate(solutions.groupby("family", sort=False)):
        rows = rows.sort_values("links")
        panels[2].plot(rows["links"], rows["seconds to solve"], "o-", ms=3, color=COLOURS[number])
    panels[2].set_title("the exact equilibrium", fontsize=9, loc="left")
    for panel, table_of in zip(panels, (table, table, solutions), strict=True):
        ends = np.array([LARGE, table_of["links"].max()])
        column = "seconds per round" if table_of is table else "seconds to solve"
        level = table_of.loc[table_of["links"].idxmax(), column] / ends[1]
        panel.plot(ends, 0.3 * level * ends, color="0.5", lw=1, ls=":", label="in proportion")
        panel.set(xscale="log", yscale="log", xlabel="links")
        panel.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylabel("seconds")
    panels[0].legend(frameon=False, fontsize=7)
    return Picture(
        figure,
        "Seconds per round (bands: fastest and slowest call) and seconds to solve for the equilibrium "
        "exactly, against the number of links; dotted is a line of slope 1.",
    )


def _rounds_picture(table: pd.DataFrame) -> Picture:
    names = list(table["who"].unique())
    figure = new_figure(8, 3.6)
    panels = np.atleast_1d(figure.subplots(1, len(names), sharey=True))
    for panel, who in zip(panels, names, strict=True):
        for number, (family, rows) in enumerate(table[table["who"] == who].groupby("family", sort=False)):
            rows = rows.sort_values("agents")
            for level, style in zip(GAPS, ("-", "--"), strict=True):
                needed = rows[f"rounds to {level:g}"].replace(np.inf, np.nan).clip(lower=EVERY)
                label = family if level == GAPS[0] else None
                panel.plot(
                    rows["agents"], needed, style, marker="o", ms=3, color=COLOURS[number], label=label
                )
        panel.set(xscale="log", yscale="log", xlabel="agents")
        panel.set_title(who, fontsize=9, loc="left")
        panel.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylabel("rounds")
    panels[0].legend(frameon=False, fontsize=7)
    return Picture(
        figure,
        f"Rounds to a certified gap of {GAPS[0]:g} (solid) and {GAPS[1]:g} (dashed) against the number of "
        "agents; what was not reached in the time given is not drawn.",
    )
