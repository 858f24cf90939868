"""Whatever happens to a results folder, what is read is what was written; what is lost is played again.

What is refused is refused in a line that names the file and the remedy; and there is one runner at a time.
"""

import contextlib
import errno
import functools
import itertools
import json
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import tables

from cmapjax.graphs import _files
from cmapjax.studies._chunks import Chunk
from cmapjax.studies.results import (
    Busy,
    Damaged,
    Results,
    ResultsError,
    _about,
    _disk,
    _lock,
    diff,
    open_study,
    verify,
)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """The study as it should be, in full. Read only."""
    return tables.play(tmp_path_factory.mktemp("undisturbed") / "results")


@pytest.fixture
def folder(undisturbed, tmp_path):
    """The folder again, to be spoilt."""
    return shutil.copytree(undisturbed.folder, tmp_path / "r")


def chunk_files(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.glob("[cs]*/*.parquet")}


def read_all(folder: Path) -> None:
    """Read all that there is, as users do."""
    results = open_study(folder)
    results.frame(), results.curves(), results.runs


# -- damage ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["study.json", "summary", "curves", "runs"])
def test_a_flip_in_any_byte_is_found_when_read(kind, folder):
    file = next(path for path in sorted(folder.rglob("*.*")) if kind in (path.name, path.parent.name))
    whole, results, rng = file.read_bytes(), Results(folder), random.Random(8)
    read = {"study.json": lambda: Results(folder), "runs": lambda: results.runs}
    for place in range(len(whole)):
        data = bytearray(whole)
        data[place] ^= 1 << rng.randrange(8)
        file.write_bytes(data)
        with pytest.raises(ResultsError) as found:  # a digit of the format may be hit: then it is "newer"
            read.get(kind, lambda: results.read(file))()
        assert file.name in str(found.value)
        assert "\n" not in str(found.value)
    file.write_bytes(whole)
    assert verify(folder) == []


def _flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 3] ^= 4
    path.write_bytes(data)


def _cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-7])


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _replace(path: Path) -> None:
    """Another file of the same kind under its name."""
    other = next(file for file in sorted(path.parent.iterdir()) if file != path)
    path.write_bytes(other.read_bytes())


@pytest.mark.parametrize("kind", ["summary", "curves"])
@pytest.mark.parametrize("spoil", [_flip, _cut_short, _empty, _replace, Path.unlink])
def test_damage_is_named_repaired_and_only_that_chunk_played_again(spoil, kind, folder):
    expected, chunk = chunk_files(folder), tables.ALL[2]
    name = next(name for name in expected if chunk.name in name and kind in name)
    spoil(folder / name)
    if spoil is Path.unlink:
        assert any(chunk.name in str(finding) for finding in verify(folder))
    else:
        assert name in {finding.file for finding in verify(folder) if not finding.harmless}
        with pytest.raises(Damaged, match=Path(name).name):
            read_all(folder)
    verify(folder, repair=True)
    assert Results(folder).lacking == [chunk]
    assert all(finding.harmless and "lacks 1 chunk" in finding.what for finding in verify(folder))
    tables.play(folder)
    assert verify(folder) == []
    assert chunk_files(folder) == expected


@pytest.mark.parametrize("spoil", [_flip, _cut_short, _empty])
def test_a_damaged_study_json_is_named_and_its_chunks_are_kept(spoil, folder, undisturbed):
    spoil(folder / "study.json")
    (finding,) = verify(folder)
    assert (finding.file, finding.harmless) == ("study.json", False)
    assert "run the study again with --out there" in finding.remedy
    with pytest.raises(Damaged, match=r"study\.json"):
        tables.play(folder)
    verify(folder, repair=True)
    with pytest.raises(Damaged, match=r"study\.json is missing"):
        open_study(folder)
    assert tables.begin(folder).lacking == []
    assert verify(folder) == []
    assert diff(folder, undisturbed.folder) == []


