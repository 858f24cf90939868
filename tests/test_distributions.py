"""Distributions of endowments and values: the stated laws, and never a zero.

Statistical tests use fixed seeds and a limit of 4 standard errors: each would fail by chance once in
16,000 choices of the seed, and a generator that is wrong fails at every seed.
"""

import math

import numpy as np
import pytest
import scipy.integrate
import scipy.stats

from cmapjax.graphs import Exponential, Gamma, LogNormal, Pareto, Uniform, Unit
from cmapjax.graphs._distributions import draw_positive

DISTRIBUTIONS = [
    Unit(),
    Uniform(0, 3),
    Uniform(0.5, 1.5),
    Exponential(2),
    Gamma(0.5, 3),
    Gamma(4),
    LogNormal(0.5, 2),
    Pareto(5, 2),
]
# -- distributions -----------------------------------------------------------------------------


@pytest.mark.parametrize("distribution", DISTRIBUTIONS, ids=repr)
def test_draws_are_positive_with_the_stated_mean(distribution):
    numbers = distribution.draw(np.random.default_rng(9), 20_000)
    assert numbers.shape == (20_000,)
    assert numbers.dtype == np.float64
    assert np.isfinite(numbers).all()
    assert (numbers > 0).all()
    assert abs(numbers.mean() - distribution.mean) <= 4 * numbers.std() / math.sqrt(20_000)


@pytest.mark.parametrize(
    ("distribution", "expected"),
    [
        (Uniform(0.5, 1.5), scipy.stats.uniform(0.5, 1)),
        (Exponential(2), scipy.stats.expon(scale=2)),
        (Gamma(0.5, 3), scipy.stats.gamma(0.5, scale=6)),
        (LogNormal(0.8, 2), scipy.stats.lognorm(0.8, scale=2 * math.exp(-0.32))),
        (Pareto(0.5, 2), scipy.stats.pareto(0.5, scale=2)),
        (Pareto(3), scipy.stats.pareto(3)),
    ],
    ids=lambda given: type(given).__name__,  # a repr holds an address, and workers must agree
)
def test_draws_follow_the_stated_distribution(distribution, expected):
    numbers = distribution.draw(np.random.default_rng(10), 5000)
    assert scipy.stats.kstest(numbers, expected.cdf).pvalue > 1e-4
    assert distribution.mean == pytest.approx(expected.mean())


@pytest.mark.parametrize(
    "distribution",
    [
        LogNormal(20),
        LogNormal(20, 1e-100),
        Pareto(0.1, 1e100),
        Gamma(0.1, 1e-100),
        Gamma(1e15),
        Uniform(0, 1e-100),
        Exponential(1e100),
    ],
    ids=repr,
)
def test_extreme_parameters_still_draw_finite_positive_numbers(distribution):
    numbers = distribution.draw(np.random.default_rng(11), 100_000)
    assert np.isfinite(numbers).all()
    assert (numbers > 0).all()


def test_a_draw_of_exactly_zero_is_drawn_again():
    helpings = iter([np.array([1.0, 0.0, 2.0, 0.0]), np.array([0.0, 3.0]), np.array([4.0])])
    sizes = []

    def draw(size):
        sizes.append(size)
        return next(helpings)

    assert draw_positive(draw, 4).tolist() == [1.0, 4.0, 2.0, 3.0]
    assert sizes == [4, 2, 1]
