"""Edge lists and tables of links as people have them: read right, or refused with a remedy that is right."""

import networkx as nx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from network_files import arcs, check_complaint, write

from cmapjax.cli._output import market_lines
from cmapjax.cli._source import Source
from cmapjax.graphs import _links, _quick
from cmapjax.graphs._file_options import FileOptions
from cmapjax.graphs._quick import whole_pairs
from cmapjax.graphs._read import market_from_file, read_market

HEADER = "header line skipped"
COMMENTS = "comment lines skipped"
WEIGHTS = "weights of links ignored"
COLUMNS = "lines with further columns ignored"
DATA = "lines with a trailing {…} ignored"
BLANKS = "labels with blanks around them, cut off"


def links(market):
    giver, receiver = market.arcs()
    names = [str(label) for label in market.labels]
    return {frozenset((names[a], names[b])) for a, b in zip(giver, receiver, strict=True)}


def pairs(text):
    """Links from "ann-bob bob-cas"; _ stands for a blank."""
    return {frozenset(pair.replace("_", " ").split("-")) for pair in text.split()}


# name: (content, options, links, notes)
READ = {
    "header of a known pair": ("Giver\tReceiver\n4\t5\n5\t6\n", {}, "4-5 5-6", {HEADER: 1}),
    "header of SNAP without its #": ("FromNodeId ToNodeId\n4 5\n5 6\n", {}, "4-5 5-6", {HEADER: 1}),
    "header over names": ("From To\nann bob\nbob cas\n", {}, "ann-bob bob-cas", {HEADER: 1}),
    "header with a weight": ("source target weight\na b 5\nb c 2\n", {}, "a-b b-c", {HEADER: 1, WEIGHTS: 2}),
    "header that names later columns": (
        "id Node1 Node2\n0 7 8\n1 8 9\n", {}, "7-8 8-9", {HEADER: 1, COLUMNS: 2}
    ),
    "header as asked": ("x y\n4 5\n", {"header": True}, "4-5", {HEADER: 1}),
    "no header as asked": ("from to\n4 5\n", {"header": False}, "from-to 4-5", {}),
    "counts skipped as asked": ("3 2\n1 2\n2 3\n", {"header": True}, "1-2 2-3", {HEADER: 1}),
    "one count skipped as asked": ("3\n1 2\n2 3\n", {"header": True}, "1-2 2-3", {HEADER: 1}),
    "links that look like counts": ("3 2\n1 2\n2 3\n", {"header": False}, "3-2 1-2", {}),
    "columns by name": (
        "id x y\n0 7 8\n1 8 9\n", {"source_column": "X", "target_column": "y"}, "7-8 8-9",
        {HEADER: 1, COLUMNS: 2},
    ),
    "columns by number": (
        "0 7 8\n1 8 9\n", {"header": False, "source_column": "2", "target_column": "3"}, "7-8 8-9",
        {COLUMNS: 2},
    ),
    "comments": ("# one\n%% two\n#\n4 5\n# 5 6\n#alone\n# a b c\n", {}, "4-5", {COMMENTS: 6}),
    "comment that names columns": ("#source\ttarget\n4\t5\n", {}, "4-5", {COMMENTS: 1}),
    "comment of words over numbers": ("%left right\n4 5\n", {}, "4-5", {COMMENTS: 1}),
    "marks within labels": ("a #b\nb c%\n", {}, "a-#b b-c%", {}),
    "names with blanks": ("Ann Lee\tBo\nBo\tCy de Wit\n", {}, "Ann_Lee-Bo Bo-Cy_de_Wit", {}),
    "names with blanks and weights": ("Ann L\tBo\t2\nBo\tCy F\t1\n", {}, "Ann_L-Bo Bo-Cy_F", {WEIGHTS: 2}),
    "blanks, then a tab": ("7 8\t0.5\n8 9\t1e3\n", {}, "7-8 8-9", {WEIGHTS: 2}),
    "weights": ("a b 0.5\nb c -2\nc d 1e3\nb d 4\nd e 0\n", {}, "a-b b-c c-d b-d d-e", {WEIGHTS: 5}),
    "weights of numbers": ("7 8 1\n7 9 1\n8 9 4\n9 10 2\n", {}, "7-8 7-9 8-9 9-10", {WEIGHTS: 4}),
    "columns of numbers": (
        "a b 1 1999\nb c 2 2001\n", {"ignore_extra_columns": True}, "a-b b-c", {COLUMNS: 2}
    ),
    "columns in some lines": ("0 1\n1 2 0.5\n", {"ignore_extra_columns": True}, "0-1 1-2", {COLUMNS: 2}),
    "columns of text apart by tabs": (
        "a\tb\tfriend\nb\tc\tfoe\n", {"ignore_extra_columns": True}, "a-b b-c", {COLUMNS: 2}
    ),
    "columns of text as asked": (
        "a b friend\nb c foe\n", {"ignore_extra_columns": True, "separator": "blank"}, "a-b b-c", {COLUMNS: 2}
    ),
    "tabs as asked": ("Ann Lee\t3\nBo Fo\t4\n", {"separator": "tab"}, "Ann_Lee-3 Bo_Fo-4", {}),
    "commas as asked": ("a, b\nb, c\n", {"separator": "comma"}, "a-b b-c", {BLANKS: 2}),
    "data of NetworkX": ("a b {}\nb c {'w': {'x': 1}}\n", {}, "a-b b-c", {DATA: 2}),
    "blanks of other kinds": ("\u00a0a b\nb c\n", {}, "a-b b-c", {BLANKS: 1}),
}  # fmt: skip


