"""The bottleneck decomposition of a market of endowments and values: its groups of exact levels.

At the equilibrium agents as givers and as receivers fall into *groups*: the givers of a group serve its
receivers and nobody else, and all its receivers end with the same ratio λ = (contributions of its givers) /
(contributions of its receivers), which is their level when priorities are contributions.

Contributions are integers here (every float is one, times a power of two). Nothing is rounded.

Source: Wu and Zhang, STOC 2007.
"""

import dataclasses

import numpy as np
from jaxtyping import Int, Shaped

from cmapjax.equilibrium._levels import Levels, Terms, levels
from cmapjax.equilibrium._long_flow import FLOW_BITS, UNLIMITED
from cmapjax.market._rows import connected_parts


@dataclasses.dataclass(frozen=True)
class Partition:
    """Givers and receivers in groups, numbered by market and then by ratio, and the flow that proves it."""

    gives_in: Int[np.ndarray, "agents"]
    """The group in which an agent gives: that of its poorest neighbour."""
    levels: Levels

    @property
    def receives_in(self) -> Int[np.ndarray, "agents"]:
        """The group in which an agent receives."""
        return self.levels.group

    @property
    def ratio(self) -> np.ndarray:
        """λ of each group, the nearest float64."""
        return np.array([a / b for a, b in zip(self.levels.numerator, self.levels.denominator, strict=True)])


def as_integers(
    contribution: Shaped[np.ndarray, "agents"], market_of: Int[np.ndarray, "agents"]
) -> tuple[np.ndarray, np.ndarray]:
    """Whole numbers proportional to the contributions in each market, and the power of two of its unit.

    Exactly contribution = number · 2^power. The numbers are int64 where all of them, added up, fit, and
    Python's integers otherwise.

    Raises:
        ValueError: a contribution that is not finite and above zero.
    """
    bad = ~(np.isfinite(contribution) & (contribution > 0))
    if np.any(bad):
        raise ValueError(f"contribution: one is {contribution[bad][0]:g}; all must be finite and above zero.")
    mantissa, power = np.frexp(contribution)
    number = np.ldexp(mantissa, 53).astype(np.int64)
    lowest_bit = number & -number
    number //= lowest_bit
    power = power - 53 + np.frexp(lowest_bit.astype(np.float64))[1] - 1
    unit = np.full(market_of.max() + 1, np.iinfo(np.int64).max)
    np.minimum.at(unit, market_of, power)
    shift = power - unit[market_of]
    bits = np.frexp(number.astype(np.float64))[1] + shift
    if bits.max() + np.log2(len(number)) < FLOW_BITS:
        return number << shift, unit
    return number.astype(object) << shift.astype(object), unit


def plain_terms(giver, receiver, weight, market_of) -> Terms:
    """A market of endowments and values.

    Args:
        giver, receiver: both directions of every link, ordered by giver.
        weight: contributions as whole numbers (`as_integers`).
        market_of: the market of each agent, from 0.
    """
    links, agents = np.full(len(giver), UNLIMITED), np.full(len(weight), UNLIMITED)
    return Terms(giver, receiver, links, weight, np.zeros_like(agents), agents, weight, market_of)


def decompose(giver, receiver, weight, market_of, expected=None) -> Partition:
    """The groups of a market, or of many side by side, proved in integers.

    Args:
        giver, receiver, weight, market_of: those of `plain_terms`.
        expected: the groups in which one expects agents to receive, numbered by market and then by ratio.
    """
    found = levels(plain_terms(giver, receiver, weight, market_of), expected)
    rows = np.flatnonzero(np.diff(giver, prepend=-1))
    return Partition(np.minimum.reduceat(found.group[receiver], rows), found)


def blocks(giver, receiver, gives_in, receives_in) -> tuple[np.ndarray, np.ndarray]:
    """The connected parts of groups, in which an agent gives and receives, each named by its first receiver.

    Parts of a group share nothing but their ratio, and that by chance: when a contribution changes, only
    the parts that it belongs to move.
    """
    n = len(gives_in)
    inside = gives_in[giver] == receives_in[receiver]
    part = connected_parts(receiver[inside], n + giver[inside], 2 * n)  # receivers come before givers
    return part[n:], part[:n]
