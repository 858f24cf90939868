"""Parts equilibrium, incentives, topology, disturbances and size: their cheap cores, on tiny markets."""

import jax
import networkx as nx
import numpy as np
import pytest
import reference

import cmapjax as cj
from cmapjax.reproduce import Setting, _incentives, _judging
from cmapjax.reproduce import _disturbances_plays as plays
from cmapjax.reproduce import _disturbances_world as world
from cmapjax.reproduce import _equilibrium_forms as forms
from cmapjax.reproduce import _equilibrium_oracles as paper
from cmapjax.reproduce import _incentives_search as search
from cmapjax.reproduce import _incentives_variants as variants
from cmapjax.reproduce import _size_timing as timing
from cmapjax.reproduce._size import exponent
from cmapjax.reproduce._topology import _falls, concordance, sharing_centrality

MIXED = cj.Market.from_links(
    np.array([(0, 1), (1, 2), (0, 2), (2, 3), (3, 4), (1, 4)]), endowment=[1.0, 2.0, 3.0, 0.5, 2.0]
)


# -- verdicts ------------------------------------------------------------------------------------------


def test_verdicts_follow_the_counts():
    assert [_judging.judged(x) for x in ([1, 1], [1, 0], [0, 0])] == [
        "holds",
        "holds in part",
        "does not hold",
    ]
    assert [_judging.refuted(x) for x in ([0, 0], [1, 0])] == ["holds", "does not hold"]
    for judge in (_judging.judged, _judging.refuted):
        with pytest.raises(ValueError, match="at least one case"):
            judge([])


# -- equilibrium ---------------------------------------------------------------------------------------


def test_the_exact_solver_finds_what_is_on_paper():
    known = paper.oracles()
    assert len(known) == 16
    found = np.asarray(cj.solve(cj.pack([oracle.market() for oracle in known])).utility)
    np.testing.assert_allclose(found, np.concatenate([np.array(o.utility, float) for o in known]), rtol=1e-12)


def test_the_directed_market_has_an_equilibrium_that_is_not_its_program():
    found = paper.directed()
    np.testing.assert_allclose(found.central, [2, 4 / 3, 2 / 3], rtol=1e-6)
    np.testing.assert_array_equal(found.competitive, [2, 1, 1])
    assert found.competitive_error == 0


def test_every_form_agrees_at_the_equilibrium_and_the_equal_split_fails():
    known = [oracle for oracle in paper.oracles() if oracle.name in ("path of 4, unequal", "clique of 4")]
    singles = [oracle.market() for oracle in known]
    market = cj.pack(singles)
    utilities = [np.array(oracle.utility, float) for oracle in known]
    table = forms.by_market(singles, market, cj.solve(market), utilities, with_solver=False)
    for column in ("on paper", "first-order method", "linear programs", "reciprocity", "competitive"):
        assert table[column].max() < 1e-8, column
    assert (table["best coalition"] <= 1 + 1e-12).all()
    assert not table["even is feasible"].any()
    assert (table["lexicographic, equal split"] > 0.1).all()
    wrong = forms.by_market(singles, market, cj.solve(market), utilities[::-1], with_solver=False)
    assert wrong["on paper"].min() > 0.1


def test_a_run_that_stops_elsewhere_is_not_closing_in():
    last, halfway = np.array([1e-9, 1e-3, 1e-3, 0.1]), np.array([1e-9, 2e-3, 1.01e-3, 0.1])
    assert forms.tends(last, halfway, 1e-6).tolist() == [True, True, False, False]


# -- incentives ----------------------------------------------------------------------------------------


def test_splitting_in_two_pays_the_square_root_of_two_on_a_triangle():
    assert _incentives._gain_on_ring(*_incentives.TRIANGLE[:2]) == pytest.approx(2**0.5, rel=1e-12)
    assert _incentives._gain_on_ring(*_incentives.FIVE_RING[:2]) == pytest.approx(1.998605, abs=1e-6)


def test_the_search_finds_what_the_triangle_offers():
    weight, _, expected = _incentives.TRIANGLE
    network = variants.Network(np.array([(0, 1), (1, 2), (0, 2)]), np.array(weight))
    gain, split = search.best_splits([(network, 0)], seed=1)
    assert 1.41 < gain[0] <= expected * (1 + 1e-12)
    assert sorted(split[0].copy_of.tolist()) == [0, 1]
    assert split[0].share.sum() == pytest.approx(1)


