"""`cmapjax explain`: one agent's turn, as text, as JSON, as a picture."""

import functools
import json

import pytest
from test_command_line import invoke


@pytest.fixture
def command(monkeypatch, capsys, tmp_path):
    """`cmapjax explain …` in a folder of its own, with a star of three leaves."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "star.csv").write_text("source,target\nann,bob\nann,cy\nann,dan\n")
    return functools.partial(invoke, monkeypatch, capsys, "explain")


def test_explain_tells_what_an_agent_saw_and_why_it_gave(command, tmp_path):
    code, out, err = command("star.csv", "--agent", "ann", "--round", "1", "--plot", "ann.png")
    assert (code, err) == (0, "")
    assert "Round 1: agent ann, which follows CMAP" in out
    assert "Water level 0.333333" in out  # its contribution 1 over three leaves that have nothing else
    assert "reaches bob, cy, dan" in out
    assert (tmp_path / "ann.png").stat().st_size > 5_000


def test_explain_prints_json(command):
    code, out, _ = command("star.csv", "--agent", "bob", "--round", "2", "-s", "pr", "--json", "-")
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
    code, out, err = command("star.csv", *options)
    assert (code, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1
