"""Bad files: every one is refused with its name, the line where there is one, the value and the remedy."""

import gzip
import itertools
import lzma

import numpy as np
import pytest
from network_files import (
    EDGES,
    GRAPHML,
    MTX,
    NODES,
    PAJEK,
    check_complaint,
    complaint_about,
    gexf,
    sparse,
    write,
    zipped,
)

from cmapjax.graphs._read import read_market

LINKS = "0\t1\n1\t2\n2\t0\n2\t3\n"
A_B = '<node id="a"/>\n<node id="b"/>\n'
A_B_LINK = A_B + '<edge source="a" target="b"/>\n'
ONE_WAY = '<edge source="a" target="b" directed="true"/>'
GML = "graph [\n{}\n]"
MATRIX = {"format": "adjacency-matrix"}
BUDGET = {"label_attribute": "budget"}

# ending, content, options, words that the message must have
BAD_FILES = [
    # any file
    ("txt", "", {}, ["empty"]),
    ("txt", "\n \n", {}, ["empty"]),
    ("dat", LINKS, {}, ["'.dat'", ".txt"]),
    ("txt", LINKS, {"format": "pdf"}, ["format 'pdf' is not known", "edge-list, csv"]),
    ("gml", "graph [ ]", {"separator": ";"}, ["gml has no separator", "csv"]),
    ("mtx", "x", {"source_column": "a"}, ["matrix-market has no source_column"]),
    ("txt", LINKS, {"value_attribute": "v"}, ["no value_attribute", "agents=FILE"]),
    ("csv", "x", {"separator": "ab"}, ["separator is 'ab'", "one character"]),
    ("csv", "x", {"header": "no"}, ["header is 'no'", "True or False"]),
    ("txt", b"0 1\n\xe9a 1\n", {}, ["line 2", "byte 4", "0xe9", "UTF-8"]),
    ("txt", LINKS.encode("utf-16"), {}, ["UTF-16", "save it as UTF-8"]),
    ("txt", LINKS, {"memory_budget": 127}, ["16 bytes", "127", "memory_budget"]),
    ("txt.gz", LINKS * 9, {"memory_budget": 1000}, ["unpacks", "1,000"]),
    # packings
    ("txt", gzip.compress(b"0 1\n"), {}, ["gzip", "end its name in .gz"]),
    ("csv", b"PK\x03\x04 and so on", {}, ["zip", "unpack"]),
    ("txt.gz", gzip.compress(b"0 1\n"), {}, ["compressed twice"]),
    ("zip", zipped(["a.txt", "b.txt"]), {}, ["holds 2 files", "'a.txt', 'b.txt'", "of its own"]),
    ("zip", zipped(["folder/"]), {}, ["holds 0 files"]),
    ("zip", zipped(["links.dat"]), {}, ["'.dat'"]),
    ("txt.bz2", lzma.compress(b"0 1\n"), {}, ["ends in .bz2 but is not bzip2"]),
    # lists and tables
    ("txt", "# nothing\n", {}, ["empty; a market needs at least one link"]),
    ("csv", "source,target\n", {}, ["needs at least one link"]),
    ("txt", "0 1\n1\x002\n", {}, ["line 2", "'\\x00'", "plain text"]),
    ("txt", "0 1\r1 2\r", {}, ["line 1", "'\\r'"]),
    ("txt", "0 1\n1 1\n", {}, ["self-loop", "agent 1", "drop_self_loops=True"]),
    ("csv", "source,target\n0,1\n2\n", {}, ["line 3", "1 cell", "2"]),
    ("csv", "source,target\n0,1\n1,2,3\n", {}, ["line 3", "3 cell", "2"]),
    ("csv", "source,target\n0,1\n1,\n", {}, ["line 3", "label is empty"]),
    ("csv", "source,target\na, \n", {}, ["line 2", "label is empty"]),
    ("csv", 'source,target\na,"b\nc"\n', {}, ["line 3", "control character"]),
    ("csv", 'source,target\na,"b\n', {}, ["line 2", "well-formed"]),
    ("adj", "a b {'weight':1}\n", {}, ["line 1", "no plain name"]),
    ("adj", "a b\n#c d\n", {}, ["line 2", "comment, or an agent"]),
    ("adj", "#a b\nb #a\n", {}, ["line 1", "comment, or an agent"]),
    ("adj", "a b\nc\n", {}, ["'c'", "drop_isolated=True"]),
    # matrices
    ("csv", ",a,b\na,0,x\nb,1,0\n", {}, ["line 2", "'b' is 'x'", "write 0"]),
    ("csv", ",a,b\na,0,\nb,1,0\n", {}, ["line 2", "'b' is ''"]),
    ("csv", ",a,b\na,0,1\nb,0,0\n", {}, ["'a' → 'b'", "symmetrize=True"]),
    ("csv", ",a,b\na,0,1\nc,1,0\n", MATRIX, ["'b', 'c'", "header=False"]),
    ("csv", "0,1\n1,0\n0,0\n", MATRIX | {"header": False}, ["square"]),
    ("mtx", "2 2 1\n1 2\n", {}, ["line 1", "%%MatrixMarket"]),
    ("mtx", MTX.replace("coordinate", "array real general\n2 2\n0\n1\n1\n0\n"), {}, ["line 1", "coordinate"]),
    ("mtx", f"{MTX} text general\n2 2 1\n1 2 1 0\n", {}, ["line 1", "'text'", "pattern"]),
    ("mtx", f"{MTX} real upper\n2 2 1\n", {}, ["line 1", "'upper'", "symmetric"]),
    ("mtx", f"{MTX} complex general\n2 2 1\n1 2 1\n", {}, ["line 3", "3 numbers", "4"]),
    ("mtx", f"{MTX} real general\n% only this\n", {}, ["3 whole numbers"]),
    ("mtx", f"{MTX} pattern general\n2 3 1\n1 2\n", {}, ["line 2", "2 × 3", "square"]),
    ("mtx", f"{MTX} pattern general\n3 3 1\n3 1\n", {}, ["3 → 1", "symmetrize=True"]),
    ("mtx", f"{MTX} real symmetric\n%\n2 2 1\n2 1 nan\n", {}, ["entry of 2 and 1 is nan"]),
    ("mtx", f"{MTX} real symmetric\n%\n2 2 1\n2 1 1e999\n", {}, ["entry of 2 and 1 is inf"]),
    ("mtx", f"{MTX} real symmetric\n%\n2 2 1\n2 1 lots\n", {}, ["line 4", "'lots'"]),
    ("mtx", f"{MTX} pattern symmetric\n2 2 1\n3 1\n", {}, ["line 3", "'3'", "1 … 2"]),
    ("mtx", f"{MTX} pattern symmetric\n2 2 1\n1 0\n", {}, ["line 3", "'0'", "1 … 2"]),
    ("mtx", f"{MTX} pattern symmetric\n3 3 2\n2 1\n", {}, ["1 entries", "2 are declared"]),
    ("mtx", f"{MTX} pattern symmetric\n3 3 1\n2 1\n3 1\n", {}, ["2 entries", "1 are declared"]),
    ("mtx", f"{MTX} pattern symmetric\n2 2 2\n2 2\n2 1\n", {}, ["agent 2", "drop_self"]),
    ("mtx", f"{MTX} pattern symmetric\n3 3 1\n2 1\n", {}, ["(3)", "drop_isolated=True"]),
    ("mtx", f"{MTX} real symmetric\n2 2 1\n2 1 0\n", {}, ["2 agent(s)", "no neighbour"]),
    ("npz", b"0 1\n", {}, ["no sparse matrix", "save_npz"]),
    ("npz", sparse()[:-30], {}, ["no sparse matrix"]),
    ("npz", sparse(shape=(2, 3)), {}, ["(2, 3)", "square"]),
    ("npz", sparse(dtype=float, value=np.nan), {}, ["0 and 1 is nan"]),
    ("npz", sparse(entries=[(0, 1)]), {}, ["0 → 1", "symmetrize=True"]),
    # GraphML
    ("graphml", "graph", {}, ["well-formed XML", "line 1"]),
    ("graphml", GRAPHML.format(A_B_LINK)[:-20], {}, ["well-formed XML", "export it again"]),
    ("graphml", "<svg xmlns='x'></svg>", {}, ["no <graph>", "<svg>"]),
    ("graphml", GRAPHML.format("</graph><graph>"), {}, ["line 5", "second <graph>"]),
    ("graphml", GRAPHML.format("<edge source='a' target='b'><graph/>"), {}, ["line 5", "outside"]),
    ("graphml", GRAPHML.format(A_B + "<hyperedge/>"), {}, ["line 7", "<hyperedge>", "two ends"]),
    ("graphml", GRAPHML.format(A_B + '<node id="a"/>'), {}, ["line 7", "'a' is declared twice"]),
    ("graphml", GRAPHML.format(A_B + '<edge source="a" target="c"/>'), {}, ["line 7", "'c'", "declare"]),
    ("graphml", GRAPHML.format(ONE_WAY.replace("true", "yes")), {}, ["'yes'", "line 5"]),
    ("graphml", GRAPHML.format("<node/>"), {}, ["line 5", "<node> without id"]),
    ("graphml", GRAPHML.format('<edge source="a"/>'), {}, ["line 5", "<edge> without target"]),
    ("graphml", GRAPHML.format(A_B + ONE_WAY), {}, ["'a' → 'b'", "symmetrize=True"]),
    ("graphml", GRAPHML.replace("undirected", "both").format(""), {}, ["line 4", "'both'"]),
    ("graphml", GRAPHML.format('<node id="a"><data key="k">1</data></node>'), {"label_attribute": "name"},
     ["line 5", "'a' has no attribute 'name'", "found 'budget'", "label_attribute='id'"]),
    ("graphml", GRAPHML.format('<node id="a"><data key="k"> </data></node>'), BUDGET,
     ["line 5", "label is empty", "label_attribute='id'"]),
    ("graphml", GRAPHML.format('<node id="0"><data key="k">x</data></node>\n'
                               '<node id="1"><data key="k">x </data></node>'), BUDGET,
      ["line 6", "'x' stands also on line 5", "label_attribute='id'"]),
    ("graphml", GRAPHML.replace("<graph ", '<key id="k" for="node" attr.name="x"/><graph ', 1), BUDGET,
     ["line 4", "'k'", "'budget' and 'x'"]),
    ("graphml", GRAPHML.format(A_B_LINK), {"value_attribute": "w"}, ["'w'", "none"]),
    ("graphml", GRAPHML.format('<node id="a"><data key="k">1</data></node>\n<node id="b"/>'),
     {"value_attribute": "budget"}, ["line 6", "agent 'b' has no attribute 'budget'"]),
    ("graphml", GRAPHML.format('<node id="a"><data key="k">rich</data></node>'),
     {"value_attribute": "budget"}, ["line 5", "budget of agent 'a' is 'rich'", "not a plain number"]),
    ("graphml", GRAPHML.format('<node id="a"><data key="k">1</data>\n<data key="k">2</data></node>'),
     {"value_attribute": "budget"}, ["line 6", "agent 'a' has attribute 'budget' twice"]),
    *(("graphml", GRAPHML.format(A_B_LINK).replace("<graphml", prologue + "<graphml", 1), {}, ["DOCTYPE"])
      for prologue in ("<!DOCTYPE graphml>", '<!DOCTYPE g SYSTEM "file:///etc/passwd">',
                       '<!DOCTYPE g [<!ENTITY a "lol"><!ENTITY b "&a;&a;&a;&a;&a;&a;">]>')),
    # GEXF
    ("gexf", "<gexf></gexf>", {}, ["no <graph>"]),
    ("gexf", gexf(NODES + '<edges>\n<edge source="a" target="z"/></edges>'), {}, ["line 5", "'z'"]),
    ("gexf", gexf(NODES + EDGES, '<graph defaultedgetype="directed">'), {}, ["symmetrize=True"]),
    ("gexf", gexf(NODES + EDGES, "<graph defaultedgetype='x'>"), {}, ["line 3", "defaultedgetype is 'x'"]),
    ("gexf", gexf('<node id="a"/>'), {}, ["line 4", "outside <nodes>"]),
    # GML
    ("gml", "node [ id 1 ]", {}, ["0 graph"]),
    ("gml", "graph [ ] graph [ ]", {}, ["2 graph"]),
    ("gml", "graph 5", {}, ["line 1", "graph is '5'"]),
    ("gml", GML.format("node [ id 1")[:-2], {}, ["line 2", "ends inside a list"]),
    ("gml", "graph [\n node <5>", {}, ["line 2", "'<5>'"]),
    ("gml", GML.format("node [ id ]"), {}, ["line 2", "value of id"]),
    ("gml", GML.format("node [ 5 ]"), {}, ["line 2", "a key"]),
    ("gml", GML.format("node [ id 1 x red ]"), {}, ["'red' where the value of x belongs"]),
    ("gml", GML.format('node [ label "a" ]'), {}, ["line 2", "node without id"]),
    ("gml", GML.format("node [ id 1 ]\nnode [ id 1 ]"), {}, ["line 3", "'1' is declared twice"]),
    ("gml", GML.format("node [ id 1 id 2 ]"), {}, ["line 2", "id stands twice"]),
    ("gml", GML.format("node [ id 1 v 1 v 2 ]"), {"value_attribute": "v"}, ["line 2: v stands twice"]),
    ("gml", GML.format('node [ id 1 label "x" label "y" ]'), {}, ["label stands twice", "attribute='id'"]),
    ("gml", GML.format('node [ id 1 label "x" ]\nnode [ id 2 label "x" ]'), {}, ["line 3", "line 2"]),
    ("gml", GML.format("node [ id 1 ]\nedge [ source 1 target 2 ]"), {}, ["line 3", "'2'", "declare"]),
    ("gml", "graph [ " + "a [ " * 20_000, {}, ["line 1", "deeper than 100"]),
    # node-link JSON
    ("json", '{"nodes": [\n{"id": 1}', {}, ["line 2", "is not JSON"]),
    ("json", "[1, 2]", {}, ["holds a list"]),
    ("json", '{"elements": {"nodes": []}}', {}, ["no list nodes", "'elements'"]),
    ("json", '{"nodes": []}', {}, ["links or edges"]),
    ("json", '{"nodes": [], "links": [], "edges": []}', {}, ["one list of links"]),
    ("json", '{"nodes": [1], "links": []}', {}, ["nodes[0] is 1"]),
    ("json", '{"nodes": [{"id": 1}, {}], "links": []}', {}, ["nodes[1] has no id"]),
    ("json", '{"nodes": [{"id": 1.5}], "links": []}', {}, ["nodes[0] is 1.5", "text or whole"]),
    ("json", '{"nodes": [{"id": 1, "id": 2}], "links": []}', {}, ["'id' twice"]),
    ("json", '{"nodes": [{"id": 1}, {"id": 1}], "links": []}', {}, ["'1' is declared"]),
    ("json", '{"nodes": [{"id": 1}], "links": [{"source": 1}]}', {}, ["links[0] has no target"]),
    ("json", '{"nodes": [{"id": 1}], "links": [{"source": 1, "target": "1"}]}', {}, ["'\"1\"'"]),
    ("json", '{"directed": 1, "nodes": [], "links": []}', {}, ["directed is 1"]),
    ("json", '{"nodes": [{"id": "\\ud800"}], "links": []}', {}, ["half a character"]),
    ("json", '{"nodes": [{"id": ' + "9" * 5000 + "}]}", {}, ["cannot", "read"][1:]),
    ("json", '{"nodes": ' + "[" * 100_000, {}, ["too deeply"]),
    # Pajek
    ("net", "*Edges\n1 2\n", {}, ["line 1", "before *Vertices"]),
    ("net", "*Vertices\n", {}, ["line 1", "number of vertices"]),
    ("net", "*Vertices 999999999999\n", {}, ["budget", "999,999,999,999 vertices"]),
    ("net", PAJEK + "*Edges\n1 6\n", {}, ["line 8", "'6'", "1 … 5"]),
    ("net", PAJEK + "*Edges\n1\n", {}, ["line 8", "two vertices"]),
    ("net", "*Vertices 2\n1 a\n1 b\n", {}, ["line 3", "declared twice"]),
    ("net", PAJEK + "*Arcs\n1 2\n", {}, ["'a' → 'b'", "symmetrize=True"]),
    ("net", PAJEK + "*Partition x\n", {}, ["line 7", "'*Partition x'", "network alone"]),
    ("net", PAJEK + "*Matrix\n0 1 0 0 0\n", {}, ["1 rows for 5"]),
    ("net", PAJEK + "*Matrix\n0 1\n", {}, ["line 8", "2 numbers, not 5"]),
    ("net", PAJEK, {"label_attribute": "name"}, ["'name'", "'label'"]),
]  # fmt: skip
BAD_KONECT = [
    ("1 2\n", ["line 1", "'% sym'"]),
    ("% sym dynamic\n1 2 1 5\n", ["links come and go"]),
    ("% sym unweighted\n% 3 3 3\n1 2\n2 3\n", ["2 links", "3 are declared"]),
    ("% sym unweighted\n1 2 3 4 5\n", ["line 2", "5 columns"]),
    ("% sym unweighted\n1 b\n", ["line 2", "'b'"]),
    ("% sym weighted\n1 2 heavy\n", ["line 2", "'heavy'"]),
]


