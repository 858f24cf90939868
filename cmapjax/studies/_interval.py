"""An interval of a mean over markets that holds its level however often it is looked at.

A confidence sequence: with probability 95 % the intervals after 1, 2, 3, … markets *all* hold the mean, so
one may stop at the first that is narrow enough. It asks of the metric only that it lies in [0, 1].

Against the claim that the mean is m one bets on every market, in order: the capital

    K_n(m) = Π_{i ≤ n} (1 + λ_i (x_i − m)),  0 ≤ λ_i ≤ 0.9/m,

never is below 0, and if the mean is m it stays the same on average. So it reaches 2/α at some time with
probability α/2 at most (Ville's inequality). Below `low` are the m whose capital has reached it, above
`high` those of the bets against the mirrored metric 1 − x. The bets λ_i = (w/2) / σ²_i are the best ones for
an interval of width w; σ²_i is the variance of the markets before i and of one more, ½ away from their mean.

Source: Waudby-Smith and Ramdas, Estimating means of bounded random variables by betting, Journal of the Royal
Statistical Society B 86 (2024), section 4.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

LEVEL = 0.95
# How much of the capital a single market may cost. Less would make rare events dear to rule out, and the
# whole capital would be lost to one of them.
MOST_AT_STAKE = 0.9
# Metrics leave [0, 1] by no more than what rounding does to float32 runs.
ROUNDING = 1e-6
HALVINGS = 50  # of [0, 1]: to 1e-15


class MeanInterval(NamedTuple):
    """The mean of some markets, and the 95 % interval of the mean of all that could be drawn."""

    markets: int
    mean: float
    low: float
    high: float


def mean_interval(values: Sequence[float], width: float) -> MeanInterval | None:
    """The mean of these markets' metric and its interval; None if a value is not in [0, 1] or there is none.

    Args:
        values: of a metric in [0, 1], in the order of markets; None or NaN where it is not finite.
        width: of the interval wanted, for which the bets are chosen. The level holds whatever it is.
    """
    numbers = np.asarray(values, np.float64)
    if not len(numbers) or not np.all((numbers >= -ROUNDING) & (numbers <= 1 + ROUNDING)):
        return None
    x = np.clip(numbers, 0, 1)
    bets = width / 2 / _variances(x)
    return MeanInterval(len(x), float(x.mean()), _low(x, bets), 1 - _low(1 - x, bets))


def _variances(x: np.ndarray) -> np.ndarray:
    """Of every market that of the ones before it, and of one more at ½."""
    count = np.arange(1, len(x) + 1)
    sums, squares = (np.concatenate([[0], np.cumsum(part)[:-1]]) for part in (x, x * x))
    mean = (sums + 0.5) / count
    spread = squares - 2 * mean * sums + (count - 1) * mean**2
    return (np.maximum(spread, 0) + 0.25) / count


def _low(x: np.ndarray, bets: np.ndarray) -> float:
    """The least mean that the bets on larger ones have not ruled out."""
    wanted = math.log(2 / (1 - LEVEL))
    low, high = 0.0, float(x.mean())  # never above the markets' own mean, which the interval is shown with
    for _ in range(HALVINGS):
        m = (low + high) / 2
        if m == 0:
            break
        # log1p: a capital of many factors near 1. Every factor falls as m rises, so the capital does.
        capital = np.log1p(np.minimum(bets, MOST_AT_STAKE / m) * (x - m)).sum()
        low, high = (m, high) if capital >= wanted else (low, m)
    return low


def fewest_markets(width: float) -> int:
    """Markets without which no interval is so narrow, even if all have a metric of 1 (or of 0)."""
    return math.ceil(math.log(2 / (1 - LEVEL)) / math.log1p(MOST_AT_STAKE * width / (1 - width)))


def mean_intervals(document: dict, summary):
    """Per cell the mean of the metric that `[stop] interval` names, as a pandas DataFrame.

    Columns: cell, metric, markets, mean, low, high, and `is_reached`: whether it is as narrow as asked for.
    Mean and ends are NaN where a market's metric is not finite.

    Args:
        document: of the study; None is returned if it has no `[stop] interval`.
        summary: columns cell, market and the metric.
    """
    import pandas as pd

    asked = (document.get("stop") or {}).get("interval")
    if not asked:
        return None
    metric, width = asked["metric"], asked["width"]
    rows = []
    for cell, group in summary.sort_values(["cell", "market"]).groupby("cell"):
        values = group[metric].to_numpy(np.float64, na_value=np.nan)
        found = mean_interval(values, width) or MeanInterval(len(values), np.nan, np.nan, np.nan)
        rows.append((cell, metric, *found, bool(found.high - found.low <= width)))
    return pd.DataFrame(rows, columns=["cell", "metric", *MeanInterval._fields, "is_reached"])
