"""Markets of givers and receivers as dense tables, and the laws of their equilibrium in fractions."""

import dataclasses
from collections.abc import Sequence
from fractions import Fraction

import numpy as np

import cmapjax as cj

INF = np.inf


@dataclasses.dataclass
class Dense:
    """Givers with supplies s, receivers with priorities b, own use a and demands D; K[i][j] is a capacity."""

    s: Sequence
    K: Sequence
    b: Sequence | None = None
    a: Sequence | None = None
    D: Sequence | None = None

    def __post_init__(self):
        size = len(self.K[0])
        self.b = [1] * size if self.b is None else self.b
        self.a = [0] * size if self.a is None else self.a
        self.D = [INF] * size if self.D is None else self.D

    def counts(self, j: int) -> bool:
        reached = any(s > 0 and row[j] > 0 for s, row in zip(self.s, self.K, strict=True))
        return self.b[j] > 0 and self.D[j] > 0 and (self.a[j] > 0 or reached)

    @property
    def anybody_counts(self) -> bool:
        return any(map(self.counts, range(len(self.b))))

    def broken_laws(self, found: cj.Equilibrium) -> list[str]:
        """Which laws of the equilibrium the exact answer breaks; together they prove it."""
        n, exact = len(self.s), found.exact
        u, level = exact.utility[n:], exact.level[n:]
        y = {(i, j - n): x for i, j, x in zip(*as_market(self).arcs(), exact.flow, strict=True) if i < n}
        s, a, b = ([Fraction(x) for x in values] for values in (self.s, self.a, self.b))
        cells = [(i, j) for i in range(n) for j in range(len(b))]
        is_open = {(i, j): self.counts(j) and s[i] > 0 and y[i, j] < self.K[i][j] for i, j in cells}
        left = [s[i] - sum(y[i, j] for j in range(len(b))) for i in range(n)]
        laws = {
            "flows are feasible": all(0 <= y[i, j] <= self.K[i][j] for i, j in cells) and min(left) >= 0,
            "utility is what arrives": all(
                u[j] == a[j] + sum(y[i, j] for i in range(n)) <= self.D[j] for j in range(len(b))
            ),
            "givers serve the poorest": all(
                level[j] <= level[k] for i, j in cells if y[i, j] > 0 for k in range(len(b)) if is_open[i, k]
            ),
            "who keeps has nobody to serve": all(
                level[j] == INF for i, j in cells if left[i] > 0 and is_open[i, j]
            ),
            "levels are ratios": all(
                self._is_level(j, u[j], level[j]) for j in range(len(b)) if self.counts(j)
            ),
        }
        return [law for law, holds in laws.items() if not holds]

    def _is_level(self, j: int, u: Fraction, level) -> bool:
        if level == INF:
            return u == self.D[j]
        ratio = u / Fraction(self.b[j])
        return level == ratio or (u == self.D[j] and level >= ratio) or (u == self.a[j] and level <= ratio)


def as_market(dense: Dense) -> cj.Market:
    """Givers first, then receivers, every pair linked one way."""
    n, size = len(dense.s), len(dense.b)
    return cj.Market.from_links(
        [[i, n + j] for i in range(n) for j in range(size)],
        directed=True,
        endowment=[*dense.s, *[0] * size],
        capacity=[k for row in dense.K for k in row],
        priority=[*[0] * n, *dense.b],
        own_use=[*[0] * n, *dense.a],
        demand=[*[INF] * n, *dense.D],
    )


def random_dense(random: np.random.Generator, kind: str) -> Dense:
    """A small market of any kind; halves and thirds of whole numbers tie often, floats far apart are long."""

    def number() -> float:
        if kind == "small fractions":
            return float(random.integers(0, 7)) / float(random.choice([1, 2, 4]))
        return float(random.lognormal(0, 3))

    n, size = random.integers(1, 6), random.integers(1, 7)

    def capacity() -> float:
        kind = random.choice(3)
        return (0.0, INF, number())[kind]

    a = [0.0 if random.random() < 0.7 else number() for _ in range(size)]
    return Dense(
        s=[number() for _ in range(n)],
        K=[[capacity() for _ in range(size)] for _ in range(n)],
        b=[number() for _ in range(size)],
        a=a,
        D=[INF if random.random() < 0.5 else x + number() for x in a],
    )


def random_network(rng: np.random.Generator, *, losses: bool) -> cj.Market:
    """A small connected market with any of the fields, both ways or directed."""
    n = int(rng.integers(4, 11))
    pairs = {tuple(sorted((i, int(rng.integers(i))))) for i in range(1, n)}
    pairs |= {tuple(sorted(rng.choice(n, 2, replace=False).tolist())) for _ in range(n)}
    links, fields = np.array(sorted(pairs)), {"priority": np.ones(n)}
    if rng.random() < 0.3:
        both = links[rng.random(len(links)) < 0.4][:, ::-1]
        links, fields["directed"] = np.concatenate([links, both]), True
    own_use = rng.lognormal(-1, 1, n) * (rng.random(n) < 0.3)
    choices = {
        "priority": rng.lognormal(0, 0.7, n),
        "own_use": own_use,
        "demand": np.where(rng.random(n) < 0.6, own_use + rng.lognormal(-0.2, 1, n), INF),
        "capacity": np.where(rng.random(len(links)) < 0.5, rng.lognormal(-1, 1, len(links)), INF),
    }
    fields |= {name: x for name, x in choices.items() if rng.random() < 0.7}
    if losses:
        fields["efficiency"] = rng.uniform(0.3, 1, len(links))
    endowment = rng.lognormal(0, 1, n) * (rng.random(n) > 0.2)
    endowment[0] += 1
    return cj.Market.from_links(links, endowment=endowment, num_agents=n, **fields)
