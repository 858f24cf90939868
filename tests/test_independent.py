"""The package against other people's arithmetic: a slow NumPy reference, and a convex solver."""

import itertools

import cvxpy
import jax
import numpy as np
import pytest
import reference
from hypothesis import given, settings
from hypothesis import strategies as st

import cmapjax as cj

PAIRS = {
    "cmap": (cj.CMAP(), reference.cmap_row),
    "proportional response": (cj.ProportionalResponse(), reference.proportional_row),
    "entropic": (cj.EntropicCMAP(1.5), reference.entropic(1.5)),
    "equal split": (cj.EqualSplit(), reference.equal_row),
    "selfish best reply": (cj.SelfishBestReply(), reference.selfish_row),
    "cmap damped by 0.2": (cj.Damped(cj.CMAP(), 0.2), reference.damped(reference.cmap_row, 0.2)),
    "cmap damped by 1/Δ": (
        cj.Damped(cj.CMAP(), cj.MaxDegreeDamping()),
        reference.damped(reference.cmap_row, "max degree"),
    ),
    "cmap damped locally": (
        cj.Damped(cj.CMAP(), cj.LocalDamping()),
        reference.damped(reference.cmap_row, "local"),
    ),
    "proportional response damped by 0.5": (
        cj.Damped(cj.ProportionalResponse(), 0.5),
        reference.damped(reference.proportional_row, 0.5),
    ),
}
ORDER = np.random.default_rng(0).permutation(84)  # of the agents of all markets below
SCHEDULES = {
    "simultaneous": (cj.Simultaneous(), reference.simultaneous),
    "sequential": (cj.Sequential(ORDER), lambda n: reference.sequential(n, ORDER)),
}


@pytest.fixture(scope="module")
def markets():
    """Random markets of 3 to 12 agents, unlike contributions; and the same packed."""
    rng = np.random.default_rng(11)
    singles = []
    for n in (3, 5, 8, 12):
        for density in (0.0, 0.3, 0.8):
            links = reference.random_links(rng, n, density)
            singles.append(
                cj.Market.from_links(links, endowment=rng.uniform(0.1, 2, n), value=rng.lognormal(0, 1, n))
            )
    return singles, cj.pack(singles)


# In turns the central strategy, one without a level, and dampings of either by a number and by what is seen.
IN_TURNS = ("cmap", "selfish best reply", "cmap damped locally", "proportional response damped by 0.5")
SLOW = [(strategy, "sequential") for strategy in PAIRS if strategy not in IN_TURNS]


@pytest.mark.parametrize(
    ("strategy", "schedule"),
    [
        pytest.param(*pair, marks=[pytest.mark.slow] if pair in SLOW else [])
        for pair in itertools.product(PAIRS, SCHEDULES)
    ],
)
def test_one_round_from_a_random_start_is_that_of_the_reference(markets, strategy, schedule):
    singles, packed = markets
    (rule, row), (when, turns) = PAIRS[strategy], SCHEDULES[schedule]
    groups = turns(packed.num_agents)
    rng = np.random.default_rng(5)
    w, links = reference.dense(packed)
    if "Δ" in strategy:  # the largest degree is each market's own: damp market by market
        row = _per_market(row, singles)
    start = reference.random_split(rng, w, links)
    expected = reference.play_round(row, groups, start, w, links)
    run = cj.simulate(
        packed, rule, rounds=1, schedule=when, start=reference.flow_of(packed, start), record={}
    )
    got = reference.dense(packed, run.final.flow)[2]
    assert np.isfinite(got).all()
    # One round is a few sums and divisions: rounding, magnified by the cancellation in u_j − y_ij.
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-13 * w.max())


GRAPHS = {
    "a pair": lambda n, rng: [(0, 1)],
    "a hub": lambda n, rng: [(0, i) for i in range(1, n)],
    "a hub with rims": lambda n, rng: [(0, i) for i in range(1, n)] + [(i, i + 1) for i in range(1, n, 3)],
    "a clique": lambda n, rng: [(i, j) for i in range(min(n, 9)) for j in range(i)],
    "a ring": lambda n, rng: [(i, (i + 1) % n) for i in range(n)],
    "a tree": lambda n, rng: reference.random_links(rng, n, 0.0).tolist(),
    "anything": lambda n, rng: reference.random_links(rng, n, rng.choice([0.1, 0.5])).tolist(),
}


