"""How far a study is, read from its folder alone: without JAX, and without the files of networks."""

from dataclasses import dataclass
from pathlib import Path

from cmapjax.studies._runner._progress import LOG

LAST_LINES, LAST_BYTES = 5, 4096


@dataclass(frozen=True)
class Status:
    """What the folder of a study tells.

    `markets` counts a market once for every cell that it is played under; a study that stops drawing markets
    may need fewer. `running` names the process at work, if there is one; `seconds` is what all runs took,
    `rate` the markets per second of the time that chunks took.
    """

    name: str
    cells: int | None
    markets: int | None
    markets_done: int
    chunks_done: int
    chunks_lacking: int
    failed: dict[str, str]
    is_complete: bool
    running: str | None
    created: str | None
    runs: int
    seconds: float
    rate: float | None
    last: list[str]


def status(folder: str | Path) -> Status:
    """How far the study in a folder is.

    Raises:
        ValueError: no folder of results, or one that is damaged.
    """
    from cmapjax.studies.results import Results

    results = Results(folder)
    about, runs, rows = results.about, results.runs(), results.num_rows()
    done = sum(rows.values())
    seconds = sum(run.get("seconds") or 0.0 for run in runs)
    # A study may end before all its markets are drawn: then the last run says so.
    ended = bool(runs) and not runs[-1].get("missing") and not runs[-1].get("failed")
    played = sum((run.get("timings") or {}).get("total") or 0.0 for run in runs)
    return Status(
        name=about["study"]["name"],
        cells=about.get("cells"),
        markets=about.get("rows"),
        markets_done=done,
        chunks_done=len(rows),
        chunks_lacking=len(results.lacking()),
        failed=results.failed(),
        is_complete=done == about.get("rows") or (ended and _stops_early(about)),
        running=results.runner(),
        created=about.get("created"),
        runs=len(runs),
        seconds=seconds,
        rate=done / played if played else None,
        last=_last_lines(results.folder / LOG),
    )


def _stops_early(about: dict) -> bool:
    return bool((about["study"].get("stop") or {}).get("interval"))


def _last_lines(log: Path) -> list[str]:
    if not log.is_file() or log.is_symlink():
        return []
    with log.open("rb") as stream:
        stream.seek(max(0, log.stat().st_size - LAST_BYTES))
        return stream.read().decode(errors="replace").splitlines()[-LAST_LINES:]
