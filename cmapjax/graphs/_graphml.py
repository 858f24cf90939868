"""GraphML files, read by events: no entity is expanded, and nesting needs no stack frames.

networkx.read_graphml is not used because it merges nodes declared twice and adds nodes that only links
name, both silently, and cannot say on which line.
"""

from pathlib import Path

from cmapjax.arguments._checks import short
from cmapjax.graphs._file_options import FileOptions
from cmapjax.graphs._files import complaint
from cmapjax.graphs._network import PORTS, WEIGHTS
from cmapjax.graphs._structured import Declared, Edge, Node, wanted_attributes
from cmapjax.graphs._xml import parse_xml

_NAMESPACE = "{http://graphml.graphdrawing.org/xmlns"
_PARENTS = {"key": ("graphml",), "graph": ("graphml", "node"), "node": ("graph",), "edge": ("graph",)}
_REFUSED = {"hyperedge": "a link has two ends", "locator": "a file stands for itself"}
_WEIGHT = "weight"
# The attribute of a graph by which `write_graphml` notes that whole numbers as labels are text.
LABELS, AS_TEXT = "cmapjax_labels", "text"


def parse_graphml(path: Path, data: bytes, options: FileOptions) -> Declared:
    """The nodes, edges and notes of a GraphML file; DOCTYPE and entities are refused.

    Elements are known by their names, whatever the namespace of the root. Nodes of nested graphs are read
    as all others; a node that holds a graph with nodes is a group.
    """
    events = _Events(path, options)
    parse_xml(path, data, events)
    if not events.has_graph:
        raise complaint(
            path, f"holds no <graph> (its root is <{events.root}>); is it GraphML? Export it again as such."
        )
    notes = {WEIGHTS: events.num_weights, PORTS: events.num_ports}
    nodes = [events.named(node) for node in events.nodes]
    return Declared(nodes, events.edges, notes, is_text=events.is_text)


