"""Fairness of markets with priorities, demands, capacities and losses: what holds at the equilibrium and
fails elsewhere, and what is refused with a reason."""

import numpy as np
import pytest
from general import INF, Dense, as_market, random_dense

import cmapjax as cj
from cmapjax import fairness

# What each check needs of the market.
CHECKS = {
    "proportionality_error": ("own use", lambda m, y: fairness.proportionality_error(m, m.received(y))),
    "envy_error": ("", fairness.envy_error),
    "pareto_error": ("own use, capacity", fairness.pareto_error),
    "lexicographic_error": ("own use, capacity", fairness.lexicographic_error),
}


def markets(knows: str, count: int = 40):
    """Random markets with demands and priorities, and with what a check knows besides."""
    rng = np.random.default_rng(3)
    for k in range(count):
        dense = random_dense(rng, "small fractions" if k % 2 else "floats")
        if "own use" not in knows:
            dense.a = None
            dense.__post_init__()
        if "capacity" not in knows:
            dense.K = [[INF if x else 0.0 for x in row] for row in dense.K]
        if dense.anybody_counts:
            yield as_market(dense)


@pytest.mark.parametrize("name", CHECKS)
def test_at_the_equilibrium_every_form_holds_and_at_another_flow_most_fail(name):
    knows, check = CHECKS[name]
    fails = 0
    for market in markets(knows):
        found = cj.solve(market)
        assert check(market, found.flow)[0] < 1e-6
        fails += check(market, uneven(market))[0] > 1e-3
    assert fails >= 8


def uneven(market):
    """Everybody gives half of what its links let through, most to the receivers of the lowest numbers."""
    giver, receiver = market.arcs()
    capacity = np.where(np.asarray(market.priority)[receiver] > 0, market.arc_values(market.capacity), 0)
    share = np.where(capacity > 0, 4.0**-receiver, 0)
    total = np.bincount(giver, share, market.num_agents)[giver]
    wanted = 0.5 * np.asarray(market.contribution)[giver] * share / np.where(total > 0, total, 1)
    return market.flow_from_arcs(np.minimum(wanted, capacity))


def losses():
    """Two givers, two receivers, losses on the crossed links: 5/2 and 5/4 at the equilibrium."""
    market = cj.Market.from_links(
        [[0, 2], [0, 3], [1, 2], [1, 3]],
        directed=True,
        endowment=[3, 1, 0, 0],
        priority=[0, 0, 1, 1],
        efficiency=[1, 0.5, 0.5, 1],
    )
    arcs = {(0, 2): 2.5, (0, 3): 0.5, (1, 3): 1.0}
    return market, market.flow_from_arcs([arcs.get(a, 0) for a in zip(*market.arcs(), strict=True)])


def test_with_losses_there_is_no_envy_and_everybody_has_its_share():
    market, flow = losses()
    assert fairness.envy_error(market, flow)[0] == 0
    assert fairness.proportionality_error(market, [0, 0, 5 / 2, 5 / 4])[0] == 0
    assert fairness.pareto_error(market, flow)[0] < 1e-7
    # The shares are (3 + 1/2) / 2 and (3/2 + 1) / 2.
    assert fairness.proportionality_error(market, [0, 0, 3.5, 1])[0] == 1 - 1 / 1.25
    with pytest.raises(ValueError, match=r"lexicographic_error: this market has efficiency.*certified gap"):
        fairness.lexicographic_error(market, flow)


def test_envy_is_of_another_row_in_proportion_to_priorities():
    market = as_market(Dense(s=[6], K=[[INF, INF]], b=[1, 2]))
    flow = market.flow_from_arcs([3.0, 3, 0, 0])
    # The second would have 6 of the first one's row, twice over, and has 3.
    assert fairness.envy_error(market, flow)[0] == 1 / 2
    assert fairness.proportionality_error(market, market.received(flow))[0] == 1 - 3 / 4
    assert fairness.envy_error(market, market.flow_from_arcs([2.0, 4, 0, 0]))[0] == 0
    enough = market.with_terms(demand=[INF, INF, 3])
    assert fairness.envy_error(enough, flow)[0] == 0


