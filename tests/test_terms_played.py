"""Runs on markets with priorities, demands, own use, capacities, directions and losses."""

import dataclasses

import jax
import jax.numpy as jnp
import networkx as nx
import numpy as np
import pytest
from general import random_network

import cmapjax as cj
from cmapjax.engine._terms import terms_of
from cmapjax.strategies._capped import _at_once, capped_level, up_to

LAMBDA = {"priority": [0, 1, 1, 1], "directed": True, "endowment": [6, 0, 0, 0]}
# Two givers that could replace each other at a receiver that has enough.
STALL = cj.Market.from_links(
    [[0, 2], [0, 3], [1, 2], [1, 4]],
    directed=True,
    endowment=[1, 1, 0, 0, 0],
    priority=[0, 0, 1, 1, 1],
    demand=[np.inf, np.inf, 0.5, np.inf, np.inf],
)


@dataclasses.dataclass
class Corpus:
    market: cj.Market
    best: cj.Equilibrium


@pytest.fixture(scope="module", params=["lossless", "with losses"])
def corpus(request):
    """Random markets of every kind, with their equilibrium."""
    rng = np.random.default_rng(7)
    is_lossy = request.param == "with losses"
    market = cj.pack([random_network(rng, losses=is_lossy) for _ in range(24)])
    return Corpus(market, cj.solve(market))


class Own(cj.CMAP):
    """A class that the engine does not trust, so that every law is tried in every round."""


RULES = {
    "one after another": (Own(), cj.Sequential()),
    "by colours": (cj.CMAP(), cj.Coloured()),
    "damped": (cj.Damped(Own(), cj.LocalDamping()), cj.Simultaneous()),
    "bids": (cj.BidResponse(), cj.Simultaneous()),
}


@pytest.mark.parametrize("rule", RULES)
def test_claims_lead_to_the_equilibrium(corpus, rule):
    strategy, schedule = RULES[rule]
    market = corpus.market
    run = cj.simulate(market, strategy, rounds=1500, schedule=schedule, every=1500, strict=True)
    assert run.spending_error.max() < 1e-12
    slow = {"bids": 3, "damped": 1}.get(rule, 0)  # these still move in a few markets
    assert np.sum(run.gap > 1e-6) <= slow
    assert run.gap.min() > -1e-12
    demand = np.inf if market.demand is None else market.demand
    counts = np.asarray(corpus.best.settlement.counts) & (run.gap < 1e-6)[np.asarray(market.market_of)]
    missed = np.abs(np.minimum(run.final.utility, demand) - corpus.best.utility)[counts]
    assert missed.max() < 1e-2
    assert np.median(missed) < 1e-6


def slow_row(budget, weight, base, capacity):
    """min(K, max(0, L ω − h)) with the level found by halving."""
    low, high = 0.0, 1e6
    for _ in range(200):
        level = (low + high) / 2
        row = np.minimum(capacity, np.maximum(0, level * weight - base))
        low, high = (level, high) if row.sum() < budget else (low, level)
    return row


def test_a_round_is_what_each_agent_would_do_in_its_turn():
    rng = np.random.default_rng(3)
    links = np.array([(i, j) for i in range(7) for j in range(i) if rng.random() < 0.6 or i == j + 1])
    market = cj.Market.from_links(
        links,
        endowment=rng.lognormal(0, 1, 7),
        priority=rng.lognormal(0, 1, 7),
        own_use=rng.lognormal(-2, 1, 7),
        capacity=rng.lognormal(-1, 0.5, len(links)),
        efficiency=rng.uniform(0.3, 1, len(links)),
    )
    giver, receiver = market.arcs()
    efficiency, capacity = market.arc_values(market.efficiency), market.arc_values(market.capacity)
    flow = market.arc_values(cj.simulate(market, cj.CMAP(), rounds=0).final.flow)
    for agent in range(7):
        utility = market.own_use + np.bincount(receiver, efficiency * flow)
        mine = giver == agent
        to, e = receiver[mine], efficiency[mine]
        base = (utility[to] - e * flow[mine]) / e
        flow[mine] = slow_row(market.endowment[agent], market.priority[to], base, capacity[mine])
    run = cj.simulate(market, cj.CMAP(), rounds=1, schedule=cj.Sequential())
    np.testing.assert_allclose(market.arc_values(run.final.flow), flow, atol=1e-12)


