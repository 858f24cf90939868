"""Random markets: the networks are NetworkX's in distribution, and a key and a number make a market.

Statistical tests use fixed seeds and a limit of 4 standard errors: each would fail by chance once in
16,000 choices of the seed, and a generator that is wrong fails at every seed.
"""

import collections
import dataclasses
import math
import pickle

import equinox as eqx
import jax
import jaxtyping
import networkx as nx
import numpy as np
import pytest
import scipy.integrate
import scipy.stats

from cmapjax._market import pack
from cmapjax.graphs import _wired
from cmapjax.graphs._distributions import (
    Exponential,
    Gamma,
    LogNormal,
    Pareto,
    Uniform,
    Unit,
    draw_positive,
)
from cmapjax.graphs._families import (
    Bipartite,
    Complete,
    ErdosRenyi,
    Family,
    Ring,
    Star,
    StochasticBlockModel,
    TorusGrid,
    chosen_places,
    pairs_at,
)
from cmapjax.graphs._random import Drop, RandomMarket, Redraw, Reject
from cmapjax.graphs._wired import (
    BarabasiAlbert,
    RandomGeometric,
    RandomRegular,
    RandomTree,
    WattsStrogatz,
    chance_within,
)

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
DISTRIBUTIONS = [
    Unit(),
    Uniform(0, 3),
    Uniform(0.5, 1.5),
    Exponential(2),
    Gamma(0.5, 3),
    Gamma(4),
    LogNormal(0.5, 2),
    Pareto(5, 2),
]
THINNED = RandomMarket(
    ErdosRenyi(20, mean_degree=3), endowment=Exponential(), value=Uniform(1, 2), isolated=Drop()
)


def check_words(call, words):
    jaxtyping.config.update("jaxtyping_disable", True)  # users meet the package's own checks alone
    try:
        with pytest.raises(ValueError) as caught:  # noqa: PT011  the words are looked at
            call()
    finally:
        jaxtyping.config.update("jaxtyping_disable", False)
    assert [word for word in words if word not in str(caught.value)] == [], str(caught.value)


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


# -- single families ---------------------------------------------------------------------------


@pytest.mark.parametrize("num_agents", [3, 4])
def test_every_labelled_tree_is_equally_likely(num_agents):
    rng, tree = np.random.default_rng(3), RandomTree(num_agents)
    drawn = [frozenset(link_set(tree.links(rng))) for _ in range(3000)]
    check_uniform(drawn, num_agents ** (num_agents - 2))


def test_a_tree_is_a_tree():
    assert all(nx.is_tree(graph) for graph in draws_of(RandomTree(40), 50))


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


def test_eight_agents_with_two_neighbours_form_one_ring_as_often_as_stated():
    rings = np.mean([nx.is_connected(graph) for graph in draws_of(RandomRegular(8, 2), 2000)])
    assert abs(rings - 0.56) < 4 * math.sqrt(0.56 * 0.44 / 2000)


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


def test_a_complete_small_world_cannot_be_rewired():
    links = WattsStrogatz(7, 6, 1).links(np.random.default_rng(0))
    assert link_set(links) == link_set(list(nx.complete_graph(7).edges()))


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


# -- distributions -----------------------------------------------------------------------------


@pytest.mark.parametrize("distribution", DISTRIBUTIONS, ids=repr)
def test_draws_are_positive_with_the_stated_mean(distribution):
    numbers = distribution.draw(np.random.default_rng(9), 20_000)
    assert numbers.shape == (20_000,)
    assert numbers.dtype == np.float64
    assert np.isfinite(numbers).all()
    assert (numbers > 0).all()
    assert abs(numbers.mean() - distribution.mean) <= 4 * numbers.std() / math.sqrt(20_000)


