"""Families of networks: the same distributions as NetworkX's, and exact where the answer is known.

Statistical tests use fixed seeds and a limit of 4 standard errors: each would fail by chance once in
16,000 choices of the seed, and a generator that is wrong fails at every seed.
"""

import collections
import dataclasses
import math
import pickle

import jax
import networkx as nx
import numpy as np
import pytest
import scipy.integrate
import scipy.stats

from cmapjax.graphs import (
    BarabasiAlbert,
    Bipartite,
    Complete,
    ErdosRenyi,
    RandomGeometric,
    RandomMarket,
    RandomRegular,
    RandomTree,
    Redraw,
    Ring,
    Star,
    StochasticBlockModel,
    TorusGrid,
    WattsStrogatz,
    _wired,
)  # fmt: skip
from cmapjax.graphs._families import chosen_places, pairs_at
from cmapjax.graphs._wired import chance_within

KEY = jax.random.key(2024)
TABLE = ((0.5, 0.1, 0.0), (0.1, 0.2, 0.3), (0.0, 0.3, 1.0))

FIXED = [Complete(7), Ring(7), Star(7), TorusGrid(3, 4)]
RANDOM = [
    ErdosRenyi(30, mean_degree=4),
    ErdosRenyi(12, probability=0.7),
    Bipartite(10, 20, mean_degree=4),
    Bipartite(8, 5, probability=0.6),
    StochasticBlockModel((8, 12, 5), within=0.5, between=0.05),
    StochasticBlockModel((8, 12, 5), probabilities=TABLE),
    RandomGeometric(30, mean_degree=4),
    RandomGeometric(12, radius=0.7),
    RandomTree(12),
    BarabasiAlbert(30, 3),
    BarabasiAlbert(12, 1),
    RandomRegular(12, 3),
    RandomRegular(8, 5),
    WattsStrogatz(30, 4, 0.3),
    WattsStrogatz(8, 6, 0.9),
    WattsStrogatz(60, 6, 1.0),
]
FAMILIES = FIXED + RANDOM


def link_set(links):
    return {(min(a, b), max(a, b)) for a, b in np.asarray(links).tolist()}


def graph_of(family, rng):
    graph = nx.empty_graph(family.num_agents)
    graph.add_edges_from(family.links(rng).tolist())
    return graph


def draws_of(family, count, seed=0):
    rng = np.random.default_rng(seed)
    return [graph_of(family, rng) for _ in range(count)]


def same_as_networkx(family, seed):
    """A network of the same model, drawn by NetworkX."""
    match family:
        case ErdosRenyi(n):
            return nx.fast_gnp_random_graph(n, family.link_probability, seed=seed)
        case Bipartite(left, right):
            return nx.bipartite.random_graph(left, right, family.link_probability, seed=seed)
        case StochasticBlockModel(sizes):
            return nx.stochastic_block_model(sizes, family.table.tolist(), seed=seed)
        case RandomGeometric(n):
            return nx.random_geometric_graph(n, family.reach, seed=seed)
        case RandomTree(n):
            return nx.random_labeled_tree(n, seed=seed)
        case BarabasiAlbert(n, attachments):
            return nx.barabasi_albert_graph(n, attachments, seed=seed)
        case RandomRegular(n, degree):
            return nx.random_regular_graph(degree, n, seed=seed)
        case WattsStrogatz(n, neighbours, rewiring):
            return nx.watts_strogatz_graph(n, neighbours, rewiring, seed=seed)


def features(graph):
    """Numbers that tell models apart, of the whole network and of agents whose number matters."""
    degree = np.array([graph.degree(i) for i in range(len(graph))])
    return [
        graph.number_of_edges(),
        np.sum(degree**2),
        np.sum(degree**3),
        degree.max(),
        np.sum(degree == degree.min()),
        sum(nx.triangles(graph).values()) // 3,
        nx.number_connected_components(graph),
        degree[0],
        degree[-1],
        graph.has_edge(0, 1),
        graph.has_edge(1, len(graph) - 1),
    ]


