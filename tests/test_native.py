"""Rounds by native code on a CPU: the same as XLA's up to rounding, and XLA's wherever it cannot be had."""

import os
import stat
import subprocess
import sys

import jax
import networkx as nx
import numpy as np
import processes
import pytest
import reference
import test_contract

import cmapjax as cj
from cmapjax.engine import _native

needs_compiler = pytest.mark.skipif(_native.unavailable() is not None, reason=f"{_native.unavailable()}")
STRATEGIES = {
    "cmap": cj.CMAP(),
    "damped cmap": cj.Damped(cj.CMAP(2), 0.3),
    "cmap damped by the largest degree": cj.Damped(cj.CMAP(), cj.MaxDegreeDamping()),
    "locally damped cmap": cj.Damped(cj.CMAP(), cj.LocalDamping()),
    "proportional response": cj.ProportionalResponse(),
    "damped proportional response": cj.Damped(cj.ProportionalResponse(), 0.5),
    "equal split": cj.EqualSplit(),
    "damped equal split": cj.Damped(cj.EqualSplit(), cj.LocalDamping()),
}


ONE_ROUND = ("damped cmap", "locally damped cmap", "proportional response")


def marks(name, always):
    """Those not always tried are slow."""
    return [] if name in always else [pytest.mark.slow]


def some(always):
    """The strategies as parameters."""
    return [pytest.param(name, marks=marks(name, always)) for name in STRATEGIES]


def rough_market(rng) -> cj.Market:
    """A hub of 1,000, stars, leaves, pairs, a clique; contributions over 12 decades; a block without rows."""
    parts = [nx.star_graph(1000), nx.star_graph(40), nx.path_graph(2), nx.path_graph(3), nx.complete_graph(7)]
    parts += [nx.gnp_random_graph(200, 0.05, seed=2), nx.house_x_graph()]
    graph = nx.disjoint_union_all(parts)
    graph.remove_nodes_from(list(nx.isolates(graph)))
    contribution = 10 ** rng.uniform(-6, 6, len(graph))
    market = cj.graphs.from_networkx(graph, endowment=contribution)
    degree = np.diff(market.neighbour_rows()[0])
    widths = np.array([1, 8, 9, 50, 1000])
    block_of = np.searchsorted(widths, degree)
    return reference._stored(market, widths, block_of + (block_of == 2))  # nobody in the block of width 9


RNG = np.random.default_rng(3)
ROUGH = rough_market(RNG)


def rough_flow(rng, market) -> np.ndarray:
    """Rows that spend the contributions on some neighbours, so that some agents receive nothing."""
    giver, receiver = market.arcs()
    share = rng.exponential(size=len(giver)) * (rng.uniform(size=len(giver)) < 0.5)
    unloved = rng.uniform(size=market.num_agents) < 0.1
    share[unloved[receiver]] = 0
    first = np.searchsorted(giver, np.arange(market.num_agents))
    share[first] += share[first] + np.add.reduceat(share, first) == 0  # who would give to nobody
    spent = np.add.reduceat(share, first)
    return market.flow_from_arcs(share * (np.asarray(market.contribution) / spent)[giver])


def both(market, strategy, **options):
    """The run by native code, and by XLA's."""
    runs = [cj.simulate(market, strategy, native=native, **options) for native in ("on", "off")]
    assert [run.rounds_by for run in runs] == ["native", "xla"]
    return runs


def assert_close(market, runs, start, tolerance, budget=None):
    """Flows agree in parts of what they are differences of: what receivers had, and what givers have."""
    giver, receiver = market.arcs()
    had = np.maximum(market.received(start), market.received(np.asarray(runs[1].final.flow, float)))
    budget = np.asarray(market.contribution) if budget is None else budget
    scale = had[receiver] + budget[giver]
    sent, received = (
        [market.arc_values(np.asarray(getattr(run.final, name), float)) for run in runs]
        for name in ("flow", "received")
    )
    assert (np.abs(sent[0] - sent[1]) <= tolerance * scale).all()
    back = market.arc_values(market.mirror(market.flow_from_arcs(scale)))
    assert (np.abs(received[0] - received[1]) <= tolerance * back).all()
    most = 4 * had + np.bincount(receiver, budget[giver])  # a sum of many such flows
    for name in ("history", "total_utility"):
        native, xla = (np.asarray(getattr(run.final, name), float) for run in runs)
        assert (np.abs(native - xla) <= tolerance * most).all()
    for run in runs:
        padding = np.asarray(run.final.flow).sum() - market.arc_values(run.final.flow).sum()
        assert abs(padding) <= 1e-6 * np.asarray(run.final.flow).sum()
        assert (run.final.flow >= 0).all()
    np.testing.assert_array_equal(runs[0].agent_updates, runs[1].agent_updates)


