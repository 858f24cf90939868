"""Quantiles over markets, from curves in full or from sketches that are added up over chunks.

A sketch counts values in buckets: bucket b holds magnitudes from γ^(b-1) to γ^b, γ = 1.01/0.99, so that
2γ^b/(γ + 1) is within 1 % of each. Source: Masson, Rim and Lee, "DDSketch", PVLDB 12 (2019), section 2.
"""

import numpy as np

GAMMA = 1.01 / 0.99
INFINITE, NOT_A_NUMBER = 2**31 - 1, 2**31 - 2  # buckets of what has no magnitude
SHARES = {"q05": 0.05, "q25": 0.25, "q50": 0.5, "q75": 0.75, "q95": 0.95}
KEYS = ("cell", "round", "metric")
AT_ONCE = 2_000_000  # rows of sketches counted together, some 100 MB
_FLAGS = {"inf": np.inf, "-inf": -np.inf, "nan": np.nan}


def merge(tables):
    """Sketches of several chunks as one table, in which equal buckets may stand in several rows."""
    waiting, rows, merged = [], 0, 0
    for table in tables:
        waiting.append(table.cast(_plain(table.schema)))
        rows += table.num_rows
        if rows >= max(AT_ONCE, 2 * merged):  # rarely: what is counted already is counted again each time
            waiting = [counted(waiting).cast(waiting[0].schema)]
            rows = merged = waiting[0].num_rows
    return _joined(waiting) if waiting else None


def _joined(tables):
    import pyarrow as pa

    return pa.concat_tables(tables).unify_dictionaries()


def counted(tables):
    """Sketches as one table with one row per bucket; curves in full as they are. Texts are plain."""
    import pyarrow as pa

    kept = _plain(tables[0].schema)
    kinds = [pa.string() if pa.types.is_dictionary(kind) else kind for kind in kept.types]
    plain = pa.schema(zip(kept.names, kinds, strict=True))
    table = _joined([each.cast(kept) for each in tables]).cast(plain)
    if "count" not in table.column_names:
        return table
    names = [name for name in table.column_names if name != "count"]
    return table.group_by(names).aggregate([("count", "sum")]).rename_columns([*names, "count"])


def _plain(schema):
    """Columns without metadata, which tables need not share, and counts that many chunks cannot overflow."""
    import pyarrow as pa

    words = pa.dictionary(pa.int32(), pa.string())
    kinds = {"count": pa.int64(), "metric": words}
    return pa.schema((field.name, kinds.get(field.name, field.type)) for field in schema)


def quantile_frame(table):
    """Quantiles as a pandas frame: cell, round, metric (by which it is sorted), q05 to q95, count.

    A quantile q of n values is the one of rank ⌊q (n - 1)⌋ (from 0); what is no number ranks last. From
    sketches it is right to 1 %.
    """
    import pandas as pd

    metric = table["metric"].combine_chunks()
    metric = metric if hasattr(metric, "dictionary") else metric.dictionary_encode()
    frame = table.drop_columns(["metric"]).to_pandas()
    is_sketch = "bucket" in frame.columns
    values = _values_of_buckets(frame) if is_sketch else _values_in_full(frame)
    count = frame["count"].to_numpy(np.int64) if is_sketch else np.ones(len(frame), np.int64)
    names = metric.dictionary.to_pylist()
    rank_of_name = np.argsort(np.argsort(np.array(names, object)))
    # One number per cell, round and metric, in that order: sorting by one key takes half the time of three.
    cell, at = frame["cell"].to_numpy(np.int64), frame["round"].to_numpy(np.int64)
    rounds = int(at.max(initial=0)) + 1
    group = (cell * rounds + at) * len(names) + rank_of_name[metric.indices.to_numpy()]
    order = np.lexsort([values, group])  # NaN last
    values, count, group = values[order], count[order], group[order]
    is_first = np.ones(len(order), bool)
    is_first[1:] = group[1:] != group[:-1]
    starts = np.flatnonzero(is_first)
    reached = np.cumsum(count)
    before = np.concatenate([[0], reached])[starts]
    total = np.diff(np.concatenate([before, reached[-1:]]))
    cell_and_round, place = np.divmod(group[starts], len(names))
    cell, at = np.divmod(cell_and_round, rounds)
    result = pd.DataFrame({"cell": cell, "round": at}).astype(frame.dtypes[["cell", "round"]])
    result["metric"] = pd.Categorical.from_codes(place, sorted(names))
    for name, share in SHARES.items():
        rank = before + np.floor(share * (total - 1)).astype(np.int64)
        result[name] = values[np.searchsorted(reached, rank, side="right")]
    result["count"] = total
    return result


def _values_of_buckets(frame) -> np.ndarray:
    bucket = frame["bucket"].fillna(0).to_numpy(np.int64)
    sign = frame["sign"].to_numpy(np.float64)
    special = bucket >= NOT_A_NUMBER
    middle = 2 * GAMMA ** np.where(special, 0, bucket).astype(np.float64) / (GAMMA + 1)
    values = np.where(sign == 0, 0.0, sign * np.where(bucket == INFINITE, np.inf, middle))
    return np.where(bucket == NOT_A_NUMBER, np.nan, values)


def _values_in_full(frame) -> np.ndarray:
    values = frame["value"].to_numpy(np.float64)
    if "flags" not in frame.columns:
        return values
    flagged = frame["flags"].astype(object).map(_FLAGS).to_numpy(np.float64)
    return np.where(np.isnan(values), flagged, values)
