"""The fast paths against the slow ones: terms posted, rounds in scaling form, both ends of a link."""

import equinox as eqx
import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import cmapjax as cj
from cmapjax.strategies._level import water_level

POSTED = {
    "cmap": cj.CMAP(),
    "locally damped": cj.Damped(cj.ProportionalResponse(), cj.LocalDamping()),
    "twice damped": cj.Damped(cj.Damped(cj.CMAP(), cj.MaxDegreeDamping()), 0.9),
}


class Answered(cj.Strategy):
    """The same strategy by the general path: rows are answered, and carried to the other end."""

    strategy: cj.Strategy

    def respond(self, view):
        return self.strategy.respond(view)


def star(leaves):
    return [(0, leaf) for leaf in range(1, leaves + 1)]


def clique(n):
    return [(i, j) for i in range(n) for j in range(i + 1, n)]


def side_by_side(figures, spread, rng):
    """The markets of these links, with contributions that spread so far."""
    return cj.pack(
        [
            cj.Market.from_links(
                np.array(links), endowment=np.exp(spread * rng.normal(size=int(np.max(links)) + 1))
            )
            for links in figures
        ]
    )


def figures(leaves, members, spokes, ring, rng):
    """A pair, a hub with its leaves, a clique, a hub whose leaves are linked, and a ring with chords."""
    chords = [tuple(rng.choice(ring, 2, replace=False)) for _ in range(ring)]
    return [
        [(0, 1)],
        star(leaves),
        clique(members),
        [*star(spokes), (1, 2), (3, 4)],
        [(i, (i + 1) % ring) for i in range(ring)] + chords,
    ]


@pytest.fixture(scope="module")
def mixed():
    """All kinds side by side, hubs both wider and narrower than the rows that are folded entry by entry."""
    rng = np.random.default_rng(3)
    return side_by_side(figures(20, 6, 40, 12, rng), 1.0, rng)


