"""The table of what every agent received in every round, written while rounds are played."""

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
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
    if every not in (None, 1):
        raise ValueError(f"--receipts writes every round, but --every is {every}; leave --every out.")
    check_file("--receipts", path, ENDINGS)


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

    def played(self, play: Callable, rounds: int, strategy: str):
        """The run of so many rounds, whose receipts are written as it goes on.

        Args:
            play: plays some rounds from a state, `play(rounds=…, start=…)`, and records each of them.
            rounds: how many.
            strategy: its name in the table.
        """
        runs, state = [], None
        step = rounds_at_once(self.market, rounds)
        for first in range(0, rounds, step):
            run = play(rounds=min(step, rounds - first), start=state)
            state = run.final
            records = dict(run.records)
            self._add(strategy, run.rounds, records.pop("received"))
            runs.append(dataclasses.replace(run, records=records, final=None))
        return dataclasses.replace(_joined(runs), final=state)

    def _add(self, strategy: str, rounds, received) -> None:
        """Write all rounds but the first record, which is the start."""
        import numpy as np
        import pandas as pd

        from cmapjax.engine._run import receipts

        step = max(1, WRITTEN_AT_ONCE // self.market.num_agents)
        for first in range(1, len(received), step):
            some = slice(first, first + step)
            columns = receipts(self.market, rounds[some], received[some], self.times)
            columns["agent"] = np.tile(self.labels, len(received[some]))
            self._write(pd.DataFrame({"strategy": strategy, **columns}))

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


def _joined(runs: list):
    """One run of some played one after another; each starts with the record the last ended with."""
    import numpy as np

    def join(*tables):
        return np.concatenate([tables[0], *(table[1:] for table in tables[1:])])

    return dataclasses.replace(
        runs[-1],
        rounds=join(*(run.rounds for run in runs)),
        agent_updates=join(*(run.agent_updates for run in runs)),
        records={name: join(*(run.records[name] for run in runs)) for name in runs[-1].records},
    )


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
