"""The command line when something gives way: the reader, the disk, the memory, the user's patience."""

import errno
import json
import os
import signal
import subprocess
import sys
import threading

import pytest
from commands import typed
from processes import with_interrupts

import cmapjax as cj
from cmapjax.cli._progress import interruptible

COMMAND = [sys.executable, "-m", "cmapjax"]


@pytest.fixture
def command(tmp_path):
    """`cmapjax …` in a folder of its own."""
    return typed(tmp_path)


def test_files_are_written_though_the_reader_has_left(tmp_path):
    reader, writer = os.pipe()
    os.close(reader)
    words = ["solve", "karate", "--json", "answer.json"]
    done = subprocess.run(
        COMMAND + words, stdout=writer, stderr=subprocess.PIPE, cwd=tmp_path, check=False, timeout=120
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (0, b"")
    assert len(json.loads((tmp_path / "answer.json").read_text())["agents"]) == 34


def test_help_ends_well_though_the_reader_has_left():
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run([*COMMAND, "--help"], stdout=writer, stderr=subprocess.PIPE, check=False)
    os.close(writer)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="a device that is always full")
def test_a_full_output_exits_1_in_one_line():
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [*COMMAND, "solve", "ring:n=3"], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert done.returncode == 1
    assert done.stderr == "error: output: No space left on device\n"


