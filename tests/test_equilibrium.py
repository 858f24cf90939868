"""The equilibrium of a real network, the seed formula, and what rushing to the same side comes to."""

import networkx as nx
import numpy as np
import pytest

import cmapjax as cj


def test_the_real_network_has_the_known_equilibrium():
    market = cj.graphs.read_market(cj.graphs.shipped("gnutella"))
    assert (market.num_agents, market.num_links) == (10_875, 39_994)
    equilibrium = cj.solve(market, tolerance=1e-7)
    assert equilibrium.gap[0] <= 1e-7
    # Mean log ratio from an exact decomposition; the gap is of second order, so 1e-7 decides seven digits.
    assert abs(equilibrium.log_nash_welfare[0] + 0.127505745279180) < 2e-7
    assert equilibrium.ratio.min() == pytest.approx(1 / 25, rel=1e-6)
    assert equilibrium.ratio.max() == pytest.approx(25, rel=1e-6)


def test_utilities_are_the_literature_s_sum_of_allocation_times_value():
    rng = np.random.default_rng(3)
    endowment, value = rng.uniform(0.5, 2, 34), rng.uniform(0.5, 2, 34)
    market = cj.graphs.from_networkx(nx.karate_club_graph(), endowment=endowment, value=value)
    flow = cj.solve(market, tolerance=1e-6).flow
    allocation = market.allocation(flow)
    np.testing.assert_allclose(allocation.sum(axis=1), endowment, rtol=1e-14)
    np.testing.assert_allclose(value @ allocation, market.received(flow), rtol=1e-14)
    np.testing.assert_allclose(market.contribution, endowment * value)


def two_receivers(m, shift):
    """m givers who share two receivers, each leaning to the first by `shift`."""
    market = cj.graphs.from_networkx(nx.complete_bipartite_graph(2, m))
    giver, receiver = market.arcs()
    lean = np.where(receiver == 0, shift, np.where(receiver == 1, -shift, 0))
    values = market.arc_values(market.equal_flow()) + np.where(giver >= 2, lean, 0)
    return market, market.flow_from_arcs(values)


def test_three_givers_starve_a_receiver_and_the_verdict_says_so():
    market, start = two_receivers(3, 1e-3)
    record = ["num_starved", "log_nash_welfare"]
    run = cj.simulate(market, cj.CMAP(), rounds=30, start=start, record=record)
    assert run.records["num_starved"][-2:].max() >= 1
    assert run.records["log_nash_welfare"][-2:].min() == -np.inf
    assert run.verdicts == ["starved for now"]


def test_two_givers_oscillate_without_end():
    market, start = two_receivers(2, 0.1)
    run = cj.simulate(market, cj.CMAP(), rounds=40, start=start, record=["oscillation"])
    assert run.verdicts == ["oscillating"]
    # Each of 2 givers swings 0.2 from one receiver to the other and back: 0.8 of u moves, W is 4.
    np.testing.assert_allclose(run.records["oscillation"][-1], 0.8 / 8, atol=1e-12)
