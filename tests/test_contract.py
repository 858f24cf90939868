"""Laws that hold for every strategy under every schedule."""

import jax
import jax.numpy as jnp
import networkx as nx
import numpy as np
import pytest
import reference

import cmapjax as cj
from cmapjax.engine._small import play_rounds

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
    "entropic": cj.EntropicCMAP(1.5),
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
# one of another kind under each.
ALWAYS = {
    *((s, "simultaneous") for s in STRATEGIES),
    *(("cmap", t) for t in SCHEDULES),
    ("gradient, optax, two hops", "sequential"),
    ("proportional response", "coloured"),
    ("damped dynamic sharing", "random order"),
    ("gradient, jaxopt", "participation"),
    ("selfish", "sequential participation"),
    ("locally damped cmap", "one agent"),
    ("entropic", "coloured"),
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
    # Receivers hold what givers gave, up to a rounding or two.
    np.testing.assert_allclose(
        packed.final.received, PACKED.mirror(packed.final.flow), rtol=1e-14, atol=1e-15
    )
    np.testing.assert_allclose(packed.final.utility, PACKED.received(packed.final.flow), rtol=1e-14)

    alone = play(ALONE, pair)
    giver, _ = PACKED.arcs()
    np.testing.assert_allclose(
        flow[np.isin(giver, IN_ALONE)], ALONE.arc_values(alone.final.flow), rtol=1e-14, atol=1e-15
    )
    np.testing.assert_array_equal(packed.agent_updates[-1, :1], alone.agent_updates[-1])
    again = play(PACKED, pair)
    np.testing.assert_array_equal(again.final.flow, packed.final.flow)


# What a run is continued from is the engine's, so that one strategy of each kind is always tried: exact and
# iterated answers, those played in a form of their own, damped ones, and those that remember.
CUT = [(s, t) for s in STRATEGIES for t in ("simultaneous", "participation")]
ALWAYS_CUT = {
    ("cmap", "simultaneous"),
    ("gradient, jaxopt", "participation"),
    ("proportional response", "simultaneous"),
    ("proportional response", "participation"),
    ("damped cmap", "participation"),
    ("locally damped cmap", "simultaneous"),
    ("damped dynamic sharing", "participation"),
}


@pytest.mark.optimised
@pytest.mark.parametrize("pair", tried(CUT, ALWAYS_CUT))
def test_a_run_in_two_pieces_is_the_same_run_bit_for_bit_where_it_is_played_as_written(pair):
    whole = play(ALONE, pair, rounds=2)
    first = play(ALONE, pair, rounds=1)
    rest = play(ALONE, pair, rounds=1, start=first.final)
    if pair == ("proportional response", "simultaneous"):
        # Played in scaling form, whose products are rounded where a run is cut.
        np.testing.assert_allclose(rest.final.flow, whole.final.flow, rtol=1e-13)
    else:
        np.testing.assert_array_equal(rest.final.flow, whole.final.flow)
    np.testing.assert_array_equal(rest.agent_updates[-1], whole.agent_updates[-1])
    assert int(rest.final.round) == 2


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
        return play_rounds._cached._cache_size()

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


# -- where agents are stored --------------------------------------------------------------------------

FEW = reference.stored_in_one_block(cj.pack([small_market(1, nx.star_graph(5)), ALONE]))
SCATTERED = reference.stored_by_degree(FEW)
STEPS = np.linspace(0.2, 0.9, FEW.num_agents)


def test_where_agents_are_stored_changes_nothing():
    """A run and its continuation, on a market in one block, and in a block per degree in another order.

    With averages, parameters of every agent's own, random order and random endowments.
    """
    strategy = cj.PerAgent(cj.Damped(cj.DynamicSharing(), STEPS))
    schedule = cj.RandomParticipation(0.6, cj.RandomOrder())
    process = cj.endowments.OnOff(0.5)
    assert (SCATTERED.links.order != FEW.links.order).any()
    ends = []
    for market in (FEW, SCATTERED):
        state = market.equal_flow()
        for _ in range(2):
            run = cj.simulate(
                market,
                strategy,
                rounds=2,
                schedule=schedule,
                endowments=process,
                record={},
                start=state,
                key=KEY,
            )
            state = run.final
        shown = [market.arc_values(state.flow), *state.history, state.average_utility]
        ends.append([*shown, run.agent_updates, run.spending_error])
    for one, other in zip(*ends, strict=True):
        # Neighbours are summed in the same order; kernels of other widths may round a product otherwise.
        np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-14)


class SeesBeyond(cj.Strategy):
    """Gives its first neighbour the more, the more the members of its community out of reach have."""

    @property
    def hops(self):
        return 2

    def respond(self, view):
        far = jnp.where(view.beyond.contribution > 0, view.beyond.contribution + view.beyond.utility, 0).sum()
        share = jnp.where(view.is_neighbour, 1.0, 0).at[0].add(far)
        return view.budget * share / share.sum()


@pytest.mark.parametrize(
    ("strategy", "schedule", "turns"),
    [
        (SeesBeyond(), cj.Simultaneous(), reference.simultaneous),
        (
            cj.PerAgent(cj.Damped(SeesBeyond(), np.ones(FEW.num_agents))),
            cj.Sequential(),
            reference.sequential,
        ),
    ],
    ids=["at once", "damped by own steps, in turns"],
)
def test_what_is_beyond_an_agents_reach_is_who_stands_two_links_away(strategy, schedule, turns):
    w, links, start = reference.dense(SCATTERED, SCATTERED.equal_flow())
    far = (links @ links > 0) & (links == 0) & ~np.eye(len(w), dtype=bool)

    def row(i, y, w, links):
        share = links[i].copy()
        share[np.flatnonzero(links[i])[0]] += (w + y.sum(axis=0))[far[i]].sum()
        return w[i] * share / share.sum()

    expected = reference.play_round(row, turns(len(w)), start, w, links)
    run = cj.simulate(SCATTERED, strategy, rounds=1, schedule=schedule, record={})
    np.testing.assert_allclose(reference.dense(SCATTERED, run.final.flow)[2], expected, rtol=1e-13)
