"""Runs of which little is recorded: spans of rounds are compiled apart from what is recorded after each.

Records take as long to compile as rounds, and are the same for every strategy compared on a market; rounds
are the same whatever is recorded. In one loop (`run_rounds`) both are compiled anew for every pair.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from cmapjax._engine import known_facts
from cmapjax._feasibility import no_breach
from cmapjax._play import Rules
from cmapjax._run import Run, as_dtype, form_of, moment_of, observe, state_of
from cmapjax._settings import compiled

# Below this many rounds the work at either end of a span would be felt beside the rounds, and below so many
# slots times rounds the work of handing it over.
LEAST_ROUNDS = 8
LEAST_WORK = 1_000_000


def pays(market, record, every: int) -> bool:
    """Whether spans are worth while; which way is taken changes no bit of the run."""
    is_whole = market.links.mesh is None
    return (
        is_whole and bool(record) and every >= LEAST_ROUNDS and every * market.links.num_slots >= LEAST_WORK
    )


def run_in_spans(
    market,
    beyond,
    strategy,
    plan,
    endowments,
    record,
    state,
    key,
    *,
    rounds,
    every,
    is_steady,
    starts_even,
    is_native=False,
) -> Run:
    """The run from this start, as `run_rounds` gives it; not for transformations."""
    first = np.asarray(state.round)
    state, _ = observe(market, {}, state)
    known, now = _begin(market, beyond, state)
    strategy = as_dtype(strategy, state.flow.dtype)
    rules = Rules(market, known, strategy, plan, endowments, key, is_steady, is_native)
    if not rules.are_trusted:
        now = dataclasses.replace(now, breach=no_breach(market, state.flow.dtype))
    at = form_of(rules, every, starts_even).begin(now)
    played = np.minimum(np.arange(1 + -(-rounds // every)) * every, rounds)
    seen = [_seen(market, record, state, is_steady)]
    for length in np.diff(played).tolist():
        # All of one length: compiled for that length.
        length = length if rounds % every == 0 else jnp.array(length)
        at, state = _play_span(rules, at, length, every, starts_even)
        seen.append(_seen(market, record, state, is_steady))
    updates, records = jax.tree.map(lambda *rows: np.stack(rows), *seen)
    return Run(played + first, updates, records, state, breach=None if rules.are_trusted else at.breach)


def _seen(market, record, state, is_steady: bool):
    """What is recorded, on the host: waiting for it keeps spans that nobody needs yet out of memory."""
    return jax.tree.map(
        np.asarray, observe(market, record, state, is_steady and state.flow.dtype == np.float32)[1]
    )


@compiled
def _begin(market, beyond, state):
    return known_facts(market, beyond, state.flow.dtype), moment_of(market, state)


@compiled
def _play_span(rules: Rules, at, length, every: int, starts_even: bool):
    form = form_of(rules, every, starts_even)
    at = form.advance(at, length)
    return at, state_of(rules.market, form.show(at))
