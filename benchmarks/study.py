"""Claim: a study of 200 cells costs little more than the rounds that it plays.

Command: python -m benchmarks --only study
Typical outcome: the table in docs/benchmarks.md, which that command writes.

The study is run in this process as `cmapjax study run` does, with nothing compiled before. Then, with all
programs compiled, a chunk of every network is played again by itself, and the seconds in which its rounds are
simulated are what the engine alone needs for such a chunk.
"""

import gc
import tempfile
import time
import warnings
from pathlib import Path

import jax

import cmapjax as cj
from benchmarks._race import duration, machine
from cmapjax import studies
from cmapjax.studies.results import Results
from cmapjax.studies.run import run as run_study

# The share of the engine's own rate that a study is to reach.
ACCEPT = 0.8
STATUS = Path("/proc/self/status")


def description(quick: bool) -> cj.Study:
    """Two families by degree and spread of contributions, under four ways of sharing."""
    agents, markets, rounds = (20, 20, 20) if quick else (100, 500, 200)
    return cj.Study(
        name="two hundred cells",
        seed=11,
        markets=markets,
        rounds=rounds,
        precision="float32",
        record={"curves": "quantiles", "every": 10 if quick else 20},
        cells={
            "network": "{family},degree={degree}",
            "endowment": "lognormal:sigma={spread}",
            "isolated": "redraw",
        },
        grid={
            "family": [f"er:n={agents}", f"geometric:n={agents}"],
            "degree": [8] if quick else [6, 8, 10, 12, 14],
            "spread": [1.0] if quick else [0.2, 0.5, 1.0, 1.5, 2.0],
        },
        zip=[
            {
                "strategy": ["cmap", "cmap", "cmap", "proportional-response"],
                "schedule": ["simultaneous", "coloured", "simultaneous", "simultaneous"],
                "damping": ["none", "none", "local", "none"],
            }
        ],
    )


def results(quick: bool) -> dict:
    study, about = description(quick), machine()
    jax.clear_caches()
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # contributions span more than float32 keeps apart
        ran = run(study, Path(folder) / "results")
        engine = engine_alone(study)
    share = engine["seconds"] / ran["seconds"]
    rows = [
        ["study, from the command to results on disk", duration(ran["seconds"]), rate(study, ran["seconds"])],
        ["engine alone, programs compiled", duration(engine["seconds"]), rate(study, engine["seconds"])],
        ["throughput in parts of the engine's", f"{share:.0%}", "met" if share >= ACCEPT else "missed"],
    ]
    stages = [[f"of all threads: {name}", duration(s), ""] for name, s in ran["stages"].items() if s >= 0.05]
    memory = [
        [f"memory when {at:.0%} of markets were done", f"{size / 2**30:.2f} GiB", ""]
        for at, size in ran["memory"]
    ]
    size = f"{len(study.cells())} cells of {study.markets} markets, {study.rounds} rounds"
    return {
        "claim": f"A study of {size}: its throughput is at least {ACCEPT:.0%} of the engine's own.",
        "machine": about,
        "run": ran,
        "engine": engine,
        "share": share,
        "accept": ACCEPT,
        "aims": [
            {
                "job": size,
                "rival": "the engine alone",
                "aim": f"≥ {ACCEPT:.0%} of its rate",
                "measured": f"{share:.0%}",
                "is_met": share >= ACCEPT,
            }
        ],
        "tables": [{"head": ["", "", "market rounds / s"], "rows": rows + stages + memory}],
    }


def run(study, folder: Path) -> dict:
    """The study run to its end: seconds by the clock, of all threads by stage, and memory meanwhile."""
    memory: list[tuple[float, int]] = []

    def look(state) -> None:
        quarters = 4 * state.markets_done // state.markets
        if len(memory) < quarters < 4:
            memory.append((state.markets_done / state.markets, resident()))

    began = time.perf_counter()
    summary = run_study(study, folder, progress=look)
    seconds = time.perf_counter() - began
    if summary.failed or summary.missing:
        raise RuntimeError(f"the study is not complete: {summary}")
    memory.append((1.0, resident()))
    timings = Results(folder).runs[-1]["timings"]
    stages = {stage: spent for stage, spent in timings.items() if stage != "total"}
    return {"seconds": seconds, "stages": stages, "memory": memory, "chunks": summary.done}


def engine_alone(study) -> dict:
    """Seconds in which the rounds of all chunks would be simulated, from a chunk of every network."""
    chunks = studies.chunks(study)
    by_network: dict[str, list] = {}
    for chunk in chunks:
        by_network.setdefault(study.grounds()[chunk.ground].network, []).append(chunk)
    seconds, samples = 0.0, {}
    for network, own in by_network.items():
        gc.collect()
        studies.play_chunk(study, own[0])  # programs may have been forgotten to make room
        samples[network] = studies.play_chunk(study, own[0]).timings["simulating"]
        seconds += samples[network] / own[0].count * sum(chunk.count for chunk in own)
    return {"seconds": seconds, "samples": samples}


def rate(study, seconds: float) -> str:
    """Rounds of a market per second."""
    markets = sum(ground.markets * len(ground.cells) for ground in study.grounds())
    return f"{markets * study.rounds / seconds:,.0f}"


def resident() -> int:
    """Bytes of memory that this process has now; 0 where the system does not tell."""
    if not STATUS.exists():
        return 0
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith("VmRSS"))
    return 1024 * int(line.split()[1])
