"""Files as bytes: regular files alone, within a memory budget, and complaints that say where."""

import contextlib
import gzip
import io
import os
import secrets
import stat
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

CHUNK = 1 << 20  # one MiB a time: large enough to be fast, small against any budget
# Memory that a byte of text takes until it is part of a market. Measured: edge lists of numbers or of long
# labels 16 to 18, MatrixMarket 17, GraphML 19; the worst, bare GML or labels of four letters, 44 to 66, which
# a quarter of the memory still leaves room for.
MEMORY_PER_BYTE = 16
MAX_DETAIL = 160
MAX_PATH = 80

_GZIP = b"\x1f\x8b"
_DISGUISES = {
    _GZIP: "a gzip file; end its name in .gz",
    b"PK\x03\x04": "a zip archive; unpack it first",
    b"BZh": "a bzip2 file; unpack it first",
    b"\xfd7zXZ\x00": "an xz file; unpack it first",
    b"\x28\xb5\x2f\xfd": "a zstd file; unpack it first",
    b"PAR1": "a Parquet file; end its name in .parquet (agents tables alone may be Parquet)",
    b"\xff\xfe": "UTF-16 text; save it as UTF-8",
    b"\xfe\xff": "UTF-16 text; save it as UTF-8",
}


def complaint(path, message: str, line: int | None = None) -> ValueError:
    """The error about one place of a file, short enough for a terminal whatever the file holds."""
    name = str(path)
    name = name if name.isprintable() else repr(name)
    name = name if len(name) <= MAX_PATH else "…" + name[1 - MAX_PATH :]
    return ValueError(f"{name}{'' if line is None else f', line {line}'}: {message}")


def detail(error: BaseException) -> str:
    """The words of another library's error, cut to one short line."""
    text = " ".join((getattr(error, "strerror", None) or str(error)).split()) or type(error).__name__
    return text if len(text) <= MAX_DETAIL else text[: MAX_DETAIL - 1] + "…"


def check_budget(path, needed: int, budget: int, what: str) -> None:
    """Raise if `needed` bytes exceed the budget."""
    if needed > budget:
        raise complaint(
            path,
            f"{what} {needed:,} bytes, above the budget of {budget:,}. "
            "If that is meant, pass a larger memory_budget.",
        )


def _as_path(path) -> Path:
    if not isinstance(path, (str, os.PathLike)) or isinstance(os.fspath(path), bytes):
        raise ValueError(f"path is a {type(path).__name__}; give the name of a file.")
    return Path(path)


def check_path(path) -> Path:
    """The path of an existing regular file that can be read."""
    path = _as_path(path)
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        raise complaint(path, "there is no such file; check the name.") from None
    except (OSError, ValueError) as error:  # ValueError: a null byte in the name
        raise complaint(path, f"cannot be opened ({detail(error)}).") from None
    if stat.S_ISDIR(mode):
        raise complaint(path, "is a folder; give the name of a file in it.")
    if not stat.S_ISREG(mode):
        raise complaint(path, "is a pipe or device, not a regular file; copy it into a file first.")
    return path


def format_and_gzip(path: Path, formats: dict[str, str]) -> tuple[str, bool]:
    """What `formats` says of the ending of this name, and whether the file is gzipped.

    Raises:
        ValueError: an ending that `formats` does not know; nothing is guessed.
    """
    name = path.name.lower()
    gzipped = name.endswith(".gz")
    ending = Path(name.removesuffix(".gz")).suffix
    if ending not in formats:
        raise complaint(
            path,
            f"the ending {ending!r} is not known; use one of {' '.join(formats)} "
            "(.gz may follow), so that the format is clear.",
        )
    return formats[ending], gzipped


def read_bytes(path: Path, budget: int, *, gzipped: bool) -> bytes:
    """The content of a file, unpacked, without a byte-order mark; checked to be UTF-8.

    The size is counted while reading, so that a file that unpacks to too much (or grows) is left early.
    """
    content = io.BytesIO()
    try:
        # Not blocking: what was a file when it was looked at may be a pipe by now.
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
        with os.fdopen(handle, "rb") as raw:
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                raise complaint(path, "is not a regular file; copy it into a file first.")
            if gzipped and raw.peek(2)[:2] != _GZIP:
                raise complaint(path, "ends in .gz but is not gzip; rename it, or compress it again.")
            with gzip.GzipFile(fileobj=raw) if gzipped else raw as stream:
                while chunk := stream.read(CHUNK):
                    content.write(chunk)
                    needed = MEMORY_PER_BYTE * content.tell()
                    what = f"the file unpacks to {content.tell():,} bytes or more, and reading that takes"
                    check_budget(path, needed, budget, what)
    except EOFError:
        raise complaint(path, "the gzip file ends too early; fetch or compress it again.") from None
    except (OSError, zlib.error) as error:
        raise complaint(path, f"cannot be read ({detail(error)}).") from None
    data = content.getvalue().removeprefix(b"\xef\xbb\xbf")
    _check_text(path, data, gzipped)
    return data


def _check_text(path: Path, data: bytes, gzipped: bool) -> None:
    if not data.strip():
        raise complaint(path, "the file is empty; write or fetch it again.")
    if gzipped and data.startswith(_GZIP):
        raise complaint(path, "is compressed twice; unpack it once.")
    for magic, what in _DISGUISES.items():
        if data.startswith(magic):
            raise complaint(path, f"{'unpacks to' if gzipped else 'is'} {what}.")
    try:
        data.decode()
    except UnicodeDecodeError as error:
        raise complaint(
            path,
            f"byte {error.start} (0x{data[error.start]:02x}) is not UTF-8; save the file as UTF-8.",
            data.count(b"\n", 0, error.start) + 1,
        ) from None


def check_writable_path(path) -> Path:
    """The path, if a file may be put there: its folder exists, and it is no folder itself."""
    path = _as_path(path)
    if not path.parent.is_dir():
        raise complaint(path, "its folder does not exist; make it first.")
    if path.is_dir():
        raise complaint(path, "is a folder; give the name of a file in it.")
    return path


def write_bytes(path: Path, data: bytes) -> None:
    """Put `data` at `path`, whole or not at all (`replacing`)."""
    with replacing(path) as stream:
        stream.write(data)


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A file to be written at `path`, whole or not at all; a file already there is replaced.

    Failures of the disk stay OSErrors; they leave what was there before.
    """
    draft = path.parent / f".cmapjax-{secrets.token_hex(8)}.tmp"
    try:
        with open(draft, "xb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(draft, path)
    except OSError as error:
        error.filename = str(path)  # a failed write names no file, and nobody knows the draft
        raise
    finally:
        draft.unlink(missing_ok=True)
