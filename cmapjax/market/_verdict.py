"""What became of each market, in one word, from the state that a run ended in."""

import itertools

import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int

from cmapjax.market._certificate import certified_gap, certified_gap_of_flow
from cmapjax.market._filled import counted, of_agents, weights
from cmapjax.market._market import Market
from cmapjax.market._reductions import (
    Rows,
    largest_of_rows,
    look,
    over_entries,
    over_slots,
    smallest_of_rows,
    total_of_rows,
)
from cmapjax.runtime._derivatives import log_or_minus_infinity
from cmapjax.runtime._precision import float64_on_host, is_in_numpy, namespace
from cmapjax.runtime._settings import check_x64
from cmapjax.runtime._types import Array

# In the order in which they are given: the first that applies.
VERDICTS = (
    "not finite",
    "not feasible",
    "starved for now",
    "converged",
    "settled elsewhere",
    "oscillating",
    "closing in",
    "still moving",
)
# An agent with less than this share of its contribution has nothing.
NOTHING = 1e-9
# The largest share of all value that a market at rest moves, and the largest certified gap of a converged
# one.
TOLERANCE = 1e-6
# The same for averages, which random draws leave uncertain by about one in √rounds.
TOLERANCE_OF_AVERAGES = 1e-2


@float64_on_host(any_market=True)
def verdict(
    market: Market,
    state,
    *,
    tolerance: float | None = None,
    by_averages: bool = False,
    gap: Float[Array, "markets"] | None = None,
) -> Int[Array, "markets"]:
    """What became of each market, as a place in `VERDICTS`: the first of these that applies.

    Let u(t) be the utilities after the last round t, W all value, s = Σ |u(t) − u(t−1)| / 2W the share of
    it that the last round moved, d = Σ |u(t) − u(t−2)| / 4W what it moved net of going back and forth, and
    g the certified gap, which bounds how far Nash welfare is below the equilibrium's, whatever that is.

    - not finite: a utility is NaN or infinite.
    - not feasible: an agent broke a law of spending. Only a run knows (`simulate`); never given here.
    - starved for now: an agent had nothing (less than 1e-9 of its contribution) in either of the last two
      rounds. Later rounds may serve it.
    - converged: at rest, and at the equilibrium: s ≤ tolerance, t d ≤ tolerance and g ≤ tolerance. A small
      t d excludes slow tails: where the distance left falls like 1/t, it is t times the last step.
    - settled elsewhere: at rest likewise, but g > tolerance: it has merely stopped.
    - oscillating: at least nine tenths of what the last round moved had been there two rounds before.
    - closing in: not at rest, and s ≤ tolerance, or Nash welfare rose in each of the last two rounds.
    - still moving: none of these.

    Steps below a rounding of the run's precision count as none. "Settled elsewhere" takes a market in
    which every agent has acted in every round: others may be at rest because few acted. Utilities may be at
    rest while the allocation still cycles; compare flows two rounds apart with `flow_distance`.

    With surplus that varies no round is like the one before, and what a market comes to are its running
    averages. With `by_averages` u(t) is the mean received per round so far, and g the certified gap of these
    means against the equilibrium of the mean contributions. "Converged" takes s and g alone, and "closing in"
    Nash welfare. "Settled elsewhere" takes √t s in place of t d, s being the mean of the last two steps:
    draws at random leave a mean uncertain by about √t of its steps. "Starved for now" is an agent that has
    had nothing so far though a neighbour had something to give in the last round.

    In a market with priorities, demands and the like utilities count up to the demand, contributions are
    replaced by priorities except in W, and agents that do not count are left out.

    Args:
        state: what `simulate` returns as `final`, or hands to what it records.
        tolerance: of all value, and of the gap; by default 1e-6, and 1e-2 by averages.
        by_averages: judge the mean received per round so far, not the last round.
        gap: g, if it is known (`gap_judged`).

    Returns:
        One whole number per market.

    Raises:
        ValueError: traced arguments outside x64 mode.
    """
    if not is_in_numpy():
        check_x64("verdict")
    if tolerance is None:
        tolerance = TOLERANCE_OF_AVERAGES if by_averages else TOLERANCE
    gap = gap_judged(market, state, by_averages=by_averages) if gap is None else gap
    rounds = now, before, _ = counted(market, _followed(state, by_averages))
    xp = namespace(market, now, gap)
    w = xp.asarray(weights(market), now.dtype)
    w = xp.where(w > 0, w, 1) if market.terms else w
    asked = [
        *((total_of_rows, (abs(one - other),)) for one, other in itertools.combinations(rounds, 2)),
        *((total_of_rows, (w * log_or_minus_infinity(xp.maximum(u, 0) / w),)) for u in rounds),
        (smallest_of_rows, (xp.isfinite(now).astype(now.dtype),)),
        (largest_of_rows, (_starves(market, state, now, before, by_averages).astype(now.dtype),)),
        (_value, ()),
    ]
    last, both, previous, *welfare, is_finite, starves, worth = of_agents(market, asked)
    step, net = last / (2 * worth), both / (4 * worth)
    played = xp.asarray(state.round, now.dtype)
    tail = (last + previous) / (4 * worth) * xp.sqrt(played) if by_averages else net * played
    rounding = np.finfo(state.flow.dtype).eps
    rests = (step <= rounding) | ((step <= tolerance) & (tail <= tolerance))
    rises = (welfare[0] > welfare[1]) & ((welfare[1] > welfare[2]) | (played < 2))
    members = market.members
    everyone = played * look(xp.asarray(members.lengths, now.dtype), members.place)
    has_all_acted = (state.agent_updates >= everyone) & (played > 0)
    tests = {
        "not finite": is_finite < 1,
        "starved for now": starves > 0,
        "converged": (rests | (by_averages & (step <= tolerance))) & (gap <= tolerance),
        "settled elsewhere": rests & has_all_acted & (gap > tolerance),
        "oscillating": (net <= 0.05 * step) & (step > tolerance),
        "closing in": ~rests & (rises | (step <= tolerance if not by_averages else False)),
    }
    words = xp.asarray([VERDICTS.index(word) for word in tests])
    return xp.select(list(tests.values()), list(words), VERDICTS.index("still moving"))