@pytest.mark.parametrize(
    ("distribution", "expected"),
    [
        (Uniform(0.5, 1.5), scipy.stats.uniform(0.5, 1)),
        (Exponential(2), scipy.stats.expon(scale=2)),
        (Gamma(0.5, 3), scipy.stats.gamma(0.5, scale=6)),
        (LogNormal(0.8, 2), scipy.stats.lognorm(0.8, scale=2 * math.exp(-0.32))),
        (Pareto(0.5, 2), scipy.stats.pareto(0.5, scale=2)),
        (Pareto(3), scipy.stats.pareto(3)),
    ],
    ids=repr,
)
def test_draws_follow_the_stated_distribution(distribution, expected):
    numbers = distribution.draw(np.random.default_rng(10), 5000)
    assert scipy.stats.kstest(numbers, expected.cdf).pvalue > 1e-4
    assert distribution.mean == pytest.approx(expected.mean())


@pytest.mark.parametrize(
    "distribution",
    [
        LogNormal(20),
        LogNormal(20, 1e-100),
        Pareto(0.1, 1e100),
        Gamma(0.1, 1e-100),
        Gamma(1e15),
        Uniform(0, 1e-100),
        Exponential(1e100),
    ],
    ids=repr,
)
def test_extreme_parameters_still_draw_finite_positive_numbers(distribution):
    numbers = distribution.draw(np.random.default_rng(11), 100_000)
    assert np.isfinite(numbers).all()
    assert (numbers > 0).all()


def test_a_draw_of_exactly_zero_is_drawn_again():
    helpings = iter([np.array([1.0, 0.0, 2.0, 0.0]), np.array([0.0, 3.0]), np.array([4.0])])
    sizes = []

    def draw(size):
        sizes.append(size)
        return next(helpings)

    assert draw_positive(draw, 4).tolist() == [1.0, 4.0, 2.0, 3.0]
    assert sizes == [4, 2, 1]


# -- drawing markets ---------------------------------------------------------------------------


def one_of(market, number):
    """Links (by number within the market), endowments and values of one market of an ensemble."""
    member = np.flatnonzero(market.market_of == number)
    giver, receiver = market.arcs()
    inside = market.market_of[giver] == number
    links = np.stack([giver, receiver], axis=1)[inside] - member[0]
    return links.tolist(), market.endowment[member].tolist(), market.value[member].tolist()


@pytest.mark.parametrize("family", FAMILIES, ids=repr)
def test_every_family_makes_an_ensemble(family):
    market = RandomMarket(family, isolated=Redraw(10_000)).draw(KEY, 5)
    assert market.num_markets == 5
    assert market.num_agents == 5 * family.num_agents
    assert market.origin.labels is None
    assert (market.degree > 0).all()
    giver, receiver = market.arcs()
    assert (market.market_of[giver] == market.market_of[receiver]).all()


def test_the_same_key_draws_the_same_market_bit_for_bit():
    assert eqx.tree_equal(THINNED.draw(KEY, 20), THINNED.draw(KEY, 20)) is True
    assert eqx.tree_equal(THINNED.draw(KEY), THINNED.draw(jax.random.key(2025))) is False


@pytest.mark.parametrize("impl", ["threefry2x32", "rbg", "unsafe_rbg"])
def test_a_thousand_markets_are_ten_times_a_hundred(impl):
    key = jax.random.key(1, impl=impl)
    whole = THINNED.draw(key, 1000)
    parts = pack([THINNED.draw(key, 100, first=100 * part) for part in range(10)])
    assert eqx.tree_equal(whole, parts) is True


def test_a_market_is_the_same_alone_and_among_a_thousand():
    whole = THINNED.draw(KEY, 1000)
    for number in (0, 7, 999):
        alone = THINNED.draw(KEY, first=number)
        assert one_of(alone, 0) == one_of(whole, number)


def test_an_ensemble_is_its_markets_packed():
    ensemble = RandomMarket(BarabasiAlbert(20, 2), endowment=Exponential())
    alone = [ensemble.draw(KEY, first=number) for number in range(6)]
    assert eqx.tree_equal(ensemble.draw(KEY, 6), pack(alone)) is True


def test_markets_of_an_ensemble_differ():
    whole = RandomMarket(BarabasiAlbert(20, 2), endowment=Exponential()).draw(KEY, 50)
    assert len({str(one_of(whole, number)[0]) for number in range(50)}) == 50
    assert len(np.unique(whole.endowment)) == whole.num_agents


