"""Metrics: known values, their ranges, what they say at zero, and per market in an ensemble."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference

import cmapjax as cj
from cmapjax import metrics
from cmapjax.engine._run import State
from cmapjax.market._differences import AT_ONCE, CACHED, FEWEST_BY_PAIRS, WIDEST_BY_PAIRS, differences

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


def test_who_has_less_than_a_thousand_millionth_of_its_contribution_has_nothing():
    w = np.asarray(STAR.contribution)
    for share, count in ((0.9e-9, 2), (1.1e-9, 0)):
        assert metrics.num_starved(STAR, w * np.array([1, 1, share, share]))[0] == count


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


@pytest.mark.optimised
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
        slope = jax.jit(jax.grad(lambda x: metrics.log_nash_welfare(small_market, x)[0]))(u)
    w = np.asarray(small_market.contribution)
    np.testing.assert_allclose(slope, w / w.sum() / np.asarray(u), rtol=1e-12)


def _ring(size):
    return cj.Market.from_links(np.stack([np.arange(size), (np.arange(size) + 1) % size], axis=1))


@pytest.fixture(scope="module")
def uneven():
    """Markets of 2 to 12 agents, and one too large for differences of all its pairs."""
    return cj.pack([_ring(size) for size in (2, 3, 12, 2, 5, WIDEST_BY_PAIRS + 50, 7, 3)])


def _compiled(function, market, *vectors):
    """The same inside jit, in float64."""
    with jax.enable_x64(True):
        return np.asarray(jax.jit(lambda *xs: function(market, *xs))(*jax.tree.map(jnp.asarray, vectors)))


def _state(market, history):
    flow, updates = market.equal_flow(), 10 * np.bincount(market.market_of)
    return State(np.int64(10), flow, history, 10 * history[0], updates, market.mirror(flow))


def _amounts(kind, size):
    rng = np.random.default_rng(3)
    x = rng.lognormal(sigma=2, size=size)
    return {
        "unlike": x,
        "tied": rng.integers(1, 4, size) / 3,
        "some have nothing": x * (rng.random(size) < 0.5),
        "all alike": np.full(size, 0.1),
        "nobody has anything": np.zeros(size),
    }[kind]


@pytest.mark.parametrize("kind", ["unlike", "tied", "some have nothing", "all alike", "nobody has anything"])
def test_the_gini_index_is_its_definition_whatever_the_sizes(uneven, kind):
    x = _amounts(kind, uneven.num_agents)
    expected = []
    for number in range(uneven.num_markets):
        own = x[uneven.market_of == number]
        sums = np.abs(own[:, None] - own[None, :]).sum()
        expected.append(sums / (2 * len(own) * own.sum()) if own.sum() else 0.0)
    for index in (metrics.gini(uneven, x), _compiled(metrics.gini, uneven, x)):
        # Sums of at most 300 positive numbers, each rounded a few times.
        np.testing.assert_allclose(index, expected, rtol=1e-13, atol=0)


def test_differences_leave_out_padding_and_need_no_second_amount():
    x = np.array([[7.0, 1, 2, 9], [3, 1, 4, 8], [5, 5, 5, 5]])
    lengths = np.array([1, 3, 4])
    with np.errstate(invalid="ignore"):  # as metrics do
        np.testing.assert_array_equal(differences(x, lengths), [0, 6, 0])
    with jax.enable_x64(True):
        np.testing.assert_array_equal(jax.jit(differences)(x, lengths), [0, 6, 0])
        one = jax.jit(differences)(jnp.asarray(x[:, :1]), jnp.ones(3, jnp.int32))
    np.testing.assert_array_equal(one, 0)


@pytest.mark.parametrize("width", [AT_ONCE + 1, 100])
def test_many_rows_are_compared_pair_by_pair_and_few_are_sorted(width):
    """In so many rows that the last chunk of them overlaps with the one before."""
    rng = np.random.default_rng(8)
    rows = CACHED // width * 3 // 2
    x, lengths = rng.lognormal(size=(rows, width)), rng.integers(1, width + 1, rows).astype(np.int32)
    x[::7] = 0.1
    expected = [np.abs(own[:n, None] - own[:n]).sum() / 2 for own, n in zip(x, lengths, strict=True)]
    assert x.size > FEWEST_BY_PAIRS
    with jax.enable_x64(True):
        found, few = jax.jit(differences)(x, lengths), jax.jit(differences)(x[:2], lengths[:2])
        text = str(jax.make_jaxpr(differences)(x, lengths))
    np.testing.assert_allclose(found, expected, rtol=1e-13)
    np.testing.assert_allclose(few, expected[:2], rtol=1e-13)
    assert (np.asarray(found)[::7] == 0).all()
    assert "while" in text or "scan" in text


def test_the_gini_index_of_what_is_no_number_is_none(uneven):
    x = np.ones(uneven.num_agents)
    x[0], x[-1] = np.nan, np.inf
    for index in (metrics.gini(uneven, x), _compiled(metrics.gini, uneven, x)):
        assert np.isnan(index[[0, -1]]).all()
        assert (index[1:-1] == 0).all()


def test_the_gini_index_has_the_slope_of_its_formula(uneven):
    x = _amounts("unlike", uneven.num_agents)
    direction = np.random.default_rng(4).normal(size=len(x)) * x
    with jax.enable_x64(True):
        slope = jax.jit(jax.jacrev(lambda x: metrics.gini(uneven, x)))(jnp.asarray(x))
    slope = np.asarray(slope) @ direction
    step = 1e-7  # less than would reorder any two amounts
    two = metrics.gini(uneven, x + step * direction) - metrics.gini(uneven, x - step * direction)
    # Differences of numbers near one over 2e-7: six digits or more of them remain.
    np.testing.assert_allclose(slope, two / (2 * step), rtol=1e-5, atol=1e-8)


@pytest.mark.optimised
def test_the_certified_gap_is_the_same_with_what_was_received_at_hand(ensemble, uneven):
    rng = np.random.default_rng(5)
    for market in (ensemble, uneven):
        giver, _ = market.arcs()
        given = rng.lognormal(size=len(giver))
        given *= (market.contribution / np.bincount(giver, given))[giver]
        for dtype in (np.float64, np.float32):  # of float32, rows spend their contributions to 7 digits
            flow = market.flow_from_arcs(given).astype(dtype)
            received = market.mirror(flow)
            gap = metrics.certified_gap_of_flow(market, flow)
            again = metrics.certified_gap_of_flow(market, flow, received)
            assert gap.tobytes() == again.tobytes()
            np.testing.assert_allclose(
                _compiled(metrics.certified_gap_of_flow, market, flow, received), gap, rtol=1e-12, atol=1e-15
            )
    flow = uneven.flow_from_arcs(given)
    gap = metrics.certified_gap_of_flow(uneven, flow)
    doubled = metrics.certified_gap_of_flow(uneven, flow, 2 * uneven.mirror(flow))  # it is used
    assert (np.abs(doubled - gap) > 0.1).all()


def test_the_utility_of_communities_is_recorded_of_a_market_that_compiled_code_is_handed(uneven):
    u = np.random.default_rng(7).lognormal(size=uneven.num_agents)
    with jax.enable_x64(True):
        found = jax.jit(metrics.mean_community_utility)(uneven.bare(), u)
    np.testing.assert_allclose(found, metrics.mean_community_utility(uneven, u), rtol=1e-12)


def test_on_the_host_nothing_is_compiled():
    compiled = []

    def listen(event, seconds, **_):
        compiled.append(event)

    market = _ring(13)  # a size of its own, lest another test has compiled something
    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        flow = market.equal_flow()
        u = market.received(flow)
        metrics.certified_gap_of_flow(market, flow)
        metrics.gini(market, u)
        metrics.log_welfare_loss(market, u, u)
        metrics.verdict(market, _state(market, np.stack([u, u, u])))
        metrics.spending_error(market, flow)
        metrics.mean_community_utility(market, u)
        assert compiled == []
        jax.jit(lambda x: x + 13)(u)
        assert compiled
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)
