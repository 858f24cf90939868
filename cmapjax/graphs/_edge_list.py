"""Links as lines of text: SNAP edge lists, and CSV or TSV tables with columns source and target."""

import io
import re
from array import array
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from jaxtyping import Int

from cmapjax._file_options import FileOptions
from cmapjax.graphs._files import complaint
from cmapjax.graphs._labels import as_labels, check_label
from cmapjax.graphs._network import Network
from cmapjax.graphs._table import check_header, read_table, unescape_cell

_CONTROL = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]|\r(?!\n)")
_CONTROLS = bytes(set(range(32)) - set(b"\t\n\r") | {127})
_COMMENT = re.compile(rb"(?m)^[ \t]*[#%].*$")
_BLOCK = 1 << 24  # bytes looked at together: bounds the working arrays to a few hundred MiB
_MAX_NUMBER = 10**18  # numbers of up to 18 digits fit int64; the careful path judges longer ones


def read_edge_list(path: Path, data: bytes, options: FileOptions) -> Network:
    """The network of a SNAP edge list: two labels a line, apart by tabs or blanks.

    Lines that begin with # (or %, as other collections write) and blank lines are skipped. Agents are in
    ascending order where all labels are whole numbers, else in the order in which they first appear.
    """
    # Counting is ten times as fast as the search, which then only has to find the first.
    is_plain = len(data.translate(None, _CONTROLS)) == len(data) and data.count(b"\r") == data.count(b"\r\n")
    control = None if is_plain else _CONTROL.search(data)
    if control:
        raise complaint(
            path,
            f"control character {control[0].decode()!r}; is this a text file? Save it as plain text.",
            data.count(b"\n", 0, control.start()) + 1,
        )
    links = _without_comments(data)
    pairs = integer_pairs(links)
    if pairs is not None:
        return _numbered(pairs)
    network = _text_pairs(path, links)
    return network or _careful_edge_list(path, data, options)


def _without_comments(data: bytes) -> bytes:
    start = 0
    while comment := _COMMENT.match(data, start):  # at the head, where most files have them all
        start = comment.end() + 1
    data = data[start:]
    return _COMMENT.sub(b"", data) if b"#" in data or b"%" in data else data


def _text_pairs(path: Path, data: bytes) -> Network | None:
    """The network of a text of which every line is two labels, or None if the careful reader must look."""
    agents, ends = _Agents(path), array("q")
    number_of = agents.number_of
    for block in _blocks(data):
        text = np.frombuffer(block, np.uint8)
        if _pair_starts(text, text > ord(" ")) is None:  # control characters are out
            return None
        ends.extend([number_of.setdefault(label, len(number_of)) for label in block.split()])
    try:
        for label in number_of:
            check_label(label.decode())
    except ValueError:
        return None  # the careful reader says on which line
    return agents.network(ends)


def _careful_edge_list(path: Path, data: bytes, options: FileOptions) -> Network:
    """Line by line, so that what is wrong can be named."""
    agents, ends = _Agents(path), array("q")
    for line, text in enumerate(io.BytesIO(data), 1):
        cells = text.split()  # of bytes: apart at blanks and tabs alone, for control characters are out
        if not cells or cells[0][:1] in (b"#", b"%"):
            continue
        if len(cells) < 2:
            raise complaint(
                path,
                f"one column {_shown(cells)}; give two labels apart by a tab or blank "
                "(commas belong in a .csv with a header source,target).",
                line,
            )
        if len(cells) > 2 and not options.ignore_extra_columns:
            raise complaint(
                path,
                f"{len(cells)} columns {_shown(cells)}, but a link is two labels; remove the others, or pass "
                f"{options.say('ignore_extra_columns')}.",
                line,
            )
        ends.append(agents.number(cells[0], line))
        ends.append(agents.number(cells[1], line))
    return agents.network(ends)


def read_link_table(path: Path, data: bytes, delimiter: str, options: FileOptions) -> Network:
    """The network of a CSV or TSV table: columns source and target; other columns are not looked at.

    Agents are ordered as in `read_edge_list`. Text that a spreadsheet would run as a formula may stand
    behind an apostrophe, as the writers put it.
    """
    header, _, body = data.partition(b"\n")
    if header.rstrip(b"\r") == f"source{delimiter}target".encode():
        pairs = integer_pairs(body, delimiter.encode())
        if pairs is not None:
            return _numbered(pairs)
    rows = read_table(path, data, delimiter)
    line, names = next(rows)
    check_header(path, names, ("source", "target"), line)
    source, target = names.index("source"), names.index("target")
    agents, ends = _Agents(path), array("q")
    for line, row in rows:
        ends.append(agents.number(unescape_cell(row[source]), line))
        ends.append(agents.number(unescape_cell(row[target]), line))
    return agents.network(ends)


