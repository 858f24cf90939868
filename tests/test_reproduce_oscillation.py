"""Acting at once: the cores of the parts that measure when it fails, why, and what cures it."""

from fractions import Fraction

import networkx as nx
import numpy as np
import pytest
import reference

import cmapjax as cj
from cmapjax.reproduce import _all_at_once_swing as swing
from cmapjax.reproduce import _colouring, _smallest_search
from cmapjax.reproduce import _smallest_play as tiny
from cmapjax.reproduce._at_once_markets import crowding, largest_around
from cmapjax.reproduce._smallest_play import Tiny

# Details of measured claims, which take long to compile: run before a change to them.
pytestmark = pytest.mark.slow

RING = ((0, 1), (0, 3), (1, 2), (2, 3))


@pytest.fixture(scope="module")
def random_markets():
    """Small networks of all densities with contributions 1 to 4, in the dense form."""
    markets = _smallest_search.random_markets(np.random.default_rng(3), 7, 40, 4)
    weight = np.array([m.weight for m in markets], float)
    return markets, weight, np.stack([m.adjacency for m in markets])


def _random_flow(weight, links, seed=0):
    flow = links * np.random.default_rng(seed).uniform(0.01, 1, links.shape)
    return flow * weight[:, :, None] / flow.sum(axis=-1, keepdims=True)


def _quadratic(flow, weight):
    return (flow.sum(axis=-2) ** 2 / weight).sum(axis=-1) / 2


# -- why it swings -----------------------------------------------------------------------------------


def test_a_round_multiplies_the_deviation_of_m_givers_by_one_minus_theta_m():
    swings = swing.measured(givers=(2, 3, 4, 7), thetas=(1.0, 0.25), rounds=8)
    table = swings.table
    np.testing.assert_allclose(table["multiplier_measured"], table["multiplier_expected"], atol=1e-13)
    assert (table["rounds_compared"] > 0).all()
    assert table["largest_error"].max() < 1e-14
    undamped = table[table["theta"] == 1.0]
    # (m − 1)^t / 128 ≥ 1/2 first at t = 6, 4 and 3; two givers swing for ever.
    assert undamped["nothing_in_round"].tolist() == [np.inf, 6, 4, 3]
    assert [c.verdict for c in swing.checks(swings)] == ["holds", "holds"]


def test_a_wrong_multiplier_is_refuted():
    swings = swing.measured(givers=(2, 3), thetas=(1.0,), rounds=4)
    swings.table.loc[1, "largest_error"] = 1e-3
    swings.table.loc[1, "nothing_in_round"] = 2.0
    assert [c.verdict for c in swing.checks(swings)] == ["does not hold", "holds in part"]


def test_stiffness_counts_the_givers_who_can_turn_elsewhere():
    markets = cj.pack(
        [swing.complete_bipartite(m) for m in (2, 5)] + [cj.Market.from_links([[0, 1], [1, 2]])]
    )
    crowd = crowding(markets, cj.solve(markets))
    # Of a path only the middle has a choice; with two sides equal, m givers to each of two receivers.
    np.testing.assert_allclose(crowd.active, [2, 5, 1])
    np.testing.assert_allclose(crowd.stiffness, [2, 5, 1], rtol=1e-12)
    assert (crowd.stiffness <= crowd.active + 1e-12).all()


# -- what is proved ------------------------------------------------------------------------------------


def test_undamped_energy_falls_and_flows_two_rounds_apart_meet(random_markets):
    """F(y(t+1), y(t)), with the symmetric F of the proof, never rises; longer periods are impossible."""
    _, weight, links = random_markets
    flow = _random_flow(weight, links)
    before, energies = None, []
    for _ in range(300):
        after = tiny.play(flow, weight, links, 1.0)
        own = (flow**2 + after**2).sum(axis=1) / 2
        crossed = flow.sum(axis=1) * after.sum(axis=1) - (flow * after).sum(axis=1)
        energies.append(((own + crossed) / weight).sum(axis=-1))
        before, flow = flow, after
    assert (np.diff(energies, axis=0) <= 1e-12).all()
    again = tiny.play(flow, weight, links, 1.0)
    assert abs(again - before).sum(axis=(1, 2)).max() < 1e-3 < abs(flow - before).sum(axis=(1, 2)).max()


