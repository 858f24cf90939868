"""Files put in place whole or not at all, and kept through a loss of power; what can be wrong, in a line.

Every change goes through here, so that tests can let any single call of the operating system fail.
"""

import contextlib
import errno
import hashlib
import os
import secrets
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from cmapjax.graphs._files import replacing

MAX_SHOWN = 80
FULL = {errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)}
_NO_RIGHT = "name a folder where you may write, or change its permissions"
_NO_FOLDER = "its folder is not there: make it, or check the name"
REMEDIES = {
    errno.EACCES: _NO_RIGHT,
    errno.EPERM: _NO_RIGHT,
    errno.EROFS: _NO_RIGHT,
    errno.ENOENT: _NO_FOLDER,
    errno.ENOTDIR: _NO_FOLDER,
    errno.ENAMETOOLONG: "a name may have 255 bytes at most: choose a shorter one",
}


class ResultsError(ValueError):
    """A results folder that cannot be used as asked."""


class Busy(ResultsError):
    """Another process is running the study of this folder."""


class Damaged(ResultsError):
    """A file of the folder is missing, altered, cut short or of another study.

    Args:
        path: the file.
        what: what is wrong with it, in words.
        remedy: what to do about it.
    """

    REMEDY = "`cmapjax study verify DIR --repair` puts it aside, and resume plays its chunk again"

    def __init__(self, path, what: str, remedy: str = REMEDY):
        super().__init__(f"{shown(path)} {what}; {remedy}.")
        self.path, self.what, self.remedy = path, what, remedy


def shown(path) -> str:
    """A path as one line of a terminal may show it: control characters spelt out, the end kept."""
    text = str(path)
    text = text if text.isprintable() else repr(text)
    return text if len(text) <= MAX_SHOWN else "…" + text[1 - MAX_SHOWN :]


def reason(error: BaseException) -> str:
    """The words of another library's error, cut to one short line."""
    text = " ".join((getattr(error, "strerror", None) or str(error)).split()) or type(error).__name__
    return text if len(text) <= 160 else text[:159] + "…"


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
    usual = "look after that disk, then resume: what is finished is kept"
    return f"{words}; {REMEDIES.get(error.errno, usual)}"


def make_folder(path: Path) -> None:
    """Make a folder in one that exists, unless it is there already."""
    with trouble(path), contextlib.suppress(FileExistsError):
        os.mkdir(path)
        sync_folder(path.absolute().parent)


def put(path: Path, parts: bytes | Iterable[bytes]) -> None:
    """Write a file, whole or not at all, also after a loss of power; one already there is replaced."""
    needed = len(parts) if isinstance(parts, bytes) else None
    with trouble(path, needed):
        with replacing(path) as stream:
            for part in [parts] if isinstance(parts, bytes) else parts:
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
    """The bytes of a file.

    Raises:
        Damaged: there is no such file.
        OSError: the disk does not give it.
    """
    with trouble(path):
        try:
            return path.read_bytes()
        except FileNotFoundError:
            raise Damaged(path, "is missing") from None


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


def check_folder(path: Path) -> None:
    """Raise ResultsError unless this is a folder."""
    with trouble(path):
        if not path.exists():
            raise ResultsError(f"{shown(path)}: there is no such folder; check the name.")
        if not path.is_dir():
            raise ResultsError(f"{shown(path)} is not a folder; name the folder that holds the results.")
