"""Strategies that break the rules: told in words while they are compiled, or found by the run."""

import traceback
import warnings

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import cmapjax as cj
from cmapjax import testing

EVEN = cj.EqualSplit()
# A triangle with a tail; of unequal degrees, so that rows have padding.
MARKET = cj.Market.from_links([[0, 1], [1, 2], [2, 0], [2, 3]], endowment=[1.0, 2, 4, 1], labels=list("abcd"))


def answering(answer):
    class Mine(cj.Strategy):
        def respond(self, view):
            return answer(view)

    return Mine()


# -- what is seen while it is compiled -----------------------------------------------------------------


def decides(view):
    if view.budget > 1:
        return view.sent
    return EVEN.respond(view)


def sorts(view):
    return np.sort(view.sent)


def picks(view):
    return view.sent[view.is_neighbour]


def counts(view):
    return jnp.ones(int(view.budget))


def misspells(view):
    return view.recieved


AT_COMPILING = {
    "if": (
        decides,
        r"asks Python to decide .*test_rule_breakers.py, line \d+: if view.budget > 1:.*jnp.where",
    ),
    "NumPy": (sorts, r"to NumPy \(test_rule_breakers.py, line \d+: return np.sort\(view.sent\)\).*jax.numpy"),
    "a mask": (picks, "picks entries by a mask"),
    "int": (counts, r"asks Python to decide .*int\(view.budget\)"),
    "its own error": (misspells, r"raised AttributeError: .*recieved.*\(test_rule_breakers.py, line \d+"),
    "nothing": (lambda view: None, r"Mine.respond answered with None; wanted is an array of shape \(48,\)"),
    "one number": (lambda view: view.budget, r"answered with shape \(\) and type float64"),
    "a list": (lambda view: [0.0, 1.0], "answered with list"),
    "a longer row": (lambda view: jnp.append(view.sent, 0.0), r"answered with shape \(49,\)"),
    "a shorter row": (lambda view: view.sent[1:], r"answered with shape \(47,\)"),
    "a column": (lambda view: view.sent[:, None], r"answered with shape \(48, 1\)"),
    "whole numbers": (lambda view: view.sent.astype(int), r"type int64; .*write .astype\(view.sent.dtype\)"),
    "float32": (lambda view: view.sent.astype(np.float32), "type float32; wanted .* float64"),
}


@pytest.mark.parametrize("name", AT_COMPILING)
def test_what_is_no_row_is_refused_in_words(name):
    answer, message = AT_COMPILING[name]
    for strategy in (answering(answer), cj.Damped(answering(answer), 0.5)):
        with pytest.raises(ValueError, match=message) as caught:
            cj.simulate(MARKET, strategy, rounds=2, record={})
        assert str(caught.value).startswith("Mine.respond")
        assert "cmapjax.testing.check_strategy" in str(caught.value)
        frames = traceback.extract_tb(caught.value.__traceback__)
        assert len(frames) <= 6, "frames of JAX and of the package are left out"
        assert caught.value.__cause__ is None


def test_what_is_no_row_is_refused_in_turns_too():
    longer = answering(lambda view: jnp.concatenate([view.sent, view.sent]))
    with pytest.raises(ValueError, match=r"Mine.respond answered with shape \(\d+,\)"):
        cj.simulate(MARKET, longer, rounds=1, schedule=cj.Sequential(), record={})


class Own(cj.Strategy):
    share: np.ndarray = eqx.field(converter=np.asarray)

    def respond(self, view):
        return self.share


def test_a_strategy_of_every_agents_own_is_asked_for_rows():
    with pytest.raises(ValueError, match=r"Own.respond answered with shape \(\)"):
        cj.simulate(MARKET, cj.PerAgent(Own(np.ones(4))), rounds=1, record={})


class Posts(cj.PostedStrategy):
    """Posts and gives as two functions say."""

    terms: object = eqx.field(static=True)
    given: object = eqx.field(static=True)

    def post(self, view):
        return self.terms(view)

    def flow(self, terms, link):
        return self.given(terms, link)


