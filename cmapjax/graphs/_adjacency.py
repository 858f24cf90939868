"""Adjacency as text: a line per agent with its neighbours, or a matrix with names at its edges."""

import dataclasses
import io
import itertools
import math
from array import array

import numpy as np

from cmapjax.arguments._checks import listed, short
from cmapjax.graphs._directions import links_of
from cmapjax.graphs._doubts import is_number, is_plain_comment
from cmapjax.graphs._file_options import FileOptions
from cmapjax.graphs._files import FileError, on_line
from cmapjax.graphs._labels import as_labels, check_label, check_numbers
from cmapjax.graphs._matrix import pattern_of
from cmapjax.graphs._network import Network, Note, named_network
from cmapjax.graphs._table import read_table, unescape_cell


def read_adjacency_list(data: bytes, options: FileOptions) -> Network:
    """The network of an adjacency list: on every line an agent and then its neighbours, apart by blanks.

    A link may stand on the lines of both its ends or of one, unless links go one way; a line of one name
    alone is an agent without further neighbours. Comments begin with # and a blank, or stand at the head of
    the file. Agents are in ascending order where all labels are whole numbers, else in order of first
    appearance.
    """
    line_of: dict[str, int] = {}
    number_of: dict[str, int] = {}
    ends, comments = array("q"), 0
    doubtful: list[int] = []  # the lines of comments that could be an agent and its neighbours
    for line, row in enumerate(io.BytesIO(data), 1):
        text = row.decode().strip()
        if text.startswith("#"):
            comments += 1
            doubtful += [] if is_plain_comment(text) else [line]
            continue
        labels = text.split()
        for label in labels:
            if label[0] in "{[(" or label[-1] in "}])":
                raise FileError(
                    f"{short(label)} is no plain name; an adjacency list holds names alone (write it without "
                    "data, and agents as text or whole numbers).",
                    line,
                )
            line_of.setdefault(label, line)
        agent, *others = [number_of.setdefault(label, len(number_of)) for label in labels] or [0]
        ends.extend(itertools.chain.from_iterable((agent, other) for other in others))
    first = min(line_of.values(), default=0)
    is_agent = any(label.startswith("#") for label in line_of)
    for line in doubtful:
        if line > first or is_agent:
            raise FileError(
                "may be a comment, or an agent whose name begins with # and its neighbours. If a comment, "
                "put a blank after the #; if not, rename the agent.",
                line,
            )
    network = named_network(line_of, ends, {Note.COMMENTS: comments}, line_of.get)
    both_ways = dataclasses.replace(options, symmetrize=not options.directed)
    return network._replace(links=links_of(network.links, both_ways, "link", None))


def is_adjacency_matrix(data: bytes, separator: str) -> bool:
    """Whether a table names the same agents, two or more, in its first row and in its first column."""
    lines = data.split(b"\n", 1)[0].count(separator.encode())
    if lines < 2 or abs(data.count(b"\n") - lines) > 2 + data.count(b"\n\n"):
        return False
    try:
        rows = [row for _, row in read_table(data, separator)]
    except ValueError:
        return False
    return len(rows) > 2 and sorted(rows[0][1:]) == sorted(row[0] for row in rows[1:])


def read_adjacency_matrix(data: bytes, separator: str, options: FileOptions) -> Network:
    """The network of a table of numbers, of which those that are not 0 are links.

    The first row and the first column name the agents, in any order, and the corner is ignored; without a
    header agents are numbered from 0. The values of the numbers are not used.
    """
    rows = list(read_table(data, separator))
    labels = names = [str(i) for i in range(len(rows))]
    if options.header is not False:
        line, header = rows[0]
        labels = [unescape_cell(cell) for cell in header[1:]]
        names = [unescape_cell(row[0]) for _, row in rows[1:]]
        with on_line(line):
            for label in labels:
                check_label(label)
            check_numbers(labels)
        _check_names(labels, names, options)
        rows = [(line, row[1:]) for line, row in rows[1:]]
    place = {label: i for i, label in enumerate(labels)}
    matrix = np.zeros((len(labels), len(labels)))
    for name, (line, row) in zip(names, rows, strict=True):
        with on_line(line):
            matrix[place[name]] = _numbers(row, labels)
    return pattern_of(matrix, options, labels.__getitem__).network(as_labels(labels))


def _check_names(columns: list[str], rows: list[str], options: FileOptions) -> None:
    for what, names in (("first row", columns), ("first column", rows)):
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"the {what} names {short(twice[0])} twice; name every agent once.")
    different = sorted(set(columns) ^ set(rows))
    if different:
        raise ValueError(
            f"{listed(different)} stand(s) in the first row or column alone; both must name the same agents "
            f"(or give {options.say('header', False)} for a matrix of numbers alone)."
        )


def _numbers(row: list[str], labels: list[str]) -> list[float]:
    if len(row) != len(labels):
        raise ValueError(f"{len(row)} numbers for {len(labels)} agents; the matrix must be square.")
    for label, cell in zip(labels, row, strict=True):
        if not (is_number(cell) and math.isfinite(float(cell))):
            raise ValueError(f"the entry of {short(label)} is {short(cell)}; write 0 for no link, 1 for one.")
    return list(map(float, row))
