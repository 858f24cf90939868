"""Claim: ten million agents, from nothing to results, in the wall time of one call after another.

Command: python -m benchmarks --only whole_runs; on a GPU: scripts/bench --device gpu --only whole_runs
Typical outcome: the table in docs/benchmarks.md, which that command writes.

The protocol of published figures for agent-based simulators: whole wall time with construction, set-up,
rounds and results in it, ten runs, all samples kept. Before anything is timed a round is played here and on
the CPU, and no time is given unless they agree. The first run compiles, and is listed by itself.
"""

import dataclasses
import statistics
import time
from collections.abc import Callable

import jax
import numpy as np

import cmapjax as cj
from benchmarks._networks import ensemble
from benchmarks._race import duration, machine

RUNS, RUNS_ON_CPU = 10, 2
PATIENCE = 90.0  # seconds for a job on a device; runs not begun by then are left out
TOLERANCE = 1e-4  # of one round of CMAP in float32, in parts of the largest utility
THETA = 0.2


@dataclasses.dataclass(frozen=True)
class WholeRun:
    """What is done from nothing."""

    name: str
    construct: Callable[[], cj.Market]
    rounds: int


class Disagreement(Exception):
    """A device gives another result than the CPU, so that none of its times counts."""


def results(quick: bool, device: jax.Device | None = None) -> dict:
    """All jobs on a device, by default JAX's own, and on the CPU beside it."""
    cpu, about = jax.devices("cpu")[0], machine()
    device = device or jax.devices()[0]
    runs = []
    for job in jobs(quick):
        error = checked(job, device, cpu)
        runs.append(timed(job, device, 2 if quick else RUNS if device != cpu else RUNS_ON_CPU))
        runs[-1]["error"] = error
        if device != cpu:
            runs.append(timed(job, cpu, RUNS_ON_CPU))
    return {
        "claim": f"From nothing to results, everything included: CMAP damped by {THETA:g} in float32.",
        "machine": about | {"device": device.device_kind},
        "runs": runs,
        "tables": [_table(runs)],
        "notes": [
            "Wall time of construction (the network is drawn and the market built), play (set-up, rounds and "
            "the last state) and results (welfare and the least ratio), by which every run begins anew. "
            "Median and range of the runs after the first, which compiles."
        ],
    }


def jobs(quick: bool) -> list[WholeRun]:
    """One giant network, and an ensemble."""
    agents, markets, size = (2_000, 20, 20) if quick else (10_000_000, 100_000, 100)
    rounds = (5, 5) if quick else (50, 200)
    return [
        WholeRun(f"{agents:,} agents × {rounds[0]} rounds", lambda: _network(agents), rounds[0]),
        WholeRun(
            f"{markets:,} markets × {size} agents × {rounds[1]} rounds",
            lambda: ensemble(markets, size),
            rounds[1],
        ),
    ]


def _network(num_agents: int) -> cj.Market:
    """A ring and as many chords: mean degree 4, nobody alone."""
    rng = np.random.default_rng(0)
    agents = np.arange(num_agents, dtype=np.int32)
    ring = np.stack([agents, np.roll(agents, 1)], axis=1)
    chords = rng.integers(0, num_agents, (num_agents, 2), dtype=np.int32)
    links = np.concatenate([ring, chords])
    return cj.Market.from_links(
        links, num_agents=num_agents, endowment=rng.lognormal(size=num_agents), drop_self_loops=True
    )


def checked(job: WholeRun, device: jax.Device, cpu: jax.Device) -> float:
    """By how much one round on the device differs from the CPU's, in parts of the largest utility.

    Raises:
        Disagreement: by more than rounding explains.
    """
    found = []
    for place in (device, cpu):
        with jax.default_device(place):
            found.append(played(job.construct(), 1))
    here, there = found
    error = float(np.abs(here - there).max() / there.max())
    if not error <= TOLERANCE:
        raise Disagreement(
            f"{job.name}: a round on {device.device_kind} differs by {error:.1e} from the CPU's."
        )
    return error


def played(market: cj.Market, rounds: int) -> np.ndarray:
    """What everybody has in the end."""
    strategy = cj.Damped(cj.CMAP(), THETA)
    return cj.simulate(market, strategy, rounds=rounds, record={}, precision="float32").final.utility


def timed(job: WholeRun, device: jax.Device, runs: int) -> dict:
    """So many runs, or as many as are begun in time: seconds by stage."""
    samples, began = [], time.perf_counter()
    with jax.default_device(device):
        while len(samples) < 1 + runs and time.perf_counter() - began < PATIENCE:
            times = [time.perf_counter()]
            market = job.construct()
            times.append(time.perf_counter())
            utility = played(market, job.rounds)
            times.append(time.perf_counter())
            ratio = utility / market.contribution
            outcome = {
                "log_welfare": float(market.contribution @ np.log(ratio)),
                "least_ratio": float(ratio.min()),
            }
            times.append(time.perf_counter())
            stages = zip(("construction", "play", "results"), np.diff(times).tolist(), strict=True)
            samples.append(dict(stages) | {"in_all": times[-1] - times[0], "outcome": outcome})
    found = {"job": job.name, "device": device.device_kind, "first": samples[0], "samples": samples[1:]}
    print(f"{found['job']}, {found['device']}: {_spread(found['samples'], 'in_all')}", flush=True)
    return found


def _table(runs: list[dict]) -> dict:
    head = ["job", "device", "runs", "in all", "construction", "play", "results", "first run, in all"]
    rows = [
        [
            run["job"],
            run["device"],
            len(run["samples"]),
            *(_spread(run["samples"], stage) for stage in ("in_all", "construction", "play", "results")),
            duration(run["first"]["in_all"]),
        ]
        for run in runs
    ]
    return {"head": head, "rows": rows}


def _spread(samples: list[dict], stage: str) -> str:
    seconds = [sample[stage] for sample in samples]
    if not seconds:
        return "–"
    low, high = duration(min(seconds)), duration(max(seconds))
    return f"{duration(statistics.median(seconds))} ({low} – {high})"
