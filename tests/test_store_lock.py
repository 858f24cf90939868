"""One runner at a time: a second one is refused, and a dead one does not stand in the way."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import tables

from cmapjax.studies import _store
from cmapjax.studies._store import Busy, Store, _lease


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    """A finished study with sketches. Read only."""
    return tables.made(tmp_path_factory.mktemp("store") / "results")


def test_a_second_coordinator_is_refused_by_name(full, tmp_path):
    folder = shutil.copytree(full.folder, tmp_path / "r")
    first, second = Store.open(folder), Store.open(folder)
    with first.lock() as lease:
        with (
            pytest.raises(Busy, match=f"process {os.getpid()} on .* is running a study there"),
            second.lock(),
        ):
            pass
        with pytest.raises(Busy):
            _store.verify(folder, repair=True)
        assert second.verify() == []  # to look is allowed
        assert lease.said is None
    with second.lock():
        pass
    assert not (folder / "lock").exists()


HOLD = "import sys, time; from pathlib import Path; from cmapjax.studies._store._lease import Lease; "
HOLD += "lease = Lease(Path(sys.argv[1])); lease.acquire(); print('held', flush=True); time.sleep(60)"


def test_the_lock_of_a_killed_process_is_taken_over_and_said(full, tmp_path):
    folder = shutil.copytree(full.folder, tmp_path / "r")
    with subprocess.Popen([sys.executable, "-c", HOLD, folder], stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"held\n"
        store = Store.open(folder)
        with pytest.raises(Busy, match=f"process {process.pid} "), store.lock():
            pass
        process.kill()
        process.wait()
        with store.lock() as lease:
            assert f"took over from process {process.pid}" in lease.said
            assert any("took over" in remark for remark in store.remarks)
    assert sorted(os.listdir(folder)) == ["curves", "journal.jsonl", "manifest.json", "study.toml", "summary"]


CONTEND = """
import os, random, sys, time
from pathlib import Path
from cmapjax.studies._store._errors import Busy
from cmapjax.studies._store._lease import Lease
folder, until = Path(sys.argv[1]), time.monotonic() + 2
taken = 0
while time.monotonic() < until:
    lease = Lease(folder)
    try:
        lease.acquire()
    except Busy:
        continue
    inside = folder / "inside"
    try:
        os.close(os.open(inside, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        print("two at once")
        sys.exit(3)
    time.sleep(0.0005)
    taken += 1
    inside.unlink()
    if random.random() < 0.005:
        os._exit(100)  # killed with the lock in its hands
    lease.release()
    time.sleep(0.0005)  # let others in
sys.exit(0 if taken else 4)
"""


def test_two_coordinators_never_hold_one_folder_even_when_they_die(tmp_path):
    for _ in range(2):
        command = [sys.executable, "-c", CONTEND, tmp_path]
        runners = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(4)]
        codes = [(r.wait(timeout=60), r.stdout.read()) for r in runners]
        for runner in runners:
            runner.stdout.close()
        assert {code for code, _ in codes} <= {0, 100, 4}, codes
        assert not any(text for _, text in codes)
        assert {code for code, _ in codes} & {0, 100}


def _foreign_lock(folder: Path) -> Path:
    """A lock held on another machine."""
    lock = folder / "lock"
    lock.write_text(json.dumps(_lease.Holder("abc", "elsewhere", "", 12, "1")._asdict()) + "\n")
    return lock


def test_a_holder_elsewhere_is_dead_only_if_its_lock_stays_untouched(full, tmp_path, monkeypatch):
    monkeypatch.setattr(_lease, "WATCH", 0.3)
    folder = shutil.copytree(full.folder, tmp_path / "r")
    lock = _foreign_lock(folder)
    with pytest.raises(Busy, match="process 12 on elsewhere"), Store.open(folder).lock():
        pass
    # As after a jump of the clock: long ago by the date, but still being touched.
    os.utime(lock, (1, 1))
    monkeypatch.setattr(_lease.time, "sleep", lambda _: os.utime(lock, ns=(1, time.time_ns() % 10**9)))
    with pytest.raises(Busy), Store.open(folder).lock():
        pass
    monkeypatch.undo()
    monkeypatch.setattr(_lease, "WATCH", 0.1)
    os.utime(lock, (1, 1))
    with Store.open(folder).lock() as lease:
        assert "process 12 on elsewhere" in lease.said


def test_a_lock_from_the_future_is_not_taken_over_at_once(full, tmp_path):
    folder = shutil.copytree(full.folder, tmp_path / "r")
    ahead = time.time() + 10**6
    os.utime(_foreign_lock(folder), (ahead, ahead))
    with pytest.raises(Busy), Store.open(folder).lock():
        pass


def test_who_has_lost_the_lock_stops_writing(full, tmp_path):
    folder = shutil.copytree(full.folder, tmp_path / "r")
    store = Store.open(folder)
    with store.lock():
        _foreign_lock(folder)
        with pytest.raises(Busy, match="no longer ours"):
            store.write(tables.name(0, 20, 5), tables.result(0, 20, 5))
    assert (folder / "lock").exists()  # the other's is left alone
    assert tables.name(0, 20, 5) not in Store.open(folder).finished()
