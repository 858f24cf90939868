"""Files put in place whole or not at all, and kept through a loss of power; complaints of the disk in words.

Every write goes through here, and calls the operating system by `os.` alone, so that tests can let any
single call fail.
"""

import contextlib
import errno
import os
import secrets
import stat
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from cmapjax.studies._store._errors import Damaged, StoreError, reason, shown

DRAFT_PREFIX, DRAFT_SUFFIX = ".cmapjax-", ".tmp"
FULL = {errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)}
_BINARY = getattr(os, "O_BINARY", 0)
_NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0)
# What was a file when it was looked at may be a pipe by the time it is opened: do not wait for its writer.
_READ = os.O_RDONLY | _BINARY | _NO_FOLLOW | getattr(os, "O_NONBLOCK", 0)


@contextlib.contextmanager
def trouble(path: Path, needed: int | None = None) -> Iterator[None]:
    """Name the file, and the bytes that a full disk lacks, in any OSError that gets out."""
    try:
        yield
    except OSError as error:
        if error.filename == str(path) and ";" in (error.strerror or ""):
            raise  # said already, further in
        raise OSError(error.errno, _words(error, path, needed), str(path)) from None


def _words(error: OSError, path: Path, needed: int | None) -> str:
    words = error.strerror or reason(error)
    if error.errno in FULL:
        bytes_needed = "more space is needed" if needed is None else f"{needed:,} bytes are needed"
        with contextlib.suppress(OSError, AttributeError):
            space = os.statvfs(path.parent)
            bytes_needed += f", {space.f_bavail * space.f_frsize:,} are free"
        return f"{words}; {bytes_needed}: make room (or raise the limit), then resume"
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"{words}; name a folder where you may write, or change its permissions"
    if error.errno == errno.ENAMETOOLONG:
        return f"{words}; a name may have 255 bytes at most: choose a shorter one"
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        return f"{words}; its folder is not there: make it, or check the name"
    return f"{words}; look after that disk, then resume: what is finished is kept"


def make_folder(path: Path) -> None:
    """Make a folder in one that exists, unless it is there already."""
    with trouble(path), contextlib.suppress(FileExistsError):
        os.mkdir(path)


def write_all(handle: int, data: bytes) -> None:
    """Write all of it: one call may take only a part."""
    view = memoryview(data)
    while len(view):
        view = view[os.write(handle, view) :]


@contextlib.contextmanager
def draft_of(path: Path, parts: Iterable[bytes]) -> Iterator[Path]:
    """The parts in turn as a file beside `path`, safe on the disk; gone at the end unless it was renamed."""
    draft = path.parent / f"{DRAFT_PREFIX}{secrets.token_hex(8)}{DRAFT_SUFFIX}"
    try:
        handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _BINARY, 0o666)
        try:
            for part in parts:
                write_all(handle, part)
            os.fsync(handle)
        finally:
            os.close(handle)
        yield draft
    finally:
        with contextlib.suppress(OSError):
            os.unlink(draft)


def put(path: Path, data: bytes) -> None:
    """The data as a file, whole or not at all, also after a loss of power; one already there is replaced."""
    put_parts(path, [data], len(data))


def put_parts(path: Path, parts: Iterable[bytes], needed: int | None = None) -> None:
    """As `put`, of data that need not all be in memory; `needed` bytes, if that is known."""
    with trouble(path, needed):
        with draft_of(path, parts) as draft:
            os.replace(draft, path)
        sync_folder(path.parent)


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


def append(path: Path, data: bytes) -> None:
    """Add lines to the end of a file, whole or not at all as far as the disk allows."""
    with trouble(path, len(data)):
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | _BINARY | _NO_FOLLOW, 0o666)
        try:
            size = os.fstat(handle).st_size
            try:
                write_all(handle, data)
                os.fsync(handle)
            except OSError:
                with contextlib.suppress(OSError):
                    os.ftruncate(handle, size)
                raise
        finally:
            os.close(handle)


def read(path: Path, limit: int) -> bytes:
    """The bytes of a regular file (no link, pipe or device) of at most `limit` bytes.

    Raises:
        Damaged: there is no such file, it is not a regular one, or larger than the limit.
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
            status = os.fstat(handle)
            if not stat.S_ISREG(status.st_mode):
                raise Damaged(path, "is not a regular file", "move it away")
            data = stream.read(limit + 1)  # counted while reading: the file may grow
    if len(data) > limit:
        raise Damaged(
            path,
            f"holds {max(status.st_size, len(data)):,} bytes, above the limit of {limit:,}",
            "it is no file of this study, or more memory is needed to read it",
        )
    return data


def put_aside(path: Path, folder: Path) -> Path:
    """Move a damaged file into a folder, where nothing is overwritten, and say where it is now."""
    with trouble(path):
        os.makedirs(folder, exist_ok=True)
        label = path.name if path.parent == folder.parent else f"{path.parent.name}-{path.name}"
        label = os.fsencode(label)[-200:].decode(errors="replace")  # a name may have 255 bytes
        for number in range(1, 10_000):
            kept = folder / f"{label}.{number}"
            if not os.path.lexists(kept):
                os.rename(path, kept)
                sync_folder(path.parent)
                sync_folder(folder)
                return kept
    raise StoreError(f"{shown(folder)} holds 9,999 versions of {path.name}; empty it.")


def is_draft(name: str) -> bool:
    """Whether a file of this name is what an interrupted write has left."""
    return name.startswith(DRAFT_PREFIX) and name.endswith(DRAFT_SUFFIX)
