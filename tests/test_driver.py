"""How plain runs are played: the same numbers as in one program for all, and few programs compiled."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import cmapjax as cj
from cmapjax.engine import _driver, _small
from cmapjax.strategies import PostedStrategy, Strategy

# Every kind of strategy, of schedule, and of what varies by the round.
EXPONENTIAL = cj.endowments.Exponential()
PLAYS = {
    "damped, in turn": (cj.Damped(cj.CMAP(), 0.3), {"schedule": cj.Sequential()}),
    "two hops, by colours": (cj.CMAP(2), {"schedule": cj.Coloured()}),
    "proportional response, float32": (cj.ProportionalResponse(), {"precision": "float32"}),
    "some, in random order, damped locally": (
        cj.Damped(cj.CMAP(), cj.LocalDamping()),
        {"schedule": cj.RandomParticipation(0.7, cj.RandomOrder()), "endowments": EXPONENTIAL},
    ),
    "by averages, one a round": (cj.DynamicSharing(), {"schedule": cj.OneAgentPerRound()}),
    "rows": (cj.SelfishBestReply(), {"schedule": cj.RandomParticipation(0.5)}),
}
RECORD = {name: cj.metrics.standard()[name] for name in ("min_ratio", "log_nash_welfare")}


class Generous(Strategy):
    """Half to the neighbour that has least, the rest equally."""

    share: jax.Array

    def respond(self, view):
        worth = jnp.where(view.is_neighbour, view.utility, jnp.inf)
        poorest = view.is_neighbour & (worth == worth.min())
        part = self.share * view.budget * poorest / jnp.maximum(poorest.sum(), 1)
        return part + (1 - self.share) * cj.strategies.split_equally(view)


class Spendthrift(PostedStrategy):
    """Gives a tenth more than it has."""

    def post(self, view):
        return 1.1 * view.budget / jnp.maximum(view.is_neighbour.sum(), 1)

    def flow(self, terms, link):
        return jnp.broadcast_to(terms, link.sent.shape)


def _network(agents: int, seed: int) -> cj.Market:
    """A tree with a hub, and some more links."""
    rng = np.random.default_rng(seed)
    tree = np.stack([np.arange(1, agents), rng.integers(0, np.arange(1, agents))], axis=1)
    hub = np.stack([np.zeros(agents // 4, int), rng.choice(np.arange(1, agents), agents // 4, False)], axis=1)
    return cj.Market.from_links(np.concatenate([tree, hub]), endowment=rng.lognormal(size=agents))


@functools.cache
def _played(agents: int, name: str):
    """A market, how it is played, and the run as it is played inside a transformation."""
    market, (strategy, options) = _network(agents, seed=1), PLAYS[name]
    options = {"rounds": 7, "every": 3, "record": RECORD, "key": jax.random.key(3)} | options
    with jax.enable_x64(True):
        run = jax.jit(lambda w: cj.simulate(market.with_contributions(endowment=w), strategy, **options))(
            np.asarray(market.endowment)
        )
    return market, strategy, options, jax.tree.map(np.asarray, run)


def _assert_same(one, other, tolerance):
    np.testing.assert_array_equal(one.rounds, other.rounds)
    np.testing.assert_array_equal(one.agent_updates, other.agent_updates)
    for name in one.records:
        np.testing.assert_allclose(one.records[name], other.records[name], tolerance, tolerance)
    for name in ("flow", "received", "history", "total_utility"):
        np.testing.assert_allclose(
            getattr(one.final, name), getattr(other.final, name), tolerance, tolerance, err_msg=name
        )


LARGER = ["two hops, by colours", "proportional response, float32", "some, in random order, damped locally"]


@pytest.mark.parametrize(
    ("agents", "name"), [(23, name) for name in PLAYS if name != LARGER[0]] + [(150, name) for name in LARGER]
)
def test_a_market_is_played_as_in_one_program(agents, name):
    market, strategy, options, expected = _played(agents, name)
    tolerance = 1e-4 if "precision" in options else 1e-12
    _assert_same(cj.simulate(market, strategy, **options), expected, tolerance)


@pytest.mark.parametrize(("name", "on_host"), [(LARGER[0], 0), (LARGER[1], 5_000_000)])
def test_states_too_large_to_be_stacked_are_recorded_one_by_one(name, on_host, monkeypatch):
    monkeypatch.setattr(_driver, "STACKED", 1_000)
    monkeypatch.setattr(_driver, "SELDOM", 1)
    monkeypatch.setattr(_driver, "ON_HOST", on_host)
    played = []
    monkeypatch.setattr(
        _driver, "_play_on", lambda *a, play=_driver._play_on, **k: played.append(1) or play(*a, **k)
    )
    market, strategy, options, expected = _played(150, name)
    run = cj.simulate(market, strategy, **options)
    assert len(played) == 4
    _assert_same(run, expected, 1e-4 if "precision" in options else 1e-12)


def _programs() -> list[int]:
    return [
        f._cached._cache_size() for f in (_small.play_rounds, _driver._play_span, _driver._records_of_many)
    ]


def test_small_markets_share_one_program():
    cj.simulate(_network(20, seed=3), cj.CMAP(), rounds=3)
    before = _programs()
    strategies = (
        cj.ProportionalResponse(),
        cj.EqualSplit(),
        cj.DynamicSharing(),
        cj.CMAP(3),
        cj.Damped(cj.CMAP(), 0.2),
        cj.Damped(cj.ProportionalResponse(), cj.LocalDamping()),
        cj.Damped(cj.CMAP(), cj.MaxDegreeDamping()),
    )
    for agents, strategy in enumerate(strategies, 90):
        cj.simulate(_network(agents, seed=agents), strategy, rounds=agents)
    for schedule in (cj.Sequential(), cj.Coloured(), cj.OneAgentPerRound(), cj.Turns(np.arange(20) % 3)):
        cj.simulate(_network(20, seed=3), cj.CMAP(), rounds=140, every=139, schedule=schedule)
    for schedule in (cj.RandomOrder(), cj.RandomParticipation(0.3)):
        cj.simulate(_network(20, seed=3), cj.CMAP(), rounds=5, schedule=schedule, key=jax.random.key(1))
    assert _programs() == before


def test_a_strategy_of_ones_own_is_compiled_once_for_all_small_markets():
    cj.simulate(_network(20, seed=3), Generous(np.array(0.5)), rounds=3)
    before = _programs()
    cj.simulate(_network(60, seed=4), cj.Damped(Generous(np.array(0.1)), 0.4), rounds=40)
    cj.simulate(_network(30, seed=5), Generous(np.array(0.9)), rounds=4, schedule=cj.Sequential())
    assert _programs() == before


def test_a_larger_market_shares_one_program_among_cmap_and_all_that_is_damped(monkeypatch):
    monkeypatch.setenv("CMAPJAX_NATIVE", "off")  # native code that is compiled already would play the rounds
    market = _network(200, seed=5)
    strategies = (
        cj.CMAP(),
        cj.Damped(cj.CMAP(), 0.2),
        cj.Damped(cj.CMAP(), cj.LocalDamping()),
        cj.Damped(cj.CMAP(), cj.MaxDegreeDamping()),
        cj.Damped(cj.ProportionalResponse(), cj.LocalDamping()),
        cj.Damped(cj.ProportionalResponse(), 0.7),
    )
    cj.simulate(market, cj.CMAP(), rounds=4)
    before = _programs()
    shared = [cj.simulate(market, strategy, rounds=4) for strategy in strategies]
    assert _programs() == before
    monkeypatch.setattr(_driver, "SHORT", 0)
    for run, strategy in list(zip(shared, strategies, strict=True))[::2]:
        alone = cj.simulate(market, strategy, rounds=4)
        np.testing.assert_allclose(run.final.flow, alone.final.flow, rtol=1e-13, atol=1e-15)
    assert _programs() != before


def test_records_of_ones_own_are_compiled_apart_from_rounds_and_once():
    market, record = _network(20, seed=3), {"most": lambda market, state: market.largest(state.utility)}
    cj.simulate(market, cj.CMAP(), rounds=3, record=record)
    small, large, looks = _programs()
    run = cj.simulate(market, cj.ProportionalResponse(), rounds=150, every=140, record=record)
    assert _programs() == [small, large, looks]
    received = cj.simulate(market, cj.ProportionalResponse(), rounds=150, every=140, record=["received"])
    np.testing.assert_array_equal(run.rounds, [0, 140, 150])
    np.testing.assert_array_equal(run.records["most"][:, 0], received.records["received"].max(axis=1))


def test_the_number_of_rounds_is_data():
    market = _network(150, seed=2)
    cj.simulate(market, cj.CMAP(), rounds=31)
    cj.simulate(market, cj.CMAP(), rounds=20, every=4)
    before = _programs()
    cj.simulate(market, cj.CMAP(), rounds=32)
    cj.simulate(market, cj.CMAP(), rounds=140, every=7)
    assert _programs() == before


def test_rounds_handed_over_in_parts_are_one_run():
    market, key = _network(20, seed=3), jax.random.key(5)
    options = {"schedule": cj.RandomParticipation(0.5), "endowments": cj.endowments.Exponential(), "key": key}
    whole = cj.simulate(market, cj.CMAP(), rounds=300, record=["received"], **options)
    first = cj.simulate(market, cj.CMAP(), rounds=100, record=["received"], **options)
    rest = cj.simulate(market, cj.CMAP(), rounds=200, record=["received"], start=first.final, **options)
    np.testing.assert_array_equal(whole.records["received"][101:], rest.records["received"][1:])
    np.testing.assert_array_equal(whole.final.total_utility, rest.final.total_utility)
    np.testing.assert_array_equal(whole.agent_updates[101:], rest.agent_updates[1:])


@pytest.mark.parametrize("agents", [20, 150])
def test_who_breaks_a_law_in_which_round_is_told_by_its_name(agents):
    market = _network(agents, seed=3)
    with pytest.warns(UserWarning, match=r"Spendthrift is not feasible: in round 1 agent \d+ gave"):
        run = cj.simulate(market, Spendthrift(), rounds=3, record={})
    richest = int(np.argmax(market.contribution))
    np.testing.assert_allclose(
        market.unstored(run.breach.amount)[richest], 0.1 * market.contribution[richest], 1e-9
    )
    assert run.verdicts == ["not feasible"]
