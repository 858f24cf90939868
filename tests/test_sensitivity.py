"""Derivatives of the equilibrium against differences of the exact solver, their reach, and link changes."""

import jax
import jax.numpy as jnp
import networkx as nx
import numpy as np
import pytest
import reference

import cmapjax as cj
from cmapjax import metrics, sensitivity

STEP = 1e-6


def random_market(seed, n=9, density=0.25):
    rng = np.random.default_rng(seed)
    links = reference.random_links(rng, n, density)
    return cj.Market.from_links(links, endowment=rng.lognormal(0, 1, n), value=rng.uniform(0.5, 2, n))


def difference(market, field, function):
    """∂ function(equilibrium) / ∂ field_i by central differences of exact solves, agent by agent."""
    columns = []
    for i in range(market.num_agents):
        sides = []
        for sign in (1, -1):
            moved = np.array(getattr(market, field))
            moved[i] += sign * STEP
            sides.append(function(cj.solve(market.with_contributions(**{field: moved}))))
        columns.append((sides[0] - sides[1]) / (2 * STEP))
    return np.stack(columns, axis=-1)


@pytest.fixture(scope="module")
def market():
    """Away from kinks: random contributions on a random network."""
    chosen = random_market(3)
    assert not sensitivity.margins(chosen).is_kink.any()
    return chosen


# -- derivatives ------------------------------------------------------------------------------------


@pytest.mark.parametrize("field", ["endowment", "value"])
def test_the_jacobian_equals_differences_of_the_exact_solver(market, field):
    slope = sensitivity.jacobian(market, with_respect_to=field)
    np.testing.assert_allclose(slope, difference(market, field, lambda e: e.utility), atol=1e-7)
    rows = sensitivity.jacobian(market, of=[4, 1], with_respect_to=field)
    np.testing.assert_array_equal(rows, slope[[4, 1]])
    columns = sensitivity.jacobian(market, by=[7], with_respect_to=field)
    np.testing.assert_allclose(columns, slope[:, [7]], rtol=1e-13)
    some = sensitivity.jacobian(market, of=[2, 3, 5], by=[8, 0], with_respect_to=field)
    np.testing.assert_allclose(some, slope[[2, 3, 5]][:, [8, 0]], rtol=1e-13)


def test_forward_reverse_vmapped_and_compiled_derivatives_agree(market):
    with jax.enable_x64(True):

        def utility(endowment):
            return cj.equilibrium_utility(market.with_contributions(endowment=endowment))

        endowment = jnp.asarray(market.endowment)
        slope = sensitivity.jacobian(market)
        reverse = jax.jit(jax.jacrev(utility))
        for derivative in (jax.jit(jax.jacfwd(utility)), jax.jacrev(utility), reverse):
            np.testing.assert_allclose(derivative(endowment), slope, rtol=1e-13, atol=1e-14)
        others = np.stack([endowment, endowment[::-1], 2 * endowment])
        together = jax.jit(jax.vmap(jax.jacrev(utility)))(others)
        alone = np.stack([reverse(e) for e in others])
        np.testing.assert_allclose(together, alone, rtol=1e-13, atol=1e-14)
        values = jax.jit(jax.vmap(jax.vmap(utility)))(others[None])[0]
        expected = [cj.solve(market.with_contributions(endowment=np.asarray(e))).utility for e in others]
        np.testing.assert_allclose(values, expected, rtol=1e-14)


def test_the_market_may_be_an_argument_of_compiled_code(market):
    function = jax.jit(
        lambda m, scale: cj.equilibrium_utility(m.with_contributions(endowment=scale * m.endowment))
    )
    with jax.enable_x64(True):
        np.testing.assert_allclose(function(market.bare(), 2.0), 2 * cj.solve(market).utility, rtol=1e-14)


def test_in_single_precision_derivatives_are_right_to_single_precision(market):
    def utility(endowment):
        return cj.equilibrium_utility(market.with_contributions(endowment=endowment))

    slope = jax.jit(jax.jacrev(utility))(np.asarray(market.endowment, np.float32))
    assert slope.dtype == jnp.float32
    np.testing.assert_allclose(slope, sensitivity.jacobian(market), rtol=2e-5, atol=1e-6)


@pytest.mark.optimised
@pytest.mark.parametrize(
    ("contribution", "words"),
    [([1e-140, 1e-150, 1.0, 1e150], "agent 1, who contributes 1e-150"), ([1e-200, 1.0, 1e200], "overflow")],
)
def test_utilities_beyond_what_floats_hold_are_refused(contribution, words):
    star = cj.Market.from_links([[0, i] for i in range(1, len(contribution))], endowment=contribution)
    for function in (cj.equilibrium_utility, cj.solve):
        with pytest.raises(ValueError, match=words):
            function(star)


