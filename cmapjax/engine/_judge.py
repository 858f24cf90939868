"""The end of a run: the verdict on each market, and the report of a broken law of spending."""

import dataclasses
import warnings

import jax
import jax.numpy as jnp
import numpy as np

from cmapjax import metrics
from cmapjax.endowments import Endowments
from cmapjax.engine._play import last_budget
from cmapjax.engine._run import Run
from cmapjax.engine._terms import open_links, owed, terms_of
from cmapjax.market._feasibility import TOLERANCE, Breach, breach_in_words, broken_markets, find_breach
from cmapjax.market._market import Market
from cmapjax.market._reductions import slot_blocks
from cmapjax.market._verdict import VERDICTS, gap_judged
from cmapjax.metrics._recorded import is_gap
from cmapjax.runtime._precision import namespace
from cmapjax.runtime._settings import compiled, is_traced
from cmapjax.strategies import Strategy


def judged(
    market: Market,
    strategy: Strategy,
    endowments: Endowments,
    record,
    key,
    run: Run,
    rounds: int,
    strict: bool,
) -> Run:
    """The run with its verdicts, in NumPy unless the run is traced by a transformation.

    Args:
        record: what was recorded, by name.
        rounds: how many were played.
        strict: raise if a law of spending was broken, rather than warn.

    Raises:
        ValueError: with `strict`, which agent broke which law; or that compiled code cannot raise.
    """
    may_keep = strategy.may_keep or endowments.changes_needs
    by_averages = not endowments.is_constant or strategy.needs_averages
    if is_traced((market, endowments, key, run)):
        if strict:
            raise ValueError(
                "strict is asked for inside a transformation of JAX, where nothing can be raised; look at "
                "run.verdict, or play once outside."
            )
        fields = _judge_traced(market.bare(), endowments, key, run.final, run.breach, by_averages, may_keep)
        return dataclasses.replace(run, **fields)
    budget = market.contribution
    if run.final.round > 0 and not endowments.is_constant:
        budget = np.asarray(last_budget(market.bare(), endowments, key, run.final.round))
    flow = run.final.flow.astype(np.float64)
    if may_keep:
        budget = np.minimum(budget, market.gave(flow))
    error = metrics.spending_error(market, flow, budget)
    breach = run.breach
    if breach is None and rounds and not np.all(error <= TOLERANCE[str(run.final.flow.dtype)]):
        breach = _last_breach(market, run, budget)
    if breach is not None:
        _complain(market, strategy, breach, strict)
    gap = None
    if not by_averages and is_gap(record.get("certified_gap")):
        # Of the same flow; computing it again is slow on large markets.
        gap = run.records["certified_gap"][-1]
    fields = _fields(market, run.final, breach, by_averages, gap)
    return dataclasses.replace(run, spending_error=error, **fields)


# Compiled, because JAX would otherwise differentiate operation by operation; its results are constants.
@compiled
def _judge_traced(
    market: Market, endowments: Endowments, key, final, breach, by_averages: bool, may_keep: bool
):
    market, endowments, final = jax.lax.stop_gradient((market, endowments, final))
    budget = market.contribution
    if not endowments.is_constant:
        budget = jnp.where(final.round > 0, last_budget(market, endowments, key, final.round), budget)
    flow = final.flow.astype(np.float64)
    if may_keep:
        budget = jnp.minimum(budget, market.gave(flow))
    error = metrics.spending_error(market, flow, budget)
    return _fields(market, final, breach, by_averages) | {"spending_error": error}


def _fields(market: Market, final, breach: Breach | None, by_averages: bool, gap=None) -> dict:
    if gap is None:
        gap = gap_judged(market, final, by_averages=by_averages)
    word = metrics.verdict(market, final, by_averages=by_averages, gap=gap)
    if breach is not None:
        is_broken = (broken_markets(market, breach) > 0) & (word != VERDICTS.index("not finite"))
        word = namespace(word).where(is_broken, VERDICTS.index("not feasible"), word)
    return {"verdict": word, "gap": gap}


def _last_breach(market: Market, run: Run, budget) -> Breach:
    """The breaches of the last round, found from its flow."""
    dtype = run.final.flow.dtype
    budget, utility = (
        market.stored(x) for x in (np.asarray(budget).astype(dtype), np.asarray(run.final.utility))
    )
    terms = terms_of(market, dtype)
    sent, budget = slot_blocks(market.links, np.asarray(run.final.flow)), np.asarray(owed(budget, terms))
    return find_breach(market, run.final.round, sent, budget, utility, None, None, open_links(terms))


def _complain(market: Market, strategy: Strategy, breach: Breach, strict: bool) -> None:
    words = breach_in_words(market, _name(strategy), breach)
    if words is None:
        return
    if strict:
        raise ValueError(words)
    warnings.warn(words, stacklevel=5)


def _name(strategy: Strategy) -> str:
    """The strategy's name as it is written, without parameters: Damped(Mine)."""
    inner = getattr(strategy, "strategy", None)
    name = type(strategy).__name__
    return f"{name}({_name(inner)})" if isinstance(inner, Strategy) else name
