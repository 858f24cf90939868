"""What a results folder is called, which format it has, and what it may do to its reader."""

import errno
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tables

import cmapjax
from cmapjax.studies import _store
from cmapjax.studies._store import Damaged, Newer, Range, Store, StoreError, _disk, _parquet, open_study

GOLDEN = Path(__file__).parent / "data" / "results-v1"


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    """A finished study with sketches. Read only."""
    return tables.made(tmp_path_factory.mktemp("store") / "results")


# -- formats, old, new and foreign -------------------------------------------------------------------


def test_results_of_format_version_1_open():
    results = open_study(GOLDEN)
    frame = results.frame()
    assert len(frame) == 12
    known = {"cell": 3, "market": 2, "strategy": "proportional-response", "degree": 6, "verdict": "converged"}
    assert frame.iloc[-1][list(known)].to_dict() == known
    assert frame["market_loss"].sum() == pytest.approx(float((GOLDEN / "sum.txt").read_text()), abs=0)
    assert results.curves()["count"].eq(3).all()
    assert _store.verify(GOLDEN) == []
    assert Store.open(GOLDEN).values_digest() == (GOLDEN / "values-digest.txt").read_text().strip()


def test_a_newer_format_is_refused_by_name(full, tmp_path):
    folder = shutil.copytree(full.folder, tmp_path / "r")
    manifest = json.loads((folder / "manifest.json").read_text())
    later = json.dumps({**manifest, "format": 2, "something": "new"})
    (folder / "manifest.json").write_text(later)
    for use in (Store.open, open_study):
        with pytest.raises(
            Newer, match=rf"manifest\.json: has format version 2, and cmapjax {cmapjax.__version__}"
        ):
            use(folder)
    (folder / "journal.jsonl").unlink()
    with pytest.raises(Newer, match="pip install --upgrade cmapjax"):
        _store.verify(folder)


def test_a_chunk_of_a_newer_format_is_not_read(full, tmp_path):
    folder = shutil.copytree(full.folder, tmp_path / "r")
    file = folder / "summary" / f"{tables.name(0, 0, 10)}.parquet"
    table = pq.read_table(file)
    metadata = {**table.schema.metadata, b"cmapjax.format": b"9"}
    pq.write_table(table.replace_schema_metadata(metadata), file)
    with pytest.raises(Newer, match="has format version 9"):
        _parquet.load(file)


@pytest.mark.parametrize("lost", [["manifest.json"], ["journal.jsonl"], ["manifest.json", "journal.jsonl"]])
def test_manifest_and_journal_are_rebuilt_from_the_rest(full, tmp_path, lost):
    folder = shutil.copytree(full.folder, tmp_path / "r")
    before = {name: (folder / name).read_bytes() for name in ("manifest.json", "journal.jsonl")}
    known = Store.open(folder).finished()
    for name in lost:
        (folder / name).unlink()
    with pytest.raises(Damaged, match=f"{lost[0]}: is missing"):
        open_study(folder)
    assert set(lost) <= {f.file for f in _store.verify(folder, repair=True)}
    assert _store.verify(folder) == []
    assert (folder / "manifest.json").read_bytes() == before["manifest.json"]
    if "journal.jsonl" not in lost:
        assert (folder / "journal.jsonl").read_bytes() == before["journal.jsonl"]
    again = Store.open(folder).finished()
    assert {n: e.files() for n, e in again.items()} == {n: e.files() for n, e in known.items()}
    assert Store.open(folder).values_digest() == full.values_digest()


def test_a_lost_journal_is_written_anew_by_the_next_run(full, tmp_path):
    folder = shutil.copytree(full.folder, tmp_path / "r")
    (folder / "journal.jsonl").unlink()
    store = Store.open(folder)
    assert store.missing([Range(0, 0, 20), Range(1, 0, 20)]) == []
    with store.lock():
        pass
    assert _store.verify(folder) == []


# -- names, paths and what a folder may do to its reader ----------------------------------------------


