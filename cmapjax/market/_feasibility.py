"""Whether agents obey the laws of spending: found in compiled code, put into words on the host."""

import warnings

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from cmapjax.arguments._checks import short
from cmapjax.market._market import Market
from cmapjax.market._reductions import blocks, combined, joined
from cmapjax.runtime._precision import namespace
from cmapjax.runtime._types import Array

# How far a row's sum may be from the budget, relative to the largest amount that enters the row (the budget,
# or what a neighbour receives): some hundred thousand roundings of float64, a thousand of float32.
TOLERANCE = {"float64": 1e-10, "float32": 1e-4}

# The laws, in the order in which they are tried; 0 stands for none broken.
LAWS = ("", "finite", "network", "sign", "capacity", "overspent", "underspent", "posting")
_WORDS = {
    "finite": "gave amounts that are not finite",
    "network": "gave {amount:.6g} where it has no neighbour (view.is_neighbour is false)",
    "sign": "gave a negative amount, {amount:.6g}",
    "capacity": "gave {amount:.6g} more along a link than its capacity",
    "overspent": "gave {amount:.6g} more than the {budget:.6g} that it had (overspent)",
    "underspent": "gave {amount:.6g} less than the {budget:.6g} that it had (underspent)",
    "posting": "gave {amount:.6g} more or less, by its terms, than its neighbour received",
}
_ADVICE = (
    "Every row must be finite, not negative, zero off the links, and sum to view.budget (or to what "
    "view.capacity lets through, if that is less); "
    "cmapjax.testing.check_strategy(strategy) tries every law."
)


class Breach(eqx.Module):
    """The first law that each agent broke, if any: one entry per agent, in the order of storage."""

    round: Int[Array, "agents"]
    """In which round, from 1; 0 if in none."""
    law: Int[Array, "agents"]
    """A place in `LAWS`."""
    amount: Float[Array, "agents"]
    """By how much (value)."""
    budget: Float[Array, "agents"]
    """What the agent had in that round (value)."""

    def then(self, later: "Breach") -> "Breach":
        """For every agent this breach, or the later one if this is none."""
        return jax.tree.map(lambda one, other: jnp.where(self.law > 0, one, other), self, later)


def no_breach(market: Market, dtype) -> Breach:
    """The breach of a run in which no agent has broken a law."""
    whole, real = np.zeros(market.num_agents, np.int32), np.zeros(market.num_agents, dtype)
    return Breach(whole, whole, real, real)


def find_breach(
    market: Market,
    round: Int[Array, ""],
    sent: list[Float[Array, "_ _"]],
    budget: Float[Array, "agents"],
    utility: Float[Array, "agents"],
    received: list[Float[Array, "_ _"]] | None = None,
    lost: Float[Array, "agents"] | None = None,
    lets_through: tuple = (None, None),
) -> Breach:
    """Who breaks which law in this round, all in the order of storage.

    Args:
        round: its number, from 1.
        sent: y_ij by blocks.
        budget: what every agent had to give and could (value).
        utility: what every agent receives (value).
        received: what y_ij is by the terms posted, as the receivers work it out, in i's slots.
        lost: the largest amount that an agent gave where its row was cut off.
        lets_through: where something can be given, and K_ij, both by blocks; None stands for every link, and
            for any amount.
    """
    xp = namespace(market, sent, budget)
    links, nothing = market.links, [None] * len(sent)
    by_blocks = (x or nothing for x in (received, *lets_through))
    rows = zip(blocks(links), sent, *by_blocks, strict=True)
    columns = [_of_block(xp, utility, *row) for row in rows]
    spent, least, outside, over, apart, most = (
        joined(links, list(parts)) for parts in zip(*columns, strict=True)
    )
    if lost is not None:
        outside = xp.maximum(outside, lost)
    allowed = TOLERANCE[str(budget.dtype)] * xp.maximum(budget, most)
    missing = spent - budget
    tests = {
        "finite": (~xp.isfinite(spent), spent),
        "network": (outside > allowed, outside),
        "sign": (least < -allowed, least),
        "capacity": (over > allowed, over),
        "overspent": (missing > allowed, missing),
        "underspent": (missing < -allowed, -missing),
        "posting": (apart > allowed, apart),
    }
    broken = [test for test, _ in tests.values()]
    law = xp.select(broken, [xp.asarray(LAWS.index(name), np.int32) for name in tests], 0).astype(np.int32)
    amount = xp.select(broken, [amount for _, amount in tests.values()], 0).astype(budget.dtype)
    return Breach(xp.where(law > 0, round, 0).astype(np.int32), law, amount, budget)


