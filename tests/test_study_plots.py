"""Charts of a study for papers: what they show is what the tables say, at the size asked for."""

import re

import numpy as np
import pandas as pd
import pytest
import study_samples

from cmapjax import plots
from cmapjax.plots import _tables


@pytest.fixture(scope="module")
def frames(tmp_path_factory):
    results = study_samples.write(tmp_path_factory.mktemp("studies") / "made up")
    return results.frame(), results.curves()


def legend(figure) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]


PLAYS = [
    "cmap, coloured, undamped",
    "cmap, simultaneous, undamped",
    "cmap, simultaneous, damping local",
    "proportional-response, simultaneous, undamped",
]


def test_a_line_is_the_median_of_the_cells_medians_and_bands_lie_around_it(frames):
    summary, curves = frames
    figure = plots.convergence_bands(curves, summary, metric="misallocated_share", where={"agents": 20})
    panel = figure.axes[0]
    lines = [line for line in panel.lines if not line.get_label().startswith("_")]
    assert legend(figure) == PLAYS
    cells = summary[(summary["agents"] == 20) & (summary["schedule"] == "coloured")]["cell"].unique()
    some = curves[(curves["metric"] == "misallocated_share") & curves["cell"].isin(cells)]
    wanted = some.groupby("round")["q50"].median()
    np.testing.assert_array_equal(lines[0].get_xdata(), wanted.index)
    np.testing.assert_allclose(lines[0].get_ydata(), np.maximum(wanted, 1e-12), rtol=1e-12)
    assert len(panel.collections) == 2 * len(PLAYS)
    assert panel.get_yscale() == "log"


def test_the_clock_counts_updates_per_agent(frames):
    summary, curves = frames
    figure = plots.convergence_bands(curves, summary, clock="agent updates")
    ends = [line.get_xdata()[-1] for line in figure.axes[0].lines[:4]]
    assert ends == [200, 200, 200, 100]  # as made up: the last acts half as often
    assert figure.axes[0].get_xlabel() == "agent updates per agent"


def test_infinite_quantiles_are_drawn_at_a_marked_edge(frames, recwarn):
    summary, curves = frames
    panel = plots.convergence_bands(curves, summary, metric="certified_gap").axes[0]
    assert any("infinite" in text.get_text() for text in panel.texts)
    assert all(np.isfinite(line.get_ydata()).all() for line in panel.lines)
    assert [w for w in recwarn if issubclass(w.category, RuntimeWarning)] == []


def test_a_distribution_ends_where_markets_are_not_finite_and_says_how_many(frames):
    summary, _ = frames
    figure = plots.distributions(summary, metric="certified_gap")
    one = summary[(summary["schedule"] == "simultaneous") & (summary["damping"] == "none")]
    one = one[one["strategy"] == "cmap"]
    lost = int(one["certified_gap"].isna().sum())
    assert lost > 0
    assert legend(figure)[1] == f"{PLAYS[1]} ({lost} of {len(one)} not finite)"
    line = figure.axes[0].lines[1]
    assert line.get_ydata()[-1] == pytest.approx(100 * (1 - lost / len(one)))
    np.testing.assert_allclose(line.get_xdata(), np.sort(one["certified_gap"].dropna()), rtol=1e-12)


def test_tiles_hold_the_median_of_the_cells_medians(frames):
    summary, _ = frames
    some = {"strategy": "proportional-response"}
    figure = plots.heat_map(summary, "agents", "degree", metric="min_ratio", where=some)
    rows = summary[summary["strategy"] == "proportional-response"]
    medians = (
        rows.groupby(["degree", "agents", "cell"])["min_ratio"]
        .median()
        .groupby(["degree", "agents"])
        .median()
    )
    drawn = np.asarray(figure.axes[0].images[0].get_array())
    np.testing.assert_allclose(drawn, medians.unstack().to_numpy(), rtol=1e-12)
    texts = [float(text.get_text()) for text in figure.axes[0].texts]
    np.testing.assert_allclose(texts, drawn.ravel(), rtol=5e-3)
    assert len(set(texts)) == 4  # digits enough to tell tiles apart


def test_a_tile_whose_median_market_is_infinite_says_so(frames):
    summary = frames[0].assign(certified_gap=np.nan)
    figure = plots.heat_map(summary, "agents", "degree", metric="certified_gap")
    assert {text.get_text() for text in figure.axes[0].texts} == {"not finite"}


