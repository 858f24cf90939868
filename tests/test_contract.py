"""Laws that hold for every strategy under every schedule."""

import jax
import networkx as nx
import numpy as np
import pytest

import cmapjax as cj
from cmapjax._run import run_rounds

STRATEGIES = {
    "cmap": cj.CMAP(),
    "cmap of everybody": cj.CMAP(float("inf")),
    "cmap of nobody": cj.CMAP(0),
    "damped cmap": cj.Damped(cj.CMAP(), 0.3),
    "locally damped cmap": cj.Damped(cj.CMAP(), cj.LocalDamping()),
    "gradient, jaxopt": cj.GradientCMAP(method=cj.JaxoptGradient(4)),
    "gradient, optax, two hops": cj.GradientCMAP(2, cj.OptaxGradient(4, cj.LineSearch())),
    "proportional response": cj.ProportionalResponse(),
    "damped proportional response": cj.Damped(cj.ProportionalResponse(), cj.MaxDegreeDamping()),
    "equal split": cj.EqualSplit(),
    "selfish": cj.SelfishBestReply(),
    "dynamic sharing": cj.DynamicSharing(),
    "damped dynamic sharing": cj.Damped(cj.DynamicSharing(), 0.3),
}
SCHEDULES = {
    "simultaneous": cj.Simultaneous(),
    "sequential": cj.Sequential(),
    "coloured": cj.Coloured(),
    "random order": cj.RandomOrder(),
    "participation": cj.RandomParticipation(0.5),
    "sequential participation": cj.RandomParticipation(0.5, cj.Sequential()),
    "one agent": cj.OneAgentPerRound(),
}
PAIRS = [(s, t) for s in STRATEGIES for t in SCHEDULES]
# Which pairs are always tried: every strategy by everybody at once, the central one under every schedule, and
# each under two schedules more, in rotation, so that every schedule meets strategies of all kinds.
ROTATION = [t for t in SCHEDULES if t != "simultaneous"]
ALWAYS = {
    *((s, "simultaneous") for s in STRATEGIES),
    *(("cmap", t) for t in SCHEDULES),
    *((s, ROTATION[(n + m) % len(ROTATION)]) for n, s in enumerate(STRATEGIES) for m in (0, 3)),
}
ROUNDS = 3
KEY = jax.random.key(5)


def small_market(seed, graph):
    rng = np.random.default_rng(seed)
    n = len(graph)
    return cj.graphs.from_networkx(graph, endowment=rng.uniform(0.5, 2, n), value=rng.uniform(0.5, 2, n))


ALONE = small_market(0, nx.house_x_graph())
PACKED = cj.pack([ALONE, small_market(1, nx.star_graph(5)), small_market(2, nx.path_graph(3))])
IN_ALONE = np.flatnonzero(PACKED.market_of == 0)


def play(market, pair, *, rounds=ROUNDS, start=None, key=KEY, strategy=None):
    chosen = STRATEGIES[pair[0]] if strategy is None else strategy
    schedule = SCHEDULES[pair[1]]
    return cj.simulate(market, chosen, schedule=schedule, rounds=rounds, record={}, start=start, key=key)


def tried(pairs, always=ALWAYS):
    """The pairs as parameters; those not always tried are slow."""
    return [
        pytest.param(pair, id=" / ".join(pair), marks=[] if pair in always else pytest.mark.slow)
        for pair in pairs
    ]