def test_files_that_are_foreign_or_strange_are_named_and_put_aside(tmp_path, folder, undisturbed):
    other = tables.made(tmp_path / "other", [(4, 2)], seed=8, grounds=(0,))
    for kind in ("summary", "curves"):
        (foreign,) = other.files(kind).values()
        shutil.copy(foreign, folder / kind)
    with pytest.raises(Damaged, match="belongs to another study"):
        open_study(folder).frame()
    results, summary = Results(folder), folder / "summary"
    own = results.chunks[tables.ALL[0].name]
    renamed = own.name.replace("m0000000-n000002", "m0000008-n000002")
    shutil.copy(own, summary / renamed)
    curves = results.files("curves")[tables.ALL[0].name]
    shutil.copy(curves, summary / curves.name)
    (summary / "notes.txt").write_text("x")
    (summary / ("x" * 255)).write_text("x")
    (summary / "new\nline.parquet").write_text("x")
    (summary / ".cmapjax-00.tmp").write_text("x")
    found = {finding.file: finding.what for finding in verify(folder)}
    assert f"is the summary of chunk {tables.ALL[0].name} under another name" in found[f"summary/{renamed}"]
    assert "is the curves of chunk" in found[f"summary/{curves.name}"]
    assert sum("belongs to another study" in what for what in found.values()) == 2
    assert len(found) == 8
    assert not any("\n" in line for line in found)
    verify(folder, repair=True)
    assert verify(folder) == []
    assert len(os.listdir(folder / "damaged")) == 8
    assert chunk_files(folder) == chunk_files(undisturbed.folder)


def test_another_version_of_a_chunk_is_not_read_beside_it(folder):
    """As a device gives it whose sums have no fixed order."""
    results, chunk = Results(folder), tables.ALL[0]
    tables.keep(results, chunk, tables.result(*chunk, shift=0.1))
    assert [len([*(folder / kind).glob(f"{chunk.name}*")]) for kind in ("summary", "curves")] == [2, 2]
    assert len(results.frame()) == 16
    read = next(iter(results.files("curves").values()))
    tags = results.read(results.chunks[chunk.name]).schema.metadata
    assert tags[b"cmapjax.curves"].decode() in read.name
    assert [finding.harmless for finding in verify(folder)] == [True, True]
    read.unlink()  # what is left of the curves belongs to the other summary
    assert any("lacks the curves it was written with" in finding.what for finding in verify(folder))
    verify(folder, repair=True)
    verify(folder, repair=True)
    tables.play(folder)
    assert verify(folder) == []


# -- every operation fails once ----------------------------------------------------------------------

OPERATIONS = ("open", "write", "fsync", "replace", "rename", "unlink", "mkdir", "ftruncate")


class Killed(BaseException):
    """The process is no more: nothing after this has any effect."""


