"""What is played in part `disturbances`, and what it comes to."""

from typing import NamedTuple

import numpy as np

import cmapjax as cj
from cmapjax.arguments._origin import Origin
from cmapjax.market._market import assemble
from cmapjax.reproduce._disturbances_world import KINDS, Habits, Network, network_of, played
from cmapjax.reproduce._grid import CONTRIBUTIONS, drawn, families

AGENTS = 48
AWAY = 0.1  # share of the agents that is away at any time, under churn
CMAP, PROPORTIONAL, EQUAL, SELFISH = KINDS
# A run counts as arrived when this much log Nash welfare is missing at most, or as closing in when what is
# missing has fallen by at least a third over the second half of it.
ARRIVED = 1e-6


class Play(NamedTuple):
    """A run under one disturbance."""

    group: str
    who: str
    level: float
    """How strong the disturbance is."""
    updates: float
    """Times an agent has acted per round played, on average."""
    loss: np.ndarray
    """[rounds + 1, markets] log Nash welfare missing."""
    gains: np.ndarray
    """[markets] what the minority received over the second half, of its equilibrium's; NaN without one."""

    @property
    def arrives(self) -> np.ndarray:
        """Of each market, whether it has arrived or is closing in."""
        last, halfway = self.loss[-1], self.loss[len(self.loss) // 2]
        return (last <= ARRIVED) | (last <= 2 / 3 * halfway)

    def rounds_to(self, share: float) -> np.ndarray:
        """First round of each market at which this share of the equilibrium's Nash welfare is reached."""
        reached = self.loss <= -np.log(share)
        return np.where(reached.any(axis=0), reached.argmax(axis=0), np.inf)


class World:
    """The markets, their equilibria, and how to play them."""

    def __init__(self, seed: int, number: int):
        plan = [(name, f, w) for w in ("uniform", "lognormal") for name, f in families(AGENTS, 6).items()]
        self.kinds = [(name, w) for name, _, w in plan for _ in range(number)]
        parts = [drawn(f, CONTRIBUTIONS[w], seed, k, number) for k, (_, f, w) in enumerate(plan)]
        self.market: cj.Market = cj.pack(parts)
        self.network: Network = network_of(self.market)
        self.best = np.asarray(cj.solve(self.market).utility)
        self.seed = seed
        self.place = np.asarray(self.market.market_of)
        self.first = np.flatnonzero(np.diff(self.place, prepend=-1))
        self.size = np.diff(np.append(self.first, len(self.place)))
        # One number per agent decides who belongs to a minority: larger minorities contain smaller ones.
        self.lot = np.random.default_rng((seed, 1)).uniform(size=len(self.place))

    def habits(self, who: str, minority: str = "", share: float = 0.0, step: float = 1.0, **news) -> Habits:
        """Everybody follows one strategy, CMAP locally damped, but for a minority."""
        is_other = self.lot < share
        kind = np.where(is_other, KINDS.index(minority or who), KINDS.index(who))
        is_local = kind == KINDS.index(CMAP)
        return Habits(kind, np.where(is_local, step, 1.0), is_local, **news)

    def everyone(self, rounds: int) -> np.ndarray:
        return np.ones((rounds, len(self.place)), bool)

    def some(self, rounds: int, probability: float) -> np.ndarray:
        """Each agent acts in each round with this probability."""
        return np.random.default_rng((self.seed, 2)).uniform(size=(rounds, len(self.place))) < probability

    def one_by_one(self, rounds: int, *, is_order: bool) -> np.ndarray:
        """One agent of each market per turn: in a fresh order every round, or whoever comes up."""
        rng = np.random.default_rng((self.seed, 3))
        turns = self.size.max()
        acts = np.zeros((rounds * turns, len(self.place)), bool)
        for first, size in zip(self.first, self.size, strict=True):
            draws = [
                rng.permutation(size) if is_order else rng.integers(size, size=size) for _ in range(rounds)
            ]
            for k, seat in enumerate(draws):
                acts[k * turns + np.arange(size), first + seat] = True
        return acts

    def play(
        self, group: str, who: str, level: float, habits: Habits, acts: np.ndarray, every: int = 1
    ) -> Play:
        """A run; `every` turns count as a round."""
        received = played(self.network, habits, acts, seed=self.seed)
        belongs = self.lot < (level if group == "minority" else 0)
        # Where somebody is selfish a market need not come to rest.
        lately = received[len(received) // 2 :].mean(axis=0)
        mine, due = (np.add.reduceat(np.where(belongs, x, 0), self.first) for x in (lately, self.best))
        gains = np.where(due > 0, mine / np.where(due > 0, due, 1), np.nan)
        return Play(group, who, level, acts.mean() * every, self.loss(received[::every], self.best), gains)

    def loss(self, received: np.ndarray, best: np.ndarray) -> np.ndarray:
        """Log Nash welfare missing, of each market, after each round; NaN in `best` leaves an agent out."""
        weight = np.where(np.isnan(best), 0, self.network.weight)
        with np.errstate(divide="ignore", invalid="ignore"):
            terms = np.where(weight > 0, weight * np.log(best / received), 0)
        total = np.add.reduceat(np.broadcast_to(weight, terms.shape), self.first, axis=1)
        return np.add.reduceat(terms, self.first, axis=1) / total

    # -- churn -------------------------------------------------------------------------------------

    def presence(self, rounds: int, period: int) -> np.ndarray:
        """[rounds, agents] who is there: every `period` rounds one of each market leaves, one returns."""
        rng = np.random.default_rng((self.seed, 4))
        here = np.ones(len(self.place), bool)
        for first, size in zip(self.first, self.size, strict=True):
            here[first + rng.choice(size, round(AWAY * size), replace=False)] = False
        out = np.empty((rounds, len(here)), bool)
        for t in range(rounds):
            if t and t % period == 0:
                here = here.copy()
                for first, size in zip(self.first, self.size, strict=True):
                    own = first + np.arange(size)
                    leaves, comes = rng.choice(own[here[own]]), rng.choice(own[~here[own]])
                    here[leaves], here[comes] = False, True
            out[t] = here
        return out

    def best_of(self, presence: np.ndarray, period: int) -> np.ndarray:
        """[rounds, agents] equilibrium utilities of whoever is there and has a neighbour there, else NaN."""
        giver, receiver = self.market.arcs()
        once = giver < receiver
        links, markets = np.stack([giver[once], receiver[once]], axis=1), len(self.first)
        parts, agents = [], []
        for number, here in enumerate(presence[::period]):
            there = links[here[links].all(axis=1)]
            left = np.unique(there)
            parts.append((np.searchsorted(left, there), self.place[left] + number * markets))
            agents.append(left)
        size = np.array([len(left) for left in agents])
        offset = np.cumsum(size) - size
        # A market may for a while have no link at all; markets are numbered by those that have.
        market_of = np.unique(np.concatenate([part[1] for part in parts]), return_inverse=True)[1]
        joined = np.concatenate([part[0] + start for part, start in zip(parts, offset, strict=True)])
        weight = self.network.weight[np.concatenate(agents)]
        numbers = np.arange(market_of.max() + 1, dtype=np.uint32)
        found = cj.solve(assemble(joined, weight, np.ones(len(weight)), market_of, numbers, Origin()))
        best = np.full((len(agents), len(self.place)), np.nan)
        for row, left, start in zip(best, agents, offset, strict=True):
            row[left] = np.asarray(found.utility)[start : start + len(left)]
        return np.repeat(best, period, axis=0)[: len(presence)]


class Churn(NamedTuple):
    """A run in which agents come and go."""

    who: str
    period: int
    loss: np.ndarray
    """[rounds, markets] log Nash welfare missing, of the equilibrium of those who are there."""
    from_start: np.ndarray
    """[markets] rounds to 98 % from the equal split of all at the start; infinite if never."""

    def tracking(self, after: int) -> np.ndarray:
        """Of each market, the mean share of the equilibrium's Nash welfare missing from a round on."""
        return 1 - np.exp(-self.loss[after:]).mean(axis=0)

    def recovery(self, share: float) -> np.ndarray:
        """Rounds until this share is reached again, after each change in each market."""
        epochs = len(self.loss) // self.period
        reached = self.loss[: epochs * self.period].reshape(epochs, self.period, -1)[1:] <= -np.log(share)
        rounds = np.where(reached.any(axis=1), 1 + reached.argmax(axis=1), np.inf)
        return rounds.ravel()


def churned(world: World, who: str, period: int, presence: np.ndarray, best: np.ndarray) -> Churn:
    """Everybody acts in every round, while agents come and go."""
    received = played(world.network, world.habits(who), world.everyone(len(presence)), presence)
    loss = world.loss(received[1:], best)
    reached = loss[:period] <= -np.log(0.98)
    start = np.where(reached.any(axis=0), 1 + reached.argmax(axis=0), np.inf)
    return Churn(who, period, loss, start)
