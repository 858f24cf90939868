"""Compiled programs are forgotten before there are too many, whoever compiled them; results stay the same."""

import subprocess
import sys
import threading

import jax
import numpy as np
import pytest

import cmapjax as cj
from cmapjax.runtime import _programs


def run_on_a_path(num_agents):
    market = cj.Market.from_links([[i, i + 1] for i in range(num_agents - 1)])
    return cj.simulate(market, cj.EqualSplit(), rounds=1, record={}).final.utility


@pytest.fixture
def share(monkeypatch):
    """What share of the maps is in use, as far as the package can tell."""
    known = {"share": 0.0}
    monkeypatch.setattr(_programs, "maps_used", lambda: known["share"])
    for name, value in {"new": 1, "share": 0.0, "others": 0.0}.items():
        monkeypatch.setattr(_programs._Programs, name, value)
    return known


def test_programs_are_forgotten_once_there_are_many_and_something_was_compiled_since(share):
    run_on_a_path(5)
    before, results = _programs.times_forgotten(), []
    share["share"] = 0.95
    for _ in range(3):
        jax.jit(lambda x: x + len(results))(np.ones(3))  # the user's own programs count
        results.append(run_on_a_path(5))
    assert _programs.times_forgotten() == before + 3
    share["share"] = 0.1
    run_on_a_path(5)
    run_on_a_path(5)
    assert _programs.times_forgotten() == before + 3
    np.testing.assert_array_equal(results, [[0.5, 1.5, 1, 1.5, 0.5]] * 3)


def test_programs_are_not_forgotten_again_and_again_for_maps_of_other_things(share):
    share["share"] = 0.5
    before = _programs.times_forgotten()
    for number in range(4):
        jax.jit(lambda x, number=number: x + number)(np.ones(3))
        run_on_a_path(5)
    assert _programs.times_forgotten() == before + 1


@pytest.mark.skipif(not _programs.MAPS.exists(), reason="memory maps are counted on Linux alone")
def test_maps_of_forgotten_programs_are_given_back(monkeypatch):
    for size in range(4, 8):
        run_on_a_path(size)
    before = _programs.maps_used()
    for name, value in {"new": 1, "others": -1.0}.items():
        monkeypatch.setattr(_programs._Programs, name, value)
    _programs.forget_if_many(share=0.0)
    assert 0 < _programs.maps_used() < before
    np.testing.assert_array_equal(run_on_a_path(4), [0.5, 1.5, 1.5, 0.5])


def test_threads_may_play_while_programs_are_forgotten(share):
    share["share"], wrong = 0.95, []

    def play(size):
        for _ in range(3):
            jax.jit(lambda x: x + size)(np.ones(3))
            if not np.array_equal(run_on_a_path(size)[:2], [0.5, 1.5]):
                wrong.append(size)

    before = _programs.times_forgotten()
    threads = [threading.Thread(target=play, args=(size,)) for size in (4, 5, 6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert _programs.times_forgotten() >= before + 3


FULL = """
import ctypes
import networkx as nx
import cmapjax as cj
from cmapjax.runtime._programs import maps_used

system = ctypes.CDLL(None)
system.mmap.restype = ctypes.c_void_p
system.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
number = 0
while maps_used() < 0.95:  # as if many networks had come before
    for _ in range(500):
        system.mmap(None, 4096, number % 2, 0x22, -1, 0)  # neighbours of unlike protection do not merge
        number += 1
for seed in range(7):
    market = cj.graphs.from_networkx(nx.gnm_random_graph(24, 60, seed=seed), drop_isolated=True)
    run = cj.simulate(market, cj.ProportionalResponse(), rounds=3)
print("played")
"""


@pytest.mark.slow
@pytest.mark.skipif(not _programs.MAPS.exists(), reason="memory maps are counted on Linux alone")
def test_a_loop_over_networks_does_not_end_the_process():
    done = subprocess.run(
        [sys.executable, "-c", FULL], capture_output=True, text=True, timeout=280, check=False
    )
    assert (done.returncode, done.stdout) == (0, "played\n"), done.stderr[-2000:]
