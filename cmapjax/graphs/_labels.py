"""Names of agents as text: one grammar for every file, so that the same agent never has two names."""

import re
import unicodedata
from collections.abc import Hashable, Sequence

import numpy as np

from cmapjax._checks import short

LARGEST = 2**63 - 1
_CANONICAL = re.compile(r"0|[1-9][0-9]*")
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")


def check_label(text: str) -> None:
    """Raise unless `text` may name an agent.

    A name is either a whole number written plainly (`0`, `17`; at most 2^63 - 1) or text that is not
    taken for a number: "01", "+1", "1.0", "1e3", "1_000", "nan" and digits of other scripts are refused,
    because they could be a second name of the same agent.
    """
    if not text:
        raise ValueError("an agent's label is empty; give every agent a name.")
    if _CANONICAL.fullmatch(text):
        if len(text) > 19 or int(text) > LARGEST:
            raise ValueError(
                f"label {short(text)} is beyond 2^63 - 1; renumber the agents, or put a letter in front."
            )
        return
    if text != text.strip():
        raise ValueError(f"label {short(text)} begins or ends with a blank; remove it.")
    if not text.isprintable() and any(unicodedata.category(c) in ("Cc", "Zl", "Zp") for c in text):
        raise ValueError(f"label {short(text)} holds a control character; remove it.")
    try:
        float(text)
    except ValueError:
        return
    raise ValueError(
        f"label {short(text)} looks like a number but is not written plainly (0, 1, 17 …), so it could be "
        "a second name of the same agent; rewrite it, or put a letter in front."
    )


def as_labels(texts: Sequence[str]) -> list[int] | list[str]:
    """Checked names: Python integers if all of them are whole numbers, else text."""
    if all(_CANONICAL.fullmatch(text) for text in texts):
        return [int(text) for text in texts]
    return list(texts)


def unless_numbers(labels: Sequence[Hashable]) -> Sequence[Hashable] | None:
    """The labels, or None where they are the agents' own numbers 0, 1, … and need no storing."""
    if all(type(label) is int and label == i for i, label in enumerate(labels)):
        return None
    return labels


def positive_number(text: str) -> float:
    """The number written in a file. Raises ValueError saying what is wrong with it."""
    text = text.strip(" \t\r\n")
    if not text:
        raise ValueError("is empty; give a number above zero.")
    if not _NUMBER.fullmatch(text):
        try:
            is_finite = np.isfinite(float(text))
        except ValueError:
            is_finite = True
        if not is_finite:
            raise ValueError(f"is {short(text)}; it must be finite and above zero.")
        raise ValueError(f"is {short(text)}, which is not a plain number; give one above zero.")
    return check_number(float(text), text)


def check_number(number: float, text: str | None = None) -> float:
    """The number, if it is finite and above zero. Raises ValueError saying what is wrong with it."""
    if not (np.isfinite(number) and number > 0):
        shown = f"{number!r}" if text is None else short(text)
        raise ValueError(f"is {shown}; it must be finite and above zero.")
    return number


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
