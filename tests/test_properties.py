"""Invariants that hold for any numbers: hypothesis draws the contributions and starts on fixed networks."""

import numpy as np
import pytest
import reference
from hypothesis import given, settings
from hypothesis import strategies as st

import cmapjax as cj

pytestmark = pytest.mark.optimised  # they are stated to the last digits

LINKS = np.array([[0, 1], [1, 2], [0, 2], [2, 3], [3, 4], [4, 5], [2, 5], [5, 6]])
N = 7
# Many examples, one compilation per test: networks and shapes are fixed.
run_often = settings(max_examples=20, deadline=None)
contributions = st.lists(st.floats(1e-3, 1e3), min_size=N, max_size=N).map(np.array)
seeds = st.integers(0, 2**32 - 1)


def _log_nash_welfare(market, state):
    return cj.metrics.log_nash_welfare(market, state.utility)


RECORD = {"log": _log_nash_welfare}


def _start(market, seed):
    w, links = reference.dense(market)
    return reference.flow_of(market, reference.random_split(np.random.default_rng(seed), w, links))


def _play(market, strategy, start, schedule=cj.Simultaneous(), rounds=3):  # noqa: B008 - immutable
    return cj.simulate(market, strategy, rounds=rounds, schedule=schedule, start=start, record={})


STRATEGIES = [cj.CMAP(), cj.ProportionalResponse(), cj.SelfishBestReply(), cj.Damped(cj.CMAP(), 0.3)]


@run_often
@given(w=contributions, seed=seeds, strategy=st.sampled_from(STRATEGIES))
def test_budgets_are_spent_and_nothing_is_negative(w, seed, strategy):
    market = cj.Market.from_links(LINKS, endowment=w)
    run = _play(market, strategy, _start(market, seed))
    flow = run.final.flow
    assert np.isfinite(flow).all()
    assert (flow >= 0).all()
    # Four units in the last place for each neighbour of an agent.
    error = np.abs(market.gave(flow) - w)
    assert (error <= 4 * np.asarray(market.degree) * np.finfo(float).eps * w).all()


@run_often
@given(w=contributions, split=st.lists(st.floats(-3, 3), min_size=N, max_size=N))
def test_only_the_product_of_endowment_and_value_matters(w, split):
    value = 2.0 ** np.round(split)
    one = _play(cj.Market.from_links(LINKS, endowment=w), cj.CMAP(), None)
    other = _play(cj.Market.from_links(LINKS, endowment=w / value, value=value), cj.CMAP(), None)
    assert (one.final.flow == other.final.flow).all()


@run_often
@given(w=contributions, seed=seeds)
def test_sequential_cmap_never_lowers_welfare(w, seed):
    market = cj.Market.from_links(LINKS, endowment=w)
    run = cj.simulate(
        market, cj.CMAP(), rounds=8, schedule=cj.Sequential(), record=RECORD, start=_start(market, seed)
    )
    assert np.isfinite(run.records["log"]).all()
    # A change of one unit in the last place of every flow moves the mean logarithm by a few 1e-16, and
    # more where an agent lives on what is small beside its giver's budget.
    ratio = w.max() / w.min()
    assert (np.diff(run.records["log"][:, 0]) >= -1e-15 * max(ratio, 10)).all()


@run_often
@given(w=contributions, agent=st.integers(0, N - 1), share=st.floats(0.1, 0.9))
def test_an_agent_split_in_twins_leaves_the_equilibrium_ratios_unchanged(w, agent, share):
    """Twins with the same neighbours, sharing a contribution: everybody's ratio stays."""
    market = cj.Market.from_links(LINKS, endowment=w)
    around = [(N, b if a == agent else a) for a, b in LINKS.tolist() if agent in (a, b)]
    parts = np.append(w, (1 - share) * w[agent])
    parts[agent] *= share
    twins = cj.Market.from_links(np.array(LINKS.tolist() + around), endowment=parts)
    one, other = cj.solve(market), cj.solve(twins)
    np.testing.assert_allclose(other.ratio[:N], one.ratio, rtol=1e-7)
    np.testing.assert_allclose(other.ratio[N], one.ratio[agent], rtol=1e-7)


@run_often
@given(w=contributions, factor=st.floats(1e-3, 1e3))
def test_equilibrium_ratios_do_not_depend_on_the_unit(w, factor):
    one = cj.solve(cj.Market.from_links(LINKS, endowment=w))
    other = cj.solve(cj.Market.from_links(LINKS, endowment=w, value=factor))
    np.testing.assert_allclose(other.ratio, one.ratio, rtol=1e-7)
    np.testing.assert_allclose(other.utility, factor * one.utility, rtol=1e-7)


@run_often
@given(w=contributions)
def test_at_the_equilibrium_no_link_is_left_unused_that_would_pay(w):
    """r_p r_j ≥ 1 on every link, = 1 where value flows; U log r summed is − w log r summed."""
    market = cj.Market.from_links(LINKS, endowment=w)
    found = cj.solve(market)
    assert found.is_solved
    giver, receiver = market.arcs()
    product = found.ratio[giver] * found.ratio[receiver]
    assert (product >= 1 - 1e-7).all()
    used = market.arc_values(found.flow) > 1e-5 * w[giver]
    assert np.abs(product[used] - 1).max() < 1e-7
    logs = np.log(found.ratio)
    assert abs((found.utility + w) @ logs) <= 1e-7 * w.sum()
