"""Dask's clusters: one started on this machine, or one that exists; what they have to say goes to the log."""

import importlib.util
import logging
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from cmapjax.studies.run._pool import RunnerError
from cmapjax.studies.run._workers import ANSWER_SECONDS, Workers

# A worker holds one chunk and nothing besides: there is nothing to spill or to pause for. At this share of
# its memory Dask ends the worker, before the system ends whatever it likes.
MEMORY = {"target": False, "spill": False, "pause": False, "terminate": 0.95}
# Of the machine's memory, what all workers together may use.
SHARE_OF_MEMORY = 0.9
CLOSE_SECONDS = 2
LOGGERS = ("distributed", "tornado", "asyncio")


@contextmanager
def own_workers(number: int, memory: int | None, study, play: Callable, log: Path) -> Iterator[Workers]:
    """So many processes on this machine, each with one thread and its own memory."""
    distributed = _distributed()
    memory = memory or int(SHARE_OF_MEMORY * distributed.system.MEMORY_LIMIT / number)
    with _settings(), _logged_to(log) as handler:
        try:
            with _interrupts_for_us_alone():
                cluster = distributed.LocalCluster(
                    n_workers=number,
                    threads_per_worker=1,
                    processes=True,
                    memory_limit=memory,
                    dashboard_address=None,
                    # Its server of pages is there all the same: at a free port, and without pages (below).
                    scheduler_kwargs={"dashboard_address": "127.0.0.1:0"},
                    silence_logs=logging.CRITICAL,
                    # With the package for it, other users of this machine are kept out.
                    security=True if importlib.util.find_spec("cryptography") else None,
                )
        except (OSError, RuntimeError) as error:
            raise RunnerError(f"the workers did not start: {error}") from error
        handler.setLevel(logging.WARNING)  # the workers are to be silent, not the log
        try:
            with _left_quickly(_connect({"address": cluster})) as client:
                yield Workers(client, f"{number} workers on this machine", study, play, cluster)
        finally:
            _end(cluster)


@contextmanager
def given_workers(address: str, study, play: Callable, log: Path) -> Iterator[Workers]:
    """The workers of the scheduler at an address (tcp://HOST:PORT) or of a scheduler file, checked."""
    _distributed()
    is_file = address.endswith(".json")
    if is_file and not Path(address).is_file():
        raise ValueError(f"--cluster {address}: no such scheduler file; name one, or tcp://HOST:PORT.")
    with _settings(), _logged_to(log):
        try:
            client = _connect({"scheduler_file" if is_file else "address": address})
        except (OSError, TimeoutError) as error:
            raise RunnerError(
                f"no scheduler answers at {address} ({error}); start one there, or give its address."
            ) from error
        except ValueError as error:
            raise ValueError(f"--cluster {address}: {error}; give tcp://HOST:PORT.") from error
        with _left_quickly(client):
            yield Workers(client, f"the cluster at {address}", study, play)


@contextmanager
def _left_quickly(client) -> Iterator:
    """The client, left within seconds whatever is wrong with its cluster by then."""
    try:
        yield client
    finally:
        with suppress(Exception):
            client.close(timeout=CLOSE_SECONDS)


def _connect(where: dict):
    from distributed import Client

    return Client(timeout=ANSWER_SECONDS, set_as_default=False, **where)


def _end(cluster) -> None:
    """End a cluster of ours, and with their workers the chunks that are still under way."""
    for nanny in cluster.workers.values():
        nanny.auto_restart = False
    for nanny in cluster.workers.values():
        with suppress(AttributeError, OSError):  # it may just have died
            os.kill(nanny.process.process.pid, signal.SIGKILL)
    with suppress(Exception):  # we leave; whatever is wrong with the cluster by now
        cluster.close(timeout=CLOSE_SECONDS)


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


def _settings():
    """Of Dask, for as long as we use it."""
    import dask

    return dask.config.set(
        {
            "distributed.worker.multiprocessing-method": "spawn",  # JAX does not survive a fork
            "distributed.scheduler.allowed-failures": 0,
            "distributed.scheduler.http.routes": [],
            "distributed.worker.http.routes": [],
            "distributed.scheduler.worker-saturation": 1.0,
            "distributed.worker.memory": {**dask.config.get("distributed.worker.memory"), **MEMORY},
        }
    )


@contextmanager
def _interrupts_for_us_alone() -> Iterator[None]:
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
def _logged_to(file: Path) -> Iterator[logging.Handler]:
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
