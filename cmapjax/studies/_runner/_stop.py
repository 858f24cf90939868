"""Ending a run early: ctrl-C, a signal, the time limit, or `cancel` from another terminal."""

import os
import signal
import threading
import time
from pathlib import Path

from cmapjax.studies._runner._cancel import was_cancelled, withdraw

INTERRUPTED = "interrupted"
TIME_LIMIT = "time limit"
CANCELLED = "cancelled"
# How long the chunks under way may still take. With the seconds that workers need to leave, a run ends
# within ten.
GRACE = 5.0
# The disk is asked for a request to cancel no more often than this, in seconds.
LOOK_EVERY = 0.5
EXIT_INTERRUPTED = 130


class Stop:
    """Why the run should end, if it should; used as `with Stop(…) as stop`, which minds the signals.

    The first SIGINT or SIGTERM asks for an end in good order, a second one ends the process at once: files
    are complete or absent at any moment, so nothing is lost by it. A signal that was ignored when the process
    began stays so: a shell starts programs in the background of a script in this way, so that ctrl-C is not
    for them.
    """

    def __init__(self, folder: Path, time_limit: float | None = None):
        self._folder = folder
        self._ends = None if time_limit is None else time.monotonic() + time_limit
        self._why: str | None = None
        self._looked = -LOOK_EVERY
        self._before: dict = {}

    def __enter__(self) -> "Stop":
        withdraw(self._folder)  # a request that came after the last run's end was not meant for this one
        if threading.current_thread() is threading.main_thread():  # signals are handled nowhere else
            for number in (signal.SIGINT, signal.SIGTERM):
                if signal.getsignal(number) == signal.SIG_IGN:
                    continue
                self._before[number] = signal.signal(number, self._signalled)
        return self

    def __exit__(self, *_) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        withdraw(self._folder)

    def reason(self) -> str | None:
        """Why to stop, or None; once a reason, always that reason."""
        now = time.monotonic()
        if self._why is None and self._ends is not None and now >= self._ends:
            self._why = TIME_LIMIT
        if self._why is None and now - self._looked >= LOOK_EVERY:
            self._looked = now
            if was_cancelled(self._folder):
                self._why = CANCELLED
        return self._why

    def _signalled(self, *_) -> None:
        if self._why == INTERRUPTED:
            os.write(2, b"interrupted: ended at once; resume when you like.\n")
            os._exit(EXIT_INTERRUPTED)
        self._why = INTERRUPTED