def test_known_groups_make_it_plain_arithmetic(market):
    groups = cj.solve(market).groups
    with jax.enable_x64(True):
        text = str(
            jax.make_jaxpr(lambda e: cj.equilibrium_utility(market.with_contributions(endowment=e), groups))(
                jnp.asarray(market.endowment)
            )
        )
    assert "callback" not in text
    np.testing.assert_array_equal(sensitivity.jacobian(market, groups=groups), sensitivity.jacobian(market))


@pytest.mark.parametrize(
    "objective",
    [metrics.log_nash_welfare, sensitivity.min_ratio, sensitivity.utility_of(5)],
    ids=["welfare", "least ratio", "one agent"],
)
@pytest.mark.parametrize("field", ["endowment", "value"])
def test_gradients_of_objectives_equal_differences(market, objective, field):
    slope = sensitivity.gradient(market, objective, with_respect_to=field)

    def by_hand(moved):
        return lambda e: objective(moved, e.utility)

    expected = []
    for i in range(market.num_agents):
        sides = []
        for sign in (1, -1):
            x = np.array(getattr(market, field))
            x[i] += sign * STEP
            moved = market.with_contributions(**{field: x})
            with jax.enable_x64(True):
                sides.append(float(objective(moved, cj.solve(moved).utility)[0]))
        expected.append((sides[0] - sides[1]) / (2 * STEP))
    np.testing.assert_allclose(slope, expected, atol=1e-7)
    assert np.abs(slope).max() > 1e-3


def test_gradients_in_an_ensemble_are_those_of_each_market_alone():
    singles = [random_market(seed, n) for seed, n in ((1, 4), (2, 6), (3, 9))]
    packed = cj.pack(singles)
    together = sensitivity.gradient(packed, metrics.log_nash_welfare)
    alone = [sensitivity.gradient(m, metrics.log_nash_welfare) for m in singles]
    np.testing.assert_allclose(together, np.concatenate(alone), rtol=1e-10, atol=1e-14)


def test_elasticities_of_an_agent_sum_to_one(market):
    table = sensitivity.elasticities(market)
    np.testing.assert_allclose(table.sum(axis=1), 1, rtol=1e-12)
    np.testing.assert_allclose(sensitivity.elasticities(market, by=[3]), table[:, [3]], rtol=1e-12)
    np.testing.assert_allclose(
        table, difference(market, "endowment", lambda e: np.log(e.utility)) * market.endowment, atol=1e-6
    )


@pytest.mark.parametrize(
    "links",
    [[[0, 1]], [[0, 1], [0, 2], [3, 4], [3, 5]], [[0, 1], [1, 2], [2, 3], [3, 0]], [[0, 1], [0, 2], [0, 3]]],
    ids=["edge", "two stars", "cycle of 4", "star"],
)
def test_equal_ratios_by_chance_are_no_kink(links):
    market = cj.Market.from_links(np.array(links))
    np.testing.assert_allclose(
        sensitivity.jacobian(market), difference(market, "endowment", lambda e: e.utility), atol=1e-7
    )
    assert not sensitivity.margins(market).is_kink.any()


# -- their reach ------------------------------------------------------------------------------------


def blocks(market):
    groups = cj.solve(market).groups
    return groups.gives_in_block.tolist(), groups.receives_in_block.tolist()


def test_blocks_change_exactly_where_the_margins_say():
    checked = 0
    for seed in range(12):
        market = random_market(seed, n=3 + seed % 6)
        before, reach = blocks(market), sensitivity.margins(market)
        for i in range(market.num_agents):
            for sign, far in ((-1, reach.down[i]), (1, reach.up[i])):
                moved = np.array(market.endowment)
                moved[i] += sign * min(0.999 * far, 1e4)
                assert blocks(market.with_contributions(endowment=moved)) == before
                ends = np.isfinite(far) and (sign > 0 or far < market.endowment[i] * (1 - 1e-9))
                if ends:
                    moved = np.array(market.endowment)
                    moved[i] += sign * 1.001 * far
                    assert blocks(market.with_contributions(endowment=moved)) != before
                    checked += 1
    assert checked > 50


