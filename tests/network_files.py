"""Network files for tests of the readers: one small network in every format, written by hand."""

import gzip
import io
import json
import zipfile

import numpy as np
import pytest
import scipy.sparse

from cmapjax.graphs._read import read_market

MTX = "%%MatrixMarket matrix coordinate"
GRAPHML = """<?xml version="1.0" encoding="UTF-8"?>
<graphml xmlns="http://graphml.graphdrawing.org/xmlns">
<key id="k" for="node" attr.name="budget" attr.type="double"/>
<graph edgedefault="undirected">
{}
</graph></graphml>"""


def write(folder, name, content):
    """A file of this content, compressed if its name says so."""
    data = content.encode() if isinstance(content, str) else content
    path = folder / name
    path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    return path


def complaint_about(path, read=read_market, **options):
    """What is wrong with a file: one short line."""
    with pytest.raises(ValueError) as caught:  # noqa: PT011  the callers look at the words
        read(path, **options)
    message = str(caught.value)
    assert len(message) <= 400
    assert "\n" not in message
    return message


def check_complaint(words, path, **options):
    """Check that a file is refused in these words, its name among them."""
    message = complaint_about(path, **options)
    assert [word for word in [path.name, *words] if word not in message] == [], message


def arcs(market):
    """Who may give to whom, by label."""
    giver, receiver = market.arcs()
    return {(market.labels[a], market.labels[b]) for a, b in zip(giver, receiver, strict=True)}


def both_ways(links):
    return {pair for a, b in links for pair in ((a, b), (b, a))}


def graphml(content, *, keys="", space="http://graphml.graphdrawing.org/xmlns", kind="undirected"):
    xmlns = f' xmlns="{space}"' if space else ""
    head = f'<graphml{xmlns} xmlns:y="http://www.yworks.com/xml/graphml">{keys}\n'
    return f'{head}<graph edgedefault="{kind}">{content}</graph></graphml>'


def gexf(body, graph='<graph defaultedgetype="undirected">', space='xmlns="http://gexf.net/1.3"'):
    return f'<?xml version="1.0"?>\n<gexf {space}>\n{graph}\n{body}\n</graph></gexf>'


def zipped(names, method=zipfile.ZIP_DEFLATED, data=b"0 1\n1 2\n2 0\n"):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", method) as archive:
        for name in names:
            archive.writestr(name, data)
    return content.getvalue()


def sparse(entries=((0, 1), (1, 0)), shape=(2, 2), dtype=np.int8, value=1, layout="csr"):
    rows, columns = zip(*entries, strict=True)
    content = io.BytesIO()
    matrix = scipy.sparse.coo_array((np.full(len(rows), value, dtype), (rows, columns)), shape=shape)
    scipy.sparse.save_npz(content, matrix.asformat(layout))
    return content.getvalue()


# -- five agents, six links; `e` hangs on `d` alone --------------------------------------------------

LINKS = [("a", "b"), ("b", "c"), ("c", "a"), ("c", "d"), ("d", "a"), ("d", "e")]
NODES = "<nodes>" + "".join(f'<node id="{x}"/>' for x in "abcde") + "</nodes>"
EDGES = "<edges>" + "".join(f'<edge source="{a}" target="{b}"/>' for a, b in LINKS) + "</edges>"
PAJEK = '*Vertices 5\n1 "a"\n2 "b"\n3 c 0.1 0.2\n4 "d"\n5 "e"\n'
NUMBERS = [("abcde".index(a) + 1, "abcde".index(b) + 1) for a, b in LINKS]
ROWS = [",a,b,c,d,e", "a,0,1,1,1,0", "b,1,0,1,0,0", "c,1,1,0,1,0", "d,1,0,1,0,1", "e,0,0,0,1,0"]
LINES = "".join(f"{a}\t{b}\n" for a, b in LINKS)

SAME_NETWORK = {
    "links.txt": "# a comment\n" + LINES,
    "links.edges": "% another\n\n" + LINES.replace("\t", "  "),
    "links.edgelist": "\ufeff" + LINES.replace("\n", "\r\n"),
    "LINKS.EL": "  # indented\n" + LINES.removesuffix("\n"),
    "links.csv": "source,target\n" + LINES.replace("\t", ","),
    "crlf.csv": "\ufeffsource,target\r\n" + LINES.replace("\t", ",").replace("\n", "\r\n"),
    "quoted.csv": "weight,source,target\n" + "".join(f'5,"{a}",{b}\n' for a, b in LINKS),
    "links.tsv": "source\ttarget\n" + LINES,
    "links.graphml": GRAPHML.format((NODES + EDGES).replace("<nodes>", "").replace("</nodes>", "")
                                    .replace("<edges>", "").replace("</edges>", "")),
    "links.gml": 'Creator "me"\ngraph [\n directed 0\n'
    + "".join(f'node [ id 1{i} label "{x}" graphics [ x 0.5 ] ]\n' for i, x in enumerate("abcde", 1))
    + "".join(f"edge [ source 1{a} target 1{b} ]\n" for a, b in NUMBERS) + "]",
    "a.gexf": gexf(NODES + EDGES),
    "old.gexf": gexf(NODES + EDGES, space='xmlns="http://www.gexf.net/1.2draft" version="1.2"'),
    "mutual.gexf": gexf(NODES + EDGES, '<graph defaultedgetype="mutual">', space=""),
    "links.json": json.dumps({"nodes": [{"id": x, "group": 1} for x in "abcde"],
                              "links": [{"source": a, "target": b} for a, b in LINKS]}),
    "edges.json": json.dumps({"directed": True, "nodes": [{"id": x} for x in "abcde"],
                              "edges": [{"source": a, "target": b} for a, b in sorted(both_ways(LINKS))]}),
    "edges.net": PAJEK + "*Edges\n" + "".join(f"{a} {b}\n" for a, b in NUMBERS),
    "arcs.net": "% drawn by hand\n*Network five\n" + PAJEK + "*arcs\n"
    + "".join(f"{a} {b}\n{b} {a}\n" for a, b in NUMBERS),
    "lists.net": PAJEK + "*Edgeslist\n1 2 3 4\n2 3\n*Arcslist\n3 4\n4 3 5\n5 4\n",
    "matrix.net": PAJEK + "*Matrix\n" + "".join(row[2:].replace(",", " ") + "\n" for row in ROWS[1:]),
    "a.adjlist": "#/usr/bin/made by a script\n# on a Sunday\na b c d\nb c\nc d\nd e\ne\n",
    "both.adj": "a b c d\nb a c\nc a b d\nd a c e\ne d\n",
    "matrix.csv": "\n".join(ROWS) + "\n",
    "shuffled.csv": "\n".join([ROWS[0], *ROWS[:0:-1]]),
    "matrix.tsv": "\n".join(ROWS).replace(",", "\t"),
}  # fmt: skip