TABLES = {
    "letter case and blanks": ("SOURCE , Target,Type\na,b,x\nb,c,x\n", {}, "a-b b-c", {}),
    "other names": ("from,to\na,b\n", {}, "a-b", {}),
    "Neo4j": (":START_ID,:END_ID,:TYPE\na,b,x\n", {}, "a-b", {}),
    "weights": ("Source,Target,Weight\na,b,2\nb,c,3\n", {}, "a-b b-c", {WEIGHTS: 2}),
    "semicolons": ("Source;Target\na;b\n", {}, "a-b", {}),
    "tabs in a .csv": ("source\ttarget\na\tb\n", {}, "a-b", {}),
    "the separator of Excel": ("sep=;\r\nsource;target\r\na;b\r\n", {}, "a-b", {}),
    "comments above": ("# made by hand\n\nsource,target\na,b\n", {}, "a-b", {COMMENTS: 1}),
    "header behind a #": ("# source, target\n4, 5\n", {}, "4-5", {BLANKS: 1}),
    "blanks around labels": ("source,target\na, b\nb ,c\n", {}, "a-b b-c", {BLANKS: 2}),
    "columns by name": ("A,B,source\na,b,x\n", {"source_column": "a", "target_column": "b"}, "a-b", {}),
    "one end by name": ("who,to\na,b\n", {"source_column": "who", "target_column": "to"}, "a-b", {}),
    "no header": ("a,b\nb,c\n", {"header": False}, "a-b b-c", {}),
    "no header, numbers": ("4,5\n5,6\n", {"header": False}, "4-5 5-6", {}),
    "no header, columns by number": (
        "x,a,b\nx,b,c\n", {"header": False, "source_column": "2", "target_column": "3"}, "a-b b-c", {}
    ),
    "old line ends": ("source,target\ra,b\rb,c", {}, "a-b b-c", {}),
    "separator of several bytes": ("source→target\na→b\nâ→ë\n", {"separator": "→"}, "a-b â-ë", {}),
    "separator as asked": ("source|target\na|b\n", {"separator": "bar"}, "a-b", {}),
    "columns twice that are not used": ("source,target,x,x\na,b,1,2\n", {}, "a-b", {}),
    "marks are labels": ("source,target\n#a,%b\n", {}, "#a-%b", {}),
    "agents called as a header": ("id1,id2\nid2,id3\n", {"header": False}, "id1-id2 id2-id3", {}),
}  # fmt: skip


