"""The exact equilibrium of markets with priorities, demands, own use, capacities and directed links."""

from fractions import Fraction as F

import jax
import numpy as np
import pytest

import cmapjax as cj
from cmapjax.market._bound import Arcs
from tests.general import Dense, as_market, random_dense

INF = np.inf
THREE = {"s": [6], "K": [[INF, INF, INF]]}

ORACLES = {
    "demand": (THREE | {"D": [1, INF, INF]}, [1, F(5, 2), F(5, 2)]),
    "all satisfied": ({"s": [6], "K": [[INF, INF]], "D": [1, 2]}, [1, 2]),
    "capacity": (THREE | {"K": [[1, INF, INF]]}, [1, F(5, 2), F(5, 2)]),
    "a closed link": ({"s": [6], "K": [[0, INF]]}, [0, 6]),
    "each the other's substitute": (
        {"s": [1, 1], "K": [[INF, INF, 0], [INF, 0, INF]], "D": [0.5, INF, INF]},
        [F(1, 2), F(3, 4), F(3, 4)],
    ),
    "own use": ({"s": [3], "K": [[0, INF, INF]], "a": [2, 1, 0], "D": [2, 4, 3]}, [2, 2, 2]),
    "coverage": (
        {"s": [3], "K": [[0, INF, INF]], "a": [2, 1, 0], "D": [2, 4, 3], "b": [2, 4, 3]},
        [2, F(16, 7), F(12, 7)],
    ),
    "all at once": (
        {
            "s": [3, 2, 1],
            "K": [[1, INF, 0, 0], [0, INF, 0.5, INF], [0, 0, INF, INF]],
            "b": [1, 1, 2, 1],
            "D": [INF, 2.5, INF, 1],
        },
        [1, F(5, 2), F(3, 2), 1],
    ),
    "a chain of demands": ({"s": [2, 2], "K": [[INF, INF, 0], [0, INF, INF]], "D": [1, 1, INF]}, [1, 1, 2]),
}


@pytest.mark.parametrize("name", ORACLES)
def test_known_markets(name):
    given, expected = ORACLES[name]
    dense = Dense(**given)
    found = cj.solve(as_market(dense), exact=True)
    assert list(found.exact.utility[len(dense.s) :]) == expected
    assert found.is_solved
    assert dense.broken_laws(found) == []


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"priority": 1.0}, [1, 1, 1]),
        ({"priority": [2, 1, 0]}, [1, 2, 0]),
        ({"priority": [1.5, 1, 0.5]}, [1, F(4, 3), F(2, 3)]),
    ],
)
def test_an_agent_without_endowment(fields, expected):
    market = cj.Market.from_links([[0, 1], [1, 2], [0, 2]], endowment=[2, 1, 0], **fields)
    assert list(cj.solve(market, exact=True).exact.utility) == expected


def test_directed_links():
    market = cj.Market.from_links([[0, 1], [0, 2], [1, 0], [2, 1]], directed=True, endowment=[1, 2, 1])
    assert list(cj.solve(market, exact=True).exact.utility) == [2, F(4, 3), F(2, 3)]
    one_way = cj.Market.from_links([[0, 1]], directed=True, endowment=[2, 1], priority=1.0)
    found = cj.solve(one_way)
    assert found.utility.tolist() == [0, 2]
    assert found.settlement.kept.tolist() == [0, 1]


def test_a_path_with_a_narrow_middle():
    market = cj.Market.from_links(
        [[0, 1], [1, 2], [2, 3]], endowment=1.0, priority=[1, 3, 1, 1], capacity=[INF, 0.5, INF]
    )
    assert list(cj.solve(market, exact=True).exact.utility) == [1, F(3, 2), 1, F(1, 2)]


