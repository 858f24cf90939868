"""`cmapjax share`."""

import dataclasses
import sys
import time
from pathlib import Path

import numpy as np

from cmapjax.arguments._checks import escape_cell
from cmapjax.cli._cache import switch_on
from cmapjax.cli._output import check_file, check_folder, market_lines, say, show, write_text
from cmapjax.cli._progress import interruptible
from cmapjax.cli._receipts import ENDINGS
from cmapjax.cli._requests import Share
from cmapjax.cli._source import Source, check, market
from cmapjax.graphs._recorded import check_rules
from cmapjax.words._objects import Builder

NOT_REACHED = 1
TOLERANCE = 1e-9
SHOWN_AGENTS = 8
# A word for what the rules call otherwise.
RECIPROCITY = {"reciprocity": "mix:share=0"}


def run(source: Source, request: Share) -> int:
    """Read, solve every round, report, write; the exit code."""
    rules = {"gaps": request.gaps, "negative": request.negative, "absent": request.absent}
    check_rules(rules, source.file)
    priority = _checked(source, request)
    switch_on()
    from cmapjax import share
    from cmapjax.endowments import Balance
    from cmapjax.graphs import within
    from cmapjax.graphs._balance import read_by_rules

    network = market(source)
    say("\n".join(market_lines(source, network)))
    if request.reach > 1:
        reached = within(network, request.reach)
        say(f"within {request.reach} links: {reached.num_links:,} pairs may share")
    files = (request.balance, None) if request.balance is not None else (request.production, request.need)
    balance = Balance(*read_by_rules(network, *files, rules, source.file))
    network = reached if request.reach > 1 else network
    began = time.perf_counter()
    shared = interruptible(lambda: share(network, balance, priority=priority), "sharing")
    say(f"{balance.num_rounds:,} rounds in {time.perf_counter() - began:.1f} s, priority: {request.priority}")
    _report(shared)
    if request.out is not None:
        _write(request.out, shared)
    if request.receipts is not None:
        _write_table(request.receipts, written(shared).to_frame())
    if shared.gap.max() <= TOLERANCE:
        return 0
    worst = int(np.argmax(shared.gap))
    print(f"the certified gap of round {worst + 1} is {shared.gap[worst]:.1e}.", file=sys.stderr)
    return NOT_REACHED


def _checked(source: Source, request: Share):
    """The rule of priorities, once all words are checked."""
    check(source)
    if len(source.networks) > 1:
        raise ValueError("share takes one network; name one.")
    given = [name for name in ("production", "need", "balance") if getattr(request, name) is not None]
    if given not in (["production", "need"], ["balance"]):
        raise ValueError(
            "give --production FILE and --need FILE (a column per agent each), or --balance FILE (columns "
            "time, agent, production, need)."
        )
    if request.reach < 1:
        raise ValueError(f"--reach is {request.reach}; give a whole number of links, 1 or more.")
    if request.out is not None:
        check_folder("--out", request.out)
    if request.receipts is not None:
        check_file("--receipts", request.receipts, ENDINGS)
    from cmapjax.graphs import PriorityRule

    return Builder().build(PriorityRule, RECIPROCITY.get(request.priority, request.priority))


def _report(shared) -> None:
    """Print where production went, where need came from, and the agents worst and best off."""
    total = shared.total()

    def row(words: str, name: str, of: str) -> list[str]:
        return [words, f"{total[name]:,.6g}", f"{100 * total[name] / total[of]:.1f} %" if total[of] else ""]

    rows = [
        row("production", "production", "production"),
        row("  used by oneself", "own_use", "production"),
        row("  given to others", "given", "production"),
        *([row("    lost on the way", "lost", "production")] if total["lost"] else []),
        row("  kept, which nobody can use or reach", "kept", "production"),
        row("need", "need", "need"),
        row("  met by oneself (self-sufficiency)", "own_use", "need"),
        row("  shared by others", "shared", "need"),
        row("  unmet", "unmet", "need"),
    ]
    show(rows, ("over all rounds", "amount", "share"), right=("amount", "share"))
    agents = shared.per_agent().sort_values("coverage", kind="stable")
    agents = agents[agents["need"] > 0]
    if not len(agents):
        return
    if len(agents) > SHOWN_AGENTS:
        half = SHOWN_AGENTS // 2
        agents = agents.iloc[[*range(half), *range(-half, 0)]]
        say("agents whose need is met least and most:")
    heads = ("agent", "need", "own_use", "shared", "unmet", "given", "kept", "coverage")
    cells = [
        [agent, *(f"{x:.4g}" for x in amounts), f"{100 * coverage:.1f} %"]
        for agent, *amounts, coverage in agents[[*heads]].to_numpy()
    ]
    heads = [head.replace("_", " ") for head in heads]
    show(cells, heads, right=heads[1:])


def written(shared):
    """The same with labels and times as tables hold them."""
    labels, times = shared.labels, shared.times
    labels = [escape_cell(x) if isinstance(x, str) else x for x in labels]
    times = None if times is None else tuple(escape_cell(str(x)) for x in times)
    return dataclasses.replace(shared, labels=labels, times=times)


def _write(folder: Path, shared) -> None:
    """Tables and a picture."""
    from cmapjax import plots

    folder.mkdir(parents=True, exist_ok=True)
    tables = written(shared)
    _write_table(folder / "total.csv", tables.total().to_frame().T)
    _write_table(folder / "agents.csv", tables.per_agent())
    _write_table(folder / "rounds.csv", tables.per_round())
    _write_table(folder / "links.csv", tables.per_link())
    plots.save(plots.sharing(shared), folder / "sharing.png")


def _write_table(path: Path, table) -> None:
    if path.suffix.lower() != ".parquet":
        separator = "\t" if path.suffix.lower() == ".tsv" else ","
        write_text(path, table.to_csv(index=False, sep=separator, lineterminator="\n"))
        return
    from cmapjax.graphs._files import replacing

    with replacing(path) as stream:
        table.to_parquet(stream, index=False, write_page_checksum=True)
