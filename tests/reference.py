"""The rules once more, slowly: plain NumPy written from the formulas, dense matrices, loops over agents.

y[i, j] is the value that i gives to j; w the contributions; links a symmetric 0/1 matrix.
"""

from fractions import Fraction

import numpy as np

from cmapjax.market._columns import lay_out
from cmapjax.market._market import assemble_rows

# -- how one agent answers -------------------------------------------------------------------------


def cmap_row(i, y, w, links):
    """The row that maximises Σ_j w_j log(c_j + y_ij), by sorting: fill the poorest to a common level."""
    neighbours = np.flatnonzero(links[i])
    others = y.sum(axis=0) - y[i]
    order = neighbours[np.argsort(others[neighbours] / w[neighbours], kind="stable")]
    for count in range(len(order), 0, -1):
        filled = order[:count]
        level = (w[i] + others[filled].sum()) / w[filled].sum()
        if level * w[filled[-1]] > others[filled[-1]]:
            break
    row = np.zeros(len(w))
    row[filled] = level * w[filled] - others[filled]
    return row


def proportional_row(i, y, w, links):
    received = y[:, i]
    return w[i] * received / received.sum() if received.sum() > 0 else y[i].copy()


def entropic(step):
    """y_ij (w_j / u_j)^step, scaled to the contribution."""

    def row(i, y, w, links):
        weight = np.where(y[i] > 0, y[i] * (w / np.maximum(y.sum(axis=0), 1e-300)) ** step, 0)
        return w[i] * weight / weight.sum()

    return row


def equal_row(i, y, w, links):
    return w[i] * links[i] / links[i].sum()


def selfish_row(i, y, w, links):
    if y[:, i].sum() == 0:
        return y[i].copy()
    generosity = np.where(links[i] > 0, y[:, i] / w, -1)
    best = generosity == generosity.max()
    return w[i] * best / best.sum()


def damped(rule, theta):
    """y + θ (answer − y); θ a number, "max degree" for 1/Δ, "local" for 1/max of the neighbours' degrees."""

    def row(i, y, w, links):
        degree = links.sum(axis=1)
        step = {"max degree": 1 / degree.max(), "local": 1 / degree[links[i] > 0].max()}.get(theta, theta)
        return y[i] + step * (rule(i, y, w, links) - y[i])

    return row


def play_round(rule, turns, y, w, links):
    """One round; `turns` lists groups of agents, each group seeing what earlier ones left."""
    y = y.copy()
    for group in turns:
        seen = y.copy()
        for i in group:
            y[i] = rule(i, seen, w, links)
    return y


def simultaneous(n):
    return [range(n)]


def sequential(n, order=None):
    return [[i] for i in (range(n) if order is None else order)]


def equal_split(w, links):
    return w[:, None] * links / links.sum(axis=1, keepdims=True)


def random_split(rng, w, links):
    y = links * rng.uniform(0.01, 1, links.shape)
    return w[:, None] * y / y.sum(axis=1, keepdims=True)


# -- numbers per market ----------------------------------------------------------------------------


def log_nash_welfare(u, w):
    return sum(wj * np.log(uj / wj) for uj, wj in zip(u, w, strict=True)) / sum(w)


def unweighted_nash_welfare(u):
    return np.prod(u) ** (1 / len(u))


def gini(x):
    return sum(abs(a - b) for a in x for b in x) / (2 * len(x) * sum(x))


def jain_index(x):
    return sum(x) ** 2 / (len(x) * sum(a * a for a in x))


def certified_gap(u, w, links):
    """log(A/W) − Σ w_j log(r_j m_j) / W; q_p = max_{k ∈ N_p} 1/r_k, A = Σ q w, m_j = min_{p ∈ N_j} q_p."""
    n, r = len(u), u / w
    q = np.array([max(1 / r[k] for k in range(n) if links[p, k]) for p in range(n)])
    m = np.array([min(q[p] for p in range(n) if links[j, p]) for j in range(n)])
    total = w.sum()
    return np.log((q * w).sum() / total) - (w * np.log(r * m)).sum() / total


