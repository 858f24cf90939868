"""Claim: a market of 1e7 arcs is built, read from a gzipped edge list, or coloured in seconds.

Command: python -m benchmarks.building [--agents 1000000] [--degree 10] [--json FILE]
Typical outcome (two busy cores, 1e6 agents, 1e7 arcs): built in 2 s with a peak of 41 bytes per arc, five
times what SciPy's matrix takes; read from a gzipped edge list to a market in 3 to 5 s (a million
links a second or more), of which NumPy's text reader would take 1; coloured and planned in 3 s (32 turns,
1.5 places in tables per agent), a fifteenth of networkx's time per arc.

Every job runs in a process of its own, so that the peak of memory is that job's; best of two. The rivals
make less than a market: SciPy's matrix is the floor (no padding, no reverse arcs, no checks), NumPy's text
reader leaves numbers as they stand, and networkx runs on a smaller network.
"""

import argparse
import gzip
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import networkx as nx
import numpy as np
import scipy.sparse

import cmapjax as cj
from benchmarks._race import duration, machine, quantity

REPEATS = 2
COUNTS = ("colours", "turns", "table cells")
NOTE = (
    "Every job ran in a process of its own; best of two. Bytes are above what the input takes. The rivals "
    "make less than a market: SciPy a matrix (no padding, no reverse arcs, no checks), NumPy's text reader "
    "an array, and those in networkx run on a smaller network."
)
SMALLER = 20  # rivals that take minutes run on so many times fewer agents


