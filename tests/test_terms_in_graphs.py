"""Priorities, demands, capacities, directions and what else markets may have, in graphs and their files."""

import json

import networkx as nx
import numpy as np
import pytest
import scipy.sparse
from network_files import MTX, graphml, write

import cmapjax as cj
from cmapjax.graphs import from_arrays, from_networkx, from_sparse, read_market, to_networkx, write_graphml
from tests.commands import cmapjax

INF = np.inf
NAMES = ("endowment", "value", "priority", "demand", "own_use", "capacity", "efficiency")
OWN_NAMES = {f"{name}_attribute": name for name in NAMES}
MARKET = cj.Market.from_links(
    [[0, 1], [1, 0], [0, 2], [2, 3]],
    labels=["donor", "small", "town", "hill"],
    directed=True,
    endowment=[6, 0, 1, 0],
    value=[1, 2, 1, 1],
    priority=[0, 1, 2, 2],
    demand=[INF, 0.5, INF, 3],
    own_use=[0, 0.25, 0, 0],
    capacity=[INF, 2, 1.5, 3],
    efficiency=[1, 0.5, 0.9, 0.8],
)


def digraph():
    graph = nx.DiGraph([("a", "b"), ("b", "a"), ("b", "c")])
    nx.set_edge_attributes(graph, {("a", "b"): 2.0, ("b", "a"): 3.0}, "K")
    nx.set_edge_attributes(graph, {("a", "b"): 0.5, ("b", "c"): 0.25}, "e")
    nx.set_node_attributes(graph, {"a": 2.0, "b": 5}, "D")
    return graph


DIRECTED = {
    "directed": True,
    "capacity_attribute": "K",
    "efficiency_attribute": "e",
    "demand_attribute": "D",
}


def there(market, name):
    """A number of every arc, by the labels of its ends."""
    giver, receiver = market.arcs()
    values = market.arc_values(getattr(market, name)).tolist()
    return {(market.labels[a], market.labels[b]): x for a, b, x in zip(giver, receiver, values, strict=True)}


def written(graph, folder, kind):
    path = folder / f"graph.{kind}"
    if kind == "json":
        path.write_text(json.dumps(nx.node_link_data(graph, edges="links")))
    else:
        getattr(nx, f"write_{kind}")(graph, path)
    return path


# -- graphs ------------------------------------------------------------------------------------


def test_a_directed_graph_has_numbers_in_each_direction():
    market = from_networkx(digraph(), **DIRECTED)
    assert there(market, "capacity") == {("a", "b"): 2, ("b", "a"): 3, ("b", "c"): INF, ("c", "b"): 0}
    assert there(market, "efficiency") == {("a", "b"): 0.5, ("b", "a"): 1, ("b", "c"): 0.25, ("c", "b"): 1}
    assert market.demand.tolist() == [2, 5, INF]
    assert market.origin.merged_links == 0


def test_an_undirected_graph_has_its_numbers_both_ways():
    graph = nx.Graph([("a", "b", {"K": 2}), ("b", "c", {})])
    market = from_networkx(graph, capacity_attribute="K")
    assert there(market, "capacity") == {("a", "b"): 2, ("b", "a"): 2, ("b", "c"): INF, ("c", "b"): INF}


def test_a_symmetric_directed_graph_needs_no_option_and_a_one_way_edge_one_of_two():
    graph = digraph()
    with pytest.raises(ValueError, match=r"'b' → 'c' has no reverse.*symmetrize=True.*or directed=True"):
        from_networkx(graph, capacity_attribute="K")
    both = from_networkx(graph, symmetrize=True, efficiency_attribute="e")
    assert there(both, "efficiency") == {
        ("a", "b"): 0.5, ("b", "a"): 1, ("b", "c"): 0.25, ("c", "b"): 0.25,
    }  # fmt: skip
    graph.add_edge("c", "b", K=7)
    market = from_networkx(graph, capacity_attribute="K")
    assert there(market, "capacity") == {("a", "b"): 2, ("b", "a"): 3, ("b", "c"): INF, ("c", "b"): 7}


