"""`cmapjax study …` as a user types it."""

import contextlib
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time

import commands
import doc_blocks
import pandas as pd
import pytest
import tiny_study
from processes import environment, with_interrupts
from test_runner import wait_for

from cmapjax.cli._study_words import StudyBar, parse_size, parse_time, words
from cmapjax.studies import read_study
from cmapjax.studies.run import State

pytestmark = pytest.mark.optimised  # workers and clusters write the same bits
COMMAND = [sys.executable, "-m", "cmapjax"]
STUDY = """\
name = "few"
seed = 3
markets = 6
rounds = 8
[record]
metrics = ["log_nash_welfare", "min_ratio"]
curves = "quantiles"
every = 4
[cells]
network = "er:n=8,degree=3"
isolated = "redraw"
[grid]
strategy = ["cmap", "pr"]
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a study file and its results."""
    folder = tmp_path_factory.mktemp("studies")
    (folder / "few.toml").write_text(STUDY)
    done = study(folder, "run", "few.toml", "--out", "out", "--chunk-size", "3")
    assert (done.returncode, done.stderr) == (0, "")
    assert re.fullmatch(r"out: complete \(2 chunks in .*\)\n", done.stdout)
    return folder


def study(folder, *what) -> subprocess.CompletedProcess:
    """`cmapjax study …` in this process."""
    return commands.cmapjax("study", *what, folder=folder)


def test_of_a_complete_study_status_resume_and_cancel_say_so(place):
    done = study(place, "status", "out")
    assert (done.returncode, done.stderr) == (0, "")
    assert re.search(r"state\s+│ complete", done.stdout)
    assert re.search(r"markets done\s+│ 12 of 12 \(100.0%\)", done.stdout)
    document = json.loads(study(place, "status", "out", "--json", "-").stdout)
    assert (document["cells"], document["failed"], document["running"]) == (2, {}, None)
    assert study(place, "resume", "out").stdout.startswith("out: complete (0 chunks in ")
    done = study(place, "cancel", "out")
    assert (done.returncode, done.stdout) == (1, "out: nobody is running this study.\n")


def test_a_study_runs_from_python_in_the_folder_of_the_command_line(place):
    few = read_study(place / "few.toml")
    first = sorted((place / "out" / "summary").iterdir())[0]
    first.unlink()
    summary = few.run(place / "out")
    assert (summary.done, summary.failed, summary.missing) == (1, {}, 0)
    assert first.is_file()  # of the same content, and so of the same name
    with pytest.raises(ValueError, match="--chunk-size is 2"):
        few.run(place / "out", chunk_size=2)


def tables_of(folder) -> dict[str, bytes]:
    """Every file of results, as it stands on the disk."""
    files = sorted(folder.glob("*/*.parquet"))
    return {str(file.relative_to(folder)): file.read_bytes() for file in files}


@contextlib.contextmanager
def cluster_of_the_page(folder):
    """A scheduler and two workers, started by the very commands of docs/clusters.md."""
    page = doc_blocks.ROOT / "docs" / "clusters.md"
    lines = [line for block in doc_blocks.blocks(page) for line in doc_blocks.commands(block)]
    scheduler, worker = (line for line in lines if line.startswith("dask "))
    ours = "--no-dashboard --host 127.0.0.1"  # lest tests open ports to the network
    started = []
    try:
        for line in (f"{scheduler} --port 0", worker, worker):
            words = [sys.executable, "-m", *shlex.split(f"{line} {ours}")]
            started.append(subprocess.Popen(words, cwd=folder, env=environment(), stderr=subprocess.DEVNULL))
            wait_for((folder / "scheduler.json").exists)
        yield
    finally:
        for process in started[::-1]:
            process.terminate()
            process.wait(timeout=30)


@pytest.mark.parametrize(
    ("how", "who"),
    [
        pytest.param("--workers 1", "1 workers on this machine", marks=pytest.mark.slow),
        pytest.param("--workers 2", "2 workers on this machine", marks=pytest.mark.slow),
        ("--cluster scheduler.json", "the cluster at scheduler.json"),
    ],
)
def test_workers_and_a_cluster_started_by_hand_write_the_same_files(place, how, who):
    """Real chunks: what is played here, by one worker, by two, and through a scheduler that is not ours."""
    name = who.replace(" ", "-")
    run = ["run", "few.toml", "--out", name, *how.split(), "--chunk-size", "3"]
    with cluster_of_the_page(place) if "cluster" in how else contextlib.nullcontext():
        done = study(place, *run)
    assert (done.returncode, done.stderr) == (0, "")
    expected = tables_of(place / "out")
    assert len(expected) == 4  # two chunks, each with a summary and curves
    assert tables_of(place / name) == expected
    assert f"2 of 2 chunks are missing, played by {who}\n" in (place / name / "log.txt").read_text()
    done = study(place, "diff", "out", name)
    assert (done.returncode, done.stderr, done.stdout) == (0, "", "the same study with the same values\n")


def test_another_study_differs_and_diff_says_why(place):
    (place / "other.toml").write_text(STUDY.replace("seed = 3", "seed = 4"))
    done = study(place, "run", "other.toml", "--out", "out")
    assert done.returncode == 2
    assert re.fullmatch(r"error: out holds another study.*seed.*\n", done.stderr)
    tiny = [sys.executable, tiny_study.__file__, str(place / "other"), "play"]
    assert subprocess.run(tiny, env=environment(), stdout=subprocess.DEVNULL, check=False).returncode == 0
    done = study(place, "diff", "out", "other")
    assert done.returncode == 1
    assert "seed" in done.stdout


