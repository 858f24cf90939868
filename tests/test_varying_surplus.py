"""Surplus that varies: tables and pictures of running averages, receipts of every round, records by name."""

import functools
import json

import numpy as np
import pandas as pd
import pytest
from commands import cmapjax
from sunny_village import HOURS, LINKS, SUN, write

import cmapjax as cj
from cmapjax import endowments as en
from cmapjax import metrics, plots
from cmapjax.cli import _receipts, _report
from cmapjax.cli._output import plain
from cmapjax.graphs import read_market


@pytest.fixture
def triangle(tmp_path):
    return read_market(write(tmp_path, "links.csv", LINKS))


# -- on the command line ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def night(tmp_path_factory):
    """A comparison under a trace that ends at night, with values in a table, receipts and pictures."""
    folder = tmp_path_factory.mktemp("night")
    write(folder, "links.csv", LINKS)
    write(folder, "values.csv", "agent,value\nwest,1\nmid,2\neast,1\n")
    hours = [*HOURS, "2030-05-01 20:00"]
    table = pd.DataFrame(SUN)[["east", "west", "mid"]]
    table = pd.concat([table, 0 * table[:1]])
    table.insert(0, "timestamp", hours)
    table.to_csv(folder / "sun.csv", index=False)
    done = cmapjax(
        *("simulate", folder / "links.csv", "--agents", folder / "values.csv"),
        *("--endowments", f"trace:{folder / 'sun.csv'}", "--rounds", 4),
        *("-s", "equal-split", "-s", "equal-split:schedule=sequential", "--receipts", folder / "r.csv"),
        *("--out", folder / "out", "--plot"),
    )
    assert done.returncode == 0, done.stderr
    return folder, done.stdout, json.loads((folder / "out" / "summary.json").read_text())


def test_under_surplus_that_varies_the_table_compares_running_averages(night):
    folder, printed, document = night
    assert "column 'timestamp' names no agent and is taken for the times of rounds" in printed
    assert "running averages" in printed
    assert document["compares"] == "running averages"
    final = document["runs"][0]["final"]
    assert final["share_of_equilibrium"]["value"] == 0  # at night nobody has anything
    share = final["average_share_of_equilibrium"]["value"]
    assert 0.5 < share < 1
    row = next(line for line in printed.splitlines() if line.startswith("equal-split sim"))
    assert _report.percent({"value": share}).split()[0] in row
    assert _report.amount(final["average_min_ratio"]) in row
    assert "starved" not in row
    agents = pd.read_csv(folder / "out" / "agents-equal-split-simultaneous.csv")
    assert (agents["utility"] == 0).all()
    assert agents["average_ratio"].min() == pytest.approx(final["average_min_ratio"]["value"])


def test_receipts_are_a_row_per_round_and_agent_with_times(night):
    folder, printed, _ = night
    table = pd.read_csv(folder / "r.csv")
    assert "receipts: 24 rows (4 rounds, 3 agents, 2 strategies)" in printed
    assert list(table.columns) == ["strategy", "round", "time", "agent", "received"]
    assert len(table) == 24
    assert table["time"].unique().tolist() == [*HOURS, "2030-05-01 20:00"]
    one = table[table["strategy"] == "equal-split simultaneous"].set_index(["round", "agent"])["received"]
    given = {agent: np.array([*SUN[agent], 0]) for agent in SUN}
    given["mid"] = 2 * given["mid"]  # its units are worth two
    for agent, others in (("west", ("mid", "east")), ("mid", ("west", "east")), ("east", ("west", "mid"))):
        np.testing.assert_allclose(one[:, agent], (given[others[0]] + given[others[1]]) / 2, atol=1e-15)


@pytest.mark.parametrize(("recorded", "written"), [(10**6, 10**6), (10**6, 6), (6, 10**6), (6, 1)])
def test_receipts_are_written_in_parts_that_fit(triangle, tmp_path, monkeypatch, recorded, written):
    """Whether rounds are recorded and written at once or a few at a time, rows and runs are the same."""
    monkeypatch.setattr(_receipts, "RECORDED_AT_ONCE", recorded)
    monkeypatch.setattr(_receipts, "WRITTEN_AT_ONCE", written)
    play = functools.partial(cj.simulate, triangle, cj.EqualSplit(), record=["received", "gini"])
    whole = play(rounds=5)
    with _receipts.receipts_to(tmp_path / "r.parquet", triangle, None) as receipts:
        run = receipts.played(play, 5, "even")
    assert list(run.records) == ["gini"]
    np.testing.assert_array_equal(run.rounds, whole.rounds)
    np.testing.assert_array_equal(run.records["gini"], whole.records["gini"])
    np.testing.assert_array_equal(run.final.flow, whole.final.flow)
    table = pd.read_parquet(tmp_path / "r.parquet")
    assert table["round"].tolist() == [k for k in range(1, 6) for _ in range(3)]
    assert table["agent"].tolist() == 5 * list(triangle.labels)
    np.testing.assert_array_equal(table["received"], whole.records["received"][1:].ravel())


