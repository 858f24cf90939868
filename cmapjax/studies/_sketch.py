"""Quantiles over markets: values counted in buckets of 1 % relative error, which may be added up.

Bucket b holds magnitudes from γ^(b-1) to γ^b, γ = 1.01/0.99, so that 2γ^b/(γ + 1) is within 1 % of each.

Source: Masson, Rim, Lee, "DDSketch: a fast and fully-mergeable quantile sketch with relative-error
guarantees", PVLDB 12 (2019), section 2.
"""

import math
from collections.abc import Iterable

import numpy as np
from jaxtyping import Float, Int

GAMMA = 1.01 / 0.99
# What is smaller counts as zero.
SMALLEST = 1e-30
INFINITE = 2**31 - 1
"""The bucket of an infinite value; its sign says which."""
NOT_A_NUMBER = 2**31 - 2
"""The bucket of what is no number at all (sign 0)."""
SHARES = {"q05": 0.05, "q25": 0.25, "q50": 0.5, "q75": 0.75, "q95": 0.95}
KEYS = ["cell", "round", "metric"]
_FLAGS = {"inf": np.inf, "-inf": -np.inf, "nan": np.nan}


def buckets(values: Float[np.ndarray, "..."]) -> tuple[Int[np.ndarray, "..."], Int[np.ndarray, "..."]]:
    """The sign (-1, 0, 1) and bucket of every value; zeros have sign 0 and bucket 0."""
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
    middle = 2 * GAMMA ** np.where(bucket >= NOT_A_NUMBER, 0, bucket).astype(np.float64) / (GAMMA + 1)
    values = np.where(sign == 0, 0.0, sign * np.where(bucket == INFINITE, np.inf, middle))
    return np.where(bucket == NOT_A_NUMBER, np.nan, values)


def added_up(tables: Iterable, most_rows: int):
    """Curves of several chunks as one table, in which equal buckets of sketches may stand in several rows.

    Args:
        tables: pyarrow tables of curves, as sketches or in full.
        most_rows: of sketches that wait to be counted.

    Returns:
        The table, or None if there is no row.
    """
    waiting, rows, known = [], 0, 0
    for table in tables:
        waiting.append(_plain(table))
        rows += table.num_rows
        if rows >= max(most_rows, 2 * known):  # rarely: what is counted already is counted again each time
            waiting = [_plain(counted(waiting))]
            rows = known = waiting[0].num_rows
    return _joined(waiting) if rows else None


def counted(tables: list):
    """Sketches as one table with one row per bucket; curves in full as they are. Texts are plain."""
    import pyarrow as pa

    table = _joined([_plain(table) for table in tables])
    plain = {f.name: pa.string() for f in table.schema if pa.types.is_dictionary(f.type)}
    table = table.cast(pa.schema((f.name, plain.get(f.name, f.type)) for f in table.schema))
    names = [name for name in table.column_names if name != "count"]
    if len(names) == len(table.column_names):
        return table
    return table.group_by(names).aggregate([("count", "sum")]).rename_columns([*names, "count"])


def _plain(table):
    """Without metadata, which tables need not share, and with counts that many chunks do not overflow."""
    import pyarrow as pa

    kinds = {"count": pa.int64(), "metric": pa.dictionary(pa.int32(), pa.string())}
    return table.cast(pa.schema((f.name, kinds.get(f.name, f.type)) for f in table.schema))


def _joined(tables: list):
    import pyarrow as pa

    return pa.concat_tables(tables).unify_dictionaries()


def quantile_frame(table):
    """Quantiles as a pandas frame: cell, round, metric (by which it is sorted), q05 to q95, count.

    A quantile q of n values is the one of rank ⌊q (n - 1)⌋ (from 0); what is no number ranks last. From
    sketches it is right to 1 %.
    """
    frame = table.to_pandas()
    metric = frame["metric"].astype("category").cat
    frame["metric"] = metric.reorder_categories(sorted(metric.categories))
    if "bucket" in frame.columns:
        values = values_of(frame["sign"], frame["bucket"].fillna(0))
        count = frame["count"].to_numpy(np.int64)
    else:
        values, count = frame["value"].to_numpy(np.float64), np.ones(len(frame), np.int64)
        if "flags" in frame.columns:
            flagged = frame["flags"].astype(object).map(_FLAGS).to_numpy(np.float64)
            values = np.where(np.isnan(values), flagged, values)
    # One number per cell, round and metric, in that order: sorting by one key takes half the time of three.
    cell, at = frame["cell"].to_numpy(np.int64), frame["round"].to_numpy(np.int64)
    group = (cell * (at.max(initial=0) + 1) + at) * len(metric.categories) + frame["metric"].cat.codes
    order = np.lexsort([values, group])  # NaN last
    values, count, group = values[order], count[order], group.to_numpy()[order]
    starts = np.flatnonzero(np.diff(group, prepend=-1))
    reached, total = np.cumsum(count), np.add.reduceat(count, starts)
    before = reached[starts] - count[starts]
    found = frame[KEYS].iloc[order[starts]].reset_index(drop=True)
    for name, share in SHARES.items():
        rank = before + np.floor(share * (total - 1)).astype(np.int64)
        found[name] = values[np.searchsorted(reached, rank, side="right")]
    return found.assign(count=total)
