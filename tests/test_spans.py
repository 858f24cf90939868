"""Runs played in spans, records compiled apart: the same bits, and fewer programs."""

import jax
import numpy as np
import pytest

import cmapjax as cj
from cmapjax import _simulate, _spans
from cmapjax._run import observe, run_rounds

pytestmark = pytest.mark.optimised  # it is about bits and about what is compiled

# Every strategy that is played in a form of its own, every kind of schedule, and what varies by the round.
PLAYS = {
    "cmap": (cj.CMAP(), {}),
    "two hops, by colours": (cj.CMAP(2), {"schedule": cj.Coloured()}),
    "damped, in turn": (cj.Damped(cj.CMAP(), 0.3), {"schedule": cj.Sequential()}),
    "proportional response, float32": (cj.ProportionalResponse(), {"precision": "float32"}),
    "half at a time, random endowments": (
        cj.CMAP(),
        {"schedule": cj.RandomParticipation(0.5), "endowments": cj.endowments.Exponential()},
    ),
    "by averages": (cj.DynamicSharing(), {"endowments": cj.endowments.Exponential()}),
    "gradient": (cj.GradientCMAP(method=cj.OptaxGradient(4)), {"precision": "float32"}),
}
ROUNDS, EVERY = 20, 8  # the last span is shorter than the others
METRICS = cj.metrics.standard()
RECORD = {name: METRICS[name] for name in ("log_nash_welfare", "certified_gap")}


@pytest.fixture
def is_in_spans(monkeypatch):
    """Has runs played in spans, or in one loop, and in no other way."""
    ways = {True: (_spans, "run_in_spans"), False: (_simulate, "run_rounds")}
    plays = {in_spans: getattr(*way) for in_spans, way in ways.items()}

    def refuse(*arguments, **options):
        raise AssertionError("played the other way")

    def choose(in_spans: bool) -> None:
        monkeypatch.setattr(_spans, "pays", lambda market, record, every: in_spans)
        monkeypatch.setattr(*ways[in_spans], plays[in_spans])
        monkeypatch.setattr(*ways[not in_spans], refuse)

    return choose


def _all_of(run):
    return jax.tree.map(np.asarray, run)


@pytest.mark.parametrize("name", PLAYS)
def test_a_run_in_spans_is_the_run_in_one_loop_bit_for_bit(ensemble, is_in_spans, name):
    strategy, options = PLAYS[name]
    runs = []
    for in_spans in (True, False):
        is_in_spans(in_spans)
        options = {"rounds": ROUNDS, "every": EVERY, "record": RECORD, "key": jax.random.key(3)} | options
        runs.append(cj.simulate(ensemble, strategy, **options))
    (in_spans, treedef), (in_one, other) = (jax.tree.flatten(_all_of(run)) for run in runs)
    assert treedef == other
    for a, b in zip(in_spans, in_one, strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)


def test_a_run_in_spans_continues_from_a_state_and_from_a_flow(small_market, is_in_spans):
    def play(in_spans):
        is_in_spans(in_spans)
        flow = cj.simulate(small_market, cj.CMAP(), rounds=3, record={}).final.flow
        options = {"rounds": 16, "every": 8, "record": RECORD}
        first = cj.simulate(small_market, cj.ProportionalResponse(), start=flow, **options)
        return cj.simulate(small_market, cj.ProportionalResponse(), start=first.final, **options)

    jax.tree.map(np.testing.assert_array_equal, play(True), play(False))


def test_records_and_rounds_are_compiled_apart(small_market, is_in_spans):
    def num_programs():
        return [f._cached._cache_size() for f in (_spans._play_span, observe, run_rounds)]

    is_in_spans(True)
    cj.simulate(small_market, cj.CMAP(), rounds=16, every=8, record=RECORD)
    spans, records, loops = num_programs()
    cj.simulate(small_market, cj.CMAP(), rounds=48, every=8, record={"gap": METRICS["certified_gap"]})
    assert num_programs() == [spans, records + 1, loops]
    cj.simulate(small_market, cj.Damped(cj.CMAP(), 0.5), rounds=16, every=8, record=RECORD)
    assert num_programs() == [spans + 1, records + 1, loops]


def test_spans_are_for_much_work_between_records(small_market):
    slots = small_market.links.num_slots
    assert _spans.pays(small_market, RECORD, -(-_spans.LEAST_WORK // slots))
    assert not _spans.pays(small_market, RECORD, _spans.LEAST_WORK // slots - 1)
    assert not _spans.pays(small_market, {}, _spans.LEAST_WORK)

    before = _spans._play_span._cached._cache_size()
    cj.simulate(small_market, cj.EqualSplit(), rounds=100_000, every=100_000, record=RECORD)
    assert _spans._play_span._cached._cache_size() == before + 1
