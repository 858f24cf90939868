"""Markets: what is accepted, what is refused and how, and what the storage must not change."""

import jax
import numpy as np
import pytest

import cmapjax as cj
from cmapjax.arguments._origin import Origin

TRIANGLE = np.array([[0, 1], [1, 2], [0, 2]])


def _build(links=TRIANGLE, **given):
    return lambda: cj.Market.from_links(links, **given)


REFUSED = {
    "an empty network": (_build(np.zeros((0, 2), int)), "empty"),
    "agents alone": (_build(np.zeros((0, 2), int), num_agents=3, drop_isolated=True), "empty"),
    "triples": (_build(np.array([[0, 1, 2]])), r"shape \(1, 3\).*\[links, 2\]"),
    "fractional agents": (_build(np.array([[0.0, 1.5]])), "dtype float64; give integer agent numbers"),
    "negative agents": (_build(np.array([[0, -1]])), "agent number -1 is out of range"),
    "agents out of range": (_build(num_agents=2), r"agent number 2 is out of range for 2 agents \(0 … 1\)"),
    "a number far off": (_build(np.array([[0, 10**6]])), "agent number 1000000 among only 1 links"),
    "a self-loop": (_build(np.array([[0, 1], [1, 1]])), r"self-loop\(s\) at agent 1.*drop_self_loops=True"),
    "a named self-loop": (_build(np.array([[0, 1], [1, 1]]), labels=["a", "b"]), "at agent 'b'"),
    "an isolated agent": (_build(num_agents=4), r"1 agent\(s\) have no neighbour \(3\).*drop_isolated=True"),
    "an agent left with itself": (
        _build(np.array([[0, 1], [2, 2]]), drop_self_loops=True),
        r"have no neighbour \(2\)",
    ),
    "a name twice": (_build(labels=["a", "b", "a"]), "labels: 'a' occur.* more than once"),
    "names and a number that disagree": (_build(labels=["a", "b", "c"], num_agents=4), "3 names .*=4"),
    "a negative endowment": (
        _build(endowment=[1, -2, 1]),
        r"endowment must be finite and above zero.* 1 agent\(s\) \(1: -2\)",
    ),
    "an endowment of zero": (_build(endowment=[1, 0, 1]), r"endowment .*\(1: 0\)"),
    "a value that is no number": (_build(value=[1, 1, np.nan]), r"value .*\(2: nan\)"),
    "an infinite value": (_build(value=[1, np.inf, 1], labels=["a", "b", "c"]), r"value .*\(b: inf\)"),
    "many at once": (_build(endowment=-1.0), r"3 agent\(s\) \(0: -1, 1: -1, 2: -1\)"),
    "text": (_build(endowment=["1", "x", "2"]), "endowment of agent 0 is '1'; give numbers"),
    "None": (_build(endowment=[1, None, 2]), "endowment of agent 1 is None"),
    "booleans": (_build(endowment=[True, True, True]), "dtype bool"),
    "half precision": (_build(endowment=np.ones(3, np.float16)), "dtype float16"),
    "complex numbers": (_build(value=np.ones(3, complex)), "dtype complex128"),
    "a wrong number of endowments": (_build(endowment=[1, 2]), r"endowment has shape \(2,\).*\(3,\)"),
    "integers beyond 2^53": (_build(endowment=[1, 2**53 + 1, 1]), "integer 9007199254740993"),
    "a product that overflows": (
        _build(endowment=[1, 1e200, 1], value=1e200),
        r"contribution .*outside the range of float64.*\(1: inf\)",
    ),
    "a product that underflows": (
        _build(endowment=[1, 1e-200, 1], value=[1, 1e-200, 1]),
        r"contribution .*\(1: 0\).*rescale",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_makes_no_market_is_refused_by_name(name):
    build, words = REFUSED[name]
    with pytest.raises(ValueError, match=words) as caught:
        build()
    assert len(str(caught.value)) < 500


def test_a_link_given_twice_is_one_link():
    market = cj.Market.from_links(np.array([[0, 1], [1, 0], [0, 1], [1, 2]]))
    assert market.num_links == 2
    assert market.origin.merged_links == 2


def test_what_is_dropped_is_remembered():
    market = cj.Market.from_links(
        np.array([[0, 1], [2, 2], [3, 1]]),
        endowment=[1, 2, 3, 4, 5],
        labels=list("abcde"),
        drop_self_loops=True,
        drop_isolated=True,
    )
    assert list(market.labels) == ["a", "b", "d"]
    assert market.origin.dropped_self_loops == ("c",)
    assert market.origin.dropped_isolated == ("c", "e")
    np.testing.assert_array_equal(market.endowment, [1, 2, 4])
    assert market.index("d") == 2
    with pytest.raises(ValueError, match=r"agent 'c' is not in this market of 3 agents"):
        market.index("c")


def test_numbered_agents_are_found_by_number(small_market):
    assert small_market.index(3) == 3
    for wrong in (5, -1, "3", 2.0):
        with pytest.raises(ValueError, match="is not in this market of 5 agents"):
            small_market.index(wrong)


def test_the_caller_s_arrays_are_copied():
    endowment = np.ones(3)
    market = cj.Market.from_links(TRIANGLE, endowment=endowment)
    endowment[:] = 7
    np.testing.assert_array_equal(market.endowment, 1)


def test_the_basic_numbers(small_market):
    assert (small_market.num_agents, small_market.num_links, small_market.num_markets) == (5, 5, 1)
    np.testing.assert_array_equal(small_market.degree, [2, 2, 3, 2, 1])
    np.testing.assert_allclose(small_market.contribution, [1, 3, 1.5, 1, 2])
    assert small_market.contribution.dtype == np.float64


def test_arcs_are_ordered_and_flows_go_there_and_back(ensemble):
    giver, receiver = ensemble.arcs()
    assert (np.diff(giver * ensemble.num_agents + receiver) > 0).all()
    values = np.random.default_rng(0).uniform(size=len(giver))
    flow = ensemble.flow_from_arcs(values)
    np.testing.assert_array_equal(ensemble.arc_values(flow), values)
    assert (flow[~np.asarray(ensemble.links.is_entry)] == 0).all()
    np.testing.assert_allclose(ensemble.gave(flow), np.bincount(giver, values), rtol=1e-15)
    np.testing.assert_allclose(ensemble.received(flow), np.bincount(receiver, values), rtol=1e-15)
    back = {pair: x for *pair, x in zip(receiver, giver, values, strict=True) for pair in [tuple(pair)]}
    mirrored = ensemble.arc_values(ensemble.mirror(flow))
    assert all(mirrored[k] == back[giver[k], receiver[k]] for k in range(len(giver)))
    for wrong, words in ((values[:-1], "flow has shape"), (values > 0, "flow has dtype bool")):
        with pytest.raises(ValueError, match=words):
            ensemble.flow_from_arcs(wrong)


def test_an_allocation_is_in_units_of_the_giver_s_resource(small_market):
    allocation = small_market.allocation(small_market.equal_flow()).toarray()
    np.testing.assert_allclose(allocation.sum(axis=1), small_market.endowment)
    utility = np.asarray(small_market.value) @ allocation
    np.testing.assert_allclose(utility, small_market.received(small_market.equal_flow()))


def test_totals_are_per_market(ensemble):
    x = np.random.default_rng(1).normal(size=ensemble.num_agents)
    for number in range(ensemble.num_markets):
        here = x[ensemble.market_of == number]
        assert ensemble.total(x)[number] == pytest.approx(here.sum(), rel=1e-13)
        assert ensemble.smallest(x)[number] == here.min()
        assert ensemble.largest(x)[number] == here.max()


def test_packing_keeps_markets_in_order_and_names_unique(small_market):
    named = cj.Market.from_links(TRIANGLE, labels=list("abc"), endowment=[1, 2, 3])
    packed = cj.pack([named, small_market, named])
    assert (packed.num_markets, packed.num_agents) == (3, 11)
    np.testing.assert_array_equal(packed.market_of, [0] * 3 + [1] * 5 + [2] * 3)
    assert packed.labels[0] == (0, "a")
    assert packed.labels[-1] == (2, "c")
    assert packed.labels[3] == (1, 0)
    assert list(cj.pack([named, small_market]).labels) == ["a", "b", "c", 0, 1, 2, 3, 4]
    assert packed.index((2, "b")) == 9
    again = cj.pack([cj.pack([named, small_market]), named])
    assert again.fingerprint() == packed.fingerprint()
    assert len(set(again.components())) == 3
    twice = cj.Market.from_links([[0, 1], [1, 0], [2, 2]], drop_self_loops=True, drop_isolated=True)
    origin = cj.pack([twice, small_market, twice]).origin
    assert origin.merged_links == 2
    assert origin.dropped_self_loops == (2, 2)
    assert origin.dropped_isolated == (2, 2)
    with pytest.raises(ValueError, match="pack: no markets given"):
        cj.pack([])


def test_a_fingerprint_tells_markets_apart(small_market):
    links = np.stack(small_market.arcs(), axis=1)
    same = cj.Market.from_links(
        links[::-1], endowment=small_market.endowment, value=small_market.value, labels=list("abcde")
    )
    assert same.fingerprint() == small_market.fingerprint()
    other = small_market.with_contributions(endowment=[1.0, 2, 3, 0.5, 2.0000001])
    assert other.fingerprint() != small_market.fingerprint()
    dearer = small_market.with_contributions(value=2 * np.asarray(small_market.value))
    assert dearer.fingerprint() != small_market.fingerprint()
    pair = cj.Market.from_links([[0, 1]])
    assert cj.pack([pair, pair]).fingerprint() != cj.Market.from_links([[0, 1], [2, 3]]).fingerprint()
    assert cj.Market.from_links(TRIANGLE).fingerprint() != cj.Market.from_links(TRIANGLE[:2]).fingerprint()


def test_contributions_can_be_replaced(small_market):
    market = small_market.with_contributions(endowment=2.0, value=[1, 2, 3, 4, 5])
    np.testing.assert_array_equal(market.contribution, [2, 4, 6, 8, 10])
    np.testing.assert_array_equal(small_market.endowment, [1, 2, 3, 0.5, 2])
    with pytest.raises(ValueError, match=r"value must be finite and above zero.*\(4: -5\)"):
        small_market.with_contributions(value=[1, 2, 3, 4, -5])
    gradient = jax.grad(lambda e: small_market.with_contributions(endowment=e).contribution.sum())
    np.testing.assert_allclose(gradient(np.ones(5, np.float32)), small_market.value)


def test_adjacency_and_components(ensemble):
    adjacency = ensemble.adjacency().toarray()
    assert (adjacency == adjacency.T).all()
    assert adjacency.sum() == 2 * ensemble.num_links
    np.testing.assert_array_equal(ensemble.components(), ensemble.market_of)
    starts, neighbours = ensemble.neighbour_rows()
    for i in range(ensemble.num_agents):
        np.testing.assert_array_equal(neighbours[starts[i] : starts[i + 1]], np.flatnonzero(adjacency[i]))


def test_origins_compare_by_content():
    one, same, other = Origin(["a"]), Origin(("a",)), Origin(["b"])
    assert one == same
    assert hash(one) == hash(same)
    assert one != other
    assert "labelled" in repr(one)
    assert "numbered" in repr(Origin())


def _random_links(seed):
    """Links in both directions, twice, with themselves, around hubs; some agents without any."""
    rng = np.random.default_rng(seed)
    num_agents, num_links = int(rng.integers(3, 120)), int(rng.integers(1, 400))
    links = rng.integers(0, num_agents, (num_links, 2))
    links[::3, 0] = rng.integers(0, 2, len(links[::3]))
    return np.concatenate([links, links[: num_links // 3, ::-1], [[0, 1]]]), num_agents + 2


@pytest.mark.parametrize("dtype", [np.int64, np.int32, np.uint16])
@pytest.mark.parametrize("seed", range(12))
def test_storage_is_what_sets_of_links_say(seed, dtype):
    links, num_agents = _random_links(seed)
    market = cj.Market.from_links(
        links.astype(dtype), num_agents=num_agents, drop_self_loops=True, drop_isolated=True
    )
    pairs = [(a, b) for a, b in links.tolist() if a != b]
    joined = {frozenset(pair) for pair in pairs}
    names = sorted(set().union(*joined))
    rows = [sorted(names.index(b) for b in names if {a, b} in joined and a != b) for a in names]
    assert list(market.labels) == names
    assert market.origin.merged_links == len(pairs) - len(joined)
    assert market.origin.dropped_self_loops == tuple(sorted({a for a, b in links.tolist() if a == b}))
    assert market.origin.dropped_isolated == tuple(sorted(set(range(num_agents)) - set(names)))
    starts, neighbours = market.neighbour_rows()
    assert [row.tolist() for row in np.split(neighbours, starts[1:-1])] == rows
    np.testing.assert_array_equal(
        np.transpose(market.arcs()), [(i, j) for i, row in enumerate(rows) for j in row]
    )

    stored = market.links
    slot = {
        (i, j): stored.starts[stored.place[i]] + column * stored.strides[stored.place[i]]
        for i, row in enumerate(rows)
        for column, j in enumerate(row)
    }
    entries, reverse = np.zeros(stored.num_slots, int), np.arange(stored.num_slots)
    for (i, j), at in slot.items():
        entries[at] = stored.place[j]
        reverse[at] = slot[j, i]
    np.testing.assert_array_equal(stored.entries, entries)
    np.testing.assert_array_equal(market.reverse, reverse)
    np.testing.assert_array_equal(stored.lengths[stored.place], [len(row) for row in rows])
    assert {x.dtype for x in (stored.entries, stored.order, stored.place, market.reverse)} == {np.dtype("i4")}
    # Blocks of growing width; within one, agents in their own order.
    width = np.repeat([w for w, _ in stored.shapes], [n for _, n in stored.shapes])
    assert (np.diff(width) >= 0).all()
    assert (stored.lengths <= width).all()
    assert (np.diff(stored.order)[np.diff(width) == 0] > 0).all()


def test_links_already_distinct_give_the_same_market_in_any_order_and_direction():
    links = np.stack(
        cj.Market.from_links(*_random_links(3)[:1], drop_self_loops=True, drop_isolated=True).arcs()
    )
    once = links[:, links[0] < links[1]].T
    market = cj.Market.from_links(once)
    for other in (once[::-1], once[:, ::-1], np.concatenate([once, once[:, ::-1]])):
        again = cj.Market.from_links(other)
        assert again.fingerprint() == market.fingerprint()
        np.testing.assert_array_equal(again.reverse, market.reverse)
