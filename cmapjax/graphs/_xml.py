"""GraphML and GEXF files, read by events: no entity is expanded, and nesting needs no stack frames.

NetworkX's readers are not used because they merge nodes declared twice and add nodes that only links name,
both silently, cannot say on which line, and fail on attributes that nobody asks for.
"""

from typing import NamedTuple
from xml.etree.ElementTree import ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import DefusedXMLParser

from cmapjax.arguments._checks import short
from cmapjax.graphs._directions import keys_of_links
from cmapjax.graphs._file_options import FileOptions
from cmapjax.graphs._files import CHUNK, FileError, detail
from cmapjax.graphs._network import Note
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


def parse_graphml(data: bytes, options: FileOptions) -> Declared:
    """The nodes, edges and notes of a GraphML file; DOCTYPE and entities are refused.

    Elements are known by their names, whatever the namespace of the root. Nodes of nested graphs are read
    as all others; a node that holds a graph with nodes is a group.
    """
    return _parse(data, _Events(options, "graphml"))


def parse_gexf(data: bytes, options: FileOptions) -> Declared:
    """The nodes, edges and notes of a GEXF file, likewise.

    Nodes are named by `id`; `label` is an attribute like any other. Links that exist for a time only are
    links.
    """
    return _parse(data, _Events(options, "gexf"))


def _parse(data: bytes, events: "_Events") -> Declared:
    parser = DefusedXMLParser(target=events, forbid_dtd=True)
    events.line_of = lambda: parser.parser.CurrentLineNumber
    try:
        # As text, which has been checked to be UTF-8: a declaration of another encoding has no effect.
        text = data.decode()
        for start in range(0, len(text), CHUNK):
            parser.feed(text[start : start + CHUNK])
        parser.close()
    except DefusedXmlException:
        raise ValueError(
            "holds a DOCTYPE or entity, which could make a small file unpack to a huge one; remove it."
        ) from None
    except ParseError as error:
        raise ValueError(f"is not well-formed XML ({detail(error)}); export it again.") from None
    return events.declared()


class _Keys(NamedTuple):
    """The keys of attributes, of nodes or of links."""

    wanted: set[str]
    """The names of those that are in use; only these can be wrong."""
    names: dict[str, str]
    defaults: dict[str, str]
    """By name."""

    def name(self, key: str | None) -> str | None:
        """What a key is called."""
        return self.names.get(key, key)

    def named(self, who: str, data: "_Data") -> dict[str, str]:
        """The attributes of a node or link by name; those it lacks have the default of their key."""
        found: dict[str, str] = {}
        for key, text, line in data:
            name = self.name(key)
            if name in self.wanted and name in found:
                raise FileError(f"{who} has attribute {short(name)} twice; keep one.", line)
            found[name] = text
        return self.defaults | found


_Data = list[tuple[str | None, str, int]]
"""Keys, texts and lines of the attributes of a node, link or graph."""


