"""Files put in place whole or not at all, and kept through a loss of power; errors of the disk in words.

Every change goes through here, so that tests can let any single call of the operating system fail.
"""

import contextlib
import errno
import hashlib
import os
import secrets
import stat
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from cmapjax.graphs._files import replacing
from cmapjax.studies.results._errors import Damaged, ResultsError, reason, shown

FULL = {errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)}
_BINARY = getattr(os, "O_BINARY", 0)
# What was a file when it was listed may be a pipe by now: do not wait for its writer.
_READ = os.O_RDONLY | _BINARY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)


@contextlib.contextmanager
def trouble(path: Path, needed: int | None = None) -> Iterator[None]:
    """Name the file, the remedy, and the bytes that a full disk lacks in any OSError that gets out."""
    try:
        yield
    except OSError as error:
        if error.filename == str(path) and ";" in (error.strerror or ""):
            raise  # explained already
        raise OSError(error.errno, _words(error, path, needed), str(path)) from None


def _words(error: OSError, path: Path, needed: int | None) -> str:
    words = error.strerror or reason(error)
    if error.errno in FULL:
        space = "more space is needed" if needed is None else f"{needed:,} bytes are needed"
        with contextlib.suppress(OSError, AttributeError):
            free = os.statvfs(path.parent)
            space += f", {free.f_bavail * free.f_frsize:,} are free"
        return f"{words}; {space}: make room (or raise the limit), then resume"
    remedies = {
        errno.EACCES: "name a folder where you may write, or change its permissions",
        errno.ENAMETOOLONG: "a name may have 255 bytes at most: choose a shorter one",
        errno.ENOENT: "its folder is not there: make it, or check the name",
    }
    remedies[errno.EPERM] = remedies[errno.EROFS] = remedies[errno.EACCES]
    remedies[errno.ENOTDIR] = remedies[errno.ENOENT]
    remedy = remedies.get(error.errno, "look after that disk, then resume: what is finished is kept")
    return f"{words}; {remedy}"


def make_folder(path: Path) -> None:
    """Make a folder in one that exists, unless it is there already."""
    with trouble(path), contextlib.suppress(FileExistsError):
        os.mkdir(path)
        sync_folder(path.absolute().parent)


def put(path: Path, parts: bytes | Iterable[bytes]) -> None:
    """Write a file, whole or not at all, also after a loss of power; one already there is replaced."""
    parts = [parts] if isinstance(parts, bytes) else parts
    with trouble(path, len(parts[0]) if isinstance(parts, list) else None):
        with replacing(path) as stream:
            for part in parts:
                stream.write(part)
        sync_folder(path.parent)


def is_draft(name: str) -> bool:
    """Whether a file of this name is what an interrupted write has left."""
    return name.startswith(".cmapjax-") and name.endswith(".tmp")


def sync_folder(folder: Path) -> None:
    """Make renames in the folder last; where folders cannot be synced (Windows) the system sees to it."""
    if sys.platform == "win32":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno != errno.EINVAL:  # some network disks cannot sync a folder, and need not
            raise
    finally:
        os.close(handle)


def read(path: Path) -> bytes:
    """The bytes of a regular file: no link, pipe or device.

    Raises:
        Damaged: there is no such file, or it is not a regular one.
        OSError: the disk does not give it.
    """
    with trouble(path):
        try:
            handle = os.open(path, _READ)
        except FileNotFoundError:
            raise Damaged(path, "is missing") from None
        except OSError as error:
            if error.errno == errno.ELOOP:
                raise Damaged(path, "is a symbolic link", "put the file itself there") from None
            raise
        with os.fdopen(handle, "rb") as stream:
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                raise Damaged(path, "is not a regular file", "move it away")
            return stream.read()


def listed(folder: Path) -> list[str]:
    """The names in a folder, sorted; none if there is no folder."""
    with contextlib.suppress(FileNotFoundError), trouble(folder):
        return sorted(os.listdir(folder))
    return []


def digest_of(data: bytes) -> str:
    """The beginning of the SHA-256 of a file's bytes: the last part of its name."""
    return hashlib.sha256(data).hexdigest()[:16]


def put_aside(path: Path, folder: Path) -> None:
    """Move a file into a folder for damaged ones, where nothing is overwritten."""
    make_folder(folder)
    label = path.name if path.parent == folder.parent else f"{path.parent.name}-{path.name}"
    label = os.fsencode(label)[-200:].decode(errors="replace")  # a name may have 255 bytes
    with trouble(path):
        os.rename(path, folder / f"{label}.{secrets.token_hex(4)}")
        sync_folder(path.parent)
        sync_folder(folder)


def check_folder(path: Path, inside: Iterable[str]) -> None:
    """Raise ResultsError unless this is a folder, and it and these entries of it are no symbolic links."""
    for entry in (path, *(path / name for name in inside)):
        with trouble(entry):
            if entry.is_symlink():
                remedy = f"name the folder itself ({shown(os.path.realpath(entry))})"
                raise ResultsError(f"{shown(entry)} is a symbolic link, which is not followed; {remedy}.")
    if not path.exists():
        raise ResultsError(f"{shown(path)}: there is no such folder; check the name.")
    if not path.is_dir():
        raise ResultsError(f"{shown(path)} is not a folder; name the folder that holds the results.")