def test_a_priority_that_a_node_lacks_is_its_contribution():
    graph = nx.Graph([("a", "b")])
    graph.nodes["b"]["p"] = 4.0
    market = from_networkx(graph, priority_attribute="p", endowment={"b": 3, "a": 2}, value=[5, 1])
    assert market.priority.tolist() == [10, 4]


def test_a_market_becomes_a_graph_and_again_this_market():
    assert from_networkx(to_networkx(MARKET), **OWN_NAMES).fingerprint() == MARKET.fingerprint()


def test_numbers_from_both_ends_belong_to_the_ends_that_are_named():
    ends = {"first": "a", "second": "b", "K_from_first": 1, "K_from_second": 2}
    market = from_networkx(nx.Graph([("b", "a", ends)]), capacity_attribute="K")
    assert there(market, "capacity") == {("a", "b"): 1, ("b", "a"): 2}
    wrong = nx.Graph([("b", "a", ends | {"second": "c"})])
    with pytest.raises(ValueError, match="the link of 'b' and 'a': first is 'a' and second 'c'; name"):
        from_networkx(wrong, capacity_attribute="K")


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        ({"K": -1}, {"capacity_attribute": "K"}, "K of the link of 'a' and 'b' is -1; give a number, 0 or"),
        ({"K": float("nan")}, {"capacity_attribute": "K"}, "K of the link of 'a' and 'b' is nan; give a"),
        ({"K": "wide"}, {"capacity_attribute": "K"}, "K of the link of 'a' and 'b' is 'wide', not a plain"),
        ({"K": [1]}, {"capacity_attribute": "K"}, r"K of the link of 'a' and 'b' is \[1\]; give a number"),
        (
            {"K": 0},
            {"efficiency_attribute": "K"},
            "efficiency of the link from agent 'a' .* is 0; give",
        ),
        ({}, {"capacity_attribute": "K"}, "no link has an attribute 'K' .found none.; name one"),
        ({}, {"directed": True}, "no link is declared as directed, though directed=True is given; leave"),
        (
            {},
            {"directed": True, "symmetrize": True},
            "directed keeps links one way and symmetrize makes",
        ),
        ({}, {"demand_attribute": "D"}, r"1 agent\(s\) have no attribute 'D'|2 agent\(s\) have no"),
    ],
)
def test_edges_that_contradict_are_refused_with_their_ends(change, options, message):
    with pytest.raises(ValueError, match=message):
        from_networkx(nx.Graph([("a", "b", change)]), **options)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"D": -2.0}, "demand of agent 'b' is -2; give 0 or more"),
        ({"D": float("nan")}, "graph: 'D' of agent 'b' is nan; give a number, or none"),
        ({"D": "much"}, "graph: 'D' of agent 'b' is 'much'; give a number"),
        ({"D": 1.0, "a": 2.0}, "demand of agent 'b' is 1, less than its own_use 2; a demand includes own"),
    ],
)
def test_nodes_that_contradict_are_refused_by_name(given, message):
    graph = nx.Graph([("a", "b")])
    graph.nodes["b"].update(given)
    own_use = {"own_use_attribute": "a"} if "a" in given else {}
    with pytest.raises(ValueError, match=message):
        from_networkx(graph, demand_attribute="D", **own_use)


# -- files -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["graphml", "gml", "gexf", "json"])
def test_files_have_attributes_and_directions_as_graphs_do(tmp_path, kind):
    market = read_market(written(digraph(), tmp_path, kind), **DIRECTED)
    assert market.fingerprint() == from_networkx(digraph(), **DIRECTED).fingerprint()
    again = read_market(written(to_networkx(MARKET), tmp_path, kind), **OWN_NAMES)
    assert again.fingerprint() == MARKET.fingerprint()


def test_what_write_graphml_writes_is_read_back_by_the_command_line(tmp_path):
    write_graphml(MARKET, tmp_path / "net.graphml")
    assert read_market(tmp_path / "net.graphml", **OWN_NAMES).fingerprint() == MARKET.fingerprint()
    plain = cj.Market.from_links([[0, 1], [0, 2]], demand=[1, 2, 3], endowment=[4, 0, 0], directed=True)
    write_graphml(plain, tmp_path / "plain.graphml")
    words = [word for name in ("endowment", "demand", "capacity") for word in (f"--{name}-attribute", name)]
    found = tmp_path / "found.json"
    printed = cmapjax("solve", tmp_path / "plain.graphml", *words, "--json", found)
    assert printed.returncode == 0, printed.stderr
    assert json.loads(found.read_text())["utility"] == cj.solve(plain).utility.tolist()


