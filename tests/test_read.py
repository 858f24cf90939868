"""Readers: every format gives the same market, whatever writes it and however it is packed."""

import bz2
import gzip
import json
import lzma
import zipfile

import networkx as nx
import numpy as np
import pytest
import scipy.io
import scipy.sparse
from network_files import (
    GRAPHML,
    LINKS,
    MTX,
    NUMBERS,
    ROWS,
    SAME_NETWORK,
    arcs,
    both_ways,
    complaint_about,
    graphml,
    write,
    zipped,
)

from cmapjax import graphs
from cmapjax.graphs import from_sparse, read_market
from cmapjax.graphs._file_options import FORMATS
from cmapjax.graphs._formats import memory_per_byte

WEIGHTS = "weights of links ignored"
ZEROS = "stored zeros skipped"


@pytest.mark.parametrize("name", SAME_NETWORK)
def test_every_format_gives_the_same_market_in_the_order_of_the_file(tmp_path, name):
    market = read_market(write(tmp_path, name, SAME_NETWORK[name]))
    assert list(market.labels) == list("abcde")
    assert arcs(market) == both_ways(LINKS)
    assert market.origin.merged_links == 0
    assert market.endowment.tolist() == market.value.tolist() == [1.0] * 5


def les_miserables():
    graph = nx.les_miserables_graph()
    return nx.relabel_nodes(graph, {name: f"M {name}" for name in graph})


WRITERS = {
    "a.graphml": nx.write_graphml_xml,
    "a.gml": nx.write_gml,
    "a.gexf": nx.write_gexf,
    "a.net": nx.write_pajek,
    "a.json": lambda graph, path: path.write_text(json.dumps(nx.node_link_data(graph, edges="links"))),
    "b.json": lambda graph, path: path.write_text(json.dumps(nx.node_link_data(graph, edges="edges"))),
    "a.csv": lambda graph, path: nx.to_pandas_adjacency(graph).to_csv(path),
}


@pytest.mark.parametrize("name", WRITERS)
def test_what_networkx_writes_is_read_with_its_names_and_the_note_that_weights_are_not_used(tmp_path, name):
    graph = les_miserables()
    WRITERS[name](graph, tmp_path / name)
    market = read_market(tmp_path / name)
    assert list(market.labels) == list(graph)
    assert arcs(market) == both_ways(graph.edges)
    assert [*market.origin.notes] == [WEIGHTS]


def test_adjacency_lists_of_networkx_are_read_in_ascending_order(tmp_path):
    graph = nx.karate_club_graph()
    nx.write_adjlist(graph, tmp_path / "a.adjlist")
    market = read_market(tmp_path / "a.adjlist")
    assert list(market.labels) == list(range(34))
    assert arcs(market) == both_ways(graph.edges)
    assert market.origin.notes == {"comment lines skipped": 3}


# -- matrices --------------------------------------------------------------------------------------


@pytest.mark.parametrize("field", ["pattern", "integer", "real"])
@pytest.mark.parametrize("symmetry", ["general", "symmetric"])
def test_a_matrix_of_scipy_gives_its_pattern_with_agents_from_one(tmp_path, field, symmetry):
    half = scipy.sparse.coo_array((np.array([1, -2, 3, 4]), ([0, 1, 2, 2], [1, 2, 0, 3])), shape=(4, 4))
    scipy.io.mmwrite(tmp_path / "a.mtx", (half + half.T).astype(float), field=field, symmetry=symmetry)
    market = read_market(tmp_path / "a.mtx")
    assert list(market.labels) == [1, 2, 3, 4]
    assert arcs(market) == both_ways([(1, 2), (2, 3), (3, 1), (3, 4)])
    assert market.origin.merged_links == 0


# name: (content, notes); agents 1 and 2 are linked, others are dropped
MATRICES = {
    "complex": ("complex general\n2 2 2\n1 2 0 2\n2 1 0 -2\n", {WEIGHTS: 2}),
    "complex zero": ("complex hermitian\n3 3 2\n2 1 0 3\n3 1 0 0\n", {ZEROS: 1, WEIGHTS: 1}),
    "skew-symmetric": ("real skew-symmetric\n2 2 1\n2 1 -3\n", {WEIGHTS: 1}),
    "pattern": ("pattern skew-symmetric\n2 2 1\n2 1\n", {}),
    "integer beyond int64": (f"integer symmetric\n2 2 1\n2 1 {10**30}\n", {WEIGHTS: 1}),
    "zeros and comments": ("real symmetric\n% so\n\n3 3 4\n2 1 -0\n3 1 0.0e5\n\n3 2 00\n2 1 1\n", {ZEROS: 3}),
    "from both ends": ("pattern symmetric\n2 2 2\n2 1\n1 2\n", {}),
}


