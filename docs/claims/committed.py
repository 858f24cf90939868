"""Where a market rests when one agent gives as it likes and the others follow CMAP."""

import numpy as np

import cmapjax as cj

GOLDEN = (1 + 5**0.5) / 2


def rest(links, weight, agent: int, row, exact: bool = False):
    """What everybody receives at last when `agent` commits to a row, the others following CMAP or entropic CMAP.

    To the others the row is something that its receivers have already: own use, in a market in which the agent gives
    nothing. So the rest is that market's equilibrium, which is unique.

    Args:
        links: pairs of agents.
        weight: contributions.
        agent: the one that commits.
        row: what it gives to every agent.
        exact: in fractions.
    """
    market = cj.Market.from_links(
        links,
        endowment=np.where(np.arange(len(weight)) == agent, 0, weight),
        priority=weight,
        own_use=np.asarray(row, float),
    )
    found = cj.solve(market, exact=exact)
    return found.exact.utility if exact else found.utility


def bound(ratio):
    """The most that a committed row multiplies receipts by, of an agent of this ratio at the equilibrium."""
    ratio = np.asarray(ratio, float)
    return np.where(ratio >= 1 - 1e-12, (1 + np.sqrt(1 + 4 / ratio)) / 2, 1.0)


def triangle(ratio: float) -> tuple[list, np.ndarray, np.ndarray]:
    """Links, contributions and the row of agent 0 that reach the bound: it gives all to agent 1, its rival."""
    gain = float(bound(ratio))
    return [[0, 1], [1, 2], [0, 2]], np.array([1, gain - 1, ratio * gain]), np.array([0, 1.0, 0])
