"""Searches for the best way to appear as several agents."""

import itertools
from typing import NamedTuple

import numpy as np

from cmapjax.reproduce._incentives_variants import Network, received, splitting, truthful

# Shares that the first of two copies is tried with: even steps of the log odds, and near both ends.
LOG_ODDS = np.array([-9.0, -6, -4, -3, -2, -1, 0, 1, 2, 3, 4, 6, 9])
MOST_DIVISIONS = 12
# Steps of log odds and of log shares with which the best found so far is varied, round after round.
REFINEMENTS = (1.0, 0.4, 0.15)
TRIES = 8
SEARCH = (
    f"Two copies: every division of an agent's links in two (at most {MOST_DIVISIONS}, drawn at random, "
    f"where there are more), the first copy with a share of the endowment at {len(LOG_ODDS)} log odds from "
    f"{LOG_ODDS[0]:g} to {LOG_ODDS[-1]:g}. One copy per neighbour: {TRIES} shares drawn at random. Then "
    f"{TRIES} variations of the best in each of {len(REFINEMENTS)} rounds, ever smaller (normal, of "
    f"standard deviation {', '.join(f'{step:g}' for step in REFINEMENTS)} in the logarithms of the shares)."
)


class Split(NamedTuple):
    """A way to appear as several agents."""

    copy_of: np.ndarray
    """For each link of the agent, the copy that gets it."""
    log_share: np.ndarray
    """Logarithms of the copies' shares of the endowment, up to a constant."""

    @property
    def share(self) -> np.ndarray:
        shares = np.exp(self.log_share - self.log_share.max())
        return shares / shares.sum()


def best_splits(targets: list[tuple[Network, int]], seed: int) -> tuple[np.ndarray, list[Split]]:
    """The largest gain found for each (network, agent), in parts of what the truth gives, and its split."""
    rng = np.random.default_rng(seed)
    truth = received(truthful(*target) for target in targets)
    tried = [_first(network, agent, rng) for network, agent in targets]
    best, gain = [None] * len(targets), np.zeros(len(targets))
    for step in (*REFINEMENTS, None):
        pairs = [(target, s) for target, splits in zip(targets, tried, strict=True) for s in splits]
        got = received(splitting(*target, s.copy_of, s.share) for target, s in pairs)
        gains = np.split(got, np.cumsum([len(splits) for splits in tried])[:-1])
        for k, (found, splits) in enumerate(zip(gains, tried, strict=True)):
            top = int(np.argmax(found))
            if found[top] / truth[k] > gain[k]:
                gain[k], best[k] = found[top] / truth[k], splits[top]
        if step is not None:
            tried = [
                [
                    Split(s.copy_of, s.log_share + step * rng.normal(size=len(s.log_share)))
                    for _ in range(TRIES)
                ]
                for s in best
            ]
    return gain, best


def _first(network: Network, agent: int, rng) -> list[Split]:
    """What is tried before anything is known. An agent of one neighbour has nothing to divide."""
    degree = len(network.links_of(agent))
    if degree < 2:
        raise ValueError(f"agent {agent} has {degree} neighbours; give agents of two or more.")
    divisions = [np.array((0, *rest)) for rest in itertools.product((0, 1), repeat=degree - 1) if any(rest)]
    if len(divisions) > MOST_DIVISIONS:
        divisions = [divisions[k] for k in rng.choice(len(divisions), MOST_DIVISIONS, replace=False)]
    two = [Split(d, np.array([odds, 0.0])) for d in divisions for odds in LOG_ODDS]
    return two + [Split(np.arange(degree), np.log(rng.dirichlet(np.ones(degree)))) for _ in range(TRIES)]


class Ring(NamedTuple):
    """A ring whose first agent appears as two, one at either neighbour."""

    gain: float
    weight: np.ndarray
    share: float
    """Of the copy that keeps the link to the second agent."""


def best_ring(num_agents: int, seed: int, generations: int, children: int) -> Ring:
    """The largest gain found by evolution: contributions and the share are what varies.

    The ten best of a generation have children whose logarithms are normal around their own, with a standard
    deviation that shrinks from 2 to 0.02.
    """
    rng = np.random.default_rng((seed, num_agents))
    parents = np.zeros((0, num_agents + 1))
    gains = np.zeros(0)
    for step in np.geomspace(2, 0.02, generations):
        around = parents[rng.integers(len(parents), size=children)] if len(parents) else 0
        born = around + step * rng.normal(size=(children, num_agents + 1))
        # The exact solver takes any range; this keeps a share from rounding to 0 or 1.
        parents = np.concatenate([parents, np.clip(born, -12, 12)])
        gains = np.concatenate([gains, ring_gains(born.clip(-12, 12))])
        top = np.argsort(-gains, kind="stable")[:10]
        parents, gains = parents[top], gains[top]
    return Ring(float(gains[0]), np.exp(parents[0, :-1]), float(_shares(parents[:1])[0, 0]))


def ring_gains(genes: np.ndarray) -> np.ndarray:
    """Gains on rings with these log contributions; the last number of each is the log odds of the share."""
    n = genes.shape[1] - 1
    links = np.stack([np.arange(n), (np.arange(n) + 1) % n], axis=1)
    networks, two = [Network(links, weight) for weight in np.exp(genes[:, :-1])], np.array([0, 1])
    truth = received(truthful(network, 0) for network in networks)
    split = received(
        splitting(network, 0, two, share) for network, share in zip(networks, _shares(genes), strict=True)
    )
    return split / truth


def _shares(genes: np.ndarray) -> np.ndarray:
    """Both copies' shares; each from its own side, so that a tiny one keeps its digits."""
    odds = genes[:, -1]
    return np.stack([1 / (1 + np.exp(-odds)), 1 / (1 + np.exp(odds))], axis=1)
