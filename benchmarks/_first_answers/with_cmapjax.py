"""Proportional response by cmapjax: python with_cmapjax.py LINKS ROUNDS FOLDER|off."""

import sys

import cmapjax as cj

path, rounds, folder = sys.argv[1:]
cj.compilation_cache(folder)
market = cj.graphs.read_market(path)
run = cj.simulate(market, cj.ProportionalResponse(), rounds=int(rounds))
for agent, utility in sorted(zip(market.labels, run.final.utility, strict=True))[:10]:
    print(f"{agent:8} {utility:12.9f}")
