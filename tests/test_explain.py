"""What an explanation says an agent did is what the simulation did, for the reason it gives."""

import jax
import networkx as nx
import numpy as np
import pytest
import reference
from test_contract import SeesBeyond

import cmapjax as cj

N = 12
GRAPH = nx.circulant_graph(N, [1, 3])
GRAPH.remove_edges_from([(0, 1), (4, 7)])
# In a block of storage per degree, so that the place where an agent is stored is not its number.
MARKET = reference.stored_by_degree(
    cj.Market.from_links(np.array(GRAPH.edges), endowment=np.random.default_rng(0).lognormal(size=N))
)
KEY = jax.random.key(4)
CASES = [
    (cj.CMAP(), cj.Simultaneous()),
    (cj.CMAP(), cj.Sequential()),
    (cj.CMAP(), cj.RandomParticipation(0.7, cj.RandomOrder())),
    (SeesBeyond(), cj.Simultaneous()),
    (cj.ProportionalResponse(), cj.Coloured()),
    (cj.Damped(cj.CMAP(), cj.LocalDamping()), cj.Simultaneous()),
    (cj.PerAgent(cj.Damped(cj.CMAP(), np.linspace(0.1, 1, N))), cj.Simultaneous()),
    (cj.EntropicCMAP(1.5), cj.Simultaneous()),
    (cj.DynamicSharing(), cj.RandomOrder()),
]


def _row(market, flow, agent):
    giver, receiver = market.arcs()
    return dict(zip(receiver[giver == agent].tolist(), market.arc_values(flow)[giver == agent], strict=True))


@pytest.mark.parametrize(("strategy", "schedule"), CASES, ids=lambda x: type(x).__name__)
def test_the_row_explained_is_the_row_played(strategy, schedule):
    played = cj.simulate(MARKET, strategy, schedule=schedule, rounds=3, record={}, key=KEY)
    for agent in (0, 11):
        about = cj.explain(MARKET, strategy, agent, 3, schedule=schedule, key=KEY)
        row = _row(MARKET, played.final.flow, agent)
        assert {n.label for n in about.neighbours} == set(row)
        for n in about.neighbours:
            assert n.gets == pytest.approx(row[n.label], abs=1e-12)
        assert sum(n.gets for n in about.neighbours) == pytest.approx(about.contribution)
        assert str(about).startswith("Round 3")


def test_who_skips_a_round_gives_as_before():
    schedule = cj.RandomParticipation(0.5)
    runs = [cj.simulate(MARKET, cj.CMAP(), schedule=schedule, rounds=t, record={}, key=KEY) for t in (1, 2)]
    skipped = 0
    for agent in range(8):
        about = cj.explain(MARKET, cj.CMAP(), agent, 2, schedule=schedule, key=KEY)
        row = _row(MARKET, runs[1].final.flow, agent)
        assert all(n.gets == pytest.approx(row[n.label], abs=1e-12) for n in about.neighbours)
        if about.turn is None:
            skipped += 1
            assert row == pytest.approx(_row(MARKET, runs[0].final.flow, agent), abs=1e-12)
            assert "did not act" in str(about)
    assert 0 < skipped < 8


def test_an_agent_of_an_ensemble_is_damped_by_its_own_market_and_by_every_rule():
    hub = cj.Market.from_links([[0, leaf] for leaf in range(1, 8)])
    packed, strategy = cj.pack([hub, MARKET]), cj.Damped(cj.Damped(cj.CMAP(), cj.MaxDegreeDamping()), 0.5)
    about = cj.explain(packed, strategy, 8 + 3, 1)
    assert about.theta == 0.5 / MARKET.degree.max()
    row = _row(packed, cj.simulate(packed, strategy, rounds=1, record={}).final.flow, 8 + 3)
    assert {n.label: n.gets for n in about.neighbours} == pytest.approx(row, abs=1e-14)


def test_the_water_level_separates_who_gets_from_who_does_not():
    for agent in (0, 1, 5, 11):
        about = cj.explain(MARKET, cj.CMAP(), agent, 2, schedule=cj.Sequential())
        assert about.level is not None
        for n in about.neighbours:
            if n.gets > 0:
                assert n.level_after == pytest.approx(about.level)
            else:
                assert n.level_before >= about.level * (1 - 1e-12)


def test_proportional_response_returns_what_it_received_in_parts():
    about = cj.explain(MARKET, cj.ProportionalResponse(), 5, 4)
    assert about.level is None
    for n in about.neighbours:
        assert n.gets == pytest.approx(about.contribution * n.gave / about.utility)
    assert "in proportion to what that gave" in str(about)


def test_entropic_multiplies_by_a_power_of_need():
    about = cj.explain(MARKET, cj.EntropicCMAP(1.5), 5, 4)
    pulls = np.array([n.got * (n.contribution / n.utility) ** 1.5 for n in about.neighbours])
    np.testing.assert_allclose([n.gets for n in about.neighbours], about.contribution * pulls / pulls.sum())
    assert "(contributes / received in all)^1.5" in str(about)
    first = about.neighbours[0]
    assert f"{first.label} {first.gets / first.got:.4g}" in str(about)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"agent": 12}, "agent 12 is not in this market"),
        ({"round": 0}, "round is 0"),
        ({"round": True}, "round is True"),
        ({"schedule": cj.RandomOrder()}, "key: none is given"),
        ({"strategy": "cmap"}, "strategy"),
    ],
)
def test_what_cannot_be_explained_is_refused(options, message):
    given = {"strategy": cj.CMAP(), "agent": 0, "round": 1} | options
    with pytest.raises(ValueError, match=message):
        cj.explain(MARKET, **given)


def test_the_picture_draws_a_vessel_per_neighbour(tmp_path):
    about = cj.explain(MARKET, cj.CMAP(), 3, 2)
    figure = cj.plots.explanation(about)
    bars = figure.axes[0].patches
    assert len(bars) == 2 * len(about.neighbours)
    areas = sum(bar.get_width() * bar.get_height() for bar in bars)
    assert areas == pytest.approx(sum(n.from_others + n.gets for n in about.neighbours))
    cj.plots.save(figure, tmp_path / "vessels.png")