class _Agents:
    """Numbers for labels as they come; each label is looked at once, where it first appears."""

    def __init__(self, path: Path):
        self.path = path
        self.number_of: dict[bytes | str, int] = {}

    def number(self, label: bytes | str, line: int) -> int:
        number = self.number_of.get(label)
        if number is None:
            try:
                check_label(label.decode() if isinstance(label, bytes) else label)
            except ValueError as error:
                raise complaint(self.path, str(error), line) from None
            number = self.number_of[label] = len(self.number_of)
        return number

    def network(self, ends: array) -> Network:
        links = np.frombuffer(ends, np.int64).reshape(-1, 2) if ends else np.zeros((0, 2), np.int64)
        texts = [label.decode() if isinstance(label, bytes) else label for label in self.number_of]
        labels = as_labels(texts)
        if labels and isinstance(labels[0], int):
            return _numbered(np.array(labels, np.int64)[links])
        return Network(links, labels)


def _numbered(pairs: Int[np.ndarray, "links 2"]) -> Network:
    """The network of links between whole numbers, agents ascending."""
    largest = int(pairs.max(initial=-1))
    if largest < 8 * pairs.size:  # a table is about as large as what sorting would need, and faster
        is_agent = np.zeros(largest + 1, bool)
        is_agent[pairs] = True
        agents = np.flatnonzero(is_agent)
        number = np.zeros(largest + 1, np.int32 if len(agents) < 2**31 else np.int64)
        number[agents] = np.arange(len(agents))
        links = number[pairs]
    else:
        agents, links = np.unique(pairs, return_inverse=True)
    return Network(links.reshape(-1, 2), agents.tolist())


def integer_pairs(data: bytes, delimiter: bytes | None = None) -> Int[np.ndarray, "links 2"] | None:
    """The pairs in a text of which every line is two plain whole numbers, or None if any is not.

    None says only that the line-by-line reader must look; it alone judges and complains.
    """
    pairs = []
    for block in _blocks(data):
        found = _block_pairs(block, delimiter)
        if found is None:
            return None
        pairs.append(found)
    return np.concatenate(pairs) if pairs else None


def _blocks(data: bytes) -> Iterator[bytes]:
    """The text in pieces of whole lines."""
    start = 0
    while start < len(data):
        end = data.find(b"\n", start + _BLOCK) + 1 or len(data)
        yield data[start:end]
        start = end


def _block_pairs(block: bytes, delimiter: bytes | None) -> np.ndarray | None:
    gaps = b"\t " if delimiter is None else delimiter
    if block.translate(None, b"0123456789\r\n" + gaps):
        return None
    text = np.frombuffer(block, np.uint8)
    is_digit = text >= ord("0")
    starts = _pair_starts(text, is_digit)
    if starts is None:
        return None
    zeros = starts[text[starts] == ord("0")]
    if np.any(is_digit[np.minimum(zeros + 1, len(text) - 1)] & (zeros + 1 < len(text))):
        return None
    # One delimiter to a link of a table: "1,,2" is three cells, not two.
    if delimiter is not None and block.count(delimiter) != len(starts) // 2:
        return None
    number = np.fromstring(block if delimiter is None else block.replace(delimiter, b" "), np.int64, sep=" ")
    # Numbers too long for int64 come back as the largest there is.
    return None if number.max() >= _MAX_NUMBER else number.reshape(-1, 2)


def _pair_starts(text: np.ndarray, is_inside: np.ndarray) -> np.ndarray | None:
    """Where words start, given which characters are inside one, or None unless every line has none or two."""
    is_start = is_inside.copy()
    np.greater(is_inside[1:], is_inside[:-1], out=is_start[1:])
    is_newline = text == ord("\n")
    events = np.flatnonzero(is_start | is_newline)
    is_end = is_newline[events]
    starts = events[~is_end]
    is_blank_line = is_end & np.concatenate([[True], is_end[:-1]])
    pattern = is_end[~is_blank_line]  # word, word, line end, word, word, …
    is_paired = not pattern[::3].any() and not pattern[1::3].any() and pattern[2::3].all()
    return starts if is_paired and len(starts) and len(pattern) % 3 != 1 else None


def _shown(cells: list[bytes]) -> str:
    text = " ".join(cell.decode() for cell in cells[:4])
    return repr(text if len(text) <= 60 else text[:59] + "…")