KEYS = (
    '<key id="k" for="edge" attr.name="K" attr.type="double"><default>9</default></key>'
    '<key id="d" for="node" attr.name="D" attr.type="double"/>'
)
NODES = '<node id="a"><data key="d">1</data></node>\n<node id="b"/>\n'
LINK = '<edge source="a" target="b">{}</edge>\n'


def test_a_key_has_a_default_and_a_file_a_link_that_goes_both_ways_among_others(tmp_path):
    links = LINK.format("") + '<edge source="b" target="c" directed="false"><data key="k">4</data></edge>'
    text = graphml(NODES + '<node id="c"/>' + links, keys=KEYS, kind="directed")
    market = read_market(write(tmp_path, "a.graphml", text), directed=True, capacity_attribute="K")
    assert there(market, "capacity") == {("a", "b"): 9, ("b", "a"): 0, ("b", "c"): 4, ("c", "b"): 4}


@pytest.mark.parametrize(
    ("links", "options", "message"),
    [
        (LINK.format('<data key="k">-1</data>'), {"capacity_attribute": "K"}, "line 4: K of the link of 'a'"),
        (LINK.format('<data key="k">x</data>'), {"capacity_attribute": "K"}, "line 4: K of .* is 'x', not a"),
        (LINK.format('<data key="k">nan</data>'), {"capacity_attribute": "K"}, "line 4: K of .* is 'nan', n"),
        (
            LINK.format('<data key="k">1</data>' * 2),
            {"capacity_attribute": "K"},
            "line 4: .* 'K' twice",
        ),
        (LINK.format(""), {"efficiency_attribute": "e"}, "no link has an attribute 'e' .found 'K'"),
        (LINK.format(""), {"directed": True}, "a.graphml: no link is declared as directed"),
        (LINK.format(""), {"own_use_attribute": "use"}, "no agent has an attribute 'use' .found 'D'"),
    ],
)
def test_links_of_a_file_that_contradict_are_refused_with_their_line(tmp_path, links, options, message):
    path = write(tmp_path, "a.graphml", graphml(NODES + links, keys=KEYS))
    with pytest.raises(ValueError, match=message):
        read_market(path, **options)


def test_an_attribute_of_agents_and_a_table_of_agents_are_too_much(tmp_path):
    path = write(tmp_path, "a.graphml", graphml(NODES + LINK.format(""), keys=KEYS))
    table = write(tmp_path, "agents.csv", "agent,demand\na,1\nb,2\n")
    with pytest.raises(ValueError, match="both demand_attribute and an agents table are given"):
        read_market(path, agents=table, demand_attribute="D")
    market = read_market(path, agents=table, capacity_attribute="K")
    assert market.terms == ("demand", "capacity")


ONE_WAY = {("1", "2"): INF, ("2", "1"): 0, ("2", "3"): INF, ("3", "2"): 0}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.net", '*Vertices 3\n1 "1"\n2 "2"\n3 "3"\n*Arcs\n1 2\n2 3\n'),
        ("a.mtx", f"{MTX} pattern general\n3 3 2\n1 2\n2 3\n"),
        ("a.adj", "1 2\n2 3\n"),
        ("a.csv", ",1,2,3\n1,0,1,0\n2,0,0,1\n3,0,0,0\n"),
        ("out.a", "% asym unweighted\n1 2\n2 3\n"),
        ("a.edges", "1 2\n2 3\n"),
        ("a.txt", "source\ttarget\n1\t2\n2\t3\n"),
    ],
)
def test_every_format_may_hold_links_that_go_one_way(tmp_path, name, text):
    market = read_market(write(tmp_path, name, text), directed=True)
    assert {(str(a), str(b)): x for (a, b), x in there(market, "capacity").items()} == ONE_WAY