# -- the equilibrium, exactly ----------------------------------------------------------------------


def bottleneck_decomposition(w, links):
    """Pairs (B_i, C_i, α_i) in order; α(S) = w(N(S)) / w(S), B_1 its largest minimiser. Fractions.

    Tries every subset, as a bit mask: for at most a dozen agents, whole contributions below 2^40.
    """
    n = len(w)
    masks = np.arange(2**n)
    is_member = (masks[:, None] >> np.arange(n)) & 1
    around = np.array([sum(1 << int(j) for j in np.flatnonzero(links[i])) for i in range(n)])
    reach = np.bitwise_or.reduce(np.where(is_member, around, 0), axis=1)
    worth = is_member @ np.array([int(x) for x in w])
    assert all(int(x) == x for x in w)
    left, pairs = 2**n - 1, []
    while left:
        subsets = masks[1:][(masks[1:] & ~left) == 0]
        served, asked = worth[reach[subsets] & left], worth[subsets]
        near = np.flatnonzero(served / asked <= (served / asked).min() * (1 + 1e-9))
        alphas = [Fraction(int(served[k]), int(asked[k])) for k in near]
        best = min(alphas)
        # Minimisers are closed under union.
        bottleneck = int(
            np.bitwise_or.reduce([subsets[k] for k, a in zip(near, alphas, strict=True) if a == best])
        )
        served = int(reach[bottleneck]) & left
        pairs.append((_members(bottleneck, n), _members(served, n), best))
        left &= ~(bottleneck | served)
    return pairs


def _members(mask, n):
    return {i for i in range(n) if mask >> i & 1}


def neighbourhood(agents, links):
    return {int(j) for i in agents for j in np.flatnonzero(links[i])}


def equilibrium(w, links):
    """u_v = α w_v in B, w_v / α in C, as exact fractions."""
    u = [Fraction(0)] * len(w)
    for bottleneck, around, alpha in bottleneck_decomposition(w, links):
        for v in bottleneck:
            u[v] = alpha * Fraction(w[v])
        for v in around - bottleneck:
            u[v] = Fraction(w[v]) / alpha
    return u


# -- from and to the package -----------------------------------------------------------------------


def dense(market, flow=None):
    """Contributions, links and (if given) a flow of the package as dense arrays."""
    giver, receiver = market.arcs()
    n = market.num_agents
    links = np.zeros((n, n))
    links[giver, receiver] = 1
    w = np.asarray(market.contribution)
    if flow is None:
        return w, links
    y = np.zeros((n, n))
    y[giver, receiver] = market.arc_values(flow)
    return w, links, y


def flow_of(market, y):
    """A dense flow in the package's layout."""
    return market.flow_from_arcs(y[market.arcs()])


def stored_by_degree(market):
    """The same market with a block of storage per degree, so that agents stand in an order of their own."""
    degree = np.diff(market.neighbour_rows()[0])
    return _stored(market, *np.unique(degree, return_inverse=True))


def stored_in_one_block(market):
    """The same market with one block for all, so that agents are stored by number."""
    degree = np.diff(market.neighbour_rows()[0])
    return _stored(market, degree.max(keepdims=True), np.zeros(len(degree), int))


def _stored(market, widths, block_of):
    starts, neighbours = market.neighbour_rows()
    fields = {"endowment": market.endowment, "value": market.value}
    own = fields, market.market_of, market.numbers, market.origin
    return assemble_rows(starts, neighbours, *own, lay_out(starts, widths, block_of))


def random_links(rng, n, density=0.4):
    """A connected random network: a random tree and some links more."""
    links = {(int(rng.integers(i)), i) for i in range(1, n)}
    links |= {(i, j) for i in range(n) for j in range(i + 1, n) if rng.uniform() < density}
    return np.array(sorted(links))
