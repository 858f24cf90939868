"""Claim: a round of a large market costs a small fraction of what plain NumPy takes.

Command: python -m benchmarks.rounds [--agents 100000] [--degree 10] [--repeats 7]
Typical outcome (two busy cores, 100,000 agents, 1e6 arcs, float32): proportional response twice as fast as
NumPy's; CMAP's whole round, water-filling included, twice as slow as NumPy's proportional response.

Rivals alternate in one process; medians and ratios are printed, compile time apart.
"""

import argparse
import statistics
import time

import jax
import numpy as np

import cmapjax as cj

ROUNDS = 10


def numpy_proportional_response(giver, receiver, reverse, weight, flow, rounds):
    """What users write: y_ij ← w_i y_ji / u_i with `bincount`."""
    for _ in range(rounds):
        received = flow[reverse]
        utility = np.bincount(giver, received, minlength=len(weight)).astype(flow.dtype)
        flow = weight[giver] * received / utility[giver]
    return flow


def timed(function) -> float:
    began = time.perf_counter()
    function()
    return time.perf_counter() - began


def main() -> None:
    """Print one line per rival."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--agents", type=int, default=100_000)
    parser.add_argument("--degree", type=float, default=10.0)
    parser.add_argument("--repeats", type=int, default=7)
    options = parser.parse_args()
    family = cj.graphs.ErdosRenyi(options.agents, mean_degree=options.degree)
    market = cj.graphs.RandomMarket(family, isolated=cj.graphs.Drop()).draw(jax.random.key(0))
    giver, receiver = market.arcs()
    # Arcs are ordered by giver, then receiver: reversed arcs in that order are each arc's other end.
    reverse = np.lexsort((giver, receiver))
    weight = np.ones(market.num_agents, np.float32)
    start = market.arc_values(market.equal_flow()).astype(np.float32)

    def ours(strategy, rounds):
        return lambda: cj.simulate(market, strategy, rounds=rounds, record={}, precision="float32")

    strategies = {"proportional response": cj.ProportionalResponse(), "CMAP": cj.CMAP()}
    rivals = {
        "NumPy proportional response": lambda: numpy_proportional_response(
            giver, receiver, reverse, weight, start, ROUNDS
        )
    }
    # A call with few rounds has the same fixed cost (transfer, start, verdict): the difference is rounds.
    for name, strategy in strategies.items():
        for rounds in (1, 1 + ROUNDS):
            rivals[f"{name}, {rounds} rounds"] = ours(strategy, rounds)
    compile_seconds = {name: timed(run) for name, run in rivals.items()}
    seconds = {name: [] for name in rivals}
    for _ in range(options.repeats):
        for name, run in rivals.items():
            seconds[name].append(timed(run))
    median = {name: statistics.median(times) for name, times in seconds.items()}
    base = median["NumPy proportional response"] / ROUNDS
    print(f"{market.num_agents} agents, {len(giver)} arcs, {jax.devices()[0].device_kind}")
    print(f"NumPy proportional response: {1e3 * base:.2f} ms a round")
    for name in strategies:
        ran = (median[f"{name}, {1 + ROUNDS} rounds"] - median[f"{name}, 1 rounds"]) / ROUNDS
        first = compile_seconds[f"{name}, {1 + ROUNDS} rounds"]
        print(
            f"cmapjax {name}: {1e3 * ran:.2f} ms a round, {base / ran:.1f} times as fast as NumPy's "
            f"proportional response (first call, compiling, {first:.1f} s)"
        )


if __name__ == "__main__":
    main()
