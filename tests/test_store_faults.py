"""Whatever the disk does, a results folder is whole or says what is not; resuming gives equal values."""

import errno
import functools
import itertools
import os
import random
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import tables

from cmapjax import _store
from cmapjax._store import Range, Store, StoreError, _disk, _layout, _lease, _repair, open_study

CHUNKS = [Range(0, 0, 2), Range(0, 2, 2)]
ALL = [Range(g, f, 2) for g in (0, 1) for f in (0, 2)]
DOCUMENT = tables.document()
FILE = 'name = "degree-and-strategy"\n'

result = functools.cache(tables.result)


def begin(folder) -> Store:
    """Begin the study, or go on with it."""
    digest = tables.digest(DOCUMENT)
    return Store.create(folder, DOCUMENT, digest, {"device": "cpu"}, study_text=FILE, resume=True)


def play(folder, chunks=CHUNKS) -> Store:
    """Begin or resume, and play what is missing."""
    store = begin(folder)
    with store.lock():
        for chunk in store.missing(chunks):
            store.write(Range(*chunk).name, result(*chunk))
        if not store.manifest["runs"]:
            store.note_run({"seconds": 1.0})
    return store


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """The study as it should be, in full. Read only."""
    return play(tmp_path_factory.mktemp("undisturbed") / "results", ALL)


# -- R2: every operation fails once --------------------------------------------------------------------

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
            play(folder)
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


@pytest.mark.parametrize("how", ["EIO", "full", "killed"])
def test_a_fault_at_any_operation_loses_nothing_and_resuming_gives_equal_values(
    how, tmp_path, undisturbed, dead_pid, monkeypatch
):
    expected = open_study(undisturbed.folder).frame().drop(columns=["strategy", "verdict"])
    wanted = play(tmp_path / "wanted").values_digest()
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
        store = play(folder)
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
    assert store.values_digest() == play(tmp_path / "wanted").values_digest()


def test_a_repair_that_is_interrupted_anywhere_can_be_done_again(
    tmp_path, undisturbed, dead_pid, monkeypatch
):
    for at in itertools.count(1):
        folder = shutil.copytree(undisturbed.folder, tmp_path / f"{at}")
        (folder / "journal.jsonl").write_bytes(b"x" + (folder / "journal.jsonl").read_bytes()[1:])
        (folder / "manifest.json").unlink()
        flip(folder / "summary" / f"{ALL[0].name}.parquet", 100)
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
        assert Store.open(folder).missing(ALL) == [ALL[0]], at
        assert play(folder, ALL).values_digest() == undisturbed.values_digest()
        if is_over:
            break
        shutil.rmtree(folder)
    assert at > 10


# -- R7: a full disk -------------------------------------------------------------------------------------

