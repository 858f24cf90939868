"""All ways of finding the equilibrium, one table: same answers, same certificate, same manners."""

import functools
import sys

import jax
import jax.numpy as jnp
import jaxopt
import numpy as np
import optax.projections
import pytest
import reference
from test_answers import ANSWERS, _market

import cmapjax as cj
from cmapjax.equilibrium import _gradient
from cmapjax.equilibrium._simplex import project_rows

METHODS = {
    "projected gradient": cj.ProjectedGradient(),
    "convex program": cj.ConvexProgram(accuracy=1e-13),
}
# No more steps than lie between two looks; the convex program stops at a poor accuracy.
HURRIED = {
    "projected gradient": cj.ProjectedGradient(1),
    "convex program": cj.ConvexProgram(accuracy=0.5),
}
LIBRARIES = (optax.projections.projection_simplex, jaxopt.projection.projection_simplex)
every_method = pytest.mark.parametrize("method", METHODS)


def worst_deviation(gap, w):
    """What a certified gap leaves open: Σ w_j (d_j − log(1 + d_j)) ≤ g W, so |d_j| ≲ √(2 g W / w_j)."""
    w = np.asarray(w, float)
    return 1.01 * np.sqrt(2 * max(gap, 1e-16) * w.sum() / w) + 1e-12


# Those of few agents: the programs of a market with hubs take four times as long to compile.
SMALL_ANSWERS = {name: answer for name, answer in ANSWERS.items() if len(answer[1]) <= 10}


@pytest.fixture(scope="module")
def side_by_side(small_market):
    """Markets with answers on paper, one that is slow, and `small_market`: one program of each method."""
    slow = _market([(i, i + 1) for i in range(29)], [1.0 + (i % 3) for i in range(30)])
    oracles = [_market(links, w) for links, w, _, _ in SMALL_ANSWERS.values()]
    market = cj.pack([*oracles, slow, small_market])

    @functools.cache
    def solved(method):
        return cj.solve(market, tolerance=1e-9, method=METHODS[method])

    return market, solved


@pytest.fixture(scope="module")
def wide():
    """Random networks whose contributions span a factor of 1e6."""
    rng = np.random.default_rng(1)
    markets = []
    for n in (5, 8, 12):
        w = np.round(10 ** rng.permutation(np.linspace(0, 6, n)))  # whole, for the reference
        markets.append(cj.Market.from_links(reference.random_links(rng, n, 0.3), endowment=w))
    return cj.pack(markets)


@every_method
def test_every_method_finds_the_answers_on_paper(method, side_by_side):
    market, solved = side_by_side
    found = solved(method)
    assert found.is_solved, found.gap
    for number, (_, w, utility, _) in enumerate(SMALL_ANSWERS.values()):
        agents = np.asarray(market.market_of) == number
        expected = np.array([float(u) for u in utility])
        error = np.abs(found.utility[agents] / expected - 1)
        assert (error <= worst_deviation(found.gap[number], w)).all(), list(SMALL_ANSWERS)[number]


@pytest.fixture(scope="module")
def solved_wide(wide):
    return functools.cache(lambda method: cj.solve(wide, tolerance=1e-6, method=METHODS[method]))


@every_method
def test_the_flow_is_feasible_and_its_certificate_is_the_one_reported(method, wide, solved_wide):
    found = solved_wide(method)
    w, links, y = reference.dense(wide, found.flow)
    # Levels of CMAP are measured in numbers up to 1e6 times as large as a row.
    np.testing.assert_allclose(y.sum(axis=1), w, rtol=1e-9)
    assert (y >= 0).all()
    np.testing.assert_allclose(y.sum(axis=0), found.utility, rtol=1e-12)
    for number in range(wide.num_markets):
        own = np.ix_(*[np.flatnonzero(np.asarray(wide.market_of) == number)] * 2)
        gap = reference.certified_gap(y[own].sum(axis=0), w[own[1][0]], links[own])
        # The formula as it stands subtracts numbers near one: absolute digits are lost below 1e-9.
        assert found.gap[number] == pytest.approx(gap, rel=1e-4, abs=1e-9)


