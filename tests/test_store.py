"""A results folder holds what was put in, whole, and gives it back as frames."""

import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tables
import xarray

import cmapjax
from cmapjax.cli import _study_look
from cmapjax.studies import _store
from cmapjax.studies._store import Busy, Damaged, Range, Store, StoreError, diff, open_study


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    """A finished study with sketches. Read only."""
    return tables.made(tmp_path_factory.mktemp("store") / "results")


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
    assert (full.folder / "study.toml").read_text() == tables.FILE
    assert not [f for f in os.listdir(full.folder) if "lock" in f or f.startswith(".")]


def test_values_digest_ignores_chunks_order_and_timings_and_notices_one_bit(full, tmp_path):
    whole = tables.made(tmp_path / "a", tables.WHOLE, grounds=(1, 0))
    assert whole.values_digest() == full.values_digest()
    assert diff(full.folder, whole.folder) == []
    result = tables.result(0, 0, 20)
    place = result.summary.column_names.index("market_loss")
    losses = result.summary["market_loss"].to_numpy().copy()
    losses[7] = np.nextafter(losses[7], 1)
    result.summary = result.summary.set_column(place, result.summary.schema.field(place), pa.array(losses))
    other = tables.made(tmp_path / "b", tables.WHOLE, grounds=(1,))
    with other.lock():
        other.write(tables.name(0, 0, 20), result)
    assert other.values_digest() != full.values_digest()
    assert Store.open(whole.folder).values_digest() == whole.values_digest()


def test_equal_chunks_are_equal_files(full, tmp_path):
    again = tables.made(tmp_path / "again")
    for file in (*full.folder.glob("*/*.parquet"),):
        assert file.read_bytes() == (again.folder / file.relative_to(full.folder)).read_bytes()


@pytest.mark.parametrize("curves", ["quantiles", "full"])
def test_curves_give_quantiles_over_all_markets(tmp_path, curves):
    store = tables.made(tmp_path / "r", curves=curves, record={"curves": curves})
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
    from cmapjax.studies._store._curves import INFINITE, NOT_A_NUMBER, quantile_frame

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


def test_sketches_of_very_many_chunks_are_counted_together(full, monkeypatch):
    from cmapjax.studies._store import _curves

    expected = open_study(full.folder).curves()
    monkeypatch.setattr(_curves, "AT_ONCE", 1)
    pd.testing.assert_frame_equal(open_study(full.folder).curves(), expected)


def test_a_study_without_curves_has_none(tmp_path):
    store = tables.made(tmp_path / "r", curves="none", record={"curves": "none"})
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
    from cmapjax.studies._store._dataset import Layout

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
        "from cmapjax.studies._store import verify; assert not verify(sys.argv[1]); "
        "assert 'jax' not in sys.modules"
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
    store = tables.made(tmp_path / "r", [(0, 10)], grounds=(0,))
    with store.lock():
        store.note_failure(tables.name(0, 10, 10), "out of\nmemory")
        assert store.failed() == {tables.name(0, 10, 10): "out of memory"}
        store.write(tables.name(0, 10, 5), tables.result(0, 10, 5))
    assert Store.open(store.folder).failed() == {tables.name(0, 10, 10): "out of memory"}
    with store.lock():
        store.write(tables.name(0, 15, 5), tables.result(0, 15, 5))
        store.note_run({"seconds": 1.5, "workers": 2})
    assert Store.open(store.folder).failed() == {}
    (run,) = Store.open(store.folder).manifest["runs"]
    assert (run["workers"], run["timings"]) == (2, {"draw": 0.75, "play": 29.5})


def test_a_finished_chunk_is_never_changed(full, tmp_path):
    store = tables.made(tmp_path / "r", tables.WHOLE)
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
    store = tables.made(tmp_path / "r", [], grounds=())
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
    (folder / "study.toml").write_text(tables.FILE + "rounds = 30\n")
    with pytest.raises(Damaged, match=r"study\.toml: missing or changed since the study began"):
        Store.open(folder)
    with pytest.raises(Damaged, match=r"study\.toml"):
        open_study(folder)
    assert [f.file for f in _store.verify(folder, repair=True)] == ["study.toml"]
    assert (folder / "study.toml").read_text() == tables.FILE


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
    other = tables.made(tmp_path / "r", [(0, 15)], shift=0.25, rounds=25)
    found = {(d.kind, d.what.split(" ")[0]) for d in diff(full.folder, other.folder)}
    assert ("description", "rounds:") in found
    assert ("markets", "ground") in found
    assert ("values", "market_loss") in found
    assert ("curves", "differ") in found
    text = "\n".join(map(str, diff(full.folder, other.folder)))
    assert "market_loss differs in 60 of 60 rows, by up to 0.25 (cell 0 market 0" in text
    assert "only the first has 5 (15, 16, 17, 18, 19)" in text
    assert not [d for d in diff(full.folder, other.folder) if "degree" in d.what]


def test_diff_tells_other_circumstances_from_other_values(full, tmp_path, capsys):
    same = tables.made(tmp_path / "same", name="renamed")
    assert [(d.kind, d.is_of_values) for d in diff(full.folder, same.folder)] == [("description", False)]
    assert _study_look.diff(full.folder, same.folder) == 0
    named, verdict = capsys.readouterr().out.splitlines()
    assert "renamed" in named
    assert verdict == "the same values all the same"
    for number, other in enumerate(({"shift": 0.25}, {"grounds": (0,)}, {"curves": "none"})):
        differing = tables.made(tmp_path / str(number), name="renamed", **other)
        assert _study_look.diff(full.folder, differing.folder) == 1, other
        assert "same" not in capsys.readouterr().out


def test_a_device_that_becomes_known_later_is_kept_as_if_it_had_been_known(tmp_path):
    description = tables.document()
    more = {"seeds": "by place", "precision": "float64"}, {"chunk_size": 20}
    known, later = (
        Store.create(tmp_path / name, description, tables.digest(description), more[0] | device | more[1])
        for name, device in (("known", {"device": "cpu:cpu"}), ("later", {}))
    )
    for store in (known, later):
        with store.lock():
            if store is later:
                store.note_device("cpu:cpu")
            store.write(tables.name(0, 0, 20), tables.result(0, 0, 20))
    file = f"summary/{tables.name(0, 0, 20)}.parquet"
    assert (later.folder / file).read_bytes() == (known.folder / file).read_bytes()
    assert later.verify() == []
    with pytest.raises(StoreError, match="device: 'cpu:cpu' → 'gpu:H200'"):
        Store.open(later.folder, {"device": "gpu:H200"})
    (later.folder / "manifest.json").unlink()  # what it is rebuilt from knows the device as well
    later.verify(repair=True)
    assert Store.open(later.folder).manifest["device"] == "cpu:cpu"
    (later.folder / "journal.jsonl").unlink()
    later.verify(repair=True)
    (later.folder / "manifest.json").unlink()
    later.verify(repair=True)
    assert Store.open(later.folder).manifest["device"] == "cpu:cpu"
