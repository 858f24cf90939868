"""Recorded production and need, in two tables or in one long one."""

from pathlib import Path

import numpy as np

from cmapjax.arguments._checks import short
from cmapjax.graphs._file_options import FileOptions
from cmapjax.graphs._files import FileError, check_path, naming, on_line
from cmapjax.graphs._recorded import (
    Amounts,
    Recorded,
    check_rules,
    fill_gaps,
    index_of_times,
    known_agents,
    read_recorded,
)
from cmapjax.graphs._table import check_header, folded, table_in, unescape_cell
from cmapjax.market._market import Market

FIELDS = ("production", "need")


def read_balance(
    market: Market,
    production,
    need=None,
    *,
    gaps: str = "refuse",
    negative: str = "refuse",
    absent: str = "refuse",
    memory_budget=None,
):
    """What agents produce and need, recorded in two files or in one, for `endowments.Balance`.

    Two tables have a column per agent and a row per round, as `read_trace` reads them. A long table has the
    columns time, agent, production and need, and a row per time and agent, in any order; its rounds are the
    times in the order in which they first stand there. `.csv` or `.tsv`, plain or compressed.

    Args:
        market: whose agents these are.
        production: the table of production; without `need`, the long table.
        need: the table of need, of the same times.
        gaps: of cells without a number (blank, NaN, NA, null, -): "refuse" them, or take "zero", the
            "previous" number of that agent, or what lies on the straight line between its numbers on both
            sides ("linear").
        negative: of numbers below 0, such as a meter's idle current: "refuse" them, or take "zero".
        absent: of agents without a column: "refuse" the table, or take "zero".
        memory_budget: bytes of memory that reading may take; by default as for `read_market`.

    Returns:
        Production and need, each a pandas DataFrame with a row per round and a column per agent.

    Raises:
        ValueError: a cell that is no finite number ≥ 0, with its line; agents without a column or a row, and
            others than the market's; two rows of one time and agent; whatever is wrong with a file.

    Warns:
        UserWarning: how many cells a rule has changed; times that do not ascend.
    """
    rules = {"gaps": gaps, "negative": negative, "absent": absent}
    options = FileOptions(memory_budget=memory_budget)
    return read_by_rules(market, production, need, rules, options)


def read_by_rules(market: Market, production, need, rules: dict[str, str], options: FileOptions):
    """`read_balance` with its rules together; errors name options as where they were given."""
    check_rules(rules, options)
    if need is None:
        read = _read_long(check_path(production), market, options, rules)
    else:
        files = zip((production, need), FIELDS, strict=True)
        read = [read_recorded(path, market, options, field, rules) for path, field in files]
    return tuple(recorded.of(market.labels) for recorded in read)


def _read_long(path: Path, market: Market, options: FileOptions, rules: dict[str, str]) -> list[Recorded]:
    """Production and need of a table with a row per time and agent."""
    with naming(path):
        first_line, cells = _cells(path, market, options)
        times, there = list(first_line), {agent for _, agent in cells}
        index = index_of_times(path, times, list(first_line.values()), "time")
        labels = [str(label) for label in market.labels]
        agents, absent = ([x for x in labels if (x in there) is is_in] for is_in in (True, False))
        if absent and rules["absent"] == "refuse":
            remedy = f"give one for each time, or take 0 by {options.say('absent', 'zero')}"
            raise ValueError(f"no row of agent {short(absent[0])}; {remedy}.")
        missing = [(time, agent) for time in times for agent in agents if (time, agent) not in cells]
        if missing and rules["gaps"] == "refuse":
            who = f"agent {short(missing[0][1])} at {short(missing[0][0])}"
            raise ValueError(f"no row of {who}; give one, or fill gaps by {fill_gaps(options)}.")
        read = []
        for place, field in enumerate(FIELDS):
            amounts, found = Amounts(path, field, options, **rules), {}
            try:
                for (time, agent), (line, *pair) in cells.items():  # noqa: B007  the error names it
                    found[time, agent] = amounts.read(agent, pair[place])
            except ValueError as error:
                raise FileError(str(error), line) from None
            table = [[found.get((time, agent), np.nan) for agent in agents] for time in times]
            read.append(
                amounts.recorded(table, agents, absent, index, lambda row: f"the row of {times[row]}")
            )
        return read


def _cells(path: Path, market: Market, options: FileOptions) -> tuple[dict[str, int], dict]:
    """The first line of each time; and by time and agent the line and the texts of production and need."""
    rows = table_in(path, options)
    line, header = next(rows)
    header, wanted = [folded(name) for name in header], ("time", "agent", *FIELDS)
    with on_line(line):
        check_header(header, wanted, used=wanted)
    places, known = [header.index(name) for name in wanted], known_agents(market)
    first_line, cells = {}, {}
    for line, row in rows:
        time, agent, *numbers = (row[i] for i in places)
        agent = unescape_cell(agent).strip()
        if agent not in known:
            raise FileError(f"agent {short(agent)} is not in the network; correct or remove it.", line)
        if (time, agent) in cells:
            place = f"agent {short(agent)} at {short(time)} stands in line {cells[time, agent][0]}"
            raise FileError(f"{place}, too; keep one.", line)
        first_line.setdefault(time, line)
        cells[time, agent] = line, *numbers
    if not cells:
        raise ValueError("no rows; give one for each time and agent.")
    return first_line, cells
