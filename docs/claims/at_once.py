"""What the pages on acting at once share: their markets, and CMAP with any participation and damping."""

import numpy as np
from claims import CONTRIBUTIONS, drawn, families, key, pick

import cmapjax as cj
from cmapjax import graphs, metrics

AGENTS, DEGREES = 100, (4, 6, 12, 16)  # mean degrees of Erdős-Rényi networks beside the 8 that families have
ROUNDS = pick(150, 400)
UNEQUAL = ("uniform", "lognormal")


def by_degree(degree: int) -> str:
    """What the Erdős-Rényi networks of this mean degree are called."""
    return "Erdős-Rényi" if degree == 8 else f"Erdős-Rényi, degree {degree}"


def markets() -> tuple[cj.Market, np.ndarray, np.ndarray]:
    """The markets, and of each its family and its contributions; the torus of equal agents starts at rest."""
    kinds = {name: (f, UNEQUAL if name == "torus" else CONTRIBUTIONS) for name, f in families(AGENTS).items()}
    kinds |= {by_degree(d): (graphs.ErdosRenyi(AGENTS, mean_degree=d), UNEQUAL) for d in DEGREES}
    each = [(name, word, family) for name, (family, words) in kinds.items() for word in words]
    number = pick(2, 15)
    market = cj.pack([drawn(family, word, 400 + k, number) for k, (_, word, family) in enumerate(each)])
    names, words = (np.repeat([row[k] for row in each], number) for k in (0, 1))
    return market, names, words


def largest_degree(market) -> np.ndarray:
    """Δ of every market."""
    return np.asarray(market.largest(np.asarray(market.degree, float)))


def record(market) -> dict:
    """The share of the equilibrium's Nash welfare, the least ratio, what two rounds moved, and Q = Σ u² / w over W."""
    best = cj.solve(market).utility
    worth = market.total(market.contribution)
    return {
        "share": metrics.standard(best)["share_of_equilibrium"],
        "least": metrics.standard()["min_ratio"],
        "two rounds": lambda m, s: m.total(abs(s.history[0] - s.history[2])) / (2 * worth),
        "quadratic": lambda m, s: m.total(s.utility**2 / m.contribution) / worth,
    }


def play(
    market, theta, recorded: dict, *, share: float = 1.0, schedule=None, stream: int = 0, rounds: int = ROUNDS
):
    """Agents take part with probability `share` and move θ of the way: one program for every θ and share."""
    thetas = np.broadcast_to(np.asarray(theta, float), market.num_agents).copy()
    schedule = cj.RandomParticipation(share) if schedule is None else schedule
    strategy = cj.PerAgent(cj.Damped(cj.CMAP(), cj.FixedDamping(thetas)))
    return cj.simulate(market, strategy, rounds=rounds, schedule=schedule, record=recorded, key=key(stream))
