"""The loop: what is recorded when, what a run continued equals, and what is refused."""

import dataclasses
import subprocess
import sys

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import cmapjax as cj
from cmapjax.engine import _driver


def _welfare(market, state):
    return cj.metrics.log_nash_welfare(market, state.utility)


WELFARE = {"welfare": _welfare}


# -- continuation --------------------------------------------------------------------------------------

SETTINGS = {
    "random order and random endowments": (
        cj.ProportionalResponse(),
        {"schedule": cj.RandomOrder(), "endowments": cj.endowments.Exponential()},
    ),
    "some at a time, float32": (
        cj.Damped(cj.CMAP(), 0.5),
        {"schedule": cj.RandomParticipation(0.6), "precision": "float32"},
    ),
    "one at a time": (cj.SelfishBestReply(), {"schedule": cj.OneAgentPerRound()}),
}


@pytest.mark.optimised
@pytest.mark.parametrize("name", SETTINGS)
def test_a_run_continued_is_the_run_uninterrupted(ensemble, name):
    """300 rounds and 150 + 150: the same bits, on both clocks, averages included."""
    strategy, options = SETTINGS[name]
    options = options | {"record": {}, "key": jax.random.key(4)}

    whole = cj.simulate(ensemble, strategy, rounds=300, **options)
    first = cj.simulate(ensemble, strategy, rounds=150, **options)
    rest = cj.simulate(ensemble, strategy, rounds=150, start=first.final, **options)
    for field in ("flow", "history", "total_utility", "agent_updates", "round"):
        one, other = getattr(whole.final, field), getattr(rest.final, field)
        assert one.tobytes() == other.tobytes(), field
    assert rest.verdicts == whole.verdicts
    assert rest.rounds[-1] == 300


def test_zero_rounds_are_the_start(small_market):
    run = cj.simulate(small_market, cj.CMAP(), rounds=0, record=WELFARE)
    np.testing.assert_array_equal(run.rounds, [0])
    np.testing.assert_array_equal(run.final.flow, small_market.equal_flow())
    assert run.records["welfare"].shape == (1, 1)
    assert run.agent_updates.sum() == 0


def test_the_average_is_over_the_rounds_played(small_market):
    utilities = []
    state = None
    for _ in range(3):
        run = cj.simulate(small_market, cj.ProportionalResponse(), rounds=1, start=state, record={})
        state = run.final
        utilities.append(state.utility)
    np.testing.assert_allclose(np.asarray(state.average_utility), np.mean(utilities, axis=0), rtol=1e-15)
    np.testing.assert_array_equal(state.history, utilities[::-1])
    start = cj.simulate(small_market, cj.CMAP(), rounds=0, record={}).final
    np.testing.assert_allclose(
        np.asarray(start.average_utility), small_market.received(small_market.equal_flow())
    )


# -- what is recorded ----------------------------------------------------------------------------------


def test_records_are_taken_after_the_rounds_that_are_listed_or_ever_more_rounds_apart(
    small_market, monkeypatch
):
    options = {"rounds": 30, "record": WELFARE}
    often = cj.simulate(small_market, cj.CMAP(), **options).records["welfare"]
    growing, listed = ([0, 1, 2, 3, 5, 8, 13, 21, 30], [0, 4, 11, 30])
    for every, rounds in ((None, growing), ([11, 4], listed), (np.array([4, 11, 30]), listed)):
        run = cj.simulate(small_market, cj.CMAP(), **options, every=every)
        np.testing.assert_array_equal(run.rounds, rounds)
        np.testing.assert_allclose(run.records["welfare"], often[rounds], rtol=1e-13)
    with jax.enable_x64(True):  # as part of another program

        def recorded(endowment, every):
            market = dataclasses.replace(small_market, endowment=endowment)
            return cj.simulate(market, cj.CMAP(), **options, every=every).records["welfare"]

        found = jax.jit(recorded, static_argnums=1)(jnp.asarray(small_market.endowment), (4, 11))
    np.testing.assert_allclose(found, often[listed], rtol=1e-12)
    monkeypatch.setattr(_driver, "STACKED", 0)  # rounds and records as one program, as of large states
    found = cj.simulate(small_market, cj.CMAP(), **options, every=[4, 11]).records["welfare"]
    np.testing.assert_allclose(found, often[listed], rtol=1e-12)


