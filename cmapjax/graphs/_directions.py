"""Which way links go, and their numbers there and back."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from cmapjax.arguments._checks import listed, short
from cmapjax.graphs._file_options import FileOptions
from cmapjax.graphs._files import on_line
from cmapjax.graphs._labels import term
from cmapjax.market._numbers import OF_ARCS

# What `to_networkx` puts on the edges of an undirected graph: both ends by name, and numbers from each.
ENDS = ("first", "second")


class Ways(NamedTuple):
    """Links, each both ways or each one way, and a number of each for the fields that there are."""

    links: Int[np.ndarray, "links 2"]
    of_links: Mapping[str, Float[np.ndarray, "links"]]
    is_one_way: bool


def links_of(
    arcs: Int[np.ndarray, "arcs 2"], options: FileOptions, what: str, name_of: Callable
) -> Int[np.ndarray, "links 2"]:
    """Each link once, from arcs (`what` in errors) given both ways; repeated arcs stay repeated.

    Arcs without a reverse become links, or all arcs stay one way, if the options say so.
    """
    if options.directed:
        return arcs
    one_way = _without_reverse(arcs)
    if one_way.any() and not options.symmetrize:
        first = int(np.flatnonzero(one_way)[0])
        a, b = (short(name_of(int(i))) for i in arcs[first])
        raise ValueError(
            f"{what} {a} → {b} has no reverse {b} → {a} ({int(one_way.sum())} such); agents share both ways. "
            f"Pass {options.say('symmetrize')} to make every one a link, or {options.say('directed')} to "
            "keep it."
        )
    return arcs[(arcs[:, 0] <= arcs[:, 1]) | one_way]


def ways(
    ends: Int[np.ndarray, "links 2"],
    is_directed: Bool[np.ndarray, "links"],
    numbers: Mapping[str, Float[np.ndarray, "links 2"]],
    options: FileOptions,
    what: str,
    name_of: Callable,
) -> Ways:
    """The links of a network whose links are directed (then first the giver) or not, by `links_of`.

    `numbers` are their capacities and efficiencies, from the first end and from the second.
    """
    if options.directed and not is_directed.any():
        raise ValueError(
            f"no link is declared as directed, though {options.say('directed')} is given; leave that out, or "
            "declare which links are."
        )
    are_alike = all(np.array_equal(*x.T) for x in numbers.values())
    if not is_directed.any() and are_alike:
        return Ways(ends, {field: x[:, 0] for field, x in numbers.items()}, False)
    has_back = ~is_directed & (ends[:, 0] != ends[:, 1])
    arcs = np.concatenate([ends, ends[has_back, ::-1]])
    links = links_of(arcs, options, what, name_of)
    if not numbers:
        return Ways(links, {}, options.directed)
    of_arcs = {field: np.concatenate([x[:, 0], x[has_back, 1]]) for field, x in numbers.items()}
    if options.symmetrize:
        one_way = _without_reverse(arcs)
        of_arcs = {field: np.concatenate([x, x[one_way]]) for field, x in of_arcs.items()}
        arcs = np.concatenate([arcs, arcs[one_way, ::-1]])
    return Ways(arcs, of_arcs, True)


def _without_reverse(arcs: Int[np.ndarray, "arcs 2"]) -> Bool[np.ndarray, "arcs"]:
    giver, receiver = arcs.T.astype(np.int64)
    size = np.int64(arcs.max(initial=0) + 1)
    return ~np.isin(giver * size + receiver, receiver * size + giver)


def wanted_of_links(options: FileOptions) -> dict[str, str]:
    """The attributes that hold numbers of links, by field, as the options name them."""
    named = {field: getattr(options, f"{field}_attribute") for field in OF_ARCS}
    return {field: name for field, name in named.items() if name is not None}


def keys_of_links(options: FileOptions) -> set[str]:
    """All attributes that numbers of links may be read from."""
    names = wanted_of_links(options).values()
    each = {f"{name}_from_{end}" for name in names for end in ENDS}
    return {*names, *each, *ENDS} if each else set()


def numbers_of_links(
    links: Sequence[tuple[Mapping[str, Any], tuple, tuple]], lines: Sequence[int | None], options: FileOptions
) -> dict[str, Float[np.ndarray, "links 2"]]:
    """Capacities and efficiencies there and back; what holds without them where a link has none.

    Of each link there are its attributes, the names that its first and its second end go by (the one for
    errors first), and its line.
    """
    found = {}
    for field, name in wanted_of_links(options).items():
        numbers = np.full((len(links), 2), np.nan)
        has_any = False
        for number, (link, line) in enumerate(zip(links, lines, strict=True)):
            with on_line(line):
                pair = _there_and_back(name, *link)
            if pair is not None:
                numbers[number], has_any = pair, True
        if not has_any:
            known = sorted({str(key) for data, *_ in links for key in data} - {*ENDS, "source", "target"})
            raise ValueError(
                f"no link has an attribute {short(name)} (found {listed(known) or 'none'}); name one of them."
            )
        found[field] = np.where(np.isnan(numbers), OF_ARCS[field], numbers)
    return found


def _there_and_back(name: str, data: Mapping, source: tuple, target: tuple) -> tuple | None:
    """The number of a link from its first end and from its second; None if it has none."""
    who = f"the link of {short(source[0])} and {short(target[0])}"
    if name in data:
        return (_number(f"{name} of {who}", data[name]),) * 2
    keys = [f"{name}_from_{end}" for end in ENDS]
    if not all(key in data for key in (*keys, *ENDS)):
        return None
    there, back = (_number(f"{key} of {who}", data[key]) for key in keys)
    first, second = (data[end] for end in ENDS)
    if first in source and second in target:
        return there, back
    if first in target and second in source:
        return back, there
    raise ValueError(f"{who}: first is {short(first)} and second {short(second)}; name its two ends.")


def _number(what: str, given: Any) -> float:
    is_number = isinstance(given, (str, int, float, np.integer, np.floating)) and not isinstance(given, bool)
    if not is_number or given != given:
        raise ValueError(f"{what} is {short(given)}; give a number, 0 or more.")
    return term(what, given)