@every_method
def test_contributions_may_span_a_million(method, wide, solved_wide):
    found = solved_wide(method)
    assert found.is_solved, found.gap
    for number in range(wide.num_markets):
        own = np.flatnonzero(np.asarray(wide.market_of) == number)
        w, links, _ = reference.dense(wide, found.flow)
        exact = reference.equilibrium(w[own], links[np.ix_(own, own)])
        ratio = found.utility[own] / np.array([float(u) for u in exact])
        missing = w[own] @ (ratio - 1 - np.log(ratio))
        assert missing <= (max(found.gap[number], 0) + 1e-12) * w[own].sum()


@every_method
@pytest.mark.parametrize("factor", [1e-6, 1e6])
def test_the_unit_of_value_makes_no_difference(method, factor, small_market):
    """Only rounding differs; Clarabel scales its matrices itself and is as good in any unit."""
    other = small_market.with_contributions(endowment=np.asarray(small_market.endowment) * factor)
    here, there = (cj.solve(m, tolerance=1e-9, method=METHODS[method]) for m in (small_market, other))
    np.testing.assert_allclose(there.ratio, here.ratio, rtol=1e-8)
    np.testing.assert_allclose(there.flow / factor, here.flow, atol=1e-4)
    assert there.is_solved
    if method != "convex program":
        assert there.iterations == here.iterations


@every_method
def test_packed_markets_come_out_as_they_do_alone(method, small_market, side_by_side):
    """Neighbours in memory, one of them slow, pass nothing on; a market may only be polished longer."""
    together = side_by_side[1](method)
    alone = cj.solve(small_market, tolerance=1e-9, method=METHODS[method])
    assert together.is_solved
    assert alone.is_solved
    allowed = 2 * worst_deviation(1e-9, small_market.contribution)
    last = slice(-small_market.num_agents, None)
    assert (np.abs(together.utility[last] / alone.utility - 1) <= allowed).all()


@pytest.mark.parametrize("method", HURRIED)
def test_a_method_that_is_cut_short_says_so(method, wide):
    found = cj.solve(wide, tolerance=1e-14, method=HURRIED[method])
    assert not found.is_solved
    np.testing.assert_array_equal(found.result, found.gap > 1e-14)
    assert np.isfinite(found.gap).all()
    np.testing.assert_allclose(wide.gave(found.flow), wide.contribution, rtol=1e-9)
    if method != "convex program":
        assert found.iterations == HURRIED[method].check_every


def test_the_same_steps_are_taken_on_either_library_s_projection(small_market):
    on_optax, on_jaxopt = (
        cj.solve(small_market, method=cj.ProjectedGradient(projection=projection)) for projection in LIBRARIES
    )
    assert cj.ProjectedGradient().projection == "optax"
    assert on_jaxopt.iterations == on_optax.iterations
    np.testing.assert_allclose(on_jaxopt.flow, on_optax.flow, atol=1e-9)


def test_a_projection_of_one_s_own_is_called(small_market):
    """Bisection on the threshold instead of a sort; and no projection at all, which solves nothing."""

    def bisected(x):
        def halve(_, ends):
            low, high = ends
            middle = (low + high) / 2
            is_low = jnp.maximum(x - middle, 0).sum() > 1
            return jnp.where(is_low, middle, low), jnp.where(is_low, high, middle)

        low, high = jax.lax.fori_loop(0, 60, halve, (jnp.max(x) - 1, jnp.max(x)))
        return jnp.maximum(x - (low + high) / 2, 0)

    found = cj.solve(small_market, method=cj.ProjectedGradient(projection=bisected))
    np.testing.assert_allclose(found.utility, cj.solve(small_market).utility, rtol=1e-6)
    none = cj.solve(small_market, method=cj.ProjectedGradient(100, projection=lambda x: x))
    assert not none.is_solved