class _Events:
    """Nodes and edges, as the parser comes across them.

    Data are kept by key until the end, because a key may be declared after its data, for another kind of
    element, or not at all. Only attributes in use can be wrong.
    """

    def __init__(self, path: Path, options: FileOptions):
        self.path = path
        self.wanted = wanted_attributes(options)
        self.line_of = lambda: None
        self.root = ""
        self.has_graph = False
        self.is_text = False
        self.num_weights = self.num_ports = 0
        self.names: dict[str, str] = {}
        self.defaults: dict[str, str] = {}
        self.nodes: list[Node] = []
        self.edges: list[Edge] = []
        self._space = ""
        self._weights: set[str] = set()
        self._graph_keys: set[str] = set()
        self._stack: list[str] = []
        self._is_directed: list[bool] = []
        self._open: list[int] = []
        self._key: str | None = None
        self._text: list[str] | None = None

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        space, _, name = tag.rpartition("}")
        if not self._stack:
            self.root, self._space = name, space
        # Elements of other namespaces, such as drawings, are ignored.
        tag = name if space in ("", _NAMESPACE, self._space) else tag
        if tag in _REFUSED:
            raise complaint(self.path, f"<{tag}> is not read: {_REFUSED[tag]}; remove it.", self.line_of())
        parent = self._stack[-1] if self._stack else None
        if tag in _PARENTS and parent not in _PARENTS[tag]:
            places = " or ".join(f"<{place}>" for place in _PARENTS[tag])
            raise complaint(self.path, f"<{tag}> stands outside {places}; move it.", self.line_of())
        if tag == "graph":
            self._start_graph(parent, attributes)
        elif tag == "key":
            self._start_key(attributes)
        elif tag == "node":
            self._start_node(attributes)
        elif tag == "edge":
            self._start_edge(attributes)
        elif tag == "data" and parent == "node":
            self._key, self._text = self._required("data", attributes, "key"), []
        elif tag == "data" and parent == "graph" and attributes.get("key") in self._graph_keys:
            self._text = []
        elif tag == "data" and parent == "edge":
            self.num_weights += attributes.get("key") in self._weights
        elif tag == "default" and parent == "key" and self._key is not None:
            self._text = []
        self.num_ports += tag == "port" and parent == "node"
        self._stack.append(tag)

    def data(self, text: str) -> None:
        if self._text is not None:
            self._text.append(text)

    def end(self, tag: str) -> None:
        tag = self._stack.pop()
        parent = self._stack[-1] if self._stack else None
        if tag == "default" and parent == "key" and self._key is not None:
            self.defaults[self.names[self._key]] = self._end_text()
        elif tag == "data" and parent == "node":
            self._end_data()
        elif tag == "data" and parent == "graph" and self._text is not None:
            self.is_text = self._end_text().strip() == AS_TEXT
        elif tag == "key":
            self._key = None
        elif tag == "node":
            self._open.pop()
        elif tag == "graph":
            self._is_directed.pop()

    def close(self) -> None:
        """Called by the parser at the end of the file."""

    def named(self, node: Node) -> Node:
        """The node with its attributes by name; those it lacks have the default of their key."""
        found: dict[str, str] = {}
        for key, text in node.attributes.items():
            name = self.names.get(key)
            if name is None:
                continue
            if name in found and name in self.wanted:
                self._refuse_twice(node, name, node.line)
            found[name] = text
        own = {"id": node.key} if "id" in self.wanted else {}
        return node._replace(attributes=self.defaults | found | own)

    def _start_graph(self, parent: str | None, attributes: dict[str, str]) -> None:
        if parent == "graphml" and self.has_graph:
            raise complaint(self.path, "holds a second <graph>; keep one in a file.", self.line_of())
        self.has_graph = True
        default = attributes.get("edgedefault", "undirected")
        if default not in ("directed", "undirected"):
            raise complaint(
                self.path, f"edgedefault is {short(default)}; say directed or undirected.", self.line_of()
            )
        self._is_directed.append(default == "directed")

    def _start_key(self, attributes: dict[str, str]) -> None:
        kind, key = attributes.get("for", "all"), attributes.get("id")
        name = attributes.get("attr.name", key)
        if key is None:
            return  # without an id no data can refer to it
        if kind in ("edge", "all") and name.strip().casefold() == _WEIGHT:
            self._weights.add(key)
        if kind == "graph" and name == LABELS:
            self._graph_keys.add(key)
        if kind not in ("node", "all"):
            return
        other = self.names.setdefault(key, name)
        if other != name and self.wanted & {name, other}:
            raise complaint(
                self.path,
                f"key {short(key)} is declared as {short(other)} and {short(name)}; keep one.",
                self.line_of(),
            )
        self._key = key

    def _start_node(self, attributes: dict[str, str]) -> None:
        key = self._required("node", attributes, "id")
        if self._open:
            holder = self._open[-1]
            self.nodes[holder] = self.nodes[holder]._replace(is_group=True)
        self._open.append(len(self.nodes))
        self.nodes.append(Node(key, key, {}, self.line_of()))

    def _start_edge(self, attributes: dict[str, str]) -> None:
        source, target = (self._required("edge", attributes, end) for end in ("source", "target"))
        directed = attributes.get("directed", "true" if self._is_directed[-1] else "false")
        if directed not in ("true", "false"):
            raise complaint(self.path, f"directed is {short(directed)}; say true or false.", self.line_of())
        self.edges.append(Edge(source, target, directed == "true", self.line_of()))

    def _end_text(self) -> str:
        text, self._text = "".join(self._text or ()), None
        return text

    def _end_data(self) -> None:
        key, self._key = self._key, None
        node, text = self.nodes[self._open[-1]], self._end_text()
        name = self.names.get(key)
        if key in node.attributes and name in self.wanted:
            self._refuse_twice(node, name, self.line_of())
        # Attributes that are not in use are only listed in an error about a name that is not found.
        node.attributes[key] = text if name is None or name in self.wanted else ""

    def _refuse_twice(self, node: Node, name: str, line: int | None) -> None:
        raise complaint(
            self.path, f"agent {short(node.key)} has attribute {short(name)} twice; keep one.", line
        )

    def _required(self, tag: str, attributes: dict[str, str], name: str) -> str:
        if name not in attributes:
            raise complaint(self.path, f"<{tag}> without {name}; add it.", self.line_of())
        return attributes[name]
