"""Rows of neighbours, reverse arcs and connected components, against SciPy's."""

import numpy as np
import pytest
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from cmapjax.market import _rows


def links_of(num_agents: int, num_links: int, seed: int) -> np.ndarray:
    """Random links, some given twice and in both directions, and agents without any."""
    links = np.random.default_rng(seed).integers(0, num_agents, (num_links, 2))
    links = links[links[:, 0] != links[:, 1]]
    return np.concatenate([links, links[: num_links // 4, ::-1], links[:2]])


SIZES = [(2, 5, 0), (30, 20, 1), (30, 90, 2), (500, 300, 3), (500, 4000, 4)]


@pytest.mark.parametrize(("num_agents", "num_links", "seed"), SIZES)
@pytest.mark.parametrize("few", [0, 100_000], ids=["by SciPy", "by NumPy"])
def test_rows_are_ascending_without_repetition_and_every_arc_finds_its_reverse(
    num_agents, num_links, seed, few, monkeypatch
):
    monkeypatch.setattr(_rows, "FEW_ARCS", few)
    links = links_of(num_agents, num_links, seed)
    starts, neighbours, repeated = _rows.compressed_rows(links, num_agents)
    pairs = {tuple(pair) for pair in links.tolist()}
    expected = sorted(pairs | {pair[::-1] for pair in pairs})
    giver = np.repeat(np.arange(num_agents), np.diff(starts))
    assert list(zip(giver.tolist(), neighbours.tolist(), strict=True)) == expected
    assert repeated == len(links) - len(expected) // 2
    reverse = _rows.reverse_arcs(starts, neighbours)
    np.testing.assert_array_equal(giver[reverse], neighbours)
    np.testing.assert_array_equal(neighbours[reverse], giver)


@pytest.mark.parametrize(("num_agents", "num_links", "seed"), SIZES)
def test_connected_parts_are_named_by_their_least_node(num_agents, num_links, seed):
    one, other = links_of(num_agents, num_links, seed).T
    matrix = coo_array((np.ones(len(one)), (one, other)), shape=(num_agents,) * 2)
    number = connected_components(matrix, directed=False)[1]
    first = [np.flatnonzero(number == k)[0] for k in range(number.max() + 1)]
    np.testing.assert_array_equal(_rows.connected_parts(one, other, num_agents), np.array(first)[number])


def test_long_chains_and_no_links_at_all_have_parts_too():
    order = np.random.default_rng(5).permutation(1000)
    assert not _rows.connected_parts(order[1:], order[:-1], 1000).any()
    nothing = np.zeros(0, np.int64)
    np.testing.assert_array_equal(_rows.connected_parts(nothing, nothing, 3), [0, 1, 2])


@pytest.mark.parametrize("kind", [np.int16, np.int32, np.uint32, np.int64, np.uint64])
def test_small_types_of_numbers_hold_agents_whose_products_they_do_not(kind):
    """The key of an arc, giver · agents + receiver, outgrows 32 bits from 46,341 agents on."""
    num_agents = 60_000
    top = min(np.iinfo(kind).max, num_agents - 1)
    links = np.array([[0, 1], [1, top], [top - 1, top]], kind)
    starts, neighbours, repeated = _rows.compressed_rows(links, num_agents)
    giver = np.repeat(np.arange(num_agents), np.diff(starts))
    found = list(zip(giver.tolist(), neighbours.tolist(), strict=True))
    assert found == [(0, 1), (1, 0), (1, top), (top - 1, top), (top, 1), (top, top - 1)]
    assert repeated == 0
