"""Schedules: whose turn it is, what may be done in one turn, and how turns are found on the host."""

import itertools
import math

import jax
import networkx as nx
import numpy as np
import pytest
import reference

import cmapjax as cj
from cmapjax.market._random import draw_per_agent
from cmapjax.schedules import _turns
from cmapjax.schedules._plans import EveryonePlan, table_plan
from cmapjax.schedules._turns import colours, first_conflict, precedence_levels


@pytest.fixture(scope="module")
def networks():
    graphs = [
        nx.random_labeled_tree(30, seed=1),
        nx.barabasi_albert_graph(30, 3, seed=1),
        nx.grid_2d_graph(5, 6, periodic=True),
        nx.star_graph(12),
        nx.complete_graph(6),
    ]
    return [cj.graphs.from_networkx(nx.convert_node_labels_to_integers(g)) for g in graphs]


def _groups(turn):
    return [np.flatnonzero(turn == t) for t in range(turn.max() + 1)]


def test_agents_of_one_colour_share_no_receiver_and_colours_have_no_gaps(networks):
    for market in networks:
        _, links = reference.dense(market)
        colour = cj.Coloured().turns(market)
        assert set(colour) == set(range(colour.max() + 1))
        for group in _groups(colour):
            assert links[group].sum(axis=0).max() <= 1
    star, clique = networks[3], networks[4]
    assert cj.Coloured().turns(star).max() + 1 == 12  # twelve leaves give to one hub
    assert cj.Coloured().turns(clique).max() + 1 == 6


def test_sequential_is_far_fewer_turns_than_agents_on_sparse_networks(networks):
    # On the path 0 – 1 – … every agent sees the one before: as many turns as agents.
    path = cj.Market.from_links(np.array([[i, i + 1] for i in range(29)]))
    assert cj.Sequential().turns(path).max() + 1 == 30
    every_fourth = np.argsort(np.arange(30) % 4, kind="stable")
    assert cj.Sequential(every_fourth).turns(path).max() + 1 <= 10
    assert cj.Sequential().turns(networks[4]).max() + 1 == 6


@pytest.mark.optimised
def test_agents_who_see_far_take_one_turn_each(small_market):
    turns = cj.Sequential([4, 2, 0, 1, 3]).turns(small_market, hops=2)
    np.testing.assert_array_equal(turns, [2, 3, 1, 4, 0])
    run = cj.simulate(small_market, cj.CMAP(3), rounds=2, schedule=cj.Sequential(), record={})
    near = cj.simulate(small_market, cj.CMAP(1), rounds=2, schedule=cj.Sequential(), record={})
    np.testing.assert_array_equal(run.final.flow, near.final.flow)


def test_one_turn_of_all_is_simultaneous(ensemble):
    zero = cj.Turns(np.zeros(ensemble.num_agents, int))
    finals = [
        cj.simulate(ensemble, cj.CMAP(), rounds=3, schedule=s, record={}).final.flow
        for s in (zero, cj.Simultaneous())
    ]
    np.testing.assert_allclose(finals[0], finals[1], atol=1e-14)


def test_one_agent_per_round_goes_round_the_market(small_market):
    order = [3, 1, 4, 0, 2]
    record = {"flow": lambda market, state: state.flow}
    run = cj.simulate(small_market, cj.CMAP(), rounds=7, schedule=cj.OneAgentPerRound(order), record=record)
    w, links, y = reference.dense(small_market, small_market.equal_flow())
    for t in range(7):
        y = reference.play_round(reference.cmap_row, [[order[t % 5]]], y, w, links)
        played = reference.dense(small_market, run.records["flow"][t + 1])[2]
        np.testing.assert_allclose(played, y, atol=1e-14, err_msg=f"round {t + 1}")
    np.testing.assert_array_equal(run.agent_updates[:, 0], [0, 1, 2, 3, 4, 5, 6, 7])


def test_a_random_order_is_some_sequential_order_fresh_each_round(small_market):
    """Among the 120 orders of five agents one gives the round that was played."""
    w, links, y = reference.dense(small_market, small_market.equal_flow())
    rounds = {}
    for order in itertools.permutations(range(5)):
        turns = reference.sequential(5, order)
        rounds[order] = reference.play_round(reference.selfish_row, turns, y, w, links)
    seen = set()
    for seed in range(8):
        run = cj.simulate(
            small_market,
            cj.SelfishBestReply(),
            rounds=1,
            schedule=cj.RandomOrder(),
            record={},
            key=jax.random.key(seed),
        )
        got = reference.dense(small_market, run.final.flow)[2]
        same = [order for order, expected in rounds.items() if np.allclose(got, expected, atol=1e-13)]
        assert same
        seen.add(tuple(same))
        assert run.agent_updates[-1, 0] == 5
    assert len(seen) > 1


