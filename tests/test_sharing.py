"""What agents produce and need round after round: markets of rounds, who shares what, who is in reach."""

import dataclasses
import math

import four_homes as homes
import networkx as nx
import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_array
from scipy.sparse.csgraph import maximum_flow

import cmapjax as cj
from cmapjax import plots
from cmapjax.endowments import Balance
from cmapjax.equilibrium import _sharing
from cmapjax.graphs import from_arrays, within

ROUNDING = 1e-12  # of sums of a few flows near 1


@pytest.fixture(scope="module")
def path():
    return from_arrays(["north", "mid", "south"], ["mid", "south", "end"])


@pytest.fixture(scope="module")
def balance():
    return Balance(homes.frame(homes.PRODUCTION), homes.frame(homes.NEED))


def by_home(table) -> pd.DataFrame:
    return homes.frame(table)[[*homes.HOMES]]


# -- the data --------------------------------------------------------------------------------------


def test_surplus_demand_and_own_use_of_a_round_follow(path, balance):
    market = balance.at(path, 1)
    assert market.endowment.tolist() == [0, 4, 0, 0]
    assert market.demand.tolist() == market.priority.tolist() == [1, 1, 6, 1]
    assert market.own_use.tolist() == [0, 1, 2, 0]
    assert balance.times == tuple(homes.HOURS)
    assert repr(balance) == "Balance(4 rounds, 4 agents)"


def test_rounds_packed_are_the_rounds_one_by_one(path, balance):
    packed = cj.solve(balance.markets(path, [0, 1, 3])).utility.reshape(3, 4)
    for row, number in zip(packed, [0, 1, 3], strict=True):
        np.testing.assert_allclose(row, cj.solve(balance.at(path, number)).utility, rtol=ROUNDING)


def test_columns_are_matched_by_name_whatever_their_order(path):
    made, needed = homes.frame(homes.PRODUCTION), homes.frame(homes.NEED)
    mixed = Balance(made[["end", "south", "mid", "north"]], needed[["mid", "north", "end", "south"]])
    market = mixed.at(path, 1)
    assert market.endowment.tolist() == [0, 4, 0, 0]
    assert market.demand.tolist() == [1, 1, 6, 1]


def test_solidarity_mixes_what_agents_have_to_give_and_heads(balance):
    assert balance.solidarity(0).to_dict() == {"north": 1, "mid": 1, "south": 0, "end": 0.5}
    assert balance.solidarity(1).tolist() == [0.625] * 4
    np.testing.assert_allclose(balance.solidarity(0.2), [0.925, 0.925, 0.125, 0.525])
    with pytest.raises(ValueError, match=r"share is 1\.5; give a number from 0 to 1"):
        balance.solidarity(1.5)


def other(table, **columns):
    return homes.frame(table | columns)


