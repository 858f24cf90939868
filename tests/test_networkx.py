"""Markets from graphs and arrays in memory, and back to NetworkX."""

import networkx as nx
import numpy as np
import pandas as pd
import pytest
import scipy.sparse

from cmapjax.graphs._arrays import from_arrays, from_sparse
from cmapjax.graphs._networkx import from_networkx, to_networkx
from cmapjax.market._market import Market
from cmapjax.market._packing import pack


def arcs(market):
    giver, receiver = market.arcs()
    return {(market.labels[a], market.labels[b]) for a, b in zip(giver, receiver, strict=True)}


def both_ways(links):
    return {pair for a, b in links for pair in ((a, b), (b, a))}


def check_words(call, words):
    with pytest.raises(ValueError) as caught:  # noqa: PT011  the words are looked at
        call()
    assert [word for word in words if word not in str(caught.value)] == [], str(caught.value)


def some_flow(market):
    """A flow in which every arc has a value of its own."""
    return market.flow_from_arcs(np.arange(2.0 * market.num_links) + 0.5)


# -- from NetworkX -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "graph",
    [
        nx.karate_club_graph(),
        nx.les_miserables_graph(),
        nx.florentine_families_graph(),
        nx.grid_2d_graph(3, 4),
        nx.MultiGraph(nx.petersen_graph()),
        nx.petersen_graph().to_directed(),
    ],
    ids=["karate", "miserables", "florentine", "grid", "multi", "directed"],
)
def test_nodes_are_the_agents_in_their_order_and_weights_are_not_used(graph):
    market = from_networkx(graph)
    assert list(market.labels) == list(graph)
    assert arcs(market) == both_ways(graph.edges())
    assert market.contribution.tolist() == [1.0] * len(graph)
    assert market.origin.merged_links == 0


def test_numbers_come_from_a_number_a_vector_a_mapping_or_an_attribute():
    graph = nx.Graph([("a", "b"), ("b", "c")])
    nx.set_node_attributes(graph, {"a": 1, "b": np.float32(2.5), "c": 3.0}, "budget")
    assert from_networkx(graph, endowment=2).endowment.tolist() == [2, 2, 2]
    assert from_networkx(graph, value=np.array([1, 2, 3])).value.tolist() == [1, 2, 3]
    assert from_networkx(graph, value={"c": 3, "b": 2, "a": 1}).value.tolist() == [1, 2, 3]
    assert from_networkx(graph, endowment_attribute="budget").endowment.tolist() == [1, 2.5, 3]
    assert from_networkx(graph, value_attribute="budget").value.tolist() == [1, 2.5, 3]


def test_parallel_edges_are_merged_and_counted():
    assert from_networkx(nx.MultiGraph([(0, 1), (1, 0), (1, 2)])).origin.merged_links == 1


def test_one_way_edges_become_links_on_request():
    graph = nx.MultiDiGraph([("a", "b"), ("b", "a"), ("b", "c"), ("b", "c")])
    market = from_networkx(graph, symmetrize=True)
    assert arcs(market) == both_ways([("a", "b"), ("b", "c")])
    assert market.origin.merged_links == 1


def test_numpy_integers_as_nodes_become_plain_ones():
    market = from_networkx(nx.Graph([(np.int64(5), np.int64(6))]))
    assert [type(label) for label in market.labels] == [int, int]