@pytest.mark.optimised
def test_records_are_taken_at_the_start_every_so_often_and_at_the_end(small_market):
    often = cj.simulate(small_market, cj.CMAP(), rounds=10, record=WELFARE)
    np.testing.assert_array_equal(often.rounds, np.arange(11))
    seldom = cj.simulate(small_market, cj.CMAP(), rounds=10, record=WELFARE, every=4)
    np.testing.assert_array_equal(seldom.rounds, [0, 4, 8, 10])
    np.testing.assert_array_equal(seldom.records["welfare"], often.records["welfare"][[0, 4, 8, 10]])
    np.testing.assert_array_equal(seldom.agent_updates, often.agent_updates[[0, 4, 8, 10]])
    ends = cj.simulate(small_market, cj.CMAP(), rounds=10, record=WELFARE, every=99)
    np.testing.assert_array_equal(ends.rounds, [0, 10])


def test_both_clocks_run(ensemble):
    sizes = np.bincount(ensemble.market_of)
    full = cj.simulate(ensemble, cj.EqualSplit(), rounds=3, record={})
    np.testing.assert_array_equal(full.agent_updates, np.arange(4)[:, None] * sizes)
    slow = cj.simulate(ensemble, cj.EqualSplit(), rounds=3, record={}, schedule=cj.OneAgentPerRound())
    np.testing.assert_array_equal(slow.agent_updates, np.arange(4)[:, None] * np.ones(len(sizes)))


def test_several_numbers_per_market_may_be_recorded(small_market):
    record = {"utility": lambda m, state: state.utility, "round": lambda m, state: state.round}
    run = cj.simulate(small_market, cj.ProportionalResponse(), rounds=2, record=record)
    assert run.records["utility"].shape == (3, 5)
    np.testing.assert_array_equal(run.records["round"], [0, 1, 2])


def test_results_are_numpy_arrays(small_market):
    run = cj.simulate(small_market, cj.CMAP(), rounds=1)
    assert all(isinstance(leaf, np.ndarray) for leaf in jax.tree.leaves(run))


# -- precision -----------------------------------------------------------------------------------------


def test_float32_runs_are_float32_and_records_float64(ensemble):
    runs = {
        p: cj.simulate(
            ensemble, cj.ProportionalResponse(), rounds=20, record=["log_nash_welfare"], precision=p
        )
        for p in ("float32", "float64")
    }
    assert runs["float32"].final.flow.dtype == np.float32
    assert runs["float64"].final.flow.dtype == np.float64
    assert runs["float32"].records["log_nash_welfare"].dtype == np.float64
    assert runs["float32"].final.total_utility.dtype == np.float64
    # Twenty stable rounds of rounding to seven digits.
    np.testing.assert_allclose(runs["float32"].final.utility, runs["float64"].final.utility, rtol=2e-5)
    assert (runs["float32"].spending_error < 1e-5).all()
    assert (runs["float64"].spending_error < 1e-14).all()


@pytest.mark.optimised
@pytest.mark.parametrize("enabled", [False, True])
def test_the_callers_jax_settings_neither_matter_nor_change(small_market, enabled):
    before = jax.config.jax_enable_x64
    with jax.enable_x64(enabled):
        run = cj.simulate(small_market, cj.CMAP(), rounds=3, record=WELFARE)
        found = cj.solve(small_market)
        assert jax.config.jax_enable_x64 is enabled
    assert jax.config.jax_enable_x64 is before
    assert run.final.flow.dtype == np.float64
    expected = cj.simulate(small_market, cj.CMAP(), rounds=3, record=WELFARE)
    assert run.final.flow.tobytes() == expected.final.flow.tobytes()
    assert run.records["welfare"].tobytes() == expected.records["welfare"].tobytes()
    assert found.utility.tobytes() == cj.solve(small_market).utility.tobytes()


