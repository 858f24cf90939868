"""Tables as text (CSV, TSV): cells with their line, and cells that no spreadsheet takes for a formula."""

import csv
import io
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from cmapjax._checks import listed, short
from cmapjax.graphs._files import complaint, detail

_ESCAPED = re.compile(r"'+[=+\-@]")


def unescape_cell(cell: str) -> str:
    """The text that `escape_cell` wrote."""
    return cell[1:] if _ESCAPED.match(cell) else cell


def read_table(path: Path, data: bytes, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """The line number and cells of every row that is not blank; the first is the header."""
    rows = csv.reader(io.StringIO(data.decode(), newline=""), delimiter=delimiter, strict=True)
    width = None
    while True:
        try:
            row = next(rows, None)
        except csv.Error as error:
            raise complaint(path, f"not a well-formed table ({detail(error)}).", rows.line_num) from None
        if row is None:
            return
        if not row:
            continue
        width = len(row) if width is None else width
        if len(row) != width:
            raise complaint(
                path,
                f"{len(row)} cell(s) where the header names {width}; complete or correct the row.",
                rows.line_num,
            )
        yield rows.line_num, row


def check_header(path: Path, header: Sequence[str], required: Sequence[str], line: int | None = 1) -> None:
    """Raise unless every required column is there, and none of them twice."""
    missing = [name for name in required if name not in header]
    if missing:
        raise complaint(
            path,
            f"no column {listed(missing)} (found {listed(header)}); the first row must name the columns.",
            line,
        )
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice:
        raise complaint(path, f"column {short(twice[0])} occurs twice; name every column once.", line)
