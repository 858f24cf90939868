"""The equilibrium of markets whose links lose some of what they carry, and fairness."""

import dataclasses

import numpy as np
import pytest

import cmapjax as cj
from cmapjax.equilibrium import _lossy
from cmapjax.equilibrium._sweeps import Sweeps
from cmapjax.market._bound import Arcs, certified_bound
from tests.general import Dense, as_market, random_dense

INF = np.inf
TWO = {"s": [3, 1], "K": [[INF, INF], [INF, INF]]}
HALVES = [[1, 0.5], [0.5, 1]]
ONE = {"s": [6], "K": [[INF, INF]]}
FOUR = {"s": [4, 1], "K": [[INF, INF], [INF, INF]]}
QUARTERS = [[1, 0.25], [0.25, 1]]
PRODUCT = [[1, 1 / 4], [1 / 2, 1 / 8]]

ORACLES = [
    ("one giver", ONE, [[1, 1 / 4]], {0.5: [24 / 5, 3 / 10], 1: [3, 3 / 4], 2: [2, 1], INF: [6 / 5, 6 / 5]}),
    ("priorities", ONE | {"b": [1, 2]}, [[1, 1]], {2: [2, 4]}),
    ("two givers", TWO, HALVES, {1: [5 / 2, 5 / 4]}),
    ("two givers, harmonic", FOUR, QUARTERS, {2: [8 / 3, 4 / 3]}),
    ("demand", TWO | {"D": [2, INF]}, HALVES, {1: [2, 3 / 2]}),
    ("capacity", TWO | {"K": [[INF, 1 / 4], [INF, INF]]}, HALVES, {1: [11 / 4, 9 / 8]}),
    (
        "product losses",
        TWO | {"s": [2, 2]},
        PRODUCT,
        {1: [3 / 2, 3 / 8], 2: [1, 1 / 2], INF: [3 / 5, 3 / 5]},
    ),
]


def lossy(dense: Dense, table) -> cj.Market:
    """The market with these efficiencies of givers to receivers, 1 on the closed arcs that run backwards."""
    market, n = as_market(dense), len(dense.s)
    pairs = zip(*market.arcs(), strict=True)
    return market.with_terms(efficiency=[table[i][j - n] if i < n <= j else 1 for i, j in pairs])


def random_lossy(random: np.random.Generator, kind: str) -> cj.Market:
    """Any efficiencies: spread out, or few different ones, which tie."""
    market = as_market(random_dense(random, kind))
    size = len(market.arcs()[0])
    return market.with_terms(
        efficiency=random.uniform(0.1, 1, size)
        if random.random() < 0.5
        else random.choice([1, 0.5, 0.25], size)
    )


@pytest.mark.parametrize(
    ("given", "table", "fairness", "expected"),
    [
        pytest.param(given, table, alpha, u, id=f"{name}, {alpha}")
        for name, given, table, answers in ORACLES
        for alpha, u in answers.items()
    ],
)
def test_known_markets(given, table, fairness, expected):
    found = cj.solve(lossy(Dense(**given), table), fairness=fairness)
    assert found.utility[len(given["s"]) :] == pytest.approx(expected, rel=1e-9)
    assert found.is_solved
    assert found.price_error[0] < 1e-12


def test_what_is_settled_besides_utilities():
    found = cj.solve(lossy(Dense(**TWO, D=[2, INF]), HALVES))
    assert found.settlement.receiver_price[2] == pytest.approx(1 / 3, rel=1e-9)
    assert found.settlement.claim[2] == pytest.approx(2 / 3, rel=1e-9)
    assert found.settlement.is_satisfied.tolist() == [False, False, True, False]
    market = lossy(Dense(s=[3, 1], K=[[INF, 1 / 4], [INF, INF]]), HALVES)
    rent = market.arc_values(cj.solve(market).settlement.rent)
    assert rent[rent > 1e-12] == pytest.approx([8 / 99], rel=1e-9)


def test_prices_are_what_a_unit_is_worth_by_the_fairness():
    found = cj.solve(lossy(Dense(**FOUR), QUARTERS), fairness=2)
    assert found.settlement.receiver_price[2:] == pytest.approx([9 / 64, 9 / 16], rel=1e-9)