def test_a_sparse_matrix_in_a_file_too(tmp_path):
    scipy.sparse.save_npz(tmp_path / "a.npz", scipy.sparse.csr_array([[0, 1, 0], [0, 0, 1], [0, 0, 0]]))
    assert sorted(there(read_market(tmp_path / "a.npz", directed=True), "capacity").values()) == [
        0,
        0,
        INF,
        INF,
    ]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        (
            "a.mtx",
            f"{MTX} pattern symmetric\n2 2 1\n2 1\n",
            "line 1: lists the entries below the diagonal only; leave out",
        ),
        (
            "out.a",
            "% sym unweighted\n1 2\n",
            "line 1: is symmetric, as '% sym' says; leave out",
        ),
        ("a.net", "*Vertices 2\n*Edges\n1 2\n", "no link is declared as directed"),
    ],
)
def test_a_file_that_says_that_links_go_both_ways_contradicts(tmp_path, name, text, message):
    with pytest.raises(ValueError, match=message):
        read_market(write(tmp_path, name, text), directed=True)


def test_an_edge_list_has_columns_of_links_if_it_names_them(tmp_path):
    path = write(tmp_path, "a.txt", "source target capacity\na b 1.5\nb c inf\n")
    assert there(read_market(path), "capacity")["b", "a"] == 1.5
    with pytest.raises(ValueError, match=r"format edge-list has no capacity_attribute .*; give columns"):
        read_market(path, capacity_attribute="K")


@pytest.mark.parametrize("name", ["a.mtx", "a.net", "a.csv"])
def test_formats_without_attributes_refuse_them_by_name(tmp_path, name):
    with pytest.raises(ValueError, match=r"has no demand_attribute .*; give an agents table, agents="):
        read_market(write(tmp_path, name, ""), demand_attribute="D")


@pytest.mark.parametrize("name", ["links.csv", "links.tsv.gz"])
def test_tables_of_links_and_agents_hold_a_whole_market(tmp_path, name):
    closed = cj.Market.from_links([[0, 1], [1, 2]], capacity=[0, 2], endowment=[1, 0, 3])
    for market in (MARKET, closed, cj.Market.from_links([[0, 1], [1, 2]], endowment=[1, 2, 3])):
        cj.graphs.write_links(market, tmp_path / name)
        cj.graphs.write_agents(market, tmp_path / "agents.csv")
        again = read_market(tmp_path / name, agents=tmp_path / "agents.csv", directed=True)
        assert again.fingerprint() == market.fingerprint()


# -- arrays ------------------------------------------------------------------------------------


def test_arrays_have_the_fields_of_a_market():
    market = from_arrays(
        ["a", "b"], ["b", "c"], directed=True, capacity=[1, 2], demand={"c": 3, "b": 2, "a": 1}
    )
    assert market.terms == ("demand", "capacity")
    assert there(market, "capacity")["b", "c"] == 2
    assert market.demand.tolist() == [1, 2, 3]


def test_matrices_have_them_but_for_numbers_of_single_links():
    matrix = np.array([[0, 1, 0], [0, 0, 1], [1, 0, 0]])
    market = from_sparse(matrix, directed=True, efficiency=0.9, own_use=[1, 0, 0])
    assert there(market, "capacity")[0, 2] == 0
    assert there(market, "efficiency")[0, 1] == 0.9
    with pytest.raises(ValueError, match="capacity: give one number for all links; `from_arrays` takes one"):
        from_sparse(matrix, directed=True, capacity=[1, 2, 3])


# -- leaving agents out ------------------------------------------------------------------------


def test_agents_without_surplus_leave_a_directed_market_with_their_links(tmp_path):
    table = write(tmp_path, "agents.csv", "agent,endowment\ndonor,6\nsmall,1\ntown,1\nhill,0\n")
    kept = cj.graphs.with_agents(MARKET, table)
    assert kept.endowment.tolist() == [6, 1, 1, 0]
    less = cj.graphs.with_agents(MARKET, table, zero="drop")
    assert list(less.labels) == ["donor", "small", "town"]
    assert there(less, "capacity") == {k: x for k, x in there(MARKET, "capacity").items() if "hill" not in k}
    assert less.demand.tolist() == [INF, 0.5, INF]