def test_contradictions_and_zero_surplus_on_the_command_line(tmp_path):
    write(tmp_path, "ring.csv", "source,target\na,b\nb,c\nc,d\nd,a\n")
    path = write(tmp_path, "sun.csv", "d,c,b,a\n1,0,2,3\n3,0,2,5\n")
    words = ["simulate", tmp_path / "ring.csv", "--endowments", f"trace:{path}", "-s", "equal-split"]
    done = cmapjax(*words, "--rounds", 2)
    assert done.returncode == 2
    assert "sun.csv: column(s) 'c' are zero in every round" in done.stderr
    assert "--zero drop" in done.stderr
    agents = write(tmp_path, "a.csv", "agent,endowment\na,4\nb,2\nc,1\nd,2\n")
    done = cmapjax(*words, "--rounds", 2, "--agents", agents)
    assert done.returncode == 2
    assert "agent 'c' has 0 a round here on average, but an endowment of 1 in" in done.stderr
    assert "--receipts writes every round" in cmapjax(*words, "--every", 2, "--receipts", "r.csv").stderr
    assert "end its name in .csv, .tsv or .parquet" in cmapjax(*words, "--receipts", "r.txt").stderr


def test_constant_surplus_compares_the_last_round_as_ever(triangle):
    runs = [cj.simulate(triangle, cj.EqualSplit(), rounds=3, record=["log_nash_welfare", "certified_gap"])]
    assert not runs[0].varies
    share = _report.welfare_share(runs[0], None)
    np.testing.assert_array_equal(share, np.exp(-runs[0].records["certified_gap"]))
    reached = np.array([[False, True], [True, True], [False, False], [True, True]])
    first, never = _report._first_record(reached, for_good=False)
    assert (first.tolist(), never.tolist()) == ([1, 0], [False, False])
    first, never = _report._first_record(reached, for_good=True)
    assert (first.tolist(), never.tolist()) == ([3, 3], [False, False])
    first, never = _report._first_record(reached[:3], for_good=True)
    assert never.tolist() == [True, True]
    first, never = _report._first_record(np.ones((4, 1), bool), for_good=True)
    assert (first.tolist(), never.tolist()) == ([1], [False])


# -- records by name, receipts in Python, pictures -------------------------------------------------


def test_pictures_of_surplus_that_varies_are_of_averages(triangle):
    trace = en.Trace(pd.DataFrame(SUN))
    market = triangle.with_contributions(endowment=trace.means)
    best = cj.solve(market)
    run = cj.simulate(
        market, cj.EqualSplit(), rounds=3, endowments=trace, record=metrics.standard(best.utility)
    )
    figure = plots.comparison(market, {"even": run})
    assert "running averages" in figure.axes[0].get_ylabel()
    drawn = figure.axes[0].lines[0].get_ydata()
    expected = 100 * np.exp(run.records["average_log_nash_welfare"][:, 0] - best.log_nash_welfare[0])
    np.testing.assert_allclose(drawn[1:][expected[1:] > 0], expected[1:][expected[1:] > 0], rtol=1e-12)
    assert "running averages" in plots.convergence(market, {"even": run}).axes[0].get_ylabel()
    plain_run = cj.simulate(market, cj.EqualSplit(), rounds=3)
    assert "certified" in plots.convergence(market, {"even": plain_run}).axes[0].get_ylabel()


def test_metrics_can_be_recorded_by_their_names(triangle):
    run = cj.simulate(triangle, cj.EqualSplit(), rounds=2, record=["gini", "received"])
    assert set(run.records) == {"gini", "received"}
    whole = cj.simulate(triangle, cj.EqualSplit(), rounds=2)
    np.testing.assert_array_equal(run.records["gini"], whole.records["gini"])
    table = run.receipts(triangle, times=["dawn", "noon"])
    assert list(table.columns) == ["round", "time", "agent", "received"]
    assert table["round"].tolist() == [1, 1, 1, 2, 2, 2]
    assert table["time"].tolist() == ["dawn"] * 3 + ["noon"] * 3
    np.testing.assert_array_equal(table["received"][3:], run.final.utility)
    with pytest.raises(ValueError, match="times: 1 for 2 rounds"):
        run.receipts(triangle, times=["dawn"])
    with pytest.raises(ValueError, match=r"record=\[\"received\"\]"):
        whole.receipts(triangle)


@pytest.mark.parametrize(
    ("record", "words"),
    [
        (
            ["ginny"],
            "'ginny' is not a metric that is known by name; give some of log_nash_welfare, .*received",
        ),
        (["gini", "gini"], "gini is given twice"),
        (["share_of_equilibrium"], r"compares with the equilibrium; give record=metrics\.standard"),
        ("gini", "record is 'gini'; give a list of names"),
        ([metrics.gini], "give a list of names"),
    ],
)
def test_names_that_are_no_metrics_are_refused(triangle, record, words):
    with pytest.raises(ValueError, match=words):
        cj.simulate(triangle, cj.EqualSplit(), record=record)


def test_json_has_no_negative_zero():
    text = json.dumps(
        plain({"a": -0.0, "b": np.array([-0.0, 1]), "c": [np.float64(-0.0), -0.5, float("nan")]})
    )
    assert text == '{"a": 0.0, "b": [0.0, 1.0], "c": [0.0, -0.5, null]}'
