"""Studies of markets with priorities, demands, own use, capacities, efficiencies and directions."""

import json

import numpy as np
import pytest

import cmapjax as cj
from cmapjax import studies
from cmapjax.studies import Study, parse_study

TEXT = """
name = "small"
markets = 2
rounds = 3

[cells]
network = "er:n=8,degree=4"
isolated = "redraw"
priority = "mix:share={tau}"
own_use = 0.5
directed = true

[grid]
tau = [0.0, 0.5]
demand = ["none", "uniform:low=1,high=2"]
capacity = [0.8]
"""
LINKS = "source,target,capacity\nann,bob,2\nann,cleo,\nbob,cleo,1\n"
AGENTS = "agent,endowment,demand\nann,6,\nbob,1,2\ncleo,0,3\n"


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "links.csv").write_text(LINKS)
    (tmp_path / "agents.csv").write_text(AGENTS)
    return tmp_path


def of_file(folder, **cells):
    network = "file:links.csv,agents=agents.csv,directed=true"
    return Study(name="file", folder=str(folder), cells={"network": network} | cells)


def drawn(study, ground=0, count=1):
    return studies.draw(study, study.grounds()[ground], 0, count)


def capacities(market):
    return market.arc_values(market.capacity).tolist()


# -- description -------------------------------------------------------------------------------


def test_fields_are_words_of_a_cell_and_axes_like_all_others():
    study = parse_study(TEXT)
    assert study.terms == ["priority", "demand", "own_use", "capacity", "directed"]
    assert len(study.grounds()) == 4
    words = study.cells()[3].words
    assert (words.priority, words.demand) == ("mix:share=0.5", "uniform:low=1,high=2")
    assert (words.own_use, words.capacity, words.efficiency, words.directed) == ("0.5", "0.8", "none", "true")
    assert Study(**study.document()).digest() == study.digest()


def test_a_study_without_the_fields_is_described_as_before():
    study = Study(name="plain", cells={"network": "ring:n=5"})
    assert study.terms == []
    assert not set(study.document()["cells"]) & {"priority", "demand", "directed"}
    assert "demand" not in studies.summary_schema(study).names
    assert study.digest() == "7e26e7879fe80365e94828605b214910acf5063102a4388f6c90dc47c19658f6"


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ({"demand": "mix:0.5"}, "cells.demand is mix:0.5: demand: distribution 'mix' is not known"),
        ({"priority": "fair"}, "cells.priority is fair: priority: priority rule 'fair' is not known"),
        ({"capacity": -1}, "cells.capacity is -1: capacity: number is -1; give a number at least"),
        ({"efficiency": "own"}, "cells.efficiency is own: own is what a file says of its agents; for a fam"),
        ({"directed": "both"}, "cells.directed is both: directed is 'both'; write true or false"),
        ({"network": "karate", "directed": True}, r'cells.directed is true: .* network = "file:…,directed=t'),
    ],
)
def test_words_are_checked_by_name_before_anything_is_drawn(cells, message):
    message = message.replace(" is ", " is '?", 1).replace(": ", "'?: ", 1)
    with pytest.raises(ValueError, match=message):
        Study(name="wrong", cells={"network": "ring:n=5"} | cells)


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ({"priority": "coverage"}, r"cell 0: priority is Coverage\(\), the demands, and there is no demand"),
        (
            {"demand": "uniform:1,2", "own_use": 2},
            "cell 0: demand of agent 0 is .*, less than its own_use",
        ),
        (
            {"demand": 2, "strategy": "pr"},
            "cell 0: strategy: ProportionalResp.*BidResponse.* words are 'pr',",
        ),
    ],
)
def test_what_does_not_go_together_is_refused_by_cell_before_anything_is_played(cells, message):
    with pytest.raises(ValueError, match=message):
        Study(name="wrong", cells={"network": "ring:n=5"} | cells).check()


