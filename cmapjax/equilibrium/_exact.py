"""The equilibrium without error: its groups, found by maximum flows or read off ratios that are near."""

import dataclasses
import math
from collections.abc import Sequence
from fractions import Fraction
from numbers import Rational

import numpy as np
from jaxtyping import Float, Int

from cmapjax.arguments._checks import CONTRIBUTION, check_positive, short
from cmapjax.equilibrium._decomposition import Partition, as_integers, blocks, decompose, plain_terms
from cmapjax.equilibrium._equilibrium import (
    Equilibrium,
    Fractions,
    Groups,
    Method,
    check_representable,
    price_error,
)
from cmapjax.equilibrium._proof import verify_levels
from cmapjax.market._certificate import certify_arcs, per_market
from cmapjax.market._market import Market
from cmapjax.runtime._settings import entry

# What gives utilities where a transformation of JAX traces contributions.
IN_PROGRAMS = "cmapjax.equilibrium_utility gives utilities there, and their derivatives"


class Decomposition(Method):
    """The bottleneck decomposition: 3-30 maximum flows, whatever the network and the number of groups.

    Groups are proved in integers, so ratios and prices are the exact ones, rounded once, and utilities are
    their products with the contributions. The flow is exact but for its rounding to float64, and the
    certificate is computed from it.

    Source: Wu and Zhang, STOC 2007 (the decomposition); docs/equilibrium.md (the algorithm).
    """

    counts = "flows"
    remedy = ""

    def solve(self, market, tolerance):
        network = _Network.of(market)
        return network.answer(decompose(*network.problem), tolerance)


@entry(remedy=IN_PROGRAMS)
def certify(
    market: Market, ratio: Float[np.ndarray, "agents"], *, tolerance: float = 1e-10, resolution: float = 1e-3
) -> Equilibrium:
    """The exact equilibrium, given ratios that are near it (of a long run, or of the last solve).

    Args:
        ratio: r_j = u_j / w_j, value received per value contributed.
        tolerance: on the certified gap.
        resolution: ratios that differ by less than this share are taken for one group.

    Returns:
        The equilibrium, as `solve` gives it.

    Raises:
        ValueError: an agent whose utility lies below what float64 holds.
    """
    network = _Network.of(market)
    expected = network.identify(np.asarray(ratio), resolution)
    return network.answer(decompose(*network.problem, expected), tolerance)


@entry(remedy=IN_PROGRAMS)
def solve_in_fractions(market: Market, contribution: Sequence[int | Fraction] | None = None) -> Fractions:
    """The equilibrium in exact fractions, every law of it verified.

    Args:
        market: one market, or many packed side by side.
        contribution: w_i as whole numbers or fractions, one per agent, for those that no float64 holds
            (1/3); by default `market.contribution`, every float64 being a fraction.

    Returns:
        Utilities, ratios and a supporting flow in the order of agents and of `Market.arcs`.

    Raises:
        ValueError: contributions that are not positive numbers, one per agent.
    """
    network = _Network.of(market) if contribution is None else _Network.with_fractions(market, contribution)
    found = decompose(*network.problem).levels
    verify_levels(plain_terms(*network.problem), found)
    ratio = [Fraction(a, b) for a, b in zip(found.numerator, found.denominator, strict=True)]
    unit = [network.unit[m] for m in network.market_of]
    ratios = tuple(ratio[g] for g in found.group)
    return Fractions(
        utility=tuple(r * int(w) * u for r, w, u in zip(ratios, network.weight, unit, strict=True)),
        ratio=ratios,
        flow=tuple(
            Fraction(int(part), found.denominator[found.group[j]]) * unit[j]
            for part, j in zip(found.parts, network.receiver, strict=True)
        ),
    )


