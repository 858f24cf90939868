"""The contract for strategies of one's own: the package's pass, planted faults are caught and named."""

import doctest
import math

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest

import cmapjax as cj
from cmapjax import testing

STRATEGIES = {
    "cmap": cj.CMAP(),
    "cmap to everybody": cj.CMAP(math.inf),
    "cmap for itself": cj.CMAP(0),
    "proportional response": cj.ProportionalResponse(),
    "equal split": cj.EqualSplit(),
    "selfish best reply": cj.SelfishBestReply(),
    "dynamic sharing": cj.Damped(cj.DynamicSharing(), 0.4),
    "entropic": cj.EntropicCMAP(1.5),
    "damped": cj.Damped(cj.CMAP(), 0.3),
    "damped by the largest degree": cj.Damped(cj.CMAP(), cj.MaxDegreeDamping()),
    "damped locally": cj.Damped(cj.ProportionalResponse(), cj.LocalDamping()),
    "gradient on jaxopt": cj.GradientCMAP(1, cj.JaxoptGradient(5)),
    "gradient on optax, three hops": cj.GradientCMAP(3, cj.OptaxGradient(5, cj.DiminishingStep(0.1))),
    "gradient with line search": cj.GradientCMAP(1, cj.OptaxGradient(3, cj.LineSearch())),
}


# That right strategies are not complained of. (tests/test_contract.py has the laws of them all.)
ALWAYS = ("cmap", "selfish best reply", "dynamic sharing", "gradient on optax, three hops")


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name in ALWAYS else pytest.mark.slow) for name in STRATEGIES]
)
def test_the_strategies_of_the_package_obey_every_law(name):
    assert testing.check_strategy(STRATEGIES[name]) is None


def test_the_example_in_the_docstring_works():
    assert doctest.testmod(testing).failed == 0


class Overspender(cj.Strategy):
    def respond(self, view):
        return 1.001 * cj.EqualSplit().respond(view)


class Borrower(cj.Strategy):
    """Takes half of its budget from its first neighbour and gives it to the second, if it has one."""

    def respond(self, view):
        even = cj.EqualSplit().respond(view)
        move = jnp.where(view.is_neighbour[1], view.budget, 0)
        return even.at[0].add(-move).at[1].add(move)


class Spiller(cj.Strategy):
    def respond(self, view):
        return jnp.full_like(view.sent, view.budget / view.sent.shape[0])


class FavoursTheFirst(cj.Strategy):
    def respond(self, view):
        return jnp.zeros_like(view.sent).at[0].set(view.budget)


class CountsUnits(cj.Strategy):
    """Gives to everybody alike when it has more than two units of value, else repeats itself."""

    def respond(self, view):
        return jnp.where(view.budget > 2, cj.EqualSplit().respond(view), cj.repeat(view))


class DividesByReceipts(cj.Strategy):
    def respond(self, view):
        return view.budget * view.received / view.received.sum()


class CountsSlots(cj.Strategy):
    """Its step depends on the width of the table that it happens to be stored in."""

    def respond(self, view):
        share = 1 / view.sent.shape[0]
        return (1 - share) * cj.repeat(view) + share * cj.EqualSplit().respond(view)


class ReturnsAnAmount(cj.Strategy):
    def respond(self, view):
        return view.budget


class Miser(cj.Strategy):
    """Spends all but a thousandth of a millionth: too little to see, too much for rounding."""

    def respond(self, view):
        return (1 - 1e-9) * cj.EqualSplit().respond(view)


FAULTS = [
    (Overspender(), "budget", 2),
    (Miser(), "budget", 2),
    (Borrower(), "sign", 3),
    (Spiller(), "network", 2),
    (FavoursTheFirst(), "relabelling", 3),
    (CountsUnits(), "unit", 3),
    (DividesByReceipts(), "finite", 2),
    (CountsSlots(), "padding", 3),
    (ReturnsAnAmount(), "shape", 2),
]


@pytest.mark.parametrize(("strategy", "law", "size"), FAULTS, ids=[type(f[0]).__name__ for f in FAULTS])
def test_a_fault_is_caught_by_its_law_on_the_smallest_market_that_shows_it(strategy, law, size):
    with pytest.raises(testing.StrategyError, match=testing.LAWS[law].replace("(", r"\(")[:30]) as caught:
        testing.check_strategy(strategy)
    assert caught.value.law == law
    assert caught.value.market.num_agents == size
    message = str(caught.value)
    assert message.startswith(type(strategy).__name__)
    for part in ("links [[0, 1]", "endowments [", "values [", "start: ", "given last round 0→1"):
        assert part in message


def test_a_fault_seen_on_some_networks_only_is_found_on_markets_of_ones_own():
    class HatesHubs(cj.Strategy):
        def respond(self, view):
            return jnp.where(view.is_neighbour.sum() > 7, 2, 1) * cj.EqualSplit().respond(view)

    testing.check_strategy(HatesHubs())
    star = cj.Market.from_links(np.array([[0, i] for i in range(1, 10)]))
    with pytest.raises(testing.StrategyError, match=r"agent 0 spent 2.* of 1") as caught:
        testing.check_strategy(HatesHubs(), markets=[star])
    assert caught.value.market.fingerprint() == star.fingerprint()


def test_hyperparameters_are_tried_as_given():
    class Scaled(cj.Strategy):
        scale: np.ndarray = eqx.field(converter=np.asarray)

        def respond(self, view):
            return self.scale * cj.EqualSplit().respond(view)

    testing.check_strategy(Scaled(1.0))
    with pytest.raises(testing.StrategyError, match="budget"):
        testing.check_strategy(Scaled(0.5))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((cj.CMAP,), "strategy is .*CMAP"),
        (("cmap",), "strategy is 'cmap'; give an object such as CMAP"),
    ],
)
def test_what_is_no_strategy_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        testing.check_strategy(*arguments)


def test_what_are_no_single_markets_is_refused():
    edge = cj.Market.from_links(np.array([[0, 1]]))
    with pytest.raises(ValueError, match="markets: none given"):
        testing.check_strategy(cj.CMAP(), markets=[])
    with pytest.raises(ValueError, match="markets: one packs 2; give single markets"):
        testing.check_strategy(cj.CMAP(), markets=[edge, cj.pack([edge, edge])])
