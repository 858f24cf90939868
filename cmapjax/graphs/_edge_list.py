"""Links as lines of text (SNAP edge lists): read quickly if every line is plain, else by `_link_lines`."""

import re
from array import array
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from jaxtyping import Int

from cmapjax.graphs._file_options import FileOptions
from cmapjax.graphs._files import complaint
from cmapjax.graphs._labels import as_labels, check_label, is_whole, same_number
from cmapjax.graphs._line_shapes import COUNTED, is_number
from cmapjax.graphs._link_lines import could_be_counts, counts_links, is_plain_comment, read_lines
from cmapjax.graphs._network import COMMENTS, HEADER, WEIGHTS, Network
from cmapjax.graphs._numbering import numbered
from cmapjax.graphs._table import is_doubtful_pair, known_pair

_CONTROL = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]|\r(?!\n)")
_CONTROLS = bytes(set(range(32)) - set(b"\t\n\r") | {127})
_COMMENT = re.compile(rb"(?m)^[ \t]*[#%].*$")
# A label that begins or ends with one of these may be part of a longer label, or not part of a link.
_ODD_START = tuple("#%*([{\"'")
_ODD_END = tuple(")]}\"',;:")
# Two labels and a number.
_WEIGHTED = re.compile(
    rb"(?m)^[ \t]*(\S+)[ \t]+(\S+)[ \t]+[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?[ \t\r]*$"
)
_BLOCK = 1 << 24  # bytes processed together, which bounds the working arrays to a few hundred MiB
_MAX_NUMBER = 10**18  # numbers of up to 18 digits fit int64; `_link_lines` reads longer ones


def read_edge_list(path: Path, data: bytes, options: FileOptions) -> Network:
    """The network of a SNAP edge list: two labels a line, apart by tabs or blanks.

    Blank lines and comments are skipped: lines that begin with # or % and a blank, or so without a blank
    but with another number of columns than links have. Agents are in ascending order where all labels are
    whole numbers, else in the order in which they first appear.

    Raises:
        ValueError: lines that may or may not be links; what `_link_lines` refuses.
    """
    # Counting is ten times as fast as searching, so that the search is needed for the first match only.
    is_plain = len(data.translate(None, _CONTROLS)) == len(data) and data.count(b"\r") == data.count(b"\r\n")
    control = None if is_plain else _CONTROL.search(data)
    if control:
        raise complaint(
            path,
            f"control character {control[0].decode()!r}; is this a text file? Save it as plain text.",
            data.count(b"\n", 0, control.start()) + 1,
        )
    return _quickly(data, options) or read_lines(path, data, options)


def _quickly(data: bytes, options: FileOptions) -> Network | None:
    """The network of a text in which every line is plainly a comment or a link, or None."""
    if not (options.separator is options.source_column is options.target_column is None):
        return None
    links, num_comments = _without_comments(data)
    if links is None:
        return None
    header, links = _header(links, options)
    notes = {COMMENTS: num_comments, HEADER: int(header is not None)}
    if header is None and _has_weight(links):
        if options.header is True:
            return None  # a header of three cells, whatever they are
        return _weighted(links, options, notes)
    return _pairs(links, header, options, notes)


def _pairs(links: bytes, header, options: FileOptions, notes: dict[str, int]) -> Network | None:
    """The network of a text of which every line is two labels, or None if `_link_lines` must read it."""
    pairs = integer_pairs(links)
    if pairs is None:
        return _text_pairs(links, header, options, notes)
    is_doubtful = options.header is None and header is None and could_be_counts(pairs)
    return None if is_doubtful else numbered(pairs, notes)


def _has_weight(links: bytes) -> bool:
    cells = links.lstrip().partition(b"\n")[0].split()
    return len(cells) == 3 and is_number(cells[2])


def _weighted(links: bytes, options: FileOptions, notes: dict[str, int]) -> Network | None:
    """Likewise of a text of which every line is two labels and a number, which is left out."""
    pairs, num_links = _without_weights(links)
    network = _pairs(pairs, None, options, notes | {WEIGHTS: num_links})
    if network is None or len(network.links) != num_links:
        return None
    first, second = (np.unique(ends) for ends in network.links.T)
    # Few lines may be a matrix. Lines that all begin with different labels may be adjacency lists, and lines
    # that begin with a letter DIMACS. A second label that is always the same may be an arrow; a first line
    # may be counts.
    is_letters = all(len(label := str(network.labels[i])) == 1 and label.isalpha() for i in first.tolist())
    is_other = num_links < 4 or len(first) == num_links or len(second) == 1 or is_letters
    is_tabbed = b"\t" in links and not isinstance(network.labels[0], int)
    if is_other or is_tabbed or counts_links([_first_weight(links)], num_links - 1):
        return None
    return network


def _without_weights(links: bytes) -> tuple[bytes, int]:
    """The lines without the number behind their labels, and how many had one."""
    blocks = [_WEIGHTED.subn(rb"\1 \2", block) for block in _blocks(links)]
    return b"".join(block for block, _ in blocks), sum(number for _, number in blocks)


def _first_weight(links: bytes) -> float:
    return float(links.lstrip().partition(b"\n")[0].split()[2])


