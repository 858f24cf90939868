"""Readers: every format gives the same market."""

import gzip

import networkx as nx
import numpy as np
import pytest
import scipy.io
import scipy.sparse
from hypothesis import given
from hypothesis import strategies as st

from cmapjax.graphs import _links, _quick
from cmapjax.graphs._file_options import FileOptions
from cmapjax.graphs._read import read_market

LINKS = "0\t1\n1\t2\n2\t0\n2\t3\n"
MTX = "%%MatrixMarket matrix coordinate"
GRAPHML = """<?xml version="1.0" encoding="UTF-8"?>
<graphml xmlns="http://graphml.graphdrawing.org/xmlns">
<key id="k" for="node" attr.name="budget" attr.type="double"/>
<graph edgedefault="undirected">
{}
</graph></graphml>"""


def write(folder, name, content):
    data = content.encode() if isinstance(content, str) else content
    path = folder / name
    path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    return path


def arcs(market):
    giver, receiver = market.arcs()
    return {(market.labels[a], market.labels[b]) for a, b in zip(giver, receiver, strict=True)}


# -- what can be read --------------------------------------------------------------------------

SAME_NETWORK = {
    "links.txt": "# a comment\n" + LINKS,
    "links.edges": "% another\n\n" + LINKS.replace("\t", "  "),
    "links.el": "  # indented\n" + LINKS + "1 0\n",
    "links.edgelist": "\ufeff" + LINKS.replace("\n", "\r\n"),
    "LINKS.TXT": LINKS.removesuffix("\n"),
    "links.csv": "source,target\n" + LINKS.replace("\t", ","),
    "crlf.csv": "\ufeffsource,target\r\n" + LINKS.replace("\t", ",").replace("\n", "\r\n"),
    "weighted.csv": 'target,weight,source\n1,5,0\n2,5,1\n0,5,2\n"3",5,2\n',
    "links.tsv": "source\ttarget\n" + LINKS,
    "links.graphml": GRAPHML.format(
        "".join(f'<node id="{i}"/>' for i in range(4))
        + "".join(f'<edge source="{a}" target="{b}"/>' for a, b in [(0, 1), (1, 2), (2, 0), (2, 3)])
    ),
    "links.gml": 'Creator "me"\ngraph [\n directed 0\n'
    + "".join(f'node [ id 1{i} label "{i}" graphics [ x 0.5 ] ]\n' for i in range(4))
    + "".join(f"edge [ source 1{a} target 1{b} ]\n" for a, b in [(0, 1), (1, 2), (2, 0), (2, 3)])
    + "]",
}


@pytest.mark.parametrize("name", SAME_NETWORK)
@pytest.mark.parametrize("ending", ["", ".gz"])
def test_every_format_gives_the_same_market(tmp_path, name, ending):
    market = read_market(write(tmp_path, name + ending, SAME_NETWORK[name]))
    assert list(market.labels) == [0, 1, 2, 3]
    assert arcs(market) == {(0, 1), (1, 0), (1, 2), (2, 1), (2, 0), (0, 2), (2, 3), (3, 2)}
    assert market.endowment.tolist() == market.value.tolist() == [1.0] * 4


@pytest.mark.parametrize("field", ["pattern", "integer", "real"])
@pytest.mark.parametrize("symmetry", ["general", "symmetric"])
def test_a_matrix_of_scipy_gives_its_pattern_with_agents_from_one(tmp_path, field, symmetry):
    rows, columns = [0, 1, 2, 2], [1, 2, 0, 3]
    half = scipy.sparse.coo_array((np.array([1, -2, 3, 4]), (rows, columns)), shape=(4, 4))
    scipy.io.mmwrite(tmp_path / "a.mtx", (half + half.T).astype(float), field=field, symmetry=symmetry)
    market = read_market(tmp_path / "a.mtx")
    assert list(market.labels) == [1, 2, 3, 4]
    assert market.num_links == 4
    assert market.origin.merged_links == 0
    assert (1, 2) in arcs(market)
    assert (1, 4) not in arcs(market)


@pytest.mark.parametrize("symmetry", ["general", "symmetric"])
def test_a_dense_matrix_in_a_file_gives_its_pattern(tmp_path, symmetry):
    matrix = np.zeros((4, 4))
    matrix[[0, 1, 1, 2, 1, 3], [1, 0, 2, 1, 3, 1]] = 0.5
    scipy.io.mmwrite(tmp_path / "a.mtx", matrix, symmetry=symmetry)
    assert arcs(read_market(tmp_path / "a.mtx")) == {(1, 2), (2, 1), (2, 3), (3, 2), (2, 4), (4, 2)}