@st.composite
def _plays(draw):
    """A market of up to 60 agents, its start, and a strategy and its turns, here and in the reference."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    links = GRAPHS[draw(st.sampled_from(list(GRAPHS)))](draw(st.integers(4, 60)), rng)
    n = int(np.max(links)) + 1
    w = np.exp(draw(st.sampled_from([0.0, 0.5, 2.0])) * rng.normal(size=n))
    market = cj.Market.from_links(np.array(links), endowment=w)
    order, turn = rng.permutation(n), rng.integers(0, 4, n)
    schedule, groups = draw(
        st.sampled_from(
            [
                (cj.Simultaneous(), reference.simultaneous(n)),
                (cj.Sequential(order), reference.sequential(n, order)),
                (cj.Turns(2 * turn), [np.flatnonzero(turn == t) for t in range(4)]),
                (cj.OneAgentPerRound(order), [order[:1]]),
            ]
        )
    )
    strategy = draw(st.sampled_from([name for name in PAIRS if name != "selfish best reply"]))
    start = reference.random_split(rng, *reference.dense(market))
    return market, start, strategy, schedule, groups


@pytest.mark.optimised
@settings(max_examples=60, deadline=None, derandomize=True, database=None)
@given(play=_plays())
def test_small_markets_of_all_kinds_play_the_rounds_of_the_reference(play):
    """All by the one program that small markets share."""
    market, start, strategy, schedule, groups = play
    rule, row = PAIRS[strategy]
    w, links = reference.dense(market)
    expected = reference.play_round(row, groups, start, w, links)
    options = {"rounds": 1, "schedule": schedule, "start": reference.flow_of(market, start), "record": {}}
    run = cj.simulate(market, rule, **options)
    got = reference.dense(market, run.final.flow)[2]
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-13 * w.max() * len(w))
    assert (got >= 0).all()
    assert run.spending_error[0] < 1e-14


def _per_market(row, singles):
    offsets = np.cumsum([0] + [m.num_agents for m in singles])

    def within(i, y, w, links):
        number = np.searchsorted(offsets, i, side="right") - 1
        here = slice(offsets[number], offsets[number + 1])
        out = np.zeros(len(w))
        out[here] = row(i - offsets[number], y[here, here], w[here], links[here, here])
        return out

    return within


@pytest.mark.parametrize(
    ("strategy", "schedule"),
    [
        ("proportional response", "simultaneous"),
        ("cmap", "sequential"),
        ("cmap damped locally", "simultaneous"),
        ("entropic", "simultaneous"),
    ],
)
def test_forty_rounds_stay_with_the_reference_where_the_dynamic_is_stable(markets, strategy, schedule):
    packed = markets[1]
    rule, row = PAIRS[strategy]
    w, links = reference.dense(packed)
    y = reference.equal_split(w, links)
    for _ in range(40):
        y = reference.play_round(row, SCHEDULES[schedule][1](packed.num_agents), y, w, links)
    run = cj.simulate(packed, rule, rounds=40, schedule=SCHEDULES[schedule][0], record={})
    np.testing.assert_allclose(run.final.utility, y.sum(axis=0), rtol=1e-11)


def test_metrics_are_those_of_their_definitions(markets):
    singles, packed = markets
    w, links = reference.dense(packed)
    u = reference.random_split(np.random.default_rng(2), w, links).sum(axis=0)
    first = np.cumsum([0] + [m.num_agents for m in singles])
    for number, single in enumerate(singles):
        here = slice(first[number], first[number + 1])
        r = u[here] / w[here]
        _, its_links = reference.dense(single)
        pairs = {
            "log_nash_welfare": reference.log_nash_welfare(u[here], w[here]),
            "unweighted_nash_welfare": reference.unweighted_nash_welfare(u[here]),
            "certified_gap": reference.certified_gap(u[here], w[here], its_links),
            "min_ratio": r.min(),
        }
        for name, expected in pairs.items():
            got = getattr(cj.metrics, name)(packed, u)[number]
            assert got == pytest.approx(expected, rel=1e-12, abs=1e-14), name
        assert cj.metrics.gini(packed, u / w)[number] == pytest.approx(reference.gini(r), rel=1e-12)
        assert cj.metrics.jain_index(packed, u / w)[number] == pytest.approx(
            reference.jain_index(r), rel=1e-12
        )


# -- the equilibrium -------------------------------------------------------------------------------


def convex_solver_utilities(w, links):
    """max Σ w log u by Clarabel, asked for 1e-11: its default leaves utilities wrong by 1e-4."""
    giver, receiver = np.nonzero(links)
    y = cvxpy.Variable(len(giver), nonneg=True)
    gave = np.zeros((len(w), len(giver)))
    gave[giver, np.arange(len(giver))] = 1
    got = np.zeros((len(w), len(giver)))
    got[receiver, np.arange(len(giver))] = 1
    problem = cvxpy.Problem(cvxpy.Maximize(w @ cvxpy.log(got @ y)), [gave @ y == w])
    tight = dict.fromkeys(("tol_gap_abs", "tol_gap_rel", "tol_feas"), 1e-11)
    problem.solve(solver=cvxpy.CLARABEL, **tight)
    return got @ y.value


def test_the_equilibrium_is_that_of_a_convex_solver(markets):
    singles, packed = markets
    found = cj.solve(packed)
    assert found.is_solved
    expected = np.concatenate([convex_solver_utilities(*reference.dense(m)) for m in singles])
    # How far its utilities may be off follows from the gap that our certificate gives its solution:
    # |u_j/u*_j − 1| ≲ √(2 gap W / w_j). Its own tolerance bounds something else.
    gap = cj.certified_gap(packed, expected)
    assert gap.max() < 1e-6  # Clarabel, asked for 1e-11, comes to 3e-7 here
    worth = packed.total(packed.contribution)
    allowed = np.sqrt(2 * np.maximum(gap, 1e-15) * worth)[packed.market_of] / np.sqrt(packed.contribution)
    assert np.isfinite(expected).all()
    assert np.all(np.abs(expected / found.utility - 1) < allowed)
    welfare = [
        reference.log_nash_welfare(convex_solver_utilities(*reference.dense(m)), np.asarray(m.contribution))
        for m in singles[:4]
    ]
    np.testing.assert_allclose(found.log_nash_welfare[:4], welfare, rtol=0, atol=1e-9)


def test_the_equilibrium_is_the_exact_decomposition():
    rng = np.random.default_rng(3)
    singles, exact = [], []
    for n in (2, 3, 4, 5, 6, 7, 8):
        for _ in range(4):
            links = reference.random_links(rng, n, rng.choice([0.0, 0.2, 0.6]))
            w = rng.integers(1, 9, n)
            singles.append(cj.Market.from_links(links, endowment=w))
            exact += map(float, reference.equilibrium(w.tolist(), reference.dense(singles[-1])[1]))
    found = cj.solve(cj.pack(singles))
    assert found.is_solved
    np.testing.assert_allclose(found.utility, exact, rtol=1e-8)
    np.testing.assert_allclose(found.price, found.ratio, rtol=1e-8)


LINKS = np.array([[0, 1], [1, 2], [0, 2], [2, 3], [3, 4], [4, 5], [2, 5], [5, 6]])


@settings(max_examples=25, deadline=None)
@given(
    w=st.lists(st.integers(1, 20), min_size=7, max_size=7),
    seed=st.integers(0, 10_000),
)
def test_the_certified_gap_bounds_the_true_one(w, seed):
    market = cj.Market.from_links(LINKS, endowment=w)
    dense_w, links = reference.dense(market)
    exact = np.array([float(u) for u in reference.equilibrium(w, links)])
    best = reference.log_nash_welfare(exact, dense_w)
    y = reference.random_split(np.random.default_rng(seed), dense_w, links)
    missing = best - reference.log_nash_welfare(y.sum(axis=0), dense_w)
    certified = cj.certified_gap_of_flow(market, reference.flow_of(market, y))[0]
    assert certified >= missing - 1e-12
    found = cj.solve(market)
    assert found.gap[0] >= best - found.log_nash_welfare[0] - 1e-14
    np.testing.assert_allclose(found.utility, exact, rtol=1e-8)


# -- CMAP by gradient ------------------------------------------------------------------------------


@pytest.mark.parametrize("method", [cj.JaxoptGradient, cj.OptaxGradient])
def test_many_gradient_iterations_approach_the_exact_best_response(small_market, method):
    exact = cj.simulate(small_market, cj.CMAP(), rounds=1, record={}).final.flow
    errors = []
    for iterations in (1, 1000):
        strategy = cj.GradientCMAP(1, method(iterations, cj.FixedStep(0.05)))
        flow = cj.simulate(small_market, strategy, rounds=1, record={}).final.flow
        errors.append(np.abs(flow - exact).max())
    assert errors[0] > 1e-3
    assert errors[1] < 1e-6


def test_a_neighbour_that_has_nothing_is_served_by_gradient_too():
    """A hub that gave one leaf everything: where utility is 0 the slope is steep, and one step goes there."""
    market = cj.Market.from_links([[0, 1], [0, 2]])
    giver, receiver = market.arcs()
    start = market.flow_from_arcs(np.where(giver == 0, receiver == 1, 1.0))
    strategy = cj.GradientCMAP(1, cj.OptaxGradient(1, cj.FixedStep(0.1)))
    run = cj.simulate(market, strategy, rounds=1, start=start, record={})
    assert run.final.utility[2] > 0.5


def test_diminishing_steps_fall_like_one_over_the_root():
    sizes = [float(cj.DiminishingStep(0.2).at(np.asarray(k))) for k in range(4)]
    np.testing.assert_allclose(sizes, 0.2 / np.sqrt([1, 2, 3, 4]), rtol=1e-6)


@pytest.mark.parametrize(
    "step", [cj.FixedStep(0.1), cj.DiminishingStep(0.2), cj.LineSearch()], ids=lambda s: type(s).__name__
)
def test_the_jaxopt_and_optax_methods_take_the_same_steps(ensemble, step):
    flows = [
        cj.simulate(ensemble, cj.GradientCMAP(1, method(8, step)), rounds=2, record={}).final.flow
        for method in (cj.JaxoptGradient, cj.OptaxGradient)
    ]
    assert np.isfinite(flows[0]).all()
    np.testing.assert_allclose(flows[0], flows[1], rtol=0, atol=1e-9)


def test_nothing_here_switches_jax_to_double_precision():
    assert jax.config.jax_enable_x64 is False
