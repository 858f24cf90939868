"""Markets whose equilibrium and dynamics are known on paper."""

import math

import networkx as nx
import numpy as np
import pytest

import cmapjax as cj

SIX = nx.empty_graph(6)
SIX.add_edges_from([(0, 2), (1, 2), (2, 3), (3, 4), (4, 5), (3, 5)])
# Network, contributions, utilities where they are short, weighted geometric mean ratio (12 digits).
PAPER = {
    "edge": (nx.path_graph(2), [3, 1], [1, 3], 0.577350269190),
    "path of 3": (nx.path_graph(3), 1, [1 / 2, 2, 1 / 2], 0.793700525984),
    "path of 4": (nx.path_graph(4), 1, [1, 1, 1, 1], 1),
    "weighted path of 4": (nx.path_graph(4), [1, 2, 3, 4], [3 / 2, 4 / 3, 9 / 2, 8 / 3], 0.922107911482),
    "path of 5": (nx.path_graph(5), 1, [2 / 3, 3 / 2, 2 / 3, 3 / 2, 2 / 3], 0.922107911482),
    "weighted path of 5": (nx.path_graph(5), [4, 1, 2, 1, 1], [1, 4, 2 / 3, 3, 1 / 3], 0.493499129263),
    "star": (nx.star_graph(4), 1, [4, 1 / 4, 1 / 4, 1 / 4, 1 / 4], 0.435275281648),
    "complete": (nx.complete_graph(4), [5, 1, 1, 1], [3, 5 / 3, 5 / 3, 5 / 3], 0.880111736793),
    "ring of 4": (nx.cycle_graph(4), [1, 2, 3, 1], [3 / 4, 8 / 3, 9 / 4, 4 / 3], 0.959735609789),
    "six": (SIX, 1, [1 / 2, 1 / 2, 2, 1, 1, 1], 0.890898718140),
    "complete, nobody above half": (nx.complete_graph(5), [2, 2, 1, 1, 1], [2, 2, 1, 1, 1], 1),
    "regular": (nx.petersen_graph(), 1, [1] * 10, 1),
    "karate": (nx.karate_club_graph(), 1, None, 0.850104573559),
    "les miserables": (nx.les_miserables_graph(), 1, None, 0.779186993739),
    "davis": (nx.davis_southern_women_graph(), 1, [7 / 9] * 18 + [9 / 7] * 14, 0.969073999111),
}
KARATE_LEVELS = {2 / 5: 5, 1 / 2: 8, 1: 15, 2: 4, 5 / 2: 2}


@pytest.fixture(scope="module")
def paper():
    """All of them side by side, so that one compilation serves all."""
    return cj.pack([cj.graphs.from_networkx(graph, endowment=w) for graph, w, _, _ in PAPER.values()])


def utilities_of(market, utility, number):
    return utility[market.market_of == number]


def test_solve_gives_every_paper_answer_to_eight_digits(paper):
    equilibrium = cj.solve(paper)
    assert equilibrium.is_solved
    for number, (name, (_, _, utilities, welfare)) in enumerate(PAPER.items()):
        found = utilities_of(paper, equilibrium.utility, number)
        if utilities is not None:
            np.testing.assert_allclose(found, utilities, atol=1e-8, err_msg=name)
        # The table has twelve digits.
        assert abs(math.exp(equilibrium.log_nash_welfare[number]) - welfare) < 1e-11, name
    karate = utilities_of(paper, equilibrium.utility, list(PAPER).index("karate"))
    for level, count in KARATE_LEVELS.items():
        assert np.sum(np.abs(karate - level) < 1e-8) == count
    assert equilibrium.gap.max() < 1e-10
    np.testing.assert_allclose(equilibrium.price, equilibrium.ratio, rtol=1e-7)
    np.testing.assert_allclose(paper.gave(equilibrium.flow), paper.contribution, rtol=1e-14)


def test_sequential_cmap_comes_to_every_paper_answer(paper):
    run = cj.simulate(paper, cj.CMAP(), schedule=cj.Sequential(), rounds=300, record={})
    for number, (name, (_, _, utilities, welfare)) in enumerate(PAPER.items()):
        found = utilities_of(paper, run.final.utility, number)
        if utilities is not None:
            np.testing.assert_allclose(found, utilities, atol=1e-6, err_msg=name)
        reached = cj.metrics.nash_welfare(paper, run.final.utility)[number]
        assert abs(reached - welfare) < 1e-6, name


KARATE_PROPORTIONAL_RESPONSE = {
    0: 0.620135,
    1: 0.814719,
    2: 0.894064,
    3: 0.930741,
    5: 0.965357,
    10: 0.989397,
    20: 0.997760,
    50: 0.999786,
    100: 0.999956,
}
KARATE_CMAP_SWEEPS = {0: 0.620135, 1: 0.975284, 2: 0.998611, 3: 0.999793, 5: 0.999995}


@pytest.mark.parametrize(
    ("strategy", "schedule", "figures"),
    [
        (cj.ProportionalResponse(), cj.Simultaneous(), KARATE_PROPORTIONAL_RESPONSE),
        (cj.CMAP(), cj.Sequential(), KARATE_CMAP_SWEEPS),
    ],
)
def test_karate_club_round_by_round(strategy, schedule, figures):
    market = cj.graphs.from_networkx(nx.karate_club_graph())
    welfare = {"w": cj.metrics.standard()["log_nash_welfare"]}
    run = cj.simulate(market, strategy, schedule=schedule, rounds=max(figures), record=welfare)
    reached = np.exp(run.records["w"][:, 0]) / 0.850104573559
    for rounds, figure in figures.items():
        assert abs(reached[rounds] - figure) < 6e-7, rounds  # six digits, rounded


