"""`cmapjax explain`: one agent in one round."""

import dataclasses

from cmapjax.arguments._checks import short
from cmapjax.cli._cache import switch_on
from cmapjax.cli._output import PICTURES, PRINTED, check_file, check_json, say, write_json
from cmapjax.cli._requests import Explain
from cmapjax.cli._source import Source, check, market, run_key
from cmapjax.words._plans import make, plan

# What is written of neighbours in markets with other terms than endowment and value.
OF_TERMS = ("claim", "demand", "own_use", "capacity", "efficiency")


def run(source: Source, request: Explain) -> None:
    """Play up to that turn, and tell."""
    check(source)
    if request.round < 1:
        raise ValueError(f"--round is {request.round}; give a whole number, 1 or more.")
    check_json(request.json)
    if request.plot is not None:
        check_file("--plot", request.plot, PICTURES)
    line = plan(request.strategy, request.schedule, request.damping)
    strategy, schedule = make(line)
    switch_on()
    from cmapjax import explain, plots

    played = market(source)
    about = explain(
        played,
        strategy,
        _label(played, request.agent),
        request.round,
        schedule=schedule,
        key=run_key(source, schedule),
    )
    if request.plot is not None:
        plots.save(plots.explanation(about), request.plot)
    write_json(request.json, _document(about, line.label))
    if request.json != PRINTED:
        say(str(about))


def _label(played, text: str):
    """The agent's label as the market has it: text, or a number."""
    for label in (text, int(text) if text.isascii() and text.lstrip("-").isdigit() else text):
        try:
            played.index(label)
        except ValueError:
            continue
        return label
    raise ValueError(
        f"--agent is {short(text)}, which is not in this market of {played.num_agents:,} agents; they are "
        f"called {short(played.labels[0])}, {short(played.labels[1])}, ..."
    )


def _document(about, label: str) -> dict:
    document = {
        name: getattr(about, name)
        for name in ("agent", "round", "turn", "num_turns", "contribution", "utility", "theta", "level")
    }
    document["strategy"] = label
    worked_out = ("from_others", "level_after")
    neighbours = [dataclasses.asdict(n) | {k: getattr(n, k) for k in worked_out} for n in about.neighbours]
    if about.own is None:
        neighbours = [{k: x for k, x in n.items() if k not in OF_TERMS} for n in neighbours]
    else:
        document |= dataclasses.asdict(about.own) | {"kept": about.kept}
    document["neighbours"] = neighbours
    return document
