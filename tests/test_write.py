"""Writers: what they write can be read back, and a file is there whole or not at all."""

import csv
import gzip
import os

import networkx as nx
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmapjax.arguments._checks import escape_cell
from cmapjax.graphs._networkx import from_networkx
from cmapjax.graphs._read import read_market
from cmapjax.graphs._table import unescape_cell
from cmapjax.graphs._write import write_agents, write_allocation, write_graphml
from cmapjax.market._market import Market
from cmapjax.market._packing import pack

NUMBERS = {"endowment_attribute": "endowment", "value_attribute": "value"}
ENDINGS = [".csv", ".tsv", ".csv.gz", ".parquet"]
TEXTS = ["=1+1", "@ann", "'=x", 'say "hi"', "a,b", "é中😀", "<&>", "7"]


def some_market(labels=TEXTS):
    """A cycle whose numbers need every digit."""
    n = len(labels)
    links = np.stack([np.arange(n), (np.arange(n) + 1) % n], axis=1)
    rng = np.random.default_rng(0)
    return Market.from_links(links, endowment=rng.random(n), value=1 / 3 + rng.random(n), labels=labels)


def some_flow(market):
    return market.flow_from_arcs(np.random.default_rng(1).random(2 * market.num_links) / 3)


def read_table(path):
    if path.suffix == ".parquet":
        return pd.read_parquet(path)
    return pd.read_csv(path, sep="\t" if ".tsv" in path.name else ",")


@pytest.mark.parametrize("ending", [".graphml", ".graphml.gz"])
@pytest.mark.parametrize("labels", [TEXTS, [30, 10, 20], range(5)], ids=["text", "integers", "numbers"])
def test_a_market_written_as_graphml_reads_back_equal(tmp_path, ending, labels):
    market, path = some_market(labels), tmp_path / f"a{ending}"
    write_graphml(
        market,
        path,
        some_flow(market),
        {"rank": np.arange(market.num_agents), "is_hub": [True] * len(labels)},
    )
    back = read_market(path, **NUMBERS)
    assert list(back.labels) == list(market.labels)
    assert back.fingerprint() == market.fingerprint()


def test_networkx_reads_the_same_flows_from_graphml(tmp_path):
    market = from_networkx(nx.karate_club_graph())
    flow = some_flow(market)
    write_graphml(market, tmp_path / "a.graphml", flow, {"club": np.array(["x"] * 34)})
    graph = nx.read_graphml(tmp_path / "a.graphml")
    giver, receiver = market.arcs()
    for a, b, value in zip(giver, receiver, market.arc_values(flow), strict=True):
        edge = graph.edges[str(a), str(b)]
        assert edge["flow_from_first" if edge["first"] == str(a) else "flow_from_second"] == value
    assert graph.nodes["0"] == {"endowment": 1.0, "value": 1.0, "contribution": 1.0, "club": "x"}


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("labels", [TEXTS, [30, 10, 20]], ids=["text", "integers"])
def test_an_agents_table_reads_back_with_every_digit(tmp_path, ending, labels):
    market = some_market(labels)
    write_graphml(market, tmp_path / "links.graphml")
    write_agents(
        market,
        tmp_path / f"agents{ending}",
        {"utility": np.arange(len(labels)) / 7, "note": ["-"] * len(labels)},
    )
    back = read_market(tmp_path / "links.graphml", agents=tmp_path / f"agents{ending}")
    assert back.fingerprint() == market.fingerprint()
    assert list(back.labels) == list(market.labels)


@pytest.mark.parametrize("ending", ENDINGS)
def test_an_allocation_holds_units_of_the_giver_and_their_value(tmp_path, ending):
    market = some_market([30, 10, 20])
    flow = some_flow(market)
    path = tmp_path / f"allocation{ending}"
    write_allocation(market, flow, path)
    table = read_table(path)
    giver, receiver = market.arcs()
    assert list(table.columns) == ["giver", "receiver", "allocation", "flow"]
    assert table.giver.tolist() == [market.labels[i] for i in giver]
    assert table.receiver.tolist() == [market.labels[i] for i in receiver]
    assert table.flow.tolist() == market.arc_values(flow).tolist()
    assert table.allocation.tolist() == (market.arc_values(flow) / market.value[giver]).tolist()


