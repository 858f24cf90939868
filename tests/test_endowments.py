"""Endowments: their means and spreads, and what becomes of a round in which an agent has nothing."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference

import cmapjax as cj
from cmapjax import endowments as en

ROUNDS = 4000
# Standard deviation over mean of each process.
PROCESSES = {
    "exponential": (en.Exponential(), 1.0),
    "gamma": (en.Gamma(0.4), 0.4),
    "log-normal": (en.LogNormal(0.6), 0.6),
    "on-off": (en.OnOff(0.25), np.sqrt(3)),
}


@pytest.fixture(scope="module")
def draws(small_market):
    """[round, agent] of each process, in float64."""

    def draw(process):
        with jax.enable_x64(True):
            keys = jax.random.split(jax.random.key(5), ROUNDS)
            return np.asarray(
                jax.jit(jax.vmap(lambda k: process.draw(small_market, jnp.asarray(0), k)))(keys)
            )

    return {name: draw(process) for name, (process, _) in PROCESSES.items()}


@pytest.mark.parametrize("name", PROCESSES)
def test_means_and_spreads_are_as_promised(small_market, draws, name):
    variation, drawn = PROCESSES[name][1], draws[name]
    assert np.isfinite(drawn).all()
    assert (drawn >= 0).all()
    mean = np.asarray(small_market.endowment)
    # Five standard errors; the spread's own error is larger, more so for heavy tails.
    assert (np.abs(drawn.mean(axis=0) / mean - 1) < 5 * variation / np.sqrt(ROUNDS)).all()
    np.testing.assert_allclose(drawn.std(axis=0) / mean, variation, rtol=0.15)
    assert np.abs(np.corrcoef(drawn.T) - np.eye(5)).max() < 5 / np.sqrt(ROUNDS) * 1.5


def test_on_off_is_all_or_nothing(small_market, draws):
    full = np.asarray(small_market.endowment) / 0.25
    assert np.isin(draws["on-off"] / full, [0, 1]).all()


def test_what_an_agent_draws_depends_on_its_place_alone(small_market):
    """Neither on the markets packed beside its own, nor on the precision of the run."""
    key = jax.random.key(3)
    process = en.LogNormal(0.5)
    packed = cj.pack([small_market, small_market])
    pairs = [cj.pack([cj.Market.from_links(links), small_market]) for links in ([[0, 1]], [[0, 1], [1, 2]])]
    draw = jax.jit(lambda market: process.draw(market, jnp.asarray(0), key))
    with jax.enable_x64(True):
        alone, both, *second = (np.asarray(draw(market.bare())) for market in (small_market, packed, *pairs))
    np.testing.assert_array_equal(both[:5], alone)
    assert (both[5:] != alone).all()
    for drawn in second:
        np.testing.assert_array_equal(drawn[-5:], both[5:])
    runs = [
        cj.simulate(
            small_market, cj.EqualSplit(), rounds=1, endowments=process, record={}, key=key, precision=p
        ).final.flow
        for p in ("float32", "float64")
    ]
    np.testing.assert_allclose(runs[0], runs[1], rtol=1e-6)


@pytest.mark.parametrize("strategy", [cj.CMAP(), cj.ProportionalResponse(), cj.SelfishBestReply()], ids=repr)
@pytest.mark.parametrize("schedule", [cj.Simultaneous(), cj.OneAgentPerRound()], ids=repr)
def test_everybody_spends_what_the_round_brings(small_market, strategy, schedule):
    run = cj.simulate(
        small_market,
        strategy,
        rounds=20,
        schedule=schedule,
        endowments=en.OnOff(0.5),
        record={},
        key=jax.random.key(1),
    )
    assert np.isfinite(run.final.flow).all()
    assert (run.final.flow >= 0).all()
    assert run.spending_error[0] < 1e-14
    budget = np.asarray(small_market.contribution) / 0.5
    gave = small_market.gave(run.final.flow)
    assert (np.isclose(gave, 0) | np.isclose(gave, budget)).all()


def test_a_trace_is_played_row_by_row(small_market):
    table = np.random.default_rng(0).uniform(0, 2, (6, 5))
    table[2, 1] = 0
    trace = en.Trace(table)
    np.testing.assert_allclose(trace.means, table.mean(axis=0))
    small_market = small_market.with_contributions(endowment=trace.means)
    spent = []
    state = None
    for _ in range(6):
        run = cj.simulate(
            small_market,
            cj.CMAP(),
            rounds=1,
            endowments=trace,
            record={},
            start=state,
            schedule=cj.Sequential(),
        )
        state = run.final
        spent.append(small_market.gave(state.flow) / small_market.value)
    np.testing.assert_allclose(spent, table, atol=1e-14)
    with pytest.raises(ValueError, match="trace has 6 rounds, but round 7 is asked for"):
        cj.simulate(small_market, cj.CMAP(), rounds=1, endowments=trace, record={}, start=state)


@pytest.mark.parametrize(
    "schedule", [cj.RandomParticipation(0.5), cj.OneAgentPerRound()], ids=["terms posted", "rows answered"]
)
def test_to_give_as_before_is_to_scale_the_last_row_to_what_the_round_brings(small_market, schedule):
    """Damped rows and skipped rounds, where surplus varies: y ← (1 − θ) · (last row scaled) + θ · answer."""
    table, theta = np.random.default_rng(1).uniform(0.2, 2, (5, 5)), 0.3
    table[2, 1] = 0  # and so it gave nothing before the fourth round: it then splits equally
    market = small_market.with_contributions(endowment=table.mean(axis=0))
    w, links = reference.dense(market)
    start = reference.random_split(np.random.default_rng(2), w, links)
    run = cj.simulate(
        market,
        cj.Damped(cj.EqualSplit(), theta),
        rounds=5,
        schedule=schedule,
        endowments=en.Trace(table),
        record={"sent": lambda m, state: state.flow, "received": lambda m, state: state.received},
        start=reference.flow_of(market, start),
        key=jax.random.key(0),
    )
    before, moved = start, 0
    for t, endowment in enumerate(table, start=1):
        budget = (endowment * market.value)[:, None]
        even, spent = links / links.sum(axis=1, keepdims=True), before.sum(axis=1, keepdims=True)
        kept = budget * np.where(spent > 0, before / np.where(spent > 0, spent, 1), even)
        damped = (1 - theta) * kept + theta * budget * even
        row = reference.dense(market, run.records["sent"][t])[2]
        as_kept, as_damped = (np.isclose(row, y, rtol=0, atol=1e-14).all(axis=1) for y in (kept, damped))
        assert (as_kept | as_damped).all(), t
        acted = run.agent_updates[t, 0] - run.agent_updates[t - 1, 0]
        assert as_damped.sum() >= acted >= (~as_kept).sum()
        moved += (~as_kept).sum()
        received = reference.dense(market, market.mirror(run.records["received"][t]))[2]
        np.testing.assert_allclose(received, row, rtol=1e-14)
        before = row
    assert moved >= 4  # rows told apart: every agent with more than one neighbour acts


def test_the_average_of_random_rounds_approaches_the_equilibrium(small_market):
    """The mean utility of damped CMAP under random endowments is near that of constant ones."""
    best = cj.solve(small_market).utility
    run = cj.simulate(
        small_market,
        cj.Damped(cj.CMAP(), cj.LocalDamping()),
        rounds=500,
        endowments=en.Gamma(0.1),
        record={},
        key=jax.random.key(0),
    )
    np.testing.assert_allclose(np.asarray(run.final.average_utility), best, rtol=0.05)


REFUSED = {
    "variation of zero": (lambda: en.Gamma(0.0), "variation is 0.0; give a number from 1e-06 to 3"),
    "variation that underflows": (lambda: en.Gamma(1e-200), "variation is 1e-200; give a number from 1e-06"),
    "variation that overflows": (lambda: en.Gamma(1e160), r"variation is 1e\+160; .* to 3"),
    "draws of zero": (lambda: en.Gamma(30.0), "variation is 30.0; .* to 3"),
    "a spread that underflows": (lambda: en.LogNormal(1e-170), "variation is 1e-170"),
    "a spread that no run sees": (lambda: en.LogNormal(1e9), "variation is 1000000000.0; .* to 1000"),
    "never on": (lambda: en.OnOff(1e-200), "probability is 1e-200; give a number from 1e-06 to 1"),
    "not a number": (lambda: en.OnOff(np.nan), "probability is nan"),
    "negative variation": (lambda: en.LogNormal(-1), "variation is -1"),
    "infinite variation": (lambda: en.LogNormal(np.inf), "variation is inf"),
    "text": (lambda: en.Gamma("a"), "variation is a; give a number"),
    "probability of zero": (lambda: en.OnOff(0), "probability is 0"),
    "probability above 1": (lambda: en.OnOff(1.5), "probability is 1.5; give a number from 1e-06 to 1"),
    "a list as trace": (lambda: en.Trace([1.0, 2.0]), r"trace has shape \(2,\); give a table"),
    "an empty trace": (lambda: en.Trace(np.zeros((0, 3))), r"trace has shape \(0, 3\)"),
    "a negative trace": (lambda: en.Trace([[1, 2], [3, -4]]), "agent 1 has -4.* in round 1"),
    "a trace with gaps": (lambda: en.Trace([[1, np.nan]]), "agent 1 has nan in round 0"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_processes_that_make_no_sense_are_refused(name):
    make, words = REFUSED[name]
    with pytest.raises(ValueError, match=words):
        make()


@pytest.mark.parametrize(
    ("process", "least", "most"),
    [
        (en.Gamma(1e-6), 0.9999, 1.0001),
        (en.Gamma(3), 0.8, 1.2),
        (en.LogNormal(1e-6), 0.9999, 1.0001),
        (en.LogNormal(1000), 1e-6, np.inf),  # its mean needs millions of draws
        (en.OnOff(1e-6), 0, 0),
        (en.OnOff(1), 1, 1),
    ],
    ids=repr,
)
def test_at_the_ends_of_their_ranges_processes_draw_what_they_promise(small_market, process, least, most):
    with jax.enable_x64(True):
        keys = jax.random.split(jax.random.key(8), 2000)
        drawn = jax.jit(jax.vmap(lambda key: process.draw(small_market, jnp.asarray(0), key)))(keys)
    share = np.asarray(drawn) / np.asarray(small_market.endowment)
    assert np.isfinite(share).all()
    assert (share >= 0).all()
    assert least <= share.mean() <= most


def test_a_trace_of_another_market_is_refused(small_market):
    with pytest.raises(ValueError, match="trace has 2 columns for a market of 5 agents"):
        cj.simulate(small_market, cj.CMAP(), rounds=1, endowments=en.Trace([[1.0, 2.0]]), record={})


def test_random_endowments_ask_for_a_key(small_market):
    with pytest.raises(ValueError, match="key"):
        cj.simulate(small_market, cj.CMAP(), rounds=1, endowments=en.Exponential(), record={})
