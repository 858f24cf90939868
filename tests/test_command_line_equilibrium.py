"""`cmapjax solve`, `sensitivity` and `explain`: what they print, write and refuse."""

import json

import numpy as np
import pytest
from commands import typed

import cmapjax as cj
from cmapjax import Method
from cmapjax import equilibrium as methods
from cmapjax.words._classes import members
from cmapjax.words._objects import Builder

STAR = "source,target\nann,bob\nann,cy\nann,[b]x\n"
PATH = "source,target\nann,bob\nbob,cy\n"
KITE = "source,target\na,b\nb,c\nc,a\nc,the tail\n"


@pytest.fixture
def command(tmp_path):
    """`cmapjax …` in a folder with a star, a path of three agents, and a triangle with a tail."""
    for name, text in (("star", STAR), ("path", PATH), ("kite", KITE)):
        (tmp_path / f"{name}.csv").write_text(text)
    return typed(tmp_path)


# -- solve -----------------------------------------------------------------------------------------

GROUPS = [
    {"ratio": pytest.approx(1 / 3), "receivers": ["bob", "cy", "[b]x"], "givers": ["ann"]},
    {"ratio": 3, "receivers": ["ann"], "givers": ["bob", "cy", "[b]x"]},
]


def test_solve_names_its_method_and_counts_in_that_method_s_word(command):
    code, out, err = command("solve", "star.csv")
    assert (code, err) == (0, "")
    assert "decomposition (2 flows)" in out
    code, out, _ = command("solve", "star.csv", "--method", "projected-gradient:check-every=1")
    assert code == 0
    assert "projected-gradient (" in out
    assert " step" in out
    assert "bottleneck" not in out  # it knows no groups


def test_solve_prints_bottleneck_pairs_and_writes_all_groups(command, tmp_path):
    _, out, _ = command("solve", "star.csv", "--json", "answer.json")
    assert "bob, cy, [b]x" in out
    answer = json.loads((tmp_path / "answer.json").read_text())
    assert answer["groups"] == GROUPS
    assert "exact" not in answer
    by_gradient = command("solve", "star.csv", "--method", "projected-gradient", "--json", "-")[1]
    assert json.loads(by_gradient)["groups"] is None


def test_pairs_beyond_the_table_are_counted(command, tmp_path):
    # Stars of 2, 3, … leaves: a pair of ratio 1/2, 1/3, … each.
    rows = [f"hub{n},leaf{n}-{i}" for n in range(2, 13) for i in range(n)]
    (tmp_path / "stars.csv").write_text("\n".join(["source,target", *rows]))
    _, out, _ = command("solve", "stars.csv", "--exact")
    assert "and 3 more pairs" in out
    assert "1/12" in out
    assert "hub3" not in out.split("bottleneck pairs of lowest ratio")[1].split("agents worst")[0]


def test_exact_gives_fractions(command, tmp_path):
    _, out, _ = command("solve", "star.csv", "--exact", "--json", "answer.json")
    assert "1/3" in out
    answer = json.loads((tmp_path / "answer.json").read_text())
    assert answer["exact"] == {"utility": ["3", "1/3", "1/3", "1/3"], "ratio": ["3", "1/3", "1/3", "1/3"]}


def test_fractions_too_long_for_a_table_are_left_to_json(command, tmp_path):
    (tmp_path / "agents.csv").write_text("agent,endowment\nann,0.1\nbob,0.3\ncy,0.7\n[b]x,1e-9\n")
    code, out, _ = command("solve", "star.csv", "--agents", "agents.csv", "--exact")
    assert code == 0
    assert "in --json" in out
    answer = json.loads(command("solve", "star.csv", "--agents", "agents.csv", "--exact", "--json", "-")[1])
    numerator, denominator = map(int, answer["exact"]["ratio"][0].split("/"))
    assert numerator / denominator == answer["ratio"][0]


