"""Agents numbered as their labels come, in edge lists and tables of links."""

from array import array
from pathlib import Path

import numpy as np
from jaxtyping import Int

from cmapjax.graphs._files import complaint
from cmapjax.graphs._labels import as_labels, check_label, check_numbers
from cmapjax.graphs._network import BLANKS, Network


class Agents:
    """Numbers labels in order of appearance, and checks each label where it first appears."""

    def __init__(self, path: Path):
        self.path = path
        self.texts: dict[str, int] = {}
        self.lines = array("q")
        self.num_stripped = 0
        self._number_of: dict[bytes | str, int] = {}

    def number(self, label: bytes | str, line: int) -> int:
        """The number of the agent of this label, blanks around it cut off.

        Raises:
            ValueError: what no label may be.
        """
        number = self._number_of.get(label)
        return self._new(label, line) if number is None else number

    def _new(self, label: bytes | str, line: int) -> int:
        text = label.decode() if isinstance(label, bytes) else label
        stripped = text.strip()
        self.num_stripped += stripped != text
        try:
            check_label(stripped)
        except ValueError as error:
            raise complaint(self.path, str(error), line) from None
        number = self._number_of[label] = self.texts.setdefault(stripped, len(self.texts))
        if number == len(self.lines):
            self.lines.append(line)
        return number

    def checked(self) -> list[str]:
        """All labels, in the order of their first appearance.

        Raises:
            ValueError: two labels that are the same number.
        """
        try:
            check_numbers(self.texts, lambda text: f"line {self.lines[self.texts[text]]}")
        except ValueError as error:
            raise complaint(self.path, str(error)) from None
        return list(self.texts)

    def network(self, ends: array, notes: dict[str, int]) -> Network:
        """The network of these ends of links, two after two.

        Raises:
            ValueError: two labels that are the same number.
        """
        texts = self.checked()
        links = np.frombuffer(ends, np.int64).reshape(-1, 2) if ends else np.zeros((0, 2), np.int64)
        notes = notes | {BLANKS: self.num_stripped}
        labels = as_labels(texts)
        if labels and isinstance(labels[0], int):
            return numbered(np.array(labels, np.int64)[links], notes)
        return Network(links, labels, notes=notes)


def numbered(pairs: Int[np.ndarray, "links 2"], notes: dict[str, int]) -> Network:
    """The network of links between whole numbers, agents ascending."""
    largest = int(pairs.max(initial=-1))
    if largest < 8 * pairs.size:  # a table is about as large as what sorting would need, and faster
        is_agent = np.zeros(largest + 1, bool)
        is_agent[pairs] = True
        agents = np.flatnonzero(is_agent)
        number = np.zeros(largest + 1, np.int32 if len(agents) < 2**31 else np.int64)
        number[agents] = np.arange(len(agents))
        links = number[pairs]
    else:
        agents, links = np.unique(pairs, return_inverse=True)
    return Network(links.reshape(-1, 2), agents.tolist(), notes=notes)
