"""GEXF files, as Gephi writes them, read by events as GraphML is.

networkx.read_gexf is not used because it merges nodes declared twice and adds nodes that only links name,
both silently, and cannot say on which line.
"""

from pathlib import Path

from cmapjax.arguments._checks import short
from cmapjax.graphs._file_options import FileOptions
from cmapjax.graphs._files import complaint
from cmapjax.graphs._network import WEIGHTS
from cmapjax.graphs._structured import Declared, Edge, Node, wanted_attributes
from cmapjax.graphs._xml import parse_xml

_PARENTS = {"node": "nodes", "edge": "edges"}
_DIRECTED = {"directed": True, "undirected": False, "mutual": False}


def parse_gexf(path: Path, data: bytes, options: FileOptions) -> Declared:
    """The nodes, edges and notes of a GEXF file; DOCTYPE and entities are refused.

    Nodes are named by `id`; `label` is an attribute like any other. Links that exist for a time only are
    links. Nodes within nodes are read like all others; a node that contains nodes is a group.
    """
    events = _Events(path, options)
    parse_xml(path, data, events)
    if not events.has_graph:
        raise complaint(path, "holds no <graph>; export it again as GEXF.")
    return Declared(events.nodes, events.edges, {WEIGHTS: events.num_weights})


class _Events:
    """Nodes and edges, as the parser comes across them."""

    def __init__(self, path: Path, options: FileOptions):
        self.path = path
        self.wanted = wanted_attributes(options)
        self.line_of = lambda: None
        self.has_graph = False
        self.is_directed = False
        self.names: dict[str, str] = {}
        self.defaults: dict[str, str] = {}
        self.nodes: list[Node] = []
        self.edges: list[Edge] = []
        self.num_weights = 0
        self._space = ""
        self._stack: list[str] = []
        self._open: list[Node] = []
        self._class = ""
        self._declared: str | None = None
        self._text: list[str] | None = None

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        space, _, name = tag.rpartition("}")
        if not self._stack:
            self._space = space
        # Elements of other namespaces, such as colours and sizes ("…/viz"), are ignored.
        tag = name if space in ("", self._space) else tag
        parent = self._stack[-1] if self._stack else None
        if tag in _PARENTS and parent != _PARENTS[tag]:
            raise complaint(self.path, f"<{tag}> stands outside <{_PARENTS[tag]}>; move it.", self.line_of())
        if tag == "graph":
            self._start_graph(attributes)
        elif tag == "attributes":
            self._class = attributes.get("class", "node")
        elif tag == "attribute" and self._class == "node":
            self._declared = self._required("attribute", attributes, "id")
            self.names[self._declared] = attributes.get("title", self._declared)
        elif tag == "default" and parent == "attribute" and self._class == "node":
            self._text = []
        elif tag == "node":
            self._start_node(attributes)
        elif tag == "edge":
            self._start_edge(attributes)
        elif tag == "attvalue" and self._open and self._stack[-2:] == ["node", "attvalues"]:
            self._attribute(attributes)
        self._stack.append(tag)

    def data(self, text: str) -> None:
        if self._text is not None:
            self._text.append(text)

    def end(self, tag: str) -> None:
        tag = self._stack.pop()
        if tag == "default" and self._text is not None:
            self.defaults[self.names[self._declared]] = "".join(self._text)
            self._text = None
        elif tag == "node":
            node = self._open.pop()
            self.nodes.append(node._replace(attributes=self.defaults | node.attributes))

    def close(self) -> None:
        """Called by the parser at the end of the file."""

    def _start_graph(self, attributes: dict[str, str]) -> None:
        if self.has_graph:
            raise complaint(self.path, "holds a second <graph>; keep one.", self.line_of())
        self.has_graph = True
        self.is_directed = self._direction("defaultedgetype", attributes.get("defaultedgetype", "undirected"))

    def _start_node(self, attributes: dict[str, str]) -> None:
        key = self._required("node", attributes, "id")
        own = {name: attributes[name] for name in ("id", "label") if name in attributes}
        if self._open:
            self._open[-1] = self._open[-1]._replace(is_group=True)
        self._open.append(Node(key, key, own, self.line_of()))

    def _start_edge(self, attributes: dict[str, str]) -> None:
        source, target = (self._required("edge", attributes, end) for end in ("source", "target"))
        directed = self.is_directed
        if "type" in attributes:
            directed = self._direction("type", attributes["type"])
        self.num_weights += "weight" in attributes
        self.edges.append(Edge(source, target, directed, self.line_of()))

    def _attribute(self, attributes: dict[str, str]) -> None:
        key = attributes.get("for", attributes.get("id"))  # id: as version 1.0 has it
        name, owner = self.names.get(key, key), self._open[-1].attributes
        if name in owner and name in self.wanted:
            raise complaint(
                self.path,
                f"agent {short(self._open[-1].key)} has attribute {short(name)} twice (with time, perhaps); "
                "keep one.",
                self.line_of(),
            )
        owner[name] = attributes.get("value", "")

    def _direction(self, name: str, text: str) -> bool:
        if text.lower() not in _DIRECTED:
            raise complaint(
                self.path,
                f"{name} is {short(text)}; say directed, undirected or mutual.",
                self.line_of(),
            )
        return _DIRECTED[text.lower()]

    def _required(self, tag: str, attributes: dict[str, str], name: str) -> str:
        if name not in attributes:
            raise complaint(self.path, f"<{tag}> without {name}; add it.", self.line_of())
        return attributes[name]
