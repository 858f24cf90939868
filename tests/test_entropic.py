"""Entropic CMAP: what is proved of it."""

import jax
import numpy as np
import pytest
import reference
from general import random_network
from hypothesis import given, settings
from hypothesis import strategies as st

import cmapjax as cj


def potential(market, utility):
    """Ψ = Σ u log(u / w)."""
    return (utility * np.log(utility / market.contribution)).sum(axis=-1)


@settings(max_examples=40, deadline=None, derandomize=True, database=None)
@given(seed=st.integers(0, 2**32 - 1), size=st.integers(3, 12), part=st.sampled_from([0.2, 0.6, 1.0]))
def test_whoever_acts_by_whatever_step_up_to_one_neither_potential_rises_nor_welfare_falls(seed, size, part):
    rng = np.random.default_rng(seed)
    market = cj.Market.from_links(
        reference.random_links(rng, size, 0.3), endowment=rng.lognormal(0, 1.5, size)
    )
    steps = 1 - rng.uniform(0, 1, size) * rng.integers(0, 2, size)  # half of them 1
    start = reference.flow_of(market, reference.random_split(rng, *reference.dense(market)))
    run = cj.simulate(
        market,
        cj.PerAgent(cj.EntropicCMAP(steps)),
        rounds=12,
        schedule=cj.RandomParticipation(part),
        start=start,
        key=jax.random.key(seed),
        record=["received", "log_nash_welfare"],
    )
    psi = potential(market, run.records["received"])
    assert np.all(np.diff(psi) <= 1e-13 * market.contribution.sum())
    assert np.all(np.diff(run.records["log_nash_welfare"][:, 0]) >= -1e-13)
    # All at once from an equal split, by the smallest step η: Ψ_T − Ψ* ≤ Σ w_p log deg_p / (η T).
    run = cj.simulate(market, cj.PerAgent(cj.EntropicCMAP(steps)), rounds=12, record=["received"])
    missed = potential(market, run.records["received"]) - potential(market, cj.solve(market).utility)
    most = (market.contribution * np.log(market.degree)).sum() / steps.min()
    assert np.all(missed[1:] * np.arange(1, 13) <= most + 1e-12)


@pytest.mark.parametrize(
    "fairness", [pytest.param(0.5, marks=pytest.mark.slow), pytest.param(1.0, marks=pytest.mark.slow), 2.0]
)
def test_with_losses_caps_and_priorities_welfare_never_falls_either(fairness):
    rng = np.random.default_rng(5)
    market = cj.pack([random_network(rng, losses=True).with_terms(demand=np.inf) for _ in range(30)])
    steps = rng.uniform(0.05, 1, market.num_agents)
    run = cj.simulate(
        market,
        cj.PerAgent(cj.EntropicCMAP(steps, fairness=fairness)),
        rounds=30,
        schedule=cj.RandomParticipation(0.6),
        key=jax.random.key(1),
        record=["received"],
    )
    assert run.spending_error.max() < 1e-12
    priority, received = np.asarray(market.priority), run.records["received"]
    counts = (priority > 0) & (received[0] > 0)
    weight, ratio = priority[counts], received[:, counts] / priority[counts]
    gain = np.log(ratio) if fairness == 1 else ratio ** (1 - fairness) / (1 - fairness)
    welfare = np.stack([np.bincount(np.asarray(market.market_of)[counts], weight * g) for g in gain])
    assert np.all(np.diff(welfare, axis=0) >= -1e-12 * abs(welfare[:-1]).max(axis=0))
    assert np.median(welfare[-1] - welfare[0]) > 0.1


def test_at_one_a_round_is_two_of_proportional_response_and_one_of_bid_response():
    rng = np.random.default_rng(2)
    market = cj.Market.from_links(reference.random_links(rng, 12, 0.3), endowment=rng.lognormal(0, 1, 12))
    rules = (cj.EntropicCMAP(), 6), (cj.ProportionalResponse(), 12), (cj.BidResponse(), 6)
    ends = [cj.simulate(market, rule, rounds=t, record={}).final.flow for rule, t in rules]
    for end in ends[1:]:
        np.testing.assert_allclose(end, ends[0], rtol=1e-13)


def test_in_markets_of_every_kind_a_step_of_one_is_bid_response():
    rng = np.random.default_rng(3)
    sent = rng.lognormal(0, 2, (6, 50)) * (rng.random((6, 50)) < 0.8)
    efficiency = rng.uniform(0.2, 1, (6, 50))
    view = cj.View(
        sent=sent,
        repeated=sent,
        received=sent,
        contribution=np.ones((6, 50)),
        utility=efficiency * sent + rng.lognormal(0, 2, (6, 50)) * (sent > 0),
        degree=np.ones((6, 50)),
        budget=rng.lognormal(2, 1, 50),
        is_neighbour=np.ones((6, 50), bool),
        max_degree=np.ones(50),
        priority=rng.lognormal(0, 2, (6, 50)),
        capacity=np.where(rng.random((6, 50)) < 0.5, rng.lognormal(1, 1, (6, 50)), np.inf),
        efficiency=efficiency,
    )
    rules = cj.EntropicCMAP(fairness=2.0), cj.BidResponse(fairness=2.0)
    with jax.enable_x64(True):
        rows = [
            np.asarray(jax.jit(jax.vmap(rule.respond, -1, -1))(jax.tree.map(jax.numpy.asarray, view)))
            for rule in rules
        ]
    assert (rows[0] == view.capacity).any()
    np.testing.assert_allclose(*rows, rtol=1e-12)


