"""Who acts when: schedules, and the turns they plan."""

from cmapjax.schedules._plans import Plan
from cmapjax.schedules._schedule import (
    Coloured,
    OneAgentPerRound,
    RandomOrder,
    RandomParticipation,
    Schedule,
    Sequential,
    Simultaneous,
    Turns,
)

__all__ = [
    "Coloured",
    "OneAgentPerRound",
    "Plan",
    "RandomOrder",
    "RandomParticipation",
    "Schedule",
    "Sequential",
    "Simultaneous",
    "Turns",
]