@needs_compiler
@pytest.mark.parametrize(
    ("name", "precision", "tolerance"),
    [
        *(pytest.param(name, "float64", 1e-14, marks=marks(name, ONE_ROUND)) for name in STRATEGIES),
        *(pytest.param(name, "float32", 2e-6, marks=marks(name, ["damped cmap"])) for name in STRATEGIES),
    ],
)
def test_one_round_is_the_same(name, precision, tolerance):
    """On hubs, leaves, stars and cliques, from rows of which some agents receive nothing."""
    start = rough_flow(np.random.default_rng(1), ROUGH)
    assert (ROUGH.received(start) == 0).any()
    options = {"rounds": 1, "record": {}, "start": start, "precision": precision}
    runs = both(ROUGH, STRATEGIES[name], **options)
    assert_close(ROUGH, runs, start, tolerance)
    assert (runs[0].spending_error <= np.maximum(2 * runs[1].spending_error, tolerance)).all()


@needs_compiler
@pytest.mark.parametrize("name", some(("damped cmap", "damped proportional response")))
def test_one_round_with_other_surplus_is_the_same(name):
    """Who has something after having had nothing, and the other way round, over 12 decades."""
    start = rough_flow(np.random.default_rng(1), ROUGH)
    process = cj.endowments.OnOff(0.5)
    options = {"endowments": process, "record": {}, "key": jax.random.key(2)}
    runs = both(ROUGH, STRATEGIES[name], rounds=1, start=start, **options)
    assert_close(ROUGH, runs, start, 1e-14, np.asarray(ROUGH.contribution) / 0.5)
    again = [
        cj.simulate(ROUGH, STRATEGIES[name], rounds=1, start=runs[1].final, native=n, **options)
        for n in ("on", "off")
    ]
    before = np.asarray(runs[1].final.flow)
    assert_close(ROUGH, again, before, 1e-14, np.asarray(ROUGH.contribution) / 0.5)


SMALL = cj.pack([test_contract.PACKED, test_contract.small_market(4, nx.star_graph(30))])


@needs_compiler
@pytest.mark.parametrize("name", some(("cmap", "damped proportional response")))
def test_runs_are_the_same_and_can_be_continued(name):
    runs = both(SMALL, STRATEGIES[name], rounds=12, every=4)
    for key, values in runs[1].records.items():
        np.testing.assert_allclose(runs[0].records[key], values, rtol=1e-9, atol=1e-12, err_msg=key)
    whole = runs[0].final
    first = cj.simulate(SMALL, STRATEGIES[name], rounds=5, native="on", record={}).final
    rest = cj.simulate(SMALL, STRATEGIES[name], rounds=7, native="on", record={}, start=first).final
    np.testing.assert_allclose(rest.flow, whole.flow, rtol=1e-12, atol=1e-13)


@needs_compiler
def test_every_agent_has_a_damping_of_its_own():
    steps = np.random.default_rng(0).uniform(0.1, 1, SMALL.num_agents)
    runs = both(SMALL, cj.PerAgent(cj.Damped(cj.CMAP(), steps)), rounds=3, record={})
    assert_close(SMALL, runs, SMALL.equal_flow(), 1e-13)


@needs_compiler
def test_long_runs_in_scaling_form_leave_the_range_and_go_on():
    """Scalings of several bottleneck groups grow without end; a native round absorbs them."""
    runs = both(SMALL, cj.ProportionalResponse(), rounds=700, record={}, precision="float32")
    np.testing.assert_allclose(runs[0].final.utility, runs[1].final.utility, rtol=2e-5)


NAMES = ["cmap", "cmap of everybody", "damped cmap", "locally damped cmap", "proportional response"]
NAMES += ["damped proportional response", "equal split"]


