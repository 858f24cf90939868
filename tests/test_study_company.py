"""Small chunks of several grounds played side by side: who goes with whom, and that no value changes."""

import pytest
import tiny_study

from cmapjax import _runner, studies
from cmapjax._runner._here import Here, one_by_one
from cmapjax._runner._outcome import Trouble
from cmapjax.studies import Chunk, Study, companies
from cmapjax.studies._chunks import VALUES

GRID = {
    "name": "company",
    "seed": 3,
    "markets": 3,
    "rounds": 8,
    "record": {"metrics": ["log_welfare_loss", "gini"], "every": 2, "curves": "full"},
    "cells": {"isolated": "redraw"},
    "grid": {
        "network": ["er:n=9,degree=3", "ba:n=7,m=2", "complete:n=5"],
        "endowment": ["unit", "lognormal:sigma=1"],
    },
    "zip": [
        {
            "strategy": ["cmap", "cmap", "pr", "cmap", "dynamic-sharing"],
            "schedule": ["sequential", "coloured", "simultaneous", "participation:0.5", "simultaneous"],
        }
    ],
}


def plain(**more) -> Study:
    """Grounds that all go together, without compiling anything."""
    return Study(**{**GRID, "zip": [], **more})


@pytest.fixture(scope="module")
def alone():
    """The study, and what its chunks come to when each is played by itself."""
    study = Study(**GRID)
    return study, {chunk: studies.play_chunk(study, chunk) for chunk in studies.chunks(study)}


def assert_same(results, expected):
    """Tables equal to the last bit."""
    for result, twin in zip(results, expected, strict=True):
        assert result.summary.equals(twin.summary, check_metadata=True)
        assert (result.curves is None) == (twin.curves is None)
        assert result.curves is None or result.curves.equals(twin.curves, check_metadata=True)


# -- the same bits ---------------------------------------------------------------------------------


@pytest.mark.parametrize("threads", [pytest.param(1, marks=pytest.mark.slow), 2])
def test_chunks_in_company_come_to_what_they_come_to_alone_bit_for_bit(alone, threads):
    study, expected = alone
    (company,) = companies(study, list(expected))
    results = studies.play_company(study, company, threads)
    assert_same(results, [expected[chunk] for chunk in company])
    for stage in ("drawing", "solving", "simulating", "tables", "total"):
        assert all(result.timings[stage] > 0 for result in results), stage


@pytest.mark.slow  # that chunks are the same in company and alone is shown above
def test_a_market_that_ends_in_company_of_one_that_goes_on_ends_as_it_does_alone():
    given = GRID | {"rounds": 64, "zip": [], "stop": {"when": ["converged"]}}
    for curves in ("full", "quantiles"):
        study = Study(**given | {"record": GRID["record"] | {"curves": curves}})
        cut = studies.chunks(study)
        assert {chunk.count for chunk in cut} == {1, 3}
        results = studies.play_company(study, cut)
        assert_same(results, [studies.play_chunk(study, chunk) for chunk in cut])
        ends = {tuple(result.summary["rounds"].to_pylist()) for result in results}
        assert len(ends) > 1


def test_a_run_here_stores_what_playing_chunk_by_chunk_stores(alone, tmp_path):
    study, expected = alone
    store = _runner.begin(study, tmp_path / "here")
    summary = _runner.run(study, store, threads=2)
    assert (summary.done, summary.failed, summary.missing) == (len(expected), {}, 0)
    other = _runner.begin(study, tmp_path / "other")
    with other.lock():
        for chunk, result in expected.items():
            other.write(chunk.name, result)
    assert store.values_digest() == other.values_digest()
    assert set(store.finished()) == {chunk.name for chunk in expected}


# -- who goes with whom ----------------------------------------------------------------------------


def test_chunks_that_are_played_alike_go_together_one_of_each_ground():
    study = plain()
    cut = studies.chunks(study, 2)
    found = companies(study, cut)
    assert sorted(chunk for company in found for chunk in company) == sorted(cut)
    for company in found:
        assert len({chunk.ground for chunk in company}) == len(company)
    assert [len(company) for company in found] == [6, 5]  # complete:n=5, unit is one market


