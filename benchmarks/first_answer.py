"""Claim: the first answer comes as soon as from a few lines of NumPy or Mesa, but for the loading of JAX.

Command: python -m benchmarks --only first_answer
Typical outcome: the table in docs/benchmarks.md, which that command writes.

Each sample is a new process: Python and the library are loaded, a file of links is read, 100 rounds of
proportional response are played, and what ten agents receive is printed. cmapjax records all standard metrics
of every round beside that, once with nothing compiled before and once with compiled programs kept. The others
compute these numbers and nothing else. Whoever prints other numbers is named.

The aim against a rival is the claim: as soon as the rival would be after loading JAX. On the smallest network
there are seconds to reach as well.
"""

import importlib.util
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import networkx as nx
import numpy as np

from benchmarks._race import REPEATS, duration, machine, spread

PROGRAMS = Path(__file__).parent / "_first_answers"
PACKAGE = Path(__file__).parents[1]
ROUNDS = 100
TOLERANCE = 1e-8  # the programs print nine digits
FRESH, KEPT, LOADING = "cmapjax, nothing kept", "cmapjax, programs kept", "loading JAX"
RIVALS = ("NumPy", "Mesa")
ACCEPT_SECONDS = {FRESH: 4.0, KEPT: 2.5}  # on 34 agents
# Where JAX is told by the environment to keep programs, "nothing kept" would not be true. Python keeps the
# bytecode of modules unless it is told not to, and so a user's second process reads it.
NOT_PASSED = ("CMAPJAX_COMPILATION_CACHE", "JAX_COMPILATION_CACHE_DIR", "PYTHONDONTWRITEBYTECODE")
NOTE = (
    "The last table has the wall time of each whole process, from its start to its end, the median of "
    "samples taken in turns; in brackets processor time, all threads together. *Loading JAX* is "
    "`import jax` alone; the first table adds it to the rivals' times."
)


def results(quick: bool) -> dict:
    """Everybody on every network."""
    about = machine()
    networks = _networks()
    repeats = 2 if quick else REPEATS
    runs = []
    for name, graph in list(networks.items())[: 2 if quick else None]:
        print(f"first answer, {name}", flush=True)
        runs.append({"network": name, "agents": len(graph)} | race(graph, repeats))
        for who, entry in runs[-1]["players"].items():
            print(f"   {who}: {_cell(entry)}", flush=True)
    return {
        "claim": f"From nothing to a printed table: {ROUNDS} rounds of proportional response.",
        "machine": about,
        "runs": runs,
        "jobs": [_job(one, ours) for one in runs for ours in (FRESH, KEPT)],
        "tables": [_table(runs)],
        "notes": [NOTE, *_wrong(runs)],
    }


def _networks() -> dict:
    """Graphs whose agents are numbered from 0 on."""
    random = {f"Erdős-Rényi {n:,}": nx.gnm_random_graph(n, 4 * n, seed=1) for n in (1_000, 10_000)}
    graphs = {"karate": nx.karate_club_graph(), "les-miserables": nx.les_miserables_graph()} | random
    return {
        name: nx.convert_node_labels_to_integers(graph.subgraph(max(nx.connected_components(graph), key=len)))
        for name, graph in graphs.items()
    }


def race(graph, repeats: int) -> dict:
    """Samples of all players on one network, taken in turns, and what they printed."""
    with tempfile.TemporaryDirectory() as folder:
        links, kept = Path(folder, "links.csv"), str(Path(folder, "compiled"))
        links.write_text("source,target\n" + "".join(f"{a},{b}\n" for a, b in graph.edges()))
        words = [str(links), str(ROUNDS)]
        ours = str(PROGRAMS / "with_cmapjax.py")
        commands = {
            FRESH: [ours, *words, "off"],
            KEPT: [ours, *words, kept],
            "NumPy": [str(PROGRAMS / "with_numpy.py"), *words],
            "Mesa": [str(PROGRAMS / "with_mesa.py"), *words],
            LOADING: ["-c", "import jax"],
        }
        missing = {} if importlib.util.find_spec("mesa") else {"Mesa": "mesa is not installed"}
        commands = {who: command for who, command in commands.items() if who not in missing}
        printed = {
            who: run(command)[0] for who, command in commands.items()
        }  # fills the folder and disk caches
        samples = {who: [] for who in commands}
        names = list(commands)
        for turn in range(repeats):
            for who in names[turn % len(names) :] + names[: turn % len(names)]:
                samples[who].append(run(commands[who])[1])
    return {"players": {who: _summary(times) for who, times in samples.items()}} | _compared(printed, missing)