def standard_errors(ours, theirs):
    """How far apart two samples' means are, per column, in standard errors of their difference."""
    spread = np.sqrt(ours.var(axis=0) / len(ours) + theirs.var(axis=0) / len(theirs))
    gap = np.abs(ours.mean(axis=0) - theirs.mean(axis=0))
    return np.divide(gap, spread, out=np.where(gap > 0, np.inf, 0.0), where=spread > 0)


def check_same_distribution(ours, theirs):
    """Means and variances agree within 4 standard errors."""
    ours, theirs = np.array(ours, float), np.array(theirs, float)
    assert np.isfinite(ours).all()
    centre = np.concatenate([ours, theirs]).mean(axis=0)
    for power in (1, 2):
        errors = standard_errors((ours - centre) ** power, (theirs - centre) ** power)
        assert errors.max() < 4, (power, errors)


def check_uniform(outcomes, num_outcomes):
    """Every one of so many outcomes is equally likely (chi-square; fails by chance once in 10,000)."""
    counts = collections.Counter(outcomes)
    assert len(counts) == num_outcomes
    assert scipy.stats.chisquare(list(counts.values())).pvalue > 1e-4


# -- every family ------------------------------------------------------------------------------


@pytest.mark.parametrize("family", FAMILIES, ids=repr)
def test_links_are_distinct_pairs_of_different_agents_as_many_as_expected(family):
    rng, counts = np.random.default_rng(1), []
    for _ in range(100):
        links = family.links(rng)
        assert links.dtype.kind == "i"
        assert links.shape == (len(links), 2)
        assert len(links) == 0 or (links.min() >= 0 and links.max() < family.num_agents)
        assert (links[:, 0] != links[:, 1]).all()
        assert len(link_set(links)) == len(links)
        counts.append(len(links))
    # 1e-9 for the rounding of mean_links where the number of links is fixed
    assert abs(np.mean(counts) - family.mean_links) <= 4 * np.std(counts) / 10 + 1e-9 * family.mean_links


@pytest.mark.parametrize("family", FAMILIES, ids=repr)
def test_families_compare_by_their_fields_and_can_be_copied(family):
    assert pickle.loads(pickle.dumps(family)) == family
    assert dataclasses.replace(family) == family
    assert hash(dataclasses.replace(family)) == hash(family)


@pytest.mark.parametrize("family", RANDOM, ids=repr)
def test_networks_are_distributed_as_those_of_networkx(family):
    ours = [features(graph) for graph in draws_of(family, 400)]
    theirs = [features(same_as_networkx(family, seed)) for seed in range(400)]
    check_same_distribution(ours, theirs)


def test_regular_figures_are_those_of_networkx():
    rng = np.random.default_rng(0)
    torus = nx.convert_node_labels_to_integers(nx.grid_2d_graph(3, 4, periodic=True), ordering="sorted")
    expected = [nx.complete_graph(7), nx.cycle_graph(7), nx.star_graph(6), torus]
    for family, graph in zip(FIXED, expected, strict=True):
        assert link_set(family.links(rng)) == link_set(list(graph.edges()))


def test_the_smallest_of_each_family():
    rng = np.random.default_rng(0)
    for family in [
        Complete(2),
        Star(2),
        RandomTree(2),
        BarabasiAlbert(2, 1),
        RandomRegular(2, 1),
        ErdosRenyi(2, probability=1),
        Bipartite(1, 1, mean_degree=1),
        RandomGeometric(2, mean_degree=1),
        StochasticBlockModel([1, 1], within=0, between=1),
    ]:
        assert link_set(family.links(rng)) == {(0, 1)}
    assert len(Ring(3).links(rng)) == len(WattsStrogatz(3, 2, 1).links(rng)) == 3


@pytest.mark.parametrize("family", FAMILIES, ids=repr)
def test_every_family_makes_an_ensemble(family):
    market = RandomMarket(family, isolated=Redraw(10_000)).draw(KEY, 5)
    assert market.num_markets == 5
    assert market.num_agents == 5 * family.num_agents
    assert market.origin.labels is None
    assert (market.degree > 0).all()
    giver, receiver = market.arcs()
    assert (market.market_of[giver] == market.market_of[receiver]).all()


