"""What an edge list may be instead: refused, so that no line is read as what it is not."""

import re
from collections.abc import Callable, Sequence

import numpy as np

from cmapjax.arguments._checks import short
from cmapjax.graphs._file_options import FileOptions
from cmapjax.graphs._files import FileError
from cmapjax.graphs._labels import is_whole
from cmapjax.graphs._network import Network
from cmapjax.graphs._table import is_doubtful_pair, known_pair

MARKS = "#%"
_CONTROL = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]|\r(?!\n)")
_CONTROLS = bytes(set(range(32)) - set(b"\t\n\r") | {127})
_COMMENT = re.compile(rb"(?m)^[ \t]*[#%].*$")
# What opens a longer piece of text, and what closes it.
_CLOSING = {"(": ")", "[": "]", "{": "}", '"': '"', "'": "'"}
_AFTER_LABEL = (",", ";", ":")
# What a line of counts begins with ("nodes 34").
_COUNTED = frozenset(("nodes", "vertices", "edges", "links", "arcs", "agents", "num_nodes", "num_edges"))

Rows = Sequence[tuple[int, list[str]]]
"""The first rows of a text, each with its line."""


def is_number(cell: str | bytes) -> bool:
    """Whether a cell is a number, as a weight may be written."""
    try:
        float(cell)
    except ValueError:
        return False
    return True


def shown(cells: Sequence[str]) -> str:
    """The first cells of a line, for an error."""
    text = " ".join(cells[:4])
    return repr(text if len(text) <= 60 else text[:59] + "…")


# -- comments ------------------------------------------------------------------------------------


def check_control(data: bytes) -> None:
    """Raise for a control character, which text has none of."""
    # Counting is ten times as fast as searching, so that the search is needed for the first match only.
    if len(data.translate(None, _CONTROLS)) == len(data) and data.count(b"\r") == data.count(b"\r\n"):
        return
    control = _CONTROL.search(data)
    raise FileError(
        f"control character {control[0].decode()!r}; is this a text file? Save it as plain text.",
        data.count(b"\n", 0, control.start()) + 1,
    )


def is_plain_comment(text: str) -> bool:
    """Whether a line that begins with # or % is a comment for certain: a blank follows, or it is one word."""
    words = text.split(None, 2)
    return len(words) == 1 or not words[0].strip(MARKS)


def without_comments(data: bytes) -> tuple[bytes, int, int, list[tuple[int, bytes]]]:
    """The text with blank lines for comments, and what was blanked.

    Returns:
        The text from behind the comments at its head, the number of its first line, the number of comments,
        and those that may be links: one of each shape, with its line.
    """
    doubtful: dict[tuple, tuple[int, bytes]] = {}
    line, number, head = 1, 0, 0

    def blanked(comment: re.Match) -> bytes:
        nonlocal number
        number += 1
        row = comment[0].strip()
        if not is_plain_comment(row.decode()):
            names = row.lstrip(b"#%").decode().split()
            shape = (row.count(b"\t"), len(names), known_pair(names) is None, any(map(is_number, names)))
            place = line + comment.string.count(b"\n", 0, comment.start())
            doubtful.setdefault((*shape, names[-1][0] in MARKS), (place, row))
        return b""

    while comment := _COMMENT.match(data, head):
        blanked(comment)
        head = comment.end() + 1
    line, text = 1 + data.count(b"\n", 0, head), data[head:]
    if b"#" in text or b"%" in text:
        text = _COMMENT.sub(blanked, text)
    return text, line, number, list(doubtful.values())


def check_marks(
    network: Network, comments: Rows, width: int, num_comments: int, line_of: Callable[[str], int]
) -> None:
    """Raise if a label may begin a comment, or one of the doubtful comments be a link of so many columns."""
    is_numbers = bool(network.labels) and isinstance(network.labels[0], int)
    texts = [] if is_numbers else network.labels
    marked = [label for label in texts if label[0] in MARKS]
    if marked:
        others = [label for label in texts if label[0] not in MARKS]
        is_bare = num_comments and not all(label.strip(MARKS) for label in marked)
        if is_bare or (others and all(map(is_whole, others))):
            raise FileError(
                f"{marked[0]!r} may be an agent or begin a comment; put comments on lines of their own, "
                "and links with such labels into a .csv with a header source,target.",
                line_of(marked[0]),
            )
    for line, cells in comments:
        names = [cells[0].lstrip(MARKS), *cells[1:]]
        is_header = known_pair(names) is not None and not is_doubtful_pair(names[:2], texts)
        is_words = is_numbers and not any(map(is_number, names)) and cells[-1][0] not in MARKS
        if len(cells) == width and not is_header and not is_words:
            raise FileError(
                f"{shown(cells)} may be a comment or a link. If a comment, put a blank after its first "
                "character; if a link, put all links into a .csv with a header source,target.",
                line,
            )


# -- headers and other formats. Where no line is named, the error is about the first row ---------


def check_first_rows(rows: Rows, options: FileOptions) -> None:
    """Raise if the first rows begin a Pajek file, or count in words what follows."""
    for line, cells in rows[: 0 if options.header is False else 3][options.header is True :]:
        if cells[0].startswith("*"):
            remedy = options.say("format", "pajek")
            raise FileError(f"{shown(cells)} begins a Pajek file; pass {remedy}.", line)
        if len(cells) > 1 and cells[0].rstrip(":=").casefold() in _COUNTED and cells[1].isdecimal():
            remedy = f"remove the line, or pass {options.say('header', False)} if it is a link"
            raise FileError(f"{shown(cells)} counts what follows; {remedy}.", line)