def test_a_rest_in_which_somebody_who_has_enough_stands_between_is_no_optimum():
    """Giver 0 fills receiver 0, whom giver 1 could serve instead of the rich receiver 2, to free it for 1."""
    market = as_market(Dense(s=[1, 1], K=[[INF, INF, 0], [INF, 0, INF]], D=[0.5, INF, INF]))
    arcs = {(0, 2): 0.5, (0, 3): 0.5, (1, 4): 1.0}
    flow = market.flow_from_arcs([arcs.get(a, 0) for a in zip(*market.arcs(), strict=True)])
    assert fairness.lexicographic_error(market, flow)[0] == 1 / (1 / 2) - 1
    assert fairness.pareto_error(market, flow)[0] < 1e-9
    assert fairness.lexicographic_error(market, cj.solve(market).flow)[0] < 1e-12


def test_what_is_kept_or_wasted_though_somebody_lacks_it_is_an_error():
    market = as_market(Dense(s=[4], K=[[INF, INF]], D=[1, INF]))
    assert fairness.lexicographic_error(market, market.flow_from_arcs([1.0, 2, 0, 0]))[0] == 1 / 4
    assert fairness.pareto_error(market, market.flow_from_arcs([1.0, 2, 0, 0]))[0] == pytest.approx(1 / 3)
    wasted = market.flow_from_arcs([2.0, 2, 0, 0])
    assert fairness.lexicographic_error(market, wasted)[0] == INF
    assert fairness.pareto_error(market, wasted)[0] == pytest.approx(1 / 3)


def test_ordinary_markets_have_the_new_forms_too_and_ensembles_one_number_each():
    path = cj.Market.from_links([[0, 1], [1, 2]], endowment=[1.0, 2, 4])
    found = cj.solve(cj.pack([path, path]))
    both = cj.pack([path, path])
    flow = np.where(np.arange(both.num_agents)[both.arcs()[0]] < 3, 0, both.arc_values(found.flow))
    for check in (fairness.envy_error, fairness.pareto_error):
        np.testing.assert_allclose(check(both, found.flow), 0, atol=1e-9)
    assert fairness.pareto_error(both, both.flow_from_arcs(flow))[0] > 1
    assert fairness.pareto_error(both, both.flow_from_arcs(flow))[1] < 1e-9
    utility = np.array([0, 0, 0, *found.utility[3:]])
    np.testing.assert_allclose(fairness.proportionality_error(both, utility), [1, 0], atol=1e-12)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m: fairness.reciprocity_error(m, np.zeros(4)), "inverse only there; use lexicographic_error"),
        (lambda m: fairness.best_coalition(m, np.zeros(3)), "coalition has by itself.*pareto_error"),
        (lambda m: fairness.bottleneck_pairs(m, cj.solve(m)), "in pairs only there.*settlement.level"),
        (lambda m: fairness.lexicographic_ratios(m), "exact=True"),
        (lambda m: fairness.arrow_debreu_prices(m, cj.solve(m)), "budgets are what agents earn"),
        (lambda m: fairness.arrow_debreu_error(m, np.ones(3), np.zeros(4)), "envy_error"),
    ],
)
def test_what_needs_undirected_markets_of_contributions_says_why(call, message):
    market = cj.Market.from_links([[0, 1], [1, 2]], priority=[1, 2, 3])
    with pytest.raises(ValueError, match=f"this market has priority, and .* values only: .*{message}"):
        call(market)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m: fairness.envy_error(m.with_terms(own_use=1), np.zeros(4)), "has own_use"),
        (lambda m: fairness.envy_error(m.with_terms(capacity=1), np.zeros(4)), "capacity .from agent 0 to"),
        (lambda m: fairness.proportionality_error(m.with_terms(capacity=1), np.zeros(3)), "has capacity"),
        (
            lambda m: fairness.proportionality_error(m, [0, -1, 0]),
            "utility must be finite and 0 or more.*1: -1",
        ),
        (lambda m: fairness.envy_error(m, np.zeros(3)), r"flow has shape \(3,\); give \(\d+,\)"),
        (
            lambda m: fairness.pareto_error(m, m.flow_from_arcs([0, np.nan, 0, 0])),
            "flow from agent 1 to agent 0",
        ),
        (lambda m: fairness.pareto_error(m, m.flow_from_arcs([0, 1, 1, 0])), "agent 1 gives 2 and has 1"),
        (
            lambda m: fairness.pareto_error(m.with_terms(capacity=0.5), m.flow_from_arcs([1, 0, 0, 0])),
            "no more than its capacity",
        ),
    ],
)
def test_bad_flows_and_markets_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call(cj.Market.from_links([[0, 1], [1, 2]], priority=1))