def test_the_last_market_number_that_a_key_can_be_folded_with():
    tree = RandomMarket(RandomTree(8))
    last = tree.draw(KEY, first=2**32 - 1)
    assert one_of(tree.draw(KEY, 2, first=2**32 - 2), 1) == one_of(last, 0)


def test_endowments_values_and_network_have_random_streams_of_their_own():
    family = ErdosRenyi(30, mean_degree=5)
    policy = Redraw(1000)
    plain = RandomMarket(family, isolated=policy).draw(KEY, 10)
    endowed = RandomMarket(family, endowment=Exponential(), isolated=policy).draw(KEY, 10)
    both = RandomMarket(family, endowment=Exponential(), value=Exponential(), isolated=policy).draw(KEY, 10)
    for market in (endowed, both):
        assert np.array_equal(plain.arcs(), market.arcs())
    assert np.array_equal(endowed.endowment, both.endowment)
    assert not np.isclose(both.endowment, both.value).any()
    other = RandomMarket(BarabasiAlbert(30, 2), endowment=Exponential()).draw(KEY, 10)
    assert np.array_equal(other.endowment, endowed.endowment)


def test_drawn_numbers_reach_the_market_in_float64():
    market = RandomMarket(Ring(5), endowment=Uniform(2, 3), value=Uniform(5, 6)).draw(KEY, 3)
    assert market.endowment.dtype == market.value.dtype == np.float64
    assert ((market.endowment > 2) & (market.endowment < 3)).all()
    assert ((market.value > 5) & (market.value < 6)).all()


# -- isolated agents ---------------------------------------------------------------------------


def test_isolated_agents_are_refused_by_name_unless_provided_for():
    lonely = RandomMarket(StochasticBlockModel([3, 1], within=1, between=0))
    assert lonely.isolated == Reject()
    check_words(lambda: lonely.draw(KEY, 2, first=5), ["market 5", "1 agent(s)", "(3)", "Drop()", "Redraw()"])


def test_dropped_agents_are_named_and_the_others_keep_what_they_drew():
    family = StochasticBlockModel([1, 3], within=1, between=0)
    drop = RandomMarket(family, endowment=Exponential(), isolated=Drop())
    market = drop.draw(KEY)
    assert market.labels == (1, 2, 3)
    assert market.origin.dropped_isolated == (0,)
    everybody = RandomMarket(Ring(4), endowment=Exponential()).draw(KEY)
    assert np.array_equal(market.endowment, everybody.endowment[1:])
    several = drop.draw(KEY, 2, first=7)
    assert several.labels == ((7, 1), (7, 2), (7, 3), (8, 1), (8, 2), (8, 3))
    assert several.origin.dropped_isolated == ((7, 0), (8, 0))
    assert several.market_of.tolist() == [0, 0, 0, 1, 1, 1]


def test_dropping_leaves_everybody_else():
    whole = THINNED.draw(KEY, 200)
    assert whole.num_agents + len(whole.origin.dropped_isolated) == 200 * 20
    assert len(whole.origin.dropped_isolated) > 100  # some 20 · exp(-3) = 1 per market
    assert (whole.degree > 0).all()


def test_a_network_without_any_link_cannot_be_made_a_market_by_dropping():
    empty = RandomMarket(ErdosRenyi(10, mean_degree=1e-9), isolated=Drop())
    check_words(lambda: empty.draw(KEY, first=3), ["market 3", "no link", "Redraw()"])


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


def test_redrawing_gives_up_with_advice():
    hopeless = RandomMarket(ErdosRenyi(50, mean_degree=0.5), isolated=Redraw(attempts=7))
    check_words(lambda: hopeless.draw(KEY), ["market 0", "ErdosRenyi(", "attempts is 7", "Raise", "Drop()"])


# -- refusals ----------------------------------------------------------------------------------


