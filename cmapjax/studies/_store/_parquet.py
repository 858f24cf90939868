"""Tables as Parquet files that say whose they are, and their reading: bounded, checked, nothing executed.

Keys of a file's own metadata: `cmapjax.format`, `cmapjax.study` (digest), `cmapjax.chunk`, `cmapjax.kind`,
`cmapjax.values` (hash of the values), `cmapjax.curves` (in a summary: sha256 of the chunk's curves, or
empty), `cmapjax.manifest` (the manifest as it began, so that it can be rebuilt) and, where a chunk was
played with other versions than the study began with, `cmapjax.made`.
"""

import hashlib
import json
from pathlib import Path
from typing import NamedTuple

from cmapjax.arguments._checks import default_memory_budget
from cmapjax.studies._store._disk import read
from cmapjax.studies._store._errors import Damaged, Newer, reason
from cmapjax.studies._store._values import Values, values_of

FORMAT = 1
# Above this a manifest is not repeated in every chunk: a study that lists its cells one by one, say.
MAX_REPEATED_MANIFEST = 64 << 10
# Columns that a table may declare: far above any study's, far below what takes long to look through.
MAX_COLUMNS = 10_000


class Tags(NamedTuple):
    """What a file says of itself."""

    study: str
    chunk: str
    kind: str
    values: str
    curves: str = ""
    manifest: str = ""
    made: str = ""


class Loaded(NamedTuple):
    """A file that was read: its table (None if not asked for), its tags and the hash of its bytes."""

    table: object
    tags: Tags
    sha256: str
    size: int


def encode(table, tags: Tags) -> tuple[bytes, Values]:
    """A table as the bytes of a Parquet file, and the hash of its values. Equal tables give equal bytes."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    values = values_of(table)
    metadata = dict(table.schema.metadata or {})
    metadata[b"cmapjax.format"] = str(FORMAT).encode()
    for key, value in tags._replace(values=values.text())._asdict().items():
        if value or key == "curves":
            metadata[f"cmapjax.{key}".encode()] = value.encode()
    sink = pa.BufferOutputStream()
    pq.write_table(
        table.replace_schema_metadata(metadata), sink, compression="zstd", write_page_checksum=True
    )
    return sink.getvalue().to_pybytes(), values


def load(path: Path, *, columns=None, expected_sha256: str | None = None, only_tags: bool = False) -> Loaded:
    """Read a file written by `encode`.

    Args:
        path: the file.
        columns: the names of those to read; all by default.
        expected_sha256: what the journal says of the file's bytes.
        only_tags: leave the table out.

    Raises:
        Damaged: the file is missing, altered, cut short, no such table, or would take more memory than the
            budget (a quarter of the memory, at most 2 GiB).
        Newer: it is of a later format.
    """
    budget = default_memory_budget()
    data = read(path, budget)
    sha256 = hashlib.sha256(data).hexdigest()
    if expected_sha256 not in (None, sha256):
        raise Damaged(path, "altered or cut short since it was written (its sha256 differs)")
    table, tags = _decode(path, data, columns, only_tags, budget)
    return Loaded(table, tags, sha256, len(data))


def _decode(path: Path, data: bytes, columns, only_tags: bool, budget: int):
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        reader = pa.BufferReader(data)
        schema = pq.read_schema(reader)
        tags = _tags(path, schema.metadata or {})
        if only_tags:
            return None, tags
        texts = _check_types(path, schema)
        # In this thread alone: a thread of Arrow's that lets go of Python's bytes while the interpreter ends
        # aborts the process.
        file = pq.ParquetFile(
            pa.BufferReader(data), read_dictionary=texts, page_checksum_verification=True, pre_buffer=False
        )
        _check_size(path, file.metadata, set(texts), budget)
        table = file.read(columns=columns, use_threads=False)
        if table.num_rows != file.metadata.num_rows:
            raise Damaged(path, f"holds {table.num_rows:,} rows, not as many as it declares")
        return _plain_texts(path, table, schema, budget), tags
    except (pa.ArrowException, OSError, MemoryError, RecursionError) as error:
        raise Damaged(path, f"is no whole Parquet file ({reason(error)})") from None
    except KeyError as error:
        raise Damaged(path, f"lacks the column {error}") from None


def _tags(path: Path, metadata: dict) -> Tags:
    try:
        version = int(metadata[b"cmapjax.format"])
        check_format(path, version)
        return Tags(
            **{
                key: metadata.get(f"cmapjax.{key}".encode(), b"").decode()
                if key in Tags._field_defaults
                else metadata[f"cmapjax.{key}".encode()].decode()
                for key in Tags._fields
            }
        )
    except (KeyError, UnicodeDecodeError):
        raise Damaged(path, "does not say which study it belongs to; it is no chunk") from None
    except Newer:
        raise
    except ValueError:
        raise Damaged(path, "its format version is not a number") from None


def check_format(path: Path, version) -> None:
    """Raise if a file's format is not one that this version of cmapjax reads."""
    import cmapjax

    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise Damaged(path, f"its format version is {json.dumps(version)[:40]}, not a number from 1")
    if version > FORMAT:
        raise Newer(
            path,
            f"has format version {version}, and cmapjax {cmapjax.__version__} knows versions up to {FORMAT}",
            "read it with the cmapjax that wrote it, or a later one (pip install --upgrade cmapjax)",
        )


