"""Verdicts: what is said of a market from the state that it ended in, worked out on paper."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import cmapjax as cj
from cmapjax import metrics
from cmapjax.engine._run import State

PATH = cj.Market.from_links([[0, 1], [1, 2], [2, 3]])
STAR = cj.Market.from_links([[0, 1], [0, 2], [0, 3]], endowment=[3.0, 1, 1, 1])


def state_of(market, flow, history, *, round=10, total=None, updates=None, dtype=np.float64):
    """A state after so many rounds in which everybody acted."""
    history = np.asarray(history, dtype)
    sizes = np.bincount(market.market_of)
    return State(
        np.int64(round),
        flow,
        history,
        round * history[0].astype(np.float64) if total is None else np.asarray(total, np.float64),
        round * sizes if updates is None else np.asarray(updates),
        market.mirror(flow),
    )


def word(market, state, **options):
    words = [metrics.VERDICTS[code] for code in metrics.verdict(market, state, **options)]
    return words[0] if len(words) == 1 else words


def fading(t, dtype=np.float64):
    """Proportional response on a path of four after t rounds: y_12 = 1/(t + 2), r = 1 ∓ 1/(t + 2)."""
    small = 1 / (t + 2)
    flow = PATH.flow_from_arcs([1, 1 - small, small, small, 1 - small, 1])
    history = [[1 - e, 1 + e, 1 + e, 1 - e] for e in (1 / (s + 2) for s in (t, t - 1, t - 2))]
    return state_of(PATH, flow.astype(dtype), history, round=t, dtype=dtype)


@pytest.mark.parametrize(
    ("rounds", "expected"),
    [(50, "closing in"), (706, "closing in"), (100_000, "closing in"), (2_000_000, "converged")],
)
def test_a_tail_of_one_over_t_is_closing_in_until_what_is_left_is_small(rounds, expected):
    """What is left in the wrong hands is 1 / (2t): within 1e-6 from half a million rounds on."""
    assert word(PATH, fading(rounds)) == expected


def test_a_tail_in_float32_ends_where_steps_drown_in_rounding():
    assert word(PATH, fading(706, np.float32)) == "closing in"
    rest = fading(20_000, np.float32)
    trembling = rest.history.copy()
    trembling[0, 1] = np.nextafter(trembling[0, 1], np.float32(2))  # one rounding, for ever to and fro
    assert word(PATH, dataclasses.replace(rest, history=trembling)) == "converged"
    in_float64 = dataclasses.replace(rest, history=trembling, flow=rest.flow.astype(np.float64))
    assert word(PATH, in_float64) == "closing in"


def test_the_tolerance_is_of_value_left_and_of_the_gap():
    assert word(PATH, fading(706), tolerance=1e-3) == "converged"
    assert word(PATH, fading(706), tolerance=1e-3, gap=np.array([2e-3])) == "settled elsewhere"


def test_what_rests_short_of_the_equilibrium_has_settled_elsewhere():
    """An equal split leaves the ends with a half; the certified gap says that it is no equilibrium."""
    flow = PATH.equal_flow()
    u = PATH.received(flow)
    assert word(PATH, state_of(PATH, flow, [u, u, u])) == "settled elsewhere"
    gap = metrics.certified_gap_of_flow(PATH, flow)[0]
    assert word(PATH, state_of(PATH, flow, [u, u, u]), tolerance=1.01 * gap) == "converged"


def test_rest_proves_nothing_if_not_everybody_has_acted():
    flow = PATH.equal_flow()
    u = PATH.received(flow)
    assert word(PATH, state_of(PATH, flow, [u, u, u], updates=[10])) == "still moving"
    assert word(PATH, state_of(PATH, flow, [u, u, u], round=0)) == "still moving"


def test_where_nothing_can_move_the_equilibrium_is_at_hand():
    edge = cj.Market.from_links([[0, 1]], endowment=[1.0, 3.0])
    flow = edge.equal_flow()
    for rounds in (0, 1, 2):
        assert word(edge, state_of(edge, flow, [[3.0, 1.0]] * 3, round=rounds)) == "converged"


REST = [3.0, 1, 1, 1]
SWUNG = [3.5, 0.5, 1, 1]
HISTORIES = {
    "not finite": ([np.nan, 1, 1, 1], REST, REST),
    "starved for now": ([4.0, 0, 1, 1], REST, REST),
    "converged": (REST, REST, SWUNG),
    "oscillating": (SWUNG, REST, SWUNG),
    "closing in": ([3.0, 1, 1, 1], [3.1, 0.9, 1, 1], [3.2, 0.8, 1, 1]),
    "still moving": (SWUNG, REST, REST),
}


@pytest.mark.parametrize("expected", HISTORIES)
def test_the_first_verdict_that_applies_is_given(expected):
    """A star whose hub brings as much as all leaves: at rest it is at its equilibrium."""
    assert word(STAR, state_of(STAR, STAR.equal_flow(), HISTORIES[expected])) == expected


def test_starved_is_who_had_nothing_in_either_of_the_last_two_rounds():
    history = [REST, [4.0, 0, 1, 1], REST]
    assert word(STAR, state_of(STAR, STAR.equal_flow(), history)) == "starved for now"
    history = [REST, REST, [4.0, 0, 1, 1]]
    assert word(STAR, state_of(STAR, STAR.equal_flow(), history)) == "converged"


def test_who_has_less_than_a_thousand_millionth_of_its_contribution_starves():
    for share, starves in ((0.9e-9, True), (1.1e-9, False)):
        u = [4 - share, 1 - share, share, 1 + share]
        said = word(STAR, state_of(STAR, STAR.equal_flow(), [u, u, u]))
        assert (said == "starved for now") == starves


@pytest.mark.parametrize(("returned", "expected"), [(0.92, "oscillating"), (0.88, "still moving")])
def test_a_market_oscillates_if_nine_tenths_of_its_last_step_lead_back(returned, expected):
    """A step, and back again all but a part: that is left over, beside a last step of `returned`."""
    earlier, step = np.array(REST), np.array([0.5, -0.5, 0, 0])
    history = [earlier + (1 - returned) * step, earlier + step, earlier]
    assert word(STAR, state_of(STAR, STAR.equal_flow(), history)) == expected


def test_moves_are_shares_of_all_value():
    """A step of Σ |Δu| = 2 δ W moves a share δ: of W = 6, 0.006 each way is a thousandth."""
    moved = np.array(REST) + np.array([0.006, -0.006, 0, 0])
    state = state_of(STAR, STAR.equal_flow(), [moved, REST, REST], round=1)
    for tolerance, expected in ((0.0011, "converged"), (0.0009, "still moving")):
        assert word(STAR, state, tolerance=tolerance) == expected


def test_every_market_of_an_ensemble_has_its_own():
    both = cj.pack([PATH, STAR])
    flow = both.equal_flow()
    u = both.received(flow)
    assert word(both, state_of(both, flow, [u, u, u])) == ["settled elsewhere", "converged"]


# -- running averages ------------------------------------------------------------------------------


def test_averages_are_judged_by_what_was_received_in_all():
    """Four hundred rounds of which the last ones left some with nothing."""
    flow = STAR.equal_flow()
    history = [[6.0, 0, 0, 2], [0.0, 2, 0, 0], [6.0, 0, 2, 2]]
    state = state_of(STAR, flow, history, round=400, total=400 * np.array(REST))
    assert word(STAR, state) == "starved for now"
    assert word(STAR, state, by_averages=True) == "converged"
    uneven = state_of(STAR, flow, history, round=400, total=400 * np.array([3.0, 2.0, 0.5, 0.5]))
    assert word(STAR, uneven, by_averages=True) == "still moving"  # by 0.3 % a round, in any direction
    uneven = state_of(STAR, flow, history, round=40_000, total=40_000 * np.array([3.0, 2.0, 0.5, 0.5]))
    assert word(STAR, uneven, by_averages=True) == "settled elsewhere"


def test_averages_close_in_while_they_rise():
    """The leaf that lags receives all: averages rise by 1/t of what is missing."""
    history = [[3.0, 3, 0, 0]] * 3
    state = state_of(STAR, STAR.equal_flow(), history, round=30, total=30 * np.array([3.0, 0.5, 1.25, 1.25]))
    assert word(STAR, state, by_averages=True) == "closing in"


def test_rounds_in_which_nobody_has_anything_starve_nobody():
    nothing = np.zeros(STAR.links.num_slots)
    for rounds in (1, 2, 5):
        state = state_of(STAR, nothing, np.zeros((3, 4)), round=rounds)
        assert word(STAR, state, by_averages=True) != "starved for now"


def test_who_never_had_anything_starves_only_if_a_neighbour_could_give():
    """Leaf 3 has had nothing so far: by the hub's choice, or because the hub had nothing."""
    gives = STAR.flow_from_arcs([2.0, 1.0, 0, 1, 1, 1])
    history, total = [[3.0, 2, 1, 0]] * 3, [30.0, 20, 10, 0]
    assert word(STAR, state_of(STAR, gives, history, total=total), by_averages=True) == "starved for now"
    idle = STAR.flow_from_arcs([0, 0, 0, 1.0, 1, 1])
    assert word(STAR, state_of(STAR, idle, history, total=total), by_averages=True) != "starved for now"


