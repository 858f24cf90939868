"""What the page is made from: intervals, key figures, charts' data, networks drawn again."""

import dataclasses
import sys

import numpy as np
import pandas as pd
import pytest
import study_samples

from cmapjax import report, studies
from cmapjax.plots import _tables
from cmapjax.plots._tables import axis_text
from cmapjax.report import _bands, _networks, _plotly, _sections, _spread, _summary, _tiles, _view
from cmapjax.report._data import ReportData
from cmapjax.report._page import render
from cmapjax.studies.results import Results, open_study


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    return study_samples.write(tmp_path_factory.mktemp("studies") / "made up", failed=[(3, 1)])


@pytest.fixture(scope="module")
def data(results):
    return ReportData.from_results(results)


# -- figures ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("n", "first"), [(1, 1), (5, 1), (6, 1), (8, 1), (9, 2), (10, 2), (15, 4), (20, 6), (25, 8)]
)
def test_the_interval_of_a_median_ends_at_the_order_statistics_of_the_tables(n, first):
    """By the sign test; of fewer than six markets it is the whole range."""
    values = np.random.default_rng(n).permutation(np.arange(1.0, n + 1))
    assert _summary.median_of(values) == (pytest.approx(np.median(values)), first, n + 1 - first)


def test_the_interval_of_a_median_may_be_infinite():
    assert _summary.median_of(np.array([1.0, np.inf, np.inf])) == (np.inf, 1.0, np.inf)
    assert _summary.median_of(np.array([-np.inf, -np.inf])) == (-np.inf, -np.inf, -np.inf)


@pytest.mark.parametrize(
    ("count", "n", "low", "high"),
    [(0, 10, 0, 0.3085), (5, 10, 0.1871, 0.8129), (10, 10, 0.6915, 1), (1, 2, 0.0126, 0.9874)],
)
def test_the_interval_of_a_share_is_the_one_of_the_tables(count, n, low, high):
    """Clopper and Pearson's, to the four digits that tables have."""
    assert _summary.share_of(count, n) == (
        count / n,
        pytest.approx(low, abs=5e-5),
        pytest.approx(high, abs=5e-5),
    )


