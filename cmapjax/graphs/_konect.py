"""Networks of the KONECT collection: files named out.*, whose first line says what kind of links they
hold."""

import io
from array import array

import numpy as np

from cmapjax.arguments._checks import short
from cmapjax.graphs._directions import links_of
from cmapjax.graphs._doubts import is_number
from cmapjax.graphs._file_options import FileOptions
from cmapjax.graphs._files import FileError, on_line
from cmapjax.graphs._network import Network, Note, numbered_network

_KINDS = ("sym", "asym", "bip")
_COMING_AND_GOING = "dynamic"
_MOST_DIGITS = 18  # such numbers fit int64


def read_konect(data: bytes, options: FileOptions) -> Network:
    """The network of a KONECT file: two numbers a line, perhaps followed by a weight and a time.

    The first line is `% sym`, `% asym` or `% bip` and the kind of weights. The links of an asymmetric network
    are directed. The two sides of a bipartite one are numbered separately, and agents are called left-1,
    right-1 and so on. In other networks agents keep their numbers, in ascending order.
    """
    lines = enumerate(io.BytesIO(data), 1)
    _, first = next(lines)
    words = first.decode().lower().removeprefix("%").split() if first.startswith(b"%") else []
    if not words or words[0] not in _KINDS:
        raise FileError(
            "does not begin '% sym', '% asym' or '% bip', as KONECT's files do; is it one of them?", 1
        )
    if _COMING_AND_GOING in words:
        raise FileError("is dynamic, its links come and go; write those of one moment as a list.", 1)
    declared, ends, weights, times, total = 0, array("q"), 0, 0, 0.0
    for line, text in lines:
        cells = text.split()
        if text.startswith(b"%"):
            sizes = text[1:].split()
            if line == 2 and sizes and sizes[0].isdigit():
                declared = int(sizes[0][:_MOST_DIGITS])
            continue
        if cells and not 2 <= len(cells) <= 4:
            raise FileError(f"{len(cells)} columns; a link has two numbers, a weight and a time.", line)
        with on_line(line):
            ends.extend(map(_number, cells[:2]))
            total += _weight(cells[2]) if len(cells) > 2 else bool(cells)
        weights += len(cells) > 2
        times += len(cells) > 3
    links = np.frombuffer(ends, np.int64).reshape(-1, 2) if ends else np.zeros((0, 2), np.int64)
    if max(len(links), total) < declared:
        raise FileError(f"{len(links):,} links, but {declared:,} are declared; fetch the file again.", line)
    notes = {Note.WEIGHTS: weights, Note.COLUMNS: times}
    if words[0] == "bip":
        return _two_sides(links, notes)
    network = numbered_network(links, notes)
    if words[0] == "asym":
        links = links_of(network.links, options, "directed link", network.labels.__getitem__)
        return network._replace(links=links)
    if options.directed:
        raise FileError(f"is symmetric, as '% sym' says; leave out {options.say('directed')}.", 1)
    return network


def _two_sides(links: np.ndarray, notes: dict[str, int]) -> Network:
    left, givers = np.unique(links[:, 0], return_inverse=True)
    right, receivers = np.unique(links[:, 1], return_inverse=True)
    labels = [f"left-{i}" for i in left.tolist()] + [f"right-{i}" for i in right.tolist()]
    return Network(np.stack([givers, len(left) + receivers], axis=1), labels, notes)


def _number(cell: bytes) -> int:
    if not cell.isdigit() or len(cell) > _MOST_DIGITS or (cell[:1] == b"0" and len(cell) > 1):
        raise ValueError(f"{short(cell.decode())} is not a whole number 1, 2, …; correct it.")
    return int(cell)


def _weight(cell: bytes) -> float:
    if not is_number(cell):
        raise ValueError(f"weight {short(cell.decode())} is not a number; correct it.")
    return float(cell)