@pytest.mark.parametrize("case", MATRICES)
def test_values_of_a_matrix_only_say_whether_there_is_a_link(tmp_path, case):
    text, notes = MATRICES[case]
    market = read_market(write(tmp_path, "a.mtx", f"{MTX} {text}"), drop_isolated=True)
    assert arcs(market) == both_ways([(1, 2)])
    assert market.origin.notes == notes
    assert market.origin.merged_links == (case == "from both ends")


@pytest.mark.parametrize("layout", ["csr", "csc", "coo", "bsr", "dia"])
def test_sparse_matrices_are_read_with_agents_from_zero(tmp_path, layout):
    graph = nx.karate_club_graph()
    scipy.sparse.save_npz(tmp_path / "a.npz", nx.to_scipy_sparse_array(graph, weight=None, format=layout))
    assert arcs(read_market(tmp_path / "a.npz")) == both_ways(graph.edges)


def test_zeros_that_a_matrix_stores_are_no_links_and_are_counted_from_files_and_memory(tmp_path):
    rows, columns, values = [0, 1, 1, 2, 0, 2], [1, 0, 2, 1, 2, 0], [1.0, 2, 3, 4, 0, 0]
    matrix = scipy.sparse.coo_array((values, (rows, columns)), shape=(3, 3))
    scipy.io.mmwrite(tmp_path / "a.mtx", matrix, symmetry="general")
    scipy.sparse.save_npz(tmp_path / "a.npz", matrix)
    from_memory = from_sparse(matrix)
    assert from_memory.origin.notes == {ZEROS: 2}
    assert from_sparse(matrix.toarray()).origin.notes == {}
    for name in ("a.mtx", "a.npz"):
        from_file = read_market(tmp_path / name)
        assert from_file.origin.notes == {ZEROS: 2, WEIGHTS: 3}
        assert from_file.fingerprint() == from_memory.fingerprint()


def test_a_matrix_of_numbers_alone_is_read_on_request(tmp_path):
    path = write(tmp_path, "a.csv", "0;1;1\n1;0;0\n1;0;0\n")
    market = read_market(path, format="adjacency-matrix", separator="semicolon", header=False)
    assert arcs(market) == both_ways([(0, 1), (0, 2)])


def test_a_table_of_links_is_not_taken_for_a_matrix(tmp_path):
    path = write(tmp_path, "a.csv", "id,source,target\nsource,a,b\ntarget,b,c\n")
    assert read_market(path, source_column="source", target_column="target").num_links == 2
    path = write(tmp_path, "b.csv", "source,target,weight\na,b,1\nb,c,1\n")
    assert arcs(read_market(path)) == both_ways([("a", "b"), ("b", "c")])


# -- KONECT ----------------------------------------------------------------------------------------


def test_the_sides_of_a_bipartite_konect_network_are_numbered_apart(tmp_path):
    market = read_market(write(tmp_path, "out.club", "% bip unweighted\n% 4 2 3\n1 1\n1 2\n2 2\n2 3\n"))
    assert list(market.labels) == ["left-1", "left-2", "right-1", "right-2", "right-3"]
    assert {(a.split("-")[0], b.split("-")[0]) for a, b in arcs(market)} == both_ways([("left", "right")])


def test_konect_networks_keep_their_numbers_and_say_what_is_not_used(tmp_path):
    text = "% sym positive\n% 3 9 9\n7 2 3 1042\n2 9 1 1043\n9 7 2 1044\n"
    for name in ("out.friends", "links.txt"):
        market = read_market(write(tmp_path, name, text), format="konect")
        assert list(market.labels) == [2, 7, 9]
        assert (market.num_links, market.origin.notes[WEIGHTS]) == (3, 3)
    one_way = write(tmp_path, "out.follows", "% asym unweighted\n1 2\n2 3\n3 2\n")
    assert "directed link 1 → 2 has no reverse" in complaint_about(one_way)
    assert read_market(one_way, symmetrize=True).num_links == 2


# -- labels, links given twice, what is dropped ----------------------------------------------------


def test_labels_are_integers_only_where_all_of_them_are_and_text_is_compared_exactly(tmp_path):
    composed, decomposed = "caf\u00e9", "cafe\u0301"
    for text, labels in {
        "10 9\n9 200\n": [9, 10, 200],
        "10 ann\nann 9\n": ["10", "ann", "9"],
        f"{2**63 - 1} 0\n": [0, 2**63 - 1],
        f"{composed} {decomposed}\nAnn ann\nann {composed}\n": [composed, decomposed, "Ann", "ann"],
    }.items():
        assert list(read_market(write(tmp_path, "a.txt", text)).labels) == labels


GML_TWO = "graph [ node [ id 1 ] node [ id 2 ] {} ]"
TWICE = {
    "a.txt": "0 1\n1 0\n1 2\n",
    "a.mtx": f"{MTX} pattern symmetric\n2 2 2\n2 1\n2 1\n",
    "a.graphml": GRAPHML.format('<node id="a"/><node id="b"/>' + '<edge source="a" target="b"/>' * 2),
    "a.gml": GML_TWO.format("edge [ source 1 target 2 ]" * 2),
    "a.gexf": SAME_NETWORK["a.gexf"].replace("</edges>", '<edge source="b" target="a"/></edges>'),
    "a.json": SAME_NETWORK["links.json"].replace('"links": [', '"links": [{"source": "b", "target": "a"}, '),
    "a.net": SAME_NETWORK["edges.net"] + "2 1\n",
    "a.adj": "a b c d b\nb c\nc d\nd e\n",
    "out.a": "% sym unweighted\n" + "".join(f"{a} {b}\n" for a, b in NUMBERS) + "2 1\n",
}