def test_every_agent_takes_part_by_a_coin_of_its_own_every_round(ensemble):
    rounds, p = 400, 0.3
    run = cj.simulate(
        ensemble,
        cj.EqualSplit(),
        rounds=rounds,
        schedule=cj.RandomParticipation(p),
        record={},
        key=jax.random.key(2),
    )
    acted = np.diff(run.agent_updates, axis=0)  # [rounds, markets]
    size = np.bincount(ensemble.market_of)
    turns = rounds * ensemble.num_agents
    # Five standard deviations of a binomial count.
    assert abs(acted.sum() - p * turns) < 5 * math.sqrt(turns * p * (1 - p))
    # Counts per round are binomial if agents toss coins of their own; those of markets are uncorrelated if
    # these do, and those of rounds likewise. Five standard errors of a variance, and of a correlation.
    deviation = (acted - p * size) / np.sqrt(size * p * (1 - p))
    within, later = deviation.T @ deviation / rounds, deviation[1:].T @ deviation[:-1] / rounds
    np.testing.assert_allclose(np.diag(within), 1, atol=5 * math.sqrt(2 / rounds))
    between = within[~np.eye(len(size), dtype=bool)]
    assert np.abs([*between, *later.ravel()]).max() < 5 / math.sqrt(rounds)


def test_participation_of_all_is_the_schedule_itself(small_market):
    for schedule in (cj.Simultaneous(), cj.Sequential()):
        one, all_ = (
            cj.simulate(
                small_market, cj.CMAP(), rounds=3, schedule=s, record={}, key=jax.random.key(0)
            ).final.flow
            for s in (schedule, cj.RandomParticipation(1.0, schedule))
        )
        np.testing.assert_allclose(one, all_, atol=1e-15)


def test_those_who_skip_give_as_before(small_market):
    run = cj.simulate(
        small_market,
        cj.CMAP(),
        rounds=1,
        schedule=cj.RandomParticipation(0.5),
        record={},
        key=jax.random.key(1),
    )
    _, _, before = reference.dense(small_market, small_market.equal_flow())
    _, _, after = reference.dense(small_market, run.final.flow)
    acted = int(run.agent_updates[-1, 0])
    assert 0 < acted < 5
    everybody = cj.simulate(small_market, cj.CMAP(), rounds=1, record={}).final.flow
    _, _, moved = reference.dense(small_market, everybody)
    kept = np.isclose(after, before, atol=1e-14).all(axis=1)
    assert (kept | np.isclose(after, moved, atol=1e-14).all(axis=1)).all()
    assert kept.sum() >= 5 - acted


@pytest.mark.optimised
def test_a_plan_can_be_made_once_and_used_again(small_market):
    plan = cj.Coloured().plan(small_market)
    flows = [
        cj.simulate(small_market, cj.CMAP(), rounds=2, schedule=s, record={}).final.flow
        for s in (plan, cj.Coloured())
    ]
    assert flows[0].tobytes() == flows[1].tobytes()


class LikeOnOff(EveryonePlan):
    """Who takes part is drawn from the plan's key just as on-off endowments are drawn from theirs."""

    def acts(self, market, key):
        return draw_per_agent(key, market, jax.random.uniform) < 0.5


def test_who_acts_is_drawn_apart_from_who_has_something():
    pairs = cj.pack([cj.Market.from_links([[0, 1]])] * 30)
    record = {"gave": lambda market, state: market.total(market.gave(state.flow))}
    run = cj.simulate(
        pairs,
        cj.EqualSplit(),
        rounds=40,
        schedule=LikeOnOff(),
        endowments=cj.endowments.OnOff(0.5),
        record=record,
        key=jax.random.key(7),
    )
    acted, have = np.diff(run.agent_updates, axis=0), run.records["gave"][1:] / 2
    assert acted.std() > 0.5
    assert have.std() > 0.5
    # 1,200 pairs of counts, independent: five standard errors.
    assert abs(np.corrcoef(acted.ravel(), have.ravel())[0, 1]) < 5 / math.sqrt(1200)


