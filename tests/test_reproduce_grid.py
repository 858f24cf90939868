"""The common grid, and the parts about communities, acting in turn, and welfare, on tiny markets."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

import cmapjax as cj
from cmapjax.reproduce import Setting, _communities, _in_turn, _welfare
from cmapjax.reproduce import _families as fam
from cmapjax.reproduce._part import FAILS, HOLDS, IN_PART


@pytest.fixture(scope="module")
def setting(tmp_path_factory):
    return Setting(tmp_path_factory.mktemp("reproduction"), quick=True, seed=3)


@pytest.fixture(scope="module")
def study(setting):
    return fam.study_of(setting, "tiny", [12], 1, 4, plays=(fam.IN_TURN, fam.RESPONSE))


# -- the grid --------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [12, 20, 100, 1000])
def test_every_family_has_the_number_of_agents_asked_for(n):
    from cmapjax.graphs import Family
    from cmapjax.words._objects import Builder

    for name in fam.FAMILIES:
        assert Builder().build(Family, fam.words_of(name, n)).num_agents == n, name


def test_the_grid_leaves_out_the_torus_that_starts_at_its_equilibrium(study):
    kinds = {fam.kind_of(ground) for ground in study.grounds()}
    assert len(kinds) == len(study.grounds()) == 20
    assert ("torus", "unit") not in kinds
    assert ("torus", "uniform") in kinds


def test_markets_played_side_by_side_are_those_of_the_study_played_alone(setting, study):
    curves = fam.curves_of(setting, study)
    everything = fam.ensemble(study)
    assert list(curves.rounds) == [0, 1, 2, 3, 4]
    for cell in (0, 17):
        _, alone = cj.studies.replay(study, cell, 0)
        together = curves.values["log_welfare_loss"][cell][:, 0]
        np.testing.assert_allclose(together, alone.records["log_welfare_loss"][:, 0], rtol=1e-9, atol=1e-14)
    assert (everything.kinds["agents"] == 12).all()


def test_one_draw_and_one_run_serve_several_parts(setting, study):
    assert fam.curves_of(setting, study) is fam.curves_of(setting, study)
    assert fam.ensemble(study) is fam.ensemble(study)


def test_the_first_round_within_a_loss_is_infinite_if_there_is_none():
    loss = np.array([[1.0, 1.0], [0.1, 1.0], [0.2, 0.5]])
    assert list(fam.first_within(loss, 0.1, np.array([0, 5, 9]))) == [5, np.inf]


# -- in turn ---------------------------------------------------------------------------------------


def run_of(*welfare):
    """A run of one market with this log welfare, which the equilibrium would have at 0."""
    values = np.array(welfare, float)[:, None]
    records = {"log_nash_welfare": values, "log_welfare_loss": -values}
    return SimpleNamespace(records=records, rounds=np.arange(len(values)))


def test_a_turn_that_lowers_welfare_is_found():
    everything = None
    good, bad = run_of(-0.5, -0.1, -0.1, 0), run_of(-0.5, -0.1, -0.1 - 1e-9, 0)
    verdicts = [c.verdict for c in _in_turn._rises({"own order": good, "random order": bad}, everything)]
    assert verdicts == [HOLDS, FAILS]


def test_convergence_is_being_there_or_halving_what_is_missing():
    there, halving, stuck = run_of(-1, -1, -1e-7), run_of(-1, -0.5, -0.2), run_of(-1, -0.5, -0.4)
    assert _in_turn._converges({"a": there, "b": halving}, 2).verdict == HOLDS
    assert _in_turn._converges({"a": there, "b": stuck}, 2).verdict == FAILS


def test_rounds_needed_are_judged_by_the_slowest_run():
    fast = {name: np.array([0.5, 1.0]) for name in _in_turn.ACCURACIES}
    slow = {name: np.array([0.5, 1e3]) for name in _in_turn.ACCURACIES}
    assert {c.verdict for c in _in_turn._soon({"own order": fast})} == {HOLDS}
    assert {c.verdict for c in _in_turn._soon({"own order": slow})} == {IN_PART}


def test_a_real_run_in_turn_never_lowers_welfare(setting, study):
    everything = fam.ensemble(study)
    runs = {order: fam.turn_by_turn(setting, study, order, 60) for order in _in_turn.ORDERS}
    assert [check.verdict for check in _in_turn._rises(runs, everything)] == [HOLDS, HOLDS]
    sweeps = {order: _in_turn.reached(everything, run) for order, run in runs.items()}
    assert len(_in_turn._table(everything.kinds, sweeps)) == 40
    assert _in_turn._in_updates(sweeps).verdict in (HOLDS, IN_PART)


# -- communities -----------------------------------------------------------------------------------


def test_the_answer_is_best_and_another_row_is_found_out(study, monkeypatch):
    everything = fam.ensemble(study)
    rows = _communities._rows(everything, 8, 0)
    assert [check.verdict for check in _communities._best_rows(rows)] == [HOLDS, HOLDS]
    market = everything.market
    equal = market.arc_values(market.equal_flow())
    monkeypatch.setattr(_communities, "_answers", lambda market: equal)
    rows = _communities._rows(everything, 8, 0)
    assert _communities._best_rows(rows)[0].verdict != HOLDS


def test_trajectories_that_differ_in_the_last_bit_are_told_from_equal_ones(study):
    market = fam.ensemble(study).market
    flow = np.asarray(market.equal_flow())

    def run(flow):
        final = SimpleNamespace(flow=flow)
        return SimpleNamespace(
            final=final, records={"log_welfare_loss": np.zeros((2, 1))}, rounds=np.arange(2)
        )

    way = _communities.IN_TURN
    same = {(way, 1): run(flow), (way, 2): run(flow.copy())}
    assert _communities._same(same).verdict == HOLDS
    assert _communities._same(same | {(way, 3): run(np.nextafter(flow, 9))}).verdict == IN_PART
    assert _communities._same(same | {(way, 3): run(flow + 0.1)}).verdict == FAILS


# -- welfare ---------------------------------------------------------------------------------------


def test_the_equilibrium_of_four_is_not_best_by_unweighted_welfare():
    check = _welfare._four()
    assert check.verdict == HOLDS
    assert "0.96524" in check.found


def test_orders_of_plays_are_compared_pair_by_pair():
    one = np.array([[3.0, 2.0, 1.0], [1.0, 1.0, -np.inf]])
    other = np.array([[3.0, 1.0, 2.0], [1.0, 1.0 + 1e-12, -np.inf]])
    assert _welfare._orders(one).tolist() == [[1, 1, 1], [0, 1, 1]]
    assert (_welfare._orders(one) * _welfare._orders(other) == -1).sum() == 1
    assert _welfare._another_best(one, other).tolist() == [False, False]
    assert _welfare._another_best(one, -one).tolist() == [True, True]


def test_disagreement_counts_markets_and_pairs():
    base = {"round": 2, "family": "tree", "contributions": "unit", "beyond": 0.0}
    rows = []
    for market, swapped in (("0-0", False), ("0-1", True)):
        for play, value in ((fam.IN_TURN, 1.0), (fam.RESPONSE, 0.0)):
            measures = dict.fromkeys(_welfare.MEASURES, value)
            if swapped:
                measures["misallocated_share"] = -value
            rows.append(base | measures | {"market": market, "play": play})
    found = _welfare._disagreement(pd.DataFrame(rows))
    apart = found[(found["one"] == "weighted Nash welfare") & (found["other"] == "misallocated share")]
    assert apart["in opposite order, share"].tolist() == [0.5]
    assert apart["another play is best, share of markets"].tolist() == [0.5]
