"""`cmapjax share`, and the files of production and need that it reads."""

import re

import four_homes as homes
import numpy as np
import pandas as pd
import pytest

import cmapjax as cj
from cmapjax.graphs import read_balance, read_market
from tests.commands import typed

TABLES = ("--production", "production.csv", "--need", "need.csv")


@pytest.fixture
def village(tmp_path):
    return homes.write(tmp_path)


@pytest.fixture
def share(village):
    run = typed(village)
    return lambda *words: run("share", "links.csv", *words)


def test_hours_by_hand_from_files_to_files(village, share):
    code, out, err = share(*TABLES, "--out", "found")
    assert (code, err) == (0, "")
    assert "4 rounds in" in out
    assert re.search(r"shared by others +│ +7 │ +31\.8 %", out)
    assert re.search(r"kept, .* │ +3 │ +20\.0 %", out)
    assert sorted(path.name for path in (village / "found").iterdir()) == [
        "agents.csv", "links.csv", "rounds.csv", "sharing.png", "total.csv",
    ]  # fmt: skip
    agents = pd.read_csv(village / "found" / "agents.csv", index_col="agent")
    assert agents["received"].to_dict() == pytest.approx(
        {"north": 6 / 7, "mid": 3, "south": 22 / 7, "end": 0}
    )
    assert agents["kept"].to_dict() == pytest.approx({"north": 1, "mid": 0, "south": 0, "end": 2})
    assert agents.loc["north", "self_consumption"] == pytest.approx(2 / 6)
    rounds = pd.read_csv(village / "found" / "rounds.csv")
    assert rounds["time"].tolist() == homes.HOURS
    assert rounds["unmet"].tolist() == pytest.approx([4, 9 - 3 - 4, 4, 0])
    assert rounds["coverage"].isna().tolist() == [False, False, False, True]
    total = pd.read_csv(village / "found" / "total.csv").iloc[0]
    assert total[["production", "own_use", "given", "kept"]].tolist() == pytest.approx([15, 5, 7, 3])
    links = pd.read_csv(village / "found" / "links.csv").set_index(["giver", "receiver"])["given"]
    assert links[("mid", "south")] == pytest.approx(22 / 7)
    assert links.sum() == pytest.approx(7)


def test_one_long_table_gives_the_same(village, share):
    share(*TABLES, "--out", "two")
    code, _, err = share("--balance", "balance.csv", "--out", "one")
    assert (code, err) == (0, "")
    for name in ("agents", "rounds", "links", "total"):
        one, two = ((village / folder / f"{name}.csv").read_text() for folder in ("one", "two"))
        assert one == two


@pytest.mark.parametrize(
    ("words", "received"),
    [
        (("--reach", "2"), [[0, 2, 2, 0], None, [0, 0, 0, 0], None]),
        (("--priority", "heads"), [None, [1, 0, 3, 0], None, None]),
        (("--priority", "reciprocity"), [[0, 3, 0, 0], [1, 0, 0, 0], None, None]),
        # What the others cannot use goes to south, whose points are a fifth of a mean.
        (("--priority", "solidarity:0.2"), [None, [1, 0, 3, 0], None, None]),
    ],
)
def test_reach_and_priority(village, share, words, received):
    code, out, err = share(*TABLES, *words, "--receipts", "every.csv")
    assert (code, err) == (0, "")
    assert ("within 2 links: 5 pairs may share" in out) == ("--reach" in words)
    every = pd.read_csv(village / "every.csv").pivot(index="time", columns="agent", values="received")
    for row, by_hand in zip(every[[*homes.HOMES]].to_numpy(), received, strict=True):
        if by_hand is not None:
            np.testing.assert_allclose(row, by_hand, atol=1e-12)


def test_receipts_in_parquet_and_labels_that_are_formulas(village, share):
    for name in ("links", "production", "need"):
        path = village / f"{name}.csv"
        path.write_text(path.read_text().replace("mid", "+mid"))
    code, _, err = share(*TABLES, "--out", "found", "--receipts", "every.parquet")
    assert (code, err) == (0, "")
    assert "'+mid" in (village / "found" / "links.csv").read_text()
    assert len(pd.read_parquet(village / "every.parquet")) == 16


# -- bad input -------------------------------------------------------------------------------------


def altered(village, name, old, new):
    path = village / f"{name}.csv"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


