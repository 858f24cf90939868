"""Links as lines of text, read line by line, so that errors can name the line.

The text is read twice: first to find the shapes of its lines, then to read the links. No lines are kept, so
that memory is needed for labels and links only.
"""

import dataclasses
import io
import re
from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from cmapjax.graphs._file_options import FileOptions
from cmapjax.graphs._files import complaint
from cmapjax.graphs._labels import is_whole
from cmapjax.graphs._line_shapes import Shapes, holds_opening, is_number, shown
from cmapjax.graphs._network import COLUMNS, COMMENTS, DATA, HEADER, WEIGHTS, Network
from cmapjax.graphs._numbering import Agents
from cmapjax.graphs._table import (
    column_of_weights,
    is_doubtful_pair,
    known_pair,
    link_columns,
    numbered_columns,
)

MARKS = b"#%"
_DATA = re.compile(rb"[ \t]+(\{.*\})$")


def is_plain_comment(text: bytes) -> bool:
    """Whether a line that begins with # or % is a comment for certain: a blank follows, or it is one word."""
    words = text.split(None, 2)
    return len(words) == 1 or not words[0].strip(MARKS)


def could_be_counts(pairs: np.ndarray) -> bool:
    """Whether the first of these pairs may count the agents and the links that follow (34 78)."""
    first, rest = pairs[0].tolist(), len(pairs) - 1
    return counts_links(first, rest) and _counts_agents(first, len(np.unique(pairs[1:])))


def counts_links(numbers: Sequence[float], num_links: int) -> bool:
    """Whether the last of these numbers may count the links that follow."""
    # Twice as many if every link is listed both ways. A single line is no list that has a count.
    return num_links >= 2 and numbers[-1] in (num_links, num_links / 2)


def _counts_agents(numbers: Sequence[int], num_agents: int) -> bool:
    return sum(numbers[:-1]) >= num_agents


@dataclasses.dataclass
class _Survey:
    """What the lines of a text look like, before the separator is known."""

    num_comments: int = 0
    num_data: int = 0
    num_lines: int = 0
    first: tuple[int, bytes] | None = None
    tabs: set[int] = dataclasses.field(default_factory=set)
    words: set[int] = dataclasses.field(default_factory=set)
    is_numbers: bool = True
    is_last_number: bool = True
    marked: dict[tuple, tuple[int, bytes]] = dataclasses.field(default_factory=dict)
    """The first line of each shape among those that begin with # or % and may be links."""

    def add(self, line: int, text: bytes) -> None:
        self.num_lines += 1
        if self.first is None:
            self.first = line, text
        else:
            self.look(text)

    def look(self, text: bytes) -> None:
        """Note the separators of a line; the first line may be a header."""
        num_tabs = text.count(b"\t")
        self.tabs.add(num_tabs)
        if num_tabs:  # else blanks separate columns
            words = text.split()
            self.words.add(len(words))
            self.is_last_number = self.is_last_number and is_number(words[-1])
            self.is_numbers = self.is_numbers and self.is_last_number and all(map(is_number, words))

    def add_marked(self, line: int, text: bytes) -> None:
        self.num_comments += 1
        if not is_plain_comment(text):
            words = text.split()
            has_number = any(map(is_number, words))
            shape = (
                text.count(b"\t"),
                len(words),
                has_number,
                words[1][:1] in MARKS,
                known_pair(_names(words)),
            )
            self.marked.setdefault(shape, (line, text))


def _lines(data: bytes) -> Iterator[tuple[int, bytes, bool]]:
    """Every line that is not blank, without the {…} NetworkX puts behind labels, and whether it had one."""
    for line, text in enumerate(io.BytesIO(data), 1):
        text = text.strip()
        if text.endswith(b"}") and text[:1] not in (b"#", b"%"):
            found = _DATA.search(text)
            is_data = (
                found and (found[1] == b"{}" or b":" in found[1]) and len(text[: found.start()].split()) > 1
            )
            if is_data:
                yield line, text[: found.start()], True
                continue
        if text:
            yield line, text, False


def _surveyed(data: bytes) -> _Survey:
    survey = _Survey()
    for line, text, has_data in _lines(data):
        survey.num_data += has_data
        if text[:1] in (b"#", b"%"):
            survey.add_marked(line, text)
        else:
            survey.add(line, text)
    if survey.num_lines == 1:
        survey.look(survey.first[1])
    return survey


