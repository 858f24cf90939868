"""Metrics: known values, their ranges, what they say at zero, and per market in an ensemble."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference

import cmapjax as cj
from cmapjax import metrics

STAR = cj.Market.from_links(np.array([[0, 1], [0, 2], [0, 3]]), endowment=[3.0, 1, 1, 1])


@pytest.fixture(scope="module")
def utilities(ensemble):
    """Of a random allocation, and of the equilibrium."""
    w, links = reference.dense(ensemble)
    y = reference.random_split(np.random.default_rng(0), w, links)
    return y.sum(axis=0), cj.solve(ensemble).utility


def test_an_even_market_scores_perfectly():
    w = np.asarray(STAR.contribution)
    assert metrics.nash_welfare(STAR, w)[0] == 1
    assert metrics.log_nash_welfare(STAR, w)[0] == 0
    np.testing.assert_array_equal(metrics.ratio(STAR, w), 1)
    assert metrics.gini(STAR, np.ones(4))[0] == pytest.approx(0, abs=1e-16)
    assert metrics.jain_index(STAR, np.ones(4))[0] == 1
    assert metrics.min_ratio(STAR, w)[0] == 1
    assert metrics.num_starved(STAR, w)[0] == 0
    assert metrics.misallocated_share(STAR, w, w)[0] == 0
    assert metrics.share_of_equilibrium(STAR, w, w)[0] == 1
    assert metrics.certified_gap(STAR, w)[0] == pytest.approx(0, abs=1e-16)


def test_one_who_has_all():
    x = np.array([0.0, 6, 0, 0])
    assert metrics.gini(STAR, x)[0] == pytest.approx(3 / 4)
    assert metrics.jain_index(STAR, x)[0] == pytest.approx(1 / 4)
    assert metrics.num_starved(STAR, x)[0] == 3
    assert metrics.nash_welfare(STAR, x)[0] == 0
    assert metrics.log_nash_welfare(STAR, x)[0] == -np.inf
    assert metrics.unweighted_nash_welfare(STAR, x)[0] == 0
    assert metrics.certified_gap(STAR, x)[0] == np.inf
    best = np.array([3.0, 1, 1, 1])
    assert metrics.share_of_equilibrium(STAR, x, best)[0] == 0
    assert metrics.log_welfare_loss(STAR, x, best)[0] == np.inf
    assert metrics.worst_relative_error(STAR, x, best)[0] == 5
    assert metrics.misallocated_share(STAR, x, best)[0] == pytest.approx(10 / 12)


def test_nothing_at_all_has_stated_values():
    nothing = np.zeros(4)
    assert metrics.gini(STAR, nothing)[0] == 0
    assert metrics.jain_index(STAR, nothing)[0] == 1
    assert metrics.nash_welfare(STAR, nothing)[0] == 0


@pytest.mark.parametrize("scale", [1e-200, 1e200])
def test_fairness_indices_neither_overflow_nor_underflow(scale):
    x = scale * np.array([1.0, 2, 3, 4])
    assert metrics.jain_index(STAR, x)[0] == pytest.approx(100 / 120)
    assert metrics.gini(STAR, x)[0] == pytest.approx(0.25)


def test_unweighted_welfare_is_not_what_the_equilibrium_maximises():
    """K4, w = (5, 1, 1, 1): the equilibrium has 0.96524 of the best feasible geometric mean."""
    links = np.array([[i, j] for i in range(4) for j in range(i + 1, 4)])
    market = cj.Market.from_links(links, endowment=[5.0, 1, 1, 1])
    equilibrium = cj.solve(market).utility
    share = metrics.unweighted_nash_welfare(market, equilibrium) / metrics.unweighted_nash_welfare(
        market, np.full(4, 2.0)
    )
    assert share[0] == pytest.approx(0.96524, abs=5e-6)
    assert metrics.nash_welfare(market, np.full(4, 2.0))[0] < metrics.nash_welfare(market, equilibrium)[0]


def test_market_losses_agree_with_their_definitions(ensemble, utilities):
    u, best = utilities
    w = np.asarray(ensemble.contribution)
    for number in range(ensemble.num_markets):
        here = np.asarray(ensemble.market_of) == number
        loss = np.abs(u - best)[here].sum() / (2 * w[here].sum())
        assert metrics.misallocated_share(ensemble, u, best)[number] == pytest.approx(loss)
        worst = np.abs(u / best - 1)[here].max()
        assert metrics.worst_relative_error(ensemble, u, best)[number] == pytest.approx(worst)
        log_loss = reference.log_nash_welfare(best[here], w[here]) - reference.log_nash_welfare(
            u[here], w[here]
        )
        assert metrics.log_welfare_loss(ensemble, u, best)[number] == pytest.approx(log_loss)
        assert metrics.share_of_equilibrium(ensemble, u, best)[number] == pytest.approx(np.exp(-log_loss))


def test_metrics_stay_in_their_ranges(ensemble, utilities):
    u, best = utilities
    r = metrics.ratio(ensemble, u)
    n = np.bincount(ensemble.market_of)
    for index, least in ((metrics.jain_index(ensemble, r), 1 / n), (metrics.gini(ensemble, r), 0)):
        assert (index >= least).all()
        assert (index <= 1).all()
    assert (metrics.nash_welfare(ensemble, u) <= 1).all()
    assert (metrics.share_of_equilibrium(ensemble, u, best) <= 1 + 1e-12).all()
    assert (metrics.certified_gap(ensemble, best) < 1e-10).all()
    # Both are sums of logarithms, rounded; on an edge both are zero.
    excess = metrics.certified_gap(ensemble, u) - metrics.log_welfare_loss(ensemble, u, best)
    assert (excess >= -1e-14).all()


def test_the_certificate_undoes_the_rounding_of_float32(small_market):
    """A flow in float32 spends its contributions to seven digits; the bound is for what it says exactly."""
    best = cj.solve(small_market)
    flow = best.flow.astype(np.float32)
    gap = metrics.certified_gap_of_flow(small_market, flow)[0]
    assert 0 <= gap + 1e-15 < 1e-6
    assert metrics.spending_error(small_market, flow)[0] < 1e-6


def test_the_spending_error_is_the_worst_of_all_faults(small_market):
    flow = np.array(small_market.equal_flow())
    assert metrics.spending_error(small_market, flow)[0] < 1e-15
    giver, _ = small_market.arcs()
    values = small_market.arc_values(flow).copy()
    values[giver == 1] *= 1.25
    wrong = small_market.flow_from_arcs(values)
    assert metrics.spending_error(small_market, wrong)[0] == pytest.approx(0.25)
    values = small_market.arc_values(flow).copy()
    first, second = np.flatnonzero(giver == 1)[:2]
    values[first] += 6.0
    values[second] -= 6.0  # from 1.5 to −4.5, of a contribution of 3
    wrong = small_market.flow_from_arcs(values)
    assert metrics.spending_error(small_market, wrong)[0] == pytest.approx(1.5)
    budget = 0.5 * small_market.contribution
    assert metrics.spending_error(small_market, 0.5 * flow, budget)[0] < 1e-15


def test_the_distance_of_allocations(small_market):
    one = np.asarray(small_market.equal_flow())
    assert metrics.flow_distance(small_market, one, one)[0] == 0
    giver, receiver = small_market.arcs()
    values = small_market.arc_values(one).copy()
    values[(giver == 1) & (receiver == 0)] = 3
    values[(giver == 1) & (receiver == 2)] = 0
    other = small_market.flow_from_arcs(values)
    assert metrics.flow_distance(small_market, one, other)[0] == pytest.approx(1.5 / 8.5)


def test_oscillation_is_what_comes_back():
    at_rest = np.array([1.0, 2, 1, 2])
    swung = at_rest + np.array([0.5, -0.5, 0, 0])
    further = at_rest + np.array([1.0, -1.0, 0, 0])
    half_back = at_rest + np.array([0.25, -0.25, 0, 0])

    def amplitude(*history):
        return metrics.oscillation(STAR, np.array(history))[0]

    assert amplitude(at_rest, at_rest, at_rest) == 0
    assert amplitude(at_rest, swung, at_rest) == pytest.approx(1 / 12)
    assert amplitude(further, swung, at_rest) == 0
    assert amplitude(half_back, swung, at_rest) == pytest.approx(0, abs=1e-16)


def test_verdicts_are_given_in_their_order():
    rest = np.array([3.0, 1, 1, 1])
    swung = rest + np.array([0.5, -0.5, 0, 0])
    starved = np.array([4.0, 0, 1, 1])
    broken = np.array([np.nan, 1, 1, 1])
    cases = {
        "not finite": (broken, rest, rest),
        "starved": (starved, starved, starved),
        "converged": (rest, rest, swung),
        "oscillating": (rest, swung, rest),
        "still moving": (swung, rest, rest),
    }
    for expected, history in cases.items():
        code = metrics.verdict(STAR, np.array(history))[0]
        assert metrics.VERDICTS[code] == expected
    code = metrics.verdict(STAR, np.array([rest, starved, rest]))[0]
    assert metrics.VERDICTS[code] == "starved"  # it had nothing in one of the last two rounds
    code = metrics.verdict(STAR, np.array([swung, rest, rest]), tolerance=0.5)[0]
    assert metrics.VERDICTS[code] == "converged"


def test_the_utility_of_communities(small_market):
    u = np.array([1.0, 2, 3, 1.5, 1])
    weighted = np.asarray(small_market.contribution) * np.log(u)
    reach = {
        0: np.eye(5),
        1: [[1, 1, 1, 0, 0], [1, 1, 1, 0, 0], [1, 1, 1, 1, 0], [0, 0, 1, 1, 1], [0, 0, 0, 1, 1]],
        2: [[1, 1, 1, 1, 0], [1, 1, 1, 1, 0], [1, 1, 1, 1, 1], [1, 1, 1, 1, 1], [0, 0, 1, 1, 1]],
        np.inf: np.ones((5, 5)),
    }
    for hops, members in reach.items():
        expected = np.asarray(members) @ weighted
        np.testing.assert_allclose(metrics.community_utility(small_market, u, hops), expected, rtol=1e-13)
        mean = metrics.mean_community_utility(small_market, u, hops)[0]
        assert mean == pytest.approx(expected.mean(), rel=1e-13)
    for wrong in (-1, 1.5, np.nan):
        with pytest.raises(ValueError, match="community_hops is"):
            metrics.community_utility(small_market, u, wrong)


def test_communities_end_at_their_own_market(ensemble, utilities):
    u = utilities[0]
    everybody = metrics.community_utility(ensemble, u, np.inf)
    expected = ensemble.total(ensemble.contribution * np.log(u))[ensemble.market_of]
    np.testing.assert_allclose(everybody, expected, rtol=1e-12)


def test_packed_metrics_are_bit_for_bit_those_of_each_market(small_market):
    other = cj.Market.from_links(np.array([[0, 1], [1, 2]]), endowment=[1.0, 5, 2])
    u, v = np.array([1.0, 2, 3, 1.5, 1]), np.array([2.5, 3.0, 2.5])
    for markets, vector in (([small_market, other], [u, v]), ([other, small_market], [v, u])):
        packed = cj.pack(markets)
        for metric in (
            metrics.log_nash_welfare,
            metrics.jain_index,
            metrics.min_ratio,
            metrics.gini,
            metrics.certified_gap,
        ):
            together = metric(packed, np.concatenate(vector))
            alone = np.concatenate([metric(m, x) for m, x in zip(markets, vector, strict=True)])
            assert together.tobytes() == alone.tobytes(), metric.__name__


def test_metrics_return_float64_from_outside_and_the_given_precision_inside(small_market):
    u = np.array([1.0, 2, 3, 1.5, 1])
    assert metrics.log_nash_welfare(small_market, u).dtype == np.float64
    inside = jax.jit(lambda x: metrics.log_nash_welfare(small_market, x))(jnp.asarray(u, jnp.float32))
    assert inside.dtype == jnp.float32


def test_welfare_has_the_slope_of_its_formula(small_market):
    """∂ log NSW / ∂ u_j = w_j / (W u_j)."""
    with jax.enable_x64(True):
        u = jnp.array([1.0, 2, 3, 1.5, 1])
        slope = jax.grad(lambda x: metrics.log_nash_welfare(small_market, x)[0])(u)
    w = np.asarray(small_market.contribution)
    np.testing.assert_allclose(slope, w / w.sum() / np.asarray(u), rtol=1e-12)


def test_every_metric_is_listed():
    public = [name for name in dir(metrics) if name in metrics.__all__]
    assert sorted(public) == sorted(metrics.__all__)
    record = metrics.standard(np.ones(4))
    assert set(metrics.standard()) < set(record)
