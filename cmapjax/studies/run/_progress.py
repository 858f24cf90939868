"""How far a run has come: numbers for a bar, lines for the log file, and what a folder tells of itself."""

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
from cmapjax.studies.results import StudyResults

LOG = "log.txt"
LAST_LINES, LAST_BYTES = 5, 4096


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


# -- from its folder alone: without JAX, and without the files of networks ---------------------------------


@dataclass(frozen=True)
class Status:
    """What the folder of a study tells.

    `markets` counts a market once for every cell that it is played under; a study that stops drawing markets
    may need fewer. `running` names the process at work, if there is one; `seconds` is what all runs took that
    have ended. `rate` is in markets per second: of the run at work, or else of all that have ended.
    """

    name: str
    cells: int
    markets: int
    markets_done: int
    chunks_done: int
    chunks_lacking: int
    failed: dict[str, str]
    is_complete: bool
    running: str | None
    created: str
    runs: int
    seconds: float
    rate: float | None
    remaining: float | None  # seconds, at that rate
    last: list[str]


def status(folder: str | Path) -> Status:
    """How far the study in a folder is.

    Args:
        folder: of its results.

    Returns:
        What is done, what is being done and what failed.

    Raises:
        ValueError: no folder of results, or one that is damaged.
    """
    results = StudyResults(folder)
    about, files, runs = results.about, results.chunks, results.runs
    rows = {name: _rows(about, name) for name in files}
    done = sum(rows.values())
    running = results.runner()
    seconds = sum(run.get("seconds", 0.0) for run in runs)
    rate = sum(run.get("rows", 0) for run in runs) / seconds if seconds else None
    if running:
        began = (results.folder / "lock").stat().st_mtime
        new = sum(rows[name] for name, path in files.items() if path.stat().st_mtime >= began)
        rate = new / max(time.time() - began, 1e-3) if new else rate
    lacking = results.lacking
    is_complete = not lacking or _ended_early(about, runs)
    return Status(
        name=about["study"]["name"],
        cells=about["cells"],
        markets=about["rows"],
        markets_done=done,
        chunks_done=len(files),
        chunks_lacking=len(lacking),
        failed=results.failed,
        is_complete=is_complete,
        running=running,
        created=about["created"],
        runs=len(runs),
        seconds=seconds,
        rate=rate or None,
        remaining=(about["rows"] - done) / rate if rate and not is_complete else None,
        last=_last_lines(results.folder / LOG),
    )


def _rows(about: dict, name: str) -> int:
    """Rows of the summary that a chunk leaves."""
    chunk = Chunk.named(name)
    return chunk.count * about["cells_of_grounds"][chunk.ground]


def _ended_early(about: dict, runs: list[dict]) -> bool:
    """Whether drawing ended before all markets were drawn, as the last run says."""
    if not (about["study"].get("stop") or {}).get("interval") or not runs:
        return False
    return not runs[-1].get("missing") and not runs[-1].get("failed")


def _last_lines(log: Path) -> list[str]:
    if not log.is_file():
        return []
    with log.open("rb") as stream:
        stream.seek(max(0, log.stat().st_size - LAST_BYTES))
        return stream.read().decode(errors="replace").splitlines()[-LAST_LINES:]
