"""The village of the tutorial: what its formulas give is plausible, and the same each time."""

import sys
from pathlib import Path

import networkx as nx
import numpy as np
import pytest


@pytest.fixture(scope="module")
def village():
    sys.path.insert(0, str(Path(__file__).parents[1] / "docs" / "tutorials"))
    try:
        import village
    finally:
        sys.path.pop(0)
    return village, *village.made()


def test_panels_make_what_panels_make_at_this_latitude(village):
    module, buildings, _, production, _ = village
    panels = buildings["panels"] > 0
    assert (production.loc[:, ~panels] == 0).all(axis=None)
    per_kilowatt = production.sum()[panels] / buildings["panels"][panels]
    assert per_kilowatt.between(900, 1350).all()  # kWh a year; in Central Europe 900 to 1,300
    south = buildings["azimuth"] == 0
    assert per_kilowatt[south[panels]].min() > per_kilowatt[~south[panels]].max()
    day = production.groupby(module.TIMES.hour).sum().sum(axis=1)
    assert (day[[22, 23, 0, 1, 2]] == 0).all()
    assert day.idxmax() in (11, 12)
    month = production.groupby(module.TIMES.month).sum().sum(axis=1)
    assert month[6] > 3 * month[12]


def test_need_sums_to_what_buildings_need_in_a_year(village):
    module, buildings, _, _, need = village
    plain = ~buildings["heats"]
    np.testing.assert_allclose(need.sum()[plain], buildings["year"][plain], rtol=1e-4)  # watt-hours are cut
    assert (need.sum()[~plain] > buildings["year"][~plain] + 500).all()
    homes = need.loc[:, buildings["kind"] == "home"].groupby(module.TIMES.hour).mean().sum(axis=1)
    assert homes.idxmax() in range(18, 22)
    assert homes.idxmin() in range(0, 5)


def test_cables_reach_every_building_and_the_village_is_the_same_each_time(village):
    module, buildings, links, production, need = village
    graph = nx.from_pandas_edgelist(links)
    assert nx.is_connected(graph)
    assert set(graph) == set(buildings.index)
    _, _, *again = module.made()
    assert production.equals(again[0])
    assert need.equals(again[1])
