"""The coordinator: plays what the store lacks, tries again what failed, and ends in good order."""

import errno
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cmapjax._runner._here import Here
from cmapjax._runner._job import Job
from cmapjax._runner._outcome import RunnerError
from cmapjax._runner._progress import Log, State, Tally
from cmapjax._runner._stop import Stop
from cmapjax._runner._workers import Workers

FULL = (errno.ENOSPC, errno.EDQUOT)


@dataclass(frozen=True)
class Summary:
    """What a run did: chunks done and given up (name → reason), chunks still missing, and why it ended.

    `stopped` is None if everything was tried; or else interrupted, time limit or cancelled. `left_playing`
    says that compiled code still runs in a thread of this process, for which nobody needs to wait.
    """

    done: int
    failed: dict[str, str]
    missing: int
    seconds: float
    stopped: str | None = None
    left_playing: bool = False


def run(
    study,
    store,
    *,
    workers: int | None = None,
    cluster: str | None = None,
    time_limit: float | None = None,
    progress: Callable[[State], None] | None = None,
    chunk_size: int | None = None,
    worker_memory: int | None = None,
    play: Callable | None = None,
) -> Summary:
    """Play what the store lacks of the study, and store it.

    Without `workers` chunks are played in this process, one after another; with a number, by so many
    processes on this machine of `worker_memory` bytes each; with `cluster`, by the workers of the Dask
    scheduler at that address. `time_limit` is in seconds. `progress` is called with every `State`.
    `play(study, chunk)` is what plays, `studies.play_chunk` by default; workers must be able to import it.

    A chunk that does not fit in memory is halved. One whose worker dies, or that meets an error, is tried
    three times, the last time by itself, and then noted in the store as failed while the rest goes on.
    SIGINT, SIGTERM, the time limit and `cancel` let the chunks under way finish for a few seconds.

    Raises ValueError for words that make no sense, RunnerError if the scheduler is gone, workers have other
    versions or the disk is full. Whatever is stored by then stays, and another run plays the rest.
    """
    _check(workers, cluster, time_limit, worker_memory)
    from cmapjax import studies

    folder = Path(store.folder)
    log = Log(folder)
    began = time.monotonic()
    chunks = studies.chunks(study, chunk_size)
    with store.lock(), Stop(folder, time_limit) as stop:
        missing = store.missing(chunks)
        log(f"run of {len(missing)} of {len(chunks)} chunks begins")
        tally = Tally(study, chunks, missing)
        report = progress or (lambda state: None)
        report(tally.state("starting"))
        if not missing:
            return Summary(0, {}, 0, time.monotonic() - began)
        player = _player(study, workers, cluster, worker_memory, play or studies.play_chunk, log)
        log(f"chunks are played by {player.where}")
        job = Job(store, player, missing, tally, log, report)
        try:
            job.go(stop)
        except OSError as error:
            log(f"ended by {error}")
            raise _in_words(error, folder) from error
        except RunnerError as error:
            log(f"ended: {error}")
            raise
        finally:
            is_quiet = player.close()
        summary = Summary(
            job.done,
            dict(job.failed),
            job.num_left,
            time.monotonic() - began,
            stop.reason() if job.num_left else None,  # a reason that came when all was done stopped nothing
            not is_quiet,
        )
        log(
            f"run ends after {summary.seconds:.1f} s: {summary.done} chunks done, {len(summary.failed)} failed,"
            f" {summary.missing} missing" + (f" ({summary.stopped})" if summary.stopped else "")
        )
        return summary


def _check(workers, cluster, time_limit, worker_memory) -> None:
    if workers is not None and cluster is not None:
        raise ValueError(
            f"--workers {workers} and --cluster {cluster}: give one; a cluster brings its workers."
        )
    if workers is not None and workers < 1:
        raise ValueError(f"--workers is {workers}; give a whole number, 1 or more.")
    if time_limit is not None and not time_limit > 0:
        raise ValueError(f"--time-limit is {time_limit} seconds; give more than 0.")
    if worker_memory is not None and workers is None:
        raise ValueError("--worker-memory limits the workers of this machine; say how many: --workers N.")


def _player(study, workers, cluster, worker_memory, play, log):
    """Whoever plays the chunks."""
    if workers is None and cluster is None:
        return Here(study, play)
    player = Workers(study, play)
    if cluster is not None:
        player.join(cluster, log.file)
    else:
        player.start_here(workers, worker_memory, log.file)
    return player


def _in_words(error: OSError, folder: Path) -> Exception:
    """The error of a disk that is full, with what to do; any other as it is."""
    if error.errno not in FULL:
        return error
    return RunnerError(
        f"{folder}: {error.strerror or error}; everything stored before is kept. Make room, then resume."
    )
