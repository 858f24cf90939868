"""Random markets: a key and a number make a market, alone or among thousands; nobody is left alone unseen."""

import equinox as eqx
import jax
import jaxtyping
import numpy as np
import pytest

from cmapjax.graphs import (
    BarabasiAlbert,
    Drop,
    ErdosRenyi,
    Exponential,
    Family,
    RandomMarket,
    RandomTree,
    Redraw,
    Reject,
    Ring,
    StochasticBlockModel,
    Uniform,
    Unit,
)  # fmt: skip
from cmapjax.market._packing import pack

KEY = jax.random.key(2024)
THINNED = RandomMarket(
    ErdosRenyi(20, mean_degree=3), endowment=Exponential(), value=Uniform(1, 2), isolated=Drop()
)


def check_words(call, words):
    jaxtyping.config.update("jaxtyping_disable", True)  # users meet the package's own checks alone
    try:
        with pytest.raises(ValueError) as caught:  # noqa: PT011  the words are looked at
            call()
    finally:
        jaxtyping.config.update("jaxtyping_disable", False)
    assert [word for word in words if word not in str(caught.value)] == [], str(caught.value)


def link_set(links):
    return {(min(a, b), max(a, b)) for a, b in np.asarray(links).tolist()}


# -- drawing markets ---------------------------------------------------------------------------


def one_of(market, number):
    """Links (by number within the market), endowments and values of one market of an ensemble."""
    member = np.flatnonzero(market.market_of == number)
    giver, receiver = market.arcs()
    inside = market.market_of[giver] == number
    links = np.stack([giver, receiver], axis=1)[inside] - member[0]
    return links.tolist(), market.endowment[member].tolist(), market.value[member].tolist()


def test_the_same_key_draws_the_same_market_bit_for_bit():
    assert eqx.tree_equal(THINNED.draw(KEY, 20), THINNED.draw(KEY, 20)) is True
    assert eqx.tree_equal(THINNED.draw(KEY), THINNED.draw(jax.random.key(2025))) is False


@pytest.mark.parametrize("impl", ["threefry2x32", "rbg", "unsafe_rbg"])
def test_a_thousand_markets_are_ten_times_a_hundred(impl):
    key = jax.random.key(1, impl=impl)
    whole = THINNED.draw(key, 1000)
    parts = pack([THINNED.draw(key, 100, first=100 * part) for part in range(10)])
    assert eqx.tree_equal(whole, parts) is True


def test_a_market_is_the_same_alone_and_among_a_thousand():
    whole = THINNED.draw(KEY, 1000)
    for number in (0, 7, 999):
        alone = THINNED.draw(KEY, first=number)
        assert one_of(alone, 0) == one_of(whole, number)


def test_an_ensemble_is_its_markets_packed():
    ensemble = RandomMarket(BarabasiAlbert(20, 2), endowment=Exponential())
    alone = [ensemble.draw(KEY, first=number) for number in range(6)]
    assert eqx.tree_equal(ensemble.draw(KEY, 6), pack(alone)) is True


def test_the_last_market_number_that_a_key_can_be_folded_with():
    tree = RandomMarket(RandomTree(8))
    last = tree.draw(KEY, first=2**32 - 1)
    assert one_of(tree.draw(KEY, 2, first=2**32 - 2), 1) == one_of(last, 0)


def test_endowments_values_and_network_have_random_streams_of_their_own():
    family = ErdosRenyi(30, mean_degree=5)
    policy = Redraw(1000)
    plain = RandomMarket(family, isolated=policy).draw(KEY, 10)
    endowed = RandomMarket(family, endowment=Exponential(), isolated=policy).draw(KEY, 10)
    both = RandomMarket(family, endowment=Exponential(), value=Exponential(), isolated=policy).draw(KEY, 10)
    for market in (endowed, both):
        assert np.array_equal(plain.arcs(), market.arcs())
    assert np.array_equal(endowed.endowment, both.endowment)
    assert not np.isclose(both.endowment, both.value).any()
    other = RandomMarket(BarabasiAlbert(30, 2), endowment=Exponential()).draw(KEY, 10)
    assert np.array_equal(other.endowment, endowed.endowment)


