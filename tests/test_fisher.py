"""Linear Fisher markets: how they are made of valuations, and their states in their own words."""

import gzip

import numpy as np
import pandas as pd
import pytest
import scipy.io
import scipy.sparse

import cmapjax as cj
from cmapjax.graphs import fisher, fisher_outcome

INF = np.inf
VALUATIONS = np.array([[2.0, 0, 1.5], [0, 3, 1], [0.25, 0, 0], [1, 1, 1]])
NAMES = {"buyers": ["ann", "bob", "cy", "dee"], "goods": ["ale", "bread", "corn"]}


def flow_of(market, allocation):
    """Goods × buyers as a flow."""
    size = len(allocation)
    pairs = zip(*market.arcs(), strict=True)
    return market.flow_from_arcs([allocation[i][j - size] if i < size else 0 for i, j in pairs])


def bid_response(valuations, budgets, supply, rounds):
    """Spending (buyers × goods) after so many rounds, in plain NumPy: bids go where value came from."""
    bids = budgets[:, None] * (valuations > 0) / np.sum(valuations > 0, 1, keepdims=True)
    for _ in range(rounds):
        value = valuations * bids * supply / bids.sum(0)
        bids = budgets[:, None] * value / value.sum(1, keepdims=True)
    return bids


def test_goods_give_and_buyers_receive():
    market = fisher(VALUATIONS, [1, 2, 3, 4], supply=[5, 6, 7], **NAMES)
    assert list(market.labels) == [*NAMES["goods"], *NAMES["buyers"]]
    assert market.endowment.tolist() == [5, 6, 7, 0, 0, 0, 0]
    assert market.priority.tolist() == [0, 0, 0, 1, 2, 3, 4]
    efficiency, capacity = (market.arc_values(x) for x in (market.efficiency, market.capacity))
    found = {
        (i, j - 3): e for i, j, e, k in zip(*market.arcs(), efficiency, capacity, strict=True) if k == INF
    }
    assert found == {(g, b): v for (b, g), v in np.ndenumerate(VALUATIONS) if v}
    assert market.origin.notes == {}


def test_the_equilibrium_of_equal_valuations_is_that_worked_out_by_hand():
    """Ann wants both goods, bob the second only; money 3 for 2 units, so each unit costs 3/2."""
    market = fisher([[1, 1], [0, 1]], [2, 1])
    found = cj.solve(market)
    outcome = fisher_outcome(market, found.flow)
    np.testing.assert_allclose(outcome.utility, [4 / 3, 2 / 3])
    np.testing.assert_allclose(outcome.price, [3 / 2, 3 / 2])
    np.testing.assert_allclose(found.price[:2], outcome.price)
    np.testing.assert_allclose(outcome.allocation.toarray(), [[1, 1 / 3], [0, 2 / 3]])
    np.testing.assert_allclose(outcome.spending.toarray(), [[3 / 2, 1 / 2], [0, 1]])
    for errors in (outcome.unsold, outcome.unspent, outcome.overpaid):
        np.testing.assert_allclose(errors, 0, atol=1e-12)


def test_what_is_wrong_with_a_state_is_told_by_good_and_buyer():
    """Each would rather have the other's good: units are worth 2 to who lacks them, at a budget of 1."""
    market = fisher([[2, 1], [1, 2]])
    outcome = fisher_outcome(market, flow_of(market, [[0, 1], [1, 0]]))
    np.testing.assert_array_equal(outcome.utility, [1, 1])
    np.testing.assert_array_equal(outcome.price, [2, 2])
    np.testing.assert_array_equal(outcome.unspent, [-1, -1])
    np.testing.assert_array_equal(outcome.overpaid, [1 / 2, 1 / 2])
    kept = fisher_outcome(market, flow_of(market, [[3 / 4, 0], [0, 1]]), price=[1, 1])
    np.testing.assert_array_equal(kept.unsold, [1 / 4, 0])
    np.testing.assert_array_equal(kept.unspent, [1 / 4, 0])
    np.testing.assert_array_equal(kept.overpaid, [0, 0])


def test_bids_that_have_settled_are_an_equilibrium_in_every_word():
    rng = np.random.default_rng(5)
    for num_buyers, num_goods in ((3, 2), (5, 7), (8, 4)):
        valuations = rng.uniform(0.1, 1, (num_buyers, num_goods)) * (
            rng.random((num_buyers, num_goods)) < 0.6
        )
        valuations[:, 0] += 0.1
        valuations[0] += 0.1
        budgets, supply = rng.uniform(0.5, 2, num_buyers), rng.uniform(0.5, 2, num_goods)
        bids = bid_response(valuations, budgets, supply, 4_000)
        market = fisher(valuations, budgets, supply=supply)
        flow = flow_of(market, (bids / bids.sum(0) * supply).T)
        outcome = fisher_outcome(market, flow)
        assert cj.certified_gap_of_flow(market, flow)[0] < 1e-6
        np.testing.assert_allclose(outcome.price, bids.sum(0) / supply, rtol=1e-3)
        np.testing.assert_allclose(outcome.spending.toarray(), bids, atol=1e-3)
        np.testing.assert_allclose(outcome.unspent, 0, atol=1e-3)
        np.testing.assert_allclose(outcome.unsold, 0, atol=1e-12)
        equal = np.outer(supply, np.ones(num_buyers)) * (valuations > 0).T
        far = fisher_outcome(market, flow_of(market, equal / equal.sum(1, keepdims=True) * supply[:, None]))
        assert np.abs(far.unspent).max() > 0.1


