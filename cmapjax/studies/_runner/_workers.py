"""Dask's workers play the chunks: those of a cluster on this machine, or of one that exists already."""

import importlib.util
import json
import logging
import os
import pkgutil
import queue
import signal
import time
from collections.abc import Callable
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from cmapjax.studies._runner._outcome import Outcome, RunnerError, Trouble, of_error
from cmapjax.studies._runner._warnings import repeat
from cmapjax.studies._runner._worker import (
    OtherVersions,
    circumstances,
    device,
    differences,
    kind_of_device,
    versions,
    work,
)

# A worker holds one chunk and nothing besides: there is nothing to spill or to pause for. At this share of
# its memory Dask ends the worker, before the system ends whatever it likes.
MEMORY = {"target": False, "spill": False, "pause": False, "terminate": 0.95}
# Of the machine's memory, what all workers together may use.
SHARE_OF_MEMORY = 0.9
CONNECT_SECONDS = 10
# News of a worker killed for memory may arrive just after that of its death.
NEWS_SECONDS = 0.3
# Chunks handed to a foreign scheduler: enough for it to see that more workers would help.
BACKLOG, PER_THREAD = 64, 2
# A local cluster restarts its workers; one without any for this long will not recover.
NO_WORKER_SECONDS = 60.0
CLOSE_SECONDS = 2
NOBODY = "waiting for workers: none has joined, or those that did lack this package"
LOGGERS = ("distributed", "tornado", "asyncio")