FILL = """
import resource, sys
sys.path.insert(0, sys.argv[2])
import test_store_faults as faults
faults.begin(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))
try:
    faults.play(sys.argv[1])
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
    assert play(folder, ALL).values_digest() == undisturbed.values_digest()


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
        play(folder, ALL)
    assert caught.value.errno == errno.ENOSPC
    done = open_study(folder).chunks
    assert 0 < len(done) < 4
    assert [f for f in _store.verify(folder) if not f.harmless] == []
    subprocess.run(["mount", "-o", "remount,size=1m", small_disk], check=True)
    store = play(folder, ALL)
    assert store.values_digest() == undisturbed.values_digest()
    assert {name: store.finished()[name] for name in done} == done


# -- R8: damage ------------------------------------------------------------------------------------------


def flip(path: Path, bit: int) -> None:
    """Turn one bit of a file over."""
    data = bytearray(path.read_bytes())
    data[bit // 8 % len(data)] ^= 1 << bit % 8
    path.write_bytes(data)


def files(folder: Path) -> list[Path]:
    """Everything that a results folder consists of."""
    return sorted(path for path in folder.rglob("*") if path.is_file())


def check_damaged(folder: Path, file: Path, undisturbed: Store) -> None:
    """The file is named; repair puts it aside and requeues its chunk and no other; values come back."""
    name = str(file.relative_to(folder))
    assert name in {finding.file for finding in _store.verify(folder)}, name
    before = {path: path.read_bytes() for path in files(folder) if path.suffix == ".parquet"}
    _store.verify(folder, repair=True)
    assert _store.verify(folder) == []
    lost = [chunk for chunk in ALL if chunk.name == file.stem]
    store = Store.open(folder)
    assert store.missing(ALL) == lost
    for path, data in before.items():
        assert path.stem == file.stem or path.read_bytes() == data
    assert play(folder, ALL).values_digest() == undisturbed.values_digest()
    assert _store.verify(folder) == []


def test_every_flipped_bit_is_found_and_named(tmp_path, undisturbed):
    rng = random.Random(8)
    folder = shutil.copytree(undisturbed.folder, tmp_path / "r")
    for file in files(folder):
        whole = file.read_bytes()
        name = str(file.relative_to(folder))
        for _ in range(12):
            flip(file, rng.randrange(8 * len(whole)))
            assert name in {finding.file for finding in _store.verify(folder)}, name
            file.write_bytes(whole)
    assert _store.verify(folder) == []


def read(folder: Path):
    """The summary, if all can be read, or else what is said."""
    try:
        results = open_study(folder)
        results.curves()
        return results.frame(), None
    except ValueError as trouble:
        return None, str(trouble)


def test_flipped_bits_are_never_read_as_results(tmp_path, undisturbed):
    rng = random.Random(9)
    folder = shutil.copytree(undisturbed.folder, tmp_path / "r")
    expected = open_study(folder).frame()
    for file in files(folder):
        whole = file.read_bytes()
        for _ in range(6):
            flip(file, rng.randrange(8 * len(whole)))
            frame, trouble = read(folder)
            if trouble is None:  # the break behind the journal's last line, which nothing depends on
                assert file.name == "journal.jsonl"
                assert frame.equals(expected)
            else:
                assert "\n" not in trouble
                assert file.name in trouble
            file.write_bytes(whole)


@pytest.mark.parametrize("place", range(12))
def test_damage_is_named_repaired_and_only_that_chunk_played_again(place, tmp_path, undisturbed):
    originals = files(undisturbed.folder)
    if place >= len(originals):
        assert len(originals) == 11
        return
    for number, spoil in enumerate([lambda p: flip(p, 4001), _cut_short, Path.unlink, _empty]):
        folder = shutil.copytree(undisturbed.folder, tmp_path / f"{number}")
        file = folder / originals[place].relative_to(undisturbed.folder)
        spoil(file)
        check_damaged(folder, file, undisturbed)


def _cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-7])


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def test_a_chunk_under_another_name_is_named(tmp_path, undisturbed):
    folder = shutil.copytree(undisturbed.folder, tmp_path / "r")
    one, other = (folder / "summary" / f"{chunk.name}.parquet" for chunk in ALL[:2])
    shutil.copy(one, folder / "summary" / f"{Range(0, 8, 2).name}.parquet")  # a duplicate
    whole = other.read_bytes()
    shutil.copy(one, other)  # in place of another
    texts = {f.file: f.what for f in _store.verify(folder)}
    assert (
        f"is the summary of chunk {ALL[0].name} under another name"
        in texts[f"summary/{Range(0, 8, 2).name}.parquet"]
    )
    assert "sha256 differs" in texts[f"summary/{other.name}"]
    _store.verify(folder, repair=True)
    assert Store.open(folder).missing(ALL) == [ALL[1]]
    assert len(os.listdir(folder / "damaged")) == 3  # the two summaries, and the curves of the second
    assert play(folder, ALL).values_digest() == undisturbed.values_digest()
    assert other.read_bytes() == whole


def test_a_chunk_of_another_study_is_named(tmp_path, undisturbed):
    folder = shutil.copytree(undisturbed.folder, tmp_path / "r")
    document = tables.document(seed=8)
    other = Store.create(tmp_path / "other", document, tables.digest(document), {})
    with other.lock():
        for chunk in (ALL[0], Range(0, 4, 2)):
            other.write(chunk.name, result(*chunk))
    for kind in ("summary", "curves"):
        for file in (other.folder / kind).iterdir():
            shutil.copy(file, folder / kind)
    findings = {f.file: f.what for f in _store.verify(folder)}
    assert "belongs to another study" in findings[f"summary/{Range(0, 4, 2).name}.parquet"]
    assert f"summary/{ALL[0].name}.parquet" in findings
    with pytest.raises(ValueError, match=Range(0, 4, 2).name):
        open_study(folder)
    _store.verify(folder, repair=True)
    assert Store.open(folder).missing(ALL) == [ALL[0]]
    assert play(folder, ALL).values_digest() == undisturbed.values_digest()


@pytest.mark.parametrize("name", ["manifest.json", "journal.jsonl"])
def test_a_manifest_or_journal_of_another_study_does_not_win(name, tmp_path, undisturbed):
    document = tables.document(seed=8)
    other = Store.create(tmp_path / "other", document, tables.digest(document), {})
    folder = shutil.copytree(undisturbed.folder, tmp_path / "r")
    shutil.copy(other.folder / name, folder)
    assert {name} == {f.file for f in _store.verify(folder) if not f.harmless}
    _store.verify(folder, repair=True)
    assert _store.verify(folder) == []
    assert Store.open(folder).missing(ALL) == []
    assert Store.open(folder).values_digest() == undisturbed.values_digest()


def test_ranges_that_overlap_are_named_and_never_read_twice(tmp_path, undisturbed):
    folder = shutil.copytree(undisturbed.folder, tmp_path / "r")
    whole = Store.create(
        tmp_path / "w", DOCUMENT, tables.digest(DOCUMENT), {"device": "cpu"}, study_text=FILE
    )
    with whole.lock():
        whole.write(Range(0, 0, 4).name, result(0, 0, 4))
    for kind in ("summary", "curves"):
        shutil.copy(whole.folder / kind / f"{Range(0, 0, 4).name}.parquet", folder / kind)
    with pytest.raises(ValueError, match="hold the same markets"):
        open_study(folder)
    findings = [f for f in _store.verify(folder) if not f.harmless]
    assert {f.file for f in findings} == {f"summary/{Range(0, 0, 4).name}.parquet"}
    _store.verify(folder, repair=True)
    assert open_study(folder).frame().equals(open_study(undisturbed.folder).frame())


def test_strange_files_among_the_chunks_are_named_and_put_aside(tmp_path, undisturbed):
    folder = shutil.copytree(undisturbed.folder, tmp_path / "r")
    summary = folder / "summary"
    (summary / "notes.txt").write_text("x")
    (summary / "sub").mkdir()
    (summary / ("x" * 255)).write_text("x")
    (summary / "new\nline.parquet").write_text("x")
    (summary / ".cmapjax-00.tmp").write_text("x")
    os.mkfifo(summary / f"{Range(5, 0, 1).name}.parquet")
    pq.write_table(result(0, 0, 2).summary, summary / f"{Range(6, 0, 1).name}.parquet")
    findings = _store.verify(folder)
    assert len(findings) == 7
    assert all("\n" not in str(finding) for finding in findings)
    assert len(_store.verify(folder, repair=True)) == 7
    assert _store.verify(folder) == []
    assert len(os.listdir(folder / "damaged")) == 6
    assert Store.open(folder).values_digest() == undisturbed.values_digest()


def test_a_torn_last_line_of_the_journal_is_tolerated_and_said(tmp_path, undisturbed):
    folder = shutil.copytree(undisturbed.folder, tmp_path / "r")
    journal = folder / "journal.jsonl"
    journal.write_bytes(journal.read_bytes() + b'{"event":"finished","chunk":"g00')
    assert open_study(folder).frame().equals(open_study(undisturbed.folder).frame())
    (finding,) = _store.verify(folder)
    assert finding.harmless
    assert "torn" in finding.what
    store = begin(folder)
    with store.lock():
        assert any("torn" in remark for remark in store.remarks)
    assert journal.read_bytes() == (undisturbed.folder / "journal.jsonl").read_bytes()


def test_a_huge_or_wild_folder_does_not_take_the_memory(tmp_path, undisturbed):
    folder = shutil.copytree(undisturbed.folder, tmp_path / "r")
    with open(folder / "manifest.json", "wb") as stream:
        stream.truncate(1 << 40)  # a terabyte, of which nothing is stored
    with pytest.raises(ValueError, match="above the limit"):
        open_study(folder)
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # kB
    assert used < 4 << 20
