"""When a share of the equilibrium was reached, down to the last record; whole numbers of a sample."""

from types import SimpleNamespace

import numpy as np
import pytest

from cmapjax.cli._report import final_columns
from cmapjax.studies._axes import sampled
from cmapjax.studies._sections import Sample
from cmapjax.studies._tables import Played, first_round

ROUNDS = np.array([0, 7, 14, 20])
# Of four markets the share of the equilibrium, record by record: the first gets there at the very last one.
SHARES = np.array(
    [[0.3, 0.99, 0.3, 0.3], [0.4, 0.99, 0.5, 0.981], [0.5, 0.99, 0.98, 0.6], [0.985, 0.99, 0.97, 0.7]]
)


def played() -> Played:
    return Played(ROUNDS, np.zeros((4, 4)), {"share_of_equilibrium": SHARES}, np.zeros((1, 4)), np.zeros(4))


@pytest.mark.parametrize(
    ("ends", "wanted"),
    [
        ([3, 3, 3, 3], [20, 0, 14, 7]),
        ([2, 0, 2, 1], [None, 0, 14, 7]),  # at its end a market has got there, after it not
        ([1, 0, 1, 0], [None, 0, None, None]),
    ],
)
def test_a_share_reached_at_a_markets_last_record_counts_and_later_ones_do_not(ends, wanted):
    assert first_round(played(), np.array(ends), 0.98).to_pylist() == wanted


def test_the_command_line_counts_a_share_reached_at_the_last_record():
    run = SimpleNamespace(
        records={"certified_gap": -np.log(SHARES)},
        rounds=ROUNDS,
        agent_updates=np.repeat(5 * ROUNDS[:, None], 4, axis=1),
        spending_error=np.zeros(4),
        varies=False,
    )
    found = final_columns(None, run, None)
    assert found["rounds_to_0.98"].tolist() == [20, 0, 14, 7]
    assert found["agent_updates_to_0.98"].tolist() == [100, 0, 70, 35]
    assert np.isnan(found["rounds_to_0.999"]).all()


def whole_numbers(low: int, high: int, log: bool, method: str) -> np.ndarray:
    """How often each whole number of a range is drawn, in 1,024 points."""
    ranges = {"hops": {"range": [low, high], "whole": True, "log": log}, "spread": [0.0, 1.0]}
    points = sampled(Sample(method=method, number=1024, **ranges), seed=5)
    return np.bincount([hops for hops, _ in points], minlength=high + 1)[low:]


@pytest.mark.parametrize("method", ["sobol", "latin-hypercube"])
def test_every_whole_number_of_a_range_gets_an_equal_part_the_ends_too(method):
    np.testing.assert_allclose(whole_numbers(3, 10, False, method), 1024 / 8, atol=2)


@pytest.mark.parametrize("method", ["sobol", "latin-hypercube"])
def test_on_a_logarithmic_scale_whole_numbers_get_their_part_of_it(method):
    counts = whole_numbers(2, 9, True, method)
    bounds = np.log(np.arange(1.5, 10))
    np.testing.assert_allclose(counts, 1024 * np.diff(bounds) / (bounds[-1] - bounds[0]), atol=2)