def test_a_limit_on_steps_does_not_compile_anew(small_market):
    cj.solve(small_market, method=cj.ProjectedGradient(40))
    compiled = _gradient._climb._cached._cache_size()
    cj.solve(small_market, method=cj.ProjectedGradient(60), tolerance=1e-3)
    assert _gradient._climb._cached._cache_size() == compiled


def test_both_libraries_project_alike_and_padding_is_nobody():
    """Against the projection by bisection on its threshold, with empty slots behind the row."""
    rng = np.random.default_rng(0)
    markets = [_market([(0, i) for i in range(1, n)], [1.0] * n) for n in (2, 4, 9)]
    market = cj.pack(markets)
    projected = jax.jit(lambda x: [project_rows(market, library, x) for library in LIBRARIES])
    for size in (1e-3, 1.0, 1e12):
        x = size * rng.normal(size=market.links.num_slots)
        with jax.enable_x64(True):
            ours = [np.asarray(share) for share in projected(x)]
        giver, _ = market.arcs()
        values = market.arc_values(x)
        for agent in range(market.num_agents):
            row = values[giver == agent]
            low, high = row.max() - 1, row.max()
            for _ in range(100):
                middle = (low + high) / 2
                low, high = (middle, high) if np.maximum(row - middle, 0).sum() > 1 else (low, middle)
            for share in ours:
                got = market.arc_values(share)[giver == agent]
                assert got.sum() == pytest.approx(1, abs=1e-14)
                np.testing.assert_allclose(got, np.maximum(row - high, 0), atol=1e-13 + 1e-15 * size)
        for share in ours:
            assert share.sum() == pytest.approx(market.num_agents, abs=1e-12)


@pytest.mark.parametrize("number", [0, -3, 2.5, True, "many"])
def test_counts_that_are_none_are_refused(number):
    with pytest.raises(ValueError, match=r"max_steps is .*; give a whole number, 1 or more"):
        cj.ProjectedGradient(number)
    with pytest.raises(ValueError, match=r"check_every is .*; give a whole number, 1 or more"):
        cj.ProjectedGradient(check_every=number)


@pytest.mark.filterwarnings("ignore:divide by zero:RuntimeWarning")  # CVXPY, on the point it is left with
def test_time_runs_out_for_the_convex_program_as_well(wide):
    found = cj.solve(wide, method=cj.ConvexProgram(max_seconds=1e-9))
    assert not found.is_solved
    np.testing.assert_allclose(wide.gave(found.flow), wide.contribution, rtol=1e-12)


def test_other_options_are_refused(small_market):
    with pytest.raises(ValueError, match=r"method is 'exact'; give an object such as Decomposition\(\)"):
        cj.solve(small_market, method="exact")
    with pytest.raises(ValueError, match=r"projection is 'magic'; give optax, jaxopt, or a function such"):
        cj.ProjectedGradient(projection="magic")
    for accuracy in (0, -1.0, 1.0, np.nan, "high", [1e-9, 1e-9]):
        with pytest.raises(ValueError, match=r"accuracy is .*; give a number above 0 and below 1"):
            cj.ConvexProgram(accuracy)
    for seconds in (0, -1.0, np.nan, "long", [1.0, 1.0]):
        with pytest.raises(ValueError, match=r"max_seconds is .*; give a number above 0"):
            cj.ConvexProgram(max_seconds=seconds)


@pytest.mark.parametrize("missing", ["cvxpy", "clarabel"])
def test_without_cvxpy_the_convex_program_says_what_to_install(missing, monkeypatch, small_market):
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(ImportError, match=r"pip install 'cmapjax\[reference\]'"):
        cj.solve(small_market, method=cj.ConvexProgram())


def test_a_solver_that_gives_up_leaves_the_equal_split_and_says_so(monkeypatch, small_market):
    import cvxpy

    def give_up(*_, **__):
        raise cvxpy.SolverError("gave up")

    monkeypatch.setattr(cvxpy.Problem, "solve", give_up)
    found = cj.solve(small_market, method=cj.ConvexProgram())
    np.testing.assert_allclose(found.flow, small_market.equal_flow())
    assert found.result[0] == 1
    assert found.gap[0] > 0.01
