"""Claim: the first answer comes as soon as from a few lines of NumPy or Mesa, but for the loading of JAX.

Command: python -m benchmarks --only first_answer
Typical outcome: the table in docs/benchmarks.md, which that command writes.

Each sample is a new process: Python and the library are loaded, a file of links is read, 100 rounds of
proportional response are played, and what ten agents receive is printed. cmapjax records all standard metrics
of every round beside that, once with nothing compiled before and once with compiled programs kept. The others
compute these numbers and nothing else. Whoever prints other numbers is named.
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

from benchmarks._race import REPEATS, duration, machine

PROGRAMS = Path(__file__).parent / "_first_answers"
PACKAGE = Path(__file__).parents[1]
ROUNDS = 100
TOLERANCE = 1e-8  # the programs print nine digits
# Where JAX is told by the environment to keep programs, "nothing kept" would not be true.
CACHES = ("CMAPJAX_COMPILATION_CACHE", "JAX_COMPILATION_CACHE_DIR")
NOTE = (
    "Wall time of a whole process, from its start to its end; the median of samples taken in turns. In "
    "brackets: processor time, all threads together. *Loading JAX* is `import jax` alone."
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
        "tables": [_table(runs)],
        "notes": [NOTE, *_remarks(runs)],
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
            "cmapjax, nothing kept": [ours, *words, "off"],
            "cmapjax, programs kept": [ours, *words, kept],
            "NumPy": [str(PROGRAMS / "with_numpy.py"), *words],
            "Mesa": [str(PROGRAMS / "with_mesa.py"), *words],
            "loading JAX": ["-c", "import jax"],
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
    environment = {name: x for name, x in os.environ.items() if name not in CACHES}
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
    ours = tables["cmapjax, nothing kept"]
    errors = {}
    for who, theirs in tables.items():
        is_like = theirs.shape == ours.shape and np.array_equal(theirs[:, 0], ours[:, 0])
        errors[who] = float(np.max(np.abs(theirs[:, 1] / ours[:, 1] - 1))) if is_like else None
    wrong = [who for who, error in errors.items() if error is None or not error <= TOLERANCE]
    return {"errors": errors, "wrong": wrong, "missing": missing}


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


def _remarks(runs: list[dict]) -> list[str]:
    """Who was missing, and who printed other numbers."""
    missing = {who: why for one in runs for who, why in one["missing"].items()}
    wrong = [f"{who} on {one['network']}" for one in runs for who in one["wrong"]]
    errors = [error for one in runs for error in one["errors"].values() if error is not None]
    out = [f"Utilities that were printed differ from each other by at most {max(errors):.1g}, relative."]
    if wrong:
        out = [f"Other numbers than ours were printed by: {', '.join(wrong)}."]
    if missing:
        out.append("Skipped: " + "; ".join(f"{who} ({why})" for who, why in missing.items()) + ".")
    return out
