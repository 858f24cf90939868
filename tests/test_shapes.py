"""Ensembles fitted to one shape: one compilation, and the results each market has alone."""

import jax
import numpy as np
import pytest

import cmapjax as cj
from cmapjax._shapes import Shape, fit, fit_plan, fits, shape_of

KEY = jax.random.key(3)
RANDOM = {
    "even": cj.graphs.RandomMarket(
        cj.graphs.ErdosRenyi(20, mean_degree=5),
        endowment=cj.graphs.LogNormal(sigma=1.0),
        isolated=cj.graphs.Redraw(),
    ),
    "odd": cj.graphs.RandomMarket(
        cj.graphs.BarabasiAlbert(15, 2), value=cj.graphs.LogNormal(sigma=0.5), isolated=cj.graphs.Reject()
    ),
    "dropped": cj.graphs.RandomMarket(cj.graphs.ErdosRenyi(20, mean_degree=2), isolated=cj.graphs.Drop()),
    "regular": cj.graphs.RandomMarket(cj.graphs.RandomRegular(10, 3)),
    "stars": cj.graphs.RandomMarket(cj.graphs.Star(5)),
}
FEW = {name: cj.metrics.standard()[name] for name in ("certified_gap", "log_nash_welfare")}
LINES = [
    (cj.CMAP(), cj.Simultaneous()),
    (cj.ProportionalResponse(), cj.Simultaneous()),
    (cj.Damped(cj.CMAP(), cj.LocalDamping()), cj.RandomParticipation(0.5)),
    (cj.CMAP(), cj.Coloured()),
    (cj.CMAP(), cj.RandomOrder()),
]


def _shapes(market):
    return [np.shape(leaf) for leaf in jax.tree.leaves(market.bare())]


@pytest.mark.parametrize("name", RANDOM)
def test_ensembles_drawn_alike_fit_one_shape(name):
    random = RANDOM[name]
    shape = shape_of(random.draw(KEY, 60))
    fitted = [fit(random.draw(KEY, count, first), shape) for count, first in ((60, 0), (60, 60), (7, 120))]
    assert all(market.num_agents == shape.num_agents for market in fitted)
    assert all(market.num_markets == shape.num_markets for market in fitted)
    assert len({str(_shapes(market)) for market in fitted}) == 1
    assert len({str(jax.tree.structure(market.bare())) for market in fitted}) == 1


@pytest.mark.parametrize("name", RANDOM)
def test_fitting_keeps_every_market_and_adds_only_fillers_at_their_equilibrium(name):
    market = RANDOM[name].draw(KEY, 30, first=5)
    fitted = fit(market, shape_of(market))
    n, m = market.num_agents, market.num_markets
    links = [tuple(x[: len(market.arcs()[0])]) for x in fitted.arcs()]
    assert links == [tuple(x) for x in market.arcs()]
    np.testing.assert_array_equal(fitted.contribution[:n], market.contribution)
    np.testing.assert_array_equal(fitted.market_of[:n], market.market_of)
    np.testing.assert_array_equal(fitted.numbers[:m], market.numbers)
    assert fitted.market_of[n:].min() == m
    assert len(np.unique(fitted.components()[n:])) <= (fitted.num_agents - n) // 2
    solved = cj.solve(fitted)
    np.testing.assert_allclose(solved.utility[n:], fitted.contribution[n:], rtol=1e-12)


@pytest.mark.optimised
@pytest.mark.parametrize(
    ("strategy", "schedule", "precision"),
    [
        *((*line, "float64") for line in LINES[:2]),
        *(pytest.param(*line, "float64", marks=pytest.mark.slow) for line in LINES[2:]),
        (*LINES[2], "float32"),
    ],
)
def test_a_fitted_ensemble_runs_as_it_does_alone_bit_for_bit(strategy, schedule, precision):
    market = RANDOM["even"].draw(KEY, 30, first=5)
    fitted = fit(market, shape_of(market))
    key = jax.random.key(1)
    options = {"rounds": 6, "every": 2, "precision": precision, "key": key, "record": FEW}
    alone = cj.simulate(market, strategy, schedule=schedule, **options)
    plan = fit_plan(schedule.plan(fitted, 1), fitted)
    run = cj.simulate(fitted, strategy, schedule=plan, **options)
    for name, table in alone.records.items():
        np.testing.assert_array_equal(run.records[name][:, :30], table, err_msg=name)
    np.testing.assert_array_equal(run.final.utility[: market.num_agents], alone.final.utility)
    np.testing.assert_array_equal(run.agent_updates[:, :30], alone.agent_updates)


def test_chunks_of_one_shape_are_compiled_once():
    traced = []

    def poorest(market, state):
        traced.append(market)
        return market.smallest(state.utility)

    random = RANDOM["even"]
    shape, plans = shape_of(random.draw(KEY, 40)), {}
    for first in (0, 40, 80):
        market = fit(random.draw(KEY, 40, first), shape)
        for schedule in (cj.Simultaneous(), cj.Coloured()):
            plan = fit_plan(schedule.plan(market), market, like=plans.get(type(schedule)))
            plans[type(schedule)] = plan
            cj.simulate(market, cj.CMAP(), schedule=plan, rounds=3, record={"poorest": poorest})
        if first == 0:
            once = len(traced)
    assert once > 0
    assert len(traced) == once


@pytest.mark.optimised
def test_how_an_ensemble_is_cut_changes_nothing_for_random_schedules():
    random, key = RANDOM["even"], jax.random.key(8)
    options = {
        "rounds": 4,
        "schedule": cj.RandomOrder(),
        "key": key,
        "endowments": cj.endowments.Exponential(),
    }
    whole = cj.simulate(random.draw(KEY, 4), cj.CMAP(), **options)
    parts = [cj.simulate(random.draw(KEY, 2, first), cj.CMAP(), **options) for first in (0, 2)]
    for name, table in whole.records.items():
        joined = np.concatenate([part.records[name] for part in parts], axis=1)
        np.testing.assert_array_equal(joined, table, err_msg=name)


def test_packed_chunks_keep_their_numbers_unless_these_clash():
    random = RANDOM["odd"]
    first, second = random.draw(KEY, 2), random.draw(KEY, 2, first=7)
    assert cj.pack([second, first]).numbers.tolist() == [7, 8, 0, 1]
    assert cj.pack([first, first]).numbers.tolist() == [0, 1, 2, 3]


def test_an_ensemble_that_does_not_fit_is_refused():
    market = RANDOM["even"].draw(KEY, 30)
    small = shape_of(RANDOM["even"].draw(KEY, 10))
    assert not fits(market, small)
    with pytest.raises(ValueError, match="no room for"):
        fit(market, small)
    assert not fits(market, Shape(((2, 5000),), 60, 20))
