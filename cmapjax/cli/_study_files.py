"""`cmapjax study init` and `cmapjax study plan`."""

import dataclasses
from pathlib import Path

from cmapjax.cli._output import PRINTED, check_file, check_json, printable, say, show, write_json, write_text


def init(file: Path) -> None:
    """Write the starter file, unless that would overwrite something."""
    from cmapjax import studies

    check_file("FILE", file)
    if file.exists():
        raise ValueError(f"{file} exists already; name another file, or remove it first.")
    write_text(file, studies.starter())
    say(f"wrote {printable(file)}: change it to your study, then `cmapjax study plan {printable(file)}`")


def plan(file: Path, sample: bool, json: str | None) -> None:
    """Print what a study comes to."""
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


def size(number: float | None) -> str:
    """Bytes in words."""
    if number is None:
        return "unknown"
    for unit in ("B", "kB", "MB", "GB"):
        if number < 1000:
            return f"{number:,.0f} {unit}" if unit == "B" else f"{number:,.1f} {unit}"
        number /= 1000
    return f"{number:,.1f} TB"


def duration(seconds: float | None) -> str:
    """Seconds in words."""
    if seconds is None:
        return "unknown"
    if seconds < 100:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, hours = round(seconds / 60), round(seconds / 3600)
    if minutes < 100:
        return f"{minutes} min"
    return f"{hours} h" if hours < 72 else f"{hours / 24:.1f} days"