def check_first_line(rows: Rows, network: Network, options: FileOptions) -> None:
    """Raise if the first row of an edge list without a known header may be a header or counts."""
    cells = rows[0][1]
    links, labels, num_others = network.links, network.labels, len(network.links) - 1
    if all(is_whole(cell) and len(cell) < 19 for cell in cells):
        *agents, number = map(int, cells)
        # Twice as many if every link is listed both ways. A single line is no list that has a count.
        is_count = num_others >= 2 and number in (num_others, num_others / 2)
        if is_count and sum(agents) >= len(np.unique(links[1:])):
            _doubt(cells, "counts of what follows", options)
    elif num_others and not any(map(is_number, cells[:2])):
        others = labels[len(set(cells[:2])) :]
        if num_others > 1 and {len(row) for _, row in rows[1:]} == {len(cells) + 1}:
            _doubt(cells, "a header that leaves out a column", options)
        if all(map(is_whole, others)) and not np.isin(links[1:], links[0]).any():
            _doubt(cells, "a header over whole numbers", options)


def check_names(names: list[str], columns: tuple[int, int], network: Network, options: FileOptions) -> None:
    """Raise if a header that was recognised by its names may be a link."""
    is_asked = options.header is True or options.source_column or options.target_column
    if is_asked or known_pair(names) is None or not network.labels or isinstance(network.labels[0], int):
        return
    pair = [names[column].strip() for column in columns]
    if pair != ["source", "target"] and is_doubtful_pair(pair, network.labels):
        _doubt(names, "a header, though agents of such names follow", options)


def _doubt(cells: Sequence[str], what: str, options: FileOptions) -> None:
    raise ValueError(
        f"{shown(cells)} may be {what}, or a link. Pass {options.say('header')} to skip this line, or "
        f"{options.say('header', False)}."
    )


def check_other_formats(
    rows: Rows, network: Network, options: FileOptions, line_of: Callable[[str], int]
) -> None:
    """Raise if lines apart by blanks, of which no header names the columns, may be no links."""
    cells, labels = rows[0][1], network.labels

    def column(end: int) -> list[str]:
        return [str(labels[i]) for i in np.unique(network.links[:, end]).tolist()]

    _check_whole_labels(labels, line_of)
    if cells[0].endswith(_AFTER_LABEL) and all(label.endswith(cells[0][-1]) for label in column(0)):
        end = cells[0][-1]
        remedy = options.say("format", "adjacency-list") if end == ":" else options.say("separator", end)
        raise ValueError(f"{shown(cells)}: every first label ends with {end!r}; pass {remedy}, or remove it.")
    if not any(map(str.isalnum, cells[1])) and len(column(1)) == 1:
        raise ValueError(f"{shown(cells)} has {short(cells[1])} between labels; remove it from every line.")
    width = len(cells)
    is_letter = width > 2 and len(cells[0]) == 1 and is_whole(cells[1]) and is_whole(cells[2])
    if is_letter and all(len(label) == 1 and label.isalpha() for label in column(0)):
        raise ValueError(
            f"{shown(cells)} is as in DIMACS files, which are not read: remove the lines that begin with c "
            "or p, and the letter before every link."
        )
    matrix = [row for _, row in rows]
    if len(matrix) == width > 2 and all(len(row) == width and all(map(is_number, row)) for row in matrix):
        is_symmetric = matrix == list(map(list, zip(*matrix, strict=True)))
        if width > 3 or is_symmetric or {cell for row in matrix for cell in row} <= {"0", "1"}:
            _refuse(cells, f"{width} lines of {width} numbers", "adjacency-matrix", options)
    firsts, extras = [row[0] for row in matrix], {cell for row in matrix for cell in row[2:]}
    is_list = len(set(firsts)) == len(firsts) > 1 and extras and extras <= set(map(str, labels))
    if is_list and len(column(0)) == len(network.links):
        _refuse(cells, "every agent begins one line", "adjacency-list", options)


def _refuse(cells: list[str], what: str, form: str, options: FileOptions) -> None:
    raise ValueError(
        f"{shown(cells)}: {what}, so this may be an {form.replace('-', ' ')} or links with weights. Pass "
        f"{options.say('format', form)} in the first case; put a header 'source target weight' before the "
        "lines in the second."
    )


def _check_whole_labels(labels: Sequence, line_of: Callable[[str], int]) -> None:
    """Raise if a label opens a bracket or quote that another closes: one label that blanks cut."""
    is_text = bool(labels) and isinstance(labels[0], str)
    odd = [label for label in labels if not label[0].isalnum()] if is_text else []
    for opening in [x for x in odd if x[0] in _CLOSING and (len(x) == 1 or x[-1] != _CLOSING[x[0]])]:
        end = _CLOSING[opening[0]]
        closing = next((x for x in labels if x.endswith(end) and x[:1] != opening[0]), None)
        if closing is not None:
            raise FileError(
                f"{short(opening)} opens what {short(closing)} closes, so labels hold blanks. Put tabs "
                "between columns, or write the graph with whole numbers as nodes "
                "(networkx.convert_node_labels_to_integers).",
                line_of(opening),
            )
