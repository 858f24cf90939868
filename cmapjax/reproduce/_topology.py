"""Part `topology`: how unequal equilibria are, against density, and who fares well in them (E14)."""

from typing import NamedTuple

import numpy as np
import pandas as pd

import cmapjax as cj
from cmapjax.graphs import BarabasiAlbert, Bipartite, ErdosRenyi, Family, RandomGeometric, WattsStrogatz
from cmapjax.report._intervals import median_interval
from cmapjax.reproduce._grid import CONTRIBUTIONS, drawn
from cmapjax.reproduce._judging import judged
from cmapjax.reproduce._numbers import count, median, share
from cmapjax.reproduce._part import Check, Finding, Setting
from cmapjax.reproduce._topology_pictures import against_centrality, against_degree, ratio_levels

AGENTS = 100
# A network is sparse up to this mean degree; above, most ratios are 1 and there is little to rank.
SPARSE = 8
SAME = 1e-9  # utilities that differ by less, relative, are the same
FEW = 10  # markets without which a kind of them is not judged
AGREE = "pairs agreeing with"
REMARKS = (
    "Inequality is the Gini coefficient over the agents of a market, of ratios (value received per value "
    "contributed) and of utilities (value received). With unequal contributions utilities stay unequal "
    "however dense the network, since agents that bring more receive more; ratios do not. With unit "
    "contributions both are the same.",
    "Sharing centrality is our reading of “many partners who in turn have few”: s_j = Σ w_p / deg(p) over "
    "the partners p of j, what j would receive if everybody split its contribution equally.",
    f"All networks have {AGENTS} agents; those without a neighbour, of whom sparse ones have many, are left "
    "out. Mean degrees are those asked for; a Barabási-Albert network has half as many links per newcomer, "
    "a Watts-Strogatz network a tenth of its links rewired.",
    "A bipartite network keeps two levels however dense it is: what one side contributes in all over what "
    "the other does, and the inverse. With unequal contributions its inequality therefore does not vanish.",
    f"Kinds of markets (family, contributions, mean degree) of which fewer than {FEW} have unequal "
    "utilities are not judged by their pairs.",
    "That density lowers inequality, with diminishing returns, was seen with people sharing in networks "
    "(Shirado, Iosifidis, Tassiulas and Christakis, Nature Communications 2019); theirs are not these "
    "networks, nor these strategies.",
)


class Cell(NamedTuple):
    """Markets of one kind, and their equilibria."""

    family: str
    degree: int
    contributions: str
    market: cj.Market
    found: cj.Equilibrium
    centrality: np.ndarray


def measure(setting: Setting) -> Finding:
    """Equilibria of networks from sparse to dense."""
    degrees = setting.pick((2, 4, 8, 16, 32), (2, 4, 6, 8, 12, 16, 24, 32))
    words, number = setting.pick(("unit", "lognormal"), tuple(CONTRIBUTIONS)), setting.pick(40, 150)
    cells, stream = [], 0
    for name in _networks(degrees[0]):
        setting.tell(f"{name}: mean degrees {degrees[0]} to {degrees[-1]}, {number} markets each")
        for degree in degrees:
            for word in words:
                family = _networks(degree)[name]
                market = drawn(family, CONTRIBUTIONS[word], setting.seed, stream, number, drops=True)
                found = cj.solve(market)
                cells.append(Cell(name, degree, word, market, found, sharing_centrality(market)))
                stream += 1
    table = pd.concat([_by_market(cell) for cell in cells], ignore_index=True)
    return Finding(
        checks=[
            _falls(table, "gini of ratios", "ratios"),
            _falls(
                table[table["contributions"] == "unit"], "gini of utilities", "utilities, unit contributions"
            ),
            _saturates(table, degrees),
            *_centrality(table),
            _levels(table),
        ],
        tables={"medians": _medians(table), "markets": table},
        pictures={
            "inequality": against_degree(table),
            "centrality": against_centrality([c for c in cells if c.degree == degrees[0]], table),
            "levels": ratio_levels(cells),
        },
        remarks=list(REMARKS),
    )


