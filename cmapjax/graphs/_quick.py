"""Text of many equal lines, taken apart by NumPy in blocks.

Each function returns None where a line is not as all others; the reader then goes line by line, which says
what is wrong and where.
"""

import re
from collections.abc import Iterator

import numpy as np
from jaxtyping import Int

_BLOCK = 1 << 24  # bytes of numbers processed together, which bounds the arrays to a few hundred MiB
_CELLS = 1 << 20  # likewise of text, whose cells take more
_ZERO_BEFORE = re.compile(rb"(?:^| )0[0-9]")
_MAX_NUMBER = 10**18  # numbers of up to 18 digits fit int64


def blocks(data: bytes, size: int | None = None) -> Iterator[bytes]:
    """The text in pieces of whole lines, of about this many bytes (by default, as suits cells of text)."""
    start = 0
    while start < len(data):
        end = data.find(b"\n", start + (size or _CELLS)) + 1 or len(data)
        yield data[start:end]
        start = end


def cells_of(block: bytes, width: int, separator: bytes | None) -> list[bytes] | None:
    """The cells of a block, row after row, if every line has exactly so many.

    Args:
        block: whole lines.
        width: how many cells a line must have.
        separator: one byte; or None for blanks and tabs, any number of them.
    """
    text = np.frombuffer(block, np.uint8)
    if separator is None:
        is_whole = _word_starts(text, text > ord(" "), width) is not None
        return block.split() if is_whole else None
    if len(separator) > 1:  # a character of several bytes
        return None
    if b"\r" in block:
        block = block.replace(b"\r\n", b"\n")
        text = np.frombuffer(block, np.uint8)
    is_newline = text == ord("\n")
    is_end = is_newline[is_newline | (text == separator[0])]
    if not block.endswith(b"\n"):
        is_end = np.append(is_end, True)
    if len(is_end) % width or not (is_end.reshape(-1, width) == (np.arange(width) == width - 1)).all():
        return None
    return block.removesuffix(b"\n").replace(b"\n", separator).split(separator)


def whole_numbers(cells: list[bytes]) -> Int[np.ndarray, "cells"] | None:
    """The cells as numbers, if all of them are whole numbers, written plainly."""
    text = b" ".join(cells)
    if text.translate(None, b"0123456789 ") or b"  " in text or _ZERO_BEFORE.search(text):
        return None
    number = np.fromstring(text, np.int64, sep=" ")
    return number if len(number) == len(cells) and number.max() < _MAX_NUMBER else None


def whole_pairs(data: bytes, separator: bytes | None = None) -> Int[np.ndarray, "links 2"] | None:
    """The pairs in a text of which every line is two whole numbers, written plainly (0, 17; not 01)."""
    pairs = []
    for block in blocks(data, _BLOCK):
        found = _block_pairs(block, separator)
        if found is None:
            return None
        pairs.append(found)
    return np.concatenate(pairs) if pairs else None


def _block_pairs(block: bytes, separator: bytes | None) -> np.ndarray | None:
    gaps = b"\t " if separator is None else separator
    if block.translate(None, b"0123456789\r\n" + gaps):
        return None
    text = np.frombuffer(block, np.uint8)
    is_digit = text >= ord("0")
    starts = _word_starts(text, is_digit, 2)
    if starts is None:
        return None
    zeros = starts[text[starts] == ord("0")]
    if np.any(is_digit[np.minimum(zeros + 1, len(text) - 1)] & (zeros + 1 < len(text))):
        return None
    # One separator to a link of a table: "1,,2" is three cells, not two.
    if separator is not None and block.count(separator) != len(starts) // 2:
        return None
    is_blank = separator is None or separator.isspace()  # NumPy takes tabs for blanks
    number = np.fromstring(block if is_blank else block.replace(separator, b" "), np.int64, sep=" ")
    # NumPy returns the largest int64 for numbers that do not fit.
    return None if number.max() >= _MAX_NUMBER else number.reshape(-1, 2)


def _word_starts(text: np.ndarray, is_inside: np.ndarray, width: int) -> np.ndarray | None:
    """Where words start, given which characters are inside one, if every line has `width` words or none."""
    is_start = is_inside.copy()
    np.greater(is_inside[1:], is_inside[:-1], out=is_start[1:])
    is_newline = text == ord("\n")
    events = np.flatnonzero(is_start | is_newline)
    is_end = is_newline[events]
    starts = events[~is_end]
    is_blank_line = is_end & np.concatenate([[True], is_end[:-1]])
    pattern = is_end[~is_blank_line]  # word, …, word, line end, word, …
    if len(pattern) and not pattern[-1]:
        pattern = np.append(pattern, True)
    rows = pattern.reshape(-1, width + 1) if len(pattern) % (width + 1) == 0 else None
    is_regular = rows is not None and not rows[:, :width].any() and rows[:, width].all()
    return starts if is_regular and len(starts) else None


def decoded(cells: list) -> list[str]:
    """Cells as text."""
    return [cell.decode() if isinstance(cell, bytes) else cell for cell in cells]
