"""A results folder holds what was put in, whole, and gives it back as frames, arrays and text."""

import ast
import json
import os
import re
import subprocess
import sys
from pathlib import Path

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

from cmapjax.studies import Study
from cmapjax.studies import _sketch as sketch
from cmapjax.studies._chunks import Chunk
from cmapjax.studies.results import Results, _frames, diff, open_study, verify


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    """A finished study with sketches. Read only."""
    return tables.made(tmp_path_factory.mktemp("results") / "results")


# -- what goes in comes out --------------------------------------------------------------------------


def test_a_frame_has_every_row_that_was_written_in_order(full):
    expected = pa.concat_tables([tables.result(g, 0, 20).summary for g in (0, 1)]).to_pandas()
    expected = expected.sort_values(["cell", "market"], ignore_index=True)
    frame = open_study(full.folder).frame()
    pd.testing.assert_frame_equal(frame, expected, check_categorical=False)
    assert frame.attrs["units"]["num_links"] == "links"
    assert list(full.frame(columns=["min_ratio", "degree"]).columns) == ["min_ratio", "degree"]


def test_other_programs_read_the_files_as_they_stand(full):
    files, expected = f"{full.folder}/summary/*.parquet", full.frame()["min_ratio"].sum()
    assert pd.read_parquet(full.folder / "summary")["min_ratio"].sum() == pytest.approx(expected)
    assert polars.scan_parquet(files).collect()["min_ratio"].sum() == pytest.approx(expected)
    assert duckdb.sql(f"SELECT sum(min_ratio), count(*) FROM '{files}'").fetchall() == [
        (pytest.approx(expected), 80)
    ]
    buckets = duckdb.sql(f"SELECT sum(count) FROM '{full.folder}/curves/*.parquet'").fetchall()
    assert buckets == [(2 * 80 * len(tables.ROUNDS),)]


def test_the_folder_says_what_it_is(full):
    name, path = next(iter(full.chunks.items()))
    metadata = pq.ParquetFile(path).schema_arrow.metadata
    assert metadata[b"cmapjax.format"] == b"2"
    assert metadata[b"cmapjax.study"].decode() == full.digest
    assert metadata[b"cmapjax.chunk"].decode() == name == "g00000-m0000000-n000010"
    assert json.loads(metadata[b"cmapjax.made"])["device"] == "cpu"
    about = json.loads((full.folder / "study.json").read_text())
    assert about["study"] == tables.document()
    assert (about["text"], about["plan"]) == (tables.FILE, list(full.chunks))
    assert {"format", "versions", "created", "device", "commit", "check"} <= set(about)
    assert sorted(os.listdir(full.folder)) == ["curves", "study.json", "summary"]
    assert Study(**full.study).cells() == tables.study().cells()


def test_results_of_format_2_open():
    golden = Path(__file__).parent / "data" / "results-v2"
    results = open_study(golden)
    known = {"cell": 3, "market": 2, "strategy": "proportional-response", "degree": 6, "verdict": "converged"}
    assert results.frame().iloc[-1][list(known)].to_dict() == known
    assert results.frame()["market_loss"].sum() == pytest.approx(1.5383148272286626, abs=0)
    assert results.curves()["count"].eq(3).all()
    assert verify(golden) == []


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
    results = tables.made(tmp_path / "r", curves=curves)
    found = results.curves()
    assert list(found.columns) == ["cell", "round", "metric", "q05", "q25", "q50", "q75", "q95", "count"]
    assert (found["count"] == 20).all()
    exact = pa.concat_tables([tables.result(g, 0, 20, "full").curves for g in (0, 1)]).to_pandas()
    exact = exact[exact.metric == "min_ratio"].groupby(["cell", "round"])["value"]
    expected = exact.quantile([0.05, 0.25, 0.5, 0.75, 0.95], interpolation="lower").to_numpy().reshape(-1, 5)
    # A bucket is 1 % wide on either side of its middle; curves in full are exact.
    tolerance = 0.0101 if curves == "quantiles" else 0
    shares = found.loc[found.metric == "min_ratio", ["q05", "q25", "q50", "q75", "q95"]]
    np.testing.assert_allclose(shares, expected, rtol=tolerance, atol=0)
    sizes, quantiles = [], _frames.quantile_frame
    monkeypatch.setattr(_frames, "quantile_frame", lambda t: sizes.append(t.num_rows) or quantiles(t))
    monkeypatch.setattr(_frames, "AT_ONCE", 130)  # a ground has 240 rows in full, 120 of each cell
    pd.testing.assert_frame_equal(results.curves(), found)
    assert sizes == [120] * 4 if curves == "full" else len(sizes) == 2


