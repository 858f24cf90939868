"""What is damaged is found, named and played again, and nothing else is. (R8)"""

import os
import random
import resource
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import tables

from cmapjax.studies import _store
from cmapjax.studies._store import Range, Store, open_study


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """The study as it should be, in full. Read only."""
    return tables.play(tmp_path_factory.mktemp("undisturbed") / "results", tables.ALL)


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
    lost = [chunk for chunk in tables.ALL if chunk.name == file.stem]
    store = Store.open(folder)
    assert store.missing(tables.ALL) == lost
    for path, data in before.items():
        assert path.stem == file.stem or path.read_bytes() == data
    assert tables.play(folder, tables.ALL).values_digest() == undisturbed.values_digest()
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
    one, other = (folder / "summary" / f"{chunk.name}.parquet" for chunk in tables.ALL[:2])
    shutil.copy(one, folder / "summary" / f"{Range(0, 8, 2).name}.parquet")  # a duplicate
    whole = other.read_bytes()
    shutil.copy(one, other)  # in place of another
    texts = {f.file: f.what for f in _store.verify(folder)}
    assert (
        f"is the summary of chunk {tables.ALL[0].name} under another name"
        in texts[f"summary/{Range(0, 8, 2).name}.parquet"]
    )
    assert "sha256 differs" in texts[f"summary/{other.name}"]
    _store.verify(folder, repair=True)
    assert Store.open(folder).missing(tables.ALL) == [tables.ALL[1]]
    assert len(os.listdir(folder / "damaged")) == 3  # the two summaries, and the curves of the second
    assert tables.play(folder, tables.ALL).values_digest() == undisturbed.values_digest()
    assert other.read_bytes() == whole


def test_a_chunk_of_another_study_is_named(tmp_path, undisturbed):
    folder = shutil.copytree(undisturbed.folder, tmp_path / "r")
    document = tables.document(seed=8)
    other = Store.create(tmp_path / "other", document, tables.digest(document), {})
    with other.lock():
        for chunk in (tables.ALL[0], Range(0, 4, 2)):
            other.write(chunk.name, tables.once(*chunk))
    for kind in ("summary", "curves"):
        for file in (other.folder / kind).iterdir():
            shutil.copy(file, folder / kind)
    findings = {f.file: f.what for f in _store.verify(folder)}
    assert "belongs to another study" in findings[f"summary/{Range(0, 4, 2).name}.parquet"]
    assert f"summary/{tables.ALL[0].name}.parquet" in findings
    with pytest.raises(ValueError, match=Range(0, 4, 2).name):
        open_study(folder)
    _store.verify(folder, repair=True)
    assert Store.open(folder).missing(tables.ALL) == [tables.ALL[0]]
    assert tables.play(folder, tables.ALL).values_digest() == undisturbed.values_digest()


@pytest.mark.parametrize("name", ["manifest.json", "journal.jsonl"])
def test_a_manifest_or_journal_of_another_study_does_not_win(name, tmp_path, undisturbed):
    document = tables.document(seed=8)
    other = Store.create(tmp_path / "other", document, tables.digest(document), {})
    folder = shutil.copytree(undisturbed.folder, tmp_path / "r")
    shutil.copy(other.folder / name, folder)
    assert {name} == {f.file for f in _store.verify(folder) if not f.harmless}
    _store.verify(folder, repair=True)
    assert _store.verify(folder) == []
    assert Store.open(folder).missing(tables.ALL) == []
    assert Store.open(folder).values_digest() == undisturbed.values_digest()


def test_ranges_that_overlap_are_named_and_never_read_twice(tmp_path, undisturbed):
    folder = shutil.copytree(undisturbed.folder, tmp_path / "r")
    whole = Store.create(
        tmp_path / "w",
        tables.document(),
        tables.digest(tables.document()),
        {"device": "cpu"},
        study_text=tables.FILE,
    )
    with whole.lock():
        whole.write(Range(0, 0, 4).name, tables.once(0, 0, 4))
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
    pq.write_table(tables.once(0, 0, 2).summary, summary / f"{Range(6, 0, 1).name}.parquet")
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
    store = tables.begin(folder)
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


def test_resuming_compares_what_is_there_and_plays_damaged_chunks_again(tmp_path, undisturbed):
    folder = shutil.copytree(undisturbed.folder, tmp_path / "r")
    names = [f"{chunk.name}.parquet" for chunk in tables.ALL]
    flip(folder / "summary" / names[0], 9000)
    _cut_short(folder / "curves" / names[1])
    (folder / "summary" / names[2]).unlink()
    store = tables.begin(folder)
    with store.lock():
        said = "\n".join(store.remarks)
        assert f"summary/{names[0]} is altered" in said
        assert f"curves/{names[1]} is altered" in said
        assert f"summary/{names[2]} is missing" in said
        assert store.missing(tables.ALL) == list(tables.ALL[:3])
    assert tables.play(folder, tables.ALL).values_digest() == undisturbed.values_digest()
    assert _store.verify(folder) == []
    assert len(os.listdir(folder / "damaged")) == 2
