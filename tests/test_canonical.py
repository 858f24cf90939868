"""Markets fitted to canonical shapes: one compilation, and the run that each market has as it is."""

import time
import warnings

import jax
import jax.numpy as jnp
import networkx as nx
import numpy as np
import pytest
import reference

import cmapjax as cj
from cmapjax.engine._canonical import (
    Shape,
    fits,
    fitted,
    padded,
    padded_endowments,
    padded_flow,
    padded_plan,
    real_flow,
    shape_of,
    small_shape,
    widened,
)
from cmapjax.market._random import draw_per_agent

KEY = jax.random.key(3)
RANDOM = {
    "even": cj.graphs.RandomMarket(
        cj.graphs.ErdosRenyi(20, mean_degree=5),
        endowment=cj.graphs.LogNormal(sigma=1.0),
        isolated=cj.graphs.Redraw(),
    ),
    "hubs": cj.graphs.RandomMarket(
        cj.graphs.BarabasiAlbert(60, 2), value=cj.graphs.LogNormal(sigma=0.5), isolated=cj.graphs.Reject()
    ),
    "dropped": cj.graphs.RandomMarket(cj.graphs.ErdosRenyi(20, mean_degree=2), isolated=cj.graphs.Drop()),
    "regular": cj.graphs.RandomMarket(cj.graphs.RandomRegular(10, 3)),
}


def _market(graph, seed=0):
    rng = np.random.default_rng(seed)
    market = cj.graphs.from_networkx(nx.convert_node_labels_to_integers(graph))
    return market.with_contributions(endowment=rng.lognormal(size=market.num_agents))


# Agent 0 is a leaf at one end of a path; behind it a hub with leaves, and a lump.
MIXED = nx.Graph([(i, i + 1) for i in range(6)] + [(3, 10 + i) for i in range(9)])
MIXED.update(nx.relabel_nodes(nx.gnm_random_graph(12, 30, seed=1), {i: 18 + i for i in range(12)}))
MIXED.add_edge(6, 18)
SINGLES = {
    "mixed": _market(MIXED),
    "pair": _market(nx.path_graph(2)),
    "path": _market(nx.path_graph(9)),
    "star": _market(nx.star_graph(63)),  # nothing is left over
    "larger": _market(nx.barabasi_albert_graph(100, 3, seed=2)),
}
# Agent 0 is a hub, whose row fits the second of two blocks alone.
SIZES = cj.pack([_market(nx.star_graph(11)), SINGLES["mixed"], SINGLES["pair"], SINGLES["path"]])
TWO_BLOCKS = Shape(((2, 40), (12, 20)), 28, 4)


class Own(cj.strategies.Strategy):
    """CMAP written by a user, whose rows are looked through for breaches of the laws."""

    def respond(self, view):
        return cj.CMAP().respond(view)


class OwnTerms(cj.strategies.PostedStrategy):
    """An equal split, posted."""

    def post(self, view):
        return view.budget / jnp.maximum(view.is_neighbour.sum(), 1)

    def flow(self, terms, link):
        return jnp.broadcast_to(terms, link.sent.shape)


PARTLY = cj.RandomParticipation(0.5)
VARYING = cj.endowments.Exponential()
BACKWARDS = np.arange(SINGLES["mixed"].num_agents)[::-1]
LINES = {
    "scaling": (cj.ProportionalResponse(), cj.Simultaneous(), cj.endowments.Constant()),
    "damped": (cj.Damped(cj.CMAP(), cj.MaxDegreeDamping()), PARTLY, VARYING),
    "local": (cj.Damped(cj.ProportionalResponse(), cj.LocalDamping()), cj.Sequential(), VARYING),
    "dynamic": (cj.DynamicSharing(), cj.Simultaneous(), VARYING),
    "coloured": (cj.CMAP(), cj.RandomParticipation(0.5, cj.Coloured()), VARYING),
    "random order": (cj.CMAP(), cj.RandomOrder(), VARYING),
    "one agent": (cj.CMAP(), cj.OneAgentPerRound(BACKWARDS), VARYING),
    "own terms": (OwnTerms(), PARTLY, VARYING),
    "own in turns": (Own(), cj.Sequential(), VARYING),
}


