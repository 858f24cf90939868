"""Pajek networks (.net): vertices by number, then arcs (directed) and edges (undirected).

networkx.read_pajek is not used because it skips sections it does not know and merges vertices of one
name, both silently, and cannot say on which line.
"""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np

from cmapjax._checks import short
from cmapjax._file_options import FileOptions
from cmapjax.graphs._files import check_budget, complaint
from cmapjax.graphs._network import COMMENTS, WEIGHTS
from cmapjax.graphs._structured import Edge, Node

_BYTES_PER_VERTEX = 700  # a node with its dictionary of two texts, until it is a label
_VERTEX = re.compile(r'(?P<number>\S+)\s*(?:"(?P<quoted>[^"]*)"|(?P<bare>\S+))?')


def parse_pajek(
    path: Path, data: bytes, options: FileOptions
) -> tuple[list[Node], list[Edge], dict[str, int]]:
    """The nodes, edges and notes of a Pajek file.

    Vertices are named by their label, those without one by their number; the attribute `id` is the number.
    """
    return _Sections(path, options).read(data.decode())


class _Sections:
    """The sections of a file, read line by line."""

    def __init__(self, path: Path, options: FileOptions):
        self.path, self.options = path, options
        self.line = 0
        self.nodes: list[Node | None] | None = None
        self.edges: list[Edge] = []
        self.comments = self.weights = 0
        self.rows = 0
        self.readers: dict[str, Callable[[str], None]] = {
            "*vertices": self._vertex,
            "*arcs": lambda text: self._link(text, True),
            "*edges": lambda text: self._link(text, False),
            "*arcslist": lambda text: self._links(text, True),
            "*edgeslist": lambda text: self._links(text, False),
            "*matrix": self._row,
        }

    def read(self, text: str) -> tuple[list[Node], list[Edge], dict[str, int]]:
        read = None
        for self.line, row in enumerate(text.split("\n"), 1):
            row = row.strip()
            if not row:
                continue
            if row.startswith("%"):
                self.comments += 1
            elif row.startswith("*"):
                read = self._section(row)
            elif read is None:
                raise self._error(f"{short(row)} stands before *Vertices; begin with *Vertices and a number.")
            else:
                read(row)
        if self.nodes is None:
            raise complaint(self.path, "has no section *Vertices; is this a Pajek network?")
        if self.rows not in (0, len(self.nodes)):
            raise complaint(
                self.path, f"*Matrix has {self.rows} rows for {len(self.nodes)} vertices; complete it."
            )
        nodes = [
            node or Node(str(i), str(i), {"id": str(i), "label": str(i)}, None)
            for i, node in enumerate(self.nodes, 1)
        ]
        return nodes, self.edges, {COMMENTS: self.comments, WEIGHTS: self.weights}

    def _error(self, message: str) -> ValueError:
        return complaint(self.path, message, self.line)

    def _section(self, row: str) -> Callable[[str], None] | None:
        name, *rest = row.split()
        name = name.lower()
        if name == "*network":
            return None
        if name not in self.readers:
            raise self._error(f"the section {short(row)} is not read; save the network alone as .net.")
        if name == "*vertices":
            self._start(rest)
        elif self.nodes is None:
            raise self._error(f"{short(name)} stands before *Vertices; move it behind.")
        return self.readers[name]

    def _start(self, sizes: list[str]) -> None:
        if self.nodes is not None:
            raise self._error("a second *Vertices; keep one network in a file.")
        if not sizes or not all(size.isascii() and size.isdigit() and len(size) <= 12 for size in sizes):
            raise self._error("*Vertices needs the number of vertices, such as *Vertices 34; add it.")
        size = int(sizes[0])
        needed = _BYTES_PER_VERTEX * size
        check_budget(self.path, needed, self.options.budget, f"the network of {size:,} vertices needs")
        self.nodes = [None] * size

    def _number(self, text: str) -> int:
        is_plain = text.isascii() and text.isdigit() and len(text) <= 12
        if not is_plain or not 1 <= int(text) <= len(self.nodes):
            raise self._error(f"vertex {short(text)} is no whole number 1 … {len(self.nodes)}; correct it.")
        return int(text)

    def _vertex(self, row: str) -> None:
        found = _VERTEX.match(row)
        number = self._number(found["number"])
        if self.nodes[number - 1] is not None:
            raise self._error(f"vertex {number} is declared twice; keep one line of it.")
        label = found["quoted"] if found["quoted"] is not None else found["bare"] or str(number)
        attributes = {"id": str(number), "label": label}
        self.nodes[number - 1] = Node(str(number), label, attributes, self.line)

    def _link(self, row: str, directed: bool) -> None:
        cells = row.split()
        if len(cells) < 2:
            raise self._error(f"a link needs two vertices, but this is {short(row)}; complete it.")
        source, target = (self._number(cell) for cell in cells[:2])
        self.weights += len(cells) > 2
        self.edges.append(Edge(str(source), str(target), directed, self.line))

    def _links(self, row: str, directed: bool) -> None:
        first, *others = [self._number(cell) for cell in row.split()]
        self.edges += [Edge(str(first), str(other), directed, self.line) for other in others]

    def _row(self, row: str) -> None:
        cells = row.split()
        self.rows += 1
        if len(cells) != len(self.nodes) or self.rows > len(self.nodes):
            raise self._error(
                f"row {self.rows} of *Matrix has {len(cells)} numbers, not {len(self.nodes)}; correct it."
            )
        try:
            values = np.array(cells, np.float64)
        except ValueError:
            raise self._error(f"row {self.rows} of *Matrix holds what is no number; correct it.") from None
        if not np.isfinite(values).all():
            raise self._error(f"row {self.rows} of *Matrix holds what is not finite; correct it.")
        for column in np.flatnonzero(values).tolist():
            self.edges.append(Edge(str(self.rows), str(column + 1), True, self.line))
        self.weights += int(np.sum((values != 0) & (values != 1)))
