"""The summary and the quantiles of curves as labelled arrays over the axes of the study."""

import itertools
import json
import math

import numpy as np

from cmapjax.studies._names import FIELDS
from cmapjax.studies.results._curves import SHARES
from cmapjax.studies.results._errors import ResultsError, shown
from cmapjax.studies.results._export import needed
from cmapjax.studies.results._frames import check_columns, half_the_memory

# A product of axes is laid out in full if at least one in so many of its places is a cell; otherwise those
# axes share one dimension: 64 points of a Sobol sample over two axes are no 64 × 64 table.
MOST_EMPTY = 10
# Columns of the summary that say where a row belongs.
_PLACES = ("cell", "ground", "market", "seed", "fingerprint")


def dataset(results):
    """The xarray Dataset of `StudyResults.dataset`."""
    xarray = needed("xarray", "StudyResults.dataset()")
    frame = results.frame()
    units = frame.attrs["units"]
    check_columns(frame.columns, results.axes)
    for name in frame.columns:
        if frame[name].dtype.kind not in "iufb":
            frame[name] = frame[name].astype(object)
    cells = frame.drop_duplicates("cell").set_index("cell")
    factors = factors_of(cells[results.axes])
    dims = ["_".join(factor) for factor in factors]
    for dim, factor in zip(dims, factors, strict=True):
        if len(factor) > 1:
            cells[dim] = cells.groupby(list(factor), sort=False).ngroup()
            frame[dim] = cells[dim].loc[frame["cell"]].to_numpy()
    words = [name for name in FIELDS if name in frame.columns and name not in dims]
    columns = [c for c in frame.columns if c not in (*_PLACES, *words, *results.axes, *dims)]
    _check_size(results, [cells[dim].nunique() for dim in dims], frame["market"].max() + 1, len(columns))
    rows = frame.assign(num_played=1).set_index([*dims, "market"])
    data = xarray.Dataset.from_dataframe(rows[[*columns, "num_played"]])
    data["num_played"] = data["num_played"].fillna(0).sum("market").astype(np.int64)
    units |= {"num_played": "markets"}
    of_cells = cells.set_index(dims)[words] if dims else cells[words].iloc[0]
    parts = [data, xarray.Dataset.from_dataframe(of_cells) if dims else xarray.Dataset(of_cells.to_dict())]
    if (curves := results.curves()) is not None:
        parts.append(xarray.Dataset.from_dataframe(_by_metric(curves, cells, dims)))
        units |= {f"curve_{metric}": units.get(metric, "") for metric in curves["metric"].unique()}
    data = xarray.merge(parts, join="outer", compat="no_conflicts")
    data = data.map(lambda column: column.fillna("") if column.dtype == object else column)
    data = data.sel({dim: cells[dim].unique() for dim in dims if cells[dim].dtype == object})
    for dim, factor in zip(dims, factors, strict=True):
        if len(factor) > 1:
            points = cells.drop_duplicates(dim).set_index(dim).sort_index()
            data = data.assign_coords({axis: (dim, points[axis].to_numpy()) for axis in factor})
    for name in data.variables:
        data[name].attrs["units"] = units.get(name, "")
    return data.assign_attrs(_attributes(results))


def factors_of(cells) -> list[tuple[str, ...]]:
    """Which axes have a dimension of their own, and which share one, lest the array be nearly empty.

    Args:
        cells: the axes' values of every cell, a frame.
    """

    def points(axes: tuple[str, ...]) -> int:
        return len(cells[list(axes)].drop_duplicates())

    factors = [(axis,) for axis in cells.columns]
    while len(factors) > 1:
        if math.prod(map(points, factors)) <= MOST_EMPTY * points(tuple(cells.columns)):
            break
        # Join the two that leave most of their product empty.
        first, second = min(
            itertools.combinations(factors, 2),
            key=lambda two: points(sum(two, ())) / math.prod(map(points, two)),
        )
        factors[factors.index(first)] = first + second
        factors.remove(second)
    return factors


def _by_metric(curves, cells, dims: list[str]):
    """Quantiles with a column for each metric, by cell, round and quantile."""
    for dim in dims:
        curves[dim] = cells[dim].loc[curves["cell"]].to_numpy()
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