def test_with_demands_steps_below_four_thirds_lead_to_the_equilibrium():
    rng = np.random.default_rng(7)
    market = cj.pack([random_network(rng, losses=False) for _ in range(24)])
    run = cj.simulate(market, cj.EntropicCMAP(1.3), rounds=1500, every=1500, strict=True)
    assert run.spending_error.max() < 1e-12
    assert run.gap.max() < 1e-9
    assert run.gap.min() > -1e-12
    with pytest.raises(ValueError, match=r"has the step 1.5; in a market with the field demand, .* 1.2"):
        cj.simulate(market, cj.Damped(cj.EntropicCMAP(1.5)), rounds=1)


GIVERS = np.arange(2, 7)


@pytest.mark.parametrize("step", [0.5, 1.0, 1.5, 2.1])
def test_m_givers_of_two_receivers_multiply_a_deviation_by_one_minus_the_step(step):
    markets = [cj.Market.from_links([(i, m + side) for i in range(m) for side in (0, 1)]) for m in GIVERS]
    first = 1e-4
    for m, market in zip(GIVERS, markets, strict=True):
        giver, receiver = market.arcs()
        row = np.where(receiver == m, 0.5 + first, 0.5 - first)
        start = market.flow_from_arcs(np.where(giver < m, row, 1 / m))
        run = cj.simulate(market, cj.EntropicCMAP(step), rounds=4, start=start, record=["received"])
        one, other = run.records["received"][:, m : m + 2].T
        apart = (one - other) / (2 * m)
        # The next term of the expansion is of third order.
        np.testing.assert_allclose(apart[1:], (1 - step) * apart[:-1], rtol=0, atol=10 * first**3)


def test_near_an_equilibrium_rounds_contract_up_to_a_step_of_two():
    """The multipliers of a round, on links in use: 1 − η times numbers from 0 to 1."""
    rng = np.random.default_rng(0)
    market = cj.Market.from_links(reference.random_links(rng, 8, 0.5), endowment=rng.uniform(0.5, 2, 8))
    flow = cj.simulate(market, cj.EntropicCMAP(), rounds=3000, record={}).final.flow
    used = flow > 1e-9
    with jax.enable_x64(True):

        def after(x, step):
            start = jax.numpy.zeros(flow.shape).at[used].set(x)
            return cj.simulate(market, cj.EntropicCMAP(step), rounds=1, start=start, record={}).final.flow[
                used
            ]

        slopes_at = jax.jit(jax.jacfwd(after))
        for step in (0.5, 1.95):
            slopes = np.asarray(slopes_at(jax.numpy.asarray(flow[used]), step))
            multipliers = np.linalg.eigvals(slopes)
            assert abs(multipliers.imag).max() < 1e-7
            shares = (1 - multipliers.real) / step
            shares = shares[abs(multipliers) > 1e-9]  # what a row sums to is forgotten: multiplier 0
            assert len(shares) > 5
            assert shares.min() > -1e-6
            assert shares.max() < 1 + 1e-6


@pytest.mark.parametrize("step", [1.0, 1.9, 3.0])
def test_amounts_far_apart_are_answered_in_single_precision(step):
    """Powers of needs span more than the numbers of float32 do."""
    market = cj.Market.from_links([[0, 1], [0, 2], [1, 2], [2, 3]], endowment=[1, 1e3, 1e-3, 1])
    giver, receiver = market.arcs()
    share = np.where(receiver == 3, 1e-30, np.where(giver > receiver, 1e-20, 1))
    sent = np.asarray(market.contribution)[giver] * share / np.bincount(giver, share)[giver]
    needs = np.log(market.contribution / np.bincount(receiver, sent))
    log = np.log(sent) + step * needs[receiver]
    parts = np.exp(log - np.array([log[giver == i].max() for i in range(4)])[giver])
    expected = np.asarray(market.contribution)[giver] * parts / np.bincount(giver, parts)[giver]
    run = cj.simulate(
        market,
        cj.EntropicCMAP(step),
        rounds=1,
        start=market.flow_from_arcs(sent),
        precision="float32",
        record={},
    )
    # Logarithms of up to 250 are rounded to 1e-5, and tiny numbers are lost.
    np.testing.assert_allclose(market.arc_values(run.final.flow), expected, rtol=1e-3, atol=1e-30)
    assert run.spending_error.max() < 1e-6


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"step": 0}, "step is 0.0; give a number η above 0"),
        ({"step": np.nan}, "step is nan"),
        ({"step": np.inf}, "step is inf"),
        ({"step": "large"}, "step is 'large'"),
        ({"step": np.array([1.0, -2.0])}, "step of agent 1 is -2.0"),
        ({"fairness": np.inf}, "fairness is inf"),
    ],
)
def test_steps_that_lead_nowhere_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        cj.EntropicCMAP(**options)
