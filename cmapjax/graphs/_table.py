"""Tables as text (CSV, TSV): cells with their line, and the apostrophes that protect them from
spreadsheets."""

import csv
import io
import re
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from cmapjax.arguments._checks import listed, short
from cmapjax.graphs._file_options import FileOptions
from cmapjax.graphs._files import complaint, detail

_ESCAPED = re.compile(r"'+[=+\-@]")
# Names of the two columns of links, as tables have them; letter case, blanks and punctuation aside.
_ENDS = [("source", "target"), ("from", "to"), ("start", "end")]
_OTHER_ENDS = ["src dst", "src dest", "src tgt", "source destination", "head tail", "sender receiver"]
_STEMS = ("node", "nodeid", "id", "vertex", "agent", "person", "user", "actor", "label", "name")
_PAIRS = [
    *((a + suffix, b + suffix) for suffix in ("", "id", "node", "nodeid") for a, b in _ENDS),
    *(tuple(words.split()) for words in (*_OTHER_ENDS, "giver receiver")),
    *((stem + a, stem + b) for stem in _STEMS for a, b in ("12", "ab")),
]
_WEIGHTS = ("weight", "weights")


def unescape_cell(cell: str) -> str:
    """The text that `escape_cell` wrote."""
    return cell[1:] if _ESCAPED.match(cell) else cell


def folded(name: str) -> str:
    """A column's name without regard to letter case and the blanks around it."""
    return name.strip().casefold()


def with_line_ends(data: bytes) -> bytes:
    """The text, in which a carriage return alone ends lines where nothing else does (as on old machines)."""
    return data if b"\n" in data else data.replace(b"\r", b"\n")


def read_table(path: Path, data: bytes, delimiter: str, line: int = 1) -> Iterator[tuple[int, list[str]]]:
    """The line number and cells of every row that is not blank; the first is the header, on this line or
    below."""
    lines = io.BytesIO(with_line_ends(data))
    rows = csv.reader((row.decode() for row in lines), delimiter=delimiter, strict=True)
    width = None
    while True:
        try:
            row = next(rows, None)
        except csv.Error as error:
            place = line - 1 + rows.line_num
            raise complaint(path, f"not a well-formed table ({detail(error)}).", place) from None
        if row is None:
            return
        if not row:
            continue
        width = len(row) if width is None else width
        if len(row) != width:
            raise complaint(
                path,
                f"{len(row)} cell(s) where the first row has {width}; complete or correct the row.",
                line - 1 + rows.line_num,
            )
        yield line - 1 + rows.line_num, row


def check_header(
    path: Path,
    header: Sequence[str],
    required: Sequence[str],
    line: int | None = 1,
    *,
    used: Collection[str] | None = None,
) -> None:
    """Raise unless every required column is there, and none that is used twice.

    Args:
        path: the table.
        header: its columns.
        required: those that must be there.
        line: where the header stands.
        used: all that will be looked at; by default every one.
    """
    missing = [name for name in required if name not in header]
    if missing:
        raise complaint(
            path,
            f"no column {listed(missing)} (found {listed(header)}); the first row must name the columns.",
            line,
        )
    twice = sorted({name for name in header if header.count(name) > 1 and (used is None or name in used)})
    if twice:
        raise complaint(path, f"column {short(twice[0])} occurs twice; name every column once.", line)


def known_pair(names: Sequence[str]) -> tuple[int, int] | None:
    """Where the two columns of links stand, if the names of one known pair are there, each once."""
    bare = [_bare(name) for name in names]
    found = [pair for pair in _PAIRS if all(bare.count(name) == 1 for name in pair)]
    # Source and target take precedence. Between two other pairs the reader would have to guess.
    if not found or (len(found) > 1 and found[0] != _PAIRS[0]):
        return None
    return bare.index(found[0][0]), bare.index(found[0][1])


def is_doubtful_pair(names: Sequence[str], labels: Collection[str]) -> bool:
    """Whether the two names of a known pair may be agents: they recur, or others like node3 are agents."""
    if any(name.strip() in labels for name in names):
        return True
    stem = _bare(names[0])[:-1]
    return stem in _STEMS and any(
        _bare(label).startswith(stem) and _bare(label)[len(stem) :].isdecimal() for label in labels
    )


def column_of_weights(names: Sequence[str]) -> int | None:
    """Where the weights of links stand, if a column is called so."""
    return next((i for i, name in enumerate(names) if folded(name) in _WEIGHTS), None)


def link_columns(
    path: Path, names: Sequence[str] | None, width: int, options: FileOptions, line: int | None
) -> tuple[int, int]:
    """Which two columns hold the ends of links: those of the options, else a known pair or the first two.

    Args:
        path: the table.
        names: what its header calls the columns; None if there is no header, and columns have numbers.
        width: how many columns there are.
        options: which columns are asked for.
        line: where the header or the first row stands.

    Raises:
        ValueError: columns that are not there or there twice, saying which ones are.
    """
    asked = (options.source_column, options.target_column)
    if width < 2 and (names is None or None in asked):
        cell = "" if names is None else f" {short(names[0])}"
        raise complaint(
            path,
            f"one column{cell}, but a link has two ends; say what stands between columns with "
            f"{options.say('separator', 'CHARACTER')}.",
            line,
        )
    if names is None:
        source, target = (_numbered(path, end, name, width, options, line) for end, name in enumerate(asked))
    else:
        pair = known_pair(names)
        if pair is None and None in asked:
            raise _no_pair(path, names, options, line)
        source, target = (
            pair[end] if name is None else _column(path, names, name, line) for end, name in enumerate(asked)
        )
    if source == target:
        column = source + 1 if names is None else short(names[source])
        raise complaint(path, f"column {column} cannot hold both ends of a link; name two columns.", line)
    return source, target


def _no_pair(path: Path, names: Sequence[str], options: FileOptions, line: int | None) -> ValueError:
    for name in _PAIRS[0]:
        if [folded(other) for other in names].count(name) > 1:
            return complaint(path, f"column {name!r} occurs twice; name every column once.", line)
    return complaint(
        path,
        f"no columns source and target (found {listed(names)}); name them with "
        f"{options.say('source_column', 'NAME')} and {options.say('target_column', 'NAME')}, "
        f"or pass {options.say('header', False)} if there is no header.",
        line,
    )


def _numbered(path: Path, end: int, name: str | None, width: int, options: FileOptions, line) -> int:
    """The column of one end in a table without a header, by number from 1; else the first or second."""
    number = str(end + 1) if name is None else name
    if not (number.isdecimal() and len(number) <= 9 and 1 <= int(number) <= width):
        raise complaint(
            path,
            f"{options.say(('source_column', 'target_column')[end], name)} is no column of a table without a "
            f"header; give a number from 1 to {width}.",
            line,
        )
    return int(number) - 1


def _column(path: Path, names: Sequence[str], name: str, line: int | None) -> int:
    """Where the column of this name stands: written exactly so, or else without regard to case and blanks."""
    for spell in (str, folded):
        places = [i for i, other in enumerate(names) if spell(other) == spell(name)]
        if len(places) > 1:
            raise complaint(
                path, f"column {short(name)} occurs {len(places)} times; name every column once.", line
            )
        if places:
            return places[0]
    raise complaint(path, f"no column {short(name)} (found {listed(names)}); name one of these.", line)


def _bare(name: str) -> str:
    return "".join(c for c in name.casefold() if c.isalnum())