def test_at_a_kink_the_derivative_is_that_of_staying_together_and_is_flagged():
    market = cj.graphs.from_networkx(nx.path_graph(4))  # both halves have just met
    reach = sensitivity.margins(market)
    assert reach.is_kink.all()
    slope = sensitivity.jacobian(market)
    # More at the end keeps the halves apart, less keeps them together.
    sides = {}
    for sign in (1, -1):
        moved = np.ones(4)
        moved[0] += sign * STEP
        found = cj.solve(market.with_contributions(endowment=moved))
        sides[sign] = sign * (found.utility - 1) / STEP
    together = -1 if reach.down[0] > 0 else 1
    np.testing.assert_allclose(slope[:, 0], sides[together], atol=1e-5)
    assert np.abs(sides[1] - sides[-1]).max() > 0.1


def test_an_agent_can_bring_no_less_than_nothing():
    """On an edge blocks never change: an agent may bring all it likes more, and all of it less."""
    reach = sensitivity.margins(cj.Market.from_links([[0, 1]], endowment=[2.0, 3.0], value=[1.0, 0.5]))
    np.testing.assert_array_equal(reach.up, np.inf)
    np.testing.assert_allclose(reach.down, [2, 3], rtol=1e-12)


def test_a_margin_of_a_millionth_is_no_kink():
    """A path of four whose halves would meet if an end brought a millionth more or less."""
    for end in (1 + 1e-6, 1 - 1e-6):
        market = cj.graphs.from_networkx(nx.path_graph(4), endowment=[end, 1.0, 1.0, end])
        reach = sensitivity.margins(market)
        assert 1e-7 < min(reach.down.min(), reach.up.min()) < 2e-6
        assert not reach.is_kink.any()


def test_margins_of_some_agents_are_those_of_all(market):
    everybody, some = sensitivity.margins(market), sensitivity.margins(market, of=[6, 2])
    np.testing.assert_allclose(some.up, everybody.up[[6, 2]], rtol=1e-12)
    np.testing.assert_allclose(some.down, everybody.down[[6, 2]], rtol=1e-12)
    assert some.agents == (6, 2)


# -- links ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "objective", [metrics.log_nash_welfare, sensitivity.min_ratio], ids=["welfare", "least ratio"]
)
def test_changes_of_links_are_those_of_solving_every_changed_network(objective):
    market = random_market(8, n=8, density=0.15)
    graph = cj.graphs.to_networkx(market)
    before = objective(market, cj.solve(market).utility)[0]

    def change(edit, link):
        changed = graph.copy()
        getattr(changed, edit)(*link)
        if min(degree for _, degree in changed.degree) == 0:
            return -np.inf if objective is metrics.log_nash_welfare else -before
        other = cj.graphs.from_networkx(changed, endowment=market.endowment, value=market.value)
        return objective(other, cj.solve(other).utility)[0] - before

    new = sensitivity.new_links(market, objective)
    assert {frozenset(link) for link in new.links} == {frozenset(e) for e in nx.non_edges(graph)}
    np.testing.assert_allclose(new.change, [change("add_edge", link) for link in new.links], atol=1e-12)
    assert new.change[0] > 1e-3
    assert np.all(np.diff(new.change) <= 0)
    gone = sensitivity.removed_links(market, objective)
    assert len(gone.links) == market.num_links
    np.testing.assert_allclose(gone.change, [change("remove_edge", link) for link in gone.links], atol=1e-12)
    assert gone.change[-1] < -1e-3


@pytest.mark.parametrize("n", [5, 7, 9])
def test_a_link_that_carries_value_one_way_only_matters_whichever_way_it_is(n):
    """On a ring of odd length the flow of an equilibrium may run round it, one way or the other."""
    ring = nx.cycle_graph(n)
    for start in range(2):  # numbered along the ring, and against it
        names = {i: (i * (-1) ** start) % n for i in range(n)}
        graph = nx.relabel_nodes(ring, names)
        for w in (np.ones(n), np.random.default_rng(n).uniform(1, 1.4, n)):
            market = cj.graphs.from_networkx(graph, endowment=dict(zip(graph, w, strict=True)))
            before = metrics.log_nash_welfare(market, cj.solve(market).utility)[0]
            gone = sensitivity.removed_links(market)
            changes = dict(zip(gone.links, gone.change, strict=True))
            assert len(changes) == n
            for (a, b), change in changes.items():
                path = graph.copy()
                path.remove_edge(a, b)
                left = cj.graphs.from_networkx(path, endowment=dict(zip(graph, w, strict=True)))
                after = metrics.log_nash_welfare(left, cj.solve(left).utility)[0]
                assert change == pytest.approx(after - before, abs=1e-12)


