"""Matrices of which the pattern makes a network: MatrixMarket, and SciPy's sparse ones (`.npz`).

Files are checked before SciPy reads them, because it allocates what a file declares.
"""

import io
import math
import re
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import scipy
from jaxtyping import Int

from cmapjax.arguments._checks import listed, short
from cmapjax.graphs._doubts import is_number
from cmapjax.graphs._file_options import FileOptions
from cmapjax.graphs._files import check_budget, complaint, detail, naming
from cmapjax.graphs._labels import undirected
from cmapjax.graphs._network import WEIGHTS, ZEROS, Network
from cmapjax.graphs._quick import blocks, cells_of

_BYTES_PER_ENTRY = 160  # positions, their sorted copies and keys, and two arcs of the market
_BYTES_PER_AGENT = 200  # a label and the vectors over agents
_SHORTEST_ENTRY = len("1 2\n")
_MOST_TEXT = 10_000  # characters of an array's header; those of NumPy have about 120
_MOST_ARRAYS = 10  # SciPy's files hold five or six
_DAMAGED = (ValueError, KeyError, OSError, EOFError, zipfile.BadZipFile, zlib.error, NotImplementedError)


# The banner, and comments and blank lines before the sizes.
_HEAD = re.compile(rb"[^\n]*\n(?:[ \t]*(?:%[^\n]*)?\r?\n)*")
_CHOICES = {
    "layout": ("coordinate", "array"),
    "field": ("pattern", "integer", "unsigned-integer", "real", "double", "complex"),
    "symmetry": ("symmetric", "general", "skew-symmetric", "hermitian"),
}


class Pattern(NamedTuple):
    """What a square matrix says about a network."""

    links: Int[np.ndarray, "links 2"]
    num_zeros: int
    """Entries that are stored though they are zero."""
    num_weights: int
    """Links whose entry is not 1."""

    def network(self, labels) -> Network:
        """The network between agents of these names."""
        return Network(self.links, labels, notes={ZEROS: self.num_zeros, WEIGHTS: self.num_weights})


def pattern_of(matrix, symmetrize: bool, name_of: Callable[[int], object], remedy: str) -> Pattern:
    """The links of a matrix: its entries other than zero; those on the diagonal are self-loops.

    Args:
        matrix: dense, or sparse of any format. Entries given twice stay links given twice.
        symmetrize: make every entry of an unsymmetric matrix a link.
        name_of: the name of a row, for errors.
        remedy: how to ask for `symmetrize`.

    Raises:
        ValueError: a matrix that is not square, numeric, finite or symmetric in its pattern.
    """
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise ValueError(f"matrix has shape {matrix.shape}; agents share with agents, so it must be square.")
    if matrix.dtype.kind not in "biufc":
        raise ValueError(f"matrix has dtype {matrix.dtype}; give numbers or booleans.")
    entries = scipy.sparse.coo_array(matrix)
    ends = np.stack([entries.row, entries.col], axis=1).astype(np.int64)
    bad = np.flatnonzero(~np.isfinite(entries.data))
    if len(bad):
        a, b = (short(name_of(int(i))) for i in ends[bad[0]])
        raise ValueError(
            f"matrix: the entry of {a} and {b} is {entries.data[bad[0]]} ({len(bad)} such); say 0 for no "
            "link and 1 for a link."
        )
    is_link = entries.data != 0
    links = undirected(ends[is_link], symmetrize, "matrix: entry", name_of, remedy)
    return Pattern(links, int(np.sum(~is_link)), int(np.sum(is_link & (entries.data != 1))))


def read_matrix_market(path: Path, data: bytes, options: FileOptions) -> Network:
    """The network of a square MatrixMarket matrix. Agents are named as the file counts them, from 1.

    scipy.io.mmread is not used because it crashes on damaged files.
    """
    head = _HEAD.match(data + b"\n" * (b"\n" not in data))
    layout, field, symmetry = _banner(path, head[0].partition(b"\n")[0].decode())
    line, sizes = 1 + head[0].count(b"\n"), data[head.end() :].partition(b"\n")[0].split()
    size, num_entries = _sizes_of(path, line, sizes, layout, symmetry)
    needed = _BYTES_PER_AGENT * size + _BYTES_PER_ENTRY * num_entries
    what = f"the matrix of {size:,} agents and {num_entries:,} entries needs"
    check_budget(path, needed, options.budget, what)
    body = data[head.end() :].partition(b"\n")[2]
    num_values = {"pattern": 0, "complex": 2}.get(field, 1)
    if layout == "coordinate":
        index, values = _coordinates(path, body, line + 1, size, num_values)
        row, column = index.T
    else:
        with naming(path):
            values = _as_values(_floats(body), num_values)
        # Column after column; unless it is general from the diagonal down, or from below that.
        if symmetry == "general":
            column, row = np.divmod(np.arange(num_entries), max(size, 1))
        else:
            column, row = np.triu_indices(size, symmetry == "skew-symmetric")
    if len(values) != num_entries:
        raise complaint(
            path,
            f"{len(values):,} entries, but {num_entries:,} are declared; complete the file, or correct the "
            "count.",
        )
    if layout == "array":  # which lists all zeros
        row, column, values = (part[values != 0] for part in (row, column, values))
    matrix = scipy.sparse.coo_array((values, (row, column)), shape=(size, size))
    is_symmetric = options.symmetrize or symmetry != "general"
    with naming(path):
        pattern = pattern_of(matrix, is_symmetric, lambda i: i + 1, options.say("symmetrize"))
    return pattern.network(range(1, size + 1))


