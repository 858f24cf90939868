"""Agents with attributes: what names them, what they bring, and what nobody asks for refuses nothing."""

import json

import networkx as nx
import pytest
from network_files import GRAPHML, complaint_about, gexf, graphml, write

from cmapjax.graphs import read_market

WEIGHTS = "weights of links ignored"
GROUPS = "groups without links left out"
GROUP_AGENTS = "groups with links read as agents"
PORTS = "ports of agents ignored"
BLANKS = "labels with blanks around them, cut off"

AGENTS = '<node id="n0"><data key="d">Ann</data></node>\n<node id="n1"><data key="d">Bo </data></node>'
LINK = '<edge source="n0" target="n1"/>'
NAMES = '<key id="d" for="node" attr.name="name" attr.type="string"/>'
GEXF = (
    '<attributes class="node"><attribute id="0" title="power"><default>2</default></attribute></attributes>'
    '<attributes class="edge"><attribute id="0" title="kind"/></attributes>'
    '<nodes><node id="1" label="ann"><attvalues><attvalue for="0" value="3.5"/></attvalues>'
    '<viz:color xmlns:viz="http://gexf.net/1.3/viz" r="9"/></node><node id="2" label="bob"/></nodes>'
    '<edges><edge source="1" target="2" weight="4"><attvalues><attvalue for="0" value="x"/></attvalues>'
    "</edge></edges>"
)


@pytest.mark.parametrize("writer", [nx.write_gml, nx.write_graphml_xml, nx.write_gexf])
def test_attributes_of_agents_become_endowments_and_values(tmp_path, writer):
    graph = nx.path_graph(3)
    nx.set_node_attributes(graph, {0: 2.5, 1: 4, 2: 0.125}, "budget")
    path = tmp_path / f"a.{writer.__name__.split('_')[1]}"
    writer(graph, path)
    market = read_market(path, endowment_attribute="budget", value_attribute="budget")
    assert market.endowment.tolist() == market.value.tolist() == [2.5, 4, 0.125]


def test_agents_of_graphml_are_named_by_an_attribute_or_their_ids(tmp_path):
    path = write(tmp_path, "a.graphml", graphml(AGENTS + LINK, keys=NAMES))
    for options in ({}, {"label_attribute": "id"}):
        assert list(read_market(path, **options).labels) == ["n0", "n1"]
    table = write(tmp_path, "agents.csv", "agent,value\nBo,5\nAnn,2\n")
    market = read_market(path, agents=table, label_attribute="name")
    assert (list(market.labels), market.value.tolist()) == (["Ann", "Bo"], [2, 5])
    assert market.origin.notes == {BLANKS: 1}
    with pytest.raises(ValueError, match=r"agents there are 'n0', 'n1'.*'name'.*label_attribute="):
        read_market(path, agents=table)
    # A key may be declared behind its data, and be called as the ids are.
    text = graphml(AGENTS + LINK).replace("</graph></graphml>", f"</graph>{NAMES}</graphml>")
    assert list(read_market(write(tmp_path, "b.graphml", text), label_attribute="name").labels) == [
        "Ann",
        "Bo",
    ]
    text = graphml(AGENTS + LINK, keys=NAMES.replace('"name"', '"id"'))
    assert list(read_market(write(tmp_path, "c.graphml", text), label_attribute="id").labels) == ["n0", "n1"]


def test_labels_that_yed_draws_are_read_by_their_key(tmp_path):
    drawn = "<y:ShapeNode>\n<y:Geometry/>\n<y:NodeLabel>House {}</y:NodeLabel>\n<y:Shape/></y:ShapeNode>"
    nodes = "".join(f'<node id="n{i}"><data key="d6">{drawn.format(i)}</data></node>' for i in (0, 1))
    text = graphml(nodes + LINK, keys='<key id="d6" for="node" yfiles.type="x"/>')
    market = read_market(write(tmp_path, "a.graphml", text), label_attribute="d6")
    assert list(market.labels) == ["House 0", "House 1"]


def test_defaults_hold_for_agents_without_the_attribute(tmp_path):
    text = GRAPHML.replace('"double"/>', '"double"><default>3</default></key>').format(
        '<node id="a"><data key="k">2</data></node><node id="b"/><edge source="a" target="b"/>'
    )
    market = read_market(write(tmp_path, "a.graphml", text), endowment_attribute="budget")
    assert market.endowment.tolist() == [2, 3]
    path = write(tmp_path, "a.gexf", gexf(GEXF))
    market = read_market(path, label_attribute="label", endowment_attribute="power")
    assert (list(market.labels), market.endowment.tolist()) == (["ann", "bob"], [3.5, 2.0])
    assert list(read_market(path).labels) == [1, 2]


UNASKED = {
    "undeclared": ("", '<data key="z">1</data>'),
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
}


@pytest.mark.parametrize("case", UNASKED)
def test_attributes_of_graphml_that_nobody_asks_for_refuse_nothing(tmp_path, case):
    keys, data = UNASKED[case]
    nodes = f'<node id="n0">{data}</node><node id="n1"/>'
    market = read_market(write(tmp_path, "a.graphml", graphml(nodes + LINK, keys=keys)))
    assert (list(market.labels), market.num_links) == (["n0", "n1"], 1)


@pytest.mark.parametrize("space", ["", "http://example.org/own"])
def test_elements_of_graphml_are_known_whatever_the_namespace(tmp_path, space):
    market = read_market(write(tmp_path, "a.graphml", graphml(AGENTS + LINK, space=space)))
    assert list(market.labels) == ["n0", "n1"]


