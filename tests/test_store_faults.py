"""Whatever the disk does, a results folder is whole, and resuming gives equal values."""

import errno
import functools
import itertools
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import tables

from cmapjax.studies import _store
from cmapjax.studies._store import Store, StoreError, _disk, _layout, _lease, _repair, open_study


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """The study as it should be, in full. Read only."""
    return tables.play(tmp_path_factory.mktemp("undisturbed") / "results", tables.ALL)


# -- R2: every operation fails once ------------------------------------------------------------

OPERATIONS = ("open", "write", "fsync", "replace", "rename", "link", "unlink", "mkdir", "truncate", "utime")
USERS = (_disk, _layout, _lease, _repair, _store._store)


class Killed(BaseException):
    """The process is no more: nothing after this has any effect."""


class FaultyOs:
    """`os`, but its operation number `at` fails in some way."""

    def __init__(self, how: str, at: int, dead_pid: int):
        self.how, self.at, self.count, self._dead_pid = how, at, 0, dead_pid

    def getpid(self) -> int:
        """Of a process that has ended, when this one plays dead."""
        return self._dead_pid if self.how == "killed" else os.getpid()

    def __getattr__(self, name: str):
        real = getattr(os, name)
        return functools.partial(self._do, name, real) if name in OPERATIONS else real

    def _do(self, name: str, real, *arguments, **options):
        self.count += 1
        if self.how == "killed" and self.count >= self.at:
            if self.count == self.at and name == "write":
                real(arguments[0], bytes(arguments[1])[: len(arguments[1]) // 2])
            raise Killed
        if self.how == "EIO" and self.count == self.at:
            raise OSError(errno.EIO, "Input/output error")
        if self.how == "full" and self.count >= self.at and name in ("open", "write", "mkdir", "link"):
            if name == "write" and self.count == self.at:
                real(arguments[0], bytes(arguments[1])[: len(arguments[1]) // 2])
            if name != "open" or arguments[1] & os.O_CREAT:
                raise OSError(errno.ENOSPC, "No space left on device")
        if self.how == "short" and name == "write":
            return real(arguments[0], bytes(arguments[1])[: 1 + len(arguments[1]) // 3])
        return real(*arguments, **options)


@pytest.fixture(scope="module")
def dead_pid():
    """The number of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def disturbed(folder: Path, how: str, at: int, dead_pid: int, monkeypatch) -> BaseException | None:
    """Play with one fault; what came of it."""
    faulty = FaultyOs(how, at, dead_pid)
    with monkeypatch.context() as patched:
        for module in USERS:
            patched.setattr(module, "os", faulty, raising=False)
        try:
            tables.play(folder)
        except (OSError, StoreError, Killed) as trouble:
            return trouble
    return None if faulty.count < at else ValueError("unharmed")


def check_reader(folder: Path, expected) -> None:
    """Whatever can be read is right, and every row of it is one that was written."""
    try:
        frame = open_study(folder).frame()
    except ValueError:
        return  # said, instead of something wrong
    frame = frame.drop(columns=["strategy", "verdict"]).merge(expected, how="left", indicator=True)
    assert (frame["_merge"] == "both").all()


@pytest.mark.parametrize("how", [pytest.param("EIO", marks=pytest.mark.slow), "full", "killed"])
def test_a_fault_at_any_operation_loses_nothing_and_resuming_gives_equal_values(
    how, tmp_path, undisturbed, dead_pid, monkeypatch
):
    expected = open_study(undisturbed.folder).frame().drop(columns=["strategy", "verdict"])
    wanted = tables.play(tmp_path / "wanted").values_digest()
    for at in itertools.count(1):
        folder = tmp_path / f"{at}"
        trouble = disturbed(folder, how, at, dead_pid, monkeypatch)
        if trouble is None:
            break
        if isinstance(trouble, OSError):
            assert "\n" not in str(trouble)
            assert str(folder) in trouble.filename
            assert ".tmp" not in trouble.filename
            assert how != "full" or "make room" in trouble.strerror
        if folder.exists():
            check_reader(folder, expected)
        store = tables.play(folder)
        assert store.values_digest() == wanted, at
        assert store.verify() == [], at
        assert sorted(os.listdir(folder)) == [
            "curves",
            "journal.jsonl",
            "manifest.json",
            "study.toml",
            "summary",
        ]
        shutil.rmtree(folder)
    assert at > 50


def test_short_writes_are_completed(tmp_path, dead_pid, monkeypatch):
    assert disturbed(tmp_path / "r", "short", 10**9, dead_pid, monkeypatch) is None
    store = Store.open(tmp_path / "r")
    assert store.verify() == []
    assert store.values_digest() == tables.play(tmp_path / "wanted").values_digest()


def test_a_repair_that_is_interrupted_anywhere_can_be_done_again(
    tmp_path, undisturbed, dead_pid, monkeypatch
):
    for at in itertools.count(1):
        folder = shutil.copytree(undisturbed.folder, tmp_path / f"{at}")
        (folder / "journal.jsonl").write_bytes(b"x" + (folder / "journal.jsonl").read_bytes()[1:])
        (folder / "manifest.json").unlink()
        (folder / "summary" / f"{tables.ALL[0].name}.parquet").write_bytes(b"PAR1")
        faulty = FaultyOs("killed", at, dead_pid)
        with monkeypatch.context() as patched:
            for module in USERS:
                patched.setattr(module, "os", faulty, raising=False)
            try:
                _store.verify(folder, repair=True)
                is_over = True
            except Killed:
                is_over = False
        _store.verify(folder, repair=True)
        assert _store.verify(folder) == [], at
        assert Store.open(folder).missing(tables.ALL) == [tables.ALL[0]], at
        assert tables.play(folder, tables.ALL).values_digest() == undisturbed.values_digest()
        if is_over:
            break
        shutil.rmtree(folder)
    assert at > 10


# -- R7: a full disk ----------------------------------------------------------------------

FILL = """
import resource, sys
sys.path.insert(0, sys.argv[2])
import tables
tables.begin(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))
try:
    tables.play(sys.argv[1])
except OSError as error:
    print(error.strerror)
    sys.exit(1)
"""


def test_a_limit_on_files_gives_one_line_with_the_bytes_needed(tmp_path, undisturbed):
    folder = tmp_path / "r"
    command = [sys.executable, "-c", FILL, folder, Path(__file__).parent]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stderr) == (1, "")
    assert ended.stdout.count("\n") == 1
    assert "File too large; " in ended.stdout
    assert " bytes are needed, " in ended.stdout
    assert [f for f in _store.verify(folder) if not f.harmless] == []
    assert tables.play(folder, tables.ALL).values_digest() == undisturbed.values_digest()


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 60 kB, which takes the right to mount one."""
    place = tmp_path / "disk"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=60k", "cmapjax-test", place]
    if (
        sys.platform != "linux"
        or os.geteuid()
        or subprocess.run(command, capture_output=True, check=False).returncode
    ):
        pytest.skip("needs the right to mount a small disk")
    yield place
    subprocess.run(["umount", place], check=True)


def test_a_full_disk_is_named_and_resume_goes_on_once_there_is_room(small_disk, undisturbed):
    folder = small_disk / "results"
    with pytest.raises(
        OSError, match=r"No space left on device; [\d,]+ bytes are needed, [\d,]+ are free"
    ) as caught:
        tables.play(folder, tables.ALL)
    assert caught.value.errno == errno.ENOSPC
    done = open_study(folder).chunks
    assert 0 < len(done) < 4
    assert [f for f in _store.verify(folder) if not f.harmless] == []
    subprocess.run(["mount", "-o", "remount,size=1m", small_disk], check=True)
    store = tables.play(folder, tables.ALL)
    assert store.values_digest() == undisturbed.values_digest()
    assert {name: store.finished()[name] for name in done} == done
