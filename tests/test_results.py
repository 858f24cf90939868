"""A results folder holds what was put in, whole, and gives it back as frames, arrays and text."""

import ast
import json
import os
import re
import subprocess
import sys

import commands
import duckdb
import numpy as np
import pandas as pd
import polars
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tables
import xarray

import cmapjax
from cmapjax.studies._chunks import Chunk
from cmapjax.studies.results import (
    Results,
    ResultsError,
    _curves,
    _dataset,
    _frames,
    diff,
    open_study,
    verify,
)


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    """A finished study with sketches. Read only."""
    return tables.made(tmp_path_factory.mktemp("results") / "results")


# -- what goes in comes out --------------------------------------------------------------------------


def test_a_frame_has_every_row_that_was_written_in_order(full):
    expected = pa.concat_tables([tables.result(g, 0, 20).summary for g in (0, 1)]).to_pandas()
    expected = expected.sort_values(["cell", "market"], ignore_index=True)
    pd.testing.assert_frame_equal(open_study(full.folder).frame(), expected, check_categorical=False)
    frame = cmapjax.open_study(str(full.folder)).frame(columns=["market_loss", "degree"])
    assert list(frame.columns) == ["market_loss", "degree"]
    assert frame.attrs["units"]["degree"] == "links"


def test_other_programs_read_the_files_as_they_stand(full):
    files = f"{full.folder}/summary/*.parquet"
    expected = open_study(full.folder).frame()["market_loss"].sum()
    assert pd.read_parquet(full.folder / "summary")["market_loss"].sum() == pytest.approx(expected)
    assert polars.scan_parquet(files).collect()["market_loss"].sum() == pytest.approx(expected)
    (row,) = duckdb.sql(f"SELECT sum(market_loss), count(*) FROM '{files}'").fetchall()
    assert row == (pytest.approx(expected), 80)
    buckets = duckdb.sql(f"SELECT sum(count) FROM '{full.folder}/curves/*.parquet'").fetchall()
    assert buckets == [(80 * len(tables.ROUNDS),)]


def test_the_folder_says_what_it_is(full):
    name, path = next(iter(full.chunks().items()))
    file = pq.ParquetFile(path)
    assert file.schema_arrow.field("degree").metadata[b"unit"] == b"links"
    metadata = file.schema_arrow.metadata
    assert metadata[b"cmapjax.format"] == b"2"
    assert metadata[b"cmapjax.study"].decode() == full.digest
    assert metadata[b"cmapjax.chunk"].decode() == name == "g00000-m0000000-n000010"
    assert json.loads(metadata[b"cmapjax.made"])["device"] == "cpu"
    about = json.loads((full.folder / "study.json").read_text())
    assert about["study"] == tables.document()
    assert (about["text"], about["plan"]) == (tables.FILE, list(full.chunks()))
    assert {"format", "versions", "created", "device", "commit", "check"} <= set(about)
    assert sorted(os.listdir(full.folder)) == ["curves", "study.json", "summary"]


def test_equal_chunks_are_equal_files_and_a_chunk_written_again_changes_none(full, tmp_path):
    again = tables.made(tmp_path / "again")
    files = sorted(again.folder.glob("*/*.parquet"))
    before = {file: (file.stat().st_mtime_ns, file.stat().st_ino) for file in files}
    assert len(files) == 8
    for file in files:
        assert file.read_bytes() == (full.folder / file.relative_to(again.folder)).read_bytes()
    tables.keep(again, Chunk(0, 0, 10))
    assert before == {file: (file.stat().st_mtime_ns, file.stat().st_ino) for file in files}


@pytest.mark.parametrize("curves", ["quantiles", "full"])
def test_curves_give_quantiles_over_all_markets_of_any_number(tmp_path, monkeypatch, curves):
    results = open_study(tables.made(tmp_path / "r", curves=curves).folder)
    found = results.curves()
    exact = pa.concat_tables([tables.result(g, 0, 20, "full").curves for g in (0, 1)]).to_pandas()
    groups = exact.groupby(["cell", "round"])["value"]
    expected = groups.quantile([0.05, 0.25, 0.5, 0.75, 0.95], interpolation="lower").to_numpy().reshape(-1, 5)
    # A bucket is 1 % wide on either side of its middle; curves in full are exact.
    tolerance = 0.0101 if curves == "quantiles" else 0
    np.testing.assert_allclose(found[["q05", "q25", "q50", "q75", "q95"]], expected, rtol=tolerance, atol=0)
    assert (found["count"] == 20).all()
    assert list(found.columns) == ["cell", "round", "metric", "q05", "q25", "q50", "q75", "q95", "count"]
    sizes, quantiles = [], _frames.quantile_frame
    monkeypatch.setattr(_frames, "quantile_frame", lambda t: sizes.append(t.num_rows) or quantiles(t))
    monkeypatch.setattr(_frames, "AT_ONCE", 70)  # a ground has 120 rows in full, 60 of each cell
    monkeypatch.setattr(_curves, "AT_ONCE", 1)
    pd.testing.assert_frame_equal(results.curves(), found)
    assert sizes == [60] * 4 if curves == "full" else len(sizes) == 2