@pytest.mark.parametrize(
    ("fields", "counts", "mean"),
    [
        ({"demand": 1.0}, {F(2, 5): 5, F(1, 2): 8, 1: 21}, 0.742418564850),
        ({"demand": 0.75}, {F(2, 5): 5, F(1, 2): 8, F(3, 4): 21}, 0.621556739832),
        (
            {"capacity": 0.25},
            {
                F(1, 4): 1,
                F(5, 14): 7,
                F(7, 16): 4,
                F(9, 20): 5,
                F(1, 2): 5,
                F(3, 4): 7,
                F(13, 8): 2,
                F(5, 2): 1,
                3: 2,
            },
            0.601417118248,
        ),
        ({"capacity": 0.25, "demand": 1.0}, None, 0.533338054220),
    ],
)
def test_karate(fields, counts, mean):
    karate = cj.graphs.read_market("karate")
    links = np.stack(karate.arcs(), axis=1)
    found = cj.solve(cj.Market.from_links(links[links[:, 0] < links[:, 1]], **fields), exact=True)
    if counts is not None:
        assert {u: found.exact.utility.count(u) for u in set(found.exact.utility)} == counts
    assert np.exp(np.log(found.utility).mean()) == pytest.approx(mean, abs=1e-11)


def test_what_is_settled_besides_utilities():
    found = cj.solve(as_market(Dense(s=[6], K=[[INF, INF, INF]], D=[1, INF, INF])))
    assert found.settlement.claim.tolist() == [0, 0.4, 1, 1]
    assert found.settlement.receiver_price[1:] == pytest.approx([0.4, 0.4, 0.4])
    market = as_market(Dense(s=[6], K=[[1, INF, INF]]))
    found = cj.solve(market)
    assert market.arc_values(found.settlement.rent)[:3] == pytest.approx([0.6, 0, 0])
    assert found.price[0] == pytest.approx(0.4)
    found = cj.solve(as_market(Dense(s=[6], K=[[INF, INF]], D=[1, 2])))
    assert found.settlement.kept.tolist() == [3, 0, 0]
    assert found.settlement.level[1:].tolist() == [INF, INF]


def test_demands_that_are_just_met_have_the_least_level_at_which_they_are():
    found = cj.solve(as_market(Dense(s=[6], K=[[INF, INF]], D=[2, 4])), exact=True)
    assert found.exact.level[1:] == (4, 4)
    assert found.settlement.claim[1:].tolist() == [0.5, 1]
    # Here float64 does not tell the level from the end of an interval.
    dense = Dense(s=[2, 2], K=[[INF, 3], [INF, 4]], b=[1.5, 4], a=[5 / 3, 0], D=[5 / 3 + 1, 3])
    assert dense.broken_laws(cj.solve(as_market(dense), exact=True)) == []


@pytest.mark.parametrize("kind", ["small fractions", "floats far apart"])
@pytest.mark.parametrize("seed", range(6))
def test_the_laws_that_prove_it_hold_in_fractions(kind, seed):
    random = np.random.default_rng(seed)
    markets = [random_dense(random, kind) for _ in range(12)]
    for dense in markets:
        found = cj.solve(as_market(dense), exact=True)
        assert dense.broken_laws(found) == []
        assert found.gap[0] <= 1e-9 or not dense.anybody_counts
    packed = cj.solve(cj.pack([as_market(dense) for dense in markets]))
    alone = [cj.solve(as_market(dense)).utility for dense in markets]
    assert packed.utility.tolist() == np.concatenate(alone).tolist()


def test_markets_of_today_have_the_equilibrium_of_today():
    market = cj.graphs.RandomMarket(
        cj.graphs.ErdosRenyi(60, mean_degree=5),
        isolated=cj.graphs.Redraw(),
        endowment=cj.graphs.LogNormal(sigma=1.0),
    ).draw(jax.random.key(4), 5)
    plain = cj.solve(market)
    spelled_out = market.with_terms(
        priority=np.asarray(market.contribution), demand=INF, own_use=0.0, capacity=INF, efficiency=1.0
    )
    general = cj.solve(spelled_out)
    assert general.utility == pytest.approx(plain.utility, rel=4e-16)
    assert np.all(general.gap < 1e-14)
    assert general.log_nash_welfare == pytest.approx(plain.log_nash_welfare, abs=1e-14)