CELLS = {
    "a gap": (("need", "11:00,1,6,1,1", "11:00,1,6,,1"), "line 3: need of agent 'mid' is ''.*--gaps zero"),
    "NA": (("need", "11:00,1,6,1,1", "11:00,NA,6,1,1"), "line 3: need of agent 'end' is 'NA'.*--gaps"),
    "below 0": (
        ("production", "10:00,6,0,0,0", "10:00,6,0,-0.2,0"),
        r"line 2: production of agent 'south' is '-0\.2'; give .*--negative zero",
    ),
    "text": (
        ("need", "11:00,1,6,1,1", "11:00,1,six,1,1"),
        "line 3: need of agent 'south' is 'six'; give a finite",
    ),
    "infinite": (
        ("need", "11:00,1,6,1,1", "11:00,1,inf,1,1"),
        "line 3: need of agent 'south' is 'inf'; give",
    ),
    "a column less": (("need", "south", "mid2"), r"need\.csv, line 1: column\(s\) 'mid2' name no agent"),
    "other times": (
        ("need", "11:00", "11:30"),
        "production is of the time '2030-05-01 11:00' in row 1, need of",
    ),
}


@pytest.mark.parametrize("case", CELLS)
def test_what_is_wrong_with_a_cell_is_said_with_its_line(village, share, case):
    change, words = CELLS[case]
    altered(village, *change)
    code, out, err = share(*TABLES, "--out", "found")
    assert code == 2
    assert re.search(words, err), err
    assert "rounds in" not in out
    assert not (village / "found").exists()


LONG = {
    "a row less": (
        "2030-05-01 11:00,mid,5,1\n",
        "",
        "no row of agent 'mid' at '2030-05-01 11:00'; .*--gaps zero",
    ),
    "a row twice": (
        "11:00,mid,5,1",
        "10:00,mid,5,1",
        "line 11: agent 'mid' at '2030-05-01 10:00' stands in line 10",
    ),
    "nobody's row": ("11:00,mid", "11:00,Mid", "line 11: agent 'Mid' is not in the network"),
    "a gap": ("11:00,mid,5,1", "11:00,mid,,1", "line 11: production of agent 'mid' is ''.*--gaps zero"),
    "a column less": (
        "need",
        "demand",
        r"no column 'need' \(found 'time', 'agent', 'production', 'demand'\)",
    ),
}


@pytest.mark.parametrize("case", LONG)
def test_what_is_wrong_with_a_long_table_is_said(village, share, case):
    *change, words = LONG[case]
    altered(village, "balance", *change)
    code, _, err = share("--balance", "balance.csv")
    assert code == 2
    assert re.search(words, err), err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "give --production FILE and --need FILE .* or --balance FILE"),
        ((*TABLES[:2],), "give --production FILE and --need FILE"),
        ((*TABLES, "--balance", "balance.csv"), "give --production FILE and --need FILE"),
        ((*TABLES, "--reach", "0"), "--reach is 0; give a whole number of links"),
        ((*TABLES, "--priority", "merit"), "priority rule 'merit' is not known.* coverage"),
        ((*TABLES, "--priority", "solidarity:2"), "share is 2; give a number at least 0 and at most 1"),
        ((*TABLES, "--gaps", "mean"), "--gaps is 'mean'; give refuse, zero, previous, linear"),
        ((*TABLES, "--out", "."), "--out .* is not empty"),
        ((*TABLES, "--receipts", "every.txt"), "--receipts every.txt: end its name in"),
        (("karate", *TABLES), "share takes one network"),
    ],
)
def test_words_that_do_not_fit_are_refused_before_anything_is_read(village, share, words, message):
    (village / "production.csv").unlink()  # it would be the first complaint
    code, out, err = share(*words)
    assert (code, out) == (2, "")
    assert re.search(message, err), err


def test_reach_is_refused_where_cables_have_limits(village, share):
    altered(village, "links", homes.LINKS, "source,target,capacity\nnorth,mid,1\nmid,south,\nsouth,end,\n")
    code, _, err = share(*TABLES, "--reach", "2")
    assert code == 2
    assert "within: links of this market have capacity" in err
    assert share(*TABLES)[0] == 0


def test_agents_without_a_column_are_refused_or_have_nothing(village, share):
    table = homes.frame(homes.PRODUCTION)[["north", "mid", "end"]]
    table.to_csv(village / "production.csv")
    code, _, err = share(*TABLES)
    assert code == 2
    assert re.search(r"production\.csv, line 1: no column 'south'; add one, or .* --absent zero", err), err
    code, out, err = share(*TABLES, "--absent", "zero")
    assert code == 0
    assert "production of 'south' taken for 0" in err
    assert re.search(r"production +│ +13 ", out)


# -- rules that fill gaps --------------------------------------------------------------------------