@pytest.mark.parametrize("case", range(len(BAD_FILES)))
def test_a_bad_file_is_named_with_line_value_and_remedy(tmp_path, case):
    ending, content, options, words = BAD_FILES[case]
    message = complaint_about(write(tmp_path, f"a.{ending}", content), **options)
    assert [word for word in words if word not in message] == [], message
    assert f"a.{ending}" in message or {"format", "separator", "header"} & options.keys()


@pytest.mark.parametrize(("content", "words"), BAD_KONECT)
def test_a_bad_file_of_konect_is_named_with_line_and_value(tmp_path, content, words):
    check_complaint(words, write(tmp_path, "out.x", content))


# -- labels that may be one agent ------------------------------------------------------------------

TWINS = [
    ("1", "01"), ("1", "+1"), ("1", "1.0"), ("1000", "1e3"), ("1000", "1_000"), ("1", "１"), ("0", "-0"),
    ("0.5", ".5"), ("1e400", "10e399"), (str(2**63), f"{2**63}.0"), ("9" * 400, "+" + "9" * 400),
]  # fmt: skip
NUMBER_LIKE = ["01001", "NAN", "Nan", "12345e67", "-3", "1_2", "inf", "٣", str(2**63), "9" * 400, "1.5", "+7"]


def file_of_links(form: str, *labels: str) -> str:
    """A path through these labels."""
    pairs = list(itertools.pairwise(labels))
    if form == "graphml":
        edges = "".join(f'<edge source="{a}" target="{b}"/>' for a, b in pairs)
        return GRAPHML.format("".join(f'\n<node id="{label}"/>' for label in labels) + edges)
    if form == "gml":
        declared = "".join(f'\n node [ id {i} label "{label}" ]' for i, label in enumerate(labels))
        edges = "".join(f" edge [ source {i} target {i + 1} ]" for i in range(len(labels) - 1))
        return f"graph [{declared} {edges} ]"
    between, head = (",", "source,target\n") if form == "csv" else (" ", "")
    return head + "".join(f"{a}{between}{b}\n" for a, b in pairs)


