"""The numbers of a market, checked against their ranges and each other."""

from collections.abc import Callable

import jax.numpy as jnp
import numpy as np
from jaxtyping import Int

from cmapjax.arguments._checks import (
    CONTRIBUTION,
    as_real,
    check_fits,
    check_not_negative,
    check_positive,
    listed,
    short,
)
from cmapjax.arguments._labelled import by_name, unlabelled
from cmapjax.arguments._origin import Origin
from cmapjax.market._laid_out import in_slots

# Fields of agents and of arcs beyond endowment and value, with what holds where they are absent. Without a
# priority, an agent has its contribution.
OF_AGENTS = {"priority": None, "demand": np.inf, "own_use": 0.0}
OF_ARCS = {"capacity": np.inf, "efficiency": 1.0}
IF_ABSENT = OF_AGENTS | OF_ARCS

# What each of them may be, and how to say so.
_RANGES = {
    "priority": (lambda x: np.isfinite(x) & (x >= 0), "a finite number, 0 or more"),
    "demand": (lambda x: x >= 0, "0 or more; inf is without limit"),
    "own_use": (lambda x: np.isfinite(x) & (x >= 0), "a finite number, 0 or more"),
    "capacity": (lambda x: x >= 0, "0 or more; inf is without limit"),
    "efficiency": (
        lambda x: np.isfinite(x) & (x > 0),
        "a finite number above 0; closed links have capacity 0",
    ),
}


def check_numbers(
    fields: dict[str, np.ndarray],
    starts: Int[np.ndarray, "bounds"],
    neighbours: Int[np.ndarray, "arcs"],
    origin: Origin,
) -> None:
    """Raise ValueError where a number is out of its range or contradicts another, naming agent or link.

    Args:
        fields: endowment, value and those of `IF_ABSENT` that there are, of agents, or of arcs in the order
            of the rows.
        starts, neighbours: the rows.
    """

    def name_of(i):
        return i if origin.labels is None else origin.labels[i]

    def arc_name(arc):
        giver = int(np.searchsorted(starts, arc, side="right")) - 1
        return f"the link from agent {short(name_of(giver))} to agent {short(name_of(int(neighbours[arc])))}"

    arcs = {name: x for name, x in fields.items() if name in OF_ARCS}
    agents = {name: x for name, x in fields.items() if name not in OF_ARCS}
    check_numbers_of_agents(agents, bool(arcs), name_of)
    for field, x in arcs.items():
        _check_range(field, x, arc_name)


def check_numbers_of_agents(agents: dict[str, np.ndarray], has_arcs: bool, name_of: Callable) -> None:
    """`check_numbers` of endowment, value and what else agents have.

    Args:
        has_arcs: whether links have a capacity or an efficiency.
        name_of: the name of an agent of this number.
    """
    endowment, value = agents["endowment"], agents["value"]
    check_positive("value", value, name_of)
    is_ordinary = len(agents) == 2 and not has_arcs
    (check_positive if is_ordinary else check_not_negative)("endowment", endowment, name_of)
    with np.errstate(over="ignore", under="ignore"):
        contribution = endowment * value
    check_fits(CONTRIBUTION, np.where(endowment > 0, contribution, 1), np.float64, name_of, "rescale them")
    for field in OF_AGENTS:
        if field in agents:
            _check_range(field, agents[field], lambda i: f"agent {short(name_of(i))}")
    _check_demand(agents.get("demand"), agents.get("own_use"), name_of)


def _check_range(field: str, x: np.ndarray, who: Callable) -> None:
    allows, words = _RANGES[field]
    bad = np.flatnonzero(~allows(x))
    if len(bad):
        raise ValueError(f"{field} of {who(int(bad[0]))} is {x[bad[0]]:g}; give {words}.")


def _check_demand(demand, own_use, name_of) -> None:
    if demand is None or own_use is None or not np.any(demand < own_use):
        return
    i = int(np.argmax(demand < own_use))
    raise ValueError(
        f"demand of agent {short(name_of(i))} is {demand[i]:g}, less than its own_use {own_use[i]:g}; a "
        "demand includes own use: raise it, or lower own_use."
    )


def renewed_terms(market, slot: Int[np.ndarray, "arcs"], terms: dict) -> dict[str, np.ndarray | None]:
    """The fields of `IF_ABSENT` of a market, some of them renewed, as `Market.with_terms` says."""
    _check_names(terms)
    new = {}
    for name in IF_ABSENT:
        x = terms.get(name, getattr(market, name))
        if x is None:
            continue
        if name in OF_AGENTS:
            new[name] = as_real(name, by_name(name, x, market.labels), (market.num_agents,))
        elif name in terms:
            new[name] = as_real(name, unlabelled(name, x), slot.shape)
        else:
            new[name] = np.asarray(x)[slot]
    numbers = {"endowment": np.asarray(market.endowment), "value": np.asarray(market.value)}
    check_numbers(numbers | new, *market.neighbour_rows(), market.origin)
    new |= {name: in_slots(market.links, slot, new[name]) for name in OF_ARCS if name in new}
    return {name: new.get(name) for name in IF_ABSENT}


def traced_terms(market, terms: dict) -> dict:
    """Fields of `IF_ABSENT` as traced numbers, those of arcs in the layout of flows."""
    _check_names(terms)
    slots = np.arange(market.links.num_slots)
    new = {}
    for name, x in terms.items():
        if name in OF_AGENTS:
            new[name] = jnp.broadcast_to(x, (market.num_agents,))
        else:
            empty = jnp.zeros(len(slots), x.dtype)
            new[name] = empty.at[market.arc_values(slots)].set(x)
    return new


def _check_names(terms: dict) -> None:
    unknown = sorted(set(terms) - set(IF_ABSENT))
    if unknown:
        raise ValueError(f"with_terms: there is no field {unknown[0]}; give {listed(IF_ABSENT)}.")
