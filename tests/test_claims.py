"""The pages of claims, executed with small samples; and how they are executed, gone on with and told."""

import contextlib
import io
import os
import runpy
import signal
import subprocess
import sys
import tomllib
from pathlib import Path

import pandas as pd
import pytest

import cmapjax as cj

ROOT = Path(__file__).parents[1]
CLAIMS = ROOT / "docs" / "claims"
sys.path.insert(0, str(CLAIMS))
import claims  # noqa: E402 - after the path
import reproduce  # noqa: E402

QUICK = ("in_turn", "colouring")
PAGES = [page if page in QUICK else pytest.param(page, marks=pytest.mark.slow) for page in reproduce.PAGES]
# A page that takes no time: one proof, and one claim that holds in part.
SMALL = """# %% [markdown]
# # A page
# %%
from claims import Page, pick

page = Page("small", "C0", "Two is at least one.")
page.check("Two is at least one.", expected="proved", found="2", met=2 >= LEAST, proved=True)
page.check("One and two are odd.", expected="not known", found=f"{pick(1, 2)} of 2", met=[True, False])
# %%
page.finish()
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A copy of what executes pages, with a small page alone."""
    for name in ("claims.py", "reproduce.py"):
        (tmp_path / name).write_text((CLAIMS / name).read_text())
    (tmp_path / "small.py").write_text(SMALL.replace("LEAST", "1"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def started(folder: Path, *words: str) -> subprocess.Popen:
    command = [sys.executable, str(folder / "reproduce.py"), *words]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def execute(folder: Path, *words: str) -> subprocess.CompletedProcess:
    """The same in this process, which has loaded all that it needs."""
    out, err, code = io.StringIO(), io.StringIO(), 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["reproduce.py", *words])
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                runpy.run_path(str(folder / "reproduce.py"), run_name="__main__")
            except SystemExit as stop:
                code = stop.code
    return subprocess.CompletedProcess(words, code, out.getvalue(), err.getvalue())


def run_page(page: Path, out: Path) -> subprocess.CompletedProcess:
    found = os.pathsep.join([str(CLAIMS), str(ROOT)])
    setting = {
        "CMAPJAX_CLAIMS": "quick",
        "CMAPJAX_CLAIMS_OUT": str(out),
        "PYTHONPATH": found,
        "MPLBACKEND": "agg",
    }
    return subprocess.run(
        [sys.executable, str(page)], env=os.environ | setting, capture_output=True, text=True
    )


@pytest.mark.parametrize("page", PAGES)
def test_pages_execute_with_small_samples_and_what_is_proved_holds(page, tmp_path):
    done = run_page(CLAIMS / f"{page}.py", tmp_path / "out.csv")
    assert done.returncode == 0, done.stderr[-3000:]
    checks = pd.read_csv(tmp_path / "out.csv")
    assert list(checks) == list(claims.COLUMNS)
    assert set(checks["part"]) == {page.replace("_", "-")}
    assert (checks.loc[checks["proved"], "verdict"] == "holds").all()


FAULTS = {
    "colouring": ("schedule=cj.Coloured()", "schedule=cj.Simultaneous()", "A sweep colour by colour"),
    "in_turn": ("cj.OneAgentPerRound(order)", "cj.Simultaneous()", "No turn lowers Nash welfare"),
    "communities": ("lambda k: cj.CMAP(k), cj.Seq", "lambda k: cj.CMAP(k or 1), cj.Seq", "With k = 0"),
}


@pytest.mark.parametrize(
    "page", [page if page == "colouring" else pytest.param(page, marks=pytest.mark.slow) for page in FAULTS]
)
def test_pages_fail_with_a_fault_in_place(page, tmp_path):
    right, wrong, told = FAULTS[page]
    text = (CLAIMS / f"{page}.py").read_text()
    assert right in text
    (tmp_path / "wrong.py").write_text(text.replace(right, wrong))
    done = run_page(tmp_path / "wrong.py", tmp_path / "out.csv")
    assert done.returncode == 1
    assert f"AssertionError: {told}" in done.stderr


def test_a_start_executes_pages_and_another_goes_on_with_what_is_there(folder):
    first = execute(folder, "--quick", "--out", "out")
    assert first.returncode == 0, first.stderr
    assert "small …" in first.stderr
    assert "1 holds, 1 holds in part" in first.stdout
    kept = (folder / "out" / "small.csv").stat().st_mtime_ns
    again = execute(folder, "--quick", "--out", "out")
    assert again.returncode == 0
    assert "small: there already" in again.stderr
    assert (folder / "out" / "small.csv").stat().st_mtime_ns == kept
    assert list(pd.read_csv(folder / "out" / "verdicts.csv")["found"].astype(str)) == ["2", "1 of 2"]
    # In another mode, under another seed or with another text it is another measurement.
    assert "small …" in execute(folder, "--out", "out").stderr
    assert list(pd.read_csv(folder / "out" / "verdicts.csv")["found"].astype(str)) == ["2", "2 of 2"]
    assert "small …" in execute(folder, "--out", "out", "--seed", "1").stderr


def test_a_broken_proof_ends_with_1_and_says_which(folder):
    (folder / "small.py").write_text(SMALL.replace("LEAST", "3"))
    done = execute(folder, "--quick", "--out", "out")
    assert done.returncode == 1
    assert "proved, and yet it does not hold: Two is at least one. Found: 2" in done.stdout
    assert "AssertionError" in (folder / "out" / "small.txt").read_text()
    assert execute(folder, "--quick", "--out", "out").returncode == 1  # also when it is there already


def test_a_page_that_breaks_ends_with_1_and_leaves_the_others_their_verdicts(folder):
    (folder / "broken.py").write_text("raise RuntimeError('no such market')\n")
    done = execute(folder, "--quick", "--out", "out")
    assert done.returncode == 1
    assert "broken failed" in done.stderr
    assert "no such market" in (folder / "out" / "broken.txt").read_text()
    assert set(pd.read_csv(folder / "out" / "verdicts.csv")["page"]) == {"small"}


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--only", "small,nobody"), "nobody: no such page"),
        (("--seed", "-1"), "--seed is -1"),
        (("--out", "small.py"), "--out small.py"),
    ],
)
def test_bad_input_ends_with_2_and_says_what(folder, words, told):
    done = execute(folder, *words)
    assert done.returncode == 2
    assert told in done.stderr
    assert not (folder / "reproduction").exists()