@pytest.mark.parametrize("form", ["txt", "csv", "graphml", "gml"])
def test_two_labels_that_are_the_same_number_are_refused_in_every_format(tmp_path, form):
    lines = {"txt": (1, 2), "csv": (2, 3), "graphml": (6, 8), "gml": (2, 4)}[form]
    for one, other in TWINS:
        path = write(tmp_path, f"a.{form}", file_of_links(form, one, "x", other))
        places = [f"(line {line})" for line in lines]
        check_complaint([one[:20], other[:20], *places, "put a letter in front"], path)


@pytest.mark.parametrize("form", ["txt", "csv", "graphml", "gml"])
def test_labels_that_look_like_numbers_are_text_in_every_format(tmp_path, form):
    names = [*NUMBER_LIKE, "8"]
    path = write(tmp_path, f"a.{form}", file_of_links(form, *names))
    table = write(
        tmp_path, "a.tsv", "agent\tvalue\n" + "".join(f"{x}\t{i}\n" for i, x in enumerate(names, 1))
    )
    market = read_market(path, agents=table)
    assert list(market.labels) == names
    assert market.value.tolist() == [*range(1, len(names) + 1)]


def test_a_label_cannot_flood_the_message(tmp_path):
    for form in ("txt", "csv"):
        path = write(tmp_path, f"a.{form}", file_of_links(form, "1" * 100_000, "2", "+" + "1" * 100_000))
        assert len(complaint_about(path)) < 300


def test_deep_xml_is_read_without_a_stack(tmp_path):
    depth = 50_000
    text = GRAPHML.format(A_B_LINK + "<desc>" * depth + "</desc>" * depth)
    assert read_market(write(tmp_path, "a.graphml", text)).num_links == 1


def test_an_attribute_and_an_agents_table_together_are_refused(tmp_path):
    path = write(tmp_path, "a.graphml", GRAPHML.format(A_B_LINK))
    assert "leave one out" in complaint_about(path, value_attribute="budget", agents=path)
