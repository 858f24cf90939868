"""Σ_{i<j} |x_i − x_j| of many short rows at once, or of a few long ones: what the Gini index is made of."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from cmapjax.market._reductions import combined_rows
from cmapjax.runtime._precision import namespace
from cmapjax.runtime._types import Array

# Wider rows are sorted. XLA's sort on a CPU uses one core: sorting 100 amounts takes twice as long as adding
# up their 10,000 distances, and at 300 amounts both take the same time.
WIDEST_BY_PAIRS = 256
# With fewer amounts than this in all, rows are sorted too: that takes no time, and compiles in half the time.
FEWEST_BY_PAIRS = 4_000
# How many amounts are processed at a time, so that they stay in a core's cache (0.4 MB in float64).
CACHED = 50_000
# How many amounts are compared with all others in one step, which keeps the sums in registers.
AT_ONCE = 8


def differences(x: Float[Array, "... rows width"], lengths: Int[Array, "rows"]) -> Float[Array, "... rows"]:
    """Σ_{i<j} |x_i − x_j| over the first `lengths` amounts of each row. Exactly 0 where all are equal."""
    if namespace(x, lengths) is np:
        return _of_sorted(np.sort(np.where(_is_amount(x, lengths), x, np.inf)), lengths, np)
    return _differences(jnp.asarray(x), jnp.asarray(lengths))


@jax.custom_jvp
def _differences(x, lengths):
    if x.shape[1] > WIDEST_BY_PAIRS or x.size < FEWEST_BY_PAIRS:
        return _by_sorting(x, lengths)
    return jax.lax.platform_dependent(x, lengths, cpu=_by_pairs, default=_by_sorting)


@_differences.defjvp
def _derivative(primals, tangents):
    """The slope by the k-th smallest of n amounts, k from 0, is 2k + 1 − n; equal amounts in any order."""
    (x, lengths), (change, _) = primals, tangents
    order = jnp.argsort(jnp.where(_is_amount(x, lengths), x, jnp.inf), axis=1)
    slope = 2 * jnp.arange(x.shape[1], dtype=lengths.dtype) + 1 - lengths[:, None]
    slope = jnp.where(_is_amount(x, lengths), slope, 0).astype(x.dtype)
    return _differences(x, lengths), jnp.sum(slope * jnp.take_along_axis(change, order, 1), axis=1)


def _is_amount(x, lengths):
    return np.arange(x.shape[-1], dtype=np.int32) < lengths[:, None]


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
    """Each difference of neighbouring amounts, times the number of pairs that it lies between."""
    place = np.arange(1, x.shape[-1], dtype=x.dtype)  # as floats: products of whole numbers could overflow
    length = lengths.astype(x.dtype)[:, None]
    steps = xp.where(place < length, place * (length - place) * (x[..., 1:] - x[..., :-1]), 0)
    return combined_rows([jnp.add], [steps])[0] if x.shape[-1] > 1 else xp.zeros_like(x[..., 0])


def _by_pairs(x, lengths):
    """All distances between two amounts of a row, a few rows at a time."""
    rows, width = x.shape
    chunk = max(min(rows, CACHED // width), 1)
    if chunk == rows:
        return _sum_of_pairs(x, lengths)

    def work(number, out):
        first = jnp.minimum(number * chunk, rows - chunk)  # the last overlaps with the one before
        some = jax.lax.dynamic_slice(x, (first, 0), (chunk, width))
        sums = _sum_of_pairs(some, jax.lax.dynamic_slice(lengths, (first,), (chunk,)))
        return jax.lax.dynamic_update_slice(out, sums, (first,))

    return jax.lax.fori_loop(0, -(-rows // chunk), work, jnp.zeros(rows, x.dtype))


def _sum_of_pairs(x, lengths):
    others = jnp.pad(x, ((0, 0), (0, -x.shape[1] % AT_ONCE)))

    def add(number, sums):
        for place in number * AT_ONCE + np.arange(AT_ONCE, dtype=np.int32):
            other = jax.lax.dynamic_slice_in_dim(others, place, 1, axis=1)
            sums = sums + jnp.where((place < lengths)[:, None], jnp.abs(x - other), 0)
        return sums

    sums = jax.lax.fori_loop(0, -(-x.shape[1] // AT_ONCE), add, jnp.zeros_like(x))
    return combined_rows([jnp.add], [jnp.where(_is_amount(x, lengths), sums, 0)])[0] / 2
