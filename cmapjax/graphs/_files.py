"""Files as bytes: only regular files, within a memory budget, with errors that name the place."""

import bz2
import codecs
import contextlib
import gzip
import io
import lzma
import os
import secrets
import stat
import sys
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

from cmapjax.arguments._checks import listed

CHUNK = 1 << 20  # bytes read at a time: enough to be fast, small compared with any budget
# Bytes of memory that reading takes per byte of text. Measured: numbers 6 if agents have several links, 13 in
# a path, 20 in pairs; labels as text 7 and 37; GraphML 19, GEXF 20, JSON 26, bare GML 39 to 66. The default
# budget is a third of the memory, so that the worst case of each format still fits.
MEMORY_PER_DIGIT = 8
MEMORY_PER_BYTE = 16
MAX_DETAIL = 160
MAX_PATH = 80

STANDARD_INPUT = Path("standard input")


class Packing(NamedTuple):
    """A way in which one file is compressed."""

    magic: bytes
    """The first bytes of such a file."""
    name: str
    opened: Callable


PACKINGS = {
    ".gz": Packing(b"\x1f\x8b", "gzip", gzip.open),
    ".bz2": Packing(b"BZh", "bzip2", bz2.open),
    ".xz": Packing(b"\xfd7zXZ\x00", "xz", lzma.open),
    ".zip": Packing(b"PK\x03\x04", "zip", zipfile.ZipFile),
}
_UNPACKING_ERRORS = (zlib.error, lzma.LZMAError, zipfile.BadZipFile, NotImplementedError)
_DISGUISES = {
    packing.magic: f"a {packing.name} file; end its name in {ending}, or unpack it"
    for ending, packing in PACKINGS.items()
} | {
    b"\x28\xb5\x2f\xfd": "a zstd file; unpack it first",
    b"PAR1": "a Parquet file; end its name in .parquet (agents tables alone may be Parquet)",
    b"\xff\xfe": "UTF-16 text; save it as UTF-8",
    b"\xfe\xff": "UTF-16 text; save it as UTF-8",
}


class FileError(ValueError):
    """What is wrong with a file, and on which line if that is known; `naming` adds the file's name."""

    def __init__(self, message: str, line: int | None = None):
        super().__init__(message)
        self.line = line


class _NamedError(ValueError):
    """An error that names its file."""


def in_file(path, message: str, line: int | None = None) -> str:
    """The message behind the file's name and the line, short whatever the name is."""
    name = str(path)
    name = name if name.isprintable() else repr(name)
    name = name if len(name) <= MAX_PATH else "…" + name[1 - MAX_PATH :]
    return f"{name}{'' if line is None else f', line {line}'}: {message}"


@contextlib.contextmanager
def naming(path) -> Iterator[None]:
    """Errors about what a file holds name the file."""
    try:
        yield
    except _NamedError:
        raise
    except ValueError as error:
        raise _NamedError(in_file(path, str(error), getattr(error, "line", None))) from None


@contextlib.contextmanager
def on_line(line: int | None) -> Iterator[None]:
    """Errors name this line, unless they name another."""
    try:
        yield
    except FileError:
        raise
    except ValueError as error:
        raise FileError(str(error), line) from None


def detail(error: BaseException) -> str:
    """The words of another library's error, cut to one short line."""
    text = " ".join((getattr(error, "strerror", None) or str(error)).split()) or type(error).__name__
    return text if len(text) <= MAX_DETAIL else text[: MAX_DETAIL - 1] + "…"


def check_budget(needed: int, budget: int, what: str) -> None:
    """Raise if `needed` bytes exceed the budget."""
    if needed > budget:
        raise FileError(
            f"{what} {needed:,} bytes, above the budget of {budget:,}. "
            "If that is meant, pass a larger memory_budget."
        )


def _as_path(path) -> Path:
    if not isinstance(path, (str, os.PathLike)) or isinstance(os.fspath(path), bytes):
        raise ValueError(f"path is a {type(path).__name__}; give the name of a file.")
    return Path(path)


def check_path(path) -> Path:
    """The path of an existing regular file that can be read."""
    path = _as_path(path)
    with naming(path):
        try:
            mode = os.stat(path).st_mode
        except FileNotFoundError:
            raise FileError("there is no such file; check the name.") from None
        except (OSError, ValueError) as error:  # ValueError: a null byte in the name
            raise FileError(f"cannot be opened ({detail(error)}).") from None
        if stat.S_ISDIR(mode):
            raise FileError("is a folder; give the name of a file in it.")
        if not stat.S_ISREG(mode):
            raise FileError("is a pipe or device, not a regular file; copy it into a file first.")
    return path


def packing_of(name: str) -> str:
    """The ending that says how a file is compressed; nothing if it is not."""
    return next((ending for ending in PACKINGS if name.lower().endswith(ending)), "")


def format_and_packing(
    path: Path, formats: dict[str, str], packings: Iterable[str] = tuple(PACKINGS)
) -> tuple[str, str]:
    """The format for the ending of this name, and the ending that says how the file is compressed."""
    packing = packing_of(path.name)
    ending = Path(path.name.lower().removesuffix(packing)).suffix
    is_packed_so = packing in ("", *packings)
    if ending not in formats or not is_packed_so:
        message = (
            f"the ending {ending if is_packed_so else packing!r} is not known; use one of "
            f"{' '.join(formats)} ({' '.join(packings)} may follow), so that the format is clear."
        )
        raise _NamedError(in_file(path, message))
    return formats[ending], packing


