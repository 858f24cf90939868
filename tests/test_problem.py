"""The equilibrium as a function with a feasible set: slope, projection, certificate, others' solvers."""

import jax
import jax.numpy as jnp
import jaxopt
import numpy as np
import optax
import pytest
from test_answers import ANSWERS, _market

import cmapjax as cj


@pytest.fixture(scope="module")
def market():
    small = [answer for answer in ANSWERS.values() if len(answer[1]) <= 10]
    return cj.pack([_market(links, w) for links, w, _, _ in small])


def test_the_objective_is_log_nash_welfare_and_least_at_the_equilibrium(market):
    problem, exact = cj.problem(market), cj.solve(market)
    agents = np.bincount(market.market_of)
    for flow in (market.equal_flow(), exact.flow):
        welfare = cj.metrics.log_nash_welfare(market, market.received(flow))
        shares = flow / np.where(problem.weight > 0, problem.weight, 1)
        assert problem.objective(shares) == pytest.approx(-(agents * welfare).sum(), rel=1e-12)
        np.testing.assert_allclose(problem.flow(shares), flow, rtol=1e-14)
        np.testing.assert_allclose(
            problem.certified_gap(shares), cj.certified_gap_of_flow(market, flow), atol=1e-14
        )
    best = problem.objective(shares)
    rng = np.random.default_rng(0)
    for size in (1e-3, 0.1, 10.0):
        rough = shares + size * rng.normal(size=shares.shape)
        other = problem.project(rough)
        assert problem.objective(other) >= best - 1e-12
        # Of what is not feasible, the certificate is that of the nearest feasible shares.
        proved = cj.certified_gap_of_flow(market, problem.flow(other))
        np.testing.assert_array_equal(problem.certified_gap(rough), proved)


def test_the_start_is_feasible_and_the_projection_leaves_it_alone(market):
    problem = cj.problem(market)
    np.testing.assert_allclose(problem.flow(problem.start), market.equal_flow(), rtol=1e-15)
    np.testing.assert_allclose(problem.project(problem.start), problem.start, atol=1e-15)


def test_the_projection_is_the_nearest_feasible_point_in_either_precision(market):
    """Its optimality: (x − p)·(s − p) ≤ 0 for every feasible s."""
    problem, rng = cj.problem(market), np.random.default_rng(1)
    is_entry = problem.weight > 0
    for size in (0.1, 3.0):
        x = size * rng.normal(size=problem.start.shape)
        p = problem.project(x)
        np.testing.assert_allclose(market.gave(problem.flow(p)), market.contribution, rtol=1e-14)
        assert (p >= 0).all()
        assert (p[~is_entry] == 0).all()
        for _ in range(20):
            s = problem.project(rng.normal(size=x.shape))
            assert ((x - p) * (s - p))[is_entry].sum() <= 1e-12
        single = jax.jit(problem.project)(jnp.asarray(x, jnp.float32))
        assert single.dtype == jnp.float32
        np.testing.assert_allclose(single, p, atol=1e-5)


def test_the_slope_is_that_of_finite_differences(market):
    problem = cj.problem(market)
    rng, at = np.random.default_rng(2), problem.start
    with jax.enable_x64(True):
        slope = jax.jit(jax.grad(problem.objective))(jnp.asarray(at))
    step = 1e-6 * rng.normal(size=at.shape)
    difference = problem.objective(at + step) - problem.objective(at - step)
    assert np.asarray(slope) @ (2 * step) == pytest.approx(difference, rel=1e-6)
    assert (np.asarray(slope)[problem.weight == 0] == 0).all()


def test_an_agent_that_receives_nothing_makes_the_objective_infinite_and_leaves_slopes_finite():
    problem = cj.problem(_market([(0, 1), (1, 2)], [1.0, 1.0, 1.0]))
    market = problem.market
    for share in (0.0, -0.5):  # of what agent 1 gives, to agent 0
        x = market.flow_from_arcs([1.0, share, 1.0 - share, 1.0])
        assert problem.objective(x) == np.inf
        with jax.enable_x64(True):
            assert jnp.isfinite(jax.grad(problem.objective)(jnp.asarray(x))).all()
    assert np.isinf(problem.certified_gap(market.flow_from_arcs([1.0, 0.0, 1.0, 1.0])))


