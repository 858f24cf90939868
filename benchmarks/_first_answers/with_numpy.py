"""Proportional response in NumPy, as users write it: python with_numpy.py LINKS ROUNDS."""

import sys

import numpy as np

links = np.loadtxt(sys.argv[1], int, delimiter=",", skiprows=1)
giver, receiver = np.concatenate([links, links[:, ::-1]]).T
flow = 1 / np.bincount(giver)[giver]
for _ in range(int(sys.argv[2])):
    flow = np.roll(flow, len(links)) / np.bincount(receiver, flow)[giver]
for agent, utility in enumerate(np.bincount(receiver, flow)[:10]):
    print(f"{agent:8} {utility:12.9f}")
