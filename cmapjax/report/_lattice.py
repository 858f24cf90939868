"""Which cells belong to which choice of values on some axes."""

import itertools
from typing import NamedTuple

import numpy as np
import pandas as pd

from cmapjax.plots._tables import levels

ALL = -1  # any value of an axis


class Axis(NamedTuple):
    """An axis of several values: its name, these (or ranges of them) and the place of every cell."""

    name: str
    levels: list[str]
    place: np.ndarray


def axes_of(cells: pd.DataFrame, names: list[str], notes: list[str]) -> list[Axis]:
    """The axes of these names that have several values; ranges in place of many values are noted."""
    found = []
    for name in names:
        labels, place = levels(cells[name])
        if len(labels) < (distinct := cells[name].nunique()):
            notes.append(f"The {distinct:,} values of {name} are put into {len(labels)} ranges.")
        if len(labels) > 1:
            found.append(Axis(name, labels, np.asarray(place)))
    return found


def lattice(axes: list[Axis], number: int, most: int) -> tuple[dict[tuple[int, ...], np.ndarray], int]:
    """The cells of every choice of values on some of the axes, any value on the others.

    Args:
        axes: of the cells.
        number: of cells.
        most: choices; with more of them fewer axes at a time have a value chosen.

    Returns:
        Numbers of cells by choice (a level or `ALL` per axis; choices without a cell are left out), and how
        many axes at a time have a value chosen.
    """
    places = np.array([axis.place for axis in axes], int).reshape(len(axes), number).T
    found = {(ALL,) * len(axes): np.arange(number)}
    for depth in range(1, len(axes) + 1):
        layer = {}
        for fixed in itertools.combinations(range(len(axes)), depth):
            rows, which = np.unique(places[:, fixed], axis=0, return_inverse=True)
            if len(found) + len(layer) + len(rows) > most:
                return found, depth - 1
            for k, row in enumerate(rows.tolist()):
                chosen = dict(zip(fixed, row, strict=True))
                key = tuple(chosen.get(axis, ALL) for axis in range(len(axes)))
                layer[key] = np.flatnonzero(which.ravel() == k)
        found |= layer
    return found, len(axes)


def key_text(key: tuple[int, ...]) -> str:
    """A choice as the page's script writes it."""
    return ",".join(map(str, key))
