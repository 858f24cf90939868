"""Without workers: chunks are played in this process, by as many threads as it has cores.

A round of a chunk keeps one core busy, and so does compiling; both leave Python's lock to others. Threads
share what is compiled, which processes would all compile for themselves.
"""

import os
import queue
import threading
from collections.abc import Callable
from contextlib import suppress

from cmapjax.arguments._checks import memory_of_process
from cmapjax.studies._runner._outcome import Outcome, of_error

LEAVE_SECONDS = 0.2


# More threads than this wait for Python's lock.
MOST_THREADS = 8
# What a thread takes beside its chunk: the programs that it brings.
BYTES_OF_THREAD = 500e6


def num_threads(bytes_of_chunk: float, device: str | None) -> int:
    """How many chunks to play at the same time: one per core, as far as half the memory reaches.

    One on accelerators, whose memory is theirs, and which are busy with one.
    """
    if device is not None and not device.startswith("cpu"):
        return 1
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    by_memory = int(memory_of_process() / 2 // (bytes_of_chunk + BYTES_OF_THREAD))
    return max(1, min(cores, MOST_THREADS, by_memory))


class Here:
    """Plays in threads of its own, so that signals are answered while compiled code runs.

    One chunk more than there are threads may be on the desk: while the coordinator writes one, the next is
    played.
    """

    note = ""

    def __init__(self, study, play: Callable, threads: int = 1):
        """`play(study, chunk, threads)` plays a chunk by so many threads at most."""
        self._study, self._play = study, play
        self._asked: queue.SimpleQueue = queue.SimpleQueue()
        self._done: queue.SimpleQueue = queue.SimpleQueue()
        self._threads = [
            threading.Thread(target=self._work, daemon=True, name=f"cmapjax-chunks-{n}")
            for n in range(threads)
        ]
        self.where = "this process" if threads == 1 else f"this process, {threads} at a time"
        for thread in self._threads:
            thread.start()

    def capacity(self) -> int:
        """How many chunks may be under way."""
        return len(self._threads) + 1

    def submit(self, chunk, is_only: bool = False) -> None:
        """Put a chunk on the desk. All threads play the only one there is."""
        self._asked.put((chunk, len(self._threads) if is_only else 1))

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
                dropped.append(self._asked.get_nowait()[0])
        return dropped

    def close(self, patiently: bool) -> bool:
        """Leave, patiently once what is being played is done.

        False if a chunk is still being played: compiled code cannot be interrupted, only left.
        """
        self.end_soon()
        for _ in self._threads:
            self._asked.put(None)
        for thread in self._threads:
            thread.join(timeout=None if patiently else LEAVE_SECONDS)
        return not any(thread.is_alive() for thread in self._threads)

    def _work(self) -> None:
        while (asked := self._asked.get()) is not None:
            chunk, threads = asked
            try:
                outcome = Outcome(chunk, self._play(self._study, chunk, threads))
            except Exception as error:  # whatever it is, it is reported with the chunk
                outcome = of_error(chunk, error)
            self._done.put(outcome)
