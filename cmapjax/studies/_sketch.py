"""Quantile sketches: values counted in buckets of 1 % relative error, which may be added up.

Source: Masson, Rim, Lee, "DDSketch: a fast and fully-mergeable quantile sketch with relative-error
guarantees", PVLDB 12 (2019).
"""

import math

import numpy as np
from jaxtyping import Float, Int

ACCURACY = 0.01
GAMMA = (1 + ACCURACY) / (1 - ACCURACY)
# What is smaller counts as zero.
SMALLEST = 1e-30
INFINITE = 2**31 - 1
"""The bucket of an infinite value; its sign says which."""
NOT_A_NUMBER = 2**31 - 2
"""The bucket of what is no number at all (sign 0)."""


def buckets(values: Float[np.ndarray, "n"]) -> tuple[Int[np.ndarray, "n"], Int[np.ndarray, "n"]]:
    """The sign (-1, 0, 1) and bucket of every value; zeros have sign 0 and bucket 0.

    Bucket b holds the values of magnitude γ^(b-1) to γ^b, γ = 1.01/0.99.
    """
    values = np.asarray(values, np.float64)
    magnitude = np.abs(values)
    is_plain = np.isfinite(values) & (magnitude >= SMALLEST)
    bucket = np.zeros(values.shape, np.int64)
    bucket[is_plain] = np.ceil(np.log(magnitude[is_plain]) / math.log(GAMMA))
    bucket[np.isinf(values)] = INFINITE
    bucket[np.isnan(values)] = NOT_A_NUMBER
    sign = np.where(is_plain | np.isinf(values), np.sign(np.nan_to_num(values)), 0)
    return sign.astype(np.int8), bucket.astype(np.int32)


def values_of(sign: Int[np.ndarray, "n"], bucket: Int[np.ndarray, "n"]) -> Float[np.ndarray, "n"]:
    """What stands for all values of a bucket: none is farther from it than 1 %."""
    sign, bucket = np.asarray(sign, np.float64), np.asarray(bucket, np.int64)
    is_special = bucket >= NOT_A_NUMBER
    middle = 2 * GAMMA ** np.where(is_special, 0, bucket).astype(np.float64) / (GAMMA + 1)
    middle = np.where(bucket == INFINITE, np.inf, middle)
    return np.where(
        bucket == NOT_A_NUMBER, np.nan, np.where(sign == 0, 0, np.where(sign < 0, -middle, middle))
    )


def quantiles(
    sign: Int[np.ndarray, "n"], bucket: Int[np.ndarray, "n"], count: Int[np.ndarray, "n"], shares
) -> Float[np.ndarray, "shares"]:
    """Quantiles of what was counted: the value of rank ⌊q (n - 1)⌋, to 1 % (NaN counts as largest)."""
    values, count = values_of(sign, bucket), np.asarray(count, np.int64)
    order = np.argsort(values, kind="stable")  # NaN last
    reached = np.cumsum(count[order])
    ranks = np.floor(np.asarray(shares, np.float64) * (reached[-1] - 1))
    return values[order][np.searchsorted(reached, ranks, side="right")]
