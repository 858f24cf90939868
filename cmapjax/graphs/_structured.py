"""What GraphML and GML have in common: agents declared with attributes, and links between declared agents."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
from jaxtyping import Int

from cmapjax.arguments._checks import listed, short
from cmapjax.graphs._file_options import FileOptions
from cmapjax.graphs._files import complaint, naming
from cmapjax.graphs._labels import agent_number, as_labels, check_label, check_numbers
from cmapjax.graphs._network import BLANKS, GROUP_AGENTS, GROUPS, Network, undirected


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
    names = (options.label_attribute, options.endowment_attribute, options.value_attribute)
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
    arcs = _arcs(path, edges, {node.key: number for number, node in enumerate(agents)})
    remedy = options.say("symmetrize")
    with naming(path):
        links = undirected(arcs, options.symmetrize, "directed link", lambda i: labels[i], remedy)
    notes = dict(declared.notes) | {
        BLANKS: num_stripped,
        GROUPS: len(nodes) - len(agents),
        GROUP_AGENTS: sum(node.is_group for node in agents),
    }
    return Network(
        links,
        labels if declared.is_text and options.label_attribute in (None, "id") else as_labels(labels),
        _numbers(path, agents, labels, options, "endowment", attributes),
        _numbers(path, agents, labels, options, "value", attributes),
        notes,
        attributes,
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


def _arcs(path: Path, edges: Sequence[Edge], place: Mapping[str, int]) -> Int[np.ndarray, "arcs 2"]:
    """Every directed edge once, every undirected one both ways (a self-loop once)."""
    arcs = []
    for edge in edges:
        unknown = [end for end in (edge.source, edge.target) if end not in place]
        if unknown:
            raise complaint(
                path, f"a link names node {short(unknown[0])}, which is not declared; declare it.", edge.line
            )
        source, target = place[edge.source], place[edge.target]
        arcs.append((source, target))
        if not edge.is_directed and source != target:
            arcs.append((target, source))
    return np.array(arcs, np.int64).reshape(-1, 2)


def _numbers(
    path: Path,
    nodes: Sequence[Node],
    labels: Sequence[str],
    options: FileOptions,
    field: str,
    known: Sequence[str],
) -> list[float] | None:
    """The number of every agent, from the attribute that the options name for this field."""
    name = getattr(options, f"{field}_attribute")
    if name is None:
        return None
    if not any(name in node.attributes for node in nodes):
        raise complaint(
            path,
            f"no agent has an attribute {short(name)} (found {listed(known) or 'none'}); name one of these.",
        )
    numbers = []
    for node, label in zip(nodes, labels, strict=True):
        if name not in node.attributes:
            raise complaint(
                path, f"agent {short(label)} has no attribute {short(name)}; give it one.", node.line
            )
        try:
            numbers.append(agent_number(field, label, node.attributes[name], options))
        except ValueError as error:
            raise complaint(path, f"{name} {error}", node.line) from None
    return numbers
