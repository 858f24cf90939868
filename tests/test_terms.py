"""Markets with priorities, demands, own use, capacities and directed links: how they are made and kept."""

import numpy as np
import pandas as pd
import pytest

import cmapjax as cj

INF = np.inf
TRIANGLE = [[0, 1], [1, 2], [0, 2]]
TERMS = {
    "priority": [1.0, 2, 0],
    "demand": [1, INF, 3],
    "own_use": [0.5, 0, 1],
    "capacity": [1, INF, 0.5],
    "efficiency": [1, 0.9, 0.8],
}


def test_fields_that_are_absent_are_none_and_the_market_is_the_same():
    market = cj.Market.from_links(TRIANGLE)
    assert market.terms == ()
    assert all(getattr(market, name) is None for name in TERMS)


def test_fields_are_those_of_agents_and_of_links_both_ways():
    market = cj.Market.from_links(TRIANGLE, **TERMS)
    assert market.terms == tuple(TERMS)
    assert market.demand.tolist() == [1, INF, 3]
    giver, receiver = market.arcs()
    of_link = {frozenset(link): k for k, link in enumerate(TRIANGLE)}
    for name in ("capacity", "efficiency"):
        values = market.arc_values(getattr(market, name))
        for i, j, x in zip(giver.tolist(), receiver.tolist(), values, strict=True):
            assert x == TERMS[name][of_link[frozenset((i, j))]]


def test_a_directed_link_is_closed_in_the_other_direction():
    market = cj.Market.from_links([[0, 1], [0, 2], [1, 0], [2, 1]], directed=True)
    closed = {
        (i, j) for i, j, x in zip(*market.arcs(), market.arc_values(market.capacity), strict=True) if x == 0
    }
    assert closed == {(1, 2), (2, 0)}
    both_ways = [[0, 1], [1, 0], [1, 2], [2, 1]]
    assert cj.Market.from_links(both_ways, directed=True).terms == ()


def test_directions_have_capacities_of_their_own():
    market = cj.Market.from_links([[0, 1], [1, 0]], directed=True, capacity=[2, 3])
    assert market.arc_values(market.capacity).tolist() == [2, 3]


def test_names_are_matched_and_isolated_agents_leave_with_their_numbers():
    demand = pd.Series({"c": 3.0, "a": 1.0, "b": 2.0, "d": 4.0})
    links = [[0, 2], [2, 3]]
    market = cj.Market.from_links(links, labels=["a", "b", "c", "d"], demand=demand, drop_isolated=True)
    assert list(market.labels) == ["a", "c", "d"]
    assert market.demand.tolist() == [1, 3, 4]


def test_self_loops_leave_with_their_capacity():
    links = [[0, 1], [1, 1], [1, 2]]
    market = cj.Market.from_links(links, capacity=[1, 7, 2], drop_self_loops=True)
    assert sorted(market.arc_values(market.capacity).tolist()) == [1, 1, 2, 2]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"priority": [1, -1, 1]}, "priority of agent 1 is -1; give a finite number, 0 or more"),
        ({"priority": [1, INF, 1]}, "priority of agent 1 is inf"),
        ({"demand": [1, 1, np.nan]}, "demand of agent 2 is nan"),
        ({"own_use": [-2, 1, 1]}, "own_use of agent 0 is -2"),
        ({"demand": [1, 1, 1], "own_use": [0, 2, 0]}, "demand of agent 1 is 1, less than its own_use 2"),
        ({"capacity": [1, 2, -3]}, "capacity of the link from agent 0 to agent 2 is -3"),
        (
            {"efficiency": [1, 0, 1]},
            "efficiency of the link from agent 1 to agent 2 is 0; give a finite number",
        ),
        ({"capacity": [1, 2]}, "capacity has shape"),
        ({"demand": "much"}, "demand is 'much'; give numbers"),
        ({"demand": 1.0, "endowment": [1, -1, 1]}, "endowment must be finite and 0 or more"),
        ({"endowment": [1, 0, 1]}, "endowment must be finite and above zero"),
    ],
)
def test_contradictions_are_refused_by_name(fields, message):
    with pytest.raises(ValueError, match=message):
        cj.Market.from_links(TRIANGLE, **fields)


def test_a_link_with_two_capacities_is_refused():
    links = [[0, 1], [1, 2], [1, 0]]
    with pytest.raises(ValueError, match="the link from agent 0 to agent 1 is given more than once"):
        cj.Market.from_links(links, capacity=[1, 2, 3])
    assert cj.Market.from_links(links, capacity=[1, 2, 1]).origin.merged_links == 1


def test_terms_are_renewed_and_removed():
    market = cj.Market.from_links(TRIANGLE, **TERMS)
    other = market.with_terms(demand=4.0, capacity=None, efficiency=None, own_use=None)
    assert other.terms == ("priority", "demand")
    assert other.demand.tolist() == [4, 4, 4]
    assert market.with_terms(**dict.fromkeys(TERMS)).terms == ()
    per_arc = np.arange(1.0, 7)
    assert market.with_terms(capacity=per_arc).arc_values(
        market.with_terms(capacity=per_arc).capacity
    ).tolist() == (per_arc.tolist())
    with pytest.raises(ValueError, match="there is no field need"):
        market.with_terms(need=1)
    with pytest.raises(ValueError, match="less than its own_use"):
        market.with_terms(demand=0.25)


def test_packing_keeps_fields_and_fills_in_what_others_lack():
    one = cj.Market.from_links(TRIANGLE, priority=[1.0, 2, 0], capacity=0.5)
    two = cj.Market.from_links([[0, 1]], endowment=[2, 3.0], demand=1)
    both = cj.pack([one, two])
    assert both.terms == ("priority", "demand", "capacity")
    assert both.priority.tolist() == [1, 2, 0, 2, 3]
    assert both.demand.tolist() == [INF, INF, INF, 1, 1]
    assert both.arc_values(both.capacity).tolist() == [0.5] * 6 + [INF] * 2


def test_copies_keep_fields_and_take_rows_of_them():
    market = cj.Market.from_links(TRIANGLE, priority=[1.0, 2, 3], capacity=[1, 2, 3])
    two = cj.copies(market, demand=[[1, 1, 1], [2, 2, INF]])
    assert two.demand.tolist() == [1, 1, 1, 2, 2, INF]
    assert two.priority.tolist() == [1, 2, 3, 1, 2, 3]
    one = market.arc_values(market.capacity)
    assert two.arc_values(two.capacity).tolist() == [*one, *one]


def test_fingerprints_tell_fields_apart():
    markets = [cj.Market.from_links(TRIANGLE, **{name: x}) for name, x in TERMS.items()]
    markets.append(cj.Market.from_links(TRIANGLE, own_use=[1.0, 2, 0]))
    assert len({market.fingerprint() for market in markets}) == len(markets)


def test_utility_is_own_use_and_what_arrives():
    market = cj.Market.from_links([[0, 1]], own_use=[1, 0], efficiency=0.5)
    assert market.received(market.flow_from_arcs([4.0, 2.0])).tolist() == [2, 2]


@pytest.mark.parametrize(
    "call",
    [
        lambda m: cj.metrics.mean_community_utility(m, np.ones(3)),
        lambda m: m.equal_flow(),
        lambda m: cj.fairness.reciprocity_error(m, np.ones(6)),
    ],
)
@pytest.mark.parametrize("name", sorted(TERMS))
def test_what_does_not_know_a_field_refuses_it(call, name):
    market = cj.Market.from_links(TRIANGLE, **{name: TERMS[name]})
    with pytest.raises(ValueError, match=f"this market has {name}, and .* leave those fields out"):
        call(market)
