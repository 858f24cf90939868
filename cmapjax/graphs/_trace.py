"""Recorded endowments: one row per round, one column per agent (CSV or TSV), and the market they are of."""

import collections
import datetime
import re
import warnings
from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from cmapjax.arguments._checks import ROUNDED, first_out_of_order, listed, short
from cmapjax.graphs._amounts import Amounts
from cmapjax.graphs._file_options import FileOptions
from cmapjax.graphs._files import check_path, complaint, format_and_packing, read_bytes
from cmapjax.graphs._labels import no_surplus
from cmapjax.graphs._network import without
from cmapjax.graphs._table import check_header, read_table, unescape_cell
from cmapjax.market._market import Market

# What a column of times is called: one of these words, perhaps among others ("Time (UTC)", "Unnamed: 0").
_TIME_WORD = re.compile(
    "time(s|stamps?)?|date(time)?|datum|zeit(stempel)?|index|hour(s|ofyear)?|minutes?|seconds?|days?|weeks?|"
    "months?|years?|(time)?steps?|period|interval|snapshot|rounds?|utc|t|unnamed"
)
_CLOCK = r"\d{1,2}[:.]\d{2}([:.]\d{2}([.,]\d+)?)?"
_DATE = re.compile(rf"\d{{1,4}}[-./]\d{{1,2}}[-./]\d{{1,4}}([ T]+{_CLOCK}.*)?|{_CLOCK}|\d{{8}}T\d{{4,6}}Z?")


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

    Args:
        path: the trace.
        market: its network, with values, and endowments if a file says them.
        options: what becomes of agents who never have surplus, and of those left without a neighbour.
        given_in: which file or option says the market's endowments, if any; they must then agree with
            the trace, and are kept.

    Raises:
        ValueError: what `read_trace` refuses; means that differ from the endowments that are given; agents
            who never have surplus, unless they are to be dropped or the market has other fields.
    """
    read = read_recorded(path, market, options)
    if given_in is not None:
        _check_agreement(read, market, given_in)
        return market, read.of(market.labels)
    mean = read.mean(market.labels)
    zero = np.flatnonzero(mean == 0)
    if market.terms and options.zero == "reject":
        zero = zero[:0]  # where a market has such fields, who never has surplus receives all the same
    if len(zero) and options.zero == "reject":
        raise complaint(
            read.path,
            f"column(s) {listed(market.labels[i] for i in zero)} are zero in every round. The columns' means "
            f"are the market's endowments, and {no_surplus(options)} somewhere.",
        )
    try:
        market = without(market, zero, options)
    except ValueError as error:
        raise complaint(read.path, str(error)) from None
    return market.with_contributions(endowment=read.mean(market.labels)), read.of(market.labels)


class Recorded(NamedTuple):
    """A trace as read from its file."""

    path: Path
    columns: dict[str, np.ndarray]
    """By the label of their agent as text."""
    times: list[str] | None
    times_name: str | None

    def mean(self, labels: Sequence[Hashable]) -> np.ndarray:
        return np.array([self.columns[str(label)].mean() for label in labels])

    def of(self, labels: Sequence[Hashable]):
        import pandas as pd

        table = np.stack([self.columns[str(label)] for label in labels], axis=1)
        names = pd.Index(list(labels), tupleize_cols=False)
        index = None if self.times is None else pd.Index(self.times, name=self.times_name)
        return pd.DataFrame(table, index=index, columns=names)


def read_recorded(
    path,
    market: Market,
    options: FileOptions,
    amounts: Amounts = Amounts("endowment"),  # noqa: B008
) -> Recorded:
    """A table with a column per agent, whose cells are read as `amounts` says."""
    path = check_path(path)
    form, packing = format_and_packing(path, {".csv": ",", ".tsv": "\t"})
    rows = read_table(path, read_bytes(path, options.budget, packing=packing), form)
    line, header = next(rows)
    header, rows = [unescape_cell(cell) for cell in header], list(rows)
    labels = [str(label) for label in market.labels]
    known = known_agents(market)
    first = _num_times(header, known, rows)
    agents = header[first:]
    unknown = set(agents) - known
    if unknown:
        raise complaint(
            path,
            f"column(s) {listed(sorted(unknown))} name no agent of the market; correct or remove "
            "them (times may stand in the first column).",
            line,
        )
    absent = [label for label in labels if label not in agents]
    if absent and amounts.absent == "refuse":
        remedy = f"add one, or take 0 for agents without a column by {options.say('absent', 'zero')}"
        raise complaint(path, f"no column {listed(absent)}; {remedy}.", line)
    check_header(path, agents, [] if amounts.absent == "zero" else labels, line)
    if not rows:
        raise complaint(path, f"no rounds; give a row of {amounts.field}s for each.")
    table = np.array(
        [
            [amounts.read(path, k, *pair, options) for pair in zip(agents, row[first:], strict=True)]
            for k, row in rows
        ]
    )
    times = [" ".join(row[:first]) for _, row in rows] if first else None
    if times is not None:
        warn_of_order(path, times, [k for k, _ in rows])
    name = " ".join(header[:first]).strip() or "time"
    table = amounts.filled(path, table, agents, lambda row: f"line {rows[row][0]}")
    columns = {agent: table[:, i] for i, agent in enumerate(agents)}
    return Recorded(path, amounts.completed(path, columns, absent, len(rows)), times, name if first else None)


def known_agents(market: Market) -> set[str]:
    """What columns may be called: the agents of the market, and those that were dropped from it."""
    origin = market.origin
    return {str(label) for label in (*market.labels, *origin.dropped_zero, *origin.dropped_isolated)}


def _num_times(header: list[str], agents: set[str], rows: list) -> int:
    """How many of the first columns are times; the agents' columns follow."""
    for number, name in enumerate(header):
        words = re.findall(r"[^\W\d_]+", name.casefold())
        is_called_so = not name.strip() or any(map(_TIME_WORD.fullmatch, words))
        if name in agents or not (
            is_called_so or all(_DATE.fullmatch(row[number].strip()) for _, row in rows)
        ):
            return number
    return 0


def warn_of_order(path: Path, times: list[str], lines: list[int]) -> None:
    for parse in (datetime.datetime.fromisoformat, float):  # other dates could be read in two ways
        try:
            place = first_out_of_order([parse(time) for time in times])
        except ValueError:
            continue
        if place is not None:
            message = (
                f"the time {short(times[place])} does not come after {short(times[place - 1])}; rounds are "
                "played in the order of the rows."
            )
            warnings.warn(str(complaint(path, message, lines[place])), stacklevel=4)
        return
    twice = [time for time, count in collections.Counter(times).items() if count > 1]
    if twice:
        message = (
            f"the times {listed(twice)} occur more than once; rounds are played in the order of the rows."
        )
        warnings.warn(str(complaint(path, message)), stacklevel=4)


def _check_agreement(read: Recorded, market: Market, given_in: str) -> None:
    """Raise unless the means of the columns are the market's endowments."""
    labels = [*market.labels, *(x for x in market.origin.dropped_zero if str(x) in read.columns)]
    given = np.append(market.endowment, np.zeros(len(labels) - market.num_agents))
    mean = read.mean(labels)
    bad = np.flatnonzero(np.abs(mean - given) > ROUNDED * np.maximum(mean, given))
    if len(bad):
        worst = bad[0]
        raise complaint(
            read.path,
            f"agent {short(labels[worst])} has {mean[worst]:.6g} a round here on average, but an endowment "
            f"of {given[worst]:.6g} in {given_in} ({len(bad)} such agents); leave the endowments out there, "
            "and the means are taken, or correct one of both.",
        )
