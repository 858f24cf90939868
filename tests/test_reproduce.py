"""`cmapjax reproduce`: what is kept of parts, what is measured again, the page, the command line."""

import csv
import html
import json
import os
import re
import signal
import subprocess
import sys
import types

import networkx as nx
import numpy as np
import pandas as pd
import pytest
from processes import with_interrupts
from typer.testing import CliRunner

from cmapjax import studies
from cmapjax.cli._app import app
from cmapjax.plots._canvas import new_figure
from cmapjax.reproduce import PARTS, Check, Finding, Part, Setting, _kept, _page, _parts, _run
from cmapjax.reproduce._part import FAILS, HOLDS, IN_PART, OPEN, Picture
from cmapjax.studies.run import _worker

NASTY = '<script>alert("1")</script> & \u202e'


def check(verdict=HOLDS, found="12 of 12 markets"):
    return Check("It is so.", "always", found, verdict)


def picture():
    figure = new_figure(3, 2)
    figure.subplots().plot([1, 2])
    return Picture(figure, f"A line of 2 points. {NASTY}")


class Fakes:
    """Parts that cost nothing, and how often each was measured."""

    def __init__(self, monkeypatch):
        self.measured = []
        self.broken = {"third"}
        names = ("first", "second", "third")
        self.parts = tuple(
            Part(name, f"The {name}", f"Claim of {name}.", ("C1",), f"_{name}") for name in names
        )
        for part in self.parts:
            module = types.ModuleType(f"cmapjax.reproduce._{part.name}")
            module.measure = lambda setting, name=part.name: self.measure(name, setting)
            monkeypatch.setitem(sys.modules, module.__name__, module)
        for module in (_parts, _run):
            monkeypatch.setattr(module, "PARTS", self.parts)
        monkeypatch.setattr(_worker, "device", lambda: "cpu:test")

    def measure(self, name, setting):
        self.measured.append(name)
        if name in self.broken:
            raise RuntimeError(f"no such luck {NASTY}")
        values = {"a_number": [0.123456, np.inf, np.nan], "text": [NASTY, "", "None"], "whole": [1, 2, 3000]}
        checks = [check(), check(FAILS)] if name == "first" else [check()]
        return Finding(
            checks, {"some-numbers": pd.DataFrame(values)}, {"a-line": picture()}, [f"Note {NASTY}"]
        )


@pytest.fixture
def fakes(monkeypatch):
    return Fakes(monkeypatch)


def test_parts_have_distinct_names_that_folders_can_have():
    names = [part.name for part in PARTS]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[a-z]+(-[a-z]+)*", name) for name in names)
    assert {label for part in PARTS for label in part.labels} >= {f"C{n}" for n in range(1, 10)}


def test_a_part_that_raises_is_reported_while_the_rest_goes_on(fakes, tmp_path):
    fakes.broken = {"first"}
    kept = {some.part.name: some for some in _run.reproduce(tmp_path / "out", fakes.parts, quick=True)}
    assert fakes.measured == ["first", "second", "third"]
    assert kept["first"].failure.startswith("RuntimeError: no such luck")
    assert "RuntimeError" in (tmp_path / "out" / "first" / "trouble.txt").read_text()
    assert kept["second"].verdict == HOLDS
    page = (tmp_path / "out" / "report.html").read_text()
    assert "It could not be measured" in page


def test_only_what_is_missing_is_measured_again(fakes, tmp_path):
    folder = tmp_path / "out"
    _run.reproduce(folder, fakes.parts, quick=True)
    fakes.measured.clear()
    _run.reproduce(folder, fakes.parts, quick=True)
    assert fakes.measured == ["third"]  # it had failed
    (folder / "second" / "tables" / "some-numbers.csv").unlink()
    fakes.measured.clear()
    _run.reproduce(folder, fakes.parts, quick=True)
    assert fakes.measured == ["second", "third"]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"stamp": 3}', '{"checks": [], "stamp": {}}'])
def test_a_damaged_finding_counts_as_none(fakes, tmp_path, text):
    _run.reproduce(tmp_path, fakes.parts[:1])
    (tmp_path / "first" / "finding.json").write_text(text)
    assert [some.document for some in _run.write_page(tmp_path)] == [None] * 3
    _run.reproduce(tmp_path, fakes.parts[:1])
    assert fakes.measured == ["first", "first"]


@pytest.mark.parametrize("change", [{"quick": False}, {"seed": 1}, {"again": True}])
def test_another_mode_or_seed_or_again_measures_anew(fakes, tmp_path, change):
    fakes.broken = set()
    _run.reproduce(tmp_path / "out", fakes.parts, quick=True)
    fakes.measured.clear()
    _run.reproduce(tmp_path / "out", fakes.parts[:1], **{"quick": True} | change)
    assert fakes.measured == ["first"]


