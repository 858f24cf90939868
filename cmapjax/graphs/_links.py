"""Links as lines of text: edge lists, and tables with a header (CSV, TSV).

How a file is laid out is read off its first lines, and every line must then be like them. Comments and what
NetworkX puts behind labels are blanked before, so that line numbers hold. Lines are taken apart in blocks by
NumPy, or one by one where any is odd; no lines are kept.
"""

import collections
import io
import itertools
import re
from array import array
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from cmapjax.arguments._checks import short
from cmapjax.graphs import _doubts
from cmapjax.graphs._doubts import Rows, is_number, shown
from cmapjax.graphs._file_options import FileOptions
from cmapjax.graphs._files import FileError, on_line
from cmapjax.graphs._labels import term
from cmapjax.graphs._network import Network, Note, named_network, numbered_network
from cmapjax.graphs._quick import blocks, cells_of, decoded, whole_numbers, whole_pairs
from cmapjax.graphs._table import folded, known_pair, link_columns, read_table, unescape_cell, with_line_ends
from cmapjax.market._numbers import OF_ARCS

_SAMPLE = 1000  # lines that show the layout
_SEPARATORS = ",;\t|"
_WEIGHTS = ("weight", "weights")
_BLANK_LINES = re.compile(rb"(?:[ \t\r]*\n)*")
# {…} behind at least two labels; empty, or with a key.
_DATA = re.compile(rb"(?m)(?<=\S)[ \t]+(?:\{\}|\{[^\n:]*:[^\n]*\})[ \t\r]*$")
# The comments above the header of a table, and what Excel writes there: the separator.
_HEAD = re.compile(rb"(?:[#%].*\n|\r?\n)*")
_EXCEL = re.compile(rb"sep=(.)\r?\n")


class Layout(NamedTuple):
    """Where the links stand in a text."""

    separator: bytes | None
    """What stands between columns; None for any number of blanks and tabs."""
    is_table: bool
    """Whether cells may be quoted, and labels stand behind an apostrophe."""
    names: list[str] | None
    """What the header calls the columns, if there is one."""
    line: int
    """That of the header, or of the first row."""
    columns: tuple[int, int]
    """Those of the two ends of a link."""
    width: int
    """How many columns every line has."""
    has_weight: bool = False
    """Whether a third column without a name must hold numbers."""
    is_ragged: bool = False
    """Whether lines may have further columns."""

    @property
    def numbers(self) -> dict[str, int]:
        """The columns of capacities and efficiencies, where the header names them."""
        places = {folded(name): place for place, name in enumerate(self.names or ())}
        return {field: places[field] for field in OF_ARCS if field in places}


def read_edge_list(data: bytes, options: FileOptions) -> Network:
    """The network of an edge list: two labels a line, apart by tabs or blanks, perhaps with a weight.

    Agents are in ascending order where all labels are whole numbers, else in the order in which they first
    appear. Lines that may be links or something else are refused.
    """
    _doubts.check_control(data)
    text, line, num_comments, doubtful = _doubts.without_comments(data)
    notes = {Note.COMMENTS: num_comments}
    if b"}" in text:
        text, notes[Note.DATA] = _DATA.subn(b"", text)
    sample = list(itertools.islice(_lines(text, line), _SAMPLE))
    if not sample:
        return Network(np.zeros((0, 2), np.int64), [], notes=notes)
    separator = _separator(sample, options)
    rows = [(k, decoded(_split(row, separator))) for k, row in sample]
    _doubts.check_first_rows(rows, options)
    layout = _layout(rows, separator, options)
    links = _Links(text, line, layout, options)
    network = links.read(notes | {Note.HEADER: int(layout.names is not None)})
    with on_line(rows[0][0]):
        if layout.names is None and options.header is None:
            _doubts.check_first_line(rows, network, options)
        if layout.names is None and separator is None and not (_is_asked(options) or options.separator):
            _doubts.check_other_formats(rows, network, options, links.line_of)
    comments = [(k, decoded(_split(row, separator))) for k, row in doubtful]
    _doubts.check_marks(network, comments, layout.width, num_comments, links.line_of)
    return network


def read_link_table(data: bytes, delimiter: str, options: FileOptions) -> Network:
    """The network of a CSV or TSV table, whose header names the two columns of links; others are ignored.

    Agents are ordered as in `read_edge_list`. Text that a spreadsheet would run as a formula may stand
    behind an apostrophe, as the writers put it.
    """
    data, line, num_comments = with_line_ends(data), 1, 0
    if excel := _EXCEL.match(data):
        delimiter, data, line = excel[1].decode(), data[excel.end() :], 2
    head = _HEAD.match(data)[0]
    if head and options.header is not False and _fitting(data[len(head) :]):
        num_comments = sum(bool(row.strip()) for row in head.split(b"\n"))
        data, line = data[len(head) :], line + head.count(b"\n")
    fitting = [] if options.separator else _fitting(data)
    delimiter = options.separator or (fitting[0] if len(fitting) == 1 else delimiter)
    first = next(read_table(data, delimiter, line), None)
    if first is None:
        raise ValueError("holds no table; write or fetch it again.")
    layout = _layout([first], delimiter.encode(), options, is_table=True)
    return _Links(data, line, layout, options).read({Note.COMMENTS: num_comments})


