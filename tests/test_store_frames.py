"""Frames of studies of any size: what fits in memory, what is refused, and what to do instead."""

import ast
import gzip
import re

import duckdb
import pandas as pd
import polars
import pytest
import tables

from cmapjax.studies._store import _frames, open_study


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    """A finished study with sketches. Read only."""
    return tables.made(tmp_path_factory.mktemp("store") / "results")


def test_a_frame_that_does_not_fit_names_what_does(full, monkeypatch):
    results = open_study(full.folder)
    results.manifest["cells"] = 4
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
    with pytest.raises(ValueError, match="of these cells nothing is finished"):
        results.frame(cells=[4])
    results.manifest["cells"] = 4
    for cells, words in (
        ([4], "cells 0 to 3"),
        ([-1], "cells 0 to 3"),
        ([], "give numbers"),
        ("12", "give numbers"),
    ):
        with pytest.raises(ValueError, match=words):
            results.curves(cells=cells)


@pytest.mark.parametrize("curves", ["quantiles", "full"])
def test_curves_of_any_number_of_markets_fit(tmp_path, monkeypatch, curves):
    store = tables.made(tmp_path / "r", curves=curves, record={"curves": curves})
    expected = open_study(store.folder).curves()
    sizes = []
    quantiles = _frames.quantile_frame
    monkeypatch.setattr(_frames, "quantile_frame", lambda t: sizes.append(t.num_rows) or quantiles(t))
    monkeypatch.setattr(_frames, "AT_ONCE", 70)  # a ground has 120 rows in full, 60 of each cell
    pd.testing.assert_frame_equal(open_study(store.folder).curves(), expected)
    assert sizes == [60] * 4 if curves == "full" else len(sizes) == 2


def test_csv_is_written_in_pieces_that_fit(full, tmp_path, monkeypatch):
    results = open_study(full.folder)
    results.to_csv(tmp_path / "whole.csv")
    read = []
    frame = _frames.frame
    monkeypatch.setattr(_frames, "frame", lambda *how: read.append(how[2]) or frame(*how))
    size = next(results.tables()).nbytes / 20
    monkeypatch.setattr(_frames, "half_the_memory", lambda: int(45 * size * _frames.COPIES))
    results.to_csv(tmp_path / "parts.csv")
    results.to_csv(tmp_path / "parts.csv.gz")
    assert len(read) > 2
    expected = (tmp_path / "whole.csv").read_bytes()
    assert (tmp_path / "parts.csv").read_bytes() == expected
    assert gzip.decompress((tmp_path / "parts.csv.gz").read_bytes()) == expected