def _of_block(xp, utility, block, sent, received, is_open, capacity):
    """For every row of a block: its sum, its least amount, the largest amount off the links, the largest
    excess over a capacity, the largest difference between the two ends of a link, and the most that a
    neighbour receives."""
    is_entry = block.is_entry if is_open is None else is_open
    over = xp.zeros_like(sent[0])
    if capacity is not None:
        over = combined(jnp.maximum, xp.where(is_entry, sent - capacity, 0))
    apart = xp.zeros_like(sent[0]) if received is None else _largest(xp.where(is_entry, sent - received, 0))
    return (
        combined(jnp.add, sent),
        combined(jnp.minimum, xp.where(is_entry, sent, 0)),
        _largest(xp.where(is_entry, 0, sent)),
        over,
        apart,
        combined(jnp.maximum, block.take(utility)),
    )


def _largest(block):
    return combined(jnp.maximum, abs(block))


def check_row(name: str, agent, row: Float[np.ndarray, "neighbours"], budget: float) -> None:
    """Warn if one agent's row breaks a law. On the host."""
    spent, least = row.sum(), row.min()
    allowed = TOLERANCE[str(row.dtype)] * max(budget, np.abs(row).max())
    missing = abs(spent - budget)
    faults = {
        "finite": (not np.isfinite(spent), spent),
        "sign": (least < -allowed, least),
        "overspent" if spent > budget else "underspent": (missing > allowed, missing),
    }
    for law, (is_broken, amount) in faults.items():
        if is_broken:
            words = _WORDS[law].format(amount=amount, budget=budget)
            warnings.warn(f"{name} is not feasible: agent {_plain(agent)} {words}. {_ADVICE}", stacklevel=4)
            return


def broken_markets(market: Market, breach: Breach) -> Float[Array, "markets"]:
    """For every market 1 if one of its agents broke a law, else 0."""
    return market.largest(market.unstored((breach.law > 0).astype(np.float64)))


def breach_in_words(market: Market, name: str, breach: Breach) -> str | None:
    """The first breach, the largest of that round, as a sentence; None if there is none. On the host."""
    law, round, amount, budget = (
        np.asarray(market.unstored(np.asarray(x)))
        for x in (breach.law, breach.round, breach.amount, breach.budget)
    )
    if market.repeats is not None:  # padding rows are not agents
        law = np.where(market.repeats == np.arange(len(law)), law, 0)
    broken = np.flatnonzero(law)
    if not len(broken):
        return None
    first = broken[round[broken] == round[broken].min()]
    # NaN counts as the largest.
    agent = int(first[np.argmax(np.nan_to_num(np.abs(amount[first]), nan=np.inf))])
    where = f"agent {_plain(market.labels[agent])}"
    market_of = np.asarray(market.market_of)
    if market.num_markets > 1:
        where += f" of market {market_of[agent]}"
    words = _WORDS[LAWS[law[agent]]].format(amount=amount[agent], budget=budget[agent])
    others = len(broken) - 1
    if others:
        where_else = f" in {len(set(market_of[broken]))} markets" if market.num_markets > 1 else ""
        words += f"; {others} other agent(s){where_else} broke a law then or later"
    return f"{name} is not feasible: in round {round[agent]} {where} {words}. {_ADVICE}"


def _plain(label) -> str:
    return short(label).strip("'")
