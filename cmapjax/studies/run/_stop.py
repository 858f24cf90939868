"""Ending a run early: ctrl-C, SIGTERM, the time limit, or a file named `cancel` in its folder."""

import os
import signal
import threading
import time
from pathlib import Path

INTERRUPTED, TIME_LIMIT, CANCELLED = "interrupted", "time limit", "cancelled"
REQUEST = "cancel"
EXIT_INTERRUPTED = 130


def cancel(folder: str | Path) -> None:
    """Ask the run that works on the folder to end, from any process or machine that sees the folder."""
    (Path(folder) / REQUEST).touch()


class Stop:
    """Why a run should end, if it should; used as `with Stop(…) as stop`, which minds the signals.

    The first SIGINT or SIGTERM asks for an end in good order, a second one ends the process at once: files
    are complete or absent at any moment, so nothing is lost by it. A signal that was ignored when the process
    began stays ignored: a shell starts the background programs of a script in this way.
    """

    def __init__(self, time_limit: float | None = None):
        self._request: Path | None = None
        self._ends = float("inf") if time_limit is None else time.monotonic() + time_limit
        self._why: str | None = None
        self._before: dict = {}

    def __enter__(self) -> "Stop":
        if threading.current_thread() is threading.main_thread():  # signals are handled nowhere else
            for number in (signal.SIGINT, signal.SIGTERM):
                if signal.getsignal(number) != signal.SIG_IGN:
                    self._before[number] = signal.signal(number, self._signalled)
        return self

    def __exit__(self, *_) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        if self._request is not None:
            self._request.unlink(missing_ok=True)

    def watch(self, folder: Path) -> None:
        """Look for requests in a folder that this run is the one to work on, from now on."""
        self._request = folder / REQUEST
        self._request.unlink(missing_ok=True)  # one that came after the last run was not for this one

    def reason(self) -> str | None:
        """Why to stop, or None; once a reason, always that reason."""
        if self._why is None and time.monotonic() >= self._ends:
            self._why = TIME_LIMIT
        if self._why is None and self._request is not None and self._request.exists():
            self._why = CANCELLED
        return self._why

    def _signalled(self, *_) -> None:
        if self._why == INTERRUPTED:
            os.write(2, b"interrupted: ended at once; resume when you like.\n")
            os._exit(EXIT_INTERRUPTED)
        self._why = INTERRUPTED
