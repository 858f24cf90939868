"""Rows of neighbours against sets and SciPy; padded columns: little padding, sums without scatter."""

import dataclasses
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

import cmapjax as cj
from cmapjax.market import _rows
from cmapjax.market._columns import (
    BLOCK_COST_OF_FEW,
    FEW_ENTRIES,
    LEAST_BLOCK_COST,
    MAX_PADDING,
    block_widths,
    build_columns,
    fold,
    total,
)


def _made(lengths, seed=0):
    rng = np.random.default_rng(seed)
    starts = np.concatenate([[0], np.cumsum(lengths)])
    return starts, rng.integers(0, max(len(lengths), 1), starts[-1])


@pytest.mark.parametrize(
    "lengths",
    [
        [1],
        [3, 3, 3],
        [1, 2, 3, 4, 5],
        [0, 2, 0, 7],
        [10_000] + [1] * 10_000,
        list(range(1, 60)),
        np.random.default_rng(0).zipf(1.8, 400).clip(max=60).tolist(),
    ],
    ids=["one", "equal", "stairs", "with empty rows", "a hub", "all lengths", "power law"],
)
@pytest.mark.parametrize("many", [False, True])
def test_padding_is_at_most_a_fifth_of_many_entries_and_every_entry_is_kept(lengths, many):
    if many:
        lengths = lengths * (FEW_ENTRIES // sum(lengths) + 1)
    starts, entries = _made(np.array(lengths))
    columns, slot = build_columns(starts, entries)
    occupied = np.maximum(lengths, 1).sum()  # an empty row keeps one slot
    block = max(
        BLOCK_COST_OF_FEW * occupied, LEAST_BLOCK_COST
    )  # what a block must save where entries are few
    assert columns.num_slots <= (
        (1 + MAX_PADDING) * occupied if many else occupied + block * len(set(lengths))
    )
    assert len(np.unique(slot)) == len(entries)
    np.testing.assert_array_equal(columns.entries[slot], entries)
    with jax.enable_x64(True):
        x = np.zeros(columns.num_slots)
        x[slot] = np.arange(1.0, len(entries) + 1)
        is_entry, sums = map(np.asarray, jax.jit(lambda x: (columns.is_entry, columns.total(x)))(x))
    assert is_entry.sum() == len(entries)
    assert is_entry[slot].all()
    expected = [x[slot[a:b]].sum() for a, b in itertools.pairwise(starts)]
    np.testing.assert_allclose(sums[columns.place], expected, rtol=1e-13)


def test_order_and_place_are_inverse():
    columns, _ = build_columns(*_made(np.array([1, 9, 2, 700, 3, 40])))
    np.testing.assert_array_equal(columns.order[columns.place], np.arange(6))
    np.testing.assert_array_equal(columns.place[columns.order], np.arange(6))


def test_a_hub_of_ten_thousand_does_not_widen_the_others():
    links = [(0, leaf) for leaf in range(1, 10_001)] + [(i, i + 1) for i in range(1, 10_000)]
    market = cj.Market.from_links(np.array(links))
    assert market.padding <= 0.20
    assert int(market.degree.max()) == 10_000
    assert market.links.num_slots < 50_000


@pytest.mark.parametrize("width", [1, 2, 3, 15, 16, 17, 100, 1000])
def test_a_fold_is_the_sum_whatever_the_padding_behind(width):
    rng = np.random.default_rng(width)
    with jax.enable_x64(True):
        x = rng.normal(size=width)
        found, most = jax.jit(lambda x: (total(x), fold(jnp.maximum, x)))(x)
        padded = jax.jit(total)(np.concatenate([x, np.zeros(2 * width + 1)]))
    assert float(found) == pytest.approx(x.sum(), rel=1e-12, abs=1e-12)
    assert float(most) == x.max()
    assert float(padded) == float(found)  # same bits


def test_few_blocks_where_they_save_little():
    """Blocks cost compile time, so a tiny market of nearly equal degrees has one."""
    assert len(block_widths(np.array([3, 4, 4, 4]))) == 1
    assert len(block_widths(np.arange(1, 3000))) < 20


def test_slots_of_nobody_and_of_short_rows_are_out_of_range():
    columns, slot = build_columns(*_made(np.array([2, 1, 3])))
    with jax.enable_x64(True):
        slots = np.asarray(columns.slots_of(jnp.array([columns.place[1], 3]), 4))
    assert slots[0, 0] == slot[2]
    assert (slots[1:, 0] == columns.num_slots).all()
    assert (slots[:, 1] == columns.num_slots).all()


@pytest.mark.parametrize(
    "counts",
    [
        {3: 31, 5: 30, 7: 11},
        {6: 38, 9: 4, 10: 18},
        {3: 26, 10: 31},
        {2: 4, 3: 38, 9: 21},
        {3: 25, 6: 9, 10: 24},
    ],
    ids=str,
)
def test_compiled_gathers_from_joined_blocks_read_the_right_slots(counts):
    """Patterns that XLA's CPU backend gets wrong when it fuses a gather with a concatenation."""
    lengths = np.repeat(list(counts), list(counts.values()))
    columns, _ = build_columns(*_made(lengths))
    columns = dataclasses.replace(columns, shapes=tuple(counts.items()))  # more blocks than it would take
    rng = np.random.default_rng(0)
    x, f = rng.uniform(1, 2, len(lengths)), rng.uniform(1, 2, columns.num_slots)
    order = rng.permutation(columns.num_slots).astype(np.int32)
    starts = np.cumsum([0] + [n for _, n in columns.shapes])
    places = zip(columns.shapes, starts[:-1], starts[1:], strict=True)
    spread = x[np.concatenate([np.tile(np.arange(a, b), w) for (w, _), a, b in places])]
    patterns = {
        "scaled": (lambda x, f, order: (f * columns.spread(x))[order], f * spread),
        "masked": (
            lambda x, f, order: (f * jnp.where(columns.is_entry, columns.spread(x / 2), 0))[order],
            f * np.where(columns.is_entry, spread / 2, 0),
        ),
        "chosen": (
            lambda x, f, order: jnp.where(columns.spread(x) > 1.5, f, 2 * f)[order],
            np.where(spread > 1.5, f, 2 * f),
        ),
    }
    with jax.enable_x64(True):
        for name, (function, expected) in patterns.items():
            found = jax.jit(function)(x, f, order)
            np.testing.assert_array_equal(found, expected[order], err_msg=name)


# -- rows of neighbours and connected components ---------------------------------------------------


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
