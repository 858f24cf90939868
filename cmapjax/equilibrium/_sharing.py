"""Who gives what to whom where production and need change from round to round, in a community's words."""

import dataclasses
from collections.abc import Hashable, Sequence

import numpy as np
from jaxtyping import Float, Int

from cmapjax.arguments._checks import check_kind
from cmapjax.endowments import Balance
from cmapjax.equilibrium._solve import solve
from cmapjax.graphs import PriorityRule
from cmapjax.market._market import Market
from cmapjax.runtime._settings import check_plain

# Agents of the rounds that are solved together: more at once are not quicker, and take more memory.
AT_ONCE = 40_000
# What is left of a sum of flows is rounding below this share of it.
ROUNDING = 1e-12


@dataclasses.dataclass(frozen=True)
class Sharing:
    """What every agent produced, needed, gave and received in each round. Tables are pandas'.

    Amounts, in the unit of the balance, are

    - *production* and *need*; *own_use*, what an agent used of its own: the less of both;
    - *given* to others, *lost* on the way, and *received*, what arrived;
    - *shared*: what was received and could be used; *wasted*: what was received beyond the need (nothing, at
      the equilibrium);
    - *kept*: what nobody who may receive from the agent could use, or no priority entitles to;
    - *unmet*: need that neither own use nor others met.

    So production = own_use + given + kept, and need = own_use + shared + unmet. Of these sums are the shares

    - *self_sufficiency* = own_use / need and *self_consumption* = own_use / production: without the others;
    - *coverage* = (own_use + shared) / need and *collective_self_consumption* = (own_use + given − lost) /
      production: with them. Coverage of all together is also called collective self-sufficiency.

    A share of nothing is NaN.
    """

    labels: Sequence[Hashable]
    """The agents, in the order of the columns."""
    times: tuple | None
    """The times of the rounds, if the balance has any."""
    production: Float[np.ndarray, "rounds agents"]
    need: Float[np.ndarray, "rounds agents"]
    given: Float[np.ndarray, "rounds agents"]
    lost: Float[np.ndarray, "rounds agents"]
    """Of what an agent gave."""
    received: Float[np.ndarray, "rounds agents"]
    giver: Int[np.ndarray, "arcs"]
    """From which agent each link leads, by its place among the labels."""
    receiver: Int[np.ndarray, "arcs"]
    """To which agent it leads."""
    sent: Float[np.ndarray, "arcs"]
    """What the giver gave to the receiver in all rounds."""
    gap: Float[np.ndarray, "rounds"]
    """The certified gap of each round: by how much its log welfare may be below the best."""

    def __repr__(self) -> str:
        rounds, agents = self.production.shape
        return f"Sharing({rounds:,} rounds, {agents:,} agents)"

    def amounts(self) -> dict[str, Float[np.ndarray, "rounds agents"]]:
        """All amounts by name."""
        own_use = np.minimum(self.production, self.need)
        rest = self.need - own_use - self.received
        wasted = _beyond_rounding(-rest, self.need)
        return {
            "production": self.production,
            "need": self.need,
            "own_use": own_use,
            "given": self.given,
            "lost": self.lost,
            "received": self.received,
            "shared": self.received - wasted,
            "wasted": wasted,
            "kept": _beyond_rounding(self.production - own_use - self.given, self.production),
            "unmet": _beyond_rounding(rest, self.need),
        }

    def total(self):
        """A pandas Series of all amounts over all agents and rounds, and the shares."""
        import pandas as pd

        return pd.Series(_with_shares({name: x.sum() for name, x in self.amounts().items()}))

    def per_agent(self):
        """A table with a row per agent: its amounts over all rounds, and the shares."""
        import pandas as pd

        sums = {name: x.sum(axis=0) for name, x in self.amounts().items()}
        return pd.DataFrame({"agent": list(self.labels)} | _with_shares(sums))

    def per_round(self):
        """A table with a row per round: the amounts of all agents, the shares, and the certified gap."""
        import pandas as pd

        sums = {name: x.sum(axis=1) for name, x in self.amounts().items()}
        return pd.DataFrame(self._rounds() | _with_shares(sums) | {"gap": self.gap})

    def per_link(self):
        """A table of who gave how much to whom over all rounds, without links that were not used."""
        import pandas as pd

        used = np.flatnonzero(self.sent > 0)
        labels = pd.Series(list(self.labels))
        ends = {"giver": labels[self.giver[used]].array, "receiver": labels[self.receiver[used]].array}
        return pd.DataFrame(ends | {"given": self.sent[used]})

    def to_frame(self):
        """A table with a row per round and agent, and all amounts."""
        import pandas as pd

        rounds, agents = self.need.shape
        columns = {name: np.repeat(x, agents) for name, x in self._rounds().items()}
        columns["agent"] = list(self.labels) * rounds
        return pd.DataFrame(columns | {name: x.ravel() for name, x in self.amounts().items()})

    def _rounds(self) -> dict:
        rounds = {"round": np.arange(1, len(self.need) + 1)}
        return rounds if self.times is None else rounds | {"time": np.array(self.times, object)}


