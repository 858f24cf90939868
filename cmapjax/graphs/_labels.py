"""Names of agents as text, by the same rules for every file, so that no agent has two names."""

import re
import unicodedata
from array import array
from collections.abc import Callable, Collection, Hashable, Iterable, Sequence
from decimal import Decimal, InvalidOperation
from pathlib import Path

import numpy as np
from jaxtyping import Int

from cmapjax.arguments._checks import short
from cmapjax.graphs._files import complaint
from cmapjax.graphs._network import BLANKS, Network

LARGEST = 2**63 - 1
_DIGITS = len(str(LARGEST))
_NUMBER_STARTS = ("+", "-", ".")
_CANONICAL = re.compile(r"0|[1-9][0-9]*")


def check_label(text: str) -> None:
    """Raise unless `text` may name an agent in a file: not empty, no blank at its ends, no control character.

    Other texts are compared exactly, also "01", "1e5", "-3" and "NAN", which look like numbers. Two labels of
    one file that are the same number are refused (`same_number`), because they may be one agent.
    """
    if not text:
        raise ValueError("an agent's label is empty; give every agent a name.")
    if text != text.strip():
        raise ValueError(f"label {short(text)} begins or ends with a blank; remove it.")
    if not text.isprintable() and any(unicodedata.category(c) in ("Cc", "Zl", "Zp") for c in text):
        raise ValueError(f"label {short(text)} holds a control character; remove it.")


def same_number(labels: Collection[str]) -> tuple[str, str] | None:
    """The first two labels that are the same number, written differently (1 and 01), or None."""
    if all(is_whole(text) or _as_number(text) is None for text in labels):
        return None  # plainly written numbers are equal only if their texts are
    first: dict[Decimal, str] = {}
    for text in labels:
        number = _as_number(text)
        if number is not None and number in first:
            return first[number], text
        if number is not None:
            first[number] = text
    return None


def check_numbers(labels: Collection[str], place_of=None) -> None:
    """Raise if two labels are the same number, written differently.

    Args:
        labels: texts, all different.
        place_of: where a label stands first ("line 7").

    Raises:
        ValueError: naming both labels and where they stand.
    """
    pair = same_number(labels)
    if pair is None:
        return
    a, b = (f"{short(text, 30)}{f' ({place_of(text)})' if place_of else ''}" for text in pair)
    raise ValueError(
        f"labels {a} and {b} are the same number, but labels are compared as text; write them alike if they "
        "are one agent, or put a letter in front."
    )


def is_whole(text: str) -> bool:
    """Whether the text is a whole number written plainly: 0, 17, not 01 or +1."""
    return _CANONICAL.fullmatch(text) is not None


def _as_number(text: str) -> Decimal | None:
    """The finite number that Python reads in a text, which includes forms such as 1_2 and ١; or None."""
    if text[:1] not in _NUMBER_STARTS and not text[:1].isdecimal():
        return None
    try:
        number = Decimal(text)
    except InvalidOperation:
        return None
    return number if number.is_finite() else None


def as_labels(texts: Collection[str]) -> list[int] | list[str]:
    """Checked names: Python integers if all of them are whole numbers up to 2^63 - 1, else text."""
    # The length first, because Python reads numbers of thousands of digits slowly or not at all.
    if all(is_whole(text) and len(text) <= _DIGITS and int(text) <= LARGEST for text in texts):
        return [int(text) for text in texts]
    return list(texts)


def unless_numbers(labels: Sequence[Hashable]) -> Sequence[Hashable] | None:
    """The labels, or None where they are the agents' own numbers 0, 1, … and need no storing."""
    if all(type(label) is int and label == i for i, label in enumerate(labels)):
        return None
    return labels


def undirected(
    links: np.ndarray, symmetrize: bool, what: str, name_of, remedy: str = "symmetrize=True"
) -> np.ndarray:
    """Each link once, from arcs that are given in both directions; repeated arcs stay repeated.

    Raises:
        ValueError: an arc without its reverse, unless `symmetrize` makes it a link.
    """
    giver, receiver = links[:, 0].astype(np.int64), links[:, 1].astype(np.int64)
    size = np.int64(links.max(initial=0) + 1)
    one_way = ~np.isin(giver * size + receiver, receiver * size + giver)
    if one_way.any() and not symmetrize:
        first = int(np.flatnonzero(one_way)[0])
        a, b = (short(name_of(int(i))) for i in links[first])
        raise ValueError(
            f"{what} {a} → {b} has no reverse {b} → {a} ({int(one_way.sum())} such); agents share both ways. "
            f"Pass {remedy} to make every one a link."
        )
    return links[(giver <= receiver) | one_way]


def named_network(
    path: Path, texts: Iterable[str], ends: array, notes: dict[str, int], line_of: Callable[[str], int]
) -> Network:
    """The network of links between agents that were numbered as their names came.

    Args:
        path: the file, for errors.
        texts: the names in the order of their first appearance, as they stand in the file.
        ends: two places in `texts` for every link.
        notes: what was skipped.
        line_of: the line on which a label first stands.

    Returns:
        Agents in ascending order where all labels are whole numbers, else in the order of `texts`.

    Raises:
        ValueError: what no label may be; two labels that are the same number.
    """
    number_of: dict[str, int] = {}
    place, num_stripped = array("q"), 0
    for text in texts:
        label = text.strip()
        num_stripped += label != text
        try:
            check_label(label)
        except ValueError as error:
            raise complaint(path, str(error), line_of(label)) from None
        place.append(number_of.setdefault(label, len(number_of)))
    try:
        check_numbers(number_of, lambda text: f"line {line_of(text)}")
    except ValueError as error:
        raise complaint(path, str(error)) from None
    links = np.frombuffer(ends, np.int64).reshape(-1, 2) if ends else np.zeros((0, 2), np.int64)
    if num_stripped:  # then two names may be one label
        links = np.frombuffer(place, np.int64)[links]
    labels, notes = as_labels(number_of), notes | {BLANKS: num_stripped}
    if not labels or isinstance(labels[0], str):
        return Network(links, labels, notes=notes)
    order = np.argsort(np.array(labels, np.int64))
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    return Network(rank[links], [labels[i] for i in order.tolist()], notes=notes)


def numbered_network(pairs: Int[np.ndarray, "links 2"], notes: dict[str, int]) -> Network:
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