POSTED = {
    "a row of terms": (lambda v: v.sent, lambda t, link: link.sent, r"Posts.post .*shape \(48,\) .*single"),
    "text": (lambda v: "ten", lambda t, link: link.sent, "Posts.post answered with str 'ten'"),
    "one flow": (lambda v: v.budget, lambda t, link: t, r"Posts.flow answered with shape \(\) .*the link"),
    "if": (lambda v: 1.0 if v.budget > 0 else 0.0, None, "Posts.post asks Python to decide"),
    "no function": (lambda v: v.budget, None, "Posts.flow raised TypeError"),
}


@pytest.mark.parametrize("name", POSTED)
def test_terms_are_numbers_and_what_flows_by_them_a_row(name):
    *parts, message = POSTED[name]
    for schedule in (cj.Simultaneous(), cj.Sequential()):
        with pytest.raises(ValueError, match=message):
            cj.simulate(MARKET, cj.Damped(Posts(*parts), 0.5), rounds=1, schedule=schedule, record={})


def test_a_rule_of_damping_gives_one_number():
    class Each(cj.Damping):
        def step(self, view):
            return 0.5 * jnp.ones_like(view.sent)

    with pytest.raises(ValueError, match=r"Each.step answered with shape \(48,\).* one number"):
        cj.simulate(MARKET, cj.Damped(cj.GradientCMAP(), Each()), rounds=1, record={})


def test_errors_of_the_package_itself_pass_as_they_are():
    with pytest.raises(TypeError, match=r"PerAgent.respond: one agent's view"):
        cj.simulate(MARKET, cj.Damped(cj.PerAgent(cj.Damped(cj.CMAP(), np.ones(4)))), rounds=1, record={})


def test_the_laws_of_shape_are_those_of_a_run():
    for answer in (decides, misspells, lambda view: view.sent.astype(np.float32)):
        with pytest.raises(testing.StrategyError, match=r"breaks the law of shape[\s\S]*Mine.respond"):
            testing.check_strategy(answering(answer))


# -- what only running shows -------------------------------------------------------------------------


def number(x):
    return x if isinstance(x, jax.Array) else np.asarray(x, np.float64)


class Rogue(cj.Strategy):
    """An even split, times `factor`; `moved` from the first neighbour to the second; `spilt` on padding; and
    with `once` only while its last row is even."""

    factor: np.ndarray = eqx.field(converter=number, default=1.0)
    moved: np.ndarray = eqx.field(converter=number, default=0.0)
    spilt: np.ndarray = eqx.field(converter=number, default=0.0)
    once: np.ndarray = eqx.field(converter=number, default=0.0)

    def respond(self, view):
        even = EVEN.respond(view)
        place = jnp.arange(view.sent.shape[0])
        other = jnp.where(place == 0, -self.moved, jnp.where(place == 1, self.moved, 0))
        row = self.factor * even + jnp.where(view.is_neighbour.sum() > 1, other, 0)
        row = jnp.where(view.is_neighbour, row, self.spilt)
        lopsided = jnp.where(place == 0, view.budget, 0)
        is_even = jnp.all(view.sent == even)
        return jnp.where((self.once == 0) | is_even, row, lopsided)


BREACHES = {
    "overspent": (Rogue(1.25), r"in round 1 agent c gave 1 more than the 4 that it had \(overspent\)"),
    "underspent": (Rogue(0.75), r"in round 1 agent c gave 1 less than the 4 that it had \(underspent\)"),
    "little": (Rogue(1 - 1e-8), r"agent c gave 4e-08 less than the 4"),
    "negative": (Rogue(moved=1.5), r"in round 1 agent a gave a negative amount, -1;"),
    "padding": (Rogue(spilt=0.25), r"gave 0.25 where it has no neighbour"),
    "not finite": (Rogue(factor=np.inf), r"gave amounts that are not finite"),
    "once": (Rogue(1.25, once=1.0), r"in round 1 agent c gave 1 more than the 4"),
}


@pytest.mark.parametrize("schedule", [cj.Simultaneous(), cj.Sequential()], ids=["together", "in turns"])
@pytest.mark.parametrize("name", BREACHES)
def test_a_run_that_breaks_a_law_says_which_by_whom_and_by_how_much(name, schedule):
    strategy, message = BREACHES[name]
    with pytest.warns(UserWarning, match="Rogue is not feasible: .*" + message) as caught:
        run = cj.simulate(MARKET, strategy, rounds=4, schedule=schedule, record={})
    assert len(caught) == 1
    assert caught[0].filename == __file__
    assert run.verdicts == ["not finite" if name == "not finite" else "not feasible"]
    with pytest.raises(ValueError, match=message):
        cj.simulate(MARKET, strategy, rounds=4, schedule=schedule, record={}, strict=True)