@pytest.mark.parametrize(("name", "case"), [*(("a.txt", k) for k in READ), *(("a.csv", k) for k in TABLES)])
def test_links_are_read_as_they_are_meant_and_what_is_skipped_is_counted(tmp_path, name, case):
    text, options, expected, notes = (READ if name == "a.txt" else TABLES)[case]
    market = read_market(write(tmp_path, name, text), **options)
    assert links(market) == pairs(expected)
    assert market.origin.notes == notes


# name: (content, options, words of the message)
REFUSED = {
    "header of unknown names": ("left right\n4 5\n", {}, ["line 1", "header=True", "header=False"]),
    "header of single letters": ("u v\n4 5\n", {}, ["line 1", "header=True"]),
    "header or agents": ("from to\nfrom ann\n", {}, ["line 1", "header=False"]),
    "header or numbered agents": ("node1 node2\nnode3 node4\n", {}, ["line 1", "header=False"]),
    "header that leaves out a column": (
        "V1 V2\na b c\nb c d\n", {"ignore_extra_columns": True}, ["line 1", "leaves out", "header=True"]
    ),
    "header of fewer columns": ("from to\na b 3\n", {}, ["line 2", "3 columns", "names 2"]),
    "counts": ("4 3\n1 2\n2 3\n3 4\n", {}, ["line 1", "'4 3'", "counts", "header=True", "header=False"]),
    "counts of links listed both ways": ("3 2\n1 2\n2 1\n2 3\n3 2\n", {}, ["line 1", "counts"]),
    "counts before weights": ("3 3 2\n1 2 .5\n2 3 .5\n", {}, ["line 1", "counts"]),
    "counts over text": ("6 3\n1 b\n2 c\n3 d\n", {}, ["line 1", "counts"]),
    "one count": ("3\n1 2\n2 3\n", {}, ["line 1", "one column '3'", "count", "header=True"]),
    "counts in words": ("nodes 3\nedges 2\n1 2\n2 3\n", {}, ["line 1", "'nodes 3'", "remove"]),
    "counts in words behind": ("nodes 3\nedges 2\n1 2\n2 3\n", {"header": True}, ["line 2", "'edges 2'"]),
    "DIMACS": ("c text\np edge 3 2\ne 1 2\ne 2 3\n", {}, ["line 2", "'p edge 3 2'", "4 columns"]),
    "DIMACS without its head": ("e 1 2\ne 2 3\n", {"ignore_extra_columns": True}, ["line 1", "DIMACS"]),
    "DIMACS of weights": ("a 1 2 5\na 2 3 5\na 1 3 5\na 3 4 1\n", {}, ["line 1", "'a 1 2 5'"]),
    "DIMACS as weights": ("a 1 2\na 2 3\na 1 3\na 3 4\n", {}, ["line 1", "DIMACS"]),
    "Pajek": ("*Vertices 2\n1 \"a\"\n", {}, ["line 1", "format='pajek'"]),
    "link that may be a comment": ("#tea #milk\n#jam tea\ntea cup\n", {}, ["line 1", "'#tea #milk'", ".csv"]),
    "comment within that may be a link": ("a b\n%b c\nc d\n", {}, ["line 2", "'%b c'", "blank after"]),
    "link of numbers that may be a comment": ("4 5\n#5 6\n", {}, ["line 2", "'#5 6'"]),
    "tags linked with numbers": ("#tea 1\n#jam 2\n1 2\n", {}, ["line 1", "'#tea 1'"]),
    "comment behind a label": ("4 5\n5 #six\n", {}, ["line 2", "'#six'"]),
    "mark alone as an agent": ("# a\na #\n", {}, ["line 2", "'#'"]),
    "names with blanks": ("Ann Lee Bo\nBo Cy Lee\n", {}, ["line 1", "tabs", "ignore_extra_columns"]),
    "tab or blank": ("Ann Lee\t3\nBo Fo\t4\n", {}, ["line 1", "separator='tab'", "separator='blank'"]),
    "tuples": ("(0, 1) (1, 1)\n", {"ignore_extra_columns": True}, ["line 1", "'(0,' opens", "whole numbers"]),
    "quotes": ("\"Ann Lee\" Bo\n", {}, ["line 1", "tabs"]),
    "a quoted name alone": ("a b\n'Ann Lee'\n", {}, ["line 2", "opens"]),
    "commas": ("1, 2\n2, 3\n", {}, ["line 1", "','", "separator=','"]),
    "commas alone": ("a,b\nb,c\n", {}, ["line 1", "'a,b'", "separator=','"]),
    "arrows": ("1 -> 2\n2 -> 3\n", {"ignore_extra_columns": True}, ["line 1", "'->'"]),
    "adjacency list": ("1: 2 3\n2: 1\n", {"ignore_extra_columns": True}, ["format='adjacency-list'"]),
    "adjacency list of three": ("1 2 3\n2 1 3\n3 1 2\n", {}, ["format='adjacency-list'"]),
    "adjacency list of a ring": (
        "11 12 15\n12 11 13\n13 12 14\n14 13 15\n15 14 11\n", {}, ["format='adjacency-list'"]
    ),
    "adjacency list of many": ("a b c d\nb a\nc d\n", {"ignore_extra_columns": True}, ["'adjacency-list'"]),
    "adjacency matrix": ("0 1 1\n1 0 0\n1 0 0\n", {}, ["format='adjacency-matrix'"]),
    "large adjacency matrix": (
        "0 1 1 0\n1 0 0 0\n1 0 0 1\n0 0 1 0\n", {"ignore_extra_columns": True}, ["format='adjacency-matrix'"]
    ),
    "the same number twice": ("01 2\n1 3\n", {}, ["'01' (line 1)", "'1' (line 2)", "same number"]),
}  # fmt: skip