def test_quantiles_of_zeros_negatives_and_what_is_no_number():
    columns = {"cell": [0, 0, 0, 0, 1], "round": [0] * 5, "metric": ["a"] * 5, "sign": [-1, 0, 1, 1, 0]}
    buckets = pa.array([0, None, 0, sketch.INFINITE, sketch.NOT_A_NUMBER])
    frame = sketch.quantile_frame(pa.table(columns | {"bucket": buckets, "count": [2, 2, 2, 2, 1]}))
    # 8 values, -1 -1 0 0 1 1 inf inf, at ranks 0, 1, 3, 5 and 6
    first = frame.loc[0, ["q05", "q25", "q50", "q75", "q95"]].to_numpy(float)
    np.testing.assert_allclose(first, [-1, -1, 0, 1, np.inf], rtol=0.0101)
    assert np.isnan(frame.loc[1, "q50"])
    assert frame.loc[1, "count"] == 1


def test_buckets_stand_for_values_to_one_percent_and_keep_what_is_no_number():
    rng = np.random.default_rng(0)
    values = np.concatenate([rng.lognormal(0, 5, 400), -rng.lognormal(-20, 3, 300), [0.0, 1e-40]])
    values = np.append(values, [np.inf, -np.inf, np.nan])
    found = sketch.values_of(*sketch.buckets(values))
    np.testing.assert_allclose(found, values, rtol=0.01, atol=1e-30)


def test_a_study_without_curves_has_none(tmp_path):
    results = tables.made(tmp_path / "r", curves="none")
    assert results.curves() is None
    assert "curve_nash_welfare" not in results.dataset()
    assert verify(results.folder) == []


# -- arrays and text -----------------------------------------------------------------------------------


def test_a_dataset_is_labelled_by_the_axes_and_netcdf_is_the_dataset(full, tmp_path):
    data = full.dataset()
    assert data["min_ratio"].dims == ("degree", "strategy", "market")
    frame = full.frame().set_index(["degree", "strategy", "market"])
    place = {"degree": 6, "strategy": "cmap", "market": 3}
    assert data["min_ratio"].sel(place).item() == frame.loc[(6, "cmap", 3), "min_ratio"]
    assert np.isnan(data["nash_welfare"].sel({**place, "market": 6}))
    assert data["flags"].sel({**place, "market": 6}).item() == "nash_welfare=-inf"
    assert data["num_links"].attrs["units"] == "links"
    assert data["rounds"].dtype.kind == "i"
    assert (data["num_played"] == 20).all()
    curve = data["curve_min_ratio"].sel(degree=4, strategy="cmap", round=20, quantile=0.5).item()
    assert curve == full.curves().query("cell == 0 and round == 20 and metric == 'min_ratio'")["q50"].item()
    full.to_netcdf(tmp_path / "a.nc")
    with xarray.open_dataset(tmp_path / "a.nc", engine="h5netcdf") as read:
        assert read.equals(data)
        assert json.loads(read.attrs["study"]) == tables.document()
    assert os.listdir(tmp_path) == ["a.nc"]


def written(folder, rows: pd.DataFrame, **more):
    """Results whose summary is made up."""
    results = Results.begin(folder, {"name": "made up", "record": {"curves": "none"}, **more})
    rows = rows.assign(ground=0, market=0, loss=np.arange(float(len(rows))))
    results.write(Chunk(0, 0, 1), summary=pa.Table.from_pandas(rows, preserve_index=False))
    return results


