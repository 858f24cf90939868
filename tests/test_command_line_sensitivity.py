"""`cmapjax sensitivity`: tables, JSON and pictures of what the equilibrium depends on."""

import functools
import json

import numpy as np
import pytest
from test_command_line import invoke

import cmapjax as cj


@pytest.fixture
def command(monkeypatch, capsys, tmp_path):
    """`cmapjax sensitivity …` in a folder of its own, with a path of three: a hub between two leaves."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "path.csv").write_text("source,target\nann,bob\nbob,cy\n")
    return functools.partial(invoke, monkeypatch, capsys, "sensitivity")


def test_derivatives_are_those_of_the_library_in_the_labels_of_the_file(command, tmp_path):
    code, out, err = command("path.csv", "--json", "answer.json", "--plot", "picture.png")
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
    code, out, _ = command("path.csv", "--of", "utility:ann", "--with-respect-to", "value", "--json", "-")
    assert code == 0
    # u_ann = w_bob · w_ann / (w_ann + w_cy)
    assert json.loads(out)["derivative"] == pytest.approx([0.25, 0.5, -0.25])


def test_of_many_agents_the_ends_are_shown_with_the_range_that_holds(command):
    code, out, _ = command("karate", "--top", "3")
    assert code == 0
    assert "the 3 highest and the 3 lowest" in out
    assert "+0.0545748 (kink)" in out
    assert "holds from" in out


def test_links_are_tried_and_drawn(command, tmp_path):
    words = ["--with-respect-to", "links", "--of", "min-ratio", "--plot", "links.png", "--json", "links.json"]
    code, out, err = command("path.csv", *words)
    assert (code, err) == (0, "")
    assert "new links that would raise the least ratio most" in out
    answer = json.loads((tmp_path / "links.json").read_text())
    assert answer["new_links"] == {"links": [["ann", "cy"]], "change": [0.5], "num_untried": 0}
    assert answer["removed_links"]["change"] == [-0.5, -0.5]
    assert (tmp_path / "links.png").exists()
    assert (tmp_path / "links-links-removed.png").exists()


def test_a_link_whose_loss_strands_an_agent_says_so_in_words(command, tmp_path):
    (tmp_path / "kite.csv").write_text("source,target\na,b\nb,c\nc,a\nc,the tail\n")
    words = ["--with-respect-to", "links", "--json", "kite.json"]
    code, out, err = command("kite.csv", *words)
    assert (code, err) == (0, "")
    assert "strands agent the tail" in out
    assert "inf" not in out
    gone = json.loads((tmp_path / "kite.json").read_text())["removed_links"]
    last = gone["links"].index(["c", "the tail"])
    assert (gone["change"][last], gone["strands"][last]) == ("strands agent the tail", ["the tail"])
    assert all(isinstance(x, float) for x in gone["change"][:last])
    assert gone["strands"][:last] == [[]] * 3
    code, out, _ = command("kite.csv", "--with-respect-to", "links", "--of", "min-ratio")
    assert ", strands agent the tail" in out


def test_both_ends_of_an_only_link_are_stranded(command, tmp_path):
    (tmp_path / "two.csv").write_text("source,target\nann,bob\n")
    _, out, _ = command("two.csv", "--with-respect-to", "links", "--json", "-")
    assert json.loads(out)["removed_links"]["change"] == ["strands agent ann and bob"]


def test_what_was_not_tried_is_counted(command):
    code, out, _ = command("karate", "--with-respect-to", "links", "--most", "5", "--top", "2")
    assert code == 0
    assert "288 less promising ones were not tried" in out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--of", "utility"], "give nash-welfare, min-ratio or utility:AGENT"),
        (["--of", "utility:dan"], "agent 'dan' is not among these 3 agents"),
        (["--of", "wealth"], "--of is 'wealth'"),
        (["--with-respect-to", "price"], "give one of endowment, value, links"),
        (["--top", "0"], "--top is 0"),
        (["--most", "-1"], "--most is -1"),
        (["--plot", "picture.bmp"], "end its name in .png, .pdf or .svg"),
        (["--plot", "nowhere/picture.png"], "its folder does not exist"),
    ],
)
def test_options_that_make_no_sense_are_refused(command, words, message):
    code, out, err = command("path.csv", *words)
    assert code == 2
    assert message in err
    assert out == ""