def test_links_whose_loss_strands_somebody_name_the_agent():
    market = cj.graphs.from_networkx(nx.lollipop_graph(3, 2))
    gone = sensitivity.removed_links(market)
    assert dict(zip(gone.links, gone.strands, strict=True))[3, 4] == (4,)
    assert sum(map(bool, gone.strands)) == 1
    assert gone.change[-1] == -np.inf
    assert not any(sensitivity.new_links(market).strands)


def test_links_left_out_are_counted():
    market = random_market(8, n=8, density=0.15)
    every, few = sensitivity.new_links(market), sensitivity.new_links(market, most=2)
    assert few.num_untried == np.count_nonzero(every.change) - 2 > 0
    change = dict(zip(map(frozenset, every.links), every.change, strict=True))
    assert len(few.links) == 2
    np.testing.assert_allclose(few.change, [change[frozenset(link)] for link in few.links], atol=1e-12)
    ratio = cj.solve(market).ratio
    products = [ratio[a] * ratio[b] for a, b in nx.non_edges(cj.graphs.to_networkx(market))]
    tried = [ratio[a] * ratio[b] for a, b in few.links]
    np.testing.assert_allclose(sorted(tried), sorted(products)[:2], rtol=1e-12)
    gone = sensitivity.removed_links(market, most=1)
    assert len(gone.links) + gone.num_untried == market.num_links


def test_in_an_ensemble_links_stay_within_markets():
    singles = [random_market(1, 4), random_market(2, 6)]
    packed = cj.pack(singles)
    together = sensitivity.new_links(packed)
    alone = [change for m in singles for change in sensitivity.new_links(m).change]
    np.testing.assert_allclose(together.change, sorted(alone, reverse=True), atol=1e-12)


@pytest.mark.parametrize(
    ("function", "candidates", "message"),
    [
        (sensitivity.new_links, [(0, 1)], "0 and 1 are linked already"),
        (sensitivity.new_links, [(2, 2)], "2 and 2 are one agent"),
        (sensitivity.new_links, [(0, 9)], "agent 9 is not in this market"),
        (sensitivity.removed_links, [(0, 3)], "0 and 3 are not linked"),
    ],
)
def test_candidates_that_make_no_sense_are_refused(function, candidates, message):
    with pytest.raises(ValueError, match=message):
        function(cj.graphs.from_networkx(nx.path_graph(4)), candidates=candidates)


# -- a budget ---------------------------------------------------------------------------------------


def test_a_budget_goes_where_it_does_most_good():
    # Two leaves share a hub: the hub is what they lack.
    market = cj.graphs.from_networkx(nx.star_graph(2))
    placed = sensitivity.place_budget(market, 1.0, sensitivity.min_ratio, steps=60)
    np.testing.assert_allclose(placed.extra, [1, 0, 0], atol=1e-6)
    assert placed.after == pytest.approx(1)
    assert placed.before == 0.5
    assert np.all(np.diff(placed.history) >= 0)


def test_a_placed_budget_is_spent_in_value_and_is_never_worse_than_an_equal_split(market):
    placed = sensitivity.place_budget(market, 2.5, steps=20)
    assert np.sum(placed.extra * market.value) == pytest.approx(2.5, rel=1e-12)
    assert placed.extra.min() >= 0
    richer = market.with_contributions(endowment=market.endowment + placed.extra)
    assert metrics.log_nash_welfare(richer, cj.solve(richer).utility)[0] == pytest.approx(
        placed.after, abs=1e-12
    )
    assert placed.after >= placed.evenly


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m: sensitivity.place_budget(m, 0), "budget is 0; give a positive number"),
        (lambda m: sensitivity.place_budget(m, 1.0, steps=0), "steps is 0"),
        (
            lambda m: sensitivity.gradient(m, metrics.log_nash_welfare, with_respect_to="price"),
            "give one of 'endowment', 'value'",
        ),
        (lambda m: sensitivity.jacobian(m, of=["ann"]), "agent 'ann' is not in this market"),
        (
            lambda m: sensitivity.margins(m, equilibrium=cj.solve(m, method=cj.ProjectedGradient())),
            "finds no groups",
        ),
    ],
)
def test_options_that_make_no_sense_are_refused(market, call, message):
    with pytest.raises(ValueError, match=message):
        call(market)


def test_the_most_promising_new_links_are_the_same_whether_all_pairs_are_listed_or_not():
    market = cj.pack([random_market(seed, n=12, density=0.1) for seed in (5, 6)])
    every = sensitivity.new_links(market)
    for most in (1, 7, 10_000):
        few = sensitivity.new_links(market, most=most)
        matter = np.count_nonzero(np.abs(every.change) > 1e-14)
        assert len(few.links) == min(most, matter)
        assert few.num_untried == matter - len(few.links)
