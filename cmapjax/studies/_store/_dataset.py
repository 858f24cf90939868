"""The summary and the quantiles of curves as labelled arrays over the axes of the study."""

import json
import math

import numpy as np

from cmapjax.arguments._checks import short
from cmapjax.studies._store._curves import SHARES
from cmapjax.studies._store._errors import StoreError, shown
from cmapjax.studies._store._extras import needed
from cmapjax.studies._store._frames import half_the_memory

# A product of axes is laid out in full if at least one in so many of its places is a cell; otherwise those
# axes share one dimension: 64 points of a Sobol sample over two axes are no 64 × 64 table.
MOST_EMPTY = 10
# Columns of the summary that say where a row belongs, or what the whole cell is.
_PLACES = ("cell", "ground", "market", "seed", "fingerprint")
_WORDS = ("network", "endowment", "value", "isolated", "process", "strategy", "schedule", "damping")


def dataset(results):
    """The xarray Dataset of `StudyResults.dataset`."""
    xarray = needed("xarray", "StudyResults.dataset()")
    frame = results.frame()
    axes = results.axes
    _check_columns(frame, axes)
    cells = frame.drop_duplicates("cell").set_index("cell")
    layout = Layout(cells, axes)
    market = np.arange(int(frame["market"].max()) + 1)
    units = frame.attrs["units"]
    columns = [c for c in frame.columns if c not in (*_PLACES, *axes)]
    _check_size(results, layout, len(market), len(columns))
    place = layout.place_of(frame["cell"].to_numpy())
    shape = (layout.size, len(market))
    variables = {}
    for name in columns:
        if name in _WORDS:
            words = layout.spread(cells.index.to_numpy(), cells[name].to_numpy(object), "")
            variables[name] = (layout.dims, words.astype(str).reshape(layout.shape))
            continue
        filled = _filled(frame[name], place, frame["market"].to_numpy(), shape)
        where = (*layout.dims, "market")
        variables[name] = (where, filled.reshape(*layout.shape, len(market)), {"units": units.get(name, "")})
    played = np.bincount(place, minlength=layout.size).reshape(layout.shape)
    variables["num_played"] = (layout.dims, played, {"units": "markets"})
    coordinates = {**layout.coordinates(units), "market": market}
    curves = results.curves()
    if curves is not None:
        coordinates |= {"round": np.unique(curves["round"]), "quantile": list(SHARES.values())}
        variables |= _curves(curves, layout, coordinates["round"], units)
    return xarray.Dataset(variables, coordinates, _attributes(results))


class Layout:
    """Where each cell has its place in an array over the axes.

    Attributes:
        dims: names of the dimensions; one is named after several axes if those share it.
        shape: their lengths.
    """

    def __init__(self, cells, axes: list[str]):
        self._cells = cells
        codes, self._values = {}, {}
        for axis in axes:
            codes[axis], self._values[axis] = _factorized(cells[axis])
        self._factors = _factors(codes, axes)
        self.dims, self.shape, self._points = [], [], []
        place = np.zeros(len(cells), np.int64)
        for factor in self._factors:
            points, inverse = _points(codes, factor)
            self.dims.append("_".join(factor))
            self.shape.append(len(points))
            self._points.append(points)
            place = place * len(points) + inverse
        self.size = math.prod(self.shape)
        self._place = dict(zip(cells.index.tolist(), place.tolist(), strict=True))

    def place_of(self, cell: np.ndarray) -> np.ndarray:
        """The places of these cells in the flattened array."""
        known, inverse = np.unique(cell, return_inverse=True)
        return np.array([self._place[number] for number in known.tolist()], np.int64)[inverse]

    def spread(self, cell: np.ndarray, values: np.ndarray, empty) -> np.ndarray:
        """One value per cell, flattened; `empty` where the study has no cell."""
        filled = np.full(self.size, empty, values.dtype)
        filled[self.place_of(cell)] = values
        return filled

    def coordinates(self, units: dict[str, str]) -> dict:
        """The axes' values: coordinates of their dimension, or along the one they share."""
        found = {}
        for dim, factor, points in zip(self.dims, self._factors, self._points, strict=True):
            for column, axis in enumerate(factor):
                values = self._values[axis][points[:, column]]
                values = values.astype(str) if values.dtype == object else values
                found[axis] = (dim, values, {"units": units.get(axis, "")})
            if len(factor) != 1:
                found[dim] = (dim, np.arange(len(points)))
        return found


