"""What GraphML and GML have in common: agents declared with attributes, and links between declared agents."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Int

from cmapjax._checks import listed, short
from cmapjax._file_options import FileOptions
from cmapjax.graphs._files import complaint
from cmapjax.graphs._labels import as_labels, check_label, endowment_number, positive_number, undirected
from cmapjax.graphs._network import Network


class Node(NamedTuple):
    """An agent as declared in a file."""

    key: str
    label: str
    attributes: Mapping[str, str]
    line: int


class Edge(NamedTuple):
    """A link as declared in a file, by the keys of its ends."""

    source: str
    target: str
    is_directed: bool
    line: int


def declared_network(
    path: Path,
    nodes: Sequence[Node],
    edges: Sequence[Edge],
    options: FileOptions,
) -> Network:
    """The network of these declarations, agents in the order of their declaration."""
    place = _places(path, nodes)
    arcs = _arcs(path, edges, place)
    try:
        links = undirected(
            arcs, options.symmetrize, "directed link", lambda i: nodes[i].label, options.say("symmetrize")
        )
    except ValueError as error:
        raise complaint(path, str(error)) from None
    return Network(
        links,
        as_labels([node.label for node in nodes]),
        _attribute(path, nodes, options.endowment_attribute, lambda x: endowment_number(x, options)),
        _attribute(path, nodes, options.value_attribute, positive_number),
    )


def _places(path: Path, nodes: Sequence[Node]) -> dict[str, int]:
    """The position of every node by its key, which no other has, nor its label."""
    place: dict[str, int] = {}
    line_of: dict[str, int] = {}
    for number, (key, label, _, line) in enumerate(nodes):
        if key in place:
            raise complaint(
                path, f"node {short(key)} is declared twice; give every agent an id of its own.", line
            )
        try:
            check_label(label)
        except ValueError as error:
            raise complaint(path, str(error), line) from None
        if label in line_of:
            raise complaint(
                path,
                f"label {short(label)} stands also on line {line_of[label]}; give every agent its own.",
                line,
            )
        place[key], line_of[label] = number, line
    return place


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


def _attribute(path: Path, nodes: Sequence[Node], name: str | None, read: Callable) -> list[float] | None:
    if name is None:
        return None
    known = sorted(set().union(*(node.attributes for node in nodes)))
    if name not in known:
        raise complaint(
            path,
            f"no agent has an attribute {short(name)} (found {listed(known) or 'none'}); name one of these.",
        )
    numbers = []
    for node in nodes:
        if name not in node.attributes:
            raise complaint(
                path, f"agent {short(node.label)} has no attribute {short(name)}; give it one.", node.line
            )
        try:
            numbers.append(read(node.attributes[name]))
        except ValueError as error:
            raise complaint(path, f"{name} of agent {short(node.label)} {error}", node.line) from None
    return numbers
