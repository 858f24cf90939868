"""Copies of one market under contributions of their own, and packs of different ones."""

import numpy as np
import pytest

import cmapjax as cj

RING_AND_CHORDS = [[0, 1], [1, 2], [2, 3], [3, 4], [4, 0], [0, 2]]
HUB = [[0, i] for i in range(1, 41)] + [[1, 2], [3, 4]]
RNG = np.random.default_rng(5)


def _packed(market, endowment, value):
    return cj.pack(
        [market.with_contributions(endowment=e, value=v) for e, v in zip(endowment, value, strict=True)]
    )


@pytest.mark.parametrize(
    ("links", "strategy"),
    [
        (RING_AND_CHORDS, cj.ProportionalResponse()),
        (HUB, cj.ProportionalResponse()),
        (RING_AND_CHORDS, cj.CMAP()),
    ],
    ids=["proportional response", "proportional response, with a hub", "cmap"],
)
def test_copies_play_as_the_same_markets_packed(links, strategy):
    market = cj.Market.from_links(links)
    endowment, value = RNG.lognormal(size=(2, 7, market.num_agents))
    copies, packed = cj.copies(market, endowment=endowment, value=value), _packed(market, endowment, value)
    # Enough rounds for proportional response in scaling form to set its flow anew (see docs/performance.md).
    precisions = [("float64", 12, 1e-12), ("float32", 400, 1e-4)]
    for precision, rounds, rtol in (
        precisions if isinstance(strategy, cj.ProportionalResponse) else precisions[:1]
    ):
        runs = [
            cj.simulate(m, strategy, rounds=rounds, record={}, precision=precision) for m in (copies, packed)
        ]
        assert np.all(np.isfinite(runs[0].final.utility))
        np.testing.assert_allclose(runs[0].final.utility, runs[1].final.utility, rtol=rtol)
        flows = [m.arc_values(run.final.flow) for m, run in zip((copies, packed), runs, strict=True)]
        np.testing.assert_allclose(*flows, rtol=rtol, atol=1e-6 if precision == "float32" else 1e-13)


@pytest.mark.optimised
def test_copies_are_markets_like_others():
    market = cj.Market.from_links(RING_AND_CHORDS, labels="abcde")
    endowment = RNG.lognormal(size=(4, 5))
    copies, packed = cj.copies(market, endowment=endowment), _packed(market, endowment, np.ones((4, 5)))
    assert (copies.num_markets, copies.num_agents, copies.num_links) == (4, 20, 24)
    assert copies.fingerprint() == packed.fingerprint()
    np.testing.assert_array_equal(copies.degree, packed.degree)
    np.testing.assert_array_equal(copies.mirror(copies.mirror(copies.equal_flow())), copies.equal_flow())
    np.testing.assert_allclose(copies.received(copies.equal_flow()), packed.received(packed.equal_flow()))
    np.testing.assert_array_equal(cj.solve(copies).utility, cj.solve(packed).utility)
    assert copies.numbers.tolist() == [0, 1, 2, 3]


def test_copies_of_an_ensemble_copy_all_its_markets():
    ensemble = cj.pack([cj.Market.from_links(RING_AND_CHORDS), cj.Market.from_links([[0, 1], [1, 2]])])
    value = RNG.lognormal(size=(3, ensemble.num_agents))
    copies = cj.copies(ensemble, value=value)
    record = {"poorest": lambda market, state: market.smallest(state.utility)}
    run = cj.simulate(copies, cj.CMAP(), rounds=3, record=record)
    assert run.records["poorest"].shape == (4, 6)
    np.testing.assert_allclose(
        copies.total(copies.value).reshape(3, 2), [[row[:5].sum(), row[5:].sum()] for row in value]
    )


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "given nothing; give endowment"),
        ({"endowment": [1.0] * 5}, r"endowment': \(5,\)"),
        ({"endowment": np.ones((3, 4))}, r"\(3, 4\).*one row of the 5 agents"),
        ({"endowment": np.ones((3, 5)), "value": np.ones((2, 5))}, r"\(2, 5\)"),
        ({"value": np.ones((0, 5))}, "per copy"),
        ({"value": [[1.0, 1, 1, 1, 1], [1, 1, np.nan, 1, 1]]}, r"value.*\(1, c\).*nan"),
        ({"endowment": [[1.0, 1, 1, 1, -1.0]]}, r"endowment.*\(0, e\).*-1"),
        ({"endowment": [["x"] * 5]}, "give numbers"),
        ({"endowment": np.full((1, 5), 1e300), "value": np.full((1, 5), 1e300)}, "rescale"),
    ],
)
def test_copies_refuse_contributions_that_do_not_fit(given, message):
    market = cj.Market.from_links(RING_AND_CHORDS, labels="abcde")
    with pytest.raises(ValueError, match=message):
        cj.copies(market, **given)
