"""A first study to change into one's own."""

STARTER = """\
# A study of cmapjax. What it would cost:  cmapjax study plan FILE
# To run it:                                cmapjax study run FILE --out DIR
# Relative paths start at this file's folder.

name = "damping-and-degree"
seed = 7                  # of everything random; each market's own is recorded with it
markets = 100             # drawn per cell; strategies meet on the same ones
rounds = 100
# precision = "float32"   # "float64" unless said otherwise
# equilibrium = false     # solve no equilibrium: quicker, but without losses and shares of it
# where = ["degree < agents / 4", "schedule != 'sequential' or damping == 'none'"]
                          # conditions a cell must meet: + - * / %, comparisons, and, or, not

[record]
metrics = "standard"      # or names: ["log_nash_welfare", "certified_gap", "share_of_equilibrium"]
curves = "quantiles"      # over markets, to 1 %; "full" keeps every market, "none" the end alone
# every = 10              # rounds between two records; without it they are 1, 2, 3, 5, 8, 13, …

[cells]                   # what a cell is, in words (`cmapjax list` shows all); {x}: the value of axis x
network = "er:n={agents},degree={degree}"    # or "karate", "file:links.csv", "file:links.csv,agents=a.csv"
endowment = "lognormal:sigma={spread}"       # unit, uniform:low=0.5,high=1.5, pareto:alpha=2, ..., own
value = "unit"
isolated = "redraw"       # agents without a neighbour: reject, drop, or redraw the network
process = "constant"      # endowments of the rounds: exponential, gamma:cv=0.5, on-off:p=0.5, trace:FILE, ...
strategy = "cmap"         # cmap-gradient:iterations=20, pr, ..., or your own: my_rules.py:Generous:share=0.3
schedule = "simultaneous" # sequential, coloured, random-order, one-agent, participation:0.5
damping = "none"          # a number up to 1, 1/max-degree, local

[grid]                    # every combination of these is a cell; the last axis changes fastest
agents = [20, 50]
degree = [4, 8]
spread = [0.5, 1.0]

[[zip]]                   # axes that go together; an axis named like a field of [cells] sets that field
strategy = ["cmap", "cmap", "proportional-response"]
schedule = ["coloured", "simultaneous", "simultaneous"]
damping = ["none", "local", "none"]

# [sample]                # instead of a grid of numbers: points spread over ranges
# method = "sobol"        # or "latin-hypercube"
# number = 64
# spread = [0.1, 2.0]
# degree = { range = [3, 30], log = true, whole = true }

# [[list]]                # single cells besides; each gives every axis
# agents = 100
# degree = 6
# spread = 2.0
# strategy = "cmap"
# schedule = "sequential"
# damping = "none"

# [stop]
# when = ["converged"]    # a market ends at the first record with such a verdict
# interval = { metric = "share_of_equilibrium", width = 0.05, least = 100 }
                          # draw least markets at a time, at most `markets`, until means are known to this
                          # width (95 %, however often it is looked at: 4 / width markets at the very least)
"""


def starter() -> str:
    """The text of a commented study file, ready to run."""
    return STARTER