@float64_on_host(any_market=True)
def gap_judged(market: Market, state, *, by_averages: bool = False) -> Float[Array, "markets"]:
    """The certified gap that `verdict` looks at: of the last allocation, or of the running averages."""
    if by_averages:
        return certified_gap(market, state.average_utility)
    return certified_gap_of_flow(market, state.flow, state.received, state.claim)


def _value(rows: Rows):
    """All value that is given away, a formula."""
    [value] = yield [rows.value]
    return value


def _followed(state, by_averages: bool) -> Float[Array, "3 agents"]:
    """The last three rounds' utilities, or their running averages, the latest first."""
    xp = namespace(state)
    u = xp.asarray(state.history).astype(np.float64)
    if not by_averages:
        return u
    totals = [state.total_utility, state.total_utility - u[0], state.total_utility - u[0] - u[1]]
    # Before the first round stands the start.
    means = [
        xp.where(state.round > k, total / xp.maximum(state.round - k, 1), u[xp.minimum(state.round, 2)])
        for k, total in enumerate(totals)
    ]
    return xp.stack(means)


def _starves(market: Market, state, now, before, by_averages: bool) -> Bool[Array, "agents"]:
    """Which agents have nothing; judged by averages, only those whose neighbours had something to give."""
    xp = namespace(market, now)
    has = now if by_averages else xp.minimum(now, before)
    starves = has < NOTHING * xp.asarray(weights(market), now.dtype)
    if by_averages:
        links = market.links
        gave = over_slots(links, jnp.add, xp.asarray(state.flow))
        could = look(over_entries(links, jnp.maximum, gave), links.place)
        starves = starves & (could > 0)
    return starves
