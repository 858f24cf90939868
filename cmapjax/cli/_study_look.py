"""Commands that look at a results folder: status, cancel, verify, diff, export, report."""

import sys
import time
from pathlib import Path

from cmapjax.cli._output import PRINTED, check_file, check_json, printable, say, show, write_json
from cmapjax.cli._study_files import duration

DONE, NOT_REACHED = 0, 1
SHOWN_FAILURES = 10
# A run that is asked to end does so within ten seconds.
CANCEL_SECONDS = 15.0


def status(folder: Path, json: str | None) -> None:
    """Print how far the study is."""
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


def cancel(folder: Path) -> int:
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


def verify(folder: Path, repair: bool) -> int:
    """Print what is out of order; the exit code."""
    from cmapjax.studies import results

    found = results.verify(folder, repair=repair)
    for finding in found:
        say(printable(str(finding)))
    bad = [finding for finding in found if not finding.harmless]
    if not bad:
        say(
            f"{printable(folder)}: every file is as it was written" + (", but for the above" if found else "")
        )
        return DONE
    if repair:
        say(f"{len(bad):,} files repaired. Go on with: cmapjax study resume {printable(folder)}")
        return DONE
    say(f"{len(bad):,} files are damaged. Mend with: cmapjax study verify {printable(folder)} --repair")
    return NOT_REACHED


def diff(first: Path, second: Path) -> int:
    """Print in what two studies differ; the exit code, 1 if values do."""
    from cmapjax.studies import results

    found = results.diff(first, second)
    for difference in found:
        say(printable(str(difference)))
    if any(difference.is_of_values for difference in found):
        return NOT_REACHED
    say("the same values all the same" if found else "the same study with the same values")
    return DONE


def export(folder: Path, csv: Path | None, netcdf: Path | None) -> None:
    """Write the results in other formats."""
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


def report(folder: Path, out: Path | None) -> None:
    """Write the page."""
    if not Path(folder).is_dir():
        raise ValueError(f"{printable(folder)}: there is no such folder; name a folder of results.")
    if out is not None:
        check_file("--out", out)
    from cmapjax import report as pages

    page = out or Path(folder) / "report.html"
    pages.write(folder, page)
    say(f"wrote {printable(page)}")
