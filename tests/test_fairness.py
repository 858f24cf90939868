"""Fair and stable, in the literature's forms: each holds at the equilibrium and fails elsewhere."""

from fractions import Fraction

import jax
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


def test_progressive_filling_finds_the_same_ratios(solved):
    for market, found in solved:
        np.testing.assert_array_equal(fairness.lexicographic_ratios(market), found.ratio)


def _star(w, hub=0):
    """The hub is the agent of this number; the others are its leaves."""
    links = [[hub, leaf] for leaf in range(len(w)) if leaf != hub]
    return cj.Market.from_links(np.array(links), endowment=w)


@pytest.mark.parametrize("hub", range(4))
@pytest.mark.parametrize("w", [[3e-6, 0.02, 0.0007, 8e5], [7e-90, 2e-5, 40.0, 6e80], [1e-12, 1.0, 1.0, 1e9]])
def test_progressive_filling_ends_with_the_right_ratios_whatever_contributions_span(w, hub):
    rest = sum(Fraction(w[leaf]) for leaf in range(4) if leaf != hub)
    ratio = [rest / Fraction(w[hub]) if i == hub else Fraction(w[hub]) / rest for i in range(4)]
    assert fairness.lexicographic_ratios(_star(w, hub)).tolist() == [float(r) for r in ratio]


def test_progressive_filling_equals_brute_force_on_wide_markets():
    rng = np.random.default_rng(5)
    for n in (5, 7, 9):
        w = np.round(10 ** rng.uniform(0, 11, n))
        links = reference.random_links(rng, n, 0.2)
        market = cj.Market.from_links(links, endowment=w)
        exact = reference.equilibrium(w, reference.dense(market)[1])
        ratio = [float(u / Fraction(x)) for u, x in zip(exact, w.tolist(), strict=True)]
        assert fairness.lexicographic_ratios(market).tolist() == ratio


def test_ratios_that_no_float_holds_are_refused_by_name():
    with pytest.raises(ValueError, match=r"from 1e-200 \(agent 1\) to 1e\+200 \(agent 2\), and ratios"):
        fairness.lexicographic_ratios(_star([1.0, 1e-200, 1e200]))


# -- what is used, and what is feasible ---------------------------------------------------------------


def _split(market, share):
    """The hub of a star, agent 0, gives these shares of what it has; every leaf can give to it alone."""
    giver, _ = market.arcs()
    values = np.asarray(market.contribution)[giver]
    values[giver == 0] *= share
    return market.flow_from_arcs(values)


@pytest.mark.parametrize("w", [[1e-7, 3e4, 1e-7], [1e-3, 1e9, 1e-3], [1.0, 1e12, 2.0], [1e3, 1e80, 1e-80]])
def test_what_is_next_to_nothing_for_its_giver_may_be_all_that_its_receiver_gets(w):
    """A rich and a poor leaf share a hub, and the poor one is served fifty times as well."""
    market = _star(w)
    due = 50 * w[2] / w[1]
    flow = _split(market, [1 - due, due])
    ratio = market.received(flow) / market.contribution
    assert ratio[2] / ratio[1] == pytest.approx(50, rel=1e-6)
    assert fairness.lexicographic_error(market, flow)[0] == pytest.approx(49, rel=1e-6)
    assert fairness.reciprocity_error(market, flow)[0] > 40
    found = cj.solve(market)
    assert fairness.lexicographic_error(market, found.flow)[0] < 1e-12
    prices = fairness.arrow_debreu_prices(market, found)
    assert fairness.arrow_debreu_error(market, prices, found.flow)[0] < 1e-12
    assert fairness.arrow_debreu_error(market, prices, flow)[0] > 40


def test_all_that_a_small_giver_has_is_used_even_if_its_receiver_hardly_notices():
    """Agent 1, of next to nothing, serves a rich neighbour and leaves a poor one with nothing more."""
    market = cj.Market.from_links(np.array([[0, 1], [1, 2], [0, 3]]), endowment=[1.0, 1e-12, 1e-12, 5.0])
    giver, receiver = market.arcs()
    flow = cj.solve(market).flow
    values = market.arc_values(flow)
    values[(giver == 1) & (receiver == 0)], values[(giver == 1) & (receiver == 2)] = 1e-12, 0
    assert fairness.lexicographic_error(market, market.flow_from_arcs(values))[0] == np.inf


@pytest.fixture(scope="module")
def triple():
    """A path of three, named, with a padded layout: the middle has two neighbours."""
    links = nx.relabel_nodes(nx.path_graph(3), dict(enumerate(["ann", "bob", "cy"])))
    return cj.graphs.from_networkx(links, endowment=[2.0, 3.0, 0.5])


ERRORS = {
    "reciprocity": fairness.reciprocity_error,
    "lexicographic": fairness.lexicographic_error,
    "competitive": lambda market, flow: fairness.arrow_debreu_error(market, np.ones(market.num_agents), flow),
}


