"""GraphML, GML and MatrixMarket as other programs write them: what nobody asks for refuses nothing."""

import networkx as nx
import numpy as np
import pytest
import scipy.io
import scipy.sparse

from cmapjax.graphs._arrays import from_sparse
from cmapjax.graphs._read import read_market

WEIGHTS = "weights of links ignored"
ZEROS = "stored zeros skipped"
GROUPS = "groups without links left out"
GROUP_AGENTS = "groups with links read as agents"
PORTS = "ports of agents ignored"
BLANKS = "labels with blanks around them, cut off"
SPACE = "http://graphml.graphdrawing.org/xmlns"


def write(folder, name, text):
    path = folder / name
    path.write_text(text)
    return path


def graphml(content, *, keys="", space=SPACE, kind="undirected"):
    xmlns = f' xmlns="{space}"' if space else ""
    head = f'<graphml{xmlns} xmlns:y="http://www.yworks.com/xml/graphml">{keys}\n'
    return f'{head}<graph edgedefault="{kind}">{content}</graph></graphml>'


AGENTS = '<node id="n0"><data key="d">Ann</data></node>\n<node id="n1"><data key="d">Bo </data></node>'
LINK = '<edge source="n0" target="n1"/>'
NAMES = '<key id="d" for="node" attr.name="name" attr.type="string"/>'


def test_agents_of_graphml_are_named_by_an_attribute_or_their_ids(tmp_path):
    path = write(tmp_path, "a.graphml", graphml(AGENTS + LINK, keys=NAMES))
    assert (
        list(read_market(path).labels) == list(read_market(path, label_attribute="id").labels) == ["n0", "n1"]
    )
    market = read_market(path, label_attribute="name")
    assert list(market.labels) == ["Ann", "Bo"]
    assert market.origin.notes == {BLANKS: 1}
    table = write(tmp_path, "agents.csv", "agent,value\nBo,5\nAnn,2\n")
    assert read_market(path, agents=table, label_attribute="name").value.tolist() == [2, 5]
    with pytest.raises(ValueError, match=r"agents there are 'n0', 'n1'.*'name'.*label_attribute="):
        read_market(path, agents=table)


def test_ids_of_the_file_are_meant_by_id_though_an_attribute_is_called_so(tmp_path):
    text = graphml(AGENTS + LINK, keys=NAMES.replace('"name"', '"id"'))
    assert list(read_market(write(tmp_path, "a.graphml", text), label_attribute="id").labels) == ["n0", "n1"]


def test_labels_that_yed_draws_are_read_by_their_key(tmp_path):
    drawn = "<y:ShapeNode>\n<y:Geometry/>\n<y:NodeLabel>House {}</y:NodeLabel>\n<y:Shape/></y:ShapeNode>"
    nodes = "".join(f'<node id="n{i}"><data key="d6">{drawn.format(i)}</data></node>' for i in (0, 1))
    path = write(
        tmp_path, "a.graphml", graphml(nodes + LINK, keys='<key id="d6" for="node" yfiles.type="x"/>')
    )
    assert list(read_market(path, label_attribute="d6").labels) == ["House 0", "House 1"]


UNASKED = {
    "undeclared": ("", '<data key="z">1</data>'),
    "declared for graphs": ('<key id="z" for="graph" attr.name="a"/>', '<data key="z">1</data>'),
    "declared for links": ('<key id="z" for="edge" attr.name="a"/>', '<data key="z">1</data>'),
    "twice": ('<key id="z" for="node" attr.name="a"/>', '<data key="z">1</data><data key="z">2</data>'),
    "two keys of one name": (
        '<key id="z" for="node" attr.name="a"/><key id="y" for="node" attr.name="a"/>',
        '<data key="z">1</data><data key="y">2</data>',
    ),
    "one key of two names": (
        '<key id="z" for="node" attr.name="a"/><key id="z" for="node" attr.name="b"/>',
        '<data key="z">1</data>',
    ),
    "no number": ('<key id="z" for="node" attr.name="a" attr.type="double"/>', '<data key="z">NaN</data>'),
    "elements": ('<key id="z" for="node"/>', '<data key="z"><y:Shape><y:edge/></y:Shape></data>'),
    "a key without an id": ('<key for="node" attr.name="a"/>', ""),
}  # fmt: skip