# -- verdicts ------------------------------------------------------------------------------------------


def test_verdicts_tell_what_became_of_each_market():
    """K_{3,2} starves its receivers by turns; K_{2,2} swings; a path at rest; one on its way."""

    def two_receivers(m, w=1.0):
        links = np.array([[i, m + j] for i in range(m) for j in range(2)])
        return cj.Market.from_links(links, endowment=[1.0] * m + [w, w])

    path = cj.Market.from_links(np.array([[0, 1], [1, 2]]))
    markets = [two_receivers(3), two_receivers(2), path]
    packed = cj.pack(markets)
    giver, receiver = packed.arcs()
    y = packed.arc_values(packed.equal_flow())
    for first, m in ((0, 3), (5, 2)):
        leaning = (giver >= first) & (giver < first + m)
        y[leaning] = np.where(receiver[leaning] == first + m, 0.6, 0.4)
    run = cj.simulate(packed, cj.CMAP(), rounds=30, start=packed.flow_from_arcs(y), record={})
    assert run.verdicts == ["starved for now", "oscillating", "converged"]
    slow = cj.simulate(
        packed, cj.Damped(cj.CMAP(), 1e-3), rounds=5, start=packed.flow_from_arcs(y), record={}
    )
    assert slow.verdicts == ["closing in", "closing in", "converged"]


def test_what_is_not_finite_is_said_to_be(small_market):
    class Broken(cj.Strategy):
        def respond(self, view):
            return view.sent * jnp.nan

    with pytest.warns(UserWarning, match="Broken is not feasible: .* not finite"):
        run = cj.simulate(small_market, Broken(), rounds=1, record={})
    assert run.verdicts == ["not finite"]
    assert not np.isfinite(run.spending_error).any()


def test_a_strategy_that_misspends_shows_in_the_spending_error(small_market):
    class Miser(cj.Strategy):
        def respond(self, view):
            return 0.75 * cj.EqualSplit().respond(view)

    with pytest.warns(UserWarning, match="underspent"):
        run = cj.simulate(small_market, Miser(), rounds=2, record={})
    assert run.spending_error[0] == pytest.approx(0.25)


# -- inside transformations ----------------------------------------------------------------------------


def test_hyperparameters_may_be_mapped_over(small_market):
    """A run continued, its records and both its clocks; the number of rounds is not whole records."""
    begun = cj.simulate(small_market, cj.CMAP(), rounds=1, record={}).final

    def play(theta):
        options = {"rounds": 5, "every": 2, "record": WELFARE, "start": begun}
        run = cj.simulate(small_market, cj.Damped(cj.CMAP(), theta), **options)
        return run.records["welfare"], run.agent_updates, run.rounds, run.final.utility

    with jax.enable_x64(True):
        thetas = jnp.array([0.2, 0.5, 1.0])
        mapped = jax.jit(jax.vmap(play))(thetas)
    alone = [play(float(theta)) for theta in thetas]
    np.testing.assert_array_equal(alone[0][2], [1, 3, 5, 6])
    for together, single in zip(mapped, zip(*alone, strict=True), strict=True):
        np.testing.assert_allclose(together, single, rtol=1e-12)


# -- refusals ------------------------------------------------------------------------------------------


def _flow(market, change):
    values = market.arc_values(market.equal_flow()).copy()
    change(values)
    return market.flow_from_arcs(values)


def _padded(market):
    flow = np.array(market.equal_flow())
    flow[np.flatnonzero(~np.asarray(market.links.is_entry))[0]] = 0.1
    return flow


