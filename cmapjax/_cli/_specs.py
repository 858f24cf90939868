"""From words on the command line to objects: one small grammar, and the only table of names.

A spec is `name` or `name:key=value,key=value`; a value may itself be a spec (`schedule=participation:0.5`).
"""

import inspect
import math
import re
from collections.abc import Callable
from typing import Any, NamedTuple

from cmapjax._checks import short


class Spec(NamedTuple):
    """A name with options, as typed."""

    text: str
    name: str
    options: dict[str, str]


def parse(text: str) -> Spec:
    """The parts of a spec; a lone option without a key gets the key "".

    Raises:
        ValueError: an empty name, or an option given twice.
    """
    name, _, rest = text.strip().partition(":")
    options: dict[str, str] = {}
    for part in filter(None, (p.strip() for p in rest.split(","))):
        key, equals, value = part.partition("=")
        key, value = (key.strip().replace("-", "_"), value.strip()) if equals else ("", part)
        if key in options:
            raise ValueError(f"{short(text)}: option {key or part!r} is given twice; give it once.")
        options[key] = value
    if not name:
        raise ValueError(f"{short(text)} has no name; write name or name:key=value,key=value.")
    return Spec(text.strip(), name.strip().lower().replace("_", "-"), options)


def number(text: str) -> int | float | tuple:
    """A number as written: whole, decimal, or several joined by + (`20+30`)."""
    if "+" in text.strip("+") and not re.search(r"[eE]\+", text):
        return tuple(number(part) for part in text.split("+"))
    if re.fullmatch(r"-?[0-9]{1,18}", text):
        return int(text)
    if re.fullmatch(r"-?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?", text):
        return float(text)
    raise ValueError(f"{short(text)} is not a number.")


def choose(kind: str, spec: Spec, table: dict[str, Any]) -> Any:
    """The entry of this name. Raises ValueError that lists what there is."""
    if spec.name not in table:
        raise ValueError(f"{kind} {short(spec.name)} is not known; use one of {', '.join(table)}.")
    return table[spec.name]


def build(kind: str, spec: Spec, make: Callable, short_names: dict[str, str], **more) -> Any:
    """`make` called with the spec's options as numbers.

    Raises:
        ValueError: options that `make` does not take or that are missing, and whatever `make` refuses.
    """
    accepted = [p for p in inspect.signature(make).parameters.values() if p.name not in ("_", *more)]
    names = [p.name for p in accepted]
    known = {short_name: name for short_name, name in short_names.items() if name in names}
    arguments: dict[str, Any] = dict(more)
    for key, text in spec.options.items():
        name = (names[0] if names else "") if key == "" else known.get(key, key)
        if name not in names:
            hint = ", ".join(sorted({*names, *known})) or "none"
            raise ValueError(f"{kind} {spec.name} has no option {short(key or text)}; it takes: {hint}.")
        try:
            arguments[name] = number(text)
        except ValueError as error:
            raise ValueError(f"{kind} {spec.name}: option {name}: {error}") from None
    missing = [p.name for p in accepted if p.default is p.empty and p.name not in arguments]
    if missing:
        raise ValueError(
            f"{kind} {spec.name} needs {', '.join(missing)}; write {spec.name}:{missing[0]}=… "
            f"(options: {', '.join(sorted({*names, *known}))})."
        )
    return make(**arguments)


# -- the names -----------------------------------------------------------------------------------

SHORT = {
    "n": "num_agents",
    "degree": "mean_degree",
    "m": "attachments",
    "k": "neighbours",
    "p": "probability",
    "cv": "variation",
    "left": "num_left",
    "right": "num_right",
}


