"""`cmapjax simulate`: strategies side by side on the same markets."""

import functools
import json as json_format
import time
from typing import Any, NamedTuple

from cmapjax.arguments._checks import check_span, short, without_zeros
from cmapjax.cli._cache import switch_on
from cmapjax.cli._output import PRINTED, check_folder, check_json, market_lines, say, write_json, write_text
from cmapjax.cli._progress import interruptible
from cmapjax.cli._receipts import check_receipts, memory_of_receipts, receipts_to
from cmapjax.cli._requests import Simulate
from cmapjax.cli._source import Source, check, market, run_key
from cmapjax.runtime._timings import Timings, in_words
from cmapjax.words._networks import trace_path
from cmapjax.words._objects import Builder
from cmapjax.words._own import check_laws
from cmapjax.words._plans import Plan, make, plan

DEFAULT_STRATEGIES = (
    "cmap:schedule=sequential",
    "cmap:schedule=simultaneous",
    "cmap:damping=local",
    "proportional-response",
)
# Instead of the last one where it makes no sense.
OTHERWISE = "bid-response"


class Outcome(NamedTuple):
    """One strategy's run, with the wall time it took: in all, and compiling."""

    plan: Plan
    run: Any
    seconds: float
    compiling: float


def run(source: Source, request: Simulate) -> None:
    """Read, solve, simulate, report, write."""
    plans, process = _check(source, request)
    switch_on()
    timings = Timings()
    with timings("loading"):
        from cmapjax.cli import _report
    with timings("checking"):
        for _, strategy, _ in plans:
            check_laws(strategy)
    simulated = market(source, timings)
    plans = _suited(plans, simulated, request)
    times_in = None
    if process is None:
        simulated, process, times_in = _trace(source, simulated, request.endowments)
    times, process = getattr(process, "times", None), process.matched(simulated)
    check_span(without_zeros(simulated.contribution), request.precision, lambda i: simulated.labels[i])
    process.check(simulated, request.rounds)
    if request.out is not None:
        request.out.mkdir(parents=True, exist_ok=True)  # now, lest hours of work find no place
    if request.json != PRINTED:
        say("\n".join(market_lines(source, simulated)))
        for line in _said_before(request, simulated, len(plans), times_in):
            say(line)
    equilibrium = None
    if request.equilibrium:
        with timings("solving"):
            from cmapjax import solve

            equilibrium = interruptible(lambda: solve(simulated), "equilibrium")
    key = run_key(source, process, *(schedule for *_, schedule in plans))
    play = _prepared(simulated, request, process, equilibrium, key)
    with receipts_to(request.receipts, simulated, times) as receipts:
        outcomes = [_play(play, *line, request, timings, receipts) for line in plans]
    if request.out is not None:
        _write(source, request, simulated, outcomes, equilibrium, timings)
    with timings("summing up"):
        document = _report.as_document(source, request, simulated, equilibrium, outcomes)
    document["timings"] = timings.document()
    if request.out is not None:  # last, for it says how long the others took
        write_text(request.out / "summary.json", json_format.dumps(document, allow_nan=False, indent=1))
    write_json(request.json, document)
    if request.json != PRINTED:
        _report.show(request, simulated, equilibrium, document)
        say(in_words(document["timings"]))


def _check(source: Source, request: Simulate) -> tuple[list[tuple], Any]:
    """The lines of the comparison and the process, once all that can be refused has been looked at."""
    check(source)
    for name, number, least in (("--rounds", request.rounds, 1), ("--every", request.every, 1)):
        if number is not None and number < least:
            raise ValueError(f"{name} is {number}; give a whole number, {least} or more.")
    if request.precision not in ("float32", "float64"):
        raise ValueError(f"--precision is {request.precision!r}; give float64 or float32.")
    if request.plot and request.out is None:
        raise ValueError("--plot writes pictures into a folder; name it with --out DIR.")
    check_json(request.json)
    if request.receipts is not None:
        check_receipts(request.receipts, request.every)
    if request.out is not None:
        check_folder("--out", request.out)
    builder = Builder()
    process = None
    if trace_path(request.endowments) is None:
        from cmapjax.endowments import Endowments

        process = builder.build(Endowments, request.endowments)
    texts = request.strategy or DEFAULT_STRATEGIES
    lines = [plan(text, request.schedule, request.damping) for text in texts]
    labels = [line.label for line in lines]
    twice = {label for label in labels if labels.count(label) > 1}
    if twice:
        raise ValueError(f"--strategy: {', '.join(sorted(twice))} is asked for twice; give it once.")
    return [(line, *make(line, builder)) for line in lines], process


