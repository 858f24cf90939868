"""A run that is killed, or loses workers, scheduler or disk: no value is lost. `scripts/torture`, small."""

import collections
import errno
import os
import re
import shutil
import signal
import threading
from pathlib import Path

import pytest
import tiny_study
import torture
from cmapjax.studies._runner._job import TRIES
from processes import cluster, worker
from test_runner import HERE, NUM_CHUNKS, digest, num_stored, start, wait_for

from cmapjax import studies
from cmapjax.studies import _runner


@pytest.fixture(autouse=True)
def _tiny_chunks(monkeypatch):
    """Chunks of the tiny study need no JAX."""
    monkeypatch.setattr(studies, "chunks", tiny_study.chunks, raising=False)


@pytest.fixture(scope="module")
def subject(tmp_path_factory):
    """The tiny study, with an undisturbed run to compare with."""
    return torture.Subject(tmp_path_factory.mktemp("torture"), is_tiny=True, seed=5)


@pytest.fixture
def marks(tmp_path, monkeypatch):
    """The file in which players note every attempt: chunk and process."""
    monkeypatch.setenv("TINY_STUDY_MARKS", str(tmp_path))
    monkeypatch.setattr(tiny_study, "MARKS", str(tmp_path))
    return tmp_path / "played"


def attempts(marks) -> collections.Counter:
    return collections.Counter(line.split()[0] for line in marks.read_text().splitlines())


def test_kill_nine_of_the_run_at_ten_random_moments_loses_nothing(subject, marks):
    row = torture.kill_runs(subject, 10)
    assert (row.injected, row.survived, row.lost) == (10, 10, 0)
    # One run or several were completed; played again were chunks under way alone, two at most.
    completed = subject.folders - 2
    assert sum(attempts(marks).values()) <= completed * NUM_CHUNKS + 2 * row.injected


def test_kill_nine_of_a_run_with_workers_loses_nothing_and_leaves_nobody_behind(subject, marks):
    row = torture.kill_runs(subject, 2, "workers", "2")
    assert (row.injected, row.survived, row.lost) == (2, 2, 0)
    workers = {int(line.split()[1]) for line in marks.read_text().splitlines()}
    wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers), 10)


def test_killed_workers_cost_their_chunk_only(subject):
    row = torture.kill_workers(subject, 3)
    assert (row.injected, row.survived, row.lost) == (3, 3, 0)


def test_a_dead_scheduler_is_reported_in_one_line_and_loses_nothing(subject):
    row = torture.kill_schedulers(subject, 1)
    assert (row.injected, row.survived, row.lost) == (1, 1, 0)


def test_altered_shortened_and_missing_files_are_named_and_replaced(subject):
    for row in torture.damage(subject, 12, 2):
        assert (row.survived, row.lost) == (row.injected, 0), row


def test_a_poisonous_chunk_is_given_up_after_three_workers_and_no_other(tmp_path, subject, marks):
    summary = tiny_study.run(tmp_path / "out", tiny_study.poison, workers=2)
    name = "g00001-m0000004-n000002"
    assert list(summary.failed) == [name]
    assert "it cost 3 workers" in summary.failed[name]
    assert (summary.done, summary.missing) == (NUM_CHUNKS - 1, 0)
    assert attempts(marks)[name] == TRIES
    assert _runner.status(tmp_path / "out").failed == summary.failed
    # Once whatever was poisonous is mended, the next run plays it.
    assert tiny_study.run(tmp_path / "out").done == 1
    assert not _runner.status(tmp_path / "out").failed
    assert digest(tmp_path / "out") == digest(subject.reference)


def test_a_poisonous_chunk_on_a_foreign_cluster_is_given_up_and_no_other(tmp_path, marks):
    with cluster(
        tmp_path, DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES="0", TINY_STUDY_MARKS=str(tmp_path)
    ) as (address, _):
        summary = tiny_study.run(tmp_path / "out", tiny_study.poison, cluster=address)
    assert list(summary.failed) == ["g00001-m0000004-n000002"]
    assert (summary.done, summary.missing) == (NUM_CHUNKS - 1, 0)
    assert attempts(marks)["g00001-m0000004-n000002"] == TRIES


def test_a_chunk_too_large_for_its_worker_is_halved(tmp_path, subject):
    summary = tiny_study.run(tmp_path / "out", tiny_study.hog, workers=2, worker_memory=400 << 20)
    assert (summary.failed, summary.missing) == ({}, 0)
    halved = tiny_study.MARKETS // tiny_study.SIZE
    assert summary.done == NUM_CHUNKS + halved  # of ground 2 every chunk became two
    assert digest(tmp_path / "out") == digest(subject.reference)


def test_a_full_disk_ends_the_run_and_loses_nothing(tmp_path, subject, monkeypatch):
    of, store = tiny_study.begin(tmp_path / "out")
    write, written = store.write, []

    def full(name, result):
        if len(written) == 7:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(tmp_path))
        written.append(name)
        return write(name, result)

    monkeypatch.setattr(store, "write", full)
    with pytest.raises(OSError, match="No space left"):
        _runner.run(of, store, play=tiny_study.play)
    assert num_stored(tmp_path / "out") == 7
    assert tiny_study.run(tmp_path / "out").done == NUM_CHUNKS - 7
    assert digest(tmp_path / "out") == digest(subject.reference)


def test_a_stopped_run_whose_lock_nobody_may_take_goes_on_when_it_is_woken(tmp_path, subject):
    running = start(tmp_path / "out", "slow")
    wait_for(lambda: num_stored(tmp_path / "out"))
    running.send_signal(signal.SIGSTOP)
    try:
        second = start(tmp_path / "out", "slow")
        _, error = second.communicate(timeout=60)
        assert second.returncode == 1
        assert f"process {running.pid} on" in error
    finally:
        running.send_signal(signal.SIGCONT)
    running.communicate(timeout=60)
    assert running.returncode == 0
    assert digest(tmp_path / "out") == digest(subject.reference)


def test_a_worker_that_joins_late_with_another_version_ends_the_run(tmp_path):
    other = tmp_path / "other" / "cmapjax"
    package = Path(_runner.__file__).parents[1]
    shutil.copytree(package, other, ignore=shutil.ignore_patterns("data", "__pycache__"))
    text = (other / "__init__.py").read_text()
    (other / "__init__.py").write_text(re.sub(r'__version__ = ".*"', '__version__ = "0.0.9"', text))
    caught = []

    def run(address):
        try:
            tiny_study.run(tmp_path / "out", cluster=address)
        except _runner.RunnerError as error:
            caught.append(str(error))

    with cluster(tmp_path, workers=0) as (address, processes):
        thread = threading.Thread(target=run, args=[address])
        thread.start()
        log = tmp_path / "out" / "log.txt"
        wait_for(lambda: log.exists() and "waiting for workers" in log.read_text())
        path = os.pathsep.join([str(tmp_path / "other"), str(HERE)])
        processes.append(worker(address, PYTHONPATH=path))
        thread.join(timeout=60)
    assert len(caught) == 1
    assert "has cmapjax 0.0.9 instead of" in caught[0]
    assert num_stored(tmp_path / "out") == 0
