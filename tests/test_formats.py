"""Further formats of network files: what NetworkX and SciPy write is read, and what is bad refused."""

import bz2
import gzip
import io
import json
import lzma
import random
import subprocess
import sys
import textwrap
import zipfile

import networkx as nx
import numpy as np
import pytest
import scipy.sparse
from test_bad_files import DAMAGES, complaint_about, write
from test_read import arcs

from cmapjax import graphs
from cmapjax.graphs._file_options import FORMATS, FileOptions
from cmapjax.graphs._formats import memory_per_byte
from cmapjax.graphs._read import read_market

# Five agents, six links; `e` hangs on `d` alone.
LINKS = [("a", "b"), ("b", "c"), ("c", "a"), ("c", "d"), ("d", "a"), ("d", "e")]
BOTH_WAYS = {*LINKS, *((b, a) for a, b in LINKS)}


def gexf(body, graph='<graph defaultedgetype="undirected">', space='xmlns="http://gexf.net/1.3"'):
    return f'<?xml version="1.0"?>\n<gexf {space}>\n{graph}\n{body}\n</graph></gexf>'


NODES = "<nodes>" + "".join(f'<node id="{x}"/>' for x in "abcde") + "</nodes>"
EDGES = "<edges>" + "".join(f'<edge source="{a}" target="{b}"/>' for a, b in LINKS) + "</edges>"
PAJEK = '*Vertices 5\n1 "a"\n2 "b"\n3 c 0.1 0.2\n4 "d"\n5 "e"\n'
NUMBERS = [("abcde".index(a) + 1, "abcde".index(b) + 1) for a, b in LINKS]
ROWS = [",a,b,c,d,e", "a,0,1,1,1,0", "b,1,0,1,0,0", "c,1,1,0,1,0", "d,1,0,1,0,1", "e,0,0,0,1,0"]

SAME_NETWORK = {
    "a.gexf": gexf(NODES + EDGES),
    "old.gexf": gexf(NODES + EDGES, space='xmlns="http://www.gexf.net/1.2draft" version="1.2"'),
    "bare.gexf": gexf(NODES + EDGES, space=""),
    "mutual.gexf": gexf(NODES + EDGES, '<graph defaultedgetype="mutual">'),
    "links.json": json.dumps(
        {
            "nodes": [{"id": x, "group": 1} for x in "abcde"],
            "links": [{"source": a, "target": b} for a, b in LINKS],
        }
    ),
    "edges.json": json.dumps(
        {
            "directed": True,
            "nodes": [{"id": x} for x in "abcde"],
            "edges": [{"source": a, "target": b} for a, b in sorted(BOTH_WAYS)],
        }
    ),
    "edges.net": PAJEK + "*Edges\n" + "".join(f"{a} {b}\n" for a, b in NUMBERS),
    "arcs.net": "% drawn by hand\n*Network five\n"
    + PAJEK
    + "*arcs\n"
    + "".join(f"{a} {b}\n{b} {a}\n" for a, b in NUMBERS),
    "lists.net": PAJEK + "*Edgeslist\n1 2 3 4\n2 3\n*Arcslist\n3 4\n4 3 5\n5 4\n",
    "matrix.net": PAJEK + "*Matrix\n" + "".join(row[2:].replace(",", " ") + "\n" for row in ROWS[1:]),
    "a.adjlist": "#/usr/bin/made by a script\n# on a Sunday\na b c d\nb c\nc d\nd e\ne\n",
    "both.adj": "a b c d\nb a c\nc a b d\nd a c e\ne d\n",
    "matrix.csv": "\n".join(ROWS) + "\n",
    "shuffled.csv": "\n".join([ROWS[0], *ROWS[:0:-1]]),
    "matrix.tsv": "\n".join(ROWS).replace(",", "\t"),
}


@pytest.mark.parametrize("name", SAME_NETWORK)
def test_every_format_gives_the_same_market_in_the_order_of_the_file(tmp_path, name):
    market = read_market(write(tmp_path, name, SAME_NETWORK[name]))
    assert list(market.labels) == list("abcde")
    assert arcs(market) == BOTH_WAYS
    assert market.origin.merged_links == 0