@pytest.mark.parametrize("case", UNASKED)
def test_attributes_of_graphml_that_nobody_asks_for_refuse_nothing(tmp_path, case):
    keys, data = UNASKED[case]
    nodes = f'<node id="n0">{data}</node><node id="n1"/>'
    market = read_market(write(tmp_path, "a.graphml", graphml(nodes + LINK, keys=keys)))
    assert list(market.labels) == ["n0", "n1"]
    assert market.num_links == 1


def test_ids_are_no_remedy_where_labels_are_ids(tmp_path):
    nodes = '<node id="01"/><node id="1"/><edge source="1" target="01"/>'
    with pytest.raises(ValueError, match="same number") as caught:
        read_market(write(tmp_path, "a.graphml", graphml(nodes)))
    assert "label_attribute" not in str(caught.value)
    with pytest.raises(ValueError, match=r"same number.*label_attribute='id'"):
        read_market(write(tmp_path, "a.gml", gml('node [ id 1 label "01" ] node [ id 2 label "1" ]')))


def test_a_key_may_be_declared_behind_its_data(tmp_path):
    text = graphml(AGENTS + LINK).replace("</graph></graphml>", f"</graph>{NAMES}</graphml>")
    assert list(read_market(write(tmp_path, "a.graphml", text), label_attribute="name").labels) == [
        "Ann",
        "Bo",
    ]


@pytest.mark.parametrize("space", ["", SPACE + "/graphml", "http://example.org/own"])
def test_elements_of_graphml_are_known_whatever_the_namespace(tmp_path, space):
    market = read_market(write(tmp_path, "a.graphml", graphml(AGENTS + LINK, space=space)))
    assert list(market.labels) == ["n0", "n1"]


def test_nodes_of_nested_graphs_are_agents_and_groups_are_only_with_links_of_their_own(tmp_path):
    inner = '<graph edgedefault="directed"><node id="a"/><node id="b"/><edge source="b" target="a"/></graph>'
    nodes = f'<node id="g">{inner}</node><node id="c"/><edge source="c" target="a"/>'
    market = read_market(write(tmp_path, "a.graphml", graphml(nodes)), symmetrize=True)
    assert list(market.labels) == ["a", "b", "c"]
    assert (market.num_links, market.origin.notes) == (2, {GROUPS: 1})
    path = write(tmp_path, "b.graphml", graphml(nodes + '<edge source="c" target="g"/>'))
    market = read_market(path, symmetrize=True)
    assert list(market.labels) == ["g", "a", "b", "c"]
    assert (market.num_links, market.origin.notes) == (3, {GROUP_AGENTS: 1})
    # Links of the inner graph are directed, those of the outer one are not.
    with pytest.raises(ValueError, match=r"'b' → 'a' has no reverse .*\(1 such\)"):
        read_market(path)
    empty = graphml('<node id="a"><graph/></node><node id="c"/><edge source="a" target="c"/>')
    assert read_market(write(tmp_path, "c.graphml", empty)).origin.notes == {}


def test_ports_and_weights_of_graphml_are_counted(tmp_path):
    keys = '<key id="w" for="edge" attr.name="Weight"/><key id="v" for="edge" attr.name="colour"/>'
    nodes = '<node id="n0"><port name="p"/></node><node id="n1"/>'
    edge = '<edge source="n0" target="n1" sourceport="p"><data key="{}">2</data></edge>'
    market = read_market(
        write(tmp_path, "a.graphml", graphml(nodes + edge.format("w") + edge.format("v"), keys=keys))
    )
    assert market.origin.notes == {WEIGHTS: 1, PORTS: 1}


# -- GML ---------------------------------------------------------------------------------------