@needs_compiler
@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[] if n == "damped cmap" else pytest.mark.slow) for n in NAMES]
)
def test_the_laws_of_every_strategy_hold(name, monkeypatch):
    monkeypatch.setenv(_native.VARIABLE, "on")
    pair = name, "simultaneous"
    assert test_contract.play(test_contract.ALONE, pair).rounds_by == "native"
    test_contract.test_rows_spend_the_contribution_and_packing_changes_nothing(pair)
    test_contract.test_a_run_in_two_pieces_is_the_same_run_bit_for_bit_where_it_is_played_as_written(pair)
    test_contract.test_relabelling_agents_relabels_the_answer(name)
    test_contract.test_the_unit_of_value_scales_flows_alone(name)


# -- where it does not apply ------------------------------------------------------------------------------


class Generous(cj.CMAP):
    """May answer otherwise."""


@needs_compiler
@pytest.mark.parametrize(
    ("strategy", "options", "why"),
    [
        (Generous(), {}, "this strategy"),
        (cj.CMAP(0), {}, "this strategy"),
        (cj.Damped(cj.Damped(cj.CMAP(), 0.5), 0.5), {}, "this strategy"),
        (cj.DynamicSharing(), {}, "this strategy"),
        (cj.EntropicCMAP(), {}, "this strategy"),
        (cj.CMAP(), {"schedule": cj.Sequential()}, "this schedule"),
        (cj.CMAP(), {"schedule": cj.RandomParticipation(0.5), "key": jax.random.key(0)}, "this schedule"),
    ],
)
def test_what_has_no_native_code_is_played_by_xla(strategy, options, why, monkeypatch):
    monkeypatch.setenv(_native.VARIABLE, "on")
    run = cj.simulate(test_contract.ALONE, strategy, rounds=1, record={}, **options)
    assert run.rounds_by == "xla"
    with pytest.raises(ValueError, match=f"native: not for .*{why}"):
        cj.simulate(test_contract.ALONE, strategy, rounds=1, record={}, native="on", **options)


@needs_compiler
def test_derivatives_are_xlas(monkeypatch):
    monkeypatch.setenv(_native.VARIABLE, "on")
    played = []

    def poorest(theta, native="auto"):
        strategy = cj.Damped(cj.CMAP(), theta)
        run = cj.simulate(test_contract.ALONE, strategy, rounds=2, record={}, native=native)
        played.append(run.rounds_by)
        return run.final.utility.min()

    with jax.enable_x64(True):
        slope = jax.grad(poorest)(0.3)
        with pytest.raises(ValueError, match="native: not inside a transformation"):
            jax.grad(lambda theta: poorest(theta, "on"))(0.3)
    assert np.isfinite(slope)
    assert slope != 0
    assert played == ["xla"]


def test_a_choice_that_there_is_not_is_named():
    with pytest.raises(ValueError, match="native is 'yes'; give one of auto, off, on"):
        cj.simulate(test_contract.ALONE, cj.CMAP(), native="yes")


# -- the compiler and what it makes ---------------------------------------------------------------------


@pytest.fixture
def anew(monkeypatch, tmp_path):
    """As if nothing had been compiled or kept here."""
    monkeypatch.setattr(_native._Process, "library", None)
    monkeypatch.setattr(_native._Process, "fault", None)
    monkeypatch.setattr(_native, "_library_file", lambda: tmp_path / "rounds.so")
    return tmp_path


def compiler(folder, text: str) -> str:
    """A program by this text, in the place of a compiler."""
    file = folder / "compiler"
    file.write_text(f"#!/bin/sh\n{text}\n")
    file.chmod(file.stat().st_mode | stat.S_IXUSR)
    return str(file)


BROKEN = {
    "fails": "echo 'rounds.cc:1: error: no such thing' >&2; exit 1",
    "writes nothing": "exit 0",
    "writes something else": 'while [ "$1" != "-o" ]; do shift; done; echo nonsense > "$2"',
}


