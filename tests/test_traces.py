"""Traces: times beside them, agents without surplus, tables that say otherwise, and what was received."""

import json
import subprocess
import sys
import warnings

import networkx as nx
import numpy as np
import pandas as pd
import polars as pl
import pytest
import xarray as xr

import cmapjax as cj
from cmapjax import endowments as en
from cmapjax import metrics
from cmapjax._cli import _receipts, _report
from cmapjax._cli._output import plain
from cmapjax._file_options import FileOptions
from cmapjax.graphs import read_market, read_trace
from cmapjax.graphs._trace import market_with_trace

LINKS = "source,target\nwest,mid\nmid,east\neast,west\n"
SUN = {"west": [0.0, 2.0, 4.0], "mid": [0.0, 1.0, 0.5], "east": [0.0, 0.0, 3.0]}
HOURS = ["2030-05-01 05:00", "2030-05-01 06:00", "2030-05-01 07:00"]


def write(folder, name, text):
    path = folder / name
    path.write_text(text)
    return path


def sunny(order=("east", "west", "mid"), times=None, name="timestamp"):
    """The trace as text, its columns in this order, perhaps behind a column of times."""
    table = pd.DataFrame({agent: SUN[agent] for agent in order})
    if times is not None:
        table.insert(0, name, times, allow_duplicates=True)
    return table.to_csv(index=False)


@pytest.fixture
def triangle(tmp_path):
    return read_market(write(tmp_path, "links.csv", LINKS))


def run_command(*words):
    return subprocess.run(
        [sys.executable, "-m", "cmapjax", *map(str, words)], capture_output=True, text=True, check=False
    )


# -- times -----------------------------------------------------------------------------------------

TIMES = {
    "timestamp": HOURS,
    "Time (UTC)": HOURS,
    "DATE": ["2030-05-01", "2030-05-02", "2030-05-03"],
    "hour": ["5", "6", "7"],
    "Unnamed: 0": ["0", "1", "2"],
    "": ["0", "1", "2"],
    "index": ["0", "1", "2"],
    "utc_timestamp": HOURS,
    "Ablesung": ["01.05.2030 05:00", "01.05.2030 06:00", "02.05.2030 05:00"],  # no known word, but dates
    "when": ["05:00", "06:00", "07:00"],
}


@pytest.mark.parametrize("name", TIMES)
def test_a_first_column_of_times_names_the_rounds(tmp_path, triangle, name):
    table = read_trace(write(tmp_path, "sun.csv", sunny(times=TIMES[name], name=name)), triangle)
    assert list(table.columns) == list(triangle.labels)
    assert table.index.tolist() == TIMES[name]
    assert table.index.name == (name or "time")
    np.testing.assert_array_equal(table["west"], SUN["west"])
    trace = en.Trace(table)
    assert trace.times == tuple(TIMES[name])
    assert trace.means.to_dict() == {agent: np.mean(x) for agent, x in SUN.items()}


def test_date_and_hour_in_two_columns_are_joined(tmp_path, triangle):
    rows = "date,hour,mid,east,west\n" + "".join(
        f"2030-05-01,{hour},{SUN['mid'][k]},{SUN['east'][k]},{SUN['west'][k]}\n"
        for k, hour in enumerate((5, 6, 7))
    )
    table = read_trace(write(tmp_path, "sun.csv", rows), triangle)
    assert table.index.tolist() == ["2030-05-01 5", "2030-05-01 6", "2030-05-01 7"]
    np.testing.assert_array_equal(table["mid"], SUN["mid"])


def test_a_trace_without_times_has_none(tmp_path, triangle):
    table = read_trace(write(tmp_path, "sun.csv", sunny()), triangle)
    assert en.Trace(table).times is None
    np.testing.assert_array_equal(table.to_numpy(), np.array([SUN[a] for a in triangle.labels]).T)


def test_an_agent_called_time_keeps_its_column(tmp_path):
    market = read_market(write(tmp_path, "links.csv", LINKS.replace("mid", "time")))
    text = sunny(order=("mid", "east", "west")).replace("mid", "time")
    table = read_trace(write(tmp_path, "sun.csv", text), market)
    assert en.Trace(table).times is None
    np.testing.assert_array_equal(table["time"], SUN["mid"])