def test_axes_that_go_together_share_a_dimension_and_holes_are_counted(tmp_path):
    points = np.random.default_rng(0).uniform(size=(30, 2))
    rows = [(s, x, y) for x, y in points for s in ("b", "a")]
    rows = pd.DataFrame(rows, columns=["strategy", "spread", "mean"]).assign(cell=range(60)).drop(index=7)
    sample = {"method": "sobol", "spread": [0, 1], "mean": [0, 1]}
    data = written(tmp_path / "r", rows, grid={"strategy": ["b", "a"]}, sample=sample).dataset()
    assert data["loss"].dims == ("strategy", "spread_mean", "market")
    assert data["strategy"].to_numpy().tolist() == ["b", "a"]
    at = data.where(data["spread"] == points[4, 0], drop=True)
    assert (at["mean"].item(), at["loss"].sel(strategy="b").item()) == (points[4, 1], 7.0)
    assert (data["num_played"].sum(), data["num_played"].sel(strategy="a")[3]) == (59, 0)
    listed = pd.DataFrame({"cell": [0, 1, 2], "degree": [4, 6, 9], "damping": ["none", "0.5", "local"]})
    data = written(tmp_path / "l", listed, list=[{"degree": 4, "damping": "none"}] * 3).dataset()
    assert data["loss"].dims == ("degree_damping", "market")
    assert data["damping"].to_numpy().tolist() == ["none", "0.5", "local"]
    assert written(tmp_path / "m", pd.DataFrame({"cell": [0]})).dataset()["loss"].dims == ("market",)


def test_csv_has_all_rows_and_no_formulas(tmp_path):
    results = Results.begin(tmp_path / "r", tables.document())
    for first in (0, 4):
        result = tables.result(0, first, 4)
        place = result.summary.column_names.index("fingerprint")
        evil = pa.array(["=1+1", "+1", "-1", "@x"] * 2)
        summary = result.summary.set_column(place, "fingerprint", evil)
        results.write(Chunk(0, first, 4), summary=summary, curves=result.curves)
    results.to_csv(tmp_path / "a.csv")
    results.to_csv(tmp_path / "a.csv.gz")
    read = pd.read_csv(tmp_path / "a.csv")
    assert sorted(read["fingerprint"]) == sorted(["'=1+1", "'+1", "'-1", "'@x"] * 4)
    ordered = read.sort_values(["cell", "market"], ignore_index=True)
    np.testing.assert_array_equal(ordered["min_ratio"], results.frame()["min_ratio"])
    assert pd.read_csv(tmp_path / "a.csv.gz").equals(read)
    with pytest.raises(ValueError, match=r"end the name in \.csv"):
        results.to_csv(tmp_path / "a.txt")
    with pytest.raises(OSError, match="its folder is not there"):
        results.to_netcdf(tmp_path / "no" / "a.nc")


@pytest.mark.parametrize("module", ["xarray", "h5netcdf"])
def test_a_missing_extra_names_itself(full, tmp_path, monkeypatch, module):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match=rf"needs {module} \(pip install 'cmapjax\[study\]'\)"):
        full.to_netcdf(tmp_path / "a.nc")