@pytest.mark.parametrize("valuations", [[[0, 0], [0, 1]], [[1, 0], [0, 0]], [[0, 1, 0], [0, 0, 0]]])
def test_what_nobody_wants_and_who_wants_nothing_stay_and_are_counted(valuations):
    valuations = np.array(valuations)
    market = fisher(valuations, 2)
    unwanted, wantless = ~np.any(valuations, 0), ~np.any(valuations, 1)
    assert market.origin.notes == {
        "goods that no buyer wants": unwanted.sum(),
        "buyers who want no good": wantless.sum(),
    }
    found = cj.solve(market)
    outcome = fisher_outcome(market, found.flow)
    assert found.settlement.kept.tolist() == [*unwanted, *np.zeros(len(wantless))]
    assert outcome.price.tolist() == [*np.where(unwanted, 0, 2)]
    assert outcome.utility.tolist() == [*np.where(wantless, 0, 1)]
    assert not any(np.any(errors) for errors in (outcome.unsold, outcome.unspent, outcome.overpaid))


def test_a_buyer_without_budget_gets_nothing_and_asks_for_nothing():
    market = fisher([[1, 1], [1, 5]], [1, 0])
    outcome = fisher_outcome(market, cj.solve(market).flow)
    assert outcome.utility.tolist() == [2, 0]
    np.testing.assert_allclose(outcome.price, [1 / 2, 1 / 2])


def sources(folder):
    """The same valuations in every form, by what makes a market of them."""
    table = pd.DataFrame(VALUATIONS, NAMES["buyers"], NAMES["goods"])
    table.replace(0, np.nan).to_csv(folder / "a.csv", index_label="buyer")
    table.to_csv(folder / "a.tsv", sep="\t")
    (folder / "b.csv.gz").write_bytes(gzip.compress((folder / "a.csv").read_bytes()))
    scipy.io.mmwrite(folder / "coordinates.mtx", scipy.sparse.coo_array(VALUATIONS))
    scipy.io.mmwrite(folder / "array.mtx", VALUATIONS)
    yield from ((name, {}) for name in (table, *(folder / x for x in ("a.csv", "a.tsv", "b.csv.gz"))))
    yield from ((folder / x, {"labels": "from 1"}) for x in ("coordinates.mtx", "array.mtx"))
    yield from ((x, NAMES) for x in (VALUATIONS.tolist(), scipy.sparse.csc_array(VALUATIONS)))


def test_arrays_tables_and_files_make_the_same_market(tmp_path):
    wanted = fisher(VALUATIONS, [1, 2, 3, 4], **NAMES)
    for given, names in sources(tmp_path):
        from_one = names.get("labels") == "from 1"
        market = fisher(given, [1, 2, 3, 4], **({} if from_one else names))
        assert market.fingerprint() == wanted.fingerprint(), given
        labels = [*(f"good-{i}" for i in (1, 2, 3)), *(f"buyer-{i}" for i in (1, 2, 3, 4))]
        assert list(market.labels) == (labels if from_one else list(wanted.labels))
    by_name = {"dee": 4, "cy": 3, "bob": 2, "ann": 1}
    assert list(fisher(tmp_path / "array.mtx", **NAMES).labels) == list(wanted.labels)
    assert fisher(tmp_path / "a.csv", by_name).fingerprint() == wanted.fingerprint()


@pytest.mark.parametrize(
    ("valuations", "more", "message"),
    [
        ([[1, np.nan]], {}, "what good 'good-1' is worth to buyer 'buyer-0' is nan; give numbers ≥ 0"),
        ([[1, 2], [-3, 1]], {}, "good 'good-0' is worth to buyer 'buyer-1' is -3"),
        ([[1, INF]], {"goods": ["ale", "bread"]}, "good 'bread' is worth to buyer 'buyer-0' is inf"),
        ([[1, "much"]], {}, "dtype <U"),
        (np.array([[1, "much"]], object), {}, "good 'good-1' is worth to buyer 'buyer-0' is 'much'"),
        ([[1, 1j]], {}, "dtype complex128"),
        ([1, 2], {}, r"shape \(2,\); give a row for each buyer"),
        (np.zeros((0, 3)), {}, r"shape \(0, 3\)"),
        ([[0, 0]], {}, "no buyer wants any good"),
        ([[1, 1]], {"buyers": ["x", "y"]}, "buyers: 2 names for 1 buyers"),
        ([[1, 1]], {"goods": ["x", "x"]}, "'x' occur"),
        ([[1, 1]], {"goods": ["x", "y"], "buyers": ["x"]}, "buyers and goods: 'x' occur"),
        ([[1, 1]], {"budgets": -1}, "budgets must be finite and 0 or more.*buyer-0: -1"),
        ([[1, 1]], {"budgets": [1, 2]}, r"budgets has shape \(2,\)"),
        ([[1, 1]], {"budgets": {"eve": 1}}, r"budgets: no number for 1 agent\(s\) \('buyer-0'\)"),
        ([[1, 1]], {"supply": [1, 0]}, "supply must be finite and above zero.*good-1: 0"),
        (
            pd.DataFrame([[1.0]], ["ann"], ["ale"]),
            {"buyers": ["bob"]},
            "names of their own; leave buyers out",
        ),
        (
            scipy.sparse.coo_array(([1, 2], ([0, 0], [1, 1])), shape=(1, 2)),
            {},
            "good 'good-1' is worth to buyer 'buyer-0' is given more than once",
        ),
    ],
)
def test_bad_valuations_are_refused_by_name(valuations, more, message):
    with pytest.raises(ValueError, match=message):
        fisher(valuations, **more)


