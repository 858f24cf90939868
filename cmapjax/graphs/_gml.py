"""GML files, read with an explicit stack: nesting costs no stack frames, and every value has its line.

networkx.read_gml is not used because it recurses, cannot say on which line, and refuses two links between
the same agents, which every other format merges and counts.
"""

import html
import re
from typing import NamedTuple

from cmapjax.arguments._checks import short
from cmapjax.graphs._directions import keys_of_links
from cmapjax.graphs._file_options import FileOptions
from cmapjax.graphs._files import FileError
from cmapjax.graphs._network import Note
from cmapjax.graphs._structured import Declared, Edge, Node, wanted_attributes

_TOKEN = re.compile(
    r"(?P<skip>\s+|#[^\n]*)"
    r"|(?P<key>[A-Za-z_][^\s\[\]\"]*)"
    r"|(?P<number>[+-]?[0-9.][^\s\[\]\"]*|[+-](?i:inf(?:inity)?|nan)(?![^\s\[\]]))"
    r'|"(?P<text>[^"]*)"'
    r"|(?P<open>\[)|(?P<close>\])"
)
# Words that some writers use where GML requires a number or quotes; they matter only in attributes in use.
_WORDS = frozenset(("nan", "inf", "infinity", "true", "false", "null", "none", "na"))
_WEIGHTS = ("weight", "value")
_MAX_DEPTH = 100  # a node's graphics need three or four


class _Item(NamedTuple):
    key: str
    value: "str | list[_Item]"
    line: int


def parse_gml(data: bytes, options: FileOptions) -> Declared:
    """The nodes, edges and notes of a GML file. Nodes are named by `label` if they have one, else by `id`.

    A key may stand several times in a node (NetworkX writes lists so) unless it is asked for.
    """
    graphs = [item for item in _items(data.decode()) if item.key == "graph"]
    if len(graphs) != 1:
        raise FileError(f"holds {len(graphs)} graph [ … ] lists; it must hold one.")
    (graph,) = graphs
    directed = _fields(graph, {"directed"}).get("directed", "0")
    if directed not in ("0", "1"):
        raise FileError(f"directed is {short(directed)}; say 0 or 1.", graph.line)
    once = {"id", *wanted_attributes(options)} | ({"label"} if options.label_attribute is None else set())
    nodes, edges, num_weights = [], [], 0
    for item in graph.value:
        if item.key == "node":
            fields = _fields(item, once, ("id",), f", or pass {options.say('label_attribute', 'id')}")
            is_group = fields.get("isGroup") == "1"  # as yEd marks its groups
            label = fields.get("label", fields["id"])
            nodes.append(Node(fields["id"], label, fields, item.line, is_group))
        elif item.key == "edge":
            fields = _fields(item, {"source", "target", *keys_of_links(options)}, ("source", "target"))
            edges.append(Edge(fields["source"], fields["target"], directed == "1", item.line, fields))
            num_weights += any(key in fields for key in _WEIGHTS)
    return Declared(nodes, edges, {Note.WEIGHTS: num_weights}, has_labels=True)


def _fields(item: _Item, once: set[str], required: tuple[str, ...] = (), or_else: str = "") -> dict[str, str]:
    """The plain values of a graph, node or edge; lists in it (such as graphics) are ignored."""
    if isinstance(item.value, str):
        raise FileError(f"{item.key} is {short(item.value)}, not a list [ … ].", item.line)
    fields: dict[str, str] = {}
    for field in item.value:
        if isinstance(field.value, list):
            continue
        if field.key in fields and field.key in once:
            remedy = or_else if field.key == "label" else ""
            raise FileError(f"{field.key} stands twice in one {item.key}; keep one{remedy}.", field.line)
        fields[field.key] = field.value
    for key in required:
        if key not in fields:
            raise FileError(f"{item.key} without {key}; add it.", item.line)
    return fields


def _items(text: str) -> list[_Item]:
    """The whole file as nested lists of keys and values."""
    top: list[_Item] = []
    stack, key, line, position = [top], None, 1, 0
    while position < len(text):
        token = _TOKEN.match(text, position)
        if token is None:
            raise FileError(f"unexpected {short(text[position : position + 20])} in GML.", line)
        kind, position = token.lastgroup, token.end()
        if kind == "key" and key is None:
            key = token["key"]
        elif kind == "key" and token["key"].casefold() in _WORDS:
            stack[-1].append(_Item(key, token["key"], line))
            key = None
        elif kind == "close" and key is None and len(stack) > 1:
            stack.pop()
        elif kind == "open" and key is not None:
            inner: list[_Item] = []
            stack[-1].append(_Item(key, inner, line))
            stack.append(inner)
            key = None
            if len(stack) > _MAX_DEPTH:
                raise FileError(f"lists nest deeper than {_MAX_DEPTH}; flatten the file.", line)
        elif kind in ("number", "text") and key is not None:
            value = token["number"] if kind == "number" else html.unescape(token["text"])
            stack[-1].append(_Item(key, value, line))
            key = None
        elif kind != "skip":
            where = "a key" if key is None else f"the value of {key}"
            remedy = " Put text in quotes." if kind == "key" else ""
            raise FileError(f"{short(token[0])} where {where} belongs.{remedy}", line)
        line += token[0].count("\n")
    if len(stack) > 1 or key is not None:
        raise FileError("the file ends inside a list; fetch or export it again.", line)
    return top