def test_the_table_has_what_is_settled():
    market = as_market(Dense(s=[6], K=[[INF, INF]], D=[1, 2]))
    frame = cj.solve(market).to_frame(market)
    assert frame["demand"].tolist() == [INF, 1, 2]
    assert frame["utility"].tolist() == [0, 1, 2]
    assert frame["kept"].tolist() == [3, 0, 0]
    assert {"priority", "own_use", "level", "receiver_price", "claim"} <= set(frame.columns)


@pytest.mark.parametrize("kind", ["small fractions", "floats far apart"])
def test_no_certificate_is_below_the_truth(kind):
    random, slack = np.random.default_rng(5), []
    while len(slack) < 400:
        dense = random_dense(random, kind)
        market = as_market(dense)
        arcs = Arcs.of(market)
        best = arcs.log_welfare(cj.solve(market).utility)[0]
        for _ in range(5):
            given = random.exponential(size=len(arcs.giver)) ** random.integers(1, 5)
            spread = given / np.bincount(arcs.giver, given)[arcs.giver] * arcs.supply[arcs.giver]
            flow = arcs.feasible(spread)
            certified = cj.certified_gap_of_flow(market, market.flow_from_arcs(flow))[0]
            slack.append(certified - (best - arcs.log_welfare(arcs.received(flow))[0]))
    assert np.nanmin(slack) > -1e-12
    finite = np.array(slack)[np.isfinite(slack)]
    assert len(finite) > 200
    assert np.median(finite) < 1


def test_what_a_flow_has_too_much_is_measured():
    arcs = Arcs.of(as_market(Dense(s=[4], K=[[1, INF]])))
    outward = arcs.giver == 0
    for row, expected in (([1, 3], 0), ([1, 3.5], 1 / 8), ([2, 2], 1 / 4), ([-1, 2], 1 / 4)):
        flow = np.zeros(len(outward))
        flow[outward] = row
        assert arcs.excess(flow).tolist() == [expected]


@pytest.mark.parametrize(
    "fields", [{"priority": [1e-300, 1.0], "endowment": 1e200}, {"priority": 1e300, "endowment": [1, 1e-200]}]
)
def test_utilities_out_of_range_are_refused(fields):
    market = cj.Market.from_links([[0, 1]], demand=INF, **fields)
    with pytest.raises(ValueError, match="float64 does not hold that"):
        cj.solve(market)


def test_losses_that_are_products_are_taken_out():
    market = as_market(Dense(s=[2, 2], K=[[INF, INF], [INF, INF]]))
    market = market.with_terms(efficiency=_spread(market, [[1, 1 / 4], [1 / 2, 1 / 8]], 2))
    found = cj.solve(market)
    assert found.utility[2:] == pytest.approx([3 / 2, 3 / 8], rel=1e-15)
    assert found.is_solved


def _spread(market, table, num_givers):
    """A number for each arc: those of givers from a table, 1 on the closed ones that run backwards."""
    table = np.array(table)
    return [
        table[i, j - num_givers] if i < num_givers <= j else 1 for i, j in zip(*market.arcs(), strict=True)
    ]


def test_a_single_giver_may_have_any_losses():
    market = cj.Market.from_links(
        [[0, 1], [0, 2]], directed=True, endowment=[6, 0, 0], priority=[0, 1, 1], efficiency=[1, 0.25]
    )
    found = cj.solve(market)
    assert found.utility == pytest.approx([0, 3, 0.75], rel=1e-15)
    assert found.price[0] == pytest.approx(1 / 3)
    full = cj.solve(market.with_terms(capacity=[2, INF, 0, 0]))
    assert full.utility == pytest.approx([0, 2, 1], rel=1e-15)
    assert market.arc_values(full.settlement.rent)[0] == pytest.approx(1 / 2 - 1 / 4)


def test_fractions_of_losses_are_refused():
    lossy = cj.Market.from_links([[0, 1]], directed=True, efficiency=0.5)
    with pytest.raises(ValueError, match="exact: this market has efficiencies"):
        cj.solve(lossy, exact=True)


def test_other_methods_are_refused():
    market = cj.Market.from_links([[0, 1]], demand=0.5)
    with pytest.raises(ValueError, match="method: this market has demand, which only Decomposition"):
        cj.solve(market, method=cj.equilibrium.ProjectedGradient())
