"""Classes of one's own, named by file or module, wherever a class of the package can be named."""

import functools
import json
import subprocess
import sys
from pathlib import Path

import own_classes
import pytest
from commands import cmapjax
from test_words import are_equal

import cmapjax as cj
from cmapjax import endowments, graphs, studies, testing
from cmapjax.studies import Study
from cmapjax.words._objects import NOT_LOADED, Builder
from cmapjax.words._sources import Sources, sha256
from cmapjax.words._texts import words_of

SOURCE = Path(own_classes.__file__).read_text()
FILE = "my_rules.py"


@pytest.fixture
def folder(tmp_path):
    """A folder with a file of own classes."""
    (tmp_path / FILE).write_text(SOURCE)
    return tmp_path


@pytest.fixture
def builder(folder):
    return Builder(Sources(folder))


OWN = [
    (cj.Strategy, "Generous", own_classes.Generous()),
    (cj.Strategy, "Generous:share=0.25", own_classes.Generous(0.25)),
    (cj.Strategy, "Generous:s=0.25", own_classes.Generous(0.25)),
    (cj.Strategy, "Generous:0.25", own_classes.Generous(0.25)),
    (cj.Damping, "Slowly:theta=0.2", own_classes.Slowly(0.2)),
    (cj.Schedule, "Backwards", own_classes.Backwards()),
    (graphs.Family, "Ladder:steps=4", own_classes.Ladder(4)),
    (graphs.Distribution, "RichOrPoor", own_classes.RichOrPoor()),
    (endowments.Endowments, "Seasons", own_classes.Seasons()),
]


# -- from words to objects -------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "text", "thing"), OWN, ids=[text for _, text, _ in OWN])
def test_a_class_in_a_file_or_module_is_made_with_its_fields_and_told_by_the_same_words(
    builder, kind, text, thing
):
    made = builder.build(kind, f"{FILE}:{text}")
    assert type(made).__name__ == type(thing).__name__
    assert {**vars(made)} == {**vars(thing)}
    words = words_of(made)
    assert words.startswith(f"{FILE}:{type(thing).__name__}")
    assert are_equal(builder.build(kind, words), made)
    in_module = builder.build(kind, f"my_rules:{text}")
    assert {**vars(in_module)} == {**vars(thing)}


def test_own_classes_stand_within_those_of_the_package(builder):
    damped = builder.build(cj.Strategy, f"damped:{FILE}:Generous:0.25,damping={FILE}:Slowly")
    assert type(damped) is cj.Damped
    assert (type(damped.strategy).__name__, type(damped.damping).__name__) == ("Generous", "Slowly")
    assert damped.strategy.share == 0.25
    now_and_then = builder.build(cj.Schedule, f"participation:0.5,schedule={FILE}:Backwards")
    assert type(now_and_then.schedule).__name__ == "Backwards"


def test_files_within_the_fields_of_an_own_class_travel_too(folder):
    (folder / "others.py").write_text(SOURCE.replace("default=0.5", "default=0.75"))
    words = f"{FILE}:Both:cmap,other=(damped:others.py:Generous,damping=0.5)"
    cells = {"network": "ring:n=5", "strategy": words}
    study = Study(name="s", cells=cells, folder=str(folder))
    assert list(study.document()["sources"]) == [FILE, "others.py"]
    both = study.builder.build(cj.Strategy, words)
    assert both.other.strategy.share == 0.75
    # A module is not told from other words before the class that takes it is loaded.
    cells["strategy"] = f"{FILE}:Both:cmap,other=others:Generous"
    with pytest.raises(ValueError, match="others was not found in the study's words; name it by its file"):
        Study(name="s", cells=cells, folder=str(folder)).check()