def test_columns_that_are_neither_agents_nor_times_are_refused(tmp_path, triangle):
    for text in (sunny(times=["a", "b", "c"], name="note"), sunny().replace("mid", "Mid")):
        path = write(tmp_path, "sun.csv", text)
        with pytest.raises(ValueError, match=r"sun\.csv, line 1: column\(s\) '(note|Mid)' name no agent"):
            read_trace(path, triangle)


@pytest.mark.parametrize(
    ("times", "words"),
    [
        ([HOURS[0], HOURS[2], HOURS[1]], "line 4: the time '2030-05-01 06:00' does not come after"),
        ([HOURS[0], HOURS[1], HOURS[1]], "line 4: the time '2030-05-01 06:00' does not come after"),
        (["7", "6", "5"], "line 3: the time '6' does not come after '7'"),
        (["1.5.30", "2.5.30", "1.5.30"], "the times '1.5.30' occur more than once"),
    ],
)
def test_times_out_of_order_are_said_and_rounds_stay_in_the_order_of_rows(tmp_path, triangle, times, words):
    path = write(tmp_path, "sun.csv", sunny(times=times))
    with pytest.warns(UserWarning, match=words):
        table = read_trace(path, triangle)
    np.testing.assert_array_equal(table["west"], SUN["west"])


# -- traces from tables in memory ------------------------------------------------------------------


def spent(market, trace):
    """What every agent spends in each round, by label."""
    run = cj.simulate(market, cj.EqualSplit(), rounds=3, endowments=trace, record={"given": _given})
    return dict(zip(market.labels, run.records["given"][1:].T, strict=True))


def _given(market, state):
    return market.gave(state.flow)


def frame(order=("east", "west", "mid"), **more):
    return pd.DataFrame({agent: SUN[agent] for agent in order}, **more)


def named_tables():
    stamped = frame(index=pd.DatetimeIndex(HOURS))
    array = xr.DataArray(stamped.to_numpy().T, [("agent", list(stamped)), ("hour", [5, 6, 7])])
    return {
        "frame": frame(),
        "stamped": stamped,
        "polars": pl.DataFrame(frame()),
        "xarray": array,
        "xarray, rounds first": array.T,
    }


@pytest.mark.parametrize("kind", named_tables())
def test_named_columns_are_matched_with_the_agents(triangle, kind):
    trace = en.Trace(named_tables()[kind])
    market = triangle.with_contributions(endowment=trace.means)
    assert dict(zip(market.labels, market.endowment, strict=True)) == trace.means.to_dict()
    for agent, amounts in spent(market, trace).items():
        np.testing.assert_allclose(amounts, SUN[agent], atol=1e-15)


def test_times_of_a_frame_are_kept_and_default_numbers_are_none():
    assert en.Trace(frame(index=pd.DatetimeIndex(HOURS))).times[1] == pd.Timestamp(HOURS[1])
    assert en.Trace(frame()).times is None
    with pytest.warns(UserWarning, match=r"2030-05-01 05:00:00 \(row 2\) does not come after"):
        en.Trace(frame(index=pd.DatetimeIndex([HOURS[1], HOURS[2], HOURS[0]])))


BAD_TABLES = {
    "transposed": (lambda: frame().T, "its rows are the agents"),
    "another name": (lambda: frame().rename(columns={"mid": "Mid"}), r"no number for 1 agent\(s\) \('mid'\)"),
    "a name too many": (lambda: frame().assign(north=1.0), "'north' is not an agent"),
    "a name twice": (lambda: frame(("mid", "mid", "west")), "no number for 1"),
    "times as a column": (lambda: pd.read_csv(_stamped()), "column 'timestamp' holds.*set_index"),
    "hours as a column": (lambda: frame().assign(hour=[5, 6, 7]), "'hour' is not an agent"),
    "missing": (lambda: frame().replace(3.0, np.nan), "trace: agent 'east' has nan in round 2"),
    "a mapping": (lambda: SUN, r"trace is a mapping; give a table, such as pandas\.DataFrame"),
}


def _stamped():
    import io

    return io.StringIO(sunny(times=HOURS))


