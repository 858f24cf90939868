"""The coordinator: plays what the store lacks, tries again what failed, and ends in good order."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cmapjax.studies._runner._here import Here, num_threads
from cmapjax.studies._runner._job import Job
from cmapjax.studies._runner._progress import Log, State, Tally
from cmapjax.studies._runner._stop import Stop
from cmapjax.studies._runner._warnings import said_once
from cmapjax.studies._runner._workers import Workers


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
    threads: int | None = None,
    time_limit: float | None = None,
    progress: Callable[[State], None] | None = None,
    chunk_size: int | None = None,
    worker_memory: int | None = None,
    mixed: bool = False,
    play: Callable | None = None,
) -> Summary:
    """Play what the store lacks of the study, and store it.

    Without `workers` chunks are played in this process, by so many `threads` at a time (by default one per
    core, as far as memory reaches); with a number, by so many processes on this machine of `worker_memory`
    bytes each; with `cluster`, by the workers of the Dask scheduler at that address. `time_limit` is in
    seconds. `progress` is called with every `State`. With `mixed`, workers may have another kind of device
    than the study was begun on. `play(study, chunk)` is what plays, `studies.play_chunk` by default; workers
    must be able to import it.

    A chunk that does not fit in memory is halved. One whose worker dies, or that meets an error, is tried
    three times, the last time by itself, and then noted in the store as failed while the rest goes on.
    SIGINT, SIGTERM, the time limit and `cancel` let the chunks under way finish for a few seconds.

    Raises ValueError for words that make no sense and if another run is at work there, RunnerError if the
    scheduler is gone or workers have other versions, OSError if the disk is full. Whatever is stored by then
    stays, and another run plays the rest.
    """
    check_options(workers, cluster, time_limit, worker_memory, threads)
    from cmapjax import studies
    from cmapjax.studies._runner._stored import Rest

    log = Log(Path(store.folder))
    chunks = studies.chunks(study, chunk_size) if chunk_size or not store.plan else store.plan
    with store.announce(), Stop(log.folder, time_limit) as stop, said_once(log):
        began = time.monotonic()
        is_here = workers is None and cluster is None
        tally = Tally(study, chunks, store.lacking(chunks))
        job = Job(store, tally, log, progress or (lambda state: None))
        rest = Rest(study, store, chunks)
        log(f"run begins: {len(rest.missing())} of {len(chunks)} chunks are missing")
        is_quiet = True
        if due := rest.due(job.failed):
            if is_here:
                player = _here(study, store, play, threads, chunk_size, mixed)
            else:
                player = _workers(study, store, play, workers, cluster, worker_memory, mixed, log)
            is_quiet = _play(due, rest, job, stop, player, log)
        missing = len(rest.due(job.failed))
        summary = Summary(
            job.done,
            dict(job.failed),
            missing,
            time.monotonic() - began,
            stop.reason() if missing else None,  # a reason that came when all was done stopped nothing
            not is_quiet,
        )
        log(f"run ends: {_in_words(summary)}")
        timings = {stage: round(seconds, 6) for stage, seconds in job.timings.items()}
        store.note_run(workers=workers, cluster=cluster, timings=timings, **_noted(summary))
        return summary


def _play(due: list, rest, job: Job, stop: Stop, player, log: Log) -> bool:
    """Play what is due until nothing is, or there is a reason to stop; False if a thread plays on."""
    log(f"chunks are played by {player.where}")
    try:
        while due and not stop.reason():
            job.go(due, player, stop)
            due = rest.due(job.failed)
    except (OSError, RuntimeError, ValueError) as error:
        log(f"run ends: {error}")
        player.close(patiently=True)
        raise
    return player.close(patiently=False)


def _noted(summary: Summary) -> dict:
    """What is noted of a run."""
    return {
        "seconds": round(summary.seconds, 3),
        "done": summary.done,
        "failed": summary.failed,
        "missing": summary.missing,
        "stopped": summary.stopped,
    }


def _in_words(summary: Summary) -> str:
    words = f"{summary.done} chunks done in {summary.seconds:.1f} s, {len(summary.failed)} given up"
    if summary.missing:
        words += f", {summary.missing} or more missing"
    return words + (f" ({summary.stopped})" if summary.stopped else "")


def check_options(workers, cluster, time_limit, worker_memory, threads=None) -> None:
    """Raise ValueError if these do not go together."""
    if workers is not None and cluster is not None:
        raise ValueError(
            f"--workers {workers} and --cluster {cluster}: give one; a cluster brings its workers."
        )
    if workers is not None and workers < 1:
        raise ValueError(f"--workers is {workers}; give a whole number, 1 or more.")
    if threads is not None and (threads < 1 or workers is not None or cluster is not None):
        raise ValueError(f"threads is {threads}; give 1 or more, and neither workers nor cluster.")
    if time_limit is not None and not time_limit > 0:
        raise ValueError(f"--time-limit is {time_limit} seconds; give more than 0.")
    if worker_memory is not None and workers is None:
        raise ValueError("--worker-memory limits the workers of this machine; say how many: --workers N.")


def _here(study, store, play, threads, chunk_size, mixed) -> Here:
    """Threads of this process."""
    from cmapjax import studies

    if threads is None:
        device = None if mixed else store.begun().get("device")
        threads = num_threads(studies.chunk_bytes(study, chunk_size), device)
    if play is None:
        return Here(study, studies.play_chunk, threads)
    return Here(study, lambda study, chunk, threads: play(study, chunk), threads)


def _workers(study, store, play, workers, cluster, worker_memory, mixed, log) -> Workers:
    """Processes that play the chunks, here or on a cluster, whose device may not be known yet."""
    from cmapjax import studies

    device = None if mixed else store.begun().get("device")
    keep_device = (
        None if mixed or device or cluster is None else lambda device: store.check_same(device=device)
    )
    player = Workers(study, play or studies.play_chunk, device, keep_device)
    if cluster is not None:
        player.join(cluster, log.file)
    else:
        player.start_here(workers, worker_memory, log.file)
    return player
