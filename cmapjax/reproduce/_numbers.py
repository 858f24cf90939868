"""How parts say numbers: a median or a share with its interval, and how many markets it rests on."""

from collections.abc import Callable, Iterable

import numpy as np

from cmapjax.report._intervals import median_interval, share_interval


def median(values: Iterable[float], form: Callable[[float], str] | str = ".4g", of: str = "markets") -> str:
    """ "0.981 [0.979, 0.983] (median of 210 markets)": with the 95 % bootstrap interval.

    Values that were never reached are infinite; NaN raises ValueError, since it says nothing was measured.
    """
    ordered = np.sort(np.asarray(list(values), float))
    if len(ordered) == 0 or np.isnan(ordered).any():
        raise ValueError(f"{len(ordered)} values, of which {np.isnan(ordered).sum()} are no numbers.")
    say = _say(form)
    low, high = median_interval(ordered)
    middle = float(np.quantile(ordered, 0.5, method="inverted_cdf"))
    return f"{say(middle)} [{say(low)}, {say(high)}] (median of {len(ordered):,} {of})"


def share(has: Iterable[bool], of: str = "markets") -> str:
    """ "97.6 % [94.5 %, 99.2 %] (of 210 markets)": with the 95 % bootstrap interval."""
    flags = np.asarray(list(has), bool)
    if len(flags) == 0:
        raise ValueError("no values.")
    low, high = share_interval(int(flags.sum()), len(flags))
    return f"{flags.mean():.1%} [{low:.1%}, {high:.1%}] (of {len(flags):,} {of})".replace("%", " %")


def count(has: Iterable[bool], of: str = "markets") -> str:
    """ "12 of 210 markets"."""
    flags = np.asarray(list(has), bool)
    return f"{int(flags.sum()):,} of {len(flags):,} {of}"


def _say(form) -> Callable[[float], str]:
    if callable(form):
        return form
    return lambda x: "never" if np.isinf(x) and x > 0 else format(x, form)
