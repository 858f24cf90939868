"""Tables as Parquet files that say whose they are and are named after their bytes."""

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path

from cmapjax.studies.results import _disk
from cmapjax.studies.results._about import FORMAT
from cmapjax.studies.results._disk import Damaged, reason

NAME = re.compile(r"(.+)-([0-9a-f]{16})\.(parquet|json)", re.ASCII)


def split_name(path: Path) -> tuple[str, str]:
    """What a file is called after, and the digest behind it; empty texts if it has none.

    In g00000-m0000000-n000250-0123456789abcdef.parquet they are the chunk's name and the sixteen digits.
    """
    match = NAME.fullmatch(path.name)
    return (match[1], match[2]) if match else ("", "")


def checked(path: Path) -> bytes:
    """The bytes of a file that is named after them.

    Raises:
        Damaged: it is not what it is called.
    """
    data = _disk.read(path)
    if _disk.digest_of(data) != split_name(path)[1]:
        raise Damaged(path, "is altered or cut short since it was written")
    return data


@contextlib.contextmanager
def _whole(path: Path) -> Iterator[None]:
    import pyarrow as pa

    try:
        yield
    except (pa.ArrowException, OSError) as error:
        raise Damaged(path, f"is no whole Parquet file ({reason(error)})") from None


def declared(path: Path):
    """What a Parquet file says of itself at its end (pyarrow's FileMetaData); nothing else of it is read."""
    import pyarrow.parquet as pq

    with _whole(path):
        return pq.read_metadata(path)


def decoded(path: Path, data: bytes, columns=None):
    """The table of a Parquet file, of which these are the bytes."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    # In this thread alone: a thread of Arrow's that lets go of Python's bytes while the interpreter ends
    # aborts the process.
    with _whole(path):
        file = pq.ParquetFile(pa.BufferReader(data), pre_buffer=False)
        return file.read(columns=columns, use_threads=False)


def encoded(table, tags: dict[str, str]) -> bytes:
    """A table as the bytes of a Parquet file; equal tables give equal bytes."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    metadata = dict(table.schema.metadata or {}) | {f"cmapjax.{key}": value for key, value in tags.items()}
    metadata["cmapjax.format"] = str(FORMAT)
    sink = pa.BufferOutputStream()
    pq.write_table(
        table.replace_schema_metadata(metadata), sink, compression="zstd", write_page_checksum=True
    )
    return sink.getvalue().to_pybytes()