@pytest.mark.parametrize(
    ("kind", "text", "expected"),
    [
        (cj.Strategy, "missing.py:Generous", ["'missing.py'", "no such file", "my_rules.py:Generous"]),
        (cj.Strategy, "no_such_module:Generous", ["'no_such_module' is not known", "FILE.py:Class"]),
        (cj.Strategy, f"{FILE}:Generus", ["no class Generus", "Generous, Spendthrift"]),
        (cj.Strategy, FILE, ["several", f"{FILE}:Generous, {FILE}:Spendthrift"]),
        (cj.Strategy, f"{FILE}:Backwards", ["Backwards is no Strategy"]),
        (cj.Strategy, f"{FILE}:Unfinished", ["Unfinished does not define more"]),
        (cj.Strategy, f"{FILE}:Generous:shore=1", ["'shore'", "did you mean share?", "share|s=0.5"]),
        (graphs.Family, f"{FILE}:Ladder:none", ["Ladder raised TypeError"]),
        (cj.Strategy, "broken.py:Generous", ["broken.py, line 2", "not Python"]),
        (cj.Strategy, "raises.py:Generous", ["raises.py", "line 3", "ZeroDivisionError"]),
        (cj.Strategy, "beside.py:Generous", ["beside.py", "no_such_neighbour", "no files beside it"]),
        (cj.Strategy, "empty.py", ["empty.py defines no public class"]),
        (cj.Strategy, "latin.py", ["latin.py: byte", "UTF-8"]),
    ],
)
def test_what_is_wrong_with_a_file_is_told_by_name(builder, folder, kind, text, expected):
    (folder / "broken.py").write_text("import numpy\nclass Generous(\n")
    (folder / "raises.py").write_text("class Generous: pass\n\n1 / 0\n")
    (folder / "beside.py").write_text("import no_such_neighbour\nclass Generous: pass\n")
    (folder / "empty.py").write_text("x = 1\nclass _Hidden: pass\n")
    (folder / "latin.py").write_bytes("x = 'ä'".encode("latin-1"))
    with pytest.raises(ValueError) as error:  # noqa: PT011 - the words are compared below
        builder.build(kind, text)
    assert [word for word in expected if word not in str(error.value)] == [], str(error.value)


def test_looking_at_words_runs_no_file(folder):
    (folder / "loud.py").write_text("class Loud: pass\nraise SystemExit('run')\n")
    looking = Builder(Sources(folder), loads=False)
    assert looking.build(cj.Strategy, "loud.py:Loud:x=1") is NOT_LOADED
    assert looking.build(cj.Strategy, "damped:loud.py:Loud,damping=0.5") is NOT_LOADED
    assert list(looking.sources.texts) == ["loud.py"]
    study = Study(
        name="s",
        folder=str(folder),
        cells={"network": "ring:n=5", "strategy": "loud.py:Loud:schedule=coloured"},
    )
    assert study.cells()[0].label == "loud.py:Loud coloured"
    assert Study(**study.document()).cells() == study.cells()


# -- objects in Python -----------------------------------------------------------------------------


def test_a_study_takes_objects_and_its_text_says_where_they_are_from():
    study = Study(
        name="objects",
        markets=2,
        cells={
            "network": graphs.ErdosRenyi(9, mean_degree=4),
            "endowment": own_classes.RichOrPoor(),
            "isolated": graphs.Redraw(50),
            "process": own_classes.Seasons(),
            "schedule": own_classes.Backwards(),
        },
        grid={"strategy": [own_classes.Generous(0.25), cj.Damped(cj.CMAP(), own_classes.Slowly()), "pr"]},
        record={"metrics": [own_classes.behind, "min_ratio"]},
    )
    words = study.cells()[0].words
    assert words.network == "erdos-renyi:9,mean_degree=4.0"
    assert words.schedule == "own_classes:Backwards"
    assert study.axes["strategy"] == [
        "own_classes:Generous:share=0.25",
        "damped:cmap,damping=own_classes:Slowly",
        "pr",
    ]
    assert study.metrics == ["behind", "min_ratio"]
    assert study.document()["sources"] == {"own_classes": {"sha256": sha256(SOURCE), "source": SOURCE}}
    again = Study(**json.loads(json.dumps(study.document())))
    assert (again.cells(), again.digest()) == (study.cells(), study.digest())


