"""How far a study is, read from its folder alone: without JAX, and without the files of networks."""

import time
from dataclasses import dataclass
from pathlib import Path

from cmapjax.studies._chunks import Chunk
from cmapjax.studies.results import Results
from cmapjax.studies.run._progress import LOG

LAST_LINES, LAST_BYTES = 5, 4096


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
    results = Results(folder)
    about, files, runs = results.about, results.chunks(), results.runs()
    rows = {name: _rows(about, name) for name in files}
    done = sum(rows.values())
    running = results.runner()
    seconds = sum(run.get("seconds", 0.0) for run in runs)
    rate = sum(run.get("rows", 0) for run in runs) / seconds if seconds else None
    if running:
        began = (results.folder / "lock").stat().st_mtime
        new = sum(rows[name] for name, path in files.items() if path.stat().st_mtime >= began)
        rate = new / max(time.time() - began, 1e-3) if new else rate
    lacking = results.lacking()
    is_complete = not lacking or _ended_early(about, runs)
    return Status(
        name=about["study"]["name"],
        cells=about["cells"],
        markets=about["rows"],
        markets_done=done,
        chunks_done=len(files),
        chunks_lacking=len(lacking),
        failed=results.failed(),
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
    if not log.is_file() or log.is_symlink():
        return []
    with log.open("rb") as stream:
        stream.seek(max(0, log.stat().st_size - LAST_BYTES))
        return stream.read().decode(errors="replace").splitlines()[-LAST_LINES:]