def test_every_market_of_an_ensemble_has_groups_and_fractions_of_its_own(command):
    answer = json.loads(command("solve", "star.csv", "ring:n=3", "--exact", "--json", "-")[1])
    star, ring = answer["markets"]
    assert [group["ratio"] for group in star["groups"]] == [pytest.approx(1 / 3), 3]
    assert star["groups"][0]["givers"] == ["ann"]
    assert ring["groups"] == [{"ratio": 1, "receivers": ring["agents"], "givers": ring["agents"]}]
    assert ring["exact"]["utility"] == ["1", "1", "1"]


def test_solve_exits_1_when_steps_run_out_and_names_the_option(command):
    code, _, err = command("solve", "les-miserables", "--method", "projected-gradient:max_steps=20")
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
    code, out, err = command("solve", "star.csv", *words)
    assert (code, out) == (2, "")
    assert [word for word in expected if word not in err] == [], err


# -- sensitivity ---------


def test_derivatives_are_those_of_the_library_in_the_labels_of_the_file(command, tmp_path):
    code, out, err = command("sensitivity", "path.csv", "--json", "answer.json", "--plot", "picture.png")
    assert (code, err) == (0, "")
    assert "derivative of log Nash welfare with respect to the endowment" in out
    answer = json.loads((tmp_path / "answer.json").read_text())
    market = cj.graphs.read_market(tmp_path / "path.csv")
    slope = cj.sensitivity.gradient(market, cj.metrics.log_nash_welfare)
    assert answer["agents"] == ["ann", "bob", "cy"]
    np.testing.assert_allclose(answer["derivative"], slope, rtol=1e-12)
    assert answer["value"] == pytest.approx([-0.23104906018664842], abs=1e-12)
    assert (tmp_path / "picture.png").stat().st_size > 10_000


def test_the_utility_of_one_agent_depends_on_values_too(command):
    code, out, _ = command(
        "sensitivity", "path.csv", "--of", "utility:ann", "--with-respect-to", "value", "--json", "-"
    )
    assert code == 0
    # u_ann = w_bob · w_ann / (w_ann + w_cy)
    assert json.loads(out)["derivative"] == pytest.approx([0.25, 0.5, -0.25])


def test_of_many_agents_the_ends_are_shown_with_the_range_that_holds(command):
    code, out, _ = command("sensitivity", "karate", "--top", "3")
    assert code == 0
    assert "the 3 highest and the 3 lowest" in out
    assert "+0.0545748 (kink)" in out
    assert "holds from" in out


def test_links_are_tried_and_drawn(command, tmp_path):
    words = ["--with-respect-to", "links", "--of", "min-ratio", "--plot", "links.png", "--json", "links.json"]
    code, out, err = command("sensitivity", "path.csv", *words)
    assert (code, err) == (0, "")
    assert "new links that would raise the least ratio most" in out
    answer = json.loads((tmp_path / "links.json").read_text())
    assert answer["new_links"] == {"links": [["ann", "cy"]], "change": [0.5], "num_untried": 0}
    assert answer["removed_links"]["change"] == [-0.5, -0.5]
    assert (tmp_path / "links.png").exists()
    assert (tmp_path / "links-links-removed.png").exists()


def test_a_link_whose_loss_strands_an_agent_says_so_in_words(command, tmp_path):
    words = ["--with-respect-to", "links", "--json", "kite.json"]
    code, out, err = command("sensitivity", "kite.csv", *words)
    assert (code, err) == (0, "")
    assert "strands agent the tail" in out
    assert "inf" not in out
    gone = json.loads((tmp_path / "kite.json").read_text())["removed_links"]
    last = gone["links"].index(["c", "the tail"])
    assert (gone["change"][last], gone["strands"][last]) == ("strands agent the tail", ["the tail"])
    assert all(isinstance(x, float) for x in gone["change"][:last])
    assert gone["strands"][:last] == [[]] * 3
    code, out, _ = command("sensitivity", "kite.csv", "--with-respect-to", "links", "--of", "min-ratio")
    assert ", strands agent the tail" in out