def _separator(path: Path, survey: _Survey, options: FileOptions) -> bytes | None:
    """What stands between columns; None for any number of blanks and tabs."""
    if options.separator is not None:
        return None if options.separator == " " else options.separator.encode()
    tabs = survey.tabs
    # Where no cell holds a blank, both part lines alike, and blanks the first one too if that has no tab.
    is_alike = survey.words == {tab + 1 for tab in tabs}
    if is_alike and survey.first[1].count(b"\t") not in tabs:
        return None
    # Numbers hold no blanks, so that these part columns as tabs do.
    if len(tabs) > 1 or 0 in tabs or (survey.is_numbers and not is_alike):
        return None
    if tabs == {1} and 2 not in survey.words and survey.is_last_number:
        line, text = survey.first
        raise complaint(
            path,
            f"{shown(text.split())}: does the tab alone stand between columns, or do blanks too? Pass "
            f"{options.say('separator', 'tab')} or {options.say('separator', 'blank')}.",
            line,
        )
    return b"\t"


def read_lines(path: Path, data: bytes, options: FileOptions) -> Network:
    """The network of an edge list, whatever its lines look like.

    Raises:
        ValueError: lines that are no links, may not be links, or may be links where they are skipped; columns
            that may be parts of labels; labels that a file cannot have.
    """
    survey = _surveyed(data)
    notes = {COMMENTS: survey.num_comments, DATA: survey.num_data}
    if survey.first is None:
        return Network(np.zeros((0, 2), np.int64), [], notes=notes)
    return _Reader(path, data, survey, options).read(notes)


