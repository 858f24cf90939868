"""A run that is killed, or loses workers, scheduler or disk: no value is lost, and no innocent chunk."""

import collections
import errno
import os
import re
import shutil
import signal
import threading
import time
import warnings
from pathlib import Path

import pytest
import tiny_study
from processes import cluster, worker
from test_runner import HERE, start, undisturbed, wait_for
from tiny_study import NUM_CHUNKS, files

import cmapjax
from cmapjax.studies.results import Results
from cmapjax.studies.run import RunnerError, _workers
from cmapjax.studies.run._loop import TRIES

__all__ = ["undisturbed"]
POISONOUS, BROKEN, FRAGILE = (f"g00001-m00000{first}-n000002" for first in ("04", "10", "16"))
LARGE = [f"g00002-m{first:07d}-n000002" for first in range(0, tiny_study.MARKETS, 2)]


@pytest.fixture
def marks(tmp_path, monkeypatch):
    """The file in which players note every attempt: chunk and process."""
    monkeypatch.setenv("TINY_STUDY_MARKS", str(tmp_path))
    monkeypatch.setattr(tiny_study, "MARKS", str(tmp_path))
    return tmp_path / "played"


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    """A cluster started by hand, with the folder in which its workers note every attempt."""
    root = tmp_path_factory.mktemp("cluster")
    more = {"TINY_STUDY_MARKS": str(root), "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "0"}
    with cluster(root, **more) as (address, processes):
        yield address, processes, root / "played"


def attempts(marks) -> collections.Counter:
    return collections.Counter(line.split()[0] for line in marks.read_text().splitlines())


def check_innocent(summary, folder, undisturbed):
    """Chunks that nothing is wrong with are as ever, and of ground 2 every market was played by itself."""
    assert summary.missing == 0
    special = {POISONOUS, BROKEN, *LARGE} if BROKEN in summary.failed else {POISONOUS, *LARGE}
    found = files(folder)
    assert [file for file in undisturbed if file[:23] not in special] == [
        f for f in found if f[:6] != "g00002"
    ]
    assert sum(file[:6] == "g00002" for file in found) == tiny_study.MARKETS
    noted = Results(folder).runs[-1]
    assert (noted["failed"], noted["halved"]) == (summary.failed, LARGE[:1])


def test_of_our_own_workers_a_poisonous_chunk_is_given_up_and_a_large_one_halved(tmp_path, undisturbed):
    summary = tiny_study.run(tmp_path / "out", tiny_study.killers, workers=2, worker_memory=400 << 20)
    assert list(summary.failed) == [POISONOUS]
    check_innocent(summary, tmp_path / "out", undisturbed)
    # Once whatever was wrong is mended, the next run plays it.
    assert tiny_study.run(tmp_path / "out").done == 1
    assert not Results(tmp_path / "out").failed


def test_on_a_given_cluster_the_guilty_chunks_alone_are_given_up(tmp_path, undisturbed, given):
    address, _, marks = given
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        summary = tiny_study.run(tmp_path / "out", tiny_study.troubles, cluster=address)
    assert sorted(summary.failed) == [POISONOUS, BROKEN]
    assert re.search(r"its worker died .*; it cost 3 workers", summary.failed[POISONOUS])
    assert summary.failed[BROKEN] == "OSError: a disk is away; tried 3 times"
    check_innocent(summary, tmp_path / "out", undisturbed)
    tried = attempts(marks)
    assert (tried[POISONOUS], tried[BROKEN], tried[FRAGILE]) == (TRIES, TRIES, 2)
    assert Results(tmp_path / "out").about["device"].startswith("cpu")
    assert [str(each.message) for each in caught if "span" in str(each.message)] == ["spans 10000000"]


def test_a_worker_of_another_version_ends_the_run(tmp_path, given):
    address, _, _ = given
    other = tmp_path / "other" / "cmapjax"
    package = Path(cmapjax.__file__).parent
    shutil.copytree(package, other, ignore=shutil.ignore_patterns("data", "__pycache__"))
    text = (other / "__init__.py").read_text()
    (other / "__init__.py").write_text(re.sub(r'__version__ = ".*"', '__version__ = "0.0.9"', text))
    stranger = worker(address, PYTHONPATH=os.pathsep.join([str(tmp_path / "other"), str(HERE)]))
    try:
        with pytest.raises(RunnerError, match=r"has cmapjax 0\.0\.9 instead of .*Give all workers the same"):
            tiny_study.run(tmp_path / "out", tiny_study.long, cluster=address)
    finally:
        stranger.kill()
        stranger.wait()


def test_a_scheduler_that_dies_is_said_in_one_line_and_nothing_is_lost(tmp_path, undisturbed, given):
    address, processes, _ = given
    folder = tmp_path / "out"

    def kill():
        wait_for(lambda: files(folder))
        processes[0].kill()

    killer = threading.Thread(target=kill)
    killer.start()
    with pytest.raises(RunnerError, match=r"the scheduler of the cluster at .* is gone") as caught:
        tiny_study.run(folder, tiny_study.slow, cluster=address)
    killer.join()
    assert "\n" not in str(caught.value)
    left = NUM_CHUNKS - len(files(folder))
    assert 0 < left < NUM_CHUNKS
    assert tiny_study.run(folder).done == left
    assert files(folder) == undisturbed


def test_a_scheduler_that_does_not_answer_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr("cmapjax.studies.run._cluster.ANSWER_SECONDS", 1)
    with pytest.raises(RunnerError, match=r"no scheduler answers at tcp://127\.0\.0\.1:1 "):
        tiny_study.run(tmp_path / "out", cluster="tcp://127.0.0.1:1")


def test_a_run_without_any_worker_waits_until_it_is_told_to_end(tmp_path):
    states = []
    with cluster(tmp_path, workers=0) as (address, _):
        began = time.monotonic()
        summary = tiny_study.run(tmp_path / "out", cluster=address, time_limit=1.0, progress=states.append)
    assert time.monotonic() - began < 10
    assert (summary.done, summary.missing, summary.stopped) == (0, NUM_CHUNKS, "time limit")
    assert states[-1].note == "waiting for workers: none has joined"
    assert not (tmp_path / "out").exists()


def test_kill_nine_of_a_run_loses_what_is_under_way_alone(tmp_path, undisturbed, marks):
    folder = tmp_path / "out"
    for _ in range(3):
        before = len(files(folder))
        running = start(folder, "slow")
        wait_for(lambda before=before: len(files(folder)) >= before + 5)
        running.kill()
        running.communicate()
    tiny_study.run(folder)
    assert files(folder) == undisturbed
    # One thread, and one chunk that waits to be written.
    assert sum(attempts(marks).values()) <= NUM_CHUNKS + 2 * 3


def test_kill_nine_of_a_run_with_workers_leaves_nobody_behind(tmp_path, undisturbed, marks):
    folder = tmp_path / "out"
    running = start(folder, "slow", "workers", "2")
    wait_for(lambda: len(files(folder)) > 5)
    running.kill()
    running.communicate()
    workers = {int(line.split()[1]) for line in marks.read_text().splitlines()}
    wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers))
    tiny_study.run(folder)
    assert files(folder) == undisturbed
    assert sum(attempts(marks).values()) <= NUM_CHUNKS + 4


