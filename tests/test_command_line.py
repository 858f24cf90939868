"""The command line as a user types it."""

import json
import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from commands import typed


@pytest.fixture
def command(tmp_path):
    """`cmapjax …` in a folder of its own."""
    return typed(tmp_path)


def test_solve_writes_the_equilibrium_in_the_labels_of_the_file(command, tmp_path):
    (tmp_path / "path.csv").write_text("source,target\nann,bob\nbob,cy\n")
    code, out, err = command("solve", "path.csv", "--json", "answer.json")
    assert (code, err) == (0, "")
    assert "certified gap" in out
    answer = json.loads((tmp_path / "answer.json").read_text())
    assert answer["agents"] == ["ann", "bob", "cy"]
    assert answer["utility"] == pytest.approx([0.5, 2, 0.5], abs=1e-9)
    assert answer["ratio"] == answer["utility"]
    assert answer["price"] == pytest.approx(answer["ratio"], abs=1e-9)
    assert answer["log_nash_welfare"] == pytest.approx(-0.23104906018664842, abs=1e-12)  # log 0.7937005
    assert abs(answer["gap"]) < 1e-9
    assert (answer["num_agents"], answer["num_links"]) == (3, 2)


def test_simulate_compares_strategies_and_writes_what_it_prints(command, tmp_path):
    words = [
        "simulate",
        "ring:n=4",
        "-s",
        "cmap:schedule=sequential",
        "-s",
        "pr",
        "--rounds",
        "4",
        "--json",
        "-",
    ]
    code, out, err = command(*words, "--out", "results", "--plot")
    assert (code, err) == (0, "")
    document = json.loads(out)
    assert [run["name"] for run in document["runs"]] == [
        "cmap sequential",
        "proportional-response simultaneous",
    ]
    assert document["runs"][0]["verdicts"] == {"converged": 1}
    assert json.loads((tmp_path / "results" / "summary.json").read_text()) == document
    names = {path.name for path in (tmp_path / "results").iterdir()}
    assert {"summary.csv", "curves.parquet", "comparison.png", "ratios.png"} <= names
    assert "allocation-cmap-sequential.csv" in names
    code, _, err = command("simulate", "ring:n=4", "--out", "results")
    assert code == 2
    assert "not empty" in err


STUDY = """
name = "pairs"
markets = 2
rounds = 6
[record]
curves = "full"
[cells]
network = "er:n=8,degree=4"
isolated = "redraw"
[grid]
strategy = ["cmap", "proportional-response"]
"""


def test_simulate_and_a_study_write_the_same_tables(command, tmp_path):
    (tmp_path / "pairs.toml").write_text(STUDY)
    words = ("er:n=8,degree=4", "--markets", "2", "--isolated", "redraw", "--rounds", "6")
    lines = ("-s", "cmap", "-s", "proportional-response")
    assert command("simulate", *words, *lines, "--out", "alone")[0] == 0
    assert command("study", "run", "pairs.toml", "--out", "study")[0] == 0
    for table in ("summary", "curves"):
        alone = pq.read_table(tmp_path / "alone" / f"{table}.parquet")
        (part,) = (tmp_path / "study" / table).glob("*.parquet")
        studied = pq.read_table(part)
        assert alone.schema.equals(studied.schema)
        assert alone.num_rows == studied.num_rows
        for name in ("cell", "market", "strategy", "schedule", "damping", "rounds", "round", "metric"):
            if name in alone.column_names:
                assert alone[name].to_pylist() == studied[name].to_pylist()
    csv = pd.read_csv(tmp_path / "alone" / "summary.csv")
    assert list(csv) == pq.read_schema(tmp_path / "alone" / "summary.parquet").names


def test_an_ensemble_is_drawn_and_counted(command):
    words = ("er:n=12,degree=4", "--markets", "5", "--isolated", "redraw", "-s", "pr", "--rounds", "3")
    code, out, _ = command("simulate", *words, "--endowments", "exponential", "--seed", "3")
    assert code == 0
    assert "5 markets" in out
    assert "running averages" in out
    again = command("simulate", *words, "--endowments", "exponential", "--seed", "3", "--json", "-")[1]
    once_more = command("simulate", *words, "--endowments", "exponential", "--seed", "3", "--json", "-")[1]
    first, second = json.loads(again), json.loads(once_more)
    for document in (first, second):
        del document["timings"]
        for run in document["runs"]:
            del run["seconds"], run["seconds_compiling"]
    assert first == second


def test_where_the_time_went_is_told_stage_by_stage(command, tmp_path):
    words = ("simulate", "er:n=13,degree=4", "--markets", "3", "--isolated", "redraw", "-s", "pr")
    _, out, _ = command(*words, "--rounds", "3", "--out", "results")
    document = json.loads((tmp_path / "results" / "summary.json").read_text())
    assert document["runs"][0]["seconds_compiling"] > 0.1  # of a shape that no other test has
    timings = document["timings"]
    total = timings.pop("total")
    assert {"loading", "drawing", "building", "solving", "compiling", "running", "writing"} <= set(timings)
    assert min(timings.values()) >= 0
    assert sum(timings.values()) <= total
    assert timings["compiling"] > 0
    assert f"{total:.1f} s: " in out
    assert "compiling" in out
    run = json.loads(command(*words, "--rounds", "3", "--json", "-")[1])["runs"][0]
    assert 0 <= run["seconds_compiling"] <= run["seconds"]


