"""Claim: people wait seconds for an answer, with nothing compiled before.

Command: python -m benchmarks --only waiting
Typical outcome: the table in docs/benchmarks.md, which that command writes.

Each sample is a new process, and the time is its whole wall time but where the job says otherwise.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks._race import duration, machine
from benchmarks.first_answer import NOT_PASSED, PROGRAMS, run

SOLVE = "import cmapjax as cj; cj.solve(cj.graphs.read_market('karate'))"
SIMULATE = ("-m", "cmapjax", "--compilation-cache")
FURTHER = ("strategy", "damping", "schedule", "number of rounds", "network")
NOTE = (
    "Every job is a process of its own with nothing compiled before, unless it says *cached*; median of its "
    "samples. A further run in Python is the first one with that one thing changed, in the same process."
)


def results(quick: bool) -> dict:
    """All jobs, each with what is aimed at."""
    about, rows, aims, kept = machine(), [], [], {}
    for job, accept, samples in _jobs(quick):
        median, is_share = statistics.median(samples), job.startswith("share")
        words = [f"{x:.0%}" if is_share else duration(x) for x in (accept, median)]
        print(f"   {job}: {words[1]}", flush=True)
        is_met = median <= accept
        rows.append([job, words[1], f"≤ {words[0]}", "met" if is_met else "NOT met", str(len(samples))])
        aim = {"job": job, "rival": "none", "aim": f"≤ {words[0]}", "measured": words[1], "is_met": is_met}
        aims.append(aim)
        kept[job] = samples
    return {
        "claim": "How long people wait for what they ask for first.",
        "machine": about,
        "aims": aims,
        "samples": kept,
        "tables": [{"head": ["job", "measured", "accept", "", "samples"], "rows": rows}],
        "notes": [NOTE],
    }


def _jobs(quick: bool) -> Iterator[tuple[str, float, list[float]]]:
    """Each job's name, the seconds (or the share) that are good enough, and its samples."""
    few = 1 if quick else 3
    with tempfile.TemporaryDirectory() as folder:
        kept = str(Path(folder, "kept"))
        karate = "cmapjax simulate karate"
        yield karate, 4.0, _walls(few, *SIMULATE, "off", "simulate", "karate")
        run([*SIMULATE, kept, "simulate", "karate"])
        yield f"{karate}, cached", 2.5, _walls(few, *SIMULATE, kept, "simulate", "karate")
        words = ("simulate", "les-miserables", "--rounds", "30")
        yield f"cmapjax {' '.join(words)}", 5.0, _walls(few, *SIMULATE, "off", *words)
        yield "import cmapjax and solve(karate) in Python", 0.7, _walls(few, "-c", SOLVE)
        runs = [json.loads(run([str(PROGRAMS / "in_one_process.py")])[0]) for _ in range(few)]
        yield "first simulate in Python, after the import", 1.5, [one["first"] for one in runs]
        for what in FURTHER:
            yield f"then another {what}", 0.1, [one[f"another {what}"] for one in runs]
        share = [float(run([str(PROGRAMS / "share_of_records.py")])[0])]
        yield "share of all standard metrics of every round, 500 × 100 agents, 3 strategies", 0.25, share
        if not quick:
            words = (*SIMULATE, "off", "simulate", "gnutella", "--rounds", "100", "--plot", "--out")
            walls = [run([*words, str(Path(folder, f"out-{n}"))])[1]["wall"] for n in range(few)]
            yield "cmapjax simulate gnutella --rounds 100 --plot", 15.0, walls
            many = _walls(1, str(PROGRAMS / "many_networks.py"))
            yield "300 networks of 20 to 120 agents, 3 strategies × 100 rounds", 60.0, many
            yield "scripts/demo from a clean clone, install included", 75.0, [_demo(folder)]


def _walls(repeats: int, *command: str) -> list[float]:
    return [run(list(command))[1]["wall"] for _ in range(repeats)]


def _demo(folder: str) -> float:
    """Seconds of the README's first command in a new clone of this repository, nothing compiled before."""
    clone = Path(folder, "clone")
    left_out = ("PYTHONPATH", "VIRTUAL_ENV", *NOT_PASSED)
    environment = {name: x for name, x in os.environ.items() if name not in left_out}
    environment |= {"CMAPJAX_COMPILATION_CACHE": str(Path(folder, "demo")), "PYTHON": sys._base_executable}
    began = time.perf_counter()
    subprocess.run(["git", "clone", "--quiet", str(Path(__file__).parents[1]), str(clone)], check=True)
    subprocess.run(["scripts/demo"], cwd=clone, env=environment, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began
