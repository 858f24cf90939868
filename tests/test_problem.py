"""The equilibrium as a function with a feasible set and as a quadratic program, for others' solvers."""

import clarabel
import jax
import jax.numpy as jnp
import jaxopt
import networkx as nx
import numpy as np
import optax
import pytest
import scipy
from general import random_network
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


# -- as a quadratic program ------------------------------------------------------------------------


def on_paper():
    return cj.pack([_market(links, w) for links, w, _, _ in ANSWERS.values()])


def in_three_units():
    """A random network whose agents contribute very different amounts, in three units of value."""
    rng = np.random.default_rng(0)
    graph = nx.connected_watts_strogatz_graph(30, 4, 0.3, seed=1)
    w = rng.lognormal(sigma=1.0, size=30)
    return cj.pack([cj.graphs.from_networkx(graph, endowment=unit * w, value=2.0) for unit in (1e-9, 1, 1e9)])


def on_paper_and_in_three_units():
    return cj.pack([on_paper(), in_three_units()])


def by_clarabel(qp, accuracy=1e-13):
    settings = clarabel.DefaultSettings()
    settings.verbose = False
    settings.max_threads = 1
    settings.tol_gap_abs = settings.tol_gap_rel = settings.tol_feas = accuracy
    equalities, bounds = qp.num_equalities, qp.A.shape[0] - qp.num_equalities
    # Rows of `qp.A` below l are, for Clarabel, rows of -A x + s = -l with s ≥ 0; equalities are s = 0.
    cones = [clarabel.ZeroConeT(equalities), clarabel.NonnegativeConeT(bounds)]
    solver = clarabel.DefaultSolver(qp.P, qp.q, -qp.A, -qp.l, cones, settings)
    return np.array(solver.solve().x)


@pytest.mark.parametrize(
    ("market", "tolerance"),
    # On paper links are often on the edge of being used. There an interior point is off by the square root of
    # its accuracy.
    [(in_three_units, 1e-9), (on_paper, 1e-6)],
)
def test_a_solver_of_quadratic_programs_finds_the_equilibrium(market, tolerance):
    market = market()
    qp = cj.as_qp(market)
    flow, exact = qp.flow(by_clarabel(qp)), cj.solve(market)
    np.testing.assert_allclose(market.received(flow), exact.utility, rtol=tolerance)
    np.testing.assert_allclose(market.gave(flow), market.contribution, rtol=1e-14)
    assert cj.certified_gap_of_flow(market, flow).max() < tolerance**2 * market.num_agents + 1e-14


def test_the_equilibrium_meets_the_conditions_of_optimality():
    """Karush, Kuhn and Tucker: P x + q + Aᵀ z = 0, l ≤ A x ≤ u, z ≤ 0 on bounds, z = 0 where y > 0."""
    market = on_paper_and_in_three_units()
    qp, exact = cj.as_qp(market), cj.solve(market)
    giver, receiver = market.arcs()
    mean = (market.total(market.contribution) / np.bincount(market.market_of))[market.market_of]
    y = market.arc_values(exact.flow) / mean[giver]
    x = np.concatenate([y, exact.utility / mean])
    rows = qp.A @ x
    assert (rows >= qp.l - 1e-12).all()
    assert (rows <= qp.u + 1e-12).all()
    # Multipliers: what a unit fetches at the poorest neighbour, the ratio of a receiver, and by how much a
    # receiver is better off than the poorest.
    poorest = 1 / exact.price
    room = poorest[giver] - exact.ratio[receiver]
    z = np.concatenate([-poorest, exact.ratio, room])
    np.testing.assert_allclose(qp.P @ x + qp.q + qp.A.T @ z, 0, atol=1e-12)
    assert (room <= 1e-12).all()
    assert np.abs(room * y).max() < 1e-12
    assert room.min() < -0.1  # or the conditions would say little
    # They do fail elsewhere: of the equal split no multipliers satisfy both.
    equal = market.received(market.equal_flow()) / market.contribution
    least = np.full(market.num_agents, np.inf)
    np.minimum.at(least, giver, equal[receiver])
    assert ((equal[receiver] - least[giver]) * market.arc_values(market.equal_flow())).max() > 0.1


