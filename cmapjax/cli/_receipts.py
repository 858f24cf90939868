"""The table of what every agent received in every round, written while rounds are played."""

import contextlib
import dataclasses
from collections.abc import Iterator
from pathlib import Path

from cmapjax.arguments._checks import escape_cell
from cmapjax.cli._output import check_file

ENDINGS = (".csv", ".tsv", ".parquet")
# Numbers recorded before any is written (starting again costs a round or two), and rows of a table at a time.
RECORDED_AT_ONCE, WRITTEN_AT_ONCE = 10_000_000, 200_000
# Of a recorded number, as compiled code and as NumPy holds it; of a row with its text (measured: 500).
BYTES_RECORDED, BYTES_WRITTEN = 16, 550


def check_receipts(path: Path, every: int | None) -> None:
    """Raise ValueError unless receipts of every round can go to this file."""
    if path.suffix.lower() not in ENDINGS:
        raise ValueError(f"--receipts {path}: end the file's name in {', '.join(ENDINGS)}.")
    if every not in (None, 1):
        raise ValueError(f"--receipts writes every round, but --every is {every}; leave --every out.")
    check_file("--receipts", path)


def rounds_at_once(market, rounds: int) -> int:
    """How many of these rounds are recorded before their receipts are written."""
    return min(rounds, max(1, RECORDED_AT_ONCE // market.num_agents))


def memory_of_receipts(market, rounds: int) -> int:
    """MiB that the receipts held at a time may take."""
    numbers = rounds_at_once(market, rounds) * market.num_agents
    written = min(numbers, max(WRITTEN_AT_ONCE, market.num_agents))
    return -(-(numbers * BYTES_RECORDED + written * BYTES_WRITTEN) // 2**20)


class Receipts:
    """A file to which rounds are added."""

    def __init__(self, stream, ending: str, market, times):
        self.stream, self.ending, self.market, self.times = stream, ending, market, times
        self.labels, self.writer = _labels(market, ending), None

    def taken_from(self, run, strategy: str):
        """The run without its receipts, which are written (but for the record it began with)."""
        import numpy as np
        import pandas as pd

        from cmapjax.engine._run import receipts

        records = dict(run.records)
        received = records.pop("received")
        step = max(1, WRITTEN_AT_ONCE // self.market.num_agents)
        for first in range(1, len(received), step):
            some = slice(first, first + step)
            columns = receipts(self.market, run.rounds[some], received[some], self.times)
            columns["agent"] = np.tile(self.labels, len(received[some]))
            self._write(pd.DataFrame({"strategy": strategy, **columns}))
        return dataclasses.replace(run, records=records)

    def _write(self, table) -> None:
        if self.ending != ".parquet":
            separator = "," if self.ending == ".csv" else "\t"
            text = table.to_csv(index=False, sep=separator, header=self.writer is None, lineterminator="\n")
            self.stream.write(text.encode())
            self.writer = self.stream
            return
        import pyarrow as pa
        import pyarrow.parquet as pq

        table = pa.Table.from_pandas(table, preserve_index=False)
        if self.writer is None:
            self.writer = pq.ParquetWriter(self.stream, table.schema, write_page_checksum=True)
        self.writer.write_table(table)

    def close(self) -> None:
        if self.ending == ".parquet" and self.writer is not None:
            self.writer.close()


def _labels(market, ending: str):
    """The agents' labels as the other writers write them."""
    from cmapjax.graphs._write import written_labels

    labels = written_labels(market)
    if ending != ".parquet" and labels.dtype == object:
        labels[:] = [escape_cell(label) for label in labels]
    return labels


@contextlib.contextmanager
def receipts_to(path: Path | None, market, times) -> Iterator[Receipts | None]:
    """Receipts that go to this file, whole or not at all; None without a path."""
    if path is None:
        yield None
        return
    from cmapjax.graphs._files import replacing

    with replacing(path) as stream:
        receipts = Receipts(stream, path.suffix.lower(), market, times)
        yield receipts
        receipts.close()
