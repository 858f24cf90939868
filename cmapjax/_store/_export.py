"""Results for other programs: CSV that no spreadsheet runs, and netCDF."""

import gzip
import os
from pathlib import Path

from cmapjax._checks import escape_cell, short
from cmapjax._store._disk import put
from cmapjax._store._errors import StoreError, shown
from cmapjax._store._extras import needed


def to_csv(results, path) -> None:
    """See `StudyResults.to_csv`."""
    path = _target(path, (".csv", ".csv.gz"))
    frame = results.frame()
    for name in frame.columns:
        if frame[name].dtype.kind not in "iufb":
            frame[name] = frame[name].astype(object).map(_escaped, na_action="ignore")
    frame.columns = [escape_cell(name) for name in frame.columns]
    data = frame.to_csv(index=False, lineterminator="\n").encode()
    # No time stamp: equal results give equal files.
    put(path, gzip.compress(data, mtime=0) if path.name.endswith(".gz") else data)


def _escaped(cell):
    return escape_cell(cell) if isinstance(cell, str) else cell


def to_netcdf(results, path) -> None:
    """See `StudyResults.to_netcdf`."""
    path = _target(path, (".nc",))
    needed("h5py", "StudyResults.to_netcdf()")
    needed("h5netcdf", "StudyResults.to_netcdf()")
    put(path, bytes(results.dataset().to_netcdf(engine="h5netcdf", format="NETCDF4")))


def _target(path, endings: tuple[str, ...]) -> Path:
    """Where to write to: a file whose folder exists and whose ending says what it is."""
    if not isinstance(path, (str, os.PathLike)) or isinstance(os.fspath(path), bytes):
        raise StoreError(f"path is {short(path)}; give the name of a file.")
    path = Path(path)
    if not path.name.lower().endswith(endings):
        raise StoreError(f"{shown(path)}: end the name in {' or '.join(endings)}.")
    if path.is_dir():
        raise StoreError(f"{shown(path)} is a folder; give the name of a file in it.")
    if not path.parent.is_dir():
        raise StoreError(f"{shown(path)}: its folder does not exist; make it first.")
    return path
