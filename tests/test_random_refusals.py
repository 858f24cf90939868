"""Every wrong parameter of a random market is refused by name, with its value and a remedy."""

import functools
import math

import jax
import jaxtyping
import pytest

from cmapjax.graphs import (
    BarabasiAlbert,
    Bipartite,
    Complete,
    ErdosRenyi,
    Exponential,
    Gamma,
    LogNormal,
    Pareto,
    RandomGeometric,
    RandomMarket,
    RandomRegular,
    RandomTree,
    Redraw,
    Ring,
    Star,
    StochasticBlockModel,
    TorusGrid,
    Uniform,
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


COUNTED = {
    "ErdosRenyi": lambda n: ErdosRenyi(n, probability=0.5),
    "RandomGeometric": lambda n: RandomGeometric(n, radius=0.5),
    "BarabasiAlbert": lambda n: BarabasiAlbert(n, 1),
    "WattsStrogatz": lambda n: WattsStrogatz(n, 2, 0.1),
    "RandomRegular": lambda n: RandomRegular(n, 1),
} | {kind.__name__: kind for kind in (RandomTree, Complete, Ring, Star)}


@pytest.mark.parametrize("family", COUNTED)
def test_numbers_of_agents_are_whole_and_large_enough(family):
    for wrong in (0, 1, -3, 2.0, 2.5, math.nan, True, "5", None, 10**9, [3]):
        check_words(functools.partial(COUNTED[family], wrong), ["num_agents is", repr(wrong), "whole number"])


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
def test_parameters_are_numbers_above_zero(field, make):
    for wrong in (0, 0.0, -1, math.nan, math.inf, True, "6", [2], 2 + 0j):
        check_words(functools.partial(make, wrong), [f"{field} is {wrong!r}", "give a number"])


Blocks = StochasticBlockModel


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
        (lambda: BarabasiAlbert(9, 0), ["attachments is 0", "1 to 8"]),
        (lambda: BarabasiAlbert(9, 9), ["attachments is 9", "1 to 8"]),
        (lambda: RandomRegular(9, 3), ["degree is 3", "9 agents", "odd", "even"]),
        (lambda: RandomRegular(9, 9), ["degree is 9", "1 to 8"]),
        (lambda: WattsStrogatz(9, 3, 0.1), ["neighbours is 3", "even"]),
        (lambda: WattsStrogatz(9, 10, 0.1), ["neighbours is 10", "2 to 8"]),
        (lambda: WattsStrogatz(9, 4, -0.1), ["rewiring is -0.1", "at least 0"]),
        (lambda: WattsStrogatz(9, 4, math.nan), ["rewiring is nan"]),
        (lambda: TorusGrid(2, 5), ["rows is 2", "from 3"]),
        (lambda: TorusGrid(5, True), ["columns is True", "from 3"]),
        (lambda: Blocks(5, within=1, between=1), ["sizes is 5", "list"]),
        (lambda: Blocks([], within=1, between=1), ["sizes is []", "list"]),
        (lambda: Blocks([1], within=1, between=1), ["sum of sizes is 1", "from 2"]),
        (lambda: Blocks([3, 2.0], within=1, between=1), ["sizes[1] is 2.0"]),
        (lambda: Blocks([3, 2], within=1), ["between is None"]),
        (lambda: Blocks([3, 2], within=2, between=0), ["within is 2"]),
        (lambda: Blocks([1, 1], within=1, between=0), ["no link", "raise"]),
        (lambda: Blocks([3], within=1, probabilities=[[1]]), ["within is 1", "leave out"]),
        (lambda: Blocks([3, 2], probabilities=[[1]]), ["probabilities has rows of [1]", "2"]),
        (lambda: Blocks([3], probabilities=0.5), ["probabilities is 0.5", "table"]),
        (lambda: Blocks([3, 2], probabilities=[[1, 2], [2, 1]]), ["probabilities[0][1] is 2"]),
        (
            lambda: Blocks([3, 2], probabilities=[[1, 0.2], [0.1, 1]]),
            ["probabilities[0][1] is 0.2", "probabilities[1][0] is 0.1", "symmetric"],
        ),
        (lambda: Uniform(-1, 1), ["low is -1", "at least 0"]),
        (lambda: Uniform(1, 1), ["low is 1.0 and high is 1.0", "below"]),
        (lambda: LogNormal(21), ["sigma is 21", "at most 20"]),
        (lambda: Gamma(0.01), ["shape is 0.01", "at least 0.1"]),
        (lambda: Exponential(1e200), ["mean is 1e+200", "at most 1e+100"]),
        (lambda: Redraw(0), ["attempts is 0", "whole number"]),
        (lambda: RandomMarket("ErdosRenyi"), ["family is 'ErdosRenyi'", "ErdosRenyi(50"]),
        (lambda: RandomMarket(Ring(5), endowment=2.0), ["endowment is 2.0", "Uniform("]),
        (lambda: RandomMarket(Ring(5), value=None), ["value is None", "give a Distribution"]),
        (lambda: RandomMarket(Ring(5), isolated="drop"), ["isolated is 'drop'", "Drop()"]),
        (lambda: RandomMarket(Ring(5)).draw(0), ["key is 0", "jax.random.key(seed)"]),
        (lambda: RandomMarket(Ring(5)).draw(jax.random.split(KEY)), ["key has shape (2,)", "one key"]),
        (lambda: RandomMarket(Ring(5)).draw(KEY, 2.0), ["num_markets is 2.0", "whole number"]),
        (lambda: RandomMarket(Ring(5)).draw(KEY, first=-1), ["first is -1", "whole number"]),
        (lambda: RandomMarket(Ring(5)).draw(KEY, 2, first=2**32 - 1), ["num_markets is 2", "from 1 to 1"]),
        # networks that no machine holds, before they are made
        (lambda: Complete(10**7), ["num_agents=10000000", "5e+13 links", "1e+08"]),
        (lambda: TorusGrid(10**5, 10**5), ["rows=100000", "links"]),
        (lambda: Blocks([10**8] * 2, within=1e-20, between=0), ["sum of sizes is 200000000"]),
        (lambda: Blocks([9] * 2000, within=1, between=0), ["sizes is", "1 to 1000"]),
        (lambda: RandomMarket(Complete(1000)).draw(KEY, 10**6), ["num_markets is 1000000", "5e+11 links"]),
    ],
)
def test_other_wrong_parameters_are_refused_with_their_remedy(make, words):
    check_words(make, words)