class Workers:
    """Chunks played by Dask's workers.

    On a cluster of our own every worker has one chunk at a time and the scheduler tells of every death at
    once. On another's, deaths are counted by its own rules (`distributed.scheduler.allowed-failures`), and a
    worker may have had several chunks.
    """

    def __init__(
        self,
        study,
        play: Callable | None,
        expected_device: str | None,
        keep_device: Callable[[str], None] | None = None,
    ):
        """With `keep_device` the kind of device is not known yet: the first worker tells, before it plays."""
        self._keep_device, self._asked = keep_device, None
        self._play = play
        self._document = "" if study is None else json.dumps({**study.document(), "folder": study.folder})
        self._expected = {**versions(), **({"device": expected_device} if expected_device else {})}
        self._done: queue.SimpleQueue = queue.SimpleQueue()
        self._under_way: dict = {}
        self._starved: dict[str, int] = {}
        self._attempts = 0
        self._name = f"cmapjax-{os.urandom(6).hex()}"
        self._exits = ExitStack()
        self._cluster = self._client = None
        self._with_workers = time.monotonic()
        self.note = ""

    def start_here(self, number: int, memory: int | None, log: Path) -> None:
        """Start a cluster of so many processes on this machine, each with one thread and its own memory."""
        distributed = _distributed()
        self.where = f"{number} workers on this machine"
        self._quieten(log)
        memory = memory or int(SHARE_OF_MEMORY * distributed.system.MEMORY_LIMIT / number)
        # Workers are other processes of the same user: with the package for it, strangers are kept out.
        security = True if importlib.util.find_spec("cryptography") else None
        try:
            with _interrupts_for_us_alone():
                self._cluster = distributed.LocalCluster(
                    n_workers=number,
                    threads_per_worker=1,
                    processes=True,
                    memory_limit=memory,
                    dashboard_address=None,
                    # Its server of pages is there all the same: at a free port, and it has no pages (below).
                    scheduler_kwargs={"dashboard_address": "127.0.0.1:0"},
                    silence_logs=logging.CRITICAL,
                    security=security,
                )
            self._exits.callback(self._leave_cluster)
            self._handler.setLevel(logging.WARNING)  # the workers are to be silent, not the log
            self._connect(self._cluster)
        except (OSError, RuntimeError) as error:
            self.close()
            raise RunnerError(f"the workers did not start: {error}") from error

    def join(self, address: str, log: Path) -> None:
        """Join the cluster at an address (tcp://HOST:PORT) or of a scheduler file; check its workers."""
        self.where = f"the cluster at {address}"
        self._quieten(log)
        is_file = address.endswith(".json")
        if is_file and not Path(address).is_file():
            raise ValueError(f"--cluster {address}: no such scheduler file; name one, or tcp://HOST:PORT.")
        try:
            self._connect(**({"scheduler_file": address} if is_file else {"address": address}))
        except (OSError, TimeoutError) as error:
            self.close()
            raise RunnerError(
                f"no scheduler answers at {address} ({error}); start one there, or give its address."
            ) from error
        except ValueError as error:
            self.close()
            raise ValueError(f"--cluster {address}: {error}; give tcp://HOST:PORT.") from error
        try:
            self._check_versions()
        except BaseException:
            self.close()
            raise

    def capacity(self) -> int:
        """How many chunks may be under way: on our own cluster one for every worker that lives."""
        if self._cluster is not None:
            return len(self._cluster.scheduler.workers)
        with self._in_touch():
            workers = self._client.scheduler_info(n_workers=-1).get("workers", {}).values()
            self.note = "" if workers else NOBODY
            if self._keep_device is not None and not self._knows_device():
                return 0
            return max(BACKLOG, PER_THREAD * sum(worker["nthreads"] for worker in workers))

    def _knows_device(self) -> bool:
        """Whether some worker has told its kind of device, which from now on all must have."""
        if self._asked is None:  # a task, which makes a cluster that adapts to demand start a worker
            key = f"{self._name}-device"
            self._asked = self._client.submit(kind_of_device, self._expected, key=key, pure=False)
        if not self._asked.done():
            return False
        try:
            found = self._asked.result(timeout=CONNECT_SECONDS)
        except OtherVersions as error:
            raise RunnerError(f"a worker of {self.where} has {error}; give all workers the same.") from error
        except Exception as error:  # whatever the worker raised
            self._look_alive()
            raise RunnerError(f"a worker of {self.where} cannot start JAX: {error}; see its log.") from error
        self._keep_device(found)
        self._expected["device"], self._keep_device, self._asked = found, None, None
        return True

    def submit(self, chunk, is_only: bool = False) -> None:
        """Send a chunk to whoever is free: one worker, if it is the only one."""
        self._attempts += 1
        with self._in_touch():
            future = self._client.submit(
                work,
                self._document,
                self._play,
                chunk,
                self._expected,
                key=f"{self._name}-{chunk.name}-{self._attempts}",
                pure=False,
                retries=0,  # deaths and errors are told apart, and counted, by the coordinator
            )
        self._under_way[future] = chunk
        future.add_done_callback(self._done.put)

    def wait(self, seconds: float) -> list[Outcome]:
        """What came back, after at most so many seconds; raises RunnerError if the scheduler is gone."""
        self._check_alive()
        try:
            future = self._done.get(timeout=seconds)
        except queue.Empty:
            return []
        chunk = self._under_way.pop(future, None)
        if chunk is None:
            return []
        if future.status == "cancelled":
            self._check_alive()
            return [Outcome(chunk, trouble=Trouble.FAULT, reason="cancelled by somebody on the cluster")]
        return [self._outcome(chunk, future)]

    def end_soon(self) -> list:
        """Nothing to do: what the workers have not begun is dropped when we leave."""
        return []

    def close(self, patiently: bool = False) -> bool:
        """Leave the cluster; what is still under way is dropped. True: nothing goes on in this process."""
        if self._under_way:
            self._drop()
        self._exits.close()
        self._cluster = self._client = None
        return True

    def device(self) -> str | None:
        """The kind of device of some worker; None if there is none."""
        return next(iter(self._client.run(device).values()), None)

    def _connect(self, target=None, **where) -> None:
        self._client = _distributed().Client(
            *([] if target is None else [target]), timeout=CONNECT_SECONDS, set_as_default=False, **where
        )
        # A scheduler that was gone has forgotten our chunks: give up at once, and do not wait for its return.
        self._client._timeout = 0
        self._exits.callback(self._leave_client, self._client)
        self._client.subscribe_topic("worker-restart-memory", self._hear)

    def _hear(self, event) -> None:
        """A nanny tells the scheduler before it ends a worker for its memory."""
        _, news = event
        self._starved[news["worker"]] = news["rss"]

    def _outcome(self, chunk, future) -> Outcome:
        killed = _distributed().scheduler.KilledWorker
        try:
            result, heard = future.result(timeout=CONNECT_SECONDS)
            repeat(heard)
            return Outcome(chunk, result)
        except killed as error:
            return self._death(chunk, error)
        except OtherVersions as error:
            raise RunnerError(f"a worker of {self.where} has {error}; give all workers the same.") from error
        except Exception as error:  # whatever the worker raised; a lost result counts as a fault as well
            self._look_alive()
            return of_error(chunk, error)

    def _death(self, chunk, error) -> Outcome:
        address, deaths = error.last_worker.address, error.allowed_failures + 1
        if address not in self._starved:
            time.sleep(NEWS_SECONDS)
        if address in self._starved:
            used = self._starved[address] / 2**30
            reason = f"its worker {address} was ended at {used:.2f} GiB, the limit of its memory"
            return Outcome(chunk, trouble=Trouble.MEMORY, reason=reason, deaths=deaths)
        reason = f"its worker died ({address}): killed, crashed or out of memory"
        return Outcome(chunk, trouble=Trouble.DIED, reason=reason, deaths=deaths)

    @contextmanager
    def _in_touch(self):
        """An error while the scheduler dies is the scheduler's death."""
        try:
            yield
        except Exception:
            self._look_alive()
            raise

    def _look_alive(self) -> None:
        """Check that the scheduler is there, after a moment in which its death becomes known."""
        end = time.monotonic() + NEWS_SECONDS
        while time.monotonic() < end and self._client.status == "running":
            time.sleep(NEWS_SECONDS / 10)
        self._check_alive()

    def _check_alive(self) -> None:
        if self._client.status != "running":
            raise RunnerError(
                f"the scheduler of {self.where} is gone; what was finished is kept, resume when it is back."
            )
        if self._cluster is None:
            return
        if self._cluster.scheduler.workers:
            self._with_workers = time.monotonic()
        elif time.monotonic() - self._with_workers > NO_WORKER_SECONDS:
            raise RunnerError("the workers died and cannot be started again; see log.txt, then resume.")

    def _check_versions(self) -> None:
        """Refuse workers of other versions, before anything is sent that they would play otherwise."""
        expected = self._expected
        # Of the standard library, so that it can be asked of workers that lack the package.
        own = self._client.run(pkgutil.resolve_name, "cmapjax:__version__", on_error="return")
        lacking = {
            worker: f"no cmapjax ({answer})" if isinstance(answer, Exception) else f"cmapjax {answer}"
            for worker, answer in own.items()
            if answer != expected["cmapjax"]
        }
        if lacking:
            _refuse(lacking, f"; this run is of cmapjax {expected['cmapjax']}")
        found = self._client.run(circumstances, expected)
        _refuse({w: differences(v, expected) for w, v in found.items() if v != expected}, "")

    def _quieten(self, log: Path) -> None:
        """Send what Dask and its parts have to say to the log file, not to the terminal."""
        import dask

        _distributed()
        self._exits.enter_context(
            dask.config.set(
                {
                    "distributed.worker.multiprocessing-method": "spawn",  # JAX does not survive a fork
                    "distributed.scheduler.allowed-failures": 0,
                    "distributed.scheduler.http.routes": [],
                    "distributed.worker.http.routes": [],
                    "distributed.scheduler.worker-saturation": 1.0,
                    "distributed.worker.memory": {**dask.config.get("distributed.worker.memory"), **MEMORY},
                }
            )
        )
        self._handler = self._exits.enter_context(_logged_to(log))

    def _drop(self) -> None:
        """Let go of what is under way: cancelled on another's cluster, ended with its worker on our own."""
        if self._cluster is None:
            with suppress(Exception):  # a cluster that is gone cannot be told
                if self._client.status == "running":
                    self._client.cancel(list(self._under_way), force=True)
        else:
            for nanny in self._cluster.workers.values():
                nanny.auto_restart = False
            for nanny in self._cluster.workers.values():
                with suppress(AttributeError, OSError):  # it may just have died
                    os.kill(nanny.process.process.pid, signal.SIGKILL)
        self._under_way.clear()

    def _leave_client(self, client) -> None:
        with suppress(Exception):  # we leave; whatever is wrong with the cluster by now
            client.close(timeout=CLOSE_SECONDS)

    def _leave_cluster(self) -> None:
        with suppress(Exception):
            self._cluster.close(timeout=CLOSE_SECONDS)