REFUSED = {
    "no rounds": ({"rounds": -1}, "rounds is -1; give a whole number, 0 or more"),
    "half a round": ({"rounds": 2.5}, "rounds is 2.5; give a whole number"),
    "True rounds": ({"rounds": True}, "rounds is True"),
    "never": ({"every": 0}, "every is 0; give a whole number, 1 or more"),
    "a round that is not played": (
        {"every": [1, 3]},
        "every: 3 is no round of this run; give .* from 0 to 1",
    ),
    "every by a word": ({"every": "3"}, "every is '3'; give a whole number, 1 or more; a list"),
    "another precision": ({"precision": "float16"}, "precision is 'float16'; give one of float32, float64"),
    "no market": ({"market": [[0, 1]]}, "market is .*; give an object such as Market.from_links"),
    "a strategy's class": ({"strategy": cj.CMAP}, r"strategy is .*CMAP.*; give an object such as CMAP\(\)"),
    "a strategy's name": ({"strategy": "cmap"}, "strategy is 'cmap'"),
    "a schedule's class": ({"schedule": cj.Sequential}, r"schedule is .*Sequential\(\)"),
    "endowments as numbers": ({"endowments": 1.0}, r"endowments is 1.0; give .*endowments.Exponential\(\)"),
    "a metric's name": ({"record": {"gini": "gini"}}, "record: gini is 'gini'; give a function"),
    "a number as key": ({"schedule": cj.RandomOrder(), "key": 3}, r"key is 3; pass a JAX key"),
    "no key": ({"schedule": cj.RandomOrder()}, "key: none is given"),
    "a start of another size": ({"start": np.ones(3)}, "start has shape"),
    "a negative start": (
        {"start": lambda m: _flow(m, lambda y: y.__setitem__(0, -0.5))},
        "start: the flow holds -0.5; give finite amounts",
    ),
    "a start that is no number": (
        {"start": lambda m: _flow(m, lambda y: y.__setitem__(0, np.nan))},
        "start: the flow holds nan",
    ),
    "an infinite start": (
        {"start": lambda m: _flow(m, lambda y: y.__setitem__(0, np.inf))},
        "start: the flow holds inf",
    ),
    "a start off the network": ({"start": _padded}, "start: value flows where there is no link"),
    "a start that spends too little": (
        {"start": lambda m: _flow(m, lambda y: y.__setitem__(slice(0, 2), 0.25))},
        "start: agent 0 gives 0.5 of its contribution 1; every row of a start must spend exactly",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_arguments_that_make_no_run_are_refused(small_market, name):
    given, words = REFUSED[name]
    options = {"market": small_market, "strategy": cj.CMAP(), "rounds": 1, "record": {}} | given
    if name == "a start off the network":  # needs a market with padding
        options["market"] = cj.pack([small_market] * 3)
        if options["market"].padding == 0:
            options["market"] = cj.Market.from_links(
                np.array([(i, j) for i in range(6) for j in range(i + 1, 6)][1:])
            )
    if callable(options.get("start")):
        options["start"] = options["start"](options["market"])
    with pytest.raises(ValueError, match=words):
        cj.simulate(**options)


def test_a_state_of_another_market_is_refused(small_market, ensemble):
    state = cj.simulate(ensemble, cj.CMAP(), rounds=1, record={}).final
    with pytest.raises(ValueError, match=r"start: a state of .* does not fit a market"):
        cj.simulate(small_market, cj.CMAP(), rounds=1, record={}, start=state)


def test_contributions_that_float32_cannot_hold_are_refused_by_name():
    links = np.array([[0, 1], [1, 2]])
    tiny = cj.Market.from_links(links, endowment=[1, 1e-39, 1], labels=["a", "b", "c"])
    with pytest.raises(ValueError, match=r"range of float32.*\(b: 1e-39\).*use precision float64"):
        cj.simulate(tiny, cj.CMAP(), rounds=1, precision="float32", record={})
    cj.simulate(tiny, cj.CMAP(), rounds=1, precision="float64", record={})
    huge = cj.Market.from_links(links, endowment=[3e38, 3e38, 1e30])
    with pytest.raises(ValueError, match="overflow float32"):
        cj.simulate(huge, cj.CMAP(), rounds=1, precision="float32", record={})
    far = cj.Market.from_links(links, endowment=[1e300, 1e-10, 1.0])
    with pytest.raises(ValueError, match=r"from 1e-10 \(agent 1\) to 1e\+300 \(agent 0\)"):
        cj.solve(far)
    wide = cj.Market.from_links(links, endowment=[1e8, 1.0, 1.0])
    with pytest.warns(UserWarning, match="float32 keeps seven digits.*use precision float64"):
        cj.simulate(wide, cj.CMAP(), rounds=1, precision="float32", record={})


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: cj.CMAP(-1), "community_hops is -1; give 0, 1, 2, …, or math.inf"),
        (lambda: cj.CMAP(1.5), r"community_hops is 1\.5"),
        (lambda: cj.CMAP(True), "community_hops is True"),
        (lambda: cj.GradientCMAP("2"), "community_hops is '2'"),
        (lambda: cj.FixedDamping(0.0), r"damping theta is 0\.0; give a number above 0 and at most 1"),
        (lambda: cj.Damped(cj.CMAP(), 1.2), r"damping theta is 1\.2"),
        (lambda: cj.FixedDamping(np.nan), "damping theta is nan"),
        (lambda: cj.Damped(cj.CMAP, 0.5), r"strategy is .*; give an object such as CMAP\(\)"),
        (lambda: cj.FixedStep(0.0), r"step size is 0\.0; give a finite number above 0"),
        (lambda: cj.DiminishingStep(np.inf), "step size is inf"),
        (lambda: cj.OptaxGradient(0), "iterations is 0; give a whole number, 1 or more"),
        (lambda: cj.JaxoptGradient(2.0), r"iterations is 2\.0"),
        (lambda: cj.OptaxGradient(3, 0.1), r"step is 0\.1; give FixedStep\(size\)"),
    ],
)
def test_hyperparameters_out_of_range_are_refused(make, words):
    with pytest.raises(ValueError, match=words):
        make()


