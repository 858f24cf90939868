"""GraphML files, read by events: no entity is ever expanded, and nesting costs no stack.

networkx.read_graphml is not used because it merges nodes declared twice and adds nodes that only links
name, both silently, and cannot say on which line.
"""

from pathlib import Path
from xml.etree.ElementTree import ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import DefusedXMLParser

from cmapjax._checks import short
from cmapjax._file_options import FileOptions
from cmapjax.graphs._files import CHUNK, complaint, detail
from cmapjax.graphs._structured import Edge, Node

_NAMESPACE = "{http://graphml.graphdrawing.org/xmlns"
_PARENTS = {"key": "graphml", "node": "graph", "edge": "graph"}
_REFUSED = {"hyperedge": "a link has two ends", "locator": "a file stands for itself"}


def parse_graphml(path: Path, data: bytes, options: FileOptions) -> tuple[list[Node], list[Edge]]:
    """The nodes and edges of a GraphML file; DOCTYPE and entities are refused."""
    events = _Events(path)
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
    if not events.has_graph:
        raise complaint(path, "holds no <graph>; export it again as GraphML.")
    return events.nodes, events.edges


class _Events:
    """Nodes and edges, as the parser comes across them."""

    def __init__(self, path: Path):
        self.path = path
        self.line_of = lambda: None
        self.has_graph = False
        self.is_directed = False
        self.names: dict[str, str] = {}
        self.defaults: dict[str, str] = {}
        self.nodes: list[Node] = []
        self.edges: list[Edge] = []
        self._stack: list[str] = []
        self._key: str | None = None
        self._node: Node | None = None
        self._text: list[str] = []

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        space, _, name = tag.rpartition("}")
        tag = name if space in ("", _NAMESPACE) else tag  # others' elements, such as drawings, mean nothing
        if tag in _REFUSED:
            raise complaint(self.path, f"<{tag}> is not read: {_REFUSED[tag]}; remove it.", self.line_of())
        parent = self._stack[-1] if self._stack else None
        if tag in _PARENTS and parent != _PARENTS[tag]:
            raise complaint(self.path, f"<{tag}> stands outside <{_PARENTS[tag]}>; move it.", self.line_of())
        if tag == "graph":
            self._start_graph(attributes)
        elif tag == "key" and attributes.get("for", "all") in ("node", "all"):
            self._key = self._required("key", attributes, "id")
            self.names[self._key] = attributes.get("attr.name", self._key)
        elif tag == "node":
            key = self._required("node", attributes, "id")
            self._node = Node(key, key, {}, self.line_of())
        elif tag == "edge":
            self._start_edge(attributes)
        elif tag == "data" and parent == "node":
            self._key = self._required("data", attributes, "key")
        self._stack.append(tag)
        self._text = []

    def data(self, text: str) -> None:
        if self._key is not None:
            self._text.append(text)

    def end(self, tag: str) -> None:
        tag = self._stack.pop()
        parent = self._stack[-1] if self._stack else None
        if tag == "default" and parent == "key" and self._key is not None:
            self.defaults[self.names[self._key]] = "".join(self._text)
        elif tag == "data" and parent == "node":
            self._end_data()
        elif tag == "key":
            self._key = None
        elif tag == "node":
            node, self._node = self._node, None
            self.nodes.append(node._replace(attributes=self.defaults | node.attributes))

    def close(self) -> None:
        """Called by the parser at the end of the file."""

    def _start_graph(self, attributes: dict[str, str]) -> None:
        if self.has_graph:
            raise complaint(self.path, "holds a second or nested <graph>; keep one.", self.line_of())
        self.has_graph = True
        default = attributes.get("edgedefault", "undirected")
        if default not in ("directed", "undirected"):
            raise complaint(
                self.path, f"edgedefault is {short(default)}; say directed or undirected.", self.line_of()
            )
        self.is_directed = default == "directed"

    def _start_edge(self, attributes: dict[str, str]) -> None:
        source, target = (self._required("edge", attributes, end) for end in ("source", "target"))
        directed = attributes.get("directed", "true" if self.is_directed else "false")
        if directed not in ("true", "false"):
            raise complaint(self.path, f"directed is {short(directed)}; say true or false.", self.line_of())
        self.edges.append(Edge(source, target, directed == "true", self.line_of()))

    def _end_data(self) -> None:
        key, self._key = self._key, None
        if key not in self.names:
            raise complaint(
                self.path,
                f"<data> has key {short(key)}, which no <key> declares; declare it.",
                self.line_of(),
            )
        name, owner = self.names[key], self._node
        if name in owner.attributes:
            raise complaint(
                self.path,
                f"agent {short(owner.key)} has attribute {short(name)} twice; keep one.",
                self.line_of(),
            )
        owner.attributes[name] = "".join(self._text)

    def _required(self, tag: str, attributes: dict[str, str], name: str) -> str:
        if name not in attributes:
            raise complaint(self.path, f"<{tag}> without {name}; add it.", self.line_of())
        return attributes[name]
