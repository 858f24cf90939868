"""Names of agents as text, by the same rules for every file, so that no agent has two names."""

import re
import unicodedata
from collections.abc import Collection, Hashable, Sequence
from decimal import Decimal, InvalidOperation

import numpy as np

from cmapjax.arguments._checks import short
from cmapjax.graphs._file_options import FileOptions

LARGEST = 2**63 - 1
_DIGITS = len(str(LARGEST))
_NUMBER_STARTS = ("+", "-", ".")
_CANONICAL = re.compile(r"0|[1-9][0-9]*")
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")


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


def as_labels(texts: Sequence[str]) -> list[int] | list[str]:
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


def endowment_number(given: str | float, options: FileOptions) -> float:
    """An endowment in a file: above zero, or zero where agents without surplus are dropped.

    Raises:
        ValueError: what is wrong with it.
    """
    is_text = isinstance(given, str)
    if is_zero(given) and options.zero == "drop":
        return 0.0
    if is_zero(given):
        raise ValueError(f"is {short(given)}: {no_surplus(options)}.")
    return positive_number(given) if is_text else check_number(given)


def is_zero(given: str | float) -> bool:
    """Whether this is exactly zero as it is written (1e-999 is not)."""
    if not isinstance(given, str):
        return given == 0
    return bool(_NUMBER.fullmatch(given.strip())) and not re.search("[1-9]", re.split("[eE]", given)[0])


def no_surplus(options: FileOptions) -> str:
    """What an endowment of zero means, and the remedy, for errors."""
    return (
        "an agent without surplus has weight zero and receives nothing in this model; leave such agents out "
        f"with {options.say('zero', 'drop')}, or give a number above zero"
    )


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