def share(market: Market, balance: Balance, *, priority=None) -> Sharing:
    """Who gives what to whom in every round of a balance: the equilibrium of each round's market.

    A round does not know of the others: what is kept in one is gone in the next.

    Args:
        market: the network, one market; its links may have capacities and efficiencies, and one way.
        balance: what its agents produce and need.
        priority: by what fair shares are measured (value), a number per agent or a row of them per round; by
            default the market's priority, else the need, so that everybody's share of need met is as equal as
            the network allows (*coverage*). Or a rule of `cmapjax.graphs` that does not draw: contributions
            are then mean surpluses, so that `Mix(0)` is reciprocity, by what agents have to give on average,
            and `Mix(1)` an equal right of all. An agent of priority 0 receives nothing.

    Returns:
        Amounts per round and agent, what passed along each link, and the certified gap of each round.

    Raises:
        ValueError: what `Balance.markets` and `solve` refuse.
    """
    check_kind("market", market, Market, "Market.from_links(…), or a reader of cmapjax.graphs")
    check_kind("balance", balance, Balance, "endowments.Balance(production, need)")
    check_plain("share", (market, balance, priority), "give it plain numbers")
    if isinstance(priority, PriorityRule):
        priority = _by_rule(priority, balance.matched(market))
    balance.markets(market, [0], priority=priority)  # refuses what does not fit, though it may be night
    own = balance.matched(market)
    return Sharing(
        labels=market.labels,
        times=balance.times,
        production=np.asarray(own.production),
        need=np.asarray(own.need),
        **_given(market, balance, own.surplus, own.need - own.own_use, priority),
    )


def _by_rule(rule: PriorityRule, own: Balance) -> np.ndarray:
    """Priorities by what agents have to give on average, and by what they need."""
    if rule.is_random:
        raise ValueError(f"priority: {rule!r} draws at random; give a rule that does not, or numbers.")
    return rule.priorities(np.random.default_rng(0), own.surplus.mean(axis=0), own.need)


def _given(market: Market, balance: Balance, surplus, deficit, priority) -> dict[str, np.ndarray]:
    """What passes along the links, in rounds in which somebody has a surplus and somebody a deficit."""
    giver, receiver = market.arcs()
    loss = 0 if market.efficiency is None else 1 - np.asarray(market.arc_values(market.efficiency))
    given, lost, received = (np.zeros(surplus.shape) for _ in range(3))
    sent, gap = np.zeros(len(giver)), np.zeros(len(surplus))
    solved = np.flatnonzero(np.any(surplus > 0, axis=1) & np.any(deficit > 0, axis=1))
    step = max(1, AT_ONCE // market.num_agents)
    for first in range(0, len(solved), step):
        rounds = solved[first : first + step]
        packed = balance.markets(market, rounds, priority=priority)
        equilibrium = solve(packed)
        flow = packed.arc_values(equilibrium.flow).reshape(len(rounds), -1)
        given[rounds] = _sums(flow, giver, market.num_agents)
        lost[rounds] = _sums(loss * flow, giver, market.num_agents)
        received[rounds] = _sums((1 - loss) * flow, receiver, market.num_agents)
        gap[rounds] = equilibrium.gap
        sent += flow.sum(axis=0)
    amounts = {"given": given, "lost": lost, "received": received, "gap": gap}
    return amounts | {"giver": giver, "receiver": receiver, "sent": sent}


def _sums(flow: Float[np.ndarray, "rounds arcs"], index: Int[np.ndarray, "arcs"], size: int) -> np.ndarray:
    """Σ over the arcs of each agent."""
    sums = np.zeros((len(flow), size))
    np.add.at(sums.T, index, flow.T)
    return sums


def _beyond_rounding(rest: np.ndarray, of: np.ndarray) -> np.ndarray:
    """What is left of these amounts, 0 where that is rounding or negative."""
    return np.where(rest > ROUNDING * of, rest, 0)


def _with_shares(sums: dict) -> dict:
    with np.errstate(divide="ignore", invalid="ignore"):
        return sums | {
            "self_sufficiency": sums["own_use"] / sums["need"],
            "coverage": (sums["own_use"] + sums["shared"]) / sums["need"],
            "self_consumption": sums["own_use"] / sums["production"],
            "collective_self_consumption": (sums["own_use"] + sums["given"] - sums["lost"])
            / sums["production"],
        }