def test_shares_of_verdicts_add_up_and_are_those_counted(frames):
    summary, _ = frames
    panel = plots.verdict_shares(summary).axes[0]
    widths = {bars.get_label(): [bar.get_width() for bar in bars] for bars in panel.containers}
    np.testing.assert_allclose(np.sum(list(widths.values()), axis=0), 100)
    names = _tables.play_names(summary)
    counted = 100 * pd.crosstab(names, summary["verdict"].astype(str), normalize="index").loc[PLAYS]
    np.testing.assert_allclose(widths["starved for now"], counted["starved for now"])
    hatches = [bars[0].get_hatch() for bars in panel.containers]
    assert len(set(hatches)) == len(hatches)


def test_bars_may_be_those_of_an_axis(frames):
    panel = plots.verdict_shares(frames[0], by="degree").axes[0]
    assert {text.get_text() for text in panel.texts} >= {"degree 4", "degree 6"}


@pytest.mark.parametrize("ending", ["pdf", "svg", "png"])
def test_files_are_of_column_width_with_fonts_inside(frames, tmp_path, ending):
    path = tmp_path / f"chart.{ending}"
    plots.save(plots.verdict_shares(frames[0]), path)
    content = path.read_bytes()
    if ending == "pdf":
        width = float(re.search(rb"/MediaBox \[ 0 0 ([0-9.]+) ", content)[1]) / 72
        assert b"/FontFile2" in content  # TrueType, embedded
        assert b"/Type3" not in content
    elif ending == "svg":
        width = float(re.search(rb'width="([0-9.]+)pt"', content)[1]) / 72
        assert b"<text" not in content  # letters are drawn
    else:
        width = int.from_bytes(content[16:20]) / 150
    assert width == pytest.approx(plots.COLUMN_WIDTH, abs=0.01)


def test_an_axis_of_many_numbers_is_put_into_ranges_and_words_keep_their_order():
    labels, place = _tables.levels(pd.Series(np.linspace(0, 1, 60)))
    assert len(labels) == 6
    assert np.bincount(place).tolist() == [10] * 6
    labels, place = _tables.levels(pd.Series(np.arange(13)))
    assert labels == ["0 to 1", "2 to 3", "4 to 5", "6 to 7", "8 to 9", "10 to 12"]
    assert place.tolist() == [
        0,
        0,
        1,
        1,
        2,
        2,
        3,
        3,
        4,
        4,
        5,
        5,
        5,
    ]  # a border belongs to the range it begins
    assert _tables.levels(pd.Series(["none", "0.5", "none"]))[0] == ["none", "0.5"]
    labels, place = _tables.levels(pd.Series([100, 20, 100]))
    assert labels == ["20", "100"]
    assert place.tolist() == [1, 0, 1]
    assert _tables.levels(pd.Series([0.1234567, 0.1234568]))[0] == ["0.1234567", "0.1234568"]


def test_names_leave_out_what_never_differs():
    one = pd.DataFrame({"strategy": ["cmap", "pr"], "schedule": "simultaneous", "damping": "none"})
    assert _tables.play_names(one).tolist() == ["cmap", "pr"]


def test_what_cannot_be_drawn_is_refused(frames):
    summary, curves = frames
    with pytest.raises(ValueError, match="clock is 'hours'; give one of rounds, agent updates"):
        plots.convergence_bands(curves, summary, clock="hours")
    with pytest.raises(ValueError, match="metric 'wealth' is not among the curves; recorded: certified_gap"):
        plots.convergence_bands(curves, summary, metric="wealth")
    with pytest.raises(ValueError, match="metric 'verdict' is no column of numbers"):
        plots.distributions(summary, metric="verdict")
    with pytest.raises(ValueError, match="axis 'colour' is not in the summary"):
        plots.heat_map(summary, "agents", "colour")
    with pytest.raises(ValueError, match="across and down are both 'agents'; give two axes"):
        plots.heat_map(summary, "agents", "agents")
    with pytest.raises(ValueError, match="no market fits"):
        plots.verdict_shares(summary, where={"agents": 21})
    with pytest.raises(ValueError, match="verdict is 'happy'; known are not finite"):
        plots.verdict_shares(summary.assign(verdict="happy"))


def test_shares_above_all_have_their_reason_on_the_axis(frames):
    summary, curves = frames
    above = summary.assign(share_of_equilibrium=1.1 * summary["share_of_equilibrium"])
    raised = curves.assign(**{q: 1.1 * curves[q] for q in _tables.QUANTILES})
    reason = "above 100: rounds with more than mean surplus"
    for some, lines in ((summary, curves), (above, raised)):
        texts = [
            plots.distributions(some).axes[0].get_xlabel(),
            plots.convergence_bands(lines, some).axes[0].get_ylabel(),
            plots.heat_map(some, "agents", "degree").axes[0].get_title(loc="left"),
        ]
        assert [reason in text for text in texts] == [some is above] * 3
    assert reason not in plots.distributions(above, metric="min_ratio").axes[0].get_xlabel()