REFUSED = {
    "a gap": (
        other(homes.PRODUCTION, mid=[0, np.nan, 0, 0]),
        None,
        "production: agent 'mid' has nan in round 1",
    ),
    "below 0": (None, other(homes.NEED, end=[1, 1, -0.5, 0]), r"need: agent 'end' has -0\.5 in round 2"),
    "rounds": (homes.frame(homes.PRODUCTION)[:3], None, "production has 3 rounds and need 4"),
    "times": (
        homes.frame(homes.PRODUCTION).set_axis(["a", "b", "c", "d"]),
        None,
        "production is of the time 'a' in row 0, need of '2030-05-01 10:00'",
    ),
    "agents": (
        homes.frame(homes.PRODUCTION).rename(columns={"end": "last"}),
        None,
        "no column 'last'; give one",
    ),
    "columns": (homes.frame(homes.PRODUCTION)[["mid", "end"]], None, "production has 2 columns and need 4"),
    "names": (homes.frame(homes.PRODUCTION).to_numpy(), None, "one of production and need has names"),
    "text": (other(homes.PRODUCTION, mid=["x", 0, 0, 0]), None, "production: column 'mid' holds 'x'"),
    "a list": ([1.0, 2.0], np.ones((2, 1)), r"production has shape \(2,\)"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_tables_that_are_no_balance_are_refused(case):
    production, need, words = REFUSED[case]
    production = homes.frame(homes.PRODUCTION) if production is None else production
    with pytest.raises(ValueError, match=words):
        Balance(production, homes.frame(homes.NEED) if need is None else need)


def test_markets_that_do_not_fit_are_refused(path, balance):
    for market, words in (
        (from_arrays(["north"], ["mid"]), "balance: 'south'.* not an agent"),
        (cj.pack([path, path]), "several markets are packed"),
        (path.with_contributions(value=2), "leave the market's values out"),
        (path.with_terms(demand=5), "the market has demand; leave it out"),
    ):
        with pytest.raises(ValueError, match=words):
            balance.markets(market)
    with pytest.raises(ValueError, match="balance has 2 columns for a market of 4 agents"):
        Balance(np.ones((3, 2)), np.ones((3, 2))).markets(path)
    with pytest.raises(ValueError, match=r"round is 4; give a whole number from 0 to 3"):
        balance.at(path, 4)
    with pytest.raises(ValueError, match=r"rounds is \[2, 4\]; give whole numbers from 0 to 3"):
        balance.markets(path, [2, 4])
    with pytest.raises(ValueError, match=r"priority has shape \(3,\); give one number per agent \(4,\)"):
        cj.share(path, balance, priority=[1, 2, 3])


def test_simulate_plays_the_markets_of_rounds_to_what_is_shared(path, balance):
    hours = balance.markets(path, [0, 1])
    run = cj.simulate(hours, cj.CMAP(), schedule=cj.Sequential(), rounds=60, record={})
    utility = np.minimum(run.final.utility, hours.demand).reshape(2, 4)
    # Claims fall by what was received too much, by a constant share of it each round.
    best = balance.matched(path).own_use[:2] + cj.share(path, balance).received[:2]
    np.testing.assert_allclose(utility, best, atol=1e-6)


# -- who shares what -------------------------------------------------------------------------------


def test_hours_by_hand(path, balance):
    shared = cj.share(path, balance)
    amounts = {name: homes.frame(x, columns=[*path.labels]) for name, x in shared.amounts().items()}
    for name, by_hand in (("received", homes.RECEIVED), ("given", homes.GIVEN)):
        np.testing.assert_allclose(amounts[name][[*homes.HOMES]], by_home(by_hand), atol=ROUNDING)
    assert amounts["kept"]["north"].tolist() == [1, 0, 0, 0]
    assert amounts["kept"]["end"].tolist() == [0, 0, 0, 2]
    assert amounts["unmet"]["south"].tolist() == pytest.approx([3, 6 / 7, 1, 0], abs=ROUNDING)
    total = shared.total()
    assert total[["production", "need", "own_use"]].tolist() == [15, 22, 5]
    assert total["shared"] == pytest.approx(7)
    assert total["wasted"] == total["lost"] == 0
    assert total["coverage"] == pytest.approx(12 / 22)
    assert total["collective_self_consumption"] == pytest.approx(12 / 15)
    south = shared.per_agent().set_index("agent").loc["south"]
    assert south["self_sufficiency"] == pytest.approx(2 / 10)
    assert south["coverage"] == pytest.approx((2 + 22 / 7) / 10)
    assert south["self_consumption"] == 1
    hours = shared.per_round().set_index("time")
    assert hours["shared"].tolist() == pytest.approx([3, 4, 0, 0])
    assert math.isnan(hours["coverage"].iloc[3])  # nobody needs anything
    assert (hours["gap"] < 1e-12).all()
    sent = shared.per_link().set_index(["giver", "receiver"])["given"]
    assert sent.to_dict() == pytest.approx(
        {("north", "mid"): 3, ("mid", "north"): 6 / 7, ("mid", "south"): 22 / 7}
    )
    rows = shared.to_frame().set_index(["time", "agent"])
    assert rows.loc[(homes.HOURS[1], "south"), "received"] == pytest.approx(22 / 7)
    assert len(rows) == 16


def test_rounds_solved_one_at_a_time_add_up(path, balance, monkeypatch):
    whole = cj.share(path, balance)
    monkeypatch.setattr(_sharing, "AT_ONCE", 4)
    apart = cj.share(path, balance)
    for name in ("given", "received", "sent", "gap"):
        np.testing.assert_allclose(getattr(apart, name), getattr(whole, name), atol=ROUNDING)


def test_priorities_decide_who_gets_what(path, balance):
    def received(priority):
        return homes.frame(cj.share(path, balance, priority=priority).received, columns=[*path.labels])

    assert received(np.ones(4)).iloc[1].to_dict() == pytest.approx(
        {"north": 1, "mid": 0, "south": 3, "end": 0}
    )
    earned = received(balance.solidarity(0))  # south never has anything to give
    assert earned["south"].tolist() == [0, 0, 0, 0]
    assert earned["north"].tolist() == pytest.approx([0, 1, 0, 0])
    by_round = by_home(homes.NEED) * 0 + 1
    by_round.loc[homes.HOURS[1], "north"] = 0
    late = received(by_round)
    assert late["north"].tolist() == [0, 0, 0, 0]
    assert late["south"].tolist() == pytest.approx([0, 4, 0, 0])
    own = path.with_terms(priority=[1, 1, 1, 0])
    np.testing.assert_allclose(cj.share(own, balance).received[1], [1, 0, 3, 0], atol=ROUNDING)


def test_cables_may_be_full_lossy_and_one_way(balance):
    links = [[0, 1], [1, 0], [1, 2], [2, 3]]
    market = cj.Market.from_links(
        links,
        labels=homes.HOMES,
        directed=True,
        capacity=[1, 9, np.inf, np.inf],
        efficiency=[0.5, 0.5, 0.5, 0.5],
    )
    shared = cj.share(market, balance)
    assert shared.given[0].tolist() == pytest.approx([1, 0, 0, 0])
    assert shared.lost[0].tolist() == pytest.approx([0.5, 0, 0, 0])
    assert shared.received[0].tolist() == pytest.approx([0, 0.5, 0, 0])
    assert shared.total()["lost"] == pytest.approx(2.5)  # half of the 1 and the 4 that were sent
    total = shared.total()
    assert total["own_use"] + total["given"] + total["kept"] == pytest.approx(total["production"])
    assert total["own_use"] + total["shared"] + total["unmet"] == pytest.approx(total["need"])


def test_all_that_can_be_used_is_shared_whatever_the_priority():
    """Where everybody has a priority the equilibrium delivers as much as a maximum flow does."""
    rng = np.random.default_rng(0)
    graph = nx.connected_watts_strogatz_graph(12, 4, 0.3, seed=1)
    market = cj.graphs.from_networkx(graph)
    made, needed = rng.integers(0, 9, (25, 12)) * (rng.random((25, 12)) < 0.4), rng.integers(0, 6, (25, 12))
    balance = Balance(made, needed)
    most = [_most(market, *rows) for rows in zip(balance.surplus, needed - balance.own_use, strict=True)]
    for priority in (None, rng.uniform(1, 5, 12)):
        shared = cj.share(market, balance, priority=np.maximum(needed, 1) if priority is None else priority)
        np.testing.assert_allclose(shared.received.sum(axis=1), most, atol=1e-11)
    assert 0 < sum(most) < balance.surplus.sum()


def _most(market, surplus, deficit) -> int:
    giver, receiver = market.arcs()
    n = market.num_agents
    tail = np.concatenate([np.full(n, 2 * n), giver, n + np.arange(n)])
    head = np.concatenate([np.arange(n), n + receiver, np.full(n, 2 * n + 1)])
    room = np.concatenate([surplus, np.full(len(giver), 10**6), deficit]).astype(np.int32)
    return maximum_flow(csr_array((room, (tail, head)), shape=(2 * n + 2,) * 2), 2 * n, 2 * n + 1).flow_value


def test_what_arrives_beyond_the_need_is_wasted(path, balance):
    shared = cj.share(path, balance)
    more = dataclasses.replace(shared, received=shared.received + np.array([0, 0, 0, 1.5]))
    wasted = more.amounts()["wasted"]
    assert wasted[:, 3].tolist() == pytest.approx([0.5, 0.5, 0.5, 1.5])
    assert more.total()["shared"] == pytest.approx(shared.total()["shared"] + 3)


def test_rounds_without_surplus_or_need_need_no_solving(path):
    night = Balance(np.zeros((3, 4)), np.ones((3, 4)))
    assert cj.share(path, night).total()[["given", "unmet"]].tolist() == [0, 12]
    with pytest.raises(ValueError, match="priority of agent"):
        cj.share(path, night, priority=-1 * np.ones(4))


# -- who is in reach -------------------------------------------------------------------------------


def test_agents_within_some_links_become_neighbours(path):
    def links(market):
        giver, receiver = (np.array(market.labels)[end] for end in market.arcs())
        return {frozenset(pair) for pair in zip(giver.tolist(), receiver.tolist(), strict=True)}

    assert links(within(path, 1)) == links(path)
    near = links(path) | {frozenset(pair) for pair in (("north", "south"), ("mid", "end"))}
    assert links(within(path, 2)) == near
    assert links(within(path, 3)) == links(within(path, math.inf)) == near | {frozenset(("north", "end"))}


@pytest.mark.parametrize("hops", [1, 2, 3, math.inf])
def test_reach_is_the_length_of_the_shortest_path_in_each_of_several_markets(hops):
    graphs = [nx.random_labeled_tree(9, seed=1), nx.cycle_graph(7)]
    market = cj.pack([cj.graphs.from_networkx(graph) for graph in graphs]).with_terms(priority=np.arange(16))
    reached = within(market, hops)
    pairs = {
        (a + first, b + first)
        for graph, first in zip(graphs, (0, 9), strict=True)
        for a, lengths in nx.all_pairs_shortest_path_length(graph)
        for b, length in lengths.items()
        if 0 < length <= hops
    }
    assert set(zip(*(end.tolist() for end in reached.arcs()), strict=True)) == pairs
    np.testing.assert_array_equal(reached.market_of, market.market_of)
    assert reached.priority.tolist() == list(range(16))
    assert list(reached.labels) == list(market.labels)


def test_more_can_be_shared_where_cables_reach_further(path, balance):
    shared = cj.share(within(path, 2), balance)
    received = dict(zip(path.labels, shared.received[0].tolist(), strict=True))
    assert received == pytest.approx({"north": 0, "mid": 2, "south": 2, "end": 0})
    assert shared.received.sum() > cj.share(path, balance).received.sum()


def test_reach_is_refused_where_cables_have_limits_or_losses(path):
    for fields in ({"capacity": 1}, {"efficiency": 0.9}):
        with pytest.raises(ValueError, match=f"within: links of this market have {next(iter(fields))}"):
            within(path.with_terms(**fields), 2)
    for hops in (0, 1.5, True, "2"):
        with pytest.raises(ValueError, match=r"hops is .*; give 1, 2, …, or math\.inf"):
            within(path, hops)


# -- a picture -------------------------------------------------------------------------------------


def test_a_picture_of_days_a_mean_day_and_agents(path, balance):
    figure = plots.sharing(cj.share(path, balance))  # four hours of one day
    time, agents = figure.axes
    assert time.get_ylabel() == "per round"
    need = sum(np.array([bar.get_height() for bar in bars]) for bars in time.containers)
    np.testing.assert_allclose(need, [9, 9, 4, 0])
    assert [text.get_text() for text in agents.get_xticklabels()] == ["end", "south", "north", "mid"]
    days = pd.date_range("2030-05-01", periods=480, freq="h")
    many = [pd.DataFrame(np.tile(x, (120, 1)), index=days, columns=[*homes.HOMES]) for x in _tables()]
    shared = cj.share(path, Balance(*many))
    time, day, agents = plots.sharing(shared).axes
    assert (time.get_ylabel(), day.get_xlabel()) == ("per day", "hour of the mean day")
    np.testing.assert_allclose(time.lines[0].get_ydata(), np.full(20, 6 * 15))
    numbered = Balance(*(x.to_numpy() for x in many))
    assert len(plots.sharing(cj.share(path, numbered)).axes) == 2
    with pytest.raises(ValueError, match="shared is"):
        plots.sharing(balance)


def _tables():
    return by_home(homes.PRODUCTION), by_home(homes.NEED)
