"""Σ_{i<j} |x_i − x_j| of many short rows at once, or of a few long ones: what the Gini index is made of."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from cmapjax._columns import fold
from cmapjax._precision import namespace
from cmapjax._reductions import combined_rows
from cmapjax._types import Array

# Wider rows are sorted. XLA's sort on a CPU runs on one core, and 100 sorted amounts take twice as long as
# their 4,950 differences; at 300 the two draw level.
WIDEST_BY_PAIRS = 256
# Amounts worked on at a time, so that they stay in a core's own cache (0.4 MB in float64).
CACHED = 50_000
# Pairs from so far apart on are summed up apart: they are fewer. Nothing about the order of a sum depends on
# the width, lest a market's index depend on how large the others are that it is packed with.
NEAREST = (1, 8, 64)
UNROLLED = 8


def differences(x: Float[Array, "rows width"], lengths: Int[Array, "rows"]) -> Float[Array, "rows"]:
    """Σ_{i<j} |x_i − x_j| of the first so many of every row. Exactly 0 where all are equal."""
    if namespace(x, lengths) is np:
        return _of_sorted(np.sort(np.where(_is_amount(x, lengths), x, np.inf)), lengths, np)
    return _differences(jnp.asarray(x), jnp.asarray(lengths))


@jax.custom_jvp
def _differences(x, lengths):
    if x.shape[1] > WIDEST_BY_PAIRS:
        return _by_sorting(x, lengths)
    return jax.lax.platform_dependent(x, lengths, cpu=_by_pairs, default=_by_sorting)


@_differences.defjvp
def _derivative(primals, tangents):
    """Of the k-th smallest of n amounts, from 0: 2k + 1 − n (amounts that are equal in some order)."""
    (x, lengths), (change, _) = primals, tangents
    order = jnp.argsort(jnp.where(_is_amount(x, lengths), x, jnp.inf), axis=1)
    slope = 2 * jnp.arange(x.shape[1], dtype=lengths.dtype) + 1 - lengths[:, None]
    slope = jnp.where(_is_amount(x, lengths), slope, 0).astype(x.dtype)
    return _differences(x, lengths), jnp.sum(slope * jnp.take_along_axis(change, order, 1), axis=1)


def _is_amount(x, lengths):
    return np.arange(x.shape[1], dtype=np.int32) < lengths[:, None]


def _by_sorting(x, lengths):
    # Whole numbers in the same order as the floats: XLA's sort compares them 3 times faster.
    whole = jnp.dtype(f"int{8 * x.dtype.itemsize}")

    def turned(bits):
        return jnp.where(bits < 0, bits ^ jnp.iinfo(whole).max, bits)

    bits = turned(jax.lax.bitcast_convert_type(x, whole))
    bits = jnp.where(_is_amount(x, lengths), bits, jnp.iinfo(whole).max)
    rows = turned(jax.lax.sort(bits, dimension=1, is_stable=False))
    return _of_sorted(jax.lax.bitcast_convert_type(rows, x.dtype), lengths, jnp)


def _of_sorted(x, lengths, xp):
    """Each step between neighbours once for every pair that it lies between."""
    place = np.arange(1, x.shape[1], dtype=x.dtype)  # as floats: products of whole numbers could overflow
    length = lengths.astype(x.dtype)[:, None]
    steps = xp.where(place < length, place * (length - place) * (x[:, 1:] - x[:, :-1]), 0)
    return combined_rows(jnp.add, steps) if x.shape[1] > 1 else xp.zeros_like(x[:, 0])


def _by_pairs(x, lengths):
    """All differences, a few rows at a time: |x_i − x_{i+s}| for every distance s."""
    rows, width = x.shape
    chunk = max(min(rows, CACHED // width), 1)

    def work(number, out):
        first = jnp.minimum(number * chunk, rows - chunk)  # the last overlaps with the one before
        some = jax.lax.dynamic_slice(x, (first, 0), (chunk, width))
        sums = _sum_of_pairs(some.T, jax.lax.dynamic_slice(lengths, (first,), (chunk,)))
        return jax.lax.dynamic_update_slice(out, sums, (first,))

    return jax.lax.fori_loop(0, -(-rows // chunk), work, jnp.zeros(rows, x.dtype))


def _sum_of_pairs(x, lengths):
    width, rows = x.shape
    out = jnp.zeros(rows, x.dtype)
    further = jnp.zeros((2 * width, rows), x.dtype)
    further = jax.lax.dynamic_update_slice(further, x, (0, 0))
    for nearest, beyond in itertools.pairwise((*(n for n in NEAREST if n < width), width)):
        height = width - nearest  # so many have another at such a distance
        place = np.arange(height, dtype=np.int32)[:, None]

        def add(distance, sums, height=height, place=place):
            other = jax.lax.dynamic_slice(further, (distance, 0), (height, rows))
            return sums + jnp.where(place + distance < lengths, jnp.abs(other - x[:height]), 0)

        sums = jnp.zeros((height, rows), x.dtype)
        sums = jax.lax.fori_loop(nearest, beyond, add, sums, unroll=min(UNROLLED, beyond - nearest))
        out = out + fold(jnp.add, sums)
    return out