def test_hiding_the_only_link_of_a_partner_sends_it_away():
    network = variants.network_of(cj.graphs.from_networkx(nx.path_graph(4)))
    hidden = variants.hiding(network, 1, network.links_of(1)[:1])
    assert hidden.network.links.tolist() == [[0, 1], [1, 2]]
    assert tuple(hidden.own) == (0,)
    assert variants.received([variants.truthful(network, 1), hidden]).tolist() == [1.0, 0.5]


def test_copies_share_links_and_endowment():
    network = variants.network_of(MIXED)
    split = variants.splitting(network, 2, np.array([0, 1, 1]), np.array([0.25, 0.75]))
    degree = np.bincount(split.network.links.ravel())
    assert degree[split.own].tolist() == [1, 2]
    assert split.network.weight[split.own].tolist() == [0.75, 2.25]
    assert split.network.weight.sum() == network.weight.sum()


def test_deviations_gain_nothing_but_splitting_does(tmp_path, monkeypatch):
    drawn = _incentives._networks
    monkeypatch.setattr(_incentives, "_networks", lambda setting: drawn(setting)[:3])
    monkeypatch.setattr(_incentives, "best_ring", lambda n, *_: search.best_ring(n, 0, 4, 20))
    finding = _incentives.measure(Setting(tmp_path, quick=True))
    assert [check.verdict for check in finding.checks] == ["holds"] * 6
    assert finding.tables["several identities"]["best gain"].max() > 1.01
    assert set(finding.pictures) == {"gains"}


# -- topology ------------------------------------------------------------------------------------------


def test_the_hub_of_a_star_has_all_the_centrality():
    star = cj.graphs.from_networkx(nx.star_graph(4))
    np.testing.assert_allclose(sharing_centrality(star), [4, 0.25, 0.25, 0.25, 0.25])


def test_pairs_are_counted_as_by_hand():
    assert concordance(np.array([1.0, 2, 3]), np.array([10.0, 20, 30])) == 1
    assert concordance(np.array([1.0, 2, 3]), np.array([3.0, 2, 1])) == 0
    assert concordance(np.array([1.0, 2, 2]), np.array([1.0, 1, 5])) == 0.75
    assert np.isnan(concordance(np.ones(3), np.arange(3.0)))


def test_inequality_that_rises_with_density_is_not_said_to_fall():
    import pandas as pd

    rows = [("a", "unit", d, g) for d, g in ((2, 0.5), (4, 0.2), (8, 0.2))]
    rows += [("b", "unit", d, g) for d, g in ((2, 0.1), (4, 0.3), (8, 0.0))]
    table = pd.DataFrame(rows, columns=["family", "contributions", "degree", "gini of ratios"])
    check = _falls(table, "gini of ratios", "ratios")
    assert check.verdict == "holds in part"
    assert "b unit" in check.found


# -- disturbances --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def network():
    return world.network_of(MIXED)


def _habits(kind: str, **more):
    number, is_cmap = world.KINDS.index(kind), kind == "CMAP"
    return world.Habits(np.full(5, number), np.ones(5), np.full(5, is_cmap), **more)


EVERYBODY = np.ones((12, 5), bool)


@pytest.mark.parametrize("kind", ["CMAP", "proportional response"])
def test_undisturbed_the_loop_is_the_engines(network, kind):
    strategy = {
        "CMAP": cj.Damped(cj.CMAP(), cj.LocalDamping()),
        "proportional response": cj.ProportionalResponse(),
    }
    record = {f"u{i}": lambda m, state, i=i: state.utility[i : i + 1] for i in range(5)}
    run = cj.simulate(MIXED, strategy[kind], rounds=12, record=record)
    expected = np.concatenate([run.records[f"u{i}"] for i in range(5)], axis=1)
    np.testing.assert_allclose(world.played(network, _habits(kind), EVERYBODY), expected, rtol=1e-12)


def test_one_agent_at_a_time_is_the_sequential_round(network):
    habits = _habits("CMAP")._replace(is_local=np.zeros(5, bool))
    acts = np.tile(np.eye(5, dtype=bool), (3, 1))
    run = cj.simulate(MIXED, cj.CMAP(), rounds=3, schedule=cj.Sequential(), record={})
    np.testing.assert_allclose(world.played(network, habits, acts)[-1], run.final.utility, rtol=1e-12)


