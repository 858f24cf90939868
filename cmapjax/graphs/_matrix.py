"""Matrices of which the pattern makes a network: MatrixMarket, and SciPy's sparse ones (`.npz`).

Files are checked before SciPy reads them, because it allocates what a file declares.
"""

import dataclasses
import io
import re
import zipfile
import zlib
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import scipy
from jaxtyping import Int

from cmapjax.arguments._checks import short
from cmapjax.graphs._directions import links_of
from cmapjax.graphs._doubts import is_number
from cmapjax.graphs._file_options import FileOptions
from cmapjax.graphs._files import FileError, check_budget, detail
from cmapjax.graphs._network import Network, Note
from cmapjax.graphs._quick import blocks, cells_of

_BYTES_PER_ENTRY = 160  # positions, their sorted copies and keys, and two arcs of the market
_BYTES_PER_CELL = 64  # a Python number of a dense matrix, and its share of lists
_BYTES_PER_AGENT = 200  # a label and the vectors over agents
_DAMAGED = (ValueError, KeyError, OSError, EOFError, zipfile.BadZipFile, zlib.error, NotImplementedError)


# The banner, comments and blank lines, and the sizes.
_HEAD = re.compile(rb"(?P<before>(?P<banner>[^\n]*)\n(?:[ \t]*(?:%[^\n]*)?\r?\n)*)(?P<sizes>[^\n]*)(?:\n|\Z)")
_BANNER = ["%%matrixmarket", "matrix"]
_CHOICES = {
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
        return Network(self.links, labels, {Note.ZEROS: self.num_zeros, Note.WEIGHTS: self.num_weights})


def pattern_of(matrix, options: FileOptions, name_of: Callable[[int], object]) -> Pattern:
    """The links of a dense or sparse matrix: its entries other than zero, from row to column, by `links_of`.

    Those on the diagonal are self-loops, and entries given twice stay links given twice.
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
    ends = ends if is_link.all() else ends[is_link]
    links = links_of(ends, options, "matrix: entry", name_of)
    return Pattern(links, int(np.sum(~is_link)), int(np.sum(is_link & (entries.data != 1))))


def read_matrix_market(data: bytes, options: FileOptions) -> Network:
    """The network of a square MatrixMarket matrix. Agents are named as the file counts them, from 1."""
    matrix, is_half = read_entries(data, options)
    if is_half and options.directed:
        message = f"lists the entries below the diagonal only; leave out {options.say('directed')}."
        raise FileError(message, 1)
    options = dataclasses.replace(options, symmetrize=True) if is_half else options
    return pattern_of(matrix, options, lambda i: i + 1).network(range(1, matrix.shape[0] + 1))


def read_entries(
    data: bytes, options: FileOptions, *, is_network: bool = True
) -> tuple["np.ndarray | scipy.sparse.coo_array", bool]:
    """The entries of a MatrixMarket file, and whether only those below the diagonal are listed.

    What is no network need not be square, and may be dense. scipy.io.mmread is not used because it crashes
    on damaged files.
    """
    head = _HEAD.match(data)
    words = head["banner"].decode().lower().split() if head else []
    is_dense = words[2:3] == ["array"] and not is_network
    if len(words) != 5 or words[:2] != _BANNER or not (is_dense or words[2] == "coordinate"):
        kind = "coordinate" if is_network else "coordinate|array"
        raise FileError(f"does not begin '%%MatrixMarket matrix {kind} <field> <symmetry>'; write it so.", 1)
    for word, (name, known) in zip(words[3:], _CHOICES.items(), strict=True):
        if word not in known and not is_dense:
            raise FileError(f"{name} {short(word)} makes no network; use {' or '.join(known)}.", 1)
    line, sizes = 1 + head["before"].count(b"\n"), head["sizes"].split()
    num_sizes = 2 if is_dense else 3
    if len(sizes) != num_sizes or not all(cell.isdigit() and len(cell) <= 18 for cell in sizes):
        raise FileError(f"the sizes must be {num_sizes} whole numbers; add or correct that line.", line)
    shape, body = tuple(map(int, sizes[:2])), data[head.end() :]
    if is_dense:
        return _dense(body, words[3:], shape, options), False
    if is_network and shape[0] != shape[1]:
        message = f"the matrix is {shape[0]} × {shape[1]}; agents share with agents, so make it square."
        raise FileError(message, line)
    num_entries = int(sizes[2])
    _check_size(max(shape), num_entries, options)
    width = 2 + {"pattern": 0, "complex": 2}.get(words[3], 1)
    index, numbers = _entries(body, line + 1, shape, width)
    if len(index) != num_entries:
        found = f"{len(index):,} entries, but {num_entries:,} are declared"
        raise ValueError(f"{found}; complete the file, or correct the count.")
    values = np.ones(num_entries, np.int8)
    if width > 2:
        values = numbers[:, 0] if width == 3 else np.hypot(*numbers.T)
    is_half = words[4] != "general"
    if is_half:  # a link listed from both ends is listed twice
        index = np.sort(index, axis=1)[:, ::-1]  # below the diagonal, as such files have them
    return scipy.sparse.coo_array((values, tuple(index.T)), shape=shape), is_half


def _dense(body: bytes, kind: list[str], shape: tuple[int, int], options: FileOptions) -> np.ndarray:
    """A dense matrix: its numbers, column after column."""
    if kind not in (["real", "general"], ["integer", "general"]):
        raise FileError("write it as '%%MatrixMarket matrix array real general'.", 1)
    cells = re.sub(rb"(?m)^%.*", b"", body).split()
    check_budget(_BYTES_PER_CELL * len(cells), options.budget, "the table needs")
    bad = next((x.decode() for x in cells if b"_" in x or not is_number(x)), None)
    if bad is not None:
        raise ValueError(f"value {short(bad)} is not a number; correct it.")
    if len(cells) != shape[0] * shape[1]:
        declared = f"{shape[0]} × {shape[1]} are declared"
        raise ValueError(f"{len(cells):,} numbers, but {declared}; complete the file.")
    return np.array(list(map(float, cells))).reshape(shape, order="F")


def _check_size(size: int, num_entries: int, options: FileOptions) -> None:
    needed = _BYTES_PER_AGENT * size + _BYTES_PER_ENTRY * num_entries
    what = f"the matrix of {size:,} agents and {num_entries:,} entries needs"
    check_budget(needed, options.budget, what)


def _entries(body: bytes, line: int, shape: tuple[int, int], width: int) -> tuple[np.ndarray, np.ndarray]:
    """The two indices of every entry, from 0, and the numbers of its value."""
    kind = np.int32 if max(shape) < 2**31 else np.int64
    index, numbers = [np.zeros((0, 2), kind)], [np.zeros((0, width - 2))]
    for block in blocks(body):
        if block.isspace():
            continue
        cells = cells_of(block, width, None)
        if cells is None or b"_" in block or not all(map(is_number, cells)):
            _refuse_entry(body, line, shape, width)
        table = np.array(list(map(float, cells))).reshape(-1, width)
        ends = table[:, :2]
        if not ((ends >= 1) & (ends <= shape) & (ends == np.floor(ends))).all():
            _refuse_entry(body, line, shape, width)
        index.append(ends.astype(kind) - 1)
        numbers.append(table[:, 2:].copy())
    return np.concatenate(index), np.concatenate(numbers)


def _refuse_entry(body: bytes, line: int, shape: tuple[int, int], width: int) -> None:
    """Raise for the first entry that is none."""
    for number, row in enumerate(io.BytesIO(body), line):
        cells = row.decode().split()
        if cells and len(cells) != width:
            raise FileError(f"{len(cells)} numbers, but an entry has {width}; correct it.", number)
        for cell, size in zip(cells[:2], shape, strict=False):
            if not cell.isdecimal() or not 1 <= int(cell[:20]) <= size:
                raise FileError(f"index {short(cell)} is not a whole number 1 … {size}; correct it.", number)
        for cell in cells[2:]:
            if "_" in cell or not is_number(cell):
                raise FileError(f"value {short(cell)} is not a number; correct it.", number)
    raise ValueError("holds entries that are no numbers; correct them.")


def read_npz(data: bytes, options: FileOptions) -> Network:
    """The network of a square sparse matrix. Agents are numbered from 0; nothing is unpickled."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            unpacked = sum(member.file_size for member in archive.infolist())
        check_budget(unpacked, options.budget, "the arrays unpack to")
        matrix = scipy.sparse.load_npz(io.BytesIO(data))
        if hasattr(matrix, "check_format"):
            matrix.check_format(full_check=True)  # SciPy's conversions trust the indices
        _check_size(max(matrix.shape), matrix.nnz, options)
        matrix = scipy.sparse.coo_array(matrix)
    except FileError:
        raise
    except _DAMAGED as error:
        raise FileError(
            f"is no sparse matrix of SciPy's ({detail(error)}); write it by scipy.sparse.save_npz."
        ) from None
    return pattern_of(matrix, options, lambda i: i).network(range(matrix.shape[0]))
