"""On an accelerator: does it give the CPU's results, how fast, and what share of its memory's speed is that?

`python -m benchmarks --device gpu`. Needs only what cmapjax itself needs: the rivals are the same program on
the CPU, and a copy of as many bytes as the job must stream.
"""

import dataclasses
import time
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np

import cmapjax as cj
from benchmarks import cmap_rounds, ensembles, proportional_response, water_filling
from benchmarks._networks import ensemble, erdos_renyi, power_law, rows_of
from benchmarks._race import Job, Rival, machine, quantity, race

PATIENCE = 420.0  # seconds; what is not done by then is left out, and named
REPEATS = 5
COPY_BYTES = 1 << 30
QUICK_COPY_BYTES = 1 << 26
TOLERANCE = {"float64": 1e-12, "float32": 1e-5}  # a few hundred roundings of either


def results(quick: bool, device: jax.Device) -> dict:
    """The agreement with the CPU, and our side of the races."""
    began = time.monotonic()
    about = machine() | {"device": device.device_kind}
    with jax.default_device(device):
        rows = list(agreement(quick))
        done, left = [], []
        for job in _jobs(quick):
            if time.monotonic() - began > PATIENCE:
                left.append(f"{job.name}, {job.size}")
                continue
            done.append(race(_own_side(job, device, quick), REPEATS))
    differing = [row for row in rows if not row["agrees"]]
    return {
        "claim": f"cmapjax on {device.device_kind}: the CPU's results, and how fast.",
        "machine": about,
        "agreement": rows,
        "agrees": not differing and all(r.get("agrees", True) for job in done for r in job["rivals"]),
        "jobs": done,
        "tables": [_summary(done)],
        "notes": _notes(rows, differing, left),
    }


def _summary(jobs: list[dict]) -> dict:
    """Rate, speed against the CPU, and share of the copy's speed, a row per job."""
    rows = []
    for job in jobs:
        cpu, *copy = (rival["ratio"]["median"] for rival in job["rivals"])
        rate = job.get("rate")
        rows.append(
            [
                f"{job['job']}, {job['size']}",
                "–" if rate is None else f"{quantity(rate['per_second'])} {rate['noun']}/s",
                "–" if cpu is None else f"{1 / cpu:.3g} ×",
                f"{100 / copy[0]:.2g} %" if copy and copy[0] else "–",
            ]
        )
    return {"head": ["job", "rate", "times the CPU's speed", "share of a copy's speed"], "rows": rows}


def _notes(rows: list[dict], differing: list[dict], left: list[str]) -> list[str]:
    worst = {p: max((r["error"] for r in rows if r["precision"] == p), default=0.0) for p in TOLERANCE}
    words = ", ".join(f"{error:.1e} in {precision}" for precision, error in worst.items())
    notes = [
        f"Agreement with the CPU after one round, {len(rows)} pairs of strategy and schedule: utilities "
        f"differ by at most {words} (in parts of the largest)."
    ]
    if differing:
        names = "; ".join(
            f"{r['strategy']} {r['schedule']} {r['precision']}: {r['error']:.1e}" for r in differing
        )
        notes.append(f"DIFFERING by more than rounding explains: {names}.")
    if left:
        notes.append(f"Left out, for time: {'; '.join(left)}.")
    return notes


def agreement(quick: bool) -> Iterator[dict]:
    """One round of every pair of strategy and schedule here and on the CPU; later rounds of an oscillating
    market amplify rounding."""
    market = ensemble(10 if quick else 100)
    strategies = [cj.CMAP(), cj.ProportionalResponse(), cj.GradientCMAP(), cj.Damped(cj.CMAP(), 0.2)]
    schedules = [cj.Simultaneous(), cj.Sequential(), cj.Coloured(), cj.RandomOrder()]
    for precision, tolerance in TOLERANCE.items():
        for strategy in strategies[:2] if quick else strategies:
            for schedule in schedules[:2] if quick else schedules:
                options = {"schedule": schedule, "rounds": 1, "record": {}, "precision": precision}
                here = cj.simulate(market, strategy, key=jax.random.key(2), **options)
                with jax.default_device(jax.devices("cpu")[0]):
                    cpu = cj.simulate(market, strategy, key=jax.random.key(2), **options)
                error = np.abs(here.final.utility - cpu.final.utility).max() / cpu.final.utility.max()
                row = {
                    "strategy": type(strategy).__name__,
                    "schedule": type(schedule).__name__,
                    "precision": precision,
                    "error": float(error) if np.isfinite(error) else 1.0,
                    "agrees": bool(error <= tolerance),
                }
                print(" ".join(str(x) for x in row.values()), flush=True)
                yield row


def _jobs(quick: bool) -> Iterator[Job]:
    """Our side of the races that tell most, largest markets first."""
    market = erdos_renyi(3_000 if quick else 1_000_000)
    rows, size = rows_of(market), f"random, {market.num_agents:,} agents"
    play = proportional_response.job
    yield play("from an equal split", market, size, rows, ())
    yield cmap_rounds.job(market, f"{size}, {rows.num_arcs:,} arcs", rows, cmap_rounds.THETA)
    if quick:
        return
    start = proportional_response.uneven(rows)
    yield play("from another start", market, size, rows, (), start=start)
    yield play("damped", market, size, rows, (), theta=proportional_response.THETA)
    for num_markets in (1_000, 10_000):
        packed = ensemble(num_markets)
        rows = rows_of(packed)
        yield ensembles.proportional_response(packed, rows)
        yield ensembles.damped_cmap(packed, rows)
    for width in water_filling.TARGETS:
        yield water_filling.job(width, water_filling.ENTRIES // width)
    market = power_law(100_000)
    size = f"power law, largest degree {market.degree.max():,}, {market.num_agents:,} agents"
    yield play("from an equal split", market, size, rows_of(market), ())


def _own_side(job: Job, device: jax.Device, quick: bool) -> Job:
    """The job against the CPU and the floor."""
    rivals = [dataclasses.replace(job.ours, name="cmapjax on the CPU", ready=_on_cpu(job.ours))]
    if job.streamed is not None:
        rivals.append(_copy(job, quick))
    ours = dataclasses.replace(job.ours, name=f"cmapjax on {device.device_kind}")
    return dataclasses.replace(job, ours=ours, rivals=tuple(rivals), accept_seconds=None)


def _on_cpu(rival: Rival):
    cpu = jax.devices("cpu")[0]

    def ready():
        with jax.default_device(cpu):
            play = rival.ready()

        def play_there(rounds):
            with jax.default_device(cpu):
                return play(rounds)

        return play_there

    return ready


def _copy(job: Job, quick: bool) -> Rival:
    """The time that the bytes of a round take at the speed of a large copy on the device."""
    total = QUICK_COPY_BYTES if quick else COPY_BYTES  # half of it read, half written
    run = jax.jit(lambda x: x + 1)

    def ready():
        x = jnp.zeros(total // 8, jnp.float32)

        def play(rounds):
            y = x
            for _ in range(rounds):
                y = run(y)
            jax.block_until_ready(y)

        return play

    accept = None if job.copy_share is None else 1 / job.copy_share
    return Rival(
        "copying the bytes of a round",
        ready,
        accept,
        part=total / job.streamed,
        rounds=(1, 21),
        is_checked=False,
    )
