"""Bad files: every one is refused with its name, the line where there is one, the value and the remedy."""

import bz2
import gzip
import itertools
import os
import subprocess
import sys
import textwrap

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cmapjax.arguments._checks import memory_of_process
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


def complaint_about(path, **options):
    with pytest.raises(ValueError) as caught:  # noqa: PT011  the callers look at the words
        read_market(path, **options)
    message = str(caught.value)
    assert len(message) <= 400
    assert "\n" not in message
    return message


# -- bad files ---------------------------------------------------------------------------------

TWINS = [
    ("1", "01"), ("1", "+1"), ("1", "1.0"), ("1000", "1e3"), ("1000", "1_000"), ("1", "１"), ("0", "-0"),
    ("0.5", ".5"), ("1e400", "10e399"), (str(2**63), f"{2**63}.0"), ("9" * 400, "+" + "9" * 400),
]  # fmt: skip


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


@pytest.mark.parametrize("twins", TWINS)
@pytest.mark.parametrize("form", ["txt", "csv", "graphml", "gml"])
def test_two_labels_that_are_the_same_number_are_refused_in_every_format(tmp_path, twins, form):
    message = complaint_about(write(tmp_path, f"a.{form}", file_of_links(form, twins[0], "x", twins[1])))
    assert all(f"{twin[:20]}" in message for twin in twins)
    lines = {"txt": (1, 2), "csv": (2, 3), "graphml": (6, 8), "gml": (2, 4)}[form]
    assert all(f"(line {line})" in message for line in lines)
    assert "put a letter in front" in message


NUMBER_LIKE = ["01001", "NAN", "Nan", "12345e67", "-3", "1_2", "inf", "٣", str(2**63), "9" * 400, "1.5", "+7"]


@pytest.mark.parametrize("form", ["txt", "csv", "graphml", "gml"])
def test_labels_that_look_like_numbers_are_text_in_every_format(tmp_path, form):
    market = read_market(write(tmp_path, f"a.{form}", file_of_links(form, *NUMBER_LIKE, "8")))
    assert list(market.labels) == [*NUMBER_LIKE, "8"]
    table = write(
        tmp_path, "agents.csv", "".join(f"{x},{i}\n" for i, x in enumerate(["agent", *NUMBER_LIKE]))
    )
    table.write_text(table.read_text().replace("agent,0", "agent,value") + "8,99\n")
    market = read_market(tmp_path / f"a.{form}", agents=table)
    assert market.value.tolist() == [*range(1, len(NUMBER_LIKE) + 1), 99]


