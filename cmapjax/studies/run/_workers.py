"""A pool of Dask's workers."""

import functools
import json
import os
import time
from collections.abc import Callable

from cmapjax.studies._chunks import Chunk
from cmapjax.studies.run._pool import (
    Kind,
    OtherCircumstances,
    RunnerError,
    Trouble,
    device_here,
    leave_warnings_to_the_run,
    of_error,
    versions,
)

# News of a worker killed for its memory, or of the scheduler's death, may come just after what it caused.
NEWS_SECONDS = 0.3
# How long the scheduler may take to answer.
ANSWER_SECONDS = 10
# Chunks handed to another's scheduler: enough for it to see that more workers would help.
BACKLOG, PER_THREAD = 64, 2
# How often it is asked for its workers, in seconds.
ASK_EVERY = 2.0
# A cluster of our own restarts its workers; one without any for this long will not recover.
NO_WORKER_SECONDS = 60.0


def work(document: str, play: Callable, chunk: Chunk, expected: dict[str, str]):
    """The result of a chunk of a study that arrives as text, played by no other code than expected."""
    device_here(expected)  # a worker may have joined after the run began
    return play(_study(document), chunk)


@functools.lru_cache(maxsize=2)
def _study(document: str):
    """The study, kept for the next chunk."""
    from cmapjax import studies

    leave_warnings_to_the_run()
    return studies.Study(**json.loads(document))


class Workers:
    """Chunks played by Dask's workers.

    On a cluster of our own every worker has one chunk at a time, and the scheduler tells of every death at
    once. On another's, deaths are counted by its own rules (`distributed.scheduler.allowed-failures`), and a
    worker may have had several chunks.
    """

    def __init__(self, client, where: str, study, play: Callable, own=None):
        """`own` is the cluster, if it is ours."""
        self.where, self.note, self.expected = where, "", versions()
        self._client, self._own = client, own
        self._task = json.dumps({**study.document(), "folder": study.folder}), play
        self._name, self._attempts = f"cmapjax-{os.urandom(6).hex()}", 0
        self._starved: dict[str, int] = {}
        self._capacity, self._asked, self._with_workers = BACKLOG, -ASK_EVERY, time.monotonic()
        # A scheduler that was gone has forgotten our chunks: give up at once, and do not wait for its return.
        client._timeout = 0
        # A nanny tells the scheduler before it ends a worker for its memory.
        client.subscribe_topic(
            "worker-restart-memory", lambda event: self._starved.update({event[1]["worker"]: event[1]["rss"]})
        )

    def ask_device(self, stop: Callable[[], str | None], tell: Callable[[str], None]) -> str | None:
        """The kind of device of the first worker to answer; None if there is a reason to stop before.

        It is asked by a task, which makes a cluster that adapts to demand start a worker.
        """
        future = self._client.submit(device_here, self.expected, key=f"{self._name}-device", pure=False)
        while not future.done():
            if stop() is not None:
                return None
            self.capacity()
            tell(self.note)
            time.sleep(NEWS_SECONDS)
        try:
            return future.result(timeout=ANSWER_SECONDS)
        except Exception as error:  # whatever the worker raised
            raise RunnerError(f"a worker of {self.where}: {self.trouble(error).reason}") from error

    def capacity(self) -> int:
        """How many chunks may be under way: on our own cluster one for every worker that lives.

        Raises RunnerError if the scheduler is gone, or all workers of our own are, and none comes back.
        """
        now = time.monotonic()
        self._check_scheduler()
        if self._own is not None:
            living = len(self._own.scheduler.workers)
            self._with_workers = now if living else self._with_workers
            if now - self._with_workers > NO_WORKER_SECONDS:
                raise RunnerError("the workers died and cannot be started again; see log.txt, then resume.")
            return living
        if now - self._asked >= ASK_EVERY:
            try:
                threads = self._client.sync(self._client.scheduler.ncores, callback_timeout=ANSWER_SECONDS)
            except Exception as error:  # of the network, or none in time
                raise RunnerError(
                    f"the scheduler of {self.where} does not answer; what was finished is kept, resume when "
                    "it does."
                ) from error
            self._capacity, self._asked = max(BACKLOG, PER_THREAD * sum(threads.values())), now
            self.note = "" if threads else "waiting for workers: none has joined"
        return self._capacity

    def submit(self, chunk: Chunk, is_only: bool):
        """Send a chunk to whoever is free, and get its future."""
        self._attempts += 1
        key = f"{self._name}-{chunk.name}-{self._attempts}"
        document, play = self._task
        try:  # deaths and errors are told apart, and counted, by the loop
            return self._client.submit(
                work, document, play, chunk, self.expected, key=key, pure=False, retries=0
            )
        except Exception:
            time.sleep(NEWS_SECONDS)
            self._check_scheduler()
            raise

    def trouble(self, error: Exception) -> Trouble:
        """What became of an attempt that raised this; raises RunnerError if the run cannot go on."""
        from distributed.scheduler import KilledWorker

        time.sleep(NEWS_SECONDS)
        self._check_scheduler()
        if isinstance(error, KilledWorker):
            return self._death(error.last_worker.address, error.allowed_failures + 1)
        if isinstance(error, OtherCircumstances) or "No module named 'cmapjax" in str(error):
            raise RunnerError(
                f"a worker of {self.where} has {error}; this run is of cmapjax {versions()['cmapjax']}. Give "
                "all workers the same versions and device."
            ) from error
        return of_error(error)

    def _check_scheduler(self) -> None:
        if self._client.status != "running":
            raise RunnerError(
                f"the scheduler of {self.where} is gone; what was finished is kept, resume when it is back."
            )

    def _death(self, address: str, deaths: int) -> Trouble:
        if address in self._starved:
            used = self._starved[address] / 2**30
            reason = f"its worker {address} was ended at {used:.2f} GiB, the limit of its memory"
            return Trouble(Kind.MEMORY, reason, deaths)
        return Trouble(Kind.DIED, f"its worker died ({address}): killed, crashed or out of memory", deaths)