def _padded(strategy, larger):
    if not isinstance(strategy, cj.PerAgent):
        return strategy
    return cj.PerAgent(jax.tree.map(lambda x: padded(x, larger), strategy.strategy))


def _assert_runs_alike(market, larger, strategy, schedule, process):
    """The market as it is, and as it is fitted."""
    market = reference.stored_in_one_block(market)
    options = {"rounds": 7, "key": jax.random.key(1), "record": {}}
    alone = cj.simulate(market, strategy, schedule=schedule, endowments=process, **options)
    run = cj.simulate(
        larger,
        _padded(strategy, larger),
        schedule=padded_plan(schedule.plan(market, strategy.hops), market, larger),
        endowments=padded_endowments(process, larger),
        **options,
    )
    n, close = market.num_agents, {"rtol": 1e-12, "atol": 1e-13 * float(np.max(market.contribution))}
    np.testing.assert_array_equal(run.agent_updates, alone.agent_updates)
    np.testing.assert_array_equal(run.verdict, alone.verdict)
    np.testing.assert_allclose(run.gap, alone.gap, rtol=1e-11, atol=1e-13)
    np.testing.assert_allclose(real_flow(run.final.flow, market, larger), alone.final.flow, **close)
    np.testing.assert_allclose(run.final.utility[:n], alone.final.utility, **close)
    np.testing.assert_allclose(run.final.total_utility[:n], alone.final.total_utility, **close)
    np.testing.assert_array_equal(run.spending_error < 1e-12, alone.spending_error < 1e-12)
    return run


# -- runs ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("line", LINES)
def test_a_small_market_runs_as_it_does_in_its_own_shape(line):
    market = SINGLES["mixed"]
    larger = fitted(market, small_shape(market))
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # nobody breaks a law
        run = _assert_runs_alike(market, larger, *LINES[line])
    if line not in ("local", "coloured", "random order", "one agent", "own in turns"):
        copies = padded(run.final.utility[: market.num_agents], larger)
        np.testing.assert_allclose(run.final.utility, copies, rtol=1e-13)


@pytest.mark.parametrize("name", [name for name in SINGLES if name != "mixed"])
def test_small_markets_of_other_forms_run_alike(name):
    market = SINGLES[name]
    _assert_runs_alike(market, fitted(market, small_shape(market)), *LINES["damped"])


@pytest.mark.parametrize("line", ["damped", "coloured", "random order"])
def test_an_ensemble_in_two_blocks_runs_as_it_does_in_its_own_shape(line):
    _assert_runs_alike(SIZES, fitted(SIZES, TWO_BLOCKS), *LINES[line])


def test_parameters_and_traces_of_agents_are_padded():
    market, rng = SINGLES["mixed"], np.random.default_rng(1)
    strategy = cj.PerAgent(cj.Damped(cj.CMAP(), rng.uniform(0.1, 1, market.num_agents)))
    trace = cj.endowments.Trace(rng.exponential(size=(9, market.num_agents)))
    market = market.with_contributions(endowment=trace.means)
    larger = fitted(market, small_shape(market))
    _assert_runs_alike(market, larger, strategy, PARTLY, trace)


def test_a_flow_goes_there_and_back():
    market = SINGLES["mixed"]
    larger = fitted(market, small_shape(market))
    flow = market.equal_flow() * np.random.default_rng(0).uniform(size=market.links.num_slots)
    wide = padded_flow(flow, market, larger)
    np.testing.assert_array_equal(real_flow(wide, market, larger), flow)
    np.testing.assert_array_equal(larger.gave(wide), padded(market.gave(flow), larger))
    np.testing.assert_array_equal(larger.received(wide), padded(market.received(flow), larger))
    np.testing.assert_array_equal(padded_flow(market.equal_flow(), market, larger), larger.equal_flow())


# -- what a fitted market is -----------------------------------------------------------------------