REFUSED_TABLES = {
    "no such columns": (
        "x,y\na,b\n", {}, ["line 1", "found 'x', 'y'", "source_column=", "target_column=", "header=False"]
    ),
    "column unknown": ("x,y\na,b\n", {"source_column": "z", "target_column": "y"}, ["'z'", "found 'x', 'y'"]),
    "one column twice": ("x,y\na,b\n", {"source_column": "x", "target_column": "X"}, ["both ends"]),
    "alike but for case": ("Source,source,target\na,b,c\n", {}, ["'source' occurs twice"]),
    "rows that are even together": ("source,target\na,b\nc\nd,e,f\n", {}, ["line 3", "1 cell"]),
    "two pairs": ("src,dst,from,to\na,b,c,d\n", {}, ["source_column="]),
    "one column": ("source:target\na:b\n", {}, ["one column", "separator="]),
    "one column without a header": ("a:b\n", {"header": False}, ["one column", "separator="]),
    "number too large": ("a,b\n", {"header": False, "target_column": "3"}, ["target_column='3'", "1 to 2"]),
    "header or agents": ("node1,node2\nnode2,node3\n", {}, ["header=True", "header=False"]),
    "nothing": ("sep=;\n", {}, ["no table"]),
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "case"), [*(("a.txt", k) for k in REFUSED), *(("a.csv", k) for k in REFUSED_TABLES)]
)
def test_what_may_be_no_links_is_refused_with_a_remedy(tmp_path, name, case):
    text, options, words = (REFUSED if name == "a.txt" else REFUSED_TABLES)[case]
    check_complaint(words, write(tmp_path, name, text), **options)