FILLED = {
    "zero": [2, 4, 0, 0, 8, 3],
    "previous": [2, 4, 4, 4, 8, 3],
    "linear": [2, 4, 4 + 4 / 3, 4 + 8 / 3, 8, 3],
}
HOURS = [f"{hour}:00" for hour in range(10, 16)]


@pytest.mark.parametrize("rule", FILLED)
@pytest.mark.parametrize("is_long", [False, True], ids=["wide", "long"])
def test_gaps_are_filled_by_the_rule_that_is_asked_for_and_counted(tmp_path, rule, is_long):
    market = read_market(_pair(tmp_path))
    cells = ["2", "4", "", "nan", "8", "3"]
    with pytest.warns(
        UserWarning, match=rf"production: 2 cell\(s\) without a number filled \(rule: {rule}\)"
    ):
        made, needed = read_balance(market, *_files(tmp_path, cells, is_long), gaps=rule)
    np.testing.assert_allclose(made["a"], FILLED[rule])
    assert needed["b"].tolist() == [1] * 6
    assert made.index.tolist() == HOURS
    assert cj.endowments.Balance(made, needed).times == tuple(HOURS)


@pytest.mark.parametrize("is_long", [False, True], ids=["wide", "long"])
def test_a_gap_at_the_end_that_no_rule_can_fill_is_refused(tmp_path, is_long):
    market = read_market(_pair(tmp_path))
    for rule, words, cells in (
        ("previous", "none before it", ["", "4", "5", "6", "8", "9"]),
        ("linear", "none on both sides", ["2", "4", "5", "6", "8", ""]),
    ):
        files = _files(tmp_path, cells, is_long)
        with pytest.raises(ValueError, match=f"production of agent 'a' has no number in .*, and {words}"):
            read_balance(market, *files, gaps=rule)
    files = _files(tmp_path, ["", "4", "5", "6", "8", ""], is_long)
    with pytest.warns(UserWarning, match="2 cell"):
        assert read_balance(market, *files, gaps="zero")[0]["a"].tolist() == [0, 4, 5, 6, 8, 0]


def test_numbers_below_zero_are_taken_for_zero_on_request(tmp_path):
    market = read_market(_pair(tmp_path))
    files = _files(tmp_path, ["-0.01", "4", "-0.5", "0", "1", "2"], False)
    with pytest.warns(
        UserWarning, match=r"production: 2 cell\(s\) below 0 taken for 0 \(the least is -0\.5\)"
    ):
        made, _ = read_balance(market, *files, negative="zero")
    assert made["a"].tolist() == [0, 4, 0, 0, 1, 2]
    with pytest.raises(ValueError, match=r"'-0\.01'; give a finite number ≥ 0, or .* negative='zero'"):
        read_balance(market, *files, gaps="zero")


def test_rows_that_a_long_table_lacks_are_gaps(tmp_path):
    market = read_market(_pair(tmp_path))
    path = tmp_path / "balance.csv"
    path.write_text("Time,Agent,Need,Production\n1,a,1,2\n1,b,1,0\n2,a,1,3\n3,b,2,0\n3,a,1,5\n")
    with pytest.warns(UserWarning, match=r"(production|need): 1 cell\(s\)"):
        made, needed = read_balance(market, path, gaps="previous")
    assert needed["b"].tolist() == [1, 1, 2]
    assert made["a"].tolist() == [2, 3, 5]
    path.write_text("time,agent,production,need\n1,a,1,2\n2,a,1,3\n")
    with pytest.raises(
        ValueError, match="no row of agent 'b'; give one for each time, or take 0 by absent='zero'"
    ):
        read_balance(market, path)
    with pytest.warns(UserWarning, match=r"(production|need) of 'b' taken for 0"):
        assert read_balance(market, path, absent="zero")[1]["b"].tolist() == [0, 0]


def _pair(folder):
    path = folder / "links.csv"
    path.write_text("source,target\na,b\n")
    return path


def _files(folder, cells, is_long):
    """Tables in which a produces what these cells say, and everybody needs 1 in each of six hours."""
    rows = list(zip(HOURS, cells, strict=True))
    if is_long:
        path = folder / "balance.csv"
        lines = [f"{hour},a,{cell},1\n{hour},b,0,1" for hour, cell in rows]
        path.write_text("\n".join(["time,agent,production,need", *lines]))
        return (path,)
    tables = {
        "production": ["time,a,b", *(f"{hour},{cell},0" for hour, cell in rows)],
        "need": ["time,b,a", *(f"{hour},1,1" for hour, _ in rows)],
    }
    for name, lines in tables.items():
        (folder / f"{name}.csv").write_text("\n".join(lines))
    return tuple(folder / f"{name}.csv" for name in tables)
