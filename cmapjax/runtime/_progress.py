"""A bar while rounds are played, on a terminal or in a notebook; it says when something is being compiled."""

import contextlib
import functools
import sys
import threading
import time
from collections.abc import Iterator

# Runs that end within the first number of seconds show no bar; compiling is shown after the second number.
PATIENCE, COMPILING_PATIENCE = 2.0, 1.0
INTERVAL = 0.1
# JAX reports tracing, lowering and compiling (or loading a kept program) under this name, one after another.
COMPILE_EVENTS = "/jax/core/compile/"
GAP = 0.5


class Bar:
    """How far a run has come."""

    done = 0

    def advance(self, rounds: int = 1) -> None:
        """Note that so many more rounds have been played."""
        self.done += rounds


@contextlib.contextmanager
def progress(total: int | None, label: str = "rounds", show: bool | None = None) -> Iterator[Bar]:
    """A bar on standard error or in a notebook, which disappears when the block ends.

    Another thread draws it; the block only counts. If nothing is shown, nothing is imported.

    Args:
        total: rounds to be played; None if that is not known.
        label: what is counted.
        show: None shows it on a terminal or in a notebook once the block has taken some seconds, but only in
            the main thread of a process that `multiprocessing` has not started. True shows it at once in any
            thread, on a terminal or in a notebook. False never shows it.
    """
    bar = Bar()
    if show is False or not _can_show() or (show is None and not _is_main()):
        yield bar
        return
    _listen()
    is_over = threading.Event()
    patience = 0.0 if show else PATIENCE
    thread = threading.Thread(target=_draw, args=(bar, total, label, patience, is_over), daemon=True)
    thread.start()
    try:
        yield bar
    finally:
        is_over.set()
        thread.join()


def _draw(bar: Bar, total: int | None, label: str, patience: float, is_over: threading.Event) -> None:
    began = time.monotonic()
    while time.monotonic() - began < patience and not _is_compiling():
        if is_over.wait(INTERVAL):
            return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    with Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
        auto_refresh=False,
        redirect_stdout=False,  # standard output may go to a file
    ) as shown:
        task = shown.add_task(label, total=None)  # an indefinite bar until the first round has been played
        while True:
            words = f"{label} (compiling…)" if _is_compiling() else label
            shown.update(task, description=words, total=total if bar.done else None, completed=bar.done)
            shown.refresh()
            if is_over.wait(INTERVAL):
                return


def _can_show() -> bool:
    """Whether standard error is a terminal, or this is a notebook."""
    if sys.stderr is not None and sys.stderr.isatty():
        return True
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return type(shell).__name__ == "ZMQInteractiveShell"


def _is_main() -> bool:
    """Whether this is the main thread of a process that `multiprocessing` has not started."""
    processes = sys.modules.get("multiprocessing.process")
    is_child = processes is not None and processes.parent_process() is not None
    return threading.current_thread() is threading.main_thread() and not is_child


class _Compiling:
    """What JAX is compiling in this process."""

    depth = 0
    """Steps of compiling that have begun and not ended."""
    since = ended = -GAP


def _is_compiling() -> bool:
    """Whether JAX has been compiling for a while without interruption."""
    now = time.monotonic()
    goes_on = _Compiling.depth > 0 or now - _Compiling.ended < GAP
    return goes_on and now - _Compiling.since >= COMPILING_PATIENCE


@functools.cache
def _listen() -> None:
    from jax import monitoring

    def begin(event: str, *_, **__) -> None:
        if event.startswith(COMPILE_EVENTS):
            now = time.monotonic()
            if not _Compiling.depth and now - _Compiling.ended >= GAP:
                _Compiling.since = now
            _Compiling.depth += 1

    def end(event: str, *_, **__) -> None:
        if event.startswith(COMPILE_EVENTS):
            _Compiling.depth, _Compiling.ended = max(_Compiling.depth - 1, 0), time.monotonic()

    monitoring.register_scalar_listener(begin)
    monitoring.register_event_duration_secs_listener(end)
