"""Dynamic sharing: all to the neighbour served worst so far, followed by hand and by a slow reference."""

from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference

import cmapjax as cj

TOTAL = {"total": lambda market, state: state.total_utility}
AVERAGE = {"average": lambda market, state: state.average_utility}


def star(weights):
    """A hub, agent 0, and its leaves."""
    return cj.Market.from_links([[0, leaf] for leaf in range(1, len(weights))], endowment=weights)


def two_leaves():
    """A hub of 1 between leaves of 1 and 2, whose equilibrium is 3 for the hub and 1/3 and 2/3."""
    return star([1.0, 1.0, 2.0])


def family(weights_seed=0):
    """Four networks of different kinds with unequal contributions, side by side."""
    rng = np.random.default_rng(weights_seed)
    links = [reference.random_links(rng, n, density) for n, density in ((12, 0.2), (12, 0.0), (8, 0.6))]
    links.append([[i, (i + 1) % 11] for i in range(11)])
    return cj.pack(
        [cj.Market.from_links(x, endowment=rng.uniform(0.1, 1, int(np.max(x)) + 1)) for x in links]
    )


# -- by hand ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("precision", ["float64", "float32"])
def test_a_hub_of_two_leaves_serves_whoever_lags(precision):
    run = cj.simulate(two_leaves(), cj.DynamicSharing(), rounds=8, record=TOTAL, precision=precision)
    # Ratios before each round, (first leaf, second): the start's (1/2, 1/4), then (0, 1/2), (1/2, 1/4),
    # (1/3, 1/3), which is a tie, (3/8, 5/16), (3/10, 7/20), (5/12, 7/24), (5/14, 9/28).
    by_hand = [(0, 1), (1, 1), (1, 2), (1.5, 2.5), (1.5, 3.5), (2.5, 3.5), (2.5, 4.5), (2.5, 5.5)]
    np.testing.assert_array_equal(run.records["total"][1:, 1:], by_hand)
    np.testing.assert_array_equal(run.records["total"][:, 0], 3 * run.rounds)


@pytest.mark.parametrize("precision", ["float64", "float32"])
def test_no_leaf_of_a_star_is_ever_ahead_by_more_than_the_hub_gives(precision):
    weights = np.concatenate([[0.7], np.random.default_rng(4).lognormal(size=9)])
    market = star(weights)
    run = cj.simulate(market, cj.DynamicSharing(), rounds=400, record=TOTAL, precision=precision)
    fair = cj.solve(market).utility[1:]
    ahead = run.records["total"][1:, 1:] - run.rounds[1:, None] * fair
    rounding = {"float64": 1e-11, "float32": 1e-3}[precision]
    assert ahead.max() <= 0.7 + rounding
    assert -ahead.min() <= 8 * 0.7 + rounding
    assert ahead.max() > 0.35  # it is served in whole rounds


def test_neighbours_that_tie_share_equally():
    market = star(np.ones(5))
    run = cj.simulate(market, cj.DynamicSharing(), rounds=5, record=AVERAGE)
    np.testing.assert_allclose(run.records["average"][1:], [[4, 0.25, 0.25, 0.25, 0.25]] * 5, rtol=1e-15)
    np.testing.assert_allclose(run.final.utility, cj.solve(market).utility, rtol=1e-15)


def test_a_path_of_three_is_at_its_equilibrium_at_once():
    run = cj.simulate(cj.Market.from_links([[0, 1], [1, 2]]), cj.DynamicSharing(), rounds=3, record=AVERAGE)
    np.testing.assert_array_equal(run.records["average"], [[0.5, 2, 0.5]] * 4)


# -- by a slow reference ----------------------------------------------------------------------------


def row_by_averages(average, budget, i, w, links):
    """Agent i's row by the rule as it is said, with ties as near as rounding."""
    neighbours = np.flatnonzero(links[i])
    ratio = average[neighbours] / w[neighbours]
    served = neighbours[ratio <= ratio.min() + 1e-12]
    row = np.zeros(len(w))
    row[served] = budget[i] / len(served)
    return row


@pytest.mark.parametrize(
    "process", [cj.endowments.Constant(), cj.endowments.OnOff(0.5)], ids=["always", "at times"]
)
def test_thirty_rounds_are_those_of_the_reference(process):
    market, key = family(), jax.random.key(2)
    w, links = reference.dense(market)
    start = reference.random_split(np.random.default_rng(3), w, links)
    record = {"total": TOTAL["total"], "gave": lambda m, s: m.unstored(m.links.total(s.flow))}
    run = cj.simulate(
        market,
        cj.DynamicSharing(),
        rounds=30,
        endowments=process,
        record=record,
        start=reference.flow_of(market, start),
        key=key,
    )
    average, total = start.sum(axis=0), np.zeros(len(w))
    for t in range(1, 31):
        budget = run.records["gave"][t]
        total += sum(row_by_averages(average, budget, i, w, links) for i in range(len(w)))
        average = total / t
        np.testing.assert_allclose(run.records["total"][t], total, rtol=1e-12, atol=1e-13)
    np.testing.assert_array_equal(run.final.received, market.mirror(run.final.flow))
    assert run.spending_error.max() < 1e-14


