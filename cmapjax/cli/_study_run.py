"""`cmapjax study run` and `cmapjax study resume`."""

import math
import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path

from cmapjax.cli import _cache
from cmapjax.cli._output import printable, say
from cmapjax.cli._study_bar import StudyBar
from cmapjax.cli._study_files import duration

DONE, NOT_REACHED, INTERRUPTED = 0, 1, 130
SHOWN_FAILURES = 5


@dataclass(frozen=True)
class Request:
    """Who plays, and for how long, in the words of the command line."""

    workers: int | None
    cluster: str | None
    time_limit: str | None
    worker_memory: str | None
    mixed: bool
    chunk_size: int | None = None

    def options(self):
        """The same, checked."""
        from cmapjax.studies.run import Options

        return Options(
            workers=self.workers,
            cluster=self.cluster,
            time_limit=None if self.time_limit is None else parse_time(self.time_limit),
            worker_memory=None if self.worker_memory is None else parse_size(self.worker_memory),
            mixed=self.mixed,
            chunk_size=self.chunk_size,
        )


def run(file: Path, out: Path, request: Request) -> int:
    """Run the study of a file in a folder; the exit code."""
    options = request.options()
    from cmapjax import studies

    study = studies.read_study(file)
    check_folder_of_results(out)
    return _run(study, out, options, file.read_text(encoding="utf-8-sig"))


def resume(folder: Path, request: Request) -> int:
    """Run what a folder lacks of its study; the exit code."""
    options = request.options()
    from cmapjax.studies.run import reopened

    return _run(reopened(folder), folder, options, None)


def check_folder_of_results(out: Path) -> None:
    """Raise ValueError, before JAX is loaded, if nothing can be put there."""
    nearest = next(p for p in (out, *out.absolute().parents) if p.exists())
    if not nearest.is_dir() or not os.access(nearest, os.W_OK | os.X_OK):
        raise ValueError(f"--out {out} cannot be made in {nearest}; name a place where you may write.")


def _run(study, folder: Path, options, text: str | None) -> int:
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


def parse_time(text: str) -> float:
    """Seconds of 90, 90s, 30m, 2h, 1d, 30:00 or 1:30:00.

    Raises:
        ValueError: it is none of these, or not more than nothing.
    """
    wrong = ValueError(f"--time-limit is {text!r}; give a time such as 90s, 30m, 2h or 1:30:00.")
    factors = {"s": 1, "m": 60, "h": 3600, "d": 86400}
    words = text.strip()
    unit = words[-1:].lower()
    try:
        if ":" in words:
            parts = [float(part) for part in words.split(":")]
            if len(parts) > 3 or any(part < 0 for part in parts):
                raise wrong
            seconds = sum(part * 60**place for place, part in enumerate(reversed(parts)))
        else:
            seconds = float(words[:-1]) * factors[unit] if unit in factors else float(words)
    except ValueError:
        raise wrong from None
    if not (seconds > 0 and math.isfinite(seconds)):
        raise wrong
    return seconds


def parse_size(text: str) -> int:
    """Bytes of 500MB, 2GiB, 1.5G or 800000000.

    Raises:
        ValueError: it is none of these, or below a megabyte.
    """
    powers = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}
    match = re.fullmatch(r"\s*(\d{1,15}(?:\.\d{1,9})?)\s*([kmgt]?)(i?)b?\s*", text.lower())
    if match is None:
        raise ValueError(f"--worker-memory is {text!r}; give a size such as 500MB or 2GiB.")
    number, unit, binary = match.groups()
    size = int(float(number) * (1024 if binary else 1000) ** powers[unit])
    if size < 10**6:
        raise ValueError(f"--worker-memory {text} is too little for a process; give hundreds of megabytes.")
    return size
