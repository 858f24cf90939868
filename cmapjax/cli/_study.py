"""`cmapjax study init`, `plan`, `run` and `resume`, and the options of all commands about studies."""

import dataclasses
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from cmapjax.cli._output import PRINTED, check_file, check_json, printable, say, show, write_json, write_text
from cmapjax.cli._requests import Json
from cmapjax.cli._study_words import StudyBar, duration, parse_size, parse_time, size

app = typer.Typer(
    name="study",
    help="Sweeps over many cells: describe, plan, run, resume, check and compare.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)

File = Annotated[Path, typer.Argument(metavar="FILE", help="A study file (TOML).")]
Folder = Annotated[Path, typer.Argument(metavar="DIR", help="The folder of a study's results.")]
Workers = Annotated[
    int | None,
    typer.Option(
        "--workers",
        help="Play on so many processes of this machine. By default in this one, a chunk per core at a time.",
    ),
]
Cluster = Annotated[
    str | None,
    typer.Option(
        "--cluster",
        metavar="ADDRESS",
        help="Play on the workers of this Dask scheduler: tcp://HOST:PORT, or its scheduler file (.json).",
    ),
]
TimeLimit = Annotated[
    str | None,
    typer.Option(
        "--time-limit", metavar="TIME", help="End in good order after this time: 90s, 30m, 2h, 1:30:00."
    ),
]
WorkerMemory = Annotated[
    str | None,
    typer.Option(
        "--worker-memory",
        metavar="SIZE",
        help="Memory of each of --workers: 500MB, 2GiB. By default a share of what the machine has.",
    ),
]
Mixed = Annotated[
    bool,
    typer.Option(
        "--mixed", help="Go on although versions or the device are not those that the study was begun with."
    ),
]


DONE, NOT_REACHED, INTERRUPTED = 0, 1, 130
SHOWN_FAILURES = 5


@app.command()
def init(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The study file to write.")] = Path(
        "study.toml"
    ),
) -> None:
    """Write a commented study file to start from."""
    from cmapjax import studies

    check_file("FILE", file)
    if file.exists():
        raise ValueError(f"{file} exists already; name another file, or remove it first.")
    write_text(file, studies.starter())
    say(f"wrote {printable(file)}: change it to your study, then `cmapjax study plan {printable(file)}`")


@app.command()
def plan(
    file: File,
    sample: Annotated[bool, typer.Option(help="Play a small sample to tell how long it will take.")] = True,
    json: Json = None,
) -> None:
    """Cells, markets, memory, disk and time of a study, before anything is run."""
    from cmapjax import studies

    check_json(json)
    study = studies.read_study(file)
    if sample:
        from cmapjax.cli import _cache

        _cache.switch_on()
    estimate = studies.estimate(study, sample=sample)
    write_json(json, dataclasses.asdict(estimate))
    if json == PRINTED:
        return
    show(_rows(study, estimate).items())
    for note in estimate.notes:
        say(f"note: {printable(note)}")


def _rows(study, estimate) -> dict[str, str]:
    """What a study comes to, by name."""
    time = "not measured (leave out --no-sample)"
    if estimate.seconds is not None:
        compiling = (
            f", of which compiling {duration(estimate.compile_seconds)}" if estimate.compile_seconds else ""
        )
        time = f"{duration(estimate.seconds)} on one core of this machine{compiling}"
    return {
        "study": study.name,
        "cells": f"{estimate.cells:,} on {estimate.grounds:,} grounds",
        "markets": f"{estimate.markets:,} drawn, {estimate.runs:,} runs of {study.rounds:,} rounds",
        "chunks": f"{estimate.chunks:,}, some {estimate.programs:,} compiled programs",
        "memory": f"{size(estimate.memory_bytes)} per worker, at most about; "
        f"without --workers {size(estimate.chunk_bytes)} more per further core",
        "disk": size(estimate.disk_bytes),
        "time": time,
    }