def test_an_interruption_ends_with_130_and_the_same_command_goes_on(folder):
    waits = "import time\nfrom pathlib import Path\nif not Path('go').exists():\n    time.sleep(60)\n"
    (folder / "waits.py").write_text(waits + SMALL.replace("LEAST", "1"))
    process = started(folder, "--quick", "--out", "out")
    while "waits …" not in process.stderr.readline():
        assert process.poll() is None
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(timeout=60) == 130
    assert "goes on from here" in process.stderr.read()
    (folder / "go").touch()
    again = execute(folder, "--quick", "--out", "out")
    assert again.returncode == 0
    assert "small: there already" in again.stderr


# -- what pages share ------------------------------------------------------------------------------


def test_verdicts_follow_from_cases():
    page = claims.Page("p", "C0", "c")
    for met in ([True, True], [True, False], [False, False], None):
        page.check("s", expected="e", found="1", met=met)
    assert [row["verdict"] for row in page.checks] == ["holds", "holds in part", "does not hold", "left open"]
    with pytest.raises(ValueError, match="say it with a number"):
        page.check("s", expected="e", found="much", met=True)
    with pytest.raises(ValueError, match="met is empty"):
        page.check("s", expected="e", found="1", met=[])


def test_numbers_are_told_with_their_sample():
    assert claims.median([3.0, 1.0, 2.0], "g").startswith("2 [1, 3] (median of 3 markets)")
    assert claims.median([1.0, float("inf"), float("inf")], "g", "runs").startswith("never")
    assert claims.count([True, False, True], "runs") == "2 of 3 runs"
    assert claims.share([True] * 9 + [False]).startswith("90.0 % [59.6 %, 98.2 %]")  # Wilson, by hand
    with pytest.raises(ValueError, match="no numbers"):
        claims.median([1.0, float("nan")])


def test_the_common_grid_as_a_study_is_that_of_the_pages():
    study = cj.studies.read_study(CLAIMS / "grid.toml")
    words = tomllib.loads((CLAIMS / "grid.toml").read_text())
    assert len(study.grounds()) == 40  # the torus of equal agents is left out
    assert [w.partition(":")[0] for w in words["grid"]["endowment"]] == list(claims.CONTRIBUTIONS)
    some = [
        ground
        for ground in study.grounds()
        if ground.endowment.startswith("uniform") and ground.number % 2 == 0
    ]
    for ground, family in zip(some, claims.families(20).values(), strict=True):
        one, other = cj.studies.draw(study, ground, 0, 5), claims.drawn(family, "uniform", 0, 5)
        assert one.num_agents == other.num_agents == 100
        assert one.num_links == pytest.approx(other.num_links, rel=0.25)  # a random number in most families


def test_every_page_has_its_line_in_the_index_and_its_verdicts():
    text = (CLAIMS / "index.md").read_text()
    full = set(pd.read_csv(CLAIMS / "verdicts.csv")["part"])
    for page in reproduce.PAGES:
        assert f"]({page}.py)" in text
        assert f"\n{page}\n" in text  # of the table of contents
        assert page.replace("_", "-") in full
