"""What brings the agents' names along is matched by name wherever numbers per agent are taken, or refused."""

import subprocess
import sys

import networkx as nx
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import xarray as xr

import cmapjax as cj
from cmapjax import metrics
from cmapjax.arguments._labelled import unlabelled

NAMES = ["mill", "farm", "dock", "yard"]
LINKS = ([("mill", "farm"), ("farm", "dock"), ("dock", "yard")],)
AMOUNT = {"mill": 1.0, "farm": 2.0, "dock": 4.0, "yard": 8.0}
IN_ORDER = [1.0, 2.0, 4.0, 8.0]
SHUFFLED = ["yard", "farm", "mill", "dock"]


def series(names=SHUFFLED):
    return pd.Series([AMOUNT[name] for name in names], index=names)


LABELLED = {
    "mapping": lambda: {name: AMOUNT[name] for name in SHUFFLED},
    "Series": series,
    "nullable Series": lambda: series().astype("Float64"),
    "DataFrame of one column": lambda: series().to_frame("kWh"),
    "xarray": lambda: series().rename_axis("house").to_xarray(),
}


def path_market(**given):
    graph = nx.Graph(*LINKS)
    return cj.graphs.from_networkx(graph, **given)


TAKERS = {
    "from_networkx": path_market,
    "from_arrays": lambda **given: cj.graphs.from_arrays(*zip(*LINKS[0], strict=True), **given),
    "from_sparse": lambda **given: cj.graphs.from_sparse(
        nx.adjacency_matrix(nx.Graph(*LINKS)), labels=NAMES, **given
    ),
    "from_links": lambda **given: cj.Market.from_links([[0, 1], [1, 2], [2, 3]], labels=NAMES, **given),
    "with_contributions": lambda **given: path_market().with_contributions(**given),
}


@pytest.mark.parametrize("field", ["endowment", "value"])
@pytest.mark.parametrize("kind", LABELLED)
@pytest.mark.parametrize("taker", TAKERS)
def test_numbers_with_names_are_matched_by_name(taker, kind, field):
    market = TAKERS[taker](**{field: LABELLED[kind]()})
    assert list(market.labels) == NAMES
    assert getattr(market, field).tolist() == IN_ORDER


POSITIONAL = {
    "default index": pd.Series(IN_ORDER),
    "polars": pl.Series(IN_ORDER),
    "arrow": pa.array(IN_ORDER),
    "xarray without names": xr.DataArray(IN_ORDER, dims="agent"),
    "list": IN_ORDER,
}


@pytest.mark.parametrize("taker", TAKERS)
@pytest.mark.parametrize("kind", POSITIONAL)
def test_numbers_without_names_are_taken_in_order(taker, kind):
    assert TAKERS[taker](endowment=POSITIONAL[kind]).endowment.tolist() == IN_ORDER


def renamed(**names):
    return series().rename(index=names)