def test_ctrl_c_ends_compiled_code_at_once_with_130_and_one_line():
    # Steps on a grid this large need hours for this gap, and only compiled code runs meanwhile.
    words = ["solve", "torus:rows=100,columns=100", "--mean-endowment", "uniform:low=0.5,high=1.5"]
    words += ["--method", "projected-gradient:max_steps=100000000", "--tolerance", "1e-14"]
    with subprocess.Popen(
        with_interrupts(COMMAND + words), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as running:
        assert "10,000 agents" in running.stdout.readline()
        with pytest.raises(subprocess.TimeoutExpired):
            running.wait(timeout=4)
        running.send_signal(signal.SIGINT)
        _, err = running.communicate(timeout=10)  # at once, but for a busy machine
    assert running.returncode == 130
    assert err == "interrupted: ended before it was done.\n"


def test_a_full_disk_exits_1_names_the_file_and_keeps_the_old_one(command, tmp_path, monkeypatch):
    (tmp_path / "answer.json").write_text("old")

    def full(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    code, _, err = command("solve", "ring:n=3", "--json", "answer.json")
    assert code == 1
    assert err == "error: answer.json: No space left on device\n"
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"answer.json": "old"}


@pytest.mark.parametrize(
    "error", [MemoryError(), RuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 80 bytes.\nTrace…")]
)
def test_too_little_memory_exits_1_in_one_line(command, monkeypatch, error):
    def solve(*_, **__):
        raise error

    monkeypatch.setattr(cj, "solve", solve, raising=False)
    code, _, err = command("solve", "ring:n=3")
    assert code == 1
    assert err.startswith("error: this needs more memory than there is")
    assert err.count("\n") == 1


def test_a_fault_of_ours_keeps_its_traceback(command, monkeypatch):
    def solve(*_, **__):
        raise RuntimeError("a fault")

    monkeypatch.setattr(cj, "solve", solve, raising=False)
    with pytest.raises(RuntimeError, match="a fault"):
        command("solve", "ring:n=3")


BAD_OPTIONS = [
    ["solve", ""],
    ["solve", "karate:n=3"],
    ["solve", "karate", "--tolerance", "2"],
    ["solve", "karate", "--json", "no-such-folder/answer.json"],
    ["simulate", "karate", "--rounds", "0"],
    ["simulate", "karate", "--endowments", "trace"],
    ["simulate", "karate", "--out", sys.executable],
    ["simulate", "karate", "--bad-option"],
    ["solve", "nonsense"],
    ["simulate", "er:degree=3"],
    ["solve", "ring:n=3", "--value", "magic"],
    ["solve", "ring:n=9", "--isolated", "magic"],
]
BAD_WORDS = [
    ["solve", "karate", "--method", "magic"],
    ["simulate", "karate", "-s", "cmap:hop=2"],
    ["simulate", "karate", "-s", "no-such.py:Generous"],
    ["simulate", "karate", "--schedule", "magic"],
    ["simulate", "karate", "--damping", "2"],
    ["simulate", "karate", "--endowments", "magic"],
]


def test_bad_options_and_networks_are_refused_without_loading_jax_and_bad_words_without_starting_a_device():
    code = f"""
import sys
from cmapjax.cli import main

def is_refused(words):
    sys.argv = ["cmapjax", *words]
    try:
        main()
    except SystemExit as stop:
        return stop.code == 2

for words in {BAD_OPTIONS!r}:
    assert is_refused(words), words
    assert "jax" not in sys.modules, words
for words in {BAD_WORDS!r}:
    assert is_refused(words), words
from jax._src import xla_bridge
assert not xla_bridge.backends_are_initialized()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    # The parser of options frames its own.
    assert done.stderr.count("error: ") == len(BAD_OPTIONS) + len(BAD_WORDS) - 1


def test_messages_name_options_where_the_library_names_arguments(command, tmp_path):
    (tmp_path / "loop.csv").write_text("source,target\na,a\na,b\n")
    (tmp_path / "wide.txt").write_text("0 1 3 7\n1 2 5 8\n")
    (tmp_path / "one-way.gml").write_text(
        "graph [ directed 1 node [ id 0 ] node [ id 1 ] edge [ source 0 target 1 ] ]"
    )
    assert "--drop-self-loops." in command("solve", "loop.csv")[2]
    assert "--ignore-extra-columns " in command("solve", "wide.txt")[2]
    assert "--symmetrize " in command("solve", "one-way.gml")[2]
    _, _, err = command("solve", "wide.txt", "--endowment-attribute", "x")
    assert "no --endowment-attribute (which is for graphml" in err
    assert "--isolated redraw" in command("solve", "er:n=30,degree=1")[2]


def test_a_warning_is_one_line_with_the_name_of_the_option(command, tmp_path):
    (tmp_path / "pair.csv").write_text("source,target\na,b\n")
    (tmp_path / "agents.csv").write_text("agent,endowment\na,1e8\nb,1\n")
    words = ["pair.csv", "--agents", "agents.csv", "--precision", "float32", "-s", "equal-split"]
    code, _, err = command("simulate", *words, "--rounds", "1")
    assert code == 0
    first, *others = err.splitlines()
    assert first.startswith("warning: contribution")
    assert "--precision float64" in first
    assert [line for line in others if not line.startswith("warning: ")] == []


def test_names_cannot_steer_the_terminal(command, tmp_path):
    name = "\x1b[2Jlinks\n.csv"
    (tmp_path / name).write_text("source,target\n\x1b[31ma,b\n")
    code, out, err = command("solve", name)
    assert "\x1b" not in out + err
    assert "\\x1b" in out + err
    assert code in (0, 2)
    _, _, err = command("solve", "\x1b[2Jmissing\n.csv")
    assert "\x1b" not in err
    assert err.count("\n") == 1


def test_components_of_an_ensemble_are_reported(command, tmp_path):
    (tmp_path / "two.csv").write_text("source,target\na,b\nc,d\nd,e\n")
    _, out, _ = command("solve", "two.csv", "ring:n=3")
    assert "not connected in 1 of 2 markets: 2 components" in out
    assert "3 agents and 2 links with c; 2 agents and 1 links with a" in out
    two, ring = json.loads(command("solve", "two.csv", "ring:n=3", "--json", "-")[1])["markets"]
    assert [part["num_agents"] for part in two["components"]] == [3, 2]
    assert len(ring["components"]) == 1
    words = ["two.csv", "ring:n=3", "-s", "equal-split", "--rounds", "1", "--json", "-"]
    document = json.loads(command("simulate", *words)[1])
    assert [part["market"] for part in document["components"]] == [0, 0]


def test_what_is_waited_for_comes_from_another_thread_errors_too():
    assert interruptible(threading.get_ident) != threading.get_ident()
    with pytest.raises(ZeroDivisionError):
        interruptible(lambda: 1 / 0)