def test_curves_hold_every_record_of_every_run(command, tmp_path, monkeypatch):
    monkeypatch.setattr("cmapjax.cli._tables.ROWS", 20)  # of two markets and eight metrics: a round at a time
    words = ("simulate", "er:n=9,degree=4", "--markets", "2", "--isolated", "redraw", "--no-equilibrium")
    command(*words, "-s", "pr", "-s", "equal-split", "--rounds", "4", "--every", "2", "--out", "results")
    curves = pd.read_parquet(tmp_path / "results" / "curves.parquet")
    gaps = curves[curves["metric"] == "certified_gap"]
    assert list(gaps["cell"]) == [0] * 6 + [1] * 6
    assert list(gaps["round"]) == [0, 0, 2, 2, 4, 4] * 2
    assert list(gaps["market"]) == [0, 1] * 6
    assert len(curves) == 12 * curves["metric"].nunique()
    last = pd.read_csv(tmp_path / "results" / "summary.csv")
    assert list(last["strategy"]) == ["proportional-response"] * 2 + ["equal-split"] * 2
    at_end = gaps[gaps["round"] == 4]
    np.testing.assert_allclose(at_end["value"], last["certified_gap"], rtol=1e-15)


def test_programs_are_kept_where_one_says_and_by_default_in_the_users_folder(tmp_path):
    words = ["simulate", "ring:n=5", "-s", "equal-split", "--rounds", "2", "--no-equilibrium", "--json", "-"]
    plain = {name: x for name, x in os.environ.items() if not name.endswith(("_CACHE", "_CACHE_DIR"))}
    plain["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"  # which are kept must not hang on the clock
    plain["XDG_CACHE_HOME"] = plain["LOCALAPPDATA"] = plain["HOME"] = str(tmp_path / "user")

    def kept(folder, *options):
        line = [sys.executable, "-m", "cmapjax", *options, *words]
        done = subprocess.run(line, env=plain, capture_output=True, text=True, check=True, timeout=200)
        assert (json.loads(done.stdout)["num_agents"], done.stderr) == (5, "")
        return len([path for path in (tmp_path / folder).rglob("*") if path.is_file()])

    number = kept("mine", "--compilation-cache", str(tmp_path / "mine"))
    assert number > 0
    assert not (tmp_path / "user").exists()
    assert kept("user") == number


def test_a_compilation_cache_that_cannot_be_written_is_done_without(tmp_path):
    (tmp_path / "a-file").write_text("")
    line = [sys.executable, "-m", "cmapjax", "--compilation-cache", str(tmp_path / "a-file")]
    line += ["simulate", "ring:n=5", "-s", "equal-split", "--rounds", "2", "--json", "-"]
    done = subprocess.run(line, capture_output=True, text=True, check=True, timeout=200)
    assert json.loads(done.stdout)["runs"]
    assert done.stderr.startswith("warning: ")
    assert "--compilation-cache" in done.stderr
    assert done.stderr.count("\n") == 1


LINKS = "source,target\na,b\nb,c\n"
BAD = {
    "no such network": (["nonsense"], {}, ["'nonsense'", "karate", "erdos-renyi"]),
    "no such file": (["missing.csv"], {}, ["missing.csv", "no such file"]),
    "isolated agents": (["er:n=30,degree=1"], {}, ["no neighbour", "--isolated drop"]),
    "zero endowment": (
        ["n.csv", "--agents", "t.csv"],
        {"n.csv": LINKS, "t.csv": "agent,endowment,value\na,1,1\nb,0,1\nc,1,1\n"},
        ["t.csv", "line 3", "endowment", "'b'"],
    ),
    "float32 overflow": (
        ["n.csv", "--agents", "t.csv", "--precision", "float32"],
        {"n.csv": LINKS, "t.csv": "agent,endowment\na,1e39\nb,1\nc,1\n"},
        ["float32", "a: 1e+39", "--precision float64"],
    ),
    "strategy": (["karate", "-s", "magic"], {}, ["'magic'", "cmap"]),
    "strategy twice": (["karate", "-s", "pr", "-s", "pr"], {}, ["twice"]),
    "damping": (["karate", "--damping", "2"], {}, ["damping", "at most 1"]),
    "plot without a folder": (["karate", "--plot"], {}, ["--out"]),
    "markets of a file": (["karate", "--markets", "3"], {}, ["--markets", "family"]),
    "records of receipts": (["karate", "--receipts", "r.csv", "--every", "2"], {}, ["leave --every out"]),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_exits_2_and_says_what_to_do(command, tmp_path, name):
    words, files, expected = BAD[name]
    for file, text in files.items():
        (tmp_path / file).write_text(text)
    code, out, err = command("simulate", *words, "--no-equilibrium")
    assert code == 2
    assert "Traceback" not in err
    assert [word for word in expected if word not in err] == [], err
    assert "Nash welfare" not in out


def test_what_reading_merged_and_found_is_reported(command, tmp_path):
    (tmp_path / "links.txt").write_text("0 1\n1 0\n2 3\n")
    code, out, _ = command("solve", "links.txt")
    assert code == 0
    assert "merged 1 links" in out
    assert "2 components" in out


def test_info_names_versions_and_devices(command):
    code, out, _ = command("info")
    assert code == 0
    assert "cmapjax 0.1.0" in out
    assert "device cpu" in out