@dataclasses.dataclass(frozen=True)
class _Network:
    """A market as lists of arcs, its contributions as whole numbers."""

    market: Market
    giver: Int[np.ndarray, "arcs"]
    receiver: Int[np.ndarray, "arcs"]
    weight: np.ndarray
    market_of: Int[np.ndarray, "agents"]
    unit: tuple[Fraction, ...]
    """Contribution = weight · unit, of each market."""

    @staticmethod
    def of(market: Market) -> "_Network":
        market_of = np.asarray(market.market_of, np.int64)
        contribution = np.asarray(market.contribution)
        check_positive(CONTRIBUTION, contribution, lambda i: market.labels[i])
        weight, power = as_integers(contribution, market_of)
        unit = tuple(Fraction(2) ** int(p) for p in power)
        return _Network(market, *market.arcs(), weight, market_of, unit)

    @staticmethod
    def with_fractions(market: Market, contribution: Sequence) -> "_Network":
        if len(contribution) != market.num_agents:
            raise ValueError(
                f"contribution: {len(contribution)} numbers for {market.num_agents} agents; give one each."
            )
        for label, w in zip(market.labels, contribution, strict=True):
            if isinstance(w, bool) or not isinstance(w, Rational) or w <= 0:
                raise ValueError(
                    f"contribution: agent {short(label)} has {short(w)}; give a positive int or Fraction."
                )
        fractions = [Fraction(w) for w in contribution]
        market_of = np.asarray(market.market_of, np.int64)
        scale = [1] * market.num_markets
        for m, w in zip(market_of, fractions, strict=True):
            scale[m] = math.lcm(scale[m], w.denominator)
        weight = np.array([int(w * scale[m]) for m, w in zip(market_of, fractions, strict=True)], object)
        unit = tuple(Fraction(1, s) for s in scale)
        return _Network(market, *market.arcs(), weight, market_of, unit)

    @property
    def problem(self) -> tuple:
        return self.giver, self.receiver, self.weight, self.market_of

    def identify(self, ratio, resolution: float) -> Int[np.ndarray, "agents"]:
        """Groups of agents of nearly the same ratio, in the order of ratios."""
        order = np.lexsort((ratio, self.market_of))
        with np.errstate(divide="ignore", invalid="ignore"):
            is_step = np.diff(np.log(ratio[order])) > resolution
        is_step |= np.diff(self.market_of[order]) > 0
        receives_in = np.empty(len(order), np.int64)
        receives_in[order] = np.concatenate([[0], np.cumsum(is_step)])
        return receives_in

    def answer(self, found: Partition, tolerance: float) -> Equilibrium:
        """The groups as an equilibrium, its certificate computed from the flows alone."""
        contribution = np.asarray(self.market.contribution)
        groups = found.levels
        whole = self.weight.astype(object) * groups.denominator[found.gives_in]
        share = np.true_divide(groups.parts, whole[self.giver]).astype(np.float64)
        flow = share * contribution[self.giver]
        proof = certify_arcs(self.giver, self.receiver, flow, contribution, self.market_of)
        ratio = found.ratio[found.receives_in]
        check_representable(self.market, ratio)
        inverse = np.array([b / a for a, b in zip(groups.numerator, groups.denominator, strict=True)])
        group_market = np.zeros(len(inverse), np.int64)
        group_market[found.receives_in] = self.market_of
        log_welfare = per_market(np.add, contribution * np.log(ratio), self.market_of)
        return Equilibrium(
            utility=ratio * contribution,
            ratio=ratio,
            price=inverse[found.gives_in],
            flow=self.market.flow_from_arcs(flow),
            log_nash_welfare=log_welfare / per_market(np.add, contribution, self.market_of),
            gap=proof.gap,
            price_error=price_error(self.market, proof.utility),
            spending_error=proof.spending_error,
            iterations=np.asarray(groups.num_flows),
            result=(proof.gap > tolerance).astype(np.int32),
            groups=Groups(
                found.gives_in,
                found.receives_in,
                *blocks(self.giver, self.receiver, found.gives_in, found.receives_in),
                found.ratio,
                group_market,
            ),
        )
