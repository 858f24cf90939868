"""Recorded endowments: one row per round, one column per agent (CSV or TSV)."""

import numpy as np
from jaxtyping import Float

from cmapjax._checks import listed, short
from cmapjax._file_options import as_budget
from cmapjax._market import Market
from cmapjax.graphs._files import check_path, complaint, format_and_packing, read_bytes
from cmapjax.graphs._table import check_header, read_table, unescape_cell


def read_trace(path, market: Market, *, memory_budget=None) -> Float[np.ndarray, "rounds agents"]:
    """The endowments recorded in a file, its columns put in the market's order of agents.

    The header names every agent of the market once, in any order; every further row is a round. Amounts
    are in units of the agents' own resources, 0 or more. `.csv` or `.tsv`, plain or `.gz`.

    Raises:
        ValueError: an agent without a column or a column without an agent; a cell that is no number ≥ 0,
            with its line; no rounds; whatever is wrong with the file.
    """
    path = check_path(path)
    form, packing = format_and_packing(path, {".csv": ",", ".tsv": "\t"})
    rows = read_table(path, read_bytes(path, as_budget(memory_budget), packing=packing), form)
    line, header = next(rows)
    header = [unescape_cell(cell) for cell in header]
    labels = [str(label) for label in market.labels]
    unknown = set(header) - set(labels)
    if unknown:
        raise complaint(path, f"column(s) {listed(sorted(unknown))} name no agent of the market.", line)
    check_header(path, header, labels, line)
    column = {label: i for i, label in enumerate(header)}
    order = [column[label] for label in labels]
    trace = []
    for line, row in rows:
        trace.append([_amount(path, line, header[i], row[i]) for i in order])
    if not trace:
        raise complaint(path, "no rounds; give a row of endowments for each.")
    return np.array(trace)


def _amount(path, line: int, label: str, cell: str) -> float:
    try:
        amount = float(cell) if "_" not in cell else float("nan")
    except ValueError:
        amount = float("nan")
    if not 0 <= amount < float("inf"):
        raise complaint(
            path, f"endowment of agent {short(label)} is {short(cell)}; give a finite number ≥ 0.", line
        )
    return amount