@app.command()
def run(
    file: File,
    out: Annotated[
        Path,
        typer.Option("--out", metavar="DIR", help="Folder for the results: new, empty, or of this study."),
    ],
    workers: Workers = None,
    cluster: Cluster = None,
    time_limit: TimeLimit = None,
    worker_memory: WorkerMemory = None,
    mixed: Mixed = False,
    chunk_size: Annotated[
        int | None,
        typer.Option(
            "--chunk-size",
            help="Markets to play at once, at most, of a study that begins now. Changes rounding alone.",
        ),
    ] = None,
) -> None:
    """Run a study; in a folder that holds a part of it, the rest."""
    options = _options(workers, cluster, time_limit, worker_memory, mixed=mixed, chunk_size=chunk_size)
    from cmapjax import studies

    study = studies.read_study(file)
    check_folder_of_results(out)
    raise typer.Exit(_run(study, out, options, file.read_text(encoding="utf-8-sig")))


@app.command()
def resume(
    folder: Folder,
    workers: Workers = None,
    cluster: Cluster = None,
    time_limit: TimeLimit = None,
    worker_memory: WorkerMemory = None,
    mixed: Mixed = False,
) -> None:
    """Run what is missing in DIR of the study kept there, also what has failed."""
    options = _options(workers, cluster, time_limit, worker_memory, mixed=mixed)
    from cmapjax.studies.run import reopened

    raise typer.Exit(_run(reopened(folder), folder, options, None))


def _options(workers, cluster, time_limit, worker_memory, **more):
    """Who plays, and for how long, checked."""
    from cmapjax.studies.run import Options

    return Options(
        workers=workers,
        cluster=cluster,
        time_limit=None if time_limit is None else parse_time(time_limit),
        worker_memory=None if worker_memory is None else parse_size(worker_memory),
        **more,
    )


def check_folder_of_results(out: Path) -> None:
    """Raise ValueError, before JAX is loaded, if nothing can be put there."""
    nearest = next(p for p in (out, *out.absolute().parents) if p.exists())
    if not nearest.is_dir() or not os.access(nearest, os.W_OK | os.X_OK):
        raise ValueError(f"--out {out} cannot be made in {nearest}; name a place where you may write.")


def _run(study, folder: Path, options, text: str | None) -> int:
    from cmapjax.cli import _cache
    from cmapjax.studies.run import RunnerError, run

    _cache.switch_on()
    try:
        with StudyBar(study.name) as progress:
            summary = run(study, folder, options, text=text, progress=progress)
    except RunnerError as error:
        print(f"error: {printable(error)}", file=sys.stderr, flush=True)
        return NOT_REACHED
    code = _say(summary, printable(folder))
    if summary.left_playing:  # compiled code runs in a thread of this process, for which Python would wait
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    return code


def _say(summary, folder: str) -> int:
    """What the run did, in a few lines; the exit code."""
    for name, reason in list(summary.failed.items())[:SHOWN_FAILURES]:
        print(f"failed: {name}: {printable(reason)}", file=sys.stderr)
    more = len(summary.failed) - SHOWN_FAILURES
    if more > 0:
        print(f"failed: {more} more chunks; see `cmapjax study status {folder}`", file=sys.stderr, flush=True)
    done = f"{summary.done:,} chunks in {duration(summary.seconds)}"
    if not summary.failed and not summary.missing:
        say(f"{folder}: complete ({done})")
        return DONE
    parts = [f"{len(summary.failed):,} failed"] if summary.failed else []
    parts += [f"{summary.missing:,} missing"] if summary.missing else []
    why = f"; ended by {summary.stopped}" if summary.stopped else ""
    say(f"{folder}: {done}, {', '.join(parts)}{why}. Go on with: cmapjax study resume {folder}")
    return INTERRUPTED if summary.stopped == "interrupted" else NOT_REACHED