# name: (file name, content, options, words that the message must have)
BAD_FILES = {
    "empty": ("a.txt", "", {}, ["a.txt", "empty"]),
    "blank": ("a.txt", "\n \n", {}, ["a.txt", "empty"]),
    "comments only": ("a.txt", "# nothing\n", {}, ["a.txt", "empty; a market needs at least one link"]),
    "header only": ("a.csv", "source,target\n", {}, ["a.csv", "needs at least one link"]),
    "unknown ending": ("a.dat", LINKS, {}, ["a.dat", "'.dat'", ".txt"]),
    "no ending": ("links", LINKS, {}, ["links", "ending ''", ".txt"]),
    "short row": ("a.txt", "0 1\n2\n", {}, ["line 2", "one column '2'", "tab or blank"]),
    "commas in a text file": ("a.txt", "0,1\n", {}, ["line 1", "'0,1'", ".csv"]),
    "extra column": ("a.txt", "0 1\n1 2 0.5\n", {}, ["line 2", "'1 2 0.5'", "ignore_extra_columns=True"]),
    "UTF-8": ("a.txt", b"0 1\n\xe9a 1\n", {}, ["line 2", "byte 4", "0xe9", "UTF-8"]),
    "UTF-16": ("a.txt", LINKS.encode("utf-16"), {}, ["UTF-16", "save it as UTF-8"]),
    "control character": ("a.txt", "0 1\n1\x002\n", {}, ["line 2", "'\\x00'", "plain text"]),
    "old line ends": ("a.txt", "0 1\r1 2\r", {}, ["line 1", "'\\r'"]),
    "self-loop": ("a.txt", "0 1\n1 1\n", {}, ["a.txt", "self-loop", "agent 1", "drop_self_loops=True"]),
    "gzip in disguise": ("a.txt", gzip.compress(b"0 1\n"), {}, ["a.txt", "gzip", "end its name in .gz"]),
    "zip in disguise": ("a.csv", b"PK\x03\x04 and so on", {}, ["a.csv", "zip", "unpack"]),
    "bzip2 in disguise": ("a.txt", bz2.compress(b"0 1\n"), {}, ["bzip2", "unpack"]),
    "gzip in gzip": ("a.txt.gz", gzip.compress(b"0 1\n"), {}, ["a.txt.gz", "compressed twice"]),
    "above the budget": ("a.txt", LINKS, {"memory_budget": 127}, ["16 bytes", "127", "memory_budget"]),
    "unpacks above the budget": ("a.txt.gz", LINKS * 9, {"memory_budget": 1000}, ["unpacks", "1,000"]),
    "columns without names": ("a.csv", "0,1\n1,2\n", {}, ["line 1", "source and target", "found '0', '1'"]),
    "column twice": ("a.csv", "source,target,source\n", {}, ["line 1", "'source' occurs twice"]),
    "short row of a table": ("a.csv", "source,target\n0,1\n2\n", {}, ["line 3", "1 cell", "2"]),
    "long row of a table": ("a.csv", "source,target\n0,1\n1,2,3\n", {}, ["line 3", "3 cell", "2"]),
    "empty cell": ("a.csv", "source,target\n0,1\n1,\n", {}, ["line 3", "label is empty"]),
    "blank label": ("a.csv", "source,target\na, \n", {}, ["line 2", "label is empty"]),
    "line end in a label": ("a.csv", 'source,target\na,"b\nc"\n', {}, ["line 3", "control character"]),
    "quote left open": ("a.csv", 'source,target\na,"b\n', {}, ["a.csv", "line 2", "well-formed"]),
    "no banner": ("a.mtx", "2 2 1\n1 2\n", {}, ["line 1", "%%MatrixMarket"]),
    "field": ("a.mtx", f"{MTX} text general\n2 2 1\n1 2 1 0\n", {}, ["line 1", "'text'", "pattern"]),
    "symmetry": ("a.mtx", f"{MTX} real upper\n", {}, ["line 1", "'upper'", "symmetric"]),
    "half a complex number": (
        "a.mtx", f"{MTX} complex general\n2 2 1\n1 2 1\n", {}, ["line 3", "3 numbers", "4"]
    ),
    "zeros alone": ("a.mtx", f"{MTX} real symmetric\n2 2 1\n2 1 0\n", {}, ["2 agent(s)", "no neighbour"]),
    "zero beyond the matrix": ("a.mtx", f"{MTX} real symmetric\n2 2 1\n3 1 0\n", {}, ["line 3", "'3'"]),
    "no sizes": ("a.mtx", f"{MTX} real general\n% only this\n", {}, ["a.mtx", "3 whole numbers"]),
    "not square": ("a.mtx", f"{MTX} pattern general\n2 3 1\n1 2\n", {}, ["line 2", "2 × 3", "square"]),
    "one way": ("a.mtx", f"{MTX} pattern general\n3 3 1\n3 1\n", {}, ["3 → 1", "symmetrize=True"]),
    "NaN": ("a.mtx", f"{MTX} real symmetric\n%\n2 2 1\n2 1 nan\n", {}, ["entry of 2 and 1 is nan"]),
    "infinity": ("a.mtx", f"{MTX} real symmetric\n2 2 1\n2 1 -inf\n", {}, ["entry of 2 and 1 is -inf"]),
    "index above": ("a.mtx", f"{MTX} pattern symmetric\n2 2 1\n3 1\n", {}, ["line 3", "'3'", "1 … 2"]),
    "index zero": ("a.mtx", f"{MTX} pattern symmetric\n2 2 1\n1 0\n", {}, ["line 3", "'0'", "1 … 2"]),
    "too few": ("a.mtx", f"{MTX} pattern symmetric\n3 3 2\n2 1\n", {}, ["1 entries", "2 are declared"]),
    "far too few": ("a.mtx", f"{MTX} pattern symmetric\n3 3 9999\n2 1\n", {}, ["1 entries", "9,999"]),
    "too many": ("a.mtx", f"{MTX} pattern symmetric\n3 3 1\n2 1\n3 1\n", {}, ["2 entries", "1 are declared"]),
    "width": ("a.mtx", f"{MTX} pattern symmetric\n3 3 1\n2 1 5\n", {}, ["line 3", "3 numbers", "2"]),
    "diagonal": ("a.mtx", f"{MTX} pattern symmetric\n2 2 2\n2 2\n2 1\n", {}, ["agent 2", "drop_self"]),
    "lonely row": ("a.mtx", f"{MTX} pattern symmetric\n3 3 1\n2 1\n", {}, ["(3)", "drop_isolated=True"]),
    "attribute of a list": ("a.txt", LINKS, {"value_attribute": "v"}, ["no value_attribute", "agents=FILE"]),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD_FILES)
