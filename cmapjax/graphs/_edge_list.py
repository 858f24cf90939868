"""Links as lines of text: SNAP edge lists, and CSV or TSV tables with columns source and target."""

import io
import re
from array import array
from pathlib import Path

import numpy as np
from jaxtyping import Int

from cmapjax.graphs._files import complaint
from cmapjax.graphs._labels import as_labels, check_label
from cmapjax.graphs._network import Network
from cmapjax.graphs._table import check_header, read_table, unescape_cell

_CONTROL = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]|\r(?!\n)")
_COMMENT = re.compile(rb"(?m)^[ \t]*[#%].*$")
_BLOCK = 1 << 24  # bytes looked at together: bounds the working arrays to a few hundred MiB
_MAX_DIGITS = 18  # every number of 18 digits fits int64; the careful path judges longer ones


def read_edge_list(path: Path, data: bytes, *, ignore_extra_columns: bool) -> Network:
    """The network of a SNAP edge list: two labels a line, apart by tabs or blanks.

    Lines that begin with # (or %, as other collections write) and blank lines are skipped. Agents are in
    ascending order where all labels are whole numbers, else in the order in which they first appear.
    """
    control = _CONTROL.search(data)
    if control:
        raise complaint(
            path,
            f"control character {control[0].decode()!r}; is this a text file? Save it as plain text.",
            data.count(b"\n", 0, control.start()) + 1,
        )
    is_commented = b"#" in data or b"%" in data
    pairs = integer_pairs(_COMMENT.sub(b"", data) if is_commented else data)
    if pairs is not None:
        return _numbered(pairs)
    return _careful_edge_list(path, data, ignore_extra_columns)


def _careful_edge_list(path: Path, data: bytes, ignore_extra_columns: bool) -> Network:
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
        if len(cells) > 2 and not ignore_extra_columns:
            raise complaint(
                path,
                f"{len(cells)} columns {_shown(cells)}, but a link is two labels; remove the others, or pass "
                "ignore_extra_columns=True.",
                line,
            )
        ends.append(agents.number(cells[0], line))
        ends.append(agents.number(cells[1], line))
    return agents.network(ends)


def read_link_table(path: Path, data: bytes, delimiter: str) -> Network:
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
    if largest < 4 * pairs.size:  # a table is smaller than what sorting would need, and faster
        is_agent = np.zeros(largest + 1, bool)
        is_agent[pairs] = True
        agents = np.flatnonzero(is_agent)
        links = (np.cumsum(is_agent) - 1)[pairs]
    else:
        agents, links = np.unique(pairs, return_inverse=True)
    return Network(links.reshape(-1, 2), agents.tolist())


def integer_pairs(data: bytes, delimiter: bytes | None = None) -> Int[np.ndarray, "links 2"] | None:
    """The pairs in a text of which every line is two plain whole numbers, or None if any is not.

    None says only that the line-by-line reader must look; it alone judges and complains.
    """
    pairs, start = [], 0
    while start < len(data):
        end = data.find(b"\n", start + _BLOCK)
        end = len(data) if end < 0 else end + 1
        block = _block_pairs(np.frombuffer(data, np.uint8, end - start, start), delimiter)
        if block is None:
            return None
        pairs.append(block)
        start = end
    return np.concatenate(pairs) if pairs else None


def _block_pairs(text: np.ndarray, delimiter: bytes | None) -> np.ndarray | None:
    is_digit = (text - np.uint8(ord("0"))) < 10  # wraps round below "0"
    is_newline = text == ord("\n")
    gaps = b"\t " if delimiter is None else delimiter
    is_gap = (text == gaps[0]) | (text == gaps[-1])
    if np.count_nonzero(is_digit | is_newline | is_gap | (text == ord("\r"))) < len(text):
        return None
    edges = np.diff(is_digit.view(np.int8), prepend=np.int8(0), append=np.int8(0))
    starts, ends = np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)
    lengths = ends - starts
    if len(starts) % 2 or not len(starts) or lengths.max() > _MAX_DIGITS:
        return None
    line = np.searchsorted(np.flatnonzero(is_newline), starts)
    if np.any(line[::2] != line[1::2]) or np.any(line[2::2] == line[1:-1:2]):
        return None
    if np.any((text[starts] == ord("0")) & (lengths > 1)):
        return None
    # One delimiter to a link of a table: "1,,2" is three cells, not two.
    if delimiter is not None and np.count_nonzero(is_gap) != len(starts) // 2:
        return None
    number = np.zeros(len(starts), np.int64)
    for place in range(lengths.max()):
        live = lengths > place
        number[live] = number[live] * 10 + (text[starts[live] + place] - np.uint8(ord("0")))
    return number.reshape(-1, 2)


def _shown(cells: list[bytes]) -> str:
    text = " ".join(cell.decode() for cell in cells[:4])
    return repr(text if len(text) <= 60 else text[:59] + "…")
