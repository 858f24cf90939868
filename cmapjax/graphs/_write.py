"""Writers of files for other programs: allocations, agents, and networks."""

import collections
import csv
import gzip
import io
import unicodedata
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from cmapjax.arguments._checks import escape_cell, listed, short
from cmapjax.graphs._files import check_writable_path, format_and_packing, write_bytes
from cmapjax.graphs._labels import check_label, check_numbers, is_whole
from cmapjax.graphs._networkx import agent_columns, arc_flow, to_networkx
from cmapjax.graphs._xml import AS_TEXT, LABELS
from cmapjax.market._market import Market
from cmapjax.market._numbers import OF_ARCS

_TABLES = {".csv": ",", ".tsv": "\t", ".parquet": "parquet"}


def write_allocation(market: Market, flow, path) -> None:
    """Write an allocation as a table with one row per arc, in `.csv`, `.tsv` (`.gz`) or `.parquet`.

    Columns: giver and receiver (labels), allocation x_ij (units of the giver's resource) and flow
    y_ij = v_i x_ij (value); before them `market` if there are several. An existing file is replaced, whole or
    not at all. Labels other than integers are written as text, by `str`; in CSV and TSV a label that begins
    with = + - or @ gets an apostrophe in front, so that spreadsheets do not run it as a formula.

    Args:
        flow: y_ij in the market's layout (value).
        path: the file.

    Raises:
        ValueError: a flow that does not fit the market; labels that text cannot hold; a path that cannot
            be written or whose ending is not known.
    """
    giver, receiver = market.arcs()
    values = arc_flow(market, flow)
    columns = {"market": np.asarray(market.market_of)[giver]} if market.num_markets > 1 else {}
    labels = written_labels(market)
    columns |= {
        "giver": labels[giver],
        "receiver": labels[receiver],
        "allocation": values / np.asarray(market.value)[giver],
        "flow": values,
    }
    _write_table(path, columns)


def write_links(market: Market, path) -> None:
    """Write one row per direction of every link, in `.csv`, `.tsv` (`.gz`) or `.parquet`.

    Columns: source (the giver) and target (labels), capacity and efficiency where the market has them; before
    them `market` if there are several. A direction in which nothing can be given has no row, unless nothing
    can be given in the other one either. `read_market(path, directed=True)` reads CSV and TSV back. Labels
    are written as by `write_allocation`.

    Args:
        market: one or several markets.
        path: the file; one that is there is replaced, whole or not at all.

    Raises:
        ValueError: labels that text cannot hold; a path that cannot be written or whose ending is not known.
    """
    giver, receiver = market.arcs()
    of_links = {name: market.arc_values(getattr(market, name)) for name in market.terms if name in OF_ARCS}
    is_open = of_links.get("capacity", np.ones(len(giver))) > 0
    is_written = is_open | ~is_open[np.lexsort((giver, receiver))]  # sorted so, arcs are their reverses
    labels = written_labels(market)
    columns = {"market": np.asarray(market.market_of)[giver]} if market.num_markets > 1 else {}
    columns |= {"source": labels[giver], "target": labels[receiver], **of_links}
    _write_table(path, {name: vector[is_written] for name, vector in columns.items()})


def write_agents(market: Market, path, attributes: Mapping | None = None) -> None:
    """Write one row per agent, in `.csv`, `.tsv` (`.gz`) or `.parquet`.

    Columns: agent (label), endowment, value, contribution, the other fields of agents that the market has,
    `market` if there are several, and the given vectors. `read_market(…, agents=path)` reads it back. Labels
    are written as by `write_allocation`.

    Args:
        market: one or several markets.
        path: the file; one that is there is replaced, whole or not at all.
        attributes: further vectors over agents, by the name of their column.

    Raises:
        ValueError: a vector that does not fit the market; labels that text cannot hold; a path that
            cannot be written or whose ending is not known.
    """
    _write_table(path, {"agent": written_labels(market), **agent_columns(market, attributes or {})})


