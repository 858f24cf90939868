"""The exact equilibrium: brute force, known numbers, strange contributions, proofs that can fail."""

import dataclasses
import subprocess
import sys
from fractions import Fraction

import jax
import networkx as nx
import numpy as np
import pytest
import reference
from hypothesis import given, settings
from hypothesis import strategies as st
from test_answers import ANSWERS, _market

import cmapjax as cj
from cmapjax.equilibrium import _decomposition as decomposition
from cmapjax.equilibrium import _levels, certify, solve_in_fractions
from cmapjax.equilibrium._proof import verify_levels
from cmapjax.market._certificate import certify_arcs


@pytest.fixture(scope="module")
def gnutella():
    return cj.graphs.read_market(cj.graphs.shipped("gnutella"))


def random_market(rng):
    """Up to a dozen agents of whole contributions: trees, rings, scale-free, bipartite, dense."""
    n, seed = int(rng.integers(2, 13)), int(rng.integers(2**31))
    graph = {
        0: lambda: nx.from_edgelist(reference.random_links(rng, n, 0.0).tolist()),
        1: lambda: nx.cycle_graph(max(n, 3)),
        2: lambda: nx.barabasi_albert_graph(max(n, 3), min(2, max(n, 3) - 1), seed=seed),
        3: lambda: nx.complete_bipartite_graph(max(1, n // 3), max(1, n - n // 3)),
        4: lambda: nx.from_edgelist(reference.random_links(rng, n, 0.7).tolist()),
    }[int(rng.integers(5))]()
    most = int(rng.choice([1, 3, 20, 10**6]))
    return cj.graphs.from_networkx(graph, endowment=rng.integers(1, most + 1, len(graph)))


def exact_pairs(market, equilibrium):
    """(B, C, α) with α as the fraction of whole contributions that it is."""
    w = [int(x) for x in market.contribution]
    pairs = []
    for pair in cj.fairness.bottleneck_pairs(market, equilibrium):
        served, asked = (sum(w[market.index(a)] for a in side) for side in (pair.givers, pair.receivers))
        assert pair.ratio == served / asked
        pairs.append(
            (set(map(market.index, pair.receivers)), set(map(market.index, pair.givers)), served / asked)
        )
    return pairs


# -- right answers ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ANSWERS)
def test_markets_solved_on_paper_come_out_as_exact_fractions(name):
    links, w, utility, welfare = ANSWERS[name]
    found = cj.solve(_market(links, w), exact=True)
    assert list(found.exact.utility) == [Fraction(u) for u in utility]
    assert found.utility.tolist() == [float(u) for u in utility]
    assert np.exp(found.log_nash_welfare[0]) == pytest.approx(welfare, abs=1e-12)
    assert found.gap[0] <= 1e-14


def test_random_markets_equal_brute_force_over_all_subsets():
    rng = np.random.default_rng(11)
    singles = [random_market(rng) for _ in range(300)]
    together = cj.solve(cj.pack(singles), exact=True).exact
    start = 0
    for market in singles:
        w, links = reference.dense(market)
        pairs = reference.bottleneck_decomposition(w.tolist(), links)
        found = cj.solve(market, exact=True)
        assert list(found.exact.utility) == reference.equilibrium(w.tolist(), links)
        assert exact_pairs(market, found) == [(b, c, float(a)) for b, c, a in pairs]
        assert together.utility[start : start + market.num_agents] == found.exact.utility
        start += market.num_agents


def test_a_peer_to_peer_network_has_its_known_equilibrium(gnutella):
    assert (gnutella.num_agents, gnutella.num_links) == (10_875, 39_994)
    found = cj.solve(gnutella)
    assert found.log_nash_welfare[0] == pytest.approx(-0.127505745279180, abs=1e-12)
    np.testing.assert_allclose([found.ratio.min(), found.ratio.max()], [1 / 25, 25], rtol=1e-12)
    assert (found.groups.num_groups, found.is_solved) == (85, True)
    assert found.gap[0] <= 1e-12
    assert found.price_error[0] <= 1e-12
    host = np.array(gnutella.labels)
    weighted = gnutella.with_contributions(endowment=1 + (host * 2654435761) % 97)
    found = cj.solve(weighted)
    assert found.log_nash_welfare[0] == pytest.approx(-0.249505905882395, abs=1e-12)
    assert found.groups.num_groups == 2465
    assert found.gap[0] <= 1e-12


@pytest.mark.parametrize(
    "graph",
    [
        nx.fast_gnp_random_graph(3000, 8 / 3000, seed=1),
        nx.grid_2d_graph(50, 60),
        nx.path_graph(3000),
        nx.cycle_graph(3000),
        nx.random_geometric_graph(3000, 0.035, seed=1),
        nx.barabasi_albert_graph(3000, 4, seed=1),
        nx.watts_strogatz_graph(3000, 8, 0.05, seed=1),
    ],
    ids=["random", "grid", "path", "ring", "geometric", "scale-free", "small world"],
)
def test_networks_of_all_kinds_are_solved_to_rounding(graph):
    graph.remove_nodes_from(list(nx.isolates(graph)))
    market = cj.graphs.from_networkx(graph, endowment=np.random.default_rng(4).lognormal(0, 1, len(graph)))
    found = cj.solve(market)
    assert found.gap[0] <= 1e-14
    assert found.price_error[0] <= 1e-13
    assert found.iterations <= 40
    giver, receiver = market.arcs()
    used = market.arc_values(found.flow) > 0
    product = found.ratio[giver] * found.ratio[receiver]
    assert product.min() > 1 - 1e-14
    np.testing.assert_allclose(product[used], 1, rtol=1e-14)


def test_an_ensemble_is_solved_as_its_markets_are_alone():
    random = cj.graphs.RandomMarket(
        cj.graphs.ErdosRenyi(30, mean_degree=5),
        endowment=cj.graphs.LogNormal(sigma=1.0),
        isolated=cj.graphs.Redraw(),
    )
    singles = [random.draw(jax.random.key(0), 1, first=k) for k in range(12)]
    together = cj.solve(cj.pack(singles))
    alone = [cj.solve(market) for market in singles]
    np.testing.assert_array_equal(together.utility, np.concatenate([a.utility for a in alone]))
    np.testing.assert_array_equal(
        together.log_nash_welfare, np.concatenate([a.log_nash_welfare for a in alone])
    )
    assert together.groups.num_groups == sum(a.groups.num_groups for a in alone)
    assert np.all(np.diff(together.groups.market) >= 0)


# -- strange contributions --------------------------------------------------------------------------


@pytest.mark.parametrize("decades", [12, 100, 280])
def test_contributions_may_span_many_orders_of_magnitude(decades):
    rng = np.random.default_rng(decades)
    links = reference.random_links(rng, 60, 0.08)
    market = cj.Market.from_links(links, endowment=10.0 ** rng.uniform(-decades / 2, decades / 2, 60))
    found = cj.solve(market, exact=True)
    relative = [
        float(Fraction(a) / b) - 1 for a, b in zip(found.utility.tolist(), found.exact.utility, strict=True)
    ]
    assert np.abs(relative).max() < 4e-16
    assert found.price_error[0] < 1e-13


def test_thirds_are_exact_as_fractions_and_right_as_floats():
    links = np.array([[0, 1], [1, 2], [2, 3]])
    market = cj.Market.from_links(links, endowment=[1 / 3, 1 / 7, 2 / 3, 1.1])
    w = [Fraction(1, 3), Fraction(1, 7), Fraction(2, 3), Fraction(11, 10)]
    exact = solve_in_fractions(market, w)
    lcm = 210
    _, dense = reference.dense(market)
    assert list(exact.utility) == [u / lcm for u in reference.equilibrium([x * lcm for x in w], dense)]
    np.testing.assert_allclose(cj.solve(market).utility, [float(u) for u in exact.utility], rtol=1e-14)
    # As floats they are fractions too, only other ones.
    assert cj.solve(market, exact=True).exact.utility[0] == Fraction(1 / 7)


def test_an_agent_that_brings_more_than_all_others_is_served_by_all_of_them():
    market = cj.graphs.from_networkx(nx.complete_graph(6), endowment=[1e15, 1, 2, 3, 4, 5])
    found = cj.solve(market, exact=True)
    assert found.exact.utility[0] == 15
    assert set(found.exact.ratio[1:]) == {Fraction(10**15, 15)}


def test_components_of_two_agents_swap_what_they_have():
    w = np.random.default_rng(0).uniform(0.1, 10, 40)
    market = cj.Market.from_links(np.arange(40).reshape(20, 2), endowment=w)
    found = cj.solve(market)
    np.testing.assert_allclose(found.utility, w.reshape(20, 2)[:, ::-1].ravel(), rtol=4e-16)
    assert len(np.unique(found.groups.receives_in_block)) == 40


def test_a_hub_of_many_leaves_is_solved():
    leaves = 200_000
    market = cj.Market.from_links(np.stack([np.zeros(leaves, int), np.arange(1, leaves + 1)], axis=1))
    found = cj.solve(market)
    assert found.utility[0] == leaves
    assert set(found.utility[1:]) == {1 / leaves}
    assert found.gap[0] <= 1e-12


# -- other ways to it -------------------------------------------------------------------------------


def test_groups_read_off_ratios_that_are_near_are_proved_by_one_flow():
    market = cj.graphs.from_networkx(nx.karate_club_graph())
    direct = cj.solve(market)
    found = certify(market, cj.solve(market, method=cj.ProjectedGradient(), tolerance=1e-6).ratio)
    np.testing.assert_array_equal(found.utility, direct.utility)
    np.testing.assert_array_equal(found.groups.gives_in, direct.groups.gives_in)
    assert found.iterations == 1
    noisy = direct.ratio * np.exp(np.random.default_rng(0).uniform(-1e-5, 1e-5, 34))
    assert certify(market, noisy).iterations == 1


@pytest.mark.parametrize("spread", [0.3, 3.0])
def test_where_the_groups_read_off_are_wrong_the_answer_is_still_right(gnutella, spread):
    for market in (cj.graphs.from_networkx(nx.les_miserables_graph()), gnutella):
        direct = cj.solve(market)
        wrong = direct.ratio * np.random.default_rng(1).lognormal(0, spread, market.num_agents)
        found = certify(market, wrong)
        np.testing.assert_array_equal(found.utility, direct.utility)


def test_groups_taken_together_by_mistake_are_divided_again():
    market = cj.graphs.from_networkx(nx.les_miserables_graph())
    direct = cj.solve(market)
    found = certify(market, np.ones(77))
    np.testing.assert_array_equal(found.groups.receives_in, direct.groups.receives_in)


def test_groups_of_one_ratio_that_were_told_apart_are_taken_together():
    """Two pairs of 1 and 2 in one market, handed over as four groups, are two: of ratio 1/2 and of 2."""
    weight, market_of = np.array([1, 2, 1, 2]), np.zeros(4, int)
    giver, receiver = np.array([0, 1, 2, 3]), np.array([1, 0, 3, 2])
    apart = np.array([1, 2, 0, 3])
    found = decomposition.decompose(giver, receiver, weight, market_of, apart)
    assert found.levels.num_flows == 1
    assert list(zip(found.levels.numerator, found.levels.denominator, strict=True)) == [(1, 2), (2, 1)]
    np.testing.assert_array_equal(found.receives_in, [1, 0, 1, 0])
    np.testing.assert_array_equal(found.gives_in, [0, 1, 0, 1])


def test_ratios_that_differ_by_less_than_floats_tell_stay_apart():
    """A hub of 2^60 and three leaves that bring one more: both ratios are 1 as floats, and no group is."""
    brings = [2**60, 2**59, 2**59, 1]
    market = cj.Market.from_links([[0, 1], [0, 2], [0, 3]], endowment=np.array(brings, float))
    found = cj.solve(market, exact=True)
    low = Fraction(2**60, 2**60 + 1)
    assert found.exact.ratio == (1 / low, low, low, low)
    np.testing.assert_array_equal(found.ratio, 1)
    (pair,) = cj.fairness.bottleneck_pairs(market, found)
    assert pair.receivers == (1, 2, 3)
    assert pair.givers == (0,)


@pytest.mark.parametrize(
    ("graph", "w", "ratio"),
    [
        (nx.path_graph(5), [3, 3.8, 1.6, 1.6, 1.7], [2, 1, 2, 4, 2]),
        (nx.path_graph(6), [2.9, 2.6, 0.4, 1.3, 0.8, 2], [0.5, 0.5, 0.5, 1, 0.25, 1]),
        (nx.cycle_graph(6), [0.8, 0.4, 0.3, 1.2, 2.2, 0.7], [2, 0.25, 2, 2, 0.5, 2]),
        (nx.cycle_graph(5), [2.4, 1.9, 2.6, 3.8, 3], [2, 0.25, 2, 0.25, 0.5]),
    ],
    ids=["path of 5", "path of 6", "ring of 6", "ring of 5"],
)
def test_groups_that_can_be_filled_but_stand_in_a_wrong_order_are_not_confirmed(graph, w, ratio):
    market = cj.graphs.from_networkx(graph, endowment=w)
    weight, _ = decomposition.as_integers(np.asarray(market.contribution), np.zeros(len(w), int))
    terms = decomposition.plain_terms(*market.arcs(), weight, np.zeros(len(w), np.int64))
    division = _levels._Division(terms, expected=np.unique(ratio, return_inverse=True)[1])
    assert not division.serves_the_poorest(division.divided())
    np.testing.assert_array_equal(certify(market, np.array(ratio)).utility, cj.solve(market).utility)


# -- proofs -----------------------------------------------------------------------------------------


def _problem():
    rng = np.random.default_rng(11)
    market = cj.Market.from_links(reference.random_links(rng, 9, 0.05), endowment=rng.integers(1, 9, 9))
    weight, _ = decomposition.as_integers(np.asarray(market.contribution), np.zeros(9, int))
    problem = (*market.arcs(), weight, np.zeros(9, np.int64))
    return decomposition.plain_terms(*problem), decomposition.decompose(*problem).levels


def _shifted(parts, arc, by):
    parts = parts.copy()
    parts[arc] += by
    return parts


@pytest.mark.parametrize(
    ("broken", "law"),
    [
        (lambda f: {"parts": _shifted(f.parts, np.argmax(f.parts), 1)}, "nobody gives more than it has"),
        (lambda f: {"parts": _shifted(f.parts, np.argmax(f.parts), -1)}, "who keeps has nobody left"),
        (lambda f: {"parts": _shifted(f.parts, np.argmin(f.parts), -1)}, "flows are within capacities"),
        (lambda f: {"parts": f.parts[::-1].copy()}, "givers serve the poorest"),
        (lambda f: {"got": f.got + 1}, "what arrives is received"),
        (lambda f: {"numerator": f.numerator + 1}, "levels are ratios"),
        (lambda f: {"numerator": f.denominator, "denominator": f.numerator}, "levels are ratios"),
    ],
)
def test_a_wrong_answer_does_not_pass_verification(broken, law):
    terms, found = _problem()
    verify_levels(terms, found)
    assert len(found.numerator) > 2
    with pytest.raises(ArithmeticError, match=law):
        verify_levels(terms, dataclasses.replace(found, **broken(found)))


def test_a_link_that_would_pay_fails_verification():
    giver, receiver = np.array([0, 1, 2, 3]), np.array([1, 0, 3, 2])
    weight = np.array([1, 3, 1, 3])
    market_of = np.zeros(4, np.int64)
    found = decomposition.decompose(giver, receiver, weight, market_of).levels
    verify_levels(decomposition.plain_terms(giver, receiver, weight, market_of), found)
    # With a link between the two that are served worst the same flows are no equilibrium.
    more = np.append(giver, [1, 3]), np.append(receiver, [3, 1])
    extended = dataclasses.replace(found, parts=np.append(found.parts, [0, 0]))
    with pytest.raises(ArithmeticError, match="givers serve the poorest"):
        verify_levels(decomposition.plain_terms(*more, weight, market_of), extended)


def test_the_certificate_on_arcs_agrees_with_that_on_columns(ensemble):
    rng = np.random.default_rng(2)
    giver, receiver = ensemble.arcs()
    raw = rng.uniform(0, 1, len(giver))
    spent = np.bincount(giver, raw)
    flow = raw / spent[giver] * np.asarray(ensemble.contribution)[giver]
    proof = certify_arcs(
        giver, receiver, flow, np.asarray(ensemble.contribution), np.asarray(ensemble.market_of)
    )
    slots = ensemble.flow_from_arcs(flow)
    np.testing.assert_allclose(proof.gap, cj.certified_gap_of_flow(ensemble, slots), rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(proof.utility, ensemble.received(slots), rtol=1e-14)
    assert proof.gap[1:].min() > 1e-3  # in the first market nobody has a choice
    starved = np.where(receiver == 0, 0, flow)
    proof = certify_arcs(
        giver, receiver, starved, np.asarray(ensemble.contribution), np.asarray(ensemble.market_of)
    )
    assert proof.gap[0] == np.inf
    assert proof.spending_error[0] > 0.9
    # Rows of 5 and −4 times what is spent spend what they should, and the worst agent is at fault by its −4.
    signed = 5 * flow
    first = np.flatnonzero((np.diff(giver, prepend=-1) > 0) & (np.bincount(giver) > 1)[giver])
    signed[first] -= 4 * np.asarray(ensemble.contribution)[giver[first]]
    proof = certify_arcs(
        giver, receiver, signed, np.asarray(ensemble.contribution), np.asarray(ensemble.market_of)
    )
    slots = ensemble.flow_from_arcs(signed)
    np.testing.assert_allclose(proof.spending_error, cj.metrics.spending_error(ensemble, slots), rtol=1e-12)
    assert proof.spending_error[1:].min() > 1


def test_what_runs_record_is_what_the_certificate_on_arcs_says():
    random = cj.graphs.RandomMarket(
        cj.graphs.ErdosRenyi(12, mean_degree=4),
        endowment=cj.graphs.LogNormal(sigma=1.0),
        isolated=cj.graphs.Redraw(),
    )
    spokes, rim = [(0, i) for i in range(1, 60)], [(i, i % 59 + 1) for i in range(1, 60)]
    wheel = cj.Market.from_links(spokes + rim, endowment=np.random.default_rng(0).lognormal(size=60))
    market = cj.pack([random.draw(jax.random.key(0), 6), wheel])
    assert len(market.links.shapes) > 1
    giver, receiver = market.arcs()
    w, market_of = np.asarray(market.contribution), np.asarray(market.market_of)
    record = {"gap": lambda m, state: cj.certified_gap_of_flow(m, state.flow)}
    for strategy in (cj.EqualSplit(), cj.ProportionalResponse()):
        run = cj.simulate(market, strategy, rounds=3, record=record)
        for number, flow in ((0, market.equal_flow()), (-1, run.final.flow)):
            proof = certify_arcs(giver, receiver, market.arc_values(flow), w, market_of)
            np.testing.assert_allclose(run.records["gap"][number], proof.gap, rtol=1e-12)
        np.testing.assert_allclose(run.final.utility, proof.utility, rtol=1e-13)


@pytest.fixture(scope="module")
def many():
    """300 small random markets side by side, and their equilibria."""
    rng = np.random.default_rng(17)
    market = cj.pack(
        [
            cj.Market.from_links(reference.random_links(rng, n, 0.3), endowment=rng.lognormal(0, 1, n))
            for n in rng.integers(4, 9, 300).tolist()
        ]
    )
    return market, cj.solve(market)


def test_the_gap_of_a_float32_flow_is_never_below_zero_nor_below_its_loss(many):
    market, found = many
    giver, receiver = market.arcs()
    held = found.flow.astype(np.float32)
    leaned = market.arc_values(held) * (1 + 1e-3 * np.sin(7.0 * giver + 3.0 * receiver))
    spent = np.bincount(giver, leaned)
    leaned = market.flow_from_arcs(leaned * (market.contribution / spent)[giver]).astype(np.float32)
    for flow in (held, leaned):
        gap = cj.certified_gap_of_flow(market, flow)
        assert gap.min() > -1e-15
        for utility in (market.received(flow), market.received(flow.astype(np.float64))):
            loss = cj.metrics.log_welfare_loss(market, utility.astype(np.float64), found.utility)
            assert np.min(gap - loss) > -1e-15
        # Beside what the scaled rows lack it is raised by rounding alone.
        values = market.arc_values(flow).astype(np.float64)
        market_of = np.asarray(market.market_of)
        proof = certify_arcs(giver, receiver, values, np.asarray(market.contribution), market_of)
        assert np.all((gap >= proof.gap - 1e-15) & (gap <= proof.gap + 2e-7))


def test_what_a_float32_run_records_stays_within_what_it_certifies(many):
    market, found = many
    standard = cj.metrics.standard(found.utility)
    record = {name: standard[name] for name in ("certified_gap", "log_welfare_loss", "share_of_equilibrium")}
    for strategy in (cj.ProportionalResponse(), cj.Damped(cj.CMAP(), cj.LocalDamping())):
        run = cj.simulate(market, strategy, rounds=100, every=50, record=record, precision="float32")
        gap, loss = run.records["certified_gap"], run.records["log_welfare_loss"]
        assert np.isfinite(gap).all()
        assert loss.min() > -1e-15
        assert (gap - loss).min() > -1e-15
        assert run.records["share_of_equilibrium"].max() < 1 + 1e-15
        assert gap[-1].min() < 1e-7  # where rounding decides


@settings(max_examples=200, deadline=None)
@given(st.lists(st.floats(5e-324, 1e300, allow_nan=False), min_size=1, max_size=6))
def test_every_float_is_a_whole_number_of_units(contribution):
    w = np.array(contribution)
    number, power = decomposition.as_integers(w, np.zeros(len(w), int))
    assert [Fraction(x) for x in contribution] == [int(k) * Fraction(2) ** int(power[0]) for k in number]


def test_blocks_are_the_connected_parts_of_groups():
    two_stars = cj.Market.from_links(np.array([[0, 1], [0, 2], [3, 4], [3, 5]]))
    groups = cj.solve(two_stars).groups
    assert groups.num_groups == 2
    np.testing.assert_array_equal(groups.ratio, [0.5, 2])
    np.testing.assert_array_equal(groups.receives_in_block, [0, 1, 1, 3, 4, 4])
    np.testing.assert_array_equal(groups.gives_in_block, [1, 0, 0, 4, 3, 3])


def test_the_price_error_is_what_it_says_of_what_the_flow_delivers(many):
    """max |q_i / r_i − 1|, q_i the best of the neighbours' 1 / r_j: once more, arc by arc."""
    market, found = many
    giver, receiver = market.arcs()
    for method in (cj.Decomposition(), cj.ProjectedGradient(5, 5)):
        found = cj.solve(market, method=method)
        ratio = market.received(found.flow) / market.contribution
        price = np.zeros(market.num_agents)
        np.maximum.at(price, giver, 1 / ratio[receiver])
        error = np.zeros(market.num_markets)
        np.maximum.at(error, market.market_of, np.abs(price / ratio - 1))
        np.testing.assert_allclose(found.price_error, error, rtol=1e-6, atol=1e-15)
    assert found.price_error.max() > 0.01
    # To the last bit: at an exact equilibrium nothing but rounding is left.
    found = cj.solve(market)
    w, market_of = np.asarray(market.contribution), np.asarray(market.market_of)
    ratio = certify_arcs(giver, receiver, market.arc_values(found.flow), w, market_of).utility / w
    price, error = np.zeros(market.num_agents), np.zeros(market.num_markets)
    np.maximum.at(price, giver, 1 / ratio[receiver])
    np.maximum.at(error, market_of, np.abs(price / ratio - 1))
    np.testing.assert_array_equal(found.price_error, error)


# -- refusals ---------------------------------------------------------------------------------------


TOO_FAR_APART = {
    "a leaf": (
        [1e-140, 3.0, 1e-170, 1e120],
        "agent 2, who contributes 1e-170, would receive 1e-260 .* 1e-430",
    ),
    "a hub's": ([2e-250, 1.0, 1e-90, 1.0], "agent 2, who contributes 1e-90, would receive 1e-250 .* 1e-340"),
    "in part": ([1e-160, 1.0, 1e-150, 1.0], "agent 2, who contributes 1e-150, .* some 1e-311"),
}


@pytest.mark.parametrize("case", TOO_FAR_APART)
def test_utilities_that_float64_does_not_hold_are_refused_by_name(case):
    w, message = TOO_FAR_APART[case]
    star = cj.graphs.from_networkx(nx.star_graph(3), endowment=w)
    with pytest.raises(ValueError, match=message):
        cj.solve(star)
    with pytest.raises(ValueError, match=message):
        cj.solve(star, exact=True)
    with pytest.raises(ValueError, match=message):
        certify(star, np.ones(4))
    with pytest.raises(ValueError, match="agent 5, who contributes"):
        cj.solve(cj.pack([cj.graphs.from_networkx(nx.path_graph(3)), star]))
    # The remedy named.
    exact = solve_in_fractions(star)
    leaves = sum(Fraction(x) for x in w[1:])
    assert exact.utility[2] == Fraction(w[0]) * Fraction(w[2]) / leaves


def test_the_smallest_utility_that_float64_holds_is_right():
    w = [1e-160, 1.0, 1e-147, 1.0]
    found = cj.solve(cj.graphs.from_networkx(nx.star_graph(3), endowment=w), exact=True)
    assert found.utility[2] == pytest.approx(float(found.exact.utility[2]), rel=1e-15)
    assert found.utility[2] == pytest.approx(5e-308, rel=1e-12)
    assert found.gap[0] < 1e-14
    assert found.price_error[0] < 1e-14


def test_markets_side_by_side_may_be_in_units_of_any_size():
    graph = nx.path_graph(4)
    units = (1e-250, 1.0, 1e250)
    markets = [cj.graphs.from_networkx(graph, endowment=np.array([1, 4, 2, 3]) * unit) for unit in units]
    found = cj.solve(cj.pack(markets))
    np.testing.assert_allclose(found.ratio.reshape(3, 4), np.tile(found.ratio[4:8], (3, 1)), rtol=1e-14)
    assert found.gap.max() < 1e-14
    wide = cj.graphs.from_networkx(graph, endowment=[1.0, 1e-200, 3.0, 1e200])
    with pytest.raises(ValueError, match=r"from 1e-200 \(agent 5\) to 1e\+200 \(agent 7\)"):
        cj.solve(cj.pack([markets[0], wide]))


@pytest.mark.parametrize("product", [0.0, np.inf, np.nan])
def test_products_that_are_no_contributions_are_refused_by_name(product):
    market = cj.graphs.from_networkx(nx.path_graph(3))
    market = dataclasses.replace(market, endowment=np.array([1.0, product, 1.0]))
    for find in (solve_in_fractions, lambda m: certify(m, np.ones(3)), cj.solve):
        with pytest.raises(ValueError, match=r"contribution endowment × value .* 1 agent\(s\) \(1: "):
            find(market)


def test_a_gap_that_overflows_is_no_proof():
    market = cj.graphs.from_networkx(nx.path_graph(3), endowment=[1e300, 1e300, 1e-5])
    utility = np.array([1e-5, 1e-5, 2e300])  # ratios of 1e-305 and 1e305
    assert cj.certified_gap(market, utility)[0] == np.inf


@pytest.mark.parametrize(
    ("contribution", "message"),
    [
        ([1, 2], "2 numbers for 3 agents"),
        ([1, 2, 0], "agent 2 has 0; give a positive int or Fraction"),
        ([1, Fraction(-1, 2), 3], "agent 1 has Fraction"),
        ([0.5, 1, 1], r"agent 0 has 0\.5"),
        ([True, 1, 1], "agent 0 has True"),
    ],
)
def test_contributions_that_are_no_fractions_are_refused(contribution, message):
    market = cj.Market.from_links(np.array([[0, 1], [1, 2]]))
    with pytest.raises(ValueError, match=message):
        solve_in_fractions(market, contribution)


@pytest.mark.parametrize("first", ["cmapjax", "cvxpy"])
def test_the_flow_solver_and_cvxpy_s_live_in_one_process(first):
    """Both ship a HiGHS library, under one name and in different versions."""
    solve = "cmapjax.solve(cmapjax.Market.from_links(numpy.array([[0, 1]])))"
    other = (
        "x = cvxpy.Variable(nonneg=True); cvxpy.Problem(cvxpy.Minimize(x), [x >= 2]).solve(solver='HIGHS')"
    )
    code = [f"import numpy, cmapjax; {solve}", f"import cvxpy; {other}; assert abs(x.value - 2) < 1e-9"]
    code = code if first == "cmapjax" else code[::-1]
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(code)], capture_output=True, text=True, check=False, timeout=200
    )
    assert done.returncode == 0, done.stderr


def test_ensembles_taken_in_batches_have_the_same_groups(monkeypatch):
    random = cj.graphs.RandomMarket(
        cj.graphs.ErdosRenyi(12, mean_degree=4),
        endowment=cj.graphs.LogNormal(sigma=1.0),
        isolated=cj.graphs.Drop(),
    )
    market = random.draw(jax.random.key(2), 30)
    whole = cj.solve(market)
    for agents in (1, 25, 100):
        monkeypatch.setattr(_levels, "BATCH", agents)
        found = cj.solve(market)
        np.testing.assert_array_equal(found.utility, whole.utility)
        np.testing.assert_array_equal(found.groups.gives_in, whole.groups.gives_in)
        np.testing.assert_array_equal(found.groups.ratio, whole.groups.ratio)
        np.testing.assert_allclose(found.gap, whole.gap, atol=1e-14)