@pytest.mark.parametrize(
    ("given", "table", "fairness", "expected"),
    [(TWO | {"D": [2, INF]}, HALVES, 1, [2, 1.5]), (FOUR, QUARTERS, 2, [8 / 3, 4 / 3])],
)
def test_sweeps_alone_come_near(given, table, fairness, expected):
    arcs = Arcs.of(lossy(Dense(**given), table))
    sweeps = Sweeps(arcs.only(arcs.leads), fairness)
    sweeps.go_on(400)
    assert sweeps.utility[2:] == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("fairness", [0.5, 1, 2])
def test_the_interior_point_method_alone_finds_the_links_that_are_used(fairness, monkeypatch):
    monkeypatch.setattr(_lossy, "NUM_SWEEPS", 0)
    monkeypatch.setattr(_lossy, "MAX_TRIES", 2)
    random = np.random.default_rng(4)
    table = random.uniform(0.1, 1, (8, 8))
    dense = Dense(
        s=random.uniform(1, 3, 8), K=random.choice([INF, 0.2], (8, 8)), D=random.choice([INF, 1.0], 8)
    )
    assert cj.solve(lossy(dense, table), fairness=fairness).is_solved


def test_the_least_ratio_is_approached_by_a_large_fairness():
    # The level rule, which only equalises, rests at 1/10 and 1/10 from the crossed start.
    trap = lossy(Dense(s=[1, 1], K=[[INF, INF], [INF, INF]]), [[1, 0.1], [0.1, 1]])
    assert cj.solve(trap, fairness=32).utility[2:] == pytest.approx([1, 1], rel=1e-9)
    found = cj.solve(lossy(Dense(**FOUR), QUARTERS), fairness=64).utility[2:]
    assert found == pytest.approx([8 / 5, 8 / 5], rel=0.02)
    with pytest.raises(ValueError, match="the limit inf is not found; give a large finite fairness"):
        cj.solve(trap, fairness=INF)


@pytest.mark.parametrize("fairness", [0, -1, np.nan, "much", True])
def test_what_is_no_fairness_is_refused(fairness):
    with pytest.raises(ValueError, match="give a number above 0, or inf"):
        cj.solve(cj.Market.from_links([[0, 1]]), fairness=fairness)


@pytest.mark.parametrize("fairness", [0.5, 2, INF])
def test_without_losses_fairness_changes_only_what_is_measured(fairness):
    dense = Dense(s=[3, 2], K=[[1, INF, 0], [0, INF, 0.5]], b=[1, 1, 2], D=[INF, 2.5, INF])
    market = as_market(dense)
    plain, other = cj.solve(market), cj.solve(market, fairness=fairness)
    assert other.utility.tolist() == plain.utility.tolist()
    assert other.gap[0] < 1e-14
    karate = cj.graphs.read_market("karate")
    plain, other = cj.solve(karate), cj.solve(karate, fairness=fairness)
    assert other.utility.tolist() == plain.utility.tolist()
    mean = {0.5: np.mean(plain.ratio**0.5) ** 2, 2: 1 / np.mean(1 / plain.ratio), INF: np.min(plain.ratio)}
    assert other.mean_ratio[0] == pytest.approx(mean[fairness], rel=1e-12)
    assert other.gap[0] < 1e-14


def reference(market: cj.Market, alpha: float) -> np.ndarray:
    """Counted utilities of those who count, by Clarabel."""
    cp = pytest.importorskip("cvxpy")
    arcs = Arcs.of(market)
    leads, who = np.flatnonzero(arcs.leads), np.flatnonzero(arcs.counts)
    flow, u = cp.Variable(len(leads), nonneg=True), cp.Variable(len(who))
    into = (arcs.receiver[leads] == who[:, None]) * arcs.efficiency[leads]
    out = arcs.giver[leads] == np.arange(len(arcs.supply))[:, None]
    limits = [out.astype(float) @ flow <= arcs.supply, u == arcs.own_use[who] + into @ flow]
    for x, most in ((flow, arcs.capacity[leads]), (u, arcs.demand[who])):
        has = np.flatnonzero(np.isfinite(most))
        limits += [x[has] <= most[has]] if len(has) else []
    shapes = {1: cp.log, 2: lambda x: -cp.inv_pos(x), 0.5: lambda x: 2 * cp.sqrt(x)}
    b = arcs.priority[who]
    welfare = cp.sum(cp.multiply(b, shapes[alpha](cp.multiply(1 / b, u))))
    limits = dict.fromkeys(("tol_gap_abs", "tol_gap_rel", "tol_feas"), 1e-12), limits
    cp.Problem(cp.Maximize(welfare), limits[1]).solve(solver="CLARABEL", **limits[0])
    return u.value


