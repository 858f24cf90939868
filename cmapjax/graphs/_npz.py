"""Sparse matrices in SciPy's format (`scipy.sparse.save_npz`), checked before they are read."""

import io
import math
import zipfile
import zlib
from pathlib import Path

import numpy as np
import scipy

from cmapjax.arguments._checks import listed, short
from cmapjax.graphs._file_options import FileOptions
from cmapjax.graphs._files import check_budget, complaint, detail
from cmapjax.graphs._labels import undirected
from cmapjax.graphs._matrix import BYTES_PER_AGENT, BYTES_PER_ENTRY
from cmapjax.graphs._network import WEIGHTS, ZEROS, Network

_MOST_TEXT = 10_000  # characters of an array's header; those of NumPy have about 120
_MOST_ARRAYS = 10  # SciPy's files hold five or six
_DAMAGED = (ValueError, KeyError, OSError, EOFError, zipfile.BadZipFile, zlib.error, NotImplementedError)


def read_npz(path: Path, data: bytes, options: FileOptions) -> Network:
    """The network of a square sparse matrix: an entry that is not 0 is a link.

    Agents are numbered from 0, as SciPy numbers rows. Nothing is unpickled.
    """
    _check_declared(path, data, options)
    try:
        matrix = scipy.sparse.load_npz(io.BytesIO(data))
        if hasattr(matrix, "check_format"):
            matrix.check_format(full_check=True)  # SciPy's conversions trust the indices
        entries = scipy.sparse.coo_array(matrix)
    except _DAMAGED as error:
        raise _no_matrix(path, error) from None
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        shape = " × ".join(map(str, matrix.shape))
        raise complaint(path, f"the matrix is {shape}; agents share with agents, so make it square.")
    values = entries.data
    if values.dtype.kind not in "biuf":
        raise complaint(path, f"the matrix has dtype {values.dtype}; save real numbers or booleans.")
    row, column = (np.asarray(index, np.int64) for index in (entries.row, entries.col))
    bad = np.flatnonzero(~np.isfinite(values))
    if len(bad):
        where = f"{row[bad[0]]} and {column[bad[0]]}"
        raise complaint(path, f"the entry of {where} is {values[bad[0]]} ({len(bad)} such); write 0 or 1.")
    is_link = values != 0
    links = np.stack([row[is_link], column[is_link]], axis=1)
    try:
        links = undirected(links, options.symmetrize, "entry", lambda i: i, options.say("symmetrize"))
    except ValueError as error:
        raise complaint(path, str(error)) from None
    notes = {ZEROS: int(np.sum(~is_link)), WEIGHTS: int(np.sum(values[is_link] != 1))}
    return Network(links, range(matrix.shape[0]), notes=notes)


def _no_matrix(path: Path, error: Exception) -> ValueError:
    return complaint(path, f"is no sparse matrix of SciPy's ({detail(error)}); save it again.")


def _check_declared(path: Path, data: bytes, options: FileOptions) -> None:
    """Raise unless the arrays, by their headers, fit into memory; only the array of the shape is read for
    that.

    This bounds the size of the unpacked file, because an array is read up to its declared length, whatever
    the archive holds.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = {member.filename.removesuffix(".npy"): member for member in archive.infolist()}
            is_sparse = {"format", "shape", "data"} <= members.keys() and len(members) <= _MOST_ARRAYS
            arrays = {}
            for name, member in members.items() if is_sparse else ():
                with archive.open(member) as stream:
                    arrays[name] = _declared(stream)
            size = _sizes(archive, arrays) if is_sparse else []
    except _DAMAGED as error:
        raise _no_matrix(path, error) from None
    if not is_sparse:
        raise complaint(
            path,
            f"holds no sparse matrix of SciPy's (found {listed(members) or 'nothing'}); write it by "
            "scipy.sparse.save_npz.",
        )
    needed = BYTES_PER_AGENT * max(size, default=0)
    for name, (shape, dtype) in arrays.items():
        if dtype.hasobject:
            raise complaint(path, f"{short(name)} holds Python objects, which are not read; save numbers.")
        each = BYTES_PER_ENTRY if name in ("data", "row", "indices") else 0
        needed += math.prod(shape) * (each + dtype.itemsize)
    check_budget(path, needed, options.budget, "the matrix needs")


def _declared(stream) -> tuple[tuple[int, ...], np.dtype]:
    version = np.lib.format.read_magic(stream)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(stream, max_header_size=_MOST_TEXT)
    return shape, dtype


def _sizes(archive: zipfile.ZipFile, arrays: dict) -> list[int]:
    """The shape of the matrix: two numbers."""
    shape, dtype = arrays["shape"]
    if shape != (2,) or dtype.kind not in "iu":
        raise ValueError("its shape is not two whole numbers")
    with archive.open("shape.npy") as stream:
        return np.lib.format.read_array(stream, allow_pickle=False).tolist()