def test_quantiles_of_zeros_negatives_and_what_is_no_number():
    sketch = pa.table(
        {
            "cell": [0, 0, 0, 0, 1],
            "round": [0, 0, 0, 0, 0],
            "metric": ["a", "a", "a", "a", "a"],
            "sign": [-1, 0, 1, 1, 0],
            "bucket": pa.array([0, None, 0, _curves.INFINITE, _curves.NOT_A_NUMBER]),
            "count": [2, 2, 2, 2, 1],
        }
    )
    frame = _curves.quantile_frame(sketch)
    # 8 values, -1 -1 0 0 1 1 inf inf, at ranks 0, 1, 3, 5 and 6
    first = frame.loc[0, ["q05", "q25", "q50", "q75", "q95"]].to_numpy(float)
    np.testing.assert_allclose(first, [-1, -1, 0, 1, np.inf], rtol=0.0101)
    assert np.isnan(frame.loc[1, "q50"])
    assert frame.loc[1, "count"] == 1


def test_a_study_without_curves_has_none(tmp_path):
    results = tables.made(tmp_path / "r", curves="none")
    assert open_study(results.folder).curves() is None
    assert "curve_nash_welfare" not in open_study(results.folder).dataset()
    assert results.verify() == []
    with pytest.raises(ResultsError, match="has curves; the study says otherwise"):
        tables.keep(results, Chunk(0, 20, 2))


def test_a_dataset_is_labelled_by_the_axes_and_netcdf_is_the_dataset(full, tmp_path):
    results = open_study(full.folder)
    data = results.dataset()
    assert data["market_loss"].dims == ("degree", "strategy", "market")
    frame = results.frame().set_index(["degree", "strategy", "market"])
    place = {"degree": 6, "strategy": "cmap", "market": 3}
    assert data["market_loss"].sel(place).item() == frame.loc[(6, "cmap", 3), "market_loss"]
    assert np.isnan(data["nash_welfare"].sel({**place, "market": 6}))
    assert data["flags"].sel({**place, "market": 6}).item() == "nash_welfare"
    assert data["degree"].attrs["units"] == "links"
    assert data["rounds"].dtype.kind == "i"
    assert (data["num_played"] == 20).all()
    curve = data["curve_nash_welfare"].sel(degree=4, strategy="cmap", round=20, quantile=0.5).item()
    cell = results.curves().query("cell == 0 and round == 20")
    assert curve == cell["q50"].item()
    results.to_netcdf(tmp_path / "a.nc")
    with xarray.open_dataset(tmp_path / "a.nc", engine="h5netcdf") as read:
        assert read.equals(data)
        assert json.loads(read.attrs["study"]) == tables.document()
    assert os.listdir(tmp_path) == ["a.nc"]


def test_axes_drawn_together_share_a_dimension_and_holes_are_counted(tmp_path):
    grid = [(d, s) for d in (4, 6, 8) for s in ("a", "b") if (d, s) != (8, "b")]
    frame = pd.DataFrame(grid, columns=["degree", "strategy"])
    assert _dataset.factors_of(frame) == [("degree",), ("strategy",)]
    points = np.random.default_rng(0).uniform(size=(30, 2))
    rows = [(s, x, y) for x, y in points for s in ("b", "a")]
    frame = pd.DataFrame(rows, columns=["strategy", "spread", "mean"])
    assert _dataset.factors_of(frame) == [("strategy",), ("spread", "mean")]
    more = {"grid": {"strategy": ["b", "a"]}, "sample": {"method": "sobol", "spread": [0, 1], "mean": [0, 1]}}
    results = Results.begin(tmp_path / "r", tables.document(record={"curves": "none"}, **more))
    summary = frame.assign(cell=range(60), ground=0, market=0, loss=np.arange(60.0)).drop(index=7)
    results.write("g00000-m0000000-n000001", summary=pa.Table.from_pandas(summary, preserve_index=False))
    data = open_study(results.folder).dataset()
    assert data["loss"].dims == ("strategy", "spread_mean", "market")
    assert data["strategy"].to_numpy().tolist() == ["b", "a"]
    at = data.where(data["spread"] == points[4, 0], drop=True)
    assert (at["mean"].item(), at["loss"].sel(strategy="a").item()) == (points[4, 1], 9.0)
    assert (data["num_played"].sum(), data["num_played"].sel(strategy="a")[3]) == (59, 0)
    assert int(np.isnan(data["loss"]).sum()) == 1


