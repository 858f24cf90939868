"""Pajek networks (.net): vertices by number, then arcs (directed) and edges (undirected).

networkx.read_pajek is not used because it skips sections it does not know and merges vertices of one
name, both silently, and cannot say on which line.
"""

import io
import re
from array import array
from collections.abc import Callable
from pathlib import Path

import numpy as np

from cmapjax.arguments._checks import short
from cmapjax.graphs._file_options import FileOptions
from cmapjax.graphs._files import check_budget, complaint
from cmapjax.graphs._labels import as_labels, check_label, check_numbers, undirected
from cmapjax.graphs._network import COMMENTS, WEIGHTS, Network

_BYTES_PER_VERTEX = 400  # a label, its place in a dictionary, and the vectors over agents
_VERTEX = re.compile(r'(?P<number>\S+)\s*(?:"(?P<quoted>[^"]*)"|(?P<bare>\S+))?')
_NAMES = ("label", "id")


def read_pajek(path: Path, data: bytes, options: FileOptions) -> Network:
    """The network of a Pajek file.

    Vertices are named by their label, those without one by their number; all by their number if
    `label_attribute` is `id`.
    """
    if options.label_attribute not in (None, *_NAMES):
        raise complaint(
            path,
            f"vertices have no attribute {short(options.label_attribute)}; {' or '.join(_NAMES)} names them.",
        )
    return _Sections(path, options).read(data)


class _Sections:
    """The sections of a file, read line by line."""

    def __init__(self, path: Path, options: FileOptions):
        self.path, self.options = path, options
        self.line = 0
        self.labels: list[str | None] | None = None
        self.line_of: dict[str, int] = {}
        self.arcs = array("q")
        self.comments = self.weights = self.rows = 0
        self.readers: dict[str, Callable[[list[str]], None]] = {
            "*arcs": self._arc,
            "*edges": self._edge,
            "*arcslist": self._arcs_of,
            "*edgeslist": self._edges_of,
            "*matrix": self._row,
        }

    def read(self, data: bytes) -> Network:
        read = None
        for self.line, row in enumerate(io.BytesIO(data), 1):
            row = row.decode().strip()
            if not row:
                continue
            if row.startswith("%"):
                self.comments += 1
            elif row.startswith("*"):
                read = self._section(row)
            elif read is None:
                raise self._error(f"{short(row)} stands before *Vertices; begin with *Vertices and a number.")
            else:
                read(row if read == self._vertex else row.split())
        if self.labels is None:
            raise complaint(self.path, "has no section *Vertices; is this a Pajek network?")
        size = len(self.labels)
        if self.rows not in (0, size):
            raise complaint(self.path, f"*Matrix has {self.rows} rows for {size} vertices; complete it.")
        labels = [label or self._name(i, str(i)) for i, label in enumerate(self.labels, 1)]
        try:
            check_numbers(labels, lambda label: f"line {self.line_of[label]}")
        except ValueError as error:
            raise complaint(self.path, str(error)) from None
        arcs = np.frombuffer(self.arcs, np.int64).reshape(-1, 2) if self.arcs else np.zeros((0, 2), np.int64)
        remedy = self.options.say("symmetrize")
        try:
            links = undirected(arcs, self.options.symmetrize, "arc", lambda i: labels[i], remedy)
        except ValueError as error:
            raise complaint(self.path, str(error)) from None
        return Network(links, as_labels(labels), notes={COMMENTS: self.comments, WEIGHTS: self.weights})

    def _error(self, message: str) -> ValueError:
        return complaint(self.path, message, self.line)

    def _section(self, row: str) -> Callable | None:
        name, *rest = row.split()
        name = name.lower()
        if name == "*network":
            return None
        if name == "*vertices":
            self._start(rest)
            return self._vertex
        if name not in self.readers:
            raise self._error(f"the section {short(row)} is not read; save the network alone as .net.")
        if self.labels is None:
            raise self._error(f"{short(name)} stands before *Vertices; move it behind.")
        return self.readers[name]

    def _start(self, sizes: list[str]) -> None:
        if self.labels is not None:
            raise self._error("a second *Vertices; keep one network in a file.")
        if not sizes or not all(size.isascii() and size.isdigit() and len(size) <= 12 for size in sizes):
            raise self._error("*Vertices needs the number of vertices, such as *Vertices 34; add it.")
        size = int(sizes[0])
        what = f"the network of {size:,} vertices needs"
        check_budget(self.path, _BYTES_PER_VERTEX * size, self.options.budget, what)
        self.labels = [None] * size

    def _number(self, text: str) -> int:
        is_plain = text.isascii() and text.isdigit() and len(text) <= 12
        if not is_plain or not 1 <= int(text) <= len(self.labels):
            raise self._error(f"vertex {short(text)} is no whole number 1 … {len(self.labels)}; correct it.")
        return int(text)

    def _vertex(self, row: str) -> None:
        found = _VERTEX.match(row)
        number = self._number(found["number"])
        if self.labels[number - 1] is not None:
            raise self._error(f"vertex {number} is declared twice; keep one line of it.")
        quoted = found["quoted"]
        label = quoted if quoted is not None else found["bare"] or str(number)
        self.labels[number - 1] = self._name(number, label)

    def _name(self, number: int, label: str) -> str:
        """The label of a vertex, if no other has it."""
        label = str(number) if self.options.label_attribute == "id" else label.strip() or str(number)
        try:
            check_label(label)
        except ValueError as error:
            raise self._error(str(error)) from None
        if label in self.line_of:
            raise self._error(
                f"label {short(label)} stands also on line {self.line_of[label]}; give every vertex its own, "
                f"or {self.options.say('label_attribute', 'id')} to call them by number."
            )
        self.line_of[label] = self.line
        return label

    def _ends(self, cells: list[str]) -> tuple[int, int]:
        if len(cells) < 2:
            raise self._error(f"a link needs two vertices, but this is {short(' '.join(cells))}; add one.")
        self.weights += len(cells) > 2
        return self._number(cells[0]) - 1, self._number(cells[1]) - 1

    def _arc(self, cells: list[str]) -> None:
        self.arcs.extend(self._ends(cells))

    def _edge(self, cells: list[str]) -> None:
        self._both(*self._ends(cells))

    def _both(self, a: int, b: int) -> None:
        self.arcs.extend((a, b, b, a) if a != b else (a, b))

    def _arcs_of(self, cells: list[str]) -> None:
        first, *others = [self._number(cell) - 1 for cell in cells]
        for other in others:
            self.arcs.extend((first, other))

    def _edges_of(self, cells: list[str]) -> None:
        first, *others = [self._number(cell) - 1 for cell in cells]
        for other in others:
            self._both(first, other)

    def _row(self, cells: list[str]) -> None:
        size = len(self.labels)
        self.rows += 1
        if len(cells) != size or self.rows > size:
            raise self._error(f"row {self.rows} of *Matrix has {len(cells)} numbers, not {size}; correct it.")
        try:
            values = np.array(cells, np.float64)
        except ValueError:
            raise self._error(f"row {self.rows} of *Matrix holds what is no number; correct it.") from None
        if not np.isfinite(values).all():
            raise self._error(f"row {self.rows} of *Matrix holds what is not finite; correct it.")
        for column in np.flatnonzero(values).tolist():
            self.arcs.extend((self.rows - 1, column))
        self.weights += int(np.sum((values != 0) & (values != 1)))
