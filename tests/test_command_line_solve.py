"""`cmapjax solve`: methods, groups and fractions."""

import functools
import json

import pytest
from test_command_line import invoke

from cmapjax import Method
from cmapjax import equilibrium as methods
from cmapjax.words._classes import members
from cmapjax.words._objects import Builder


@pytest.fixture
def command(monkeypatch, capsys, tmp_path):
    """`cmapjax solve …` in a folder of its own, with a star whose centre brings as much as every leaf."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "star.csv").write_text("source,target\nann,bob\nann,cy\nann,[b]x\n")
    return functools.partial(invoke, monkeypatch, capsys, "solve")


STAR = [
    {"ratio": pytest.approx(1 / 3), "receivers": ["bob", "cy", "[b]x"], "givers": ["ann"]},
    {"ratio": 3, "receivers": ["ann"], "givers": ["bob", "cy", "[b]x"]},
]


def test_solve_names_its_method_and_counts_in_that_method_s_word(command):
    code, out, err = command("star.csv")
    assert (code, err) == (0, "")
    assert "decomposition (2 flows)" in out
    code, out, _ = command("star.csv", "--method", "projected-gradient:check-every=1")
    assert code == 0
    assert "projected-gradient (" in out
    assert " step" in out
    assert "bottleneck" not in out  # it knows no groups


def test_solve_prints_bottleneck_pairs_and_writes_all_groups(command, tmp_path):
    _, out, _ = command("star.csv", "--json", "answer.json")
    assert "bob, cy, [b]x" in out
    answer = json.loads((tmp_path / "answer.json").read_text())
    assert answer["groups"] == STAR
    assert "exact" not in answer
    by_gradient = command("star.csv", "--method", "projected-gradient", "--json", "-")[1]
    assert json.loads(by_gradient)["groups"] is None


def test_agents_of_ratio_one_are_a_pair_with_themselves(command):
    _, out, _ = command("ring:n=5")
    assert "the same agents" in out
    assert "0, 1, 2, 3 and 1 more" in out


def test_pairs_beyond_the_table_are_counted(command, tmp_path):
    # Stars of 2, 3, … leaves: a pair of ratio 1/2, 1/3, … each.
    rows = [f"hub{n},leaf{n}-{i}" for n in range(2, 13) for i in range(n)]
    (tmp_path / "stars.csv").write_text("\n".join(["source,target", *rows]))
    _, out, _ = command("stars.csv", "--exact")
    assert "and 3 more pairs" in out
    assert "1/12" in out
    assert "hub3" not in out.split("bottleneck pairs of lowest ratio")[1].split("agents worst")[0]


def test_exact_gives_fractions(command, tmp_path):
    _, out, _ = command("star.csv", "--exact", "--json", "answer.json")
    assert "1/3" in out
    answer = json.loads((tmp_path / "answer.json").read_text())
    assert answer["exact"] == {"utility": ["3", "1/3", "1/3", "1/3"], "ratio": ["3", "1/3", "1/3", "1/3"]}


def test_fractions_too_long_for_a_table_are_left_to_json(command, tmp_path):
    (tmp_path / "agents.csv").write_text("agent,endowment\nann,0.1\nbob,0.3\ncy,0.7\n[b]x,1e-9\n")
    code, out, _ = command("star.csv", "--agents", "agents.csv", "--exact")
    assert code == 0
    assert "in --json" in out
    answer = json.loads(command("star.csv", "--agents", "agents.csv", "--exact", "--json", "-")[1])
    numerator, denominator = map(int, answer["exact"]["ratio"][0].split("/"))
    assert numerator / denominator == answer["ratio"][0]


def test_every_market_of_an_ensemble_has_groups_and_fractions_of_its_own(command):
    answer = json.loads(command("star.csv", "ring:n=3", "--exact", "--json", "-")[1])
    star, ring = answer["markets"]
    assert [group["ratio"] for group in star["groups"]] == [pytest.approx(1 / 3), 3]
    assert star["groups"][0]["givers"] == ["ann"]
    assert ring["groups"] == [{"ratio": 1, "receivers": ring["agents"], "givers": ring["agents"]}]
    assert ring["exact"]["utility"] == ["1", "1", "1"]


def test_solve_exits_1_when_steps_run_out_and_names_the_option(command):
    code, _, err = command("les-miserables", "--method", "projected-gradient:max_steps=20")
    assert code == 1
    assert "after 20 steps" in err
    assert "raise max_steps (--method projected-gradient:max_steps=…)" in err
    assert "--tolerance" in err


@pytest.mark.parametrize("method", members(Method).values(), ids=lambda cls: cls.__name__)
def test_what_a_method_advises_is_a_field_of_its_own(method):
    assert method.remedy == "" or method.remedy.split()[-1] in method.__dataclass_fields__


def test_options_of_methods_reach_them():
    projected = Builder().build(Method, "projected-gradient:projection=jaxopt,max-steps=7")
    assert projected == methods.ProjectedGradient(max_steps=7, projection="jaxopt")
    assert Builder().build(Method, "projected-gradient:projection=optax") == methods.ProjectedGradient()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--method", "magic"], ["'magic'", "decomposition", "convex"]),
        (["--method", "projected-gradient:steps=3"], ["'steps'", "max_steps"]),
        (["--method", "projected-gradient:max_steps=many"], ["'many'"]),
        (["--method", "projected-gradient:max_steps=0"], ["max_steps is 0", "1 or more"]),
        (["--method", "projected-gradient:projection=magic"], ["'magic'", "jaxopt"]),
        (["--method", "decomposition:5"], ["'5'", "none"]),
        (["--tolerance", "0"], ["--tolerance is 0", "1e-14"]),
        (["--tolerance", "nan"], ["--tolerance is nan"]),
    ],
)
def test_methods_and_tolerances_that_make_no_sense_exit_2(command, words, expected):
    code, out, err = command("star.csv", *words)
    assert (code, out) == (2, "")
    assert [word for word in expected if word not in err] == [], err