def test_the_order_of_variables_and_rows_is_the_documented_one():
    market = cj.Market.from_links(
        np.array([[0, 1], [1, 2]]), endowment=[1.0, 2.0, 3.0], value=[1.0, 1.0, 2.0]
    )
    qp = cj.as_qp(market)  # w = 1, 2, 6 of mean 3; arcs (0, 1), (1, 0), (1, 2), (2, 1)
    np.testing.assert_allclose(qp.P.diagonal(), [0, 0, 0, 0, 3, 1.5, 0.5])
    np.testing.assert_allclose(
        qp.A.toarray(),
        [
            [1, 0, 0, 0, 0, 0, 0],
            [0, 1, 1, 0, 0, 0, 0],
            [0, 0, 0, 1, 0, 0, 0],
            [0, 1, 0, 0, -1, 0, 0],
            [1, 0, 0, 1, 0, -1, 0],
            [0, 0, 1, 0, 0, 0, -1],
            *np.eye(4, 7),
        ],
    )
    np.testing.assert_allclose(qp.l, [1 / 3, 2 / 3, 2, 0, 0, 0, 0, 0, 0, 0])
    np.testing.assert_array_equal(qp.u, [*qp.l[:6], *[np.inf] * 4])
    assert qp.num_equalities == 6
    flow = qp.flow(np.array([1 / 3, 1, 1, 2, 0, 0, 0]))
    np.testing.assert_allclose(market.arc_values(flow), [1, 1, 1, 6])


def test_packed_markets_are_independent_blocks():
    one, other = _market([(0, 1), (1, 2)], [1.0, 2.0, 5.0]), _market([(0, 1)], [3e6, 1e6])
    together, alone = cj.as_qp(cj.pack([one, other])), [cj.as_qp(one), cj.as_qp(other)]
    x = [np.random.default_rng(0).uniform(1, 2, qp.q.size) for qp in alone]
    arcs = [len(market.arcs()[0]) for market in (one, other)]
    joint = np.concatenate(
        [*(a[:k] for a, k in zip(x, arcs, strict=True)), *(a[k:] for a, k in zip(x, arcs, strict=True))]
    )
    assert joint @ together.P @ joint == pytest.approx(
        sum(a @ qp.P @ a for a, qp in zip(x, alone, strict=True))
    )
    np.testing.assert_allclose(
        np.sort(together.A @ joint),
        np.sort(np.concatenate([qp.A @ a for a, qp in zip(x, alone, strict=True)])),
    )
    np.testing.assert_allclose(np.sort(together.l), np.sort(np.concatenate([qp.l for qp in alone])))


def test_answers_that_are_none_are_refused():
    market = cj.graphs.from_networkx(nx.path_graph(["ann", "bob", "cy"]))
    qp = cj.as_qp(market)
    right = by_clarabel(qp)
    with pytest.raises(ValueError, match=r"x has shape \(4,\); give the solver's whole answer, \(7,\)"):
        qp.flow(right[:4])
    for bad, said in ((0.0, "gives 0 in it"), (np.nan, "gives nan in it"), (np.inf, "gives inf in it")):
        with pytest.raises(ValueError, match=f"agent 'ann' {said}.*look at the solver's status"):
            qp.flow(np.where(np.arange(7) == 0, bad, right))
    with pytest.raises(ValueError, match=r"market is .*; give an object such as Market\.from_links"):
        cj.as_qp(nx.path_graph(3))


# -- markets with other terms ----------------------------------------------------------------------


