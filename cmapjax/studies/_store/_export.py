"""Results for other programs: CSV that no spreadsheet runs, and netCDF."""

import os
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path

from cmapjax.arguments._checks import escape_cell, short
from cmapjax.studies._store._disk import put, put_parts
from cmapjax.studies._store._errors import StoreError, shown
from cmapjax.studies._store._extras import needed
from cmapjax.studies._store._frames import blocks

# Rows that are text at the same time.
ROWS = 100_000


def to_csv(results, path) -> None:
    """See `StudyResults.to_csv`."""
    path = _target(path, (".csv", ".csv.gz"))
    parts = _lines(results)
    put_parts(path, _packed(parts) if path.name.endswith(".gz") else parts)


def _lines(results) -> Iterator[bytes]:
    """The table as text, some rows at a time."""
    is_first = True
    for frame in blocks(results):
        for start in range(0, len(frame), ROWS):
            part = frame[start : start + ROWS].copy()
            for name in part.columns:
                if part[name].dtype.kind not in "iufb":
                    part[name] = part[name].astype(object).map(_escaped, na_action="ignore")
            part.columns = [escape_cell(name) for name in part.columns]
            yield part.to_csv(index=False, header=is_first, lineterminator="\n").encode()
            is_first = False


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
