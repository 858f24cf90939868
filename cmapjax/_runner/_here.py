"""Without workers: chunks are played in this process, one after another."""

import queue
import threading
from collections.abc import Callable
from contextlib import suppress

from cmapjax._runner._outcome import Outcome, of_error

LEAVE_SECONDS = 0.2


class Here:
    """Plays in a thread of its own, so that signals are answered while compiled code runs.

    Two chunks may be on its desk: while the coordinator writes one, the next is played.
    """

    where = "this process"
    note = ""

    def __init__(self, study, play: Callable):
        self._study, self._play = study, play
        self._asked: queue.SimpleQueue = queue.SimpleQueue()
        self._done: queue.SimpleQueue = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, daemon=True, name="cmapjax-chunks")
        self._thread.start()

    def capacity(self) -> int:
        """How many chunks may be under way."""
        return 2

    def submit(self, chunk) -> None:
        """Put a chunk on the desk."""
        self._asked.put(chunk)

    def wait(self, seconds: float) -> list[Outcome]:
        """What was finished, after at most so many seconds."""
        try:
            return [self._done.get(timeout=seconds)]
        except queue.Empty:
            return []

    def end_soon(self) -> list:
        """Begin nothing more; the chunks that will therefore not come back."""
        dropped = []
        with suppress(queue.Empty):
            while True:
                dropped.append(self._asked.get_nowait())
        return dropped

    def close(self, patiently: bool) -> bool:
        """Leave, patiently once what is being played is done.

        False if a chunk is still being played: compiled code cannot be interrupted, only left.
        """
        self.end_soon()
        self._asked.put(None)
        self._thread.join(timeout=None if patiently else LEAVE_SECONDS)
        return not self._thread.is_alive()

    def _work(self) -> None:
        while (chunk := self._asked.get()) is not None:
            try:
                outcome = Outcome(chunk, self._play(self._study, chunk))
            except Exception as error:  # whatever it is, it costs this chunk and is reported with it
                outcome = of_error(chunk, error)
            self._done.put(outcome)
