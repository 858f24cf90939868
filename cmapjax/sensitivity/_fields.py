"""The fields of a market with respect to which its equilibrium is differentiated."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

from cmapjax.arguments._checks import listed, short
from cmapjax.market._market import Market
from cmapjax.market._numbers import IF_ABSENT, OF_ARCS
from cmapjax.runtime._types import Array

CONTRIBUTIONS = ("endowment", "value")
FIELDS = (*CONTRIBUTIONS, *IF_ABSENT)


def check_field(name: str) -> None:
    """Raise ValueError unless this is a field of markets."""
    if name not in FIELDS:
        raise ValueError(f"with_respect_to is {name!r}; give one of {listed(FIELDS)}.")


def with_field(market: Market, field: str) -> Market:
    """The same market with the field filled in, if it is absent."""
    if field in CONTRIBUTIONS or field in market.terms:
        return market
    otherwise = IF_ABSENT[field]
    return market.with_terms(**{field: market.contribution if otherwise is None else otherwise})


def numbers_of(market: Market, field: str) -> Float[np.ndarray, "..."]:
    """The numbers of a field, one per agent, or per arc in the order of `Market.arcs`."""
    numbers = getattr(market, field)
    return np.asarray(market.arc_values(numbers) if field in OF_ARCS else numbers)


def renewed(market: Market, field: str, x: Float[Array, "..."]) -> Market:
    """The market with other numbers of one field, which may be traced."""
    change = market.with_contributions if field in CONTRIBUTIONS else market.with_terms
    return change(**{field: x})


def places(market: Market, labels: Sequence | None, field: str = "endowment") -> Int[np.ndarray, "some"]:
    """The numbers of agents, or of arcs given as pairs (giver, receiver), by label; by default of all."""
    if labels is None:
        return np.arange(len(market.arcs()[0]) if field in OF_ARCS else market.num_agents)
    if field not in OF_ARCS:
        return np.array([market.index(label) for label in labels], np.int64)
    number = {pair: k for k, pair in enumerate(zip(*(x.tolist() for x in market.arcs()), strict=True))}
    found = []
    for pair in labels:
        ends = _ends(market, pair, field)
        if ends not in number:
            raise ValueError(f"by: {short(pair)} is no link of this market; give pairs (giver, receiver).")
        found.append(number[ends])
    return np.array(found, np.int64)


def _ends(market: Market, pair, field: str) -> tuple[int, int]:
    if not isinstance(pair, (tuple, list)) or len(pair) != 2:
        raise ValueError(f"by: {short(pair)} is no pair; {field} is of links, give pairs (giver, receiver).")
    return market.index(pair[0]), market.index(pair[1])