@pytest.mark.parametrize("name", TWICE)
def test_a_link_given_twice_is_merged_and_counted(tmp_path, name):
    assert read_market(write(tmp_path, name, TWICE[name])).origin.merged_links == 1


def test_what_is_asked_to_be_dropped_is_dropped_and_recorded(tmp_path):
    market = read_market(write(tmp_path, "a.txt", "0 1\n7 7\n"), drop_self_loops=True, drop_isolated=True)
    assert list(market.labels) == [0, 1]
    assert market.origin.dropped_self_loops == market.origin.dropped_isolated == (7,)


def test_directed_graphs_are_symmetrised_on_request_and_accepted_if_symmetric(tmp_path):
    nodes = '<node id="a"/><node id="b"/><node id="c"/>'
    one_way = '<edge source="a" target="b"/><edge source="b" target="c"/>'
    both = one_way + '<edge source="b" target="a"/><edge source="c" target="b"/>'
    for edges, options in ((one_way, {"symmetrize": True}), (both, {})):
        path = write(tmp_path, "a.graphml", graphml(nodes + edges, kind="directed"))
        market = read_market(path, **options)
        assert (market.num_links, market.origin.merged_links) == (2, 0)
    path = write(tmp_path, "a.mtx", f"{MTX} pattern general\n2 2 1\n1 2\n")
    assert read_market(path, symmetrize=True).num_links == 1


# -- packings, formats and budgets -----------------------------------------------------------------

EDGES_TXT = b"0 1\n1 2\n2 0\n"
PACKED = {
    "a.txt.gz": gzip.compress(EDGES_TXT),
    "a.txt.bz2": bz2.compress(EDGES_TXT),
    "a.txt.xz": lzma.compress(EDGES_TXT),
    "a.txt.zip": zipped(["whatever"]),
    "a.zip": zipped(["folder/", "folder/links.edges", "__MACOSX/folder/._links.edges"]),
    "lzma.zip": zipped(["out.zachary"], zipfile.ZIP_LZMA, b"% sym\n" + EDGES_TXT),
}


@pytest.mark.parametrize("name", PACKED)
def test_one_file_in_any_packing_is_read_and_torn_or_bent_is_refused(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(PACKED[name])
    assert list(read_market(path).labels) == [0, 1, 2]
    for bent in (PACKED[name][:-12], b"0 1\n1 2\n"):
        path.write_bytes(bent)
        assert name in complaint_about(path)


def test_unknown_endings_list_what_there_is_and_a_format_goes_before_the_ending(tmp_path):
    message = complaint_about(write(tmp_path, "a.dat", "0 1\n"))
    assert all(word in message for word in [".txt", ".gexf", ".npz", "out.*", ".xz", *FORMATS])
    assert read_market(tmp_path / "a.dat", format="edge-list").num_links == 1
    path = write(tmp_path, "a.txt", "\n".join(ROWS))
    assert read_market(path, format="adjacency-matrix").num_links == 6
    path = write(tmp_path, "b.txt.gz", "source,target\nx,y\n")
    assert list(read_market(path, format="csv").labels) == ["x", "y"]


def test_lists_of_numbers_are_expected_to_take_half_the_memory_of_names(tmp_path):
    for text, each in ((b"10 20\n" * 10, 8), (b"ann bob\n" * 10, 16)):
        assert memory_per_byte("edge-list", text) == each
        path = write(tmp_path, "a.txt", text)
        assert read_market(path, memory_budget=each * len(text)).num_links == 1
        assert "budget" in complaint_about(path, memory_budget=each * len(text) - 1)


# -- networks known by name ------------------------------------------------------------------------


def test_networks_are_known_by_name_in_python_too(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert read_market("karate") == graphs.from_networkx(nx.karate_club_graph())
    assert read_market("gnutella").num_agents == 10_875
    agents = write(tmp_path, "agents.csv", "agent,value\n" + "".join(f"{i},{i + 1}\n" for i in range(34)))
    assert read_market("karate", agents=agents).value.tolist() == list(range(1, 35))
    with pytest.raises(ValueError, match="karate is a network known by name; symmetrize is for files"):
        read_market("karate", symmetrize=True)


def test_a_file_goes_before_a_network_of_its_name_and_that_is_said(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(tmp_path, "karate", "0 1\n")
    with pytest.warns(UserWarning, match="karate is a file here and is read") as warned:
        assert read_market("karate", format="edge-list").num_agents == 2
    assert warned[0].filename == __file__