@pytest.mark.parametrize("case", BAD_TABLES)
def test_tables_that_do_not_fit_are_refused(triangle, case):
    make, words = BAD_TABLES[case]
    with pytest.raises(ValueError, match=words):
        en.Trace(make()).matched(triangle)


def test_a_trace_of_other_means_than_the_market_s_is_refused(triangle):
    trace = en.Trace(frame())
    with pytest.raises(
        ValueError, match=r"agent 'west' has 2 a round on average, but an endowment of 1 in the market \(2 such"
    ):
        cj.simulate(triangle, cj.EqualSplit(), rounds=1, endowments=trace)
    rounded = triangle.with_contributions(endowment={"west": 2, "mid": 0.5, "east": 1.0009})
    trace.check(rounded, 3)
    with pytest.raises(ValueError, match="agent 'east'"):
        trace.check(rounded.with_contributions(endowment={"west": 2, "mid": 0.5, "east": 1.002}), 3)


# -- agents without surplus ------------------------------------------------------------------------

LINE = "source,target\nshop,house\nhouse,roof\nroof,barn\nbarn,shop\nbarn,hut\n"


@pytest.mark.parametrize("zero", ["0", "0.0", "-0.0", "0e3", ".0"])
def test_a_table_with_agents_without_surplus_says_what_that_means_or_drops_them(tmp_path, zero):
    links = write(tmp_path, "links.csv", LINE)
    agents = write(tmp_path, "a.csv", f"agent,endowment\nshop,2\nhouse,{zero}\nroof,1\nbarn,4\nhut,3\n")
    with pytest.raises(
        ValueError, match=rf"a\.csv, line 3: endowment of agent 'house' is '{zero}': an agent w"
    ):
        read_market(links, agents=agents)
    with pytest.raises(ValueError, match=r"weight zero and receives nothing .* with zero='drop'"):
        read_market(links, agents=agents)
    market = read_market(links, agents=agents, zero="drop")
    assert market.origin.dropped_zero == ("house",)
    assert dict(zip(market.labels, market.endowment, strict=True)) == {
        "shop": 2,
        "roof": 1,
        "barn": 4,
        "hut": 3,
    }
    assert market.num_links == 3
    assert "dropped 1 agents without surplus: 'house'" in market.origin.told()


def test_numbers_too_small_to_hold_are_not_taken_for_zero(tmp_path):
    links = write(tmp_path, "links.csv", LINE)
    agents = write(tmp_path, "a.csv", "agent,endowment\nshop,2\nhouse,1e-999\nroof,1\nbarn,4\nhut,3\n")
    with pytest.raises(ValueError, match="'house' is '1e-999'; it must be finite and above zero"):
        read_market(links, agents=agents, zero="drop")


def test_a_value_of_zero_is_refused_as_before(tmp_path):
    links = write(tmp_path, "links.csv", LINE)
    agents = write(tmp_path, "a.csv", "agent,value\nshop,2\nhouse,0\nroof,1\nbarn,4\nhut,3\n")
    with pytest.raises(ValueError, match="value of agent 'house' is '0'; it must be finite and above zero"):
        read_market(links, agents=agents, zero="drop")


def test_who_loses_all_neighbours_by_that_is_isolated(tmp_path):
    links = write(tmp_path, "links.csv", LINE)
    table = pd.DataFrame({"agent": ["shop", "house", "roof", "barn", "hut"], "endowment": [2, 5, 1, 0, 3.0]})
    table.to_parquet(tmp_path / "a.parquet")
    with pytest.raises(ValueError, match=r"without the 1 agent\(s\) that have no surplus: .*\('hut'\)"):
        read_market(links, agents=tmp_path / "a.parquet", zero="drop")
    market = read_market(links, agents=tmp_path / "a.parquet", zero="drop", drop_isolated=True)
    assert (market.origin.dropped_zero, market.origin.dropped_isolated) == (("barn",), ("hut",))
    assert list(market.labels) == ["shop", "house", "roof"]
    with pytest.raises(ValueError, match="zero is 'keep'; give reject or drop"):
        read_market(links, zero="keep")


