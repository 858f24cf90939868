"""Formulas of metrics, of the agents of some markets, a market a row (`Rows`).

Written once, and worked out for one metric by the functions of `_utilities`, or for all that is recorded in
one pass by `engine._records`.
"""

from cmapjax.market._differences import differences
from cmapjax.market._reductions import Rows
from cmapjax.market._verdict import NOTHING
from cmapjax.runtime._derivatives import log_or_minus_infinity


def log_nash_welfare(rows: Rows, u):
    welfare = rows.total(rows.weight * log_or_minus_infinity(u / rows.weight))
    welfare, worth = yield [welfare, rows.worth]
    return welfare / worth


def nash_welfare(rows: Rows, u):
    return rows.xp.exp((yield from log_nash_welfare(rows, u)))


def unweighted_log_nash_welfare(rows: Rows, u):
    return (yield from mean(rows, log_or_minus_infinity(u)))


def unweighted_nash_welfare(rows: Rows, u):
    return rows.xp.exp((yield from unweighted_log_nash_welfare(rows, u)))


def log_welfare_loss(rows: Rows, u, best):
    xp, has = rows.xp, u > 0
    loss = xp.where(has, xp.log(best / xp.where(has, u, 1)), xp.inf)
    loss, worth = yield [rows.total(rows.weight * loss), rows.worth]
    return loss / worth


def share_of_equilibrium(rows: Rows, u, best):
    return rows.xp.exp(-(yield from log_welfare_loss(rows, u, best)))


def misallocated_share(rows: Rows, u, best):
    moved, value = yield [rows.total(abs(u - best)), rows.value]
    return moved / (2 * value)


def worst_relative_error(rows: Rows, u, best):
    [worst] = yield [rows.largest(abs(u / best - 1))]
    return worst


def mean(rows: Rows, x):
    [total] = yield [rows.total(x)]
    return total / rows.count


def jain_index(rows: Rows, x):
    xp = rows.xp
    [largest] = yield [rows.largest(abs(x))]  # scaled by it, so that squares neither over- nor underflow
    scaled = x / xp.where(largest > 0, largest, 1)[..., None]
    total, squares = yield [rows.total(scaled), rows.total(scaled**2)]
    return xp.where(squares == 0, 1, total**2 / (rows.count * xp.where(squares == 0, 1, squares)))


def gini(rows: Rows, x):
    xp, apart = rows.xp, differences(x, rows.lengths)
    [total] = yield [rows.total(x)]
    return xp.where(total == 0, 0, apart / (rows.count * xp.where(total == 0, 1, total)))


def min_ratio(rows: Rows, u):
    [least] = yield [rows.smallest(u / rows.weight)]
    return least


def num_starved(rows: Rows, u):
    [starved] = yield [rows.total((u / rows.weight < NOTHING).astype(rows.weight.dtype))]
    return starved


def oscillation(rows: Rows, now, before, earlier):
    steps = rows.xp.minimum(abs(now - before), abs(before - earlier))
    returning = rows.total(rows.xp.maximum(steps - abs(now - earlier), 0))
    returning, value = yield [returning, rows.value]
    return returning / (2 * value)
