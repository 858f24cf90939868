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
from cmapjax.studies.results._disk import trouble
from cmapjax.studies.results._errors import Busy, shown

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

LOCK = "lock"
PATIENCE = 0.5  # seconds; somebody who looks (`runner`) holds the lock for microseconds
_OPEN = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)


@contextlib.contextmanager
def announced(folder: Path) -> Iterator[None]:
    """Be the one runner of this folder for as long as the block lasts.

    Raises:
        Busy: another process is.
        OSError: the folder cannot be written to.
    """
    path = folder / LOCK
    with trouble(path):
        handle = _acquire(path)
        try:
            os.ftruncate(handle, 0)
            os.write(handle, f"process {os.getpid()} on {socket.gethostname()}, since {now()}\n".encode())
        except OSError:
            os.close(handle)
            raise
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            os.unlink(path)  # while it is still locked, so that nobody else's is taken away
        os.close(handle)


def _acquire(path: Path) -> int:
    end = time.monotonic() + PATIENCE
    while True:
        handle = os.open(path, _OPEN, 0o666)
        if _is_locked_now(handle, exclusively=True):
            if _is_in_place(handle, path):
                return handle
            os.close(handle)  # the runner before has just taken it away
            continue
        who = _text(handle)
        os.close(handle)
        if time.monotonic() > end:
            raise Busy(f"{shown(path.parent)}: {who} is running this study; wait for it, or end it first.")
        time.sleep(PATIENCE / 10)


def _is_in_place(handle: int, path: Path) -> bool:
    with contextlib.suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(handle), os.stat(path))
    return False


def _is_locked_now(handle: int, exclusively: bool) -> bool:
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
        handle = os.open(folder / LOCK, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))
    except FileNotFoundError:
        return None
    try:
        return None if _is_locked_now(handle, exclusively=False) else _text(handle)
    finally:
        os.close(handle)