def test_grounds_that_are_played_differently_do_not_go_together():
    where = "not (network == 'ba:n=7,m=2' and strategy == 'pr')"
    study = plain(zip=[{"strategy": ["cmap", "pr"]}], where=[where])
    found = companies(study, studies.chunks(study))
    networks = [{study.grounds()[chunk.ground].network for chunk in company} for company in found]
    assert networks == [{"er:n=9,degree=3", "complete:n=5"}, {"ba:n=7,m=2"}]
    mixed = [company[0] for company in found]
    with pytest.raises(ValueError, match="played differently"):
        studies.play_company(study, mixed)


@pytest.mark.parametrize(
    "more",
    [
        {"cells": {"isolated": "redraw", "process": "exponential"}},
        {"cells": {"isolated": "redraw", "schedule": "random-order"}},
    ],
)
def test_grounds_that_draw_in_every_round_have_no_company(more):
    study = plain(**more)
    assert all(len(company) == 1 for company in companies(study, studies.chunks(study)))


def test_a_company_is_no_larger_than_a_chunk_may_be():
    grid = {
        "network": ["er:n={n},degree=14"],
        "n": [100, 200, 300, 20_000],
        "endowment": ["unit", "exponential"],
    }
    study = plain(grid=grid, markets=120)
    cut = studies.chunks(study)
    found = companies(study, cut)
    assert sorted(chunk for company in found for chunk in company) == sorted(cut)
    agents = {ground.number: int(ground.network[5:].split(",")[0]) for ground in study.grounds()}
    for company in found:
        markets = sum(chunk.count for chunk in company)
        assert len(company) == 1 or markets * max(agents[chunk.ground] for chunk in company) <= 75_000
    assert max(map(len, found)) > 1
    # What a market leaves behind counts too: here 30 markets' values do not fit beside another 30 markets'.
    long = plain(markets=60, rounds=100_000, record=GRID["record"] | {"every": 1})
    values = 100_001 * len(long.metrics)
    found = companies(long, studies.chunks(long))
    assert max(sum(chunk.count for chunk in company) * values for company in found) <= VALUES
    assert max(chunk.count for company in found for chunk in company) * values > VALUES / 2


def test_a_large_market_by_itself_is_played_in_its_own_shape():
    study = plain(grid={"network": ["torus:rows=40,columns=40", "torus:rows=3,columns=40", "ring:n=9"]})
    found = companies(study, studies.chunks(study))
    assert [[chunk.ground for chunk in company] for company in found] == [[0], [1, 2]]


# -- in this process -------------------------------------------------------------------------------


def outcomes(play, *companies):
    """What becomes of them at one desk, and what it says of it."""
    log = []
    here = Here(None, play, 1, log.append)
    for company in companies:
        here.submit(*company)
    found = []
    while len(found) < sum(map(len, companies)):
        found += here.wait(1.0)
    assert here.capacity() == 2
    assert here.close(patiently=True)
    return found, log


def test_an_error_in_company_costs_the_chunk_that_meets_it_alone():
    chunks = [Chunk(ground, 0, 2) for ground in range(5)]

    def play(study, company, threads):
        if chunks[3] in company:
            raise ValueError("no such thing")
        if chunks[1] in company and len(company) > 1:
            raise MemoryError
        return [chunk.name for chunk in company]

    found, log = outcomes(play, chunks)
    assert [outcome.chunk for outcome in found] == chunks
    assert [outcome.trouble for outcome in found] == [None, None, None, Trouble.HOPELESS, None]
    assert [o.result for o in found if o.trouble is None] == [c.name for c in chunks if c != chunks[3]]
    assert log[0].startswith("5 chunks side by side, g00000-m0000000-n000002 to g00004")
    assert any("not enough memory" in line for line in log)


def test_a_desk_takes_one_company_more_than_it_has_threads_and_gives_back_what_it_has_not_begun():
    chunks = [Chunk(ground, 0, 2) for ground in range(6)]
    here = Here(None, one_by_one(tiny_study.stuck), 1)
    assert here.capacity() == 2
    here.submit(*chunks[:3])
    assert here.capacity() == 4
    here.submit(*chunks[3:])
    assert here.capacity() == 6
    assert here.wait(0.1) == []
    assert here.end_soon() == chunks[3:]
    assert here.capacity() == 4
    assert not here.close(patiently=False)
