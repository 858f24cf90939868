"""Fair and stable, in the literature's forms: each holds at the equilibrium and fails elsewhere."""

import networkx as nx
import numpy as np
import pytest
import reference
import scipy.optimize

import cmapjax as cj
from cmapjax import fairness


def markets(count=8):
    rng = np.random.default_rng(21)
    for n in rng.integers(3, 10, count):
        links = reference.random_links(rng, int(n), 0.25)
        yield cj.Market.from_links(links, endowment=rng.lognormal(0, 1, n), value=rng.uniform(0.5, 2, n))


@pytest.fixture(scope="module")
def solved():
    return [(market, cj.solve(market)) for market in markets()]


def test_at_the_equilibrium_every_form_holds(solved):
    for market, found in solved:
        assert fairness.reciprocity_error(market, found.flow)[0] < 1e-12
        assert fairness.lexicographic_error(market, found.flow)[0] < 1e-12
        prices = fairness.arrow_debreu_prices(market, found)
        assert fairness.arrow_debreu_error(market, prices, found.flow)[0] < 1e-12
        assert fairness.best_coalition(market, found.utility)[1] <= 1 + 1e-12


def test_at_an_equal_split_they_fail(solved):
    for market, found in solved:
        flow = market.equal_flow()
        if np.allclose(market.received(flow), found.utility):
            continue
        assert fairness.reciprocity_error(market, flow)[0] > 1e-3
        assert fairness.lexicographic_error(market, flow)[0] > 1e-3
        prices = np.sqrt(market.received(flow) / np.asarray(market.contribution))
        assert fairness.arrow_debreu_error(market, prices, flow)[0] > 1e-3


def test_progressive_filling_by_linear_programs_finds_the_same_ratios(solved):
    for market, found in solved:
        np.testing.assert_allclose(fairness.lexicographic_ratios(market), found.ratio, rtol=1e-8)


def test_the_prices_of_the_central_program_are_not_competitive_ones():
    market = cj.graphs.from_networkx(nx.star_graph(3))
    found = cj.solve(market)
    assert fairness.arrow_debreu_error(market, found.price, found.flow)[0] > 0.1


def test_a_coalition_that_would_gain_is_named_with_its_gain():
    # The first two, who are served worst, could swap what they have: 1 instead of 0.5 and 0.6.
    market = cj.graphs.from_networkx(nx.relabel_nodes(nx.path_graph(4), dict(enumerate("abcd"))))
    coalition, factor = fairness.best_coalition(market, np.array([0.5, 0.6, 1.9, 1.0]))
    assert coalition == ("a", "b")
    assert factor == pytest.approx(1 / 0.6, rel=1e-15)


def test_the_best_coalition_is_that_of_linear_programs_over_all_of_them(solved):
    for market, _ in solved[:3]:
        utility = market.received(market.equal_flow())
        _, factor = fairness.best_coalition(market, utility)
        n = market.num_agents
        by_hand = max(
            _guaranteed(market, [i for i in range(n) if mask >> i & 1], utility) for mask in range(1, 2**n)
        )
        assert factor == pytest.approx(by_hand, rel=1e-8)


def _guaranteed(market, members, utility):
    """The largest t such that a coalition by itself can give every member t times its utility."""
    w = np.asarray(market.contribution)
    arcs = [(i, j) for i, j in zip(*market.arcs(), strict=True) if i in members and j in members]
    if {j for _, j in arcs} != set(members):
        return 0.0
    c = np.append(np.zeros(len(arcs)), -1)
    spend = [[float(i == p) for i, _ in arcs] + [0] for p in members]
    get = [[-float(j == q) for _, j in arcs] + [utility[q]] for q in members]
    found = scipy.optimize.linprog(
        c, A_ub=spend + get, b_ub=[*w[members], *np.zeros(len(members))], method="highs"
    )
    return found.x[-1]


def test_bottleneck_pairs_are_those_of_the_literature():
    market = cj.graphs.from_networkx(nx.karate_club_graph())
    pairs = fairness.bottleneck_pairs(market, cj.solve(market))
    assert [pair.ratio for pair in pairs] == [2 / 5, 1 / 2, 1]
    assert pairs[0].receivers == (14, 15, 18, 20, 22)
    assert pairs[0].givers == (32, 33)
    assert pairs[1].givers == (0, 1, 2, 3)
    assert pairs[2].givers == pairs[2].receivers
    assert len(pairs[2].givers) == 15
    several = cj.pack([market, cj.graphs.from_networkx(nx.star_graph(4))])
    pairs = fairness.bottleneck_pairs(several, cj.solve(several))
    assert [pair.market for pair in pairs] == [0, 0, 0, 1]
    assert pairs[-1].givers == (several.labels[34],)


def test_a_link_between_two_who_would_both_gain_by_it_is_an_error_though_nothing_flows_there():
    """A triangle of 3, 1 and 3 whose large ones give to the small one alone."""
    market = cj.Market.from_links([[0, 1], [1, 2], [0, 2]], endowment=[3.0, 1.0, 3.0])
    giver, receiver = market.arcs()
    values = np.select([giver == 1, receiver == 1], [0.5, 3.0], 0.0)
    # Ratios 1/6, 6, 1/6: reciprocal wherever value flows, and a product of 1/36 on the link that is not used.
    error = fairness.reciprocity_error(market, market.flow_from_arcs(values))[0]
    assert error == pytest.approx(1 - 1 / 36, rel=1e-15)


def test_errors_are_given_per_market(solved):
    packed = cj.pack([market for market, _ in solved])
    flow = packed.equal_flow()
    alone = [fairness.lexicographic_error(m, m.equal_flow())[0] for m, _ in solved]
    np.testing.assert_allclose(fairness.lexicographic_error(packed, flow), alone, rtol=1e-13)


def test_what_is_too_large_or_unknown_is_refused():
    path = cj.graphs.from_networkx(nx.path_graph(15))
    with pytest.raises(ValueError, match=r"15 agents in 1 market.*at most 14"):
        fairness.best_coalition(path, np.ones(15))
    with pytest.raises(ValueError, match="at most 300"):
        fairness.lexicographic_ratios(cj.pack([path, path]))
    with pytest.raises(ValueError, match="finds no groups"):
        fairness.bottleneck_pairs(path, cj.solve(path, method=cj.ColouredSweeps()))