def test_a_bad_file_is_named_with_line_value_and_remedy(tmp_path, case):
    name, content, options, words = BAD_FILES[case]
    message = complaint_about(write(tmp_path, name, content), **options)
    assert name in message
    assert [word for word in words if word not in message] == [], message


A_B = '<node id="a"/>\n<node id="b"/>\n'
A_B_LINK = A_B + '<edge source="a" target="b"/>\n'
ONE_WAY = '<edge source="a" target="b" directed="true"/>'
BAD_GRAPHML = {
    "not XML": ("graph", {}, ["well-formed XML", "line 1"]),
    "torn": (GRAPHML.format(A_B_LINK)[:-20], {}, ["well-formed XML", "export it again"]),
    "no graph": ("<graphml></graphml>", {}, ["no <graph>"]),
    "two graphs": (GRAPHML.format("</graph><graph>"), {}, ["line 5", "second <graph>"]),
    "graph in a link": (GRAPHML.format("<edge source='a' target='b'><graph/>"), {}, ["line 5", "outside"]),
    "another language": ("<svg xmlns='x'></svg>", {}, ["no <graph>", "<svg>"]),
    "hyperedge": (GRAPHML.format(A_B + "<hyperedge/>"), {}, ["line 7", "<hyperedge>", "two ends"]),
    "node twice": (GRAPHML.format(A_B + '<node id="a"/>'), {}, ["line 7", "'a' is declared twice"]),
    "undeclared": (GRAPHML.format(A_B + '<edge source="a" target="c"/>'), {}, ["line 7", "'c'", "declare"]),
    "node in node": (GRAPHML.format('<node id="a"><node id="b"/>'), {}, ["line 5", "<node> stands outside"]),
    "node before graph": (GRAPHML.replace("<graph ", '<node id="a"/><graph '), {}, ["line 4", "outside"]),
    "directed perhaps": (GRAPHML.format(ONE_WAY.replace("true", "yes")), {}, ["'yes'", "line 5"]),
    "no id": (GRAPHML.format("<node/>"), {}, ["line 5", "<node> without id"]),
    "no target": (GRAPHML.format('<edge source="a"/>'), {}, ["line 5", "<edge> without target"]),
    "directed": (GRAPHML.replace("und", "d").format(A_B_LINK), {}, ["'a' → 'b'", "symmetrize=True"]),
    "directed edge": (GRAPHML.format(A_B + ONE_WAY), {}, ["'a' → 'b'", "symmetrize=True"]),
    "edgedefault": (GRAPHML.replace("undirected", "both").format(""), {}, ["line 4", "'both'"]),
    "no such label": (
        GRAPHML.format('<node id="a"><data key="k">1</data></node>'),
        {"label_attribute": "name"},
        ["line 5", "'a' has no attribute 'name'", "found 'budget'", "label_attribute='id'"],
    ),
    "label missing": (
        GRAPHML.format('<node id="a"><data key="k">x</data></node>\n<node id="b"/>'),
        {"label_attribute": "budget"},
        ["line 6", "'b' has no attribute 'budget'"],
    ),
    "label empty": (
        GRAPHML.format('<node id="a"><data key="k"> </data></node>'),
        {"label_attribute": "budget"},
        ["line 5", "label is empty", "label_attribute='id'"],
    ),
    "label of two": (
        GRAPHML.format("\n".join(f'<node id="{i}"><data key="k">x{" " * i}</data></node>' for i in (0, 1))),
        {"label_attribute": "budget"},
        ["line 6", "'x' stands also on line 5", "label_attribute='id'"],
    ),
    "key declared as two": (
        GRAPHML.replace("<graph ", '<key id="k" for="node" attr.name="x"/><graph ', 1),
        {"label_attribute": "budget"},
        ["line 4", "'k'", "'budget' and 'x'"],
    ),
    "no such attribute": (GRAPHML.format(A_B_LINK), {"value_attribute": "w"}, ["'w'", "none"]),
    "attribute missing": (
        GRAPHML.format('<node id="a"><data key="k">1</data></node>\n<node id="b"/>'),
        {"value_attribute": "budget"},
        ["line 6", "agent 'b' has no attribute 'budget'"],
    ),
    "attribute text": (
        GRAPHML.format('<node id="a"><data key="k">rich</data></node>'),
        {"value_attribute": "budget"},
        ["line 5", "budget of agent 'a' is 'rich'", "not a plain number"],
    ),
    "attribute twice": (
        GRAPHML.format('<node id="a"><data key="k">1</data>\n<data key="k">2</data></node>'),
        {"value_attribute": "budget"},
        ["line 6", "agent 'a' has attribute 'budget' twice"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD_GRAPHML)
def test_bad_graphml_is_named_with_line_and_remedy(tmp_path, case):
    content, options, words = BAD_GRAPHML[case]
    message = complaint_about(write(tmp_path, "a.graphml", content), **options)
    assert [word for word in ["a.graphml", *words] if word not in message] == [], message


@pytest.mark.parametrize(
    "prologue",
    [
        "<!DOCTYPE graphml>",
        '<!DOCTYPE g SYSTEM "file:///etc/passwd">',
        '<!DOCTYPE g [<!ENTITY a "lol"><!ENTITY b "&a;&a;&a;&a;&a;&a;">]>',
        '<!DOCTYPE g [<!ENTITY a SYSTEM "file:///etc/passwd">]>',
    ],
)
def test_a_doctype_is_refused(tmp_path, prologue):
    text = GRAPHML.format(A_B_LINK).replace("<graphml", prologue + "<graphml", 1)
    assert "DOCTYPE" in complaint_about(write(tmp_path, "a.graphml", text))


GML = "graph [\n{}\n]"
BAD_GML = {
    "no graph": ("node [ id 1 ]", ["0 graph"]),
    "two graphs": ("graph [ ] graph [ ]", ["2 graph"]),
    "not a list": ("graph 5", ["line 1", "graph is '5'"]),
    "torn": (GML.format("node [ id 1")[:-2], ["line 2", "ends inside a list"]),
    "not GML": ("graph [\n node <5>", ["line 2", "'<5>'"]),
    "value missing": (GML.format("node [ id ]"), ["line 2", "value of id"]),
    "key missing": (GML.format("node [ 5 ]"), ["line 2", "a key"]),
    "no id": (GML.format('node [ label "a" ]'), ["line 2", "node without id"]),
    "no target": (GML.format("edge [ source 1 ]"), ["line 2", "edge without target"]),
    "id twice": (GML.format("node [ id 1 ]\nnode [ id 1 ]"), ["line 3", "'1' is declared twice"]),
    "key twice": (GML.format("node [ id 1 id 2 ]"), ["line 2", "id stands twice"]),
    "label twice": (GML.format('node [ id 1 label "x" ]\nnode [ id 2 label "x" ]'), ["line 3", "line 2"]),
    "undeclared": (GML.format("node [ id 1 ]\nedge [ source 1 target 2 ]"), ["line 3", "'2'", "declare"]),
    "directed": (
        GML.format("directed 1 node [ id 1 ] node [ id 2 ] edge [ source 1 target 2 ]"),
        ["'1' → '2'", "symmetrize=True"],
    ),
    "deep": ("graph [ " + "a [ " * 20_000, ["line 1", "deeper than 100"]),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD_GML)
def test_bad_gml_is_named_with_line_and_remedy(tmp_path, case):
    content, words = BAD_GML[case]
    message = complaint_about(write(tmp_path, "a.gml", content))
    assert [word for word in ["a.gml", *words] if word not in message] == [], message


def test_deep_xml_is_read_without_a_stack(tmp_path):
    depth = 50_000
    text = GRAPHML.format(A_B_LINK + "<desc>" * depth + "</desc>" * depth)
    assert read_market(write(tmp_path, "a.graphml", text)).num_links == 1


def test_an_attribute_and_an_agents_table_together_are_refused(tmp_path):
    path = write(tmp_path, "a.graphml", GRAPHML.format(A_B_LINK))
    assert "leave one out" in complaint_about(path, value_attribute="budget", agents=path)


# -- the file system ---------------------------------------------------------------------------


@pytest.mark.parametrize("cut", [5, 12, -9, -1])
def test_a_truncated_gzip_file_is_refused(tmp_path, cut):
    path = tmp_path / "a.txt.gz"
    path.write_bytes(gzip.compress(LINKS.encode() * 100)[:cut])
    assert "a.txt.gz: the gzip file ends too early" in complaint_about(path)


def test_damaged_gzip_files_are_refused(tmp_path):
    packed = bytearray(gzip.compress(LINKS.encode() * 100))
    packed[-6] ^= 1  # in the checksum
    (tmp_path / "a.txt.gz").write_bytes(packed)
    assert "cannot be read (CRC" in complaint_about(tmp_path / "a.txt.gz")
    (tmp_path / "b.txt.gz").write_text(LINKS)
    assert "is not gzip; rename it" in complaint_about(tmp_path / "b.txt.gz")


def test_only_regular_files_are_opened(tmp_path):
    assert "no such file; check the name" in complaint_about(tmp_path / "absent.txt")
    assert "is a folder" in complaint_about(tmp_path)
    os.mkfifo(tmp_path / "pipe.txt")
    assert "pipe or device" in complaint_about(tmp_path / "pipe.txt")
    (tmp_path / "zero.txt").symlink_to("/dev/zero")
    assert "pipe or device" in complaint_about(tmp_path / "zero.txt")
    assert "cannot be opened" in complaint_about("a\0b.txt")
    assert "cannot be opened" in complaint_about("a" * 5000 + ".txt")
    assert "path is a int" in complaint_about(0)


@pytest.mark.parametrize("budget", [0, -1, 1.5, True, "1GB"])
def test_a_budget_is_a_positive_number_of_bytes(tmp_path, budget):
    path = write(tmp_path, "a.txt", LINKS)
    assert "memory_budget" in complaint_about(path, memory_budget=budget)


def test_the_default_budget_is_a_third_of_the_memory_but_at_most_what_two_gigabytes_of_names_take():
    assert 1 << 20 < FileOptions().budget <= min(32 << 30, memory_of_process() / 3)


def test_a_label_cannot_flood_the_message(tmp_path):
    for form in ("txt", "csv"):
        path = write(tmp_path, f"a.{form}", file_of_links(form, "1" * 100_000, "2", "+" + "1" * 100_000))
        assert len(complaint_about(path)) < 300


DAMAGES = [b"", b"\x00", b"\xff", b'"', b"<", b"[", b"]", b"-", b"nan", b"1e999", b"\n", b"&"]
WHOLE_FILES = {
    "a.txt": LINKS * 3,
    "b.txt": LINKS.replace("\t", " n"),
    "a.csv": "source,target\n" + LINKS.replace("\t", ","),
    "a.mtx": f"{MTX} real symmetric\n4 4 4\n2 1 1.5\n3 2 1\n3 1 1\n4 3 1e3\n",
    "a.graphml": GRAPHML.format(A_B_LINK),
    "a.gml": 'graph [ node [ id 1 label "x" ] node [ id 2 ] edge [ source 1 target 2 ] ]',
}


@pytest.mark.parametrize("name", [*WHOLE_FILES, "a.txt.gz", "agents.csv", "agents.parquet"])
def test_a_damaged_file_is_read_or_refused_by_name_and_nothing_else(tmp_path, name):
    links = write(tmp_path, "links.txt", LINKS)
    if name == "agents.parquet":
        pq.write_table(pa.table({"agent": [0, 1, 2, 3], "value": [1.0, 2, 3, 4]}), tmp_path / name)
    elif name == "agents.csv":
        write(tmp_path, name, "agent,value\n0,1\n1,2\n2,3\n3,4\n")
    else:
        write(tmp_path, name, WHOLE_FILES.get(name, LINKS * 20))
    whole = (tmp_path / name).read_bytes()
    rng = np.random.default_rng(0)
    complaints = []
    for _ in range(100):
        start = int(rng.integers(len(whole)))
        stop = start + int(rng.integers(1, 20))
        damage = DAMAGES[rng.integers(len(DAMAGES))]
        (tmp_path / name).write_bytes(whole[:start] + damage + whole[stop:])
        try:
            if name.startswith("agents"):
                read_market(links, agents=tmp_path / name)
            else:
                read_market(tmp_path / name)
        except ValueError as error:
            complaints.append(str(error))
    assert complaints
    assert all(name in text and len(text) <= 400 for text in complaints)


BOMBS = {
    "bomb.txt.gz": "gzip.compress(bytes(2**24)) * 200",  # members one after another: 3.4 GB of zeros
    "digits.txt.gz": "gzip.compress(b'1' * 2**24) * 200",
    "size.mtx": f"b'{MTX} pattern symmetric\\n9999999999 9999999999 1\\n2 1\\n'",
    "entries.mtx": f"b'{MTX} pattern symmetric\\n3 3 999999999999\\n2 1\\n'",
    "dense.mtx": "b'%%MatrixMarket matrix array real general\\n9999999 9999999\\n1\\n'",
}


def test_bombs_are_refused_within_two_gigabytes_of_address_space_beyond_the_imports(tmp_path):
    program = textwrap.dedent(f"""
        import gzip, os, re, resource, sys
        from cmapjax.graphs._read import read_market
        held = int(re.search(r"VmSize:\\s*(\\d+)", open("/proc/self/status").read())[1]) * 1024
        resource.setrlimit(resource.RLIMIT_AS, (held + 2 * 2**30,) * 2)
        for name, data in {{ {", ".join(f"{name!r}: {data}" for name, data in BOMBS.items())} }}.items():
            path = os.path.join(sys.argv[1], name)
            with open(path, "wb") as file:
                file.write(data)
            try:
                read_market(path)
            except ValueError as error:
                print(name, "budget" in str(error) or "can hold" in str(error))
        # Not ru_maxrss, which a process inherits from the one that started it.
        peak = int(re.search(r"VmHWM:\\s*(\\d+)", open("/proc/self/status").read())[1])
        print(peak < 1.7e6)
    """)
    run = subprocess.run(
        [sys.executable, "-c", program, tmp_path], capture_output=True, text=True, timeout=120, check=False
    )
    assert run.stdout.splitlines() == [f"{name} True" for name in BOMBS] + ["True"], run.stderr