def test_attributes_and_named_networks_have_the_same_policy(tmp_path):
    graph = nx.cycle_graph(4)
    nx.set_node_attributes(graph, {0: 1.0, 1: 0.0, 2: 2.0, 3: 3.0}, "kWh")
    nx.write_graphml(graph, tmp_path / "g.graphml")
    with pytest.raises(ValueError, match=r"kWh of agent '1' is '0\.0': an agent without surplus"):
        read_market(tmp_path / "g.graphml", endowment_attribute="kWh")
    market = read_market(tmp_path / "g.graphml", endowment_attribute="kWh", zero="drop")
    assert (list(market.labels), market.origin.dropped_zero) == ([0, 2, 3], (1,))
    names = list(nx.karate_club_graph())
    table = pd.DataFrame({"agent": names, "endowment": [0.0 if name == 5 else 1 + name for name in names]})
    table.to_csv(tmp_path / "a.csv", index=False)
    karate = read_market("karate", agents=tmp_path / "a.csv", zero="drop")
    assert karate.origin.dropped_zero == (5,)
    assert karate.endowment[karate.index(7)] == 8


def dark(tmp_path):
    """A ring of four of whom one never has surplus."""
    market = read_market(write(tmp_path, "ring.csv", "source,target\na,b\nb,c\nc,d\nd,a\n"))
    return market, write(tmp_path, "sun.csv", "d,c,b,a\n1,0,2,3\n3,0,2,5\n")


def test_an_agent_who_never_has_surplus_is_named_with_the_file_or_dropped(tmp_path):
    market, path = dark(tmp_path)
    words = r"sun\.csv: column\(s\) 'c' are zero in every round. The columns' means are .* with --zero drop"
    with pytest.raises(ValueError, match=words):
        market_with_trace(path, market, FileOptions(place="command"))
    less, table = market_with_trace(path, market, FileOptions(zero="drop"))
    assert less.origin.dropped_zero == ("c",)
    assert list(less.labels) == list(table.columns) == ["a", "b", "d"]
    assert less.endowment.tolist() == [4, 2, 2]
    np.testing.assert_array_equal(read_trace(path, less), table)  # the column of who was dropped is known


