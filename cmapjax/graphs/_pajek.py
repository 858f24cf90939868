"""Pajek networks (.net): vertices by number, then arcs (directed) and edges (undirected).

networkx.read_pajek is not used because it skips sections it does not know and merges vertices of one
name, both silently, and cannot say on which line.
"""

import functools
import io
import re
from collections.abc import Callable

import numpy as np

from cmapjax.arguments._checks import short
from cmapjax.graphs._file_options import FileOptions
from cmapjax.graphs._files import check_budget, on_line
from cmapjax.graphs._network import Note
from cmapjax.graphs._structured import Declared, Edge, Node

_BYTES_PER_VERTEX = 400  # a label, its place in a dictionary, and the vectors over agents
_VERTEX = re.compile(r'(?P<number>\S+)\s*(?:"(?P<quoted>[^"]*)"|(?P<bare>\S+))?')
_MOST_DIGITS = 12


def parse_pajek(data: bytes, options: FileOptions) -> Declared:
    """The vertices, links and notes of a Pajek file.

    Vertices are named by their label, those without one by their number; all by their number if
    `label_attribute` is `id`.
    """
    return _Sections(options.budget).read(data)


class _Sections:
    """The sections of a file, read line by line."""

    def __init__(self, budget: int):
        self.budget = budget
        self.line = 0
        self.nodes: list[Node] | None = None
        self.edges: list[Edge] = []
        self.rows = 0
        self.notes = {Note.COMMENTS: 0, Note.WEIGHTS: 0}
        self.readers: dict[str, Callable[[list[str]], None]] = {
            "*arcs": functools.partial(self._link, is_directed=True),
            "*edges": functools.partial(self._link, is_directed=False),
            "*arcslist": functools.partial(self._list, is_directed=True),
            "*edgeslist": functools.partial(self._list, is_directed=False),
            "*matrix": self._row,
        }

    def read(self, data: bytes) -> Declared:
        read = None
        for self.line, row in enumerate(io.BytesIO(data), 1):
            row = row.decode().strip()
            with on_line(self.line):
                if row.startswith("%"):
                    self.notes[Note.COMMENTS] += 1
                elif row.startswith("*"):
                    read = self._section(row)
                elif row and read is None:
                    raise ValueError(
                        f"{short(row)} stands before *Vertices; begin with *Vertices and a number."
                    )
                elif row:
                    read(row if read == self._vertex else row.split())
        if self.nodes is None:
            raise ValueError("has no section *Vertices; is this a Pajek network?")
        if self.rows not in (0, len(self.nodes)):
            raise ValueError(f"*Matrix has {self.rows} rows for {len(self.nodes)} vertices; complete it.")
        return Declared(self.nodes, self.edges, self.notes, has_labels=True)

    def _section(self, row: str) -> Callable | None:
        name, *rest = row.split()
        name = name.lower()
        if name == "*network":
            return None
        if name == "*vertices":
            self._start(rest)
            return self._vertex
        if name not in self.readers:
            raise ValueError(f"the section {short(row)} is not read; save the network alone as .net.")
        if self.nodes is None:
            raise ValueError(f"{short(name)} stands before *Vertices; move it behind.")
        return self.readers[name]

    def _start(self, sizes: list[str]) -> None:
        if self.nodes is not None:
            raise ValueError("a second *Vertices; keep one network in a file.")
        if not sizes or not all(_is_count(size) for size in sizes):
            raise ValueError("*Vertices needs the number of vertices, such as *Vertices 34; add it.")
        size = int(sizes[0])
        what = f"the network of {size:,} vertices needs"
        check_budget(_BYTES_PER_VERTEX * size, self.budget, what)
        self.nodes = [Node(str(number), str(number), {}, None) for number in range(1, size + 1)]

    def _number(self, text: str) -> int:
        if not _is_count(text) or not 1 <= int(text) <= len(self.nodes):
            raise ValueError(f"vertex {short(text)} is no whole number 1 … {len(self.nodes)}; correct it.")
        return int(text)

    def _vertex(self, row: str) -> None:
        found = _VERTEX.match(row)
        number = self._number(found["number"])
        node = self.nodes[number - 1]
        if node.line is not None:
            raise ValueError(f"vertex {number} is declared twice; keep one line of it.")
        label = (found["quoted"] or found["bare"] or "").strip() or node.key
        self.nodes[number - 1] = Node(node.key, label, {"label": label}, self.line)

    def _link(self, cells: list[str], *, is_directed: bool) -> None:
        if len(cells) < 2:
            raise ValueError(f"a link needs two vertices, but this is {short(' '.join(cells))}; add one.")
        self.notes[Note.WEIGHTS] += len(cells) > 2
        self._list(cells[:2], is_directed=is_directed)

    def _list(self, cells: list[str], *, is_directed: bool) -> None:
        first, *others = [str(self._number(cell)) for cell in cells]
        self.edges += [Edge(first, other, is_directed, self.line) for other in others]

    def _row(self, cells: list[str]) -> None:
        size = len(self.nodes)
        self.rows += 1
        if len(cells) != size or self.rows > size:
            raise ValueError(f"row {self.rows} of *Matrix has {len(cells)} numbers, not {size}; correct it.")
        try:
            values = np.array(cells, np.float64)
        except ValueError:
            values = np.array([np.nan])
        if not np.isfinite(values).all():
            raise ValueError(f"row {self.rows} of *Matrix holds what is no finite number; correct it.")
        columns = np.flatnonzero(values).tolist()
        self.edges += [Edge(str(self.rows), str(column + 1), True, self.line) for column in columns]
        self.notes[Note.WEIGHTS] += int(np.sum((values != 0) & (values != 1)))


def _is_count(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS
