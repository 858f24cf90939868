"""Tables as Parquet files that say whose they are and are named after their bytes."""

import re
from pathlib import Path

from cmapjax.studies._chunks import Chunk
from cmapjax.studies.results import _disk
from cmapjax.studies.results._about import FORMAT
from cmapjax.studies.results._errors import Damaged, ResultsError, reason

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


def tags_of(path: Path, data: bytes | None = None) -> dict[str, str]:
    """What a Parquet file says of itself, without the `cmapjax.` of its keys."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        metadata = pq.read_schema(pa.BufferReader(_disk.read(path) if data is None else data)).metadata or {}
    except (pa.ArrowException, OSError) as error:
        raise Damaged(path, f"is no Parquet file ({reason(error)})") from None
    prefix = b"cmapjax."
    ours = {key.removeprefix(prefix): value for key, value in metadata.items() if key.startswith(prefix)}
    return {key.decode(): value.decode(errors="replace") for key, value in ours.items()}


def declared_rows(path: Path) -> int:
    """How many rows a Parquet file says it has."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return pq.read_metadata(path).num_rows
    except (pa.ArrowException, OSError) as error:
        raise Damaged(path, f"is no whole Parquet file ({reason(error)})") from None


def decoded(path: Path, data: bytes, columns):
    import pyarrow as pa
    import pyarrow.parquet as pq

    # In this thread alone: a thread of Arrow's that lets go of Python's bytes while the interpreter ends
    # aborts the process.
    try:
        file = pq.ParquetFile(pa.BufferReader(data), pre_buffer=False)
        return file.read(columns=columns, use_threads=False)
    except (pa.ArrowException, OSError) as error:
        raise Damaged(path, f"is no whole Parquet file ({reason(error)})") from None


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


def check_rows(chunk: Chunk, summary) -> None:
    """Raise ResultsError unless the rows are of the chunk's markets, each once per cell."""
    import pyarrow.compute as pc

    if lacking := [n for n in ("cell", "ground", "market") if n not in summary.column_names]:
        raise ResultsError(f"summary of {chunk.name} lacks the column {lacking[0]!r}.")
    if not summary.num_rows:
        raise ResultsError(f"summary of {chunk.name} has no rows.")
    markets, grounds = pc.min_max(summary["market"]).as_py(), pc.min_max(summary["ground"]).as_py()
    end = chunk.first + chunk.count
    if markets["min"] < chunk.first or markets["max"] >= end or set(grounds.values()) != {chunk.ground}:
        raise ResultsError(
            f"summary of {chunk.name} holds markets {markets['min']} to {markets['max']} of ground "
            f"{grounds['min']}; its name says otherwise."
        )
    if (
        summary.select(["cell", "market"]).group_by(["cell", "market"]).aggregate([]).num_rows
        != summary.num_rows
    ):
        raise ResultsError(f"summary of {chunk.name} has several rows for one cell and market.")
