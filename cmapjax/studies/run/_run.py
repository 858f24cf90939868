"""A run: whoever plays what the folder lacks is started, and what it did is noted."""

import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from cmapjax.studies._chunks import Chunk, chunks
from cmapjax.studies.run._folder import begin, opened
from cmapjax.studies.run._loop import Loop
from cmapjax.studies.run._options import Options
from cmapjax.studies.run._progress import Log, State, Tally
from cmapjax.studies.run._rest import Rest
from cmapjax.studies.run._stop import Stop
from cmapjax.studies.run._warnings import said_once


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

    def __str__(self) -> str:
        words = f"{self.done} chunks done in {self.seconds:.1f} s, {len(self.failed)} given up"
        if self.missing:
            words += f", {self.missing} or more missing"
        return words + (f" ({self.stopped})" if self.stopped else "")


def run(
    study,
    folder,
    options: Options = Options(),  # noqa: B008 - frozen
    *,
    text: str | None = None,
    progress: Callable[[State], None] = lambda state: None,
    play: Callable | None = None,
) -> Summary:
    """Play what a folder lacks of the study, and keep it there.

    A chunk that does not fit in memory is halved. One whose worker dies, or that meets an error, is tried
    three times, the last time alone, and then given up while the rest goes on. SIGINT, SIGTERM, the time
    limit and `cancel` let the chunks under way finish for a few seconds.

    Args:
        study: what is played.
        folder: where its results go: a new one, or one that holds a part of them.
        options: who plays, and for how long.
        text: of the study file, kept with the results.
        progress: called with every `State`.
        play: `play(study, chunk)` plays a chunk, by default `studies.play_chunk`; workers must be able to
            import it.

    Returns:
        What was done. Whatever is on the disk stays there, and another run plays the rest.

    Raises:
        ValueError: the folder holds another study, or another run is at work there.
        RunnerError: the scheduler is gone, or workers have other versions.
        OSError: the disk is full.
    """
    folder, began = Path(folder), time.monotonic()
    log = Log(folder)
    with Stop(options.time_limit) as stop, ExitStack() as stack:
        results = opened(study, folder, options.chunk_size)
        if results is not None:
            stack.enter_context(results.announce())
            stop.watch(folder)
            if not Rest(study, results).due():
                return Summary(0, {}, 0, time.monotonic() - began)
        plan = chunks(study, options.chunk_size) if results is None else results.plan
        pool = stack.enter_context(_pool(study, plan, options, play, log.file))
        tally = Tally(study, plan, plan)
        device = pool.ask_device(stop.reason, lambda note: progress(tally.state(0, note)))
        if device is None:
            return Summary(0, {}, len(plan), time.monotonic() - began, stop.reason())
        if results is None:
            results = begin(study, folder, plan, device, text)
            stack.enter_context(results.announce())
            stop.watch(folder)
        results.check_same(options.mixed, device=device)
        pool.expected |= {} if options.mixed else {"device": device}
        rest = Rest(study, results)
        missing = rest.missing()
        log(f"run begins: {len(missing)} of {len(plan)} chunks are missing, played by {pool.where}")
        loop = Loop(rest, pool, Tally(study, plan, missing), log, progress)
        try:
            with said_once(log):
                loop.play(stop)
        except (OSError, RuntimeError, ValueError) as error:
            with suppress(OSError, ValueError):
                _end(loop, rest, options, began, str(error))
            raise
        return _end(loop, rest, options, began, stop.reason())


def _end(loop: Loop, rest: Rest, options: Options, began: float, why: str | None) -> Summary:
    """What the run did, noted with the results."""
    left = len(rest.due())
    summary = Summary(
        done=len(loop.done),
        failed={chunk.name: reason for chunk, reason in rest.failed.items()},
        missing=left,
        seconds=time.monotonic() - began,
        stopped=why if left else None,  # what came when all was done stopped nothing
        left_playing=bool(loop.under_way) and options.is_here,
    )
    loop.log(f"run ends: {summary}")
    rest.results.note_run(
        **{name: value for name, value in asdict(summary).items() if name != "left_playing"},
        **asdict(options),
        rows=loop.tally.played,
        halved=[chunk.name for chunk in loop.halved],
        timings={stage: round(seconds, 3) for stage, seconds in loop.timings.items()},
    )
    return summary


def _pool(study, plan: list[Chunk], options: Options, play: Callable | None, log: Path):
    """Who plays."""
    from cmapjax import studies
    from cmapjax.studies.run import _cluster, _threads, _worker

    if options.workers is not None:
        memory = options.worker_memory
        return _cluster.own_workers(options.workers, memory, study, play or studies.play_chunk, log)
    if options.cluster is not None:
        return _cluster.given_workers(options.cluster, study, play or studies.play_chunk, log)
    number = options.threads or _threads.num_threads(studies.chunk_bytes(study, plan), _worker.device())
    if play is None:
        return _threads.Threads(lambda chunk, threads: studies.play_chunk(study, chunk, threads), number)
    return _threads.Threads(lambda chunk, threads: play(study, chunk), number)
