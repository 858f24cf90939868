"""The part on random surplus, on tiny sizes: its fits find known laws, its runs are real ones."""

import dataclasses

import jax
import numpy as np
import pytest

import cmapjax as cj
from cmapjax.reproduce import Setting, _surplus
from cmapjax.reproduce._surplus_errors import Errors, rates
from cmapjax.reproduce._surplus_played import POLICY, PROCESSES, RULES, Size, _recorded, noise, play

# Details of measured claims, which take long to compile: run before a change to them.
pytestmark = pytest.mark.slow

NUM_MARKETS = 14
RIVAL = "proportional response"
VARIATION = {name: process.variation for name, process in PROCESSES.items()}


def made_up(power, constant=1.0, spread=0.0, floor=0.0):
    """Errors by a law, constant × t^-power, under every strategy and process; and no less than a floor."""
    rounds = np.arange(0, 4001, 10)
    rng = np.random.default_rng(0)
    shape = len(rounds), len(PROCESSES), NUM_MARKETS
    law = constant * np.maximum(rounds, 1.0)[:, None, None] ** -power
    error = np.maximum(law * np.exp(spread * rng.normal(size=shape)), floor)
    recordings = dict.fromkeys(RULES, error)
    family = np.repeat([0, 1], NUM_MARKETS // 2)
    noise_of = np.full(NUM_MARKETS, 0.25)
    return Errors(
        rounds, family, ("one", "other"), 10, VARIATION, noise_of, recordings, recordings, recordings
    )


@pytest.mark.parametrize("power", [0.5, 1.0])
def test_slopes_and_constants_are_those_of_the_law(power):
    errors = made_up(power, constant=3.0, spread=0.05)
    np.testing.assert_allclose(errors.slopes(POLICY, "constant"), -power, atol=0.06)
    np.testing.assert_allclose(errors.constants(POLICY, "constant", power), 3.0, rtol=0.05)
    np.testing.assert_allclose(errors.fall(POLICY, "exponential"), 10**-power, rtol=0.3)


def test_two_terms_are_told_apart():
    errors = made_up(1.0, constant=5.0)
    mixed = errors.worst[POLICY] + made_up(0.5, constant=0.2).worst[POLICY]
    errors = dataclasses.replace(errors, worst={POLICY: mixed})
    np.testing.assert_allclose(errors.two_terms(POLICY, "constant"), [[5.0] * 14, [0.2] * 14], rtol=1e-6)


@pytest.mark.parametrize(
    ("power", "constant", "random"),
    [
        (1.0, "holds", "does not hold"),
        (0.85, "holds in part", "does not hold"),
        (0.5, "does not hold", "holds"),
    ],
)
def test_verdicts_on_rates_follow_the_slopes(power, constant, random):
    errors = made_up(power)
    assert _surplus._constant(errors).verdict == constant
    assert _surplus._random(errors, rates(errors)).verdict == random
    assert f"{-power:.3f}" in _surplus._constant(errors).found


def test_a_strategy_that_stands_is_told_from_one_that_falls():
    falling, standing = made_up(0.5), made_up(0.5, floor=0.2)
    mixed = dataclasses.replace(falling, worst=falling.worst | {RIVAL: standing.worst[RIVAL]})
    assert _surplus._others_at_random(mixed, RIVAL).verdict == "does not hold"
    assert _surplus._others_at_random(falling, RIVAL).verdict == "holds"


def test_errors_alike_for_all_processes_are_not_the_noise_of_what_arrives():
    assert _surplus._noise(made_up(0.5)).verdict == "does not hold"


def test_the_least_noise_is_that_of_the_givers_of_a_block():
    """A hub of 2 and its two leaves: the leaves have the hub's surplus alone, the hub has both of theirs."""
    star = cj.Market.from_links([[0, 1], [0, 2]], endowment=[2.0, 3.0, 4.0])
    pair = cj.Market.from_links([[0, 1]], endowment=[1.0, 1.0])
    both = cj.pack([star, pair])
    hub = np.sqrt(9 + 16) / 7
    expected = [np.sqrt((1 + 1 + hub**2) / 3), 1.0]  # either of the pair has the other's surplus alone
    np.testing.assert_allclose(noise(both, cj.solve(both).groups), expected, rtol=1e-12)


def test_endowments_are_recorded_alike_however_rounds_are_divided():
    market = cj.Market.from_links([[0, 1], [1, 2]], endowment=[1.0, 2.0, 3.0])
    key = jax.random.key(0)
    whole = _recorded(market, key, 0, 600).values
    parts = [_recorded(market, key, first, 300) for first in (0, 300)]
    np.testing.assert_array_equal(np.concatenate([part.values for part in parts]), whole)
    with jax.enable_x64(True):
        np.testing.assert_array_equal(parts[1].draw(market, np.asarray(302), None), whole[302])
    by_process = whole.reshape(600, len(PROCESSES), 3) / np.asarray(market.endowment)
    spread = by_process.std(axis=0).mean(axis=1)
    np.testing.assert_allclose(spread, list(VARIATION.values()), rtol=0.25)
    np.testing.assert_allclose(by_process.mean(axis=(0, 2)), 1, atol=0.2)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """Seven markets of nine agents or so, for 240 rounds, under the policy and one that reacts."""
    setting = Setting(tmp_path_factory.mktemp("surplus"), quick=True, seed=3)
    rules = {rule: RULES[rule] for rule in (POLICY, RIVAL)}
    return play(setting, Size(agents=9, degree=4, each=1, rounds=240, every=4, at_a_time=120), rules)


def test_what_is_played_begins_alike_and_comes_near_the_equilibrium(tiny):
    np.testing.assert_array_equal(tiny.rounds, np.arange(0, 241, 4))
    for rule, error in tiny.worst.items():
        assert error.shape == (61, len(PROCESSES), 7), rule
        assert np.isfinite(error).all()
        np.testing.assert_allclose(error[0], np.tile(error[0, :1], (len(PROCESSES), 1)), rtol=1e-12)
    assert (tiny.at(POLICY, "constant", 240) < 0.2).all()
    assert (tiny.loss[POLICY] <= tiny.worst[POLICY] / 2 + 1e-12).all()
    assert (tiny.rms[POLICY] <= tiny.worst[POLICY] + 1e-12).all()


def test_every_check_has_a_number_and_pictures_can_be_drawn(tiny, tmp_path):
    finding = _surplus.finding(tiny)
    assert len(finding.checks) == 5
    assert len(finding.tables["rates"]) == 2 * len(PROCESSES) * 7
    for name, picture in finding.pictures.items():
        cj.plots.save(picture.figure, tmp_path / f"{name}.png")
        assert (tmp_path / f"{name}.png").stat().st_size > 10_000