def test_a_finding_of_another_version_is_not_taken_for_this_one(fakes, tmp_path):
    _run.reproduce(tmp_path / "out", fakes.parts[:1])
    file = tmp_path / "out" / "first" / "finding.json"
    file.write_text(re.sub(r'"cmapjax": "[^"]+"', '"cmapjax": "0.0.1"', file.read_text()))
    _run.reproduce(tmp_path / "out", fakes.parts[:1])
    assert fakes.measured == ["first", "first"]


def test_an_interruption_keeps_what_was_done(fakes, tmp_path, monkeypatch):
    monkeypatch.setattr(sys.modules["cmapjax.reproduce._second"], "measure", _interrupted)
    with pytest.raises(KeyboardInterrupt):
        _run.reproduce(tmp_path / "out", fakes.parts)
    assert fakes.measured == ["first"]
    assert "12 of 12 markets" in (tmp_path / "out" / "report.html").read_text()


def _interrupted(setting):
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("verdicts", "whole"),
    [
        ([HOLDS, HOLDS], HOLDS),
        ([FAILS], FAILS),
        ([OPEN, OPEN], OPEN),
        ([HOLDS, FAILS], IN_PART),
        ([HOLDS, OPEN], IN_PART),
        ([HOLDS, IN_PART], IN_PART),
    ],
)
def test_a_part_has_the_verdict_of_its_checks_or_holds_in_part(verdicts, whole):
    assert _kept.overall([check(verdict) for verdict in verdicts]) == whole


def test_checks_are_counted_in_words():
    checks = [check(), check(), check(FAILS), check(IN_PART)]
    assert _kept.in_words(checks) == "2 hold, 1 holds in part, 1 does not"


def test_a_finding_without_checks_or_with_an_odd_name_is_a_failure(fakes, tmp_path, monkeypatch):
    module = sys.modules["cmapjax.reproduce._first"]
    for finding in (Finding([]), Finding([check()], {"../up": pd.DataFrame()})):
        monkeypatch.setattr(module, "measure", lambda setting, finding=finding: finding)
        kept = _run.reproduce(tmp_path / "out", fakes.parts[:1])
        assert kept[0].failure.startswith("ValueError")
    assert not list(tmp_path.glob("*.csv"))


def test_verdicts_csv_has_a_line_per_check_and_per_part_without_one(fakes, tmp_path):
    _run.reproduce(tmp_path, fakes.parts, quick=True)
    with open(tmp_path / "verdicts.csv", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [(row["part"], row["verdict"]) for row in rows] == [
        ("first", HOLDS),
        ("first", FAILS),
        ("second", HOLDS),
        ("third", "not measured"),
    ]
    assert rows[0]["command"] == "cmapjax reproduce --out DIR --quick --only first"
    assert rows[0]["found"] == "12 of 12 markets"


# -- the page ------------------------------------------------------------------------------------


def test_the_page_loads_nothing_and_whatever_others_wrote_is_text(fakes, tmp_path):
    _run.reproduce(tmp_path, fakes.parts)
    page = (tmp_path / "report.html").read_text()
    assert "default-src 'none'" in html.unescape(page)
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    sources = re.findall(r'src="([^"]{0,22})', page)
    assert sources == ["data:image/png;base64,"] * 2
    assert not re.search(r'(href|src)="(https?:|//|file:|/)', page)


def test_links_of_the_page_lead_to_places_and_files_that_are_there(fakes, tmp_path):
    _run.reproduce(tmp_path, fakes.parts)
    page = (tmp_path / "report.html").read_text()
    links = set(re.findall(r'<a href="([^"]+)"', page))
    assert "#second" in links
    for link in links:
        assert f'id="{link[1:]}"' in page if link.startswith("#") else (tmp_path / link).is_file(), link


def test_every_part_is_on_the_page_with_its_verdict_and_command(fakes, tmp_path):
    _run.reproduce(tmp_path, fakes.parts[:1])
    page = (tmp_path / "report.html").read_text()
    for part in fakes.parts:
        assert part.claim in page
        assert f"--only {part.name}" in page
        assert page.count(f'id="{part.name}"') == 1
    assert "12 of 12 markets" in page
    assert page.count(fakes.parts[0].claim) == 2  # among the verdicts, and in its own section
    assert "1 of 3 parts have been measured" in page
    assert "Not measured yet" in page


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.123456, "0.1235"),
        (3000, "3,000"),
        (2.0, "2"),
        (float("nan"), "–"),
        (float("-inf"), "−∞"),
        (True, "yes"),
        (np.bool_(False), "no"),
        (1.5e-9, "1.5e-09"),
        ("None", "None"),
    ],
)
def test_numbers_of_tables_are_short(value, text):
    assert _page.shown(value) == text


