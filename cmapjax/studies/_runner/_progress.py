"""How far a run has come: numbers for a bar, and lines for the log file."""

import os
import socket
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

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

    def __init__(self, study, chunks, missing):
        self._cells_of = Counter(cell.ground for cell in study.cells())
        self._left = Counter()
        for chunk in missing:
            self._left[chunk.ground] += chunk.count
        self._all = sum(chunk.count * self._cells_of[chunk.ground] for chunk in chunks)
        self._done = self._all - sum(self._left[g] * self._cells_of[g] for g in self._left)
        self._grounds = {chunk.ground for chunk in chunks}
        self._failed = 0
        self._at_first, self._began = self._done, time.monotonic()

    def advance(self, chunk) -> None:
        """A chunk is in the store."""
        self._left[chunk.ground] -= chunk.count
        self._done += chunk.count * self._cells_of[chunk.ground]

    def fail(self) -> None:
        """A chunk is given up."""
        self._failed += 1

    def state(self, note: str = "") -> State:
        """The numbers now."""
        seconds = time.monotonic() - self._began
        played = self._done - self._at_first
        rate = played / seconds if played and seconds > 0 else None
        return State(
            cells=sum(self._cells_of[g] for g in self._grounds),
            cells_done=sum(self._cells_of[g] for g in self._grounds if self._left[g] <= 0),
            markets=self._all,
            markets_done=self._done,
            failures=self._failed,
            rate=rate,
            remaining=(self._all - self._done) / rate if rate else None,
            note=note,
        )


class Log:
    """Lines with a time in DIR/log.txt, whoever looks or not."""

    def __init__(self, folder: Path):
        self.folder, self.file = folder, folder / LOG

    def __call__(self, text: str) -> None:
        moment = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        line = f"{moment} {socket.gethostname()} {os.getpid()} {' '.join(text.split())}\n"
        # A log that cannot be written is no reason to end a run that may be able to store its results.
        with suppress(OSError), self.file.open("a", encoding="utf-8") as log:
            log.write(line)
