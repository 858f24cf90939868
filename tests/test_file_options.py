"""One set of options of a file, on the command line and in studies as in Python."""

import dataclasses
import inspect
import json
import re
import subprocess
import sys

import networkx as nx
import pytest
import typer
from commands import typed

from cmapjax.cli._app import app
from cmapjax.graphs import read_market
from cmapjax.graphs._file_options import FileOptions
from cmapjax.studies import Study, estimate
from cmapjax.studies._build import fixed_market
from cmapjax.studies._files import network_file

OPTIONS = [field.name for field in dataclasses.fields(FileOptions) if "help" in field.metadata]
COMMANDS = ("simulate", "solve", "sensitivity", "explain")


@pytest.fixture
def command(tmp_path):
    return typed(tmp_path)


def parameters(*names):
    found = typer.main.get_command(app)
    for name in names:
        found = found.commands[name]
    return {parameter.name: parameter for parameter in found.params}


def test_python_and_all_commands_have_the_same_options_of_a_file():
    keywords = inspect.signature(read_market).parameters
    assert {*keywords} == {"path", "agents", "drop_isolated", *OPTIONS}
    defaults = {field.name: field.default for field in dataclasses.fields(FileOptions)}
    assert all(keywords[name].default == defaults[name] for name in [*OPTIONS, "drop_isolated"])
    for name in COMMANDS:
        known = parameters(name)
        assert {*OPTIONS, "agents", "isolated", "seed"} <= {*known}
        assert all(known[option].help for option in OPTIONS)
        assert ("markets" in known) == (name != "explain")
        assert "--no-header" in known["header"].secondary_opts


@pytest.mark.parametrize("names", [*((name,) for name in COMMANDS), ("study", "plan"), ("study", "status")])
def test_json_takes_a_file_in_every_command(names):
    option = parameters(*names)["json"]
    assert not option.is_flag
    assert option.metavar == "FILE"


def test_json_goes_into_a_file_beside_the_tables_or_alone_to_the_output(command, tmp_path):
    (tmp_path / "star.csv").write_text("source,target\nann,bob\nann,cleo\n")
    words = ("explain", "star.csv", "--agent", "bob", "--round", "1", "-s", "equal-split")
    code, out, err = command(*words, "--json", "answer.json")
    assert (code, err) == (0, "")
    assert "bob" in out
    text = (tmp_path / "answer.json").read_text()
    assert text == command(*words, "--json", "-")[1]
    assert json.loads(text)["agent"] == "bob"
    code, _, err = command(*words, "--json", "no-such-folder/answer.json")
    assert code == 2
    assert "--json no-such-folder/answer.json: its folder does not exist" in err


def test_a_plan_goes_into_a_file_too(command, tmp_path):
    (tmp_path / "study.toml").write_text('name = "a"\nrounds = 2\n[cells]\nnetwork = "ring:n=5"\n')
    code, out, _ = command("study", "plan", "study.toml", "--no-sample", "--json", "plan.json")
    assert code == 0
    assert "1 on 1 grounds" in out
    assert json.loads((tmp_path / "plan.json").read_text())["cells"] == 1


def test_commands_read_any_format_by_its_options(command, tmp_path):
    (tmp_path / "links.dat").write_text("from;to;kg\nann;bob;2\nbob;cleo;3\ncleo;ann;1\n")
    words = ("solve", "links.dat", "--format", "csv", "--separator", "semicolon", "--source-column", "from")
    code, out, err = command(*words, "--target-column", "to", "--json", "-")
    assert (code, err) == (0, "")
    assert json.loads(out)["agents"] == ["ann", "bob", "cleo"]


def test_options_that_do_not_apply_are_refused_by_name(command, tmp_path):
    (tmp_path / "links.txt").write_text("0 1\n1 2\n")
    _, _, err = command("solve", "links.txt", "--label-attribute", "name")
    assert "the format edge-list has no --label-attribute (which is for graphml, gml" in err
    _, _, err = command("solve", "links.txt", "--value-attribute", "pv")
    assert "--agents FILE" in err
    for network in ("ring:n=5", "karate"):
        _, _, err = command("solve", network, "--symmetrize")
        assert f"--symmetrize is for network files; leave it out for '{network}'" in err
    _, _, err = command("solve", "links.txt", "--memory-budget", "10")
    assert "pass a larger --memory-budget" in err
    _, _, err = command("solve", "links.txt", "--format", "pdf")
    assert "--format 'pdf' is not known; use one of edge-list" in err


