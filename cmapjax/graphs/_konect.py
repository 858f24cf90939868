"""Networks of the KONECT collection: files named out.*, whose first line says what kind of links they
hold."""

import io
from array import array
from pathlib import Path

import numpy as np

from cmapjax.arguments._checks import short
from cmapjax.graphs._directions import links_of
from cmapjax.graphs._file_options import FileOptions
from cmapjax.graphs._files import complaint, naming
from cmapjax.graphs._network import COLUMNS, WEIGHTS, Network, numbered_network

_KINDS = ("sym", "asym", "bip")
_COMING_AND_GOING = "dynamic"
_MOST_DIGITS = 18  # such numbers fit int64


def read_konect(path: Path, data: bytes, options: FileOptions) -> Network:
    """The network of a KONECT file: two numbers a line, perhaps followed by a weight and a time.

    The first line is `% sym`, `% asym` or `% bip` and the kind of weights. The links of an asymmetric network
    are directed. The two sides of a bipartite one are numbered separately, and agents are called left-1,
    right-1 and so on. In other networks agents keep their numbers, in ascending order.
    """
    lines = iter(enumerate(io.BytesIO(data), 1))
    _, first = next(lines)
    words = first.decode().lower().split()
    words = words[1:] if words[:1] == ["%"] else [words[0].lstrip("%"), *words[1:]] if words else []
    if not first.startswith(b"%") or not words or words[0] not in _KINDS:
        raise complaint(
            path, "does not begin '% sym', '% asym' or '% bip', as KONECT's files do; is it one of them?", 1
        )
    if _COMING_AND_GOING in words:
        raise complaint(path, "is dynamic, its links come and go; write those of one moment as a list.", 1)
    declared, ends, weights, times, total = 0, array("q"), 0, 0, 0.0
    for line, text in lines:
        cells = text.split()
        if text.startswith(b"%"):
            sizes = text[1:].split()
            if line == 2 and sizes and sizes[0].isdigit():
                declared = int(sizes[0][:_MOST_DIGITS])
            continue
        if cells and not 2 <= len(cells) <= 4:
            raise complaint(path, f"{len(cells)} columns; a link has two numbers, a weight and a time.", line)
        ends.extend(_number(path, cell, line) for cell in cells[:2])
        weights += len(cells) > 2
        times += len(cells) > 3
        total += _weight(path, cells[2], line) if len(cells) > 2 else bool(cells)
    links = np.frombuffer(ends, np.int64).reshape(-1, 2) if ends else np.zeros((0, 2), np.int64)
    if max(len(links), total) < declared:
        raise complaint(
            path, f"{len(links):,} links, but {declared:,} are declared; fetch the file again.", line
        )
    notes = {WEIGHTS: weights, COLUMNS: times}
    if words[0] == "bip":
        return _two_sides(links, notes)
    network = numbered_network(links, notes)
    if words[0] == "asym":
        with naming(path):
            links = links_of(network.links, options, "directed link", network.labels.__getitem__)
        network = network._replace(links=links)
    elif options.directed:
        raise complaint(path, f"is symmetric, as '% sym' says; leave out {options.say('directed')}.", 1)
    return network


def _two_sides(links: np.ndarray, notes: dict[str, int]) -> Network:
    left, givers = np.unique(links[:, 0], return_inverse=True)
    right, receivers = np.unique(links[:, 1], return_inverse=True)
    labels = [f"left-{i}" for i in left.tolist()] + [f"right-{i}" for i in right.tolist()]
    return Network(np.stack([givers, len(left) + receivers], axis=1), labels, notes=notes)


def _number(path: Path, cell: bytes, line: int) -> int:
    if not cell.isdigit() or len(cell) > _MOST_DIGITS or (cell[:1] == b"0" and len(cell) > 1):
        raise complaint(path, f"{short(cell.decode())} is not a whole number 1, 2, …; correct it.", line)
    return int(cell)


def _weight(path: Path, cell: bytes, line: int) -> float:
    try:
        return float(cell)
    except ValueError:
        raise complaint(path, f"weight {short(cell.decode())} is not a number; correct it.", line) from None