def families() -> dict[str, Callable]:
    """Random families by name."""
    from cmapjax import graphs as g

    table = {
        "erdos-renyi": g.ErdosRenyi,
        "barabasi-albert": g.BarabasiAlbert,
        "watts-strogatz": g.WattsStrogatz,
        "geometric": g.RandomGeometric,
        "regular": g.RandomRegular,
        "tree": g.RandomTree,
        "torus": g.TorusGrid,
        "bipartite": g.Bipartite,
        "complete": g.Complete,
        "ring": g.Ring,
        "star": g.Star,
        "blocks": g.StochasticBlockModel,
    }
    return table | {"er": g.ErdosRenyi, "ba": g.BarabasiAlbert, "ws": g.WattsStrogatz}


FAMILY_NAMES = (
    *("erdos-renyi", "er", "barabasi-albert", "ba", "watts-strogatz", "ws", "geometric", "regular"),
    *("tree", "torus", "bipartite", "complete", "ring", "star", "blocks"),
)

NAMED_NETWORKS = {
    "karate": "karate_club_graph",
    "les-miserables": "les_miserables_graph",
    "davis": "davis_southern_women_graph",
    "florentine": "florentine_families_graph",
}


SHIPPED_NETWORKS = ("gnutella",)


def family(spec: Spec):
    """A random family with its parameters."""
    return build("family", spec, choose("family", spec, families()), SHORT)


def distribution(field: str, text: str):
    """A distribution of endowments or values over the agents of a random market."""
    from cmapjax import graphs as g

    spec = parse(text)
    table = {
        "unit": g.Unit,
        "uniform": g.Uniform,
        "lognormal": g.LogNormal,
        "pareto": g.Pareto,
        "exponential": g.Exponential,
        "gamma": g.Gamma,
    }
    return build(field, spec, choose(field, spec, table), {})


def endowment_process(spec: Spec):
    """The endowments of each round (a trace is read elsewhere, because it needs the market)."""
    from cmapjax import endowments as e

    table = {
        "constant": e.Constant,
        "exponential": e.Exponential,
        "gamma": e.Gamma,
        "lognormal": e.LogNormal,
        "on-off": e.OnOff,
    }
    return build("endowments", spec, choose("endowments", spec, {**table, "trace": None}), SHORT)


def schedule(text: str):
    """A schedule."""
    from cmapjax import _schedule as s

    spec = parse(text)
    table = {
        "simultaneous": s.Simultaneous,
        "sequential": s.Sequential,
        "coloured": s.Coloured,
        "colored": s.Coloured,
        "random-order": s.RandomOrder,
        "one-agent": s.OneAgentPerRound,
        "participation": s.RandomParticipation,
    }
    make = choose("schedule", spec, table)
    if make is s.RandomParticipation:
        return build("schedule", spec, make, SHORT)
    if spec.options:
        raise ValueError(f"schedule {spec.name} has no options here; write just {spec.name}.")
    return make()


def damping(text: str):
    """A rule of damping, or None for moving all the way."""
    from cmapjax import strategies as s

    rules = {"max-degree": s.MaxDegreeDamping, "1/max-degree": s.MaxDegreeDamping, "local": s.LocalDamping}
    name = text.strip().lower().replace("_", "-")
    if name == "none":
        return None
    if name in rules:
        return rules[name]()
    try:
        return s.FixedDamping(number(name))
    except ValueError as error:
        raise ValueError(
            f"damping {short(text)}: give none, a number above 0 and at most 1, 1/max-degree or local "
            f"({error})"
        ) from None


class Plan(NamedTuple):
    """One line of a comparison: what agents follow, in which turns."""

    label: str
    strategy: Any
    schedule: Any
    schedule_text: str
    damping_text: str


def plan(text: str, default_schedule: str, default_damping: str) -> Plan:
    """A strategy with its schedule and damping, which its own spec may set: `cmap:schedule=sequential`."""
    from cmapjax import strategies as s

    spec = parse(text)
    options = dict(spec.options)
    schedule_text = options.pop("schedule", default_schedule)
    damping_text = options.pop("damping", default_damping)
    # Inside an option commas belong to the strategy, so a nested spec has at most its lone option.
    strategy = _strategy(Spec(spec.text, spec.name, options))
    rule = damping(damping_text)
    name = type(strategy).__name__ if spec.name == "pr" else spec.name
    name = "proportional-response" if name == "ProportionalResponse" else name
    extras = [f"{key}={value}" for key, value in options.items()]
    words = [name, *extras, schedule_text, *([f"damping {damping_text}"] if rule is not None else [])]
    return Plan(
        " ".join(words),
        strategy if rule is None else s.Damped(strategy, rule),
        schedule(schedule_text),
        schedule_text,
        damping_text,
    )