@st.composite
def ensembles(draw):
    """Markets of mixed sizes and kinds side by side."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    sizes = [draw(st.integers(*span)) for span in ((2, 60), (2, 8), (33, 90), (3, 30))]
    chosen = draw(st.permutations(figures(*sizes, rng)))[: draw(st.integers(1, 5))]
    return side_by_side(chosen, draw(st.sampled_from([0.0, 0.5, 2.0])), rng)


# Every market that is drawn has programs of its own.
drawn = hypothesis.settings(max_examples=10, deadline=None, database=None, derandomize=True)


@pytest.mark.parametrize("name", POSTED)
def test_posted_terms_give_what_answered_rows_give(name, mixed):
    check_posted_terms(name, mixed)


@pytest.mark.slow
@pytest.mark.parametrize("name", POSTED)
@drawn
@hypothesis.given(market=ensembles())
def test_posted_terms_give_what_answered_rows_give_on_any_markets(name, market):
    check_posted_terms(name, market)


def check_posted_terms(name, market):
    rng = np.random.default_rng(0)
    start = market.flow_from_arcs(rng.uniform(0.1, 1, len(market.arcs()[0])))
    scale = np.asarray(market.contribution) / market.gave(start)
    giver = market.arcs()[0]
    start = market.flow_from_arcs(market.arc_values(start) * scale[giver])
    # Few rounds: undamped CMAP is chaotic, and doubles a rounding every other round.
    runs = [
        cj.simulate(market, strategy, rounds=3, record={}, start=start)
        for strategy in (POSTED[name], Answered(POSTED[name]))
    ]
    fast, slow = (run.final for run in runs)
    worth = np.asarray(market.contribution)
    assert np.isfinite(fast.flow).all()
    np.testing.assert_allclose(
        market.arc_values(fast.flow) / worth[giver],
        market.arc_values(slow.flow) / worth[giver],
        rtol=1e-12,
        atol=1e-12 * max(1, float(worth.max() / worth.min()) ** 0.5),
    )
    np.testing.assert_allclose(fast.utility, slow.utility, rtol=1e-12)
    np.testing.assert_array_equal(fast.received, market.mirror(fast.flow))  # certificates rely on it
    assert runs[0].spending_error.max() < 1e-13


@pytest.mark.parametrize(("precision", "even"), [("float64", False), ("float32", True)])
def test_the_scaling_form_plays_the_rounds_that_are_written(mixed, precision, even):
    check_scaling_form(mixed, even, precision)


@pytest.mark.slow
@drawn
@hypothesis.given(market=ensembles(), even=st.booleans(), precision=st.sampled_from(["float64", "float32"]))
def test_the_scaling_form_plays_the_rounds_that_are_written_on_any_markets(market, even, precision):
    check_scaling_form(market, even, precision)


def check_scaling_form(market, even, precision):
    """Over so many rounds that scalings leave the range of either precision more than once."""
    rounds = {"float64": 1500, "float32": 300}[precision]
    start = None if even else market.equal_flow()

    def run(record):
        return cj.simulate(
            market, cj.ProportionalResponse(), rounds=rounds, record=record, precision=precision, start=start
        )

    fast, slow = run({}), run({"flow": lambda market, state: market.total(state.utility)})
    assert np.isfinite(fast.final.flow).all()
    assert fast.verdicts == slow.verdicts
    np.testing.assert_array_equal(fast.agent_updates, slow.agent_updates)
    rtol = {"float64": 1e-12, "float32": 2e-5}[precision]
    worth = float(np.max(market.contribution))
    for field in ("flow", "received", "history", "total_utility"):
        one, other = getattr(fast.final, field), getattr(slow.final, field)
        # Vanishing flows lose digits relative to themselves, not to the market.
        np.testing.assert_allclose(one, other, rtol=100 * rtol, atol=rtol * worth, err_msg=field)


def test_an_agent_that_received_nothing_does_not_break_the_scaling_form():
    market = cj.Market.from_links(np.array([[0, 1], [1, 2], [0, 2], [2, 3]]))
    giver, receiver = market.arcs()
    values = np.where(receiver == 0, 0.0, 1.0)
    values /= np.bincount(giver, values)[giver]
    run = cj.simulate(
        market, cj.ProportionalResponse(), rounds=40, record={}, start=market.flow_from_arcs(values)
    )
    one_by_one = cj.simulate(
        market,
        cj.ProportionalResponse(),
        rounds=40,
        record={"value": lambda market, state: market.total(state.utility)},
        start=market.flow_from_arcs(values),
    )
    np.testing.assert_allclose(run.final.flow, one_by_one.final.flow, rtol=1e-12, atol=1e-15)
    assert np.isfinite(run.final.flow).all()


def test_a_run_continued_from_random_endowments_spends_its_contributions_again():
    """The last rows of such a run spend what the agents had then, not what they have on average."""
    market = cj.Market.from_links(np.array([[0, 1], [1, 2], [2, 0], [2, 3]]), endowment=[1.0, 2.0, 3.0, 4.0])
    process, key = cj.endowments.Exponential(), jax.random.key(0)
    drawn = cj.simulate(market, cj.CMAP(), rounds=3, endowments=process, record={}, key=key)
    for strategy in (cj.Damped(cj.CMAP(), 0.3), cj.CMAP(community_hops=0)):
        run = cj.simulate(market, strategy, rounds=2, start=drawn.final, record={})
        np.testing.assert_allclose(market.gave(run.final.flow), market.contribution, rtol=1e-13)


def test_agents_that_have_next_to_nothing_for_a_round_create_no_value():
    """Gamma draws of variation 2 are below 1e-12 of their mean now and then, and above it the round after."""
    tree = np.array([[(k - 1) // 2, k] for k in range(1, 20)])
    market = cj.Market.from_links(tree, endowment=np.random.default_rng(0).uniform(0.1, 1, 20))
    run = cj.simulate(
        market,
        cj.Damped(cj.CMAP(), cj.LocalDamping()),
        rounds=300,
        endowments=cj.endowments.Gamma(2.0),
        record={
            "gave": lambda m, state: m.total(m.unstored(m.links.total(state.flow))),
            "got": lambda m, state: m.total(state.utility),
        },
        key=jax.random.key(1),
    )
    assert run.records["gave"].min() > 0
    np.testing.assert_allclose(run.records["got"], run.records["gave"], rtol=1e-10)
    assert run.spending_error.max() < 1e-12


class TellsMore(cj.PostedStrategy):
    """A strategy of one's own that posts a tree of terms: a share kept for one's debtors, the rest evenly."""

    share: np.ndarray = eqx.field(converter=np.asarray, default=0.5)

    def post(self, view):
        count = cj.total(view.is_neighbour.astype(view.sent.dtype))
        owed = cj.total(view.received)
        return {
            "even": (1 - self.share) * view.budget / count,
            "per unit": jnp.where(owed > 0, self.share * view.budget / jnp.where(owed > 0, owed, 1), -1.0),
        }

    def flow(self, terms, link):
        back = jnp.where(
            terms["per unit"] >= 0, terms["per unit"] * link.received, self.share * link.repeated
        )
        return terms["even"] + back


def test_a_posted_strategy_of_ones_own_obeys_the_laws():
    cj.testing.check_strategy(TellsMore())


def test_a_strategy_whose_ends_disagree_is_found_out():
    class Secretive(cj.PostedStrategy):
        def post(self, view):
            return view.budget / cj.total(view.contribution)

        def flow(self, terms, link):
            return terms * link.contribution

        def respond(self, view):
            return cj.repeat(view)

    with pytest.raises(cj.testing.StrategyError, match="posting") as error:
        cj.testing.check_strategy(Secretive())
    assert error.value.law == "posting"


@pytest.mark.optimised
def test_a_water_level_does_not_depend_on_the_padding_behind_its_row():
    # Neighbours that stand at one level but for rounding, as near an equilibrium: who is above is a matter of
    # the last bits, and the search may step up and down.
    rng, rows, width = np.random.default_rng(0), 100_000, 4
    level, weight = np.exp(rng.normal(size=rows)), np.exp(rng.normal(size=(width, rows)))
    eps = np.finfo(np.float32).eps
    base = weight * level * (1 + eps * rng.integers(-12, 13, size=(width, rows)))
    budget = level * rng.choice([1e-7, 1e-6, 1e-5, 1e-3], size=rows)

    def levels(padding):
        more = np.zeros((padding, rows))
        weights, bases = (np.concatenate([x, more]).astype(np.float32) for x in (weight, base))
        return jax.jit(jax.vmap(water_level, (0, -1, -1)))(budget.astype(np.float32), weights, bases)

    for padding in (1, 3, 8):
        for one, other in zip(levels(0), levels(padding), strict=True):
            np.testing.assert_array_equal(one, other)