@pytest.mark.parametrize(
    "name",
    ["../x", "/etc/passwd", "g00000-m0000000-n000001/../../x", "g0-m0-n1", "", ".", "g00000-m0000000-n000000",
     "g00000-m0000000-n000001\n", "g٠٠٠٠٠-m0000000-n000001", "g000000-m0000000-n000001", 3],
)  # fmt: skip
def test_names_that_are_no_chunk_never_become_paths(tmp_path, name):
    store = tables.made(tmp_path / "r", [], grounds=())
    with store.lock():
        with pytest.raises(StoreError, match="chunk name is"):
            store.write(name, tables.result(0, 0, 1))
        with pytest.raises(StoreError, match="chunk name is"):
            store.note_failure(name, "no")
    assert sorted(os.listdir(tmp_path)) == ["r"]


@pytest.mark.parametrize(
    "name", ["../../x", "/tmp/x", "a/b", "a\\b", "..", "", "x" * 201, "a\nb", None, " a"]
)
def test_study_names_that_could_be_paths_are_refused(tmp_path, name):
    with pytest.raises(StoreError, match="name is"):
        Store.create(tmp_path / "r", tables.document(name=name), "ab12", {})
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize("name", ["with space", "ünïcode-市場", "-dash", "a" * 255, "ü" * 127])
def test_folders_of_any_proper_name_work(tmp_path, name):
    store = tables.made(tmp_path / name, tables.WHOLE, grounds=(0,))
    assert len(open_study(store.folder).frame()) == 40
    (store.folder / "manifest.json").unlink()
    assert _store.verify(store.folder, repair=True)
    assert _store.verify(store.folder) == []


def test_folders_that_cannot_be_are_refused_in_a_line(tmp_path):
    document = tables.document()
    arguments = (document, tables.digest(document), {})
    with pytest.raises(OSError, match="at most: choose a shorter one"):
        Store.create(tmp_path / ("a" * 256), *arguments)
    with pytest.raises(OSError, match="its folder is not there"):
        Store.create(tmp_path / "no" / "results", *arguments)
    with pytest.raises(ValueError, match="null character"):
        Store.create(f"{tmp_path}/a\0b", *arguments)
    (tmp_path / "file").write_text("x")
    with pytest.raises(ValueError, match="is not a folder"):
        Store.create(tmp_path / "file", *arguments)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").write_text("x")
    with pytest.raises(ValueError, match=r"is not empty \(it holds 'thesis.tex'\)"):
        Store.create(tmp_path / "full", *arguments)
    for use in (Store.open, open_study, _store.verify):
        with pytest.raises(ValueError, match="there is no such folder"):
            use(tmp_path / "nothing")
        with pytest.raises(ValueError, match="give the path"):
            use(b"bytes")
    with pytest.raises(Damaged, match=r"manifest\.json: is missing"):
        open_study(tmp_path / "full")