def _is_asked(options: FileOptions) -> bool:
    """Whether the options name a column of links."""
    return options.source_column is not None or options.target_column is not None


class _Links:
    """A text of known layout."""

    def __init__(self, text: bytes, line: int, layout: Layout, options: FileOptions):
        self.text, self.line = text, line
        self.layout, self.options = layout, options

    def read(self, notes: dict[str, int]) -> Network:
        """The network, and notes on columns that are not used."""
        layout = self.layout
        network, width = None if layout.numbers else self._quickly(notes), layout.width
        if network is None:
            number_of, ends, of_links = _numbering(), array("q"), {field: [] for field in layout.numbers}
            for line, row in self.rows():
                ends.extend([number_of[row[end]] for end in layout.columns])
                for field, numbers in of_links.items():
                    numbers.append(self._number(field, row, line))
                width = max(width, len(row))
            network = self._named(number_of, ends, notes)
            network = network._replace(of_links={field: np.array(x) for field, x in of_links.items()})
        is_weight = layout.has_weight or any(folded(name) in _WEIGHTS for name in layout.names or ())
        if is_weight or (width > 2 + len(layout.numbers) and not layout.is_table):
            unused = {Note.WEIGHTS if is_weight else Note.COLUMNS: len(network.links)}
            network = network._replace(notes=network.notes | unused)
        if layout.names is not None:
            with on_line(layout.line):
                _doubts.check_names(layout.names, layout.columns, network, self.options)
        return network

    def _number(self, field: str, row: list, line: int) -> float:
        """The capacity or efficiency of a link; what holds where there is none if the cell is blank."""
        ends = " and ".join(short(self._label(row[end])) for end in self.layout.columns)
        with on_line(line):
            number = term(f"{field} of the link of {ends}", decoded([row[self.layout.numbers[field]]])[0])
        return OF_ARCS[field] if np.isnan(number) else number

    def rows(self) -> Iterator[tuple[int, list]]:
        """Every row but the header, with its line, checked to be as the layout says."""
        layout = self.layout
        if layout.is_table:
            rows = read_table(self.text, layout.separator.decode(), self.line)
        else:
            rows = ((k, _split(row, layout.separator)) for k, row in _lines(self.text, self.line))
        for line, row in itertools.islice(rows, int(layout.names is not None), None):
            is_whole = len(row) == layout.width or (layout.is_ragged and len(row) > max(layout.columns))
            if not is_whole or (layout.has_weight and not is_number(row[2])):
                raise _wrong(line, decoded(row), layout.width, self.options)
            yield line, row

    def line_of(self, label: str) -> int | None:
        """The line on which a label first stands."""
        ends = self.layout.columns
        return next((k for k, row in self.rows() if label in (self._label(row[end]) for end in ends)), None)

    def _label(self, cell: bytes | str) -> str:
        (text,) = decoded([cell])
        return (unescape_cell(text) if self.layout.is_table else text).strip()

    def _named(self, number_of: dict, ends: array, notes: dict[str, int]) -> Network:
        texts = (cell.decode() if isinstance(cell, bytes) else cell for cell in number_of)
        texts = map(unescape_cell, texts) if self.layout.is_table else texts
        return named_network(texts, ends, notes, self.line_of)

    def _quickly(self, notes: dict[str, int]) -> Network | None:
        """The network in blocks, or None if lines are not all alike."""
        layout, width, (source, target) = self.layout, self.layout.width, self.layout.columns
        if layout.is_table and b'"' in self.text:
            return None
        body = self.text
        if layout.names is not None:
            body = body[_BLANK_LINES.match(body).end() :].partition(b"\n")[2]
        if width == 2 and (pairs := whole_pairs(body, layout.separator)) is not None:
            return numbered_network(pairs if source < target else pairs[:, ::-1], notes)
        whole: list[np.ndarray] = []  # blocks of whole numbers, unless the first one holds others
        number_of, ends = _numbering(), array("q")
        for block in blocks(body):
            cells = cells_of(block, width, layout.separator)
            if cells is None or (layout.has_weight and not all(map(is_number, cells[2::3]))):
                return None
            if (width, source) != (2, 0):
                pairs = zip(cells[source::width], cells[target::width], strict=True)
                cells = list(itertools.chain.from_iterable(pairs))
            numbers = None if number_of else whole_numbers(cells)
            if numbers is not None:
                whole.append(numbers)
            elif whole:
                return None
            else:
                ends.extend(map(number_of.__getitem__, cells))
        if whole:
            return numbered_network(np.concatenate(whole).reshape(-1, 2), notes)
        return self._named(number_of, ends, notes)