def test_long_tables_are_cut_on_the_page_and_whole_in_the_file(fakes, tmp_path, monkeypatch):
    frame = pd.DataFrame({"row": range(_page.MOST_ROWS + 50)})
    module = sys.modules["cmapjax.reproduce._first"]
    monkeypatch.setattr(module, "measure", lambda setting: Finding([check()], {"long": frame}))
    _run.reproduce(tmp_path, fakes.parts[:1])
    page = (tmp_path / "report.html").read_text()
    assert '<td class="number">199</td>' in page
    assert '<td class="number">200</td>' not in page
    assert f"The first {_page.MOST_ROWS} of 250 rows" in page
    assert len(pd.read_csv(tmp_path / "first" / "tables" / "long.csv")) == 250


# -- the command line ------------------------------------------------------------------------------


def test_the_command_prints_verdicts_and_fails_if_a_part_failed(fakes, tmp_path):
    said = CliRunner().invoke(
        app, ["reproduce", "--out", str(tmp_path / "o"), "--quick", "--only", "first,second"]
    )
    assert said.exit_code == 0, said.output
    assert re.search(r"first\s+│ holds in part\s+│ 1 holds, 1 does not", said.stdout)
    assert "third" not in said.stdout
    assert "[2/2] second: The second" in said.stderr
    said = CliRunner().invoke(app, ["reproduce", "--out", str(tmp_path / "o"), "--quick"])
    assert said.exit_code == 1
    assert "[1/3] first: The first: measured already (1 holds, 1 does not)" in said.stderr
    assert re.search(r"third\s+│ not measured\s+│ RuntimeError: no such luck", said.stdout)
    assert fakes.measured == ["first", "second", "third"]


def test_the_list_names_every_part():
    said = CliRunner().invoke(app, ["reproduce", "--list"])
    assert said.exit_code == 0
    assert [line.split()[0] for line in said.stdout.splitlines()] == [part.name for part in PARTS]


def test_bad_input_is_refused_before_jax_is_loaded(tmp_path):
    (tmp_path / "file").write_text("mine")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    cases = {
        (
            "--out",
            "new",
            "--only",
            "nonsense",
        ): r"--only 'nonsense': no such part; the parts are equilibrium, .*",
        ("--out", "file"): r"--out file is a file; name a folder\.",
        ("--out", "full"): r"--out full holds something else; name a new folder, .*",
        ("--out", "file/below"): r"--out file/below cannot be made in .*",
        ("--only", "in-turn"): r"--out is missing; .*",
        ("--out", "new", "--seed", "-1"): r"--seed is -1; .*",
    }
    code = (
        "import json, sys\nfrom cmapjax.cli import main\n"
        "for words in json.loads(sys.argv.pop()):\n"
        "    sys.argv[1:] = ['reproduce', *words]\n"
        "    try:\n        main()\n"
        "    except SystemExit as stop:\n        print(stop.code)\n"
        "assert 'jax' not in sys.modules"
    )
    words = json.dumps([list(case) for case in cases])
    command, more = [sys.executable, "-c", code, words], {"cwd": tmp_path, "env": dict(os.environ)}
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, **more)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["2"] * len(cases)
    for line, wanted in zip(done.stderr.splitlines(), cases.values(), strict=True):
        assert re.fullmatch(f"error: {wanted}", line), line
    assert (tmp_path / "full" / "mine.txt").read_text() == "mine"
    assert not (tmp_path / "new").exists()


def test_ctrl_c_ends_the_command_and_says_so(tmp_path):
    command = [sys.executable, "-m", "cmapjax", "reproduce", "--quick", "--out", "o", "--only", "communities"]
    with subprocess.Popen(
        with_interrupts(command), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path
    ) as running:
        assert running.stderr.readline().startswith("[1/1] communities")
        running.send_signal(signal.SIGINT)
        _, said = running.communicate(timeout=60)
    assert running.returncode == 130
    assert said.splitlines()[-1] == "interrupted: ended before it was done."
    assert not (tmp_path / "o" / "communities").exists()
    assert (tmp_path / "o" / "reproduction.json").is_file()


def test_a_study_of_a_part_is_played_once_and_kept(tmp_path, monkeypatch):
    study = studies.Study(
        name="tiny",
        rounds=2,
        record={"metrics": ["min_ratio"], "every": 2},
        cells={"network": "karate", "strategy": "equal-split"},
    )
    setting = Setting(tmp_path)
    first = setting.study(study).frame()
    karate = nx.karate_club_graph()
    received = [sum(1 / karate.degree(i) for i in karate[j]) for j in karate]
    assert first["min_ratio"].to_list() == pytest.approx([min(received)])
    monkeypatch.setattr(studies, "play_chunk", None)  # nothing is left to play
    assert setting.study(study).frame().equals(first)
    assert (tmp_path / "tiny" / "study.json").exists()