def _networks(degree: int) -> dict[str, Family]:
    """Families whose mean degree can be chosen."""
    half = AGENTS // 2
    return {
        "Erdős-Rényi": ErdosRenyi(AGENTS, mean_degree=degree),
        "Barabási-Albert": BarabasiAlbert(AGENTS, degree // 2),
        "Watts-Strogatz": WattsStrogatz(AGENTS, degree, 0.1),
        "geometric": RandomGeometric(AGENTS, mean_degree=degree),
        "bipartite": Bipartite(half, AGENTS - half, mean_degree=degree),
    }


def sharing_centrality(market) -> np.ndarray:
    """s_j = Σ_{p ∈ N_j} w_p / deg(p): what j receives at an equal split (value)."""
    return np.asarray(market.received(market.equal_flow()))


def _by_market(cell: Cell) -> pd.DataFrame:
    """One row per market of a cell."""
    market, found = cell.market, cell.found
    agents, degree = np.asarray(market.market_of), np.asarray(market.degree)
    utility, ratio = np.asarray(found.utility), np.asarray(found.ratio)
    weight = np.asarray(market.contribution)
    size = np.bincount(agents)
    groups = np.asarray(found.groups.market)
    members = np.split(np.arange(len(agents)), np.cumsum(size)[:-1])
    return pd.DataFrame(
        {
            "family": cell.family,
            "degree": cell.degree,
            "contributions": cell.contributions,
            "agents": size,
            "realised degree": np.bincount(agents, degree) / size,
            "gini of ratios": cj.metrics.gini(market, ratio),
            "gini of utilities": cj.metrics.gini(market, utility),
            "gini of contributions": cj.metrics.gini(market, weight),
            "least ratio": cj.metrics.min_ratio(market, utility),
            "ratio levels": np.bincount(groups),
            "share at ratio 1": np.bincount(agents, ratio == 1) / size,
            "levels off their inverses": _off_inverse(np.asarray(found.groups.ratio), groups),
            f"{AGREE} sharing centrality": [concordance(utility[m], cell.centrality[m]) for m in members],
            f"{AGREE} degree": [concordance(utility[m], degree[m]) for m in members],
        }
    )


def _off_inverse(levels: np.ndarray, market_of: np.ndarray) -> list[float]:
    """max_k |l_k l_{m+1−k} − 1| over the ascending ratio levels l_1 … l_m of each market."""
    ends = np.cumsum(np.bincount(market_of))[:-1]
    return [float(np.abs(own * own[::-1] - 1).max()) for own in np.split(levels, ends)]


def concordance(utility: np.ndarray, other: np.ndarray) -> float:
    """Of two agents that do not receive the same, how often the one with more has the larger other number.

    Ties of the other count half, so 0.5 is chance; NaN where all receive the same (to rounding).
    """
    gap = utility[:, None] - utility
    richer = gap > SAME * np.maximum(utility[:, None], utility)
    if not richer.any():
        return np.nan
    sign = np.sign(other[:, None] - other)
    return float(0.5 + 0.5 * sign[richer].mean())


def _medians(table: pd.DataFrame) -> pd.DataFrame:
    numbers = table.groupby(["family", "contributions", "degree"], sort=False)
    return numbers.median(numeric_only=True).reset_index().assign(markets=numbers.size().to_numpy())


def _falls(table: pd.DataFrame, column: str, what: str) -> Check:
    groups = table.groupby(["family", "contributions", "degree"], sort=False)[column]
    medians = groups.median().unstack("degree")
    low, high = (
        groups.apply(lambda x, k=k: median_interval(np.sort(x))[k]).unstack("degree").to_numpy()
        for k in (0, 1)
    )
    # Between degrees nothing rises but within the medians' intervals; from first to last it falls.
    falls = (low[:, 1:] <= high[:, :-1]).all(axis=1) & (high[:, -1] < low[:, 0])
    ends = [medians.iloc[:, k].median() for k in (0, -1)]
    rises = ", ".join(" ".join(name) for name in medians.index[~falls]) or "none"
    return Check(
        f"Denser networks lower inequality (of {what}).",
        "the Gini coefficient falls with the mean degree in every family, and rises nowhere (beyond the 95 % "
        "intervals of medians)",
        f"so in {count(falls, 'families and contributions')}; not in: {rises}. Gini from {ends[0]:.3f} "
        f"(degree {medians.columns[0]}) to {ends[1]:.3f} (degree {medians.columns[-1]}), medians of "
        f"{len(table):,} markets",
        judged(falls),
    )


def _saturates(table: pd.DataFrame, degrees) -> Check:
    medians = table.groupby(["family", "contributions", "degree"], sort=False)["gini of ratios"].median()
    by_degree = medians.unstack("degree")
    early, late = by_degree[2] - by_degree[4], by_degree[16] - by_degree[32]
    whole = by_degree[degrees[0]] - by_degree[degrees[-1]]
    done = (by_degree[degrees[0]] - by_degree[SPARSE]) / whole
    met = (early > late) & (whole > 0)
    return Check(
        "It saturates: further links help less and less.",
        "doubling the mean degree from 2 to 4 lowers the Gini of ratios by more than from 16 to 32",
        f"so in {count(met, 'families and contributions')}: by {early.median():.3f} against "
        f"{late.median():.3f} (medians); "
        f"{done.median():.0%} of the whole fall is over at a mean degree of {SPARSE}".replace("%", " %"),
        judged(met),
    )


def _centrality(table: pd.DataFrame) -> list[Check]:
    sparse = table[(table["degree"] <= SPARSE) & table[f"{AGREE} degree"].notna()]
    is_unit = sparse["contributions"] == "unit"
    central, degree = sparse[is_unit][f"{AGREE} sharing centrality"], sparse[is_unit][f"{AGREE} degree"]
    checks = []
    for rows, whom in ((sparse[is_unit], "equal"), (sparse[~is_unit], "unequal")):
        by_kind = rows.groupby(["family", "contributions", "degree"])[f"{AGREE} sharing centrality"]
        kinds = by_kind.median()[by_kind.size() >= FEW]
        least = " ".join(str(word) for word in kinds.idxmin())
        checks.append(
            Check(
                f"With {whom} contributions, agents with many partners who in turn have few receive most.",
                "of two agents, the one that receives more has the larger sharing centrality more often "
                f"than not, in every kind of market up to a mean degree of {SPARSE}",
                f"in a share {median(rows[f'{AGREE} sharing centrality'], '.3f')} of pairs; more often than "
                f"not in {count(kinds > 0.5, 'kinds')}, least in {least} ({kinds.min():.3f})",
                judged(kinds > 0.5),
            )
        )
    return [
        *checks,
        Check(
            "That says more than the number of partners does (equal contributions).",
            "agrees with utilities in more pairs than degree does, in most markets",
            f"in {share(central > degree)}; degree agrees in a share {median(degree, '.3f')} of pairs",
            judged([(central > degree).mean() > 0.5]),
        ),
    ]


def _levels(table: pd.DataFrame) -> Check:
    off, levels = table["levels off their inverses"], table["ratio levels"]
    return Check(
        "Ratios come in levels that are each other's inverses: l_k l_(m+1−k) = 1.",
        "in every market, to rounding",
        f"{count(off <= 1e-12)}, largest deviation {off.max():.1e}; 1 to {levels.max()} levels in a market, "
        f"at most {table['agents'].max()} agents each",
        judged(off <= 1e-12),
    )
