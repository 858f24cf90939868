"""How links and members of markets are laid out in columns."""

import dataclasses

import numpy as np
from jaxtyping import Float, Int

from cmapjax.market._columns import Columns, entry_slots, lay_out
from cmapjax.market._rows import reverse_arcs


def laid_out_links(
    starts: Int[np.ndarray, "bounds"], neighbours: Int[np.ndarray, "arcs"], rows: Columns | None
) -> tuple[Columns, Int[np.ndarray, "slots"], Int[np.ndarray, "arcs"]]:
    """Rows of neighbours in columns, each slot's slot seen from the other end, and the slot of every arc.

    Args:
        rows: columns laid out but empty; None for those of `lay_out`.
    """
    rows = lay_out(starts) if rows is None else rows
    slot = entry_slots(rows)
    # Rows point at where a neighbour is stored, so that agent vectors need no second look-up.
    rows.entries[slot] = rows.place[neighbours]
    reverse = np.arange(rows.num_slots, dtype=np.int32)
    reverse[slot] = slot[reverse_arcs(starts, neighbours)]
    return rows, reverse, slot


def in_slots(
    rows: Columns, slot: Int[np.ndarray, "arcs"], values: Float[np.ndarray, "arcs"]
) -> Float[np.ndarray, "slots"]:
    """Numbers of arcs in the layout of flows, 0 on padding."""
    slots = np.zeros(rows.num_slots)
    slots[slot] = values
    return slots


def listed_by_market(market_of: Int[np.ndarray, "agents"]) -> Columns:
    """The agents of each market, a market a row."""
    members = lay_out(np.append(0, np.cumsum(np.bincount(market_of))))
    members.entries[entry_slots(members)] = np.argsort(market_of, kind="stable")
    return dataclasses.replace(members, is_full=members.num_slots == len(market_of))
