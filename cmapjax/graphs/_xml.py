"""GraphML and GEXF files, read by events: no entity is expanded, and nesting needs no stack frames.

NetworkX's readers are not used because they merge nodes declared twice and add nodes that only links name,
both silently, cannot say on which line, and fail on attributes that nobody asks for.
"""

from pathlib import Path
from typing import NamedTuple
from xml.etree.ElementTree import ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import DefusedXMLParser

from cmapjax.arguments._checks import short
from cmapjax.graphs._directions import keys_of_links
from cmapjax.graphs._file_options import FileOptions
from cmapjax.graphs._files import CHUNK, complaint, detail
from cmapjax.graphs._network import PORTS, WEIGHTS
from cmapjax.graphs._structured import Declared, Edge, Node, wanted_attributes

_GRAPHML = "{http://graphml.graphdrawing.org/xmlns"
_PARENTS = {
    "graphml": {"key": ("graphml",), "graph": ("graphml", "node"), "node": ("graph",), "edge": ("graph",)},
    "gexf": {"graph": ("gexf",), "node": ("nodes",), "edge": ("edges",)},
}
_REFUSED = {"hyperedge": "a link has two ends", "locator": "a file stands for itself"}
# What says which way links go: of a graph and of one link, with its possible values.
_KINDS = {"directed": True, "undirected": False}
_WAYS = {
    "graphml": {"edgedefault": _KINDS, "directed": {"true": True, "false": False}},
    "gexf": {"defaultedgetype": _KINDS | {"mutual": False}, "type": _KINDS | {"mutual": False}},
}
_WEIGHT = "weight"
# The attribute of a graph by which `write_graphml` notes that whole numbers as labels are text.
LABELS, AS_TEXT = "cmapjax_labels", "text"


def parse_graphml(path: Path, data: bytes, options: FileOptions) -> Declared:
    """The nodes, edges and notes of a GraphML file; DOCTYPE and entities are refused.

    Elements are known by their names, whatever the namespace of the root. Nodes of nested graphs are read
    as all others; a node that holds a graph with nodes is a group.
    """
    return _parse(path, data, _Events(path, options, "graphml"))


def parse_gexf(path: Path, data: bytes, options: FileOptions) -> Declared:
    """The nodes, edges and notes of a GEXF file, likewise.

    Nodes are named by `id`; `label` is an attribute like any other. Links that exist for a time only are
    links.
    """
    return _parse(path, data, _Events(path, options, "gexf"))


def _parse(path: Path, data: bytes, events: "_Events") -> Declared:
    parser = DefusedXMLParser(target=events, forbid_dtd=True)
    events.line_of = lambda: parser.parser.CurrentLineNumber
    try:
        # As text, which has been checked to be UTF-8: a declaration of another encoding has no effect.
        text = data.decode()
        for start in range(0, len(text), CHUNK):
            parser.feed(text[start : start + CHUNK])
        parser.close()
    except DefusedXmlException:
        raise complaint(
            path, "holds a DOCTYPE or entity, which could make a small file unpack to a huge one; remove it."
        ) from None
    except ParseError as error:
        raise complaint(path, f"is not well-formed XML ({detail(error)}); export it again.") from None
    return events.declared()


class _Keys(NamedTuple):
    """The keys of attributes, of nodes or of links."""

    wanted: set[str]
    """The names of those that are in use."""
    names: dict[str, str]
    defaults: dict[str, str]
    """By name."""

    def name(self, key: str | None) -> str | None:
        """What a key is called."""
        return self.names.get(key, key)