def test_averages_before_the_third_round_begin_with_the_start():
    start, first, second = np.array([3.0, 1, 1, 1]), np.array([3.0, 3, 0, 0]), np.array([3.0, 0, 3, 0])
    from cmapjax.market._verdict import _followed

    one = state_of(STAR, STAR.equal_flow(), [first, start, start], round=1, total=first)
    np.testing.assert_array_equal(_followed(one, True), [first, start, start])
    two = state_of(STAR, STAR.equal_flow(), [second, first, start], round=2, total=first + second)
    np.testing.assert_array_equal(_followed(two, True), [(first + second) / 2, first, start])


# -- of runs ---------------------------------------------------------------------------------------


def test_a_run_says_what_its_verdict_rests_on(small_market):
    run = cj.simulate(small_market, cj.EqualSplit(), rounds=3, record={})
    assert run.verdicts == ["settled elsewhere"]
    gap = metrics.certified_gap_of_flow(small_market, run.final.flow)
    np.testing.assert_array_equal(run.gap, gap)
    assert run.reasons == [f"settled elsewhere (certified gap {gap[0]:.1e})"]
    assert metrics.verdict(small_market, run.final) == run.verdict


def test_runs_with_varying_surplus_are_judged_by_averages():
    """Every other round nobody has anything, and in the others all have twice their mean."""
    table = np.zeros((300, 4))
    table[::2] = 2 * np.asarray(STAR.contribution)
    run = cj.simulate(STAR, cj.EqualSplit(), rounds=300, endowments=cj.endowments.Trace(table), record={})
    assert not run.final.utility.any()  # the last round is one of those
    assert run.verdicts == ["converged"]
    np.testing.assert_allclose(run.gap, 0, atol=1e-15)
    assert run.spending_error[0] < 1e-15


def test_verdicts_are_the_same_recorded_in_compiled_code(small_market):
    record = {"verdict": metrics.verdict, "averages": lambda m, s: metrics.verdict(m, s, by_averages=True)}
    run = cj.simulate(small_market, cj.CMAP(), rounds=6, record=record)
    assert run.records["verdict"][-1] == run.verdict
    assert run.records["averages"][-1] == metrics.verdict(small_market, run.final, by_averages=True)


def test_a_mapped_run_has_verdicts(small_market):
    def code(theta):
        return cj.simulate(small_market, cj.Damped(cj.EqualSplit(), theta), rounds=2, record={}).verdict

    with jax.enable_x64(True):
        codes = jax.jit(jax.vmap(code))(jnp.array([0.5, 1.0]))
    assert [metrics.VERDICTS[c] for c in codes[:, 0].tolist()] == ["settled elsewhere"] * 2