def memory(field: str) -> int:
    """Bytes of memory of this process, now (VmRSS) or at most since the last reset (VmHWM)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(line for line in lines if line.startswith(field)).split()[1])


def market_of(links):
    return cj.Market.from_links(links, drop_self_loops=True, drop_isolated=True)


def scipy_matrix(links):
    """What users write: the adjacency matrix, repetitions added up."""
    ends, n = links.T.astype(np.int32), int(links.max()) + 1
    pairs = np.concatenate([ends[0], ends[1]]), np.concatenate([ends[1], ends[0]])
    return scipy.sparse.coo_array((np.ones(len(pairs[0]), np.int8), pairs), shape=(n, n)).tocsr()


def rival_graph(market):
    """The common-receiver graph in networkx: what its colouring needs."""
    square = (market.adjacency().astype(np.int32) @ market.adjacency().astype(np.int32)).tocoo()
    is_pair = square.row < square.col
    graph = nx.Graph()
    graph.add_nodes_from(range(market.num_agents))
    graph.add_edges_from(zip(square.row[is_pair].tolist(), square.col[is_pair].tolist(), strict=True))
    return graph


def read(path):
    return cj.graphs.read_market(path, drop_self_loops=True, memory_budget=1 << 40)


# name: (what is handed to the job, the job, what is said of its result)
JOBS = {
    "build": (np.load, market_of, lambda m: {"arcs": 2 * m.num_links, "padding": m.padding}),
    "build, SciPy matrix": (np.load, scipy_matrix, lambda a: {"arcs": int(a.nnz)}),
    "build, networkx": (np.load, lambda x: nx.from_edgelist(x.tolist()), lambda g: {"arcs": 2 * g.size()}),
    "arcs": (lambda path: market_of(np.load(path)), cj.Market.arcs, lambda a: {"arcs": len(a[0])}),
    "read": (Path, read, lambda m: {"arcs": 2 * m.num_links}),
    "read, numpy.loadtxt": (Path, lambda path: np.loadtxt(path, np.int64), lambda x: {"arcs": 2 * len(x)}),
    "colour": (
        lambda path: market_of(np.load(path)),
        cj.Coloured().plan,
        lambda p: {"colours": len(p.rows[0]), "table cells": sum(int(r.size) for r in p.rows)},
    ),
    "colour, networkx": (
        lambda path: rival_graph(market_of(np.load(path))),
        nx.greedy_color,
        lambda c: {"colours": 1 + max(c.values())},
    ),
    "sequence": (
        lambda path: market_of(np.load(path)),
        cj.Sequential().plan,
        lambda p: {"turns": len(p.rows[0]), "table cells": sum(int(r.size) for r in p.rows)},
    ),
}


def run_here(name: str, path: str) -> dict:
    """Seconds and bytes of memory, above what the input takes, of one job in this process."""
    prepare, job, describe = JOBS[name]
    given = prepare(path)
    before = memory("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak so far is forgotten
    began = time.perf_counter()
    result = job(given)
    seconds = time.perf_counter() - began
    peak, after = memory("VmHWM") - before, memory("VmRSS") - before
    return {"seconds": seconds, "peak bytes": peak, "bytes kept": after, **describe(result)}


def run_apart(name: str, path: Path) -> dict:
    """The best of some runs, each in a fresh process."""
    command = [sys.executable, "-m", "benchmarks.building", "--job", name, str(path)]
    runs = [
        json.loads(subprocess.run(command, check=True, capture_output=True).stdout) for _ in range(REPEATS)
    ]
    return min(runs, key=lambda run: run["seconds"])


def write_network(folder: Path, num_agents: int, degree: float) -> tuple[Path, Path]:
    """The links as an array in a file, and as a gzipped edge list of numbers neither from 0 nor adjacent."""
    rng = np.random.default_rng(0)
    links = rng.integers(0, num_agents, (int(num_agents * degree / 2), 2))
    links = links[links[:, 0] != links[:, 1]]
    array, text = folder / f"{num_agents}.npy", folder / f"{num_agents}.txt.gz"
    np.save(array, links)
    label = np.sort(rng.choice(30 * num_agents, num_agents, replace=False)) + 17
    lines = "".join(f"{a}\t{b}\n" for a, b in label[links].tolist())
    text.write_bytes(gzip.compress(b"# FromNodeId\tToNodeId\n" + lines.encode(), 6))
    return array, text


def results(quick: bool, num_agents: int = 1_000_000, degree: float = 10.0) -> dict:
    """For each job its seconds, bytes and counts, and how many arcs a second that makes."""
    num_agents = num_agents // 20 if quick else num_agents
    about, found = machine(), {}
    with tempfile.TemporaryDirectory() as folder:
        files = {
            size: write_network(Path(folder), size, degree) for size in (num_agents, num_agents // SMALLER)
        }
        for name in JOBS:
            size = num_agents // SMALLER if "networkx" in name else num_agents
            array, text = files[size]
            outcome = run_apart(name, text if name.startswith("read") else array)
            arcs = outcome.get("arcs", 2 * len(np.load(array, mmap_mode="r")))
            per_arc = {f"{key} per arc": outcome[key] / arcs for key in ("peak bytes", "bytes kept")}
            rate = {"arcs per second": arcs / outcome["seconds"]}
            found[name] = {"agents": size, **outcome, "arcs": arcs, **per_arc, **rate}
    claim = "A market of 10⁷ arcs is built, read from a gzipped edge list, or coloured in seconds."
    return {"claim": claim, "machine": about, "runs": found, "tables": [table(found)], "notes": [NOTE]}


def table(found: dict) -> dict:
    """One row per job."""
    head = ["job", "arcs", "time", "arcs/s", "peak per arc", "kept per arc", "counts"]
    rows = [
        [
            name,
            f"{row['arcs']:,}",
            duration(row["seconds"]),
            quantity(row["arcs per second"]),
            f"{row['peak bytes per arc']:.0f} B",
            f"{max(row['bytes kept per arc'], 0):.0f} B",
            ", ".join(f"{row[key]:,} {key}" for key in COUNTS if key in row),
        ]
        for name, row in found.items()
    ]
    return {"head": head, "rows": rows}


def main() -> None:
    """Print one line per job."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--agents", type=int, default=1_000_000)
    parser.add_argument("--degree", type=float, default=10.0)
    parser.add_argument("--json", type=Path, help="a file for the figures")
    parser.add_argument("--job", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.job:
        print(json.dumps(run_here(*options.job)))
        return
    found = results(False, options.agents, options.degree)
    for row in found["tables"][0]["rows"]:
        print(", ".join(row))
    if options.json:
        options.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