def run(command: list[str]) -> tuple[str, dict[str, float]]:
    """What a Python program prints, and the seconds that its process takes: wall, and of processors."""
    environment = {name: x for name, x in os.environ.items() if name not in NOT_PASSED}
    environment["PYTHONPATH"] = os.pathsep.join([str(PACKAGE), os.environ.get("PYTHONPATH", "")])
    with tempfile.TemporaryFile("w+") as out:
        began = time.perf_counter()
        process = subprocess.Popen([sys.executable, *command], env=environment, stdout=out, stderr=out)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode, wall = os.waitstatus_to_exitcode(status), time.perf_counter() - began
        out.seek(0)
        text = out.read()
    if process.returncode:
        raise RuntimeError(f"{Path(command[0]).name} failed: {text.strip()}")
    return text, {"wall": wall, "processor": usage.ru_utime + usage.ru_stime}


def _summary(samples: list[dict[str, float]]) -> dict:
    medians = {kind: statistics.median(sample[kind] for sample in samples) for kind in samples[0]}
    return {"seconds": medians, "samples": samples}


def _compared(printed: dict[str, str], missing: dict[str, str]) -> dict:
    """By how much others' utilities differ from ours at most, relative; infinite if they are not as many."""
    tables = {who: np.array(text.split(), float).reshape(-1, 2) for who, text in printed.items() if text}
    ours = tables[FRESH]
    errors = {}
    for who, theirs in tables.items():
        is_like = theirs.shape == ours.shape and np.array_equal(theirs[:, 0], ours[:, 0])
        errors[who] = float(np.max(np.abs(theirs[:, 1] / ours[:, 1] - 1))) if is_like else None
    wrong = [who for who, error in errors.items() if error is None or not error <= TOLERANCE]
    return {"errors": errors, "wrong": wrong, "missing": missing}


def _job(one: dict, ours: str) -> dict:
    """Our times beside those of every rival with the time of loading JAX added, as the page shows races."""
    players = one["players"]
    wall = {who: [sample["wall"] for sample in entry["samples"]] for who, entry in players.items()}
    job = {
        "job": ours,
        "size": f"{one['network']}, {one['agents']:,} agents",
        "compared": "utilities that were printed, largest relative difference",
        "ours": {"name": ours, "seconds": spread(wall[ours]), "samples": wall[ours]},
        "rivals": [],
    }
    if one["network"] == "karate":
        accept = ACCEPT_SECONDS[ours]
        is_met = job["ours"]["seconds"]["median"] <= accept
        job["target_seconds"] = {"accept": accept, "is_met": is_met}
    for who in RIVALS:
        name = f"{who}, and loading JAX"
        if who not in players:
            job["rivals"].append({"name": name, "missing": one["missing"][who]})
            continue
        theirs = [a + b for a, b in zip(wall[who], wall[LOADING], strict=True)]
        ratio = spread(a / b for a, b in zip(wall[ours], theirs, strict=True))
        job["rivals"].append(
            {
                "name": name,
                "seconds": spread(theirs),
                "samples": theirs,
                "ratio": ratio,
                "error": one["errors"][who],
                "tolerance": TOLERANCE,
                "agrees": who not in one["wrong"],
                "target": {"accept": 1.0, "ambitious": None, "is_met": ratio["median"] <= 1.0},
            }
        )
    return job


def _table(runs: list[dict]) -> dict:
    names = list(dict.fromkeys(who for one in runs for who in one["players"]))
    rows = []
    for one in runs:
        players = one["players"]
        cells = [_cell(players[who]) if who in players else "–" for who in names]
        rows.append([f"{one['network']}, {one['agents']:,} agents", *cells])
    return {"head": ["network", *names], "rows": rows}


def _cell(entry: dict) -> str:
    return f"{duration(entry['seconds']['wall'])} ({duration(entry['seconds']['processor'])})"


def _wrong(runs: list[dict]) -> list[str]:
    """Who printed other numbers, we among them."""
    wrong = [f"{who} on {one['network']}" for one in runs for who in one["wrong"]]
    return [f"Other numbers than ours were printed by: {', '.join(wrong)}."] if wrong else []
