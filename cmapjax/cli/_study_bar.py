"""A bar on a terminal, nothing elsewhere: cells, markets, rate, remaining time, failures."""

import sys
from collections.abc import Callable

from cmapjax.cli._output import printable
from cmapjax.cli._study_files import duration


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
