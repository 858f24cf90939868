"""Where markets rest when one agent commits to a row, and that this gains at most the golden ratio."""

import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import reference

import cmapjax as cj

sys.path.insert(0, str(Path(__file__).parents[1] / "docs" / "claims"))
import committed


def random_case(seed: int):
    """A market of up to eight agents, an agent and a row of its own."""
    rng = np.random.default_rng(seed)
    size = int(rng.integers(4, 9))
    links = reference.random_links(rng, size, 0.4)
    weight = rng.lognormal(0, 1, size)
    near = np.flatnonzero(reference.dense(cj.Market.from_links(links, endowment=weight))[1][0])
    row = np.zeros(size)
    row[near] = weight[0] * rng.dirichlet(np.full(len(near), 0.7))
    return links, weight, row


@pytest.mark.parametrize("ratio", [1, 2, 5])
def test_the_bound_is_reached_by_giving_all_to_ones_rival(ratio):
    links, weight, row = committed.triangle(ratio)
    market = cj.Market.from_links(links, endowment=weight)
    np.testing.assert_allclose(cj.solve(market).utility[0], ratio, rtol=1e-12)
    due = {1: 1.6180339887, 2: 2.7320508076, 5: 5.8541019662}[ratio]
    assert committed.rest(links, weight, 0, row)[0] == pytest.approx(due, abs=1e-10)
    assert ratio * committed.bound(ratio) == pytest.approx(due, abs=1e-10)


def test_whole_contributions_answer_in_fractions():
    found = committed.rest([[0, 1], [1, 2], [0, 2]], np.array([1, 1, 2]), 0, [0, 1, 0], exact=True)
    assert found == (Fraction(3, 2), Fraction(3, 2), Fraction(1))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("rule", [reference.cmap_row, reference.entropic(1.0)], ids=["cmap", "entropic"])
def test_followers_come_to_rest_where_own_use_says(seed, rule):
    links, weight, row = random_case(seed)
    w, adjacency = reference.dense(cj.Market.from_links(links, endowment=weight))
    y = reference.equal_split(w, adjacency)
    y[0] = row

    def follow(i, y, w, adjacency):
        return row if i == 0 else rule(i, y, w, adjacency)

    for _ in range(1500):
        y = reference.play_round(follow, reference.sequential(len(w)), y, w, adjacency)
    # Rounds one after another close in like 1/t at worst.
    np.testing.assert_allclose(y.sum(axis=0), committed.rest(links, weight, 0, row), rtol=2e-3)


def test_no_row_gains_more_than_the_bound_and_the_poor_gain_nothing():
    gains, poor = [], []
    for seed in range(60):
        links, weight, row = random_case(seed)
        before = cj.solve(cj.Market.from_links(links, endowment=weight)).utility[0]
        ratio = before / weight[0]
        gain = committed.rest(links, weight, 0, row)[0] / before
        assert gain <= committed.bound(ratio) + 1e-9
        gains.append(gain)
        poor += [gain] if ratio < 1 - 1e-9 else []
        nothing = committed.rest(links, weight, 0, np.zeros_like(row))[0]
        assert nothing <= before * (1 + 1e-9)
    assert max(gains) > 1.01
    assert len(poor) > 5
    assert max(poor) <= 1 + 1e-9


def test_among_followers_of_proportional_response_a_committed_row_is_one_copy_for_each_neighbour():
    links, weight, row = random_case(1)
    w, adjacency = reference.dense(cj.Market.from_links(links, endowment=weight))
    near, size = np.flatnonzero(row), len(w)
    copies = {int(j): 0 if k == 0 else size - 1 + k for k, j in enumerate(near)}
    split = [[copies[b], b] if a == 0 else [a, copies[a]] if b == 0 else [a, b] for a, b in links.tolist()]
    market = cj.Market.from_links(split, endowment=[row[near[0]], *w[1:], *row[near[1:]]])

    def follow(i, y, w, adjacency):
        return row if i == 0 else reference.proportional_row(i, y, w, adjacency)

    y = reference.equal_split(w, adjacency)
    y[0] = row
    for _ in range(20):
        y = reference.play_round(follow, reference.simultaneous(size), y, w, adjacency)
    found = cj.simulate(market, cj.ProportionalResponse(), rounds=20, record={}).final.utility
    own = [0, *range(size, size + len(near) - 1)]
    assert len(own) > 1
    assert found[own].sum() == pytest.approx(y[:, 0].sum(), rel=1e-12)
    np.testing.assert_allclose(found[1:size], y.sum(axis=0)[1:], rtol=1e-12)


def test_halves_gain_the_root_of_two_there_and_less_under_cmap():
    root = 2**0.5
    weight = np.array([1, (1 + root) / 2, (root - 1) / 2])
    links = [[0, 1], [1, 2], [0, 2]]
    assert committed.rest(links, weight, 0, [0, 0.5, 0.5])[0] == pytest.approx((1 + root) / 2, abs=1e-12)
    split = cj.Market.from_links([[0, 1], [1, 2], [3, 2]], endowment=[0.5, *weight[1:], 0.5])
    assert cj.solve(split).utility[[0, 3]].sum() == pytest.approx(root, abs=1e-12)
