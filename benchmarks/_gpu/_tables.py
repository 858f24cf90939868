"""The page's section on what was compiled for a GPU."""

from benchmarks._gpu._cases import PRECISIONS, Case
from benchmarks._race import duration, quantity

CLAIM = (
    "Runs compile for an H200, on a machine without a GPU, and a round of everybody at once launches few "
    "kernels. Nothing was run: no time here was measured."
)
MAIN = ("CMAP", "CMAP damped by 0.2", "proportional response")
MAIN_MARKETS = ("1,000 × 50", "10⁵")
LAUNCH = (3e-6, 5e-6)  # seconds, assumed
BANDWIDTH = 4.8e12  # bytes a second, of the data sheet
COLUMNS = ("kernels", "copies", "scatters", "sorts", "conditionals", "reads_by_cpu", "float64")


def described(wanted: list[Case], done: dict) -> dict:
    """Claim, tables and notes."""
    left = [case.key for case in wanted if case.key not in done]
    notes = [
        "Counted in XLA's optimised programs. A round's launches: kernels and copies of one pass through the "
        "loop of rounds, its test included; loops inside as often as is known when they are compiled, or "
        "once. *Read by the CPU*: numbers that the CPU waits for, such as a loop's test. Bytes: what kernels "
        "read and write, each operand once. The estimate is launches at 3 to 5 µs each, and bytes at 4.8 "
        "TB/s, one after the other; waiting for the CPU is not in it.",
    ]
    if left:
        notes.append(
            f"Left out: {len(left)} of {len(wanted)} cases, for the CPU time that compiling takes; "
            "`scripts/gpu-compile --minutes …` goes on with them."
        )
    tables = [_main(done), _all(wanted, done)]
    return {"claim": CLAIM, "tables": [table for table in tables if table["rows"]], "notes": notes}


def _main(done: dict) -> dict:
    """Rounds of everybody at once, and what they cost on paper."""
    rows = []
    for agents in MAIN_MARKETS:
        for strategy in MAIN:
            for precision in PRECISIONS:
                case = Case(agents, strategy, "all at once", "nothing", precision)
                found = _round(done.get(case.key))
                if found is not None:
                    rows.append([agents, strategy, precision, found["kernels"], *_on_paper(found)])
    head = [
        "agents",
        "all at once",
        "precision",
        "launches a round",
        "bytes a round",
        "launching",
        "reading and writing",
    ]
    return {"head": head, "rows": rows}


def _on_paper(found: dict) -> list[str]:
    low, high = (duration(found["kernels"] * seconds) for seconds in LAUNCH)
    return [
        f"{quantity(found['bytes'])}B",
        f"{low} – {high} (estimate)",
        f"{duration(found['bytes'] / BANDWIDTH)} (estimate)",
    ]


def _all(wanted: list[Case], done: dict) -> dict:
    rows = []
    for case in wanted:
        if case.key not in done:
            continue
        programs = done[case.key]["programs"]
        faults = [f"{name}: {x['fault'].split(':')[0]}" for name, x in programs.items() if "fault" in x]
        found = _round(done[case.key])
        counts = ["–"] * (len(COLUMNS)) if found is None else [found[column] for column in COLUMNS]
        memory = max((x["memory"] for x in programs.values() if "memory" in x), default=0)
        recorder = [x["in_all"]["kernels"] for x in programs.values() if "round" not in x and "in_all" in x]
        rows.append(
            [*case, ", ".join(faults) or "yes", *counts, max(recorder, default=0), f"{quantity(memory)}B"]
        )
    head = ["agents", "strategy", "schedule", "recorded", "precision", "compiles"]
    head += [column.replace("_", " ").replace("cpu", "the CPU") for column in COLUMNS]
    return {"head": [*head, "kernels of a record", "memory"], "rows": rows}


def _round(found: dict | None) -> dict | None:
    rounds = [x["round"] for x in (found or {"programs": {}})["programs"].values() if "round" in x]
    return rounds[0] if rounds else None
