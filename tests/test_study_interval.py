"""The interval of a mean by which a study stops drawing markets: it holds its level when looked at often."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmarks.stopping import KINDS, one_run, table, usual_interval
from cmapjax import studies
from cmapjax.studies._interval import fewest_markets, mean_interval, mean_intervals

RUNS = 60


def coverage(name: str, width: float, least: int, interval=mean_interval) -> float:
    """How often the interval in which drawing stopped has the true mean."""
    rng, kind = np.random.default_rng(11), KINDS[name]
    found = [one_run(kind, width, least, rng, interval)[0] for _ in range(RUNS)]
    return np.mean([each.low <= kind.mean <= each.high for each in found])


@pytest.mark.parametrize("name", KINDS)
def test_the_interval_holds_its_level_whatever_the_metric_looks_like(name):
    # All runs hold but two or three in a hundred; 0.94 leaves room for three of sixty.
    assert coverage(name, width=0.2, least=10) >= 0.94


def test_the_usual_interval_does_not():
    """What the simulation is there to notice."""
    assert coverage("near 1, 2 % at 0", width=0.2, least=10, interval=usual_interval) < 0.5


@pytest.mark.parametrize("value", [0.0, 0.3, 1.0])
def test_equal_values_alone_are_no_reason_to_stop(value):
    """What has not been seen in n markets may still happen in one of n / 3."""
    low, high = mean_interval([value] * 10, 0.05)[2:]
    assert high - low > 0.25
    wide = [mean_interval([value] * n, 0.05) for n in (20, 79, 400)]
    widths = [found.high - found.low for found in wide]
    assert widths == sorted(widths, reverse=True)
    assert widths[1] > 0.05 > widths[2]
    assert fewest_markets(0.05) > 79


def test_the_interval_is_where_the_bets_of_the_paper_have_won():
    """The capital of the source's equation, written out, is 2/α at both ends."""
    x, width = np.random.default_rng(3).beta(5, 2, 40), 0.1
    found = mean_interval(x, width)

    def capital(values, mean):
        product, before = 1.0, [0.5]
        for k, value in enumerate(values):
            centre = np.mean(before)
            variance = (np.sum((np.array(values[:k]) - centre) ** 2) + 0.25) / (k + 1)
            product *= 1 + min(width / 2 / variance, 0.9 / mean) * (value - mean)
            before.append(value)
        return product

    assert capital(x, found.low) == pytest.approx(40, rel=1e-6)
    assert capital(1 - x, 1 - found.high) == pytest.approx(40, rel=1e-6)
    assert found.low < found.mean == x.mean() < found.high
    mirrored = mean_interval(1 - x, width)
    assert (mirrored.low, mirrored.high) == pytest.approx((1 - found.high, 1 - found.low))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -0.01, 1.01])
def test_values_that_no_interval_can_have_leave_none(bad):
    assert mean_interval([0.5, bad, 0.5], 0.1) is None
    assert mean_interval([], 0.1) is None
    assert mean_interval([0.5, 1 + 1e-8, 0.5], 0.1).high <= 1  # rounding of float32


def test_results_have_mean_and_interval_of_every_cell():
    document = {"stop": {"interval": {"metric": "gini", "width": 0.2, "least": 10}}}
    summary = pd.DataFrame({"cell": [1] * 200 + [0] * 3, "market": [*range(200), 2, 1, 0]})
    summary["gini"] = [0.5] * 200 + [0.1, None, 0.3]
    found = mean_intervals(document, summary).set_index("cell")
    assert found.loc[1, ["metric", "markets", "mean"]].tolist() == ["gini", 200, 0.5]
    assert found.loc[1, "low"] < 0.5 < found.loc[1, "high"]
    assert found["is_reached"].tolist() == [False, True]
    assert found.loc[0, ["mean", "low", "high"]].isna().all()
    assert mean_intervals({}, summary) is None


def test_the_table_in_the_docs_is_what_was_measured():
    docs = Path(__file__).parents[1] / "docs"
    rows = json.loads((docs / "stopping.json").read_text())["rows"]
    assert table(rows) in (docs / "studies.md").read_text()
    assert min(row["held"] for row in rows) >= 0.94
    assert {row["metric"] for row in rows} == set(KINDS)


def described(**more):
    given = {"name": "s", "markets": 30, "cells": {"network": "er:n=8,degree=3", "isolated": "redraw"}}
    return studies.Study(**(given | more))


def asked(metric, width=0.2):
    return {"interval": {"metric": metric, "width": width}}


def test_metrics_without_bounds_are_refused_and_those_with_bounds_named():
    for metric in ("certified_gap", "log_welfare_loss", "num_starved", "worst_relative_error"):
        with pytest.raises(ValueError, match=r"without bounds .* lies in \[0, 1\]: .*share_of_equil"):
            described(stop=asked(metric))
    for metric in ("share_of_equilibrium", "gini", "oscillation"):
        described(stop=asked(metric))


def test_where_endowments_vary_a_share_may_exceed_one_and_is_refused():
    cells = {"network": "er:n=8,degree=3", "process": "{surplus}"}
    given = {"cells": cells, "grid": {"surplus": ["constant", "exponential"]}}
    with pytest.raises(ValueError, match=r"cell 1 \(process = 'exponential'\); take jain_index or gini"):
        described(stop=asked("share_of_equilibrium"), **given)
    described(stop=asked("jain_index"), **given)


def test_a_width_that_the_markets_cannot_reach_is_noted():
    words = " ".join(described(stop=asked("gini", 0.1)).notes())
    assert "39 markets are the least; markets = 30 ends before" in words
    assert "are the least" not in " ".join(described(stop=asked("gini", 0.2)).notes())
    with pytest.raises(ValueError, match=r"stop\.interval\.width is 1\.5"):
        described(stop=asked("gini", 1.5))


@pytest.mark.parametrize("word", ["starved", "starved for now", "cycles", "oscillating"])
def test_a_verdict_that_later_rounds_may_change_is_no_reason_to_stop(word):
    with pytest.raises(
        ValueError, match=rf"stop\.when\[0\] is '{word}'; give converged, .* so is no reason to stop"
    ):
        described(stop={"when": [word]})


def test_every_reason_to_stop_is_a_verdict():
    from cmapjax import metrics
    from cmapjax.studies._schema import ENDS

    assert set(ENDS) <= set(metrics.VERDICTS)
    described(stop={"when": list(ENDS)})
