"""`cmapjax list`: all that words can name, from the classes themselves."""

import difflib
import inspect
from collections.abc import Iterator

from cmapjax.arguments._checks import short
from cmapjax.cli._output import say, show


def run(kind: str | None) -> None:
    """Print names, fields with defaults, and the first line of what each class says of itself."""
    kinds = _kinds()
    if kind is not None and kind not in kinds:
        near = difflib.get_close_matches(kind, kinds, 1)
        guess = f" (did you mean {near[0]}?)" if near else ""
        raise ValueError(f"KIND is {short(kind)}{guess}; give one of {', '.join(kinds)}.")
    for name in kinds if kind is None else [kind]:
        say(f"{name}:")
        show(_rows(kinds[name]))
    say("Your own: FILE.py:Class or MODULE:Class, with fields as above. Write name:field=value,field=value.")


def _rows(kind: type | None) -> Iterator[tuple[str, str]]:
    """Names with fields, and what each is."""
    from cmapjax.metrics import RECORDED
    from cmapjax.words._classes import members
    from cmapjax.words._texts import usage

    if kind is None:
        yield from ((name, f"{metric.description} ({metric.unit})") for name, metric in RECORDED.items())
        return
    for cls in members(kind).values():
        yield usage(cls), (inspect.getdoc(cls) or "").partition("\n")[0]


def _kinds() -> dict[str, type | None]:
    """The kinds that words are asked for, and those that are within others; None for metrics."""
    from cmapjax import Method
    from cmapjax.endowments import Endowments
    from cmapjax.graphs import Distribution, Family, IsolatedAgents, PriorityRule
    from cmapjax.schedules import Schedule
    from cmapjax.strategies import Damping, GradientMethod, StepRule, Strategy
    from cmapjax.words._classes import spelt

    kinds = [Strategy, Schedule, Damping, Family, Distribution, IsolatedAgents, Endowments, Method]
    kinds += [PriorityRule, GradientMethod, StepRule]
    return {spelt(kind.__name__): kind for kind in kinds} | {"metric": None}
