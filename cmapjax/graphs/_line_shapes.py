"""The shapes of lines in an edge list, which show whether they are links and where labels end."""

from collections.abc import Sequence
from pathlib import Path

from cmapjax.arguments._checks import short
from cmapjax.graphs._file_options import FileOptions
from cmapjax.graphs._files import complaint

# What opens a longer piece of text, and what closes it.
_PAIRS = {b"(": b")", b"[": b"]", b"{": b"}", b'"': b'"', b"'": b"'"}
_AFTER_LABEL = (b",", b";", b":")
# What a line of counts begins with ("nodes 34").
COUNTED = frozenset(("nodes", "vertices", "edges", "links", "arcs", "agents", "num_nodes", "num_edges"))
_SQUARE = 3  # lines of this many numbers may be weighted links; n lines of more, n, numbers are a matrix


def is_number(cell: bytes) -> bool:
    """Whether a cell is a number, as a weight may be written."""
    try:
        float(cell)
    except ValueError:
        return False
    return True


def shown(cells: Sequence[bytes]) -> str:
    """The first cells of a line, for an error."""
    text = " ".join(cell.decode() for cell in cells[:4])
    return repr(text if len(text) <= 60 else text[:59] + "…")


def holds_opening(data: bytes) -> bool:
    """Whether brackets or quotes occur, which may hold labels together."""
    return any(opening in data for opening in _PAIRS)


def _counts(cells: Sequence[bytes]) -> bool:
    """Whether a line is a word and a number that count what follows."""
    return cells[1].isdigit() and cells[0].decode().rstrip(":=").casefold() in COUNTED


