"""One runner at a time: a lock file that says who holds it, and is taken over when its holder is dead.

The lock is made by linking a finished file to its name, which fails if the name exists, also on network
disks. Its holder touches it every few seconds. A holder on this machine is dead if its process is gone;
one elsewhere, if the lock is long untouched *and* stays so while we watch, so that no jump of a clock looks
like a death. Only who first makes the claim named after the dead holder's token may replace its lock.
"""

import contextlib
import errno
import json
import os
import secrets
import socket
import threading
import time
from pathlib import Path
from typing import NamedTuple

from cmapjax.studies._store._disk import draft_of, put, trouble
from cmapjax.studies._store._errors import Busy, shown

LOCK = "lock"
HEARTBEAT = 5.0  # seconds
LEASE = 30.0  # seconds without a heartbeat after which a holder elsewhere is suspected dead
WATCH = 12.0  # seconds for which a suspect is watched: more than two heartbeats
# Tokens of the locks that this process holds: one that it could not take away at the end is not among them.
_HELD: set[str] = set()


class Holder(NamedTuple):
    """Who holds a lock. `started` tells a process from a later one with the same number."""

    token: str
    host: str
    machine: str
    pid: int
    started: str

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}" if self.pid else "an unknown process"


UNKNOWN = Holder("", "", "", 0, "")


class Lease:
    """A lock that is held. `said` tells whether it was taken over, and from whom."""

    def __init__(self, folder: Path):
        self.path = folder / LOCK
        self.holder = Holder(
            secrets.token_hex(8), socket.gethostname(), _machine(), os.getpid(), _started(os.getpid())
        )
        self.said: str | None = None
        self._stop = threading.Event()
        self._beat = threading.Thread(target=self._touch, daemon=True, name="cmapjax-lease")

    def acquire(self) -> None:
        """Take the lock.

        Raises:
            Busy: another process holds it, or is just taking it over.
            OSError: the folder cannot be written to.
        """
        _HELD.add(self.holder.token)
        try:
            self._acquire()
        except BaseException:
            _HELD.discard(self.holder.token)
            raise
        self._beat.start()

    def _acquire(self) -> None:
        while not _make(self.path, self.holder):
            other, touched = _look(self.path)
            if other is None:
                continue  # released in this moment
            if not _is_dead(self.path, other, touched):
                how = _stopped(other)
                raise Busy(
                    f"{shown(self.path.parent)}: {other} is running a study there{how and f' ({how})'}; "
                    "wait for it, or end it first."
                )
            if self._take_over(other):
                self.said = f"took over from {other}, which has ended without releasing {shown(self.path)}"
                break

    def _take_over(self, dead: Holder) -> bool:
        """Replace a dead holder's lock; False if it was no longer there to be replaced."""
        claims = []
        rival = dead
        while rival is not None:
            claim = self.path.with_name(f".{LOCK}-{rival.token or 'unknown'}.claim")
            if claim in claims:
                raise Busy(
                    f"{shown(claim)}: is altered and cannot say who made it; delete it if nobody runs there."
                )
            claims.append(claim)
            if _make(claim, self.holder):
                break
            rival, touched = _look(claim)
            if rival is not None and not _is_dead(claim, rival, touched):
                raise Busy(f"{shown(self.path.parent)}: {rival} is just taking over that study; let it.")
        else:
            return False
        current, _ = _look(self.path)
        replaced = current is not None and current.token == dead.token
        if replaced:
            put(self.path, _content(self.holder))
        for claim in claims if replaced else claims[-1:]:
            with contextlib.suppress(OSError):
                os.unlink(claim)
        return replaced

    def is_held(self) -> bool:
        """Whether the lock is still ours: a process that slept may have been taken for dead."""
        return _look(self.path)[0] == self.holder

    def check(self) -> None:
        """Raise Busy unless the lock is still ours."""
        if not self.is_held():
            raise Busy(
                f"{shown(self.path)}: no longer ours ({_look(self.path)[0] or 'nobody'} holds it); this run "
                "stops writing, and what it has written is kept."
            )

    def release(self) -> None:
        """Give the lock back, if it is still ours."""
        self._stop.set()
        _HELD.discard(self.holder.token)
        if self.is_held():
            with contextlib.suppress(OSError):
                os.unlink(self.path)

    def _touch(self) -> None:
        while not self._stop.wait(HEARTBEAT):
            holder, _ = _look(self.path)
            if holder not in (self.holder, UNKNOWN):
                return  # lost: whoever writes next will be told
            with contextlib.suppress(OSError):  # a disk that is away for a while: it may come back
                os.utime(self.path)