def write_graphml(market: Market, path, flow=None, attributes: Mapping | None = None) -> None:
    """Write the graph of `to_networkx`, with its attributes, as `.graphml` (`.gz`).

    `read_market(path, endowment_attribute="endowment", value_attribute="value")` reads it back, and other
    fields by their names likewise (`capacity_attribute="capacity"`). Labels are written as text, by `str`;
    whole numbers become integers again, unless they were text before.

    Args:
        path: the file; one that is there is replaced, whole or not at all.
        flow: y_ij in the market's layout (value), written on the links.
        attributes: further vectors over agents, by name.

    Raises:
        ValueError: a flow or vector that does not fit the market; labels or text that XML cannot hold; a
            path that cannot be written or whose ending is not known.
    """
    import networkx as nx

    path = check_writable_path(path)
    _, packing = format_and_packing(path, {".graphml": "graphml"}, (".gz",))
    graph = to_networkx(market, flow, attributes)
    texts = dict(zip(market.labels, (str(t) for t in written_labels(market).tolist()), strict=True))
    for _, _, edge in graph.edges(data=True):
        for end in edge.keys() & {"first", "second"}:
            edge[end] = texts[edge[end]]
    for label, node in graph.nodes(data=True):
        for name, given in node.items():
            _check_text(given, f"{name} of agent {short(label)}")
    if all(isinstance(label, str) for label in market.labels) and all(map(is_whole, market.labels)):
        graph.graph[LABELS] = AS_TEXT
    buffer = io.BytesIO()
    nx.write_graphml_xml(nx.relabel_nodes(graph, texts), buffer)
    _write(path, buffer.getvalue(), packing)


def written_labels(market: Market) -> np.ndarray:
    """The agents' labels as a file holds them: integers if all are, else text (an array of objects).

    Raises:
        ValueError: labels that no reader takes from a file: empty, with blanks around them or control
            characters, alike as text or the same number (1 and 01).
    """
    if all(type(label) is int and 0 <= label < 2**63 for label in market.labels):
        return np.array(market.labels, np.int64)
    texts = [str(label) for label in market.labels]
    for text in texts:
        _check_text(text, "labels:")
    twice = [text for text, count in collections.Counter(texts).items() if count > 1]
    if twice:
        raise ValueError(f"labels: {listed(twice)} would stand for several agents in a file; relabel them.")
    try:
        for text in texts:
            check_label(text)
        check_numbers(texts)
    except ValueError as error:
        raise ValueError(f"labels: {error} (Readers refuse such a file.)") from None
    array = np.empty(len(texts), object)
    array[:] = texts
    return array


def _check_text(text, where: str) -> None:
    """Raise if `text` is text that XML or a table cannot hold."""
    if not isinstance(text, str):
        return
    # Cs: half of a surrogate pair; U+FFFE and U+FFFF are no characters.
    bad = [c for c in text if unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") or c in "\ufffe\uffff"]
    if bad or not text:
        what = f"holds {bad[0]!r}" if bad else "is empty"
        raise ValueError(f"{where} {short(text)} {what}, which cannot be written; rename it.")


def _write_table(path, columns: dict[str, np.ndarray]) -> None:
    path = check_writable_path(path)
    form, packing = format_and_packing(path, _TABLES, (".gz",))
    if form == "parquet":
        if packing:
            raise ValueError(f"{path}: Parquet is compressed already; leave out .gz.")
        import pyarrow as pa
        import pyarrow.parquet as pq

        buffer = io.BytesIO()
        # Checksums, because otherwise a flipped bit in a page would be read as another number.
        table = pa.table({name: vector.tolist() for name, vector in columns.items()})
        pq.write_table(table, buffer, write_page_checksum=True)
        _write(path, buffer.getvalue(), packing="")
        return
    text = io.StringIO()
    writer = csv.writer(text, delimiter=form, lineterminator="\n")
    writer.writerow(escape_cell(name) for name in columns)
    cells = [
        [escape_cell(cell) if isinstance(cell, str) else cell for cell in vector.tolist()]
        for vector in columns.values()
    ]
    writer.writerows(zip(*cells, strict=True))
    _write(path, text.getvalue().encode(), packing)


def _write(path: Path, data: bytes, packing: str) -> None:
    # No time stamp, so that equal markets give equal files.
    write_bytes(path, gzip.compress(data, mtime=0) if packing else data)