@pytest.mark.filterwarnings("ignore:Solution may be inaccurate")
@pytest.mark.parametrize("fairness", [0.5, 1, 2])
def test_random_markets_have_the_optimum_of_a_convex_solver(fairness):
    random, worst = np.random.default_rng(int(8 * fairness)), []
    while len(worst) < 6:
        market = random_lossy(random, "small fractions")
        found, counts = cj.solve(market, fairness=fairness), Arcs.of(market).counts
        if np.count_nonzero(counts) < 3:
            continue
        assert found.is_solved
        expected = reference(market, fairness)
        worst.append(np.max(np.abs(found.utility[counts] / expected - 1)))
    assert max(worst) < 1e-3
    assert np.median(worst) < 1e-5


@pytest.mark.parametrize("few", [2000, 0])
@pytest.mark.parametrize("kind", ["small fractions", "floats far apart"])
def test_random_markets_are_solved_and_proved(kind, few, monkeypatch):
    # With few = 0 all take the way of large markets: sweeps choose the links that are looked at.
    monkeypatch.setattr(_lossy, "FEW", few)
    random, markets = np.random.default_rng(3), []
    while len(markets) < 25:
        market = random_lossy(random, kind)
        if np.any(Arcs.of(market).counts):
            markets.append(market)
    packed = cj.solve(cj.pack(markets))
    assert np.all(packed.gap < 1e-12)
    assert np.all(packed.price_error < 1e-9)
    assert packed.is_solved
    one = cj.solve(markets[0])
    assert packed.utility[: len(one.utility)] == pytest.approx(one.utility, rel=1e-12)


@pytest.mark.parametrize("fairness", [0.5, 1, 2])
def test_no_certificate_is_below_the_truth(fairness):
    random, slack = np.random.default_rng(9), []
    while len(slack) < 150:
        market = random_lossy(random, "small fractions")
        arcs = Arcs.of(market)
        if not np.any(arcs.counts):
            continue
        found = cj.solve(market, fairness=fairness)
        best = arcs.log_mean_ratio(found.utility, fairness)[0]
        claim = np.where(np.isfinite(found.settlement.claim), found.settlement.claim, 0)
        for power in range(1, 6):
            given = random.exponential(size=len(arcs.giver)) ** power
            total = np.bincount(arcs.giver, given)[arcs.giver]
            flow = arcs.feasible(given / total * arcs.supply[arcs.giver])
            truth = best - arcs.log_mean_ratio(arcs.received(flow), fairness)[0]
            for known in (None, claim):
                slack.append(certified_bound(arcs, flow, fairness, known)[0] - truth)
    slack = np.array(slack)
    assert not np.any(np.isnan(slack))
    assert slack.min() > -1e-12
    assert np.median(slack[np.isfinite(slack)]) < 1


def test_what_is_not_reached_is_said(monkeypatch):
    monkeypatch.setattr(_lossy, "MAX_TRIES", 1)
    monkeypatch.setattr(_lossy, "NUM_SWEEPS", 1)
    random = np.random.default_rng(2)
    table = random.uniform(0.1, 1, (12, 12))
    market = lossy(Dense(s=[1] * 12, K=[[INF] * 12] * 12), table)
    found = cj.solve(market)
    assert not found.is_solved
    assert found.gap[0] > 1e-10
    arcs = Arcs.of(market)
    monkeypatch.undo()
    best = cj.solve(market)
    assert best.is_solved
    truth = best.log_nash_welfare - arcs.log_welfare(arcs.received(market.arc_values(found.flow)))
    assert 0 < truth[0] <= found.gap[0]


def test_a_change_of_units_changes_nothing():
    random = np.random.default_rng(5)
    market = lossy(Dense(s=[3, 1, 2], K=[[INF] * 3] * 3, D=[1, INF, INF]), random.uniform(0.1, 1, (3, 3)))
    one = cj.solve(market, fairness=2)
    large = dataclasses.replace(market, endowment=market.endowment * 1024, demand=market.demand * 1024)
    other = cj.solve(large, fairness=2)
    assert other.utility == pytest.approx(1024 * one.utility, rel=1e-12)
    assert other.mean_ratio == pytest.approx(1024 * one.mean_ratio, rel=1e-12)
