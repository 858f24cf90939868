"""Without workers: chunks are played in this process, by as many threads as it has cores.

A round of a chunk keeps one core busy, and so does compiling; both leave Python's lock to others. Threads
share what is compiled, which processes would all compile for themselves.
"""

import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

from cmapjax.arguments._checks import memory_of_process
from cmapjax.studies._chunks import Chunk
from cmapjax.studies.run._pool import device, of_error

# More threads than this wait for Python's lock.
MOST_THREADS = 8
# What a thread takes beside its chunk: the programs that it brings.
BYTES_OF_THREAD = 500e6


def num_threads(bytes_of_chunk: float, device: str) -> int:
    """How many chunks to play at the same time: one per core, as far as half the memory reaches.

    One on accelerators, whose memory is theirs, and which are busy with one.
    """
    if not device.startswith("cpu"):
        return 1
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    by_memory = int(memory_of_process() / 2 // (bytes_of_chunk + BYTES_OF_THREAD))
    return max(1, min(cores, MOST_THREADS, by_memory))


class Threads:
    """A pool of threads of this process; used as `with Threads(…) as pool`.

    Compiled code cannot be interrupted. At the end of a run it is left to itself; if the run fails it is
    waited for, as Python does not survive an end in the midst of it.
    """

    note = ""
    trouble = staticmethod(of_error)

    def __init__(self, play: Callable, number: int):
        """`play(chunk, threads)` plays a chunk, by so many threads at most."""
        self._play, self._number = play, number
        self._executor = ThreadPoolExecutor(number)
        self.expected: dict[str, str] = {}
        self.where = "this process" if number == 1 else f"this process, {number} at a time"

    def __enter__(self) -> "Threads":
        return self

    def __exit__(self, kind, *_) -> None:
        self._executor.shutdown(wait=kind is not None, cancel_futures=True)

    def ask_device(self, stop: Callable, tell: Callable) -> str:
        """The kind of device of this process."""
        return device()

    def capacity(self) -> int:
        """How many chunks may be under way: one more than threads, to be played while another is written."""
        return self._number + 1

    def submit(self, chunk: Chunk, is_only: bool) -> Future:
        """The chunk's result, once it is there. All threads play the only chunk that is left."""
        return self._executor.submit(self._play, chunk, self._number if is_only else 1)
