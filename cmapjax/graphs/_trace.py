"""Recorded endowments: one row per round, one column per agent (CSV or TSV), and the market they are of."""

import numpy as np

from cmapjax.arguments._checks import ROUNDED, listed, short
from cmapjax.graphs._file_options import FileOptions
from cmapjax.graphs._files import naming
from cmapjax.graphs._labels import no_surplus
from cmapjax.graphs._network import without
from cmapjax.graphs._recorded import Recorded, read_recorded
from cmapjax.market._market import Market


def read_trace(path, market: Market, *, memory_budget=None):
    """The endowments recorded in a file: a pandas DataFrame, a row per round and a column per agent.

    The header names every agent of the market once, in any order; every further row is a round. Amounts
    are in units of the agents' own resources, 0 or more. Columns come in the market's order, called by the
    agents' labels. First columns that name no agent, and are called time, timestamp, date, hour, index or the
    like, have no name, or hold dates, are the times of the rounds: the frame's index, as text. Columns of
    agents that were dropped from the market are left out. `.csv` or `.tsv`, plain or compressed.

    Args:
        path: the file.
        market: whose agents the columns are.
        memory_budget: bytes of memory that reading may take; by default as for `read_market`.

    Returns:
        Amounts as float64, to be handed to `endowments.Trace`.

    Raises:
        ValueError: an agent without a column or a column without an agent; a cell that is no number ≥ 0,
            with its line; no rounds; whatever is wrong with the file.

    Warns:
        UserWarning: times that do not ascend; rounds are played in the order of the rows.
    """
    return read_recorded(path, market, FileOptions(memory_budget=memory_budget)).of(market.labels)


def market_with_trace(path, market: Market, options: FileOptions, *, given_in: str | None = None):
    """The market whose endowments are the means of a trace, and the trace as from `read_trace`.

    If `given_in`, a file or option, says the market's endowments, these must agree with the trace, and are
    kept. Agents who never have surplus are as the options say; in a market with fields beyond endowment and
    value they stay and receive all the same.
    """
    read = read_recorded(path, market, options)
    with naming(read.path):
        if given_in is not None:
            _check_agreement(read, market, given_in)
            return market, read.of(market.labels)
        zero = np.flatnonzero(read.mean(market.labels) == 0)
        if options.zero == "reject":
            if len(zero) and not market.terms:
                raise ValueError(
                    f"column(s) {listed(market.labels[i] for i in zero)} are zero in every round. The "
                    f"columns' means are the market's endowments, and {no_surplus(options)} somewhere."
                )
            zero = ()
        market = without(market, zero, options)
    return market.with_contributions(endowment=read.mean(market.labels)), read.of(market.labels)


def _check_agreement(read: Recorded, market: Market, given_in: str) -> None:
    """Raise unless the means of the columns are the market's endowments."""
    labels = [*market.labels, *(x for x in market.origin.dropped_zero if str(x) in read.frame)]
    given = np.append(market.endowment, np.zeros(len(labels) - market.num_agents))
    mean = read.mean(labels)
    bad = np.flatnonzero(np.abs(mean - given) > ROUNDED * np.maximum(mean, given))
    if len(bad):
        worst = bad[0]
        raise ValueError(
            f"agent {short(labels[worst])} has {mean[worst]:.6g} a round here on average, but an endowment "
            f"of {given[worst]:.6g} in {given_in} ({len(bad)} such agents); leave the endowments out there, "
            "and the means are taken, or correct one of both."
        )
