"""Traces: times beside them, columns matched with agents by name, and means that must be the market's."""

import io
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest
import xarray as xr
from sunny_village import HOURS, LINKS, SUN, sunny, write

import cmapjax as cj
from cmapjax import endowments as en
from cmapjax.graphs import read_market, read_trace


@pytest.fixture
def triangle(tmp_path):
    return read_market(write(tmp_path, "links.csv", LINKS))


# -- times -----------------------------------------------------------------------------------------

TIMES = {
    "timestamp": HOURS,
    "Time (UTC)": HOURS,
    "Unnamed: 0": ["0", "1", "2"],
    "": ["0", "1", "2"],
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


def test_nothing_warns_where_times_ascend(tmp_path, triangle):
    path = write(tmp_path, "sun.csv", sunny(times=HOURS))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        en.Trace(read_trace(path, triangle))


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
    "a name too many": (lambda: frame().assign(north=1.0), "'north' is not an agent"),
    "a name twice": (lambda: frame(("mid", "mid", "west")), "no number for 1"),
    "times as a column": (lambda: pd.read_csv(_stamped()), "column 'timestamp' holds.*set_index"),
    "missing": (lambda: frame().replace(3.0, np.nan), "trace: agent 'east' has nan in round 2"),
    "a mapping": (lambda: SUN, r"trace is a mapping; give a table, such as pandas\.DataFrame"),
}


def _stamped():
    return io.StringIO(sunny(times=HOURS))


@pytest.mark.parametrize("case", BAD_TABLES)
def test_tables_that_do_not_fit_are_refused(triangle, case):
    make, words = BAD_TABLES[case]
    with pytest.raises(ValueError, match=words):
        en.Trace(make()).matched(triangle)


def test_a_trace_of_other_means_than_the_market_s_is_refused(triangle):
    trace = en.Trace(frame())
    with pytest.raises(
        ValueError,
        match=r"agent 'west' has 2 a round on average, but an endowment of 1 in the market \(2 such",
    ):
        cj.simulate(triangle, cj.EqualSplit(), rounds=1, endowments=trace)
    rounded = triangle.with_contributions(endowment={"west": 2, "mid": 0.5, "east": 1.0009})
    trace.check(rounded, 3)
    with pytest.raises(ValueError, match="agent 'east'"):
        trace.check(rounded.with_contributions(endowment={"west": 2, "mid": 0.5, "east": 1.002}), 3)


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
