"""Whatever happens to a results folder, what is read is what was written; what is lost is played again."""

import contextlib
import errno
import functools
import itertools
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pyarrow.parquet as pq
import pytest
import tables

from cmapjax.graphs import _files
from cmapjax.studies._chunks import Chunk
from cmapjax.studies.results import Damaged, Results, ResultsError, _disk, _lock, diff, open_study, verify
from cmapjax.studies.results._verify import inspect


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """The study as it should be, in full. Read only."""
    return tables.play(tmp_path_factory.mktemp("undisturbed") / "results")


def copy(undisturbed: Results, to: Path) -> Path:
    """The folder again, to be spoilt."""
    return shutil.copytree(undisturbed.folder, to)


def files(folder: Path) -> list[Path]:
    """Everything that a results folder consists of."""
    return sorted(path for path in folder.rglob("*") if path.is_file() and "damaged" not in path.parts)


def chunk_files(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in files(folder)
        if path.suffix == ".parquet"
    }


def read_all(folder: Path) -> None:
    """Read all that there is, as users do."""
    results = open_study(folder)
    results.frame(), results.curves(), results.runs


# -- damage ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["study.json", "summary", "curves", "runs"])
def test_a_flip_in_any_byte_is_found_when_read(kind, tmp_path, undisturbed):
    folder = copy(undisturbed, tmp_path / "r")
    file = next(path for path in files(folder) if kind in (path.name, path.parent.name))
    whole = file.read_bytes()
    results, rng = Results(folder), random.Random(8)
    read = {"study.json": lambda: Results(folder), "runs": results.runs}.get(kind, lambda: results.read(file))
    for place in range(len(whole)):
        data = bytearray(whole)
        data[place] ^= 1 << rng.randrange(8)
        file.write_bytes(data)
        with pytest.raises(ResultsError) as found:  # a digit of the format may be hit: then it is "newer"
            read()
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


@pytest.mark.parametrize("spoil", [_flip, _cut_short, _empty, _replace, Path.unlink])
def test_damage_is_named_repaired_and_only_that_chunk_played_again(spoil, tmp_path, undisturbed):
    expected = chunk_files(undisturbed.folder)
    assert len(expected) == 8
    for name in expected:
        folder = copy(undisturbed, tmp_path / spoil.__name__ / name.replace("/", "-"))
        file = folder / name
        chunk = next(chunk for chunk in tables.ALL if chunk.name in name)
        spoil(file)
        if spoil is Path.unlink:
            assert any(chunk.name in str(finding) for finding in verify(folder))
            assert Results(folder).lacking() == [chunk]
        else:
            assert name in {finding.file for finding in verify(folder) if not finding.harmless}
            with pytest.raises(Damaged, match=file.name):
                read_all(folder)
        assert chunk_files(folder).items() - expected.items() in (
            set(),
            {(name, chunk_files(folder).get(name))},
        )
        verify(folder, repair=True)
        assert Results(folder).lacking() == [chunk]
        assert all(finding.harmless and "lacks 1 chunk" in finding.what for finding in verify(folder))
        tables.play(folder)
        assert verify(folder) == []
        assert chunk_files(folder) == expected


def test_a_damaged_study_json_is_named_and_its_chunks_are_kept(tmp_path, undisturbed):
    for spoil in (_flip, _cut_short, _empty):
        folder = copy(undisturbed, tmp_path / spoil.__name__)
        spoil(folder / "study.json")
        (finding,) = verify(folder)
        assert (finding.file, finding.harmless) == ("study.json", False)
        assert "run the study again with --out there" in finding.remedy
        with pytest.raises(Damaged, match=r"study\.json"):
            tables.play(folder)
        verify(folder, repair=True)
        with pytest.raises(Damaged, match=r"study\.json is missing"):
            open_study(folder)
        assert tables.begin(folder).lacking() == []
        assert verify(folder) == []
        assert diff(folder, undisturbed.folder) == []


def test_chunks_of_another_study_or_under_another_name_are_named(tmp_path, undisturbed):
    folder = copy(undisturbed, tmp_path / "r")
    other = tables.made(tmp_path / "other", [(4, 2)], seed=8, grounds=(0,))
    for kind in ("summary", "curves"):
        (foreign,) = other.chunks(kind).values()
        shutil.copy(foreign, folder / kind)
    with pytest.raises(Damaged, match="belongs to another study"):
        open_study(folder).frame()
    summary = next(iter(Results(folder).chunks().values()))
    renamed = summary.name.replace("m0000000-n000002", "m0000008-n000002")
    shutil.copy(summary, folder / "summary" / renamed)
    curves = next(iter(Results(folder).chunks("curves").values()))
    shutil.copy(curves, folder / "summary" / curves.name)
    found = {finding.file: finding.what for finding in verify(folder)}
    assert f"is the summary of chunk {tables.ALL[0].name} under another name" in found[f"summary/{renamed}"]
    assert "is the curves of chunk" in found[f"summary/{curves.name}"]
    assert sum("belongs to another study" in what for what in found.values()) == 2
    assert len(found) == 4
    verify(folder, repair=True)
    assert verify(folder) == []
    assert chunk_files(folder) == chunk_files(undisturbed.folder)


