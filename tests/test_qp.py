"""The equilibrium as a quadratic program: its conditions of optimality, and others' solvers on it."""

import clarabel
import networkx as nx
import numpy as np
import pytest
from test_answers import ANSWERS, _market

import cmapjax as cj


def on_paper():
    return cj.pack([_market(links, w) for links, w, _, _ in ANSWERS.values()])


def in_three_units():
    """A random network whose agents contribute very different amounts, in three units of value."""
    rng = np.random.default_rng(0)
    graph = nx.connected_watts_strogatz_graph(30, 4, 0.3, seed=1)
    w = rng.lognormal(sigma=1.0, size=30)
    return cj.pack([cj.graphs.from_networkx(graph, endowment=unit * w, value=2.0) for unit in (1e-9, 1, 1e9)])


def ensemble():
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
    market = ensemble()
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
