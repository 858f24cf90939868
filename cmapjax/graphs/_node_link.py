"""Node-link JSON, as NetworkX (`node_link_data`) and D3 write it.

networkx.node_link_graph is not used because it adds nodes that only links name, merges nodes declared
twice, and knows one of the two names of the list of links.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cmapjax.arguments._checks import listed, short
from cmapjax.graphs._file_options import FileOptions
from cmapjax.graphs._files import complaint, detail
from cmapjax.graphs._network import WEIGHTS
from cmapjax.graphs._structured import Declared, Edge, Node, wanted_attributes

_LINKS = ("links", "edges")
_WEIGHTS = ("weight", "value")  # NetworkX's and D3's custom


def parse_node_link(path: Path, data: bytes, options: FileOptions) -> Declared:
    """The nodes, edges and notes of a node-link file.

    Nodes are named by `id`. Where no node has one, links count nodes from 0 (as D3 did up to its third
    version) and so do labels. Links go both ways unless the file says `"directed": true`.
    """
    document = _load(path, data)
    places = _list(path, document, "nodes")
    names = [name for name in _LINKS if name in document]
    if len(names) != 1:
        found = listed(document) or "nothing"
        raise complaint(
            path,
            f"needs one list of links or edges beside nodes (found {found}); is this node-link JSON? "
            "NetworkX's node_link_data writes it.",
        )
    links = _list(path, document, names[0])
    directed = document.get("directed", False)
    if not isinstance(directed, bool):
        raise complaint(path, f"directed is {short(directed)}; say true or false.")
    wanted = wanted_attributes(options)
    has_ids = any("id" in node for node in places)
    nodes = [_node(path, number, node, has_ids, wanted) for number, node in enumerate(places)]
    edges = [
        Edge(
            *(_end(path, f"{names[0]}[{number}]", link, end) for end in ("source", "target")), directed, None
        )
        for number, link in enumerate(links)
    ]
    if options.label_attribute is None:
        _check_names(path, places if has_ids else [])
    weights = sum(any(name in link for name in _WEIGHTS) for link in links)
    is_text = any(isinstance(node.get("id"), str) for node in places) and options.label_attribute is None
    return Declared(nodes, edges, {WEIGHTS: weights}, is_text)


class _Repeating(dict):
    """An object in which a name occurs twice; JSON does not define which value counts."""

    repeated: str


def _object(pairs: list[tuple[str, Any]]) -> dict:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        found = _Repeating(found)
        found.repeated = next(name for name in names if names.count(name) > 1)
    return found


def _load(path: Path, data: bytes) -> dict:
    try:
        document = json.loads(data, object_pairs_hook=_object)
    except json.JSONDecodeError as error:
        raise complaint(path, f"is not JSON ({error.msg}); export it again.", error.lineno) from None
    except RecursionError:
        raise complaint(path, "its lists nest too deeply; a node-link file needs few levels.") from None
    except ValueError as error:  # a number of thousands of digits
        raise complaint(path, f"is not JSON that can be read ({detail(error)}).") from None
    if not isinstance(document, dict):
        kind = "a list" if isinstance(document, list) else short(document)
        raise complaint(path, f"holds {kind}; node-link JSON is an object with nodes and links.")
    _check_once(path, "the file", document)
    return document


def _list(path: Path, document: dict, name: str) -> list[dict]:
    """A list of objects, in which no name in use occurs twice."""
    items = document.get(name)
    if not isinstance(items, list):
        raise complaint(
            path,
            f"has no list {name} (found {listed(document) or 'nothing'}); is this node-link JSON? "
            "NetworkX's node_link_data writes it.",
        )
    for number, item in enumerate(items):
        if not isinstance(item, dict):
            raise complaint(path, f"{name}[{number}] is {short(item)}, not an object {{…}}; correct it.")
        _check_once(path, f"{name}[{number}]", item)
    return items


def _check_once(path: Path, where: str, item: dict) -> None:
    if isinstance(item, _Repeating):
        raise complaint(path, f"{where} has {short(item.repeated)} twice; keep one.")


def _node(path: Path, number: int, node: Mapping, has_ids: bool, wanted: set[str]) -> Node:
    if has_ids and "id" not in node:
        raise complaint(path, f"nodes[{number}] has no id, though others have; give every node one.")
    name = node["id"] if has_ids else number
    attributes = {**node, **{key: _text(node[key]) for key in wanted if key in node}} if wanted else node
    label = _text(name)
    for text in (label, *(attributes[key] for key in wanted if key in node)):
        if any("\ud800" <= letter <= "\udfff" for letter in text):
            raise complaint(path, f"nodes[{number}] holds half a character, {short(text)}; correct it.")
    return Node(_key(name), label, attributes, None)


def _check_names(path: Path, nodes: list[dict]) -> None:
    """Raise unless every id can name an agent; as ends of links, other ids would do as well."""
    for number, node in enumerate(nodes):
        if not isinstance(node["id"], (str, int)) or isinstance(node["id"], bool):
            raise complaint(
                path,
                f"the id of nodes[{number}] is {short(node['id'])}; name agents by text or whole numbers.",
            )


def _end(path: Path, where: str, link: Mapping, end: str) -> str:
    if end not in link:
        raise complaint(path, f"{where} has no {end}; add it.")
    return _key(link[end])


def _key(name) -> str:
    """What links refer to a node by: 1 and "1" are two."""
    return json.dumps(name, ensure_ascii=False)


def _text(value) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
