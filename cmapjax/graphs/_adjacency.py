"""Adjacency as text: a line per agent with its neighbours, or a matrix with names at its edges."""

import io
from array import array
from pathlib import Path

import numpy as np

from cmapjax.arguments._checks import listed, short
from cmapjax.graphs._file_options import FileOptions
from cmapjax.graphs._files import complaint
from cmapjax.graphs._labels import as_labels, check_label, check_numbers, undirected
from cmapjax.graphs._link_lines import is_plain_comment
from cmapjax.graphs._network import COMMENTS, WEIGHTS, Network
from cmapjax.graphs._numbering import Agents
from cmapjax.graphs._table import read_table, unescape_cell


def read_adjacency_list(path: Path, data: bytes, options: FileOptions) -> Network:
    """The network of an adjacency list: on every line an agent and then its neighbours, apart by blanks.

    A link may stand on the lines of both its ends or of one; a line of one name alone is an agent without
    further neighbours. Comments begin with # and a blank, or stand at the head of the file. Agents are in
    ascending order where all labels are whole numbers, else in order of first appearance.
    """
    agents, ends, comments = Agents(path), array("q"), 0
    doubtful: int | None = None  # the line of a comment that could be an agent and its neighbours
    for line, text in enumerate(io.BytesIO(data), 1):
        cells = text.split()
        if not cells:
            continue
        if text.lstrip().startswith(b"#"):
            if not is_plain_comment(text.strip()):
                doubtful = line if agents.texts or doubtful is None else doubtful
            comments += 1
            continue
        numbers = [_number(agents, cell, line) for cell in cells]
        for other in numbers[1:]:
            ends.append(numbers[0])
            ends.append(other)
    is_in_doubt = doubtful is not None and (
        doubtful > min(agents.lines, default=doubtful) or any(label.startswith("#") for label in agents.texts)
    )
    if is_in_doubt:
        raise complaint(
            path,
            "may be a comment, or an agent whose name begins with # and its neighbours. If a comment, put a "
            "blank after the #; if not, rename the agent.",
            doubtful,
        )
    links = np.frombuffer(ends, np.int64).reshape(-1, 2) if ends else np.zeros((0, 2), np.int64)
    links, labels = undirected(links, True, "link", None), as_labels(agents.checked())
    if labels and isinstance(labels[0], int):
        order = np.argsort(np.array(labels, np.int64), kind="stable")
        links, labels = np.argsort(order)[links], [labels[i] for i in order.tolist()]
    return Network(links, labels, notes={COMMENTS: comments})


def _number(agents: Agents, cell: bytes, line: int) -> int:
    if cell[:1] in b"{[(" or cell[-1:] in b"}])":
        raise complaint(
            agents.path,
            f"{short(cell.decode())} is no plain name; an adjacency list holds names alone (write it without "
            "data, and agents as text or whole numbers).",
            line,
        )
    return agents.number(cell, line)


def is_adjacency_matrix(data: bytes, separator: str) -> bool:
    """Whether a table names the same agents, two or more, in its first row and in its first column."""
    lines = data.split(b"\n", 1)[0].count(separator.encode())
    if lines < 2 or abs(data.count(b"\n") - lines) > 2 + data.count(b"\n\n"):
        return False
    try:
        rows = [row for _, row in read_table(Path(), data, separator)]
    except ValueError:
        return False
    return len(rows) > 2 and sorted(rows[0][1:]) == sorted(row[0] for row in rows[1:])


def read_adjacency_matrix(path: Path, data: bytes, separator: str, options: FileOptions) -> Network:
    """The network of a table of numbers, of which those that are not 0 are links.

    The first row and the first column name the agents, in any order, and the corner is ignored; without a
    header agents are numbered from 0. The values of the numbers are not used.
    """
    rows = list(read_table(path, data, separator))
    if options.header is False:
        labels = list(range(len(rows)))
        names, body = labels, rows
    else:
        line, header = rows[0]
        body = [(line, row[1:]) for line, row in rows[1:]]
        labels = [unescape_cell(cell) for cell in header[1:]]
        names = [unescape_cell(row[0]) for _, row in rows[1:]]
        _check_names(path, labels, names, line, options)
        place = {label: i for i, label in enumerate(labels)}
        names = [place[name] for name in names]
    size = len(labels)
    links, weights = [], 0
    for place, (line, row) in zip(names, body, strict=True):
        values = _numbers(path, row, size, labels, line)
        found = np.flatnonzero(values)
        links.append(np.stack([np.full(len(found), place), found], axis=1))
        weights += int(np.sum(values[found] != 1))
    try:
        pairs = undirected(
            np.concatenate(links) if links else np.zeros((0, 2), np.int64),
            options.symmetrize,
            "entry",
            lambda i: labels[i],
            options.say("symmetrize"),
        )
    except ValueError as error:
        raise complaint(path, str(error)) from None
    return Network(pairs, as_labels([str(label) for label in labels]), notes={WEIGHTS: weights})


def _check_names(path: Path, columns: list[str], rows: list[str], line: int, options: FileOptions) -> None:
    try:
        for label in columns:
            check_label(label)
        check_numbers(columns)
    except ValueError as error:
        raise complaint(path, str(error), line) from None
    for what, names in (("first row", columns), ("first column", rows)):
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise complaint(path, f"the {what} names {short(twice[0])} twice; name every agent once.")
    different = sorted(set(columns) ^ set(rows))
    if different:
        raise complaint(
            path,
            f"{listed(different)} stand(s) in the first row or column alone; both must name the same agents "
            f"(or give {options.say('header', False)} for a matrix of numbers alone).",
        )


def _numbers(path: Path, row: list[str], size: int, labels: list, line: int) -> np.ndarray:
    if len(row) != size:
        raise complaint(path, f"{len(row)} numbers for {size} agents; the matrix must be square.", line)
    try:
        values = np.array(row, np.float64)
    except ValueError:
        values = np.full(size, np.nan)
    if not np.isfinite(values).all():
        for label, cell in zip(labels, row, strict=True):
            if not _is_finite(cell):
                raise complaint(
                    path,
                    f"the entry of {short(label)} is {short(cell)}; write 0 for no link, 1 for one.",
                    line,
                )
    return values


def _is_finite(cell: str) -> bool:
    try:
        return bool(np.isfinite(float(cell)))
    except ValueError:
        return False
