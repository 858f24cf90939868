"""300 different networks of 20 to 120 agents in one process, 3 strategies for 100 rounds on each."""

import os

os.environ["JAX_ENABLE_COMPILATION_CACHE"] = "false"

import networkx as nx
import numpy as np

import cmapjax as cj

random = np.random.default_rng(0)
for seed in range(300):
    size = int(random.integers(20, 121))
    graph = nx.gnp_random_graph(size, 5 / size, seed=seed)
    graph.remove_nodes_from(list(nx.isolates(graph)))
    market = cj.graphs.from_networkx(graph)
    cj.solve(market)
    for strategy in (cj.CMAP(), cj.ProportionalResponse(), cj.Damped(cj.CMAP(), cj.LocalDamping())):
        cj.simulate(market, strategy, rounds=100)