class _Reader:
    """The second time through the text: links, and what shows whether they are meant."""

    def __init__(self, path: Path, data: bytes, survey: _Survey, options: FileOptions):
        self.path, self.data, self.survey, self.options = path, data, survey, options
        self.separator = _separator(path, survey, options)
        self.names: list[str] | None = None
        """What the header says, if the first line is one."""
        self.columns = (0, 1)
        self.is_named = False
        """Whether the header or the options say which columns hold the links."""
        self._begin()
        self.agents, self.ends = Agents(path), array("q")
        is_certain = self.separator == b"\t" or options.separator == " "
        can_be_cut = not is_certain and holds_opening(data)
        self.shapes = Shapes(
            path, options, is_certain=is_certain, can_be_cut=can_be_cut, begins=self.names is None
        )

    def split(self, text: bytes) -> list[bytes]:
        """The cells of a line; empty ones at its end are none."""
        if self.separator is None:
            return text.split()
        cells = [cell.strip() for cell in text.split(self.separator)]
        while len(cells) > 1 and not cells[-1]:
            cells.pop()
        return cells

    def _begin(self) -> None:
        """See whether the first line names the columns."""
        line, text = self.survey.first
        cells, options = self.split(text), self.options
        is_asked = options.source_column is not None or options.target_column is not None
        if options.header is False:
            self.columns = numbered_columns(self.path, len(cells), options, line) if is_asked else (0, 1)
            self.is_named = is_asked
            return
        names = _names(cells)
        if options.header is not True and not is_asked and known_pair(names) is None:
            return
        self.names = names
        if is_asked or known_pair(names) is not None:
            self.columns = link_columns(self.path, names, options, line)
            self.is_named = True

    def read(self, notes: dict[str, int]) -> Network:
        """The network, once all that may be doubtful has been looked at."""
        first_line = self.survey.first[0]
        source, target = self.columns
        for line, text, _ in _lines(self.data):
            if text[:1] in (b"#", b"%") or (self.names is not None and line == first_line):
                continue
            cells = self.split(text)
            self.shapes.add(line, cells)
            if max(source, target) >= len(cells):
                raise complaint(self.path, f"{len(cells)} column(s) {shown(cells)}; complete the line.", line)
            self.ends.append(self.agents.number(cells[source], line))
            self.ends.append(self.agents.number(cells[target], line))
        texts = self.agents.texts
        is_whole_file = all(is_whole(text) for text in texts)
        if self.names is None:
            self._check_first_line()
        else:
            self._check_header()
        notes |= {HEADER: int(self.names is not None)} | self._further_columns(is_whole_file)
        self._check_marks(is_whole_file)
        return self.agents.network(self.ends, notes)

    def _further_columns(self, is_whole_file: bool) -> dict[str, int]:
        """The note on columns beside those of the links, once it is clear that these may be left out."""
        num_lines = len(self.ends) // 2
        self.shapes.check_lines()
        if max(self.shapes.widths, default=2) == 2:
            return {}
        if self.is_named:
            is_weighted = self.names is not None and column_of_weights(self.names) is not None
            return {WEIGHTS if is_weighted else COLUMNS: num_lines}
        self.shapes.check_further(is_whole_file)
        return {WEIGHTS if self.shapes.is_weighted() else COLUMNS: num_lines}

    def _check_first_line(self) -> None:
        """Raise if the first line may be counts or a header, unless the options say that it is a link."""
        if self.options.header is False:
            return
        line, text = self.survey.first
        cells = [cell.decode() for cell in self.split(text)]
        others = np.unique(np.frombuffer(self.ends, np.int64)[2:]).tolist()
        texts = list(self.agents.texts)
        num_links = len(self.ends) // 2 - 1
        if all(is_whole(cell) and len(cell) < 19 for cell in cells):
            numbers = [int(cell) for cell in cells]
            if counts_links(numbers, num_links) and _counts_agents(numbers, len(others)):
                raise self._doubt(line, cells, "counts of what follows")
        is_text = not any(map(is_number, self.split(text)[:2]))
        widths, width = self.shapes.counts, len(cells)
        if is_text and widths == {width: 1, width + 1: num_links} and num_links > 1:
            raise self._doubt(line, cells, "a header that leaves out a column")
        if is_text and others and all(is_whole(texts[end]) for end in others):
            raise self._doubt(line, cells, "a header over whole numbers")

    def _doubt(self, line: int, cells: Sequence[str], what: str) -> ValueError:
        return complaint(
            self.path,
            f"{shown([cell.encode() for cell in cells])} may be {what}, or a link. Pass "
            f"{self.options.say('header')} to skip this line, or {self.options.say('header', False)}.",
            line,
        )

    def _check_header(self) -> None:
        """Raise if the header may be a link, or does not name as many columns as there are."""
        line, names, widths = self.survey.first[0], self.names, self.shapes.widths
        is_found = self.is_named and self.options.header is self.options.source_column is None
        if is_found and is_doubtful_pair([names[column] for column in self.columns], self.agents.texts):
            raise self._doubt(line, names, "a header")
        is_counts = all(is_whole(name) for name in names)
        other = next((width for width in widths if width != len(names)), None)
        if other is not None and not is_counts:
            raise complaint(
                self.path,
                f"{other} columns, but the header on line {line} names {len(names)}; make them as many, or "
                f"put tabs between columns.",
                widths[other],
            )

    def _check_marks(self, is_whole_file: bool) -> None:
        """Raise if a line that was skipped may be a link, or a comment may have been read as an agent."""
        texts = self.agents.texts
        marked = [text for text in texts if text[0] in "#%"]
        if marked:
            line = self.agents.lines[texts[marked[0]]]
            others = [text for text in texts if text[0] not in "#%"]
            bare = [text for text in marked if not text.strip("#%")]
            if (others and all(is_whole(text) for text in others)) or (bare and self.survey.num_comments):
                raise complaint(
                    self.path,
                    f"{marked[0]!r} may be an agent or begin a comment; put comments on lines of their own, "
                    "and links with such labels into a .csv with a header source,target.",
                    line,
                )
        for line, text in self.survey.marked.values():
            cells = self.split(text)
            if len(cells) not in (self.shapes.widths or {2}):
                continue
            names = _names([cells[0].lstrip(MARKS), *cells[1:]])
            is_header = known_pair(names) is not None and not is_doubtful_pair(names[:2], texts)
            has_numbers = any(map(is_number, [cell.lstrip(MARKS) for cell in cells]))
            if is_header or (is_whole_file and not has_numbers and cells[1][:1] not in (b"#", b"%")):
                continue
            raise complaint(
                self.path,
                f"{shown(cells)} may be a comment or a link. If a comment, put a blank after its first "
                f"character; if a link, put all links into a .csv with a header source,target.",
                line,
            )


def _names(cells: Sequence[bytes]) -> list[str]:
    return [cell.decode() for cell in cells]
