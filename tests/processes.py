"""Processes that tests start: runs of this package, and Dask's scheduler and workers."""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).parent


def environment(**more: str) -> dict[str, str]:
    """Of runs: this package, and players that workers can import."""
    paths = [str(HERE), str(HERE.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), **more}


def with_interrupts(command: list[str], number: signal.Handlers = signal.SIG_DFL) -> list[str]:
    """The command in a process that SIGINT reaches, or that ignores it, whatever the tests were started with.

    Where a script starts the tests in its background, ctrl-C is ignored, and children inherit that.
    """
    code = "import os, signal, sys; signal.signal(signal.SIGINT, signal.Handlers(int(sys.argv[1]))); "
    code += "os.execvp(sys.argv[2], sys.argv[2:])"
    return [sys.executable, "-c", code, str(int(number)), *map(str, command)]


@contextlib.contextmanager
def cluster(root: Path, workers: int = 2, **more: str):
    """A scheduler and workers started by hand: the scheduler's file, and the processes."""
    folder = Path(tempfile.mkdtemp(dir=root))
    file = folder / "scheduler.json"
    command = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "0"]
    processes = [_start([*command, "--no-dashboard", "--scheduler-file", str(file)], folder, more)]
    try:
        end = time.monotonic() + 60
        while not file.exists():
            assert time.monotonic() < end, "the scheduler does not start"
            time.sleep(0.05)
        processes += [worker(str(file), **more) for _ in range(workers)]
        yield str(file), processes
    finally:
        for process in processes[::-1]:
            process.kill()
            process.wait()


def worker(scheduler_file: str, **more: str) -> subprocess.Popen:
    """A worker of one thread, started by hand."""
    folder = str(Path(scheduler_file).parent)
    command = [sys.executable, "-m", "distributed.cli.dask_worker", "--scheduler-file", scheduler_file]
    command += ["--nworkers", "1", "--nthreads", "1", "--no-dashboard", "--local-directory", folder]
    return _start(command, folder, more)


def _start(command: list[str], folder, more: dict) -> subprocess.Popen:
    # In a folder elsewhere, lest the package be found in the working directory.
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": folder}
    return subprocess.Popen(command, env=environment() | more, **quiet)