def test_verify_names_a_flipped_bit_and_repair_and_resume_replace_it(place):
    file = sorted((place / "out" / "summary").iterdir())[0]
    before = study(place, "verify", "out")
    assert before.returncode == 0
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 4
    file.write_bytes(data)
    done = study(place, "verify", "out")
    assert done.returncode == 1
    assert f"summary/{file.name}" in done.stdout
    assert study(place, "verify", "out", "--repair").returncode == 0
    done = study(place, "resume", "out")
    assert (done.returncode, done.stdout.startswith("out: complete (1 chunks")) == (0, True)
    assert study(place, "verify", "out").returncode == 0


def test_export_writes_the_table(place):
    done = study(place, "export", "out", "--csv", "few.csv", "--netcdf", "few.nc")
    assert (done.returncode, done.stderr) == (0, "")
    assert len(pd.read_csv(place / "few.csv")) == 12  # two cells of six markets
    assert (place / "few.nc").stat().st_size > 0
    done = study(place, "export", "out")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)


def test_init_writes_a_study_that_can_be_planned_and_overwrites_nothing(place):
    done = study(place, "init", "mine.toml")
    assert (done.returncode, done.stderr) == (0, "")
    done = study(place, "plan", "mine.toml", "--no-sample", "--json", "-")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["cells"] > 1
    done = study(place, "init", "mine.toml")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "exists already" in done.stderr


def test_ctrl_c_ends_a_real_run_in_good_order(place):
    (place / "long.toml").write_text(STUDY.replace("markets = 6", "markets = 4000"))
    command = [*COMMAND, "study", "run", "long.toml", "--out", "long", "--chunk-size", "3"]
    with subprocess.Popen(
        with_interrupts(command),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=place,
        env=environment(),
    ) as running:
        wait_for(lambda: any((place / "long" / "summary").glob("*.parquet")), 120)
        busy = study(place, "status", "long")
        assert f"being run by process {running.pid}" in busy.stdout
        running.send_signal(signal.SIGINT)
        began = time.monotonic()
        out, err = running.communicate(timeout=30)
    assert time.monotonic() - began < 10
    assert running.returncode == 130
    assert re.fullmatch(r"long: .* chunks in .*, [0-9,]+ missing; ended by interrupted.*resume long\n", out)
    assert err == "interrupted: ended before it was done.\n"


@pytest.mark.parametrize(
    ("what", "said"),
    [
        (["run", "nothing.toml", "--out", "x"], "nothing.toml"),
        (["run", "few.toml", "--out", "x", "--time-limit", "soon"], "--time-limit is 'soon'"),
        (["run", "few.toml", "--out", "x", "--workers", "0"], "--workers is 0"),
        (["run", "few.toml", "--out", "x", "--workers", "2", "--worker-memory", "1"], "--worker-memory 1"),
        (["run", "few.toml", "--out", "out", "--chunk-size", "2"], "--chunk-size is 2, but out was begun"),
        (["status", "nowhere"], "nowhere"),
        (["resume", "nowhere"], "nowhere"),
        (["verify", "nowhere"], "nowhere"),
        (["export", "nowhere", "--csv", "a.csv"], "nowhere"),
    ],
)
def test_bad_words_are_refused_in_one_line(place, what, said):
    done = study(place, *what)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (place / "x").exists()


def test_the_commands_of_studies_answer_for_help_without_jax():
    code = "import sys; sys.argv = ['cmapjax', 'study', '--help']\nfrom cmapjax.cli import main\n"
    code += (
        "try:\n    main()\nexcept SystemExit:\n    sys.exit('jax' in sys.modules or 'dask' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0
    for name in ("init", "plan", "run", "resume", "status", "cancel", "verify", "diff", "export"):
        assert name in done.stdout


def test_times_and_sizes_are_read():
    times = {"90": 90, "90s": 90, "1.5m": 90, "2h": 7200, "1d": 86400, "1:30": 90, "1:00:30": 3630}
    assert {text: parse_time(text) for text in times} == times
    sizes = {"500MB": 500_000_000, "2GiB": 2 << 30, "1.5g": 1_500_000_000, "800000000": 800_000_000}
    assert {text: parse_size(text) for text in sizes} == sizes
    for text in ("", "0", "-5", "soon", "1:2:3:4", "nan", "inf", "1e999", "5w"):
        with pytest.raises(ValueError, match="--time-limit"):
            parse_time(text)
    for text in ("", "much", "-1GB", "5", "1e9"):
        with pytest.raises(ValueError, match="--worker-memory"):
            parse_size(text)


def test_the_bar_tells_cells_markets_rate_remaining_time_and_failures():
    state = State(8, 2, 1600, 400, 1, 12.4, 96.8, "stopping")
    assert words(state) == "2/8 cells, 400/1,600 markets, 12/s, 97 s left, 1 failed, stopping"
    assert words(State(8, 0, 1600, 0, 0, None, None)) == "0/8 cells, 0/1,600 markets"


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="needs a terminal of POSIX")
def test_a_bar_is_drawn_on_a_terminal(tmp_path, monkeypatch):
    ours, theirs = os.openpty()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    with monkeypatch.context() as patch, os.fdopen(theirs, "w") as terminal:
        patch.setattr(sys, "stderr", terminal)
        with StudyBar("tiny") as progress:
            tiny_study.run(tmp_path / "out", tiny_study.slow, threads=4, progress=progress)
    seen = ""
    with contextlib.suppress(OSError):  # what Linux raises once the other end is closed
        while part := os.read(ours, 1 << 16):
            seen += part.decode(errors="replace")
    os.close(ours)
    assert "0/8 cells" in seen
    assert "160/160 markets" in seen