PATH = nx.Graph([("a", "b"), ("b", "c")])
nx.set_node_attributes(PATH, {"a": 1.0, "b": "rich"}, "budget")
nx.set_node_attributes(PATH, {"a": 1.0, "b": True, "c": 1.0}, "flag")
nx.set_node_attributes(PATH, {"a": 1.0, "b": float("nan"), "c": 1.0}, "hole")
nx.set_node_attributes(PATH, {"a": 1.0, "b": -2.0, "c": 1.0}, "debt")
BAD_GRAPHS = {
    "not a graph": ({"graph": [(0, 1)]}, ["list", "NetworkX"]),
    "empty": ({"graph": nx.Graph()}, ["empty"]),
    "one way": ({"graph": nx.DiGraph([("a", "b")])}, ["'a' → 'b'", "symmetrize=True"]),
    "self-loop": ({"graph": nx.Graph([("a", "b"), ("b", "b")])}, ["'b'", "drop_self_loops=True"]),
    "isolated": ({"graph": nx.empty_graph(2)}, ["0, 1", "drop_isolated=True"]),
    "not equal to itself": ({"graph": nx.Graph([(0, float("nan"))])}, ["nan", "rename"]),
    "attribute missing": ({"endowment_attribute": "budget"}, ["'budget'", "'c'", "set it"]),
    "attribute a flag": ({"value_attribute": "flag"}, ["'flag' of agent 'b' is True"]),
    "both": ({"endowment_attribute": "debt", "endowment": 2}, ["both", "leave one out"]),
    "vector short": ({"value": [1.0, 2.0]}, ["value", "(2,)", "(3,)"]),
}


@pytest.mark.parametrize("case", BAD_GRAPHS)
def test_a_bad_graph_is_refused_naming_agent_and_remedy(case):
    options, words = BAD_GRAPHS[case]
    check_words(lambda: from_networkx(**{"graph": PATH, **options}), words)


# -- from arrays -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "kind", [np.array, list, pd.Series, lambda x: pd.Series(x, dtype=object), pd.Categorical]
)
def test_columns_of_labels_give_the_market_on_these_links(kind):
    market = from_arrays(kind([7, 5, 5]), kind([5, 9, 7]), value={5: 1, 7: 2, 9: 3})
    assert list(market.labels) == [5, 7, 9]
    assert [type(label) for label in market.labels] == [int] * 3
    assert market.value.tolist() == [1, 2, 3]
    assert market.origin.merged_links == 1
    market = from_arrays(kind(["b", "01", "a"]), kind(["a", "b", "1"]), endowment=[1, 2, 3, 4])
    assert list(market.labels) == ["b", "a", "01", "1"]
    assert arcs(market) == both_ways([("b", "a"), ("01", "b"), ("a", "1")])


TWO = np.array([0, 1])
BAD_COLUMNS = {
    "fractions": ((np.array([0.0, 1.0]), TWO), ["source", "float64", "astype(int)"]),
    "missing": ((TWO, pd.Series([1, None])), ["target", "float64", "missing"]),
    "missing text": ((np.array(["a", "b"]), pd.Series(["b", None], dtype=object)), ["target[1]", "None"]),
    "negative": ((np.array([0, -1]), TWO), ["source[1]", "-1", "Renumber"]),
    "too large": (([2**70, 1], [1, 2]), ["source[0]", "2^63 - 1"]),
    "booleans": ((np.array([True, False]), TWO), ["source", "bool"]),
    "mixed": ((pd.Series([0, "a"], dtype=object), TWO), ["source[0]", "text"]),
    "two kinds": ((TWO, ["a", "b"]), ["different kinds"]),
    "lengths": ((TWO, [1, 2, 3]), ["2 labels", "3"]),
    "empty": ((np.array([], int), np.array([], int)), ["empty"]),
    "self-loop": ((["a", "b"], ["b", "b"]), ["'b'", "drop_self_loops=True"]),
}


@pytest.mark.parametrize("case", BAD_COLUMNS)
def test_bad_columns_are_refused_naming_row_and_remedy(case):
    columns, words = BAD_COLUMNS[case]
    check_words(lambda: from_arrays(*columns), words)


# -- from matrices -----------------------------------------------------------------------------

ADJACENCY = np.array([[0, 1, 0], [2, 0, -0.5], [0, 3, 0]])


@pytest.mark.parametrize(
    "form",
    [
        np.array,
        scipy.sparse.csr_array,
        scipy.sparse.csc_matrix,
        scipy.sparse.lil_array,
        lambda a: a != 0,
    ],
)
def test_every_kind_of_matrix_gives_its_pattern(form):
    market = from_sparse(form(ADJACENCY), labels=["a", "b", "c"], value={"a": 1, "b": 2, "c": 3})
    assert arcs(market) == both_ways([("a", "b"), ("b", "c")])
    assert market.value.tolist() == [1, 2, 3]
    assert market.origin.merged_links == 0
    assert list(from_sparse(form(ADJACENCY)).labels) == [0, 1, 2]