def read_bytes(
    path: Path, budget: int, *, packing: str = "", is_text: bool = True, per_byte: int = MEMORY_PER_BYTE
) -> bytes:
    """The content of a file or of standard input, unpacked; of text checked to be UTF-8, without its mark.

    The size is counted while reading, so that a file that unpacks to too much (or grows) is left early.
    """
    content = io.BytesIO()
    with _reading(packing), _opened(path, packing, budget) as stream:
        while chunk := stream.read(CHUNK):
            content.write(chunk)
            size = content.tell()
            what = f"the file unpacks to {size:,} bytes or more, and reading that takes"
            check_budget(per_byte * size, budget, what)
    return _checked(content.getvalue(), packing, is_text)


def member_of_zip(path: Path, budget: int) -> str:
    """The name of the one file in a zip file."""
    with _reading(".zip"), open(path, "rb") as raw:
        return _only_member(_archive(raw, budget)).filename


@contextlib.contextmanager
def _reading(packing: str) -> Iterator[None]:
    """Errors of the system and of what unpacks, in our words."""
    try:
        yield
    except EOFError:
        raise FileError(
            f"the {PACKINGS[packing].name} file ends too early; fetch or compress it again."
        ) from None
    except (OSError, *_UNPACKING_ERRORS) as error:
        raise FileError(f"cannot be read ({detail(error)}).") from None


@contextlib.contextmanager
def _opened(path: Path, packing: str, budget: int) -> Iterator:
    """The unpacked content of a regular file, or of standard input, as a stream."""
    if path == STANDARD_INPUT:
        yield sys.stdin.buffer
        return
    # Opened without blocking, because the file may have been replaced by a pipe since it was checked.
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    with os.fdopen(handle, "rb") as raw:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise FileError("is not a regular file; copy it into a file first.")
        if not packing:
            yield raw
            return
        magic, name, opened = PACKINGS[packing]
        if not raw.peek(len(magic)).startswith(magic):
            raise FileError(f"ends in {packing} but is not {name}; rename it, or compress it again.")
        if packing == ".zip":
            archive = _archive(raw, budget)
            unpacked = archive.open(_only_member(archive))
        else:
            unpacked = opened(raw)
        with unpacked as stream:
            yield stream


def _archive(raw, budget: int) -> zipfile.ZipFile:
    """A zip file of which the list of its files, too, fits into the budget."""
    size = os.fstat(raw.fileno()).st_size
    what = f"the zip file has {size:,} bytes, and reading it takes"
    check_budget(MEMORY_PER_BYTE * size, budget, what)
    return zipfile.ZipFile(raw)


def _only_member(archive: zipfile.ZipFile) -> zipfile.ZipInfo:
    # macOS adds a folder with metadata of its own.
    members = [m for m in archive.infolist() if not m.is_dir() and not m.filename.startswith("__MACOSX/")]
    if len(members) != 1:
        raise FileError(
            f"the zip file holds {len(members)} files ({listed(m.filename for m in members) or 'none'}); "
            "put the one to be read into a zip file of its own, or unpack it."
        )
    if members[0].flag_bits & 1:
        raise FileError("the zip file is encrypted; unpack it first.")
    return members[0]


def _checked(data: bytes, packing: str, is_text: bool) -> bytes:
    data = data.removeprefix(b"\xef\xbb\xbf") if is_text else data
    if not data or data.isspace():
        raise FileError("the file is empty; write or fetch it again.")
    if not is_text:
        return data
    if packing and any(data.startswith(other.magic) for other in PACKINGS.values()):
        raise FileError("is compressed twice; unpack it once.")
    for magic, what in _DISGUISES.items():
        if data.startswith(magic):
            raise FileError(f"{'unpacks to' if packing else 'is'} {what}.")
    if not data.isascii():
        _check_utf8(data)
    return data


def _check_utf8(data: bytes) -> None:
    """Piece by piece, so that no second copy of the text is made."""
    decoder, start = codecs.getincrementaldecoder("utf-8")(), 0
    try:
        for start in range(0, len(data), CHUNK):
            held = len(decoder.getstate()[0])
            decoder.decode(data[start : start + CHUNK], final=start + CHUNK >= len(data))
    except UnicodeDecodeError as error:
        place = start - held + error.start
        raise FileError(
            f"byte {place} (0x{data[place]:02x}) is not UTF-8; save the file as UTF-8.",
            data.count(b"\n", 0, place) + 1,
        ) from None


def check_writable_path(path) -> Path:
    """The path, if a file may be put there: its folder exists, and it is no folder itself."""
    path = _as_path(path)
    with naming(path):
        if not path.parent.is_dir():
            raise FileError("its folder does not exist; make it first.")
        if path.is_dir():
            raise FileError("is a folder; give the name of a file in it.")
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
        error.filename = str(path)  # a failed write names no file, or the temporary one
        raise
    finally:
        draft.unlink(missing_ok=True)