class _Events:
    """Nodes and edges, as the parser comes across them (a target of `xml.etree.ElementTree.XMLParser`).

    Data are kept by key until the end, because a key may be declared after its data, for another kind of
    element, or not at all.
    """

    def __init__(self, options: FileOptions, form: str):
        self.form = form
        self.of_nodes = _Keys(wanted_attributes(options), {}, {})
        self.of_links = _Keys(keys_of_links(options), {}, {})
        self.line_of = lambda: None
        self.has_graph = False
        self.notes = {Note.WEIGHTS: 0, Note.PORTS: 0}
        self.nodes: list[Node] = []
        self.edges: list[Edge] = []
        self.data_of_nodes: list[_Data] = []
        self.data_of_links: list[_Data] = []
        """Of every link, if they are in use."""
        self.data_of_graph: _Data = []
        self._root = self._space = self._class = ""
        self._parents = _PARENTS[form]
        self._ways = list(_WAYS[form].items())
        self._local: dict[str, str] = {}
        self._weights: set[str] = set()
        self._stack: list[str] = []
        self._is_directed: list[bool] = []
        self._open: list[int] = []
        self._declared_for: list[_Keys] = []
        # The attribute whose text is being read, and where it goes.
        self._key: str | None = None
        self._text: list[str] | None = None
        self._into: _Data = []
        self._starts = {
            "graph": self._graph, "attributes": self._attributes, "key": self._declare,
            "attribute": self._declare, "node": self._node, "edge": self._edge, "data": self._data,
            "attvalue": self._value, "default": self._default, "port": self._port,
        }  # fmt: skip

    def declared(self) -> Declared:
        """What the file holds."""
        if not self.has_graph:
            root = f" (its root is <{self._root}>)"
            raise ValueError(f"holds no <graph>{root}; is it {self.form}? Export it again as such.")
        nodes = [
            node._replace(attributes=self.of_nodes.named(f"agent {short(node.key)}", data))
            for node, data in zip(self.nodes, self.data_of_nodes, strict=True)
        ]
        edges = self.edges
        if self.of_links.wanted:
            ends = [f"the link of {short(edge.source)} and {short(edge.target)}" for edge in edges]
            edges = [
                edge._replace(attributes=self.of_links.named(who, data))
                for edge, who, data in zip(edges, ends, self.data_of_links, strict=True)
            ]
        is_text = any(
            self.of_nodes.name(key) == LABELS and text == AS_TEXT for key, text, _ in self.data_of_graph
        )
        return Declared(nodes, edges, self.notes, is_text=is_text)

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
            if tag == "data":
                self._into.append((self._key, text, self.line_of()))
                return
            for keys in self._declared_for:
                keys.defaults[keys.name(self._key)] = text

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

    def _error(self, message: str) -> FileError:
        return FileError(message, self.line_of())

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

    def _named_once(self, keys: _Keys, key: str, name: str) -> None:
        other = keys.names.setdefault(key, name)
        if other != name and keys.wanted & {name, other}:
            raise self._error(f"key {short(key)} is declared as {short(other)} and {short(name)}; keep one.")

    def _default(self, attributes: dict[str, str]) -> None:
        if self._parent in ("key", "attribute") and self._key is not None:
            self._text = []

    def _node(self, attributes: dict[str, str]) -> None:
        key, line = self._required("node", attributes, "id"), self.line_of()
        if self._open:
            holder = self._open[-1]
            self.nodes[holder] = self.nodes[holder]._replace(is_group=True)
        self._open.append(len(self.nodes))
        self.nodes.append(Node(key, key, {}, line))
        has_label = self.form == "gexf" and "label" in attributes
        self.data_of_nodes.append([("label", attributes["label"], line)] if has_label else [])

    def _edge(self, attributes: dict[str, str]) -> None:
        source, target = (self._required("edge", attributes, end) for end in ("source", "target"))
        is_directed = self._way(1, attributes, default=bool(self._is_directed and self._is_directed[-1]))
        self.notes[Note.WEIGHTS] += self.form == "gexf" and _WEIGHT in attributes
        self.edges.append(Edge(source, target, is_directed, self.line_of()))
        if self.of_links.wanted:
            self.data_of_links.append([])

    def _data(self, attributes: dict[str, str]) -> None:
        if self._parent == "edge":
            self.notes[Note.WEIGHTS] += attributes.get("key") in self._weights
            if self.of_links.wanted:
                self._key, self._text, self._into = attributes.get("key"), [], self.data_of_links[-1]
        elif self._parent in ("node", "graph"):
            self._key, self._text = self._required("data", attributes, "key"), []
            is_node = self._parent == "node"
            self._into = self.data_of_nodes[self._open[-1]] if is_node else self.data_of_graph

    def _value(self, attributes: dict[str, str]) -> None:
        key = attributes.get("for", attributes.get("id"))  # id: as version 1.0 has it
        datum = key, attributes.get("value", ""), self.line_of()
        if self._stack[-2:] == ["node", "attvalues"]:
            self.data_of_nodes[self._open[-1]].append(datum)
        elif self._stack[-2:] == ["edge", "attvalues"] and self.of_links.wanted:
            self.data_of_links[-1].append(datum)

    def _port(self, attributes: dict[str, str]) -> None:
        self.notes[Note.PORTS] += self._parent == "node"

    def _required(self, tag: str, attributes: dict[str, str], name: str) -> str:
        if name not in attributes:
            raise self._error(f"<{tag}> without {name}; add it.")
        return attributes[name]