def _suited(plans: list[tuple], simulated, request: Simulate) -> list[tuple]:
    """The lines of the comparison that make sense on these markets; those that were asked for must."""
    if not request.strategy and simulated.terms:
        line = plan(OTHERWISE, request.schedule, request.damping)
        plans = [*plans[:-1], (line, *make(line, Builder()))]
    for _, strategy, _ in plans:
        strategy.check_market(simulated)
    return plans


def _trace(source: Source, simulated, text: str):
    """The market that brings a trace's means (or what a file says), the trace, and its column of times."""
    from cmapjax.endowments import Trace
    from cmapjax.graphs._trace import market_with_trace

    path = trace_path(text)
    simulated, table = market_with_trace(path, simulated, source.file, given_in=_endowments_in(source))
    return simulated, Trace(table), table.index.name


def _endowments_in(source: Source) -> str | None:
    """The file or option that says what agents bring on average, if any."""
    from cmapjax.graphs._agents_table import has_endowments

    if source.agents is not None and has_endowments(source.agents, source.file):
        return str(source.agents)
    if source.mean_endowment != "unit":
        return f"--mean-endowment {source.mean_endowment}"
    attribute = source.file.endowment_attribute
    return None if attribute is None else source.file.say("endowment_attribute", attribute)


def _write(source: Source, request: Simulate, simulated, outcomes, equilibrium, timings: Timings) -> None:
    """Tables and pictures."""
    from cmapjax.cli import _report, _tables

    with timings("writing"):
        _tables.write(request.out, source, request, simulated, outcomes, equilibrium)
        _report.write(request.out, simulated, outcomes, equilibrium)
    if request.plot:
        with timings("drawing pictures"):
            _report.draw(request.out, simulated, outcomes, equilibrium)


def _prepared(simulated, request: Simulate, process, equilibrium, key):
    """`simulate` with all that the lines of a comparison have in common."""
    from cmapjax import simulate

    return functools.partial(
        simulate,
        simulated,
        endowments=process,
        record=_record(request, process, equilibrium),
        precision=request.precision,
        key=key,
    )


def _record(request: Simulate, process, equilibrium) -> dict:
    """What is recorded of every line of a comparison, by name."""
    from cmapjax import metrics

    record = metrics.standard(None if equilibrium is None else equilibrium.utility)
    if equilibrium is None and not process.is_constant:
        record["average_certified_gap"] = metrics.average_certified_gap
    if request.receipts is not None:
        record["received"] = metrics.received
    return record


def _said_before(request: Simulate, simulated, count: int, named: str | None) -> list[str]:
    """Which column holds times, and how much is to be written, before anything is played."""
    lines = []
    if named:
        path = trace_path(request.endowments)
        lines.append(f"{path}: column {short(named)} names no agent and is taken for the times of rounds")
    if request.receipts is not None:
        rows = request.rounds * simulated.num_agents * count
        memory = memory_of_receipts(simulated, request.rounds)
        lines.append(
            f"receipts: {rows:,} rows ({request.rounds:,} rounds, {simulated.num_agents:,} agents, {count} "
            f"strategies) go to {request.receipts}, with about {memory:,} MiB of them in memory at "
            "most"
        )
    return lines


def _play(play, line: Plan, strategy, schedule, request: Simulate, timings: Timings, receipts) -> Outcome:
    began = time.perf_counter()
    play = functools.partial(play, strategy, schedule=schedule, progress=True)
    with timings("running") as spent:
        if receipts is None:
            run = interruptible(functools.partial(play, rounds=request.rounds, every=request.every))
        else:
            part = functools.partial(play, every=1)
            run = interruptible(lambda: receipts.played(part, request.rounds, line.label))
    return Outcome(line, run, time.perf_counter() - began, spent["compiling"])