def _banner(path: Path, text: str) -> list[str]:
    """The layout, field and symmetry of a MatrixMarket file."""
    words = text.lower().split()
    if len(words) != 5 or words[:2] != ["%%matrixmarket", "matrix"]:
        raise complaint(
            path, "does not begin '%%MatrixMarket matrix <layout> <field> <symmetry>'; add that line.", 1
        )
    for word, (name, known) in zip(words[2:], _CHOICES.items(), strict=True):
        if word not in known:
            raise complaint(path, f"{name} {short(word)} makes no network; use {' or '.join(known)}.", 1)
    if words[2:4] == ["array", "pattern"]:
        raise complaint(path, "an array has values, so it cannot be a pattern; use coordinate.", 1)
    return words[2:]


def _sizes_of(path: Path, line: int, cells: list[bytes], layout: str, symmetry: str) -> tuple[int, int]:
    """How many rows a MatrixMarket file declares, and how many entries it must list."""
    expected = 3 if layout == "coordinate" else 2
    if len(cells) != expected or not all(cell.isdigit() and len(cell) <= 18 for cell in cells):
        raise complaint(path, f"the sizes must be {expected} whole numbers; add or correct that line.", line)
    rows, columns, *entries = map(int, cells)
    if rows != columns:
        message = f"the matrix is {rows} × {columns}; agents share with agents, so make it square."
        raise complaint(path, message, line)
    # Of a skew-symmetric matrix the diagonal, which is zero, is left out.
    half = rows * (rows - 1) // 2 if symmetry == "skew-symmetric" else rows * (rows + 1) // 2
    return rows, entries[0] if entries else rows**2 if symmetry == "general" else half


def _coordinates(path: Path, body: bytes, line: int, size: int, num_values: int):
    """Rows and columns, counted from 0, and values."""
    width = 2 + num_values
    parts = [np.zeros((0, width))]
    for block in blocks(body):
        cells = cells_of(block, width, None)
        try:
            part = np.array(list(map(float, cells or ())), np.float64).reshape(-1, width)
        except ValueError:
            cells = None
        is_blank = cells is None and block.isspace()
        if not is_blank and (cells is None or not _are_indices(part[:, :2], size) or b"_" in block):
            raise _bad_entry(path, body, line, size, width)
        parts.append(part if cells else parts[0])
    table = np.concatenate(parts)
    return table[:, :2].astype(np.int64) - 1, _as_values(table[:, 2:].ravel(), num_values, len(table))


def _are_indices(numbers: np.ndarray, size: int) -> bool:
    return bool(((numbers >= 1) & (numbers <= size) & (numbers == np.floor(numbers))).all())


def _bad_entry(path: Path, body: bytes, line: int, size: int, width: int) -> ValueError:
    """The error about the first entry that is none."""
    for number, row in enumerate(io.BytesIO(body), line):
        cells = row.decode().split()
        if cells and len(cells) != width:
            return complaint(path, f"{len(cells)} numbers, but an entry has {width}; correct it.", number)
        for cell in cells[:2]:
            if not cell.isdecimal() or not 1 <= int(cell[:20]) <= size:
                message = f"index {short(cell)} is not a whole number 1 … {size}; correct it."
                return complaint(path, message, number)
        for cell in cells[2:]:
            if "_" in cell or not is_number(cell):
                return complaint(path, f"value {short(cell)} is not a number; correct it.", number)
    return complaint(path, "holds entries that are no numbers; correct them.")


def _floats(body: bytes) -> np.ndarray:
    try:
        return np.array(list(map(float, body.split())), np.float64)
    except ValueError as error:
        raise ValueError(f"holds what is no number ({detail(error)}); correct it.") from None


def _as_values(numbers: np.ndarray, num_values: int, num_entries: int = 0) -> np.ndarray:
    """One value per entry: 1 where a file has none, and a complex one of two numbers."""
    if num_values == 0:
        return np.ones(num_entries)
    if len(numbers) % num_values:
        raise ValueError("ends within a value, of which a complex one has two numbers; complete it.")
    return numbers if num_values == 1 else numbers.reshape(-1, 2) @ np.array([1, 1j])


def read_npz(path: Path, data: bytes, options: FileOptions) -> Network:
    """The network of a square sparse matrix. Agents are numbered from 0; nothing is unpickled."""
    _check_declared(path, data, options)
    try:
        matrix = scipy.sparse.load_npz(io.BytesIO(data))
        if hasattr(matrix, "check_format"):
            matrix.check_format(full_check=True)  # SciPy's conversions trust the indices
        scipy.sparse.coo_array(matrix)
    except _DAMAGED as error:
        raise _unreadable(path, "sparse matrix of SciPy's", error) from None
    with naming(path):
        pattern = pattern_of(matrix, options.symmetrize, lambda i: i, options.say("symmetrize"))
    return pattern.network(range(matrix.shape[0]))


def _unreadable(path: Path, what: str, error: Exception) -> ValueError:
    return complaint(path, f"is no {what} ({detail(error)}); correct it, or save it again.")


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
        raise _unreadable(path, "sparse matrix of SciPy's", error) from None
    if not is_sparse:
        raise complaint(
            path,
            f"holds no sparse matrix of SciPy's (found {listed(members) or 'nothing'}); write it by "
            "scipy.sparse.save_npz.",
        )
    needed = _BYTES_PER_AGENT * max(size, default=0)
    for name, (shape, dtype) in arrays.items():
        if dtype.hasobject:
            raise complaint(path, f"{short(name)} holds Python objects, which are not read; save numbers.")
        each = _BYTES_PER_ENTRY if name in ("data", "row", "indices") else 0
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
