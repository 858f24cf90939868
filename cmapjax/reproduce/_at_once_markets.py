"""Markets of the common grid side by side, and what becomes of them when some or all agents act at once.

What can be proved of steps θ_p that givers take at once, and is measured by the parts that use this module.
Let d_p be the answer of p less its last row, and Σ over p ∈ N_j run over the givers of a receiver j.

1. *Σ_p θ_p ≤ 1 at every receiver: Nash welfare never falls.* New utilities are weighted means of those
   that single moves would give, and the logarithm is concave (docs/model.md).
2. *Σ_p θ_p < 2 at every receiver: the market comes to its equilibrium.* CMAP's answer, which fills the
   poorest to a common level, also minimises Q = Σ_j u_j² / 2w_j over the agent's row, so that
   Σ_j r_j d_pj ≤ −Σ_j d_pj² / w_j (optimality of a quadratic of curvature one). Hence, by the
   Cauchy-Schwarz inequality at every receiver, Q(y + θd) ≤ Q(y) − Σ_pj (θ_p − ½ θ_p Σ_k θ_k) d_pj² / w_j:
   Q falls until no answer differs from the row. At such a point all r_j with y_pj > 0 equal the least of
   p's receivers, which is optimality for Φ and for Q alike. One θ for all may be anything below 2/Δ; on
   K_{m,2} the market swings for ever at 2/m = 2/Δ, so nothing larger is safe.
3. *Everybody with probability p each round: Q falls in expectation if p (Δ − 1) < 1.* As above, with
   E(Σ_k s_k d_kj)² ≤ (p² deg(j) + p (1 − p)) Σ_k d_kj² for independent coins s.
4. *Everybody, undamped: at rest or swinging with period 2 in the end; never anything else.* Write
   F(y, z) = Σ_j (½ Σ_p (y_pj² + z_pj²) + Σ_{p≠k} y_pj z_kj) / w_j, which is symmetric. The round is
   y(t+1) = argmin_x F(x, y(t)), so F(y(t+1), y(t)) ≤ F(y(t−1), y(t)) − ½ Σ (y(t+1) − y(t−1))² / w. F is
   bounded, the squares have a finite sum, and y(t+1) − y(t−1) → 0. (The energy of symmetric networks of
   threshold elements, Goles and Olivos 1980, carried over.)

Near the equilibrium, while nobody's set of receivers changes, ratios move by r ← r − θ M r with
(M r)_j = Σ_{p gives to j} (r_j − mean of r over p's receivers, weighted by contribution). `stiffness` is the
largest eigenvalue of M over all links that the equilibrium may use: steps below 2/stiffness are stable there.
On K_{m,2} it is m, the number of givers, so it counts *active contributors*: at most `active`, the largest
number of givers of a receiver who have another receiver to turn to.
"""

from typing import NamedTuple

import numpy as np
from jax.tree_util import Partial
from jaxtyping import Float

from cmapjax import metrics
from cmapjax.engine._run import Run
from cmapjax.engine._simulate import simulate
from cmapjax.equilibrium._equilibrium import Equilibrium
from cmapjax.equilibrium._solve import solve
from cmapjax.graphs import Distribution, ErdosRenyi, Family
from cmapjax.market._market import Market
from cmapjax.market._packing import pack
from cmapjax.market._random import key_of
from cmapjax.reproduce._grid import CONTRIBUTIONS, drawn, families
from cmapjax.reproduce._part import Setting
from cmapjax.schedules._schedule import RandomParticipation, Schedule
from cmapjax.strategies import CMAP, Damped, FixedDamping, PerAgent

AGENTS = 100
DEGREES = (4, 6, 12, 16)
"""Mean degrees of Erdős-Rényi networks, beside the 8 that the families have."""


class Ensemble(NamedTuple):
    """Markets of several kinds side by side, with their equilibria."""

    market: Market
    equilibrium: Equilibrium
    kind: np.ndarray
    """Of every market, the name of the family it was drawn from."""
    contribution: np.ndarray
    """Of every market, the name of the distribution of contributions."""

    def of(self, per_agent: Float[np.ndarray, "agents"], combine) -> Float[np.ndarray, "markets"]:
        """`combine` (such as np.maximum) over the agents of every market."""
        out = np.full(self.market.num_markets, -np.inf if combine is np.maximum else np.inf)
        combine.at(out, np.asarray(self.market.market_of), per_agent)
        return out

    @property
    def largest_degree(self) -> np.ndarray:
        """Δ of every market."""
        return self.of(np.asarray(self.market.degree, float), np.maximum)


def common(setting: Setting) -> tuple[Ensemble, int]:
    """The markets that the parts on acting at once share, and the rounds they are played for.

    Shared, so that one compiled program serves all of them. The torus of equal agents is left out, because
    it starts at its equilibrium.
    """
    unequal = {words: d for words, d in CONTRIBUTIONS.items() if words != "unit"}
    kinds = {
        name: (family, unequal if name == "torus" else CONTRIBUTIONS)
        for name, family in families(AGENTS).items()
    }
    kinds |= {by_degree(d): (ErdosRenyi(AGENTS, mean_degree=d), unequal) for d in DEGREES}
    return ensemble(kinds, setting.seed, setting.pick(3, 15), first_stream=400), setting.pick(150, 400)