@pytest.mark.parametrize("tolerance", [0, 1e-15, 1.0, -1e-3, np.nan, "1e-9"])
def test_a_tolerance_out_of_range_is_refused(small_market, tolerance):
    with pytest.raises(ValueError, match=r"tolerance is .*; give a number from 1e-14 to below 1"):
        cj.solve(small_market, tolerance=tolerance)


# -- the package as a whole ----------------------------------------------------------------------------

ALONE = """
import sys
import cmapjax
assert "jax" not in sys.modules, "import cmapjax loads jax"
cmapjax.simulate, cmapjax.solve, cmapjax.CMAP, cmapjax.metrics, cmapjax.graphs, cmapjax.testing
import jax
assert jax.config.jax_enable_x64 is False
from jax._src import xla_bridge
assert not xla_bridge._backends, "importing the package starts a device"
"""

WITHOUT_JAXOPT = """
import sys
sys.modules["jaxopt"] = None
import numpy as np, cmapjax as cj
market = cj.Market.from_links(np.array([[0, 1], [1, 2], [0, 2]]), endowment=[1, 2, 4])
for strategy in (cj.CMAP(), cj.ProportionalResponse(), cj.GradientCMAP(1, cj.OptaxGradient(2))):
    run = cj.simulate(market, strategy, rounds=2, record={})
    assert np.isfinite(run.final.flow).all()
try:
    cj.simulate(market, cj.GradientCMAP(1, cj.JaxoptGradient(2)), rounds=1)
except ImportError as error:
    assert "OptaxGradient is the same method" in str(error)
else:
    raise AssertionError("JaxoptGradient ran without jaxopt")
"""


@pytest.mark.parametrize(
    "script",
    [ALONE, WITHOUT_JAXOPT],
    ids=["import starts nothing and changes no setting", "without jaxopt all but its own method works"],
)
def test_in_a_process_of_its_own(script):
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]


def test_runs_are_pytrees(small_market):
    run = cj.simulate(small_market, cj.CMAP(), rounds=1)
    doubled = jax.tree.map(lambda x: 2 * x, run)
    np.testing.assert_array_equal(doubled.final.flow, 2 * run.final.flow)
    assert eqx.tree_equal(run, cj.simulate(small_market, cj.CMAP(), rounds=1))