def test_strange_files_among_the_chunks_are_named_and_put_aside(tmp_path, undisturbed):
    folder = copy(undisturbed, tmp_path / "r")
    summary = folder / "summary"
    (summary / "notes.txt").write_text("x")
    (summary / "sub").mkdir()
    (summary / ("x" * 255)).write_text("x")
    (summary / "new\nline.parquet").write_text("x")
    (summary / ".cmapjax-00.tmp").write_text("x")
    os.mkfifo(summary / f"{Chunk(5, 0, 1).name}-0123456789abcdef.parquet")
    (summary / f"{Chunk(7, 0, 1).name}-0123456789abcdef.parquet").symlink_to(tmp_path)
    table = tables.once(0, 0, 2).summary
    pq.write_table(table, summary / "strange.parquet")
    data = (summary / "strange.parquet").read_bytes()
    (summary / f"{Chunk(6, 0, 1).name}-{_disk.digest_of(data)}.parquet").write_bytes(data)
    found = verify(folder)
    assert len(found) == 9
    assert all("\n" not in str(finding) for finding in found)
    assert len(verify(folder, repair=True)) == 9
    assert verify(folder) == []
    assert len(os.listdir(folder / "damaged")) == 9
    assert chunk_files(folder) == chunk_files(undisturbed.folder)


def test_another_version_of_a_chunk_is_not_read_beside_it(tmp_path, undisturbed):
    """As a device gives it whose sums have no fixed order."""
    folder = copy(undisturbed, tmp_path / "r")
    again = tables.result(0, 0, 2, shift=0.1)
    tables.keep(Results(folder), tables.ALL[0], again)
    results = open_study(folder)
    summaries, curves = ([*(folder / kind).glob(f"{tables.ALL[0].name}*")] for kind in ("summary", "curves"))
    assert (len(summaries), len(curves), len(results.frame())) == (2, 2, 16)
    read = next(iter(results._results.chunks("curves").values()))
    tags = pq.read_metadata(results.chunks[tables.ALL[0].name]).metadata
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
        self.how, self.at, self.count, self.locks = how, at, 0, []

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
        done = real(*arguments, **options)
        if name == "open" and str(arguments[0]).endswith("lock"):
            self.locks.append(done)
        return done

    def bury(self) -> None:
        """What the system does for a process that is no more: close its files."""
        for handle in self.locks if self.how == "killed" else ():
            with contextlib.suppress(OSError):
                os.close(handle)


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
        finally:
            faulty.bury()
    return None if faulty.count < at else ValueError("unharmed")


def acknowledged(folder: Path) -> list[str]:
    """The chunks that are there, all of which can be read."""
    try:
        results = open_study(folder)
    except ResultsError:
        return []
    if results.chunks:
        read_all(folder)
    return list(results.chunks)


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
        kept = acknowledged(folder)
        before = {name: data for name, data in chunk_files(folder).items() if name.startswith("summary")}
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
        folder = copy(undisturbed, tmp_path / f"{at}")
        _flip(next(iter(Results(folder).chunks().values())))
        _flip(next(iter((folder / "runs").iterdir())))
        trouble = disturbed(lambda folder=folder: verify(folder, repair=True), "killed", at, monkeypatch)
        verify(folder, repair=True)
        assert Results(folder).lacking() == [tables.ALL[0]], at
        tables.play(folder)
        assert verify(folder) == []
        assert chunk_files(folder) == chunk_files(undisturbed.folder), at
        if trouble is None:
            break
    assert at > 5


# -- a limit on files, and two writers --------------------------------------------------------------------

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
    assert verify(folder) == []
    assert chunk_files(folder) == chunk_files(undisturbed.folder)


WRITE = """
import sys
sys.path.insert(0, sys.argv[2])
import tables
from cmapjax.studies._chunks import Chunk
results = tables.begin(sys.argv[1])
for first in range(0, 80, 2):
    tables.keep(results, Chunk(0, first, 2))
"""


def test_two_writers_that_do_not_know_of_each_other_spoil_nothing(tmp_path):
    command = [sys.executable, "-c", WRITE, tmp_path / "r", Path(__file__).parent]
    writers = [subprocess.Popen(command) for _ in range(2)]
    assert [writer.wait(timeout=120) for writer in writers] == [0, 0]
    results = Results(tmp_path / "r")
    assert len(chunk_files(tmp_path / "r")) == 80 == 2 * len(results.chunks())
    assert not [finding for finding in inspect(results, False) if "lacks" not in finding.what]
    assert open_study(tmp_path / "r").frame()["market"].max() == 79