def by_degree(degree: int) -> str:
    """What the Erdős-Rényi networks of this mean degree are called."""
    return "Erdős-Rényi" if degree == 8 else f"Erdős-Rényi, degree {degree}"


def ensemble(
    kinds: dict[str, tuple[Family, dict[str, Distribution]]], seed: int, number: int, first_stream: int
) -> Ensemble:
    """So many markets of every kind with every distribution of contributions, solved exactly."""
    markets, kind, contribution = [], [], []
    for name, (family, distributions) in kinds.items():
        for words, distribution in distributions.items():
            markets.append(drawn(family, distribution, seed, first_stream + len(markets), number))
            kind += [name] * number
            contribution += [words] * number
    market = pack(markets)
    equilibrium = solve(market)
    if not equilibrium.is_solved:
        raise RuntimeError("some equilibria were not found; losses would mean nothing.")
    return Ensemble(market, equilibrium, np.array(kind), np.array(contribution))


def largest_around(market: Market) -> Float[np.ndarray, "agents"]:
    """max_{j ∈ N_p} deg(j): how many givers p's most crowded receiver has."""
    giver, receiver = market.arcs()
    largest = np.zeros(market.num_agents)
    np.maximum.at(largest, giver, np.asarray(market.degree, float)[receiver])
    return largest


def play(
    markets: Ensemble,
    theta: Float[np.ndarray, "agents"] | float,
    *,
    rounds: int,
    share: float = 1.0,
    schedule: Schedule | None = None,
    key=None,
) -> Run:
    """Agents take part with probability `share` and move θ of the way. One program for every θ and share.

    Records the share of the equilibrium's Nash welfare, the least ratio, what two rounds moved and Q.
    """
    thetas = np.broadcast_to(np.asarray(theta, float), markets.market.num_agents).copy()
    record = {
        "share": Partial(_share, equilibrium=np.asarray(markets.equilibrium.utility)),
        "least": Partial(_least),
        "two_rounds": Partial(_moved_in_two_rounds),
        "quadratic": Partial(_quadratic),
    }
    return simulate(
        markets.market,
        PerAgent(Damped(CMAP(), FixedDamping(thetas))),
        rounds=rounds,
        schedule=RandomParticipation(share) if schedule is None else schedule,
        record=record,
        key=key_of(0) if key is None else key,
    )


def _share(market, state, equilibrium):
    return metrics.share_of_equilibrium(market, state.utility, equilibrium)


def _least(market, state):
    return metrics.min_ratio(market, state.utility)


def _moved_in_two_rounds(market, state):
    """The share of all value that is elsewhere than two rounds ago."""
    moved = market.total(abs(state.history[0] - state.history[2]))
    return moved / (2 * market.total(market.contribution))


def _quadratic(market, state):
    """Q = Σ u_j² / w_j over W: least at the equilibrium, where it is Σ w_j r_j² / W."""
    return market.total(state.utility**2 / market.contribution) / market.total(market.contribution)


class Crowding(NamedTuple):
    """How many givers at once a market's receivers have to reckon with (see above)."""

    active: Float[np.ndarray, "markets"]
    stiffness: Float[np.ndarray, "markets"]


def crowding(market: Market, equilibrium: Equilibrium) -> Crowding:
    """Active contributors of every market, counted and by the largest eigenvalue of M."""
    giver, receiver = market.arcs()
    ratio, w = np.asarray(equilibrium.ratio), np.asarray(market.contribution)
    # By reciprocity value may flow only where the ratios at both ends multiply to one.
    is_tight = ratio[giver] * ratio[receiver] < 1 + 1e-9
    giver, receiver = giver[is_tight], receiver[is_tight]
    market_of = np.asarray(market.market_of)
    first = np.searchsorted(market_of, np.arange(market.num_markets + 1))
    active, stiffness = np.zeros(market.num_markets), np.zeros(market.num_markets)
    bounds = np.searchsorted(market_of[giver], np.arange(market.num_markets + 1))
    for number in range(market.num_markets):
        some, start = slice(bounds[number], bounds[number + 1]), first[number]
        here = w[start : first[number + 1]]
        active[number], stiffness[number] = _crowding(giver[some] - start, receiver[some] - start, here)
    return Crowding(active, stiffness)


def _crowding(giver, receiver, w) -> tuple[float, float]:
    choices = np.bincount(giver, minlength=len(w))
    has_choice = choices[giver] > 1
    giver, receiver = giver[has_choice], receiver[has_choice]
    if len(giver) == 0:
        return 0.0, 0.0
    reach = np.bincount(giver, w[receiver], minlength=len(w))
    spread = np.zeros((len(w), len(w)))
    spread[giver, receiver] = np.sqrt(w[receiver] / reach[giver])
    givers = np.bincount(receiver, minlength=len(w))
    # M in coordinates √w r, where it is symmetric.
    return float(givers.max()), float(np.linalg.eigvalsh(np.diag(givers) - spread.T @ spread)[-1])