@pytest.mark.parametrize("writer", [nx.write_graphml_xml, nx.write_gml])
@pytest.mark.parametrize(
    "graph", [nx.karate_club_graph(), nx.les_miserables_graph()], ids=["karate", "miserables"]
)
def test_what_networkx_writes_is_read_as_the_same_network(tmp_path, graph, writer):
    path = tmp_path / ("graph.graphml" if writer is nx.write_graphml_xml else "graph.gml")
    writer(graph, path)
    market = read_market(path)
    assert list(market.labels) == list(graph)
    assert arcs(market) == {pair for a, b in graph.edges for pair in ((a, b), (b, a))}


def test_labels_are_integers_only_where_all_of_them_are(tmp_path):
    market = read_market(write(tmp_path, "a.txt", "10 9\n9 200\n"))
    assert list(market.labels) == [9, 10, 200]
    market = read_market(write(tmp_path, "a.txt", "10 ann\nann 9\n"))
    assert list(market.labels) == ["10", "ann", "9"]
    market = read_market(write(tmp_path, "a.txt", f"{2**63 - 1} 0\n"))
    assert list(market.labels) == [0, 2**63 - 1]


def test_text_is_compared_exactly(tmp_path):
    composed, decomposed = "caf\u00e9", "cafe\u0301"
    market = read_market(write(tmp_path, "a.txt", f"{composed} {decomposed}\nAnn ann\nann {composed}\n"))
    assert list(market.labels) == [composed, decomposed, "Ann", "ann"]


def test_links_given_twice_are_merged_and_counted(tmp_path):
    assert read_market(write(tmp_path, "a.txt", "0 1\n1 0\n0 1\n1 2\n")).origin.merged_links == 2
    assert read_market(write(tmp_path, "a.mtx", f"{MTX} pattern symmetric\n2 2 2\n2 1\n2 1\n")).num_links == 1
    edges = '<edge source="a" target="b"/>' * 2
    path = write(tmp_path, "a.graphml", GRAPHML.format(f'<node id="a"/><node id="b"/>{edges}'))
    assert read_market(path).origin.merged_links == 1
    path = write(
        tmp_path, "a.gml", "graph [ node [ id 1 ] node [ id 2 ]" + " edge [ source 1 target 2 ]" * 3 + "]"
    )
    assert read_market(path).origin.merged_links == 2


def test_what_is_asked_to_be_dropped_is_dropped_and_recorded(tmp_path):
    path = write(tmp_path, "a.txt", "0 1\n7 7\n")
    market = read_market(path, drop_self_loops=True, drop_isolated=True)
    assert list(market.labels) == [0, 1]
    assert market.origin.dropped_self_loops == market.origin.dropped_isolated == (7,)


def test_extra_columns_are_ignored_on_request(tmp_path):
    path = write(tmp_path, "a.txt", "0 1 0.5\n1 2 0.25 1999\n")
    assert read_market(path, ignore_extra_columns=True).num_links == 2


def test_directed_graphs_are_symmetrised_on_request_and_accepted_if_symmetric(tmp_path):
    nodes = '<node id="a"/><node id="b"/><node id="c"/>'
    one_way = '<edge source="a" target="b"/><edge source="b" target="c"/>'
    both = one_way + '<edge source="b" target="a"/><edge source="c" target="b"/>'
    directed = GRAPHML.replace("undirected", "directed")
    path = write(tmp_path, "a.graphml", directed.format(nodes + one_way))
    market = read_market(path, symmetrize=True)
    assert (market.num_links, market.origin.merged_links) == (2, 0)
    market = read_market(write(tmp_path, "b.graphml", directed.format(nodes + both)))
    assert (market.num_links, market.origin.merged_links) == (2, 0)
    path = write(tmp_path, "a.mtx", f"{MTX} pattern general\n2 2 1\n1 2\n")
    assert read_market(path, symmetrize=True).num_links == 1


def test_attributes_of_agents_become_endowments_and_values(tmp_path):
    graph = nx.path_graph(3)
    nx.set_node_attributes(graph, {0: 2.5, 1: 4, 2: 0.125}, "budget")
    nx.write_gml(graph, tmp_path / "a.gml")
    nx.write_graphml_xml(graph, tmp_path / "a.graphml")
    for name in ("a.gml", "a.graphml"):
        market = read_market(tmp_path / name, endowment_attribute="budget", value_attribute="budget")
        assert market.endowment.tolist() == market.value.tolist() == [2.5, 4, 0.125]


def test_a_default_in_graphml_holds_for_agents_without_the_attribute(tmp_path):
    text = GRAPHML.replace('"double"/>', '"double"><default>3</default></key>').format(
        '<node id="a"><data key="k">2</data></node><node id="b"/><edge source="a" target="b"/>'
    )
    market = read_market(write(tmp_path, "a.graphml", text), endowment_attribute="budget")
    assert market.endowment.tolist() == [2, 3]