def test_objects_that_nobody_else_could_load_are_refused_with_the_remedy(tmp_path):
    class Local(own_classes.Generous):
        pass

    script = "import cmapjax as cj\nclass Mine(cj.Strategy):\n"
    script += "    def respond(self, view): return cj.repeat(view)\n"
    script += "cj.Study(name='s', cells={'network': 'ring:n=5', 'strategy': Mine()})\n"
    (tmp_path / "script.py").write_text(script)
    done = subprocess.run(
        [sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert "Mine is defined in a script, a notebook or at a prompt" in done.stderr
    assert "put it into a file, say my_rules.py" in done.stderr
    for strategy, expected in ((Local(), "inside of something else"), (own_classes.Generous, "is a class")):
        with pytest.raises(ValueError, match=expected):
            Study(name="s", cells={"network": "ring:n=5", "strategy": strategy})
    with pytest.raises(ValueError, match=r"grid\.strategy\[1\].*is a class"):
        Study(name="s", cells={"network": "ring:n=5"}, grid={"strategy": ["cmap", cj.CMAP]})


# -- studies ---------------------------------------------------------------------------------------

TEXT = f"""
name = "own"
markets = 2
rounds = 6
[record]
metrics = ["min_ratio", "{FILE}:behind", "{FILE}:farthest"]
curves = "full"
every = 3
[cells]
network = "{FILE}:Ladder:steps=4"
endowment = "{FILE}:RichOrPoor"
process = "{FILE}:Seasons"
schedule = "{FILE}:Backwards"
[grid]
share = [0.25, 0.5]
[[zip]]
strategy = ["{FILE}:Generous:share={{share}}", "cmap:damping={FILE}:Slowly"]
"""


@pytest.fixture
def study(folder):
    return studies.parse_study(TEXT, folder=folder)


def rows(result):
    return result.summary.to_pandas().drop(columns=["seed", "fingerprint"]).to_json()


def test_a_study_plays_own_classes_in_a_process_that_lacks_their_file(study, folder, tmp_path_factory):
    (chunk,) = studies.chunks(study)
    here = studies.play_chunk(study, chunk)
    table = here.summary.to_pandas()
    assert table["strategy"].iloc[0] == f"{FILE}:Generous:share={{share}}"
    market, run = studies.replay(study, cell=0, market=1)
    utility, best = run.final.utility, cj.solve(market).utility
    (row,) = table[(table["cell"] == 0) & (table["market"] == 1)].to_dict("records")
    assert row["farthest"] == pytest.approx(abs(utility - best).max(), rel=1e-9)
    assert row["behind"] == (utility < 0.5 * market.contribution).sum() > 0
    assert dict(here.summary.schema.field("behind").metadata)[b"description"] == f"{FILE}:behind".encode()
    (folder / "document.json").write_text(json.dumps(study.document()))
    (folder / FILE).unlink()
    code = """
import json, pathlib, sys
from cmapjax import studies
study = studies.Study(**json.loads(pathlib.Path(sys.argv[1]).read_text()))
(chunk,) = studies.chunks(study)
print(studies.play_chunk(study, chunk).summary.to_pandas().drop(columns=["seed", "fingerprint"]).to_json())
"""
    done = subprocess.run(
        [sys.executable, "-c", code, folder / "document.json"],
        cwd=tmp_path_factory.mktemp("elsewhere"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    there, here = (json.loads(text) for text in (done.stdout, rows(here)))
    for column in here:
        assert list(there[column].values()) == pytest.approx(list(here[column].values())), column


def test_another_source_is_another_study_and_the_kept_one_goes_on(study, folder):
    document = study.document()
    (folder / FILE).write_text(SOURCE.replace("1.5, 0.5", "1.2, 0.8"))
    other = studies.parse_study(TEXT, folder=folder)
    assert other.digest() != study.digest()
    again = Study(**document, folder=str(folder))
    assert again.digest() == study.digest()
    assert again.own_files == {FILE: SOURCE}
    document["sources"][FILE]["source"] += "\n"
    with pytest.raises(ValueError, match=rf"'{FILE}' was altered"):
        Study(**document)
    assert f"{FILE} (SHA-256 {sha256(SOURCE)[:12]}…) is run" in study.notes()[0]


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"strategy": f"{FILE}:Spendthrift"}, ["cell 0", "Spendthrift breaks the law of budget"]),
        ({"strategy": f"damped:{FILE}:Spendthrift"}, ["cell 0", "Damped breaks the law of budget"]),
        ({"network": f"{FILE}:Ladder:1"}, ["cell 0", "steps is 1"]),
    ],
)
def test_laws_and_fields_are_checked_before_anything_is_played(folder, changed, expected):
    study = Study(name="s", cells={"network": "ring:n=5"} | changed, folder=str(folder))
    with pytest.raises(ValueError) as error:  # noqa: PT011 - the words are compared below
        studies.chunks(study)
    assert [word for word in expected if word not in str(error.value)] == [], str(error.value)


def test_laws_are_tried_once_for_each_strategy_of_ones_own_alone(folder, monkeypatch):
    tried = []
    monkeypatch.setattr(testing, "check_strategy", tried.append)
    shares = [0.125, 0.375]  # which nothing else here has
    grid = {"strategy": ["cmap", *(f"{FILE}:Generous:share={s}" for s in shares)], "n": [5, 6]}
    for _ in range(2):
        Study(name="s", cells={"network": "ring:n={n}"}, grid=grid, folder=str(folder)).check()
    assert [float(strategy.share) for strategy in tried] == shares


