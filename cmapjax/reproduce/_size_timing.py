"""How long rounds take, and how many are needed: one market, one strategy at a time."""

import os
import platform
import time
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np

import cmapjax as cj
from cmapjax.engine._records import recorded_rounds
from cmapjax.engine._run import Setup, State, observe, run_rounds

GAPS = (1e-4, 1e-6)
EVERY = 10  # rounds between two looks at the certificate
# Rounds of one timed call: as many as take a fraction of a second on one core, at most so many.
ARC_ROUNDS, MOST_ROUNDS = 20_000_000, 500
LEAST_CALLS = 5  # to time, though the gap may be small enough sooner
# After so many rounds the larger gap is given up. Counted in rounds, so that what else a machine is busy with
# does not change what is found.
MOST_SOUGHT = 2500


def clock(call: Callable):
    """What the call returns, and the seconds it took."""
    start = time.perf_counter()
    result = call()
    return result, time.perf_counter() - start


def rounds_of_call(market) -> int:
    """A multiple of `EVERY`."""
    return EVERY * int(np.clip(ARC_ROUNDS / (2 * market.num_links) / EVERY, 1, MOST_ROUNDS // EVERY))


class Rounds:
    """Rounds of one market under one strategy, a call of compiled code after another.

    As `simulate` plays them, less its checks and what it moves to and from the device in each call.
    """

    def __init__(self, market, strategy, schedule):
        self.number = rounds_of_call(market)
        gap = {"gap": cj.metrics.standard()["certified_gap"]}
        with jax.enable_x64(True):
            plan = schedule.plan(market, strategy.hops)
            flow, agents, markets = market.equal_flow(), market.num_agents, market.num_markets
            nothing = np.zeros((0, agents)), np.zeros(agents), np.zeros(markets, np.int64)
            start = State(np.zeros((), np.int64), flow, *nothing)
            self.market, self.plan, start = jax.device_put((market.bare(), plan, start))
            self.strategy, self.record = strategy, gap
            self.begin = observe(self.market, gap, start)
            self.now = self.begin
            self.play()
        self.now = self.begin

    def play(self) -> np.ndarray:
        """The certified gap every `EVERY` rounds, of the next ones."""
        state, seen = self.now
        with jax.enable_x64(True):
            parts = self.market, None, self.strategy, self.plan, cj.endowments.Constant(), self.record, None
            setup = Setup(*parts, is_steady=True, starts_even=False)
            played = tuple(recorded_rounds(self.number, EVERY).tolist())
            run = run_rounds(setup, state, seen, played=played, saves_memory=False)
            gap = np.asarray(jax.block_until_ready(run).records["gap"][:, 0])
            self.now = run.final, (run.agent_updates[-1], {"gap": run.records["gap"][-1]})
        return gap


def timed(market, strategy, schedule, seconds: float) -> dict:
    """Seconds per round, and rounds to the certified gaps of `GAPS`.

    Goes on until the larger gap, for `MOST_SOUGHT` rounds at most, and then until the smaller one, for about
    so many seconds in all at most.
    A round's share of looking at the certificate once in `EVERY` rounds is part of its time.
    """
    rounds, compiling = clock(lambda: Rounds(market, strategy, schedule))
    samples, gaps = [], []
    while len(samples) < LEAST_CALLS or _goes_on(
        gaps[-1][-1], len(samples) * rounds.number, sum(samples) < seconds
    ):
        gap, took = clock(rounds.play)
        samples.append(took)
        gaps.append(gap if not gaps else gap[1:])
    gap_of, per_round = np.concatenate(gaps), np.array(samples) / rounds.number
    row = {
        "seconds per round": float(np.median(per_round)),
        "fastest": float(per_round.min()),
        "slowest": float(per_round.max()),
        "calls": len(samples),
        "rounds per call": rounds.number,
        "seconds to plan and compile": compiling - samples[0],
        "gap reached": float(gap_of.min()),
    }
    for level in GAPS:
        reached = np.flatnonzero(gap_of <= level)
        needed = EVERY * float(reached[0]) if len(reached) else np.inf
        row |= {f"rounds to {level:g}": needed, f"seconds to {level:g}": needed * row["seconds per round"]}
    return row


def _goes_on(gap: float, played: int, has_time: bool) -> bool:
    return played < MOST_SOUGHT if gap > GAPS[0] else gap > GAPS[-1] and has_time


def solved(market, repeats: int) -> dict:
    """Seconds to solve for the equilibrium, the median of so many."""
    found, first = clock(lambda: cj.solve(market))
    samples = [first] + [clock(lambda: cj.solve(market))[1] for _ in range(repeats - 1)]
    return {
        "seconds to solve": float(np.median(samples)),
        "maximum flows": int(found.iterations),
        "gap of the solution": float(np.max(found.gap)),
    }


def load() -> float:
    """Processes that wanted a core, averaged over the last minute (NaN where the system does not say)."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")


def machine() -> str:
    """Processor, cores and device."""
    processor = platform.processor() or platform.machine()
    if Path("/proc/cpuinfo").exists():
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        processor = next((x.split(":")[1].strip() for x in lines if x.startswith("model name")), processor)
    return f"{processor}, {os.cpu_count()} cores, {platform.system()}, JAX on {jax.devices()[0].device_kind}"