def test_derivatives_by_fields_of_agents_and_links_are_those_of_the_library(command, tmp_path):
    """A donor of 6 crates, a small food bank that wants half of one, and a road that lets through 1.5."""
    (tmp_path / "roads.csv").write_text("source,target,capacity\ndonor,small,\ndonor,town,\ndonor,hill,1.5\n")
    (tmp_path / "needs.csv").write_text(
        "agent,endowment,priority,demand\ndonor,6,0,\nsmall,0,1,0.5\ntown,0,2,\nhill,0,2,\n"
    )
    words = ("sensitivity", "roads.csv", "--agents", "needs.csv", "--directed", "--with-respect-to")
    code, out, err = command(*words, "capacity", "--json", "found.json", "--plot", "roads.png")
    assert (code, err) == (0, "")
    assert "with respect to the capacity of each link" in out
    found = json.loads((tmp_path / "found.json").read_text())
    slope = dict(zip(map(tuple, found["links"]), found["derivative"], strict=True))
    # Another crate to the hill, where it is worth 2 / 1.5, instead of the town, where it is worth 2 / 4.
    assert slope["donor", "hill"] == pytest.approx((2 / 1.5 - 2 / 4) / 5)
    assert (tmp_path / "roads.png").stat().st_size > 10_000
    _, out, _ = command(*words, "demand", "--json", "-")
    assert json.loads(out)["derivative"] == pytest.approx([0, 1 / 0.5 / 5 - 2 / 4 / 5, 0, 0])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--of", "utility"], "give nash-welfare, min-ratio or utility:AGENT"),
        (["--of", "utility:dan"], "agent 'dan' is not among these 3 agents"),
        (["--of", "wealth"], "--of is 'wealth'"),
        (["--with-respect-to", "price"], "give one of endowment, value, priority, demand, own_use"),
        (["--top", "0"], "--top is 0"),
        (["--most", "-1"], "--most is -1"),
        (["--plot", "picture.bmp"], "end its name in .png, .pdf or .svg"),
        (["--plot", "nowhere/picture.png"], "its folder does not exist"),
    ],
)
def test_options_that_make_no_sense_are_refused(command, words, message):
    code, out, err = command("sensitivity", "path.csv", *words)
    assert code == 2
    assert message in err
    assert out == ""


# -- explain -------


def test_explain_tells_what_an_agent_saw_and_why_it_gave(command, tmp_path):
    code, out, err = command("explain", "star.csv", "--agent", "ann", "--round", "1", "--plot", "ann.png")
    assert (code, err) == (0, "")
    assert "Round 1: agent ann, which follows CMAP" in out
    assert "Water level 0.333333" in out  # its contribution 1 over three leaves that have nothing else
    assert "reaches bob, cy, [b]x" in out
    assert (tmp_path / "ann.png").stat().st_size > 5_000


def test_explain_prints_json(command):
    code, out, _ = command("explain", "star.csv", "--agent", "bob", "--round", "2", "-s", "pr", "--json", "-")
    assert code == 0
    document = json.loads(out)
    (ann,) = document["neighbours"]
    assert (document["agent"], document["round"], document["level"]) == ("bob", 2, None)
    assert ann["label"] == "ann"
    assert ann["gets"] == pytest.approx(1)
    assert ann["gave"] == pytest.approx(1 / 3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--agent", "eve"], "--agent is 'eve', which is not in this market"),
        (["--agent", "ann", "--round", "0"], "--round is 0"),
        (["--agent", "ann", "-s", "cmapp"], "not known"),
        (["--agent", "ann", "--plot", "nowhere/x.png"], "--plot"),
    ],
)
def test_explain_refuses_in_one_line(command, options, message):
    code, out, err = command("explain", "star.csv", *options)
    assert (code, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1