def test_certificates_are_never_below_the_truth(corpus):
    market, rng = corpus.market, np.random.default_rng(0)
    best = cj.metrics.log_nash_welfare(market, corpus.best.utility)
    claims = np.nan_to_num(corpus.best.settlement.claim)
    compiled = jax.jit(lambda flow: cj.certified_gap_of_flow(market, flow))
    for number in range(40):
        rows = market.flow_from_arcs(rng.lognormal(0, 3, 2 * market.num_links))
        spent = market.gave(rows)
        scale = np.where(spent > 0, market.contribution / np.where(spent > 0, spent, 1), 0)
        flow = market.flow_from_arcs(market.arc_values(rows) * scale[market.arcs()[0]])
        if market.capacity is not None:
            flow = np.minimum(flow, market.capacity)
        reached = cj.metrics.log_nash_welfare(market, market.received(flow))
        gaps = [
            cj.certified_gap_of_flow(market, flow),
            cj.certified_gap_of_flow(market, flow, claim=claims),
            cj.certified_gap(market, market.received(flow)),
        ]
        if number == 0:
            with jax.enable_x64(True):
                gaps.append(np.asarray(compiled(flow)))
        for gap in gaps:
            assert np.all(gap >= best - reached - 1e-12)


def test_certificates_are_tight_at_the_equilibrium(corpus):
    assert np.abs(cj.certified_gap_of_flow(corpus.market, corpus.best.flow)).max() < 1e-9


def test_rows_capped_at_demand_come_to_rest_elsewhere():
    capped = cj.CMAP(respects_demand=True)
    nothing_yet = np.zeros(STALL.links.num_slots)
    start = dataclasses.replace(cj.simulate(STALL, capped, rounds=0).final, flow=nothing_yet, received=None)
    start = dataclasses.replace(start, history=np.zeros((3, 5)))
    run = cj.simulate(STALL, capped, rounds=50, schedule=cj.Sequential(), start=start)
    np.testing.assert_allclose(run.final.utility[2:], [0.5, 0.5, 1])
    assert run.verdicts == ["settled elsewhere"]
    assert run.spending_error < 1e-12
    missed = cj.metrics.log_nash_welfare(STALL, cj.solve(STALL).utility)
    missed = missed - cj.metrics.log_nash_welfare(STALL, run.final.utility)
    np.testing.assert_allclose(missed * 3, np.log(9 / 8), rtol=1e-12)
    by_claims = cj.simulate(STALL, cj.CMAP(), rounds=100, schedule=cj.Sequential(), start=run.final)
    np.testing.assert_allclose(by_claims.final.utility[2:], [0.5, 0.75, 0.75])
    np.testing.assert_allclose(by_claims.final.claim[2], 2 / 3)


@pytest.mark.parametrize(
    ("fields", "utility"),
    [
        ({"demand": [np.inf, 1, np.inf, np.inf]}, [1, 2.5, 2.5]),
        ({"capacity": [1, np.inf, np.inf]}, [1, 2.5, 2.5]),
        ({"capacity": [1, 2, 0]}, [1, 2, 0]),
        ({"own_use": [0, 2, 1, 0]}, [3, 3, 3]),
        ({"efficiency": [1, 0.5, 0.25]}, [2, 1, 0.5]),
    ],
)
@pytest.mark.parametrize(
    "strategy", [cj.CMAP(), cj.BidResponse(), cj.GradientCMAP(method=cj.OptaxGradient())]
)
def test_one_giver_answers_exactly(fields, utility, strategy):
    market = cj.Market.from_links([[0, 1], [0, 2], [0, 3]], **LAMBDA | fields)
    run = cj.simulate(market, strategy, rounds=200, record={})
    digits = 1e-3 if isinstance(strategy, cj.GradientCMAP) else 1e-7
    np.testing.assert_allclose(run.final.utility[1:], utility, atol=digits)


@pytest.mark.parametrize(("fairness", "utility"), [(0.5, [4.8, 0.3]), (1, [3, 0.75]), (2, [2, 1])])
@pytest.mark.parametrize("rule", [cj.CMAP, cj.BidResponse])
def test_losses_are_answered_by_fairness(fairness, utility, rule):
    market = cj.Market.from_links(
        [[0, 1], [0, 2]], directed=True, endowment=[6, 0, 0], priority=[0, 1, 1], efficiency=[1, 0.25]
    )
    run = cj.simulate(market, rule(fairness=fairness), rounds=200, record={})
    np.testing.assert_allclose(run.final.utility[1:], utility, rtol=1e-9)


