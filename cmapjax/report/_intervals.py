"""Bootstrap intervals of medians and shares, without ever drawing a whole resample.

Resampling n markets with replacement and ordering them is drawing n ordered uniform numbers U_(1) ≤ … ≤ U_(n)
and taking the markets at ⌊n U_(k)⌋ of the ordered sample. A median needs the middle one or two of them, which
are Beta distributed; the number of resampled markets with a property is binomial. So the law is that of the
ordinary bootstrap, at a cost that does not grow with n. tests/test_report_data.py compares with resampling.
"""

import functools

import numpy as np

RESAMPLES = 2000
SEED = 0  # of every interval anew, so that none depends on what else is worked out
LEVEL = 0.95
_ENDS = ((1 - LEVEL) / 2, (1 + LEVEL) / 2)


@functools.lru_cache(maxsize=100)
def _middle(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Of every resample of n markets in order, which of them are the middle two (or twice the middle one)."""
    rng = np.random.default_rng(SEED)
    k = (n + 1) // 2
    lower = rng.beta(k, n - k + 1, RESAMPLES)
    upper = lower if n % 2 else lower + (1 - lower) * rng.beta(1, n - k, RESAMPLES)
    one, two = (np.minimum((n * u).astype(np.int64), n - 1) for u in (lower, upper))
    return one, two


def median_interval(ordered: np.ndarray) -> tuple[float, float]:
    """The 95 % percentile interval of the median of ascending values; they may be infinite."""
    one, two = (ordered[place] for place in _middle(len(ordered)))
    same = one == two  # infinities among them: their mean is no number
    medians = np.where(same, one, 0.5 * np.where(same, 0, one) + 0.5 * np.where(same, 0, two))
    low, high = np.quantile(medians, _ENDS, method="inverted_cdf")
    return float(low), float(high)


@functools.lru_cache(maxsize=10_000)
def share_interval(count: int, n: int) -> tuple[float, float]:
    """The 95 % percentile interval of the share of markets with a property that `count` of n have.

    If none or all have it, no resample differs and the bootstrap says nothing; then the bound that a
    property of probability 3/n would miss with 5 % is given (the rule of three).
    """
    if count in (0, n):
        return (0.0, min(3 / n, 1.0)) if count == 0 else (max(1 - 3 / n, 0.0), 1.0)
    shares = np.random.default_rng(SEED).binomial(n, count / n, RESAMPLES) / n
    low, high = np.quantile(shares, _ENDS, method="inverted_cdf")
    return float(low), float(high)
