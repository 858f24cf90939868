"""How far a run has come: numbers for a bar, and lines for the log file."""

import os
import socket
import time
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cmapjax.studies._chunks import Chunk

LOG = "log.txt"


@dataclass(frozen=True)
class State:
    """How far a run has come. A market counts once for every cell that it is played under."""

    cells: int
    cells_done: int
    markets: int
    markets_done: int
    failures: int
    rate: float | None  # markets per second, of this run
    remaining: float | None  # seconds, at that rate
    note: str = ""


class Tally:
    """Counts what is done, of all that the study asks for."""

    def __init__(self, study, plan: Iterable[Chunk], missing: Iterable[Chunk]):
        """`missing` are the parts of the plan that are not done."""
        self._cells_of = [len(ground.cells) for ground in study.grounds()]
        self._left: Counter = Counter()
        for chunk in missing:
            self._left[chunk.ground] += chunk.count
        self.markets = sum(chunk.count * self._cells_of[chunk.ground] for chunk in plan)
        self.done = self.markets - sum(n * self._cells_of[ground] for ground, n in self._left.items())
        self._at_first, self._began = self.done, time.monotonic()

    @property
    def played(self) -> int:
        """Markets played by this run."""
        return self.done - self._at_first

    def add(self, chunk: Chunk) -> None:
        """A chunk is on the disk."""
        self._left[chunk.ground] -= chunk.count
        self.done += chunk.count * self._cells_of[chunk.ground]

    def state(self, failures: int, note: str = "") -> State:
        """The numbers now."""
        seconds = time.monotonic() - self._began
        rate = self.played / seconds if self.played and seconds > 0 else None
        return State(
            cells=sum(self._cells_of),
            cells_done=sum(cells for g, cells in enumerate(self._cells_of) if self._left[g] <= 0),
            markets=self.markets,
            markets_done=self.done,
            failures=failures,
            rate=rate,
            remaining=(self.markets - self.done) / rate if rate else None,
            note=note,
        )


class Log:
    """Lines with a time in DIR/log.txt."""

    def __init__(self, folder: Path):
        self.file = Path(folder) / LOG

    def __call__(self, text: str) -> None:
        moment = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        line = f"{moment} {socket.gethostname()} {os.getpid()} {' '.join(text.split())}\n"
        # A log that cannot be written is no reason to end a run that may be able to store its results.
        with suppress(OSError), self.file.open("a", encoding="utf-8") as log:
            log.write(line)