def test_the_level_rule_rests_far_from_the_largest_least_ratio():
    market = cj.Market.from_links(
        [[0, 2], [0, 3], [1, 2], [1, 3]],
        directed=True,
        endowment=[1, 1, 0, 0],
        priority=[0, 0, 1, 1],
        efficiency=[1, 0.1, 0.1, 1],
    )
    crossed = market.flow_from_arcs([0, 1, 1, 0, 0, 0, 0, 0])
    rule = cj.CMAP(fairness=np.inf)
    run = cj.simulate(market, rule, rounds=50, schedule=cj.Sequential(), start=crossed, record={})
    np.testing.assert_allclose(run.final.utility[2:], 0.1)


def test_fields_that_say_nothing_change_nothing():
    market = cj.graphs.from_networkx(nx.path_graph(12))
    named = market.with_terms(
        priority=market.contribution, demand=np.inf, own_use=0, capacity=np.inf, efficiency=1
    )
    for strategy in (cj.CMAP(), cj.ProportionalResponse(), cj.SelfishBestReply()):
        plain, same = (cj.simulate(m, strategy, rounds=20, schedule=cj.Sequential()) for m in (market, named))
        np.testing.assert_allclose(same.final.utility, plain.final.utility, rtol=1e-12)
        assert same.verdicts == plain.verdicts
        for name in plain.records:
            np.testing.assert_allclose(same.records[name], plain.records[name], rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("field", ["priority", "demand", "own_use", "capacity", "efficiency"])
@pytest.mark.parametrize(
    "strategy", [cj.ProportionalResponse(), cj.Damped(cj.SelfishBestReply()), cj.DynamicSharing()]
)
def test_answers_to_gifts_are_refused_where_they_lead_nowhere(field, strategy):
    market = cj.Market.from_links([[0, 1], [1, 2]], **{field: 0.5})
    with pytest.raises(ValueError, match=f"in a market with the field {field}; use .*CMAP"):
        cj.simulate(market, strategy)


class Greedy(cj.Strategy):
    """Gives all to the first neighbour, whatever the link lets through."""

    def respond(self, view):
        return jnp.zeros_like(view.sent).at[0].set(view.budget)


def test_who_gives_more_than_a_capacity_is_named():
    market = cj.Market.from_links([[0, 1], [1, 2]], capacity=[0.25, np.inf], labels=["a", "b", "c"])
    with pytest.warns(
        UserWarning, match="in round 1 agent (a|b) gave 0.75 more along a link than its capacity"
    ):
        assert cj.simulate(market, Greedy(), rounds=2).verdicts == ["not feasible"]
    with pytest.raises(cj.testing.StrategyError, match=r"law of (capacity|budget)"):
        cj.testing.check_strategy(Greedy(), markets=[market])


def test_a_run_continues_as_if_it_had_not_been_interrupted(corpus):
    market, play = (
        corpus.market,
        {"record": {}, "key": jax.random.key(1), "endowments": cj.endowments.Exponential()},
    )
    whole = cj.simulate(market, cj.CMAP(), rounds=10, **play).final
    half = cj.simulate(market, cj.CMAP(), rounds=5, **play).final
    rest = cj.simulate(market, cj.CMAP(), rounds=5, start=half, **play).final
    for one, other in zip(jax.tree.leaves(whole), jax.tree.leaves(rest), strict=True):
        np.testing.assert_array_equal(one, other)


def test_random_surplus_and_participation_obey_the_laws(corpus):
    schedule = cj.RandomParticipation(0.7)
    run = cj.simulate(
        corpus.market,
        Own(),
        rounds=30,
        schedule=schedule,
        endowments=cj.endowments.Exponential(),
        key=jax.random.key(0),
        strict=True,
    )
    assert run.spending_error.max() < 1e-12
    assert np.all(np.isfinite(run.final.utility))


def test_single_precision_comes_as_near(corpus):
    run = cj.simulate(
        corpus.market, cj.CMAP(), rounds=300, schedule=cj.Coloured(), precision="float32", record={}
    )
    assert np.sum(run.gap > 1e-4) <= 1
    assert run.spending_error.max() < 1e-3


def test_slopes_of_a_run_are_those_of_differences():
    base = cj.Market.from_links([[0, 1], [0, 2], [1, 2], [2, 3]], capacity=[0.4, 1, 0.2, 9], efficiency=0.9)

    def poorest(endowment):
        market = base.with_contributions(endowment=endowment)
        return cj.simulate(market, cj.CMAP(), rounds=3, record={}).final.utility.min()

    with jax.enable_x64(True):
        at, step = jnp.array([1.0, 2.0, 3.0, 4.0]), 1e-6
        slope = jax.grad(poorest)(at)
        for k in range(4):
            change = jnp.zeros(4).at[k].set(step)
            wanted = (poorest(at + change) - poorest(at - change)) / (2 * step)
            np.testing.assert_allclose(slope[k], wanted, atol=1e-6)


NETWORK = cj.Market.from_links([[0, 1], [1, 2], [2, 3], [3, 0], [0, 2]])


def test_a_balance_that_never_changes_is_a_market_that_does_not():
    production, need = np.tile([3.0, 0.5, 0, 1], (60, 1)), np.tile([1.0, 1, 2, 0.5], (60, 1))
    balance = cj.endowments.Balance(production, need)
    runs = [
        cj.simulate(balance.mean(NETWORK), Own(), rounds=60, record={}, endowments=surplus, strict=True)
        for surplus in (balance, cj.endowments.Constant())
    ]
    np.testing.assert_allclose(*(run.final.utility for run in runs), rtol=1e-12)
    np.testing.assert_allclose(*(run.final.claim for run in runs), rtol=1e-12)


def test_roles_change_from_round_to_round():
    rng = np.random.default_rng(0)
    production = rng.lognormal(0, 1, (50, 4)) * (rng.random((50, 4)) < 0.5)
    need = rng.lognormal(-0.3, 0.5, (50, 4))
    balance = cj.endowments.Balance(production, need)
    strategy = cj.CMAP(respects_demand=True)
    play = {"record": ["received"], "endowments": balance, "schedule": cj.Sequential()}
    received = cj.simulate(balance.mean(NETWORK), strategy, rounds=50, **play).records["received"][1:]
    has_enough = production >= need
    assert has_enough.any(axis=0).all()
    np.testing.assert_array_equal(received[has_enough], need[has_enough])  # nobody gives them anything
    shared = (received - np.minimum(production, need)).sum(axis=1)
    most = cj.share(NETWORK, balance).received.sum(axis=1)
    assert np.all(shared <= most + 1e-9)
    assert shared.sum() > 0.8 * most.sum()


def test_a_balance_is_played_on_the_market_of_its_means_only():
    balance = cj.endowments.Balance(np.ones((3, 4)), np.full((3, 4), 0.5))
    with pytest.raises(ValueError, match=r"endowment is not the mean of the rounds; play on balance.mean"):
        cj.simulate(NETWORK, cj.CMAP(), rounds=3, endowments=balance)
    with pytest.raises(ValueError, match="balance has 3 rounds, and 4 are to be played"):
        cj.simulate(balance.mean(NETWORK), cj.CMAP(), rounds=4, endowments=balance)


def small_whole_numbers(rng, shape):
    """Ties: the whole budget may fill some links exactly, and leave nothing for others."""
    fields = [rng.integers(low, 4, shape).astype(float) for low in (1, 0, 0)]
    return rng.integers(0, 9, shape[1]).astype(float), *fields


def claims_far_apart(rng, shape):
    """The level lies a billion times as high as that at which the first slots are full."""
    weight = np.where(rng.random(shape) < 0.5, 1e-9, 1) * rng.lognormal(0, 1, shape)
    capacity = np.where(rng.random(shape) < 0.3, np.inf, rng.lognormal(0, 1, shape))
    return rng.lognormal(0, 1, shape[1]), weight, rng.lognormal(0, 1, shape), capacity


def much_given_by_others(rng, shape):
    """What others give is a million times what there is to give."""
    numbers = 1e-6 * rng.lognormal(0, 1, shape[1]), rng.lognormal(0, 1, shape), rng.lognormal(0, 1, shape)
    return *numbers, 1e-6 * rng.lognormal(0, 1, shape)


@pytest.mark.parametrize("numbers", [small_whole_numbers, claims_far_apart, much_given_by_others])
@pytest.mark.parametrize("way", [capped_level, _at_once])
def test_rows_give_all_that_they_can(numbers, way):
    given = numbers(np.random.default_rng(0), (5, 4000))
    padding = np.arange(5)[:, None] >= np.random.default_rng(1).integers(1, 6, 4000)
    given = [given[0], *(np.where(padding, 0, x) for x in given[1:])]
    rows = jax.jit(jax.vmap(lambda *of: up_to(way(*of), *of[1:]), (0, -1, -1, -1), -1))
    for dtype in ("float64", "float32"):
        if dtype == "float32" and way is _at_once and numbers is much_given_by_others:
            continue  # less than the rounding of what others give
        with jax.enable_x64(True):
            budget, *slots = (np.asarray(x, dtype) for x in given)
            found = np.asarray(rows(*map(jnp.asarray, (budget, *slots)))).astype(float)
        assert np.all(found <= slots[2])
        due = np.minimum(budget, slots[2].sum(axis=0, dtype=float))
        # The search stops when what is given is the budget but for 4 roundings; adding up takes more.
        limit = 10 * np.finfo(dtype).eps
        if dtype == "float32" and numbers is much_given_by_others:
            limit = 1e-3  # what is given is a difference of numbers a million times as large
        np.testing.assert_allclose(found.sum(axis=0), due, rtol=limit)


def donors(*back):
    """30 givers and 200 receivers, in a block each; `back` are links by which receivers give, too."""
    links = [(i, 30 + j) for i in range(30) for j in range(200) if (i + j) % 2]
    gives, takes = np.zeros(230), np.append(np.zeros(30), np.linspace(1, 3, 200))
    gives[:30] = np.linspace(1, 2, 30)
    for giver, receiver in back:
        gives[giver] = takes[receiver] = 1
    return cj.Market.from_links(
        links + list(back),
        endowment=gives,
        priority=takes,
        efficiency=np.random.default_rng(0).uniform(0.2, 1, len(links) + len(back)),
        directed=True,
    )


def test_blocks_in_which_nobody_gives_or_receives_are_known():
    market = donors()
    of = terms_of(market, np.float64)
    assert of.sent.is_shut == (True, False)
    assert of.received.is_shut == (False, True)
    with jax.enable_x64(True):
        of = terms_of(jax.tree.map(jnp.asarray, market), np.float64)
    assert not any(of.sent.is_shut + of.received.is_shut)  # not known while compiling


@pytest.mark.parametrize("back", [(), [(31, 0)]], ids=["one way", "one gives back"])
def test_leaving_out_blocks_changes_no_row(back):
    market = donors(*back)
    for strategy in (cj.CMAP(), cj.BidResponse()):
        run = cj.simulate(market, strategy, rounds=3, record={})
        flow = market.arc_values(run.final.flow)
        with jax.enable_x64(True):
            whole = jax.jit(lambda m, s=strategy: cj.simulate(m, s, rounds=3, record={}).final.flow)(market)
        np.testing.assert_allclose(flow, market.arc_values(np.asarray(whole)), rtol=1e-12)
        np.testing.assert_allclose(market.gave(run.final.flow), market.contribution, rtol=1e-12)


def test_metrics_count_up_to_the_demand_by_priorities_of_those_who_count():
    best = cj.solve(STALL).utility
    more = np.add(best, [7, 7, 1, 0, 0])  # givers do not count, and the third has enough
    for metric in (cj.metrics.log_nash_welfare, cj.metrics.min_ratio, cj.metrics.unweighted_nash_welfare):
        np.testing.assert_allclose(metric(STALL, more), metric(STALL, best))
    np.testing.assert_allclose(cj.metrics.log_nash_welfare(STALL, more), np.log(0.5 * 0.75**2) / 3)
    np.testing.assert_allclose(cj.metrics.ratio(STALL, more), [0, 0, 0.5, 0.75, 0.75])
    np.testing.assert_allclose(cj.metrics.share_of_equilibrium(STALL, more, best), 1)
    np.testing.assert_allclose(cj.metrics.num_starved(STALL, np.array([0.0, 0, 0, 1, 0])), 2)
