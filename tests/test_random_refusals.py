"""Every wrong parameter of a random market is refused by name, with its value and a remedy."""

import math

import jax
import jaxtyping
import pytest

from cmapjax.graphs._distributions import (
    Exponential,
    Gamma,
    LogNormal,
    Pareto,
    Uniform,
)
from cmapjax.graphs._families import (
    Bipartite,
    Complete,
    ErdosRenyi,
    Ring,
    Star,
    StochasticBlockModel,
    TorusGrid,
)
from cmapjax.graphs._random import RandomMarket, Redraw
from cmapjax.graphs._wired import (
    BarabasiAlbert,
    RandomGeometric,
    RandomRegular,
    RandomTree,
    WattsStrogatz,
)

KEY = jax.random.key(2024)


def check_words(call, words):
    jaxtyping.config.update("jaxtyping_disable", True)  # users meet the package's own checks alone
    try:
        with pytest.raises(ValueError) as caught:  # noqa: PT011  the words are looked at
            call()
    finally:
        jaxtyping.config.update("jaxtyping_disable", False)
    assert [word for word in words if word not in str(caught.value)] == [], str(caught.value)


# -- refusals ----------------------------------------------------------------------------------


@pytest.mark.parametrize("wrong", [0, 1, -3, 2.0, 2.5, math.nan, True, "5", None, 10**9, [3]], ids=repr)
@pytest.mark.parametrize(
    "make",
    [
        lambda n: ErdosRenyi(n, probability=0.5),
        lambda n: RandomGeometric(n, radius=0.5),
        lambda n: BarabasiAlbert(n, 1),
        lambda n: WattsStrogatz(n, 2, 0.1),
        lambda n: RandomRegular(n, 1),
        RandomTree,
        Complete,
        Ring,
        Star,
    ],
)
def test_numbers_of_agents_are_whole_and_large_enough(make, wrong):
    check_words(lambda: make(wrong), ["num_agents is", repr(wrong), "whole number"])


