"""`cmapjax simulate`: strategies side by side on the same markets."""

import json as json_format
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

from cmapjax._cli._output import check_folder, market_lines
from cmapjax._cli._source import Source, market
from cmapjax._cli._specs import Plan, endowment_process, parse, plan

DEFAULT_STRATEGIES = (
    "cmap:schedule=sequential",
    "cmap:schedule=simultaneous",
    "cmap:damping=local",
    "proportional-response",
)
MOST_CHUNKS = 20  # steps of the progress bar


class Request(NamedTuple):
    """What to run and what to make of it, as typed."""

    strategies: tuple[str, ...] = ()
    schedule: str = "simultaneous"
    damping: str = "none"
    rounds: int = 100
    every: int = 1
    endowments: str = "constant"
    precision: str = "float64"
    equilibrium: bool = True
    out: Path | None = None
    plot: bool = False
    json: bool = False


class Outcome(NamedTuple):
    """One strategy's run, with the wall time it took (compilation included)."""

    plan: Plan
    run: Any
    seconds: float


def run(source: Source, request: Request) -> None:
    """Read, solve, simulate, report, write."""
    plans = _check(request)
    process = _process(request.endowments)
    simulated = market(source)
    if process is None:
        simulated, process = _trace(source, simulated, request.endowments)
    _check_span(simulated, request)
    process.check(simulated, request.rounds)
    if request.out is not None:
        check_folder(request.out)
    if not request.json:
        for line in market_lines(source, simulated):
            print(line)
    equilibrium = _solve(simulated, request) if request.equilibrium else None
    outcomes = [_play(simulated, line, request, process, equilibrium, source.seed) for line in plans]
    from cmapjax._cli import _report

    document = _report.as_document(source, request, simulated, equilibrium, outcomes)
    if request.out is not None:
        _report.write(request.out, document, simulated, outcomes, equilibrium)
        if request.plot:
            _report.draw(request.out, simulated, outcomes, equilibrium)
    if request.json:
        sys.stdout.write(json_format.dumps(document, allow_nan=False) + "\n")
    else:
        _report.show(request, simulated, equilibrium, document)


def _check(request: Request) -> list[Plan]:
    for name, number, least in (("--rounds", request.rounds, 1), ("--every", request.every, 1)):
        if number < least:
            raise ValueError(f"{name} is {number}; give a whole number, {least} or more.")
    if request.precision not in ("float32", "float64"):
        raise ValueError(f"--precision is {request.precision!r}; give float64 or float32.")
    if request.plot and request.out is None:
        raise ValueError("--plot writes pictures into a folder; name it with --out DIR.")
    texts = request.strategies or DEFAULT_STRATEGIES
    plans = [plan(text, request.schedule, request.damping) for text in texts]
    labels = [line.label for line in plans]
    twice = {label for label in labels if labels.count(label) > 1}
    if twice:
        raise ValueError(f"--strategy: {', '.join(sorted(twice))} is asked for twice; give it once.")
    return plans


def _process(text: str):
    """The endowments of rounds, or None for a trace, which needs the market first."""
    spec = parse(text)
    if spec.name != "trace":
        return endowment_process(spec)
    if not text.partition(":")[2].strip():
        raise ValueError("--endowments trace needs a file: trace:FILE (CSV or TSV, a column per agent).")
    return None


def _trace(source: Source, simulated, text: str):
    """The recorded endowments; a market without endowments of its own gets their means."""
    from cmapjax.endowments import Trace
    from cmapjax.graphs import read_trace

    trace = Trace(read_trace(text.partition(":")[2].strip(), simulated))
    if source.agents is None and source.endowment_attribute is None:
        simulated = simulated.with_contributions(endowment=trace.means)
    return simulated, trace


def _check_span(simulated, request: Request) -> None:
    from cmapjax._checks import check_span

    check_span(simulated.contribution, request.precision, lambda i: simulated.labels[i])


def _solve(simulated, request: Request):
    from cmapjax import solve

    with _progress(request, "equilibrium", None):
        return solve(simulated)


def _play(simulated, line: Plan, request: Request, process, equilibrium, seed: int) -> Outcome:
    import jax

    from cmapjax import metrics, simulate

    record = metrics.standard(None if equilibrium is None else equilibrium.utility)
    key = jax.random.fold_in(jax.random.key(seed), 2**31)  # apart from the keys of drawn markets
    began = time.perf_counter()
    planned = line.schedule.plan(simulated, line.strategy.hops)
    parts, state, played = [], None, 0
    with _progress(request, line.label, request.rounds) as advance:
        while played < request.rounds:
            rounds = min(_chunk(request), request.rounds - played)
            part = simulate(
                simulated,
                line.strategy,
                rounds=rounds,
                schedule=planned,
                endowments=process,
                record=record,
                every=request.every,
                start=state,
                precision=request.precision,
                key=key,
            )
            parts, state, played = [*parts, part], part.final, played + rounds
            advance(rounds)
    return Outcome(line, _joined(parts), time.perf_counter() - began)


def _chunk(request: Request) -> int:
    """Rounds between two looks at the clock: whole intervals of recording, all chunks alike if possible."""
    intervals = -(-request.rounds // request.every)
    chunks = next(c for c in range(min(MOST_CHUNKS, intervals), 0, -1) if intervals % c == 0)
    return intervals // chunks * request.every


def _joined(parts: list):
    """One run of the parts played one after another; each starts with the record the last ended with."""
    import equinox as eqx
    import numpy as np

    def join(*tables):
        return np.concatenate([tables[0], *(table[1:] for table in tables[1:])])

    last = parts[-1]
    return eqx.tree_at(
        lambda r: (r.rounds, r.agent_updates, r.records),
        last,
        (
            join(*(p.rounds for p in parts)),
            join(*(p.agent_updates for p in parts)),
            {name: join(*(p.records[name] for p in parts)) for name in last.records},
        ),
    )


class _progress:
    """A bar on a terminal, nothing elsewhere; used as `with … as advance`."""

    def __init__(self, request: Request, label: str, total: int | None):
        self.is_shown = sys.stderr.isatty() and not request.json
        self.label, self.total = label, total

    def __enter__(self):
        if not self.is_shown:
            return lambda rounds: None
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

        self.bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=True,
        )
        self.bar.start()
        task = self.bar.add_task(self.label, total=self.total)
        return lambda rounds: self.bar.advance(task, rounds)

    def __exit__(self, *_):
        if self.is_shown:
            self.bar.stop()
