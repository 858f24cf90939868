"""The numbers of a market, checked against their ranges and each other."""

import numpy as np
from jaxtyping import Int

from cmapjax.arguments._checks import CONTRIBUTION, check_fits, check_not_negative, check_positive, short
from cmapjax.arguments._origin import Origin

# Fields of agents and of arcs beyond endowment and value, with what holds where they are absent.
OF_AGENTS = {"priority": "contribution", "demand": "unlimited", "own_use": "0"}
OF_ARCS = {"capacity": "unlimited", "efficiency": "1"}
IF_ABSENT = OF_AGENTS | OF_ARCS

# What each of them may be, and how to say so.
_RANGES = {
    "priority": (lambda x: np.isfinite(x) & (x >= 0), "a finite number, 0 or more"),
    "demand": (lambda x: x >= 0, "0 or more; inf is without limit"),
    "own_use": (lambda x: np.isfinite(x) & (x >= 0), "a finite number, 0 or more"),
    "capacity": (lambda x: x >= 0, "0 or more; inf is without limit"),
    "efficiency": (
        lambda x: np.isfinite(x) & (x > 0),
        "a finite number above 0; a closed link has capacity 0",
    ),
}


def check_numbers(
    endowment: np.ndarray,
    value: np.ndarray,
    terms: dict[str, np.ndarray],
    starts: Int[np.ndarray, "bounds"],
    neighbours: Int[np.ndarray, "arcs"],
    origin: Origin,
) -> None:
    """Raise ValueError where a number is out of its range or contradicts another, naming agent or link.

    Args:
        terms: the fields of `IF_ABSENT` that there are, of agents, or of arcs in the order of the rows.
        starts, neighbours: the rows.
    """

    def name_of(i):
        return i if origin.labels is None else origin.labels[i]

    def arc_name(arc):
        giver = int(np.searchsorted(starts, arc, side="right")) - 1
        return f"the link from agent {short(name_of(giver))} to agent {short(name_of(int(neighbours[arc])))}"

    check_positive("value", value, name_of)
    if terms:
        check_not_negative("endowment", endowment, name_of)
    else:
        check_positive("endowment", endowment, name_of)
    with np.errstate(over="ignore", under="ignore"):
        contribution = endowment * value
    check_fits(CONTRIBUTION, np.where(endowment > 0, contribution, 1), np.float64, name_of, "rescale them")
    for field, x in terms.items():
        allows, words = _RANGES[field]
        bad = np.flatnonzero(~allows(x))
        if len(bad):
            who = f"agent {short(name_of(int(bad[0])))}" if field in OF_AGENTS else arc_name(bad[0])
            raise ValueError(f"{field} of {who} is {x[bad[0]]:g}; give {words}.")
    _check_demand(terms.get("demand"), terms.get("own_use"), name_of)


def _check_demand(demand, own_use, name_of) -> None:
    if demand is None or own_use is None or not np.any(demand < own_use):
        return
    i = int(np.argmax(demand < own_use))
    raise ValueError(
        f"demand of agent {short(name_of(i))} is {demand[i]:g}, less than its own_use {own_use[i]:g}; a demand "
        "includes own use: raise it, or lower own_use."
    )
