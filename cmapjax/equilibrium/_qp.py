"""The equilibrium as a quadratic program, for solvers of such programs."""

import dataclasses

import numpy as np
import scipy  # which loads `scipy.sparse` at its first use
from jaxtyping import Float

from cmapjax.arguments._checks import check_kind, short
from cmapjax.arguments._labelled import unlabelled
from cmapjax.market._bound import Arcs
from cmapjax.market._certificate import per_market
from cmapjax.market._market import Market
from cmapjax.runtime._settings import entry


@dataclasses.dataclass(frozen=True, eq=False)
class QuadraticProgram:
    """minimise ½ xᵀ P x + qᵀ x subject to l ≤ A x ≤ u, made by `as_qp`.

    x holds y_ij on every arc, in the order of `Market.arcs`, and then u_j of every agent, both in units of
    their market's mean contribution w̄: solvers' tolerances are absolute, and thereby mean the same in every
    market. The rows of A are, with n agents and m arcs,

    - n equalities Σ_j y_ij = w_i (everybody spends its contribution),
    - n equalities Σ_i y_ij − u_j = 0 (what utility is),
    - m bounds y_ij ≥ 0, which a solver may take as bounds on the first m variables instead.

    P is diagonal, 0 on arcs and w̄ / w_j on agents, and q is 0: the objective is Σ_j u_j² / (2 w_j) in units
    of w̄. Markets packed side by side are independent blocks of one program.

    Why its solution is the equilibrium: the Lagrangian's slope in y_ij is u_j / w_j = r_j, so at the optimum
    everybody gives to its poorest neighbours alone, which is what defines the equilibrium. Any increasing
    function of r_j as the slope has the same optimum; the Eisenberg-Gale program has −1 / r_j.

    In a market with priorities, demands, own use, capacities or directions (not losses), some may have to be
    kept: 2n + m + n rows are n equalities Σ_i y_ij − u_j = −a_j, n rows Σ_j y_ij ≤ w_i, and the bounds
    0 ≤ y_ij ≤ K_ij and u_j ≤ D_j. The objective is Σ_j (u_j² / (2 b_j) − M u_j) over those who count, with M
    above every ratio that can be reached: slopes r_j − M are negative and ordered as before. Without losses
    every increasing concave function of ratios has the same optimum; with losses it has not, so that they are
    refused.

    Source: Fujishige, Math. Oper. Res. 5, 1980 (lexicographically optimal bases minimise Σ u_j² / w_j);
    tests/test_problem.py checks the conditions of optimality.
    """

    market: Market
    P: "scipy.sparse.csc_array"
    q: Float[np.ndarray, "variables"]
    A: "scipy.sparse.csc_array"
    l: Float[np.ndarray, "rows"]  # noqa: E741 - as solvers call it
    u: Float[np.ndarray, "rows"]

    @property
    def num_equalities(self) -> int:
        """Rows of A that are equalities, which come first: two for every agent, or one in a market with other
        terms."""
        return self.market.num_agents * (1 if self.market.terms else 2)

    @entry(remedy="read numbers that a solver has found", any_market=True)
    def flow(self, x: Float[np.ndarray, "variables"]) -> Float[np.ndarray, "slots"]:
        """The flow in the market's own layout (value): what is below zero is cut off, and every row is scaled
        to spend exactly its agent's contribution; in a market with other terms cut off at capacities, too,
        and scaled only where it is more than the agent has.

        Args:
            x: the solver's answer, utilities included.

        Raises:
            ValueError: an answer of another length, or not finite; an agent who gives nothing in it.
        """
        market, (giver, _) = self.market, self.market.arcs()
        x = np.asarray(unlabelled("x", x), np.float64)
        if x.shape != self.q.shape:
            raise ValueError(f"x has shape {x.shape}; give the solver's whole answer, {self.q.shape}.")
        if market.terms:
            if not np.all(np.isfinite(x)):
                raise ValueError("x is not finite; look at the solver's status.")
            arcs = Arcs.of(market)
            unit = _units(arcs.supply, np.asarray(market.market_of))[giver]
            return market.flow_from_arcs(arcs.feasible(np.where(arcs.leads, x[: len(giver)] * unit, 0)))
        y = np.maximum(x[: len(giver)], 0)
        spent = np.bincount(giver, y, minlength=market.num_agents)
        bad = np.flatnonzero(~((spent > 0) & np.isfinite(spent)))
        if len(bad):
            raise ValueError(
                f"x: agent {short(market.labels[bad[0]])} gives {spent[bad[0]]:g} in it (so do {len(bad)} "
                "agent(s)), which no solution does; look at the solver's status, or ask it for more accuracy."
            )
        return market.flow_from_arcs(y * (np.asarray(market.contribution) / spent)[giver])


