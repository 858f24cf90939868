"""Without workers: chunks are played in this process, by as many threads as it has cores.

A round of a chunk keeps one core busy, and so does compiling; both leave Python's lock to others. Threads
share what is compiled, which processes would all compile for themselves.
"""

import os
import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress

from cmapjax._checks import memory_of_process
from cmapjax._runner._outcome import Outcome, of_error

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


def one_by_one(play: Callable) -> Callable:
    """From what plays a chunk, `play(study, chunk)`, to what plays a company."""

    def play_all(study, company, threads):
        return [play(study, chunk) for chunk in company]

    return play_all


class Here:
    """Plays in threads of its own, so that signals are answered while compiled code runs.

    A *company* is one chunk, or several small ones played side by side. One company more than there are
    threads may be on the desk: while the coordinator writes one, the next is played.
    """

    note = ""

    def __init__(self, study, play: Callable, threads: int = 1, log: Callable = lambda text: None):
        """`play(study, chunks, threads)` gives the results of a company."""
        self._study, self._play, self._log = study, play, log
        self._asked: queue.SimpleQueue = queue.SimpleQueue()
        self._done: queue.SimpleQueue = queue.SimpleQueue()
        # By company how many of its chunks the coordinator has not heard of yet.
        self._unheard: dict[int, int] = {}
        self._company_of: dict = {}
        self._threads = [
            threading.Thread(target=self._work, daemon=True, name=f"cmapjax-chunks-{n}")
            for n in range(threads)
        ]
        self.where = "this process" if threads == 1 else f"this process, {threads} at a time"
        for thread in self._threads:
            thread.start()

    def capacity(self) -> int:
        """How many chunks may be under way: those that are, and one for every company that is wanted."""
        return len(self._company_of) + len(self._threads) + 1 - len(self._unheard)

    def submit(self, *company, is_only: bool = False) -> None:
        """Put a company on the desk. All threads play the only one there is."""
        number = max(self._unheard, default=0) + 1
        self._unheard[number] = len(company)
        self._company_of |= dict.fromkeys(company, number)
        self._asked.put((company, len(self._threads) if is_only else 1))

    def wait(self, seconds: float) -> list[Outcome]:
        """What was finished, after at most so many seconds."""
        try:
            outcome = self._done.get(timeout=seconds)
        except queue.Empty:
            return []
        self._forget(outcome.chunk)
        return [outcome]

    def end_soon(self) -> list:
        """Begin nothing more; the chunks that will therefore not come back."""
        dropped = []
        with suppress(queue.Empty):
            while True:
                company, _ = self._asked.get_nowait()
                dropped += company
        for chunk in dropped:
            self._forget(chunk)
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

    def _forget(self, chunk) -> None:
        number = self._company_of.pop(chunk)
        self._unheard[number] -= 1
        if not self._unheard[number]:
            del self._unheard[number]

    def _work(self) -> None:
        while (asked := self._asked.get()) is not None:
            for outcome in self._outcomes(*asked):
                self._done.put(outcome)

    def _outcomes(self, company: Sequence, threads: int) -> Iterator[Outcome]:
        """What becomes of every chunk. An error costs the chunk that meets it by itself, and no other."""
        try:
            results = self._play(self._study, company, threads)
        except Exception as error:  # whatever it is, it is reported with the chunk
            if len(company) == 1:
                yield of_error(company[0], error)
                return
            self._log(
                f"{len(company)} chunks side by side, {company[0].name} to {company[-1].name}: "
                f"{of_error(None, error).reason}; they are played again in two halves"
            )
        else:
            yield from map(Outcome, company, results)
            return
        half = len(company) // 2
        yield from self._outcomes(company[:half], threads)
        yield from self._outcomes(company[half:], threads)