def test_standard_input_is_read_where_its_format_is_named(tmp_path):
    line = [sys.executable, "-m", "cmapjax", "solve", "-", "--json", "-"]
    run = {"input": b"0 1\n1 2\n", "capture_output": True, "check": False}
    done = subprocess.run([*line, "--format", "edge-list"], **run)
    assert (done.returncode, done.stderr) == (0, b"")
    assert json.loads(done.stdout)["agents"] == [0, 1, 2]
    done = subprocess.run(line, **run)
    assert done.returncode == 2
    assert b"name its format by --format NAME" in done.stderr
    done = subprocess.run([*line, "--format", "edge-list"], **run | {"input": b"0 1\n1 \xff\n"})
    assert b"error: standard input, line 2: byte 6 (0xff) is not UTF-8" in done.stderr


# -- studies -----------------------------------------------------------------------------------


def study(folder, network, **more):
    cells = {"network": network, "strategy": "equal-split"} | more
    return Study(name="small", rounds=2, equilibrium=False, cells=cells, folder=str(folder))


def advice(folder, network, **more):
    """What the refusal of a study recommends, as one writes it behind the file."""
    with pytest.raises(ValueError) as caught:  # noqa: PT011  its words are looked at
        study(folder, network, **more).check()
    return re.search(r'network = "file:…,([^"]*)"', str(caught.value))[1]


def test_the_advice_of_a_study_is_followed_by_a_study(tmp_path):
    (tmp_path / "visits.edges").write_text("x y 3 1042\ny z 4 1043\nz x 1 1044\n")
    remedy = advice(tmp_path, "file:visits.edges")
    assert remedy == "ignore-extra-columns=true"
    planned = study(tmp_path, f"file:visits.edges,{remedy}")
    assert estimate(planned, sample=False).cells == 1
    nx.write_graphml(nx.DiGraph([(1, 2), (2, 3)]), tmp_path / "roads.graphml")
    remedy = advice(tmp_path, "file:roads.graphml")
    assert remedy == "symmetrize=true"
    study(tmp_path, f"file:roads.graphml,{remedy}").check()
    (tmp_path / "loop.csv").write_text("source,target\na,a\na,b\n")
    remedy = advice(tmp_path, "file:loop.csv")
    assert remedy == "drop-self-loops=true"
    study(tmp_path, f"file:loop.csv,{remedy}").check()
    remedy = advice(tmp_path, "file:loop.csv,value-attribute=pv")
    assert remedy == "agents=FILE"
    remedy = advice(tmp_path, "file:loop.csv,drop-self-loops=true,memory-budget=9")
    assert remedy == "memory-budget=BYTES"
    (tmp_path / "alone.adj").write_text("a b\nc\n")
    with pytest.raises(ValueError, match='or pass isolated = "drop"'):
        study(tmp_path, "file:alone.adj").check()
    study(tmp_path, "file:alone.adj", isolated="drop").check()


def test_a_study_notes_what_reading_ignored_and_merged(tmp_path):
    (tmp_path / "a.csv").write_text("source,target,weight\na,b,2\nb,c,3\nb,a,1\n")
    notes = estimate(study(tmp_path, "file:a.csv"), sample=False).notes
    assert "a.csv: merged 1 links that were given more than once." in notes
    assert "a.csv: weights of links ignored: 3." in notes


def test_options_of_a_file_are_part_of_a_study(tmp_path):
    (tmp_path / "net.gml").write_text(
        'graph [ directed 1 node [ id 1 label "a" who "ann" pv 2 ] node [ id 2 label "b" who "bob" pv 3 ]\n'
        "edge [ source 1 target 2 ] ]"
    )
    plain = study(tmp_path, "file:net.gml,symmetrize=true")
    named = study(tmp_path, "file:net.gml, symmetrize = true, label_attribute=who,endowment-attribute=pv")
    assert plain.digest() != named.digest()
    assert plain.hashes == named.hashes
    market = fixed_market(named, named.grounds()[0])
    assert (list(market.labels), market.endowment.tolist()) == (["ann", "bob"], [2.0, 3.0])
    again = Study(**named.document(), folder=str(tmp_path))
    assert fixed_market(again, again.grounds()[0]) == market


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("colour=red", ["'colour' is no option", "symmetrize", "source-column", "agents"]),
        ("symmetrize", ["'symmetrize' is no option", "option=value"]),
        ("symmetrize=yes", ["symmetrize is 'yes'", "true or false"]),
        ("symmetrize=true,symmetrize=true", ["given twice"]),
        ("memory-budget=lots", ["memory-budget is 'lots'"]),
        ("format=pdf", ["format 'pdf' is not known", "edge-list"]),
        ("separator=ab", ["separator is 'ab'", "semicolon"]),
        ("place=python", ["no option"]),
        ("drop-isolated=true", ["no option"]),
    ],
)
def test_options_that_a_file_does_not_have_are_refused_by_name(options, words):
    with pytest.raises(ValueError) as caught:  # noqa: PT011  its words are looked at
        network_file(f"file:links.txt,{options}")
    assert [word for word in words if word not in str(caught.value)] == []
