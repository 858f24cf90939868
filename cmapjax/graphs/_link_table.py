"""Tables of links (CSV, TSV): two columns hold the ends of every link."""

import re
from array import array
from collections.abc import Iterator
from pathlib import Path

from cmapjax._checks import listed
from cmapjax._file_options import FileOptions
from cmapjax.graphs._edge_list import integer_pairs
from cmapjax.graphs._files import complaint
from cmapjax.graphs._network import WEIGHTS, Network
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
# What Excel writes and reads before a header: the separator of the table.
_EXCEL = re.compile(rb"sep=(.)\r?\n")


def read_link_table(path: Path, data: bytes, delimiter: str, options: FileOptions) -> Network:
    """The network of a CSV or TSV table: a header names the two columns of links; others are not looked at.

    Agents are ordered as in `read_edge_list`. Text that a spreadsheet would run as a formula may stand
    behind an apostrophe, as the writers put it.
    """
    if excel := _EXCEL.match(data):
        delimiter, data = excel[1].decode(), data[excel.end() - 1 :]  # its line end keeps the lines counted
    delimiter = options.separator or _delimiter(data, delimiter)
    quick = _integers(data, delimiter, options)
    if quick is not None:
        return quick
    rows = read_table(path, data, delimiter)
    line, first = next(rows)
    agents, ends, notes = Agents(path), array("q"), {}
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


def _delimiter(data: bytes, given: str) -> str:
    """The separator of the ending, unless another one alone parts the header into a known pair of names."""
    header = data.lstrip(b"\r\n").partition(b"\n")[0].decode()
    fitting = [
        separator
        for separator in _SEPARATORS
        if known_pair([cell.strip('" #\r') for cell in header.split(separator)])
    ]
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
    is_given = options.header is True or options.source_column is not None
    if not pair or is_given or [name.strip() for name in pair] == ["source", "target"]:
        return
    if is_doubtful_pair(pair, agents.texts):
        raise complaint(
            path,
            f"is the first row ({listed(pair)}) a header or a link? Agents of such names follow. Pass "
            f"{options.say('header')} or {options.say('header', False)}.",
            1,
        )