class Shapes:
    """What the lines have in common, collected line by line.

    Args:
        path: the file.
        options: how it is to be read.
        is_certain: whether the separator is certain, so that no label can contain it.
        can_be_cut: whether labels in brackets or quotes may have been split.
        begins: whether the first line is the first of the file.
    """

    def __init__(self, path: Path, options: FileOptions, *, is_certain: bool, can_be_cut: bool, begins: bool):
        self.path, self.options, self.begins = path, options, begins
        self.is_certain, self.can_be_cut = is_certain, can_be_cut
        self.widths: dict[int, int] = {}
        """The first line of every number of columns."""
        self.counts: dict[int, int] = {}
        """How many lines have that number of columns."""
        self.num_lines = 0
        self.first: list[tuple[int, list[bytes]]] = []
        self._wide: tuple[int, list[bytes]] | None = None
        self._text: tuple[int, list[bytes]] | None = None
        self._is_whole = True
        self._is_after_label = self._is_letter = self._is_one_second = True
        self._firsts: set[bytes] | None = set()
        self._extras: set[bytes] = set()

    def add(self, line: int, cells: list[bytes]) -> None:
        """Look at one more line.

        Raises:
            ValueError: a line that is certainly not a link.
        """
        if len(cells) < 2:
            self._refuse_one(line, cells)
        if cells[0] == b"p" and len(cells) >= 4 and is_number(cells[-1]):
            raise self._dimacs(line, cells)
        if cells[0][:1] == b"*" and self.num_lines == 0:
            raise complaint(
                self.path,
                f"{shown(cells)} begins a Pajek file; pass {self.options.say('format', 'pajek')}.",
                line,
            )
        if self.num_lines < 3 and _counts(cells) and self.options.header is not False:
            raise complaint(
                self.path,
                f"{shown(cells)} counts what follows; remove the line, or pass "
                f"{self.options.say('header', False)} if it is a link.",
                line,
            )
        if self.can_be_cut:
            self._check_whole_labels(line, cells)
        self.num_lines += 1
        self.widths.setdefault(len(cells), line)
        self.counts[len(cells)] = self.counts.get(len(cells), 0) + 1
        if len(self.first) <= _SQUARE:
            self.first.append((line, cells))
        self._is_after_label = self._is_after_label and cells[0].endswith(_AFTER_LABEL)
        if len(cells) > 2:
            self._add_wide(line, cells)

    def _add_wide(self, line: int, cells: list[bytes]) -> None:
        if self._wide is None:
            self._wide = line, cells
        self._is_one_second = self._is_one_second and cells[1] == self._wide[1][1]
        self._is_letter = self._is_letter and len(cells[0]) == 1 and cells[0].isalpha()
        extras = cells[2:]
        if self._text is None and not all(map(is_number, extras)):
            self._text = line, cells
        self._is_whole = self._is_whole and all(cell.isdigit() for cell in extras)
        if self._firsts is not None:
            # In adjacency lists every line begins with another agent, and lists each of its neighbours once.
            if cells[0] in self._firsts or len(set(cells)) < len(cells):
                self._firsts = None
            else:
                self._firsts.add(cells[0])
                self._extras.update(cells[1:])

    def is_weighted(self) -> bool:
        """Whether every line has a third column of numbers, and no other."""
        return set(self.widths) == {3} and self._text is None

    def check_lines(self) -> None:
        """Raise if the lines together show that they are not links."""
        line, cells = self.first[0] if self.first else (None, [])
        say = self.options.say
        if self._is_after_label and cells and not self.is_certain and self.options.separator is None:
            end = cells[0][-1:].decode()
            remedy = say("format", "adjacency-list") if end == ":" else say("separator", end)
            raise complaint(
                self.path,
                f"{shown(cells)}: every first label ends with {end!r}; pass {remedy}, or remove it.",
                line,
            )
        if self._wide is None:
            return
        line, cells = self._wide
        if self._is_letter and self.num_lines > 1 and cells[1].isdigit() and cells[2].isdigit():
            raise self._dimacs(line, cells)
        if self._is_one_second and not any(c.isalnum() for c in cells[1].decode()):
            raise complaint(
                self.path,
                f"{shown(cells)} has {short(cells[1].decode())} between labels; remove it from every line.",
                line,
            )

    def check_further(self, is_whole_file: bool) -> None:
        """Raise unless leaving out the columns after the second cannot change the network.

        Args:
            is_whole_file: whether all labels are whole numbers.
        """
        self._check_other_formats()
        if self.is_weighted():
            return
        line, cells = self._wide
        is_uniform = len(self.widths) == 1
        if not is_uniform and (self._text is not None or (is_whole_file and self._is_whole)):
            other = next(width for width in self.widths if width != len(cells))
            raise complaint(
                self.path,
                f"{len(cells)} columns {shown(cells)}, but {other} on line {self.widths[other]}; make them "
                "as many. If labels hold blanks, put tabs between columns; if neighbours follow each other, "
                f"pass {self.options.say('format', 'adjacency-list')}.",
                line,
            )
        if self._text is not None and not self.is_certain:
            line, cells = self._text
            raise complaint(
                self.path,
                f"{len(cells)} columns {shown(cells)}: if labels hold blanks, put tabs between columns. If "
                f"blanks part the columns, pass {self.options.say('separator', 'blank')} and "
                f"{self.options.say('ignore_extra_columns')}.",
                line,
            )
        if not self.options.ignore_extra_columns:
            raise complaint(
                self.path,
                f"{len(cells)} columns {shown(cells)}, but a link is two labels; remove the others, or pass "
                f"{self.options.say('ignore_extra_columns')}.",
                line,
            )

    def _check_other_formats(self) -> None:
        """Raise if the lines may be an adjacency matrix or adjacency lists."""
        line, cells = self.first[0]
        width = len(cells)
        is_square = len(self.widths) == 1 and self.num_lines == width and self._text is None
        if is_square and all(is_number(cell) for _, row in self.first for cell in row):
            rows = [row for _, row in self.first[:_SQUARE]]
            entries = {cell for row in rows for cell in row}
            is_symmetric = all(rows[i][j] == rows[j][i] for i in range(_SQUARE) for j in range(i))
            if width > _SQUARE or is_symmetric or entries <= {b"0", b"1"}:
                raise complaint(
                    self.path,
                    f"{width} lines of {width} numbers may be an adjacency matrix or weighted links. Pass "
                    f"{self.options.say('format', 'adjacency-matrix')} in the first case; put a header "
                    "'source target …' before them in the second.",
                    line,
                )
        if self._firsts and len(self._firsts) == self.num_lines > 1 and self._extras <= self._firsts:
            raise complaint(
                self.path,
                f"{shown(cells)}: every agent begins one line, so neighbours may follow. Pass "
                f"{self.options.say('format', 'adjacency-list')} in that case; else put a header "
                "'source target …' before the lines.",
                line,
            )

    def _check_whole_labels(self, line: int, cells: list[bytes]) -> None:
        """Raise if a cell opens a bracket or quote that a later cell closes, which is a label that was
        split."""
        for place, cell in enumerate(cells[:-1]):
            end = _PAIRS.get(cell[:1])
            if end is None or (len(cell) > 1 and cell.endswith(end)):
                continue
            closing = [later for later in cells[place + 1 :] if later.endswith(end)]
            if closing:
                raise complaint(
                    self.path,
                    f"{shown(cells)}: {short(cell.decode())} opens what {short(closing[0].decode())} closes, "
                    "so labels hold blanks. Put tabs between columns, or write the graph with whole "
                    "numbers as nodes (networkx.convert_node_labels_to_integers).",
                    line,
                )

    def _refuse_one(self, line: int, cells: list[bytes]) -> None:
        is_count = self.num_lines == 0 and self.begins and cells[0].isdigit()
        parted = [s for s in (",", ";", "|") if s.encode() in cells[0]]
        if is_count:
            remedy = f"remove it if it is a count, or pass {self.options.say('header')} to skip it"
        elif parted and self.options.separator is None:
            remedy = (
                f"pass {self.options.say('separator', parted[0])}, or put them into a .csv with a header "
                "source,target"
            )
        else:
            remedy = "give two labels apart by a tab or blank (commas belong in a .csv with a header "
            remedy += "source,target)"
        raise complaint(self.path, f"one column {shown(cells)}; {remedy}.", line)

    def _dimacs(self, line: int, cells: list[bytes]) -> ValueError:
        return complaint(
            self.path,
            f"{shown(cells)} is as in DIMACS files, which are not read: remove the lines that begin with c "
            "or p, and the letter before every link.",
            line,
        )
