"""Chunks as one frame: in the memory that its rows take, or refused with what to do instead."""

import itertools
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from cmapjax.arguments._checks import memory_of_process, short
from cmapjax.studies._chunks import Chunk
from cmapjax.studies._sketch import added_up, quantile_frame
from cmapjax.studies.results._disk import ResultsError, shown
from cmapjax.studies.results._parquet import declared
from cmapjax.studies.results._verify import CURVES, SUMMARY

# What is there at most while a frame is made, in frames: the tables, the same sorted, and the frame.
COPIES = 3
# Rows of curves whose quantiles are worked out together, some 200 bytes each.
AT_ONCE = 2_000_000


def half_the_memory() -> int:
    """Bytes that a frame may take."""
    return memory_of_process() // 2


def frame(results, columns: Sequence[str] | None, cells: Iterable[int] | None, ground: int | None):
    """See `StudyResults.frame`."""
    import pyarrow as pa

    cells = _numbers(results, cells)
    wanted = None if columns is None else list(dict.fromkeys([*columns, "cell", "market"]))
    if wanted and (first := next(iter(results.chunks.values()), None)):
        _check_columns(declared(first).schema.names, wanted)
    rows = sum(results.num_rows().values()) if cells is None and ground is None else 0
    tables, taken, read = [], 0, 0
    for table in results.tables(SUMMARY, wanted, ground):
        read += table.num_rows
        tables.append(_of_cells(table, cells))
        taken += tables[-1].nbytes
        _check(results, table, taken * max(1, rows / read))  # early: by the rows that are still to be read
    tables = [table for table in tables if table.num_rows]
    if not tables:
        what = "no chunk is finished yet" if cells is None else "of these cells nothing is finished yet"
        raise ResultsError(f"{shown(results.folder)}: {what}; run or resume the study first.")
    table = pa.concat_tables(tables).unify_dictionaries()
    del tables
    units = {f.name: (f.metadata or {}).get(b"unit", b"").decode(errors="replace") for f in table.schema}
    table = table.sort_by([("cell", "ascending"), ("market", "ascending")])
    names = table.column_names if columns is None else list(columns)
    made = table.select(names).replace_schema_metadata().to_pandas(use_threads=False)
    made.attrs["units"] = units
    return made


def _numbers(results, cells) -> np.ndarray | None:
    """Numbers of cells, checked."""
    if cells is None:
        return None
    numbers = np.asarray(list(cells))
    if numbers.size == 0 or numbers.dtype.kind not in "iu" or numbers.ndim != 1:
        raise ResultsError(f"cells is {short(cells)}; give numbers of cells, such as range(0, 10).")
    last = results.about.get("cells", np.inf) - 1
    if numbers.min() < 0 or numbers.max() > last:
        raise ResultsError(f"cells has {numbers.min()} to {numbers.max()}; the study has cells 0 to {last}.")
    return numbers


def _of_cells(table, cells: np.ndarray | None):
    """The rows of these cells."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if cells is None:
        return table
    return table.filter(pc.is_in(table["cell"], pa.array(cells, table["cell"].type)))


def _check_columns(known: Sequence[str], wanted: Iterable[str]) -> None:
    """Raise if one of the columns wanted is not there."""
    if missing := [name for name in wanted if name not in known]:
        raise ResultsError(f"the summary has no column {short(missing[0])}; it has {', '.join(known)}.")


def _check(results, table, size: float) -> None:
    """Raise, with what would fit, if a frame of so many bytes does not."""
    needed, budget = int(COPIES * size), half_the_memory()
    if needed <= budget:
        return
    folder, rows = shown(results.folder), sum(results.num_rows().values())
    fits = max(1, int(results.about.get("cells", 1) * budget / needed / 2))
    metric = next((f.name for f in reversed(table.schema) if str(f.type) == "double"), "verdict")
    raise ResultsError(
        f"{folder}: of the summary ({rows:,} rows) this takes {needed:,} bytes as a frame, above {budget:,}, "
        f"half of the memory; ask for some columns, as in frame(columns=['strategy', '{metric}']), or some "
        f"cells, as in frame(cells=range(0, {fits})); go through tables() chunk by chunk; or query the files "
        f"as they are: polars.scan_parquet('{folder}/summary/*.parquet'), in DuckDB FROM "
        f"'{folder}/summary/*.parquet'."
    )


# -- curves --------------------------------------------------------------------------------------------


def curves(results, cells: Iterable[int] | None):
    """See `StudyResults.curves`: some grounds at a time, as no cell is in two."""
    import pandas as pd

    if not results.files(CURVES):
        return None
    cells = _numbers(results, cells)
    found = [quantile_frame(table) for table in _pieces(results, cells)]
    if not found:
        raise ResultsError(f"{shown(results.folder)}: of these cells nothing is finished yet.")
    names = sorted(set().union(*(each["metric"].cat.categories for each in found)))
    for each in found:
        each["metric"] = each["metric"].cat.set_categories(names)
    joined = pd.concat(found, ignore_index=True)
    return joined.sort_values(["cell", "round", "metric"], kind="stable", ignore_index=True)


def _pieces(results, cells: np.ndarray | None) -> Iterator:
    """Tables of all curves of some cells each, small enough to be sorted in memory."""
    is_full = results.study.get("record", {}).get("curves") == "full"
    for paths, rows in _grounds(results):
        for some in _cells_at_once(results, paths, cells, -(-rows // AT_ONCE) if is_full else 1):
            tables = added_up((_of_cells(results.read(path), some) for path in paths), AT_ONCE)
            if tables is not None:
                yield tables


def _grounds(results) -> Iterator[tuple]:
    """Files of curves of whole grounds, of about as many rows as fit, and how many rows those are."""
    files, rows_of = results.files(CURVES), results.num_rows(CURVES)
    paths, rows = [], 0
    for _, names in itertools.groupby(files, key=lambda name: Chunk.named(name).ground):
        names = list(names)
        if paths and rows + sum(rows_of[name] for name in names) > AT_ONCE:
            yield paths, rows
            paths, rows = [], 0
        paths, rows = [*paths, *(files[n] for n in names)], rows + sum(rows_of[n] for n in names)
    yield paths, rows


def _cells_at_once(results, paths: list, cells: np.ndarray | None, number: int) -> list:
    """The cells of some files in so many pieces, at least one cell each."""
    if number <= 1:
        return [cells]
    known = np.unique(np.concatenate([results.read(path, ["cell"])["cell"].to_numpy() for path in paths]))
    known = known if cells is None else np.intersect1d(known, cells)
    return [some for some in np.array_split(known, number) if len(some)]
