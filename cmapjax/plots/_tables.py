"""What charts of a study compute from its tables: names, levels, orders, quantiles.

All take the frames that `open_study` gives: `summary` has one row per market and cell, `curves` one per cell,
round and metric with quantiles over markets. A *play* is what agents do: strategy, schedule and damping.
"""

from collections.abc import Mapping
from itertools import pairwise

import numpy as np
import pandas as pd

from cmapjax import metrics
from cmapjax.arguments._checks import listed, short
from cmapjax.plots._curves import MEASURES, WORSE_ABOVE

PLAY = ("strategy", "schedule", "damping")
QUANTILES = ("q05", "q25", "q50", "q75", "q95")
MOST_TILES = 12  # numeric axes with more values are put into ranges
NUM_RANGES = 6
# Axis label of a metric, and whether a logarithmic axis shows it; beyond those that curves of runs show.
STUDY_MEASURES = MEASURES | {
    "log_nash_welfare": ("log Nash welfare", False),
    "average_log_nash_welfare": ("log Nash welfare, average over rounds", False),
    "average_misallocated_share": ("misallocated value, average over rounds", True),
    "num_starved": ("agents with nothing", False),
    "rounds_to_98": ("rounds until 98 % of the equilibrium", False),
    "rounds_to_999": ("rounds until 99.9 % of the equilibrium", False),
}
# From good to bad.
VERDICTS = (
    "converged", "closing in", "still moving", "oscillating", "settled elsewhere", "starved for now",
    "not feasible", "not finite",
)  # fmt: skip
SCALES = {"share_of_equilibrium": 100.0, "certified_share": 100.0}  # shown as per cent


def measure(metric: str) -> tuple[str, bool]:
    """The words for a metric, and whether it is drawn on a logarithmic axis."""
    return STUDY_MEASURES.get(metric, (metric.replace("_", " "), False))


def is_worse_above(metric: str) -> bool:
    """Whether larger values of this metric are worse (a loss, or rounds needed)."""
    return measure(metric)[1] or metric in WORSE_ABOVE or metric.startswith("rounds_to")


def ranked(values, metric: str) -> np.ndarray:
    """Values as float64 in which NaN counts as the worst possible value and not as missing."""
    numbers = np.array(pd.to_numeric(pd.Series(values)), np.float64)
    return np.where(np.isnan(numbers), np.inf if is_worse_above(metric) else -np.inf, numbers)


def quantiles(ordered: np.ndarray, wanted) -> np.ndarray:
    """Quantiles, linearly interpolated, of ascending values that may be infinite; one row per quantile."""
    place = np.multiply(wanted, len(ordered) - 1)
    below, above = ordered[np.floor(place).astype(int)], ordered[np.ceil(place).astype(int)]
    part = (place - np.floor(place)).reshape(-1, *(1,) * (ordered.ndim - 1))
    is_simple = (below == above) | np.isinf(below) | (part == 0)
    with np.errstate(invalid="ignore"):
        return np.where(is_simple, below, below + part * np.where(is_simple, 0, above - below))


def play_names(summary: pd.DataFrame) -> pd.Series:
    """What every row plays, in words: the strategy, and schedule and damping where they differ somewhere."""
    plays = summary[[*PLAY]].astype(str)
    codes = plays.groupby([*PLAY], sort=False).ngroup().to_numpy()
    # Each distinct play once, because a study may have millions of rows.
    distinct = plays.iloc[np.unique(codes, return_index=True)[1]]
    names = distinct["strategy"]
    if distinct["schedule"].nunique() > 1:
        names = names + ", " + distinct["schedule"]
    if distinct["damping"].nunique() > 1:
        names = names + distinct["damping"].map(lambda d: ", undamped" if d == "none" else f", damping {d}")
    return pd.Series(names.to_numpy(object)[codes], index=summary.index)


def levels(values: pd.Series) -> tuple[list[str], np.ndarray]:
    """The values of an axis as labels in order, and the place of every row among them.

    Numbers ascend, words keep their order. An axis of more than 12 distinct numbers (a sample) is put into
    six ranges of about equally many values.
    """
    if not pd.api.types.is_numeric_dtype(values) or pd.api.types.is_bool_dtype(values):
        codes, names = pd.factorize(values.astype(str))
        return [str(name) for name in names], codes
    distinct = np.unique(values.to_numpy())
    if len(distinct) <= MOST_TILES:
        return [axis_text(v) for v in distinct], np.searchsorted(distinct, values)
    cuts = np.unique(np.quantile(distinct, np.linspace(0, 1, NUM_RANGES + 1)))
    place = np.clip(np.searchsorted(cuts, values, side="right") - 1, 0, len(cuts) - 2)
    if pd.api.types.is_integer_dtype(values):
        parts = [values[place == k] for k in range(len(cuts) - 1)]
        return [f"{axis_text(part.min())} to {axis_text(part.max())}" for part in parts], place
    ends = [axis_text(float(f"{cut:.3g}")) for cut in cuts]
    return [f"{a} to {b}" for a, b in pairwise(ends)], place


