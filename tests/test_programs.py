"""Compiled programs: forgotten before there are too many, and kept on disk where one asks for it."""

import os
import re
import subprocess
import sys
import threading
from pathlib import Path

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


# -- kept on disk ----------------------------------------------------------------------------------


# A program that takes a few milliseconds to compile, in a process where another was compiled before.
KEPT = """
import jax, os, sys, cmapjax as cj
jax.jit(lambda x: x + 1)(1.0)
print(cj.compilation_cache(*sys.argv[1:]))
jax.jit(lambda x: x * x + 3)(2.0)
print(jax.config.jax_compilation_cache_dir, os.environ.get("JAX_COMPILATION_CACHE_DIR"))
"""


def variables(folder: Path, **more: str) -> dict[str, str]:
    plain = {name: x for name, x in os.environ.items() if "_CACHE" not in name}
    return plain | dict.fromkeys(("XDG_CACHE_HOME", "LOCALAPPDATA", "HOME"), str(folder / "user")) | more


def lines(*options: str, env: dict[str, str]) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", KEPT, *options], env=env, capture_output=True, text=True, check=True
    )
    return done.stdout.splitlines()


def kept_programs(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*-cache") if path.is_file())


def test_small_programs_are_kept_in_the_folder_named_and_found_again(tmp_path):
    folder = tmp_path / "mine"
    told = lines(str(folder), env=variables(tmp_path))
    assert told == [str(folder), f"{folder} {folder}"]
    kept = kept_programs(tmp_path)
    assert len(kept) == 1  # what was compiled before is not
    assert folder in kept[0].parents
    written = kept[0].stat().st_mtime_ns
    lines(str(folder), env=variables(tmp_path))
    assert [path.stat().st_mtime_ns for path in kept_programs(tmp_path)] == [written]


def test_by_default_programs_are_where_the_command_line_keeps_them(tmp_path):
    user, of_jax, chosen = tmp_path / "user", tmp_path / "of-jax", tmp_path / "chosen"
    (folder, _) = lines(env=variables(tmp_path))
    assert Path(folder).parts[-2:] == ("cmapjax", "compiled")
    assert user in Path(folder).parents
    assert kept_programs(user)
    assert lines(env=variables(tmp_path, JAX_COMPILATION_CACHE_DIR=str(of_jax)))[0] == str(of_jax)
    assert len(kept_programs(of_jax)) > 0
    both = variables(tmp_path, JAX_COMPILATION_CACHE_DIR=str(of_jax), CMAPJAX_COMPILATION_CACHE=str(chosen))
    assert lines(env=both)[0] == str(chosen)
    assert kept_programs(chosen)


def test_it_can_be_switched_off(tmp_path):
    of_jax = variables(
        tmp_path,
        JAX_COMPILATION_CACHE_DIR=str(tmp_path / "of-jax"),
        JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS="0",
    )
    assert lines("off", env=of_jax) == ["None", "None None"]
    before = kept_programs(tmp_path)
    assert len(before) == 1  # the program compiled before it was switched off
    assert lines(env=variables(tmp_path, CMAPJAX_COMPILATION_CACHE="off")) == ["None", "None None"]
    assert kept_programs(tmp_path) == before


def test_folders_that_cannot_be_written_are_refused(tmp_path):
    (tmp_path / "a-file").write_text("")
    for folder in (tmp_path / "a-file", tmp_path / "a-file" / "below"):
        with pytest.raises(ValueError, match=f"{re.escape(str(folder))}.*name another folder, or say 'off'"):
            cj.compilation_cache(folder)
    for folder in ("", b"bytes"):
        with pytest.raises(ValueError, match="give the path of a folder"):
            cj.compilation_cache(folder)


def test_the_oldest_programs_in_the_users_folder_make_room(tmp_path, monkeypatch):
    from cmapjax.runtime import _compilation_cache as module

    for age, name in enumerate(("old-cache", "older-cache", "new-cache")):
        (tmp_path / name).write_bytes(b"x" * 10)
        os.utime(tmp_path / name, (age if name != "older-cache" else -1,) * 2)
    monkeypatch.setattr(module, "MOST_BYTES", 20)
    module._remove_oldest(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new-cache", "old-cache"]
