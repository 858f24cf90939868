"""Commands that look at a results folder: `cmapjax study status`, `cancel`, `verify`, `diff`, `export`, and
`cmapjax report`."""

import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from cmapjax.cli._output import PRINTED, check_file, check_json, printable, say, show, write_json
from cmapjax.cli._requests import Json
from cmapjax.cli._study import DONE, NOT_REACHED, Folder, app
from cmapjax.cli._study_words import duration

SHOWN_FAILURES = 10
# A run that is asked to end does so within ten seconds.
CANCEL_SECONDS = 15.0


@app.command()
def status(folder: Folder, json: Json = None) -> None:
    """How far a study is, whether it is being run, and what has failed."""
    from cmapjax.studies import run

    check_json(json)
    found = run.status(folder)
    write_json(json, found.__dict__)
    if json == PRINTED:
        return
    share = found.markets_done / found.markets
    rows = {
        "study": found.name,
        "state": _state(found),
        "cells": f"{found.cells:,}",
        "markets done": f"{found.markets_done:,} of {found.markets:,} ({share:.1%})",
        "chunks": f"{found.chunks_done:,} done, {found.chunks_lacking:,} lacking",
        "failed": f"{len(found.failed):,} chunks",
        "begun": f"{found.created}; {found.runs:,} runs of {duration(found.seconds)} in all have ended",
    }
    if found.rate:
        left = f", {duration(found.remaining)} left" if found.remaining else ""
        rows["rate"] = f"{found.rate:,.3g} markets per second{left}"
    show(rows.items())
    for name, reason in list(found.failed.items())[:SHOWN_FAILURES]:
        say(f"failed: {name}: {printable(reason)}")
    if len(found.failed) > SHOWN_FAILURES:
        say(f"failed: {len(found.failed) - SHOWN_FAILURES:,} more; --json FILE names them all")
    for line in found.last:
        say(f"log: {printable(line)}")


def _state(found) -> str:
    if found.running:
        return f"being run by {printable(found.running)}"
    if found.is_complete:
        return "complete"
    return "not complete; nobody is running it (cmapjax study resume)"


@app.command()
def cancel(folder: Folder) -> None:
    """End the run that works on DIR, in good order; resume it later."""
    raise typer.Exit(_cancelled(folder))


def _cancelled(folder: Path) -> int:
    """Ask the run to end, and wait for it; the exit code."""
    from cmapjax.studies import run
    from cmapjax.studies.results import Results

    results = Results(folder)
    running = results.runner()
    if running is None:
        say(f"{printable(folder)}: nobody is running this study.")
        return NOT_REACHED
    run.cancel(folder)
    deadline = time.monotonic() + CANCEL_SECONDS
    while time.monotonic() < deadline:
        time.sleep(0.3)
        if results.runner() != running:
            ended = f"{printable(folder)}: {printable(running)} has ended."
            say(f"{ended} Go on with: cmapjax study resume {printable(folder)}")
            return DONE
    print(
        f"error: {printable(running)} has not ended within {CANCEL_SECONDS:.0f} s; the request stands.",
        file=sys.stderr,
        flush=True,
    )
    return NOT_REACHED


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
    from cmapjax.studies import results

    found = results.verify(folder, repair=repair)
    for finding in found:
        say(printable(str(finding)))
    bad = [finding for finding in found if not finding.harmless]
    if not bad:
        more = ", but for the above" if found else ""
        say(f"{printable(folder)}: every file is as it was written{more}")
    elif repair:
        say(f"{len(bad):,} files repaired. Go on with: cmapjax study resume {printable(folder)}")
    else:
        say(f"{len(bad):,} files are damaged. Mend with: cmapjax study verify {printable(folder)} --repair")
        raise typer.Exit(NOT_REACHED)


@app.command()
def diff(
    first: Annotated[Path, typer.Argument(metavar="A", help="The folder of a study's results.")],
    second: Annotated[Path, typer.Argument(metavar="B", help="Another one.")],
) -> None:
    """Why the results of two studies differ.

    Exit code 0 if both hold the same markets with equal values (differences in description, versions or
    device are named all the same), 1 if not, 2 if one of them cannot be read.
    """
    from cmapjax.studies import results

    found = results.diff(first, second)
    for difference in found:
        say(printable(str(difference)))
    if any(difference.is_of_values for difference in found):
        raise typer.Exit(NOT_REACHED)
    say("the same values all the same" if found else "the same study with the same values")


@app.command()
def export(
    folder: Folder,
    csv: Annotated[Path | None, typer.Option("--csv", help="Write the summary table to this file.")] = None,
    netcdf: Annotated[
        Path | None, typer.Option("--netcdf", help="Write the results over the study's axes to this file.")
    ] = None,
) -> None:
    """Write results in other formats."""
    if csv is None and netcdf is None:
        raise ValueError("export writes nothing unless told what: --csv FILE, --netcdf FILE, or both.")
    for option, file in (("--csv", csv), ("--netcdf", netcdf)):
        if file is not None:
            check_file(option, file)
    from cmapjax.studies.results import open_study

    results = open_study(folder)
    if csv is not None:
        results.to_csv(csv)
        say(f"wrote {printable(csv)}")
    if netcdf is not None:
        results.to_netcdf(netcdf)
        say(f"wrote {printable(netcdf)}")


def report(
    folder: Folder,
    out: Annotated[
        Path | None, typer.Option("--out", help="The page to write; by default DIR/report.html.")
    ] = None,
) -> None:
    """Make one page (HTML, opens offline) of a study's results."""
    if not folder.is_dir():
        raise ValueError(f"{printable(folder)}: there is no such folder; name a folder of results.")
    if out is not None:
        check_file("--out", out)
    from cmapjax import report as pages
    from cmapjax.cli import _cache

    _cache.switch_on()  # markets are drawn and played again
    page = out or folder / "report.html"
    pages.write(folder, page)
    say(f"wrote {printable(page)}")