NODES = 'node [ id 1 label "Ann" {} ]\n node [ id 2 label "Bo" ]'


def gml(content):
    return f"graph [\n {content}\n edge [ source 1 target 2 ] ]"


@pytest.mark.parametrize(
    "field",
    [
        "x NAN",
        "x +INF",
        "x -inf",
        "x NaN",
        "x true",
        "x None",
        "x-y 5",
        "x.ä 5",
        "t 1 t 2",
        't "a" t "b"',
        "id2 [ id 7 ]",
    ],
)
def test_attributes_of_gml_that_nobody_asks_for_refuse_nothing(tmp_path, field):
    market = read_market(write(tmp_path, "a.gml", gml(NODES.format(field))))
    assert list(market.labels) == ["Ann", "Bo"]


def test_attributes_of_gml_that_are_asked_for_must_be_there_once(tmp_path):
    path = write(tmp_path, "a.gml", gml(NODES.format("v 1 v 2")))
    with pytest.raises(ValueError, match="line 2: v stands twice in one node"):
        read_market(path, value_attribute="v")
    with pytest.raises(ValueError, match=r"line 2: v .*'Ann' is 'NAN'; it must be finite"):
        read_market(
            write(tmp_path, "b.gml", gml(NODES.replace('"Bo"', '"Bo" v 2').format("v NAN"))),
            value_attribute="v",
        )
    with pytest.raises(ValueError, match=r"'colour' where the value of v belongs. Put text in quotes"):
        read_market(write(tmp_path, "c.gml", gml(NODES.format("v colour"))))


def test_lists_and_numbers_that_networkx_writes_to_gml_are_read(tmp_path):
    graph = nx.path_graph(3)
    nx.set_node_attributes(
        graph, {i: {"tags": ["a", "b"], "x": float("nan"), "y": float("-inf")} for i in graph}
    )
    nx.set_edge_attributes(graph, 2, "weight")
    nx.write_gml(graph, tmp_path / "a.gml")
    market = read_market(tmp_path / "a.gml")
    assert list(market.labels) == [0, 1, 2]
    assert market.origin.notes == {WEIGHTS: 2}


def test_agents_of_gml_are_named_by_label_by_id_or_by_an_attribute(tmp_path):
    text = gml('node [ id 1 label "Ann " name "x" ] node [ id 2 label "Bo" name "y" ]')
    path = write(tmp_path, "a.gml", text)
    assert list(read_market(path).labels) == ["Ann", "Bo"]
    assert read_market(path).origin.notes == {BLANKS: 1}
    assert list(read_market(path, label_attribute="id").labels) == [1, 2]
    assert list(read_market(path, label_attribute="name").labels) == ["x", "y"]
    path.write_text(text.replace('"Bo"', '"Ann"'))
    with pytest.raises(ValueError, match=r"'Ann' stands also on line 2.*label_attribute='id'"):
        read_market(path)
    path.write_text(text.replace('"Bo"', '""'))
    with pytest.raises(ValueError, match=r"label is empty.*label_attribute='id'"):
        read_market(path)
    path.write_text(text.replace('label "Bo"', 'label "Bo" label "B"'))
    with pytest.raises(ValueError, match=r"label stands twice.*label_attribute='id'"):
        read_market(path)
    assert list(read_market(path, label_attribute="id").labels) == [1, 2]


def test_groups_of_yed_in_gml_are_left_out_unless_they_have_links(tmp_path):
    group = 'node [ id 3 label "Group" isGroup 1 ] ' + NODES.format("gid 3")
    assert read_market(write(tmp_path, "a.gml", gml(group))).origin.notes == {GROUPS: 1}
    market = read_market(write(tmp_path, "b.gml", gml(group + " edge [ source 3 target 1 ]")))
    assert list(market.labels) == ["Group", "Ann", "Bo"]


# -- matrices ----------------------------------------------------------------------------------

MTX = "%%MatrixMarket matrix"