def _check_types(path: Path, schema) -> list[str]:
    """The names of text columns; raises unless all columns are plain numbers, flags or text."""
    if len(schema) > MAX_COLUMNS:
        raise Damaged(path, f"declares {len(schema):,} columns; at most {MAX_COLUMNS:,} are read")
    if strange := strange_columns(schema):
        raise Damaged(path, f"column {strange[0]}; only numbers and text are read")
    return [field.name for field in schema if _is_text(field.type)]


def _is_text(kind) -> bool:
    import pyarrow as pa

    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    return pa.types.is_string(kind) or pa.types.is_large_string(kind)


def strange_columns(schema) -> list[str]:
    """Columns that are neither numbers nor flags nor text, with what they are."""
    import pyarrow as pa

    plain = (pa.types.is_integer, pa.types.is_floating, pa.types.is_boolean, _is_text)
    return [f"{f.name[:60]!r} is {str(f.type)[:60]}" for f in schema if not any(is_(f.type) for is_ in plain)]


def _check_size(path: Path, metadata, texts: set[str], budget: int) -> None:
    """Raise if the rows that the file declares exceed the budget, before any of them is read."""
    needed = metadata.num_rows * metadata.num_columns * 8
    for group in range(metadata.num_row_groups):
        for number in range(metadata.num_columns):
            column = metadata.row_group(group).column(number)
            needed += column.total_uncompressed_size if column.path_in_schema in texts else 0
    if needed > budget:
        raise Damaged(
            path,
            f"declares {metadata.num_rows:,} rows that take {needed:,} bytes, above the budget of {budget:,}",
            "it is no chunk of a study made here, or more memory is needed to read it",
        )


def _plain_texts(path: Path, table, schema, budget: int):
    """Text columns as their schema has them: read as dictionaries, which a few bytes cannot blow up."""
    import pyarrow as pa
    import pyarrow.compute as pc

    for number, name in enumerate(table.column_names):
        wanted = schema.field(name).type
        if pa.types.is_dictionary(wanted) or not pa.types.is_dictionary(table.column(name).type):
            continue
        column = table.column(name)
        size = sum(
            pc.sum(pc.take(pc.binary_length(part.dictionary), part.indices)).as_py() or 0
            for part in column.chunks
        )
        if size > budget:
            raise Damaged(path, f"column {name[:60]!r} takes {size:,} bytes, above {budget:,}")
        table = table.set_column(number, schema.field(name), column.cast(wanted))
    return table
