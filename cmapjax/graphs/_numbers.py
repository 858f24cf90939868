"""Numbers of agents as they stand in files: endowments and values, finite and above zero."""

import re

import numpy as np

from cmapjax.arguments._checks import short
from cmapjax.graphs._file_options import FileOptions

_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")


def agent_number(field: str, label: str, given: str | float, options: FileOptions) -> float:
    """The endowment or value of an agent: above zero, or 0 for an endowment where such agents are dropped.

    Args:
        field: endowment or value.
        label: the agent's.
        given: what the file says, as text or as a number.
        options: what becomes of agents without surplus.

    Raises:
        ValueError: what is wrong with it.
    """
    try:
        if field == "endowment" and _is_zero(given):
            if options.zero == "drop":
                return 0.0
            raise ValueError(f"is {short(given)}: {no_surplus(options)}.")
        return _plain_number(given) if isinstance(given, str) else _positive(given, given)
    except ValueError as error:
        raise ValueError(f"of agent {short(label)} {error}") from None


def no_surplus(options: FileOptions) -> str:
    """What an endowment of zero means, and the remedy, for errors."""
    return (
        "an agent without surplus has weight zero and receives nothing in this model; leave such agents out "
        f"with {options.say('zero', 'drop')}, or give a number above zero"
    )


def _is_zero(given: str | float) -> bool:
    """Whether this is exactly zero as it is written (1e-999 is not)."""
    if not isinstance(given, str):
        return given == 0
    return bool(_NUMBER.fullmatch(given.strip())) and not re.search("[1-9]", re.split("[eE]", given)[0])


def _plain_number(text: str) -> float:
    text = text.strip(" \t\r\n")
    if not text:
        raise ValueError("is empty; give a number above zero.")
    if not _NUMBER.fullmatch(text) and text.lstrip("+-").casefold() not in ("nan", "inf", "infinity"):
        raise ValueError(f"is {short(text)}, which is not a plain number; give one above zero.")
    return _positive(float(text), text)


def _positive(number: float, given: str | float) -> float:
    if not (np.isfinite(number) and number > 0):
        raise ValueError(f"is {short(given)}; it must be finite and above zero.")
    return float(number)