@pytest.mark.parametrize("wrong", [0, 1, -3, 2.0, 2.5, math.nan, True, "5", None, 10**9, [3]], ids=repr)
@pytest.mark.parametrize(
    "make",
    [
        lambda n: ErdosRenyi(n, probability=0.5),
        lambda n: RandomGeometric(n, radius=0.5),
        lambda n: BarabasiAlbert(n, 1),
        lambda n: WattsStrogatz(n, 2, 0.1),
        lambda n: RandomRegular(n, 1),
        RandomTree,
        Complete,
        Ring,
        Star,
    ],
)
def test_numbers_of_agents_are_whole_and_large_enough(make, wrong):
    check_words(lambda: make(wrong), ["num_agents is", repr(wrong), "whole number"])


@pytest.mark.parametrize("wrong", [0, 0.0, -1, math.nan, math.inf, True, "6", [2], 2 + 0j], ids=repr)
@pytest.mark.parametrize(
    ("field", "make"),
    [
        ("mean_degree", lambda x: ErdosRenyi(9, mean_degree=x)),
        ("probability", lambda x: ErdosRenyi(9, probability=x)),
        ("mean_degree", lambda x: Bipartite(4, 5, mean_degree=x)),
        ("probability", lambda x: Bipartite(4, 5, probability=x)),
        ("mean_degree", lambda x: RandomGeometric(9, mean_degree=x)),
        ("radius", lambda x: RandomGeometric(9, radius=x)),
        ("high", lambda x: Uniform(0, x)),
        ("mean", Exponential),
        ("shape", Gamma),
        ("mean", lambda x: Gamma(1, x)),
        ("sigma", LogNormal),
        ("mean", lambda x: LogNormal(1, x)),
        ("alpha", Pareto),
        ("minimum", lambda x: Pareto(2, x)),
    ],
)
def test_parameters_are_numbers_above_zero(field, make, wrong):
    check_words(lambda: make(wrong), [f"{field} is {wrong!r}", "give a number"])


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: ErdosRenyi(9), ["mean_degree is None and probability is None", "exactly one"]),
        (lambda: ErdosRenyi(9, mean_degree=1, probability=0.1), ["mean_degree is 1", "exactly one"]),
        (lambda: ErdosRenyi(9, mean_degree=8.1), ["mean_degree is 8.1", "at most 8"]),
        (lambda: ErdosRenyi(9, probability=1.01), ["probability is 1.01", "at most 1"]),
        (lambda: Bipartite(4, 5), ["mean_degree is None", "exactly one"]),
        (lambda: Bipartite(4, 5, mean_degree=4.5), ["mean_degree is 4.5", "at most 4.44"]),
        (lambda: Bipartite(0, 5, probability=0.1), ["num_left is 0"]),
        (lambda: Bipartite(4, 1.5, probability=0.1), ["num_right is 1.5"]),
        (lambda: RandomGeometric(9), ["mean_degree is None", "radius", "exactly one"]),
        (lambda: RandomGeometric(9, radius=1.5), ["radius is 1.5", "1.414", "diagonal"]),
        (lambda: RandomGeometric(9, mean_degree=9), ["mean_degree is 9", "at most 8"]),
        (lambda: BarabasiAlbert(9, 0), ["attachments is 0", "1 to 8"]),
        (lambda: BarabasiAlbert(9, 9), ["attachments is 9", "1 to 8"]),
        (lambda: BarabasiAlbert(9, 2.0), ["attachments is 2.0", "whole number"]),
        (lambda: RandomRegular(9, 3), ["degree is 3", "9 agents", "odd", "even"]),
        (lambda: RandomRegular(9, 9), ["degree is 9", "1 to 8"]),
        (lambda: RandomRegular(9, 0), ["degree is 0", "1 to 8"]),
        (lambda: WattsStrogatz(9, 3, 0.1), ["neighbours is 3", "even"]),
        (lambda: WattsStrogatz(9, 10, 0.1), ["neighbours is 10", "2 to 8"]),
        (lambda: WattsStrogatz(9, 0, 0.1), ["neighbours is 0", "2 to 8"]),
        (lambda: WattsStrogatz(9, 4, -0.1), ["rewiring is -0.1", "at least 0"]),
        (lambda: WattsStrogatz(9, 4, 1.1), ["rewiring is 1.1", "at most 1"]),
        (lambda: WattsStrogatz(9, 4, math.nan), ["rewiring is nan"]),
        (lambda: TorusGrid(2, 5), ["rows is 2", "from 3"]),
        (lambda: TorusGrid(5, True), ["columns is True", "from 3"]),
        (lambda: StochasticBlockModel(5, within=1, between=1), ["sizes is 5", "list"]),
        (lambda: StochasticBlockModel([], within=1, between=1), ["sizes is []", "list"]),
        (lambda: StochasticBlockModel([1], within=1, between=1), ["sum of sizes is 1", "from 2"]),
        (lambda: StochasticBlockModel([3, 0], within=1, between=1), ["sizes[1] is 0"]),
        (lambda: StochasticBlockModel([3, 2.0], within=1, between=1), ["sizes[1] is 2.0"]),
        (lambda: StochasticBlockModel([3, 2], within=1), ["between is None"]),
        (lambda: StochasticBlockModel([3, 2], within=2, between=0), ["within is 2"]),
        (lambda: StochasticBlockModel([3, 2], within=0, between=0), ["no link", "raise"]),
        (lambda: StochasticBlockModel([1, 1], within=1, between=0), ["no link", "raise"]),
        (lambda: StochasticBlockModel([3], within=1, probabilities=[[1]]), ["within is 1", "leave out"]),
        (lambda: StochasticBlockModel([3, 2], probabilities=[[1]]), ["probabilities has rows of [1]", "2"]),
        (lambda: StochasticBlockModel([3], probabilities=0.5), ["probabilities is 0.5", "table"]),
        (lambda: StochasticBlockModel([3, 2], probabilities=[[1, 2], [2, 1]]), ["probabilities[0][1] is 2"]),
        (
            lambda: StochasticBlockModel([3, 2], probabilities=[[1, 0.2], [0.1, 1]]),
            ["probabilities[0][1] is 0.2", "probabilities[1][0] is 0.1", "symmetric"],
        ),
        (lambda: Uniform(-1, 1), ["low is -1", "at least 0"]),
        (lambda: Uniform(2, 1), ["low is 2", "at most 1", "high"]),
        (lambda: Uniform(1, 1), ["low is 1.0 and so is high", "below"]),
        (lambda: Uniform(math.nan, 1), ["low is nan"]),
        (lambda: LogNormal(21), ["sigma is 21", "at most 20"]),
        (lambda: Gamma(0.01), ["shape is 0.01", "at least 0.1"]),
        (lambda: Pareto(0.05), ["alpha is 0.05", "at least 0.1"]),
        (lambda: Exponential(1e200), ["mean is 1e+200", "at most 1e+100"]),
        (lambda: Redraw(0), ["attempts is 0", "whole number"]),
        (lambda: RandomMarket("ErdosRenyi"), ["family is 'ErdosRenyi'", "ErdosRenyi(50"]),
        (lambda: RandomMarket(Ring), ["family is", "ErdosRenyi(50"]),
        (lambda: RandomMarket(Ring(5), endowment=2.0), ["endowment is 2.0", "Uniform("]),
        (lambda: RandomMarket(Ring(5), value=[1] * 5), ["value is [1, 1", "Uniform("]),
        (lambda: RandomMarket(Ring(5), isolated="drop"), ["isolated is 'drop'", "Drop()"]),
        (lambda: RandomMarket(Ring(5)).draw(0), ["key is 0", "jax.random.key(seed)"]),
        (lambda: RandomMarket(Ring(5)).draw(None), ["key", "jax.random.key(seed)"]),
        (lambda: RandomMarket(Ring(5)).draw(jax.random.split(KEY)), ["key has shape (2,)", "one key"]),
        (lambda: RandomMarket(Ring(5)).draw(KEY, 0), ["num_markets is 0", "whole number"]),
        (lambda: RandomMarket(Ring(5)).draw(KEY, 2.0), ["num_markets is 2.0", "whole number"]),
        (lambda: RandomMarket(Ring(5)).draw(KEY, True), ["num_markets is True", "whole number"]),
        (lambda: RandomMarket(Ring(5)).draw(KEY, first=-1), ["first is -1", "whole number"]),
        (lambda: RandomMarket(Ring(5)).draw(KEY, 2, first=2**32 - 1), ["num_markets is 2", "from 1 to 1"]),
    ],
)
def test_other_wrong_parameters_are_refused_with_their_remedy(make, words):
    check_words(make, words)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Complete(10**7), ["num_agents is 10000000", "5e+13 links", "1e+08"]),
        (lambda: ErdosRenyi(10**8, mean_degree=100), ["num_agents is 100000000", "5e+09 links"]),
        (lambda: BarabasiAlbert(10**8, 50), ["attachments is 50", "links"]),
        (lambda: RandomRegular(10**8, 50), ["degree is 50", "links"]),
        (lambda: WattsStrogatz(10**8, 50, 0.1), ["neighbours is 50", "links"]),
        (lambda: TorusGrid(10**5, 10**5), ["rows × columns is 10000000000", "links"]),
        (lambda: Bipartite(10**6, 10**6, probability=0.5), ["num_left × num_right", "5e+11 links"]),
        (lambda: RandomGeometric(10**7, radius=1), ["num_agents is 10000000", "links"]),
        (lambda: StochasticBlockModel([10**6] * 2, within=0.1, between=0), ["sum of sizes", "1e+11 links"]),
        (lambda: StochasticBlockModel([10**8] * 2, within=1e-20, between=0), ["sum of sizes is 200000000"]),
        (lambda: StochasticBlockModel([9] * 2000, within=1, between=0), ["sizes is", "1 to 1000"]),
        (lambda: RandomMarket(Complete(1000)).draw(KEY, 10**6), ["num_markets is 1000000", "5e+11 links"]),
    ],
)
def test_networks_that_no_machine_holds_are_refused_before_they_are_made(make, words):
    check_words(make, words)