def two_receivers(m, shift):
    """m givers who share two receivers, each leaning to the first by `shift`."""
    market = cj.graphs.from_networkx(nx.complete_bipartite_graph(2, m))
    giver, receiver = market.arcs()
    lean = np.where(receiver == 0, shift, np.where(receiver == 1, -shift, 0))
    values = market.arc_values(market.equal_flow()) + np.where(giver >= 2, lean, 0)
    return market, market.flow_from_arcs(values)


@pytest.mark.parametrize("m", [2, 3, 4])
@pytest.mark.parametrize("theta", [1.0, 0.25])
def test_a_deviation_is_multiplied_by_one_minus_theta_m(m, theta):
    market, start = two_receivers(m, 1e-3)
    lean = {"lean": lambda market, state: (state.utility[0] - state.utility[1])[None]}
    strategy = cj.Damped(cj.CMAP(), theta)
    run = cj.simulate(market, strategy, rounds=4, start=start, record=lean)
    deviation = run.records["lean"][:, 0]
    # One multiplication at a time, relative to the market's unit of value.
    np.testing.assert_allclose(deviation[1:], (1 - theta * m) * deviation[:-1], atol=1e-12)


def test_three_givers_starve_a_receiver_and_the_verdict_says_so():
    market, start = two_receivers(3, 1e-3)
    run = cj.simulate(market, cj.CMAP(), rounds=30, start=start)
    assert run.records["num_starved"][-2:].max() >= 1
    assert run.records["log_nash_welfare"][-2:].min() == -np.inf
    assert run.verdicts == ["starved"]


def test_two_givers_oscillate_without_end():
    market, start = two_receivers(2, 0.1)
    run = cj.simulate(market, cj.CMAP(), rounds=40, start=start)
    assert run.verdicts == ["oscillating"]
    # Each of 2 givers swings 0.2 from one receiver to the other and back: 0.8 of u moves, W is 4.
    np.testing.assert_allclose(run.records["oscillation"][-1], 0.8 / 8, atol=1e-12)


def test_on_the_ring_of_four_everybody_rushes_to_the_same_side():
    market = cj.graphs.from_networkx(nx.cycle_graph(4))
    giver, receiver = market.arcs()
    # Agents 0 and 2 share the receivers 1 and 3, and both give all to 1.
    values = np.where(giver % 2 == 0, (receiver == 1) * 1.0, 0.5)
    record = {f"u{j}": lambda market, state, j=j: state.utility[j][None] for j in (1, 3)}
    start = market.flow_from_arcs(values)
    run = cj.simulate(market, cj.CMAP(), rounds=3, start=start, record=record)
    np.testing.assert_allclose(run.records["u1"][:, 0], [2, 0, 2, 0], atol=1e-12)
    np.testing.assert_allclose(run.records["u3"][:, 0], [0, 2, 0, 2], atol=1e-12)


def arc(market, giver, receiver):
    givers, receivers = market.arcs()
    return int(np.flatnonzero((givers == giver) & (receivers == receiver))[0])


def test_proportional_response_on_the_path_of_four_has_a_slow_tail():
    market = cj.graphs.from_networkx(nx.path_graph(4))
    middle = arc(market, 1, 2)
    for rounds in (1, 2, 10):
        run = cj.simulate(market, cj.ProportionalResponse(), rounds=rounds, record={})
        assert abs(market.arc_values(run.final.flow)[middle] - 1 / (rounds + 2)) < 1e-14


def test_proportional_response_on_a_triangle_cycles_while_utilities_stand_still():
    market = cj.graphs.from_networkx(nx.cycle_graph(3))
    giver, receiver = market.arcs()
    forward = (receiver - giver) % 3 == 1
    start = market.flow_from_arcs(np.where(forward, 0.3, 0.7))
    once = cj.simulate(market, cj.ProportionalResponse(), rounds=1, start=start, record={})
    twice = cj.simulate(market, cj.ProportionalResponse(), rounds=1, start=once.final, record={})
    np.testing.assert_allclose(market.arc_values(once.final.flow), np.where(forward, 0.7, 0.3), atol=1e-15)
    np.testing.assert_allclose(market.arc_values(twice.final.flow), np.where(forward, 0.3, 0.7), atol=1e-15)
    np.testing.assert_allclose(twice.final.utility, 1, atol=1e-15)
    assert cj.metrics.flow_distance(market, once.final.flow, twice.final.flow) > 0.3


def test_an_unused_link_fades_by_the_inverse_product_of_ratios():
    market = cj.graphs.from_networkx(nx.complete_graph(4), endowment=[5, 1, 1, 1])
    unused = arc(market, 1, 2)
    flows = []
    for rounds in (40, 42):
        run = cj.simulate(market, cj.ProportionalResponse(), rounds=rounds, record={})
        flows.append(market.arc_values(run.final.flow)[unused])
    assert abs(flows[1] / flows[0] - 9 / 25) < 1e-6  # the limit factor; the rest has faded by then


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