# -- isolated agents ---------------------------------------------------------------------------


def test_isolated_agents_are_refused_by_name_unless_provided_for():
    lonely = RandomMarket(StochasticBlockModel([3, 1], within=1, between=0))
    assert lonely.isolated == Reject()
    check_words(lambda: lonely.draw(KEY, 2, first=5), ["market 5", "1 agent(s)", "(3)", "Drop()", "Redraw()"])


def test_dropped_agents_are_named_and_the_others_keep_what_they_drew():
    family = StochasticBlockModel([1, 3], within=1, between=0)
    drop = RandomMarket(family, endowment=Exponential(), isolated=Drop())
    market = drop.draw(KEY)
    assert market.labels == (1, 2, 3)
    assert market.origin.dropped_isolated == (0,)
    everybody = RandomMarket(Ring(4), endowment=Exponential()).draw(KEY)
    assert np.array_equal(market.endowment, everybody.endowment[1:])
    several = drop.draw(KEY, 2, first=7)
    assert several.labels == ((7, 1), (7, 2), (7, 3), (8, 1), (8, 2), (8, 3))
    assert several.origin.dropped_isolated == ((7, 0), (8, 0))
    assert several.market_of.tolist() == [0, 0, 0, 1, 1, 1]


def test_dropping_leaves_everybody_else():
    whole = THINNED.draw(KEY, 200)
    assert whole.num_agents + len(whole.origin.dropped_isolated) == 200 * 20
    assert len(whole.origin.dropped_isolated) > 100  # some 20 · exp(-3) = 1 per market
    assert (whole.degree > 0).all()


def test_a_network_without_any_link_cannot_be_made_a_market_by_dropping():
    empty = RandomMarket(ErdosRenyi(10, mean_degree=1e-9), isolated=Drop())
    check_words(lambda: empty.draw(KEY, first=3), ["market 3", "no link", "Redraw()"])


def test_redrawing_gives_up_with_advice():
    hopeless = RandomMarket(ErdosRenyi(50, mean_degree=0.5), isolated=Redraw(attempts=7))
    check_words(lambda: hopeless.draw(KEY), ["market 0", "ErdosRenyi(", "attempts is 7", "Raise", "Drop()"])


class Given(Family):
    """A user's own family: always these links."""

    num_agents = 4
    mean_links = 2.0

    def __init__(self, links):
        self.given = links

    def __repr__(self):
        return "Given()"

    def links(self, rng):
        return np.array(self.given)


def test_a_family_of_ones_own_makes_markets():
    market = RandomMarket(Given([(3, 0), (1, 2)])).draw(KEY, 2)
    assert link_set(np.transpose(market.arcs())) == {(0, 3), (1, 2), (4, 7), (5, 6)}


@pytest.mark.parametrize(
    ("links", "words"),
    [
        ([(0, 1), (2, 3), (1, 0)], ["the same link twice", "agent 0"]),
        ([(0, 1), (2, 3), (2, 2)], ["link of an agent with itself", "agent 2"]),
        ([(0, 1), (2, 4)], ["Given()", "0 to 4", "0 to 3"]),
        ([(0, 1), (2, -1)], ["Given()", "-1 to 2", "0 to 3"]),
        ([(0.0, 1.0)], ["Given()", "float64", "integer array"]),
        ([(0, 1, 2)], ["Given()", "(1, 3)", "integer array"]),
        (np.zeros((0, 2), int), ["market 1", "4 agent(s)"]),
    ],
)
def test_a_family_that_breaks_its_word_is_told(links, words):
    check_words(lambda: RandomMarket(Given(links)).draw(KEY, first=1), words)


def test_a_distribution_that_breaks_its_word_is_told():
    class Scalar(Unit):
        def draw(self, rng, num_agents):
            return 1.0

    class Negative(Unit):
        def draw(self, rng, num_agents):
            return np.full(num_agents, -1.0)

    check_words(lambda: RandomMarket(Ring(4), value=Scalar()).draw(KEY), ["value", "shape ()", "4"])
    check_words(lambda: RandomMarket(Ring(4), value=Negative()).draw(KEY), ["value", "above zero"])
