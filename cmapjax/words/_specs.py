"""From words to objects, on the command line and in studies: one small grammar, and the only table of names.

A spec is `name` or `name:key=value,key=value`; a value may itself be a spec (`schedule=participation:0.5`).
"""

import functools
import inspect
import re
from collections.abc import Callable
from typing import Any, NamedTuple

from cmapjax.arguments._checks import short


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


@functools.cache
def _parameters(make: Callable) -> tuple[inspect.Parameter, ...]:
    """What a class takes; a study asks for each of its cells."""
    return tuple(inspect.signature(make).parameters.values())


def build(kind: str, spec: Spec, make: Callable, short_names: dict[str, str], **more) -> Any:
    """`make` called with the spec's options as numbers.

    Raises:
        ValueError: options that `make` does not take or that are missing, and whatever `make` refuses.
    """
    accepted = [p for p in _parameters(make) if p.name not in ("_", *more)]
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


# Classes by name, as text: a name is looked up before the module is imported, and JAX with it.
FAMILIES = {
    "erdos-renyi": "ErdosRenyi",
    "er": "ErdosRenyi",
    "barabasi-albert": "BarabasiAlbert",
    "ba": "BarabasiAlbert",
    "watts-strogatz": "WattsStrogatz",
    "ws": "WattsStrogatz",
    "geometric": "RandomGeometric",
    "regular": "RandomRegular",
    "tree": "RandomTree",
    "torus": "TorusGrid",
    "bipartite": "Bipartite",
    "complete": "Complete",
    "ring": "Ring",
    "star": "Star",
    "blocks": "StochasticBlockModel",
}
DISTRIBUTIONS = {
    "unit": "Unit",
    "uniform": "Uniform",
    "lognormal": "LogNormal",
    "pareto": "Pareto",
    "exponential": "Exponential",
    "gamma": "Gamma",
}
ENDOWMENTS = {
    "constant": "Constant",
    "exponential": "Exponential",
    "gamma": "Gamma",
    "lognormal": "LogNormal",
    "on-off": "OnOff",
    "trace": "Trace",
}
SCHEDULES = {
    "simultaneous": "Simultaneous",
    "sequential": "Sequential",
    "coloured": "Coloured",
    "colored": "Coloured",
    "random-order": "RandomOrder",
    "one-agent": "OneAgentPerRound",
    "participation": "RandomParticipation",
}


def family(spec: Spec):
    """A random family with its parameters."""
    name = choose("family", spec, FAMILIES)
    from cmapjax import graphs

    return build("family", spec, getattr(graphs, name), SHORT)


def distribution(option: str, text: str):
    """A distribution of endowments or values over the agents of a random market."""
    spec = parse(text)
    name = choose(option, spec, DISTRIBUTIONS)
    from cmapjax import graphs

    return build(option, spec, getattr(graphs, name), {})


def endowment_process(spec: Spec):
    """The endowments of each round (a trace is read elsewhere, because it needs the market)."""
    name = choose("endowments", spec, ENDOWMENTS)
    from cmapjax import endowments

    return build("endowments", spec, getattr(endowments, name), SHORT)


def schedule(text: str):
    """A schedule."""
    spec = schedule_spec(text)
    from cmapjax.schedules import _schedule

    return build("schedule", spec, getattr(_schedule, SCHEDULES[spec.name]), SHORT)


def schedule_spec(text: str) -> Spec:
    """What a schedule is called, checked without JAX."""
    spec = parse(text)
    choose("schedule", spec, SCHEDULES)
    if spec.options and spec.name != "participation":
        raise ValueError(f"schedule {spec.name} has no options here; write just {spec.name}.")
    return spec


class MethodEntry(NamedTuple):
    """A method of `solve`: its class in `cmapjax.equilibrium`, its options, and what it counts."""

    home: str
    options: tuple[str, ...]
    iterations: str
    remedy: str = ""
    """What to do if it stops too early, ending in the name of an option; nothing if it never does."""


METHODS = {
    "decomposition": MethodEntry("Decomposition", (), "flows"),
    "projected-gradient": MethodEntry(
        "ProjectedGradient", ("max_steps", "check_every", "projection"), "steps", "raise max_steps"
    ),
    "convex": MethodEntry("ConvexProgram", ("accuracy", "max_seconds"), "iterations", "lower accuracy"),
}
PROJECTIONS = {"optax": "optax.projections", "jaxopt": "jaxopt.projection"}  # and where each has it


def method_entry(text: str) -> tuple[Spec, MethodEntry]:
    """What a method is called, its options checked as far as that goes without loading JAX."""
    spec = parse(text)
    entry = choose("method", spec, METHODS)
    for key, value in spec.options.items():
        if key not in entry.options:
            known = ", ".join(entry.options) or "none"
            raise ValueError(f"method {spec.name} has no option {short(key or value)}; it takes: {known}.")
        if key == "projection":
            choose("projection", Spec(value, value, {}), PROJECTIONS)
        else:
            number(value)
    return spec, entry


def method(text: str):
    """A method of finding the equilibrium."""
    from cmapjax import equilibrium as methods

    spec, entry = method_entry(text)
    options, more = dict(spec.options), {}
    if "projection" in options:
        more["projection"] = _projection(options.pop("projection"))
    return build("method", spec._replace(options=options), getattr(methods, entry.home), {}, **more)


def _projection(library: str) -> Callable:
    """A library's projection onto the simplex."""
    if library == "jaxopt":
        from cmapjax.strategies._gradient import import_jaxopt

        return import_jaxopt().projection.projection_simplex
    from optax.projections import projection_simplex

    return projection_simplex
