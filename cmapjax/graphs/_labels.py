"""Names of agents, by the same rules for every file so that no agent has two, and numbers of agents."""

import re
import unicodedata
from collections.abc import Collection, Hashable, Sequence
from decimal import Decimal, InvalidOperation

import numpy as np

from cmapjax.arguments._checks import short
from cmapjax.graphs._file_options import FileOptions
from cmapjax.market._numbers import OF_AGENTS

LARGEST = 2**63 - 1
_DIGITS = len(str(LARGEST))
_NUMBER_STARTS = ("+", "-", ".")
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_CANONICAL = re.compile(r"0|[1-9][0-9]*")
_INFINITE = ("inf", "infinity")


def check_label(text: str) -> None:
    """Raise unless `text` may name an agent in a file: not empty, no blank at its ends, no control character.

    Other texts are compared exactly, also "01", "1e5", "-3" and "NAN", which look like numbers. Two labels of
    one file that are the same number are refused (`check_numbers`), because they may be one agent.
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
        if number is not None and first.setdefault(number, text) != text:
            return first[number], text
    return None


def check_numbers(labels: Collection[str], place_of=lambda text: "") -> None:
    """Raise if two of different labels are the same number; `place_of` says where each stands ("line 7")."""
    if (pair := same_number(labels)) is None:
        return
    a, b = (f"{short(text, 30)} ({place_of(text)})".removesuffix(" ()") for text in pair)
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


def agent_number(
    field: str, what: str, given: str | float, options: FileOptions, allows_zero: bool = False
) -> float:
    """The number of an agent, called `what` in errors: of other fields than endowment and value as `term`.

    These are above zero; an endowment may be 0 if `allows_zero`, or where the options drop such agents.
    """
    if field in OF_AGENTS:
        return term(what, given)
    text = given.strip(" \t\r\n") if isinstance(given, str) else None
    is_plain = text is None or _NUMBER.fullmatch(text)
    if is_plain and 0 < (number := float(given)) < np.inf:
        return number
    if text == "":
        raise ValueError(f"{what} is empty; give a number above zero.")
    if not is_plain and text.lstrip("+-").casefold() not in ("nan", *_INFINITE):
        raise ValueError(f"{what} is {short(text)}, which is not a plain number; give one above zero.")
    if field == "endowment" and is_plain and _is_zero(given):
        if options.zero == "drop" or allows_zero:
            return 0.0
        raise ValueError(f"{what} is {short(given)}: {no_surplus(options)}.")
    raise ValueError(f"{what} is {short(given)}; it must be finite and above zero.")


def term(what: str, given: str | float) -> float:
    """A number ≥ 0 of an agent or a link, infinity included; NaN where nothing is given."""
    if isinstance(given, str):
        text = given.strip(" \t\r\n")
        if not text:
            return np.nan
        if not _NUMBER.fullmatch(text) and text.lstrip("+-").casefold() not in _INFINITE:
            raise ValueError(f"{what} is {short(text)}, not a plain number; give one, 0 or more.")
        given = float(text)
    if np.isnan(given) or given >= 0:
        return float(given)
    raise ValueError(f"{what} is {given:g}; give a number, 0 or more.")


def no_surplus(options: FileOptions) -> str:
    """What an endowment of zero means, and the remedy, for errors."""
    return (
        "an agent without surplus has weight zero and receives nothing in this model; leave such agents out "
        f"with {options.say('zero', 'drop')}, or give a number above zero"
    )


def _is_zero(given: str | float) -> bool:
    """Whether a number is zero as it is written (1e-999 is not)."""
    return not re.search("[1-9]", re.split("[eE]", given)[0]) if isinstance(given, str) else given == 0