@entry(remedy="make it of a market of plain numbers", any_market=True)
def as_qp(market: Market) -> QuadraticProgram:
    """The equilibrium as the quadratic program min Σ_j u_j² / (2 w_j), for any QP solver.

    Args:
        market: one market, or many packed side by side: one program, of independent blocks.

    Returns:
        Sparse P and A with q, l and u; its method `flow` reads an answer back, of which
        `certified_gap_of_flow` says how good it is.

    Raises:
        ValueError: traced arguments; a market with losses.
    """
    check_kind("market", market, Market, "Market.from_links(…), or a reader of cmapjax.graphs")
    if market.terms:
        return _with_terms(market)
    giver, receiver = market.arcs()
    n, m = market.num_agents, len(giver)
    weight, market_of = np.asarray(market.contribution), np.asarray(market.market_of)
    mean = per_market(np.add, weight, market_of) / np.bincount(market_of)
    weight = weight / mean[market_of]
    agent, arc = np.arange(n), np.arange(m)
    rows = np.concatenate([giver, n + receiver, n + agent, 2 * n + arc])
    columns = np.concatenate([arc, arc, m + agent, arc])
    entries = np.concatenate([np.ones(2 * m), -np.ones(n), np.ones(m)])
    bounds = np.concatenate([weight, np.zeros(n + m)])
    return QuadraticProgram(
        market=market,
        P=scipy.sparse.csc_array((1 / weight, (m + agent, m + agent)), shape=(m + n, m + n)),
        q=np.zeros(m + n),
        A=scipy.sparse.csc_array((entries, (rows, columns)), shape=(2 * n + m, m + n)),
        l=bounds,
        u=np.concatenate([bounds[: 2 * n], np.full(m, np.inf)]),
    )


def _with_terms(market: Market) -> QuadraticProgram:
    arcs = Arcs.of(market)
    if np.any(arcs.efficiency[arcs.carries] != 1):
        raise ValueError(
            "as_qp: this market has efficiency, and with losses the quadratic program has another optimum "
            "than the equilibrium; use `problem`, whose objective is the welfare itself, or `solve`."
        )
    n, m, counts = market.num_agents, len(arcs.giver), arcs.counts
    unit = _units(arcs.supply, arcs.market_of)
    supply, own_use, demand = arcs.supply / unit, arcs.own_use / unit, arcs.demand / unit
    measure = np.where(counts, arcs.priority, 1) / unit
    most = np.where(arcs.leads, np.minimum(arcs.capacity / unit[arcs.giver], supply[arcs.giver]), 0)
    reach = np.minimum(demand, own_use + np.bincount(arcs.receiver, most, n))
    highest = per_market(np.maximum, np.where(counts, reach / measure, 0), arcs.market_of)[arcs.market_of]
    agent, arc = np.arange(n), np.arange(m)
    rows = np.concatenate([arcs.receiver, agent, n + arcs.giver, 2 * n + arc, 2 * n + m + agent])
    columns = np.concatenate([arc, m + agent, arc, arc, m + agent])
    entries = np.concatenate([np.ones(m), -np.ones(n), np.ones(2 * m + n)])
    curved = np.where(counts, 1 / measure, 0)
    return QuadraticProgram(
        market=market,
        P=scipy.sparse.csc_array((curved, (m + agent, m + agent)), shape=(m + n, m + n)),
        q=np.concatenate([np.zeros(m), np.where(counts, -2 * highest, 0)]),
        A=scipy.sparse.csc_array((entries, (rows, columns)), shape=(3 * n + m, m + n)),
        l=np.concatenate([-own_use, np.full(n, -np.inf), np.zeros(m), np.full(n, -np.inf)]),
        u=np.concatenate([-own_use, supply, most, np.where(counts, demand, np.inf)]),
    )


def _units(supply, market_of) -> Float[np.ndarray, "agents"]:
    """The mean contribution of each agent's market; 1 where nobody has anything."""
    mean = per_market(np.add, supply, market_of) / np.bincount(market_of)
    return np.where(mean > 0, mean, 1)[market_of]