@pytest.mark.parametrize("rule", ["below 2/Δ", "local", "above 2/Δ"])
def test_the_quadratic_falls_if_steps_at_a_receiver_sum_to_less_than_two(random_markets, rule):
    _, weight, links = random_markets
    degree = links.sum(axis=-1)
    around = (links * degree[:, None, :]).max(axis=-1)
    steps = {"below 2/Δ": 1.99 / degree.max(axis=-1, keepdims=True), "local": 1.99 / around, "above 2/Δ": 1.0}
    theta = np.minimum(1, np.broadcast_to(steps[rule], degree.shape))[:, :, None]
    flow = _random_flow(weight, links, seed=1)
    values = [_quadratic(flow, weight)]
    for _ in range(100):
        flow = tiny.play(flow, weight, links, theta)
        values.append(_quadratic(flow, weight))
    falls = (np.diff(values, axis=0) <= 1e-12).all()
    assert falls == (rule != "above 2/Δ")


def test_the_quadratic_falls_in_expectation_if_few_enough_act(random_markets):
    """p (Δ − 1) < 1: the mean over many draws of who acts lies below."""
    _, weight, links = random_markets
    flow = _random_flow(weight, links, seed=2)
    p = 0.99 / (links.sum(axis=-1).max(axis=-1) - 1)
    moved = tiny.play(flow, weight, links, 1.0) - flow
    acts = np.random.default_rng(5).random((400, *weight.shape)) < p[:, None]
    after = np.mean([_quadratic(flow + moved * some[:, :, None], weight) for some in acts], axis=0)
    assert (after < _quadratic(flow, weight)).all()


def test_the_most_crowded_receiver_around_decides_the_local_step():
    market = cj.Market.from_links([[0, 1], [0, 2], [0, 3], [3, 4]])
    np.testing.assert_array_equal(largest_around(market), [2, 3, 3, 3, 2])


# -- the smallest markets --------------------------------------------------------------------------------


def test_three_ways_of_playing_agree(random_markets):
    """The engine, dense floating point, and exact fractions; and the reference rule by rule."""
    markets, weight, links = random_markets
    one, theta = markets[0], 0.5
    market = cj.Market.from_links(np.array(one.links), endowment=np.array(one.weight, float))
    run = cj.simulate(market, cj.Damped(cj.CMAP(), theta), rounds=6, record={})
    exact = tiny.exact(one, Fraction(1, 2), 6)
    flow = tiny.equal_split(weight[:1], links[:1])
    y = reference.equal_split(weight[0], links[0])
    for _ in range(6):
        flow = tiny.play(flow, weight[:1], links[:1], theta)
        row = reference.damped(reference.cmap_row, theta)
        y = reference.play_round(row, reference.simultaneous(len(y)), y, weight[0], links[0])
    expected = np.array([float(u) for u in exact.utility[-1]])
    np.testing.assert_allclose(flow[0].sum(axis=0), expected, rtol=1e-13)
    np.testing.assert_allclose(y.sum(axis=0), expected, rtol=1e-13)
    np.testing.assert_allclose(run.final.utility, expected, rtol=1e-13)


def test_a_lopsided_ring_of_four_swings_for_ever_exactly():
    run = tiny.exact(Tiny(RING, (1, 1, 1, 2)), Fraction(1), 10)
    assert run.returns == (0, 2)
    assert run.utility[1] == [Fraction(3, 2), Fraction(1, 3), Fraction(3, 2), Fraction(5, 3)]
    assert run.had_nothing is None


def test_a_triangle_leaves_its_least_agent_with_exactly_nothing_once():
    run = tiny.exact(Tiny(((0, 1), (0, 2), (1, 2)), (1, 3, 3)), Fraction(1), 40)
    assert run.had_nothing == 1
    assert run.utility[1] == [0, Fraction(7, 2), Fraction(7, 2)]
    assert run.returns is None
    assert run.exponent < 0


def test_padding_changes_no_market():
    """Markets of unlike sizes side by side do what each does alone."""
    some = [Tiny(RING, (1, 1, 1, 2)), Tiny(((0, 1),), (1, 2)), Tiny(((0, 1), (0, 2), (1, 2)), (1, 3, 3))]
    together = tiny.fate(some, 1.0, 200)
    assert together.period.tolist() == [2, 1, 1]
    assert together.had_nothing.tolist() == [False, False, True]
    for number, market in enumerate(some):
        assert tiny.fate([market], 1.0, 200).period[0] == together.period[number]


def test_contributions_are_tried_once_up_to_scale_and_symmetry():
    ring = nx.to_numpy_array(nx.cycle_graph(4), dtype=int)
    tried = {tuple(w) for w in _smallest_search.distinct_weights(ring, 2).tolist()}
    # Of 16: all-twos are all-ones; turned and mirrored, twos may be one, two beside or across, or three.
    assert tried == {(1, 1, 1, 1), (1, 1, 1, 2), (1, 1, 2, 2), (1, 2, 1, 2), (1, 2, 2, 2)}