def test_remedies_are_worded_as_where_they_are_given(tmp_path):
    path = write(tmp_path, "a.txt", "left right\n4 5\n5 6\n")
    for place, words in {
        "command": ["--header", "--no-header"],
        "study": ["header=true", "header=false"],
    }.items():
        with pytest.raises(ValueError, match="header") as caught:
            market_from_file(path, FileOptions(place=place))
        assert [word for word in words if word not in str(caught.value)] == [], str(caught.value)


def test_the_command_line_says_what_was_skipped(tmp_path):
    market = read_market(write(tmp_path, "a.txt", "# one\n# two\nfrom to weight\na b 1\n"))
    lines = market_lines(Source(networks=("a.txt",)), market)
    assert [line for line in lines if "comment lines skipped: 2" in line and "weights of links" in line]


@pytest.mark.parametrize("has_data", [True, False])
def test_what_networkx_writes_for_plain_nodes_is_read_as_the_same_links(tmp_path, has_data):
    graph = nx.convert_node_labels_to_integers(nx.grid_2d_graph(3, 2))
    nx.write_edgelist(graph, tmp_path / "a.edgelist", data=has_data)
    market = read_market(tmp_path / "a.edgelist")
    assert links(market) == {frozenset(map(str, edge)) for edge in graph.edges}
    nx.write_edgelist(nx.grid_2d_graph(3, 2), tmp_path / "b.edgelist", data=has_data)
    with pytest.raises(ValueError, match="opens what"):
        read_market(tmp_path / "b.edgelist", ignore_extra_columns=True)


# -- the quick path and the careful one -------------------------------------------------------------

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
    pairs = whole_pairs(text.encode())
    lines = [line.split() for line in text.encode().split(b"\n")]
    lines = [cells for cells in lines if cells]
    if pairs is not None:
        assert all(len(cells) == 2 for cells in lines)
        assert [[str(n).encode() for n in pair] for pair in pairs.tolist()] == lines


@pytest.mark.parametrize(
    "text", ["1,,2\n3,4\n", "1,2,\n", ",1,2\n", "1\t2\n", "1\n2\n", "01,2\n", "1,2,3,4\n"]
)
def test_the_quick_path_leaves_odd_rows_of_tables_to_the_careful_one(text):
    assert whole_pairs(text.encode(), b",") is None


def _outcome(read, text):
    try:
        network = read(text)
    except ValueError as error:
        return str(error), getattr(error, "line", None)
    notes = {what: count for what, count in network.notes.items() if count}
    return np.asarray(network.links).tolist(), list(network.labels), [type(x) for x in network.labels], notes


FIRST_LINES = [
    "source target", "from	to", "x y", "node1 node2", "nodes 3", "4 3", "# a b", "#a b", "3 3 4", "4",
]  # fmt: skip
LINES = ["0 1", "7\t12", "a b", "é x", "", " ", "# c", "  % 1 2", "a", "1 2 3", "01 2"]
WEIGHTED = ["0 1 0.5", "1 2 3", "2\t3\t1e3", "0 2 1", " 3 0 -4 ", "10 20 2", "# x", "", "0 10 .5", "1 0 0"]
NAMED = [
    "ann bo 0.5", "bo cy 3", "ann cy 1", "cy di 2.", "# x", "", "ann 1 2", "a b 3", "b c 4",
    "c a 5", "(x y) 1",
]  # fmt: skip


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
        patch.setattr(_quick, "_CELLS", block)
        quick = _outcome(lambda t: _links.read_edge_list(t, options), text)
        patch.setattr(_links._Links, "_quickly", lambda self, notes: None)
        assert quick == _outcome(lambda t: _links.read_edge_list(t, options), text)


@pytest.mark.parametrize("largest", [3, 10**6, 10**17, 10**18, 2**63 - 1])
def test_numbers_far_apart_are_read_the_same(largest):
    text = f"{largest} 1\n1 2\n".encode()
    read = _outcome(lambda t: _links.read_edge_list(t, FileOptions()), text)
    assert read == ([[2, 0], [0, 1]], [1, 2, largest], [int] * 3, {})
