"""Derivatives of the equilibrium in every field of a market, their kinks, and changes of links, against exact
re-solves and answers on paper."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from general import INF, Dense, as_market, random_network

import cmapjax as cj
from cmapjax import metrics, sensitivity

FIELDS = ("endowment", "value", "priority", "demand", "own_use", "capacity", "efficiency")
OF_ARCS = ("capacity", "efficiency")
STEP = 1e-6
# Of central differences with this step, in parts of the slope and 1: rounding of 1e-15 / 1e-6, and curvature.
NEAR = 1e-7


@pytest.fixture(scope="module", params=[False, True], ids=["without losses", "with losses"])
def ensemble(request):
    """Markets of all kinds side by side: what moves in one does not touch the others."""
    return cj.pack([random_network(np.random.default_rng(seed), losses=request.param) for seed in range(16)])


def moved(market, field, x):
    if field in ("endowment", "value"):
        return market.with_contributions(**{field: x})
    return market.with_terms(**{field: x})


def numbers(market, field):
    """A field as an exact re-solve takes it, filled in if it is absent."""
    absent = {
        "priority": market.contribution,
        "demand": INF,
        "own_use": 0.0,
        "capacity": INF,
        "efficiency": 1.0,
    }
    if getattr(market, field) is None:
        market = market.with_terms(**{field: absent[field]})
    given = getattr(market, field)
    return market, np.array(market.arc_values(given) if field in OF_ARCS else given)


def sides(market, field, solve):
    """For every number of the field its market, and the slopes of utilities upwards and downwards."""
    market, x = numbers(market, field)
    owner = market.market_of[market.arcs()[0]] if field in OF_ARCS else market.market_of
    rank = np.arange(len(owner)) - np.searchsorted(owner, owner)
    here = solve(market)
    for k in range(rank.max() + 1):  # one number of each market at once
        at = np.flatnonzero((rank == k) & np.isfinite(x) & (x > 0.01))
        ends = []
        for sign in (1, -1):
            other = x.copy()
            other[at] += sign * STEP
            ends.append(solve(moved(market, field, other)))
        for place in at:
            own = market.market_of == owner[place]
            yield place, own, (ends[0] - here)[own] / STEP, (here - ends[1])[own] / STEP


@pytest.mark.parametrize("field", FIELDS)
def test_the_jacobian_equals_differences_of_exact_solves_but_at_kinks(ensemble, field):
    slope = sensitivity.jacobian(ensemble, with_respect_to=field)
    is_kink = sensitivity.kinks(ensemble, with_respect_to=field)
    num_smooth = num_kinks = 0
    for place, own, up, down in sides(ensemble, field, lambda m: cj.solve(m).utility):
        differs = not np.allclose(up, down, atol=1e-4, rtol=1e-4)
        assert differs == is_kink[place], (field, place)
        num_kinks += differs
        if not differs:
            num_smooth += 1
            size = NEAR * (1 + np.abs(up).max())
            np.testing.assert_allclose(slope[own, place], (up + down) / 2, atol=size)
    assert num_smooth > 25
    # Amounts on cycles of links in use are not settled; elsewhere random numbers meet no kink.
    assert (num_kinks > 0) == (field == "efficiency")
    assert np.isnan(slope).any() or field != "efficiency"


@pytest.mark.parametrize("fairness", [0.5, 2])
def test_gradients_follow_the_fairness_that_is_asked_for(fairness):
    market = cj.pack([random_network(np.random.default_rng(seed), losses=True) for seed in range(16)])
    objective = metrics.unweighted_log_nash_welfare
    for field in ("endowment", "efficiency"):
        slope = sensitivity.gradient(market, objective, with_respect_to=field, fairness=fairness)
        filled, x = numbers(market, field)
        owner = market.market_of[market.arcs()[0]] if field in OF_ARCS else market.market_of
        size = np.where((x > 0.01) & np.isfinite(slope), np.abs(slope), -1)
        at = np.array([np.argmax(np.where(owner == k, size, -1)) for k in range(16)])
        ends = []
        for sign in (1, -1):
            other = x.copy()
            other[at] += sign * STEP
            other = moved(filled, field, other)
            ends.append(objective(other, cj.solve(other, fairness=fairness).utility))
        np.testing.assert_allclose(slope[at], (ends[0] - ends[1]) / (2 * STEP), rtol=1e-5, atol=NEAR)
        assert np.median(np.abs(slope[at])) > 0.05


def test_answers_on_paper():
    # 6 units, three receivers, a link that lets through 1: the others share what is left.
    market = as_market(Dense([6], [[1, INF, INF]]))
    by_capacity = sensitivity.jacobian(market, of=[1, 2], by=[(0, 1)], with_respect_to="capacity")
    np.testing.assert_allclose(by_capacity, [[1], [-0.5]], atol=1e-15)
    rent = sensitivity.gradient(market, metrics.log_nash_welfare, with_respect_to="capacity")
    settled = cj.solve(market).settlement
    np.testing.assert_allclose(rent, market.arc_values(settled.rent) / 3, atol=1e-15)  # B = 3
    # The first is satisfied with 1: what it does not want, the others get.
    market = as_market(Dense([6], [[INF] * 3], D=[1, INF, INF]))
    by_demand = sensitivity.jacobian(market, by=[1, 2], with_respect_to="demand")[1:]
    np.testing.assert_allclose(by_demand, [[1, 0], [-0.5, 0], [-0.5, 0]], atol=1e-15)
    by_priority = sensitivity.jacobian(market, by=[1, 2], with_respect_to="priority")[1:]
    np.testing.assert_allclose(by_priority, [[0, 0], [0, 1.25], [0, -1.25]], atol=1e-15)
    # u = (5/2, 5/4) of supplies (3, 1) and efficiencies (1, 1/2; 1/2, 1): 1 serves both.
    lossy = as_market(Dense([3, 1], [[INF] * 2] * 2)).with_terms(efficiency=[1, 0.5, 0.5, 1, 1, 1, 1, 1])
    slope = sensitivity.jacobian(lossy, of=[2, 3], by=[0, 1])
    np.testing.assert_allclose(slope, [[0.5, 1], [0.25, 0.5]], atol=1e-14)


def test_whoever_has_nothing_to_give_may_still_bring_more():
    """The slope is that upwards: a household without panels gives its first unit to its poorest neighbour."""
    market = cj.Market.from_links([[0, 1], [0, 2], [1, 2]], endowment=[0.0, 1, 3], priority=[1.0, 1, 2])
    slope = sensitivity.jacobian(market, by=[0])[:, 0]
    more = cj.solve(market.with_contributions(endowment=[STEP, 1, 3])).utility - cj.solve(market).utility
    assert more.max() > STEP / 2
    np.testing.assert_allclose(slope, more / STEP, atol=1e-6)


@pytest.mark.parametrize(
    ("market", "field", "expected"),
    [
        # 3 units for demands of 1 and 2: more changes nothing, less does.
        (Dense([3], [[INF, INF]], D=[1, 2]), "endowment", [True, False, False]),
        # Both halves have the same level, and are joined by a link that carries nothing.
        (Dense([1, 1], [[INF, INF], [0, INF]]), "endowment", [True, True, False, False]),
        # The demand is just what the level gives.
        (Dense([2], [[INF, INF]], D=[1, INF]), "demand", [False, True, True]),
        # A giver with just what its link takes.
        (Dense([1, 1], [[1, 0], [0, INF]]), "endowment", [True, False, False, False]),
        # With a priority it would count.
        (Dense([1], [[INF, INF]], b=[0, 1]), "priority", [True, True, False]),
    ],
    ids=["all satisfied", "equal halves", "demand", "capacity", "no priority"],
)
def test_kinks_are_told(market, field, expected):
    found = sensitivity.kinks(as_market(market), with_respect_to=field)
    if field == "priority":  # givers, of whom nobody can give to the first
        found, expected = found[1:], expected[1:]
    np.testing.assert_array_equal(found, expected)


def test_where_somebody_would_begin_to_count_there_is_no_derivative():
    """0 could give to 1 and 2, to whom nobody else can, and has nothing."""
    market = cj.Market.from_links([[0, 1], [0, 2]], endowment=[0.0, 1, 3], priority=[0.0, 1, 2])
    for field, where in (("endowment", [0]), ("own_use", [1, 2]), ("priority", [0]), ("value", [])):
        slope = sensitivity.gradient(market, metrics.unweighted_log_nash_welfare, with_respect_to=field)
        assert np.flatnonzero(np.isnan(slope)).tolist() == where
        is_kink = sensitivity.kinks(market, with_respect_to=field)
        assert np.flatnonzero(is_kink).tolist() == where


def test_jax_differentiates_the_equilibrium_in_all_fields_both_ways():
    market = random_network(np.random.default_rng(3), losses=True)
    market = market.with_terms(demand=market.demand if market.demand is not None else INF)

    def utility(endowment, demand, market):
        changed = market.with_contributions(endowment=endowment)
        return cj.equilibrium_utility(changed.with_terms(demand=demand))

    with jax.enable_x64(True):
        at = jnp.asarray(market.endowment), jnp.asarray(market.demand), market.bare()
        found = jax.jit(utility)(*at)
        backward = jax.jit(jax.jacrev(utility, argnums=(0, 1)))(*at)
        forward = jax.jit(jax.jacfwd(utility, argnums=(0, 1)))(*at)
    np.testing.assert_allclose(found, cj.solve(market).utility, rtol=1e-13)
    for field, one, other in zip(("endowment", "demand"), backward, forward, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-14)
        np.testing.assert_allclose(one, sensitivity.jacobian(market, with_respect_to=field), atol=1e-13)


def test_fields_that_a_market_lacks_are_filled_in():
    """In a market of endowments and values, a cable that is not full changes nothing, own use does."""
    market = cj.Market.from_links([[0, 1], [0, 2]], endowment=[2.0, 1, 1])
    assert not sensitivity.jacobian(market, with_respect_to="capacity").any()
    by_own_use = sensitivity.jacobian(market, by=[1], with_respect_to="own_use")[:, 0]
    np.testing.assert_allclose(by_own_use, [0, 0.5, 0.5], atol=1e-15)
    with pytest.raises(ValueError, match="groups: this market has demand"):
        sensitivity.gradient(
            market.with_terms(demand=1.0), metrics.log_nash_welfare, groups=cj.solve(market).groups
        )
    with pytest.raises(ValueError, match=r"margins: this market has demand.*`kinks` says where"):
        sensitivity.margins(market.with_terms(demand=1.0))
    with pytest.raises(ValueError, match=r"by: \(1, 2\) is no link of this market; give pairs"):
        sensitivity.jacobian(market, by=[(1, 2)], with_respect_to="capacity")


# -- links ------------------------------------------------------------------------------------------


def ways(market):
    """Open arcs with their capacities and efficiencies."""
    columns = [x.tolist() for x in market.arcs()]
    columns += [numbers(market, field)[1].tolist() for field in OF_ARCS]
    return {(i, j): (k, e) for i, j, k, e in zip(*columns, strict=True) if k > 0}


def rebuilt(market, arcs):
    """The market on other arcs; agents without any get one that nothing can pass."""
    alone = set(range(market.num_agents)) - {end for pair in arcs for end in pair}
    arcs = arcs | {(i, 0 if i else 1): (0.0, 1.0) for i in alone}
    capacity, efficiency = np.array(list(arcs.values())).T
    fields = {name: getattr(market, name) for name in ("priority", "demand", "own_use")}
    return cj.Market.from_links(
        list(arcs),
        directed=True,
        capacity=capacity,
        efficiency=efficiency,
        endowment=market.endowment,
        num_agents=market.num_agents,
        **fields,
    )


@pytest.mark.parametrize("losses", [False, True])
def test_changes_of_links_are_those_of_building_every_changed_market(losses):
    market = random_network(np.random.default_rng(4 + losses), losses=losses)
    objective, arcs = metrics.log_nash_welfare, ways(market)
    before = objective(market, cj.solve(market).utility)

    def change(other):
        with np.errstate(divide="ignore"):
            return (objective(market, cj.solve(rebuilt(market, other)).utility) - before)[0]

    num_changing = 0
    for directed in (False, True):
        new = sensitivity.new_links(market, objective, capacity=0.5, efficiency=0.9, directed=directed)
        for (i, j), found in zip(new.links[::3], new.change[::3].tolist(), strict=True):
            more = dict.fromkeys([(i, j)] if directed else [(i, j), (j, i)], (0.5, 0.9))
            assert found == pytest.approx(change(arcs | more), abs=1e-9)
            num_changing += found != 0
    gone = sensitivity.removed_links(market, objective)
    assert {frozenset(pair) for pair in arcs} == set(map(frozenset, gone.links))
    for (i, j), found, stranded in zip(gone.links, gone.change.tolist(), gone.strands, strict=True):
        less = {pair: x for pair, x in arcs.items() if set(pair) != {i, j}}
        assert found == pytest.approx(change(less), abs=1e-9)
        assert (found == -INF) == bool(stranded)
        num_changing += found != 0
    assert num_changing > 10


def test_new_links_of_any_kind_are_tried_in_a_market_of_endowments_and_values():
    market = cj.Market.from_links([[0, 1], [1, 2], [2, 3]])
    plain = sensitivity.new_links(market, candidates=[(0, 2)])
    wide = sensitivity.new_links(market, candidates=[(0, 2)], capacity=100.0)
    narrow = sensitivity.new_links(market, candidates=[(0, 2)], capacity=1e-3)
    np.testing.assert_allclose(wide.change, plain.change, atol=1e-12)
    assert 0 <= narrow.change[0] <= wide.change[0]
    with pytest.raises(ValueError, match="capacity of new links is 0; give a number above 0"):
        sensitivity.new_links(market, capacity=0)
