"""Runs and equilibria as tables, with the caller's names."""

import jax
import networkx as nx
import numpy as np
import pytest

import cmapjax as cj


@pytest.fixture(scope="module")
def villages():
    """Two named markets of unequal sizes."""
    path = cj.graphs.from_networkx(nx.relabel_nodes(nx.path_graph(3), {0: "ann", 1: "bob", 2: "cem"}))
    ring = cj.graphs.from_networkx(nx.relabel_nodes(nx.cycle_graph(4), dict(enumerate("wxyz"))))
    return cj.pack([path, ring])


@pytest.fixture(scope="module")
def run(villages):
    record = cj.metrics.standard(cj.solve(villages).utility) | {"received": cj.metrics.received}
    return cj.simulate(villages, cj.ProportionalResponse(), rounds=5, every=2, record=record)


def test_a_frame_has_a_row_per_recorded_round_and_market(villages, run):
    frame = run.to_frame(villages)
    assert list(frame.columns[:3]) == ["market", "round", "agent_updates"]
    assert "received" not in frame
    assert frame[["round", "market"]].values.tolist() == [[t, m] for t in (0, 2, 4, 5) for m in (0, 1)]
    assert frame.agent_updates.tolist() == [0, 0, 6, 8, 12, 16, 15, 20]
    for name, values in run.records.items():
        if name != "received":
            np.testing.assert_array_equal(frame[name], values.ravel())


def test_xarray_finds_agents_by_label(villages, run):
    data = run.to_xarray(villages)
    first, second = ([villages.labels[i] for i in np.flatnonzero(villages.market_of == m)] for m in (0, 1))
    assert dict(data.sizes) == {"round": 4, "market": 2, "agent": 7}
    assert data.received.sel(agent=[first[1]], round=5).item() == run.final.utility[1]
    assert float(data.utility.where(data.market_of == 1, drop=True).sum()) == pytest.approx(len(second))
    assert data.gini.sel(round=2, market=1).item() == run.records["gini"][1, 1]
    assert data.verdict.values.tolist() == run.verdicts


def test_an_equilibrium_is_a_row_per_agent(villages):
    equilibrium = cj.solve(villages)
    frame = equilibrium.to_frame(villages)
    assert frame.agent.tolist() == list(villages.labels)
    assert frame.market.tolist() == [0, 0, 0, 1, 1, 1, 1]
    middle = frame.loc[1]  # of a path of three gets all that both ends have
    assert (middle.utility, middle.ratio, middle.price) == pytest.approx((2, 2, 2))
    np.testing.assert_array_equal(frame.gives_in, equilibrium.groups.gives_in)


def test_another_market_or_a_record_of_another_shape_is_refused(villages, run):
    other = cj.graphs.from_networkx(nx.path_graph(3))
    with pytest.raises(ValueError, match=r"market: the run is of 2 markets .* this market has 1"):
        run.to_frame(other)
    with pytest.raises(ValueError, match="market: the equilibrium is of 7 agents, this market has 3"):
        cj.solve(villages).to_frame(other)
    with jax.enable_x64(True):
        odd = cj.simulate(other, cj.CMAP(), rounds=1, record={"x": lambda market, state: state.history})
    with pytest.raises(ValueError, match=r"records: one has shape \(3, 3\) a round"):
        odd.to_xarray(other)