# -- single families ---------------------------------------------------------------------------


@pytest.mark.parametrize("num_agents", [3, 4])
def test_every_labelled_tree_is_equally_likely(num_agents):
    rng, tree = np.random.default_rng(3), RandomTree(num_agents)
    drawn = [frozenset(link_set(tree.links(rng))) for _ in range(3000)]
    check_uniform(drawn, num_agents ** (num_agents - 2))


def test_every_network_of_three_agents_is_equally_likely_at_probability_one_half():
    rng, family = np.random.default_rng(4), ErdosRenyi(3, probability=0.5)
    check_uniform([frozenset(link_set(family.links(rng))) for _ in range(4000)], 8)


@pytest.mark.parametrize(
    ("num_agents", "degree"), [(50, 6), (9, 4), (10, 9), (10, 8), (7, 6), (6, 5), (31, 16)]
)
def test_everybody_has_the_same_degree_in_a_regular_network(num_agents, degree):
    for graph in draws_of(RandomRegular(num_agents, degree), 20):
        assert {d for _, d in graph.degree()} == {degree}
        assert nx.number_of_selfloops(graph) == 0


@pytest.mark.parametrize(("num_agents", "degree", "num_networks"), [(6, 1, 15), (8, 6, 105)])
def test_perfect_matchings_and_what_they_leave_are_equally_likely(num_agents, degree, num_networks):
    rng, family = np.random.default_rng(5), RandomRegular(num_agents, degree)
    check_uniform([frozenset(link_set(family.links(rng))) for _ in range(4000)], num_networks)


def test_a_dead_end_is_seen_exactly_when_no_free_pair_is_left():
    path = np.sort(np.array([0 * 4 + 1, 1 * 4 + 2, 0 * 4 + 2]))  # a triangle of 0, 1, 2 among 4 agents
    for ends, expected in [([], False), ([3, 3], True), ([0, 1], True), ([0, 1, 2], True), ([0, 3], False)]:
        assert _wired._is_dead_end(path, np.array(ends, np.int64), 4, 3) is expected


@pytest.mark.parametrize("rewiring", [0.0, 0.2, 1.0])
@pytest.mark.parametrize("num_agents", [9, 100])
def test_rewiring_keeps_the_number_of_links_and_everybodys_own_ones(num_agents, rewiring):
    for graph in draws_of(WattsStrogatz(num_agents, 4, rewiring), 30):
        assert graph.number_of_edges() == 2 * num_agents
        assert min(d for _, d in graph.degree()) >= 2


def test_without_rewiring_a_small_world_is_its_ring():
    links = WattsStrogatz(50, 6, 0).links(np.random.default_rng(0))
    assert link_set(links) == link_set(list(nx.circulant_graph(50, [1, 2, 3]).edges()))


def test_small_worlds_take_turns_only_where_an_agent_may_know_everybody():
    for family, expected in [
        (WattsStrogatz(50, 6, 0.5), False),
        (WattsStrogatz(10**6, 10, 0.5), False),
        (WattsStrogatz(12, 4, 0.5), True),
        (WattsStrogatz(500, 498, 0.5), True),
    ]:
        assert family._may_saturate is expected


@pytest.mark.parametrize("rewiring", [0.3, 1.0])
def test_rewiring_at_once_is_rewiring_in_turn(rewiring):
    n, half, samples = 14, 2, {}
    agent = np.tile(np.arange(n), half)
    ring = (agent + np.repeat([1, 2], n)) % n
    for seed, rewire in enumerate([_wired._rewire_in_turn, _wired._rewire_at_once]):
        rng, rows = np.random.default_rng(seed), []
        for _ in range(2000):
            is_rewired, other = rng.random(n * half) < rewiring, ring.copy()
            other[is_rewired] = rewire(rng, n, half, is_rewired)
            graph = nx.Graph(zip(agent.tolist(), other.tolist(), strict=True))
            rows.append([*features(graph), *(graph.has_edge(3, i) for i in range(n) if i != 3)])
        samples[rewire] = rows
    check_same_distribution(*samples.values())