class FaultyOs:
    """`os`, and `open` for drafts, but operation number `at` fails in some way."""

    def __init__(self, how: str, at: int):
        self.how, self.at, self.count = how, at, 0

    def __getattr__(self, name: str):
        real = getattr(os, name)
        return functools.partial(self.do, name, real) if name in OPERATIONS else real

    @contextlib.contextmanager
    def open_draft(self, path: Path, mode: str):
        """What `open` gives."""
        with self.do("open", open, path, mode) as stream:
            write = functools.partial(self.do, "write", stream.write)
            yield SimpleNamespace(write=write, flush=stream.flush, fileno=stream.fileno)

    def do(self, name: str, real, *arguments, **options):
        """The operation, or its failure."""
        self.count += 1
        is_it = self.count == self.at
        if name == "write" and is_it and self.how in ("killed", "full"):
            real(*arguments[:-1], arguments[-1][: len(arguments[-1]) // 2])
        if self.how == "killed" and self.count >= self.at:
            raise Killed
        if self.how == "EIO" and is_it:
            raise OSError(errno.EIO, "Input/output error")
        makes = name in ("write", "mkdir") or (
            name == "open" and (arguments[1] == "xb" or arguments[1] & os.O_CREAT)
        )
        if self.how == "full" and self.count >= self.at and makes:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(*arguments, **options)


def disturbed(act, how: str, at: int, monkeypatch) -> BaseException | None:
    """Do something with one fault; what came of it, None if it was too late to matter."""
    faulty = FaultyOs(how, at)
    unlink = functools.partial(faulty.do, "unlink", Path.unlink)
    with monkeypatch.context() as patched:
        for module in (_disk, _lock, _files):
            patched.setattr(module, "os", faulty)
        patched.setattr(_files, "open", faulty.open_draft, raising=False)
        patched.setattr(Path, "unlink", lambda self, missing_ok=False: unlink(self, missing_ok=missing_ok))
        try:
            act()
        except (OSError, ResultsError, Killed) as trouble:
            return trouble
    return None if faulty.count < at else ValueError("unharmed")


@pytest.mark.parametrize("how", [pytest.param("EIO", marks=pytest.mark.slow), "full", "killed"])
def test_a_fault_at_any_operation_loses_nothing_and_resuming_gives_equal_values(how, tmp_path, monkeypatch):
    def play(folder: Path) -> None:
        tables.play(folder, tables.CHUNKS)

    play(tmp_path / "undisturbed")
    expected = chunk_files(tmp_path / "undisturbed")
    for at in itertools.count(1):
        folder = tmp_path / f"{at}"
        trouble = disturbed(functools.partial(play, folder), how, at, monkeypatch)
        if trouble is None:
            break
        if isinstance(trouble, OSError):
            assert "\n" not in str(trouble)
            assert str(folder) in trouble.filename
            assert ".tmp" not in trouble.filename
            assert how != "full" or "make room" in trouble.strerror
        before = {}
        with contextlib.suppress(ResultsError):  # nothing is begun
            if kept := open_study(folder).chunks:
                read_all(folder)
            before = {name: data for name, data in chunk_files(folder).items() if "summary" in name}
            assert len(before) == len(kept)
        play(folder)
        assert before.items() <= chunk_files(folder).items()
        assert chunk_files(folder) == expected, at
        assert all("was writing" in finding.what for finding in verify(folder)), at
        verify(folder, repair=True)
        assert verify(folder) == []
        shutil.rmtree(folder)
    assert at > 40


def test_a_repair_that_is_interrupted_anywhere_can_be_done_again(tmp_path, undisturbed, monkeypatch):
    for at in itertools.count(1):
        folder = shutil.copytree(undisturbed.folder, tmp_path / f"{at}")
        _flip(next(iter(Results(folder).chunks.values())))
        _flip(next(iter((folder / "runs").iterdir())))
        trouble = disturbed(lambda folder=folder: verify(folder, repair=True), "killed", at, monkeypatch)
        verify(folder, repair=True)
        assert Results(folder).lacking == [tables.ALL[0]], at
        tables.play(folder)
        assert verify(folder) == []
        assert chunk_files(folder) == chunk_files(undisturbed.folder), at
        if trouble is None:
            break
    assert at > 5


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
    tables.play(folder)
    assert chunk_files(folder) == chunk_files(undisturbed.folder)


WRITE = """
import sys
sys.path.insert(0, sys.argv[2])
import tables
results = tables.begin(sys.argv[1])
for first in range(0, 80, 2):
    tables.keep(results, (0, first, 2))
"""


def test_two_writers_that_do_not_know_of_each_other_spoil_nothing(tmp_path):
    command = [sys.executable, "-c", WRITE, tmp_path / "r", Path(__file__).parent]
    writers = [subprocess.Popen(command) for _ in range(2)]
    assert [writer.wait(timeout=120) for writer in writers] == [0, 0]
    assert len(chunk_files(tmp_path / "r")) == 80 == 2 * len(Results(tmp_path / "r").chunks)
    assert not [finding for finding in verify(tmp_path / "r") if "lacks" not in finding.what]


# -- what is refused -----------------------------------------------------------------------------------


def test_another_format_is_refused_by_name(folder):
    about = json.loads((folder / "study.json").read_text())
    (folder / "study.json").write_text(json.dumps(about | {"format": 3, "something": "new"}))
    for use in (open_study, verify, tables.begin):
        with pytest.raises(ResultsError, match=r"has format 3, and cmapjax .*pip install --upgrade cmapjax"):
            use(folder)


@pytest.mark.parametrize(
    "text", ["", "[]", "null", "{", "[" * 100_000, '{"format": 2}', '{"format": true}', "\xff", "1e999"]
)
def test_a_study_json_that_is_none_gives_one_line(folder, text):
    (folder / "study.json").write_text(text, encoding="latin-1")
    with pytest.raises(Damaged, match=r"study\.json is .*; run the study again with --out there") as found:
        open_study(folder)
    assert "\n" not in str(found.value)
    assert len(str(found.value)) < 400


def test_another_study_or_plan_is_refused_by_the_key_that_differs(folder):
    grid = {"degree": [4, 6], "strategy": ["cmap", "selfish"]}
    with pytest.raises(ResultsError, match=r"rounds: 20 → 30; grid.strategy: \[.*\] → \[.*'selfish'\]"):
        Results.begin(folder, tables.document(rounds=30, grid=grid))
    with pytest.raises(ResultsError, match=r"holds another study.* plan: \["):
        Results.begin(folder, tables.document(), plan=[Chunk(0, 0, 20).name])
    assert Results.begin(folder, tables.document(), device="cpu").lacking == []
    (folder / "study.json").unlink()
    with pytest.raises(ResultsError, match=r"summary/g.* belongs to another study; name a new folder"):
        tables.begin(folder, seed=8)
    assert tables.begin(folder).lacking == []


def test_values_of_other_versions_or_devices_are_not_mixed_unless_meant(folder, monkeypatch):
    with pytest.raises(ResultsError, match="begun otherwise: device: 'cpu' → 'gpu'"):
        Results.begin(folder, tables.document(), device="gpu")
    now = {**_about.versions(), "jax": "99.0"}
    monkeypatch.setattr(_about, "versions", lambda: now)
    with pytest.raises(ResultsError, match=r"versions\.jax: '0\..*' → '99\.0'"):
        Results(folder).check_same()
    tables.keep(Results.begin(folder, tables.document(), mixed=True, device="cpu"), Chunk(0, 10, 5))
    assert [(finding.harmless, "99.0" in finding.what) for finding in verify(folder)] == [(True, True)] * 2


def test_folders_that_cannot_be_are_refused_in_a_line(tmp_path):
    (tmp_path / "file").write_text("x")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").write_text("x")
    for place, words in (
        ("a" * 256, "at most: choose a shorter one"),
        ("no/results", "its folder is not there"),
        ("file", "is not a folder"),
        ("full", r"is not empty \(it holds 'thesis.tex'\)"),
    ):
        with pytest.raises((OSError, ValueError), match=words):
            tables.begin(f"{tmp_path}/{place}")
    for use in (open_study, verify):
        with pytest.raises(ValueError, match="nothing: there is no such folder; check the name"):
            use(tmp_path / "nothing")
        with pytest.raises(Damaged, match=r"study\.json is missing; if .* is a results folder, run the"):
            use(tmp_path / "full")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_folder_is_readable_and_named_when_written_to(folder):
    folder.chmod(0o500)
    try:
        assert len(open_study(folder).frame()) == 16
        with (
            pytest.raises(PermissionError, match="name a folder where you may write"),
            Results(folder).announce(),
        ):
            pass
    finally:
        folder.chmod(0o700)


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.EROFS, "name a folder where you may write"),
        (errno.EACCES, "name a folder where you may write"),
        (errno.ENOSPC, r"1,234 bytes are needed, [\d,]+ are free: make room"),
        (errno.EDQUOT, "1,234 bytes are needed"),
        (errno.ENAMETOOLONG, "at most: choose a shorter one"),
        (errno.EIO, "look after that disk, then resume"),
    ],
)
def test_what_the_disk_says_is_told_in_one_line_with_a_remedy(tmp_path, number, words):
    with pytest.raises(OSError, match=words) as caught, _disk.trouble(tmp_path / "f", 1234):
        raise OSError(number, os.strerror(number))
    assert (caught.value.errno, caught.value.filename) == (number, str(tmp_path / "f"))
    assert "\n" not in str(caught.value)