STRATEGY_NAMES = ("cmap", "cmap-gradient", "proportional-response", "pr", "equal-split", "selfish")


def _strategy(spec: Spec):
    from cmapjax import strategies as s

    table = {
        "cmap": s.CMAP,
        "cmap-gradient": s.GradientCMAP,
        "proportional-response": s.ProportionalResponse,
        "pr": s.ProportionalResponse,
        "equal-split": s.EqualSplit,
        "selfish": s.SelfishBestReply,
    }
    make = choose("strategy", spec, table)
    options = dict(spec.options)
    more: dict[str, Any] = {}
    if make in (s.CMAP, s.GradientCMAP) and "hops" in options:
        hops = options.pop("hops")
        more["community_hops"] = math.inf if hops == "all" else number(hops)
    if make is s.GradientCMAP:
        more["method"] = _gradient_method(options)
    if options:
        known = {s.CMAP: "hops", s.GradientCMAP: "hops, iterations, rule, step, library"}.get(make, "none")
        raise ValueError(
            f"strategy {spec.name} has no option {short(next(iter(options)) or spec.text)}; it takes: "
            f"{known}, and schedule and damping."
        )
    return make(**more)


def _gradient_method(options: dict[str, str]):
    from cmapjax import strategies as s

    library = options.pop("library", "jaxopt")
    methods = {"jaxopt": s.JaxoptGradient, "optax": s.OptaxGradient}
    method = choose("library", Spec(library, library, {}), methods)
    rule = options.pop("rule", "fixed")
    rules = {"fixed": s.FixedStep, "diminishing": s.DiminishingStep, "line-search": s.LineSearch}
    make_rule = choose("rule", Spec(rule, rule, {}), rules)
    arguments = {}
    if "step" in options:
        if make_rule is s.LineSearch:
            raise ValueError(
                "option step has no meaning with rule=line-search, which finds it; leave it out."
            )
        arguments["size"] = number(options.pop("step"))
    more = {"iterations": number(options.pop("iterations"))} if "iterations" in options else {}
    return method(step=make_rule(**arguments), **more)


class MethodEntry(NamedTuple):
    """A method of `solve`: its class in `cmapjax.methods`, its options, and what it counts."""

    home: str
    options: tuple[str, ...]
    iterations: str
    limit: str | None = None
    """The option after which it gives up; None if it always arrives."""


METHODS = {
    "decomposition": MethodEntry("Decomposition", (), "flows"),
    "identify": MethodEntry("IdentifyAndCertify", ("first", "first_tolerance", "resolution"), "flows"),
    "sweeps": MethodEntry("ColouredSweeps", ("max_sweeps", "check_every"), "sweeps", "max_sweeps"),
}


def method_entry(text: str) -> tuple[Spec, MethodEntry]:
    """What a method is called, its options checked as far as that goes without loading JAX."""
    spec = parse(text)
    entry = choose("method", spec, METHODS)
    for key, value in spec.options.items():
        if key not in entry.options:
            known = ", ".join(entry.options) or "none"
            raise ValueError(f"method {spec.name} has no option {short(key or value)}; it takes: {known}.")
        if key == "first":
            method_entry(value)
        else:
            number(value)
    return spec, entry


def method(text: str):
    """A method of finding the equilibrium; `identify:first=sweeps` has one within it."""
    from cmapjax import methods

    spec, entry = method_entry(text)
    options = dict(spec.options)
    more = {"first": method(options.pop("first"))} if "first" in options else {}
    return build("method", spec._replace(options=options), getattr(methods, entry.home), {}, **more)
