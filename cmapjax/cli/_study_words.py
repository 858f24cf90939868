"""Words of studies: sizes and times, read and told, and a bar on a terminal."""

import math
import re
import sys
from collections.abc import Callable

from cmapjax.cli._output import printable


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


def parse_time(text: str) -> float:
    """Seconds of 90, 90s, 30m, 2h, 1d, 30:00 or 1:30:00.

    Raises:
        ValueError: it is none of these, or not more than nothing.
    """
    number, unit, clock = r"\d+(?:\.\d*)?", "([smhd]?)", r"(?:(\d+):)?(\d+):(\d\d?)"
    match = re.fullmatch(f"({number}){unit}|{clock}", text.strip().lower())
    seconds = 0.0
    if match and match[1]:
        seconds = float(match[1]) * {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}[match[2]]
    elif match:
        hours, minutes, rest = (float(part or 0) for part in match.groups()[2:])
        seconds = 3600 * hours + 60 * minutes + rest
    if not (seconds > 0 and math.isfinite(seconds)):
        raise ValueError(f"--time-limit is {text!r}; give a time such as 90s, 30m, 2h or 1:30:00.")
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


class StudyBar:
    """Used as `with … as progress`; progress takes the states of a run."""

    def __init__(self, name: str):
        self.is_shown = sys.stderr.isatty()
        self.name = printable(name)

    def __enter__(self) -> Callable:
        if not self.is_shown:
            return lambda state: None
        from rich import progress
        from rich.console import Console

        self.bar = progress.Progress(
            progress.TextColumn("{task.description}", markup=False),
            progress.BarColumn(),
            progress.TextColumn("{task.fields[words]}", markup=False),
            console=Console(stderr=True),
            transient=True,
        )
        self.bar.start()
        self.task = self.bar.add_task(self.name, total=None, words="starting")
        return self._show

    def __exit__(self, *_) -> None:
        if self.is_shown:
            self.bar.stop()

    def _show(self, state) -> None:
        self.bar.update(self.task, total=state.markets, completed=state.markets_done, words=words(state))


def words(state) -> str:
    """A state in one line."""
    parts = [
        f"{state.cells_done:,}/{state.cells:,} cells",
        f"{state.markets_done:,}/{state.markets:,} markets",
    ]
    if state.rate is not None:
        parts.append(f"{state.rate:,.0f}/s" if state.rate >= 10 else f"{state.rate:.2g}/s")
    if state.remaining is not None and state.markets_done < state.markets:
        parts.append(f"{duration(state.remaining)} left")
    if state.failures:
        parts.append(f"{state.failures:,} failed")
    return ", ".join([*parts, state.note] if state.note else parts)
