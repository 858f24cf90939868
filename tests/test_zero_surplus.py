"""Agents without surplus, in tables, attributes and traces: what that means is said, or they are dropped."""

import networkx as nx
import numpy as np
import pandas as pd
import pytest
from sunny_village import LINKS, sunny, write

from cmapjax.graphs import read_market, read_trace
from cmapjax.graphs._file_options import FileOptions
from cmapjax.graphs._trace import market_with_trace

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