# -- edge lists: the quick path and the careful one --------------------------------------------

labels = st.one_of(
    st.integers(0, 2**63 - 1).map(str),
    st.text("abcxyzé中,;'\"<&", min_size=1, max_size=5),
)


@given(st.lists(st.tuples(labels, labels).filter(lambda ends: ends[0] != ends[1]), min_size=1, max_size=20))
def test_an_edge_list_reads_back_as_it_was_written(tmp_path_factory, links):
    path = write(tmp_path_factory.mktemp("links"), "a.txt", "".join(f"{a}\t{b}\n" for a, b in links))
    # Generated links may look like a header, which the option excludes.
    market = read_market(path, header=False)
    is_numbered = all(label.isdecimal() for ends in links for label in ends)
    kind = int if is_numbered else str
    assert arcs(market) == {pair for a, b in links for pair in ((kind(a), kind(b)), (kind(b), kind(a)))}
    assert list(market.labels) == (
        sorted({int(label) for ends in links for label in ends})
        if is_numbered
        else list(dict.fromkeys(label for ends in links for label in ends))
    )


@given(st.text("0159 \t\n\r,.-+#x", max_size=40))
def test_the_quick_path_takes_only_what_the_careful_one_reads_the_same(text):
    pairs = _quick.whole_pairs(text.encode())
    lines = [line.split() for line in text.encode().split(b"\n")]
    lines = [cells for cells in lines if cells]
    if pairs is not None:
        assert all(len(cells) == 2 for cells in lines)
        assert [[str(n).encode() for n in pair] for pair in pairs.tolist()] == lines


@pytest.mark.parametrize(
    "text", ["1,,2\n3,4\n", "1,2,\n", ",1,2\n", "1\t2\n", "1\n2\n", "01,2\n", "1,2,3,4\n"]
)
def test_the_quick_path_leaves_odd_rows_of_tables_to_the_careful_one(text):
    assert _quick.whole_pairs(text.encode(), b",") is None


def _outcome(read, text):
    try:
        network = read(text)
    except ValueError as error:
        return str(error)
    notes = {what: count for what, count in network.notes.items() if count}
    return np.asarray(network.links).tolist(), list(network.labels), [type(x) for x in network.labels], notes


FIRST_LINES = [
    "source target",
    "from\tto",
    "x y",
    "node1 node2",
    "nodes 3",
    "4 3",
    "# a b",
    "#a b",
    "3 3 4",
    "4",
]
LINES = ["0 1", "7\t12", "a b", "é x", "", " ", "# c", "  % 1 2", "a", "1 2 3", "01 2"]
WEIGHTED = ["0 1 0.5", "1 2 3", "2\t3\t1e3", "0 2 1", " 3 0 -4 ", "10 20 2", "# x", "", "0 10 .5", "1 0 0"]
NAMED = [
    "ann bo 0.5",
    "bo cy 3",
    "ann cy 1",
    "cy di 2.",
    "# x",
    "",
    "ann 1 2",
    "a b 3",
    "b c 4",
    "c a 5",
    "(x y) 1",
]


@given(
    st.lists(st.sampled_from(FIRST_LINES), max_size=1),
    st.lists(st.sampled_from(LINES))
    | st.lists(st.sampled_from(WEIGHTED), min_size=3)
    | st.lists(st.sampled_from(NAMED), min_size=3)
    | st.lists(st.text("019ab#% \t\u00a0.-n", max_size=8)),
    st.sampled_from(["\n", "\r\n"]),
    st.sampled_from([1, 5, 1 << 24]),
    st.booleans(),
    st.sampled_from([None, True, False]),
)
def test_edge_lists_read_quickly_are_as_read_line_by_line_faults_included(
    first, lines, line_end, block, is_open, header
):
    text = (line_end.join(first + lines) + line_end * (not is_open)).encode()
    options = FileOptions(header=header)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_quick, "_BLOCK", block)
        quick = _outcome(lambda t: _links.read_edge_list("a.txt", t, options), text)
        patch.setattr(_links._Links, "_quickly", lambda self, notes: None)
        assert quick == _outcome(lambda t: _links.read_edge_list("a.txt", t, options), text)


@pytest.mark.parametrize("largest", [3, 10**6, 10**17, 10**18, 2**63 - 1])
def test_numbers_far_apart_are_read_the_same(largest):
    text = f"{largest} 1\n1 2\n".encode()
    read = _outcome(lambda t: _links.read_edge_list("a.txt", t, FileOptions()), text)
    assert read == ([[2, 0], [0, 1]], [1, 2, largest], [int] * 3, {})
