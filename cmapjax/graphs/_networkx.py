"""Markets from NetworkX graphs, and markets as NetworkX graphs."""

from collections.abc import Hashable, Mapping
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, Shaped

from cmapjax.arguments._checks import listed, short
from cmapjax.arguments._labelled import by_name, real_of_agent, unlabelled
from cmapjax.graphs._directions import Ways, numbers_of_links, wanted_of_links, ways
from cmapjax.graphs._file_options import FileOptions
from cmapjax.graphs._labels import unless_numbers
from cmapjax.graphs._network import with_defaults
from cmapjax.market._market import Market
from cmapjax.market._numbers import OF_AGENTS, OF_ARCS

if TYPE_CHECKING:
    import networkx


def from_networkx(
    graph,
    *,
    endowment=1.0,
    value=1.0,
    endowment_attribute: Hashable | None = None,
    value_attribute: Hashable | None = None,
    priority_attribute: Hashable | None = None,
    demand_attribute: Hashable | None = None,
    own_use_attribute: Hashable | None = None,
    capacity_attribute: str | None = None,
    efficiency_attribute: str | None = None,
    drop_self_loops: bool = False,
    drop_isolated: bool = False,
    symmetrize: bool = False,
    directed: bool = False,
) -> Market:
    """The market on a NetworkX graph; its nodes, in their order, are the agents and their labels.

    Attributes (weights too) are used only where they are named. Parallel edges are merged and counted. A
    directed graph is accepted if every edge has its reverse, or if it is to stay `directed`.

    Args:
        graph: Graph, MultiGraph, DiGraph or MultiDiGraph.
        endowment: ε_i (units of i's resource per round), one number, one per node in order, or with names
            (as `Market.from_links` takes them).
        value: v_i likewise (per unit).
        endowment_attribute: the node attribute that holds ε_i, instead of `endowment`.
        value_attribute: the node attribute that holds v_i, instead of `value`.
        priority_attribute, demand_attribute, own_use_attribute: the node attribute that holds b_i, D_i or
            a_i (value); a node without it has what holds where the field is absent.
        capacity_attribute, efficiency_attribute: the edge attribute that holds K (value) or e, of a directed
            graph one way, otherwise both; likewise. What `to_networkx` puts on edges is known, too.
        drop_self_loops, drop_isolated: leave these out, instead of refusing them.
        symmetrize: make every edge of a directed graph a link both ways.
        directed: every edge of a directed graph is a link one way.

    Returns:
        One market, an agent per node.

    Raises:
        ValueError: not a graph; one-way edges; nodes without a named attribute, or nodes and edges with one
            that is no number; what `Market.from_links` refuses.
    """
    import networkx as nx

    if not isinstance(graph, nx.Graph):
        raise ValueError(f"graph is a {type(graph).__name__}; give a NetworkX graph.")
    # NumPy's integers as labels would print and save differently from the equal Python ones.
    labels = [node.item() if isinstance(node, np.generic) else node for node in graph]
    bad = [label for label in labels if label != label]
    if bad:
        raise ValueError(f"graph: node {short(bad[0])} is not equal to itself; rename it.")
    named = {"capacity_attribute": capacity_attribute, "efficiency_attribute": efficiency_attribute}
    found = _ways(graph, labels, FileOptions(symmetrize=symmetrize, directed=directed, **named))
    agents = {}
    for field, given, attribute in (
        ("endowment", endowment, endowment_attribute),
        ("value", value, value_attribute),
    ):
        if attribute is None:
            agents[field] = given
        elif isinstance(given, (int, float)) and given == 1:
            agents[field] = _attribute(graph, attribute)
        else:
            raise ValueError(f"both {field} and {field}_attribute are given; leave one out.")
    terms = {"priority": priority_attribute, "demand": demand_attribute, "own_use": own_use_attribute}
    terms = {field: _attribute(graph, name, np.nan) for field, name in terms.items() if name is not None}
    if terms:
        agents = {field: by_name(field, given, labels) for field, given in agents.items()}
    return Market.from_links(
        found.links,
        **with_defaults(agents | terms),
        **found.of_links,
        directed=found.is_one_way,
        labels=unless_numbers(labels),
        num_agents=len(labels),
        drop_self_loops=drop_self_loops,
        drop_isolated=drop_isolated,
    )


def _ways(graph: "networkx.Graph", labels: list, options: FileOptions) -> Ways:
    """The edges between nodes, called by these labels in order."""
    place = {node: i for i, node in enumerate(graph)}
    ends = np.array([(place[a], place[b]) for a, b in graph.edges()], np.int64).reshape(-1, 2)
    names = [(label,) for label in labels]
    pairs = zip(graph.edges(data=True), ends.tolist(), strict=True) if wanted_of_links(options) else ()
    data = [(attributes, names[a], names[b]) for (_, _, attributes), (a, b) in pairs]
    try:
        numbers = numbers_of_links(data, [None] * len(data), options)
    except ValueError as error:
        raise ValueError(f"graph: {error}") from None
    is_directed = np.full(len(ends), graph.is_directed())
    return ways(ends, is_directed, numbers, options, "graph: directed edge", labels.__getitem__)