def test_the_distance_of_two_random_points_of_a_square():
    # Along each side the distance x has density 2(1 - x), and P(distance ≤ y) = 2y - y².
    def integrand(x, r):
        y = min(1.0, math.sqrt(max(r * r - x * x, 0.0)))
        return 2 * (1 - x) * (2 * y - y * y)

    for r in [0.0, 1e-4, 0.1, 0.5, 0.9, 1.0, 1.0001, 1.2, 1.4, math.sqrt(2)]:
        kinks = [math.sqrt(r * r - 1)] if r > 1 else None
        expected = scipy.integrate.quad(integrand, 0, min(r, 1), args=(r,), points=kinks, limit=200)[0]
        assert chance_within(r) == pytest.approx(expected, abs=1e-7)  # the integral's own accuracy


@pytest.mark.parametrize("mean_degree", [1e-6, 0.1, 5, 30, 48.9, 49])
def test_the_radius_gives_the_mean_degree_asked_for(mean_degree):
    family = RandomGeometric(50, mean_degree=mean_degree)
    assert 2 * family.mean_links / 50 == pytest.approx(mean_degree, rel=1e-9)


def test_places_are_pairs_in_order():
    pairs = pairs_at(np.arange(45))
    assert pairs.tolist() == [[i, j] for j in range(10) for i in range(j)]


def test_pairs_are_right_where_a_square_root_is_not_exact():
    for high in [2**10, 10**6 + 1, 94_906_266, 10**8 - 1]:
        start = high * (high - 1) // 2
        places = np.array([start - 1, start, start + high - 1])
        assert pairs_at(places).tolist() == [[high - 2, high - 1], [0, high], [high - 1, high]]


@pytest.mark.parametrize("probability", [1e-9, 1e-3, 0.2, 0.5, 0.999, 1.0])
def test_each_place_is_chosen_with_its_probability(probability):
    rng, count, places = np.random.default_rng(6), 0, 1000
    for _ in range(300):
        chosen = chosen_places(rng, places, probability)
        assert (np.diff(chosen) > 0).all()
        assert len(chosen) == 0 or (chosen[0] >= 0 and chosen[-1] < places)
        count += len(chosen)
    trials = 300 * places
    assert abs(count - trials * probability) <= 4 * math.sqrt(trials * probability * (1 - probability))


def test_a_probability_near_zero_overflows_nothing():
    rng = np.random.default_rng(7)
    assert len(chosen_places(rng, 5 * 10**15, 1e-300)) == 0
    assert len(ErdosRenyi(10**8, mean_degree=1e-12).links(rng)) == 0


def test_large_sparse_networks_need_no_square_of_memory():
    rng = np.random.default_rng(8)
    links = ErdosRenyi(10**6, mean_degree=1).links(rng)
    assert abs(len(links) - 500_000) < 4 * math.sqrt(500_000)
    assert len(np.unique(links[:, 0] * 10**6 + links[:, 1])) == len(links)


def test_redrawing_conditions_on_nobody_being_alone():
    family = ErdosRenyi(4, probability=0.4)
    market = RandomMarket(family, isolated=Redraw(1000)).draw(KEY, 2000)
    assert market.origin == RandomMarket(Ring(4)).draw(KEY).origin
    drawn = [link_set(one_links) for one_links in links_per_market(market)]
    conditioned = []
    for seed in range(2000, 12_000):
        graph = nx.fast_gnp_random_graph(4, 0.4, seed=seed)
        if nx.number_of_isolates(graph) == 0:
            conditioned.append(link_set(list(graph.edges())))
    pairs = [(i, j) for j in range(4) for i in range(j)]
    check_same_distribution(*[[[len(x), *(p in x for p in pairs)] for x in y] for y in (drawn, conditioned)])


def links_per_market(market):
    giver, receiver = market.arcs()
    links = np.stack([giver, receiver], axis=1)
    cuts = np.searchsorted(market.market_of[giver], np.arange(1, market.num_markets))
    starts = np.searchsorted(market.market_of, np.arange(market.num_markets))
    return [part - start for part, start in zip(np.split(links, cuts), starts, strict=True)]