def test_the_market_of_its_own_adjacency_matrix_is_the_market():
    market = from_networkx(nx.karate_club_graph())
    assert from_sparse(market.adjacency()).fingerprint() == market.fingerprint()
    assert from_sparse(np.triu(ADJACENCY), symmetrize=True).num_links == 2


HOLE = np.array([[0, np.nan], [np.nan, 0]])
BAD_MATRICES = {
    "not square": (np.ones((2, 3)), {}, ["(2, 3)", "square"]),
    "one way": (np.triu(ADJACENCY), {"labels": "abc"}, ["'a' → 'b'", "symmetrize=True"]),
    "NaN": (HOLE, {}, ["0 and 1 is nan", "2 such", "say 0"]),
    "diagonal": (np.ones((2, 2)), {}, ["0, 1", "drop_self_loops=True"]),
    "lonely": (
        np.diag([1, 1], 1) + np.diag([1, 0], -1),
        {"symmetrize": True, "labels": "ab"},
        ["2 names", "3 rows"],
    ),
    "empty": (np.zeros((0, 0)), {}, ["empty"]),
}


@pytest.mark.parametrize("case", BAD_MATRICES)
def test_a_bad_matrix_is_refused_naming_entry_and_remedy(case):
    matrix, options, words = BAD_MATRICES[case]
    check_words(lambda: from_sparse(matrix, **options), words)


# -- to NetworkX -------------------------------------------------------------------------------


def test_a_market_survives_the_way_to_networkx_and_back():
    graph = nx.les_miserables_graph()
    market = from_networkx(graph, endowment=np.linspace(1, 2, 77), value=np.linspace(3, 4, 77))
    back = from_networkx(to_networkx(market), endowment_attribute="endowment", value_attribute="value")
    assert back.labels == market.labels
    assert back.fingerprint() == market.fingerprint()


def test_edges_carry_the_flow_of_both_directions():
    market = Market.from_links(np.array([[2, 0], [0, 1], [1, 2]]), labels=["c", "a", "b"])
    flow = some_flow(market)
    graph = to_networkx(market, flow, {"rank": [3, 1, 2], "name": ["x", "y", "z"]})
    given = {}
    for _, _, edge in graph.edges(data=True):
        given[edge["first"], edge["second"]] = edge["flow_from_first"]
        given[edge["second"], edge["first"]] = edge["flow_from_second"]
    giver, receiver = market.arcs()
    labels = market.labels
    assert given == {
        (labels[a], labels[b]): y for a, b, y in zip(giver, receiver, market.arc_values(flow), strict=True)
    }
    assert graph.nodes["a"] == {"endowment": 1, "value": 1, "contribution": 1, "rank": 1, "name": "y"}


def test_packed_markets_become_separate_parts_with_their_number():
    small, large = (Market.from_links(np.array(links)) for links in ([[0, 1]], [[0, 1], [1, 2]]))
    graph = to_networkx(pack([small, large]))
    assert nx.number_connected_components(graph) == 2
    assert list(nx.get_node_attributes(graph, "market").values()) == [0, 0, 1, 1, 1]


PAIR = Market.from_links(np.array([[0, 1]]), labels=["a", "b"])
BAD_EXPORTS = {
    "flow of another market": (np.ones(7), {}, ["flow", "(7,)"]),
    "flow NaN": (np.full(2, np.nan), {}, ["flow from 'a' to 'b' is nan", "finite"]),
    "name taken": (None, {"value": [1, 2]}, ["'value'", "choose another"]),
    "length": (None, {"rank": [1, 2, 3]}, ["'rank'", "(3,)", "(2,)"]),
    "objects": (None, {"rank": [None, 1]}, ["'rank'", "object"]),
}


@pytest.mark.parametrize("case", BAD_EXPORTS)
def test_what_does_not_fit_the_market_is_refused(case):
    flow, attributes, words = BAD_EXPORTS[case]
    check_words(lambda: to_networkx(PAIR, flow, attributes), words)
