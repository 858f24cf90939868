"""The part about proportional response and CMAP: clocks, winners, tails."""

import numpy as np
import pandas as pd
import pytest

import cmapjax as cj
from cmapjax.reproduce import Setting, _rival, _rival_clocks, _rival_map, _rival_tails
from cmapjax.reproduce import _families as fam
from cmapjax.reproduce._part import FAILS, HOLDS, IN_PART

# Details of measured claims, which take long to compile: run before a change to them.
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def setting(tmp_path_factory):
    return Setting(tmp_path_factory.mktemp("reproduction"), quick=True, seed=3)


def test_what_turns_cost_goes_on_as_in_the_last_round():
    within = np.array([1, 3])  # say, gifts after each of two turns of a round
    table = _rival_clocks._repeated(within, np.arange(5)).astype(float)[:, None]
    assert table[:, 0].tolist() == [0, 1, 3, 4, 6]
    n = np.array([2])
    costs = [float(_rival_clocks._at(table, np.array([t]), n)[0]) for t in (0, 3, 4, 8, np.inf)]
    assert costs == [0, 4, 6, 12, np.inf]


def test_clocks_of_acting_in_turn_agree_with_one_another(setting):
    study = fam.study_of(
        setting, "tiny-clocks", [12], 1, 4, plays=[fam.IN_TURN, fam.BY_COLOURS, fam.RESPONSE]
    )
    plays = (fam.IN_TURN, fam.BY_COLOURS, fam.RESPONSE)
    table = _rival_clocks.needed(setting, [study], plays, {"some": 0.02})
    in_turn, colours, response = (table[table["play"] == play].reset_index() for play in plays)
    assert (in_turn["moments"] == 12 * in_turn["updates"]).all()
    assert (in_turn["rounds"] == np.ceil(in_turn["updates"])).all()
    moving = in_turn["updates"] > 0
    assert (in_turn["messages"] > in_turn["updates"])[moving].all()  # announcements come on top of gifts
    assert (colours["moments"] <= 12 * colours["rounds"]).all()
    assert (response["messages"] == response["rounds"]).all()


def test_announcements_are_made_by_those_whose_total_has_changed():
    # 1 gives its 1 to 0 and 2 equally, 0 and 2 all to 1; then 1 fills up to a ratio of 1/4 each.
    market = cj.Market.from_links(np.array([[0, 1], [1, 2]]), endowment=[1.0, 1.0, 3.0])
    run = cj.simulate(
        market,
        cj.CMAP(),
        schedule=cj.OneAgentPerRound(),
        rounds=4,
        record={"announced": lambda market, state: fam._announced(market, state, np.array([1.0, 2.0, 1.0]))},
    )
    assert run.records["announced"][1:, 0].tolist() == [0, 2, 0, 0]


def table_of(**rounds):
    """One market of one kind, needing so many rounds under each play to every accuracy."""
    rows = []
    for play, needed in rounds.items():
        for accuracy in _rival.ACCURACIES:
            row = {"family": "tree", "contributions": "unit", "agents": 20, "market": 0, "accuracy": accuracy}
            rows.append(row | {"play": getattr(fam, play)} | dict.fromkeys(_rival_clocks.CLOCKS, needed))
    return pd.DataFrame(rows)


@pytest.mark.parametrize(
    ("rounds", "winner"),
    [
        ({"IN_TURN": 2, "RESPONSE": 3}, fam.IN_TURN),
        ({"IN_TURN": 3, "RESPONSE": 2}, fam.RESPONSE),
        ({"IN_TURN": 2, "LOCAL": 2, "RESPONSE": 3}, fam.IN_TURN),
        ({"IN_TURN": 2, "RESPONSE": 2}, _rival_map.TIE),
        ({"IN_TURN": np.inf, "RESPONSE": np.inf}, _rival_map.NOBODY),
    ],
)
def test_the_winner_needs_least(rounds, winner):
    tiles = _rival_map.winners(table_of(**rounds), [getattr(fam, play) for play in rounds])
    assert set(tiles["winner"]) == {winner}
    figure = _rival_map.draw_map(tiles[tiles["accuracy"].isin(_rival.MAPPED)], _rival.MAPPED)
    texts = {text.get_text().split("\n")[0] for panel in figure.axes for text in panel.texts}
    assert texts == {_rival_map.SHORT[winner]}


def test_the_map_of_a_rival_that_always_wins_holds_and_of_one_that_never_does_fails():
    ahead, behind = table_of(IN_TURN=3, RESPONSE=2), table_of(IN_TURN=2, RESPONSE=3)
    plays = (fam.IN_TURN, fam.RESPONSE)
    assert _rival._map_check(_rival_map.winners(ahead, plays)).verdict == HOLDS
    assert _rival._map_check(_rival_map.winners(behind, plays)).verdict == FAILS
    assert _rival._ahead(ahead, ["98 %"], ["rounds"], [fam.IN_TURN])[0].all()
    assert not _rival._ahead(behind, ["98 %"], ["rounds"], [fam.IN_TURN])[0].any()


@pytest.fixture(scope="module")
def tails(setting):
    """The named markets and a few others, from random starts and from an equal split."""
    named = _rival_tails._named_markets()
    study = fam.study_of(setting, "tiny-starts", [12], 1, 1)
    return _rival_tails._played(setting, named, fam.ensemble(study).market)


def test_closed_forms_hold_and_a_wrong_flow_is_found_out(tails):
    checks = [_rival_tails._path, _rival_tails._decay, _rival_tails._triangle]
    assert [check(tails).verdict for check in checks] == [HOLDS] * 3
    records = dict(tails.run.records)
    tails.run.records["watched"] = records["watched"] * (1 + 1e-4 * np.arange(3001)[:, None])
    assert [check(tails).verdict for check in checks] == [FAILS] * 3
    tails.run.records["watched"] = records["watched"]


def test_rows_of_every_start_spend_the_contributions(tails):
    giver, _ = tails.market.arcs()
    np.testing.assert_allclose(np.bincount(giver, tails.start), tails.market.contribution, rtol=1e-12)


def test_random_starts_cycle_and_equal_splits_do_not(tails, setting):
    random, equal = _rival_tails._cycles(tails, 4, setting)
    assert random.verdict in (HOLDS, IN_PART)
    assert equal.verdict == HOLDS
    assert _rival_tails._steps(tails, 4).verdict == HOLDS


def test_what_the_next_round_would_move_is_what_it_moves(tails):
    market = tails.market
    on = cj.simulate(market, cj.ProportionalResponse(), rounds=1, start=tails.run.final, record={})
    moved = cj.metrics.flow_distance(market, on.final.flow, tails.run.final.flow)
    np.testing.assert_allclose(_rival_tails._moves(tails), moved, atol=1e-12)