def test_reading_results_needs_no_jax(full):
    program = (
        "import sys, cmapjax; r = cmapjax.open_study(sys.argv[1]); r.frame(); r.curves(); "
        "from cmapjax.studies.results import verify; assert not verify(sys.argv[1]); "
        "assert 'jax' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program, full.folder], check=True, timeout=60)


# -- parts, and what does not fit in memory ----------------------------------------------------------


def test_a_frame_that_does_not_fit_names_what_does(full, monkeypatch):
    monkeypatch.setattr(_frames, "half_the_memory", lambda: 1)
    with pytest.raises(ValueError, match=r"\(80 rows\).* takes ([0-9,]+) bytes .*above 1, ") as refused:
        full.frame()
    needed = int(re.search(r"takes ([0-9,]+) bytes", str(refused.value))[1].replace(",", ""))
    monkeypatch.setattr(_frames, "half_the_memory", lambda: 2 * needed)
    assert len(full.frame()) == 80
    monkeypatch.setattr(_frames, "half_the_memory", lambda: int(0.7 * needed))
    with pytest.raises(ValueError, match="half of the memory") as refused:
        full.frame()
    said = str(refused.value)
    columns = ast.literal_eval(re.search(r"frame\(columns=(\[.*?\])\)", said)[1])
    assert list(full.frame(columns=columns).columns) == columns
    first, end = map(int, re.search(r"frame\(cells=range\((\d+), (\d+)\)\)", said).groups())
    assert set(full.frame(cells=range(first, end))["cell"]) == {0}
    assert polars.scan_parquet(re.search(r"scan_parquet\('(.*?)'\)", said)[1]).collect().height == 80
    assert len(duckdb.sql(re.search(r"in DuckDB (FROM '.*?')\.$", said)[1]).fetchall()) == 80


def test_parts_of_a_study_are_those_of_the_whole(full):
    for given in (full.frame, full.curves):
        whole = given()
        expected = whole[whole["cell"].isin([0, 3])].reset_index(drop=True)
        pd.testing.assert_frame_equal(given(cells=[3, 0]), expected, check_categorical=False)
    with pytest.raises(ValueError, match="no column 'weather'; it has cell, ground"):
        full.frame(columns=["weather"])
    for cells, words in (([4], "cells 0 to 3"), ([-1], "cells 0 to 3"), ([], "numbers"), ("12", "numbers")):
        with pytest.raises(ValueError, match=words):
            full.curves(cells=cells)
    assert sum(table.num_rows for table in full.tables("summary", ["cell"])) == 80


# -- what is left to play ----------------------------------------------------------------------------


def test_chunks_halved_or_cut_otherwise_count_and_overlaps_are_read_once(tmp_path):
    results = Results.begin(tmp_path / "r", tables.document(), plan=[Chunk(0, 0, 20).name])
    tables.keep(results, Chunk(0, 10, 10))
    assert results.lacking == [Chunk(0, 0, 10)]
    tables.keep(results, Chunk(0, 0, 20))  # a second runner, with more memory, that was not told
    assert list(results.chunks) == [Chunk(0, 0, 20).name]
    assert len(results.frame()) == 40
    found = verify(results.folder)
    assert [finding.harmless for finding in found] == [True, True]
    assert "another file holds its markets" in found[1].what
    verify(results.folder, repair=True)
    assert (verify(results.folder), len(os.listdir(results.folder / "damaged"))) == ([], 2)


def test_failures_are_kept_until_the_markets_are_played(tmp_path):
    results = tables.made(tmp_path / "r", [(0, 10)], grounds=(0,))
    failed = {Chunk(0, 10, 10).name: "out of memory"}
    results.note_run(seconds=1.5, workers=2, failed=failed)
    tables.keep(results, Chunk(0, 10, 5))
    assert results.failed == failed
    tables.keep(results, Chunk(0, 15, 5))
    assert results.failed == {}
    (run,) = results.runs
    assert (run["workers"], run["seconds"], run["ended"][:2]) == (2, 1.5, "20")


# -- two studies ---------------------------------------------------------------------------------------


def test_diff_says_why(full, tmp_path):
    other = tables.made(tmp_path / "r", [(0, 15)], shift=0.25, rounds=25)
    text = "\n".join(map(str, diff(full.folder, other.folder)))
    assert "description: rounds: 20 → 25" in text
    assert "curves: differ in ground 0, 1" in text
    assert "min_ratio differs in 60 of 60 rows, by up to 0.125 (cell 0 market 0" in text
    assert "only the first has 5 (15, 16, 17, 18, 19)" in text
    assert "degree" not in text
    whole = tables.made(tmp_path / "whole", tables.WHOLE, grounds=(1, 0))
    assert diff(full.folder, whole.folder) == []


def test_diff_notices_one_bit(full, tmp_path):
    result = tables.result(0, 0, 20)
    place = result.summary.column_names.index("min_ratio")
    ratios = result.summary["min_ratio"].to_numpy().copy()
    ratios[7] = np.nextafter(ratios[7], 1)
    summary = result.summary.set_column(place, result.summary.schema.field(place), pa.array(ratios))
    other = tables.made(tmp_path / "b", tables.WHOLE, grounds=(1,))
    other.write(Chunk(0, 0, 20), summary=summary, curves=result.curves)
    (difference,) = diff(full.folder, other.folder)
    assert "min_ratio differs in 1 of 80 rows" in difference.what


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