REFUSED = {
    "a name is missing": (series(["farm", "mill", "dock"]), r"no number for 1 agent\(s\) \('yard'\)"),
    "a name is unknown": (pd.concat([series(), pd.Series({"inn": 1.0})]), "'inn' is not an agent"),
    "a name stands twice": (series([*SHUFFLED, "farm"]), "'farm' is named more than once"),
    "a missing name": (renamed(mill=np.nan), r"no number for 1 agent\(s\) \('mill'\)"),
    "numbers after sorting": (pd.Series(IN_ORDER, index=[3, 1, 0, 2]), r"no number for 4 agent\(s\)"),
    "a part of a longer default": (pd.Series([0.0, *IN_ORDER])[1:], r"no number for 4 agent\(s\)"),
    "several columns": (
        pd.DataFrame({"a": series(), "b": series()}),
        "its rows are the agents.*give one column",
    ),
    "a missing number": (renamed().replace(4.0, np.nan), "endowment must be finite .*dock: nan"),
    "text": (series().astype(str), "endowment of agent 'mill' is '1.0'"),
    "a table of polars": (pl.DataFrame({name: [1.0] for name in ("x", "y")}), r"no number for 4 agent"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_names_that_do_not_fit_are_refused(case):
    given, words = REFUSED[case]
    with pytest.raises(ValueError, match=words):
        path_market(endowment=given)
    with pytest.raises(ValueError, match=words):
        path_market().with_contributions(endowment=given)


def numbered(labels):
    """A ring of agents called by these labels."""
    links = [(i, (i + 1) % len(labels)) for i in range(len(labels))]
    return lambda **given: cj.Market.from_links(links, labels=labels, **given)


def test_integers_as_names_are_matched_and_never_guessed():
    """Agents 1, 2, 3: numbers 0, 1, 2 may be places or names, and the wrong reading is a silent shift."""
    given = pd.Series([7.0, 8.0, 9.0], index=[3, 1, 2])
    assert numbered([1, 2, 3])(endowment=given).endowment.tolist() == [8, 9, 7]
    assert numbered([0, 1, 2])(endowment=pd.Series([7.0, 8.0, 9.0])).endowment.tolist() == [7, 8, 9]
    assert numbered([0, 1, 2])(endowment=given.rename({3: 0})).endowment.tolist() == [7, 8, 9]
    for labels in ([1, 2, 3], [2, 0, 1], ["1", "2", "3"], [5, "b", "c"]):
        with pytest.raises(ValueError, match=r"numbered 0 to 2, which may mean.*pass \.to_numpy\(\)"):
            numbered(labels)(endowment=pd.Series([7.0, 8.0, 9.0]))
        assert numbered(labels)(endowment=pd.Series([7.0, 8, 9]).to_numpy()).endowment.tolist() == [7, 8, 9]


def test_text_is_no_name_of_an_integer():
    with pytest.raises(ValueError, match=r"no number for 3.*type str, the agents' of type int: convert"):
        numbered([1, 2, 3])(endowment=pd.Series({"3": 1.0, "1": 2.0, "2": 3.0}))


def test_agents_called_by_pairs_are_matched_with_a_multiindex():
    graph = nx.grid_2d_graph(1, 3)
    given = pd.Series({(0, 2): 1.0, (0, 0): 2.0, (0, 1): 3.0})
    assert isinstance(given.index, pd.MultiIndex)
    market = cj.graphs.from_networkx(graph, endowment=given)
    assert dict(zip(market.labels, market.endowment, strict=True)) == given.to_dict()


def test_an_ensemble_is_matched_by_market_and_label():
    twice = cj.pack([path_market(), path_market()])
    given = pd.Series(range(1, 9), index=[(m, name) for m in (1, 0) for name in SHUFFLED], dtype=float)
    matched = twice.with_contributions(endowment=given)
    assert [given[label] for label in twice.labels] == matched.endowment.tolist()
    with pytest.raises(ValueError, match=r"no number for 8 agent\(s\)"):
        twice.with_contributions(endowment=series())


def test_metrics_match_by_name():
    market = path_market(endowment=[6.0, 3.0, 4.0, 4.0])
    best = cj.solve(market).utility
    for given in (series(), AMOUNT, series().rename_axis("a").to_xarray()):
        for metric in (
            metrics.ratio,
            metrics.log_nash_welfare,
            metrics.min_ratio,
            metrics.gini,
            market.total,
        ):
            arguments = (given,) if metric == market.total else (market, given)
            plain = (np.array(IN_ORDER),) if metric == market.total else (market, np.array(IN_ORDER))
            np.testing.assert_array_equal(metric(*arguments), metric(*plain))
        np.testing.assert_array_equal(
            metrics.misallocated_share(market, given, equilibrium=pd.Series(best, index=NAMES)[::-1]),
            metrics.misallocated_share(market, np.array(IN_ORDER), best),
        )
        assert cj.fairness.best_coalition(market, given) == cj.fairness.best_coalition(market, IN_ORDER)
    np.testing.assert_array_equal(
        cj.sensitivity.min_ratio(market, series()), cj.sensitivity.min_ratio(market, np.array(IN_ORDER))
    )
    with pytest.raises(ValueError, match="utility: no number for 1 agent"):
        metrics.ratio(market, series()[:3])
    with pytest.raises(ValueError, match="equilibrium has names of its own"):
        metrics.standard(series())


def test_tables_of_several_rows_are_matched_by_their_columns():
    market = path_market()
    rows = pd.DataFrame([series(), 2 * series()])
    assert list(rows.columns) == SHUFFLED
    expected = [*IN_ORDER, *(2 * np.array(IN_ORDER))]
    assert cj.copies(market, endowment=rows).endowment.tolist() == expected
    assert cj.copies(market, endowment=pl.DataFrame(rows)).endowment.tolist() == expected
    assert cj.copies(market, endowment=pa.Table.from_pandas(rows)).endowment.tolist() == expected
    history = pd.concat([rows, rows[:1]])
    np.testing.assert_array_equal(
        metrics.oscillation(market, history), metrics.oscillation(market, history[NAMES].to_numpy())
    )


def test_attributes_that_are_written_are_matched_by_name(tmp_path):
    market = path_market()
    words = pd.Series({"dock": "d", "mill": "m", "yard": "y", "farm": "f"})
    graph = cj.graphs.to_networkx(market, attributes={"letter": words, "amount": series()})
    assert dict(graph.nodes(data="letter")) == words.to_dict()
    cj.graphs.write_agents(market, tmp_path / "a.csv", {"letter": words})
    table = pd.read_csv(tmp_path / "a.csv", index_col="agent")
    assert table["letter"].to_dict() == words.to_dict()


def test_what_cannot_know_the_agents_refuses_names():
    for make in (cj.FixedDamping, lambda x: cj.PerAgent(cj.Damped(cj.CMAP(), x))):
        with pytest.raises(ValueError, match=r"has names of its own \('yard', 'farm', 'mill'"):
            make(series() / 10)
    market = path_market()
    with pytest.raises(ValueError, match="flow has names of its own"):
        market.flow_from_arcs(pd.Series(np.ones(6), index=[5, 4, 3, 2, 1, 0]))
    with pytest.raises(ValueError, match="start has names of its own"):
        cj.simulate(market, cj.CMAP(), start=pd.Series(1.0, index=range(7, 7 + market.links.num_slots)))
    assert unlabelled("x", pd.Series([1, 2])).tolist() == [1, 2]


def test_no_table_library_is_loaded_for_names():
    code = "import sys, cmapjax; cmapjax.Market.from_links([[0, 1]], endowment={0: 1, 1: 2})\n"
    code += "print([m for m in ('pandas', 'xarray', 'polars') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