class _Events:
    """Nodes and edges, as the parser comes across them (a target of `xml.etree.ElementTree.XMLParser`).

    Data are kept by key until the end, because a key may be declared after its data, for another kind of
    element, or not at all. Only attributes in use can be wrong.
    """

    def __init__(self, path: Path, options: FileOptions, form: str):
        self.path, self.form = path, form
        self.of_nodes = _Keys(wanted_attributes(options), {}, {})
        self.of_links = _Keys(keys_of_links(options), {}, {})
        self.line_of = lambda: None
        self.has_graph = self.is_text = False
        self.notes = {WEIGHTS: 0, PORTS: 0}
        self.twice: dict[str, tuple[Node, int]] = {}
        self.nodes: list[Node] = []
        self.edges: list[Edge] = []
        self.data_of_links: list[list[tuple[str | None, str]]] = []
        """Keys and texts of every link, if they are in use."""
        self._root = self._space = self._class = ""
        self._parents = _PARENTS[form]
        self._ways = list(_WAYS[form].items())
        self._local: dict[str, str] = {}
        self._weights: set[str] = set()
        self._stack: list[str] = []
        self._is_directed: list[bool] = []
        self._open: list[int] = []
        self._key: str | None = None
        self._declared_for: list[_Keys] = []
        self._text: list[str] | None = None
        self._starts = {
            "graph": self._graph, "attributes": self._attributes, "key": self._declare,
            "attribute": self._declare, "node": self._node, "edge": self._edge, "data": self._data,
            "attvalue": self._value, "default": self._default, "port": self._port,
        }  # fmt: skip

    def declared(self) -> Declared:
        """What the file holds."""
        if not self.has_graph:
            root = f" (its root is <{self._root}>)"
            raise complaint(self.path, f"holds no <graph>{root}; is it {self.form}? Export it again as such.")
        nodes = [node._replace(attributes=self._named(node)) for node in self.nodes]
        if self.of_links.wanted:
            pairs = zip(self.edges, self.data_of_links, strict=True)
            self.edges = [edge._replace(attributes=self._named_of_link(edge, data)) for edge, data in pairs]
        return Declared(nodes, self.edges, self.notes, is_text=self.is_text)

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        name = self._local.get(tag) or self._known(tag)
        begin = self._starts.get(name)
        if begin is not None:
            parents = self._parents.get(name)
            if parents and self._parent not in parents:
                places = " or ".join(f"<{place}>" for place in parents)
                raise self._error(f"<{name}> stands outside {places}; move it.")
            begin(attributes)
        self._stack.append(name)

    def data(self, text: str) -> None:
        if self._text is not None:
            self._text.append(text)

    def end(self, tag: str) -> None:
        tag = self._stack.pop()
        if tag == "node":
            self._open.pop()
        elif tag == "graph":
            self._is_directed.pop()
        elif tag in ("data", "default") and self._text is not None:
            text, self._text = "".join(self._text), None
            if tag == "default":
                for keys in self._declared_for:
                    keys.defaults[keys.name(self._key)] = text
            elif self._parent == "edge":
                self.data_of_links[-1].append((self._key, text))
            elif self._parent == "graph":
                self.is_text |= self.of_nodes.names.get(self._key) == LABELS and text == AS_TEXT
            else:
                self._set(self._key, text)

    def close(self) -> None:
        """Called by the parser at the end of the file."""

    def _known(self, tag: str) -> str:
        """An element's name without its namespace, unless that is another one, such as of drawings."""
        space, _, name = tag.rpartition("}")
        if not self._stack:
            self._root, self._space = name, space
        name = name if space in ("", _GRAPHML, self._space) else tag
        if name in _REFUSED:
            raise self._error(f"<{name}> is not read: {_REFUSED[name]}; remove it.")
        self._local[tag] = name
        return name

    @property
    def _parent(self) -> str:
        return self._stack[-1] if self._stack else ""

    def _error(self, message: str) -> ValueError:
        return complaint(self.path, message, self.line_of())

    def _graph(self, attributes: dict[str, str]) -> None:
        if self.has_graph and self._parent != "node":
            raise self._error("holds a second <graph>; keep one in a file.")
        self.has_graph = True
        self._is_directed.append(self._way(0, attributes, default=False))

    def _way(self, which: int, attributes: dict[str, str], *, default: bool) -> bool:
        """Whether links are directed, as a graph (0) or a link (1) says."""
        name, choices = self._ways[which]
        given = attributes.get(name)
        if given is None:
            return default
        if given.lower() not in choices:
            raise self._error(f"{name} is {short(given)}; say {' or '.join(choices)}.")
        return choices[given.lower()]

    def _attributes(self, attributes: dict[str, str]) -> None:
        self._class = attributes.get("class", "node")

    def _declare(self, attributes: dict[str, str]) -> None:
        """A key of GraphML or an attribute of GEXF."""
        self._key, key = None, attributes.get("id")
        if key is None:
            return  # without an id no data can refer to it
        kind = self._class if self.form == "gexf" else attributes.get("for", "all")
        name = attributes.get("title" if self.form == "gexf" else "attr.name", key)
        if kind in ("edge", "all") and name.strip().casefold() == _WEIGHT:
            self._weights.add(key)
        if kind in ("edge", "all"):
            self._named_once(self.of_links, key, name)
        if kind != "edge":
            self._named_once(self.of_nodes, key, name)
        kinds = {"edge": [self.of_links], "node": [self.of_nodes], "all": [self.of_nodes, self.of_links]}
        self._declared_for = kinds.get(kind, [])
        self._key = key if self._declared_for else None

    def _named_once(self, keys: "_Keys", key: str, name: str) -> None:
        other = keys.names.setdefault(key, name)
        if other != name and keys.wanted & {name, other}:
            raise self._error(f"key {short(key)} is declared as {short(other)} and {short(name)}; keep one.")

    def _default(self, attributes: dict[str, str]) -> None:
        if self._parent in ("key", "attribute") and self._key is not None:
            self._text = []

    def _node(self, attributes: dict[str, str]) -> None:
        key = self._required("node", attributes, "id")
        if self._open:
            holder = self._open[-1]
            self.nodes[holder] = self.nodes[holder]._replace(is_group=True)
        self._open.append(len(self.nodes))
        own = {"label": attributes["label"]} if self.form == "gexf" and "label" in attributes else {}
        self.nodes.append(Node(key, key, own, self.line_of()))

    def _edge(self, attributes: dict[str, str]) -> None:
        source, target = (self._required("edge", attributes, end) for end in ("source", "target"))
        is_directed = self._way(1, attributes, default=bool(self._is_directed and self._is_directed[-1]))
        self.notes[WEIGHTS] += self.form == "gexf" and _WEIGHT in attributes
        self.edges.append(Edge(source, target, is_directed, self.line_of()))
        if self.of_links.wanted:
            self.data_of_links.append([])

    def _data(self, attributes: dict[str, str]) -> None:
        if self._parent == "edge":
            self.notes[WEIGHTS] += attributes.get("key") in self._weights
        if self._parent == "edge" and self.of_links.wanted:
            self._key, self._text = attributes.get("key"), []
        elif self._parent in ("node", "graph"):
            self._key, self._text = self._required("data", attributes, "key"), []

    def _value(self, attributes: dict[str, str]) -> None:
        if self._stack[-2:] == ["node", "attvalues"]:
            key = attributes.get("for", attributes.get("id"))  # id: as version 1.0 has it
            self._set(key, attributes.get("value", ""))
        elif self._stack[-2:] == ["edge", "attvalues"] and self.of_links.wanted:
            key = attributes.get("for", attributes.get("id"))
            self.data_of_links[-1].append((key, attributes.get("value", "")))

    def _port(self, attributes: dict[str, str]) -> None:
        self.notes[PORTS] += self._parent == "node"

    def _set(self, key: str, text: str) -> None:
        """An attribute of the node that is open."""
        node = self.nodes[self._open[-1]]
        if key in node.attributes:
            self.twice.setdefault(key, (node, self.line_of()))
        node.attributes[key] = text

    def _named_of_link(self, edge: Edge, data: list[tuple[str | None, str]]) -> dict[str, str]:
        """The attributes of a link by name; those it lacks have the default of their key."""
        found: dict[str, str] = {}
        for key, text in data:
            name = self.of_links.name(key)
            if name in self.of_links.wanted and name in found:
                who = f"the link of {short(edge.source)} and {short(edge.target)}"
                raise complaint(self.path, f"{who} has attribute {short(name)} twice; keep one.", edge.line)
            found[name] = text
        return self.of_links.defaults | found

    def _named(self, node: Node) -> dict[str, str]:
        """The attributes of a node by name; those it lacks have the default of their key."""
        found: dict[str, str] = {}
        for key, text in node.attributes.items():
            name = self.of_nodes.name(key)
            if name in self.of_nodes.wanted and (name in found or key in self.twice):
                twice, line = self.twice.get(key, (node, node.line))
                message = f"agent {short(twice.key)} has attribute {short(name)} twice; keep one."
                raise complaint(self.path, message, line)
            found[name] = text
        return self.of_nodes.defaults | found

    def _required(self, tag: str, attributes: dict[str, str], name: str) -> str:
        if name not in attributes:
            raise self._error(f"<{tag}> without {name}; add it.")
        return attributes[name]