def test_agents_of_different_habits_answer_each_by_its_own_rule(network):
    w, links, y = reference.dense(MIXED, MIXED.equal_flow())
    rules = [reference.cmap_row, reference.proportional_row, reference.equal_row, reference.selfish_row]
    kind = np.array([0, 1, 2, 3, 1])
    habits = world.Habits(kind, np.ones(5), np.zeros(5, bool))
    got = world.played(network, habits, EVERYBODY[:3])
    for t in range(3):
        y = np.array([rules[kind[i]](i, y, w, links) for i in range(5)])
        np.testing.assert_allclose(got[t + 1], y.sum(axis=0), rtol=1e-12)


def test_late_news_makes_runs_that_take_turns(network):
    fresh = world.played(network, _habits("proportional response"), EVERYBODY)
    late = world.played(network, _habits("proportional response", delay=2), EVERYBODY)
    for t in range(13):
        np.testing.assert_allclose(late[t], fresh[-(-t // 3)], rtol=1e-12)


def test_lost_news_slows_and_none_at_all_stops(network):
    fresh, some, none = (
        world.played(network, _habits("proportional response", loss=q), EVERYBODY) for q in (0.0, 0.7, 1.0)
    )
    assert np.abs(some - fresh).max() > 1e-3
    np.testing.assert_allclose(none[2:], none[1:-1])  # it goes by the start for ever


def test_who_is_away_neither_gives_nor_receives(network):
    present = EVERYBODY.copy()
    present[4:8, 1] = False
    received = world.played(network, _habits("proportional response"), EVERYBODY, present)
    assert (received[5:9, 1] == 0).all()
    np.testing.assert_allclose(received[5:9].sum(axis=1), 6.5)
    assert (received[9:, 1] > 0).all()
    np.testing.assert_allclose(received[9:].sum(axis=1), 8.5)


def test_equilibria_under_churn_are_those_of_who_is_there():
    some = plays.World.__new__(plays.World)
    some.market, some.network = MIXED, world.network_of(MIXED)
    some.place, some.first = np.zeros(5, int), np.array([0])
    present = np.ones((4, 5), bool)
    present[2:, 1] = False
    best = some.best_of(present, period=2)
    np.testing.assert_allclose(best[1], cj.solve(MIXED).utility)
    left = cj.Market.from_links(np.array([(0, 1), (1, 2), (2, 3)]), endowment=[1.0, 3.0, 0.5, 2.0])
    np.testing.assert_allclose(best[3, [0, 2, 3, 4]], cj.solve(left).utility)
    assert np.isnan(best[3, 1])
    assert some.loss(best[2:3], best[2:3]).max() == pytest.approx(0, abs=1e-15)


# -- size ----------------------------------------------------------------------------------------------


def test_the_exponent_of_a_power_law_is_found_whatever_the_families_cost():
    links, family = np.array([1e3, 1e4, 1e5] * 2), ["a"] * 3 + ["b"] * 3
    seconds = links**1.3 * np.array([1e-9] * 3 + [5e-8] * 3)
    np.testing.assert_allclose(exponent(links, seconds, family), 1.3, rtol=1e-9)
    with pytest.raises(ValueError, match="at least 4"):
        exponent(links[[0, 1, 3]], seconds[[0, 1, 3]], ["a", "a", "b"])


def test_timed_rounds_are_those_of_simulate(monkeypatch):
    monkeypatch.setattr(timing, "MOST_ROUNDS", 20)
    rounds = timing.Rounds(MIXED, cj.ProportionalResponse(), cj.Simultaneous())
    gaps = np.concatenate([rounds.play(), rounds.play()[1:]])
    run = cj.simulate(MIXED, cj.ProportionalResponse(), rounds=40, every=10)
    np.testing.assert_allclose(gaps, run.records["certified_gap"][:, 0], rtol=1e-6, atol=1e-15)


def test_timing_says_how_many_rounds_a_gap_takes(monkeypatch):
    monkeypatch.setattr(timing, "MOST_ROUNDS", 20)
    row = timing.timed(MIXED, cj.ProportionalResponse(), cj.Simultaneous(), seconds=0.2)
    assert 0 < row["fastest"] <= row["seconds per round"] <= row["slowest"]
    assert row["rounds to 0.0001"] <= row["rounds to 1e-06"]
    assert row["rounds to 0.0001"] % timing.EVERY == 0
    assert jax.devices()[0].device_kind in timing.machine()
