"""Parameters that differ from agent to agent, and the best damping of each market found with them."""

import jax
import numpy as np
import pytest

import cmapjax as cj
from cmapjax import sensitivity


@pytest.mark.parametrize("schedule", [cj.Simultaneous(), cj.Sequential()], ids=["together", "in turns"])
def test_every_market_is_damped_by_its_own_step(ensemble, schedule):
    theta = np.linspace(0.1, 0.6, ensemble.num_markets)
    own = cj.PerAgent(cj.Damped(cj.CMAP(), theta[ensemble.market_of]))
    together = cj.simulate(ensemble, own, rounds=4, schedule=schedule, record={}).final.utility
    for number in (0, 3, 5):
        alike = cj.Damped(cj.CMAP(), theta[number])
        alone = cj.simulate(ensemble, alike, rounds=4, schedule=schedule, record={}).final.utility
        mine = ensemble.market_of == number
        np.testing.assert_allclose(together[mine], alone[mine], rtol=1e-13)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: cj.PerAgent(cj.CMAP()), r"its parameters have the shapes \[\]"),
        (lambda: cj.PerAgent(cj.Damped(cj.CMAP(), 0.5)), r"shapes \[\(\)\]; give every one as a vector"),
        (lambda: cj.PerAgent(cj.Damped(cj.CMAP(), np.array([0.5, 2.0]))), "damping theta"),
        (lambda: cj.PerAgent("cmap"), "strategy is 'cmap'"),
    ],
)
def test_parameters_that_are_no_vectors_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_parameters_of_another_market_are_refused(small_market):
    with pytest.raises(ValueError, match="parameters of 3 agents for a market of 5"):
        cj.simulate(small_market, cj.PerAgent(cj.Damped(cj.CMAP(), np.full(3, 0.5))))


def test_the_best_damping_beats_the_safe_one_and_comes_near_the_best_of_a_grid():
    random = cj.graphs.RandomMarket(
        cj.graphs.ErdosRenyi(10, mean_degree=4),
        endowment=cj.graphs.LogNormal(sigma=1.0),
        isolated=cj.graphs.Redraw(),
    )
    market = random.draw(jax.random.key(0), 4)
    equilibrium = cj.solve(market).utility
    found = sensitivity.best_damping(market, equilibrium=equilibrium, rounds=6)
    np.testing.assert_array_equal(found.history[0], found.safe_loss)
    np.testing.assert_array_equal(found.history[-1], found.loss)
    assert found.history.shape == (180, 4)
    assert np.all(found.loss <= found.safe_loss)
    assert np.all(np.diff(found.history, axis=0) <= 0)
    grid = np.linspace(0.05, 0.95, 19)
    losses = []
    for theta in grid:
        run = cj.simulate(market, cj.Damped(cj.CMAP(), theta), rounds=6, record={})
        losses.append(cj.metrics.log_welfare_loss(market, run.final.utility, equilibrium))
    assert np.all(found.loss <= np.min(losses, axis=0))
    assert np.any(found.loss < 0.9 * found.safe_loss)
    # It is what a run with that damping leaves.
    own = cj.PerAgent(cj.Damped(cj.CMAP(), found.theta[market.market_of]))
    run = cj.simulate(market, own, rounds=6, record={})
    left = cj.metrics.log_welfare_loss(market, run.final.utility, equilibrium)
    np.testing.assert_allclose(left, found.loss, rtol=1e-9, atol=1e-15)


def test_a_random_schedule_has_no_best_damping(small_market):
    with pytest.raises(ValueError, match="random schedule"):
        sensitivity.best_damping(small_market, equilibrium=np.ones(5), schedule=cj.RandomOrder())
    with pytest.raises(ValueError, match="steps is 0"):
        sensitivity.best_damping(small_market, equilibrium=np.ones(5), steps=0)