def test_a_trace_that_contradicts_the_agents_table_is_refused(tmp_path):
    links = write(tmp_path, "links.csv", LINKS)
    path = write(tmp_path, "sun.csv", sunny())
    agents = write(tmp_path, "a.csv", "agent,endowment\nwest,2\nmid,1.5\neast,1\n")
    market = read_market(links, agents=agents)
    words = (
        r"sun\.csv: agent 'mid' has 0\.5 a round here on average, but an endowment of 1\.5 in a\.csv \(1 such"
    )
    with pytest.raises(ValueError, match=words):
        market_with_trace(path, market, FileOptions(), given_in="a.csv")
    agents = write(tmp_path, "a.csv", "agent,endowment\nwest,2\nmid,0.5\neast,0\n")
    market = read_market(links, agents=agents, zero="drop")
    with pytest.raises(
        ValueError, match=r"agent 'east' has 1 a round here on average, but an endowment of 0 in"
    ):
        market_with_trace(path, market, FileOptions(zero="drop"), given_in="a.csv")
    market = read_market(links, agents=write(tmp_path, "a.csv", "agent,endowment\nwest,2\nmid,0.5\neast,1\n"))
    assert market_with_trace(path, market, FileOptions(), given_in="a.csv")[0] is market


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
    done = run_command(
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


def test_receipts_are_written_in_parts_that_fit(triangle, tmp_path, monkeypatch):
    """Whether rounds are recorded and written at once or a few at a time, the rows are the same."""
    run = cj.simulate(triangle, cj.EqualSplit(), rounds=5, record=["received"])
    for written in (10**6, 6):
        monkeypatch.setattr(_receipts, "WRITTEN_AT_ONCE", written)
        with _receipts.receipts_to(tmp_path / "r.parquet", triangle, None) as receipts:
            assert "received" not in receipts.taken_from(run, "even").records
        table = pd.read_parquet(tmp_path / "r.parquet")
        assert table["round"].tolist() == [k for k in range(1, 6) for _ in range(3)]
        assert table["agent"].tolist() == 5 * list(triangle.labels)
        np.testing.assert_array_equal(table["received"], run.records["received"][1:].ravel())
    assert _receipts.rounds_at_once(triangle, 7) == 7
    monkeypatch.setattr(_receipts, "RECORDED_AT_ONCE", 6)
    assert _receipts.rounds_at_once(triangle, 7) == 2


def test_contradictions_and_zero_surplus_on_the_command_line(tmp_path):
    _, path = dark(tmp_path)
    words = ["simulate", tmp_path / "ring.csv", "--endowments", f"trace:{path}", "-s", "equal-split"]
    done = run_command(*words, "--rounds", 2)
    assert done.returncode == 2
    assert "sun.csv: column(s) 'c' are zero in every round" in done.stderr
    assert "--zero drop" in done.stderr
    agents = write(tmp_path, "a.csv", "agent,endowment\na,4\nb,2\nc,1\nd,2\n")
    done = run_command(*words, "--rounds", 2, "--agents", agents)
    assert done.returncode == 2
    assert "agent 'c' has 0 a round here on average, but an endowment of 1 in" in done.stderr
    assert "--receipts writes every round" in run_command(*words, "--every", 2, "--receipts", "r.csv").stderr
    assert "end the file's name in" in run_command(*words, "--receipts", "r.txt").stderr


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
    from cmapjax import plots

    trace = en.Trace(frame())
    market = triangle.with_contributions(endowment=trace.means)
    best = cj.solve(market)
    run = cj.simulate(
        market, cj.EqualSplit(), rounds=3, endowments=trace, record=metrics.standard(best.utility)
    )
    figure = plots.comparison(market, {"even": run})
    assert "running averages" in figure.axes[0].get_ylabel()
    drawn = next(line for line in figure.axes[0].lines if line.get_gid() == "run").get_ydata()
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


# -- in studies ------------------------------------------------------------------------------------


def study(folder, network="file:links.csv", **cells):
    words = {"network": network, "process": "trace:sun.csv", "strategy": "equal-split"} | cells
    lines = ['name = "sun"', "seed = 1", "rounds = 3", "markets = 1", "[cells]"]
    lines += [f'{key} = "{value}"' for key, value in words.items()]
    return cj.studies.parse_study("\n".join(lines), folder=folder)


def test_studies_read_times_drop_zero_and_refuse_contradictions(tmp_path):
    from cmapjax.studies._build import fixed_market, process

    write(tmp_path, "links.csv", LINKS)
    write(tmp_path, "sun.csv", sunny(times=HOURS))
    read = study(tmp_path)
    read.check()
    assert fixed_market(read, read.grounds()[0]).endowment.tolist() == [2, 0.5, 1]
    np.testing.assert_array_equal(process(read, read.grounds()[0]).values[:, 0], SUN["west"])
    with pytest.raises(
        ValueError, match=r"endowment = 'pareto:alpha=2' draws what agents bring .* records it"
    ):
        study(tmp_path, endowment="pareto:alpha=2").check()
    write(tmp_path, "a.csv", "agent,endowment\nwest,3\nmid,0.5\neast,1\n")
    with pytest.raises(ValueError, match=r"agent 'west' has 2 a round here on average, but .* 3 in a\.csv"):
        study(tmp_path, "file:links.csv,agents=a.csv").check()
    write(tmp_path, "a.csv", "agent,value\nwest,3\nmid,0.5\neast,1\n")
    valued = study(tmp_path, "file:links.csv,agents=a.csv")
    valued.check()
    assert fixed_market(valued, valued.grounds()[0]).endowment.tolist() == [2, 0.5, 1]
    write(tmp_path, "links.csv", LINKS + "west,north\nmid,north\n")
    write(tmp_path, "sun.csv", sunny().replace("\n", ",0\n").replace(",0\n", ",north\n", 1))
    with pytest.raises(ValueError, match=r'column\(s\) \'north\' are zero .* network = "file:…,zero=drop"'):
        study(tmp_path).check()
    less = study(tmp_path, "file:links.csv,zero=drop")
    less.check()
    assert fixed_market(less, less.grounds()[0]).origin.dropped_zero == ("north",)


def test_nothing_warns_where_times_ascend(tmp_path, triangle):
    path = write(tmp_path, "sun.csv", sunny(times=HOURS))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        en.Trace(read_trace(path, triangle))
