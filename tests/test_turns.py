"""Turns on the host: waves and plain loops give the same, hubs and all, and nobody meets at a receiver."""

import itertools

import networkx as nx
import numpy as np
import pytest

import cmapjax as cj
from cmapjax.schedules import _turns
from cmapjax.schedules._plans import table_plan
from cmapjax.schedules._turns import colours, first_conflict, precedence_levels


def _hubs(num_agents, num_links, steepness, seed):
    """Links between an agent drawn with weight 1 / rank^steepness and one drawn evenly."""
    rng = np.random.default_rng(seed)
    weight = np.arange(1.0, num_agents + 1) ** -steepness
    ends = rng.choice(num_agents, num_links, p=weight / weight.sum()), rng.integers(0, num_agents, num_links)
    return cj.Market.from_links(np.stack(ends, axis=1), drop_self_loops=True, drop_isolated=True)


def _even(num_agents, degree, seed):
    links = np.random.default_rng(seed).integers(0, num_agents, (num_agents * degree // 2, 2))
    return cj.Market.from_links(links, drop_self_loops=True, drop_isolated=True)


@pytest.fixture(scope="module")
def networks():
    graphs = {
        "torus": nx.grid_2d_graph(7, 8, periodic=True),
        "preferential": nx.barabasi_albert_graph(300, 4, seed=1),
        "star": nx.star_graph(200),
        "clique": nx.complete_graph(70),
        "path": nx.path_graph(50),
        "two hubs": nx.complete_bipartite_graph(2, 150),
    }
    graphs = {
        name: cj.graphs.from_networkx(nx.convert_node_labels_to_integers(g)) for name, g in graphs.items()
    }
    return graphs | {"hubs": _hubs(800, 3000, 0.9, 0), "even": _even(700, 9, 1)}


def _plain_colours(market):
    """One at a time, most rivals first: the least colour that no other giver to one's receivers has."""
    starts, neighbours = market.neighbour_rows()
    rows = [neighbours[a:b].tolist() for a, b in itertools.pairwise(starts)]
    rivals = [sum(len(rows[r]) for r in row) for row in rows]
    colour = {}
    for agent in sorted(range(len(rows)), key=lambda i: (-rivals[i], i)):
        taken = {colour.get(giver) for receiver in rows[agent] for giver in rows[receiver]}
        colour[agent] = next(c for c in range(len(rows)) if c not in taken)
    return np.array([colour[i] for i in range(len(rows))])


# (agents a wave must be worth, colours in a mask of the plain loop)
WAYS = {"waves": (1, 2048), "one by one": (10**9, 2048), "narrow windows": (10**9, 3)}


@pytest.mark.parametrize("way", WAYS)
def test_colours_are_those_of_the_plain_greedy_rule(networks, way, monkeypatch):
    monkeypatch.setattr(_turns, "LEAST_WAVE", WAYS[way][0])
    monkeypatch.setattr(_turns, "WINDOW", WAYS[way][1])
    for name, market in networks.items():
        np.testing.assert_array_equal(colours(*market.neighbour_rows()), _plain_colours(market), err_msg=name)


def _plain_levels(market, order):
    adjacency = market.adjacency().toarray().astype(int)
    sees = (adjacency + adjacency @ adjacency) > 0
    level = np.full(len(order), -1)
    for place, agent in enumerate(order):
        earlier = order[:place][sees[agent, order[:place]]]
        level[agent] = level[earlier].max(initial=-1) + 1
    return level


@pytest.mark.parametrize("least_wave", [1, 10**9])
def test_levels_are_those_of_waiting_for_everybody_seen(networks, least_wave, monkeypatch):
    monkeypatch.setattr(_turns, "LEAST_WAVE", least_wave)
    for name, market in networks.items():
        order = np.random.default_rng(len(name)).permutation(market.num_agents)
        levels = precedence_levels(*market.neighbour_rows(), order)
        np.testing.assert_array_equal(levels, _plain_levels(market, order), err_msg=name)
        np.testing.assert_array_equal(levels, cj.Sequential(order).turns(market), err_msg=name)


def test_the_first_receiver_where_two_meet_is_found(networks):
    rng = np.random.default_rng(0)
    for market in networks.values():
        rows = np.split(market.neighbour_rows()[1], market.neighbour_rows()[0][1:-1])
        for num_turns in (1, 3, 10 * market.num_agents, 10**6):
            turn = rng.integers(0, num_turns, market.num_agents)
            meeting = [r for r, givers in enumerate(rows) if len(set(turn[givers])) < len(givers)]
            found = first_conflict(*market.neighbour_rows(), turn)
            assert found == (meeting[0] if meeting else None)


@pytest.mark.parametrize("steepness", [0.6, 0.9, 1.2])
def test_hubs_cost_as_many_colours_as_they_have_givers_and_tables_stay_small(steepness):
    market = _hubs(30_000, 120_000, steepness, seed=3)
    rows = market.neighbour_rows()
    colour = cj.Coloured().turns(market)
    packed = cj.Coloured().turns(cj.pack([market, cj.Market.from_links(np.array([[0, 1], [1, 2]])), market]))
    np.testing.assert_array_equal(packed, np.concatenate([colour, [0, 0, 1], colour]))
    assert colour.max() + 1 <= 1.05 * market.degree.max()
    assert set(colour) == set(range(colour.max() + 1))
    assert first_conflict(*rows, colour) is None
    # Colours spread by lot are nearly even; three times, because every width has a table of its own.
    size = np.bincount(colour)
    assert len(size) * size.max() <= _turns.MAX_UNEVENNESS * market.num_agents
    cells = sum(table.size for table in table_plan(market, colour).rows)
    assert cells <= 3 * (_turns.MAX_UNEVENNESS * market.num_agents)


def test_even_networks_need_few_more_colours_than_their_largest_degree():
    for seed in range(3):
        market = _even(20_000, 10, seed)  # wide enough for waves
        rows = market.neighbour_rows()
        colour = colours(*rows)
        assert first_conflict(*rows, colour) is None
        # There are 110 rivals on average: the greedy rule needs about 31 colours whatever the size, while
        # the largest degree grows with it (23 to 28 here and at a million agents).
        assert colour.max() + 1 <= 1.4 * market.degree.max()
        np.testing.assert_array_equal(colour, colours(*rows))


def test_the_shipped_network_needs_the_fewest_colours_there_can_be():
    market = cj.graphs.read_market(cj.graphs.shipped("gnutella"), drop_isolated=True)
    assert colours(*market.neighbour_rows()).max() + 1 == market.degree.max() == 103


def test_classes_of_rows_are_joined_where_slots_are_few():
    few = np.array([[26, 20], [13, 0], [5, 5], [1, 0]])
    widths, group_of = _turns.joined_classes((4, 16, 64, 103), few)
    assert (widths, group_of.tolist()) == ((16, 103), [0, 0, 1, 1])
    many = few * np.array([[1000], [1000], [1], [1]])
    widths, group_of = _turns.joined_classes((4, 16, 64, 103), many)
    assert (widths, group_of.tolist()) == ((4, 16, 103), [0, 1, 2, 2])
