"""Adjacency matrices in files: MatrixMarket, of which the pattern alone is read."""

import io
import math
from array import array
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from jaxtyping import Int

from cmapjax.arguments._checks import short
from cmapjax.graphs._file_options import FileOptions
from cmapjax.graphs._files import check_budget, complaint
from cmapjax.graphs._labels import LARGEST, undirected
from cmapjax.graphs._network import WEIGHTS, ZEROS, Network

BYTES_PER_ENTRY = 160  # positions, their sorted copies and keys, and two arcs of the market
BYTES_PER_AGENT = 200  # a label and the vectors over agents
_SHORTEST_ENTRY = len("1 2\n")


def read_matrix_market(path: Path, data: bytes, options: FileOptions) -> Network:
    """The network of a square MatrixMarket matrix: an entry is a link, a diagonal entry a self-loop.

    Agents are named as the file counts them, from 1. Values only have to be finite; entries that are zero
    are no links, those that are listed are counted in the notes.
    """
    lines = iter(enumerate(io.BytesIO(data), 1))
    layout, field, symmetry = _read_banner(path, next(lines)[1])
    line, sizes = _next_cells(lines)
    size, num_entries = _read_sizes(path, line, sizes, layout, symmetry)
    needed = BYTES_PER_AGENT * size + BYTES_PER_ENTRY * num_entries
    check_budget(
        path, needed, options.budget, f"the matrix of {size:,} agents and {num_entries:,} entries needs"
    )
    if layout == "coordinate":
        if num_entries * _SHORTEST_ENTRY > len(data) + 1:  # the last line may lack its end
            raise complaint(
                path, f"declares {num_entries:,} entries, more than it can hold; correct the count.", line
            )
        entries, num_zeros = _read_coordinates(path, lines, size, num_entries, field)
    else:
        entries, num_zeros = _read_dense(path, lines, size, num_entries, field, symmetry), 0
    notes = {ZEROS: num_zeros, WEIGHTS: 0 if field == "pattern" else len(entries)}
    if symmetry != "general":
        entries = np.sort(entries, axis=1)
    else:
        try:
            entries = undirected(
                entries, options.symmetrize, "entry", lambda i: i + 1, options.say("symmetrize")
            )
        except ValueError as error:
            raise complaint(path, str(error)) from None
    return Network(entries, range(1, size + 1), notes=notes)


def _next_cells(lines: Iterator) -> tuple[int | None, list[bytes]]:
    """The next line that is neither blank nor a comment, in cells; none at the end of the file."""
    for line, text in lines:
        cells = text.split()
        if cells and not cells[0].startswith(b"%"):
            return line, cells
    return None, []


def _read_banner(path: Path, text: bytes) -> tuple[str, str, str]:
    words = text.decode().lower().split()
    if len(words) != 5 or words[:2] != ["%%matrixmarket", "matrix"]:
        raise complaint(
            path, "does not begin '%%MatrixMarket matrix <layout> <field> <symmetry>'; add that line.", 1
        )
    choices = (
        ("layout", ("coordinate", "array")),
        ("field", ("pattern", "integer", "unsigned-integer", "real", "double", "complex")),
        ("symmetry", ("symmetric", "general", "skew-symmetric", "hermitian")),
    )
    for word, (name, known) in zip(words[2:], choices, strict=True):
        if word not in known:
            raise complaint(path, f"{name} {short(word)} makes no network; use {' or '.join(known)}.", 1)
    if words[2:4] == ["array", "pattern"]:
        raise complaint(path, "an array has values, so it cannot be a pattern; use coordinate.", 1)
    return words[2], words[3], words[4]