# -- one runner at a time ----------------------------------------------------------------------------

HOLD = "import sys, time; from cmapjax.studies.results import Results\nwith Results(sys.argv[1]).announce(): "
HOLD += "print('held', flush=True); time.sleep(60)"


def test_a_second_runner_is_told_who_where_and_since_when(folder):
    first, second = Results(folder), Results(folder)
    assert second.runner() is None
    with first.announce():
        who = rf"process {os.getpid()} on \S+, since 20\d\d-\d\d-\d\dT[\d:]+Z"
        with (
            pytest.raises(Busy, match=f"{who} is running this study; wait for it, or end it"),
            second.announce(),
        ):
            pass
        assert second.runner().startswith(f"process {os.getpid()} on ")
        with pytest.raises(Busy):
            verify(folder, repair=True)
        assert verify(folder) == []  # to look is allowed
    with second.announce():
        pass
    assert second.runner() is None


def test_a_killed_runner_is_not_in_the_way(folder):
    with subprocess.Popen([sys.executable, "-c", HOLD, folder], stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"held\n"
        with pytest.raises(Busy, match=f"process {process.pid} "), Results(folder).announce():
            pass
        process.kill()
        process.wait()
    assert Results(folder).runner() is None
    with Results(folder).announce():
        pass


def test_where_disks_know_no_locks_a_second_runner_is_let_in(folder, monkeypatch):
    def flock(*_):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(_lock.fcntl, "flock", flock)
    with Results(folder).announce(), Results(folder).announce():
        assert Results(folder).runner() is None
    assert verify(folder) == []
