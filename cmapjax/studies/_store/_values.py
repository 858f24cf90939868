"""A hash of the values of a table that ignores how they are stored and in which order the rows stand.

Every row is mixed to 128 bits, and rows are added up (modulo 2^64 in both halves). Hashes of parts therefore
add up to the hash of the whole: two runs hold equal values if their sums agree, however the markets were cut
into chunks. Rows of a sketch weigh as often as they count, so that sketches of parts add up as well. This
finds differences, not forgeries; files have a sha256 for what happens to them on disk.

Mixing: the finaliser of SplitMix64 (Steele, Lea and Flood 2014, figure 10), once per column.
"""

import hashlib
from typing import NamedTuple

import numpy as np

COUNT = "count"
BUCKET = "bucket"
_MULTIPLIERS = np.array([0xBF58476D1CE4E5B9, 0x94D049BB133111EB], np.uint64)
# What stands for null: any constant will do, as being null is mixed in apart.
_NULL = np.uint64(0x9E3779B97F4A7C15)


class Values(NamedTuple):
    """Sums of the two halves of the rows' hashes, and the number of rows (or what a sketch counts)."""

    low: int
    high: int
    rows: int

    def __add__(self, other) -> "Values":
        return Values(
            (self.low + other.low) % 2**64, (self.high + other.high) % 2**64, self.rows + other.rows
        )

    def text(self) -> str:
        """As it stands in files."""
        return f"{self.low:016x}{self.high:016x}-{self.rows}"


NO_VALUES = Values(0, 0, 0)


def values_of(table) -> Values:
    """The hash of a pyarrow table: of its columns' names, of what is null, and of every bit of the rest."""
    weighted = {COUNT, BUCKET} <= set(table.column_names)
    rows = np.zeros((2, table.num_rows), np.uint64)
    for name in sorted(set(table.column_names) - ({COUNT} if weighted else set())):
        words, is_null = _words(table.column(name))
        words[is_null] = _NULL
        for half in range(2):
            salt = _salt(f"{half}{name}")
            rows[half] = _mix(rows[half] ^ _mix(words ^ salt) ^ is_null.astype(np.uint64))
    if not weighted:
        return Values(*(int(half.sum(dtype=np.uint64)) for half in rows), table.num_rows)
    count = np.asarray(table.column(COUNT).to_numpy(), np.int64).astype(np.uint64)
    sums = [int((half * count).sum(dtype=np.uint64)) for half in rows]
    return Values(*sums, int(count.sum(dtype=np.uint64)))


def _mix(words: np.ndarray) -> np.ndarray:
    words = words ^ (words >> np.uint64(30))
    words = words * _MULTIPLIERS[0]
    words = words ^ (words >> np.uint64(27))
    words = words * _MULTIPLIERS[1]
    return words ^ (words >> np.uint64(31))


def _salt(text: str) -> np.uint64:
    return np.uint64(int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little"))


def _words(column) -> tuple[np.ndarray, np.ndarray]:
    """A column as 64-bit words (its own copy), and where it is null."""
    import pyarrow as pa
    import pyarrow.compute as pc

    column = column.combine_chunks()
    if isinstance(column, pa.ChunkedArray):  # of no chunk at all
        column = pa.array([], column.type)
    is_null = np.asarray(column.is_null())
    kind = column.type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        column = column.dictionary_encode()
        kind = column.type
    if pa.types.is_dictionary(kind):
        texts = np.array([0, *(_salt(f"text {text}") for text in column.dictionary.to_pylist())], np.uint64)
        return texts[np.asarray(pc.fill_null(column.indices, -1)).astype(np.int64) + 1], is_null
    if pa.types.is_floating(kind):
        values = np.asarray(pc.fill_null(column, 0.0)).astype(np.float64)
        return values.view(np.uint64).copy(), is_null
    if pa.types.is_boolean(kind):
        return np.asarray(pc.fill_null(column, False)).astype(np.uint64), is_null
    values = np.asarray(pc.fill_null(column, 0)).astype(np.int64)
    return values.view(np.uint64).copy(), is_null
