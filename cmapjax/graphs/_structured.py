"""What GraphML and GML have in common: agents declared with attributes, and links between declared agents."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from cmapjax.arguments._checks import listed, short
from cmapjax.graphs._directions import Ways, numbers_of_links, wanted_of_links, ways
from cmapjax.graphs._file_options import ATTRIBUTES_OF_AGENTS, FileOptions
from cmapjax.graphs._files import complaint, naming
from cmapjax.graphs._labels import agent_number, as_labels, check_label, check_numbers, term
from cmapjax.graphs._network import BLANKS, GROUP_AGENTS, GROUPS, Network
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


def declared_network(path: Path, declared: Declared, options: FileOptions) -> Network:
    """The network of these declarations, agents in the order of their declaration.

    Labels are the nodes' own, or those of `options.label_attribute`; blanks around them are cut off. Groups
    without links are left out.

    Raises:
        ValueError: keys or labels that stand twice, are missing or none; links of nodes that are not
            declared; numbers that are none.
    """
    nodes, edges = declared.nodes, declared.edges
    lines: dict[str, int | None] = {}
    for node in nodes:
        if node.key in lines:
            raise complaint(
                path,
                f"node {short(node.key)} is declared twice; give every agent an id of its own.",
                node.line,
            )
        lines[node.key] = node.line
    linked = {end for edge in edges for end in (edge.source, edge.target)}
    agents = [node for node in nodes if not node.is_group or node.key in linked]
    attributes = sorted(set().union(*(node.attributes for node in agents)))
    labels, num_stripped = _labels(path, agents, declared, options, attributes)
    found = _ways(path, edges, agents, labels, options)
    notes = dict(declared.notes) | {
        BLANKS: num_stripped,
        GROUPS: len(nodes) - len(agents),
        GROUP_AGENTS: sum(node.is_group for node in agents),
    }
    numbers = {
        field: _numbers(path, agents, labels, options, field, attributes)
        for field in ("endowment", "value", *OF_AGENTS)
    }
    return Network(
        found.links,
        labels if declared.is_text and options.label_attribute in (None, "id") else as_labels(labels),
        numbers["endowment"],
        numbers["value"],
        notes,
        attributes,
        found.of_links,
        found.is_one_way,
        {field: np.array(numbers[field]) for field in OF_AGENTS if numbers[field] is not None},
    )


def _labels(
    path: Path, nodes: Sequence[Node], declared: Declared, options: FileOptions, attributes: Sequence[str]
) -> tuple[list[str], int]:
    """The label of every agent, blanks around it cut off, and how many had some."""
    name, first, num_stripped = options.label_attribute, {}, 0
    # A remedy for bad labels, unless these are the ids.
    is_id = name == "id" or (name is None and not declared.has_labels)
    remedy = "" if is_id else f" Or pass {options.say('label_attribute', 'id')} to name agents by their ids."
    for node in nodes:
        text = node.label if name is None else node.attributes.get(name)
        if name == "id":
            text = node.key if declared.has_labels else node.label
        if text is None:
            found = listed(attributes) or "none"
            raise complaint(
                path,
                f"node {short(node.key)} has no attribute {short(name)} (found {found}); give it one, or "
                f"name another.{remedy}",
                node.line,
            )
        label = text.strip()
        num_stripped += label != text
        try:
            check_label(label)
            if label in first:
                stands = f"stands also {_place(first[label], 'on line', 'at node')}"
                raise ValueError(f"label {short(label)} {stands}; give every agent its own.")
        except ValueError as error:
            raise complaint(path, f"{error}{remedy}", node.line) from None
        first[label] = node
    try:
        check_numbers(list(first), lambda label: _place(first[label], "line", "node"))
    except ValueError as error:
        raise complaint(path, f"{error}{remedy}") from None
    return list(first), num_stripped


def _place(node: Node, line: str, otherwise: str) -> str:
    return f"{line} {node.line}" if node.line else f"{otherwise} {short(node.key)}"


def _ways(
    path: Path, edges: Sequence[Edge], agents: Sequence[Node], labels: Sequence[str], options: FileOptions
) -> Ways:
    """The links between declared agents, with their numbers."""
    place = {node.key: number for number, node in enumerate(agents)}
    for edge in edges:
        unknown = [end for end in (edge.source, edge.target) if end not in place]
        if unknown:
            raise complaint(
                path, f"a link names node {short(unknown[0])}, which is not declared; declare it.", edge.line
            )
    ends = [(place[edge.source], place[edge.target]) for edge in edges]
    names = [(label, node.key, node.label) for label, node in zip(labels, agents, strict=True)]
    is_wanted = bool(wanted_of_links(options))
    pairs = zip(edges, ends, strict=True) if is_wanted else ()
    links = [(edge.attributes, names[a], names[b]) for edge, (a, b) in pairs]
    is_directed = np.array([edge.is_directed for edge in edges], bool)
    with naming(path):
        numbers = numbers_of_links(links, options, lambda k, text: complaint(path, text, edges[k].line))
        ends = np.array(ends, np.int64).reshape(-1, 2)
        return ways(ends, is_directed, numbers, options, "directed link", labels.__getitem__)


def _numbers(
    path: Path,
    nodes: Sequence[Node],
    labels: Sequence[str],
    options: FileOptions,
    field: str,
    known: Sequence[str],
) -> list[float] | None:
    """The number of every agent, from the attribute that the options name for this field.

    Where an agent has none, it is NaN for priority, demand and own use, and an error otherwise.
    """
    name = getattr(options, f"{field}_attribute")
    if name is None:
        return None
    if not any(name in node.attributes for node in nodes):
        raise complaint(
            path,
            f"no agent has an attribute {short(name)} (found {listed(known) or 'none'}); name one of these.",
        )
    allows_zero = options.directed or any(getattr(options, f"{each}_attribute") for each in IF_ABSENT)
    numbers = []
    for node, label in zip(nodes, labels, strict=True):
        if name not in node.attributes and field not in OF_AGENTS:
            raise complaint(
                path, f"agent {short(label)} has no attribute {short(name)}; give it one.", node.line
            )
        given = node.attributes.get(name, "")
        try:
            if field in OF_AGENTS:
                numbers.append(term(f"agent {short(label)}", given))
            else:
                numbers.append(agent_number(field, label, given, options, allows_zero))
        except ValueError as error:
            raise complaint(path, f"{name} {error}", node.line) from None
    return numbers
