"""The lines of a comparison: strategies with their schedule and damping, first in words, then as objects."""

import math
from typing import Any, NamedTuple

from cmapjax.arguments._checks import short
from cmapjax.words._specs import Spec, choose, number, parse, schedule, schedule_spec

# Classes of `cmapjax.strategies` by name, as text, with the options they take.
STRATEGIES = {
    "cmap": ("CMAP", ("hops",)),
    "cmap-gradient": ("GradientCMAP", ("hops", "iterations", "rule", "step", "library")),
    "proportional-response": ("ProportionalResponse", ()),
    "pr": ("ProportionalResponse", ()),
    "dynamic-sharing": ("DynamicSharing", ()),
    "equal-split": ("EqualSplit", ()),
    "selfish": ("SelfishBestReply", ()),
}
LIBRARIES = {"jaxopt": "JaxoptGradient", "optax": "OptaxGradient"}
RULES = {"fixed": "FixedStep", "diminishing": "DiminishingStep", "line-search": "LineSearch"}
DAMPINGS = {"max-degree": "MaxDegreeDamping", "1/max-degree": "MaxDegreeDamping", "local": "LocalDamping"}


class Plan(NamedTuple):
    """One line of a comparison: what agents follow, in which turns."""

    label: str
    strategy: Spec
    schedule: str
    damping: str


def plan(text: str, default_schedule: str, default_damping: str) -> Plan:
    """A line in words, all names checked but nothing built, so that JAX need not be loaded.

    A strategy's spec may set its own schedule and damping: `cmap:schedule=sequential`.
    """
    spec = parse(text)
    _, known = choose("strategy", spec, STRATEGIES)
    options = dict(spec.options)
    schedule_text = options.pop("schedule", default_schedule)
    damping_text = options.pop("damping", default_damping)
    for key, value in options.items():
        if key not in known:
            raise ValueError(
                f"strategy {spec.name} has no option {short(key or value)}; it takes: "
                f"{', '.join(known) or 'none'}, and schedule and damping."
            )
    _choice("library", options, LIBRARIES, "jaxopt")
    if _choice("rule", options, RULES, "fixed") == "LineSearch" and "step" in options:
        raise ValueError("option step has no meaning with rule=line-search, which finds it; leave it out.")
    schedule_spec(schedule_text)
    is_damped = damping_rule(damping_text) is not None
    name = "proportional-response" if spec.name == "pr" else spec.name
    extras = [f"{key}={value}" for key, value in options.items()]
    words = [name, *extras, schedule_text, *([f"damping {damping_text}"] if is_damped else [])]
    return Plan(" ".join(words), spec._replace(options=options), schedule_text, damping_text)


def make(line: Plan) -> tuple[Any, Any]:
    """The strategy and the schedule of a line, as objects.

    Raises:
        ValueError: numbers out of range.
    """
    from cmapjax import strategies

    options = line.strategy.options
    name, _ = STRATEGIES[line.strategy.name]
    arguments: dict[str, Any] = {}
    if "hops" in options:
        arguments["community_hops"] = math.inf if options["hops"] == "all" else number(options["hops"])
    if name == "GradientCMAP":
        arguments["method"] = _gradient_method(options)
    strategy = getattr(strategies, name)(**arguments)
    rule = damping_rule(line.damping)
    if isinstance(rule, str):
        strategy = strategies.Damped(strategy, getattr(strategies, rule)())
    elif rule is not None:
        strategy = strategies.Damped(strategy, strategies.FixedDamping(rule))
    return strategy, schedule(line.schedule)


def _choice(option: str, options: dict[str, str], table: dict[str, str], default: str) -> str:
    name = options.get(option, default)
    return choose(option, Spec(name, name, {}), table)


def damping_rule(text: str) -> str | float | None:
    """The class of a rule of damping, a fixed number, or None for moving all the way."""
    name = text.strip().lower().replace("_", "-")
    if name == "none":
        return None
    if name in DAMPINGS:
        return DAMPINGS[name]
    try:
        share = number(name)
    except ValueError:
        share = None
    if not isinstance(share, (int, float)) or not 0 < share <= 1:
        raise ValueError(
            f"damping {short(text)}: give none, a number above 0 and at most 1, 1/max-degree or local."
        )
    return share


def _gradient_method(options: dict[str, str]):
    from cmapjax import strategies

    size = {"size": number(options["step"])} if "step" in options else {}
    iterations = {"iterations": number(options["iterations"])} if "iterations" in options else {}
    method = getattr(strategies, _choice("library", options, LIBRARIES, "jaxopt"))
    rule = getattr(strategies, _choice("rule", options, RULES, "fixed"))
    return method(step=rule(**size), **iterations)