@pytest.mark.optimised
def test_the_census_finds_the_smallest_of_each_sort():
    found = _smallest_search.kinds({2: 3, 3: 3, 4: 3})
    assert len(found) == 1 + 2 + 6
    census = _smallest_search.census(_smallest_search.packed(found), 1.0)
    assert set(census.period) <= {1, 2}
    assert census.smallest((census.period == 2) & ~census.had_nothing) == Tiny(RING, (1, 1, 1, 2))
    assert census.smallest(census.had_nothing).weight == (1, 3, 3)
    assert census.smallest(census.has_nothing) == Tiny(RING, (1, 1, 1, 3))
    dense = tiny.fate(census.markets, 1.0, 1000)
    assert (dense.period == census.period).mean() > 0.99
    np.testing.assert_array_equal(dense.had_nothing, census.had_nothing)


@pytest.mark.optimised
def test_markets_that_take_long_are_played_on_by_themselves(monkeypatch):
    """Many of them in the engine, few in NumPy: the same periods."""
    everything = _smallest_search.packed(_smallest_search.kinds({4: 3}))
    monkeypatch.setattr(_smallest_search, "LOOKS", 1)
    monkeypatch.setattr(_smallest_search, "SPAN", 20)
    few = _smallest_search.census(everything, 1.0)
    monkeypatch.setattr(_smallest_search, "AT_A_TIME", 2)
    many = _smallest_search.census(everything, 1.0)
    assert few.doubtful == many.doubtful > 2
    np.testing.assert_array_equal(few.period, many.period)
    np.testing.assert_array_equal(few.had_nothing, many.had_nothing)


def test_half_steps_are_chaotic_somewhere_and_shrinking_keeps_it_so():
    links = "0-1 0-2 0-3 0-4 0-5 0-6 1-3 1-6 2-3 2-5 2-6 3-4 3-5 3-6 3-7 4-7 5-7"  # found by shrinking
    pairs = tuple(tuple(map(int, link.split("-"))) for link in links.split())
    market = Tiny(pairs, (2, 2, 3, 1, 2, 3, 3, 2))
    assert _smallest_search.is_chaotic([market], 0.5, 2000).all()
    assert not _smallest_search.is_chaotic([market], 1.0, 2000).any()
    assert not _smallest_search.is_chaotic(_smallest_search.smaller(market), 0.5, 2000).any()
    run = tiny.exact(market, Fraction(1, 2), 120)
    assert run.returns is None
    assert run.exponent > 0.02
    assert run.bits > 500


def test_a_slow_swing_that_symmetry_keeps_up_is_not_called_chaotic():
    """A nudge grows on it by a factor of 2.4 a round, but what two rounds move dies away."""
    links = ((0, 3), (0, 4), (0, 5), (1, 3), (1, 4), (2, 3), (2, 4), (2, 6), (3, 4), (5, 6))
    market = Tiny(links, (2, 2, 2, 2, 2, 1, 2))
    assert np.isnan(tiny.fate([market], 1.0, 4000).exponent).all()
    assert not _smallest_search.is_chaotic([market], 1.0, 4000).any()


def test_smaller_markets_are_connected_and_one_step_away():
    market = Tiny(((0, 1), (1, 2), (0, 2), (2, 3)), (1, 2, 1, 1))
    found = _smallest_search.smaller(market)
    assert all(nx.is_connected(nx.Graph(m.links)) for m in found)
    # Three agents can go, three links of the triangle, and one contribution can fall.
    assert len(found) == 3 + 3 + 1
    assert found == sorted(found, key=lambda m: m.size)


# -- colours -----------------------------------------------------------------------------------------------


def test_a_coloured_sweep_is_a_sweep_one_by_one(random_markets):
    markets = [
        cj.Market.from_links(np.array(m.links), endowment=np.array(m.weight, float))
        for m in random_markets[0][:6]
    ]
    assert _colouring.differences(markets, 2).max() < 1e-12
    # In another order it is another sweep.
    apart = []
    for market in markets:
        colour = cj.Coloured().turns(market)
        right, wrong = (
            _colouring.one_by_one(market, np.argsort(key, kind="stable"), 2) for key in (colour, -colour)
        )
        apart.append(abs(right - wrong).max())
    assert max(apart) > 1e-3


@pytest.mark.parametrize(
    ("graph", "bound"), [(nx.complete_graph(5), 5), (nx.star_graph(4), 4), (nx.cycle_graph(4), 2)]
)
def test_the_clique_bound_is_that_of_small_networks_on_paper(graph, bound):
    market = cj.Market.from_links(np.array(graph.edges))
    assert _colouring.clique_bound(market) == bound
    assert cj.Coloured().turns(market).max() + 1 == bound
