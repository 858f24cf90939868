"""Claim: one command takes 10,000 markets from nothing to results on disk within minutes.

Command: python -m benchmarks --only end_to_end
Typical outcome: the table in docs/benchmarks.md, which that command writes.

Runs `cmapjax simulate` as a user does: random markets drawn, equilibria solved, CMAP, damped CMAP and
proportional response played with every metric and the certified gap each round, tables written. First with an
empty folder of compiled programs, then with the one that the first run has filled.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks._race import duration, machine

STRATEGIES = ("cmap", "cmap:damping=local", "proportional-response")
PACKAGE = Path(__file__).parents[1]


def results(quick: bool) -> dict:
    markets, agents, rounds = (100, 20, 10) if quick else (10_000, 100, 200)
    strategies = STRATEGIES[:1] if quick else STRATEGIES
    about, runs = machine(), []
    with tempfile.TemporaryDirectory() as folder:
        for cache in ("cold", "warm"):
            print(
                f"end to end, {markets:,} markets of {agents} agents, {rounds} rounds, {cache} cache",
                flush=True,
            )
            run = {"cache": cache} | simulate(Path(folder), cache, strategies, markets, agents, rounds)
            print(
                "   " + ", ".join(f"{stage} {duration(s)}" for stage, s in run["stages"].items()), flush=True
            )
            runs.append(run)
    stages = list(dict.fromkeys(stage for run in runs for stage in run["stages"]))
    size = f"{markets:,} markets of {agents} agents, {rounds} rounds, {', '.join(strategies)}"
    return {
        "claim": f"`cmapjax simulate` on {size}: wall time from the command to results on disk.",
        "machine": about,
        "runs": runs,
        "tables": [
            {
                "head": ["stage", *(f"{run['cache']} cache" for run in runs)],
                "rows": [[stage, *(duration(run["stages"].get(stage)) for run in runs)] for stage in stages]
                + [["largest memory", *(f"{run['peak_bytes'] / 2**30:.2g} GiB" for run in runs)]],
            }
        ],
    }


def simulate(folder: Path, name: str, strategies, markets: int, agents: int, rounds: int) -> dict:
    """One run of the command in a process of its own: its stages in seconds, and the memory it took."""
    words = [sys.executable, "-m", "cmapjax", "simulate", f"er:n={agents},degree=6"]
    words += ["--markets", str(markets), "--isolated", "redraw", "--mean-endowment", "lognormal:sigma=1"]
    words += ["--rounds", str(rounds), "--out", str(folder / name)]
    words += [word for strategy in strategies for word in ("--strategy", strategy)]
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(PACKAGE), os.environ.get("PYTHONPATH", "")]),
        "JAX_COMPILATION_CACHE_DIR": str(folder / "compiled"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    }
    began = time.perf_counter()
    with open(folder / f"{name}.log", "w+") as log:
        process = subprocess.Popen(words, env=environment, stdout=log, stderr=log)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode, seconds = os.waitstatus_to_exitcode(status), time.perf_counter() - began
        log.seek(0)
        if process.returncode:
            raise RuntimeError(f"cmapjax simulate failed: {log.read().strip()}")
    document = json.loads((folder / name / "summary.json").read_text())
    return {
        "seconds": seconds,
        "stages": stages_of(document, seconds),
        "peak_bytes": 1024 * usage.ru_maxrss,  # Linux: kB
        "result_bytes": sum(file.stat().st_size for file in (folder / name).rglob("*") if file.is_file()),
    }


def stages_of(document: dict, seconds: float) -> dict[str, float]:
    """What the command itself says it spent its time on, what it does not account for, and the whole."""
    stages = dict(document.get("timings", {}))
    if not stages:
        stages = {f"play {run['name']}": run["seconds"] for run in document["runs"]}
    stages.pop("total", None)
    known = sum(stages.values())
    return stages | {
        "the rest (starting Python and JAX, and what is not listed)": seconds - known,
        "in all": seconds,
    }