def _attribute(graph: "networkx.Graph", name: Hashable, otherwise: float | None = None) -> np.ndarray:
    """The attribute of every node; `otherwise` where it has none, if that is given."""
    missing = [node for node, data in graph.nodes(data=True) if name not in data]
    if missing and (otherwise is None or len(missing) == len(graph)):
        raise ValueError(
            f"graph: {len(missing)} agent(s) have no attribute {short(name)} ({listed(missing)}); set it."
        )
    given = ((node, data[name]) for node, data in graph.nodes(data=True) if name in data)
    numbers = {node: real_of_agent(f"graph: {short(name)}", node, number) for node, number in given}
    if otherwise is not None and (bad := [node for node, number in numbers.items() if number != number]):
        raise ValueError(f"graph: {short(name)} of agent {short(bad[0])} is nan; give a number, or none.")
    return np.array([numbers.get(node, otherwise) for node in graph], np.float64)


def agent_columns(market: Market, given: Mapping | None) -> dict[str, Shaped[np.ndarray, "agents"]]:
    """endowment, value, contribution and other fields of every agent (market too if there are several), then
    the given ones.

    Raises:
        ValueError: a given vector of another name's or length's; objects in it.
    """
    columns = {
        "endowment": np.asarray(market.endowment),
        "value": np.asarray(market.value),
        "contribution": np.asarray(market.contribution),
    }
    columns |= {name: np.asarray(getattr(market, name)) for name in market.terms if name in OF_AGENTS}
    if market.num_markets > 1:
        columns["market"] = np.asarray(market.market_of)
    for name, vector in (given or {}).items():
        array = np.asarray(by_name(f"attribute {short(name)}", vector, market.labels, are_numbers=False))
        if not isinstance(name, str) or not name or name in columns or name == "agent":
            raise ValueError(f"attribute name {short(name)} is taken or not text; choose another.")
        if array.shape != (market.num_agents,):
            raise ValueError(
                f"attribute {short(name)} has shape {array.shape}; give one entry per agent, "
                f"({market.num_agents},)."
            )
        if array.dtype.kind not in "biufUT":
            raise ValueError(
                f"attribute {short(name)} has dtype {array.dtype}; give numbers, booleans or text."
            )
        columns[name] = array
    return columns


def arc_flow(market: Market, flow) -> Float[np.ndarray, "arcs"]:
    """The flow on every arc, in the order of `market.arcs`, checked to be a flow of this market.

    Raises:
        ValueError: a flow of another market's shape; one that is not finite.
    """
    flow = np.asarray(unlabelled("flow", flow))
    if flow.shape != (market.links.num_slots,) or flow.dtype.kind not in "iuf":
        raise ValueError(
            f"flow has shape {flow.shape} and dtype {flow.dtype}; give a flow of this market (real, "
            f"{market.links.num_slots} slots)."
        )
    values = market.arc_values(flow).astype(np.float64)
    bad = np.flatnonzero(~np.isfinite(values))
    if len(bad):
        giver, receiver = (market.labels[int(ends[bad[0]])] for ends in market.arcs())
        raise ValueError(
            f"flow from {short(giver)} to {short(receiver)} is {values[bad[0]]} ({len(bad)} such); a flow "
            "must be finite. Look at the run that made it."
        )
    return values


def to_networkx(market: Market, flow=None, attributes: Mapping | None = None) -> "networkx.Graph":
    """The market as an undirected graph; several markets are its separate parts.

    Nodes are the labels, with the attributes endowment, value, contribution (`market`, the number of the
    market, if there are several), priority, demand and own_use where the market has them, and the given ones.
    With a flow, every edge has the attributes `first` and `second` (the labels of its ends, because an
    undirected edge has no order of its own), `flow_from_first` and `flow_from_second` (the value that each
    gives to the other); where links have a capacity or an efficiency, these likewise.

    Args:
        market: one or several markets.
        flow: value given along every link, both ways (a flow of this market, such as a run ends with).
        attributes: further vectors over agents (numbers, booleans or text), by name.

    Returns:
        A `networkx.Graph`.

    Raises:
        ValueError: a flow or vector that does not fit the market.
    """
    import networkx as nx

    graph = nx.Graph()
    labels = list(market.labels)
    columns = {name: vector.tolist() for name, vector in agent_columns(market, attributes).items()}
    for i, label in enumerate(labels):
        graph.add_node(label, **{name: vector[i] for name, vector in columns.items()})
    giver, receiver = market.arcs()
    is_first = giver < receiver
    ends = list(zip(giver[is_first].tolist(), receiver[is_first].tolist(), strict=True))
    graph.add_edges_from((labels[a], labels[b]) for a, b in ends)
    values = {name: market.arc_values(getattr(market, name)) for name in market.terms if name in OF_ARCS}
    if flow is not None:
        values["flow"] = arc_flow(market, flow)
    # Arcs are ordered by (giver, receiver); sorting by (receiver, giver) lists every reverse.
    reverse = np.lexsort((giver, receiver))
    for name, there in values.items():
        both = zip(ends, there[is_first].tolist(), there[reverse][is_first].tolist(), strict=True)
        for (a, b), forth, back in both:
            ways = {f"{name}_from_first": forth, f"{name}_from_second": back}
            graph.edges[labels[a], labels[b]].update(first=labels[a], second=labels[b], **ways)
    return graph