def _without_comments(data: bytes) -> tuple[bytes | None, int]:
    """The lines that are no comments, and how many are; None if one may be a link after all."""
    start = number = 0
    while comment := _COMMENT.match(data, start):  # at the head, where most files have them all
        if not is_plain_comment(comment[0]):
            return None, 0
        start = comment.end() + 1
        number += 1
    data = data[start:]
    if b"#" in data or b"%" in data:
        if not all(is_plain_comment(comment[0]) for comment in _COMMENT.finditer(data)):
            return None, 0
        data, more = _COMMENT.subn(b"", data)
        number += more
    return data, number


def _header(data: bytes, options: FileOptions) -> tuple[list[str] | None, bytes]:
    """The names in the first line, if it is a header of two columns for certain, and the lines after it."""
    if options.header is False:
        return None, data
    first, _, rest = data.lstrip().partition(b"\n")
    names = first.decode().split()
    is_header = options.header is True or known_pair(names) is not None
    return (names, rest) if is_header and len(names) == 2 else (None, data)


def _text_pairs(links: bytes, header, options: FileOptions, notes: dict[str, int]) -> Network | None:
    """Likewise where labels are text."""
    number_of: dict[bytes, int] = {}
    ends = array("q")
    for block in _blocks(links):
        text = np.frombuffer(block, np.uint8)
        if _pair_starts(text, text > ord(" ")) is None:  # control characters are out
            return None
        ends.extend([number_of.setdefault(label, len(number_of)) for label in block.split()])
    labels = [label.decode() for label in number_of]
    if not labels or not all(_is_plain(label) for label in labels) or same_number(labels):
        return None
    if header is not None and options.header is None and is_doubtful_pair(header, set(labels)):
        return None
    if header is None and options.header is None and not _begins_with_link(labels, number_of, ends):
        return None
    agents = as_labels(labels)
    pairs = np.frombuffer(ends, np.int64).reshape(-1, 2)
    if isinstance(agents[0], int):
        return numbered(np.array(agents, np.int64)[pairs], notes)
    return Network(pairs, agents, notes=notes)


def _begins_with_link(labels: list[str], number_of: dict, ends: array) -> bool:
    """Whether the first line is a link for certain: neither a header nor counts."""
    if all(is_whole(label) for label in labels):
        return False  # more than 18 digits; `_link_lines` decides
    first = [labels[end] for end in ends[:2]]
    if all(is_whole(label) for label in first):
        return False
    if any(is_number(label.encode()) for label in first):
        return True
    # A first line of text may be a header where every other label is a whole number.
    return not all(is_whole(label) for label in labels[len(set(first)) :]) or len(ends) == 2


def _is_plain(label: str) -> bool:
    """Whether a label is certainly one, whole and alone."""
    if label.startswith(_ODD_START) or label.endswith(_ODD_END) or label.rstrip("=").casefold() in COUNTED:
        return False
    try:
        check_label(label)
    except ValueError:
        return False
    return True


def integer_pairs(data: bytes, delimiter: bytes | None = None) -> Int[np.ndarray, "links 2"] | None:
    """The pairs in a text of which every line is two plain whole numbers, or None if any is not.

    After None the line-by-line reader takes over, which alone decides and raises errors.
    """
    pairs = []
    for block in _blocks(data):
        found = _block_pairs(block, delimiter)
        if found is None:
            return None
        pairs.append(found)
    return np.concatenate(pairs) if pairs else None


def _blocks(data: bytes) -> Iterator[bytes]:
    """The text in pieces of whole lines."""
    start = 0
    while start < len(data):
        end = data.find(b"\n", start + _BLOCK) + 1 or len(data)
        yield data[start:end]
        start = end


def _block_pairs(block: bytes, delimiter: bytes | None) -> np.ndarray | None:
    gaps = b"\t " if delimiter is None else delimiter
    if block.translate(None, b"0123456789\r\n" + gaps):
        return None
    text = np.frombuffer(block, np.uint8)
    is_digit = text >= ord("0")
    starts = _pair_starts(text, is_digit)
    if starts is None:
        return None
    zeros = starts[text[starts] == ord("0")]
    if np.any(is_digit[np.minimum(zeros + 1, len(text) - 1)] & (zeros + 1 < len(text))):
        return None
    # One delimiter to a link of a table: "1,,2" is three cells, not two.
    if delimiter is not None and block.count(delimiter) != len(starts) // 2:
        return None
    number = np.fromstring(block if delimiter is None else block.replace(delimiter, b" "), np.int64, sep=" ")
    # NumPy returns the largest int64 for numbers that do not fit.
    return None if number.max() >= _MAX_NUMBER else number.reshape(-1, 2)


def _pair_starts(text: np.ndarray, is_inside: np.ndarray) -> np.ndarray | None:
    """Where words start, given which characters are inside one, or None unless every line has none or two."""
    is_start = is_inside.copy()
    np.greater(is_inside[1:], is_inside[:-1], out=is_start[1:])
    is_newline = text == ord("\n")
    events = np.flatnonzero(is_start | is_newline)
    is_end = is_newline[events]
    starts = events[~is_end]
    is_blank_line = is_end & np.concatenate([[True], is_end[:-1]])
    pattern = is_end[~is_blank_line]  # word, word, line end, word, word, …
    is_paired = not pattern[::3].any() and not pattern[1::3].any() and pattern[2::3].all()
    return starts if is_paired and len(starts) and len(pattern) % 3 != 1 else None