def test_an_interval_needs_a_metric_that_is_bounded_in_such_markets():
    def study(metric):
        stop = {"interval": {"metric": metric, "width": 0.5}}
        cells = {"network": "ring:n=5", "demand": "uniform:1,2"}
        return Study(name="a", markets=9, cells=cells, stop=stop)

    with pytest.raises(ValueError, match=r"cell 0: stop.interval.metric is min_ratio, which may exceed 1"):
        study("min_ratio").check()
    study("share_of_equilibrium").check()


# -- markets -----------------------------------------------------------------------------------


def test_a_field_more_leaves_the_markets_numbers_as_they_are():
    plain = Study(name="a", markets=3, cells={"network": "er:n=8,degree=4", "endowment": "lognormal:1"})
    cells = {"network": "er:n=8,degree=4", "endowment": "lognormal:1", "demand": "uniform:1,2"}
    more = Study(name="a", markets=3, cells=cells | {"capacity": 2})
    a, b = drawn(plain, count=3), drawn(more, count=3)
    assert np.array_equal(a.endowment, b.endowment)
    assert np.array_equal(a.arcs(), b.arcs())
    assert b.terms == ("demand", "capacity")


def test_a_file_keeps_what_it_says_unless_a_study_says_otherwise(folder):
    own = cj.graphs.read_market(folder / "links.csv", agents=folder / "agents.csv", directed=True)
    assert drawn(of_file(folder)).fingerprint() == own.fingerprint()
    copies = drawn(of_file(folder, demand="uniform:low=1,high=2"), count=2)
    assert capacities(copies) == 2 * capacities(own)
    assert len(set(copies.demand.tolist())) == 6
    assert drawn(of_file(folder, demand="none")).terms == ("capacity",)


def test_a_capacity_that_is_drawn_or_none_leaves_closed_ways_closed(folder):
    own = np.array(capacities(drawn(of_file(folder))))
    assert capacities(drawn(of_file(folder, capacity=4))) == np.where(own > 0, 4, 0).tolist()
    assert capacities(drawn(of_file(folder, capacity="none"))) == np.where(own > 0, np.inf, 0).tolist()


@pytest.mark.parametrize(
    ("cells", "markets"),
    [
        ({"network": "ring:n=5", "demand": 2}, 1),
        ({"network": "ring:n=5", "demand": "uniform:1,2"}, 9),
        ({"network": "ring:n=5", "priority": "mix:0.5"}, 1),
        ({"network": "ring:n=5", "directed": True}, 9),
        ({"network": "karate", "efficiency": "uniform:low=0.8,high=1"}, 9),
    ],
)
def test_many_markets_are_drawn_where_a_field_is_random(cells, markets):
    assert Study(name="a", markets=9, cells=cells).grounds()[0].markets == markets


# -- play --------------------------------------------------------------------------------------


def test_a_study_plays_such_markets_and_its_rows_say_what_they_are():
    study = parse_study(TEXT)
    study.check()
    last = studies.chunks(study)[-1]
    rows = studies.play_chunk(study, last).summary.to_pylist()
    schema = studies.summary_schema(study)
    assert [name for name in schema.names if name in studies.CellWords._fields] == [
        "network", "endowment", "value", "process", "strategy", "schedule", "damping",
        "priority", "demand", "own_use", "capacity", "directed",
    ]  # fmt: skip
    ground = study.grounds()[3]
    for row in rows:
        alone = studies.draw(study, ground, row["market"], 1)
        assert (row["own_use"], row["demand"], row["tau"]) == ("0.5", "uniform:low=1,high=2", 0.5)
        assert row["fingerprint"] == alone.fingerprint()
        solved = cj.solve(alone)
        assert row["equilibrium_log_welfare"] == pytest.approx(solved.log_nash_welfare[0], abs=1e-12)
        assert row["log_nash_welfare"] <= row["equilibrium_log_welfare"] + 1e-12
        assert row["certified_gap"] >= row["equilibrium_log_welfare"] - row["log_nash_welfare"] - 1e-12
        assert 0 < row["share_of_equilibrium"] <= 1 + 1e-12
    assert len({row["fingerprint"] for row in rows}) == 2
    json.dumps(rows)