def _factorized(column):
    """Codes of a column, and its values: numbers sorted, text as it appears."""
    import pandas as pd

    if pd.api.types.is_numeric_dtype(column):
        values, codes = np.unique(column.to_numpy(), return_inverse=True)
        return codes, values
    codes, values = pd.factorize(column.astype(object))
    return codes, np.asarray(values, object)


def _points(codes: dict[str, np.ndarray], factor: tuple[str, ...]):
    """The combinations of a factor's axes that occur, and the number of each cell's."""
    if not factor:
        return np.zeros((1, 0), np.int64), np.zeros(len(next(iter(codes.values()), [0])), np.int64)
    points, inverse = np.unique(np.stack([codes[axis] for axis in factor], 1), axis=0, return_inverse=True)
    return points, np.ravel(inverse)


def _factors(codes: dict[str, np.ndarray], axes: list[str]) -> list[tuple[str, ...]]:
    """Which axes have a dimension of their own, and which share one, lest the array be nearly empty."""
    factors = [(axis,) for axis in axes]
    while len(factors) > 1:
        sizes = [len(_points(codes, factor)[0]) for factor in factors]
        cells = len(_points(codes, tuple(axes))[0])
        if math.prod(sizes) <= MOST_EMPTY * cells:
            break
        # Join the two that leave most of their product empty.
        fill = {
            (a, b): len(_points(codes, factors[a] + factors[b])[0]) / (sizes[a] * sizes[b])
            for a in range(len(factors))
            for b in range(a + 1, len(factors))
        }
        first, second = min(fill, key=fill.get)
        factors[first] += factors.pop(second)
    return factors


def _filled(column, place: np.ndarray, market: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """A column over places and markets; NaN (or no text) where nothing was played."""
    import pandas as pd

    is_full = len(column) == shape[0] * shape[1]
    if pd.api.types.is_bool_dtype(column) or pd.api.types.is_integer_dtype(column):
        filled = np.zeros(shape, column.dtype) if is_full else np.full(shape, np.nan)
        filled[place, market] = column.to_numpy()
    elif pd.api.types.is_numeric_dtype(column):
        filled = np.full(shape, np.nan)
        filled[place, market] = column.to_numpy(np.float64)
    else:
        filled = np.full(shape, "", object)
        filled[place, market] = column.astype(object).fillna("").to_numpy()
    return filled


def _curves(curves, layout: Layout, rounds: np.ndarray, units: dict[str, str]) -> dict:
    """Quantiles of every metric over the axes, rounds and shares."""
    found = {}
    for metric, rows in curves.groupby("metric", observed=True):
        filled = np.full((layout.size, len(rounds), len(SHARES)), np.nan)
        at = np.searchsorted(rounds, rows["round"].to_numpy())
        filled[layout.place_of(rows["cell"].to_numpy()), at] = rows[list(SHARES)].to_numpy()
        shape = (*layout.shape, len(rounds), len(SHARES))
        where = (*layout.dims, "round", "quantile")
        found[f"curve_{metric}"] = (where, filled.reshape(shape), {"units": units.get(metric, "")})
    return found


def _check_size(results, layout: Layout, markets: int, columns: int) -> None:
    needed_bytes = 8 * layout.size * markets * max(1, columns)
    if needed_bytes > (budget := half_the_memory()):
        raise StoreError(
            f"{shown(results.folder)}: arrays over {' × '.join(layout.dims)} × market take {needed_bytes:,} "
            f"bytes, above {budget:,}, half of the memory; use frame(columns=…) or frame(cells=…)."
        )


def _attributes(results) -> dict[str, str]:
    """What the study is, as text (netCDF knows no tables)."""
    kept = {key: results.manifest.get(key) for key in ("created", "digest", "device", "precision", "commit")}
    kept = {key: str(value) for key, value in kept.items() if value is not None}
    plain = {key: json.dumps(results.manifest[key], ensure_ascii=False) for key in ("study", "versions")}
    return {"title": str(results.study.get("name", "")), "source": "cmapjax", **kept, **plain}


def _check_columns(frame, names) -> None:
    """Raise if the summary lacks one of these columns."""
    if missing := [name for name in names if name not in frame.columns]:
        raise StoreError(f"the summary has no column {short(missing[0])}; it has {', '.join(frame.columns)}.")