MTX = "%%MatrixMarket matrix"


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.csv", "b,ale,rye\nann,1,x\n", "a.csv, line 2: what good 'rye' is worth to buyer 'ann' is 'x'"),
        ("a.csv", "b,ale\nann,1\nbob,-1\n", "a.csv: .*good 'ale' is worth to buyer 'bob' is -1"),
        ("a.csv", "b,ale\nann,1_0\n", "line 2: .* is '1_0'"),
        ("a.csv", "b,ale\nann,1,2\n", "line 2: 3 cell.*first row has 2"),
        ("a.csv", "b\nann\n", "line 1: holds no goods"),
        ("a.csv", "", "the file is empty"),
        ("a.csv", "b,ale\n", "holds no buyers"),
        ("a.csv", "b,ale,ale\nann,1,1\n", "a.csv: buyers and goods: 'ale' occur"),
        ("a.txt", "", "the ending '.txt' is not known"),
        ("a.mtx", f"{MTX} coordinate real general\n2 3 1\n3 1 1\n", "line 3: index '3' is not .* 1 … 2"),
        ("a.mtx", f"{MTX} coordinate real general\n2 3 1\n1 4 1\n", "line 3: index '4' is not .* 1 … 3"),
        ("a.mtx", f"{MTX} coordinate real symmetric\n2 2 1\n2 1 1\n", "symmetric, and buyers are not goods"),
        ("a.mtx", f"{MTX} coordinate real general\n1 2 1\n1 2 -4\n", "good 'good-2' .* 'buyer-1' is -4"),
        ("a.mtx", f"{MTX} array real general\n2 2\n1\n2\n3\n", "3 numbers, but 2 × 2"),
        ("a.mtx", f"{MTX} array real general\n1 2\n1\nx\n", "value 'x' is not a number"),
        ("a.mtx", f"{MTX} array real general\n2\n", "sizes must be 2 whole numbers"),
        ("a.mtx", f"{MTX} array complex general\n1 1\n1\n", "array real general"),
    ],
)
def test_bad_files_are_refused_by_place(tmp_path, name, text, message):
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=message):
        fisher(tmp_path / name)


@pytest.mark.parametrize(
    ("market", "message"),
    [
        (cj.Market.from_links([[0, 1]]), r"agents that give and receive \(0\)"),
        (fisher([[1, 1]]).with_terms(demand=3), "has demand"),
        (fisher([[1, 1]]).with_terms(capacity=1), "capacities between"),
        (fisher([[1, 1]]).with_contributions(value=2), "values other than 1"),
        (
            cj.Market.from_links([[0, 1], [1, 2]], endowment=[1, 0, 0], priority=[0, 1, 1], directed=True),
            None,
        ),
    ],
)
def test_other_markets_have_no_outcome(market, message):
    flow = np.zeros(market.links.num_slots)
    if message is None:  # who gives nothing need not be a good
        assert fisher_outcome(market, flow).goods == (0,)
        return
    with pytest.raises(ValueError, match=f"{message}.*graphs.fisher"):
        fisher_outcome(market, flow)


@pytest.mark.parametrize(
    ("allocation", "more", "message"),
    [
        ([[1, 0.5]], {}, r"0\.5 of a good's supply more"),
        ([[-0.5, 1]], {}, "negative"),
        ([[np.nan, 1]], {}, "no number"),
        ([[1, 0]], {"price": [-1]}, "price must be finite and 0 or more.*good-0: -1"),
        ([[1, 0]], {"price": {"ale": 1}}, "price: no number.*'good-0'"),
    ],
)
def test_what_is_no_state_is_refused(allocation, more, message):
    market = fisher([[1], [1]])
    arcs = [allocation[0][j - 1] if i == 0 else 0 for i, j in zip(*market.arcs(), strict=True)]
    flow = np.zeros(market.links.num_slots)
    flow[market._arc_slots()[2]] = arcs
    with pytest.raises(ValueError, match=message):
        fisher_outcome(market, flow, **more)
