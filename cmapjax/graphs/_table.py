"""Tables as text (CSV, TSV): cells with their line, and the apostrophes that protect them from
spreadsheets."""

import csv
import io
import re
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from cmapjax.arguments._checks import listed, short
from cmapjax.graphs._file_options import FileOptions
from cmapjax.graphs._files import FileError, detail, format_and_packing, read_bytes

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


def unescape_cell(cell: str) -> str:
    """The text that `escape_cell` wrote."""
    return cell[1:] if _ESCAPED.match(cell) else cell


def folded(name: str) -> str:
    """A column's name without regard to letter case and the blanks around it."""
    return name.strip().casefold()


def with_line_ends(data: bytes) -> bytes:
    """The text, in which a carriage return alone ends lines where nothing else does (as on old machines)."""
    return data if b"\n" in data else data.replace(b"\r", b"\n")


def table_in(path: Path, options: FileOptions) -> Iterator[tuple[int, list[str]]]:
    """`read_table` of a CSV or TSV file, plain or compressed."""
    delimiter, packing = format_and_packing(path, {".csv": ",", ".tsv": "\t"})
    return read_table(read_bytes(path, options.budget, packing=packing), delimiter)


def read_table(data: bytes, delimiter: str, line: int = 1) -> Iterator[tuple[int, list[str]]]:
    """The line number and cells of every row that is not blank; the text begins on this line."""
    lines = io.BytesIO(with_line_ends(data))
    rows = csv.reader((row.decode() for row in lines), delimiter=delimiter, strict=True)
    width = None
    try:
        for row in filter(None, rows):
            place, width = line - 1 + rows.line_num, width or len(row)
            if len(row) != width:
                message = f"{len(row)} cell(s) where the first row has {width}; complete or correct the row."
                raise FileError(message, place)
            yield place, row
    except csv.Error as error:
        raise FileError(f"not a well-formed table ({detail(error)}).", line - 1 + rows.line_num) from None


def check_header(header: Sequence[str], required: Sequence[str], used: Collection[str]) -> None:
    """Raise unless every required column is there, and none of the used ones twice."""
    missing = [name for name in required if name not in header]
    if missing:
        raise ValueError(
            f"no column {listed(missing)} (found {listed(header)}); the first row must name the columns."
        )
    twice = sorted({name for name in header if header.count(name) > 1 and name in used})
    if twice:
        raise ValueError(f"column {short(twice[0])} occurs twice; name every column once.")


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


def link_columns(names: Sequence[str] | None, width: int, options: FileOptions) -> tuple[int, int]:
    """Which two columns hold the ends of links: those of the options, else a known pair or the first two.

    `names` is None where there is no header; columns then have numbers.
    """
    asked = (options.source_column, options.target_column)
    if width < 2 and (names is None or None in asked):
        cell = "" if names is None else f" {short(names[0])}"
        raise ValueError(
            f"one column{cell}, but a link has two ends; say what stands between columns with "
            f"{options.say('separator', 'CHARACTER')}."
        )
    if names is None:
        source, target = (_numbered(end, name, width, options) for end, name in enumerate(asked))
    else:
        pair = known_pair(names)
        if pair is None and None in asked:
            _refuse_names(names, options)
        source, target = (
            pair[end] if name is None else _column(names, name) for end, name in enumerate(asked)
        )
    if source == target:
        column = source + 1 if names is None else short(names[source])
        raise ValueError(f"column {column} cannot hold both ends of a link; name two columns.")
    return source, target


def _refuse_names(names: Sequence[str], options: FileOptions) -> None:
    for name in _PAIRS[0]:
        if [folded(other) for other in names].count(name) > 1:
            raise ValueError(f"column {name!r} occurs twice; name every column once.")
    raise ValueError(
        f"no columns source and target (found {listed(names)}); name them with "
        f"{options.say('source_column', 'NAME')} and {options.say('target_column', 'NAME')}, "
        f"or pass {options.say('header', False)} if there is no header."
    )


def _numbered(end: int, name: str | None, width: int, options: FileOptions) -> int:
    """The column of one end in a table without a header, by number from 1; else the first or second."""
    number = str(end + 1) if name is None else name
    if not (number.isdecimal() and len(number) <= 9 and 1 <= int(number) <= width):
        raise ValueError(
            f"{options.say(('source_column', 'target_column')[end], name)} is no column of a table without a "
            f"header; give a number from 1 to {width}."
        )
    return int(number) - 1


def _column(names: Sequence[str], name: str) -> int:
    """Where the column of this name stands: written exactly so, or else without regard to case and blanks."""
    for spell in (str, folded):
        places = [i for i, other in enumerate(names) if spell(other) == spell(name)]
        if len(places) > 1:
            raise ValueError(f"column {short(name)} occurs {len(places)} times; name every column once.")
        if places:
            return places[0]
    raise ValueError(f"no column {short(name)} (found {listed(names)}); name one of these.")


def _bare(name: str) -> str:
    return "".join(c for c in name.casefold() if c.isalnum())
