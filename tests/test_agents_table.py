"""Agents tables: what they give a market, and bad ones refused with line, agent, value and remedy."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from network_files import complaint_about, write

from cmapjax.graphs._read import read_market


@pytest.mark.parametrize("ending", [".csv", ".tsv", ".csv.gz", ".parquet"])
def test_an_agents_table_gives_endowments_in_any_order(tmp_path, ending):
    links = write(tmp_path, "a.txt", "ann 7\n7 @bo\n")
    if ending == ".parquet":
        table = tmp_path / "agents.parquet"
        pq.write_table(pa.table({"agent": ["7", "@bo", "ann"], "endowment": [7.0, 2.0, 1.5]}), table)
    else:
        text = "agent,note,endowment\n7,x,7\n'@bo,x,2e0\nann,x,1.5\n"
        table = write(tmp_path, "agents" + ending, text.replace(",", "\t") if "tsv" in ending else text)
    market = read_market(links, agents=table)
    assert list(market.labels) == ["ann", "7", "@bo"]
    assert market.endowment.tolist() == [1.5, 7, 2]
    assert market.value.tolist() == [1, 1, 1]


@pytest.mark.parametrize("ending", [".csv", ".parquet"])
def test_columns_of_agents_are_known_in_any_letter_case_and_their_labels_without_blanks(tmp_path, ending):
    links = write(tmp_path, "a.txt", "ann bo\n")
    if ending == ".parquet":
        table = tmp_path / "agents.parquet"
        pq.write_table(pa.table({"Agent ": [" bo", "ann"], "note": [1, 2], "VALUE": [2.0, 3.0]}), table)
    else:
        table = write(tmp_path, "agents.csv", "note,note,VALUE,Agent \n1,1,2, bo\n2,2,3,ann\n")
    assert read_market(links, agents=table).value.tolist() == [3, 2]


def test_rows_of_dropped_agents_may_stand_in_the_agents_table_or_not(tmp_path):
    links = write(tmp_path, "a.txt", "0 1\n2 2\n")
    drop = {"drop_self_loops": True, "drop_isolated": True}
    for rows in ("0,5\n1,6\n", "0,5\n1,6\n2,7\n"):
        table = write(tmp_path, "agents.csv", "agent,value\n" + rows)
        assert read_market(links, agents=table, **drop).value.tolist() == [5, 6]


BAD_TABLES = {
    "empty": ("", ["empty"]),
    "no agent column": ("name,value\n0,1\n", ["line 1", "'agent'", "'name'"]),
    "no numbers": ("agent,wealth\n0,1\n", ["line 1", "endowment or value", "'wealth'"]),
    "misspelt": ("agent,value,Endowments\n0,1,1\n", ["line 1", "'Endowments' looks like 'endowment'"]),
    "alike but for case": ("agent,value,Value\n0,1,1\n", ["line 1", "'value' occurs twice"]),
    "unknown agent": ("agent,value\n0,1\n1,1\n2,1\n", ["line 4", "agent '2'", "remove its row"]),
    "missing agent": ("agent,value\n0,1\n", ["1 agent(s)", "(1)", "add one"]),
    "agent twice": ("agent,value\n0,1\n1,1\n0,2\n", ["line 4", "agent '0'", "line 2"]),
    "odd label": ("agent,value\n0,1\n1,1\n01,1\n", ["'01' (line 4)", "'1' (line 3)", "same number"]),
    "empty cell": ("agent,value\n0,1\n1,\n", ["line 3", "value of agent '1' is empty", "above zero"]),
    "text": ("agent,value\n0,1\n1,lots\n", ["line 3", "agent '1' is 'lots'", "plain number"]),
    "decimal comma": ('agent,value\n0,1\n1,"1,5"\n', ["line 3", "'1,5'", "plain number"]),
    "infinity": ("agent,value\n0,1\n1,-inf\n", ["line 3", "'-inf'", "finite"]),
    "zero": ("agent,value\n0,1\n1,0\n", ["line 3", "agent '1' is '0'", "above zero"]),
    "negative": ("agent,endowment\n0,1\n1,-2\n", ["line 3", "endowment of agent '1' is '-2'", "above zero"]),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD_TABLES)
def test_a_bad_agents_table_is_named_with_line_agent_and_value(tmp_path, case):
    content, words = BAD_TABLES[case]
    table = write(tmp_path, "agents.csv", content)
    message = complaint_about(write(tmp_path, "a.txt", "0 1\n"), agents=table)
    assert [word for word in ["agents.csv", *words] if word not in message] == [], message


BAD_PARQUET = {
    "text where numbers belong": ({"agent": [0, 1], "value": ["1", "2"]}, ["value", "string", "float64"]),
    "booleans": ({"agent": [0, 1], "value": [True, True]}, ["value", "bool"]),
    "fractional agents": ({"agent": [0.0, 1.0], "value": [1, 2]}, ["agent", "double", "integers or text"]),
    "empty agent": ({"agent": [0, None], "value": [1, 2]}, ["row 2", "label is empty"]),
    "empty agent of text": ({"agent": ["0", None], "value": [1, 2]}, ["row 2", "label is empty"]),
    "empty number": ({"agent": [0, 1], "value": [None, 2.0]}, ["row 1", "value of agent '0' is empty"]),
    "NaN": ({"agent": [0, 1], "value": [1.0, float("nan")]}, ["row 2", "agent '1' is nan", "finite"]),
    "negative": ({"agent": [0, 1], "value": [1.0, -2.5]}, ["row 2", "-2.5"]),
    "agent twice": ({"agent": ["1", "1"], "value": [1, 2]}, ["row 2", "'1' stands also on row 1"]),
    "no agent": ({"name": [0, 1]}, ["'agent'", "'name'"]),
    "nested": ({"agent": [{"a": 1}], "value": [1.0]}, ["agent is of type struct"]),
    "no numbers": ({"agent": [0, 1]}, ["endowment or value"]),
    "negative agent": ({"agent": [0, -1], "value": [1, 2]}, ["row 2", "'-1'"]),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD_PARQUET)
def test_a_bad_agents_table_in_parquet_is_named_with_row_and_value(tmp_path, case):
    columns, words = BAD_PARQUET[case]
    pq.write_table(pa.table(columns), tmp_path / "agents.parquet")
    message = complaint_about(write(tmp_path, "a.txt", "0 1\n"), agents=tmp_path / "agents.parquet")
    assert [word for word in ["agents.parquet", *words] if word not in message] == [], message


def test_parquet_that_declares_too_much_is_refused_before_it_is_read(tmp_path):
    ones = pa.DictionaryArray.from_arrays(np.zeros(10**6, np.int32), ["x" * 1000])
    path = tmp_path / "agents.parquet"
    pq.write_table(pa.table({"agent": ones, "value": np.ones(10**6)}), path)
    assert path.stat().st_size < 200_000
    message = complaint_about(write(tmp_path, "a.txt", "0 1\n"), agents=path, memory_budget=10**8)
    assert "declares" in message
    assert "memory_budget" in message


@pytest.mark.parametrize("content", [b"PAR1 not really PAR1", b"", b"agent,value\n0,1\n"])
def test_what_is_not_parquet_is_refused(tmp_path, content):
    table = write(tmp_path, "agents.parquet", content)
    message = complaint_about(write(tmp_path, "a.txt", "0 1\n"), agents=table)
    assert "agents.parquet: cannot be read as Parquet" in message
