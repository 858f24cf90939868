"""Priorities, demands, capacities and what else markets may have, in files and on the command line."""

import csv
import json

import numpy as np
import pytest

import cmapjax as cj
from tests.commands import cmapjax

INF = np.inf
LINKS = "source,target,Capacity,efficiency\ndonor,small,,\ndonor,town,inf,1\ndonor,hill,1.5,\n"
AGENTS = """agent,endowment,priority,demand,own_use
donor,6,0,,
small,0,1,0.5,0.25
town,0,2,,0
hill,0,2,inf,
"""
ONE = "source,target\na,b\n"


@pytest.fixture
def files(tmp_path):
    links, agents = tmp_path / "links.csv", tmp_path / "agents.csv"
    links.write_text(LINKS)
    agents.write_text(AGENTS)
    return links, agents


def test_columns_become_fields_and_blanks_what_holds_without(files):
    links, agents = files
    market = cj.graphs.read_market(links, agents=agents, directed=True)
    assert list(market.labels) == ["donor", "small", "town", "hill"]
    assert market.priority.tolist() == [0, 1, 2, 2]
    assert market.demand.tolist() == [INF, 0.5, INF, INF]
    assert market.own_use.tolist() == [0, 0.25, 0, 0]
    giver, _ = market.arcs()
    assert market.arc_values(market.capacity)[giver == 0].tolist() == [INF, INF, 1.5]
    assert market.arc_values(market.capacity)[giver != 0].tolist() == [0, 0, 0]


def test_links_both_ways_have_the_capacity_both_ways(files):
    market = cj.graphs.read_market(files[0])
    assert sorted(market.arc_values(market.capacity).tolist()) == [1.5, 1.5, INF, INF, INF, INF]


def test_a_blank_priority_is_the_contribution(tmp_path):
    agents = tmp_path / "agents.csv"
    agents.write_text("agent,endowment,value,priority\na,2,3,\nb,0,1,5\n")
    links = tmp_path / "links.csv"
    links.write_text("source,target\na,b\n")
    assert cj.graphs.read_market(links, agents=agents).priority.tolist() == [6, 5]


def test_a_table_gives_fields_to_a_network_known_by_name(tmp_path):
    agents = tmp_path / "agents.csv"
    agents.write_text("agent,demand\n" + "".join(f"{i},1\n" for i in range(34)))
    market = cj.graphs.read_market("karate", agents=agents)
    assert market.terms == ("demand",)
    assert np.exp(np.log(cj.solve(market).utility).mean()) == pytest.approx(0.742418564850, abs=1e-11)


def test_a_table_in_parquet(tmp_path):
    import pandas as pd

    links, agents = tmp_path / "links.csv", tmp_path / "agents.parquet"
    links.write_text("source,target\na,b\n")
    pd.DataFrame({"agent": ["a", "b"], "endowment": [1.0, 0.0], "demand": [None, 2.0]}).to_parquet(agents)
    market = cj.graphs.read_market(links, agents=agents)
    assert market.demand.tolist() == [INF, 2]
    assert market.endowment.tolist() == [1, 0]


def test_agents_without_surplus_stay_in_a_directed_network_or_leave_on_request(tmp_path):
    links, agents = tmp_path / "links.csv", tmp_path / "agents.csv"
    links.write_text("source,target,capacity\na,b,1\nb,c,2\nb,a,3\n")
    agents.write_text("agent,endowment\na,1\nb,2\nc,0\n")
    assert cj.graphs.read_market(links, agents=agents, directed=True).endowment.tolist() == [1, 2, 0]
    dropped = cj.graphs.read_market(links, agents=agents, directed=True, zero="drop")
    assert list(dropped.labels) == ["a", "b"]
    assert dropped.arc_values(dropped.capacity).tolist() == [1, 3]
    assert list(dropped.origin.dropped_zero) == ["c"]


