"""Priorities, demands, own use, capacities, efficiencies and directions that are drawn."""

import dataclasses
import json

import jax
import numpy as np
import pytest

import cmapjax as cj
from cmapjax import graphs
from cmapjax.words._networks import term
from cmapjax.words._objects import Builder
from tests.commands import cmapjax

KEY = jax.random.key(2024)
PLAIN = graphs.RandomMarket(
    graphs.ErdosRenyi(12, mean_degree=2), endowment=graphs.LogNormal(1.0), isolated=graphs.Drop()
)
FIELDS = {
    "priority": graphs.Gamma(2.0),
    "demand": graphs.Uniform(1, 2),
    "own_use": graphs.Uniform(0, 1),
    "capacity": graphs.Exponential(),
    "efficiency": graphs.Uniform(0.8, 1),
}
ALL = dataclasses.replace(PLAIN, **FIELDS)


def numbers(market, name):
    """A field in the caller's order: of agents, or of arcs."""
    x = getattr(market, name)
    return (market.arc_values(x) if name in ("capacity", "efficiency") else np.asarray(x)).tolist()


def both_ways(market, name):
    """The field of every link, there and back."""
    giver, receiver = market.arcs()
    arcs = zip(giver.tolist(), receiver.tolist(), strict=True)
    values = dict(zip(arcs, numbers(market, name), strict=True))
    return [(values[a, b], values[b, a]) for a, b in values if a < b]


def test_without_the_fields_markets_are_what_they_were_before_there_were_any():
    assert PLAIN.draw(KEY, 3).fingerprint() == "b412e15b3ea5390c"
    assert PLAIN.draw(KEY, 3).terms == ()


@pytest.mark.parametrize("name", [*FIELDS, "directed"])
def test_a_field_has_random_numbers_of_its_own(name):
    with_it = dataclasses.replace(PLAIN, **{name: FIELDS.get(name, True)}).draw(KEY, 3)
    plain, full = PLAIN.draw(KEY, 3), ALL.draw(KEY, 3)
    for field in ("endowment", "value"):
        assert np.array_equal(getattr(with_it, field), getattr(plain, field))
    assert np.array_equal(with_it.arcs(), plain.arcs())
    if name in FIELDS:
        assert with_it.terms == (name,)
        assert numbers(with_it, name) == numbers(full, name)
        assert len(set(numbers(with_it, name))) > 10


def test_no_two_fields_have_the_same_random_numbers():
    alike = dict.fromkeys(("endowment", "value", *FIELDS), graphs.Uniform(1, 2))
    alike["own_use"] = graphs.Uniform(0, 1)
    market = dataclasses.replace(PLAIN, **alike).draw(KEY)
    numbers_of = [np.round(numbers(market, name)[0] % 1, 9) for name in alike]
    assert len(set(numbers_of)) == len(alike)


def test_a_market_is_the_same_alone_and_among_others_and_when_agents_are_dropped():
    directed = dataclasses.replace(ALL, directed=True)
    whole, alone = directed.draw(KEY, 5), directed.draw(KEY, first=3)
    assert len(whole.origin.dropped_isolated) > 0
    is_own, giver = whole.market_of == 3, whole.arcs()[0]
    for name in FIELDS:
        of_arcs = name in ("capacity", "efficiency")
        kept = is_own[giver] if of_arcs else is_own
        assert np.array(numbers(whole, name))[kept].tolist() == numbers(alone, name)


def test_links_have_their_numbers_both_ways_unless_they_are_directed():
    market = ALL.draw(KEY)
    for name in ("capacity", "efficiency"):
        assert all(there == back for there, back in both_ways(market, name))
    directed = dataclasses.replace(ALL, directed=True).draw(KEY)
    ways = both_ways(directed, "capacity")
    assert [max(pair) for pair in ways] == [there for there, _ in both_ways(market, "capacity")]
    assert all(min(pair) == 0 for pair in ways)
    assert {there > 0 for there, _ in ways} == {True, False}


