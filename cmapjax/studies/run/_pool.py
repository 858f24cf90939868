"""Who plays chunks: what every pool tells the loop, and the pool of threads of this process.

A round of a chunk keeps one core busy, and so does compiling; both leave Python's lock to others.
Threads share what is compiled, which processes would all compile for themselves.
"""

import enum
import functools
import os
import warnings
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

from cmapjax.arguments._checks import SpanWarning, memory_of_process
from cmapjax.studies._chunks import Chunk
from cmapjax.studies.results import _about

LONGEST_REASON = 300
# More threads than this wait for Python's lock.
MOST_THREADS = 8
# What a thread takes beside its chunk: the programs that it brings.
BYTES_OF_THREAD = 500e6


class RunnerError(RuntimeError):
    """The run cannot go on; the message is one line that says why and what to do. Nothing is lost."""


class OtherCircumstances(Exception):
    """A worker has other versions, or another kind of device, than the run asks for."""


class Kind(enum.Enum):
    """What to do about it."""

    MEMORY = "too large: halves may do"
    DIED = "its worker is gone: its fault or the chunk's?"
    FAULT = "an error that another attempt may not meet"
    HOPELESS = "an error that every attempt will meet"


class Trouble(NamedTuple):
    """What became of an attempt; `deaths` are the workers that it cost."""

    kind: Kind
    reason: str
    deaths: int = 0


def of_error(error: BaseException) -> Trouble:
    """The trouble of a chunk that raised."""
    name, text = type(error).__name__, " ".join(str(error).split())[:LONGEST_REASON]
    if isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in text or "Out of memory" in text:
        return Trouble(Kind.MEMORY, f"not enough memory ({text or name})")
    # Bad values raise ValueError wherever they are played; a file that is away may come back.
    kind = Kind.HOPELESS if isinstance(error, (ValueError, TypeError)) else Kind.FAULT
    return Trouble(kind, f"{name}: {text}" if text else name)


def versions() -> dict[str, str]:
    """The versions on which values depend, of whoever calls."""
    return _about.circumstances({"versions": _about.versions()})["versions"]


@functools.lru_cache(maxsize=1)
def device() -> str:
    """The kind of device that chunks are played on, of whoever calls. Starts JAX."""
    import jax

    first = jax.devices()[0]
    return f"{first.platform}:{first.device_kind}"


def device_here(expected: dict[str, str]) -> str:
    """The kind of device here; raises OtherCircumstances unless versions and device are those expected."""
    found = versions() | ({"device": device()} if "device" in expected else {})
    differing = [
        f"{name} {found.get(name)} instead of {wanted}"
        for name, wanted in expected.items()
        if found.get(name) != wanted
    ]
    if differing:
        raise OtherCircumstances(", ".join(differing))
    return device()


def leave_warnings_to_the_run() -> None:
    """Say nothing where a chunk is played of what its result says: the run says it once (`Loop`)."""
    warnings.filterwarnings("ignore", category=SpanWarning, module=r"cmapjax\.studies\._play")


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
