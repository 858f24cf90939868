"""Comments of edge lists, and characters that no text file holds."""

import re
from pathlib import Path

from cmapjax.graphs._doubts import MARKS, is_number, is_plain_comment
from cmapjax.graphs._files import complaint
from cmapjax.graphs._quick import decoded
from cmapjax.graphs._table import known_pair

_CONTROL = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]|\r(?!\n)")
_CONTROLS = bytes(set(range(32)) - set(b"\t\n\r") | {127})
_COMMENT = re.compile(rb"(?m)^[ \t]*[#%].*$")


def check_control(path: Path, data: bytes) -> None:
    """Raise ValueError for a control character, which text has none of."""
    # Counting is ten times as fast as searching, so that the search is needed for the first match only.
    if len(data.translate(None, _CONTROLS)) == len(data) and data.count(b"\r") == data.count(b"\r\n"):
        return
    control = _CONTROL.search(data)
    raise complaint(
        path,
        f"control character {control[0].decode()!r}; is this a text file? Save it as plain text.",
        data.count(b"\n", 0, control.start()) + 1,
    )


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
            names = decoded(row.lstrip(b"#%").split())
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
