"""Node-link JSON, as NetworkX (`node_link_data`) and D3 write it.

networkx.node_link_graph is not used because it adds nodes that only links name, merges nodes declared
twice, and knows one of the two names of the list of links.
"""

import json
from typing import Any

from cmapjax.arguments._checks import listed, short
from cmapjax.graphs._directions import keys_of_links
from cmapjax.graphs._file_options import FileOptions
from cmapjax.graphs._files import FileError, detail
from cmapjax.graphs._network import Note
from cmapjax.graphs._structured import Declared, Edge, Node, wanted_attributes

_LINKS = ("links", "edges")
_WEIGHTS = ("weight", "value")  # NetworkX's and D3's custom


def parse_node_link(data: bytes, options: FileOptions) -> Declared:
    """The nodes, edges and notes of a node-link file.

    Nodes are named by `id`. Where no node has one, links count nodes from 0 (as D3 did up to its third
    version) and so do labels. Links go both ways unless the file says `"directed": true`.
    """
    return _declared(_load(data), options)


def _load(data: bytes) -> dict:
    try:
        document = json.loads(data, object_pairs_hook=_once)
    except json.JSONDecodeError as error:
        raise FileError(f"is not JSON ({error.msg}); export it again.", error.lineno) from None
    except RecursionError:
        raise ValueError("its lists nest too deeply; a node-link file needs few levels.") from None
    except ValueError as error:  # a name twice, or a number of thousands of digits
        raise ValueError(f"is not JSON that can be read ({detail(error)}).") from None
    if not isinstance(document, dict):
        kind = "a list" if isinstance(document, list) else short(document)
        raise ValueError(f"holds {kind}; node-link JSON is an object with nodes and links.")
    return document


def _once(pairs: list[tuple[str, Any]]) -> dict:
    """An object, unless a name occurs twice in it: JSON does not define which value counts."""
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"an object has {short(twice)} twice; keep one")
    return found


def _declared(document: dict, options: FileOptions) -> Declared:
    given = _list(document, "nodes")
    names = [name for name in _LINKS if name in document]
    if len(names) != 1:
        raise ValueError(
            f"needs one list of links or edges beside nodes (found {listed(document) or 'nothing'}); is this "
            "node-link JSON? NetworkX's node_link_data writes it."
        )
    links = _list(document, names[0])
    directed = document.get("directed", False)
    if not isinstance(directed, bool):
        raise ValueError(f"directed is {short(directed)}; say true or false.")
    wanted = wanted_attributes(options)
    has_ids = any("id" in node for node in given)
    nodes = []
    for number, node in enumerate(given):
        if has_ids and "id" not in node:
            raise ValueError(f"nodes[{number}] has no id, though others have; give every node one.")
        name = node["id"] if has_ids else number
        is_name = isinstance(name, (str, int)) and not isinstance(name, bool)
        if options.label_attribute is None and not is_name:
            raise ValueError(
                f"the id of nodes[{number}] is {short(name)}; name agents by text or whole numbers."
            )
        attributes = {key: _text(value) if key in wanted else "" for key, value in node.items()}
        for text in (_text(name), *attributes.values()):
            if any("\ud800" <= letter <= "\udfff" for letter in text):
                raise ValueError(f"nodes[{number}] holds half a character, {short(text)}; correct it.")
        nodes.append(Node(_key(name), _text(name), attributes, None))
    edges, keys = [], keys_of_links(options)
    for number, link in enumerate(links):
        for end in ("source", "target"):
            if end not in link:
                raise ValueError(f"{names[0]}[{number}] has no {end}; add it.")
        data = {key: _text(value) for key, value in link.items() if key in keys}
        edges.append(Edge(_key(link["source"]), _key(link["target"]), directed, None, data))
    weights = sum(any(name in link for name in _WEIGHTS) for link in links)
    is_text = any(isinstance(node.get("id"), str) for node in given) and options.label_attribute is None
    return Declared(nodes, edges, {Note.WEIGHTS: weights}, is_text)


def _list(document: dict, name: str) -> list[dict]:
    items = document.get(name)
    if not isinstance(items, list):
        raise ValueError(
            f"has no list {name} (found {listed(document) or 'nothing'}); is this node-link JSON? NetworkX's "
            "node_link_data writes it."
        )
    for number, item in enumerate(items):
        if not isinstance(item, dict):
            raise ValueError(f"{name}[{number}] is {short(item)}, not an object {{…}}; correct it.")
    return items


def _key(name) -> str:
    """What links refer to a node by: 1 and "1" are two."""
    return json.dumps(name, ensure_ascii=False)


def _text(value) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