def test_a_study_without_axes_has_markets_alone(tmp_path):
    results = Results.begin(tmp_path / "r", tables.document(grid={}))
    result = tables.result(0, 0, 20)
    of_cell_0 = pa.compute.field("cell") == 0
    results.write(
        tables.name(0, 0, 20),
        summary=result.summary.filter(of_cell_0),
        curves=result.curves.filter(of_cell_0),
    )
    assert open_study(results.folder).dataset()["market_loss"].dims == ("market",)


def test_csv_has_all_rows_and_no_formulas(tmp_path):
    results = Results.begin(tmp_path / "r", tables.document())
    for first in (0, 4):
        result = tables.result(0, first, 4)
        evil = pa.array(["=1+1", "+1", "-1", "@x"] * 2)
        place = result.summary.column_names.index("fingerprint")
        result.summary = result.summary.set_column(place, "fingerprint", evil)
        tables.keep(results, (0, first, 4), result)
    results = open_study(results.folder)
    results.to_csv(tmp_path / "a.csv")
    results.to_csv(tmp_path / "a.csv.gz")
    read = pd.read_csv(tmp_path / "a.csv")
    assert sorted(read["fingerprint"]) == sorted(["'=1+1", "'+1", "'-1", "'@x"] * 4)
    read = read.sort_values(["cell", "market"], ignore_index=True)
    np.testing.assert_array_equal(read["market_loss"], results.frame()["market_loss"])
    again = pd.read_csv(tmp_path / "a.csv.gz").sort_values(["cell", "market"], ignore_index=True)
    assert again.equals(read)
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
        "from cmapjax.studies.results import verify; assert not verify(sys.argv[1]); "
        "assert 'jax' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program, full.folder], check=True, timeout=60)


# -- parts, and what does not fit in memory ----------------------------------------------------------


def test_a_frame_that_does_not_fit_names_what_does(full, monkeypatch):
    results = open_study(full.folder)
    monkeypatch.setattr(_frames, "half_the_memory", lambda: 1)
    with pytest.raises(ValueError, match=r"\(80 rows\).* takes ([0-9,]+) bytes .*above 1, ") as refused:
        results.frame()
    needed = int(re.search(r"takes ([0-9,]+) bytes", str(refused.value))[1].replace(",", ""))
    monkeypatch.setattr(_frames, "half_the_memory", lambda: needed)
    assert len(results.frame()) == 80
    monkeypatch.setattr(_frames, "half_the_memory", lambda: int(0.7 * needed))
    with pytest.raises(ValueError, match="half of the memory") as refused:
        results.frame()
    said = str(refused.value)
    columns = ast.literal_eval(re.search(r"frame\(columns=(\[.*?\])\)", said)[1])
    assert list(results.frame(columns=columns).columns) == columns == ["strategy", "market_loss"]
    first, end = map(int, re.search(r"frame\(cells=range\((\d+), (\d+)\)\)", said).groups())
    assert set(results.frame(cells=range(first, end))["cell"]) == {0}
    assert polars.scan_parquet(re.search(r"scan_parquet\('(.*?)'\)", said)[1]).collect().height == 80
    assert len(duckdb.sql(re.search(r"in DuckDB (FROM '.*?')\.$", said)[1]).fetchall()) == 80


def test_parts_of_a_study_are_those_of_the_whole(full):
    results = open_study(full.folder)
    for given in (results.frame, results.curves):
        whole = given()
        expected = whole[whole["cell"].isin([0, 3])].reset_index(drop=True)
        pd.testing.assert_frame_equal(given(cells=[3, 0]), expected, check_categorical=False)
    with pytest.raises(ValueError, match="no column 'weather'; it has cell, ground"):
        results.frame(columns=["weather"])
    for cells, words in (([4], "cells 0 to 3"), ([-1], "cells 0 to 3"), ([], "numbers"), ("12", "numbers")):
        with pytest.raises(ValueError, match=words):
            results.curves(cells=cells)
    assert sum(table.num_rows for table in results.tables("summary", ["cell"])) == 80


