"""What GraphML and GML have in common: agents declared with attributes, and links between declared agents."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from cmapjax.arguments._checks import listed, short
from cmapjax.graphs._directions import Ways, numbers_of_links, wanted_of_links, ways
from cmapjax.graphs._file_options import ATTRIBUTES_OF_AGENTS, FileOptions
from cmapjax.graphs._files import FileError, on_line
from cmapjax.graphs._labels import agent_number, as_labels, check_label, check_numbers
from cmapjax.graphs._network import Network, Note
from cmapjax.market._numbers import IF_ABSENT, OF_AGENTS


class Node(NamedTuple):
    """An agent as declared in a file."""

    key: str
    label: str
    """Its name, unless the options name an attribute that holds it."""
    attributes: Mapping[str, str]
    line: int | None
    is_group: bool = False
    """Whether it contains other nodes; it is then an agent only if it has links of its own."""


class Edge(NamedTuple):
    """A link as declared in a file, by the keys of its ends."""

    source: str
    target: str
    is_directed: bool
    line: int | None
    attributes: Mapping[str, str] = MappingProxyType({})
    """Those that are in use."""


class Declared(NamedTuple):
    """What a file declares."""

    nodes: Sequence[Node]
    edges: Sequence[Edge]
    notes: Mapping[str, int] = MappingProxyType({})
    is_text: bool = False
    """Whether ids as labels are text even if all of them are whole numbers."""
    has_labels: bool = False
    """Whether nodes have labels beside their ids, so that ids can be named instead."""


def wanted_attributes(options: FileOptions) -> set[str]:
    """The attributes of agents that the options name; others are not checked."""
    names = (getattr(options, option) for option in ("label_attribute", *ATTRIBUTES_OF_AGENTS))
    return {name for name in names if name is not None}


def declared_network(declared: Declared, options: FileOptions) -> Network:
    """The network of these declarations, agents in the order of their declaration.

    Labels are the nodes' own, or those of `options.label_attribute`; blanks around them are cut off. Groups
    without links are left out.
    """
    nodes, edges = declared.nodes, declared.edges
    known: set[str] = set()
    for node in nodes:
        if node.key in known:
            message = f"node {short(node.key)} is declared twice; give every agent an id of its own."
            raise FileError(message, node.line)
        known.add(node.key)
    linked = {end for edge in edges for end in (edge.source, edge.target)}
    agents = [node for node in nodes if not node.is_group or node.key in linked]
    attributes = sorted(set().union(*(node.attributes for node in agents)))
    labels, num_stripped = _labels(agents, declared, options, attributes)
    found = _ways(edges, agents, labels, options)
    notes = dict(declared.notes) | {
        Note.BLANKS: num_stripped,
        Note.GROUPS: len(nodes) - len(agents),
        Note.GROUP_AGENTS: sum(node.is_group for node in agents),
    }
    return Network(
        found.links,
        labels if declared.is_text and options.label_attribute in (None, "id") else as_labels(labels),
        notes,
        _numbers(agents, labels, options, attributes),
        found.of_links,
        found.is_one_way,
        attributes,
    )


def _labels(
    nodes: Sequence[Node], declared: Declared, options: FileOptions, attributes: Sequence[str]
) -> tuple[list[str], int]:
    """The label of every agent, blanks around it cut off, and how many had some."""
    name, first, num_stripped = options.label_attribute, {}, 0
    # A remedy for bad labels, unless these are the ids.
    is_id = name == "id" or (name is None and not declared.has_labels)
    remedy = "" if is_id else f" Or pass {options.say('label_attribute', 'id')} to name agents by their ids."
    line = None
    try:
        for node in nodes:
            line, text = node.line, node.label if name is None else node.attributes.get(name)
            if name == "id":
                text = node.key if declared.has_labels else node.label
            if text is None:
                missing = f"node {short(node.key)} has no attribute {short(name)}"
                found = listed(attributes) or "none"
                raise ValueError(f"{missing} (found {found}); give it one, or name another.")
            label = text.strip()
            num_stripped += label != text
            check_label(label)
            if label in first:
                stands = f"stands also {_place(first[label], 'on line', 'at node')}"
                raise ValueError(f"label {short(label)} {stands}; give every agent its own.")
            first[label] = node
        line = None
        check_numbers(first, lambda label: _place(first[label], "line", "node"))
    except ValueError as error:
        raise FileError(f"{error}{remedy}", line) from None
    return list(first), num_stripped


def _place(node: Node, line: str, otherwise: str) -> str:
    return f"{line} {node.line}" if node.line else f"{otherwise} {short(node.key)}"


def _ways(edges: Sequence[Edge], agents: Sequence[Node], labels: Sequence[str], options: FileOptions) -> Ways:
    """The links between declared agents, with their numbers."""
    place = {node.key: number for number, node in enumerate(agents)}
    for edge in edges:
        for end in (edge.source, edge.target):
            if end not in place:
                message = f"a link names node {short(end)}, which is not declared; declare it."
                raise FileError(message, edge.line)
    ends = [(place[edge.source], place[edge.target]) for edge in edges]
    names = [(label, node.key, node.label) for label, node in zip(labels, agents, strict=True)]
    pairs = zip(edges, ends, strict=True) if wanted_of_links(options) else ()
    links = [(edge.attributes, names[a], names[b]) for edge, (a, b) in pairs]
    numbers = numbers_of_links(links, [edge.line for edge in edges[: len(links)]], options)
    is_directed = np.array([edge.is_directed for edge in edges], bool)
    ends = np.array(ends, np.int64).reshape(-1, 2)
    return ways(ends, is_directed, numbers, options, "directed link", labels.__getitem__)


def _numbers(
    nodes: Sequence[Node], labels: Sequence[str], options: FileOptions, known: Sequence[str]
) -> dict[str, np.ndarray]:
    """The numbers of all agents, by field, from the attributes that the options name.

    Where an agent has none, it is NaN for priority, demand and own use, and an error otherwise.
    """
    allows_zero = options.directed or any(getattr(options, f"{each}_attribute") for each in IF_ABSENT)
    numbers = {}
    for field in ("endowment", "value", *OF_AGENTS):
        name = getattr(options, f"{field}_attribute")
        if name is None:
            continue
        if not any(name in node.attributes for node in nodes):
            found = listed(known) or "none"
            raise ValueError(f"no agent has an attribute {short(name)} (found {found}); name one of these.")
        numbers[field] = np.empty(len(nodes))
        for number, (node, label) in enumerate(zip(nodes, labels, strict=True)):
            with on_line(node.line):
                if name not in node.attributes and field not in OF_AGENTS:
                    raise ValueError(f"agent {short(label)} has no attribute {short(name)}; give it one.")
                what, given = f"{name} of agent {short(label)}", node.attributes.get(name, "")
                numbers[field][number] = agent_number(field, what, given, options, allows_zero)
    return numbers