def device_of(address: str) -> str | None:
    """The kind of device that the workers of a cluster have; None if there is no worker yet.

    Raises RunnerError if there is no scheduler, or a worker has other versions than we.
    """
    workers = Workers(None, play=None, expected_device=None)
    workers.join(address, Path(os.devnull))
    try:
        return workers.device()
    finally:
        workers.close()


def _refuse(workers: dict[str, str], remark: str) -> None:
    if workers:
        named = "; ".join(f"{worker} has {what}" for worker, what in sorted(workers.items())[:3])
        more = f" and {len(workers) - 3} more workers" if len(workers) > 3 else ""
        raise RunnerError(f"worker {named}{more}{remark}. Install the same versions there.")


def _distributed():
    """Dask's scheduler, or the extra that brings it."""
    try:
        import distributed
        import distributed.scheduler
    except ImportError as error:
        raise ImportError(
            "workers need the packages of an extra: pip install 'cmapjax[study]', or leave out --workers "
            "and --cluster."
        ) from error
    return distributed


@contextmanager
def _interrupts_for_us_alone():
    """Processes and threads started meanwhile do not hear ctrl-C, which the terminal sends to all."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _logged_to(file: Path):
    """Warnings of Dask, tornado and asyncio go to the file, and nowhere else."""
    handler = logging.FileHandler(file, delay=True)
    handler.setLevel(logging.WARNING)
    handler.handleError = lambda record: None  # a full disk is reported by whoever stores results
    handler.setFormatter(logging.Formatter("%(asctime)s %(name)s: %(message)s", "%Y-%m-%dT%H:%M:%S"))
    names = [n for n in logging.root.manager.loggerDict if n.partition(".")[0] in LOGGERS]
    loggers = [logging.getLogger(name) for name in {*LOGGERS, *names}]
    loggers = [each for each in loggers if each.name in LOGGERS or each.handlers]
    before = [(logger.handlers, logger.propagate) for logger in loggers]
    for logger in loggers:
        logger.handlers, logger.propagate = [handler], False
    try:
        yield handler
    finally:
        for logger, (handlers, propagate) in zip(loggers, before, strict=True):
            logger.handlers, logger.propagate = handlers, propagate
        handler.close()
