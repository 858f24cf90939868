"""Forecasts, memory and late news on K_{m,2}: multipliers as derived, and from where on they are unstable."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "docs" / "claims"))
import two_receivers as two

GIVERS = range(2, 7)


@pytest.mark.parametrize("name", two.RULES)
def test_deviations_follow_the_recurrence(name):
    # What is left out is of third order, and rounding is 1e-16 / FIRST.
    assert max(two.departure(name, m) for m in GIVERS) < 1e-8


def test_some_who_think_ahead_undo_what_the_others_overdo():
    for m in GIVERS:
        for ahead in range(m + 1):
            behind = m - ahead
            due = (m - 1) * (ahead * (m - 1) - behind) / m
            found = two.play(two.one_ahead(ahead), [two.rows(m)], 1)
            np.testing.assert_allclose(found[1] / two.FIRST, due, atol=1e-8)
    half = [two.play(two.one_ahead(m // 2), [two.rows(m)], 1)[1] / two.FIRST for m in (2, 4, 6)]
    np.testing.assert_allclose(half, [0, 3, 10], atol=1e-8)


def test_fictitious_play_is_exact_after_as_many_rounds_as_givers():
    for m in GIVERS:
        d = two.play(two.mean_so_far, [two.rows(m)], m + 3) / two.FIRST
        mean = np.cumsum(d) / np.arange(1, len(d) + 1)
        rounds = np.arange(2, len(d) + 1)
        np.testing.assert_allclose(mean[1:], mean[:-1] * (1 - m / rounds), atol=1e-8)
        np.testing.assert_allclose(d[m:], 0, atol=1e-8)
        assert abs(d[m - 1]) > 0.5


def test_smoothed_news_are_a_smaller_step():
    for m in GIVERS:
        d = two.play(two.smoothed(0.2), [two.rows(m)], 4) / two.FIRST
        np.testing.assert_allclose(d[1], 1 - m, atol=1e-8)
        np.testing.assert_allclose(d[2:], (1 - 0.2 * m) * d[1:-1], atol=1e-8)


@pytest.mark.parametrize("delay", [0, 1, 2, 4])
def test_late_news_allow_steps_up_to_two_sines(delay):
    most = two.most_late(delay)
    assert most == pytest.approx({0: 2, 1: 1, 2: 0.618034, 4: 0.347296}[delay], abs=1e-6)
    grows = {}
    for part in (0.97, 1.03):
        coefficients = np.zeros(delay + 1)
        coefficients[0] += 1
        coefficients[delay] -= part * most
        assert (two.radius(coefficients) < 1) == (part < 1)
        for m in (2, 5):
            d = abs(two.play(two.entropic(part * most, late=delay), [two.rows(m)] * (delay + 1), 240))
            grows[part, m] = d[-40:].max() / d[:40].max()
    assert max(grows[0.97, m] for m in (2, 5)) < 0.5
    assert min(grows[1.03, m] for m in (2, 5)) > 2
    # The same for every number of givers, up to rounding.
    assert grows[0.97, 2] == pytest.approx(grows[0.97, 5], rel=1e-3)


@pytest.mark.parametrize(
    ("coefficients", "is_stable"),
    [
        ([-1.1, 0.1], False),  # extrapolation by k = 0.1, m = 2
        ([-0.9, -0.1], True),  # by −0.1
        ([-0.5, -0.5], True),  # the mean of two rounds, m = 2
        ([-1.2, -0.8], True),  # by −0.4, m = 3
        ([-1.8, -1.2], False),  # by −0.4, m = 4
        ([1 - 3.59 + 0.8, -0.8], True),  # heavy ball: θ m < 2 (1 + μ)
        ([1 - 3.61 + 0.8, -0.8], False),
        ([1 - 2 * 0.66, 0.66], True),  # optimistic: η < 2/3
        ([1 - 2 * 0.67, 0.67], False),
        ([1 - 2.99 + 0.5, -0.5], True),  # entropic, heavy ball: η < 2 (1 + μ)
        ([1 - 3.01 + 0.5, -0.5], False),
    ],
)
def test_where_recurrences_are_stable(coefficients, is_stable):
    assert (two.radius(coefficients) < 1) == is_stable


def test_extrapolation_by_one_grows_by_the_silver_ratio_and_three_givers_are_the_margin_of_two_rounds():
    assert two.radius([-2, 1]) == pytest.approx(1 + np.sqrt(2))
    assert two.radius([-1, -1]) == pytest.approx(1)