@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda y: y[[1, 0, 2, 3]], r"agent 'ann' gives 2\.4 of its contribution 2; every row of a flow"),
        (lambda y: y * [1, 1, 1, 1.5], r"agent 'cy' gives 0\.75 of its contribution 0\.5"),
        (lambda y: y * [1, 0.5, 1, 1], r"agent 'bob' gives 1\.8 of its contribution 3"),
        (
            lambda y: y + np.array([0, 5, -5, 0]),
            r"holds -4\.4; .* \(from agent 'bob' to agent 'cy'\)",
        ),
        (lambda y: y * [1, np.nan, 1, 1], r"the flow holds nan.*from agent 'bob' to agent 'ann'"),
        (lambda y: y * [np.inf, 1, 1, 1], "the flow holds inf"),
    ],
)
def test_flows_that_are_not_feasible_are_refused_by_name(triple, error, change, message):
    values = np.array([2.0, 2.4, 0.6, 0.5])  # ann to bob; bob to ann and to cy; cy to bob
    ERRORS[error](triple, triple.flow_from_arcs(values))
    with pytest.raises(ValueError, match=message):
        ERRORS[error](triple, triple.flow_from_arcs(change(values)))


@pytest.mark.parametrize("error", ERRORS)
def test_flows_of_a_wrong_shape_off_the_network_or_traced_are_refused(triple, error):
    flow = triple.equal_flow()
    market = cj.pack([triple, _star([1.0, 1.0, 1.0, 1.0])])
    for wrong in (np.append(flow, 0.0), flow[:-1], 1.0, flow[:, None]):
        with pytest.raises(ValueError, match=r"flow has shape .*; give one amount for each"):
            ERRORS[error](triple, wrong)
    padded = market.equal_flow()
    padded[np.flatnonzero(padded == 0)[:1]] = 0.25
    assert padded.shape[0] > market.num_links * 2
    with pytest.raises(ValueError, match="flow: value flows where there is no link"):
        ERRORS[error](market, padded)
    with pytest.raises(ValueError, match="works on plain numbers, not inside jit"):
        jax.jit(lambda y: ERRORS[error](triple, y))(flow)


def test_what_rounding_leaves_unspent_counts_as_an_error(triple):
    found = cj.solve(triple)
    values = triple.arc_values(found.flow)
    flow = triple.flow_from_arcs(values * (1 - 3e-6))
    for error in (fairness.reciprocity_error, fairness.lexicographic_error):
        assert error(triple, flow)[0] >= 2.9e-6
    short = found.flow.astype(np.float32) * np.float32(1 - 2e-4)
    assert 1e-4 < fairness.lexicographic_error(triple, short)[0] < 1e-3
    with pytest.raises(ValueError, match="of its contribution"):
        fairness.lexicographic_error(triple, short.astype(np.float64))


@pytest.mark.parametrize(
    ("price", "message"),
    [
        ([1, 1], r"price has shape \(2,\)"),
        ([1, 0, 1], r"price must be finite and above zero.*\(bob: 0\)"),
        ([1, 1, np.nan], r"\(cy: nan\)"),
        ([1, -2, 1], r"\(bob: -2\)"),
    ],
)
def test_prices_that_are_none_are_refused(triple, price, message):
    with pytest.raises(ValueError, match=message):
        fairness.arrow_debreu_error(triple, np.array(price, float), cj.solve(triple).flow)


@pytest.mark.parametrize("unit", [1e-307, 5e307])
def test_competitive_prices_may_be_in_any_unit(triple, unit):
    found = cj.solve(triple)
    prices = fairness.arrow_debreu_prices(triple, found) * unit
    assert fairness.arrow_debreu_error(triple, prices, found.flow)[0] < 1e-12
    assert fairness.arrow_debreu_error(triple, prices * [1, 1, 1 + 1e-3], found.flow)[0] > 4e-4


@pytest.mark.parametrize(
    ("utility", "message"),
    [
        ([1.0, 1.0], r"utility has shape \(2,\)"),
        ([1.0, np.nan, 1.0], "utility: agent 'bob' receives nan"),
        ([1.0, 2.0, -0.5], r"utility: agent 'cy' receives -0\.5; give finite amounts"),
        ([3.0, 2.0, 0.6], r"all agents receive 5\.6, and contribute 5\.5 in all"),
    ],
)
def test_utilities_that_are_none_are_refused(triple, utility, message):
    with pytest.raises(ValueError, match=message):
        fairness.best_coalition(triple, np.array(utility))


@pytest.mark.filterwarnings("error")
def test_who_has_nothing_gains_without_bound_if_the_coalition_can_serve_it(triple):
    # Ann and cy cannot serve each other. All three: the middle gets 2.5 instead of 5.5.
    assert fairness.best_coalition(triple, np.array([0, 5.5, 0])) == (("ann", "bob", "cy"), 2.5 / 5.5)
    assert fairness.best_coalition(triple, np.zeros(3)) == (("ann", "bob"), np.inf)


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
        fairness.bottleneck_pairs(path, cj.solve(path, method=cj.ProjectedGradient()))