def test_symbolic_links_are_followed_nowhere(full, tmp_path):
    (tmp_path / "link").symlink_to(full.folder)
    for use in (Store.open, open_study, _store.verify):
        with pytest.raises(ValueError, match="is a symbolic link"):
            use(tmp_path / "link")
    folder = shutil.copytree(full.folder, tmp_path / "r")
    secret = tmp_path / "secret.parquet"
    file = folder / "summary" / f"{tables.name(0, 0, 10)}.parquet"
    shutil.move(file, secret)
    file.symlink_to(secret)
    with pytest.raises(ValueError, match="symbolic link"):
        open_study(folder).frame()
    assert any("symbolic link" in f.what for f in _store.verify(folder, repair=True))
    assert secret.exists()
    shutil.rmtree(folder / "curves")
    (folder / "curves").symlink_to(tmp_path)
    with pytest.raises(ValueError, match="symbolic link"):
        Store.open(folder)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_folder_is_readable_and_named_when_written_to(full, tmp_path):
    folder = shutil.copytree(full.folder, tmp_path / "r")
    folder.chmod(0o500)
    try:
        assert len(open_study(folder).frame()) == 80
        with (
            pytest.raises(PermissionError, match="name a folder where you may write"),
            Store.open(folder).lock(),
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


def _declared(folder: Path, table: pa.Table) -> Path:
    """A file that says it is a chunk, with another table inside."""
    tags = {"format": "1", "study": "ab", "chunk": tables.name(0, 0, 1), "kind": "summary", "values": "0"}
    file = folder / f"{tables.name(0, 0, 1)}.parquet"
    metadata = {f"cmapjax.{key}": value for key, value in tags.items()}
    pq.write_table(table.replace_schema_metadata(metadata), file, compression="zstd")
    return file


def test_a_file_that_unpacks_to_more_than_the_budget_is_refused_before_it_is_read(tmp_path, monkeypatch):
    budget = 4 << 20
    monkeypatch.setattr(_parquet, "default_memory_budget", lambda: budget)
    many = _declared(tmp_path, pa.table({"cell": pa.array(np.zeros(1_000_000, np.int64))}))
    assert many.stat().st_size < 10_000
    with pytest.raises(Damaged, match="declares 1,000,000 rows that take 8,000,000 bytes"):
        _parquet.load(many)
    long = pa.array(["x" * 10_000] * 4_000)
    with pytest.raises(Damaged, match="'flags' takes 40,000,000 bytes"):
        _parquet.load(_declared(tmp_path, pa.table({"flags": long})))
    with open(many, "wb") as stream:
        stream.truncate(budget + 1)
    with pytest.raises(Damaged, match="above the limit of"):
        _parquet.load(many)


def test_nothing_but_plain_columns_is_read(tmp_path):
    class Stranger(pa.ExtensionType):
        def __init__(self):
            super().__init__(pa.int64(), "arrow.py_extension_type")

        def __arrow_ext_serialize__(self):
            return b"cos\nsystem\n(S'touch hacked'\ntR."  # what unpickling would run

        @classmethod
        def __arrow_ext_deserialize__(cls, storage, data):
            raise AssertionError("nothing in a results folder may be turned into code")

    strange = pa.ExtensionArray.from_storage(Stranger(), pa.array([1]))
    # The type's own code is left alone: what is stored is a plain number.
    assert _parquet.load(_declared(tmp_path, pa.table({"cell": strange}))).table["cell"].to_pylist() == [1]
    for column in (pa.array([[1]]), pa.array([b"x"]), pa.array([{"a": 1}])):
        with pytest.raises(Damaged, match="only numbers and text are read"):
            _parquet.load(_declared(tmp_path, pa.table({"cell": column})))
    assert not Path("hacked").exists()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "null",
        "{",
        "[" * 100_000,
        '{"format": 1}',
        '{"format": true}',
        '{"format": "1"}',
        "\xff",
        "1e999",
    ],
)
def test_manifests_that_are_none_give_one_line(full, tmp_path, text):
    folder = shutil.copytree(full.folder, tmp_path / "r")
    (folder / "manifest.json").write_text(text, encoding="latin-1")
    with pytest.raises(Damaged) as caught:
        open_study(folder)
    assert "manifest.json" in str(caught.value)
    assert len(str(caught.value)) < 400
    assert "\n" not in str(caught.value)


def test_a_journal_with_lines_of_the_wrong_kind_is_damaged_not_a_crash(full, tmp_path):
    from cmapjax.studies._store._journal import line_of

    folder = shutil.copytree(full.folder, tmp_path / "r")
    lines = [{"event": "finished", "chunk": "../x"}, {"event": "created", "manifest": 3}, {"chunk": 1}]
    with open(folder / "journal.jsonl", "ab") as stream:
        for line in lines:
            stream.write(line_of(line))
    with pytest.raises(Damaged, match=r"journal\.jsonl: line 6, 7, 8 is altered"):
        open_study(folder)
    assert len(_store.verify(folder, repair=True)) == 3
    assert len(open_study(folder).frame()) == 80
