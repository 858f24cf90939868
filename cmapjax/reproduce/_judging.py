"""Verdicts that follow from counts."""

from collections.abc import Iterable

import numpy as np

from cmapjax.reproduce._part import FAILS, HOLDS, IN_PART


def judged(met: Iterable[bool]) -> str:
    """Holds if every case meets the expectation, in part if some do, and not if none does."""
    flags = np.asarray(list(met), bool)
    if len(flags) == 0:
        raise ValueError("met is empty; give at least one case to judge by.")
    return HOLDS if flags.all() else IN_PART if flags.any() else FAILS


def refuted(broken: Iterable[bool]) -> str:
    """Of a statement without exceptions: holds if no case breaks it, and not if one does."""
    flags = np.asarray(list(broken), bool)
    if len(flags) == 0:
        raise ValueError("broken is empty; give at least one case to judge by.")
    return FAILS if flags.any() else HOLDS
