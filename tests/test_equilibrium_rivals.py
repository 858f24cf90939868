"""The rivals of the equilibrium race: right answers, honest ends, and a page that names who is missing."""

import networkx as nx
import numpy as np
import pytest

import cmapjax as cj
from benchmarks import equilibrium as equilibrium_race
from benchmarks._mirror import MirrorAscent
from benchmarks._pdhg import PrimalDualHybridGradient
from benchmarks._qp_rivals import MPAX, PDHCG, ClarabelQP
from benchmarks._race import MissingRival
from benchmarks._sweeps import ColouredSweeps

BY_STEPS = {"sweeps": ColouredSweeps, "mirror ascent": MirrorAscent, "primal-dual": PrimalDualHybridGradient}
BY_ACCURACY = {"Clarabel": ClarabelQP, "MPAX": MPAX, "PDHCG": PDHCG}


def solved(market, method, tolerance):
    """Skipped, by name, where the rival is not installed."""
    try:
        return cj.solve(market, method=method, tolerance=tolerance)
    except (ImportError, MissingRival) as missing:
        pytest.skip(str(missing))


@pytest.mark.parametrize("name", [*BY_STEPS, *BY_ACCURACY])
def test_every_rival_finds_the_equilibrium_of_many_markets(name, small_market):
    other = cj.graphs.from_networkx(nx.path_graph(5), endowment=[2e6, 1e6, 5e6, 1e6, 1e6])
    market = cj.pack([small_market, other])
    method = BY_STEPS[name]() if name in BY_STEPS else BY_ACCURACY[name](1e-11, 60.0)
    found, exact = solved(market, method, 1e-9), cj.solve(market)
    assert found.is_solved
    np.testing.assert_allclose(found.utility, exact.utility, rtol=1e-4)  # the root of the gap, and some
    np.testing.assert_allclose(market.gave(found.flow), market.contribution, rtol=1e-9)


@pytest.mark.parametrize("name", [*BY_STEPS, "Clarabel"])
def test_a_rival_that_is_cut_short_says_so(name):
    market = cj.graphs.from_networkx(nx.path_graph(30), endowment=[1.0 + i % 3 for i in range(30)])
    short = BY_STEPS[name](1, check_every=1) if name in BY_STEPS else BY_ACCURACY[name](0.5, 60.0)
    found = solved(market, short, 1e-13)
    assert not found.is_solved
    assert found.gap[0] > 1e-13
    np.testing.assert_allclose(market.gave(found.flow), market.contribution, rtol=1e-9)


def test_mirror_ascent_is_two_rounds_of_proportional_response(small_market):
    steps = cj.solve(small_market, tolerance=1e-14, method=MirrorAscent(3, 3)).flow
    rounds = cj.simulate(small_market, cj.ProportionalResponse(), rounds=6, record={}).final.flow
    np.testing.assert_allclose(steps, rounds, rtol=1e-12)


class _Absent(ClarabelQP):
    def answer(self, program):
        raise MissingRival("no module named 'nowhere'")


def test_the_race_takes_the_loosest_accuracy_that_is_certified_and_names_the_missing(monkeypatch):
    asked = []

    def half_as_good(accuracy, limit):
        asked.append(accuracy)
        return ClarabelQP(min(1e4 * accuracy, 0.9), limit)

    direct = {
        "decomposition": equilibrium_race.DIRECT["decomposition"],
        "loose": half_as_good,
        "gone": _Absent,
    }
    monkeypatch.setattr(equilibrium_race, "DIRECT", direct)
    monkeypatch.setattr(equilibrium_race, "ITERATIVE", {})
    options = equilibrium_race.arguments(["--limit", "60", "--repeats", "2"])
    entries = equilibrium_race.race("path", 20, 1e-6, options, set())
    exact, loose, gone = entries
    assert exact["outcome"] == loose["outcome"] == "solved"
    assert loose["gap"] <= 1e-6
    assert len(set(asked)) > 1  # the first was not good enough
    assert loose["accuracy"] == 1e4 * min(asked)
    assert (gone["outcome"], gone["missing"]) == ("missing", "no module named 'nowhere'")
    page = equilibrium_race.table(
        {"machine": equilibrium_race.machine(), "limit_seconds": 60, "repeats": 2, "races": entries}
    )
    assert "Skipped: gone (no module named 'nowhere')" in page
    assert "| path | 20 |" in page