def _make(path: Path, holder: Holder) -> bool:
    """Make a lock with its content in one step; False if there is one."""
    with trouble(path), draft_of(path, [_content(holder)]) as draft:
        try:
            os.link(draft, path)
        except FileExistsError:
            return False
        except OSError as error:
            if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.ENOSYS):
                raise
            return _make_unlinked(path, holder)  # a disk without links (FAT, some network disks)
        return True


def _make_unlinked(path: Path, holder: Holder) -> bool:
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    except FileExistsError:
        return False
    try:
        os.write(handle, _content(holder))
    finally:
        os.close(handle)
    return True


def _content(holder: Holder) -> bytes:
    return (json.dumps(holder._asdict()) + "\n").encode()


def _look(path: Path) -> tuple[Holder | None, int]:
    """Who holds a lock (None: nobody; UNKNOWN: it cannot be read), and when it was last touched."""
    try:
        with open(path, "rb") as stream:
            data, touched = stream.read(4096), os.fstat(stream.fileno()).st_mtime_ns
    except FileNotFoundError:
        return None, 0
    except OSError:
        return UNKNOWN, 0
    try:
        holder = Holder(**json.loads(data))
        plain = all(isinstance(v, str) and v.isprintable() for v in (*holder[:3], holder.started))
        return (
            holder if plain and isinstance(holder.pid, int) and holder.token.isalnum() else UNKNOWN
        ), touched
    except (ValueError, TypeError, RecursionError):
        return UNKNOWN, touched


def _is_dead(path: Path, holder: Holder, touched: int) -> bool:
    if holder.pid and (holder.host, holder.machine) == (socket.gethostname(), _machine()):
        if holder.pid == os.getpid():
            return holder.token not in _HELD
        started = _started(holder.pid)
        return not started or started != holder.started
    if _now(path.parent) - touched < LEASE * 1e9:
        return False
    end = time.monotonic() + WATCH
    while time.monotonic() < end:
        time.sleep(min(1.0, WATCH / 4))
        if _look(path) != (holder, touched):
            return False
    return True


def _now(folder: Path) -> int:
    """The time by the clock of the disk, which is the one that touches are dated by."""
    probe = folder / f".cmapjax-{secrets.token_hex(8)}.tmp"
    with trouble(folder):
        try:
            with open(probe, "xb") as stream:
                return os.fstat(stream.fileno()).st_mtime_ns
        finally:
            with contextlib.suppress(OSError):
                os.unlink(probe)


def _machine() -> str:
    """This boot of this machine, and the numbering of processes (a container has its own)."""
    parts = []
    with contextlib.suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text().strip())
        parts.append(os.readlink("/proc/self/ns/pid"))
    return " ".join(parts)


def _started(pid: int) -> str:
    """When a process was started, in the system's own words; empty if there is none of that number."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return "" if fields[0] in "ZX" else fields[19]
    except (OSError, IndexError, UnicodeDecodeError):
        pass
    if os.name != "posix" or Path("/proc/self/stat").exists():
        return "unknown" if os.name != "posix" else ""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return ""
    except PermissionError:
        return "alive"
    return "alive"


def _stopped(holder: Holder) -> str:
    """A remark on a holder on this machine that is stopped (ctrl-Z), and will not end by itself."""
    if (holder.host, holder.machine) != (socket.gethostname(), _machine()):
        return ""
    with contextlib.suppress(OSError, IndexError):
        if Path(f"/proc/{holder.pid}/stat").read_text().rpartition(")")[2].split()[0] in "Tt":
            return "it is stopped: `fg` or kill it"
    return ""


def holder_of(folder: Path) -> Holder | None:
    """Who is running a study in the folder; None if nobody is, or only a process that is gone.

    A holder elsewhere that has not been heard of for long is named all the same: nobody watches here.
    """
    holder, touched = _look(folder / LOCK)
    if holder is None:
        return None
    is_here = holder.pid and (holder.host, holder.machine) == (socket.gethostname(), _machine())
    return None if is_here and _is_dead(folder / LOCK, holder, touched) else holder