def _numbering() -> dict:
    """Numbers keys as they come."""
    return collections.defaultdict(itertools.count().__next__)


def _layout(rows: Rows, separator: bytes | None, options: FileOptions, *, is_table: bool = False) -> Layout:
    """Where the links stand, by the first rows."""
    line, first = rows[0]
    names, columns, is_named = None, (0, 1), _is_asked(options) or is_table
    if options.header is not False and (options.header or is_named or known_pair(first)):
        names = [first[0].lstrip(" #"), *first[1:]] if is_table else first
        is_named = is_named or known_pair(names) is not None
        rows = rows[1:]
    if is_named:
        with on_line(line):
            columns = link_columns(names, len(first), options)
    width = len(rows[0][1]) if rows else len(first)
    if is_named and names is not None and width != len(names):
        raise FileError(
            f"{width} columns, but the header on line {line} names {len(names)}; make them as many, or put "
            "tabs between columns.",
            rows[0][0],
        )
    is_ragged = options.ignore_extra_columns
    if width < 2 or (width > 3 and not is_named and not is_ragged):
        raise _wrong(*(rows[0] if rows else (line, first)), width, options)
    has_weight = width == 3 and not is_named and not is_ragged
    return Layout(separator, is_table, names, line, columns, width, has_weight, is_ragged)


def _wrong(line: int, cells: list[str], width: int, options: FileOptions) -> ValueError:
    """The error about a row that is no link, or not as wide as the others."""
    say = options.say
    if len(cells) > 1:
        number = f"{len(cells)} columns {shown(cells)}" + (f", but {width} before" * (len(cells) != width))
        message = (
            f"{number}; a link is two labels, and perhaps a number. Pass {say('ignore_extra_columns')} to "
            "leave out what follows; if labels hold blanks, put tabs between columns; if neighbours or a "
            f"matrix follow, pass {say('format', 'adjacency-list')} or {say('format', 'adjacency-matrix')}."
        )
        return FileError(message, line)
    parted = [character for character in (",", ";", "|") if character in cells[0]]
    if cells[0].isdecimal() and width < 2 and options.header is None:
        remedy = f"remove it if it is a count, or pass {say('header')} to skip it"
    elif parted and options.separator is None:
        remedy = f"pass {say('separator', parted[0])}, or put them into a .csv with a header source,target"
    else:
        remedy = (
            "give two labels apart by a tab or blank (commas belong in a .csv with a header source,target)"
        )
    return FileError(f"one column {shown(cells)}; {remedy}.", line)


def _separator(sample: list[tuple[int, bytes]], options: FileOptions) -> bytes | None:
    """What stands between columns; None for any number of blanks and tabs."""
    if options.separator is not None:
        return None if options.separator == " " else options.separator.encode()
    line, first = sample[0]
    rows = [row for _, row in sample[1:]] or [first]  # the first line may be a header
    tabs = {row.count(b"\t") for row in rows}
    words = {len(row.split()) for row in rows}
    # Where no cell holds a blank, both part lines alike, and blanks the first one too if that has no tab.
    is_alike = words == {number + 1 for number in tabs}
    if len(tabs) > 1 or 0 in tabs or (is_alike and first.count(b"\t") not in tabs):
        return None
    # Numbers hold no blanks, so that these part columns as tabs do.
    if not is_alike and all(is_number(word) for row in rows for word in row.split()):
        return None
    if tabs == {1} and 2 not in words and all(is_number(row.split()[-1]) for row in rows):
        raise FileError(
            f"{shown(decoded(first.split()))}: does the tab alone stand between columns, or do blanks too? "
            f"Pass {options.say('separator', 'tab')} or {options.say('separator', 'blank')}.",
            line,
        )
    return b"\t"


def _lines(text: bytes, line: int) -> Iterator[tuple[int, bytes]]:
    """Every line that is not blank, with its number."""
    for number, row in enumerate(io.BytesIO(text), line):
        if not row.isspace():
            yield number, row.rstrip(b"\r\n")


def _split(row: bytes, separator: bytes | None) -> list[bytes]:
    """The cells of a line; empty ones at its end are none."""
    if separator is None:
        return row.split()
    cells = row.split(separator)
    while len(cells) > 1 and not cells[-1].strip():
        cells.pop()
    return cells


def _fitting(data: bytes) -> list[str]:
    """The separators that split the first line into a known pair of names, perhaps with others."""
    header = data.lstrip(b"\r\n").partition(b"\n")[0].decode()
    return [s for s in _SEPARATORS if known_pair([cell.strip('" #\r') for cell in header.split(s)])]
