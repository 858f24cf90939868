"""What is recorded of a state: the same by a metric's own function, in one compiled pass, and stacked on the
host."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import cmapjax as cj
from cmapjax import metrics
from cmapjax.engine._records import Record, observations, observations_on_host
from cmapjax.engine._run import State
from cmapjax.market._columns import entry_slots, lay_out
from cmapjax.market._reductions import RUN, combined_rows
from cmapjax.runtime._precision import is_in_numpy

FURTHER = {name: each.function for name, each in metrics.RECORDED.items() if not each.is_standard}


def _ring(size):
    endowment = np.random.default_rng(size).uniform(0.5, 2, size)
    links = np.stack([np.arange(size), (np.arange(size) + 1) % size], axis=1)
    return cj.Market.from_links(np.append(links, [[0, size // 2]], axis=0), endowment=endowment)


# Of one size, whose vectors are cut into rows as they lie; and of very different ones, in blocks.
EVEN = cj.pack([_ring(6), _ring(6), _ring(6)])
UNEVEN = cj.pack([_ring(size) for size in (4, 300, 5, 12, 4, 60)])


def _state(market, precision, rng, starves):
    """A state of a market none of whose agents, or some, have nothing."""
    giver, receiver = market.arcs()
    given = rng.lognormal(size=len(giver))
    if starves:
        nothing = np.unique(market.market_of, return_index=True)[1][::2] + 1
        given *= ~np.isin(receiver, nothing)
        given += np.isin(giver, np.flatnonzero(np.bincount(giver, given) == 0))
    given *= (market.contribution / np.bincount(giver, given))[giver]
    flow = market.flow_from_arcs(given)
    u = market.received(flow)
    history = np.stack([u, u * rng.uniform(0.9, 1.1, u.shape), u * rng.uniform(0.9, 1.1, u.shape)])
    cast = (x.astype(precision) for x in (flow, history, market.mirror(flow)))
    flow, history, received = cast
    total = 7 * u * rng.uniform(0.5, 2, u.shape)
    return State(np.int64(7), flow, history, total, 7 * np.bincount(market.market_of), received)


def _everything(best):
    """All that is known by name."""
    return metrics.standard(best) | FURTHER | {"received": metrics.received}


def _by_public_functions(market, state, best):
    """The same as whoever has vectors over agents would ask for it."""
    u, mean = state.history[0].astype(np.float64), state.total_utility / state.round
    if state.flow.dtype == np.float32:  # of rows that spend exactly what there is
        spent = market.gave(state.flow.astype(np.float64))
        scale = np.repeat(market.contribution / spent, np.bincount(market.arcs()[0]))
        flow = market.flow_from_arcs(market.arc_values(state.flow).astype(np.float64) * scale)
        u = market.received(flow)
    history = np.stack([u, *state.history[1:].astype(np.float64)])
    r = metrics.ratio(market, u)
    alone = ("log_nash_welfare", "min_ratio", "num_starved", *(n for n in FURTHER if "average" not in n))
    losses = ("share_of_equilibrium", "misallocated_share", "log_welfare_loss", "worst_relative_error")
    return {
        **{name: getattr(metrics, name)(market, u) for name in alone},
        **{name: getattr(metrics, name)(market, u, best) for name in losses},
        "jain_index": metrics.jain_index(market, r),
        "gini": metrics.gini(market, r),
        "oscillation": metrics.oscillation(market, history),
        "certified_gap": metrics.certified_gap_of_flow(market, state.flow, state.received),
        "average_log_nash_welfare": metrics.log_nash_welfare(market, mean),
        "average_misallocated_share": metrics.misallocated_share(market, mean, best),
        "average_certified_gap": metrics.certified_gap(market, mean),
        "received": u,
    }


@eqx.filter_jit
def _compiled(market, record, state, is_steady=True):
    return observations(market, record, state, is_steady)


@pytest.mark.parametrize("precision", ["float64", "float32"])
@pytest.mark.parametrize("market", [EVEN, UNEVEN], ids=["even", "uneven"])
def test_all_that_is_recorded_is_the_same_by_all_three_ways(market, precision):
    rng = np.random.default_rng(1)
    states = [_state(market, precision, rng, starves) for starves in (False, True, False)]
    best = cj.solve(market).utility
    record = _everything(best)
    stacked = observations_on_host(market, record, jax.tree.map(lambda *x: np.stack(x), *states), True)
    assert list(stacked) == list(record)
    for number, state in enumerate(states):
        expected = _by_public_functions(market, state, best)
        assert set(expected) == set(record)
        with jax.enable_x64(True):
            compiled = _compiled(market.bare(), Record(record), state)
        for name, values in expected.items():
            assert values.dtype == compiled[name].dtype == stacked[name].dtype == np.float64
            # Sums of at most 300 numbers of either sign, near one and rounded a few times each.
            same = {"rtol": 1e-13, "atol": 1e-14, "err_msg": name}
            np.testing.assert_allclose(compiled[name], values, **same)
            np.testing.assert_allclose(stacked[name][number], values, **same)
    assert np.isinf(stacked["certified_gap"][1]).any()
    assert np.isfinite(stacked["certified_gap"][[0, 2]]).all()


def test_any_part_of_the_record_is_recorded_in_the_order_in_which_it_is_asked_for():
    rng = np.random.default_rng(2)
    state = _state(EVEN, "float64", rng, False)
    record = _everything(cj.solve(EVEN).utility)
    stacked = jax.tree.map(lambda x: x[None], state)
    full = observations_on_host(EVEN, record, stacked, True)
    for count in range(4):
        names = rng.permutation(list(record))[:count].tolist()
        found = observations_on_host(EVEN, {name: record[name] for name in names}, stacked, True)
        assert list(found) == names
        for name in names:
            np.testing.assert_array_equal(found[name], full[name])


def test_users_functions_are_recorded_beside_and_only_in_compiled_code():
    state = _state(EVEN, "float64", np.random.default_rng(3), False)
    record = {"mine": lambda market, state: market.largest(state.utility), **metrics.standard()}
    with jax.enable_x64(True):
        found = _compiled(EVEN.bare(), record, state)
    np.testing.assert_array_equal(found["mine"], state.utility.reshape(3, 6).max(axis=1))
    np.testing.assert_allclose(found["gini"], record["gini"](EVEN, state), rtol=1e-13)
    assert observations_on_host(EVEN, record, jax.tree.map(lambda x: x[None], state), True) is None


def test_equilibria_that_are_one_array_are_handed_over_once():
    one, other = np.ones(18), np.full(18, 2.0)
    record = metrics.standard(one) | {"other": metrics.standard(other)["misallocated_share"]}
    shared = Record(record)
    assert [array.tolist() for array in shared.arrays] == [one.tolist(), other.tolist()]
    restored = dict(shared.items())
    assert list(restored) == list(record)
    assert restored["other"].equilibrium is other
    assert restored["log_welfare_loss"].equilibrium is restored["share_of_equilibrium"].equilibrium is one


def test_all_sums_and_extremes_are_taken_in_one_loop_and_jains_in_a_second():
    state = _state(EVEN, "float64", np.random.default_rng(4), False)
    record = metrics.standard(np.ones(18))
    del record["certified_gap"], record["gini"]
    with jax.enable_x64(True):
        jaxpr = jax.make_jaxpr(lambda m, s: observations(m, record, s, True))(EVEN.bare(), state)
    lines = [line for line in str(jaxpr).splitlines() if "= reduce" in line]
    assert len(lines) == 2


@pytest.mark.parametrize("width", [9, 5])
def test_agents_who_are_no_members_count_for_nothing(width):
    """Of nine agents five are the market's: a row of nine is cut as it lies, a row of five is looked up."""
    market = cj.pack([_ring(5), _ring(4)])
    alone, state = _ring(5), _state(market, "float64", np.random.default_rng(5), False)
    members = lay_out(np.array([0, 5]), np.array([width]))
    members.entries[entry_slots(members)] = np.arange(5)
    part = dataclasses.replace(market.bare(), members=members, numbers=market.numbers[:1])
    assert (members.num_slots == market.num_agents) == (width == 9)
    u = state.history[0]
    for name in ("log_nash_welfare", "jain_index", "gini", "min_ratio", "certified_gap", "num_starved"):
        metric = getattr(metrics, name)
        expected = metric(alone, u[:5])
        np.testing.assert_allclose(metric(part, u), expected, rtol=1e-13, err_msg=name)
        with jax.enable_x64(True):
            found = jax.jit(metric)(part, u)
        np.testing.assert_allclose(found, expected, rtol=1e-13, err_msg=name)