def test_of_two_sides_the_left_gives_to_the_right():
    family = graphs.Bipartite(4, 5, mean_degree=3)
    market = graphs.RandomMarket(family, directed=True, isolated=graphs.Redraw()).draw(KEY)
    giver, _ = market.arcs()
    assert numbers(market, "capacity") == np.where(giver < 4, np.inf, 0).tolist()


def test_a_mix_gives_a_share_of_all_points_to_all_equally_who_are_there():
    market = dataclasses.replace(PLAIN, priority=graphs.Mix(0.25)).draw(KEY, 4)
    w = np.asarray(market.contribution)
    for number in range(4):
        own = market.market_of == number
        assert np.asarray(market.priority)[own] == pytest.approx(0.75 * w[own] + 0.25 * w[own].mean())
    assert len(market.origin.dropped_isolated) > 0


def test_coverage_and_heads_as_priorities():
    covered = dataclasses.replace(ALL, priority=graphs.Coverage()).draw(KEY)
    assert np.array_equal(covered.priority, covered.demand)
    assert set(numbers(dataclasses.replace(PLAIN, priority=graphs.Unit()).draw(KEY), "priority")) == {1.0}


@pytest.mark.parametrize(
    ("field", "text", "meant"),
    [
        ("priority", "mix:share=0.5", graphs.Mix(0.5)),
        ("priority", "heads", graphs.Unit()),
        ("priority", "lognormal:1", graphs.LogNormal(1)),
        ("demand", "2.5", graphs.Constant(2.5)),
        ("capacity", "none", None),
        ("efficiency", "uniform:low=0.8,high=1", graphs.Uniform(0.8, 1)),
        ("directed", "true", True),
        ("directed", "none", False),
        ("own_use", None, None),
    ],
)
def test_words_mean_these_fields(field, text, meant):
    assert term(Builder(), field, text) == meant


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"demand": graphs.Mix(0.5)}, r"demand is Mix\(share=0.5\); give a Distribution"),
        ({"capacity": 2.0}, "capacity is 2.0; give a Distribution"),
        ({"directed": "yes"}, "directed is 'yes'; give True or False"),
        ({"priority": graphs.Coverage()}, r"priority is Coverage\(\).* no demand; give one"),
    ],
)
def test_what_no_market_could_be_drawn_from_is_refused_by_name(fields, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(PLAIN, **fields)


def test_a_demand_below_own_use_is_refused_when_it_is_drawn():
    with pytest.raises(ValueError, match=r"demand of agent \d+ is .* less than its own_use 3"):
        dataclasses.replace(PLAIN, demand=graphs.Uniform(1, 2), own_use=graphs.Constant(3.0)).draw(KEY)


def test_the_command_line_draws_them_by_the_same_words(tmp_path):
    out = tmp_path / "found.json"
    words = ["--priority", "heads", "--demand", "1.5", "--directed", "--isolated", "redraw"]
    printed = cmapjax("solve", "bipartite:left=3,right=4,degree=3", *words, "--json", out)
    assert printed.returncode == 0, printed.stderr
    found = json.loads(out.read_text())
    drawn = graphs.RandomMarket(
        graphs.Bipartite(3, 4, mean_degree=3),
        isolated=graphs.Redraw(),
        priority=graphs.Unit(),
        demand=graphs.Constant(1.5),
        directed=True,
    )
    from cmapjax.market._random import key_of

    assert found["utility"] == cj.solve(drawn.draw(key_of(0, 0))).utility.tolist()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["karate", "--own-use", "2"], "--own-use draws for random families; for a network give a column"),
        (["karate", "--directed"], "--directed is for network files"),
        (["er:n=5,degree=2", "--demand", "mix:0.5"], "demand: distribution 'mix' is not known"),
        (["er:n=5,degree=2", "--capacity", "-1"], "capacity: number is -1; give a number at least"),
    ],
)
def test_the_command_line_refuses_what_does_not_go_together(words, message):
    printed = cmapjax("solve", *words)
    assert printed.returncode == 2
    assert message in printed.stderr