def _read_sizes(path, line, cells, layout: str, symmetry: str) -> tuple[int, int]:
    expected = 3 if layout == "coordinate" else 2
    is_plain = all(cell.isdigit() and len(cell) <= 18 for cell in cells)
    if len(cells) != expected or not is_plain:
        raise complaint(path, f"the sizes must be {expected} whole numbers; add or correct that line.", line)
    rows, columns, *entries = (int(cell) for cell in cells)
    if rows != columns:
        raise complaint(
            path, f"the matrix is {rows} × {columns}; agents share with agents, so make it square.", line
        )
    if layout == "array":
        # Of a skew-symmetric matrix the diagonal, which is zero, is left out.
        half = rows * (rows - 1) // 2 if symmetry == "skew-symmetric" else rows * (rows + 1) // 2
        return rows, rows**2 if symmetry == "general" else half
    return rows, entries[0]


def _read_coordinates(path, lines, size, num_entries, field) -> tuple[Int[np.ndarray, "entries 2"], int]:
    """The entries that are links, and how many others are listed."""
    width = 2 + _num_values(field)
    num_zeros = 0
    known: dict[bytes, int] = {}
    ends = array("q")
    while True:
        line, cells = _next_cells(lines)
        if line is None:
            break
        if len(cells) != width:
            raise complaint(path, f"{len(cells)} numbers, but a {field} entry has {width}; correct it.", line)
        if width > 2 and _is_zero(path, line, cells[2:]):
            for cell in cells[:2]:
                _as_index(path, line, cell, size)
            num_zeros += 1
            continue
        for cell in cells[:2]:
            number = known.get(cell)
            if number is None:
                number = known[cell] = _as_index(path, line, cell, size)
            ends.append(number)
    _check_count(path, len(ends) // 2 + num_zeros, num_entries)
    entries = np.frombuffer(ends, np.int64).reshape(-1, 2) if ends else np.zeros((0, 2), np.int64)
    return entries, num_zeros


def _read_dense(path, lines, size, num_entries, field, symmetry) -> Int[np.ndarray, "entries 2"]:
    is_link, pending = bytearray(), []
    width = _num_values(field)
    while True:
        line, cells = _next_cells(lines)
        if line is None:
            break
        cells = pending + cells
        whole = len(cells) - len(cells) % width
        is_link.extend(not _is_zero(path, line, cells[i : i + width]) for i in range(0, whole, width))
        pending = cells[whole:]
    if pending:
        raise complaint(path, "ends within a value, of which a complex one has two numbers; complete it.")
    _check_count(path, len(is_link), num_entries)
    links = np.frombuffer(is_link, bool)
    # Column after column; unless it is general from the diagonal down, or from below that.
    if symmetry == "general":
        column, row = np.divmod(np.arange(num_entries), max(size, 1))
    else:
        column, row = np.triu_indices(size, symmetry == "skew-symmetric")
    return np.stack([row[links], column[links]], axis=1)


def _num_values(field: str) -> int:
    """How many numbers make the value of an entry."""
    return {"pattern": 0, "complex": 2}.get(field, 1)


def _check_count(path: Path, found: int, declared: int) -> None:
    if found != declared:
        raise complaint(
            path,
            f"{found:,} entries, but {declared:,} are declared; complete the file, or correct the count.",
        )


def _as_index(path: Path, line: int, cell: bytes, size: int) -> int:
    text = cell.decode()
    if not (cell.isdigit() and len(cell) <= len(str(LARGEST)) and 1 <= int(cell) <= size) or text[0] == "0":
        raise complaint(path, f"index {short(text)} is not a whole number 1 … {size}; correct it.", line)
    return int(cell) - 1


def _is_zero(path: Path, line: int, cells: list[bytes]) -> bool:
    """Whether a value, written as one number or two, is zero: by its digits, which a float may not hold."""
    return True not in [_is_nonzero(path, line, cell) for cell in cells]


def _is_nonzero(path: Path, line: int, cell: bytes) -> bool:
    try:
        value = float(cell)
    except ValueError:
        raise complaint(path, f"value {short(cell.decode())} is not a number; correct it.", line) from None
    if value and math.isfinite(value):
        return True
    digits = cell.lower().partition(b"e")[0]
    if not any(digit in digits for digit in b"0123456789"):
        raise complaint(path, f"value {short(cell.decode())} is not finite; correct or remove it.", line)
    return any(digit in digits for digit in b"123456789")
