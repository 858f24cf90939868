"""A study whose chunks are played by plain functions, without JAX: for tests of the runner.

Run as a command, it is `run` in a process of its own: python tiny_study.py FOLDER PLAYER [workers N |
cluster ADDRESS]. The players stand here by name, so that workers can import them.
"""

import hashlib
import os
import signal
import sys
import time
from pathlib import Path
from typing import NamedTuple
from unittest.mock import patch

import pyarrow as pa

from cmapjax import studies
from cmapjax.studies._chunks import Chunk
from cmapjax.studies.run import Options, RunnerError, Summary, _pool, _run

GROUNDS, MARKETS, SIZE = 4, 20, 2
NUM_CHUNKS = GROUNDS * MARKETS // SIZE
# The players below count and mark what they do in this folder.
MARKS = os.environ.get("TINY_STUDY_MARKS", "")


class Result(NamedTuple):
    """What a player returns."""

    summary: pa.Table
    curves: pa.Table | None
    timings: dict
    warning: tuple[str, float] | None = None


def study(name: str = "tiny", **more) -> studies.Study:
    """Four grounds of two cells and twenty markets, without curves."""
    return studies.Study(
        name=name,
        markets=MARKETS,
        rounds=5,
        record={"curves": "none"},
        cells={"network": "er:n={agents},degree=4", "isolated": "redraw"},
        grid={"agents": [10, 12, 14, 16], "strategy": ["cmap", "pr"]},
        **more,
    )


def chunks(study, size=None) -> list[Chunk]:
    """As the real ones, but without drawing a market to see how large it is."""
    size = size or SIZE
    return [Chunk(g, first, size) for g in range(GROUNDS) for first in range(0, MARKETS, size)]


def play(study, chunk) -> Result:
    """Numbers that depend on cell and market alone."""
    rows = [
        (cell, chunk.ground, market, _value(cell, market))
        for cell in study.grounds()[chunk.ground].cells
        for market in range(chunk.first, chunk.first + chunk.count)
    ]
    names = ("cell", "ground", "market", "gini")
    types = (pa.int32(), pa.int32(), pa.int32(), pa.float64())
    columns = [pa.array(column, kind) for column, kind in zip(zip(*rows, strict=True), types, strict=True)]
    _mark(chunk.name)
    return Result(pa.table(columns, names=names), None, {"seconds": 0.01})


def _value(cell: int, market: int) -> float:
    digest = hashlib.sha256(f"{cell} {market}".encode()).digest()
    return int.from_bytes(digest[:6], "big") / 2**48


def _mark(name: str) -> None:
    """Leave a trace of an attempt."""
    if MARKS:
        with open(Path(MARKS) / "played", "a") as marks:
            marks.write(f"{name} {os.getpid()}\n")


def slow(study, chunk) -> Result:
    """Long enough to be interrupted."""
    time.sleep(0.05)
    return play(study, chunk)


def long(study, chunk) -> Result:
    """One second each."""
    time.sleep(1.0)
    return play(study, chunk)


def stuck(study, chunk) -> Result:
    """Longer than anybody waits."""
    _mark(chunk.name)
    time.sleep(60)
    return play(study, chunk)


def wide(study, chunk) -> Result:
    """Every chunk warns, in words of its own."""
    ratio = 1e7 * (chunk.ground + 1) + chunk.first
    return slow(study, chunk)._replace(warning=(f"spans {ratio:.0f}", ratio))


def killers(study, chunk) -> Result:
    """One chunk kills whoever plays it; those of ground 2 take more memory than a worker has, unless they
    hold a single market."""
    if (chunk.ground, chunk.first) == (1, 4):
        os.kill(os.getpid(), signal.SIGKILL)
    taken = []
    while chunk.ground == 2 and chunk.count > 1:
        taken.append(bytearray(32 << 20))
        time.sleep(0.01)
    return slow(study, chunk)


def troubles(study, chunk) -> Result:
    """One chunk kills whoever plays it, one whoever plays it first, one fails, one warns; those of ground 2
    do not fit in memory, unless they hold a single market."""
    match chunk:
        case (0, 0, _):
            return play(study, chunk)._replace(warning=("spans 10000000", 1e7))
        case (1, 4, _):
            _mark(chunk.name)
            os.kill(os.getpid(), signal.SIGKILL)
        case (1, 16, _) if chunk.name not in (Path(MARKS) / "played").read_text():
            _mark(chunk.name)
            os.kill(os.getpid(), signal.SIGKILL)
        case (1, 10, _):
            _mark(chunk.name)
            raise OSError("a disk is away")
        case (2, _, count) if count > 1:
            raise MemoryError
    return slow(study, chunk)


def run(folder, player=play, of=None, **options) -> Summary:
    """Run the study in a folder, by one thread unless told otherwise."""
    if not {"workers", "cluster", "threads"} & set(options):
        options["threads"] = 1
    progress = options.pop("progress", lambda state: None)
    with patch.object(_run, "chunks", chunks):
        return _run.run(of or study(), folder, Options(**options), play=player, progress=progress)


def files(folder) -> list[str]:
    """The chunks in place; files are named after their content, so that equal names are equal values."""
    return sorted(file.name for file in (Path(folder) / "summary").glob("*.parquet"))


def main() -> int:
    """Run as asked; 0 if complete, 1 if not."""
    folder, player, *how = sys.argv[1:]
    if not how:
        _pool.device = lambda: "cpu:cpu"  # what JAX would say, if it were started
    options = {"workers": int(how[1])} if how[:1] == ["workers"] else {}
    options = {"cluster": how[1]} if how[:1] == ["cluster"] else options
    try:
        summary = run(folder, globals()[player], **options)
    except (RunnerError, ValueError, OSError) as error:
        what = f"{error.filename}: {error.strerror}" if isinstance(error, OSError) else error
        sys.stderr.write(f"error: {what}\n")
        return 1
    sys.stdout.write(f"{summary.done} {len(summary.failed)} {summary.missing} {summary.stopped}\n")
    sys.stdout.flush()
    code = 0 if not summary.missing and not summary.failed else 1
    if summary.left_playing:
        os._exit(code)
    return code


if __name__ == "__main__":
    sys.exit(main())
