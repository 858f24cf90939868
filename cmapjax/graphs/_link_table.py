"""Tables of links (CSV, TSV): two columns hold the ends of every link."""

import re
from array import array
from collections.abc import Iterator
from pathlib import Path

from cmapjax.arguments._checks import listed
from cmapjax.graphs._edge_list import integer_pairs
from cmapjax.graphs._file_options import FileOptions
from cmapjax.graphs._files import complaint
from cmapjax.graphs._network import COMMENTS, WEIGHTS, Network
from cmapjax.graphs._numbering import Agents, numbered
from cmapjax.graphs._table import (
    column_of_weights,
    is_doubtful_pair,
    known_pair,
    link_columns,
    numbered_columns,
    read_table,
    unescape_cell,
)

_SEPARATORS = ",;\t|"
_HEAD = re.compile(rb"(?:[#%].*\n|\r?\n)*")
# What Excel writes and reads before a header: the separator of the table.
_EXCEL = re.compile(rb"sep=(.)\r?\n")


def read_link_table(path: Path, data: bytes, delimiter: str, options: FileOptions) -> Network:
    """The network of a CSV or TSV table, whose header names the two columns of links; others are ignored.

    Agents are ordered as in `read_edge_list`. Text that a spreadsheet would run as a formula may stand
    behind an apostrophe, as the writers put it.
    """
    if excel := _EXCEL.match(data):
        delimiter, data = excel[1].decode(), data[excel.end() - 1 :]  # the line end stays, so lines count on
    data, num_comments = _without_head(data, options)
    delimiter = options.separator or _delimiter(data, delimiter)
    quick = None if num_comments else _integers(data, delimiter, options)
    if quick is not None:
        return quick
    rows = read_table(path, data, delimiter)
    line, first = next(rows, (None, ()))
    if not first:
        raise complaint(path, "holds no table; write or fetch it again.")
    agents, ends, notes = Agents(path), array("q"), {COMMENTS: num_comments}
    if options.header is False:
        names: list[str] = []
        source, target = numbered_columns(path, len(first), options, line)
        rows = _chained((line, first), rows)
    else:
        names = [first[0].lstrip(" #"), *first[1:]]  # network repositories put # before the header
        source, target = link_columns(path, names, options, line)
    for line, row in rows:
        ends.append(agents.number(unescape_cell(row[source]), line))
        ends.append(agents.number(unescape_cell(row[target]), line))
    _check_header_is_none(path, names, (source, target), agents, options)
    if names and column_of_weights(names) is not None:
        notes[WEIGHTS] = len(ends) // 2
    return agents.network(ends, notes)


def _chained(first, rows: Iterator) -> Iterator:
    yield first
    yield from rows


def _without_head(data: bytes, options: FileOptions) -> tuple[bytes, int]:
    """The table with blank lines for the comments above its header, and how many these are."""
    head = _HEAD.match(data)[0]
    after = data[len(head) :]
    if not head or options.header is False or not _fitting(after):
        return data, 0
    return b"\n" * head.count(b"\n") + after, sum(bool(line.strip()) for line in head.split(b"\n"))


def _fitting(data: bytes) -> list[str]:
    """The separators that split the first line into a known pair of names, perhaps with others."""
    header = data.lstrip(b"\r\n").partition(b"\n")[0].decode()
    return [s for s in _SEPARATORS if known_pair([cell.strip('" #\r') for cell in header.split(s)])]


def _delimiter(data: bytes, given: str) -> str:
    """The separator of the file's ending, unless only another one splits the header into a known pair of
    names."""
    fitting = _fitting(data)
    return fitting[0] if len(fitting) == 1 else given


def _integers(data: bytes, delimiter: str, options: FileOptions) -> Network | None:
    """The network of a table of nothing but a header and pairs of whole numbers."""
    if options.source_column is not None or options.target_column is not None:
        return None
    header, _, body = data.partition(b"\n")
    names = header.rstrip(b"\r").decode().split(delimiter)
    if options.header is False:
        body = data
    elif len(names) != 2 or known_pair(names) is None:
        return None
    pairs = integer_pairs(body, delimiter.encode())
    return None if pairs is None else numbered(pairs, {})


def _check_header_is_none(path, names, ends: tuple[int, int], agents: Agents, options: FileOptions) -> None:
    """Raise if the header may be a link between two agents of a table that has no header."""
    pair = [names[end] for end in ends] if names else []
    if not pair or options.header is True or options.source_column or options.target_column:
        return
    if [name.strip() for name in pair] != ["source", "target"] and is_doubtful_pair(pair, agents.texts):
        raise complaint(
            path,
            f"is the first row ({listed(pair)}) a header or a link? Agents of such names follow. Pass "
            f"{options.say('header')} or {options.say('header', False)}.",
            1,
        )
