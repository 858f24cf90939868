"""Checks of arguments in plain NumPy before any computation; all raise ValueError.

Every message names the field, the agent, the value and the remedy.
"""

import math
import os
import re
import sys
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

SHOWN = 5
MAX_BUDGET = 2 << 30
_FORMULA = re.compile(r"'*[=+\-@]")
# Means of a trace and endowments that differ by less than this share are equal up to rounding in a table.
ROUNDED = 1e-3
CONTRIBUTION = "contribution endowment × value"


def listed(items: Iterable, limit: int = SHOWN) -> str:
    """The first few of some agents, links or values, and how many more there are."""
    items = list(items)
    shown = ", ".join(short(item) for item in items[:limit])
    return shown if len(items) <= limit else f"{shown} and {len(items) - limit} more"


def short(item, limit: int = 60) -> str:
    """One value as text, cut to a length that fits a line."""
    text = repr(item.item() if isinstance(item, np.generic) else item)
    return text if len(text) <= limit else text[: limit - 1] + "…"


def as_real(field: str, values, shape: tuple[int, ...], name_of=None) -> np.ndarray:
    """`values` as float64 of a given shape; whole numbers must be exactly representable.

    Raises:
        ValueError: text, objects, booleans, complex or half-precision numbers; a wrong shape; integers
            beyond 2^53.
    """
    if is_traced_number(values):
        raise ValueError(
            f"{field} is traced by JAX (inside jit, vmap, scan or a derivative), and plain numbers are "
            "needed to make this; make it before, and give traced endowments or values to a market by "
            "market.with_contributions(endowment=…, value=…)."
        )
    array = np.asarray(values)
    if array.dtype == object or array.dtype.kind in "USOV":
        wrong = [(i, v) for i, v in enumerate(np.ravel(array)) if not isinstance(v, (int, float))]
        where = f" of agent {short(name_of(wrong[0][0]))}" if wrong and name_of and array.ndim else ""
        what = short(wrong[0][1]) if wrong else str(array.dtype)
        raise ValueError(f"{field}{where} is {what}; give numbers (float64).")
    if array.dtype.kind not in "iuf" or array.dtype == np.float16:
        raise ValueError(
            f"{field} has dtype {array.dtype}; give float64, float32 or integers "
            "(half precision and complex numbers are not enough for a market)."
        )
    is_whole = array.dtype.kind in "iu" and array.size > 0
    largest = max(abs(int(array.min())), abs(int(array.max()))) if is_whole else 0
    if largest > 2**53:
        raise ValueError(
            f"{field} holds the integer {short(largest)}, which float64 cannot hold exactly (limit 2^53); "
            "rescale it."
        )
    if array.shape not in ((), shape):
        raise ValueError(f"{field} has shape {array.shape}; give one number, or {shape} (one per agent).")
    return np.array(np.broadcast_to(array, shape), np.float64)  # a copy, not the caller's array


def is_traced_number(values) -> bool:
    """Whether these are numbers, or a list of numbers, that a transformation of JAX traces."""
    jax = sys.modules.get("jax")  # not imported here: readers and checks start without it
    if jax is None:
        return False
    each = values if isinstance(values, (list, tuple)) else (values,)
    return any(isinstance(x, jax.core.Tracer) for x in each)


def check_positive(field: str, values: np.ndarray, name_of) -> None:
    """Raise unless every agent's number is finite and above zero, naming the first offenders."""
    bad = np.flatnonzero(~(np.isfinite(values) & (values > 0)))
    if len(bad):
        pairs = listed(f"{name_of(i)}: {values[i]:g}" for i in bad).replace("'", "")
        raise ValueError(
            f"{field} must be finite and above zero, but is not for {len(bad)} agent(s) "
            f"({pairs}); correct the numbers, or leave those agents out of the network."
        )


def check_not_negative(field: str, values: np.ndarray, name_of) -> None:
    """Raise unless every agent's number is finite and 0 or more, naming the first offenders."""
    bad = np.flatnonzero(~(np.isfinite(values) & (values >= 0)))
    if len(bad):
        pairs = listed(f"{name_of(i)}: {values[i]:g}" for i in bad).replace("'", "")
        raise ValueError(
            f"{field} must be finite and 0 or more, but is not for {len(bad)} agent(s) ({pairs}); "
            "correct the numbers."
        )