@pytest.mark.parametrize("how", [*BROKEN, "is not there", "none is found"])
def test_without_a_compiler_that_works_xla_plays(how, anew, monkeypatch):
    monkeypatch.setenv(_native.VARIABLE, "on")
    if how == "none is found":
        monkeypatch.delenv("CXX", raising=False)
        monkeypatch.setattr("shutil.which", lambda name: None)
    else:
        monkeypatch.setenv("CXX", compiler(anew, BROKEN[how]) if how in BROKEN else "no-such-compiler")
    run = cj.simulate(test_contract.ALONE, cj.CMAP(), rounds=1, record={})
    assert run.rounds_by == "xla"
    with pytest.raises(ValueError, match=r"native: .*compile.*leave it at 'auto'"):
        cj.simulate(test_contract.ALONE, cj.CMAP(), rounds=1, record={}, native="on")
    assert _native.describe().startswith("xla (")


def test_a_small_first_answer_does_not_wait_for_the_compiler(anew, monkeypatch):
    monkeypatch.setenv("CXX", compiler(anew, f"touch {anew}/asked; exit 1"))
    market = ROUGH
    enough = -(-_native.LEAST_WORK // market.links.num_slots)
    assert not _native.choose("auto", market, cj.CMAP(), cj.Simultaneous().plan(market), enough - 1, True)
    assert not (anew / "asked").exists()
    assert "to be compiled by" in _native.describe()
    _native.choose("auto", market, cj.CMAP(), cj.Simultaneous().plan(market), enough, True)
    assert (anew / "asked").exists()


@pytest.mark.parametrize("where", ["argument", "variable"])
def test_it_can_be_switched_off(where, monkeypatch):
    monkeypatch.setenv(_native.VARIABLE, "off" if where == "variable" else "on")
    native = "off" if where == "argument" else "auto"
    run = cj.simulate(test_contract.ALONE, cj.CMAP(), rounds=1, record={}, native=native)
    assert run.rounds_by == "xla"
    if where == "variable":
        assert _native.describe() == "xla (CMAPJAX_NATIVE is off)"
        with pytest.raises(ValueError, match="native: the variable CMAPJAX_NATIVE is off"):
            cj.simulate(test_contract.ALONE, cj.CMAP(), rounds=1, record={}, native="on")


PLAY = """
import hashlib, os, sys
os.sched_setaffinity(0, range(int(sys.argv[1])))
import cmapjax as cj, numpy as np
market = cj.Market.from_links(np.random.default_rng(0).integers(0, 4000, (20_000, 2)), drop_self_loops=True,
                              drop_isolated=True, endowment=1.0)
run = cj.simulate(market, cj.Damped(cj.CMAP(), 0.3), rounds=3, record={}, native="on")
print(run.rounds_by, hashlib.sha256(np.asarray(run.final.flow).tobytes()).hexdigest())
"""


def started(cores: int, **more: str) -> subprocess.Popen:
    command = [sys.executable, "-c", PLAY, str(cores)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, env=processes.environment(**more))


def said(process: subprocess.Popen) -> bytes:
    out, _ = process.communicate(timeout=250)
    assert process.returncode == 0
    assert out.startswith(b"native ")
    return out


@needs_compiler
@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="cores cannot be chosen on this system")
def test_processes_compile_at_once_mend_what_is_damaged_and_agree_on_any_number_of_cores(tmp_path):
    kept = tmp_path / "kept"
    kept.mkdir()
    # Instead of the compiler, which takes seconds, a program that hands out what it made before.
    _native.library()
    (tmp_path / "made").write_bytes(_native._library_file().read_bytes()[:-32])
    hands_out = f'while [ "$1" != "-o" ]; do shift; done; sleep 0.3; cp {tmp_path}/made "$2"'
    more = {"JAX_COMPILATION_CACHE_DIR": str(kept), "CMAPJAX_COMPILATION_CACHE": ""}
    more["CXX"] = compiler(tmp_path, hands_out)
    both = [started(cores, **more) for cores in (1, min(2, os.cpu_count()))]
    answers = [said(process) for process in both]
    assert answers[0] == answers[1]
    (library,) = kept.glob("cmapjax-rounds-*.so")
    assert not list(kept.glob("tmp*"))
    code = library.read_bytes()
    library.write_bytes(code[: len(code) // 2])
    assert said(started(1, **more)) == answers[0]
    assert library.read_bytes() == code
