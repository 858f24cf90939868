"""Waiting for compiled code: ctrl-C ends the wait, and a bar shows on a terminal."""

import contextvars
import threading
from collections.abc import Callable
from concurrent.futures import Future


def interruptible(function: Callable, label: str | None = None):
    """What the function returns, run in another thread: ctrl-C ends the wait, though not the thread.

    Compiled code cannot be interrupted where it runs, and may run for minutes. Whoever catches the
    KeyboardInterrupt must end the process without waiting for it.

    Args:
        function: takes nothing.
        label: of a bar without an end on a terminal; none is shown without.
    """
    from cmapjax.runtime._progress import progress

    future: Future = Future()
    context = contextvars.copy_context()  # what it compiles is timed as ours

    def work():
        try:
            future.set_result(context.run(function))
        except BaseException as error:  # whatever it is, it is raised where the result is awaited
            future.set_exception(error)

    with progress(None, label or "", show=label is not None):
        threading.Thread(target=work, daemon=True).start()
        return future.result()