def test_a_breach_that_has_healed_is_remembered():
    with pytest.warns(UserWarning, match="in round 1"):
        run = cj.simulate(MARKET, Rogue(1.25, once=1.0), rounds=4, record={})
    assert run.spending_error.max() < 1e-15  # the last rows are in order


@pytest.mark.parametrize("schedule", [cj.Simultaneous(), cj.Sequential()], ids=["together", "in turns"])
def test_a_strategy_in_order_is_not_complained_of(schedule):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run = cj.simulate(MARKET, Rogue(), rounds=4, schedule=schedule, record={}, strict=True)
    assert run.verdicts == ["settled elsewhere"]


def test_of_an_ensemble_the_market_and_the_agent_are_named():
    both = cj.pack([cj.Market.from_links([[0, 1], [1, 2]]), MARKET])
    factor, nothing = np.where(np.arange(7) == 5, 1.5, 1.0), np.zeros(7)
    strategy = cj.PerAgent(Rogue(factor, nothing, nothing, nothing))
    with pytest.warns(
        UserWarning, match=r"PerAgent\(Rogue\) is not feasible.* of market 1 gave 2 more than the 4"
    ):
        run = cj.simulate(both, strategy, rounds=2, record={})
    assert run.verdicts == ["converged", "not feasible"]


def test_both_ends_of_a_link_must_work_out_the_same_flow():
    """Given what it received: the receiver takes what it sent itself for that."""

    def lopsided(terms, link):
        return jnp.where(jnp.arange(link.sent.shape[0]) == 0, terms, 0)

    with pytest.warns(
        UserWarning, match=r"Posts is not feasible.* by its terms, than its neighbour received"
    ):
        run = cj.simulate(MARKET, Posts(lambda view: view.budget, lopsided), rounds=2, record={})
    assert run.verdicts == ["not feasible"]


def test_compiled_code_gives_the_verdict_and_raises_nothing():
    def code(factor):
        return cj.simulate(MARKET, Rogue(factor), rounds=4, record={}).verdict[0]

    with jax.enable_x64(True):
        codes = jax.jit(jax.vmap(code))(jnp.array([1.0, 1.25]))
        words = [cj.metrics.VERDICTS[c] for c in codes]
        assert words == ["settled elsewhere", "not feasible"]
        with pytest.raises(ValueError, match="strict is asked for inside a transformation"):
            jax.jit(lambda f: cj.simulate(MARKET, Rogue(f), rounds=1, record={}, strict=True).verdict)(1.0)


def test_a_strategy_derived_from_the_packages_is_played_as_it_is_written():
    """Not in the scaling form of proportional response, which knows nothing of what it does instead."""

    class Lazy(cj.ProportionalResponse):
        def flow(self, terms, link):
            return 0.5 * (super().flow(terms, link) + link.repeated)

    lazy = cj.simulate(MARKET, Lazy(), rounds=5, record={})
    damped = cj.simulate(MARKET, cj.Damped(cj.ProportionalResponse(), 0.5), rounds=5, record={})
    np.testing.assert_allclose(lazy.final.utility, damped.final.utility, rtol=1e-14)


def test_rounds_of_the_packages_strategies_are_not_looked_through():
    run = cj.simulate(MARKET, cj.Damped(cj.CMAP(), 0.5), rounds=2, record={})
    assert run.breach is None
    assert cj.simulate(MARKET, cj.Damped(Rogue(), 0.5), rounds=2, record={}).breach is not None


def test_an_explanation_of_a_rogue_warns():
    with pytest.warns(UserWarning, match="Rogue is not feasible: agent c gave 1 more than the 4"):
        cj.explain(MARKET, Rogue(1.25), agent="c", round=1)
    with pytest.raises(ValueError, match=r"Mine.respond answered with shape \(\)"):
        cj.explain(MARKET, answering(lambda view: view.budget), agent="c", round=1)