@pytest.mark.parametrize("width", [3, RUN + 1, 2 * RUN])
def test_rows_are_combined_as_numpy_would_and_an_extreme_has_its_slope_in_equal_parts(width):
    x = np.random.default_rng(6).integers(1, 4, (2, width)) / 4  # ties
    combine = [jnp.add, jnp.minimum, jnp.maximum]
    with jax.enable_x64(True):
        rows = jnp.asarray(x)
        found = jax.jit(lambda x: combined_rows(combine, [x, x, x]))(rows)
        slopes = [jax.grad(lambda x, k=k: combined_rows(combine, [x, x, x])[k].sum())(rows) for k in range(3)]
        whole = jax.jit(lambda x: combined_rows(combine, [x, x, x]))((4 * rows).astype(int))
        found, whole = (list(map(np.asarray, results)) for results in (found, whole))
    for result, reduce in zip(found, (np.sum, np.min, np.max), strict=True):
        np.testing.assert_allclose(result, reduce(x, axis=1), rtol=1e-14)
    np.testing.assert_array_equal(slopes[0], 1)
    for slope, extreme in zip(slopes[1:], found[1:], strict=True):
        attains = x == extreme[:, None]
        np.testing.assert_allclose(slope, attains / attains.sum(axis=1, keepdims=True), rtol=1e-14)
    for result, exact in zip(whole, found, strict=True):
        np.testing.assert_array_equal(result, 4 * exact)


def test_what_is_compiled_after_a_fault_on_the_host_is_compiled():
    with pytest.raises((TypeError, ValueError, AttributeError)):
        metrics.gini(EVEN, np.ones(4))
    assert not is_in_numpy()
    assert isinstance(jax.jit(lambda x: metrics.gini(EVEN, x))(jnp.ones(18)), jax.Array)


def test_more_rounds_may_lie_between_two_records_than_are_played_in_one_call():
    def run(every):
        return cj.simulate(_ring(6), cj.ProportionalResponse(), rounds=300, every=every, record=["min_ratio"])

    seldom, often = run(300), run(1)
    assert seldom.rounds.tolist() == [0, 300]
    # Recorded more often, rounds may be played in another form: up to rounding.
    np.testing.assert_allclose(seldom.records["min_ratio"], often.records["min_ratio"][[0, 300]], rtol=1e-12)