@pytest.mark.parametrize("name", [*SINGLES, *RANDOM, "sizes"])
def test_fitting_keeps_every_agent_and_adds_copies(name):
    small = name in SINGLES
    market = SINGLES[name] if small else SIZES if name == "sizes" else RANDOM[name].draw(KEY, 30, first=5)
    shape = small_shape(market) if small else shape_of(market)
    larger = fitted(market, shape)
    n, m = market.num_agents, market.num_markets
    assert (larger.num_agents, larger.num_markets) == (shape.num_agents, m)
    assert larger.num_links == market.num_links
    assert larger.links.shapes == shape.blocks
    starts, neighbours = market.neighbour_rows()
    wide_starts, wide = larger.neighbour_rows()
    np.testing.assert_array_equal(larger.repeats[:n], np.arange(n))
    for row, agent in enumerate(larger.repeats):
        np.testing.assert_array_equal(
            wide[slice(*wide_starts[row : row + 2])], neighbours[slice(*starts[agent : agent + 2])]
        )
    for field in ("endowment", "value", "market_of"):
        np.testing.assert_array_equal(getattr(larger, field), padded(getattr(market, field), larger))
    np.testing.assert_array_equal(larger.numbers, market.numbers)
    x = np.random.default_rng(0).uniform(size=n)
    wide_x = np.append(x, np.full(larger.num_agents - n, np.nan))
    np.testing.assert_array_equal(larger.total(wide_x), market.total(x))
    np.testing.assert_array_equal(larger.largest(wide_x), market.largest(x))
    np.testing.assert_array_equal(cj.metrics.gini(larger, wide_x), cj.metrics.gini(market, x))
    np.testing.assert_allclose(jax.jit(lambda x: larger.total(x))(wide_x), market.total(x), rtol=1e-6)


@pytest.mark.parametrize("name", ["mixed", "star"])
def test_agents_draw_the_same(name):
    market = SINGLES[name]
    larger = fitted(market, small_shape(market))
    alone, run = (draw_per_agent(KEY, m, jax.random.normal) for m in (market, larger))
    np.testing.assert_array_equal(run, padded(np.asarray(alone), larger))


def test_small_markets_share_one_program():
    traced = []

    def poorest(market, state):
        traced.append(market)
        return market.smallest(state.utility)

    for name in ("mixed", "pair", "path"):
        market = SINGLES[name]
        larger = fitted(market, small_shape(market))
        cj.simulate(larger, cj.CMAP(), rounds=3, record={"poorest": poorest})
        if name == "mixed":
            once = len(traced)
    assert len(traced) == once > 0


@pytest.mark.parametrize("name", RANDOM)
def test_ensembles_drawn_alike_fit_one_shape(name):
    shape = shape_of(RANDOM[name].draw(KEY, 60))
    for first in (60, 120):
        while not fits(RANDOM[name].draw(KEY, 60, first), shape):
            shape = widened(shape)
    several = [fitted(RANDOM[name].draw(KEY, 60, first), shape) for first in (0, 60, 120)]
    forms = {str([np.shape(x) for x in jax.tree.leaves(m)]) + str(jax.tree.structure(m)) for m in several}
    assert len(forms) == 1


def test_a_small_market_is_fitted_quickly():
    market = SINGLES["mixed"]
    spent = []
    for _ in range(20):
        began = time.process_time()
        fitted(market, small_shape(market))
        spent.append(time.process_time() - began)
    assert min(spent) < 2e-3


def test_a_market_that_does_not_fit_is_refused():
    market = RANDOM["even"].draw(KEY, 30)
    assert small_shape(market) is None
    assert small_shape(_market(nx.path_graph(129))) is None
    assert small_shape(_market(nx.path_graph(128))) == Shape(((48, 128),), 128, 1)
    assert small_shape(_market(nx.star_graph(60))) == Shape(((128, 128),), 128, 1)
    good = shape_of(market)
    bad = [
        shape_of(RANDOM["even"].draw(KEY, 10)),
        good._replace(blocks=((2, 5000),)),
        good._replace(blocks=((16, market.num_agents - 1),)),
        good._replace(size=19),
        good._replace(size=24, is_even=True),  # of exactly so many agents each
        good._replace(num_markets=31),
    ]
    for shape in bad:
        assert not fits(market, shape)
        with pytest.raises(ValueError, match="no room for"):
            fitted(market, shape)
    regular = RANDOM["regular"].draw(KEY, 30)
    assert not fits(regular, Shape(((1, 5), (3, 300)), 10, 30, True))
    assert fits(regular, Shape(((1, 0), (3, 300)), 10, 30, True))
