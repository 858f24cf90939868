"""The lines of a comparison: a strategy with its schedule and damping, in words and as objects."""

import functools
from typing import Any, NamedTuple

from cmapjax.arguments._checks import short
from cmapjax.words._classes import find, options
from cmapjax.words._grammar import literal
from cmapjax.words._objects import NOT_LOADED, Builder, read

NO_DAMPING = "none"


class Plan(NamedTuple):
    """One line of a comparison in words: what agents follow, in which turns, how far they move."""

    strategy: str
    schedule: str
    damping: str

    @property
    def label(self) -> str:
        """The line in a few words."""
        damped = [] if self.damping == NO_DAMPING else [f"damping {self.damping}"]
        return " ".join([self.strategy, self.schedule, *damped])


@functools.lru_cache(maxsize=10_000)
def plan(text: str, schedule: str, damping: str) -> Plan:
    """A line in words. A strategy may bring its own schedule and damping: `cmap:schedule=sequential`.

    Args:
        text: the strategy.
        schedule: the schedule, unless the strategy brings its own.
        damping: likewise.

    Raises:
        ValueError: a strategy that is not known.
    """
    from cmapjax.strategies import Strategy

    words = read(Strategy, text)
    own = () if words.place else options(find(Strategy, words.name))
    turns = {"schedule": schedule, "damping": damping}
    brought = {field: value for field, value in words.parts if field in turns and field not in own}
    rest = tuple(part for part in words.parts if part[0] not in brought)
    turns |= brought
    is_none = turns["damping"].strip().lower() == NO_DAMPING
    return Plan(
        words._replace(parts=rest).text,
        turns["schedule"].strip(),
        NO_DAMPING if is_none else turns["damping"].strip(),
    )


def make(line: Plan, builder: Builder | None = None) -> tuple[Any, Any]:
    """The strategy and the schedule of a line, as objects (or `NOT_LOADED`, as the builder says).

    Raises:
        ValueError: unknown names and fields, numbers out of range.
    """
    from cmapjax.schedules import Schedule
    from cmapjax.strategies import Damped, Damping, FixedDamping, Strategy

    builder = Builder() if builder is None else builder
    strategy, schedule = builder.build(Strategy, line.strategy), builder.build(Schedule, line.schedule)
    if line.damping == NO_DAMPING:
        return strategy, schedule
    theta = literal(line.damping)
    if isinstance(theta, (int, float)) and not isinstance(theta, bool):
        rule = FixedDamping(theta)
    elif isinstance(theta, str):
        rule = builder.build(Damping, line.damping)
    else:
        raise ValueError(f"damping is {short(line.damping)}; give none, a number up to 1, or a rule.")
    is_whole = strategy is not NOT_LOADED and rule is not NOT_LOADED
    return Damped(strategy, rule) if is_whole else NOT_LOADED, schedule
