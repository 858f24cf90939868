"""Which reader reads which format."""

from pathlib import Path

from cmapjax.graphs._adjacency import is_adjacency_matrix, read_adjacency_list, read_adjacency_matrix
from cmapjax.graphs._file_options import ENDINGS, FORMATS, FileOptions
from cmapjax.graphs._files import CHUNK, MEMORY_PER_DIGIT
from cmapjax.graphs._gml import parse_gml
from cmapjax.graphs._konect import read_konect
from cmapjax.graphs._links import read_edge_list, read_link_table
from cmapjax.graphs._matrix import read_matrix_market, read_npz
from cmapjax.graphs._network import Network
from cmapjax.graphs._node_link import parse_node_link
from cmapjax.graphs._pajek import parse_pajek
from cmapjax.graphs._structured import declared_network
from cmapjax.graphs._xml import parse_gexf, parse_graphml

_WHOLE = {
    "edge-list": read_edge_list,
    "matrix-market": read_matrix_market,
    "adjacency-list": read_adjacency_list,
    "npz": read_npz,
    "konect": read_konect,
}
_DECLARED = {
    "graphml": parse_graphml,
    "gml": parse_gml,
    "gexf": parse_gexf,
    "node-link": parse_node_link,
    "pajek": parse_pajek,
}
_LINES = ("edge-list", "csv", "tsv", "konect", "adjacency-list")
_OF_NUMBERS = b"0123456789 \t\r\n,"


def format_of_name(name: str) -> str | None:
    """The format of a file of this name, not compressed and in small letters; None if it does not say."""
    name = name.rpartition("/")[2]
    form = ENDINGS.get(Path(name).suffix)
    return "konect" if form is None and name.startswith("out.") else form


def memory_per_byte(form: str, data: bytes) -> int:
    """Memory that a byte of a file of this format takes until it is part of a market, as a rule."""
    if form == "npz":
        return 1  # the arrays' own sizes are looked at before they are read
    is_numbers = form in _LINES and not data[-CHUNK:].translate(None, _OF_NUMBERS)
    return MEMORY_PER_DIGIT if is_numbers else FORMATS[form].memory


def read_network(data: bytes, form: str, options: FileOptions, delimiter: str) -> Network:
    """The network in a file of this format; `delimiter` is that of a table unless the options name one."""
    if form in _WHOLE:
        return _WHOLE[form](data, options)
    if form in _DECLARED:
        return declared_network(_DECLARED[form](data, options), options)
    separator = options.separator or delimiter
    names_columns = (options.source_column, options.target_column, options.separator, options.header)
    is_matrix = names_columns == (None,) * 4 and is_adjacency_matrix(data, separator)
    if form == "adjacency-matrix" or is_matrix:
        return read_adjacency_matrix(data, separator, options)
    return read_link_table(data, separator, options)