def check_ordinary(name: str, given: Iterable) -> None:
    """Raise, for a function of this name, if a market given has more than endowments and values.

    Markets are told by where their class is written, so that no other module is imported.
    """
    for x in given:
        is_market = any(kind.__module__ == "cmapjax.market._market" for kind in type(x).__mro__)
        terms = x.terms if is_market else ()
        if terms:
            raise ValueError(
                f"{name}: this market has {', '.join(terms)}, and {name} knows markets of endowments and "
                "values only; leave those fields out, or use `solve` or `simulate`, which know them."
            )


def check_kind(field: str, given, kind: type | tuple[type, ...], example: str) -> None:
    """Raise unless `given` is an instance of the class wanted (not the class itself, nor its name)."""
    if not isinstance(given, kind):
        raise ValueError(f"{field} is {short(given)}; give an object such as {example}.")


def check_unique(field: str, labels: Iterable, remedy: str) -> None:
    """Raise if a label occurs twice."""
    seen, twice = set(), []
    for label in labels:
        if label in seen:
            twice.append(label)
        seen.add(label)
    if twice:
        raise ValueError(f"{field}: {listed(twice)} occur(s) more than once; {remedy}.")


def check_fits(field: str, values: np.ndarray, dtype, name_of, remedy: str = "simulate in float64") -> None:
    """Raise if a positive number over- or underflows `dtype` (subnormals count: they lose digits)."""
    limits = np.finfo(dtype)
    bad = np.flatnonzero(~((values <= limits.max) & (values >= limits.tiny)))
    if len(bad):
        pairs = listed(f"{name_of(i)}: {values[i]:g}" for i in bad).replace("'", "")
        raise ValueError(
            f"{field} lies outside the range of {np.dtype(dtype)} "
            f"({limits.tiny:.1e} to {limits.max:.1e}) for {len(bad)} agent(s) ({pairs}); {remedy}, "
            "or rescale all endowments or values by one common factor (which changes no ratio)."
        )


def first_out_of_order(items: Sequence) -> int | None:
    """The first place whose entry is not above the one before; None if there is none, or entries have no
    order."""
    for place in range(1, len(items)):
        try:
            if not items[place] > items[place - 1]:
                return place
        except TypeError:  # times with and without a zone
            return None
    return None


class SpanWarning(UserWarning):
    """Contributions too far apart for a precision; `ratio` is the largest divided by the smallest."""

    def __init__(self, text: str, ratio: float):
        super().__init__(text)
        self.ratio = ratio


def without_zeros(contribution: np.ndarray) -> np.ndarray:
    """Contributions for `check_span`: those of 0, of which nothing is rounded away, as the largest."""
    contribution = np.asarray(contribution)
    return np.where(contribution > 0, contribution, contribution.max() or 1)


def check_span(
    contribution: np.ndarray, precision: str, name_of, market_of: np.ndarray | None = None
) -> None:
    """Raise if sums or ratios of these contributions overflow a precision; warn if float32 rounds some away.

    The largest number of a run is the sum of all contributions divided by the smallest, a ratio. It is taken
    for each market (`market_of`) separately.
    """
    limits = np.finfo(precision)
    is_single = precision == "float32"
    remedy = "use precision float64" if is_single else "correct them"
    check_fits(CONTRIBUTION, contribution, precision, name_of, remedy=remedy)
    agents = np.arange(len(contribution))
    if _overflows(contribution, limits) and market_of is not None:
        by_market = np.argsort(market_of, kind="stable")
        markets = np.split(by_market, np.flatnonzero(np.diff(np.asarray(market_of)[by_market])) + 1)
        agents = next((own for own in markets if _overflows(contribution[own], limits)), agents[:0])
    if _overflows(contribution[agents], limits):
        remedy = "use precision float64, or leave out" if is_single else "leave out"
        raise ValueError(
            f"{CONTRIBUTION} spans {_ends(contribution, agents, name_of)}, and ratios overflow {precision} "
            f"({limits.max:.1e}); {remedy} agents that bring next to nothing."
        )
    if (warning := span_warning(contribution, precision, name_of)) is not None:
        warnings.warn(warning, stacklevel=5)


def span_warning(contribution: np.ndarray, precision: str, name_of) -> SpanWarning | None:
    """What is to be said of contributions of which float32 rounds some away; None of any others."""
    least, most = contribution.min(), contribution.max()
    if precision != "float32" or most <= 1e6 * least:
        return None
    text = (
        f"{CONTRIBUTION} spans {_ends(contribution, np.arange(len(contribution)), name_of)}: float32 "
        "keeps seven digits, so flows among the smallest drown in those of the largest; use precision "
        "float64."
    )
    return SpanWarning(text, float(most / least))


