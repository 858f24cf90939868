"""Who is running a study now: a file `lock` that the operating system locks for as long as the process lives.

Where disks know no locks, a second runner is not told. Then both play the same chunks, whose files have the
same names: work is wasted and nothing is spoilt.
"""

import contextlib
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

from cmapjax.studies.results._about import now
from cmapjax.studies.results._disk import Busy, shown, trouble

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

LOCK = "lock"
PATIENCE = 0.5  # seconds; somebody who looks (`runner`) holds the lock for microseconds


@contextlib.contextmanager
def announced(folder: Path) -> Iterator[None]:
    """Be the one runner of this folder for as long as the block lasts. The file stays, and is empty then.

    Raises:
        Busy: another process is.
        OSError: the folder cannot be written to.
    """
    path = folder / LOCK
    with trouble(path):
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        deadline = time.monotonic() + PATIENCE
        while not _take(handle, exclusively=True):
            if time.monotonic() > deadline:
                raise Busy(
                    f"{shown(folder)}: {_text(handle)} is running this study; wait for it, or end it first."
                )
            time.sleep(PATIENCE / 10)
        with trouble(path):
            os.ftruncate(handle, 0)
            os.write(handle, f"process {os.getpid()} on {socket.gethostname()}, since {now()}\n".encode())
        yield
        with contextlib.suppress(OSError):
            os.ftruncate(handle, 0)
    finally:
        os.close(handle)


def _take(handle: int, exclusively: bool) -> bool:
    """Take the lock, unless another holds it; True also where there are no locks."""
    if fcntl is None:
        return True
    try:
        fcntl.flock(handle, (fcntl.LOCK_EX if exclusively else fcntl.LOCK_SH) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a disk without locks
        return True
    return True


def _text(handle: int) -> str:
    data = os.pread(handle, 200, 0).decode(errors="replace").strip()
    return data if data and data.isprintable() else "an unknown process"


def runner(folder: Path) -> str | None:
    """Who is running the study of the folder; None if nobody is, or where disks know no locks."""
    try:
        handle = os.open(folder / LOCK, os.O_RDONLY)
    except FileNotFoundError:
        return None
    try:
        return None if _take(handle, exclusively=False) else _text(handle)
    finally:
        os.close(handle)