def totals_on_paper(links, w, rounds):
    """What everybody has received after each round, in fractions, so that a tie is a tie."""
    around = [[j for link in links for j in link if i in link and j != i] for i in range(len(w))]
    average = [sum(w[i] / len(around[i]) for i in around[j]) for j in range(len(w))]
    totals = [[Fraction(0)] * len(w)]
    for t in range(1, rounds + 1):
        total = list(totals[-1])
        for i, neighbours in enumerate(around):
            least = min(average[j] / w[j] for j in neighbours)
            served = [j for j in neighbours if average[j] / w[j] == least]
            for j in served:
                total[j] += w[i] / len(served)
        totals.append(total)
        average = [x / t for x in total]
    return np.array(totals, float)


def test_neighbours_that_tie_on_paper_share_equally_though_rounding_tells_them_apart():
    """Contributions in tenths, which floats do not hold: 132 ties in 30 rounds."""
    links, tenths = [[0, 2], [0, 3], [0, 4], [1, 2], [1, 3], [1, 4]], [7, 7, 7, 8, 8]
    market = cj.Market.from_links(links, endowment=np.array(tenths) / 10)
    run = cj.simulate(market, cj.DynamicSharing(), rounds=30, record=TOTAL)
    expected = totals_on_paper(links, [Fraction(x, 10) for x in tenths], 30)
    # Thirty sums of a few numbers below 1; one tie broken would move a total by a tenth and more.
    np.testing.assert_allclose(run.records["total"], expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("schedule", [cj.Sequential(), cj.RandomOrder()], ids=lambda s: type(s).__name__)
def test_turns_within_a_round_change_nothing(schedule):
    market = family()
    together, in_turns = (
        cj.simulate(
            market, cj.DynamicSharing(), rounds=25, schedule=s, record=TOTAL, key=jax.random.key(1)
        ).records["total"]
        for s in (cj.Simultaneous(), schedule)
    )
    np.testing.assert_allclose(in_turns, together, rtol=1e-13, atol=1e-14)


# -- how it is run -----------------------------------------------------------------------------------


class Asks(cj.Strategy):
    """Whether averages are seen, told by the shape of what is given."""

    wants: bool = True

    @property
    def needs_averages(self):
        return self.wants

    def respond(self, view):
        assert (view.average_utility is not None) == self.wants
        return cj.repeat(view)


@pytest.mark.parametrize(
    ("wants", "schedule"), [(True, cj.Sequential()), (False, cj.Simultaneous())], ids=["asked", "not asked"]
)
def test_averages_are_shown_to_those_that_ask_alone(wants, schedule):
    for strategy in (Asks(wants), cj.Damped(Asks(wants), 0.5)):
        run = cj.simulate(two_leaves(), strategy, rounds=2, schedule=schedule, record={})
        assert np.isfinite(run.final.flow).all()


def test_the_laws_of_strategies_notice_averages_misused():
    class SpendsWhatItRemembers(cj.DynamicSharing):
        def post(self, view):
            limit, part = super().post(view)
            return limit, jnp.where(limit > 0, 1.1, 1.0) * part

    cj.testing.check_strategy(cj.DynamicSharing())
    with pytest.raises(cj.testing.StrategyError, match="law of budget"):
        cj.testing.check_strategy(SpendsWhatItRemembers())


# -- what it comes to --------------------------------------------------------------------------------


def slope(market, process, key=None):
    """Of log worst relative error of the averages against log t, one per market."""
    best = cj.solve(market).utility
    record = {"error": lambda m, s: cj.metrics.worst_relative_error(m, s.average_utility, best)}
    run = cj.simulate(
        market, cj.DynamicSharing(), rounds=4000, every=50, endowments=process, record=record, key=key
    )
    t, error = run.rounds[2:], run.records["error"][2:]
    return np.polyfit(np.log(t), np.log(error), 1)[0], error[-1]


def test_averages_approach_the_equilibrium_as_one_over_t():
    slopes, last = slope(family(), cj.endowments.Constant())
    assert (np.abs(slopes + 1) < 0.25).all()
    assert (last < 0.01).all()


def test_with_random_surplus_averages_approach_it_as_one_over_the_root_of_t():
    market = cj.pack([family(k) for k in range(6)])
    slopes, last = slope(market, cj.endowments.Exponential(), jax.random.key(0))
    # One run's slope is noisy; 24 of them average out, and 1/t would be far off.
    assert abs(np.median(slopes) + 0.5) < 0.15
    assert (last < 0.15).all()


def test_an_explanation_names_the_neighbour_that_lags():
    about = cj.explain(two_leaves(), cj.DynamicSharing(), 0, 3)
    assert [n.average for n in about.neighbours] == [0.5, 0.5]
    assert [n.gets for n in about.neighbours] == [0, 1]
    assert "2 at 0.2500, 1 at 0.5000" in str(about)
    assert "All goes to the smallest of these: 2." in str(about)
    assert cj.explain(two_leaves(), cj.CMAP(), 0, 3).neighbours[0].average is None