@pytest.mark.parametrize("ending", ENDINGS)
def test_packed_markets_are_told_apart_by_a_column(tmp_path, ending):
    market = pack([some_market([1, 2, 3]), some_market([1, 2, 3, 4])])
    write_allocation(market, some_flow(market), tmp_path / f"allocation{ending}")
    write_agents(market, tmp_path / f"agents{ending}")
    assert read_table(tmp_path / f"allocation{ending}").market.tolist() == [0] * 6 + [1] * 8
    agents = read_table(tmp_path / f"agents{ending}")
    assert agents.market.tolist() == [0] * 3 + [1] * 4
    assert agents.agent[3] == "(1, 1)"


def test_no_cell_starts_a_formula(tmp_path):
    market = some_market(["=cmd()", "+1", "-1", "@x", "plain"])
    write_agents(market, tmp_path / "a.csv", {"=cmd()": np.arange(5), "@note": ["+1"] * 5})
    write_allocation(market, some_flow(market), tmp_path / "b.csv")
    for name in ("a.csv", "b.csv"):
        with open(tmp_path / name, newline="") as file:
            cells = [cell for row in csv.reader(file) for cell in row]
        assert "'=cmd()" in cells
        assert not [cell for cell in cells if cell[0] in "=+-@"]


@given(st.text("'=+-@ax1", max_size=6))
def test_escaped_cells_are_read_as_they_were(text):
    assert unescape_cell(escape_cell(text)) == text
    assert escape_cell(text)[:1] not in ("=", "+", "-", "@")


def test_the_same_market_makes_the_same_file(tmp_path):
    market = some_market()
    for name in ("a.csv.gz", "b.csv.gz"):
        write_agents(market, tmp_path / name)
    assert (tmp_path / "a.csv.gz").read_bytes() == (tmp_path / "b.csv.gz").read_bytes()
    assert (tmp_path / "a.csv.gz").read_bytes()[4:8] == bytes(4)  # no time stamp (RFC 1952, MTIME)
    assert gzip.decompress((tmp_path / "a.csv.gz").read_bytes()).startswith(b"agent,endowment")


def test_a_failing_disk_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    market, path = some_market(), tmp_path / "a.csv"
    write_agents(market, path)
    before = path.read_bytes()

    def fail(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="No space left"):
        write_agents(market, path, attributes={"more": np.arange(8)})
    assert os.listdir(tmp_path) == ["a.csv"]
    assert path.read_bytes() == before


BAD_WRITES = {
    "ending": (TEXTS, "a.xlsx", {}, ["a.xlsx", "'.xlsx'", ".csv .tsv .parquet"]),
    "folder missing": (TEXTS, "no/a.csv", {}, ["no/a.csv", "folder does not exist"]),
    "parquet.gz": (TEXTS, "a.parquet.gz", {}, ["leave out .gz"]),
    "control character": (["a", "b\x07"], "a.csv", {}, ["'b\\x07'", "rename"]),
    "alike as text": ([1, "1"], "a.csv", {}, ["'1'", "several agents", "relabel"]),
    "column taken": (TEXTS, "a.csv", {"value": np.ones(8)}, ["'value'", "choose another"]),
    "column short": (TEXTS, "a.csv", {"rank": np.ones(7)}, ["'rank'", "(7,)", "(8,)"]),
}


@pytest.mark.parametrize("case", BAD_WRITES)
def test_what_cannot_be_written_is_refused_naming_value_and_remedy(tmp_path, case):
    labels, name, columns, words = BAD_WRITES[case]
    with pytest.raises(ValueError) as caught:  # noqa: PT011  the words are looked at
        write_agents(some_market(labels), tmp_path / name, columns)
    assert [word for word in words if word not in str(caught.value)] == [], str(caught.value)
    assert os.listdir(tmp_path) == []


def test_text_that_xml_cannot_hold_is_refused(tmp_path):
    market = some_market(["a", "b", "c"])
    with pytest.raises(ValueError, match=r"note of agent 'b' .* cannot be written"):
        write_graphml(market, tmp_path / "a.graphml", attributes={"note": ["x", "\x01", "y"]})
    with pytest.raises(ValueError, match=r"'\.gml' is not known"):
        write_graphml(market, tmp_path / "a.gml")
