"""The commands `cmapjax study …` and `cmapjax report`, and their options."""

from pathlib import Path
from typing import Annotated

import typer

from cmapjax.cli._requests import Json

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


@app.command()
def init(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The study file to write.")] = Path(
        "study.toml"
    ),
) -> None:
    """Write a commented study file to start from."""
    from cmapjax.cli import _study_files

    _study_files.init(file)


@app.command()
def plan(
    file: File,
    sample: Annotated[bool, typer.Option(help="Play a small sample to tell how long it will take.")] = True,
    json: Json = None,
) -> None:
    """Cells, markets, memory, disk and time of a study, before anything is run."""
    from cmapjax.cli import _study_files

    _study_files.plan(file, sample, json)


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
    from cmapjax.cli import _study_run

    request = _study_run.Request(workers, cluster, time_limit, worker_memory, mixed, chunk_size)
    raise typer.Exit(_study_run.run(file, out, request))


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
    from cmapjax.cli import _study_run

    request = _study_run.Request(workers, cluster, time_limit, worker_memory, mixed)
    raise typer.Exit(_study_run.resume(folder, request))


@app.command()
def status(folder: Folder, json: Json = None) -> None:
    """How far a study is, whether it is being run, and what has failed."""
    from cmapjax.cli import _study_look

    _study_look.status(folder, json)


@app.command()
def cancel(folder: Folder) -> None:
    """End the run that works on DIR, in good order; resume it later."""
    from cmapjax.cli import _study_look

    raise typer.Exit(_study_look.cancel(folder))


@app.command()
def verify(
    folder: Folder,
    repair: Annotated[
        bool,
        typer.Option(
            "--repair", help="Put damaged files aside and mend the rest, so that resume replaces them."
        ),
    ] = False,
) -> None:
    """Check every file of the results against its checksum."""
    from cmapjax.cli import _study_look

    raise typer.Exit(_study_look.verify(folder, repair))


@app.command()
def diff(
    first: Annotated[Path, typer.Argument(metavar="A", help="The folder of a study's results.")],
    second: Annotated[Path, typer.Argument(metavar="B", help="Another one.")],
) -> None:
    """Why the results of two studies differ.

    Exit code 0 if both hold the same markets with equal values (differences in description, versions or
    device are named all the same), 1 if not, 2 if one of them cannot be read.
    """
    from cmapjax.cli import _study_look

    raise typer.Exit(_study_look.diff(first, second))


@app.command()
def export(
    folder: Folder,
    csv: Annotated[Path | None, typer.Option("--csv", help="Write the summary table to this file.")] = None,
    netcdf: Annotated[
        Path | None, typer.Option("--netcdf", help="Write the results over the study's axes to this file.")
    ] = None,
) -> None:
    """Write results in other formats."""
    from cmapjax.cli import _study_look

    _study_look.export(folder, csv, netcdf)


def report(
    folder: Folder,
    out: Annotated[
        Path | None, typer.Option("--out", help="The page to write; by default DIR/report.html.")
    ] = None,
) -> None:
    """Make one page (HTML, opens offline) of a study's results."""
    from cmapjax.cli import _study_look

    _study_look.report(folder, out)