@pytest.mark.parametrize("losses", [False, True])
def test_with_other_terms_the_least_objective_is_that_of_the_equilibrium(losses):
    market = cj.pack([random_network(np.random.default_rng(seed), losses=losses) for seed in range(8)])
    problem, exact = cj.problem(market), cj.solve(market)
    shares = exact.flow / np.where(problem.weight > 0, problem.weight, 1)
    counts = np.bincount(market.market_of, exact.settlement.counts)
    best = problem.objective(shares)
    assert best == pytest.approx(-(counts * exact.log_nash_welfare).sum(), rel=1e-12)
    assert problem.certified_gap(shares).max() < 1e-9
    slots = np.asarray(market.links.is_entry)
    room = np.inf if market.capacity is None else market.capacity
    rng = np.random.default_rng(0)
    for size in (0.1, 3.0):
        point = problem.project(size * rng.normal(size=shares.shape))
        flow = problem.flow(point)
        assert (flow >= 0).all()
        assert (flow <= np.where(slots, room, 0) + 1e-12).all()
        assert (market.gave(flow) <= market.contribution * (1 + 1e-12)).all()
        assert problem.objective(point) >= best - 1e-12
        np.testing.assert_allclose(problem.project(point), point, atol=1e-12)


def test_with_other_terms_but_demand_the_objective_is_smooth_and_steps_along_its_slope_come_near():
    """(A demand is a kink, at which such steps come to rest.)"""
    markets = [random_network(np.random.default_rng(seed), losses=True) for seed in range(8)]
    market = cj.pack(markets).with_terms(demand=None)
    problem, exact = cj.problem(market), cj.solve(market)
    best = -(np.bincount(market.market_of, exact.settlement.counts) * exact.log_nash_welfare).sum()
    with jax.enable_x64(True):
        step = jax.jit(lambda x, size: problem.project(x - size * jax.grad(problem.objective)(x)))
        x, size, value = jnp.asarray(problem.start), 0.1, problem.objective(problem.start)
        for _ in range(200):
            ahead = step(x, size)
            new = problem.objective(ahead)
            x, value, size = (ahead, new, 1.3 * size) if new < value else (x, value, size / 2)
    assert best - 1e-9 < value < best + 0.02 * (problem.objective(problem.start) - best)


def test_with_other_terms_the_quadratic_program_has_the_equilibrium():
    market = cj.pack([random_network(np.random.default_rng(seed), losses=False) for seed in range(12)])
    program, exact = cj.as_qp(market), cj.solve(market)
    is_row = [np.isfinite(program.u), np.isfinite(program.l)]
    is_row[1][: program.num_equalities] = False
    equal = program.num_equalities
    upper = np.flatnonzero(is_row[0][equal:]) + equal
    lower = np.flatnonzero(is_row[1])
    rows = [program.A.tocsr()[:equal], program.A.tocsr()[upper], -program.A.tocsr()[lower]]
    limits = np.concatenate([program.u[:equal], program.u[upper], -program.l[lower]])
    cones = [clarabel.ZeroConeT(equal), clarabel.NonnegativeConeT(len(upper) + len(lower))]
    settings = clarabel.DefaultSettings()
    settings.verbose = False
    matrix = scipy.sparse.csc_matrix(scipy.sparse.vstack(rows))
    curve = scipy.sparse.csc_matrix(program.P)
    solver = clarabel.DefaultSolver(curve, program.q, matrix, limits, cones, settings)
    flow = program.flow(np.array(solver.solve().x))
    counts = exact.settlement.counts
    # Clarabel's tolerance is 1e-8 of the objective, of second order in what is wrong.
    np.testing.assert_allclose(market.received(flow)[counts], exact.utility[counts], rtol=2e-3, atol=1e-4)
    reached = cj.metrics.log_nash_welfare(market, market.received(flow))
    np.testing.assert_allclose(reached, exact.log_nash_welfare, atol=1e-6)
    with pytest.raises(ValueError, match="as_qp: this market has efficiency"):
        cj.as_qp(random_network(np.random.default_rng(0), losses=True))
