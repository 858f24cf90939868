"""Markets of any kind with one link more or less, and which new links can change anything."""

import numpy as np
from jaxtyping import Float, Int

from cmapjax.arguments._checks import as_real
from cmapjax.arguments._origin import Origin
from cmapjax.equilibrium._general import solve_general
from cmapjax.market._bound import Arcs
from cmapjax.market._market import Market, assemble_rows
from cmapjax.market._numbers import OF_AGENTS
from cmapjax.sensitivity._support import TOLERANCE, Supported, check_solved

Pairs = Int[np.ndarray, "copies 2"]


class NewLink:
    """What a new link is like: how much it lets through, what arrives, and whether it leads one way."""

    def __init__(self, capacity: float, efficiency: float, *, directed: bool):
        for name, x in (("capacity", capacity), ("efficiency", efficiency)):
            x = as_real(name, x, ())
            if not x > 0 or (name == "efficiency" and x == np.inf):
                raise ValueError(f"{name} of new links is {x:g}; give a number above 0.")
        self.capacity, self.efficiency, self.directed = float(capacity), float(efficiency), directed

    @property
    def is_plain(self) -> bool:
        """Whether it is like the links of markets of endowments and values."""
        return self.capacity == np.inf and self.efficiency == 1 and not self.directed


def promise(supported: Supported, pairs: Pairs, link: NewLink) -> Float[np.ndarray, "pairs"]:
    """q_i / (ρ_j e), what the giver's last unit earns in parts of what it would earn on the new link, the
    better way round. From 1 on the present equilibrium remains one; 0 if the giver keeps something, or if
    nobody can give to the receiver yet."""
    arcs = supported.arcs
    wants = (arcs.priority > 0) & (arcs.demand > arcs.own_use)
    price = np.where(wants & ~supported.counts, np.inf, np.where(wants, supported.price, 0))
    ways = [pairs] if link.directed else [pairs, pairs[:, ::-1]]
    found = []
    for giver, receiver in (way.T for way in ways):
        with np.errstate(divide="ignore", invalid="ignore"):
            share = supported.best[giver] / (price[receiver] * link.efficiency)
        found.append(np.where((price[receiver] > 0) & (arcs.supply[giver] > 0), share, np.inf))
    return np.minimum.reduce(found)


def utilities(market: Market, pairs: Pairs, link: NewLink | None) -> Float[np.ndarray, "copies agents"]:
    """Utilities of copies of the market, in each of which one link is new, or closed if `link` is None."""
    n, copies = market.num_agents, len(pairs)
    arcs = Arcs.of(market)
    key = arcs.giver.astype(np.int64) * n + arcs.receiver
    capacity = np.tile(arcs.capacity, (copies, 1))
    efficiency = np.tile(arcs.efficiency, (copies, 1))
    copy, more = np.arange(copies), []
    for way, (a, b) in enumerate((pairs.T, pairs.T[::-1])):
        place = np.minimum(np.searchsorted(key, a * n + b), len(key) - 1)
        is_there = key[place] == a * n + b
        opens = link is not None and not (link.directed and way)
        if link is None:
            capacity[copy, place] = 0
        elif opens:
            capacity[copy[is_there], place[is_there]] = link.capacity
            efficiency[copy[is_there], place[is_there]] = link.efficiency
        if link is not None:
            ends = copy[~is_there] * n * n + (a * n + b)[~is_there]
            more.append((ends, np.full(len(ends), link.capacity if opens else 0.0)))
    every = [(copy[:, None] * n * n + key).ravel(), *(ends for ends, _ in more)]
    of_arcs = {
        "capacity": np.concatenate([capacity.ravel(), *(x for _, x in more)]),
        "efficiency": np.concatenate(
            [efficiency.ravel(), *(np.full(len(x), link.efficiency) for _, x in more)]
        ),
    }
    every = np.concatenate(every)
    order = np.argsort(every, kind="stable")
    giver, receiver = np.divmod(every[order], n)
    found = solve_general(
        _copies(market, copies, giver, receiver, {k: x[order] for k, x in of_arcs.items()}),
        TOLERANCE,
        1.0,
        exact=False,
    )
    check_solved(found)
    return found.utility.reshape(copies, n)


def _copies(market: Market, copies: int, giver, receiver, of_arcs) -> Market:
    """Copies side by side: giver numbers run on from copy to copy, receivers are numbered within theirs."""
    n = market.num_agents
    names = ["endowment", "value", *(name for name in OF_AGENTS if name in market.terms)]
    fields = {name: np.tile(np.asarray(getattr(market, name)), copies) for name in names}
    market_of = np.arange(copies)[:, None] * market.num_markets + np.asarray(market.market_of, np.int64)
    starts = np.concatenate([[0], np.cumsum(np.bincount(giver, minlength=copies * n))])
    return assemble_rows(
        starts,
        (giver // n * n + receiver).astype(np.int32),
        fields | of_arcs,
        market_of.ravel(),
        np.arange(copies * market.num_markets, dtype=np.uint32),
        Origin(),
    )
