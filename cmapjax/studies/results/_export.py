"""Results for other programs: CSV that no spreadsheet runs, and netCDF."""

import importlib
import os
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path

from cmapjax.arguments._checks import escape_cell, short
from cmapjax.studies.results._disk import put
from cmapjax.studies.results._errors import ResultsError, shown


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
    put(path, bytes(results.dataset().to_netcdf(engine="h5netcdf", format="NETCDF4")))


def _target(path, endings: tuple[str, ...]) -> Path:
    """Where to write to: a file whose folder exists and whose ending says what it is."""
    if not isinstance(path, (str, os.PathLike)) or isinstance(os.fspath(path), bytes):
        raise ResultsError(f"path is {short(path)}; give the name of a file.")
    path = Path(path)
    if not path.name.lower().endswith(endings):
        raise ResultsError(f"{shown(path)}: end the name in {' or '.join(endings)}.")
    if path.is_dir():
        raise ResultsError(f"{shown(path)} is a folder; give the name of a file in it.")
    if not path.parent.is_dir():
        raise ResultsError(f"{shown(path)}: its folder does not exist; make it first.")
    return path
