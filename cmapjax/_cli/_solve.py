"""`cmapjax solve`."""

import json as json_format
import sys
import time

from cmapjax._cli._output import components, label_of, plain, printable, write_text
from cmapjax._cli._source import Source, market

NOT_REACHED = 1


def run(source: Source, tolerance: float, max_sweeps: int, json: str | None) -> int:
    """Solve, report, write; the exit code."""
    from cmapjax import ColouredSweeps, solve

    solved_for = market(source)
    began = time.perf_counter()
    equilibrium = solve(solved_for, tolerance=tolerance, method=ColouredSweeps(max_sweeps))
    seconds = time.perf_counter() - began
    document = as_document(solved_for, equilibrium)
    if json == "-":
        sys.stdout.write(json_format.dumps(plain(document), allow_nan=False) + "\n")
    else:
        report(source, solved_for, equilibrium, seconds)
    if json not in (None, "-"):
        write_text(json, json_format.dumps(plain(document), allow_nan=False))
    if not equilibrium.is_solved:
        print(
            f"the certified gap {equilibrium.gap.max():.1e} is above {tolerance:.1e} after "
            f"{int(equilibrium.iterations)} sweeps; raise --max-sweeps or --tolerance.",
            file=sys.stderr,
        )
        return NOT_REACHED
    return 0


def as_document(market, equilibrium) -> dict:
    """The equilibrium as JSON's data; one entry per market under "markets" if there are several."""
    import numpy as np

    labels = list(market.labels)
    giver, _ = market.arcs()
    ends = np.bincount(np.asarray(market.market_of)[giver], minlength=market.num_markets)
    documents = []
    for number in range(market.num_markets):
        agents = np.flatnonzero(np.asarray(market.market_of) == number)
        documents.append(
            {
                "agents": [label_of(labels[i]) for i in agents],
                "utility": equilibrium.utility[agents],
                "ratio": equilibrium.ratio[agents],
                "price": equilibrium.price[agents],
                "log_nash_welfare": equilibrium.log_nash_welfare[number],
                "gap": equilibrium.gap[number],
                "num_agents": len(agents),
                "num_links": int(ends[number]) // 2,
            }
        )
    if len(documents) > 1:
        return {"markets": documents}
    return documents[0] | {"components": components(market)}


def report(source: Source, market, equilibrium, seconds: float) -> None:
    """Print what was found, with the agents worst and best off."""
    import numpy as np
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from cmapjax._cli._output import market_lines

    console = Console()
    for line in market_lines(source, market):
        console.print(line, markup=False, highlight=False)
    gap, welfare = equilibrium.gap, equilibrium.log_nash_welfare
    several = market.num_markets > 1
    table = Table("quantity", "worst market" if several else "value", show_edge=False)
    table.add_row("certified gap (log Nash welfare missing, at most)", f"{gap.max():.2e}")
    table.add_row("log Nash welfare Σ w log r / W", f"{welfare.min():.7f}")
    table.add_row("lowest ratio (received per contributed)", f"{equilibrium.ratio.min():.6g}")
    table.add_row("highest ratio", f"{equilibrium.ratio.max():.6g}")
    table.add_row("iterations", str(int(equilibrium.iterations)))
    table.add_row("seconds", f"{seconds:.2f}")
    console.print(table)
    order = np.argsort(equilibrium.ratio, kind="stable")
    ends = order if len(order) <= 8 else np.concatenate([order[:4], order[-4:]])
    agents = Table("agent", "contribution", "utility", "ratio", "price", show_edge=False)
    for i in ends:
        agents.add_row(
            escape(printable(market.labels[i])),
            f"{market.contribution[i]:.6g}",
            f"{equilibrium.utility[i]:.6g}",
            f"{equilibrium.ratio[i]:.6g}",
            f"{equilibrium.price[i]:.6g}",
        )
    console.print("agents worst and best off:" if len(order) > 8 else "agents:")
    console.print(agents)