def _overflows(contribution: np.ndarray, limits) -> bool:
    if not len(contribution):
        return False
    with np.errstate(over="ignore"):
        # 8: sums of a few such terms.
        return not contribution.sum() / min(contribution.min(), 1) < limits.max / 8


def _ends(contribution: np.ndarray, agents: np.ndarray, name_of) -> str:
    """The smallest and the largest contribution of these agents, with the agents' names."""
    least, most = (agents[pick(contribution[agents])] for pick in (np.argmin, np.argmax))
    return (
        f"from {contribution[least]:g} (agent {short(name_of(int(least)))}) to {contribution[most]:g} "
        f"(agent {short(name_of(int(most)))})"
    )


def as_links(links) -> np.ndarray:
    """Links as an integer array [links, 2], uncopied. Raises ValueError for other shapes, dtypes and ids."""
    array = np.asarray(links)
    if array.size == 0:
        return np.zeros((0, 2), np.int64)
    if array.ndim != 2 or array.shape[1] != 2:
        raise ValueError(
            f"links have shape {array.shape}; give one row (agent, agent) per link, shape [links, 2]."
        )
    if array.dtype.kind not in "iu":
        raise ValueError(
            f"links have dtype {array.dtype}; give integer agent numbers 0, 1, …, and names as labels."
        )
    if array.min() < 0 or array.max() >= 2**62:
        raise ValueError(
            f"links: agent number {short(array.min() if array.min() < 0 else array.max())} is out of "
            "range; number the agents 0, 1, …, and give names as labels."
        )
    return array


def count_agents(links: np.ndarray, num_agents: int | None) -> int:
    """The number of agents that these links need. Raises ValueError for ids out of range or far too large."""
    largest = int(links.max()) if len(links) else -1
    if num_agents is None:
        num_agents = largest + 1
        if num_agents > 1000 + 100 * len(links):
            raise ValueError(
                f"links: agent number {largest} among only {len(links)} links would leave nearly all "
                f"of {num_agents} agents without a neighbour; number the agents 0, 1, … and give "
                "their ids as labels, or say num_agents."
            )
    if largest >= num_agents:
        raise ValueError(
            f"links: agent number {largest} is out of range for {num_agents} agents "
            f"(0 … {num_agents - 1}); correct it, or raise num_agents."
        )
    if num_agents > 2**31 - 2:
        raise ValueError(f"num_agents is {num_agents}; at most 2^31 - 2 agents fit one market.")
    return num_agents


def check_hops(hops: int | float) -> None:
    """Raise ValueError unless k is a whole number of hops, 0 or more, or infinite."""
    whole = isinstance(hops, int) and not isinstance(hops, bool)
    if not ((whole and hops >= 0) or hops == math.inf):
        raise ValueError(f"community_hops is {hops!r}; give 0, 1, 2, …, or math.inf for everybody.")


def check_fairness(fairness: float, *, may_be_infinite: bool = True) -> None:
    """Raise ValueError unless α is a number above 0."""
    is_number = isinstance(fairness, (int, float)) and not isinstance(fairness, bool)
    if not (is_number and fairness > 0 and (may_be_infinite or fairness < math.inf)):
        remedy = " or math.inf" if may_be_infinite else ""
        raise ValueError(
            f"fairness is {short(fairness)}; give a number α above 0{remedy}, 1 for the logarithm."
        )


def memory_of_process() -> int:
    """Bytes of memory that this process may use: the least of the machine's, its container's and its own
    limit."""
    memory = []
    if hasattr(os, "sysconf"):
        memory.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    container = Path("/sys/fs/cgroup/memory.max")  # Linux; holds "max" where there is no limit
    if container.is_file() and (text := container.read_text().strip()).isdigit():
        memory.append(int(text))
    try:
        import resource  # not on Windows
    except ImportError:
        pass
    else:
        limit = resource.getrlimit(resource.RLIMIT_AS)[0]
        memory += [limit] if limit != resource.RLIM_INFINITY else []
    return min(memory, default=4 * MAX_BUDGET)


def escape_cell(text: str) -> str:
    """The text, behind an apostrophe where a spreadsheet would run it as a formula (= + - @ first)."""
    return "'" + text if _FORMULA.match(text) else text