def test_packed_markets_add_up_and_do_not_touch_each_other(market):
    markets = [
        _market([(0, 1), (1, 2)], [1.0, 2.0, 5.0]),
        _market([(0, 1), (1, 2), (2, 3)], [3e6, 1e6, 1e6, 2e6]),
    ]
    together, alone = cj.problem(cj.pack(markets)), [cj.problem(one) for one in markets]

    def arcs(problem, x):
        return problem.market.arc_values(x)

    rng = np.random.default_rng(3)
    values = [rng.uniform(0.1, 1, len(one.arcs()[0])) for one in markets]
    x = together.market.flow_from_arcs(np.concatenate(values))
    xs = [one.flow_from_arcs(v) for one, v in zip(markets, values, strict=True)]
    own = list(zip(alone, xs, strict=True))
    assert together.objective(x) == pytest.approx(sum(p.objective(v) for p, v in own), rel=1e-14)
    np.testing.assert_allclose(
        arcs(together, together.project(x)),
        np.concatenate([arcs(p, p.project(v)) for p, v in own]),
        atol=1e-15,
    )
    np.testing.assert_allclose(
        together.certified_gap(x), np.concatenate([p.certified_gap(v) for p, v in own]), rtol=1e-12
    )
    with jax.enable_x64(True):
        slope = np.asarray(jax.grad(together.objective)(jnp.asarray(x)))
        slopes = [np.asarray(jax.grad(p.objective)(jnp.asarray(v))) for p, v in own]
    expected = np.concatenate([arcs(p, s) for (p, _), s in zip(own, slopes, strict=True)])
    np.testing.assert_allclose(arcs(together, slope), expected, rtol=1e-13)


def test_the_unit_of_value_makes_no_difference(market):
    other = market.with_contributions(endowment=np.asarray(market.endowment) * 1e6)
    here, there = cj.problem(market), cj.problem(other)
    x = here.project(np.random.default_rng(4).uniform(size=here.start.shape))
    assert there.objective(x) == pytest.approx(here.objective(x), rel=1e-12)
    np.testing.assert_allclose(there.certified_gap(x), here.certified_gap(x), rtol=1e-9, atol=1e-15)


def test_jaxopt_and_optax_find_the_equilibrium_of_many_markets_at_once(market):
    problem, exact = cj.problem(market), cj.solve(market)
    with jax.enable_x64(True):
        solver = jaxopt.ProjectedGradient(
            problem.objective, lambda x, _: problem.project(x), maxiter=2000, tol=1e-7
        )
        by_jaxopt = solver.run(jnp.asarray(problem.start)).params
        rule = optax.sgd(0.1)

        @jax.jit
        def step(carry, _):
            x, memory = carry
            change, memory = rule.update(jax.grad(problem.objective)(x), memory)
            return (problem.project(optax.apply_updates(x, change)), memory), None

        start = jnp.asarray(problem.start)
        (by_optax, _), _ = jax.lax.scan(step, (start, rule.init(start)), length=2000)
    for x in (by_jaxopt, by_optax):
        x = np.asarray(x)
        gap = problem.certified_gap(x)
        assert gap.max() < 1e-6
        missing = exact.log_nash_welfare - cj.metrics.log_nash_welfare(
            market, market.received(problem.flow(problem.project(x)))
        )
        assert (missing <= gap + 1e-12).all()


def test_what_is_no_array_of_shares_is_refused(market):
    problem = cj.problem(market)
    for x in (problem.start[:-1], np.zeros(problem.start.shape, int), list(problem.start), 0.5):
        for take in (problem.objective, problem.project, problem.flow, problem.certified_gap):
            with pytest.raises(ValueError, match=r"x is of shape .*; give an array of real numbers like"):
                take(x)


def test_what_is_no_market_is_refused():
    with pytest.raises(ValueError, match=r"market is .*; give an object such as Market\.from_links"):
        cj.problem("karate")