def test_ports_and_weights_of_graphml_are_counted(tmp_path):
    keys = '<key id="w" for="edge" attr.name="Weight"/><key id="v" for="edge" attr.name="colour"/>'
    nodes = '<node id="n0"><port name="p"/></node><node id="n1"/>'
    edge = '<edge source="n0" target="n1" sourceport="p"><data key="{}">2</data></edge>'
    text = graphml(nodes + edge.format("w") + edge.format("v"), keys=keys)
    assert read_market(write(tmp_path, "a.graphml", text)).origin.notes == {WEIGHTS: 1, PORTS: 1}


def test_groups_are_agents_only_if_they_have_links_of_their_own(tmp_path):
    inner = '<graph edgedefault="directed"><node id="a"/><node id="b"/><edge source="b" target="a"/></graph>'
    nodes = f'<node id="g">{inner}</node><node id="c"/><edge source="c" target="a"/>'
    market = read_market(write(tmp_path, "a.graphml", graphml(nodes)), symmetrize=True)
    assert (list(market.labels), market.origin.notes) == (["a", "b", "c"], {GROUPS: 1})
    path = write(tmp_path, "b.graphml", graphml(nodes + '<edge source="c" target="g"/>'))
    market = read_market(path, symmetrize=True)
    assert (list(market.labels), market.origin.notes) == (["g", "a", "b", "c"], {GROUP_AGENTS: 1})
    # Links of the inner graph are directed, those of the outer one are not.
    with pytest.raises(ValueError, match=r"'b' → 'a' has no reverse .*\(1 such\)"):
        read_market(path)
    nested = '<nodes><node id="team"><nodes><node id="a"/><node id="b"/></nodes></node></nodes>'
    path = write(tmp_path, "a.gexf", gexf(nested + '<edges><edge source="a" target="b"/></edges>'))
    assert read_market(path).origin.notes == {GROUPS: 1}
    group = 'node [ id 3 label "Group" isGroup 1 ] ' + NODES.format("gid 3")
    assert read_market(write(tmp_path, "a.gml", gml(group))).origin.notes == {GROUPS: 1}


NODES = 'node [ id 1 label "Ann" {} ]\n node [ id 2 label "Bo" ]'


def gml(content):
    return f"graph [\n {content}\n edge [ source 1 target 2 ] ]"


@pytest.mark.parametrize("field", ["x NAN", "x +INF", "x true", "x.ä 5", "t 1 t 2", "id2 [ id 7 ]"])
def test_attributes_of_gml_that_nobody_asks_for_refuse_nothing(tmp_path, field):
    market = read_market(write(tmp_path, "a.gml", gml(NODES.format(field))))
    assert list(market.labels) == ["Ann", "Bo"]


def test_agents_of_gml_are_named_by_label_by_id_or_by_an_attribute(tmp_path):
    path = write(
        tmp_path, "a.gml", gml('node [ id 1 label "Ann " name "x" ] node [ id 2 label "Bo" name "y" ]')
    )
    assert list(read_market(path).labels) == ["Ann", "Bo"]
    assert read_market(path).origin.notes == {BLANKS: 1}
    assert list(read_market(path, label_attribute="id").labels) == [1, 2]
    assert list(read_market(path, label_attribute="name").labels) == ["x", "y"]


def test_json_attributes_name_agents_and_bring_values(tmp_path):
    nodes = [{"id": [0, 1], "name": "ann", "pv": 2}, {"id": [0, 2], "name": "bob", "pv": 3.5}]
    document = {"nodes": nodes, "links": [{"source": [0, 2], "target": [0, 1], "value": 3}]}
    path = write(tmp_path, "a.json", json.dumps(document))
    market = read_market(path, label_attribute="name", value_attribute="pv")
    assert (list(market.labels), market.value.tolist()) == (["ann", "bob"], [2.0, 3.5])
    assert "the id of nodes[0] is [0, 1]" in complaint_about(path)


def test_json_ids_are_text_or_numbers_and_are_counted_where_there_are_none_as_old_d3_does(tmp_path):
    for ids in (["0", "1"], [0, 1]):
        document = {"nodes": [{"id": i} for i in ids], "links": [{"source": ids[0], "target": ids[1]}]}
        assert list(read_market(write(tmp_path, "a.json", json.dumps(document))).labels) == ids
    document = {"nodes": [{"name": "x"}, {"name": "y"}], "links": [{"source": 1, "target": 0}]}
    path = write(tmp_path, "a.json", json.dumps(document))
    assert list(read_market(path).labels) == [0, 1]
    assert list(read_market(path, label_attribute="name").labels) == ["x", "y"]


def test_pajek_vertices_of_one_label_are_called_by_number_on_request(tmp_path):
    path = write(tmp_path, "a.net", '*Vertices 3\n1 "x"\n2 "x"\n3 "y"\n*Edges\n1 2 5\n2 3 1\n')
    assert "line 3: label 'x' stands also on line 2" in complaint_about(path)
    assert "label_attribute='id'" in complaint_about(path)
    assert list(read_market(path, label_attribute="id").labels) == [1, 2, 3]
    bare = write(tmp_path, "b.net", "*Vertices 3\n*Edges\n1 2\n2 3\n")
    assert list(read_market(bare).labels) == [1, 2, 3]
