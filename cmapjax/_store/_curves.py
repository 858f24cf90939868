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
    """Sketches of several chunks as one table: equal buckets are counted together."""
    waiting, rows, merged = [], 0, 0
    for table in tables:
        waiting.append(table.cast(_plain(table.schema)))
        rows += table.num_rows
        if rows >= max(AT_ONCE, 2 * merged):  # rarely: what is counted already is counted again each time
            waiting = [_counted(waiting)]
            rows = merged = waiting[0].num_rows
    return _counted(waiting) if waiting else None


def _counted(tables):
    import pyarrow as pa

    table = pa.concat_tables(tables)
    names = [name for name in table.column_names if name != "count"]
    return table.group_by(names).aggregate([("count", "sum")]).rename_columns([*names, "count"])


def _plain(schema):
    """Text instead of dictionaries, which tables do not share; counts that many chunks cannot overflow."""
    import pyarrow as pa

    kinds = {"count": pa.int64()}
    return pa.schema(
        (field.name, pa.string() if pa.types.is_dictionary(field.type) else kinds.get(field.name, field.type))
        for field in schema
    )


def quantile_frame(table):
    """Quantiles as a pandas frame: cell, round, metric (by which it is sorted), q05 to q95, count.

    A quantile q of n values is the one of rank ⌊q (n - 1)⌋ (from 0); what is no number ranks last. From
    sketches it is right to 1 %.
    """
    import pandas as pd

    frame = table.to_pandas()
    is_sketch = "bucket" in frame.columns
    frame["_value"] = _values_of_buckets(frame) if is_sketch else _values_in_full(frame)
    frame["_count"] = frame["count"] if is_sketch else 1
    frame["metric"] = frame["metric"].astype("category")
    places = {name: place for place, name in enumerate(sorted(frame["metric"].cat.categories))}
    frame["_metric"] = frame["metric"].map(places).astype(np.int64)
    frame = frame.sort_values(["cell", "round", "_metric", "_value"], kind="stable", na_position="last")
    keys = frame[["cell", "round", "_metric"]].to_numpy()
    starts = np.flatnonzero(np.r_[len(keys) > 0, (keys[1:] != keys[:-1]).any(axis=1)]) if len(keys) else []
    starts = np.asarray(starts, np.int64)
    reached = np.cumsum(frame["_count"].to_numpy(np.int64))
    before = np.r_[0, reached][starts] if len(starts) else np.zeros(0, np.int64)
    total = np.diff(np.r_[before, reached[-1:]]) if len(starts) else np.zeros(0, np.int64)
    values = frame["_value"].to_numpy(np.float64)
    result = frame.iloc[starts][list(KEYS)].reset_index(drop=True)
    for name, share in SHARES.items():
        rank = before + np.floor(share * (total - 1)).astype(np.int64)
        result[name] = values[np.searchsorted(reached, rank, side="right")]
    result["count"] = total
    return result.astype({"metric": pd.CategoricalDtype(sorted(places))})


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