@pytest.mark.parametrize("pair", tried(PAIRS))
def test_rows_spend_the_contribution_and_packing_changes_nothing(pair):
    packed = play(PACKED, pair)
    flow = PACKED.arc_values(packed.final.flow)
    assert np.isfinite(packed.final.flow).all()
    assert (packed.final.flow >= 0).all()
    # On the network alone: what stands on padding is no arc.
    assert packed.final.flow.sum() == pytest.approx(flow.sum(), rel=1e-15)
    # A row of d flows, each rounded a few times: 4 units in the last place per neighbour.
    roundings = 4 * np.finfo(float).eps * PACKED.degree * ROUNDS
    assert (np.abs(PACKED.gave(packed.final.flow) / PACKED.contribution - 1) <= roundings).all()
    assert (packed.spending_error < 1e-14).all()

    alone = play(ALONE, pair)
    giver, _ = PACKED.arcs()
    np.testing.assert_allclose(
        flow[np.isin(giver, IN_ALONE)], ALONE.arc_values(alone.final.flow), rtol=1e-14, atol=1e-15
    )
    np.testing.assert_array_equal(packed.agent_updates[-1, :1], alone.agent_updates[-1])
    again = play(PACKED, pair)
    np.testing.assert_array_equal(again.final.flow, packed.final.flow)


# Every strategy under either schedule in turn, and under both what is played in a form of its own, or damped.
CUT = [(s, t) for s in STRATEGIES for t in ("simultaneous", "participation")]
ALWAYS_CUT = {
    *((s, ("simultaneous", "participation")[n % 2]) for n, s in enumerate(STRATEGIES)),
    *(p for p in CUT if p[0] in ("proportional response", "damped cmap")),
}


@pytest.mark.optimised
@pytest.mark.parametrize("pair", tried(CUT, ALWAYS_CUT))
def test_a_run_in_two_pieces_is_the_same_run_bit_for_bit_where_it_is_played_as_written(pair):
    whole = play(ALONE, pair)
    first = play(ALONE, pair, rounds=1)
    rest = play(ALONE, pair, rounds=ROUNDS - 1, start=first.final)
    if pair == ("proportional response", "simultaneous"):
        # Played in scaling form, whose products are rounded where a run is cut.
        np.testing.assert_allclose(rest.final.flow, whole.final.flow, rtol=1e-13)
    else:
        np.testing.assert_array_equal(rest.final.flow, whole.final.flow)
    np.testing.assert_array_equal(rest.agent_updates[-1], whole.agent_updates[-1])
    assert int(rest.final.round) == ROUNDS


@pytest.mark.parametrize("name", STRATEGIES)
def test_relabelling_agents_relabels_the_answer(name):
    rng = np.random.default_rng(4)
    new_number = rng.permutation(ALONE.num_agents)
    giver, receiver = ALONE.arcs()
    links = np.stack([new_number[giver], new_number[receiver]], axis=1)[giver < receiver]
    old_number = np.argsort(new_number)
    relabelled = cj.Market.from_links(
        links, endowment=ALONE.endowment[old_number], value=ALONE.value[old_number]
    )
    before = play(ALONE, (name, "simultaneous"))
    after = play(relabelled, (name, "simultaneous"))
    # Neighbours are summed in another order, and gradient steps amplify the rounding a little.
    np.testing.assert_allclose(after.final.utility[new_number], before.final.utility, rtol=1e-11)


@pytest.mark.parametrize("name", STRATEGIES)
def test_the_unit_of_value_scales_flows_alone(name):
    scaled = ALONE.with_contributions(value=1024 * ALONE.value)  # a power of two: no rounding at all
    before = play(ALONE, (name, "simultaneous"))
    after = play(scaled, (name, "simultaneous"))
    np.testing.assert_allclose(after.final.utility, 1024 * before.final.utility, rtol=1e-14)


def test_a_sweep_of_hyperparameters_compiles_once():
    def compiled():
        return run_rounds._cached._cache_size()

    sweep = [cj.Damped(cj.CMAP(), theta) for theta in (0.1, 0.2, 0.5)]
    steps = [cj.GradientCMAP(method=cj.OptaxGradient(3, cj.FixedStep(s))) for s in (0.05, 0.1, 0.2)]
    for family in (sweep, steps):
        play(ALONE, ("", "simultaneous"), strategy=family[0])
        before = compiled()
        for strategy in family[1:]:
            play(ALONE, ("", "simultaneous"), strategy=strategy)
        assert compiled() == before
    other = ALONE.with_contributions(endowment=np.arange(1.0, 6.0))
    play(other, ("", "simultaneous"), strategy=sweep[0])
    assert compiled() == before