# -- what is left to play ----------------------------------------------------------------------------


def test_chunks_halved_or_cut_otherwise_count_and_overlaps_are_read_once(full, tmp_path):
    assert full.lacking() == []
    assert full.lacking([Chunk(0, 0, 7), Chunk(0, 7, 13), Chunk(1, 0, 20)]) == []
    assert full.lacking([Chunk(0, 15, 10), Chunk(2, 0, 3)]) == [Chunk(0, 20, 5), Chunk(2, 0, 3)]
    results = Results.begin(tmp_path / "r", tables.document(), plan=[tables.name(0, 0, 20)])
    tables.keep(results, Chunk(0, 10, 10))
    assert results.lacking() == [Chunk(0, 0, 10)]
    tables.keep(results, Chunk(0, 0, 20))  # a second runner, with more memory, that was not told
    assert list(results.chunks()) == [tables.name(0, 0, 20)]
    assert len(open_study(results.folder).frame()) == 40
    found = verify(results.folder)
    assert len(found) == 2
    assert all(f.harmless for f in found)
    assert "another file holds its markets" in found[1].what
    verify(results.folder, repair=True)
    assert (verify(results.folder), len(os.listdir(results.folder / "damaged"))) == ([], 2)


def test_failures_are_kept_until_the_markets_are_played(tmp_path):
    results = tables.made(tmp_path / "r", [(0, 10)], grounds=(0,))
    results.note_run(seconds=1.5, workers=2, failed={tables.name(0, 10, 10): "out of memory"})
    tables.keep(results, Chunk(0, 10, 5))
    assert open_study(results.folder).failed == {tables.name(0, 10, 10): "out of memory"}
    tables.keep(results, Chunk(0, 15, 5))
    assert open_study(results.folder).failed == {}
    (run,) = open_study(results.folder).runs
    assert (run["workers"], run["seconds"], run["ended"][:2]) == (2, 1.5, "20")


def test_diff_says_why(full, tmp_path):
    other = tables.made(tmp_path / "r", [(0, 15)], shift=0.25, rounds=25)
    found = {(d.kind, d.what.split(" ")[0]) for d in diff(full.folder, other.folder)}
    assert ("description", "rounds:") in found
    assert ("markets", "ground") in found
    assert ("curves", "differ") in found
    text = "\n".join(map(str, diff(full.folder, other.folder)))
    assert "market_loss differs in 60 of 60 rows, by up to 0.25 (cell 0 market 0" in text
    assert "only the first has 5 (15, 16, 17, 18, 19)" in text
    assert not [d for d in diff(full.folder, other.folder) if "degree" in d.what]
    whole = tables.made(tmp_path / "whole", tables.WHOLE, grounds=(1, 0))
    assert diff(full.folder, whole.folder) == []


def test_diff_notices_one_bit(full, tmp_path):
    result = tables.result(0, 0, 20)
    place = result.summary.column_names.index("market_loss")
    losses = result.summary["market_loss"].to_numpy().copy()
    losses[7] = np.nextafter(losses[7], 1)
    result.summary = result.summary.set_column(place, result.summary.schema.field(place), pa.array(losses))
    other = tables.made(tmp_path / "b", tables.WHOLE, grounds=(1,))
    tables.keep(other, (0, 0, 20), result)
    (difference,) = diff(full.folder, other.folder)
    assert "market_loss differs in 1 of 80 rows" in difference.what


def test_diff_tells_other_circumstances_from_other_values(full, tmp_path):
    same = tables.made(tmp_path / "same", name="renamed")
    assert [(d.kind, d.is_of_values) for d in diff(full.folder, same.folder)] == [("description", False)]
    told = commands.cmapjax("study", "diff", full.folder, same.folder)
    assert told.returncode == 0
    named, verdict = told.stdout.splitlines()
    assert "renamed" in named
    assert verdict == "the same values all the same"
    for number, other in enumerate(({"shift": 0.25}, {"grounds": (0,)}, {"curves": "none"})):
        differing = tables.made(tmp_path / str(number), name="renamed", **other)
        told = commands.cmapjax("study", "diff", full.folder, differing.folder)
        assert (told.returncode, "same" in told.stdout) == (1, False), other
