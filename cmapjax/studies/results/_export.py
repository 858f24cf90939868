"""Results for other programs: CSV that no spreadsheet runs, labelled arrays over the axes, and netCDF."""

import importlib
import json
import math
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from cmapjax.arguments._checks import escape_cell
from cmapjax.studies._schema import FIELDS
from cmapjax.studies._sketch import SHARES
from cmapjax.studies.results._disk import ResultsError, put, shown
from cmapjax.studies.results._frames import half_the_memory

# Columns of the summary that say where a row belongs.
_PLACES = ("cell", "ground", "market", "seed", "fingerprint")


def needed(module: str, purpose: str):
    """The module, which belongs to the extra `study`.

    Raises:
        ImportError: it is not installed; says what is.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ImportError(f"{purpose} needs {module} (pip install 'cmapjax[study]').") from error


def to_csv(results, path) -> None:
    """See `StudyResults.to_csv`."""
    path = _target(path, (".csv", ".csv.gz"))
    parts = _lines(results)
    put(path, _packed(parts) if path.name.endswith(".gz") else parts)


def _lines(results) -> Iterator[bytes]:
    """The table as text, chunk by chunk, so that a study of any size fits in memory."""
    for number, table in enumerate(results.tables()):
        frame = table.to_pandas(use_threads=False)
        for name in frame.columns:
            if frame[name].dtype.kind not in "iufb":
                frame[name] = frame[name].astype(object).map(_escaped, na_action="ignore")
        frame.columns = [escape_cell(name) for name in frame.columns]
        yield frame.to_csv(index=False, header=number == 0, lineterminator="\n").encode()


def _packed(parts: Iterable[bytes]) -> Iterator[bytes]:
    """As gzip, without a time stamp: equal results give equal files."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)  # 31: with the header of gzip
    for part in parts:
        yield packer.compress(part)
    yield packer.flush()


def _escaped(cell):
    return escape_cell(cell) if isinstance(cell, str) else cell


def to_netcdf(results, path) -> None:
    """See `StudyResults.to_netcdf`."""
    path = _target(path, (".nc",))
    needed("h5py", "StudyResults.to_netcdf()")
    needed("h5netcdf", "StudyResults.to_netcdf()")
    put(path, bytes(dataset(results).to_netcdf(engine="h5netcdf", format="NETCDF4")))


def _target(path, endings: tuple[str, ...]) -> Path:
    """Where to write to: a file whose ending says what it is."""
    path = Path(path)
    if not path.name.lower().endswith(endings):
        raise ResultsError(f"{shown(path)}: end the name in {' or '.join(endings)}.")
    return path


# -- labelled arrays -----------------------------------------------------------------------------------


def dataset(results):
    """See `StudyResults.dataset`."""
    xarray = needed("xarray", "StudyResults.dataset()")
    frame = results.frame()
    units = frame.attrs["units"] | {"num_played": "markets"}
    words = frame.select_dtypes(exclude="number").columns
    frame[words] = frame[words].astype(object)
    cells = frame.drop_duplicates("cell").set_index("cell")
    dims = _dimensions(results, cells)
    frame[list(dims)] = cells.loc[frame["cell"], list(dims)].to_numpy()
    # What a cell is in words, but for its axes, does not vary over markets.
    of_cells = [name for name in FIELDS if name in frame.columns and name not in results.axes]
    columns = [c for c in frame.columns if c not in (*_PLACES, *of_cells, *results.axes, *dims)]
    _check_size(results, [cells[dim].nunique() for dim in dims], frame["market"].max() + 1, len(columns))
    rows = frame.assign(num_played=1).set_index([*dims, "market"])[[*columns, "num_played"]]
    parts = [rows.to_xarray()]
    parts[0]["num_played"] = parts[0]["num_played"].fillna(0).sum("market").astype(np.int64)
    if dims:
        parts.append(cells.set_index(list(dims))[of_cells].to_xarray())
    if (curves := results.curves()) is not None:
        parts.append(_by_metric(curves, cells, list(dims)).to_xarray())
        units |= {f"curve_{metric}": units.get(metric, "") for metric in curves["metric"].unique()}
    data = xarray.merge(parts, join="outer", compat="no_conflicts")
    data = data.map(lambda column: column.fillna("") if column.dtype == object else column)
    data = data.sel({dim: cells[dim].unique() for dim in dims})  # in the order of the cells
    for dim, axes in dims.items():
        points = cells.drop_duplicates(dim)
        data = data.assign_coords({axis: (dim, points[axis].to_numpy()) for axis in axes if axis != dim})
    for name in data.variables:
        data[name].attrs["units"] = units.get(name, "")
    return data.assign_attrs(_attributes(results))


def _dimensions(results, cells) -> dict[str, list[str]]:
    """The dimensions of cells, with the axes that share each; `cells` gets a column for every one.

    An axis of the grid has one of its own, those of a zip and of the sample share one; cells that are listed
    are a product of nothing, and so all cells share one.
    """
    study = results.study
    shared = [[axis] for axis in study.get("grid") or ()] + [list(table) for table in study.get("zip") or ()]
    sample = [axis for axis in study.get("sample") or () if axis not in ("method", "number")]
    shared += [sample] if sample else []
    if study.get("list"):
        shared = [results.axes]
    dims = {"_".join(axes): axes for axes in shared}
    for dim, axes in dims.items():
        if len(axes) > 1:
            cells[dim] = cells.groupby(axes, sort=False).ngroup()
    return dims


def _by_metric(curves, cells, dims: list[str]):
    """Quantiles with a column for each metric, by cell, round and quantile."""
    curves[dims] = cells.loc[curves["cell"], dims].to_numpy()
    curves["metric"] = "curve_" + curves["metric"].astype(str)
    found = curves.set_index([*dims, "round", "metric"])[list(SHARES)].rename(columns=SHARES)
    found.columns.name = "quantile"
    return found.stack().unstack("metric")


def _check_size(results, sizes: list[int], markets: int, columns: int) -> None:
    needed_bytes = 8 * math.prod(sizes) * int(markets) * max(1, columns)
    if needed_bytes > (budget := half_the_memory()):
        raise ResultsError(
            f"{shown(results.folder)}: arrays over the axes and markets ({' × '.join(map(str, sizes))} × "
            f"{markets}) take {needed_bytes:,} bytes, above {budget:,}, half of the memory; use "
            "frame(columns=…) or frame(cells=…)."
        )


def _attributes(results) -> dict[str, str]:
    """What the study is, as text (netCDF knows no tables)."""
    about = results.about
    plain = {key: str(about[key]) for key in ("created", "device", "precision", "commit") if about.get(key)}
    tables = {key: json.dumps(about[key], ensure_ascii=False) for key in ("study", "versions")}
    return {"title": str(results.study.get("name", "")), "source": "cmapjax", **plain, **tables}