def test_ctrl_c_ends_a_run_with_stuck_workers(tmp_path, marks):
    running = start(tmp_path / "out", "stuck", "workers", "1")
    wait_for(marks.exists)
    running.send_signal(signal.SIGINT)
    began = time.monotonic()
    out, error = running.communicate(timeout=30)
    assert time.monotonic() - began < 10
    assert (running.returncode, out, error) == (1, f"0 0 {NUM_CHUNKS} interrupted\n", "")


def test_a_full_disk_ends_the_run_and_loses_nothing(tmp_path, undisturbed, monkeypatch):
    write, written = Results.write, []

    def full(results, chunk, **tables):
        if len(written) == 7:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(tmp_path))
        written.append(chunk)
        return write(results, chunk, **tables)

    monkeypatch.setattr(Results, "write", full)
    with pytest.raises(OSError, match="No space left"):
        tiny_study.run(tmp_path / "out")
    assert len(files(tmp_path / "out")) == 7
    monkeypatch.undo()
    assert tiny_study.run(tmp_path / "out").done == NUM_CHUNKS - 7
    assert files(tmp_path / "out") == undisturbed


def test_workers_that_cannot_be_started_again_end_the_run():
    class Empty:
        scheduler = type("Scheduler", (), {"workers": {}})

    class Client:
        status = "running"

        def subscribe_topic(self, *_):
            pass

    pool = _workers.Workers(Client(), "nowhere", tiny_study.study(), tiny_study.play, Empty())
    assert pool.capacity() == 0
    pool._with_workers -= 61
    with pytest.raises(RunnerError, match="cannot be started again"):
        pool.capacity()
