"""Compiled programs are kept on disk where one asks for it, and nowhere else."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import cmapjax as cj

# A program that takes a few milliseconds to compile, in a process where another was compiled before.
PROGRAM = """
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
        [sys.executable, "-c", PROGRAM, *options], env=env, capture_output=True, text=True, check=True
    )
    return done.stdout.splitlines()


def programs(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*-cache") if path.is_file())


def test_small_programs_are_kept_in_the_folder_named_and_found_again(tmp_path):
    folder = tmp_path / "mine"
    told = lines(str(folder), env=variables(tmp_path))
    assert told == [str(folder), f"{folder} {folder}"]
    kept = programs(tmp_path)
    assert len(kept) == 1  # what was compiled before is not
    assert folder in kept[0].parents
    written = kept[0].stat().st_mtime_ns
    lines(str(folder), env=variables(tmp_path))
    assert [path.stat().st_mtime_ns for path in programs(tmp_path)] == [written]


def test_by_default_programs_are_where_the_command_line_keeps_them(tmp_path):
    user, of_jax, chosen = tmp_path / "user", tmp_path / "of-jax", tmp_path / "chosen"
    (folder, _) = lines(env=variables(tmp_path))
    assert Path(folder).parts[-2:] == ("cmapjax", "compiled")
    assert user in Path(folder).parents
    assert programs(user)
    assert lines(env=variables(tmp_path, JAX_COMPILATION_CACHE_DIR=str(of_jax)))[0] == str(of_jax)
    assert len(programs(of_jax)) > 0
    both = variables(tmp_path, JAX_COMPILATION_CACHE_DIR=str(of_jax), CMAPJAX_COMPILATION_CACHE=str(chosen))
    assert lines(env=both)[0] == str(chosen)
    assert programs(chosen)


def test_it_can_be_switched_off(tmp_path):
    of_jax = variables(
        tmp_path,
        JAX_COMPILATION_CACHE_DIR=str(tmp_path / "of-jax"),
        JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS="0",
    )
    assert lines("off", env=of_jax) == ["None", "None None"]
    before = programs(tmp_path)
    assert len(before) == 1  # the program compiled before it was switched off
    assert lines(env=variables(tmp_path, CMAPJAX_COMPILATION_CACHE="off")) == ["None", "None None"]
    assert programs(tmp_path) == before


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