def test_participation_within_participation_tosses_two_coins(ensemble):
    rounds, p = 200, 0.5
    schedule = cj.RandomParticipation(p, cj.RandomParticipation(p))
    run = cj.simulate(
        ensemble, cj.EqualSplit(), rounds=rounds, schedule=schedule, record={}, key=jax.random.key(2)
    )
    turns = rounds * ensemble.num_agents
    both = p * p
    # Five standard deviations of a binomial count; one coin tossed for both would give twice as many.
    assert abs(run.agent_updates[-1].sum() - both * turns) < 5 * math.sqrt(turns * both * (1 - both))


REFUSED = {
    "turns for others": (lambda: cj.Turns([0, 1]), r"turn has shape \(2,\).* each of the 5 agents"),
    "negative turns": (lambda: cj.Turns([0, 1, 2, 3, -1]), "one whole number ≥ 0"),
    "fractional turns": (lambda: cj.Turns([0, 1, 2, 3, 0.5]), "dtype float64; give one whole number"),
    "an order without an agent": (lambda: cj.Sequential([0, 1, 2, 3, 3]), r"exactly once.*missing: 4\."),
    "an order of some": (lambda: cj.OneAgentPerRound([4, 1]), "each of the 5 agents exactly once"),
    "an order by fractions": (lambda: cj.Sequential([0.0, 1, 2, 3, 4]), "exactly once, by number"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_turns_that_do_not_fit_the_market_are_refused(small_market, name):
    make, words = REFUSED[name]
    with pytest.raises(ValueError, match=words):
        make().plan(small_market)


@pytest.mark.parametrize("p", [0.0, -0.1, 1.5, math.nan, math.inf, "half"])
def test_a_participation_that_is_no_probability_is_refused(p):
    with pytest.raises(ValueError, match=f"probability is {p}; give a number above 0 and at most 1"):
        cj.RandomParticipation(p)


def test_participation_in_no_schedule_is_refused():
    with pytest.raises(ValueError, match=r"schedule is .*; give an object such as Sequential\(\)"):
        cj.RandomParticipation(0.5, cj.Sequential)


@pytest.mark.parametrize("schedule", [cj.RandomOrder(), cj.RandomParticipation(0.5)], ids=repr)
def test_random_schedules_ask_for_a_key(small_market, schedule):
    with pytest.raises(ValueError, match=r"pass key=jax.random.key\(seed\)"):
        cj.simulate(small_market, cj.CMAP(), rounds=1, schedule=schedule, record={})


# -- how turns are found on the host ---------------------------------------------------------------


def _hubs(num_agents, num_links, steepness, seed):
    """Links between an agent drawn with weight 1 / rank^steepness and one drawn evenly."""
    rng = np.random.default_rng(seed)
    weight = np.arange(1.0, num_agents + 1) ** -steepness
    ends = rng.choice(num_agents, num_links, p=weight / weight.sum()), rng.integers(0, num_agents, num_links)
    return cj.Market.from_links(np.stack(ends, axis=1), drop_self_loops=True, drop_isolated=True)


def _even(num_agents, degree, seed):
    links = np.random.default_rng(seed).integers(0, num_agents, (num_agents * degree // 2, 2))
    return cj.Market.from_links(links, drop_self_loops=True, drop_isolated=True)


@pytest.fixture(scope="module")
def larger_networks():
    graphs = {
        "torus": nx.grid_2d_graph(7, 8, periodic=True),
        "preferential": nx.barabasi_albert_graph(300, 4, seed=1),
        "star": nx.star_graph(200),
        "clique": nx.complete_graph(70),
        "path": nx.path_graph(50),
        "two hubs": nx.complete_bipartite_graph(2, 150),
    }
    graphs = {
        name: cj.graphs.from_networkx(nx.convert_node_labels_to_integers(g)) for name, g in graphs.items()
    }
    return graphs | {"hubs": _hubs(800, 3000, 0.9, 0), "even": _even(700, 9, 1)}


def _plain_colours(market):
    """One at a time, most rivals first: the least colour that no other giver to one's receivers has."""
    starts, neighbours = market.neighbour_rows()
    rows = [neighbours[a:b].tolist() for a, b in itertools.pairwise(starts)]
    rivals = [sum(len(rows[r]) for r in row) for row in rows]
    colour = {}
    for agent in sorted(range(len(rows)), key=lambda i: (-rivals[i], i)):
        taken = {colour.get(giver) for receiver in rows[agent] for giver in rows[receiver]}
        colour[agent] = next(c for c in range(len(rows)) if c not in taken)
    return np.array([colour[i] for i in range(len(rows))])


# (agents a wave must be worth, colours in a mask of the plain loop)
WAYS = {"waves": (1, 2048), "one by one": (10**9, 2048), "narrow windows": (10**9, 3)}


@pytest.mark.parametrize("way", WAYS)
def test_colours_are_those_of_the_plain_greedy_rule(larger_networks, way, monkeypatch):
    monkeypatch.setattr(_turns, "LEAST_WAVE", WAYS[way][0])
    monkeypatch.setattr(_turns, "WINDOW", WAYS[way][1])
    for name, market in larger_networks.items():
        np.testing.assert_array_equal(colours(*market.neighbour_rows()), _plain_colours(market), err_msg=name)


def _plain_levels(market, order):
    adjacency = market.adjacency().toarray().astype(int)
    sees = (adjacency + adjacency @ adjacency) > 0
    level = np.full(len(order), -1)
    for place, agent in enumerate(order):
        earlier = order[:place][sees[agent, order[:place]]]
        level[agent] = level[earlier].max(initial=-1) + 1
    return level


@pytest.mark.parametrize("least_wave", [1, 10**9])
def test_levels_are_those_of_waiting_for_everybody_seen(larger_networks, least_wave, monkeypatch):
    monkeypatch.setattr(_turns, "LEAST_WAVE", least_wave)
    for name, market in larger_networks.items():
        order = np.random.default_rng(len(name)).permutation(market.num_agents)
        levels = precedence_levels(*market.neighbour_rows(), order)
        np.testing.assert_array_equal(levels, _plain_levels(market, order), err_msg=name)
        np.testing.assert_array_equal(levels, cj.Sequential(order).turns(market), err_msg=name)


def test_the_first_receiver_where_two_meet_is_found(larger_networks):
    rng = np.random.default_rng(0)
    for market in larger_networks.values():
        rows = np.split(market.neighbour_rows()[1], market.neighbour_rows()[0][1:-1])
        for num_turns in (1, 3, 10 * market.num_agents, 10**6):
            turn = rng.integers(0, num_turns, market.num_agents)
            meeting = [r for r, givers in enumerate(rows) if len(set(turn[givers])) < len(givers)]
            found = first_conflict(*market.neighbour_rows(), turn)
            assert found == (meeting[0] if meeting else None)


@pytest.mark.parametrize("steepness", [0.6, 0.9, 1.2])
def test_hubs_cost_as_many_colours_as_they_have_givers_and_tables_stay_small(steepness):
    market = _hubs(30_000, 120_000, steepness, seed=3)
    rows = market.neighbour_rows()
    colour = cj.Coloured().turns(market)
    packed = cj.Coloured().turns(cj.pack([market, cj.Market.from_links(np.array([[0, 1], [1, 2]])), market]))
    np.testing.assert_array_equal(packed, np.concatenate([colour, [0, 0, 1], colour]))
    assert colour.max() + 1 <= 1.05 * market.degree.max()
    assert set(colour) == set(range(colour.max() + 1))
    assert first_conflict(*rows, colour) is None
    # Colours spread by lot are nearly even; three times, because every width has a table of its own.
    size = np.bincount(colour)
    assert len(size) * size.max() <= _turns.MAX_UNEVENNESS * market.num_agents
    cells = sum(table.size for table in table_plan(market, colour).rows)
    assert cells <= 3 * (_turns.MAX_UNEVENNESS * market.num_agents)


def test_even_networks_need_few_more_colours_than_their_largest_degree():
    for seed in range(3):
        market = _even(20_000, 10, seed)  # wide enough for waves
        rows = market.neighbour_rows()
        colour = colours(*rows)
        assert first_conflict(*rows, colour) is None
        # There are 110 rivals on average: the greedy rule needs about 31 colours whatever the size, while
        # the largest degree grows with it (23 to 28 here and at a million agents).
        assert colour.max() + 1 <= 1.4 * market.degree.max()
        np.testing.assert_array_equal(colour, colours(*rows))


def test_the_shipped_network_needs_the_fewest_colours_there_can_be():
    market = cj.graphs.read_market(cj.graphs.shipped("gnutella"), drop_isolated=True)
    assert colours(*market.neighbour_rows()).max() + 1 == market.degree.max() == 103


def test_classes_of_rows_are_joined_where_slots_are_few():
    few = np.array([[26, 20], [13, 0], [5, 5], [1, 0]])
    widths, group_of = _turns.joined_classes((4, 16, 64, 103), few)
    assert (widths, group_of.tolist()) == ((16, 103), [0, 0, 1, 1])
    many = few * np.array([[1000], [1000], [1], [1]])
    widths, group_of = _turns.joined_classes((4, 16, 64, 103), many)
    assert (widths, group_of.tolist()) == ((4, 16, 103), [0, 1, 2, 2])
