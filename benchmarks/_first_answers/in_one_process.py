"""Seconds of first and further runs in one process, with nothing compiled before, as JSON."""

import json
import os
import time

os.environ["JAX_ENABLE_COMPILATION_CACHE"] = "false"

import networkx as nx

import cmapjax as cj


def main() -> None:
    """The first run, then one thing changed at a time, each for the first time."""
    karate = cj.graphs.from_networkx(nx.karate_club_graph())
    other = cj.graphs.from_networkx(nx.gnp_random_graph(100, 0.08, seed=1))
    damped = cj.Damped(cj.CMAP(), cj.LocalDamping())
    jobs = {
        "first": lambda: cj.simulate(karate, cj.CMAP()),
        "another strategy": lambda: cj.simulate(karate, cj.ProportionalResponse()),
        "another damping": lambda: cj.simulate(karate, damped),
        "another schedule": lambda: cj.simulate(karate, cj.CMAP(), schedule=cj.Sequential()),
        "another number of rounds": lambda: cj.simulate(karate, cj.CMAP(), rounds=31),
        "another network": lambda: cj.simulate(other, cj.CMAP()),
    }
    seconds = {}
    for name, job in jobs.items():
        began = time.perf_counter()
        job()
        seconds[name] = time.perf_counter() - began
    print(json.dumps(seconds))


main()