def test_zeros_that_a_matrix_stores_are_no_links_and_are_counted_from_file_and_memory(tmp_path):
    rows, columns, values = [0, 1, 1, 2, 0, 2], [1, 0, 2, 1, 2, 0], [1.0, 2, 3, 4, 0, 0]
    matrix = scipy.sparse.coo_array((values, (rows, columns)), shape=(3, 3))
    scipy.io.mmwrite(tmp_path / "a.mtx", matrix, symmetry="general")
    from_file, from_memory = read_market(tmp_path / "a.mtx"), from_sparse(matrix)
    assert from_file.origin.notes == {ZEROS: 2, WEIGHTS: 3}
    assert from_memory.origin.notes == {ZEROS: 2}
    assert from_file.fingerprint() == from_memory.fingerprint()
    assert from_sparse(matrix.toarray()).origin.notes == {}


# name: (content, links, notes)
MATRICES = {
    "complex": ("coordinate complex general\n2 2 2\n1 2 0 1\n2 1 0 -1\n", [(1, 2)], {WEIGHTS: 2}),
    "complex zero": ("coordinate complex hermitian\n3 3 3\n2 1 0 1\n3 1 0 0\n3 2 1 0\n", [(1, 2), (2, 3)],
                     {ZEROS: 1, WEIGHTS: 1}),
    "skew-symmetric": ("coordinate real skew-symmetric\n2 2 1\n2 1 -3\n", [(1, 2)], {WEIGHTS: 1}),
    "hermitian": ("coordinate real hermitian\n2 2 1\n2 1 -3\n", [(1, 2)], {WEIGHTS: 1}),
    "pattern": ("coordinate pattern skew-symmetric\n2 2 1\n2 1\n", [(1, 2)], {}),
    "integer beyond int64": (f"coordinate integer symmetric\n2 2 1\n2 1 {10**30}\n", [(1, 2)], {WEIGHTS: 1}),
    "unsigned": ("coordinate unsigned-integer symmetric\n2 2 1\n2 1 7\n", [(1, 2)], {WEIGHTS: 1}),
    "zeros as they may be written": (
        "coordinate real symmetric\n3 3 4\n2 1 -0\n3 1 0.0e5\n3 2 00\n2 1 1\n", [(1, 2)],
        {ZEROS: 3},
    ),
    "dense, complex": ("array complex general\n2 2\n0 0\n0 1\n0\n-1\n0 0\n", [(1, 2)], {WEIGHTS: 2}),
    "dense, skew-symmetric": ("array real skew-symmetric\n3 3\n1\n0\n2\n", [(1, 2), (2, 3)], {WEIGHTS: 1}),
    "dense, hermitian": ("array real hermitian\n2 2\n0\n1\n0\n", [(1, 2)], {}),
}  # fmt: skip


@pytest.mark.parametrize("case", MATRICES)
def test_values_of_a_matrix_only_say_whether_there_is_a_link(tmp_path, case):
    text, expected, notes = MATRICES[case]
    market = read_market(write(tmp_path, "a.mtx", f"{MTX} {text}"), drop_isolated=True)
    giver, receiver = market.arcs()
    labels = market.labels
    assert {(labels[a], labels[b]) for a, b in zip(giver, receiver, strict=True) if a < b} == set(expected)
    assert market.origin.notes == notes


def test_a_complex_matrix_of_scipy_is_read_by_its_pattern(tmp_path):
    matrix = np.array([[0, 1j, 0], [-1j, 0, 2], [0, 2, 0]])
    for name, given in (("dense", matrix), ("sparse", scipy.sparse.coo_array(matrix))):
        scipy.io.mmwrite(tmp_path / f"{name}.mtx", given)
        assert read_market(tmp_path / f"{name}.mtx").num_links == 2


def test_half_a_value_at_the_end_of_a_dense_matrix_is_refused(tmp_path):
    with pytest.raises(ValueError, match="ends within a value"):
        read_market(write(tmp_path, "a.mtx", f"{MTX} array complex general\n2 2\n0 0 0 1 0 1 0\n"))
