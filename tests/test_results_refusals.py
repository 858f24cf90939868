"""What a results folder refuses, in a line that names the file and the remedy; and one runner at a time."""

import errno
import json
import os
import shutil
import subprocess
import sys

import pytest
import tables

from cmapjax.studies._chunks import Chunk
from cmapjax.studies.results import (
    Busy,
    Damaged,
    Results,
    ResultsError,
    _about,
    _disk,
    _lock,
    open_study,
    verify,
)


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    """A finished study with sketches. Read only."""
    return tables.made(tmp_path_factory.mktemp("results") / "results")


@pytest.fixture
def folder(full, tmp_path):
    """The same again, to be changed."""
    return shutil.copytree(full.folder, tmp_path / "r")


# -- formats and studies -----------------------------------------------------------------------------


def test_results_of_format_2_open():
    golden = os.path.join(os.path.dirname(__file__), "data", "results-v2")
    results = open_study(golden)
    known = {"cell": 3, "market": 2, "strategy": "proportional-response", "degree": 6, "verdict": "converged"}
    assert results.frame().iloc[-1][list(known)].to_dict() == known
    assert results.frame()["market_loss"].sum() == pytest.approx(1.5383148272286626, abs=0)
    assert results.curves()["count"].eq(3).all()
    assert verify(golden) == []


def test_formats_1_and_3_are_refused_by_name(folder, tmp_path):
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "manifest.json").write_text('{"format": 1}')
    for use in (open_study, verify, tables.begin):
        with pytest.raises(
            ResultsError, match=r"format 1, which .* does not read; run the study again in a new"
        ):
            use(tmp_path / "old")
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


def test_another_study_is_refused_by_the_key_that_differs(folder):
    changed = tables.document(rounds=30, grid={"degree": [4, 6], "strategy": ["cmap", "selfish"]})
    with pytest.raises(ResultsError, match=r"rounds: 20 → 30; grid.strategy: \[.*\] → \[.*'selfish'\]"):
        Results.begin(folder, changed)
    study = tables.document()
    with pytest.raises(ResultsError, match=r"sources: None → \{'my_rules.py': 'ab12'\}"):
        Results.begin(folder, study, sources={"my_rules.py": "ab12"})
    with pytest.raises(ResultsError, match=r"holds another study.* plan: \["):
        Results.begin(folder, study, plan=[tables.name(0, 0, 20)])
    assert Results.begin(folder, study, device="cpu").lacking() == []


def test_values_of_other_versions_or_devices_are_not_mixed_unless_meant(folder, monkeypatch):
    study = tables.document()
    with pytest.raises(ResultsError, match="begun otherwise: device: 'cpu' → 'gpu'"):
        Results.begin(folder, study, device="gpu")
    now = {**_about.versions(), "jax": "99.0"}
    monkeypatch.setattr(_about, "versions", lambda: now)
    with pytest.raises(ResultsError, match=r"versions\.jax: '0\..*' → '99\.0'"):
        Results(folder).check_same()
    tables.keep(Results.begin(folder, study, mixed=True, device="cpu"), Chunk(0, 20, 5))
    assert [(finding.harmless, "99.0" in finding.what) for finding in verify(folder)] == [(True, True)] * 2


def test_chunks_that_are_left_of_another_study_are_in_the_way(folder):
    (folder / "study.json").unlink()
    with pytest.raises(ResultsError, match=r"summary/g.* belongs to another study; name a new folder"):
        Results.begin(folder, tables.document(seed=8))
    assert list(Results.begin(folder, tables.document()).chunks()) == list(Results(folder).chunks())


# -- names, rows and folders -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    ["../x", "/etc/passwd", "g00000-m0000000-n000001/../../x", "g0-m0-n1", "", ".", "g00000-m0000000-n000000",
     "g00000-m0000000-n000001\n", "g٠٠٠٠٠-m0000000-n000001", "g000000-m0000000-n000001", 3],
)  # fmt: skip
def test_names_that_are_no_chunk_never_become_paths(full, name):
    result = tables.result(0, 0, 1)
    with pytest.raises(ValueError, match="chunk name is"):
        full.write(name, summary=result.summary, curves=result.curves)


def test_rows_must_be_of_the_chunk(full):
    for chunk, played, words in (
        (Chunk(0, 2, 2), (0, 0, 2), "holds markets 0 to 1"),
        (Chunk(0, 0, 2), (1, 0, 2), "of ground 1"),
    ):
        with pytest.raises(ResultsError, match=words):
            tables.keep(full, chunk, tables.result(*played))
    double = tables.result(0, 0, 2)
    double.summary = double.summary.take([0, 0, 1, 2])
    with pytest.raises(ResultsError, match="several rows for one cell and market"):
        tables.keep(full, Chunk(0, 0, 2), double)
    assert len(full.chunks()) == 4


def test_folders_that_cannot_be_are_refused_in_a_line(tmp_path):
    with pytest.raises(OSError, match="at most: choose a shorter one"):
        tables.begin(tmp_path / ("a" * 256))
    with pytest.raises(OSError, match="its folder is not there"):
        tables.begin(tmp_path / "no" / "results")
    with pytest.raises(ValueError, match="give the path"):
        tables.begin(f"{tmp_path}/a\0b")
    (tmp_path / "file").write_text("x")
    with pytest.raises(ValueError, match="is not a folder"):
        tables.begin(tmp_path / "file")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").write_text("x")
    with pytest.raises(ValueError, match=r"is not empty \(it holds 'thesis.tex'\)"):
        tables.begin(tmp_path / "full")
    for use in (Results, open_study, verify):
        with pytest.raises(ValueError, match="nothing: there is no such folder; check the name"):
            use(tmp_path / "nothing")
        with pytest.raises(ValueError, match="give the path"):
            use(b"bytes")
        with pytest.raises(
            Damaged, match=r"study\.json is missing; if .* is a results folder, run the study"
        ):
            use(tmp_path / "full")


def test_symbolic_links_are_followed_nowhere(full, folder, tmp_path):
    (tmp_path / "link").symlink_to(full.folder)
    for use in (Results, open_study, verify, tables.begin):
        with pytest.raises(ValueError, match="is a symbolic link"):
            use(tmp_path / "link")
    file = next(iter(Results(folder).chunks().values()))
    shutil.move(file, tmp_path / "secret.parquet")
    file.symlink_to(tmp_path / "secret.parquet")
    with pytest.raises(ValueError, match="symbolic link"):
        open_study(folder).frame()
    assert any("symbolic link" in finding.what for finding in verify(folder, repair=True))
    assert (tmp_path / "secret.parquet").exists()
    shutil.rmtree(folder / "curves")
    (folder / "curves").symlink_to(tmp_path)
    with pytest.raises(ValueError, match="symbolic link"):
        Results(folder)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_folder_is_readable_and_named_when_written_to(folder):
    folder.chmod(0o500)
    try:
        assert len(open_study(folder).frame()) == 80
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
        assert second.verify() == []  # to look is allowed
        assert first.verify(repair=True) == []  # and who runs it may repair
    with second.announce():
        pass
    assert second.runner() is None
    assert not (folder / "lock").exists()


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
    assert not (folder / "lock").exists()


def test_where_disks_know_no_locks_a_second_runner_is_let_in(folder, monkeypatch):
    def flock(*_):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(_lock.fcntl, "flock", flock)
    with Results(folder).announce(), Results(folder).announce():
        assert Results(folder).runner() is None
    assert verify(folder) == []
