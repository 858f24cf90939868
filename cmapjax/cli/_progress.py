"""Waiting: a bar on a terminal, and ctrl-C while compiled code runs."""

import contextvars
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future


def interruptible(function: Callable):
    """What the function returns, run in another thread: ctrl-C ends the wait, though not the thread.

    Compiled code cannot be interrupted where it runs, and may run for minutes. Whoever catches the
    KeyboardInterrupt must end the process without waiting for it.
    """
    future: Future = Future()
    context = contextvars.copy_context()  # what it compiles is timed as ours

    def work():
        try:
            future.set_result(context.run(function))
        except BaseException as error:  # whatever it is, it is raised where the result is awaited
            future.set_exception(error)

    threading.Thread(target=work, daemon=True).start()
    return future.result()


class Progress:
    """A bar on a terminal, nothing elsewhere; used as `with … as advance`.

    Until the first advance nobody knows how long it takes (it is being compiled), so the bar swings.
    """

    def __init__(self, label: str, total: int | None = None):
        self.is_shown = sys.stderr.isatty()
        self.label, self.total = label, total

    def __enter__(self) -> Callable[[int], None]:
        if not self.is_shown:
            return lambda rounds: None
        from rich import progress
        from rich.console import Console

        self.bar = progress.Progress(
            progress.TextColumn("{task.description}", markup=False),
            progress.BarColumn(),
            progress.TimeElapsedColumn(),
            progress.TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=True,
        )
        self.bar.start()
        task = self.bar.add_task(f"{self.label} (compiling)" if self.total else self.label, total=None)
        return lambda rounds: self.bar.update(task, description=self.label, total=self.total, advance=rounds)

    def __exit__(self, *_):
        if self.is_shown:
            self.bar.stop()