class Given(Family):
    """A user's own family: always these links."""

    num_agents = 4
    mean_links = 2.0

    def __init__(self, links):
        self.given = links

    def __repr__(self):
        return "Given()"

    def links(self, rng):
        return np.array(self.given)


def test_a_family_of_ones_own_makes_markets():
    market = RandomMarket(Given([(3, 0), (1, 2)])).draw(KEY, 2)
    assert link_set(np.transpose(market.arcs())) == {(0, 3), (1, 2), (4, 7), (5, 6)}


@pytest.mark.parametrize(
    ("links", "words"),
    [
        ([(0, 1), (2, 3), (1, 0)], ["the same link twice", "agent 0"]),
        ([(0, 1), (2, 3), (2, 2)], ["link of an agent with itself", "agent 2"]),
        ([(0, 1), (2, 4)], ["Given()", "0 to 4", "0 to 3"]),
        ([(0, 1), (2, -1)], ["Given()", "-1 to 2", "0 to 3"]),
        ([(0.0, 1.0)], ["Given()", "float64", "integer array"]),
        ([(0, 1, 2)], ["Given()", "(1, 3)", "integer array"]),
        (np.zeros((0, 2), int), ["market 1", "4 agent(s)"]),
    ],
)
def test_a_family_that_breaks_its_word_is_told(links, words):
    check_words(lambda: RandomMarket(Given(links)).draw(KEY, first=1), words)


def test_a_distribution_that_breaks_its_word_is_told():
    class Scalar(Unit):
        def draw(self, rng, num_agents):
            return 1.0

    class Negative(Unit):
        def draw(self, rng, num_agents):
            return np.full(num_agents, -1.0)

    check_words(lambda: RandomMarket(Ring(4), value=Scalar()).draw(KEY), ["value", "shape ()", "4"])
    check_words(lambda: RandomMarket(Ring(4), value=Negative()).draw(KEY), ["value", "above zero"])