@pytest.mark.parametrize("wrong", [0, 0.0, -1, math.nan, math.inf, True, "6", [2], 2 + 0j], ids=repr)
@pytest.mark.parametrize(
    ("field", "make"),
    [
        ("mean_degree", lambda x: ErdosRenyi(9, mean_degree=x)),
        ("probability", lambda x: ErdosRenyi(9, probability=x)),
        ("mean_degree", lambda x: Bipartite(4, 5, mean_degree=x)),
        ("probability", lambda x: Bipartite(4, 5, probability=x)),
        ("mean_degree", lambda x: RandomGeometric(9, mean_degree=x)),
        ("radius", lambda x: RandomGeometric(9, radius=x)),
        ("high", lambda x: Uniform(0, x)),
        ("mean", Exponential),
        ("shape", Gamma),
        ("mean", lambda x: Gamma(1, x)),
        ("sigma", LogNormal),
        ("mean", lambda x: LogNormal(1, x)),
        ("alpha", Pareto),
        ("minimum", lambda x: Pareto(2, x)),
    ],
)
def test_parameters_are_numbers_above_zero(field, make, wrong):
    check_words(lambda: make(wrong), [f"{field} is {wrong!r}", "give a number"])


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: ErdosRenyi(9), ["mean_degree is None and probability is None", "exactly one"]),
        (lambda: ErdosRenyi(9, mean_degree=1, probability=0.1), ["mean_degree is 1", "exactly one"]),
        (lambda: ErdosRenyi(9, mean_degree=8.1), ["mean_degree is 8.1", "at most 8"]),
        (lambda: ErdosRenyi(9, probability=1.01), ["probability is 1.01", "at most 1"]),
        (lambda: Bipartite(4, 5), ["mean_degree is None", "exactly one"]),
        (lambda: Bipartite(4, 5, mean_degree=4.5), ["mean_degree is 4.5", "at most 4.44"]),
        (lambda: Bipartite(0, 5, probability=0.1), ["num_left is 0"]),
        (lambda: Bipartite(4, 1.5, probability=0.1), ["num_right is 1.5"]),
        (lambda: RandomGeometric(9), ["mean_degree is None", "radius", "exactly one"]),
        (lambda: RandomGeometric(9, radius=1.5), ["radius is 1.5", "1.414", "diagonal"]),
        (lambda: RandomGeometric(9, mean_degree=9), ["mean_degree is 9", "at most 8"]),
        (lambda: BarabasiAlbert(9, 0), ["attachments is 0", "1 to 8"]),
        (lambda: BarabasiAlbert(9, 9), ["attachments is 9", "1 to 8"]),
        (lambda: BarabasiAlbert(9, 2.0), ["attachments is 2.0", "whole number"]),
        (lambda: RandomRegular(9, 3), ["degree is 3", "9 agents", "odd", "even"]),
        (lambda: RandomRegular(9, 9), ["degree is 9", "1 to 8"]),
        (lambda: RandomRegular(9, 0), ["degree is 0", "1 to 8"]),
        (lambda: WattsStrogatz(9, 3, 0.1), ["neighbours is 3", "even"]),
        (lambda: WattsStrogatz(9, 10, 0.1), ["neighbours is 10", "2 to 8"]),
        (lambda: WattsStrogatz(9, 0, 0.1), ["neighbours is 0", "2 to 8"]),
        (lambda: WattsStrogatz(9, 4, -0.1), ["rewiring is -0.1", "at least 0"]),
        (lambda: WattsStrogatz(9, 4, 1.1), ["rewiring is 1.1", "at most 1"]),
        (lambda: WattsStrogatz(9, 4, math.nan), ["rewiring is nan"]),
        (lambda: TorusGrid(2, 5), ["rows is 2", "from 3"]),
        (lambda: TorusGrid(5, True), ["columns is True", "from 3"]),
        (lambda: StochasticBlockModel(5, within=1, between=1), ["sizes is 5", "list"]),
        (lambda: StochasticBlockModel([], within=1, between=1), ["sizes is []", "list"]),
        (lambda: StochasticBlockModel([1], within=1, between=1), ["sum of sizes is 1", "from 2"]),
        (lambda: StochasticBlockModel([3, 0], within=1, between=1), ["sizes[1] is 0"]),
        (lambda: StochasticBlockModel([3, 2.0], within=1, between=1), ["sizes[1] is 2.0"]),
        (lambda: StochasticBlockModel([3, 2], within=1), ["between is None"]),
        (lambda: StochasticBlockModel([3, 2], within=2, between=0), ["within is 2"]),
        (lambda: StochasticBlockModel([3, 2], within=0, between=0), ["no link", "raise"]),
        (lambda: StochasticBlockModel([1, 1], within=1, between=0), ["no link", "raise"]),
        (lambda: StochasticBlockModel([3], within=1, probabilities=[[1]]), ["within is 1", "leave out"]),
        (lambda: StochasticBlockModel([3, 2], probabilities=[[1]]), ["probabilities has rows of [1]", "2"]),
        (lambda: StochasticBlockModel([3], probabilities=0.5), ["probabilities is 0.5", "table"]),
        (lambda: StochasticBlockModel([3, 2], probabilities=[[1, 2], [2, 1]]), ["probabilities[0][1] is 2"]),
        (
            lambda: StochasticBlockModel([3, 2], probabilities=[[1, 0.2], [0.1, 1]]),
            ["probabilities[0][1] is 0.2", "probabilities[1][0] is 0.1", "symmetric"],
        ),
        (lambda: Uniform(-1, 1), ["low is -1", "at least 0"]),
        (lambda: Uniform(2, 1), ["low is 2", "high is 1", "below"]),
        (lambda: Uniform(1, 1), ["low is 1.0 and high is 1.0", "below"]),
        (lambda: Uniform(math.nan, 1), ["low is nan"]),
        (lambda: LogNormal(21), ["sigma is 21", "at most 20"]),
        (lambda: Gamma(0.01), ["shape is 0.01", "at least 0.1"]),
        (lambda: Pareto(0.05), ["alpha is 0.05", "at least 0.1"]),
        (lambda: Exponential(1e200), ["mean is 1e+200", "at most 1e+100"]),
        (lambda: Redraw(0), ["attempts is 0", "whole number"]),
        (lambda: RandomMarket("ErdosRenyi"), ["family is 'ErdosRenyi'", "ErdosRenyi(50"]),
        (lambda: RandomMarket(Ring), ["family is", "ErdosRenyi(50"]),
        (lambda: RandomMarket(Ring(5), endowment=2.0), ["endowment is 2.0", "Uniform("]),
        (lambda: RandomMarket(Ring(5), value=[1] * 5), ["value is [1, 1", "Uniform("]),
        (lambda: RandomMarket(Ring(5), isolated="drop"), ["isolated is 'drop'", "Drop()"]),
        (lambda: RandomMarket(Ring(5)).draw(0), ["key is 0", "jax.random.key(seed)"]),
        (lambda: RandomMarket(Ring(5)).draw(None), ["key", "jax.random.key(seed)"]),
        (lambda: RandomMarket(Ring(5)).draw(jax.random.split(KEY)), ["key has shape (2,)", "one key"]),
        (lambda: RandomMarket(Ring(5)).draw(KEY, 0), ["num_markets is 0", "whole number"]),
        (lambda: RandomMarket(Ring(5)).draw(KEY, 2.0), ["num_markets is 2.0", "whole number"]),
        (lambda: RandomMarket(Ring(5)).draw(KEY, True), ["num_markets is True", "whole number"]),
        (lambda: RandomMarket(Ring(5)).draw(KEY, first=-1), ["first is -1", "whole number"]),
        (lambda: RandomMarket(Ring(5)).draw(KEY, 2, first=2**32 - 1), ["num_markets is 2", "from 1 to 1"]),
    ],
)
def test_other_wrong_parameters_are_refused_with_their_remedy(make, words):
    check_words(make, words)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Complete(10**7), ["num_agents=10000000", "5e+13 links", "1e+08"]),
        (lambda: ErdosRenyi(10**8, mean_degree=100), ["num_agents=100000000", "5e+09 links"]),
        (lambda: BarabasiAlbert(10**8, 50), ["attachments=50", "links"]),
        (lambda: RandomRegular(10**8, 50), ["degree=50", "links"]),
        (lambda: WattsStrogatz(10**8, 50, 0.1), ["neighbours=50", "links"]),
        (lambda: TorusGrid(10**5, 10**5), ["rows=100000", "links"]),
        (lambda: Bipartite(10**6, 10**6, probability=0.5), ["num_left=1000000", "5e+11 links"]),
        (lambda: RandomGeometric(10**7, radius=1), ["num_agents=10000000", "links"]),
        (lambda: StochasticBlockModel([10**6] * 2, within=0.1, between=0), ["sizes=(1000000", "1e+11 links"]),
        (lambda: StochasticBlockModel([10**8] * 2, within=1e-20, between=0), ["sum of sizes is 200000000"]),
        (lambda: StochasticBlockModel([9] * 2000, within=1, between=0), ["sizes is", "1 to 1000"]),
        (lambda: RandomMarket(Complete(1000)).draw(KEY, 10**6), ["num_markets is 1000000", "5e+11 links"]),
    ],
)
def test_networks_that_no_machine_holds_are_refused_before_they_are_made(make, words):
    check_words(make, words)
