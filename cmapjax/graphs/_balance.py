"""Recorded production and need, in two tables or in one long one."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from cmapjax.arguments._checks import short
from cmapjax.graphs._amounts import RULES, Amounts, check_rules
from cmapjax.graphs._file_options import FileOptions
from cmapjax.graphs._files import check_path, complaint, format_and_packing, read_bytes
from cmapjax.graphs._table import check_header, folded, read_table, unescape_cell
from cmapjax.graphs._trace import Recorded, known_agents, read_recorded, warn_of_order
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
    amounts = [Amounts(field, **rules) for field in FIELDS]
    if need is None:
        return _read_long(check_path(production), market, options, amounts)
    return tuple(
        read_recorded(path, market, options, cells).of(market.labels)
        for path, cells in zip((production, need), amounts, strict=True)
    )


def _read_long(path: Path, market: Market, options: FileOptions, amounts: Iterable[Amounts]):
    """Production and need of a table with a row per time and agent."""
    form, packing = format_and_packing(path, {".csv": ",", ".tsv": "\t"})
    rows = read_table(path, read_bytes(path, options.budget, packing=packing), form)
    line, header = next(rows)
    header = [folded(name) for name in header]
    wanted = ("time", "agent", *FIELDS)
    check_header(path, header, wanted, line, used=wanted)
    places = [header.index(name) for name in wanted]
    known, first_line, cells = known_agents(market), {}, {}
    for k, row in rows:
        time, agent, *numbers = (row[i] for i in places)
        agent = unescape_cell(agent).strip()
        if agent not in known:
            raise complaint(path, f"agent {short(agent)} is not in the network; correct or remove it.", k)
        if (time, agent) in cells:
            before = cells[time, agent][0]
            raise complaint(
                path, f"agent {short(agent)} at {short(time)} stands in line {before}, too; keep one.", k
            )
        first_line.setdefault(time, k)
        cells[time, agent] = k, *numbers
    if not cells:
        raise complaint(path, "no rows; give one for each time and agent.")
    times = list(first_line)
    warn_of_order(path, times, list(first_line.values()))
    tables = [
        _columns(
            path, {key: (k, cell[place]) for key, (k, *cell) in cells.items()}, times, market, each, options
        )
        for place, each in enumerate(amounts)
    ]
    return tuple(Recorded(path, columns, times, "time").of(market.labels) for columns in tables)


def _columns(
    path: Path, cells: dict, times: list[str], market: Market, amounts: Amounts, options: FileOptions
):
    """One of the numbers, by agent, from the line and text of each time and agent."""
    there, labels = {agent for _, agent in cells}, [str(label) for label in market.labels]
    agents, absent = ([label for label in labels if (label in there) is is_in] for is_in in (True, False))
    if absent and amounts.absent != "zero":
        remedy = options.say("absent", "zero")
        raise complaint(
            path, f"no row of agent {short(absent[0])}; give one for each time, or take 0 by {remedy}."
        )
    missing = [(time, agent) for time in times for agent in agents if (time, agent) not in cells]
    if missing and amounts.gaps == "refuse":
        time, agent = missing[0]
        remedy = f"{options.say('gaps', 'zero')} ({', '.join(RULES['gaps'][1:])})"
        raise complaint(
            path, f"no row of agent {short(agent)} at {short(time)}; give one, or fill gaps by {remedy}."
        )
    found = {
        (time, agent): amounts.read(path, k, agent, cell, options)
        for (time, agent), (k, cell) in cells.items()
    }
    table = np.array([[found.get((time, agent), np.nan) for agent in agents] for time in times])
    table = amounts.filled(path, table, agents, lambda row: f"the row of {times[row]}")
    columns = {agent: table[:, i] for i, agent in enumerate(agents)}
    return amounts.completed(path, columns, absent, len(times))
