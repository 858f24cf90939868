"""A run: whoever plays what the folder lacks is started, and what it did is noted."""

import time
import warnings
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from cmapjax.studies._chunks import Chunk, chunks
from cmapjax.studies.results import Results, ResultsError
from cmapjax.studies.run import _pool
from cmapjax.studies.run._loop import Loop, Rest
from cmapjax.studies.run._progress import Log, State, Tally
from cmapjax.studies.run._stop import Stop


@dataclass(frozen=True)
class Options:
    """How a study is run: by whom, and for how long.

    Args:
        workers: so many processes of this machine; None for threads of this process.
        cluster: the address or the file of a Dask scheduler whose workers play.
        threads: of this process; None for one per core, as far as memory reaches.
        time_limit: seconds after which the run ends in good order.
        worker_memory: bytes of each of `workers`.
        mixed: go on although versions or the device are not those that the study was begun with.
        chunk_size: markets to play at once, at most, of a study that begins now.

    Raises:
        ValueError: options that make no sense, or not together.
    """

    workers: int | None = None
    cluster: str | None = None
    threads: int | None = None
    time_limit: float | None = None
    worker_memory: int | None = None
    mixed: bool = False
    chunk_size: int | None = None

    def __post_init__(self):
        for name in ("workers", "threads", "time_limit", "chunk_size"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ValueError(f"--{name.replace('_', '-')} is {value}; give more than 0.")
        if self.workers is not None and self.cluster is not None:
            raise ValueError(
                f"--workers {self.workers} and --cluster {self.cluster}: give one; a cluster has its workers."
            )
        if self.threads is not None and not self.is_here:
            raise ValueError(f"threads is {self.threads}; leave it out where workers or a cluster play.")
        if self.worker_memory is not None and self.workers is None:
            raise ValueError("--worker-memory limits the workers of this machine; say how many: --workers N.")

    @property
    def is_here(self) -> bool:
        """Whether threads of this process play."""
        return self.workers is None and self.cluster is None


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
    options: Options = Options(),
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
        results = _opened(study, folder, options.chunk_size)
        if results is not None:
            stack.enter_context(results.announce())
            stop.watch(folder)
            if not Rest(study, results).due():
                return Summary(0, {}, 0, time.monotonic() - began)
        plan = chunks(study, options.chunk_size) if results is None else results.plan
        pool = stack.enter_context(_players(study, plan, options, play, log.file))
        tally = Tally(study, plan, plan)
        device = pool.ask_device(stop.reason, lambda note: progress(tally.state(0, note)))
        if device is None:
            return Summary(0, {}, len(plan), time.monotonic() - began, stop.reason())
        if results is None:
            results = _begun(study, folder, plan, device, text)
            stack.enter_context(results.announce())
            stop.watch(folder)
        results.check_same(options.mixed, device=device)
        pool.expected |= {} if options.mixed else {"device": device}
        rest = Rest(study, results)
        missing = rest.missing()
        log(f"run begins: {len(missing)} of {len(plan)} chunks are missing, played by {pool.where}")
        loop = Loop(rest, pool, Tally(study, plan, missing), log, progress)
        stack.enter_context(warnings.catch_warnings())
        _pool.leave_warnings_to_the_run()
        try:
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


def _players(study, plan: list[Chunk], options: Options, play: Callable | None, log: Path):
    """Who plays."""
    from cmapjax import studies
    from cmapjax.studies.run import _cluster

    if options.workers is not None:
        memory = options.worker_memory
        return _cluster.own_workers(options.workers, memory, study, play or studies.play_chunk, log)
    if options.cluster is not None:
        return _cluster.given_workers(options.cluster, study, play or studies.play_chunk, log)
    number = options.threads or _pool.num_threads(studies.chunk_bytes(study, plan), _pool.device())
    if play is None:
        return _pool.Threads(lambda chunk, threads: studies.play_chunk(study, chunk, threads), number)
    return _pool.Threads(lambda chunk, threads: play(study, chunk), number)


# -- the folder ----------------------------------------------------------------------------------------


def _opened(study, folder: Path, chunk_size: int | None) -> Results | None:
    """The results that the folder holds of this study; None where none are begun."""
    if not (folder / "study.json").exists():
        return None
    results = Results(folder)
    results.check_same(mixed=True, study=study.document())
    if chunk_size is not None and (begun := results.plan) != chunks(study, chunk_size):
        most = max(chunk.count for chunk in begun)
        raise ResultsError(
            f"--chunk-size is {chunk_size}, but {folder} was begun with chunks of up to {most} markets; how "
            "a study is cut decides the last digits of values: leave out --chunk-size, or name a new folder."
        )
    return results


def _begun(study, folder: Path, plan: list[Chunk], device: str, text: str | None) -> Results:
    """A folder for the results of this study, played by this plan of chunks."""
    grounds = study.grounds()
    return Results.begin(
        folder,
        study.document(),
        plan=[chunk.name for chunk in plan],
        text=text,
        read_from=study.folder,
        device=device,
        precision=study.precision,
        cells=len(study.cells()),
        cells_of_grounds=[len(ground.cells) for ground in grounds],
        rows=sum(ground.markets * len(ground.cells) for ground in grounds),
    )


def reopened(folder):
    """The study of a results folder.

    Raises:
        ValueError: no results folder, or a damaged one; a file that the study reads has changed.
    """
    from cmapjax import studies

    about = Results(folder).about
    return studies.Study(**about["study"], folder=about.get("read_from", "."))
