"""Chunks as one frame: in the memory that its rows take, or refused with what to do instead."""

import itertools
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from cmapjax.arguments._checks import memory_of_process, short
from cmapjax.studies._chunks import Chunk
from cmapjax.studies.results._curves import AT_ONCE, merge, quantile_frame
from cmapjax.studies.results._errors import ResultsError, shown
from cmapjax.studies.results._results import CURVES, SUMMARY

# What is there at most while a frame is made, in frames: the tables, the frame that takes their place column
# by column, and the column at hand.
COPIES = 2.5
# What the quantiles of a row of curves in full take on the way: the row, its sorting keys and their order.
BYTES_OF_CURVE = 200


def half_the_memory() -> int:
    """Bytes that a frame may take."""
    return memory_of_process() // 2


def frame(
    results,
    columns: Sequence[str] | None = None,
    cells: Iterable[int] | None = None,
    ground: int | None = None,
):
    """See `StudyResults.frame`; with `ground`, of its markets alone."""
    import pandas as pd
    import pyarrow as pa

    cells = _numbers(results, cells)
    wanted = None if columns is None else list(dict.fromkeys([*columns, "cell", "market"]))
    tables, taken = [], 0
    for table in _of_cells(results.tables(SUMMARY, wanted, ground), cells):
        if not tables:
            _check_there(results, table, wanted)
        if not tables and cells is None and ground is None:
            rows = sum(results.num_rows().values())
            _check(results, table, table.nbytes * rows / max(1, table.num_rows))
        tables.append(table)
        taken += table.nbytes
        _check(results, table, taken)
    if not tables:
        what = "no chunk is finished yet" if cells is None else "of these cells nothing is finished yet"
        raise ResultsError(f"{shown(results.folder)}: {what}; run or resume the study first.")
    table = pa.concat_tables(tables).unify_dictionaries()
    del tables
    units = {f.name: (f.metadata or {}).get(b"unit", b"").decode(errors="replace") for f in table.schema}
    order = np.lexsort([table["market"].to_numpy(), table["cell"].to_numpy()])
    names, found = list(table.column_names if columns is None else columns), {}
    for name in dict.fromkeys(names):
        found[name] = table[name].to_pandas(use_threads=False).take(order).reset_index(drop=True)
        table = table.drop_columns([name])
    made = pd.DataFrame(found, copy=False)[names]
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


def _of_cells(tables, cells: np.ndarray | None) -> Iterator:
    """The rows of these cells, of tables that have any."""
    import pyarrow as pa
    import pyarrow.compute as pc

    for table in tables:
        if cells is not None:
            table = table.filter(pc.is_in(table["cell"], pa.array(cells, table["cell"].type)))
        if cells is None or table.num_rows:
            yield table


def _check_there(results, table, wanted: list[str] | None) -> None:
    """Raise unless the table has the columns wanted."""
    if wanted and not {*wanted} <= {*table.column_names}:
        check_columns(next(results.tables(SUMMARY)).column_names, wanted)


def check_columns(known: Iterable[str], wanted: Iterable[str]) -> None:
    """Raise if one of the columns wanted is not known."""
    if missing := [name for name in wanted if name not in known]:
        raise ResultsError(f"the summary has no column {short(missing[0])}; it has {', '.join(known)}.")


def _check(results, table, size: float) -> None:
    """Raise, with what would fit, if a frame of so many bytes does not."""
    needed, budget = int(COPIES * size), half_the_memory()
    if needed <= budget:
        return
    folder, rows = shown(results.folder), sum(results.num_rows().values())
    remedies = []
    metric = next((name for name in table.column_names[::-1] if str(table[name].type) == "double"), None)
    if metric is not None and table.num_columns > 4:
        remedies.append(f"some columns, as in frame(columns=['strategy', '{metric}'])")
    if (num_cells := results.about.get("cells", 0)) > 1:
        part = max(1, int(num_cells * budget / needed / 2))
        remedies.append(f"some cells, as in frame(cells=range(0, {part}))")
    ask = f"ask for {', or '.join(remedies)}; " if remedies else ""
    raise ResultsError(
        f"{folder}: of the summary ({rows:,} rows) this takes {needed:,} bytes as a frame, above {budget:,}, "
        f"half of the memory; {ask}go through tables() chunk by chunk; or query the files as they are: "
        f"polars.scan_parquet('{folder}/summary/*.parquet'), in DuckDB FROM '{folder}/summary/*.parquet'."
    )


# -- curves --------------------------------------------------------------------------------------------


def curves(results, cells: Iterable[int] | None):
    """See `StudyResults.curves`: ground by ground, as no cell is in two."""
    import pandas as pd

    if not results.chunks(CURVES):
        return None
    cells = _numbers(results, cells)
    found, taken = [], 0
    for table in _pieces(results, cells):
        found.append(quantile_frame(table))
        taken += int(found[-1].memory_usage().sum())
        if (needed := int(COPIES * taken)) > (budget := half_the_memory()):
            raise ResultsError(
                f"{shown(results.folder)}: the quantiles of curves take {needed:,} bytes or more, above "
                f"{budget:,}, half of the memory; ask for some cells, as in curves(cells=range(0, "
                f"{max(1, found[0]['cell'].nunique() // 2)})), or go through tables('curves')."
            )
    if not found:
        raise ResultsError(f"{shown(results.folder)}: of these cells nothing is finished yet.")
    if len(found) == 1:
        return found[0]
    names = sorted(set().union(*(each["metric"].cat.categories for each in found)))
    for each in found:
        each["metric"] = each["metric"].cat.set_categories(names)
    joined = pd.concat(found, ignore_index=True)
    return joined.sort_values(["cell", "round", "metric"], kind="stable", ignore_index=True)


def _pieces(results, cells: np.ndarray | None) -> Iterator:
    """Tables of all curves of some cells each, small enough to be sorted in memory."""
    import pyarrow as pa

    is_full = results.about["study"].get("record", {}).get("curves") == "full"
    most = max(1, min(AT_ONCE, half_the_memory() // BYTES_OF_CURVE))
    for paths, rows in _grounds(results, most):
        if not is_full:
            merged = merge(_of_cells(map(results.read, paths), cells))
            if merged is not None:
                yield merged
            continue
        for some in _cells_at_once(results, paths, cells, -(-rows // most)):
            if tables := list(_of_cells(map(results.read, paths), some)):
                yield pa.concat_tables(tables).unify_dictionaries()


def _grounds(results, most: int) -> Iterator[tuple]:
    """Files of curves of whole grounds, of so many rows together or of a single one, and those rows."""
    files, rows_of = results.chunks(CURVES), results.num_rows(CURVES)
    group, rows = [], 0
    for _, names in itertools.groupby(files, key=lambda name: Chunk.named(name).ground):
        names = list(names)
        more = sum(rows_of[name] for name in names)
        if group and rows + more > most:
            yield group, rows
            group, rows = [], 0
        group, rows = group + [files[name] for name in names], rows + more
    if group:
        yield group, rows


def _cells_at_once(results, paths: list, cells: np.ndarray | None, number: int) -> list:
    """The cells of some files in so many pieces, at least one cell each."""
    if number <= 1:
        return [cells]
    known = np.unique(np.concatenate([results.read(path, ["cell"])["cell"].to_numpy() for path in paths]))
    known = known if cells is None else np.intersect1d(known, cells)
    return [some for some in np.array_split(known, number) if len(some)]