def test_key_figures_are_medians_shares_and_paired_differences_of_the_summary(data, results):
    frame = results.frame()
    lines = _summary.by_play(data)
    assert [line.markets for line in lines] == [len(frame) // 4] * 4
    one = frame[(frame["schedule"] == "simultaneous") & (frame["damping"] == "none")]
    one = one[one["strategy"] == "cmap"]
    share = lines[1].medians["share_of_equilibrium"]
    assert share.value == pytest.approx(one["share_of_equilibrium"].median(), rel=1e-12)
    assert share.low <= share.value <= share.high
    assert lines[1].shares["starved for now"].value == (one["verdict"] == "starved for now").mean() > 0
    first, other = (
        some.set_index(["ground", "market"])["share_of_equilibrium"]
        for some in (
            frame[frame["schedule"] == "coloured"],
            frame[frame["strategy"] == "proportional-response"],
        )
    )
    assert lines[3].difference.value == pytest.approx((other - first).median(), rel=1e-9)


def test_markets_that_never_got_there_count_as_the_worst():
    never = pd.Series([10, 20, None, None, None], dtype="Int32")
    assert _summary.median_of(_tables.ranked(never, "rounds_to_98")).value == np.inf
    assert _summary.shown("rounds_to_98", np.inf) == "never"
    assert _summary.shown("certified_gap", np.inf) == "not finite"
    assert _summary.median_of(_tables.ranked([0.9, np.nan, np.nan], "share_of_equilibrium")).value == -np.inf


@pytest.mark.parametrize(
    ("form", "value", "text"),
    [
        (_summary.amount, 96.26, "96.3"),
        (_summary.amount, 1234.6, "1235"),
        (_summary.amount, 4.6e-5, "4.6e-5"),
        (_summary.amount, -0.0125, "-0.0125"),
        (_summary.amount, 1e7, "1e7"),
        (_summary.percent, 50, "50"),
        (_summary.percent, 99.98, "99.980"),
        (_summary.percent, 99.99999999, "100"),
        (axis_text, 1_000_000, "1000000"),
        (axis_text, -2e6, "-2000000"),
        (axis_text, 1e-7, "1e-07"),
        (axis_text, 1 / 3, "0.3333333333333333"),
        (axis_text, "cmap", "cmap"),
    ],
)
def test_numbers_are_as_short_as_tells_them_apart(form, value, text):
    assert form(value) == text


# -- what is missing -------------------------------------------------------------------------------


def test_cells_are_there_with_what_failed_in_them(data, tmp_path):
    cells = data.cells.set_index("ground")
    assert cells.loc[3, ["failed", "played"]].to_numpy().tolist() == [[20, 20]] * 4
    assert cells.loc[2, "failed"].tolist() == [0] * 4
    assert data.planned - data.played == 80
    results = study_samples.write(tmp_path / "x", failed=[(3, 0), (3, 1)])
    bare = ReportData.from_results(results)
    cells = bare.cells.set_index("ground")
    assert len(cells) == 32
    assert cells.loc[3, ["played", "play"]].to_numpy().tolist() == [[0, 0], [0, 1], [0, 2], [0, 3]]
    assert len(_view.view_of(bare, []).cells) == 28
    assert "not played" in render(bare, "x")


def test_numbers_that_are_not_finite_are_counted_by_metric(data, results):
    frame = results.frame()
    starved = int((frame["verdict"] == "starved for now").sum())
    assert starved > 0
    assert data.non_finite["certified_gap"] == starved
    assert set(data.non_finite.index) == {"certified_gap", "log_welfare_loss", "log_nash_welfare"}


# -- charts ------------------------------------------------------------------------------------------


def laid_over(chart, **chosen):
    """The figure that the page's script puts together."""
    figure = {"data": [], "layout": {}}
    for part in chart["parts"]:
        one = part["figures"]["|".join(chosen[name] for name in part["by"])]
        for k, trace in enumerate(one.get("data", [])):
            figure["data"][k : k + 1] = [{**(figure["data"][k] if k < len(figure["data"]) else {}), **trace}]
        figure |= {k: v for k, v in one.items() if k not in figure} | {
            "layout": figure["layout"] | one.get("layout", {})
        }
    return figure


def test_figures_are_plotlys_and_hold_the_numbers_that_plots_draw(data, results):
    """Of a condition: lines, bars and tiles are those of cmapjax.plots."""
    import plotly.graph_objects as go

    view = _view.view_of(data, [])
    frame = results.frame()
    some = frame[frame["degree"] == 6]
    chosen = {"condition": "-1,1,-1", "metric": "misallocated_share", "clock": "rounds"}
    bands = laid_over(_bands.bands(view), **chosen)
    spread = laid_over(_spread.distribution(view, is_loss=True), **chosen)
    bars = laid_over(_spread.verdicts(view), by="play", **chosen)
    for figure in (bands, spread, bars):
        go.Figure(data=figure["data"], layout=figure["layout"])  # raises on what Plotly does not know
    cells = some[some["strategy"] == "proportional-response"]["cell"].unique()
    curves = results.curves()
    wanted = _tables.bands(curves[curves["cell"].isin(cells)], "misallocated_share")
    drawn = [bands["data"][15 + k]["y"] for k in (0, 2, 4, 3, 1)]
    np.testing.assert_allclose(drawn, wanted.to_numpy().T, rtol=1e-4)
    own = some[
        (some["strategy"] == "cmap") & (some["schedule"] == "simultaneous") & (some["damping"] == "none")
    ]
    starved = (own["verdict"] == "starved for now").mean()
    row = list(_tables.VERDICTS).index("starved for now")
    assert bars["data"][row]["x"][1] == pytest.approx(100 * starved, rel=1e-4)
    tiles = _tiles.tiles(view)
    names = [axis["name"] for axis in tiles["axes"]]
    key = ",".join("1" if name == "degree" else "3" if name == "strategy played" else "-1" for name in names)
    (column,) = [
        m["start"] for m in tiles["measures"] if m["label"] == "least ratio (received / contributed)"
    ]
    medians = some[some["cell"].isin(cells)].groupby("cell")["min_ratio"].median()
    assert tiles["points"][key][column] == pytest.approx(medians.median(), rel=1e-4)


def test_every_market_is_in_a_bin_or_counted_as_absent(data, results):
    view = _view.view_of(data, [])
    sizes = results.frame().groupby("cell").size().tolist()
    counts = {metric: _spread._histogram(view, metric)[1] for metric in data.metrics}
    assert {metric: table.sum(axis=1).tolist() for metric, table in counts.items()} == dict.fromkeys(
        counts, sizes
    )
    missing = results.frame()["certified_gap"].isna().groupby(results.frame()["cell"]).sum().tolist()
    assert counts["certified_gap"][:, -1].tolist() == missing


def test_what_is_left_out_of_charts_is_said(data, monkeypatch):
    monkeypatch.setattr(_view, "MOST_CELLS", 10)
    monkeypatch.setattr(_view, "MOST_NUMBERS", 2500)
    notes = []
    view = _view.view_of(data, notes)
    assert len(view.cells) == 8
    assert len(set(view.cells["ground"])) == 2  # whole grounds, so that plays can be compared
    words = " ".join(notes)
    assert "8 of 32 cells" in words
    assert "Curves of share_of_equilibrium" in words
    assert "too many conditions" in words
    assert next(iter(view.conditions.values())).tolist() == list(range(8))


def test_curves_stand_still_where_all_markets_have_ended_and_what_is_not_finite_stays_so():
    rows = [(0, 0, 1.0), (0, 10, np.nan), (0, 20, 2.0), (1, 0, 3.0), (1, 10, np.inf), (2, 30, 1.0)]
    curves = pd.DataFrame(rows, columns=["cell", "round", "q50"]).assign(metric="certified_gap")
    curves = curves.assign(**dict.fromkeys(("q05", "q25", "q75", "q95"), curves["q50"]))
    _, rounds, values = _tables.cell_bands(curves, "certified_gap")
    assert rounds.tolist() == [0, 10, 20, 30]
    assert values[0, :, 2].tolist() == [1.0, np.inf, 2.0, 2.0]
    assert values[1, :, 2].tolist() == [3.0, np.inf, np.inf, np.inf]


def test_long_curves_keep_their_ends():
    rounds = np.arange(0, 100_001, 10)
    kept = _view._some_rounds(rounds)
    assert len(kept) <= 40
    assert kept[0] == 0
    assert kept[-1] == 100_000
    assert np.isin(kept, rounds).all()


def test_numbers_have_five_digits_and_what_is_not_finite_is_null():
    values = [1.234567, -1.234567e-12, 123456789.4, 0, np.inf, np.nan]
    assert _plotly.numbers(values) == [1.2346, -1.2346e-12, 123456789.0, 0, None, None]


# -- networks --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def played(tmp_path_factory):
    """A tiny study that has really been played."""
    study = studies.Study(
        name="tiny",
        markets=3,
        rounds=4,
        record={"every": 2},
        cells={"network": "er:n=6,degree=3", "isolated": "redraw", "endowment": "lognormal:sigma=1"},
        zip=[{"strategy": ["cmap", "pr"], "schedule": ["simultaneous", "random-order"]}],
    )
    folder = tmp_path_factory.mktemp("played") / "tiny"
    results = Results.begin(folder, study.document(), precision="float64")
    for chunk in studies.chunks(study):
        played = studies.play_chunk(study, chunk)
        results.write(chunk, summary=played.summary, curves=played.curves)
    return folder


def test_a_market_drawn_again_ends_as_recorded(played):
    data = ReportData.from_results(open_study(played))
    drawn, notes = _networks.networks(data, 2)
    assert notes == []
    for market in drawn:
        number = int(market.title.rpartition(" ")[2])
        rows = data.summary[data.summary["market"] == number].set_index("play")
        assert len(market.labels) == len(market.place) == rows["num_agents"].iloc[0]
        assert len(market.links) == rows["num_links"].iloc[0]
        for run in market.runs:
            assert run.ratio.min() == pytest.approx(rows.loc[run.play, "min_ratio"], rel=1e-12)
            given = np.bincount(market.links.ravel(), np.stack([run.there, run.back], axis=1).ravel())
            np.testing.assert_allclose(given, market.contribution, rtol=1e-12)


def test_a_market_that_comes_out_otherwise_is_left_out_and_named(played):
    data = ReportData.from_results(open_study(played))
    altered = dataclasses.replace(data, summary=data.summary.assign(fingerprint="0" * 16))
    drawn, notes = _networks.networks(altered, 1)
    assert drawn == []
    assert "is not drawn" in notes[0]
    assert "another market" in notes[0]


# -- study file ------------------------------------------------------------------------------------


def test_a_study_made_in_python_is_given_as_a_program_that_makes_the_same_study(data):
    given = study_samples.document()
    del given["grid"]["spread"]
    given["sample"] = {"method": "sobol", "number": 4, "spread": {"range": [1e-5, 2.0], "log": True}}
    study = studies.Study(**given)
    made = dataclasses.replace(data, about={"study": study.document()})
    told = _sections.reproduce(made, "a folder's")
    assert told["commands"].splitlines()[0] == "python study.py"
    first, _, last = told["study_file"].partition("study.run(")
    assert last == '"a folder\'s")\n'
    names = {}
    exec(first, names)
    assert names["study"].digest() == study.digest()


# -- trouble ---------------------------------------------------------------------------------------


def test_without_plotly_the_extra_is_named(results, monkeypatch):
    monkeypatch.setitem(sys.modules, "plotly.offline", None)
    with pytest.raises(ImportError, match=r"needs Plotly; install it: pip install 'cmapjax\[study\]'"):
        report.write(results.folder)


def test_a_page_has_a_place_or_is_refused(results, tmp_path):
    with pytest.raises(ValueError, match="its folder does not exist"):
        report.write(results.folder, tmp_path / "no" / "page.html")
    with pytest.raises(ValueError, match="there is no such folder"):
        report.write(tmp_path / "nothing")


# -- strategies played on different markets, and those of which there is nothing --------------------


def _with_where(tmp_path, condition, failed=()):
    given = study_samples.document(markets=6, axes={"agents": [20, 100], "degree": [4], "spread": [0.5]})
    given |= {"where": [condition], "record": RECORDED}
    return study_samples.write(tmp_path / "x", given, failed=failed)


RECORDED = {"metrics": list(study_samples.METRICS), "every": 10, "curves": "none"}  # curves take long
ONLY_SMALL = "agents == 20 or schedule != 'coloured'"


def test_strategies_are_compared_on_the_markets_that_all_were_played_on(tmp_path):
    results = _with_where(tmp_path, ONLY_SMALL)
    data, frame = ReportData.from_results(results), results.frame()
    shared = _summary.common(data)
    assert (shared.markets, shared.of, shared.is_all) == (6, 12, False)
    assert set(shared.rows["agents"]) == {20}
    lines = _summary.by_play(data, shared.rows)
    assert [line.markets for line in lines] == [6] * 4
    pace = frame[(frame["agents"] == 20) & (frame["strategy"] == "proportional-response")]
    median = lines[3].medians["misallocated_share"].value
    assert median == pytest.approx(pace["misallocated_share"].median(), rel=1e-12)
    assert median != pytest.approx(_summary.by_play(data)[3].medians["misallocated_share"].value, rel=0.01)
    text = render(data, "x")
    assert "6 of 12 markets were played under every strategy" in text
    assert "On the markets that all strategies were played on" in text
    assert "Strategies were not all played on the same markets; charts show each on its own." in text
    apart = "(agents == 20 and schedule == 'coloured') or (agents == 100 and schedule != 'coloured')"
    (tmp_path / "apart").mkdir()
    text = render(ReportData.from_results(_with_where(tmp_path / "apart", apart)), "x")
    assert "0 of 12 markets were played under every strategy" in text
    assert "So strategies are not compared." in text
    assert "more than the first" not in text


@pytest.mark.parametrize("ground", [0, 1])
def test_a_strategy_of_which_nothing_was_played_is_named_and_the_page_is_made(tmp_path, ground):
    """Of a strategy that plays on one ground alone every chunk failed."""
    apart = "(agents == 20 and schedule == 'coloured') or (agents == 100 and schedule != 'coloured')"
    results = _with_where(tmp_path, apart, failed=[(ground, 0), (ground, 1)])
    data = ReportData.from_results(results)
    lines = _summary.by_play(data)
    names = [name for name, line in zip(data.plays, lines, strict=True) if line is None]
    assert len(names) == (1, 3)[ground]
    text = render(data, "x")
    assert f"Of these strategies no market has been played: {'; '.join(names)}." in text
    assert "worker killed" in text
    assert next(line for line in lines if line).difference is None


BARE_STUDY = {"name": "bare", "markets": 4, "rounds": 10, "cells": {"network": "er:n=20,degree=4"}}
SHAPES = {
    "one cell": ({"record": RECORDED}, {}),
    "one market": ({"record": RECORDED, "markets": 1}, {"parts": 1}),
    "curves": ({"record": RECORDED | {"curves": "quantiles"}}, {}),
    "no equilibrium": ({"equilibrium": False, "record": {"metrics": ["min_ratio"]}}, {}),
    "failed chunks alone": ({"record": RECORDED}, {"failed": [(0, 0), (0, 1)]}),
    "failed chunks alone, stopped by an interval": (
        {"record": RECORDED, "stop": {"interval": {"metric": "min_ratio", "width": 0.1}}},
        {"failed": [(0, 0), (0, 1)]},
    ),
}


@pytest.mark.parametrize("name", SHAPES)
def test_there_is_always_a_page_of_what_there_is(tmp_path, name):
    more, how = SHAPES[name]
    results = study_samples.write(tmp_path / "x", BARE_STUDY | more, **how)
    text = render(ReportData.from_results(results), "x")
    assert "<h2>Cells</h2>" in text
    assert ("No market has been played yet." in text) == ("failed" in name)


def test_there_is_a_page_if_no_metric_of_any_market_is_finite(tmp_path, monkeypatch):
    def nothing(*given):
        values = values_of(*given)
        return {k: np.full_like(v, np.nan) if k in study_samples.METRICS else v for k, v in values.items()}

    values_of = study_samples._values
    monkeypatch.setattr(study_samples, "_values", nothing)
    study = BARE_STUDY | {"record": RECORDED, "stop": {"interval": {"metric": "min_ratio", "width": 0.1}}}
    text = render(ReportData.from_results(study_samples.write(tmp_path / "x", study)), "x")
    assert "not finite" in text
    assert "a market is not finite" in text


def test_shares_above_all_have_their_reason_beside_them(tmp_path, monkeypatch):
    def more(*given):
        values = values_of(*given)
        return values | {"share_of_equilibrium": 1.2 * values["share_of_equilibrium"]}

    values_of = study_samples._values
    plain = study_samples.write(tmp_path / "plain", BARE_STUDY | {"record": RECORDED})
    assert "above 100 %" not in render(ReportData.from_results(plain), "x")
    monkeypatch.setattr(study_samples, "_values", more)
    cells = BARE_STUDY["cells"] | {"process": "gamma:cv=0.5"}
    varying = study_samples.write(tmp_path / "x", BARE_STUDY | {"record": RECORDED, "cells": cells})
    text = render(ReportData.from_results(varying), "x")
    assert "4 of 4 runs are above 100 % of the equilibrium&#39;s Nash welfare" in text
    assert "Their endowments vary (gamma:cv=0.5)" in text


def test_cells_have_mean_and_interval_by_which_drawing_stopped(tmp_path):
    given = study_samples.document(markets=160, axes={"agents": [20], "degree": [4], "spread": [0.5]})
    given["record"] = RECORDED
    given["stop"] = {"interval": {"metric": "share_of_equilibrium", "width": 0.05, "least": 40}}
    results = study_samples.write(tmp_path / "x", given)
    found, frame = results.intervals(), results.frame()
    assert found["mean"].tolist() == pytest.approx(
        frame.groupby("cell")["share_of_equilibrium"].mean().tolist(), rel=1e-12
    )
    assert found["is_reached"].tolist() == [True, False, True, True]  # the second starves some markets
    text = render(ReportData.from_results(results), "x")
    assert "mean share of equilibrium" in text
    assert "in 3 of 4 cells it is at most 0.05 wide (*)" in text
    low, high = (_summary.shown("share_of_equilibrium", x) for x in found.loc[1, ["low", "high"]])
    assert f"<span>[{low},</span> <span>{high}]</span>" in text
    del given["stop"]
    assert study_samples.write(tmp_path / "y", given).intervals() is None