def les_miserables():
    graph = nx.les_miserables_graph()
    return nx.relabel_nodes(graph, {name: f"M {name}" for name in graph})


WRITERS = {
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
    assert arcs(market) == {*graph.edges, *((b, a) for a, b in graph.edges)}
    assert [*market.origin.notes] == ["weights of links ignored"]


def test_adjacency_lists_of_networkx_are_read_in_ascending_order(tmp_path):
    graph = nx.karate_club_graph()
    nx.write_adjlist(graph, tmp_path / "a.adjlist")
    market = read_market(tmp_path / "a.adjlist")
    assert list(market.labels) == list(range(34))
    assert arcs(market) == {*graph.edges, *((b, a) for a, b in graph.edges)}
    assert market.origin.notes == {"comment lines skipped": 3}


@pytest.mark.parametrize("layout", ["csr", "csc", "coo", "bsr", "dia"])
def test_sparse_matrices_are_read_with_agents_from_zero_and_stored_zeros_are_no_links(tmp_path, layout):
    graph = nx.karate_club_graph()
    scipy.sparse.save_npz(tmp_path / "a.npz", nx.to_scipy_sparse_array(graph, weight=None, format=layout))
    market = read_market(tmp_path / "a.npz")
    assert arcs(market) == {*graph.edges, *((b, a) for a, b in graph.edges)}
    square = scipy.sparse.coo_array(([1, 2, 2, 0], ([0, 0, 2, 1], [1, 2, 0, 2])), shape=(3, 3))
    scipy.sparse.save_npz(tmp_path / "b.npz", square)
    market = read_market(tmp_path / "b.npz", symmetrize=True)
    assert arcs(market) == {(0, 1), (1, 0), (0, 2), (2, 0)}
    assert market.origin.notes["stored zeros skipped"] == 1
    assert market.origin.notes["weights of links ignored"] == 2


def test_the_sides_of_a_bipartite_konect_network_are_numbered_apart(tmp_path):
    market = read_market(write(tmp_path, "out.club", "% bip unweighted\n% 4 2 3\n1 1\n1 2\n2 2\n2 3\n"))
    assert list(market.labels) == ["left-1", "left-2", "right-1", "right-2", "right-3"]
    assert market.num_links == 4
    sides = {(a.split("-")[0], b.split("-")[0]) for a, b in arcs(market)}
    assert sides == {("left", "right"), ("right", "left")}


def test_konect_networks_keep_their_numbers_and_say_what_is_not_used(tmp_path):
    text = "% sym positive\n% 3 9 9\n7 2 3 1042\n2 9 1 1043\n9 7 2 1044\n"
    for name in ("out.friends", "links.txt"):
        market = read_market(write(tmp_path, name, text), format="konect")
        assert list(market.labels) == [2, 7, 9]
        assert market.num_links == 3
        assert market.origin.notes["weights of links ignored"] == 3
    packed = tmp_path / "out.friends.bz2"
    packed.write_bytes(bz2.compress(text.encode()))
    assert read_market(packed).num_links == 3
    one_way = write(tmp_path, "out.follows", "% asym unweighted\n1 2\n2 3\n3 2\n")
    assert "directed link 1 → 2 has no reverse" in complaint_about(one_way)
    assert read_market(one_way, symmetrize=True).num_links == 2


def test_gexf_attributes_name_agents_and_bring_endowments(tmp_path):
    text = gexf(
        '<attributes class="node"><attribute id="0" title="power" type="double"><default>2</default>'
        '</attribute></attributes><attributes class="edge"><attribute id="0" title="kind"/></attributes>'
        '<nodes><node id="1" label="ann"><attvalues><attvalue for="0" value="3.5"/></attvalues>'
        '<viz:color xmlns:viz="http://gexf.net/1.3/viz" r="9"/></node><node id="2" label="bob"/></nodes>'
        '<edges><edge source="1" target="2" weight="4"><attvalues><attvalue for="0" value="x"/></attvalues>'
        "</edge></edges>"
    )
    path = write(tmp_path, "a.gexf", text)
    market = read_market(path, label_attribute="label", endowment_attribute="power")
    assert list(market.labels) == ["ann", "bob"]
    assert market.endowment.tolist() == [3.5, 2.0]
    assert list(read_market(path).labels) == [1, 2]


def test_gexf_groups_are_agents_only_if_they_have_links(tmp_path):
    nested = '<nodes><node id="team"><nodes><node id="a"/><node id="b"/></nodes></node></nodes>'
    path = write(tmp_path, "a.gexf", gexf(nested + '<edges><edge source="a" target="b"/></edges>'))
    market = read_market(path)
    assert (list(market.labels), market.origin.notes) == (["a", "b"], {"groups without links left out": 1})


def test_json_attributes_name_agents_and_bring_values(tmp_path):
    nodes = [{"id": [0, 1], "name": "ann", "pv": 2}, {"id": [0, 2], "name": "bob", "pv": 3.5}]
    document = {"nodes": nodes, "links": [{"source": [0, 2], "target": [0, 1], "value": 3}]}
    path = write(tmp_path, "a.json", json.dumps(document))
    market = read_market(path, label_attribute="name", value_attribute="pv")
    assert list(market.labels) == ["ann", "bob"]
    assert market.value.tolist() == [2.0, 3.5]
    assert "the id of nodes[0] is [0, 1]" in complaint_about(path)


def test_json_without_ids_counts_nodes_from_zero_as_old_d3_does(tmp_path):
    document = {"nodes": [{"name": "x"}, {"name": "y"}], "links": [{"source": 1, "target": 0}]}
    path = write(tmp_path, "a.json", json.dumps(document))
    assert list(read_market(path).labels) == [0, 1]
    assert list(read_market(path, label_attribute="name").labels) == ["x", "y"]


def test_json_keeps_names_that_are_text_and_numbers_apart(tmp_path):
    for ids in (["0", "1"], [0, 1]):
        document = {"nodes": [{"id": i} for i in ids], "links": [{"source": ids[0], "target": ids[1]}]}
        assert list(read_market(write(tmp_path, "a.json", json.dumps(document))).labels) == ids


def test_pajek_vertices_of_one_label_are_called_by_number_on_request(tmp_path):
    path = write(tmp_path, "a.net", '*Vertices 3\n1 "x"\n2 "x"\n3 "y"\n*Edges\n1 2 5\n2 3 1\n')
    assert "line 3: label 'x' stands also on line 2" in complaint_about(path)
    assert "label_attribute='id'" in complaint_about(path)
    assert list(read_market(path, label_attribute="id").labels) == [1, 2, 3]
    bare = write(tmp_path, "b.net", "*Vertices 3\n*Edges\n1 2\n2 3\n")
    assert list(read_market(bare).labels) == [1, 2, 3]


def test_a_matrix_of_numbers_alone_is_read_on_request(tmp_path):
    path = write(tmp_path, "a.csv", "0;1;1\n1;0;0\n1;0;0\n")
    market = read_market(path, format="adjacency-matrix", separator="semicolon", header=False)
    assert arcs(market) == {(0, 1), (1, 0), (0, 2), (2, 0)}


def test_a_table_of_links_is_not_taken_for_a_matrix(tmp_path):
    path = write(tmp_path, "a.csv", "id,source,target\nsource,a,b\ntarget,b,c\n")
    assert read_market(path, source_column="source", target_column="target").num_links == 2
    assert arcs(read_market(write(tmp_path, "b.csv", "source,target,weight\na,b,1\nb,c,1\n"))) == {
        ("a", "b"), ("b", "a"), ("b", "c"), ("c", "b")
    }  # fmt: skip


TWICE = {
    "a.gexf": gexf(NODES + EDGES.replace("</edges>", '<edge source="b" target="a"/></edges>')),
    "a.json": SAME_NETWORK["links.json"].replace('"links": [', '"links": [{"source": "b", "target": "a"}, '),
    "a.net": SAME_NETWORK["edges.net"] + "2 1\n",
    "a.adj": "a b c d b\nb c\nc d\nd e\n",
    "out.a": "% sym unweighted\n" + "".join(f"{a} {b}\n" for a, b in NUMBERS) + "2 1\n",
}


@pytest.mark.parametrize("name", TWICE)
def test_a_link_given_twice_is_merged_and_counted(tmp_path, name):
    market = read_market(write(tmp_path, name, TWICE[name]))
    assert (market.num_links, market.origin.merged_links) == (6, 1)


# -- compressed files --------------------------------------------------------------------------

EDGES_TXT = b"0 1\n1 2\n2 0\n"


def zipped(names, method=zipfile.ZIP_DEFLATED, data=EDGES_TXT):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", method) as archive:
        for name in names:
            archive.writestr(name, data)
    return content.getvalue()


PACKED = {
    "a.txt.gz": gzip.compress(EDGES_TXT),
    "a.txt.bz2": bz2.compress(EDGES_TXT),
    "a.txt.xz": lzma.compress(EDGES_TXT),
    "a.txt.zip": zipped(["whatever"]),
    "a.zip": zipped(["folder/", "folder/links.edges", "__MACOSX/folder/._links.edges"]),
    "stored.zip": zipped(["links.txt"], zipfile.ZIP_STORED),
    "lzma.zip": zipped(["out.zachary"], zipfile.ZIP_LZMA, b"% sym\n" + EDGES_TXT),
}


@pytest.mark.parametrize("name", PACKED)
def test_one_file_in_any_packing_is_read_and_torn_or_bent_is_refused(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(PACKED[name])
    assert list(read_market(path).labels) == [0, 1, 2]
    path.write_bytes(PACKED[name][:-12])
    assert name in complaint_about(path)
    path.write_bytes(b"0 1\n1 2\n")
    assert name in complaint_about(path)


BAD_PACKINGS = {
    "two.zip": (zipped(["a.txt", "b.txt"]), ["holds 2 files", "'a.txt', 'b.txt'", "of its own"]),
    "none.zip": (zipped(["folder/"]), ["holds 0 files"]),
    "unknown.zip": (zipped(["links.dat"]), ["'.dat'"]),
    "twice.txt.xz": (lzma.compress(gzip.compress(EDGES_TXT)), ["compressed twice"]),
    "a.txt.gz": (bz2.compress(EDGES_TXT), ["ends in .gz but is not gzip"]),
    "a.txt": (lzma.compress(EDGES_TXT), ["is a xz file; end its name in .xz"]),
}


@pytest.mark.parametrize("name", BAD_PACKINGS)
def test_packings_that_cannot_be_read_say_why(tmp_path, name):
    content, words = BAD_PACKINGS[name]
    (tmp_path / name).write_bytes(content)
    message = complaint_about(tmp_path / name)
    assert [word for word in [name, *words] if word not in message] == [], message


def test_an_encrypted_zip_file_is_refused(tmp_path):
    data = bytearray(zipped(["a.txt"]))
    directory = data.rindex(b"PK\x01\x02")
    data[6] |= 1
    data[directory + 8] |= 1
    (tmp_path / "a.zip").write_bytes(data)
    assert "is encrypted; unpack it first" in complaint_about(tmp_path / "a.zip")


# -- what is refused ---------------------------------------------------------------------------

ARRAYS = {"format": np.array("coo"), "shape": np.array([2, 2]), "row": np.array([0]), "col": np.array([1])}


def npz(**arrays):
    content = io.BytesIO()
    np.savez_compressed(content, **arrays)
    return content.getvalue()


def sparse(shape=(2, 2), dtype=np.int8, entries=((0, 1), (1, 0)), value=1, layout="csr"):
    rows, columns = zip(*entries, strict=True)
    content = io.BytesIO()
    matrix = scipy.sparse.coo_array((np.full(len(rows), value, dtype), (rows, columns)), shape=shape)
    scipy.sparse.save_npz(content, matrix.asformat(layout))
    return content.getvalue()


ONE_WAY = '<graph defaultedgetype="directed">'
MATRIX = {"format": "adjacency-matrix"}
# name: (file name, content, options, words that the message must have)
BAD_FILES = {
    "gexf without a graph": ("a.gexf", "<gexf></gexf>", {}, ["no <graph>"]),
    "gexf of an unknown end": (
        "a.gexf", gexf(NODES + '<edges>\n<edge source="a" target="z"/></edges>'), {}, ["line 5", "'z'"]
    ),
    "gexf without an id": ("a.gexf", gexf("<nodes>\n<node/></nodes>"), {}, ["line 5", "<node> without id"]),
    "gexf directed": ("a.gexf", gexf(NODES + EDGES, ONE_WAY), {}, ["symmetrize=True"]),
    "gexf of an odd type": ("a.gexf", gexf(NODES + EDGES, "<graph defaultedgetype='x'>"), {}, ["line 3"]),
    "gexf node astray": ("a.gexf", gexf('<node id="a"/>'), {}, ["line 4", "outside <nodes>"]),
    "gexf with entities": ("a.gexf", '<!DOCTYPE g [<!ENTITY a "b">]>' + gexf(NODES + EDGES), {}, ["DOCTYPE"]),
    "gexf torn": ("a.gexf", gexf(NODES)[:-9], {}, ["well-formed XML"]),
    "gexf without the attribute": ("a.gexf", gexf(NODES + EDGES), {"label_attribute": "x"}, ["'x'", "id"]),
    "json torn": ("a.json", '{"nodes": [\n{"id": 1}', {}, ["line 2", "is not JSON"]),
    "json list": ("a.json", "[1, 2]", {}, ["holds a list"]),
    "json of another kind": ("a.json", '{"elements": {"nodes": []}}', {}, ["no list nodes", "'elements'"]),
    "json without links": ("a.json", '{"nodes": []}', {}, ["links or edges"]),
    "json with both": ("a.json", '{"nodes": [], "links": [], "edges": []}', {}, ["one list of links"]),
    "json node": ("a.json", '{"nodes": [1], "links": []}', {}, ["nodes[0] is 1"]),
    "json without an id": ("a.json", '{"nodes": [{"id": 1}, {}], "links": []}', {}, ["nodes[1] has no id"]),
    "json id": ("a.json", '{"nodes": [{"id": 1.5}], "links": []}', {}, ["nodes[0] is 1.5", "text or whole"]),
    "json twice": ("a.json", '{"nodes": [{"id": 1, "id": 2}], "links": []}', {}, ["'id' twice"]),
    "json node twice": ("a.json", '{"nodes": [{"id": 1}, {"id": 1}], "links": []}', {}, ["'1' is declared"]),
    "json end": ("a.json", '{"nodes": [{"id": 1}], "links": [{"source": 1}]}', {}, ["links[0] has no"]),
    "json undeclared": (
        "a.json", '{"nodes": [{"id": 1}], "links": [{"source": 1, "target": "1"}]}', {}, ["'\"1\"'"]
    ),
    "json directed perhaps": ("a.json", '{"directed": 1, "nodes": [], "links": []}', {}, ["directed is 1"]),
    "json half a letter": ("a.json", '{"nodes": [{"id": "\\ud800"}], "links": []}', {}, ["half a character"]),
    "json digits": ("a.json", '{"nodes": [{"id": ' + "9" * 5000 + "}]}", {}, ["a.json"]),
    "json deep": ("a.json", '{"nodes": ' + "[" * 100_000, {}, ["too deeply"]),
    "pajek without vertices": ("a.net", "*Edges\n1 2\n", {}, ["line 1", "before *Vertices"]),
    "pajek without a number": ("a.net", "*Vertices\n", {}, ["line 1", "number of vertices"]),
    "pajek of too many": ("a.net", "*Vertices 999999999999\n", {}, ["budget", "999,999,999,999 vertices"]),
    "pajek end": ("a.net", PAJEK + "*Edges\n1 6\n", {}, ["line 8", "'6'", "1 … 5"]),
    "pajek one end": ("a.net", PAJEK + "*Edges\n1\n", {}, ["line 8", "two vertices"]),
    "pajek vertex twice": ("a.net", "*Vertices 2\n1 a\n1 b\n", {}, ["line 3", "declared twice"]),
    "pajek arc": ("a.net", PAJEK + "*Arcs\n1 2\n", {}, ["'a' → 'b'", "symmetrize=True"]),
    "pajek section": ("a.net", PAJEK + "*Partition x\n", {}, ["line 7", "'*Partition x'", "network alone"]),
    "pajek matrix": ("a.net", PAJEK + "*Matrix\n0 1 0 0 0\n", {}, ["1 rows for 5"]),
    "pajek row": ("a.net", PAJEK + "*Matrix\n0 1\n", {}, ["line 8", "2 numbers, not 5"]),
    "pajek attribute": ("a.net", PAJEK, {"label_attribute": "name"}, ["'name'", "'label'"]),
    "adjacency data": ("a.adj", "a b {'weight':1}\n", {}, ["line 1", "no plain name"]),
    "adjacency hash": ("a.adj", "a b\n#c d\n", {}, ["line 2", "comment, or an agent"]),
    "adjacency hash at the head": ("a.adj", "#a b\nb #a\n", {}, ["line 1", "comment, or an agent"]),
    "adjacency alone": ("a.adj", "a b\nc\n", {}, ["'c'", "drop_isolated=True"]),
    "matrix entry": ("a.csv", ",a,b\na,0,x\nb,1,0\n", {}, ["line 2", "'b' is 'x'", "write 0"]),
    "matrix blank entry": ("a.csv", ",a,b\na,0,\nb,1,0\n", {}, ["line 2", "'b' is ''"]),
    "matrix one way": ("a.csv", ",a,b\na,0,1\nb,0,0\n", {}, ["'a' → 'b'", "symmetrize=True"]),
    "matrix names": (
        "a.csv", ",a,b\na,0,1\nc,1,0\n", MATRIX, ["'b', 'c'", "header=False"]
    ),
    "matrix not square": ("a.csv", "0,1\n1,0\n0,0\n", MATRIX | {"header": False}, ["square"]),
    "npz of others": ("a.npz", npz(arr_0=np.eye(2)), {}, ["'arr_0'", "save_npz"]),
    "npz no zip": ("a.npz", b"0 1\n", {}, ["no sparse matrix"]),
    "npz torn": ("a.npz", sparse()[:-30], {}, ["no sparse matrix"]),
    "npz not square": ("a.npz", sparse((2, 3)), {}, ["(2, 3)"]),
    "npz NaN": ("a.npz", sparse(dtype=float, value=np.nan), {}, ["0 and 1 is nan"]),
    "npz one way": ("a.npz", sparse(entries=[(0, 1)]), {}, ["0 → 1", "symmetrize=True"]),
    "npz objects": ("a.npz", npz(**ARRAYS, data=np.array([None])), {}, ["'data' holds Python objects"]),
    "npz large": ("a.npz", npz(**ARRAYS | {"shape": np.array([10**12] * 2)}, data=[1]), {}, ["budget"]),
    "npz astray": ("a.npz", npz(**ARRAYS | {"col": np.array([7])}, data=[1]), {}, ["no sparse matrix"]),
    "konect header": ("out.x", "1 2\n", {}, ["line 1", "'% sym'"]),
    "konect dynamic": ("out.x", "% sym dynamic\n1 2 1 5\n", {}, ["links come and go"]),
    "konect torn": ("out.x", "% sym unweighted\n% 3 3 3\n1 2\n2 3\n", {}, ["2 links", "3 are declared"]),
    "konect columns": ("out.x", "% sym unweighted\n1 2 3 4 5\n", {}, ["line 2", "5 columns"]),
    "konect number": ("out.x", "% sym unweighted\n1 b\n", {}, ["line 2", "'b'"]),
    "konect weight": ("out.x", "% sym weighted\n1 2 heavy\n", {}, ["line 2", "'heavy'"]),
    "format": ("a.txt", "0 1\n", {"format": "pdf"}, ["format 'pdf' is not known", "edge-list, csv"]),
    "option of another format": ("a.gml", "graph [ ]", {"separator": ";"}, ["gml has no separator", "csv"]),
    "columns of a matrix": ("a.mtx", "x", {"source_column": "a"}, ["matrix-market has no source_column"]),
    "separator": ("a.csv", "x", {"separator": "ab"}, ["separator is 'ab'", "one character"]),
    "header": ("a.csv", "x", {"header": "no"}, ["header is 'no'", "True or False"]),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD_FILES)
def test_a_bad_file_is_named_with_place_value_and_remedy(tmp_path, case):
    name, content, options, words = BAD_FILES[case]
    message = complaint_about(write(tmp_path, name, content), **options)
    assert [word for word in words if word not in message] == [], message
    assert name in message or case in ("format", "separator", "header")


def test_indices_that_lie_are_refused_before_scipy_follows_them(tmp_path):
    arrays = {
        "format": np.array("csr"),
        "shape": np.array([2, 2]),
        "data": np.ones(2),
        "indices": np.array([1, 0]),
    }
    for starts in ([0, 10**9, 2], [0, 2, 1], [5, 1, 2]):
        path = write(tmp_path, "a.npz", npz(**arrays, indptr=np.array(starts)))
        assert "no sparse matrix" in complaint_about(path)


def test_unknown_endings_list_what_there_is(tmp_path):
    message = complaint_about(write(tmp_path, "a.dat", "0 1\n"))
    assert all(word in message for word in [".txt", ".gexf", ".npz", "out.*", ".xz", *FORMATS])
    assert read_market(tmp_path / "a.dat", format="edge-list").num_links == 1


def test_a_format_goes_before_the_ending(tmp_path):
    path = write(tmp_path, "a.txt", "\n".join(ROWS))
    assert read_market(path, format="adjacency-matrix").num_links == 6
    path = write(tmp_path, "b.txt.gz", "source,target\nx,y\n")
    assert list(read_market(path, format="csv").labels) == ["x", "y"]


def test_lists_of_numbers_are_expected_to_take_half_the_memory_of_names(tmp_path):
    numbers, names = b"# a comment\n" + b"10 20\n" * 10, b"ann bob\n" * 10
    assert memory_per_byte("edge-list", numbers[12:]) == 8
    assert memory_per_byte("edge-list", names) == 16
    path = write(tmp_path, "a.txt", numbers[12:])
    budget = 8 * len(numbers[12:])
    assert read_market(path, memory_budget=budget).num_links == 1
    assert "budget" in complaint_about(path, memory_budget=budget - 1)
    path = write(tmp_path, "b.txt", names)
    assert read_market(path, memory_budget=16 * len(names)).num_links == 1
    assert "budget" in complaint_about(path, memory_budget=16 * len(names) - 1)


WHOLE_FILES = {
    name: SAME_NETWORK[name].encode()
    for name in ("a.gexf", "links.json", "edges.net", "lists.net", "matrix.net", "both.adj", "matrix.csv")
} | {"out.x": b"% bip positive\n% 3 2 2\n1 1 4\n1 2 5\n2 1 6\n", "a.npz": sparse(), **PACKED}


@pytest.mark.parametrize("name", WHOLE_FILES)
def test_a_damaged_file_is_read_or_refused_by_name_and_nothing_else(tmp_path, name):
    whole, path, rng = WHOLE_FILES[name], tmp_path / name, random.Random(name)
    complaints = []
    for _ in range(150):
        start = rng.randrange(len(whole))
        damage = rng.choice([*DAMAGES, rng.randbytes(2), b"9" * 30, b'"' * 3])
        path.write_bytes(whole[:start] + damage + whole[start + rng.randrange(1, 20) :])
        try:
            read_market(path)
        except ValueError as error:
            complaints.append(str(error))
    assert complaints
    assert all(name in text and len(text) <= 500 and "\n" not in text for text in complaints)


BOMBS = {
    "bomb.txt.bz2": "bz2.compress(bytes(2**22)) * 800",  # one after another: 3.4 GB of zeros
    "bomb.txt.xz": "lzma.compress(bytes(2**22)) * 800",
    "bomb.zip": "zipped",
    "bomb.npz": "npz",
    "deep.json": "b'[' * 2**20",
    "deep.gexf": "b'<gexf>' + b'<a>' * 2**18",
    "wide.json": "b'{\"nodes\": [' + b'[],' * 2**21 + b'[]]}'",
}


def test_bombs_are_refused_within_a_gigabyte_of_address_space_beyond_the_imports(tmp_path):
    program = textwrap.dedent(f"""
        import bz2, io, lzma, os, re, resource, sys, zipfile
        import numpy as np
        from cmapjax.graphs._read import read_market
        def packed(*parts):
            content = io.BytesIO()
            with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
                for member, data, times in parts:
                    with archive.open(member, "w") as stream:
                        for _ in range(times):
                            stream.write(data)
            return content.getvalue()
        def array(values):
            content = io.BytesIO()
            np.save(content, values)
            return content.getvalue()
        zeros = bytes(2**22)
        zipped = packed(("a.txt", zeros, 20))
        large = array(np.zeros(1, np.int8)).replace(b"(1,), }}       ", b"(1000000000,), }}")[:-1]
        small = {{"format.npy": array(np.array("coo")), "shape.npy": array(np.array([2, 2]))}}
        bombs = dict.fromkeys(["row.npy", "col.npy", "data.npy"], large + zeros)
        npz = packed(*((name, data, 1) for name, data in (small | bombs).items()))
        held = int(re.search(r"VmSize:\\s*(\\d+)", open("/proc/self/status").read())[1]) * 1024
        resource.setrlimit(resource.RLIMIT_AS, (held + 2**30,) * 2)
        for name, data in {{ {", ".join(f"{name!r}: {data}" for name, data in BOMBS.items())} }}.items():
            path = os.path.join(sys.argv[1], name)
            with open(path, "wb") as file:
                file.write(data)
            try:
                read_market(path, memory_budget=2**28)
            except ValueError as error:
                words = ("budget", "deeply", "well-formed", "not an object")
                print(name, any(word in str(error) for word in words), error)
        # Not ru_maxrss, which a process inherits from the one that started it.
        peak = int(re.search(r"VmHWM:\\s*(\\d+)", open("/proc/self/status").read())[1])
        print(peak < 1.2e6, peak)
    """)
    run = subprocess.run(
        [sys.executable, "-c", program, tmp_path], capture_output=True, text=True, timeout=300, check=False
    )
    found = [line.split()[:2] for line in run.stdout.splitlines()]
    assert [line[:2] for line in found[:-1]] == [[name, "True"] for name in BOMBS], run.stdout + run.stderr
    assert found[-1][0] == "True", run.stdout


# -- networks known by name --------------------------------------------------------------------


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


# -- how options are called --------------------------------------------------------------------


def test_options_are_named_as_they_are_written_where_the_reader_was_called():
    python, command, study = (FileOptions(place=place) for place in ("python", "command", "study"))
    assert [o.say("symmetrize") for o in (python, command, study)] == [
        "symmetrize=True", "--symmetrize", 'network = "file:…,symmetrize=true"'
    ]  # fmt: skip
    assert [o.say("header", False) for o in (python, command, study)] == [
        "header=False", "--no-header", 'network = "file:…,header=false"'
    ]  # fmt: skip
    assert [o.say("source_column", "from") for o in (python, command, study)] == [
        "source_column='from'", "--source-column from", 'network = "file:…,source-column=from"'
    ]  # fmt: skip
    assert [o.say("drop_isolated") for o in (python, command, study)] == [
        "drop_isolated=True", "--isolated drop", 'isolated = "drop"'
    ]  # fmt: skip
    assert FileOptions(separator="tab").separator == "\t"