@pytest.mark.parametrize(
    ("metric", "expected"),
    [
        (f"{FILE}:ahead", ["record.metrics[0]", "no function ahead", "behind, farthest"]),
        ("minratio", ["'minratio' is not a metric", "did you mean min_ratio?", "FILE.py:function"]),
        ("verdict.py:verdict", ["record.metrics[0]", "another column has this name"]),
    ],
)
def test_metrics_of_ones_own_that_are_none_are_refused(folder, metric, expected):
    (folder / "verdict.py").write_text("def verdict(market, state): ...\n")
    with pytest.raises(ValueError) as error:  # noqa: PT011 - the words are compared below
        Study(name="s", cells={"network": "ring:n=5"}, record={"metrics": [metric]}, folder=str(folder))
    assert [word for word in expected if word not in str(error.value)] == [], str(error.value)


@pytest.mark.parametrize(
    ("metric", "equilibrium", "expected"),
    [("of_nothing", True, r"takes \(market\); a metric takes"), ("farthest", False, "equilibrium = true")],
)
def test_a_metric_s_arguments_are_looked_at_before_anything_is_played(folder, metric, equilibrium, expected):
    record = {"metrics": [f"{FILE}:{metric}"]}
    cells = {"network": "ring:n=5"}
    study = Study(name="s", cells=cells, record=record, equilibrium=equilibrium, folder=str(folder))
    with pytest.raises(ValueError, match=expected):
        study.check()


# -- the command line ------------------------------------------------------------------------------


def test_simulate_and_explain_take_own_classes(folder):
    words = ["-s", f"{FILE}:Generous:share=0.3", "-s", "my_rules:Generous", "--schedule", f"{FILE}:Backwards"]
    words += ["--endowments", f"{FILE}:Seasons", "--damping", f"{FILE}:Slowly", "--json", "-"]
    done = cmapjax("simulate", f"{FILE}:Ladder:steps=3", *words, "--rounds", 4, folder=folder)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["num_agents"] == 6
    assert document["runs"][0]["name"] == f"{FILE}:Generous:share=0.3 {FILE}:Backwards damping {FILE}:Slowly"
    done = cmapjax(
        "explain", "ring:n=4", "--agent", 0, "-s", f"{FILE}:Generous:1", "--json", "-", folder=folder
    )
    assert [n["gets"] for n in json.loads(done.stdout)["neighbours"]] == [0.5, 0.5]


def test_simulate_names_the_law_before_anything_is_played_or_written(folder):
    words = ["-s", f"{FILE}:Spendthrift", "--out", "results"]
    done = cmapjax("simulate", "ring:n=4", *words, folder=folder)
    assert (done.returncode, done.stdout) == (2, "")
    assert "Spendthrift breaks the law of budget" in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (folder / "results").exists()


def test_a_study_is_run_with_its_source_kept_and_another_source_is_refused_by_name(folder):
    run = functools.partial(cmapjax, "study", folder=folder)
    (folder / "study.toml").write_text(TEXT)
    done = run("run", "study.toml", "--out", "out")
    assert done.returncode == 0, done.stderr
    results = cj.open_study(folder / "out")
    assert results.study["sources"][FILE]["source"] == SOURCE
    assert {"behind", "farthest"} <= set(results.frame().columns)
    (folder / FILE).write_text(SOURCE.replace("1.5, 0.5", "1.2, 0.8"))
    done = run("run", "study.toml", "--out", "out")
    assert done.returncode == 2
    assert f"sources.{FILE}.sha256" in done.stderr
    (folder / FILE).unlink()
    assert run("resume", "out").returncode == 0
    done = cmapjax("report", "out", folder=folder)
    assert done.returncode == 0, done.stderr
    assert "a report runs no code of a study" in (folder / "out" / "report.html").read_text()


def test_list_shows_names_fields_and_defaults():
    done = cmapjax("list")
    assert done.returncode == 0
    for text in (
        "cmap (community_hops|hops=1, ",
        "The row that maximises",
        "watts-strogatz | ws (num_agents|n, neighbours|k, rewiring)",
        "gamma (variation|cv=0.5)",
        "share_of_equilibrium",
        "FILE.py:Class",
    ):
        assert text in done.stdout
    assert "watts-strogatz" not in cmapjax("list", "strategy").stdout
    assert "did you mean strategy?" in cmapjax("list", "stretegy").stderr