def axis_text(value) -> str:
    """The value of an axis in words: whole numbers whole, others as short as tells them from each other."""
    value = value.item() if isinstance(value, np.generic) else value
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        value = int(value)
    if not isinstance(value, float):
        return str(value)
    return f"{value:g}" if float(f"{value:g}") == value else repr(value)


def updates_per_round(summary: pd.DataFrame) -> pd.Series:
    """Of every cell, how often an agent acts in a round, on average over agents and markets."""
    rates = summary["agent_updates"] / summary["num_agents"] / summary["rounds"]
    return rates.groupby(summary["cell"]).mean()


def statistics(summary: pd.DataFrame, names: list[str]) -> np.ndarray:
    """Of every cell, by ascending number, these metrics' median, first and last decile and mean over markets.

    A market whose metric is not a number counts as the worst.

    Returns:
        Cells × metrics × 4.
    """
    _, place, sizes = np.unique(summary["cell"], return_inverse=True, return_counts=True)
    cuts = np.cumsum(sizes)[:-1]
    table = np.zeros((len(sizes), len(names), 4))
    for k, metric in enumerate(names):
        values = ranked(summary[metric], metric)
        for cell, some in enumerate(np.split(values[np.lexsort((values, place))], cuts)):
            with np.errstate(invalid="ignore"):
                table[cell, k] = *quantiles(some, [0.5, 0.1, 0.9]), some.mean()
    return table


def over_cells(values: np.ndarray) -> np.ndarray:
    """The median over cells (the first axis) of what each of them has."""
    return quantiles(np.sort(values, axis=0), [0.5])[0]


def cell_bands(curves: pd.DataFrame, metric: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Quantiles over markets as one array.

    Where all markets of a cell have ended, the last ones stand. What is not a number counts as the worst.

    Args:
        curves: `open_study(folder).curves()`.
        metric: one of those recorded.

    Returns:
        Numbers of cells, recorded rounds, and quantiles: cells × rounds × 5.
    """
    some = curves[curves["metric"].astype(str) == metric]
    cells, rounds = np.unique(some["cell"]), np.unique(some["round"])
    row, column = np.searchsorted(cells, some["cell"]), np.searchsorted(rounds, some["round"])
    worst = np.inf if is_worse_above(metric) else -np.inf
    table = np.full((len(cells), len(rounds), len(QUANTILES)), worst)
    values = some[[*QUANTILES]].astype(float).to_numpy()
    table[row, column] = np.where(np.isnan(values), worst, values)
    last = np.zeros((len(cells), len(rounds)), int)
    last[row, column] = column
    last = np.maximum.accumulate(last, axis=1)
    return cells, rounds, np.take_along_axis(table, last[:, :, None], axis=1)


def bands(curves: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Quantiles over markets by round; of several cells the median over them of each quantile."""
    _, rounds, values = cell_bands(curves, metric)
    return pd.DataFrame(over_cells(values), index=rounds, columns=[*QUANTILES])


def verdict_counts(verdicts, place: np.ndarray, number: int) -> np.ndarray:
    """How many markets came to each verdict.

    Args:
        verdicts: of every market, in words.
        place: of every market, the row it is counted in.
        number: of rows.

    Returns:
        A row each, and a column per verdict in the order of `VERDICTS`.

    Raises:
        ValueError: a word that is no verdict.
    """
    words = pd.Series(verdicts).astype(str)
    if odd := sorted(set(words.unique()) - set(VERDICTS)):
        raise ValueError(f"verdict is {listed(odd)}; known are {', '.join(metrics.VERDICTS)}.")
    counts = np.zeros((number, len(VERDICTS)), int)
    np.add.at(counts, (place, words.map({v: k for k, v in enumerate(VERDICTS)}).to_numpy(int)), 1)
    return counts


def absent(metric: str) -> str:
    """The word for a market that has no finite number."""
    return "never" if metric.startswith("rounds_to") else "not finite"


def chosen(summary: pd.DataFrame, where: Mapping | None, also=()) -> pd.DataFrame:
    """The rows whose axes have the values wanted."""
    for axis in (*(where or {}), *also):
        if axis not in summary.columns:
            raise ValueError(f"axis {short(axis)} is not in the summary; give one of its columns.")
    keep = np.ones(len(summary), bool)
    for axis, value in (where or {}).items():
        keep &= (summary[axis] == value).to_numpy()
    if not keep.any():
        raise ValueError(f"where is {short(dict(where or {}))}: no market fits; take values of the study.")
    return summary[keep]


def check_metric(summary: pd.DataFrame, metric: str) -> None:
    if metric not in summary.columns or not pd.api.types.is_numeric_dtype(summary[metric]):
        numbers = [n for n in summary.columns if n in STUDY_MEASURES]
        raise ValueError(f"metric {metric!r} is no column of numbers of the summary; take {listed(numbers)}.")