@pytest.mark.parametrize(
    ("links", "agents", "message"),
    [
        ("source,target,capacity\na,b,-1\n", None, "line 2: capacity of the link of 'a' and 'b' is -1"),
        ("source,target,capacity\na,b,x\n", None, "line 2: capacity of the link .* is 'x', not a plain"),
        ("source,target,efficiency\na,b,0\n", None, "efficiency of the link from agent 'a' .* is 0"),
        (ONE, "agent,demand\na,-1\nb,1\n", "line 2: demand of agent 'a' is -1; give"),
        (ONE, "agent,demand\na,much\nb,1\n", "line 2: demand of agent 'a' is 'much', not"),
        (ONE, "agent,demand,own_use\na,1,2\nb,,1\n", "demand of agent 'a' is 1, less than its"),
        (ONE, "agent,demnad\na,1\nb,1\n", "column 'demnad' looks like 'demand'"),
        (ONE, "agent,need\na,1\nb,1\n", "no column endowment or value or priority"),
        (ONE, "agent,endowment\na,0\nb,1\n", "endowment of agent 'a' is '0'"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(tmp_path, links, agents, message):
    (tmp_path / "links.csv").write_text(links)
    if agents is not None:
        (tmp_path / "agents.csv").write_text(agents)
    with pytest.raises(ValueError, match=message):
        cj.graphs.read_market(tmp_path / "links.csv", agents=agents and tmp_path / "agents.csv")


def test_solve_says_what_is_settled(files, tmp_path):
    links, agents = files
    out = tmp_path / "found.json"
    words = ["solve", str(links), "--agents", str(agents), "--directed", "--exact", "--json", str(out)]
    printed = cmapjax(*words)
    assert "agents left out (no priority, no demand, or nobody to give)" in printed.stdout
    found = json.loads(out.read_text())
    assert found["exact"]["utility"] == ["0", "1/2", "17/4", "3/2"]
    assert found["settlement"]["counts"] == [False, True, True, True]
    assert found["settlement"]["is_satisfied"] == [False, True, False, False]
    assert found["settlement"]["claim"] == [0, 0.23529411764705882, 2, 2]


def test_solve_takes_losses_and_a_fairness(tmp_path):
    links, agents, out = (tmp_path / name for name in ("links.csv", "agents.csv", "found.json"))
    links.write_text("source,target,efficiency\nd,a,1\nd,b,0.25\ne,a,0.25\ne,b,1\n")
    agents.write_text("agent,endowment,priority\nd,4,0\ne,1,0\na,0,1\nb,0,1\n")
    words = ["solve", str(links), "--agents", str(agents), "--directed", "--json", str(out)]
    printed = cmapjax(*words, "--fairness", "2")
    assert "mean of ratios that fairness makes largest" in printed.stdout
    found = json.loads(out.read_text())
    utility = dict(zip(found["agents"], found["utility"], strict=True))
    assert utility["a"] == pytest.approx(8 / 3, rel=1e-9)
    assert utility["b"] == pytest.approx(4 / 3, rel=1e-9)
    assert found["fairness"] == 2
    assert found["mean_ratio"] == pytest.approx(16 / 9, rel=1e-9)
    printed = cmapjax(*words, "--fairness", "0")
    assert printed.returncode == 2
    assert "--fairness is 0; give a number above 0, or inf" in printed.stderr


def test_simulate_compares_strategies_that_make_sense_and_its_tables_say_what_there_was(files, tmp_path):
    words = ["simulate", files[0], "--agents", files[1], "--directed", "--rounds", "8"]
    printed = cmapjax(*words, "-s", "bid-response", "--out", tmp_path / "out")
    assert printed.returncode == 0, printed.stderr
    (row,) = csv.DictReader((tmp_path / "out" / "summary.csv").open())
    assert (row["demand"], row["efficiency"], row["directed"]) == ("own", "own", "true")
    assert 0.9 < float(row["share_of_equilibrium"]) <= 1 + 1e-12
    refused = cmapjax(*words, "-s", "cmap", "-s", "pr", "--out", tmp_path / "none")
    assert not (tmp_path / "none").exists()
    assert refused.returncode == 2
    assert "ProportionalResponse answers what neighbours gave" in refused.stderr


def test_a_trace_may_be_zero_for_agents_who_receive_all_the_same(files, tmp_path):
    from cmapjax.graphs._file_options import FileOptions
    from cmapjax.graphs._trace import market_with_trace

    trace = tmp_path / "days.csv"
    trace.write_text("donor,small,town,hill\n6,0,0,0\n2,0,0,1\n")
    market = cj.graphs.read_market(files[0], agents=files[1], directed=True)
    brings, _ = market_with_trace(trace, market, FileOptions())
    assert brings.endowment.tolist() == [4, 0, 0, 0.5]
    assert brings.demand.tolist() == market.demand.tolist()
    plain = cj.Market.from_links([[0, 1], [0, 2], [0, 3]], labels=market.labels)
    with pytest.raises(ValueError, match=r"column.s. 'small', 'town' are zero in every round"):
        market_with_trace(trace, plain, FileOptions())


def test_writers_keep_what_a_market_has(files, tmp_path):
    market = cj.graphs.read_market(files[0], agents=files[1], directed=True)
    for name in ("written.csv", "written.parquet"):
        cj.graphs.write_agents(market, tmp_path / name)
        again = cj.graphs.read_market(files[0], agents=tmp_path / name, directed=True)
        assert again.fingerprint() == market.fingerprint()
    graph = cj.graphs.to_networkx(market)
    assert graph.nodes["small"]["demand"] == 0.5
    edge = graph.edges["donor", "hill"]
    assert (edge["first"], edge["capacity_from_first"], edge["capacity_from_second"]) == ("donor", 1.5, 0)
