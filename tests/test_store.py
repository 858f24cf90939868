"""A results folder holds what was put in, whole; gives it back as frames; and belongs to one runner."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tables

import cmapjax
from cmapjax import _store
from cmapjax._store import Busy, Damaged, Newer, Range, Store, StoreError, _lease, _parquet, diff, open_study

GOLDEN = Path(__file__).parent / "data" / "results-v1"
WHOLE = [(0, 20)]
HALVES = [(0, 10), (10, 10)]
FILE = 'name = "degree-and-strategy"\n'


def made(folder, cuts=HALVES, curves="quantiles", shift=0.0, grounds=(0, 1), **changes) -> Store:
    """A results folder of the study in `tables`, its grounds cut into these chunks."""
    document = tables.document(**changes)
    store = Store.create(folder, document, tables.digest(document), {"device": "cpu"}, study_text=FILE)
    with store.lock():
        for ground in grounds:
            for first, count in cuts:
                name = tables.name(ground, first, count)
                store.write(name, tables.result(ground, first, count, curves, shift))
    return store


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    """A finished study with sketches. Read only."""
    return made(tmp_path_factory.mktemp("store") / "results")


# -- what goes in comes out --------------------------------------------------------------------------


def test_a_frame_has_every_row_that_was_written_in_order(full):
    expected = pa.concat_tables([tables.result(g, 0, 20).summary for g in (0, 1)]).to_pandas()
    expected = expected.sort_values(["cell", "market"], ignore_index=True)
    pd.testing.assert_frame_equal(open_study(full.folder).frame(), expected, check_categorical=False)
    frame = cmapjax.open_study(str(full.folder)).frame(columns=["market_loss", "degree"])
    assert list(frame.columns) == ["market_loss", "degree"]
    assert frame.attrs["units"]["degree"] == "links"


def test_the_folder_is_readable_as_it_stands_and_says_what_it_is(full):
    frame = pd.read_parquet(full.folder / "summary")
    assert len(frame) == 80
    file = pq.ParquetFile(next(iter(sorted((full.folder / "summary").glob("*.parquet")))))
    assert file.schema_arrow.field("degree").metadata[b"unit"] == b"links"
    metadata = file.schema_arrow.metadata
    assert metadata[b"cmapjax.format"] == b"1"
    assert metadata[b"cmapjax.study"].decode() == full.manifest["digest"]
    assert metadata[b"cmapjax.chunk"] == b"g00000-m0000000-n000010"
    manifest = json.loads((full.folder / "manifest.json").read_text())
    assert manifest["study"] == tables.document()
    assert {"format", "digest", "versions", "created", "device", "commit", "runs"} <= set(manifest)
    assert (full.folder / "study.toml").read_text() == FILE
    assert not [f for f in os.listdir(full.folder) if "lock" in f or f.startswith(".")]


def test_values_digest_ignores_chunks_order_and_timings_and_notices_one_bit(full, tmp_path):
    whole = made(tmp_path / "a", WHOLE, grounds=(1, 0))
    assert whole.values_digest() == full.values_digest()
    assert diff(full.folder, whole.folder) == []
    result = tables.result(0, 0, 20)
    place = result.summary.column_names.index("market_loss")
    losses = result.summary["market_loss"].to_numpy().copy()
    losses[7] = np.nextafter(losses[7], 1)
    result.summary = result.summary.set_column(place, result.summary.schema.field(place), pa.array(losses))
    other = made(tmp_path / "b", WHOLE, grounds=(1,))
    with other.lock():
        other.write(tables.name(0, 0, 20), result)
    assert other.values_digest() != full.values_digest()
    assert Store.open(whole.folder).values_digest() == whole.values_digest()


def test_equal_chunks_are_equal_files(full, tmp_path):
    again = made(tmp_path / "again")
    for file in (*full.folder.glob("*/*.parquet"),):
        assert file.read_bytes() == (again.folder / file.relative_to(full.folder)).read_bytes()


@pytest.mark.parametrize("curves", ["quantiles", "full"])
def test_curves_give_quantiles_over_all_markets(tmp_path, curves):
    store = made(tmp_path / "r", curves=curves, record={"curves": curves})
    found = open_study(store.folder).curves()
    exact = pa.concat_tables([tables.result(g, 0, 20, "full").curves for g in (0, 1)]).to_pandas()
    groups = exact.groupby(["cell", "round"])["value"]
    expected = groups.quantile([0.05, 0.25, 0.5, 0.75, 0.95], interpolation="lower").to_numpy().reshape(-1, 5)
    # A bucket is 1 % wide on either side of its middle; curves in full are exact.
    tolerance = 0.0101 if curves == "quantiles" else 0
    np.testing.assert_allclose(found[["q05", "q25", "q50", "q75", "q95"]], expected, rtol=tolerance, atol=0)
    assert (found["count"] == 20).all()
    assert list(found.columns) == ["cell", "round", "metric", "q05", "q25", "q50", "q75", "q95", "count"]


def test_quantiles_of_zeros_negatives_and_what_is_no_number():
    from cmapjax._store._curves import INFINITE, NOT_A_NUMBER, quantile_frame

    sketch = pa.table(
        {
            "cell": [0, 0, 0, 0, 1],
            "round": [0, 0, 0, 0, 0],
            "metric": ["a", "a", "a", "a", "a"],
            "sign": [-1, 0, 1, 1, 0],
            "bucket": pa.array([0, None, 0, INFINITE, NOT_A_NUMBER]),
            "count": [2, 2, 2, 2, 1],
        }
    )
    frame = quantile_frame(sketch)
    # 8 values, -1 -1 0 0 1 1 inf inf, at ranks 0, 1, 3, 5 and 6
    first = frame.loc[0, ["q05", "q25", "q50", "q75", "q95"]].to_numpy(float)
    np.testing.assert_allclose(first, [-1, -1, 0, 1, np.inf], rtol=0.0101)
    assert np.isnan(frame.loc[1, "q50"])
    assert frame.loc[1, "count"] == 1


def test_a_study_without_curves_has_none(tmp_path):
    store = made(tmp_path / "r", curves="none", record={"curves": "none"})
    assert open_study(store.folder).curves() is None
    assert "curve_nash_welfare" not in open_study(store.folder).dataset()
    assert store.verify() == []


def test_a_dataset_is_labelled_by_the_axes(full):
    results = open_study(full.folder)
    data = results.dataset()
    assert data["market_loss"].dims == ("degree", "strategy", "market")
    frame = results.frame().set_index(["degree", "strategy", "market"])
    place = {"degree": 6, "strategy": "cmap", "market": 3}
    assert data["market_loss"].sel(place).item() == frame.loc[(6, "cmap", 3), "market_loss"]
    assert np.isnan(data["nash_welfare"].sel({**place, "market": 6}))
    assert data["flags"].sel({**place, "market": 6}).item() == "nash_welfare"
    assert data["degree"].attrs["units"] == "links"
    assert (data["num_played"] == 20).all()
    curve = data["curve_nash_welfare"].sel(degree=4, strategy="cmap", round=20, quantile=0.5).item()
    cell = results.curves().query("cell == 0 and round == 20")
    assert curve == cell["q50"].item()


def test_axes_drawn_together_share_a_dimension_and_holes_are_counted():
    from cmapjax._store._dataset import Layout

    grid = [(d, s) for d in (4, 6, 8) for s in ("a", "b") if (d, s) != (8, "b")]
    frame = pd.DataFrame(grid, columns=["degree", "strategy"], index=range(len(grid)))
    layout = Layout(frame, ["degree", "strategy"])
    assert (layout.dims, layout.shape) == (["degree", "strategy"], [3, 2])
    rng = np.random.default_rng(0)
    points = rng.uniform(size=(30, 2))
    rows = [(x, y, s) for x, y in points for s in ("a", "b")]
    frame = pd.DataFrame(rows, columns=["spread", "mean", "strategy"], index=range(len(rows)))
    layout = Layout(frame, ["strategy", "spread", "mean"])
    assert sorted(zip(layout.dims, layout.shape, strict=True)) == [("spread_mean", 30), ("strategy", 2)]
    assert sorted(layout.place_of(np.arange(60)).tolist()) == list(range(60))


def test_a_study_without_axes_has_markets_alone(tmp_path):
    document = tables.document(grid={})
    store = Store.create(tmp_path / "r", document, tables.digest(document), {})
    result = tables.result(0, 0, 20)
    result.summary = result.summary.filter(pa.compute.equal(result.summary["cell"], 0))
    result.curves = result.curves.filter(pa.compute.equal(result.curves["cell"], 0))
    with store.lock():
        store.write(tables.name(0, 0, 20), result)
    assert open_study(store.folder).dataset()["market_loss"].dims == ("market",)


def test_netcdf_is_the_dataset(full, tmp_path):
    xarray = pytest.importorskip("xarray")
    results = open_study(full.folder)
    results.to_netcdf(tmp_path / "a.nc")
    with xarray.open_dataset(tmp_path / "a.nc", engine="h5netcdf") as read:
        assert read.equals(results.dataset())
        assert json.loads(read.attrs["study"]) == tables.document()
    assert os.listdir(tmp_path) == ["a.nc"]


def test_csv_has_the_frame_and_no_formulas(tmp_path):
    document = tables.document()
    store = Store.create(tmp_path / "r", document, tables.digest(document), {})
    result = tables.result(0, 0, 4)
    evil = pa.array(["=1+1", "+1", "-1", "@x"] * 2)
    result.summary = result.summary.set_column(
        result.summary.column_names.index("fingerprint"), "fingerprint", evil
    )
    with store.lock():
        store.write(tables.name(0, 0, 4), result)
    results = open_study(store.folder)
    results.to_csv(tmp_path / "a.csv")
    results.to_csv(tmp_path / "a.csv.gz")
    read = pd.read_csv(tmp_path / "a.csv")
    assert sorted(read["fingerprint"]) == sorted(["'=1+1", "'+1", "'-1", "'@x"] * 2)
    np.testing.assert_array_equal(read["market_loss"], results.frame()["market_loss"])
    assert pd.read_csv(tmp_path / "a.csv.gz").equals(read)
    with pytest.raises(ValueError, match=r"end the name in \.csv"):
        results.to_csv(tmp_path / "a.txt")
    with pytest.raises(ValueError, match="folder does not exist"):
        results.to_netcdf(tmp_path / "no" / "a.nc")


def test_a_missing_extra_names_itself(full, tmp_path, monkeypatch):
    results = open_study(full.folder)
    monkeypatch.setitem(sys.modules, "xarray", None)
    with pytest.raises(ImportError, match=r"needs xarray \(pip install 'cmapjax\[study\]'\)"):
        results.dataset()
    monkeypatch.setitem(sys.modules, "h5netcdf", None)
    with pytest.raises(ImportError, match=r"needs h5netcdf \(pip install 'cmapjax\[study\]'\)"):
        results.to_netcdf(tmp_path / "a.nc")


def test_reading_results_needs_no_jax(full):
    program = (
        "import sys, cmapjax; r = cmapjax.open_study(sys.argv[1]); r.frame(); r.curves(); "
        "from cmapjax._store import verify; assert not verify(sys.argv[1]); assert 'jax' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program, full.folder], check=True, timeout=60)


# -- what counts as done -------------------------------------------------------------------------------


def test_chunks_halved_or_cut_otherwise_count_as_finished(full):
    done = [Range(g, 0, 20) for g in (0, 1)]
    assert full.missing(done) == []
    assert full.missing([Range(0, 0, 7), Range(0, 7, 13)]) == []
    assert full.missing([Range(0, 15, 10)]) == [Range(0, 20, 5)]
    assert full.missing([Range(2, 0, 3)]) == [Range(2, 0, 3)]
    assert list(full.finished()) == [tables.name(g, f, 10) for g in (0, 1) for f in (0, 10)]


def test_failures_are_kept_until_the_markets_are_played(tmp_path):
    store = made(tmp_path / "r", [(0, 10)], grounds=(0,))
    with store.lock():
        store.note_failure(tables.name(0, 10, 10), "out of\nmemory")
        assert store.failed() == {tables.name(0, 10, 10): "out of memory"}
        store.write(tables.name(0, 10, 5), tables.result(0, 10, 5))
    assert Store.open(store.folder).failed() == {tables.name(0, 10, 10): "out of memory"}
    with store.lock():
        store.write(tables.name(0, 15, 5), tables.result(0, 15, 5))
        store.note_run({"seconds": 1.5, "workers": 2})
    assert Store.open(store.folder).failed() == {}
    assert Store.open(store.folder).manifest["runs"][0]["workers"] == 2


def test_a_finished_chunk_is_never_changed(full, tmp_path):
    store = made(tmp_path / "r", WHOLE)
    name = tables.name(0, 0, 20)
    before = (store.folder / "summary" / f"{name}.parquet").stat()
    with store.lock():
        store.write(name, tables.result(0, 0, 20))  # the same again, as from a worker thought lost
        with pytest.raises(StoreError, match="has other values"):
            store.write(name, tables.result(0, 0, 20, shift=0.1))
        with pytest.raises(StoreError, match="holds markets that"):
            store.write(tables.name(0, 5, 5), tables.result(0, 5, 5))
    after = (store.folder / "summary" / f"{name}.parquet").stat()
    assert (before.st_mtime_ns, before.st_ino) == (after.st_mtime_ns, after.st_ino)
    assert store.values_digest() == full.values_digest()


def test_rows_must_be_of_the_chunk(tmp_path):
    store = made(tmp_path / "r", [], grounds=())
    with pytest.raises(Busy, match="take the lock first"):
        store.write(tables.name(0, 0, 2), tables.result(0, 0, 2))
    with store.lock():
        with pytest.raises(StoreError, match="holds markets 0 to 1"):
            store.write(tables.name(0, 2, 2), tables.result(0, 0, 2))
        with pytest.raises(StoreError, match="of ground 1"):
            store.write(tables.name(0, 0, 2), tables.result(1, 0, 2))
        double = tables.result(0, 0, 2)
        double.summary = pa.concat_tables([double.summary, double.summary])
        with pytest.raises(StoreError, match="several rows for one cell and market"):
            store.write(tables.name(0, 0, 2), double)
    assert store.finished() == {}


def test_a_changed_study_is_refused_by_the_key_that_changed(full, tmp_path):
    folder = shutil.copytree(full.folder, tmp_path / "r")
    document = tables.document(rounds=30, grid={"degree": [4, 6], "strategy": ["cmap", "selfish"]})
    with pytest.raises(StoreError, match=r"rounds: 20 → 30; grid.strategy: \[.*\] → \[.*'selfish'\]"):
        Store.create(folder, document, tables.digest(document), {}, resume=True)
    same = tables.document()
    with pytest.raises(StoreError, match="holds this study already; resume it"):
        Store.create(folder, same, tables.digest(same), {})
    assert Store.create(folder, same, tables.digest(same), {"device": "cpu"}, resume=True).finished()
    (folder / "study.toml").write_text(FILE + "rounds = 30\n")
    with pytest.raises(Damaged, match=r"study\.toml: missing or changed since the study began"):
        Store.open(folder)
    with pytest.raises(Damaged, match=r"study\.toml"):
        open_study(folder)
    assert [f.file for f in _store.verify(folder, repair=True)] == ["study.toml"]
    assert (folder / "study.toml").read_text() == FILE


def test_values_of_other_versions_or_devices_are_not_mixed_unless_meant(full, tmp_path, monkeypatch):
    folder = shutil.copytree(full.folder, tmp_path / "r")
    store = Store.open(folder)
    with pytest.raises(StoreError, match="device: 'cpu' → 'gpu'"):
        store.check_same({"device": "gpu"})
    now = {**store.manifest["versions"], "jax": "99.0"}
    monkeypatch.setattr(_store._store, "versions", lambda: now)
    with pytest.raises(StoreError, match=r"versions\.jax: '0\..*' → '99\.0'"), store.lock():
        pass
    with store.lock(mixed=True):
        store.write(tables.name(0, 20, 5), tables.result(0, 20, 5))
    (finding,) = store.verify()
    assert finding.harmless
    assert "99.0" in finding.what


def test_diff_says_why(full, tmp_path):
    other = made(tmp_path / "r", [(0, 15)], shift=0.25, rounds=25)
    found = {(d.kind, d.what.split(" ")[0]) for d in diff(full.folder, other.folder)}
    assert ("description", "rounds:") in found
    assert ("markets", "ground") in found
    assert ("values", "market_loss") in found
    assert ("curves", "differ") in found
    text = "\n".join(map(str, diff(full.folder, other.folder)))
    assert "market_loss differs in 60 of 60 rows, by up to 0.25 (cell 0 market 0" in text
    assert "only the first has 5 (15, 16, 17, 18, 19)" in text
    assert not [d for d in diff(full.folder, other.folder) if "degree" in d.what]


# -- one runner at a time --------------------------------------------------------------------------


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


HOLD = "import sys, time; from pathlib import Path; from cmapjax._store._lease import Lease; "
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
from cmapjax._store._errors import Busy
from cmapjax._store._lease import Lease
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
    if random.random() < 0.02:
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
    monkeypatch.setattr(_lease.time, "sleep", lambda _: os.utime(lock, (time.time_ns() % 1000, 1)))
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
    store = made(tmp_path / "r", [], grounds=())
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
    store = made(tmp_path / name, WHOLE, grounds=(0,))
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


def _declared(folder: Path, table: pa.Table) -> Path:
    """A file that says it is a chunk, with another table inside."""
    tags = _parquet.Tags("ab", tables.name(0, 0, 1), "summary", "")
    data, _ = _parquet.encode(table, tags)
    file = folder / f"{tables.name(0, 0, 1)}.parquet"
    file.write_bytes(data)
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

    for column in (
        pa.ExtensionArray.from_storage(Stranger(), pa.array([1])),
        pa.array([[1]]),
        pa.array([b"x"]),
    ):
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
    from cmapjax._store._journal import line_of

    folder = shutil.copytree(full.folder, tmp_path / "r")
    lines = [{"event": "finished", "chunk": "../x"}, {"event": "created", "manifest": 3}, {"chunk": 1}]
    with open(folder / "journal.jsonl", "ab") as stream:
        for line in lines:
            stream.write(line_of(line))
    with pytest.raises(Damaged, match=r"journal\.jsonl: line 6, 7, 8 is altered"):
        open_study(folder)
    assert len(_store.verify(folder, repair=True)) == 3
    assert len(open_study(folder).frame()) == 80
